"""The same features, kept up to date batch by batch: what a stream processor does between two materializations.

State is the events that are still alive: those of the longest window, or all of them where a feature has none. A batch
makes some entities *dirty*, by an event that arrived or one that left its window; only theirs are summed up again. So
an update costs what the dirty entities hold, and not what the store holds.

Exact windows keep their events. Where memory is dearer than exactness, streaming systems keep sums per tile of time
and let a window move by whole tiles (Chronon: https://chronon.ai/Tiled_Architecture.html).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import UNKNOWN_ID, MlsysError, microseconds
from mlsys.features.definitions import Aggregation, FeatureView
from mlsys.features.offline import HOUR
from mlsys.features.timeline import NEVER


class StreamingView:
    """One `FeatureView`, fed in order of arrival.

    >>> from mlsys.features import Aggregation, Entity, FeatureView
    >>> from mlsys.world.noise import NoiseWorld
    >>> view = StreamingView(FeatureView("user", Entity("user", "user_id"), (Aggregation("events", "count"),)))
    >>> events = NoiseWorld(users=5).events(100)
    >>> len(view.update(events, np.datetime64("2027-01-01"))), int(view.values(view.ids)[0].sum())
    (5, 100)
    """

    def __init__(self, view: FeatureView) -> None:
        self.view = view
        self.now = NEVER
        windows = [a.window for a in view.aggregations]
        self._reach = None if None in windows else max(w for w in windows if w is not None)
        self._alive = pd.DataFrame()
        self.ids = np.zeros(0, np.int64)
        """Entities that had an event, ascending."""
        self._newest = np.zeros(0, np.int64)
        self._state = np.zeros((0, len(windows)))  # For `time_since`, when that event happened.

    def update(self, events: pd.DataFrame, now: np.datetime64) -> np.ndarray:
        """Take what arrived before `now`, no event_id twice, and move there. Returns the entities whose vectors
        changed, int64.

        Raises `MlsysError` for events that have not arrived by `now`, or that arrived before the last update.
        """
        key, stop, arrived = self.view.entity.join_key, int(microseconds(now)), microseconds(events["arrival_time"])
        wrong = (arrived >= stop) | (arrived < self.now)
        if stop < self.now or wrong.any():
            raise MlsysError(
                f"view {self.view.name!r} stands at {np.datetime64(self.now, 'us')} and cannot take these events",
                why=f"from there to {now} it takes what arrived in between",
                fix="hand in every batch once, in order of arrival; after a gap, build the view anew",
                rows=events[wrong],
            )
        batch = events[(events[key] != UNKNOWN_ID).to_numpy()]
        dirty = np.union1d(self._leaving(stop), batch[key].to_numpy(np.int64))
        self._alive = pd.concat([self._alive, batch], ignore_index=True) if len(self._alive) else batch
        if self._reach is not None:
            self._alive = self._alive[microseconds(self._alive["event_time"]) >= stop - self._reach]
        self.now = stop
        self._enter(dirty, batch)
        rows = self._alive[np.isin(self._alive[key].to_numpy(), dirty)]
        slot = np.searchsorted(self.ids, rows[key].to_numpy(np.int64))
        at = np.searchsorted(self.ids, dirty)
        for i, a in enumerate(self.view.aggregations):
            self._state[at, i] = self._summary(a, rows, slot)[at]
        return dirty

    def values(self, entity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `PointInTimeView.values`, at the time of the last update."""
        out = np.full((len(entity), len(self.view.aggregations)), np.nan, np.float32)
        newest = np.full(len(entity), NEVER, np.int64)
        if len(self.ids):
            slot = np.minimum(np.searchsorted(self.ids, entity), len(self.ids) - 1)
            found = self.ids[slot] == entity
            newest[found] = self._newest[slot[found]]
            since = np.array([a.operation == "time_since" for a in self.view.aggregations])
            state = self._state[slot[found]]
            out[found] = np.where(since, (self.now - state) / HOUR, state)
        return out, newest

    def _leaving(self, stop: int) -> np.ndarray:
        """Entities of which an event leaves some window between now and `stop`."""
        if not len(self._alive):
            return np.zeros(0, np.int64)
        happened, left = microseconds(self._alive["event_time"]), np.zeros(len(self._alive), bool)
        for window in {a.window for a in self.view.aggregations if a.window is not None}:
            left |= (happened >= self.now - window) & (happened < stop - window)
        return self._alive.loc[left, self.view.entity.join_key].to_numpy(np.int64)

    def _enter(self, dirty: np.ndarray, batch: pd.DataFrame) -> None:
        """Make room for new entities, and note when each entity's newest event arrived."""
        ids = np.union1d(self.ids, dirty)
        newest, state = np.full(len(ids), NEVER, np.int64), np.full((len(ids), self._state.shape[1]), np.nan)
        slot = np.searchsorted(ids, self.ids)
        newest[slot], state[slot] = self._newest, self._state
        at = np.searchsorted(ids, batch[self.view.entity.join_key].to_numpy(np.int64))
        np.maximum.at(newest, at, microseconds(batch["arrival_time"]))
        self.ids, self._newest, self._state = ids, newest, state

    def _summary(self, a: Aggregation, rows: pd.DataFrame, slot: np.ndarray) -> np.ndarray:
        """One aggregation over the alive rows, by slot; float64 (entities,)."""
        value, use = a.inputs(rows)
        happened = microseconds(rows["event_time"])
        if a.window is not None:
            use = use & (happened >= self.now - a.window)
        slot, value, n = slot[use], value[use], len(self.ids)
        count = np.bincount(slot, minlength=n).astype(np.float64)
        if a.operation in ("count", "sum", "mean"):
            total = count if a.operation == "count" else np.bincount(slot, weights=value, minlength=n)
            return np.divide(total, count, out=np.full(n, np.nan), where=count > 0) if a.operation == "mean" else total
        if a.operation == "distinct":
            pairs = np.unique(np.stack([slot, value]), axis=1)[0].astype(np.int64)
            return np.bincount(pairs, minlength=n).astype(np.float64)
        if a.operation in ("min", "max"):
            out, better = np.full(n, np.nan), np.fmin if a.operation == "min" else np.fmax
            better.at(out, slot, value)
            return out
        order = np.lexsort((rows["event_id"][use], microseconds(rows["arrival_time"])[use], happened[use]))
        out = np.full(n, np.nan)
        out[slot[order]] = value[order] if a.operation == "last" else happened[use][order]
        return out
