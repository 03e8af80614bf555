"""Who decides what is seen: rankers score the candidates of many sessions at once.

A ranker gets a `Requests`: ids, device, time, nothing latent. Only the `Oracle` is handed the truth. The world
shows the best `slots` candidates, best first; ties go to the candidate that the day's shuffle put first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.world.parameters import RESPONSES

VALUE_WEIGHTS = {"like": 1.0, "share": 1.0, "dislike": -3.0}
"""A value function for a feed whose users should come back: a dislike costs three likes."""


@dataclass(frozen=True)
class Requests:
    """S sessions with C candidates each.

    user_id int64 (S,) · device int8 (S,), 3 is not recorded · time int64 microseconds since 1970 (S,) ·
    post_id int64 (S, C).
    """

    user_id: np.ndarray
    device: np.ndarray
    time: np.ndarray
    post_id: np.ndarray


class Ranker(Protocol):
    """Anything with a name that scores candidates."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        ...

    def scores(self, requests: Requests) -> np.ndarray:
        """float64 (S, C), higher is shown first."""
        ...


@dataclass(frozen=True)
class Random:
    """Every order equally likely."""

    name: str = "random"

    def scores(self, requests: Requests) -> np.ndarray:
        """All equal; the world shuffles the sessions of this ranker, as it does when it explores."""
        return np.zeros(requests.post_id.shape)


@dataclass
class Popularity:
    """Smoothed like rate per post: (likes + strength · mean) / (impressions + strength).

    `smoothed=False`: the raw number of likes, which makes the rich get richer.
    """

    name: str = "popularity"
    smoothed: bool = True
    strength: float = 20.0
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    likes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def observe(self, log: pd.DataFrame) -> None:
        """Count the impressions and likes of a log (`post_id`, `action`)."""
        post, liked = log["post_id"].to_numpy(), (log["action"] == "like").to_numpy()
        n = max(len(self.shown), int(post.max(initial=-1)) + 1)
        self.shown = _grown(self.shown, n) + np.bincount(post, minlength=n)
        self.likes = _grown(self.likes, n) + np.bincount(post[liked], minlength=n)

    def scores(self, requests: Requests) -> np.ndarray:
        """The post's rate, or its likes; a post never shown has the mean rate, or 0 likes."""
        if not self.smoothed:
            return _look_up(self.likes.astype(np.float64), requests.post_id, 0.0)
        mean = self.likes.sum() / max(self.shown.sum(), 1)
        rate = (self.likes + self.strength * mean) / (self.shown + self.strength)
        return _look_up(rate, requests.post_id, mean)


@dataclass(frozen=True)
class TableRanker:
    """A linear model over identities: score = posts[post] + user_topics[user, topic of the post].

    posts float64 (posts,) · user_topics float64 (users, topics) or None · topic int (posts,), needed with it.
    A post that the table does not know yet has the mean score of those it knows; a user, no part in it.
    """

    name: str
    posts: np.ndarray
    user_topics: np.ndarray | None = None
    topic: np.ndarray | None = None

    def scores(self, requests: Requests) -> np.ndarray:
        """Look-ups, no arithmetic but one sum."""
        score = _look_up(self.posts, requests.post_id, float(self.posts.mean()))
        if self.user_topics is None or self.topic is None:
            return score
        users, topics = self.user_topics.shape
        topic = self.topic[np.minimum(requests.post_id, len(self.topic) - 1)]
        row = np.minimum(requests.user_id, users - 1)[:, None] * topics + topic
        known = (requests.post_id < len(self.topic)) & (requests.user_id < users)[:, None]
        return np.asarray(score + np.where(known, self.user_topics.reshape(-1)[row], 0.0))


def recency(created: np.ndarray) -> TableRanker:
    """Newest first; `created` int64 (posts,)."""
    return TableRanker("recency", created / 3_600e6)


@dataclass(frozen=True)
class Model:
    """A trained model as a ranker: `predict(requests)` gives float64 (S, C)."""

    name: str
    predict: Callable[[Requests], np.ndarray]

    def scores(self, requests: Requests) -> np.ndarray:
        """What the model predicts."""
        return self.predict(requests)


