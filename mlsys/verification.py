"""Checks on a batch of events: all failures at once, with the rows that failed.

A check is a mask: which rows fail. `mostly` is the share that must pass. Rows that fail a check with
`quarantine=True` are set aside even when the batch passes; with False only their share is watched.
Words are those of Great Expectations and pandera; as there, nulls pass every check but `not_null`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypedDict, Unpack

import numpy as np
import pandas as pd

from mlsys.core import ACTIONS, EVENT_SCHEMA, MlsysError, SchemaError

Severity = Literal["error", "warning"]


class VerificationError(MlsysError):
    """A batch failed a check of severity "error". `rows` holds the failure cases."""


@dataclass(frozen=True)
class Check:
    """One condition. `fails` gets the events and returns a bool mask (n,) of the rows that break it."""

    name: str
    columns: tuple[str, ...]
    fails: Callable[[pd.DataFrame], np.ndarray]
    mostly: float = 1.0
    severity: Severity = "error"
    quarantine: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.mostly <= 1:
            why = "it is the share of rows that must pass"
            raise MlsysError(f"{self.name} has mostly={self.mostly}", why=why, fix="pass a number from 0 to 1")


class Options(TypedDict, total=False):
    """What every check also takes; defaults are those of `Check`."""

    mostly: float
    severity: Severity
    quarantine: bool


def not_null(column: str, **options: Unpack[Options]) -> Check:
    """The value is there."""
    return Check(f"not_null({column})", (column,), lambda e: e[column].isna().to_numpy(), **options)


def in_set(column: str, values: Collection[object], **options: Unpack[Options]) -> Check:
    """The value is one of `values`."""

    def fails(events: pd.DataFrame) -> np.ndarray:
        data = events[column]
        if isinstance(data.dtype, pd.CategoricalDtype):
            foreign = np.append(~data.cat.categories.isin(list(values)), False)  # The last one is for null.
            return foreign[data.cat.codes] if foreign.any() else np.zeros(len(data), bool)
        return (~data.isin(list(values)) & data.notna()).to_numpy()

    return Check(f"in_set({column})", (column,), fails, **options)


def in_range(
    column: str,
    low: float | None = None,
    high: float | None = None,
    *,
    open_low: bool = False,
    **options: Unpack[Options],
) -> Check:
    """low ≤ value ≤ high; None is no bound; `open_low` makes it low < value."""

    def fails(events: pd.DataFrame) -> np.ndarray:
        data, out = events[column].to_numpy(), np.zeros(len(events), bool)
        if low is not None:
            out |= data <= low if open_low else data < low
        if high is not None:
            out |= data > high
        return out

    bounds = f"{'(' if open_low else '['}{'-inf' if low is None else low}, {'inf' if high is None else high}]"
    return Check(f"in_range({column}, {bounds})", (column,), fails, **options)


def unique(column: str, **options: Unpack[Options]) -> Check:
    """No value twice; the rows after the first one fail."""

    def fails(events: pd.DataFrame) -> np.ndarray:
        data = events[column].to_numpy()
        if data.dtype == np.int64 and (span := int(data.max()) - int(data.min())) < 16 * len(data):
            met = np.zeros(span + 1, bool)  # Dense ids: tick them off, faster than hashing them.
            met[data - data.min()] = True
            if np.count_nonzero(met) == len(data):
                return np.zeros(len(data), bool)
        return (events[column].duplicated() & events[column].notna()).to_numpy()

    return Check(f"unique({column})", (column,), fails, **options)


def not_before(column: str, other: str, **options: Unpack[Options]) -> Check:
    """`column` is not earlier than `other`."""

    def fails(events: pd.DataFrame) -> np.ndarray:
        return (events[column] < events[other]).to_numpy()

    return Check(f"not_before({column}, {other})", (column, other), fails, **options)


def fresh(column: str, now: np.datetime64, max_age: np.timedelta64, *, severity: Severity = "error") -> Check:
    """The newest value is at most `max_age` old at `now`; if not, all rows fail and none is set aside."""

    def fails(events: pd.DataFrame) -> np.ndarray:
        late = pd.Timestamp(now) - events[column].max() > pd.Timedelta(max_age)
        return np.full(len(events), bool(late or events[column].isna().all()))

    return Check(f"fresh({column}, {max_age})", (column,), fails, severity=severity, quarantine=False)


DEFAULT_CHECKS: tuple[Check, ...] = (
    unique("event_id"),
    in_range("user_id", 0, mostly=0.5, severity="warning", quarantine=False),
    in_range("post_id", 0),
    not_null("action", mostly=0.80, quarantine=False),
    in_set("action", ACTIONS),
    not_null("event_time"),
    not_before("arrival_time", "event_time"),
    not_null("device", mostly=0.90, severity="warning", quarantine=False),
    in_range("position", 0),
    not_null("propensity"),
    in_range("propensity", 0, 1, open_low=True),
)
"""What every batch is held to. Null shares leave room above the noise world: action .15, device .05."""


@dataclass(frozen=True)
class Result:
    """What one check found. `rows`: positions of the failing rows. A skipped check looked at nothing."""

    check: Check
    status: Literal["passed", "failed", "skipped"]
    rows: np.ndarray
    share: float


@dataclass(frozen=True)
class Report:
    """What all checks found in one batch. Rows in = clean + quarantine."""

    events: pd.DataFrame
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """No check of severity "error" failed. Skipped checks do not count: see `frame`."""
        return not any(r.status == "failed" and r.check.severity == "error" for r in self.results)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of `frame` that failed, warnings too."""
        frame = self.frame()
        return frame[frame["status"] == "failed"].reset_index(drop=True)

    def frame(self) -> pd.DataFrame:
        """One row per check: check, column, status, failing rows, share and allowed share of them, severity."""
        columns = ["check", "column", "status", "failing", "share", "allowed", "severity"]
        rows = []
        for r in self.results:
            name, column, allowed = r.check.name, r.check.columns[0], round(1 - r.check.mostly, 12)
            rows.append((name, column, r.status, len(r.rows), r.share, allowed, r.check.severity))
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def failure_cases(self) -> pd.DataFrame:
        """One row per failed check and failing row: check, column, row (position in the batch), value."""
        found = []
        for r in self.results:
            column = r.check.columns[0]
            if r.status == "failed":
                value = self.events[column].to_numpy(dtype=object)[r.rows]
                found.append(pd.DataFrame({"check": r.check.name, "column": column, "row": r.rows, "value": value}))
        empty = pd.DataFrame(columns=["check", "column", "row", "value"])
        return pd.concat(found, ignore_index=True) if found else empty

    @cached_property
    def clean(self) -> pd.DataFrame:
        """The events that are not set aside, unchanged, in order."""
        return self.events if not self._set_aside.any() else self.events[~self._set_aside]

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        """The events that are set aside, with a column `failed`: the names of the checks they broke."""
        rows = self.events[self._set_aside]
        names = pd.Series("", index=np.flatnonzero(self._set_aside), dtype=object)
        for r in self.results:
            if r.check.quarantine and len(r.rows):
                names[r.rows] = names[r.rows] + "; " + r.check.name
        return rows.assign(failed=names.str.removeprefix("; ").to_numpy())

    def raise_if_failed(self) -> Report:
        """This report, or a `VerificationError` that names every failed check."""
        failed = self.failures.itertuples()
        lines = [f"{f.check}: {f.failing:,} rows, {f.share:.2%}, allowed {f.allowed:.2%}" for f in failed]
        if self.passed:
            return self
        raise VerificationError(
            f"{len(lines)} of {len(self.results)} checks failed on {len(self.events):,} events",
            why="; ".join(lines),
            fix="look at report.failure_cases; train on report.clean only if the cause is known",
            rows=self.failure_cases,
        )

    @cached_property
    def _set_aside(self) -> np.ndarray:
        mask = np.zeros(len(self.events), bool)
        for r in self.results:
            mask[r.rows] |= r.check.quarantine
        return mask


def verify(events: pd.DataFrame, checks: Sequence[Check] = DEFAULT_CHECKS) -> Report:
    """Run all checks on a batch. A check is skipped if the batch is empty or lacks one of its columns.

    Raises `SchemaError` if a column of `EVENT_SCHEMA` is missing.

    >>> from mlsys.world.noise import NoiseWorld
    >>> report = verify(NoiseWorld(seed=7).events(1_000))
    >>> report.passed, len(report.clean), len(report.quarantine)
    (True, 1000, 0)
    """
    if absent := [name for name in EVENT_SCHEMA if name not in events.columns]:
        fix = "read the file with mlsys.collection.read_log and a mapping"
        raise SchemaError(f"events lack {', '.join(absent)}", why="every event has these columns", fix=fix)
    results = []
    for check in checks:
        if len(events) == 0 or not set(check.columns) <= set(events.columns):
            results.append(Result(check, "skipped", np.empty(0, np.int64), float("nan")))
            continue
        rows = np.flatnonzero(check.fails(events))
        share = len(rows) / len(events)
        failed = share > 1 - check.mostly + 1e-12  # 1 - 0.8 is 0.19999999999999996.
        results.append(Result(check, "failed" if failed else "passed", rows, share))
    return Report(events, tuple(results))
