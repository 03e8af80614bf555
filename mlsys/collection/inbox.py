"""Events on their way: delivered at least once, late or early, and handed out exactly once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import EVENT_SCHEMA


class Inbox:
    """Holds events until the clock reaches their arrival.

    `repeats` counts deliveries of an event that had been handed out before.

    >>> from mlsys.world.noise import NoiseWorld
    >>> events, inbox = NoiseWorld(seed=13, days=1).events(100), Inbox()
    >>> inbox.deliver(pd.concat([events, events.head(3)]))
    >>> len(inbox.poll(np.datetime64("2026-02-01"))), inbox.repeats, len(inbox)
    (100, 3, 0)
    """

    def __init__(self) -> None:
        self._waiting: list[pd.DataFrame] = []
        self._seen = np.zeros(0, np.int64)
        self.repeats = 0

    def __len__(self) -> int:
        """Events that have not arrived yet."""
        return sum(map(len, self._waiting))

    def deliver(self, events: pd.DataFrame) -> None:
        """Put events on their way (`EVENT_SCHEMA`); repeats are welcome."""
        self._waiting.append(events)

    def poll(self, now: np.datetime64) -> pd.DataFrame:
        """What arrived before `now` and was not handed out yet, in order of arrival."""
        if not self._waiting:
            return pd.DataFrame(columns=list(EVENT_SCHEMA)).astype(EVENT_SCHEMA)
        events = pd.concat(self._waiting, ignore_index=True)
        arrived = (events["arrival_time"] < now).to_numpy()
        self._waiting = [events[~arrived]]
        batch = events[arrived].sort_values("arrival_time", kind="stable")
        again = batch["event_id"].duplicated().to_numpy() | np.isin(batch["event_id"].to_numpy(), self._seen)
        self.repeats += int(again.sum())
        batch = batch[~again].reset_index(drop=True)
        self._seen = np.append(self._seen, batch["event_id"].to_numpy())
        return batch