@dataclass(frozen=True)
class ValueFunction:
    """Several predictions, one number: Σ weight · P(response), one head per response.

    >>> half = Model("half", lambda requests: np.full(requests.post_id.shape, 0.5))
    >>> ranker = ValueFunction("value", {"like": half, "dislike": half}, {"like": 1.0, "dislike": -2.0})
    >>> ranker.scores(Requests(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, 2), int)))
    array([[-0.5, -0.5]])
    """

    name: str
    heads: Mapping[str, Model]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        _known_responses(self.weights)
        if missing := [name for name in self.weights if name not in self.heads]:
            raise MlsysError(
                f"value function {self.name!r} weighs {missing[0]!r} and has no head for it",
                why="a response that nothing predicts cannot be weighed",
                fix=f"train a head for it, or drop the weight; heads: {', '.join(self.heads)}",
            )

    def scores(self, requests: Requests) -> np.ndarray:
        """The weighted sum."""
        terms = [weight * self.heads[name].scores(requests) for name, weight in self.weights.items()]
        return np.asarray(np.sum(terms, axis=0))


@dataclass(frozen=True)
class Oracle:
    """Knows the true probabilities and maximizes Σ weight · P(response); no model can do better on the day."""

    name: str = "oracle"
    weights: Mapping[str, float] = field(default_factory=lambda: {"like": 1.0})

    def __post_init__(self) -> None:
        _known_responses(self.weights)

    def scores(self, requests: Requests) -> np.ndarray:
        """Not possible from what a ranker may see."""
        raise MlsysError(
            "the oracle cannot score requests",
            why="it needs the true probabilities, which only the world has",
            fix="pass it to world.step or world.value",
        )

    def from_truth(self, p: np.ndarray) -> np.ndarray:
        """Scores (S, C) from true probabilities (S, C, 4)."""
        out = np.zeros(p.shape[:-1])
        for name, weight in self.weights.items():
            out += weight * p[..., RESPONSES.index(name)]
        return out


@dataclass(frozen=True)
class Experiment:
    """An A/B test: `treatment` ranks for users with `treated[user]`, `control` for all others.

    treated : bool (users,). Users who joined after it was drawn up are in control.
    No arm can be `Random`: whole worlds are shuffled, with the propensity of it, not single arms.
    """

    control: Ranker
    treatment: Ranker
    treated: np.ndarray
    name: str = "experiment"

    def __post_init__(self) -> None:
        if isinstance(self.control, Random) or isinstance(self.treatment, Random):
            raise MlsysError(
                "an arm of an experiment cannot be random",
                why="its sessions would not be shuffled, and their propensity would be wrong",
                fix="take another ranker for this arm, or compare with world.value([Random(), ...])",
            )

    def treats(self, user_id: np.ndarray) -> np.ndarray:
        """Which users are treated, bool, shape as given."""
        return np.asarray(np.append(self.treated, False)[np.minimum(user_id, len(self.treated))])

    def scores(self, requests: Requests) -> np.ndarray:
        """Each user's own arm."""
        arms = self.treatment.scores(requests), self.control.scores(requests)
        return np.where(self.treats(requests.user_id)[:, None], *arms)


def _grown(counts: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([counts, np.zeros(n - len(counts), counts.dtype)])


def _look_up(table: np.ndarray, index: np.ndarray, otherwise: float) -> np.ndarray:
    """table[index], and `otherwise` for an index past its end."""
    longer = np.append(table, otherwise)
    return np.asarray(longer[np.minimum(index, len(table))])


def _known_responses(weights: Mapping[str, float]) -> None:
    if not weights or (unknown := [name for name in weights if name not in RESPONSES]):
        raise MlsysError(
            f"cannot weigh {unknown[0]!r}" if weights else "there is nothing to weigh",
            why=f"responses are {', '.join(RESPONSES)}",
            fix='for example {"like": 1.0, "share": 1.0, "dislike": -2.0}',
        )
