"""What a nightly job sees: likes that are still under way, and a dislike head that saw few of the other rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys import World
from mlsys.training import LinearModel
from mlsys.world import Random

SIZES = {"users": 4_000, "creators": 40, "posts_per_day": 12, "live_days": 3, "candidates": 20, "activity_sd": 0.8,
         "late_share": 0.02, "duplicate_share": 0.0}  # fmt: skip
DAYS, START, HOUR = 8, np.datetime64("2026-03-02", "s"), np.timedelta64(3_600, "s")
POSTS, LONGEST = ("older", "today"), 72
"""Groups of posts; hours after which a like that is not there never comes."""


@dataclass(frozen=True)
class Night:
    """Counts by the whole hour before the cut. Age 1: shown in the last hour. Delay 0: liked in the hour of showing.

    impressions (ages, 2) by age - 1 and group of `POSTS`; likes (ages, 2, LONGEST) also by delay, those that are
    still under way included.
    """

    impressions: np.ndarray
    likes: np.ndarray

    @property
    def age(self) -> np.ndarray:
        """Hours, int64 (ages,)."""
        return np.arange(len(self.impressions)) + 1

    def late(self, wait: int) -> np.ndarray:
        """Which (age, delay) are not there `wait` hours after the cut."""
        return np.asarray(np.arange(LONGEST) >= self.age[:, None] + wait)

    def missing(self, days: int, wait: int) -> float:
        """Percent of the likes of the last `days` days that are not there `wait` hours after the cut."""
        likes = self.likes[: 24 * days].sum(axis=1)
        return 100 * float(likes[self.late(wait)[: 24 * days]].sum() / likes.sum())

    def rates(self, wait: int) -> np.ndarray:
        """Recorded likes per impression of the last 24 hours, in percent, per group."""
        there = (self.likes * ~self.late(wait)[:, None, :])[:24].sum(axis=(0, 2))
        return np.asarray(100 * there / self.impressions[:24].sum(axis=0))

    def overtakes(self) -> int:
        """Hours after the cut from which on today's posts have the higher recorded rate; LONGEST: never."""
        behind = [wait for wait in range(LONGEST) if np.diff(self.rates(wait))[0] <= 0]
        return max(behind, default=-1) + 1

    def tables(self) -> dict[str, pd.DataFrame]:
        """What the job has at the cut."""
        cut = START + len(self.age) * HOUR
        age, group = np.nonzero(self.impressions)
        seen = {"shown": cut - (age + 1) * HOUR, "posts": np.take(POSTS, group)}
        impressions = pd.DataFrame({**seen, "impressions": self.impressions[age, group]})
        there = self.likes * ~self.late(0)[:, None, :]
        age, group, delay = np.nonzero(there)
        liked = {"shown": cut - (age + 1) * HOUR, "arrived": cut - (age + 1 - delay) * HOUR}
        likes = pd.DataFrame({**liked, "posts": np.take(POSTS, group), "likes": there[age, group, delay]})
        order = ["shown", "posts"]
        return {"impressions": impressions.sort_values(order), "likes": likes.sort_values([*order, "arrived"])}


def night(seed: int, cut: int, delay_hours: float) -> tuple[Night, pd.DataFrame]:
    """Eight days and `cut` hours of a feed in random order, whenever its likes arrive; and the log of it."""
    world = World(seed=seed, start=str(START), n_jobs=1, delay_minutes=60 * delay_hours, **SIZES)  # type: ignore[arg-type]
    log = pd.concat([world.step(Random()).log for _ in range(DAYS + 1)], ignore_index=True)
    hours = 24 * DAYS + cut
    log = log[log["event_time"] < START + hours * HOUR].reset_index(drop=True)
    shown, arrived = ((log[name].to_numpy("M8[s]") - START) // HOUR for name in ("event_time", "arrival_time"))
    post = log["post_id"].to_numpy()
    group, like = (world.posts.first_day[post] == DAYS).astype(int), (log["action"] == "like").to_numpy()
    impressions, likes = np.zeros((hours, 2), int), np.zeros((hours, 2, LONGEST), int)
    np.add.at(impressions, (hours - 1 - shown, group), 1)
    delay = np.minimum(arrived - shown, LONGEST - 1)
    np.add.at(likes, (hours - 1 - shown[like], group[like], delay[like]), 1)
    log = log.assign(day=shown // 24, creator=world.posts.creator[post], length=world.posts.length[post])
    return Night(impressions, likes), log.assign(age_days=log["day"] - world.posts.first_day[post])


def estimated(tables: Mapping[str, pd.DataFrame]) -> Night:
    """What the tables alone say: delays of likes that are old enough to be all there, and likes counted up by them."""
    seen, likes = tables["impressions"], tables["likes"]
    cut = seen["shown"].max().to_datetime64() + HOUR
    hours = int((cut - START) // HOUR)
    impressions, there = np.zeros((hours, 2)), np.zeros((hours, 2, LONGEST))
    for table, into, extra in ((seen, impressions, ()), (likes, there, ("arrived",))):
        age = ((cut - table["shown"].to_numpy("M8[s]")) // HOUR - 1).astype(int)
        delay = [((table[name] - table["shown"]) // pd.Timedelta(HOUR)).to_numpy() for name in extra]
        into[(age, (table["posts"] == "today").to_numpy(int), *delay)] = table.iloc[:, -1]
    old = there[LONGEST:].sum(axis=(0, 1))
    come = old / old.sum()
    known = np.minimum(np.cumsum(come)[np.minimum(np.arange(hours), LONGEST - 1)], 1)[:, None]
    day = np.arange(hours)[:, None] // 24
    final = there.sum(axis=2)
    for one in range(-(-LONGEST // 24)):  # A rate per day of showing and group; the delays do the rest.
        mine = day == one
        rate = (final * mine).sum(axis=0) / np.maximum((impressions * known * mine).sum(axis=0), 1e-9)
        final = np.where(mine, impressions * rate, final)
    return Night(impressions, final[:, :, None] * come)


def heads(log: pd.DataFrame, kept: float, rng: np.random.Generator) -> pd.DataFrame:
    """Posts of the day before the cut's: P(like), and P(dislike) of a head that saw a share `kept` of the rows without
    a dislike (`p_dislike`), and of one that saw them all (`whole`)."""
    acted = log[log["action"].notna()]
    acted = acted.assign(liked=acted["action"] == "like", disliked=acted["action"] == "dislike")
    past, rows = acted[acted["day"] < DAYS - 2], acted[(acted["day"] >= DAYS - 2) & (acted["day"] < DAYS)]
    rates = past.groupby("creator")[["liked", "disliked"]].mean().add_prefix("creator_")
    names = ["length", "age_days", *rates.columns]
    rows = rows.join(rates, on="creator")
    some = rows[rows["disliked"] | (rng.random(len(rows)) < kept)]
    posts = rows[rows["day"] == DAYS - 1].drop_duplicates("post_id").sort_values("post_id")
    fits = {"p_like": (rows, "liked"), "p_dislike": (some, "disliked"), "whole": (rows, "disliked")}
    return pd.DataFrame({name: LinearModel.fit(X[names], X[y].to_numpy(float)).predict(posts[names]).round(4)
                         for name, (X, y) in fits.items()})  # fmt: skip


def repaired(p: np.ndarray, kept: float | np.ndarray) -> np.ndarray:
    """What a head that saw a share `kept` of the negatives means: the odds times that share."""
    return np.asarray(p * kept / (p * kept + 1 - p))
