"""What every other module stands on: the event schema, the clock, seeded generators, errors.

An *event* is one impression: a post was shown to a user, and this is what the user did.
It has two times. `event_time` is when it happened; `arrival_time` is when we got to know it.
A feature may only use what had arrived: that difference is the whole of notebook 01.

All times are UTC, held as naive `datetime64[us]`.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import pandas as pd

ACTIONS = ("like", "dislike", "view", "share")
"""What a user can do with a post. Null means: nothing was recorded."""

EVENT_SCHEMA: dict[str, str] = {
    "event_id": "int64",
    "user_id": "int64",
    "post_id": "int64",
    "action": "category",
    "event_time": "datetime64[us]",
    "arrival_time": "datetime64[us]",
}
"""Columns every event has. `user_id` -1 means unknown; `action` may be null."""

OPTIONAL_COLUMNS: dict[str, str] = {"device": "category", "position": "int64", "propensity": "float64"}
"""Columns an event may have: device, slot (from 1), and P(the logging policy showed this post here)."""

UNKNOWN_ID = -1


class MlsysError(Exception):
    """An error that says what is wrong, why that matters, and what to do.

    `rows` carries the offending rows or keys, so that nothing has to be searched for twice.

    >>> raise MlsysError("column 'clik' is not in the file", why="the mapping names it", fix="use 'click'")
    Traceback (most recent call last):
    mlsys.core.MlsysError: column 'clik' is not in the file
      why: the mapping names it
      do:  use 'click'
    """

    def __init__(self, what: str, *, why: str, fix: str, rows: Any = None) -> None:
        super().__init__(f"{what}\n  why: {why}\n  do:  {fix}")
        self.what, self.why, self.fix, self.rows = what, why, fix, rows


class SchemaError(MlsysError):
    """A frame does not have the columns or types that it must have."""


class Clock(Protocol):
    """Where a component reads the time. It is passed in; nothing here reads the wall clock."""

    def now(self) -> np.datetime64:
        """The current time, UTC, `datetime64[us]`."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, for durations: they never run backwards, whatever is done to the date."""
        ...


class VirtualClock:
    """A clock that moves only when told to, so that tests and notebooks repeat to the byte.

    >>> clock = VirtualClock("2026-01-01")
    >>> clock.advance(hours=36)
    >>> print(clock.now())
    2026-01-02T12:00:00.000000
    """

    def __init__(self, start: str | np.datetime64 = "2026-01-01") -> None:
        self._now = np.datetime64(str(start), "us")
        self._elapsed = 0

    def now(self) -> np.datetime64:
        """The current virtual time, `datetime64[us]`."""
        return self._now

    def monotonic(self) -> float:
        """Seconds by which this clock was advanced."""
        return self._elapsed / 1e6

    def advance(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Move forward; time never runs backwards."""
        step = round((days * 86_400 + hours * 3_600 + seconds) * 1e6)
        if step < 0:
            raise ValueError(f"a clock cannot be advanced by {step} microseconds")
        self._now = self._now + np.timedelta64(step, "us")
        self._elapsed += step


class SystemClock:
    """The machine's clock, for what a person does: only commands and notebook cells make one."""

    def now(self) -> np.datetime64:
        """The current time, `datetime64[us]`."""
        return np.datetime64(time.time_ns() // 1_000, "us")

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


def generator(seed: int, *key: int) -> np.random.Generator:
    """A seeded generator. `key` names an independent stream: a day, a shard, a purpose.

    Streams come from `numpy.random.SeedSequence`, so (7, 1) and (7, 2) do not overlap. Trailing zeros do not count:
    (7, 1) and (7, 1, 0) are one stream, so a part that tells purposes apart counts from 1.

    >>> bool(generator(7, 1).integers(100) == generator(7, 1).integers(100))
    True
    """
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *key])))


def microseconds(times: pd.Series | pd.Index | np.ndarray | np.datetime64 | str) -> np.ndarray:
    """Times as int64 microseconds since 1970, shape as given (a scalar gives shape ())."""
    values = times.to_numpy() if isinstance(times, pd.Series | pd.Index) else np.asarray(times)
    return np.asarray(values.astype("datetime64[us]").astype(np.int64))


def conform(events: pd.DataFrame) -> pd.DataFrame:
    """The same rows with the schema's dtypes; raises `SchemaError` instead of guessing.

    Rows, order and extra columns are kept. A value that cannot be cast is an error that carries its rows.
    """
    missing = [c for c in EVENT_SCHEMA if c not in events.columns]
    if missing:
        raise SchemaError(
            f"events lack the column(s) {', '.join(missing)}",
            why=f"every event has {', '.join(EVENT_SCHEMA)}",
            fix="add them, or read the file with mlsys.collection.read_log and a mapping",
        )
    columns: dict[str, Any] = {}
    dtype: Any
    for name, dtype in {**EVENT_SCHEMA, **OPTIONAL_COLUMNS}.items():
        if name not in events.columns:
            continue
        column = events[name]
        if name == "action":
            known = column.isna() | column.isin(ACTIONS)
            if not known.all():
                raise SchemaError(
                    f"{int((~known).sum())} events have an unknown action, first {column[~known].iloc[0]!r}",
                    why=f"an action is one of {', '.join(ACTIONS)}, or null",
                    fix="map the file's names to these",
                    rows=events[~known],
                )
            columns[name] = pd.Categorical(column, categories=list(ACTIONS))
            continue
        if (name in EVENT_SCHEMA or dtype == "int64") and column.isna().any():
            raise SchemaError(
                f"column {name!r} has {int(column.isna().sum())} nulls",
                why="of the columns every event has, only action may be null; an unknown user is -1",
                fix=f"fill {name!r} or drop the rows into a dead-letter file",
                rows=events[column.isna()],
            )
        columns[name] = _cast(column, dtype)
    return events.assign(**columns)


def _cast(column: pd.Series, dtype: str) -> pd.Series:
    """The column in another dtype, if no value changes."""
    try:
        cast = column.astype(dtype)  # type: ignore[call-overload]
        same = column.notna() & (cast == column) if dtype == "int64" else column.isna() | cast.notna()
    except (TypeError, ValueError, OverflowError, pd.errors.OutOfBoundsDatetime) as error:
        raise SchemaError(
            f"column {column.name!r} cannot be read as {dtype}: {error}",
            why=f"its type is {column.dtype}",
            fix="read the file with mlsys.collection.read_log, which names the rows that do not fit",
        ) from None
    if not same.all():
        raise SchemaError(
            f"{int((~same).sum())} values of {column.name!r} are not {dtype}, first {column[~same].iloc[0]!r}",
            why="rounding an id makes it another one",
            fix="mend them, or put the rows into a dead-letter file",
            rows=column[~same],
        )
    return pd.Series(cast)
