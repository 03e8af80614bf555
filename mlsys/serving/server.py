"""Rank candidates for a user, and say how good the answer is.

A request carries ids, never features. The server asks the model's signature which features it wants and in which
order, reads them in one go, and scores all candidates with one dot product. When something is missing, the best
rung of the ladder that can answer answers, and the response names it:

    fresh        every feature value was present
    defaults     some values were missing or too old: the model's own training means stood in
    popularity   the store did not answer: posts by likes in the last snapshot, no personalization
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mlsys.core import Clock, MlsysError
from mlsys.features.online import Status, StoreUnavailable
from mlsys.features.store import FeatureStore
from mlsys.training.models import LinearModel


@dataclass(frozen=True)
class Prediction:
    """P(like) for one user and post, the rung that answered, and the model's version."""

    probability: float
    rung: str
    model_version: str


@dataclass(frozen=True)
class Ranking:
    """Posts best first: `posts` int64 (k,), `scores` float64 (k,), `defaulted` share of missing values."""

    posts: np.ndarray
    scores: np.ndarray
    rung: str
    defaulted: float
    model_version: str


class ModelServer:
    """Serves one model from one feature store on a clock that is passed in.

    `rungs` counts how often each rung answered. Scores are rounded to 1e-6 and ties broken by post id, so that the
    same request gets the same order on every machine.
    """

    def __init__(self, model: LinearModel, store: FeatureStore, *, clock: Clock, flags: tuple[str, ...] = ()) -> None:
        self.model, self.store, self.clock, self.flags = model, store, clock, flags
        self.rungs: Counter[str] = Counter()
        self._popularity: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0))

    def remember_popularity(self, posts: np.ndarray, likes: np.ndarray) -> None:
        """Keep a snapshot for outages: post ids int64 (n,) and their likes (n,)."""
        order = np.argsort(posts)
        self._popularity = (np.asarray(posts)[order], np.asarray(likes, np.float64)[order])

    def rank(self, user: int, candidates: np.ndarray, k: int | None = None) -> Ranking:
        """The best `k` (default: all) of the candidates, int64 (n,), for one user."""
        posts = np.asarray(candidates, np.int64)
        if posts.ndim != 1 or not len(posts):
            raise MlsysError(
                f"candidates have shape {posts.shape}",
                why="ranking needs at least one post id",
                fix="pass a flat list of ids",
            )
        scores, defaulted = self.score(np.full(len(posts), user, np.int64), posts)
        rung = "popularity" if defaulted is None else "defaults" if defaulted else "fresh"
        self.rungs[rung] += 1
        order = np.lexsort((posts, -np.round(scores, 6)))[:k]
        missing = 1.0 if defaulted is None else defaulted
        return Ranking(posts[order], scores[order], rung, missing, self.model.version)

    def predict(self, user: int, post: int) -> Prediction:
        """P(like) of one post for one user. Likes are no probability: in an outage, training means answer."""
        scores, defaulted = self.score(np.array([user]), np.array([post]))
        if defaulted is None:
            scores = self.model.predict_array(np.full((1, len(self.model.signature.features)), np.nan))
        rung = "fresh" if defaulted == 0 else "defaults"
        self.rungs[rung] += 1
        return Prediction(float(scores[0]), rung, self.model.version)

    def score(self, users: np.ndarray, posts: np.ndarray) -> tuple[np.ndarray, float | None]:
        """Scores of many (user, post) pairs, float64 (n,), and the share of values that defaults stood in for.

        The share is None when the store did not answer, or the flag `serve_popularity` (the kill switch) is on:
        scores are then likes in the popularity snapshot.
        """
        if "serve_popularity" in self.flags:
            return self._likes(posts), None
        try:
            answer = self.store.get_online_features(
                self.model.signature.features, {"user_id": users, "post_id": posts}, self.clock.now()
            )
        except StoreUnavailable:
            return self._likes(posts), None
        defaulted = float((answer.status != Status.PRESENT).mean())
        return self.model.predict_array(answer.values), defaulted

    def _likes(self, posts: np.ndarray) -> np.ndarray:
        ids, likes = self._popularity
        if not len(ids):
            return np.zeros(len(posts))
        slot = np.minimum(np.searchsorted(ids, posts), len(ids) - 1)
        return np.asarray(np.where(ids[slot] == posts, likes[slot], 0.0))
