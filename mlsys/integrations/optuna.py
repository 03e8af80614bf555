"""Optuna's samplers behind the face of `mlsys.training.tuning.random_search`. Needs `pip install optuna`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from mlsys.core import MlsysError
from mlsys.training.tuning import Range, Settings


def optuna_search(
    evaluate: Callable[[Settings], Mapping[str, float]],
    space: Mapping[str, Range],
    *,
    metric: str,
    maximize: bool = True,
    trials: int,
    seed: int = 0,
    on_trial: Callable[[Settings, Mapping[str, float]], None] = lambda settings, metrics: None,
) -> pd.DataFrame:
    """As `random_search`, but later trials are drawn near the better ones (TPE). One row per trial.

    metric : which of the numbers that `evaluate` returns is sought.
    Source: Akiba et al., Optuna, KDD (2019); Bergstra et al., Algorithms for hyper-parameter optimization, NIPS (2011).
    """
    try:
        import optuna
    except ImportError:
        raise MlsysError(
            "optuna_search needs the package optuna",
            why="it is not installed; random_search needs nothing",
            fix="pip install optuna",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: list[dict[str, object]] = []

    def objective(trial: Any) -> float:
        settings = {name: _suggest(trial, name, choices) for name, choices in space.items()}
        try:
            metrics = dict(evaluate(settings))
        except MlsysError as error:
            on_trial(settings, {})
            rows.append({**settings, "failed": error.what})
            raise optuna.TrialPruned from error
        on_trial(settings, metrics)
        rows.append({**settings, **metrics})
        return float(metrics[metric])

    direction: Any = "maximize" if maximize else "minimize"
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    return pd.DataFrame(rows, pd.RangeIndex(len(rows), name="trial"))


def _suggest(trial: Any, name: str, choices: Range) -> object:
    if not isinstance(choices, tuple):
        return trial.suggest_categorical(name, list(choices))
    low, high = choices
    suggest = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
    return suggest(name, low, high, log=True)
