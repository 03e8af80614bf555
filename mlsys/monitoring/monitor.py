"""Compare a batch with a reference, feature by feature. The reference is summarized once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from mlsys.core import MlsysError
from mlsys.monitoring.drift import benjamini_hochberg, psi, two_sample_ks


@dataclass(frozen=True)
class _Numeric:
    """Rows, sorted present values, bin edges, shares per bin; the last bin is "missing"."""

    rows: int
    values: np.ndarray
    edges: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True)
class _Categorical:
    names: tuple[str, ...]
    counts: np.ndarray


class ModelMonitor:
    """Drift of every column of a frame against a reference.

    A column drifts when its PSI reaches `min_psi` **and** its test (KS for numbers, chi-square for categories and
    for the missing share) is a discovery at false discovery rate `rate` over all columns together. With fewer than
    `min_rows` rows on either side nothing is judged, since noise looks like drift: status TOO_FEW_ROWS.

    >>> rng = np.random.default_rng(0)
    >>> monitor = ModelMonitor(pd.DataFrame({"x": rng.normal(size=5000)}))
    >>> monitor.check(pd.DataFrame({"x": rng.normal(1.0, size=1000)}))[["column", "status"]]
      column status
    0      x  DRIFT
    """

    def __init__(
        self, reference: pd.DataFrame, *, min_psi: float = 0.1, rate: float = 0.01, min_rows: int = 200
    ) -> None:
        self.min_psi, self.rate, self.min_rows = min_psi, rate, min_rows
        self.limits: dict[str, float] = {}
        self._enough = len(reference) >= max(min_rows, 1)
        self._reference = {name: _summarize(reference[name]) for name in reference.columns}

    @classmethod
    def from_days(
        cls,
        days: Sequence[pd.DataFrame],
        *,
        margin: float = 2.0,
        min_psi: float = 0.1,
        rate: float = 0.01,
        min_rows: int = 200,
    ) -> ModelMonitor:
        """A monitor whose reference is several healthy days.

        Rows of a day are not independent: two hundred creators stand behind thousands of them. So each column's
        limit is `margin` times the largest PSI that one healthy day shows against the others, at least `min_psi`.
        """
        if len(days) < 2:
            raise MlsysError(
                f"{len(days)} healthy day(s) are no reference",
                why="how far healthy days are apart takes two or more of them",
                fix="ModelMonitor(frame) judges one frame by min_psi alone",
            )
        monitor = cls(pd.concat(days), min_psi=min_psi, rate=rate, min_rows=min_rows)
        for name, summary in monitor._reference.items():
            if isinstance(summary, _Numeric):
                counts = np.stack([_bins(day[name].to_numpy(np.float64), summary.edges) for day in days])
            else:
                counts = np.stack([_counts(day[name], summary.names) for day in days])
            others = counts.sum(axis=0) - counts
            apart = [psi(o / max(o.sum(), 1), c / max(c.sum(), 1)) for o, c in zip(others, counts, strict=True)]
            monitor.limits[name] = max(min_psi, margin * max(apart))
        return monitor

    def check(self, current: pd.DataFrame) -> pd.DataFrame:
        """One row per reference column: psi, p, missing share, status (OK, DRIFT, TOO_FEW_ROWS), worst first."""
        absent = [str(name) for name in self._reference if name not in current.columns]
        if absent:
            raise MlsysError(
                f"the batch lacks the column(s) {', '.join(absent)}",
                why="a column that vanished is the largest drift there is",
                fix="mend the schema upstream, or build the monitor without them",
            )
        for name, summary in self._reference.items():
            if isinstance(summary, _Numeric) != pd.api.types.is_numeric_dtype(current[name]):
                raise MlsysError(
                    f"column {name!r} is {current[name].dtype} here and was of another kind in the reference",
                    why="numbers and categories cannot be compared",
                    fix="mend the type upstream, or build the monitor anew",
                )
        rows = [(name, *_compare(summary, current[name])) for name, summary in self._reference.items()]
        report = pd.DataFrame(rows, columns=["column", "psi", "p", "missing"])
        limit = report["column"].map(self.limits).fillna(self.min_psi)
        drifted = (report["psi"] >= limit) & benjamini_hochberg(report["p"].to_numpy(), self.rate)
        report["status"] = np.where(drifted, "DRIFT", "OK")
        if not self._enough or len(current) < max(self.min_rows, 1):
            report["status"] = "TOO_FEW_ROWS"
        return report.sort_values("psi", ascending=False, kind="stable", ignore_index=True)


def _summarize(column: pd.Series) -> _Numeric | _Categorical:
    if not pd.api.types.is_numeric_dtype(column):
        names = tuple(sorted(column.dropna().astype(str).unique()))
        return _Categorical(names, _counts(column, names))
    values = column.to_numpy(np.float64)
    present = np.sort(values[~np.isnan(values)])
    edges = np.unique(np.quantile(present, np.linspace(0.1, 0.9, 9))) if len(present) else np.zeros(0)
    # A value that many rows share gets a bin of its own. Else a counter that is mostly 0, or a rare flag, has no
    # edge above 0, and can grow without leaving its bin.
    mass = np.searchsorted(present, edges, side="right") - np.searchsorted(present, edges)
    edges = np.union1d(edges, np.nextafter(edges[mass >= 0.02 * len(present)], np.inf))
    return _Numeric(len(values), present, edges, _shares(values, edges))


def _compare(reference: _Numeric | _Categorical, column: pd.Series) -> tuple[float, float, float]:
    """(psi, p, missing share) of a column against its reference."""
    missing = float(column.isna().mean())
    if isinstance(reference, _Categorical):
        counts = _counts(column, reference.names)
        return (
            psi(reference.counts / reference.counts.sum(), counts / max(counts.sum(), 1)),
            _chi2(reference.counts, counts),
            missing,
        )
    values = column.to_numpy(np.float64)
    present = values[~np.isnan(values)]
    gone = np.array([reference.rows - len(reference.values), len(reference.values)])
    p_missing = _chi2(gone, np.array([len(values) - len(present), len(present)]))
    p_values = two_sample_ks(reference.values, present)[1] if len(present) and len(reference.values) else 1.0
    return (
        psi(reference.shares, _shares(values, reference.edges)),
        min(1.0, 2 * min(p_missing, p_values)),
        missing,
    )


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Shares per quantile bin, and last the share of missing values."""
    return np.asarray(_bins(values, edges) / max(len(values), 1))


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Rows per quantile bin, and last the missing ones."""
    present = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(present))


def _counts(column: pd.Series, names: tuple[str, ...]) -> np.ndarray:
    """Rows per known category, then of categories not in the reference, then of nulls."""
    found = column.dropna().astype(str).value_counts()
    known = found.reindex(list(names), fill_value=0).to_numpy()
    return np.concatenate([known, [found.sum() - known.sum(), column.isna().sum()]]).astype(np.int64)


def _chi2(reference: np.ndarray, current: np.ndarray) -> float:
    table = np.stack([reference, current])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    return float(chi2_contingency(table, correction=False).pvalue)
