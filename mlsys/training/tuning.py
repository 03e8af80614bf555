"""Random search: draw settings, fit, measure, keep all of it. Seeded, so the twentieth trial is always the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator

Range = tuple[float, float] | Sequence[object]
Settings = dict[str, object]


def random_search(
    evaluate: Callable[[Settings], Mapping[str, float]],
    space: Mapping[str, Range],
    *,
    trials: int,
    seed: int = 0,
    on_trial: Callable[[Settings, Mapping[str, float]], None] = lambda settings, metrics: None,
) -> pd.DataFrame:
    """One row per trial: the settings that were drawn, then the metrics that `evaluate` returned.

    space : name → (low, high), both above 0, drawn evenly on a log scale, whole numbers if both are ints; or a list
        of choices. on_trial : is told each as it ends, `registry.log_trial` tracks it; no metrics: it failed.
    A trial that raises `MlsysError` is a row with its reason in `failed`; anything else stops the search.
    Source: Bergstra & Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012).

    >>> found = random_search(lambda s: {"loss": (s["x"] - 1) ** 2}, {"x": (0.1, 10.0)}, trials=30, seed=1)
    >>> bool(0.5 < found.loc[found["loss"].idxmin(), "x"] < 1.5)
    True
    """
    if trials < 1 or not space:
        raise MlsysError(f"{trials} trials of {len(space)} settings", why="nothing is tried", fix="trials=20")
    rows = []
    for trial in range(trials):
        rng = generator(seed, 61, trial + 1)
        settings = {name: _draw(rng, name, choices) for name, choices in space.items()}
        try:
            metrics = dict(evaluate(settings))
        except MlsysError as error:
            on_trial(settings, {})
            rows.append({**settings, "failed": error.what})
            continue
        on_trial(settings, metrics)
        rows.append({**settings, **metrics})
    return pd.DataFrame(rows, pd.RangeIndex(trials, name="trial"))


def _draw(rng: np.random.Generator, name: str, choices: Range) -> object:
    if not isinstance(choices, tuple):
        return choices[int(rng.integers(len(choices)))]
    low, high = choices
    if not 0 < low <= high:
        raise MlsysError(f"{name} from {low} to {high}", why="a log scale begins above 0", fix="pass a list of choices")
    drawn = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return round(drawn) if isinstance(low, int) and isinstance(high, int) else drawn
