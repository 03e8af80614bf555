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
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mlsys.core import Clock, MlsysError
from mlsys.features.catalogue import Catalogue
from mlsys.features.online import OnlineFeatures, Status, StoreUnavailable
from mlsys.features.store import FeatureStore
from mlsys.training.models import Model


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

    `catalogue` joins what features are looked up by, and computed from, to the ids of a request. `observer` is told
    the features and scores of every answer: what monitoring reads. `rungs` counts how often each rung answered.
    Scores are rounded to 1e-6 and ties broken by post id, so that the same request gets the same order everywhere.
    """

    def __init__(
        self,
        model: Model,
        store: FeatureStore,
        *,
        clock: Clock,
        flags: tuple[str, ...] = (),
        catalogue: Catalogue | None = None,
        observer: Callable[[OnlineFeatures, np.ndarray], None] | None = None,
    ) -> None:
        self.model, self.store, self.clock, self.flags = model, store, clock, flags
        self.catalogue, self.observer = catalogue, observer
        self.rungs: Counter[str] = Counter()
        self._popularity: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0))

    def remember_popularity(self, posts: np.ndarray, likes: np.ndarray) -> None:
        """Keep a snapshot for outages: post ids int64 (n,) and their likes (n,)."""
        order = np.argsort(posts)
        self._popularity = (np.asarray(posts)[order], np.asarray(likes, np.float64)[order])

    def rank(
        self, user: int, candidates: np.ndarray, k: int | None = None, context: Mapping[str, float] | None = None
    ) -> Ranking:
        """The best `k` (default: all) of the candidates, int64 (n,), for one user; `context` as in `score`."""
        posts = np.asarray(candidates, np.int64)
        if posts.ndim != 1 or not len(posts):
            raise MlsysError(
                f"candidates have shape {posts.shape}",
                why="ranking needs at least one post id",
                fix="pass a flat list of ids",
            )
        sent = {name: np.full(len(posts), value) for name, value in (context or {}).items()}
        scores, defaulted = self.score(np.full(len(posts), user, np.int64), posts, sent)
        rung = "popularity" if defaulted is None else "defaults" if defaulted else "fresh"
        self.rungs[rung] += 1
        order = np.lexsort((posts, -np.round(scores, 6)))[:k]
        missing = 1.0 if defaulted is None else defaulted
        return Ranking(posts[order], scores[order], rung, missing, self.model.version)

    def predict(self, user: int, post: int, context: Mapping[str, float] | None = None) -> Prediction:
        """P(like) of one post for one user. Likes are no probability: in an outage, training means answer."""
        sent = {name: np.array([value]) for name, value in (context or {}).items()}
        scores, defaulted = self.score(np.array([user]), np.array([post]), sent)
        if defaulted is None:
            scores = self.model.predict_array(np.full((1, len(self.model.signature.features)), np.nan))
        rung = "fresh" if defaulted == 0 else "defaults"
        self.rungs[rung] += 1
        return Prediction(float(scores[0]), rung, self.model.version)

    def score(
        self, users: np.ndarray, posts: np.ndarray, context: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, float | None]:
        """Scores of many (user, post) pairs, float64 (n,), and the share of values that defaults stood in for.

        `context`: columns (n,) that come with the request, such as device_code and event_time.

        The share is None when the store did not answer, or the flag `serve_popularity` (the kill switch) is on:
        scores are then likes in the popularity snapshot.
        """
        if "serve_popularity" in self.flags:
            return self._likes(posts), None
        rows = {"user_id": users, "post_id": posts, **(context or {})}
        if self.catalogue is not None:
            rows = self.catalogue.join(rows)
        try:
            answer = self.store.get_online_features(self.model.signature.features, rows, self.clock.now())
        except StoreUnavailable:
            return self._likes(posts), None
        defaulted = float((answer.status != Status.PRESENT).mean())
        scores = self.model.predict_array(answer.values)
        if self.observer is not None:
            self.observer(answer, scores)
        return scores, defaulted

    def _likes(self, posts: np.ndarray) -> np.ndarray:
        ids, likes = self._popularity
        if not len(ids):
            return np.zeros(len(posts))
        slot = np.minimum(np.searchsorted(ids, posts), len(ids) - 1)
        return np.asarray(np.where(ids[slot] == posts, likes[slot], 0.0))
