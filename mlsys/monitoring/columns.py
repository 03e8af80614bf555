"""What is remembered of a reference column, and the counts that a batch is reduced to.

Counts add up: those of a day are the sum of its hours'. So a stream of batches gives the same numbers as one large
batch, to the last bit, and no row has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from mlsys.monitoring.drift import chi2_p_value, ks_p_value, psi

OWN_BIN = 0.02
"""A value that so large a share of rows has gets a bin of its own."""

POINTS = 10_000
"""Values of a reference that are remembered; of a larger one so many quantiles."""


class Comparison(NamedTuple):
    """psi over bins · ks: largest gap between the distributions, NaN for categories · p: of the values' test and the
    test of missing rows, the smaller one, doubled · missing: share of the batch · rows: of the batch."""

    psi: float
    ks: float
    p: float
    missing: float
    rows: int


class Column(Protocol):
    """A reference column."""

    @property
    def counts(self) -> np.ndarray:
        """The reference's own."""
        ...

    def count(self, column: pd.Series) -> np.ndarray:
        """A batch (n,) as int64 counts, always of one length; all that `compare` needs."""
        ...

    def compare(self, counts: np.ndarray) -> Comparison:
        """The batch, or the sum of batches, with these counts against the reference."""
        ...

    def bins(self, counts: np.ndarray) -> tuple[list[str], np.ndarray]:
        """What PSI compares: names of the bins and each one's share of the rows, float64 (b,). The last is missing."""
        ...


def summarize(column: pd.Series) -> Column:
    """The summary that suits the column's dtype: numbers and bools, or categories."""
    return Numeric.of(column) if pd.api.types.is_numeric_dtype(column) else Categorical.of(column)


@dataclass(frozen=True)
class Numeric:
    """Distinct values float64 (m,), sorted · bin edges float64 (b,) · the reference's own counts.

    Counts are int64 (2m + b + 2,): rows below each value, rows not above it, rows below each edge, present, missing.
    The gap between two distributions is largest at a value of the reference, from one side or the other. So the KS
    statistic is exact up to `POINTS` rows, and at most 1 / (POINTS - 1) too small beyond.
    """

    values: np.ndarray
    edges: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, column: pd.Series) -> Numeric:
        """The summary of a reference column."""
        present = _present(column)
        edges = np.unique(np.quantile(present, np.linspace(0.1, 0.9, 9))) if len(present) else np.zeros(0)
        # Without bins of their own a counter that is mostly 0, or a rare flag, could grow inside its only bin.
        mass = np.searchsorted(present, edges, side="right") - np.searchsorted(present, edges)
        edges = np.union1d(edges, np.nextafter(edges[mass >= OWN_BIN * len(present)], np.inf))
        kept = np.linspace(0, len(present) - 1, min(len(present), POINTS)).round().astype(np.int64)
        bare = cls(np.unique(present[kept]), edges, np.zeros(0, np.int64))
        return cls(bare.values, edges, bare._count(present, len(column) - len(present)))

    def count(self, column: pd.Series) -> np.ndarray:
        """See `Column.count`."""
        present = _present(column)
        return self._count(present, len(column) - len(present))

    def _count(self, present: np.ndarray, missing: int) -> np.ndarray:
        below = np.searchsorted(present, self.values)
        upto = below.copy()
        tied = np.flatnonzero(present.take(below, mode="clip") == self.values) if len(present) else below[:0]
        upto[tied] = np.searchsorted(present, self.values[tied], side="right")
        return np.concatenate([below, upto, np.searchsorted(present, self.edges), [len(present), missing]])

    def compare(self, counts: np.ndarray) -> Comparison:
        """See `Column.compare`."""
        m, (known, gone), (present, missing) = len(self.values), self.counts[-2:], counts[-2:]
        p_missing = chi2_p_value(np.array([gone, known]), np.array([missing, present]))
        ks, p = float("nan"), 1.0
        if known and present:
            ks = float(np.abs(counts[: 2 * m] / present - self.counts[: 2 * m] / known).max())
            p = ks_p_value(ks, int(known), int(present))
        rows = int(present + missing)
        return Comparison(
            psi(self.bins(self.counts)[1], self.bins(counts)[1]),
            ks,
            min(1.0, 2 * min(p, p_missing)),
            float(missing) / max(rows, 1),
            rows,
        )

    def bins(self, counts: np.ndarray) -> tuple[list[str], np.ndarray]:
        """See `Column.bins`."""
        below, present, missing = counts[2 * len(self.values) : -2], counts[-2], counts[-1]
        names = [f"< {edge:.3g}" for edge in self.edges[:1]] or ["any"]
        after = np.nextafter(self.edges, np.inf)
        for i, edge in enumerate(self.edges):
            alone = i + 1 < len(after) and after[i] == self.edges[i + 1]
            beyond = i > 0 and after[i - 1] == edge
            names.append(f"= {edge:.3g}" if alone else f"> {self.edges[i - 1]:.3g}" if beyond else f"≥ {edge:.3g}")
        rows = np.append(np.diff(below, prepend=0, append=present), missing)
        return [*names, "missing"], np.asarray(rows / max(present + missing, 1))


@dataclass(frozen=True)
class Categorical:
    """Names of the reference's categories (k,), and counts int64 (k + 2,): of each, of all others, of nulls."""

    names: tuple[str, ...]
    counts: np.ndarray

    @classmethod
    def of(cls, column: pd.Series) -> Categorical:
        """The summary of a reference column."""
        names = tuple(sorted(column.dropna().astype(str).unique()))
        return cls(names, cls(names, np.zeros(0, np.int64)).count(column))

    def count(self, column: pd.Series) -> np.ndarray:
        """See `Column.count`."""
        found = column.dropna().astype(str).value_counts()
        known = found.reindex(list(self.names), fill_value=0).to_numpy()
        return np.concatenate([known, [found.sum() - known.sum(), column.isna().sum()]]).astype(np.int64)

    def compare(self, counts: np.ndarray) -> Comparison:
        """See `Column.compare`."""
        rows, p = int(counts.sum()), chi2_p_value(self.counts, counts)
        moved = psi(self.bins(self.counts)[1], self.bins(counts)[1])
        return Comparison(moved, float("nan"), p, float(counts[-1]) / max(rows, 1), rows)

    def bins(self, counts: np.ndarray) -> tuple[list[str], np.ndarray]:
        """See `Column.bins`."""
        return [*self.names, "others", "missing"], np.asarray(counts / max(counts.sum(), 1))


def _present(column: pd.Series) -> np.ndarray:
    """Values that are there, float64, sorted."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    missing = np.isnan(values)
    return np.sort(values[~missing] if missing.any() else values)
