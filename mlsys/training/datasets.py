"""Labels, and a split that respects time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, microseconds


@dataclass(frozen=True)
class Split:
    """Row masks (n,), bool: `train`, `test`, and the `gap` between them that neither may use."""

    cut: np.datetime64
    train: np.ndarray
    test: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Rows that happened before the cut, whose label arrived after it."""
        return np.asarray(~self.train & ~self.test)


def label(events: pd.DataFrame) -> np.ndarray:
    """1 where the user liked the post, else 0; float64 (n,). Rows without an action have no label: filter first."""
    if events["action"].isna().any():
        raise MlsysError(
            f"{int(events['action'].isna().sum())} rows have no action",
            why="a null is not a dislike: nothing was recorded",
            fix='train on events[events["action"].notna()]',
            rows=events[events["action"].isna()],
        )
    return (events["action"] == "like").to_numpy(dtype=np.float64)


def time_split(events: pd.DataFrame, test_share: float = 0.3) -> Split:
    """Train on what had *arrived* before the cut, test on what happened after it.

    A label that was still under way at the cut belongs to neither side: that is the gap for label delay.
    `test_share` is the share of rows, by event time, that come after the cut.
    """
    if not 0 < test_share < 1 or len(events) < 2:
        raise MlsysError(
            f"cannot split {len(events)} rows with test_share={test_share}",
            why="both sides need rows",
            fix="pass a share between 0 and 1 and at least two rows",
        )
    happened, arrived = microseconds(events["event_time"]), microseconds(events["arrival_time"])
    cut = np.sort(happened)[int(len(events) * (1 - test_share))]
    return Split(np.datetime64(int(cut), "us"), arrived < cut, happened >= cut)
