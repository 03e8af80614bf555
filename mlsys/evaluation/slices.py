"""One metric, slice by slice: who is served worse than everybody else, and not by chance.

Every slice is compared with the rows outside it, which are other rows, so that the two are independent. Among twenty
slices one will stand out at 5 % by luck: p-values are adjusted for how many were looked at. A bad slice is in the rest
of all others, so good ones may be flagged too, as better than that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from mlsys.core import MlsysError
from mlsys.evaluation.intervals import Estimate


def by_slice(
    slices: pd.DataFrame,
    metric: Callable[..., Estimate],
    *columns: np.ndarray,
    min_rows: int = 200,
    level: float = 0.95,
) -> pd.DataFrame:
    """metric(*columns) within every value of every column of `slices`, beside the rows outside it.

    slices : a row each, a column per way to slice; null is a slice. columns : arrays (n,), what the metric takes:
        by_slice(log[["device", "region"]], auc, y, score), or user_auc, y, score, user.
    min_rows : a slice or a rest with fewer rows stays in the table without numbers, as does one that the metric
        refuses; `why` says which.
    Returns a row per (column, value): rows, value, low, high, rest (the metric elsewhere), p (adjusted, Benjamini &
    Hochberg, JRSS B 57, 1995), differs (p < 1 - level), why. p rests on intervals taken as normal, so with few rows it
    is a hint only.

    >>> from mlsys.evaluation import auc
    >>> rng = np.random.default_rng(13)
    >>> y, device = rng.random(4_000) < 0.3, np.repeat(["iOS", "Web"], 2_000)
    >>> score = rng.normal(size=4_000) + np.where(device == "iOS", 1.5, 0.2) * y
    >>> by_slice(pd.DataFrame({"device": device}), auc, y, score)["differs"].tolist()
    [True, True]
    """
    if min_rows < 1 or any(len(column) != len(slices) for column in columns) or slices.columns.empty:
        raise MlsysError(
            f"{len(slices)} rows of {slices.shape[1]} slices, columns of {[len(c) for c in columns]}, {min_rows=}",
            why="every row stands in one slice of each kind, with one value in every column",
            fix="by_slice(log[['device']], auc, y, score), all of one length",
        )
    rows = [row for name in slices.columns for row in _one_way(slices[name], metric, columns, min_rows)]
    names = ["slice", "of", "rows", "value", "low", "high", "rest", "p", "why"]
    table = pd.DataFrame(rows, columns=names).set_index(["slice", "of"])
    tested = table["p"].notna().to_numpy()
    if tested.any():
        table.loc[tested, "p"] = false_discovery_control(table["p"].to_numpy(np.float64)[tested])
    table.insert(6, "differs", (table["p"] < 1 - level).to_numpy(bool))
    return table


def _one_way(
    column: pd.Series, metric: Callable[..., Estimate], columns: tuple[np.ndarray, ...], min_rows: int
) -> list[tuple[object, ...]]:
    codes, names = pd.factorize(column, sort=True)
    labels = [*names, *([None] if (codes < 0).any() else [])]
    out = []
    for code, name in enumerate(labels):
        inside = codes == (code if name is not None else -1)
        n = int(inside.sum())
        try:
            own = _measure(metric, columns, inside, min_rows)
        except MlsysError as error:
            out.append((column.name, name, n, *[np.nan] * 5, error.what))
            continue
        try:
            rest = _measure(metric, columns, ~inside, min_rows)
        except MlsysError as error:
            out.append((column.name, name, n, own.value, own.low, own.high, np.nan, np.nan, f"rest: {error.what}"))
            continue
        out.append((column.name, name, n, own.value, own.low, own.high, rest.value, _p_value(own, rest), ""))
    return out


def _measure(
    metric: Callable[..., Estimate], columns: tuple[np.ndarray, ...], rows: np.ndarray, min_rows: int
) -> Estimate:
    if rows.sum() < min_rows:
        raise MlsysError(f"{rows.sum()} rows", why=f"min_rows is {min_rows}", fix="take a longer period")
    return metric(*(np.asarray(column)[rows] for column in columns))


def _p_value(own: Estimate, rest: Estimate) -> float:
    """Two-sided, of no difference: each side's error is read off the half of its interval that faces the other."""
    z = float(norm.ppf((1 + own.level) / 2))
    upper, lower = (own, rest) if own.value >= rest.value else (rest, own)
    error = np.hypot(upper.value - upper.low, lower.high - lower.value) / z
    return float(2 * norm.sf((upper.value - lower.value) / error)) if error > 0 else np.nan
