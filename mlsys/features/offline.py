"""Point-in-time aggregates: what did we know about this entity at that instant?

An event counts for a question at time t when it

- had **arrived** before t: `arrival_time < t`, strictly, so a row never sees itself or its twin of the same instant;
- is recent enough: `event_time >= t - window`.

So every event is alive from its arrival to `event_time + window`, and a feature is a summary of what is alive at t.
An event that took as long to arrive as the window is long never was. With that, two clocks are no harder than one:

- sums: what has entered minus what has left, two prefix sums; a mean is two sums
- `distinct`: the lives of equal values are merged first, then it is a count
- `last`, `time_since`: the newest event among those that arrived, if it is still alive
- `min`, `max`: a staircase (`mlsys.features.timeline`)

Precision: sums are float64 over all entities, so counts are exact and an amount is good to about 1e-16 of the grand
total; features leave as float32, exact for integers up to 2^24.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import UNKNOWN_ID, microseconds
from mlsys.features.definitions import Aggregation, FeatureView
from mlsys.features.timeline import NEVER, Staircase, Timeline, order_by

HOUR = 3.6e9


class PointInTimeView:
    """One `FeatureView` over a fixed set of events (no event_id twice); answers (entity, t) for all its features."""

    def __init__(self, view: FeatureView, events: pd.DataFrame) -> None:
        self.view = view
        events = events[events[view.entity.join_key] != UNKNOWN_ID]
        self._entity = events[view.entity.join_key].to_numpy(np.int64)
        self._happened, self._arrived = microseconds(events["event_time"]), microseconds(events["arrival_time"])
        self._event_id = events["event_id"].to_numpy(np.int64)
        inputs = [a.inputs(events) for a in view.aggregations]
        moves = [self._moves(a, *found) for a, found in zip(view.aggregations, inputs, strict=True)]
        self._at = np.cumsum([0, *(entering.shape[1] for entering, _ in moves)])
        entering, leaving = (np.hstack(side) for side in zip(*moves, strict=True))
        self._by_arrival = Timeline(self._entity, self._arrived, entering)
        windows = {a.window for a in view.aggregations if a.window is not None}
        self._by_event = {w: Timeline(self._entity, self._happened, leaving) for w in sorted(windows)}
        self._newest: dict[bytes, np.ndarray] = {}
        self._last: dict[tuple[bytes, int | None], list[int]] = {}
        self._since: dict[int, bytes] = {}
        self._stairs: dict[str, Staircase] = {}
        for i, (a, (value, use)) in enumerate(zip(view.aggregations, inputs, strict=True)):
            if a.operation in ("last", "time_since"):  # Features that the same rows take part in share their newest.
                rows = np.packbits(use).tobytes()
                if rows not in self._newest:
                    self._newest[rows] = self._newest_by_arrival(use)
                if a.operation == "last":
                    self._last.setdefault((rows, a.window), []).append(i)
                else:
                    self._since[i] = rows
            elif a.operation in ("min", "max"):
                self._stairs[a.name] = self._staircase(a, value, use)
        # A matrix for values that are read together; its last row, which is -1 too, is that of no event.
        self._packed = {
            key: np.vstack(
                [np.stack([inputs[i][0] for i in at], axis=1), np.full((1, len(at)), np.nan)], dtype=np.float32
            )
            for key, at in self._last.items()
        }

    @property
    def ids(self) -> np.ndarray:
        """Entities with at least one event, int64, ascending."""
        return np.asarray(self._by_arrival.ids)

    def values(self, entity: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features as known just before each instant.

        Returns float32 values (n, features), NaN where undefined, and the arrival time in int64 microseconds of the
        newest event known by then (n,), NEVER where nothing was known: those rows are NaN throughout.
        """
        out = np.full((len(entity), len(self.view.aggregations)), np.nan, np.float32)
        if not len(self.ids):
            return out, np.full(len(entity), NEVER, np.int64)
        start, stop = self._by_arrival.before(entity, time)
        known, newest = stop > start, self._by_arrival.time[stop - 1]
        entered = self._by_arrival.total(start, stop)
        left = {w: line.total(*line.before(entity, time - w)) for w, line in self._by_event.items()}
        self._read_newest(out, stop, time)
        for i, a in enumerate(self.view.aggregations):
            alive = entered[:, self._at[i] : self._at[i + 1]]
            if a.window is not None:
                alive = alive - left[a.window][:, self._at[i] : self._at[i + 1]]
            if a.operation == "mean":
                out[:, i] = np.divide(alive[:, 0], alive[:, 1], out=out[:, i].copy(), where=alive[:, 1] > 0.5)
            elif a.name in self._stairs:
                out[:, i] = self._stairs[a.name].at(entity, time) * (1 if a.operation == "max" else -1)
            elif a.operation not in ("last", "time_since"):
                out[:, i] = alive[:, 0]
        if not known.all():
            out[~known], newest[~known] = np.nan, NEVER
        return out, newest

    def known(self, entity: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The values alone, float32 (n, features), without those that had outlived the view's TTL."""
        values, newest = self.values(entity, time)
        if self.view.ttl_days is not None:
            values[time - newest > self.view.ttl_days * 86_400e6] = np.nan
        return values

    def changed(self, since: int, until: int) -> np.ndarray:
        """Entities whose features differ between two instants, int64: an event arrived, one left a window, or time
        itself is a feature. Instants are int64 microseconds, `since` before `until`."""
        if any(a.operation == "time_since" for a in self.view.aggregations):
            return self.ids[self.values(self.ids, np.full(len(self.ids), until))[1] > NEVER]
        dirty = (self._arrived >= since) & (self._arrived < until)
        for window in self._by_event:
            left = (self._happened >= since - window) & (self._happened < until - window)
            dirty |= left & (self._arrived < until)
        return np.unique(self._entity[dirty])

    def _moves(self, a: Aggregation, value: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What every event adds when it arrives, and takes away when it leaves; float64 (n, sums)."""
        if a.window is not None:
            use = use & (self._arrived - self._happened < a.window)
        if a.operation == "distinct":
            return self._lives(a, value, use)
        weight = use.astype(np.float64)
        parts = {"count": [weight], "sum": [value * weight], "mean": [value * weight, weight]}
        if a.operation not in parts:
            return np.empty((len(use), 0)), np.empty((len(use), 0))
        columns = np.stack(parts[a.operation], axis=1)
        return columns, columns

    def _lives(self, a: Aggregation, value: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lives of the same (entity, value) that touch are one: 1 where it begins, and 1 where it ends."""
        rows = np.flatnonzero(use)
        rows = rows[order_by(self._arrived[rows], value[rows], self._entity[rows])]
        end = self._happened[rows] + (a.window or 2**61)
        new = np.append(True, (np.diff(self._entity[rows]) != 0) | (np.diff(value[rows]) != 0))[: len(rows)]
        furthest = pd.Series(end).groupby(np.cumsum(new)).cummax().to_numpy()
        new[1:] |= self._arrived[rows][1:] > furthest[:-1]
        life = np.cumsum(new)
        by_end = order_by(end, life)
        begins, ends = np.zeros((len(use), 1)), np.zeros((len(use), 1))
        begins[rows[new]] = 1
        ends[rows[by_end[np.append(np.diff(life) != 0, True)[: len(rows)]]]] = 1
        return begins, ends

    def _newest_by_arrival(self, use: np.ndarray) -> np.ndarray:
        """For every position in order of arrival: the row of the newest event so far that takes part, or -1."""
        by_age = order_by(self._event_id, self._arrived, self._happened)
        rank = np.empty(len(use), np.int64)
        rank[by_age] = np.arange(1, len(use) + 1)
        rank[~use] = 0
        base = self._by_arrival.code * (len(use) + 1)  # The next entity's ranks are above all of this one's.
        best = np.maximum.accumulate(base + rank[self._by_arrival.order]) - base
        return np.where(best > 0, by_age[best - 1], -1)

    def _read_newest(self, out: np.ndarray, stop: np.ndarray, time: np.ndarray) -> None:
        """Into `out`, what the newest events say: last values, and hours since."""
        newest_row = {rows: line[stop - 1] for rows, line in self._newest.items()}
        for (rows, window), at in self._last.items():
            row = self._alive(newest_row[rows], window, time)
            out[:, at] = self._packed[rows, window].take(row, axis=0, mode="wrap")
        for i, rows in self._since.items():
            row = self._alive(newest_row[rows], self.view.aggregations[i].window, time)
            out[:, i] = np.where(row >= 0, (time - self._happened[row]) / HOUR, np.nan)

    def _alive(self, row: np.ndarray, window: int | None, time: np.ndarray) -> np.ndarray:
        """Rows of the newest events known at each instant, -1 for those that have left the window."""
        return row if window is None else np.where(self._happened[row] >= time - window, row, -1)

    def _staircase(self, a: Aggregation, value: np.ndarray, use: np.ndarray) -> Staircase:
        """Of the negated values for a minimum."""
        if a.window is not None:
            use = use & (self._arrived - self._happened < a.window)
        end = None if a.window is None else (self._happened + a.window)[use]
        sign = 1.0 if a.operation == "max" else -1.0
        return Staircase(self._entity[use], self._arrived[use], end, sign * value[use])
