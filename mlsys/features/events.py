"""The offline store: every event once, in memory or in a dataset that outlives the process."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, conform
from mlsys.storage import Dataset
from mlsys.verification import unique


class EventTable:
    """Events in order of their delivery. An event_id counts once; the first delivery stays.

    `dataset`: where they are kept, a version per append, so that a crash leaves the events before or after it. Other
    processes may read and write the same one; `refresh` sees what they wrote.
    """

    def __init__(self, dataset: Dataset | None = None) -> None:
        self._dataset, self._number = dataset, 0
        self._frames: list[pd.DataFrame] = []
        self._seen = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return sum(map(len, self._frames))

    def refresh(self) -> bool:
        """Read what others wrote since the last time; whether there was anything."""
        newest = self._dataset.versions[-1:] if self._dataset is not None else ()
        if self._dataset is None or not newest or newest[0] == self._number:
            return False
        self._frames, self._number = [conform(self._dataset.read(newest[0]))], newest[0]
        self._seen = np.union1d(self._seen, self._frames[0]["event_id"].to_numpy())
        return True

    def append(self, events: pd.DataFrame) -> pd.DataFrame:
        """Take in events (`EVENT_SCHEMA`); returns those that are new. In a dataset, they are on the disk by then."""
        self.refresh()
        events = conform(events)
        ids = events["event_id"].to_numpy()
        again = unique("event_id").fails(events) if len(events) else np.zeros(0, bool)
        if len(self._seen) and len(ids) and ids.min() <= self._seen[-1]:
            again = again | np.isin(ids, self._seen)
        if again.any():
            events, ids = events[~again], ids[~again]
        if self._dataset is not None and len(events):
            before = self._dataset.version(self._number) if self._number else None
            self._number = self._dataset.write(events, after=before).number
        self._seen = np.sort(np.append(self._seen, ids), kind="stable")
        self._frames.append(events)
        return events

    def expire(self, before: np.datetime64) -> None:
        """Forget events that happened before an instant. Earlier versions of a dataset keep them until a vacuum.

        Their ids are remembered as long as the process lives, so a repeat that comes later than that is a new event.
        """
        self.refresh()
        self._frames = [events[events["event_time"] >= before] for events in self._frames]
        if self._dataset is not None and self._number:
            after = self._dataset.version(self._number)
            note = f"expired before {before}"
            self._number = self._dataset.write(self.frame(), mode="overwrite", after=after, note=note).number

    def frame(self) -> pd.DataFrame:
        """All events, in one frame."""
        if not self._frames:
            raise MlsysError(
                "the store holds no events",
                why="features are computed from events",
                fix="call ingest(events) first",
            )
        if len(self._frames) > 1:
            self._frames = [pd.concat(self._frames, ignore_index=True)]
        return self._frames[0]
