"""Compare a batch, or a stream of them, with a reference, feature by feature. The reference is summarized once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.monitoring.columns import Column, Comparison, Numeric, summarize
from mlsys.monitoring.drift import benjamini_hochberg, psi


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
        self.limits: dict[Hashable, float] = {}
        self.columns: dict[Hashable, Column] = {name: summarize(reference[name]) for name in reference.columns}
        self.rows = len(reference)

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
        for name, column in monitor.columns.items():
            counts = np.stack([column.count(day[name]) for day in days])
            others = counts.sum(axis=0) - counts
            apart = [psi(column.bins(o)[1], column.bins(c)[1]) for o, c in zip(others, counts, strict=True)]
            monitor.limits[name] = max(min_psi, margin * max(apart))
        return monitor

    def window(self) -> Window:
        """An empty window: give it batches as they come."""
        return Window(self)

    def check(self, current: pd.DataFrame) -> pd.DataFrame:
        """One batch at once: see `Window.report`."""
        window = self.window()
        window.observe(current)
        return window.report()


class Window:
    """What has been seen since it was opened, as counts; a window that saw a day in a thousand batches reports the
    same as one that saw it in one.

    >>> monitor = ModelMonitor(pd.DataFrame({"x": np.arange(1000.0)}))
    >>> hours = monitor.window()
    >>> for hour in range(24):
    ...     hours.observe(pd.DataFrame({"x": np.arange(hour, 1000.0, 24)}))
    >>> hours.report().equals(monitor.check(pd.DataFrame({"x": np.arange(1000.0)})))
    True
    """

    def __init__(self, monitor: ModelMonitor) -> None:
        self.monitor, self.rows = monitor, 0
        self._counts = {name: np.zeros_like(column.counts) for name, column in monitor.columns.items()}

    def observe(self, batch: pd.DataFrame) -> None:
        """Add rows; columns beyond the reference's are ignored. A batch that does not fit adds nothing."""
        columns = self.monitor.columns
        if absent := [str(name) for name in columns if name not in batch.columns]:
            raise MlsysError(
                f"the batch lacks the column(s) {', '.join(absent)}",
                why="a column that vanished is the largest drift there is",
                fix="mend the schema upstream, or build the monitor without them",
            )
        for name, column in columns.items():
            if isinstance(column, Numeric) != pd.api.types.is_numeric_dtype(batch[name]):
                raise MlsysError(
                    f"column {name!r} is {batch[name].dtype} here and was of another kind in the reference",
                    why="numbers and categories cannot be compared",
                    fix="mend the type upstream, or build the monitor anew",
                )
        for name, column in columns.items():
            self._counts[name] += column.count(batch[name])
        self.rows += len(batch)

    def bins(self, name: Hashable) -> pd.DataFrame:
        """What a column's PSI compares: shares of rows per bin (index), columns reference and current."""
        column = self.monitor.columns[name]
        labels, reference = column.bins(column.counts)
        current = column.bins(self._counts[name])[1]
        return pd.DataFrame({"reference": reference, "current": current}, index=labels)

    def report(self) -> pd.DataFrame:
        """One row per reference column, the largest PSI first: psi, ks, p, missing, rows (see `Comparison`) and status
        (OK, DRIFT, TOO_FEW_ROWS)."""
        monitor = self.monitor
        found = [column.compare(self._counts[name]) for name, column in monitor.columns.items()]
        report = pd.DataFrame(found, columns=list(Comparison._fields))
        report.insert(0, "column", list(monitor.columns))
        limit = report["column"].map(monitor.limits).fillna(monitor.min_psi)
        drifted = (report["psi"] >= limit) & benjamini_hochberg(report["p"].to_numpy(np.float64), monitor.rate)
        report["status"] = np.where(drifted, "DRIFT", "OK")
        if min(monitor.rows, self.rows) < max(monitor.min_rows, 1):
            report["status"] = "TOO_FEW_ROWS"
        return report.sort_values("psi", ascending=False, kind="stable", ignore_index=True)
