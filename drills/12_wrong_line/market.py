"""A feed built on a spec of seven lines, in a world where all of them hold, or all but one."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mlsys.core import generator
from mlsys.world import Incident, Model, Random, Requests, World
from mlsys.world.incidents import Incidents

SIZES = {"returns": (1.4, 2.2), "slots": (0.25, 0.6), "new_people": (18.0, 40.0), "logging": (0.3, 0.6),
         "time": (0.22, 0.34), "history": (0.6, 0.9), "interests": (0.95, 1.0)}  # fmt: skip
"""By line, how wrong it may be: return_strength; attention; who joins a day; share of iOS actions lost; share of the
candidates scored in the evening; share of users without a past; how far interests turn."""

LINES, AT_LAUNCH = tuple(SIZES), ("returns", "slots")
"""The lines that can be wrong; those that are wrong from day 1 if they are, the others hold until some day."""

DAYS, WARM_UP, USERS, SEATS, KEPT = 11, 6, 420, 900, 0.93
"""Days of the tables, days of random order before, users, users there may ever be; what counters keep of a day."""

EVENING = (12, 20)
"""Hours, UTC."""

COLUMNS = {"sessions": 0, "accounts": 0, "likes": 2, "dislikes": 2, "null_ios": 1, "null_android": 1, "top": 1,
           "low": 1, "evening": 2, "daytime": 2, "no_history": 1, "known": 2, "favourite": 1, "other": 1}  # fmt: skip
"""Columns of the table, with their decimals."""

LIKE, DISLIKE, NULL = 0, 1, -1


class Market:
    """A world and the system that serves it: counters of the past, by post, creator, and user and topic."""

    def __init__(self, seed: int) -> None:
        self.world = World(
            seed=seed,
            users=USERS,
            n_jobs=1,
            attention=0.0,
            return_strength=0.0,
            satisfaction_rate=0.08,
            new_users_per_day=1.0,
            duplicate_share=0.0,
            sessions_per_day=1.0,
            activity_sd=0.7,
        )
        self.wrong, self.size, self.first = "", 0.0, DAYS + 2
        p = self.world.p
        # Likes and rows, by user and topic, by post, by creator.
        self.user, self.post = np.zeros((SEATS, p.topics, 2)), np.zeros((p.posts_per_day * 30, 2))
        self.creator = np.zeros((p.creators, 2))
        self.rows: list[dict[str, float]] = []
        self.given: list[float] = []
        for _ in range(WARM_UP):
            self._learn(self.world.step(Random()).log)

    @property
    def day(self) -> int:
        """The coming day, from 1."""
        return self.world.day - WARM_UP + 1

    def copy(self, *, dice: int = 0, wrong: str = "", size: float = 0.0, first: int = 1) -> Market:
        """The same market with other dice, or with a line that does not hold from day `first` on.

        size : as in `SIZES`; 0: the middle of what may be.
        """
        copy = deepcopy(self)
        copy.world.seed += dice
        copy.wrong, copy.first = wrong, first
        copy.size = size or float(np.mean(SIZES.get(wrong, (0, 0))))
        changed = {"returns": "return_strength", "slots": "attention"}
        if wrong in changed:
            change: dict[str, Any] = {changed[wrong]: copy.size}
            copy.world.p = replace(copy.world.p, **change)
        elif wrong in ("logging", "interests"):
            kind = "null_spike" if wrong == "logging" else "interest_shift"
            copy.world.incidents = Incidents([Incident(kind, first + WARM_UP - 1, 999, copy.size)])
        return copy

    def run(self, until: int = DAYS) -> pd.DataFrame:
        """The table after the day `until`."""
        while self.day <= until:
            self._step()
        table = pd.DataFrame(self.rows, columns=list(COLUMNS)).round(COLUMNS) + 0.0
        return table.set_index(pd.RangeIndex(1, len(table) + 1, name="day"))

    def _step(self) -> None:
        broken = self.wrong if self.day >= self.first else ""
        if self.wrong == "new_people" and self.day >= self.first - 1:  # They join in the night before.
            self.world.p = replace(self.world.p, new_users_per_day=self.size)
        if broken == "history":
            self.user[generator(self.world.seed, 99).random(SEATS) < self.size] = 0
        catalogue, accounts = self.world.catalogue(), len(self.world.users)
        scores, best = self._scores(catalogue["topic"].to_numpy(), catalogue["creator_id"].to_numpy())
        scored = round((self.size if broken == "time" else 1.0) * self.world.p.candidates)
        known = self.user[..., 1].sum(axis=1) > 0

        def predict(requests: Requests) -> np.ndarray:
            out = scores(requests.user_id[:, None], requests.post_id)
            out[np.ix_(_evening(requests.time), np.arange(scored, out.shape[1]))] -= 100
            return out

        found = self.world.step(Model("served", predict), explore=0.05)
        log = found.log
        action, slot = log["action"].cat.codes.to_numpy(), log["position"].to_numpy()
        user, post = log["user_id"].to_numpy(), log["post_id"].to_numpy()
        liked, null, late = (
            action == LIKE,
            action == NULL,
            _evening(log["event_time"].to_numpy().astype("M8[us]").astype(np.int64)),
        )
        device = log["device"].to_numpy()
        favourite = best[user] == catalogue["topic"].to_numpy()[post]
        each, count = self.world.p.slots, found.sessions
        self.rows.append({
            "sessions": count, "accounts": accounts,
            "likes": liked.sum() / count, "dislikes": (action == DISLIKE).sum() / count,
            "null_ios": 100 * null[device == "iOS"].mean(), "null_android": 100 * null[device == "Android"].mean(),
            "top": 100 * liked[slot <= 3].mean(), "low": 100 * liked[slot >= 8].mean(),
            "evening": each * liked[late].mean(), "daytime": each * liked[~late].mean(),
            "no_history": 100 * (1 - known[user].mean()), "known": each * liked[known[user]].mean(),
            "favourite": 100 * liked[known[user] & favourite].mean(),
            "other": 100 * liked[known[user] & ~favourite].mean(),
        })  # fmt: skip
        self.given.append(float(found.value["like"].iloc[0] * count))
        self._learn(log)

    def _scores(
        self, topic: np.ndarray, creator: np.ndarray
    ) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], np.ndarray]:
        """Scores of users and posts, broadcast: the post's like rate, shrunk to its creator's, and what the user likes
        of its topic above the user's mean. And every user's favourite topic."""
        mean = self.post[:, 0].sum() / self.post[:, 1].sum()
        by_creator = (self.creator[:, 0] + 20 * mean) / (self.creator[:, 1] + 20)
        by_post = (self.post[: len(topic), 0] + 15 * by_creator[creator]) / (self.post[: len(topic), 1] + 15)
        own = (self.user[..., 0].sum(axis=1) / np.maximum(self.user[..., 1].sum(axis=1), 1))[:, None]
        lift = (self.user[..., 0] + 4 * own) / (self.user[..., 1] + 4) - own
        return lambda user, post: np.asarray(by_post[post] + lift[user, topic[post]]), lift.argmax(axis=1)

    def _learn(self, log: pd.DataFrame) -> None:
        """Count what has an action; what was counted before fades."""
        catalogue, topics = self.world.catalogue(), self.user.shape[1]
        action = log["action"].cat.codes.to_numpy()
        at = action != NULL
        user, post = log["user_id"].to_numpy()[at], log["post_id"].to_numpy()[at]
        places = ((self.user.reshape(-1, 2), user * topics + catalogue["topic"].to_numpy()[post]), (self.post, post),
                  (self.creator, catalogue["creator_id"].to_numpy()[post]))  # fmt: skip
        for i, weight in enumerate(((action[at] == LIKE).astype(float), np.ones(at.sum()))):
            for table, place in places:
                table[:, i] = KEPT * table[:, i] + np.bincount(place, weight, minlength=len(table))


def _evening(time: np.ndarray) -> np.ndarray:
    """Whether a time, int64 microseconds, lies in the evening."""
    hour = time // 3_600_000_000 % 24
    return np.asarray((hour >= EVENING[0]) & (hour < EVENING[1]))
