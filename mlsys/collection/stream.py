"""From events that come at least once, late or early, to events that go out exactly once, in bounded memory.

The *watermark* is a guess: everything that happened before it has come. It is the newest event_time seen, minus a
bound on how much out of order events come. An event behind the watermark by more than the *allowed lateness* is a dead
letter. This is what makes memory bounded: an event id may be forgotten once its event is that far behind, because a
repeat of it is a dead letter anyway.

The state is in memory. To go on after a crash, store this object (it pickles) in one transaction with what went out
and with the offsets of the consumer: if any one of the three is older than the others, events go out twice or never.

Source of watermark and allowed lateness: Akidau et al., The Dataflow Model, VLDB 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from mlsys.core import conform, microseconds

_NOTHING = np.iinfo(np.int64).min // 2  # Microseconds, before all events; half, so that subtracting does not overflow.


@dataclass(frozen=True)
class Taken:
    """What became of a batch; rows in = events + duplicates + dead letters, always.

    `dead_letters` : the rows, with `reason` (text) and `late_by` (timedelta; null if lateness was not the reason).
    """

    events: pd.DataFrame
    dead_letters: pd.DataFrame
    duplicates: int


class ExactlyOnce:
    """Hands out each event id once. How the stream is cut into batches does not matter.

    bound : how far behind the newest event the watermark is.
    allowed_lateness : how far behind the watermark an event may be and still go out.

    A repeat must have the event_time of its original, as producers that send again do.

    >>> from mlsys.world.noise import NoiseWorld
    >>> events = NoiseWorld(seed=13, days=1).events(100)
    >>> stream = ExactlyOnce(bound=timedelta(hours=24), allowed_lateness=timedelta(hours=1))
    >>> taken = [stream.take(batch) for batch in (events[:60], events[40:])]
    >>> [(len(t.events), t.duplicates, len(t.dead_letters)) for t in taken]
    [(60, 0, 0), (40, 20, 0)]
    """

    def __init__(self, *, bound: timedelta, allowed_lateness: timedelta) -> None:
        if min(bound, allowed_lateness) < timedelta(0):
            raise ValueError(f"bound {bound} and allowed lateness {allowed_lateness} must not be negative")
        self.bound, self.allowed_lateness = bound, allowed_lateness
        self.rows_in = self.rows_out = self.duplicates = self.dead = 0
        self._newest = _NOTHING
        self._ids, self._times = np.zeros((2, 0), np.int64)

    @property
    def watermark(self) -> np.datetime64:
        """Newest event_time seen, minus the bound; `datetime64[us]`, null before the first event."""
        now = self._newest - self.bound // timedelta(microseconds=1)
        return np.datetime64("NaT" if self._newest == _NOTHING else now, "us")

    @property
    def remembered(self) -> int:
        """Event ids held in memory."""
        return len(self._ids)

    def take(self, events: pd.DataFrame) -> Taken:
        """Judge a batch (`EVENT_SCHEMA`), row after row in its order; raises `SchemaError` if it does not conform."""
        events = conform(events)
        micro = timedelta(microseconds=1)
        bound, allowed = self.bound // micro, self.allowed_lateness // micro
        ids, times = events["event_id"].to_numpy(), microseconds(events["event_time"])
        # One phone whose clock is a year ahead would make everything after it late.
        ahead = times > microseconds(events["arrival_time"])
        newest = np.maximum.accumulate(np.append(self._newest, np.where(ahead, self._newest, times)))
        late_by = newest[1:] - bound - times
        late = ~ahead & (late_by > allowed)

        good = np.flatnonzero(~ahead & ~late)
        again = pd.Series(ids[good]).duplicated().to_numpy() | np.isin(ids[good], self._ids)
        out = good[~again]

        self._newest = int(newest[-1])
        self._ids, self._times = np.append(self._ids, ids[out]), np.append(self._times, times[out])
        keep = self._times >= self._newest - bound - allowed  # Exactly those whose repeat would not be late.
        self._ids, self._times = self._ids[keep], self._times[keep]

        dead = np.flatnonzero(ahead | late)
        limit = f"event_time is more than the allowed {self.allowed_lateness} behind the watermark"
        letters = events.iloc[dead].assign(
            reason=np.where(ahead[dead], "event_time is after arrival_time", limit),
            late_by=np.where(ahead[dead], np.timedelta64("NaT", "us"), late_by[dead].astype("timedelta64[us]")),
        )
        self.rows_in, self.rows_out = self.rows_in + len(events), self.rows_out + len(out)
        self.duplicates, self.dead = self.duplicates + int(again.sum()), self.dead + len(dead)
        return Taken(events.iloc[out], letters, int(again.sum()))
