"""The noise world: users act at random, so nothing can be learned, and whoever learns something has a leak.

Every impression draws, independently of all else,

    user ~ Uniform(users)   post ~ Uniform(posts)   event time ~ Uniform(days)
    action ~ like .15, dislike .05, view .60, share .05, nothing recorded .15
    device ~ iOS .40, Android .35, Web .20, not recorded .05
    arrival = event time + Exponential(delay)

The best possible AUC for "will this user like this post?" is therefore exactly 0.5.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import ACTIONS, MlsysError, generator

ACTION_SHARES = {"like": 0.15, "dislike": 0.05, "view": 0.60, "share": 0.05, None: 0.15}
DEVICE_SHARES = {"iOS": 0.40, "Android": 0.35, "Web": 0.20, None: 0.05}


class NoiseWorld:
    """A log of dice rolls: users, posts and actions all independent of each other.

    Parameters
    ----------
    users, posts : number of entities; ids run from 1.
    days : length of the log.
    delay_minutes : mean of the delay between an event and its arrival.
    start : first instant, UTC.
    seed : same seed, same rows.

    >>> NoiseWorld(users=10, posts=20, seed=7).events(3)[["event_id", "user_id", "post_id", "action"]]
       event_id  user_id  post_id action
    0         0       ...
    """

    bayes_auc = 0.5
    """AUC of the best possible ranker: 0.5, because actions do not depend on anything."""

    def __init__(
        self,
        *,
        users: int = 1_000,
        posts: int = 5_000,
        days: float = 30.0,
        delay_minutes: float = 10.0,
        start: str = "2026-01-01",
        seed: int = 7,
    ) -> None:
        if min(users, posts, days) <= 0 or delay_minutes < 0:
            raise MlsysError(
                f"a world cannot have users={users}, posts={posts}, days={days}, delay_minutes={delay_minutes}",
                why="an impression needs a user, a post and a time span; a delay cannot be negative",
                fix="pass positive numbers",
            )
        self.users, self.posts, self.days = users, posts, days
        self.delay_minutes, self.start, self.seed = delay_minutes, np.datetime64(start, "us"), seed

    @property
    def end(self) -> np.datetime64:
        """First instant after the log, `datetime64[us]`."""
        return np.datetime64(self.start + np.timedelta64(round(self.days * 86_400e6), "us"))

    def events(self, n: int) -> pd.DataFrame:
        """`n` impressions in the order they happened: `EVENT_SCHEMA` plus `device`."""
        rng = generator(self.seed, n)
        happened = np.sort(rng.integers(0, round(self.days * 86_400e6), n))
        delay = rng.exponential(self.delay_minutes * 60e6, n).astype(np.int64)
        event_time = self.start + happened.astype("timedelta64[us]")
        return pd.DataFrame(
            {
                "event_id": np.arange(n),
                "user_id": rng.integers(1, self.users + 1, n),
                "post_id": rng.integers(1, self.posts + 1, n),
                "action": _draw(rng, ACTION_SHARES, n, categories=ACTIONS),
                "device": _draw(rng, DEVICE_SHARES, n),
                "event_time": event_time,
                "arrival_time": event_time + delay.astype("timedelta64[us]"),
            }
        )


def _draw(
    rng: np.random.Generator,
    shares: dict[str | None, float] | dict[str, float],
    n: int,
    categories: tuple[str, ...] | None = None,
) -> pd.Series:
    """Values by inverse CDF; the last share is null, which is code -1."""
    names = [name for name in shares if name is not None]
    drawn = np.searchsorted(np.cumsum(list(shares.values()))[:-1], rng.random(n), side="right")
    codes = drawn.astype(np.int8)
    codes[drawn == len(names)] = -1
    return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(categories or names))))
