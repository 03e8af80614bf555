"""Labels, and a split that respects time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator, microseconds


class SplitRefused(MlsysError):
    """A split that would let a model see what it will be asked about."""


@dataclass(frozen=True)
class Split:
    """Row masks (n,), bool: `train`, `test`, and the `gap` between them that neither may use. `cut`: NaT if random."""

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


def random_split(events: pd.DataFrame, test_share: float = 0.3, *, seed: int = 0, force: bool = False) -> Split:
    """Rows at random, which for a log is refused: `force=True` shows what it would claim.

    >>> log = pd.DataFrame({"event_time": pd.date_range("2026-01-01", periods=10, unit="us")})
    >>> random_split(log)
    Traceback (most recent call last):
    mlsys.training.datasets.SplitRefused: a random split of a log from 2026-01-01 to 2026-01-10
      why: the model would train on days after those on which it is tested, and meet tomorrow's users without a past
      do:  time_split(events); or force=True, to compare what both claim
    """
    if not 0 < test_share < 1 or len(events) < 2:
        return time_split(events, test_share)  # Says what is wrong.
    first, last = events["event_time"].min(), events["event_time"].max()
    if not force and first < last:
        raise SplitRefused(
            f"a random split of a log from {first:%Y-%m-%d} to {last:%Y-%m-%d}",
            why="the model would train on days after those on which it is tested, and meet tomorrow's users without "
            "a past",
            fix="time_split(events); or force=True, to compare what both claim",
        )
    test = generator(seed, 51).random(len(events)) < test_share
    return Split(np.datetime64("NaT"), ~test, test)
