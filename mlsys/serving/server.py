"""Rank candidates for a user, and say how good the answer is.

A request carries ids, never features. The server asks the model's signature which features it wants and in which
order, reads them in one go, and scores all candidates with one dot product. When something is missing, the best
rung of the ladder that can answer answers, and the response names the lowest that was needed:

    fresh        every feature value came from the store
    cached       some were read less than the cache's time to live ago
    snapshot     the store did not answer: the last values that were known, however old
    defaults     some values were missing or too old: the model's own training means stood in
    popularity   nothing is known that tells one candidate from another, the model failed, or it is too late for it:
                 posts by likes in the last snapshot
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from mlsys.core import Clock, MlsysError
from mlsys.features.catalogue import Catalogue
from mlsys.features.online import OnlineFeatures, Source, StoreUnavailable
from mlsys.features.store import FeatureStore
from mlsys.serving.cache import PredictionCache
from mlsys.serving.releases import Chosen, Releases
from mlsys.serving.resilience import Deadline
from mlsys.serving.rollout import flagged
from mlsys.training.models import Model

RUNGS = ("fresh", "cached", "snapshot", "defaults", "popularity")
"""The fallback ladder, best first. The first four are in the order of `Source`."""

PREDICT = -1
"""Stands where a ranking has its `k` in the key of the prediction cache."""


@dataclass(frozen=True)
class Prediction:
    """P(like) for one user and post, the rung that answered, and the model's version."""

    probability: float
    rung: str
    model_version: str
    defaulted: float = 0.0
    cached: bool = False


@dataclass(frozen=True)
class Ranking:
    """Posts best first: `posts` int64 (k,), `scores` float64 (k,), `defaulted` share of missing values, `shares` of
    the feature values per rung, `cached`: the answer to the same request, given before."""

    posts: np.ndarray
    scores: np.ndarray
    rung: str
    defaulted: float
    model_version: str
    shares: Mapping[str, float] = field(default_factory=dict)
    cached: bool = False


class Scored(NamedTuple):
    """Scores float64 (n,), share of values that defaults stood in for (None: likes, no model), shares by rung, and
    whether the store failed to answer, in part or as a whole."""

    scores: np.ndarray
    defaulted: float | None
    shares: Mapping[str, float]
    outage: bool = False

    @property
    def rung(self) -> str:
        """The lowest that was needed."""
        return [name for name in RUNGS if self.shares.get(name)][-1]


class ModelServer(Releases):
    """Serves one model from one feature store on a clock that is passed in.

    `catalogue` joins what features are looked up by, and computed from, to the ids of a request. `observer` is told
    the features and scores of every answer: what monitoring reads. `predictions` keeps whole answers. `rungs` counts
    how often each rung answered. Scores are rounded to 1e-6 and ties broken by post id, so that the same request gets
    the same order everywhere. `rollout`: a challenger that is being tried; see `mlsys.serving.rollout`.
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
        predictions: PredictionCache[Ranking | Prediction] | None = None,
    ) -> None:
        super().__init__(model, store, clock)
        self.flags, self.catalogue, self.observer, self.predictions = flags, catalogue, observer, predictions
        self.rungs: Counter[str] = Counter()
        self._popularity: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0))

    def remember_popularity(self, posts: np.ndarray, likes: np.ndarray) -> None:
        """Keep a snapshot for outages: post ids int64 (n,) and their likes (n,)."""
        order = np.argsort(posts)
        self._popularity = (np.asarray(posts)[order], np.asarray(likes, np.float64)[order])

    def rank(
        self,
        user: int,
        candidates: np.ndarray,
        k: int | None = None,
        context: Mapping[str, float] | None = None,
        deadline: Deadline | None = None,
    ) -> Ranking:
        """The best `k` (default: all) of the candidates, int64 (n,), for one user; `context` as in `score`.

        After the `deadline` popularity answers: late is as good as wrong, and the features are not read.
        """
        posts = np.asarray(candidates, np.int64)
        if posts.ndim != 1 or not len(posts):
            raise MlsysError(
                f"candidates have shape {posts.shape}",
                why="ranking needs at least one post id",
                fix="pass a flat list of ids",
            )
        chosen = self._chosen(user)
        key = self._key(chosen.model, user, posts, k, context)
        if isinstance(known := self._kept(key), Ranking):
            return replace(known, cached=True)
        rows = {name: np.full(len(posts), value) for name, value in (context or {}).items()}
        if deadline is not None and deadline.expired:
            found, version = Scored(self._likes(posts), None, {"popularity": 1.0}, True), chosen.model.version
        else:
            found, version = self._try(chosen, np.full(len(posts), user, np.int64), posts, rows)
        order = np.lexsort((posts, -np.round(found.scores, 6)))[:k]
        missing = 1.0 if found.defaulted is None else found.defaulted
        answer = Ranking(posts[order], found.scores[order], found.rung, missing, version, found.shares)
        self._keep(key, answer, found)
        return answer

    def rank_by_popularity(self, candidates: np.ndarray, k: int | None = None) -> Ranking:
        """The lowest rung, which needs neither store nor model: what is left when everything else has failed."""
        likes = self._likes(candidates)
        order = np.lexsort((candidates, -likes))[:k]
        self._count("popularity")
        return Ranking(candidates[order], likes[order], "popularity", 1.0, self.model.version, {"popularity": 1.0})

    def predict(self, user: int, post: int, context: Mapping[str, float] | None = None) -> Prediction:
        """P(like) of one post for one user. Likes are no probability: in an outage, training means answer."""
        chosen = self._chosen(user)
        key = self._key(chosen.model, user, np.array([post]), PREDICT, context)
        if isinstance(known := self._kept(key), Prediction):
            return replace(known, cached=True)
        sent = {name: np.array([value]) for name, value in (context or {}).items()}
        found, version = self._try(chosen, np.array([user]), np.array([post]), sent)
        if found.defaulted is None:
            found = Scored(self._prior(), 1.0, {"defaults": 1.0}, True)
        defaulted = float(found.defaulted or 0.0)
        answer = Prediction(float(found.scores[0]), found.rung, version, defaulted)
        self._keep(key, answer, found)
        return answer

    def score(self, users: np.ndarray, posts: np.ndarray, context: Mapping[str, np.ndarray] | None = None) -> Scored:
        """Scores of many (user, post) pairs by the champion, and where their feature values came from.

        `context`: columns (n,) that come with the request, such as device_code and event_time.

        `defaulted` is None when the store did not answer, or the flag `serve_popularity` (the kill switch) is on:
        scores are then likes in the popularity snapshot.
        """
        return self._score(self.model, users, posts, context)

    def status(self) -> dict[str, object]:
        """Plain values, for an admin page."""
        return {
            "model_version": self.model.version,
            "previous": None if self.previous is None else self.previous.version,
            "rollout": None if self.rollout is None else self.rollout.status(),
            "rungs": dict(self.rungs),
            "events": [(str(event.time), event.kind, event.detail) for event in list(self.events)[-20:]],
        }

    def _try(
        self, chosen: Chosen, users: np.ndarray, posts: np.ndarray, context: Mapping[str, np.ndarray]
    ) -> tuple[Scored, str]:
        """The model's scores and its version; the champion's if a challenger fails; likes if the champion does."""
        model, arm, rollout = chosen
        found, seconds = self._timed(model, users, posts, context)
        if rollout is not None:
            rollout.answered(arm, seconds, failed=found is None)
            if rollout.mode == "shadow" and found is not None:
                other, seconds = self._timed(rollout.model, users, posts, context)
                rollout.answered(1, seconds, failed=other is None)
                if other is not None and found.defaulted is not None:
                    rollout.compared(found.scores, other.scores)
            self._guard(rollout)
        if found is None and arm:
            model = self.model
            found, _ = self._timed(model, users, posts, context)
        if found is None:
            found = Scored(self._likes(posts), None, {"popularity": 1.0}, True)
        return found, model.version

    def _timed(
        self, model: Model, users: np.ndarray, posts: np.ndarray, context: Mapping[str, np.ndarray]
    ) -> tuple[Scored | None, float]:
        """Scores, or None if the model raised or gave something that is no number; and the seconds it took."""
        start = self.clock.monotonic()
        found: Scored | None = None
        try:
            found = self._score(model, users, posts, context)
            if not np.isfinite(found.scores).all():
                found = None
                self.note("model_failed", f"{model.version}: scores that are no numbers")
        except MlsysError:
            raise
        except Exception as error:
            self.note("model_failed", f"{model.version}: {type(error).__name__}: {error}")
        return found, self.clock.monotonic() - start

    def _score(
        self, model: Model, users: np.ndarray, posts: np.ndarray, context: Mapping[str, np.ndarray] | None
    ) -> Scored:
        if self.flags and (killed := flagged(self.flags, "serve_popularity", users)).any():
            return self._killed(killed, model, users, posts, context)
        return self._ask(model, users, posts, context)

    def _ask(
        self, model: Model, users: np.ndarray, posts: np.ndarray, context: Mapping[str, np.ndarray] | None
    ) -> Scored:
        """The model's scores of what the store knows; likes if it does not answer."""
        rows = {"user_id": users, "post_id": posts, **(context or {})}
        if self.catalogue is not None:
            rows = self.catalogue.join(rows)
        try:
            answer = self.store.get_online_features(model.signature.features, rows, self.clock.now())
        except StoreUnavailable:
            return Scored(self._likes(posts), None, {"popularity": 1.0}, True)
        scores = model.predict_array(answer.values)
        if self.observer is not None:
            self.observer(answer, scores)
        missing = answer.status.astype(bool)  # Status.PRESENT is 0.
        defaulted = float(np.count_nonzero(missing) / missing.size)
        if answer.source is None:
            return Scored(scores, defaulted, _named([1 - defaulted, 0.0, 0.0, defaulted]))
        rung = np.where(missing, np.int8(Source.MISSING), answer.source)
        shares = _named((np.bincount(rung.ravel(), minlength=4) / rung.size).tolist())
        outage = bool((answer.source >= Source.SNAPSHOT).any())
        if outage and len(scores) > 1 and np.ptp(scores) < 1e-6:
            return Scored(self._likes(posts), None, {"popularity": 1.0}, True)
        return Scored(scores, defaulted, shares, outage)

    def _killed(
        self,
        killed: np.ndarray,
        model: Model,
        users: np.ndarray,
        posts: np.ndarray,
        context: Mapping[str, np.ndarray] | None,
    ) -> Scored:
        """Likes for the users whose kill switch is on; of a batch that has others, the model's scores for these."""
        scores = self._likes(posts)
        if killed.all():
            return Scored(scores, None, {"popularity": 1.0}, True)
        rest, share = ~killed, float(killed.mean())
        found = self._ask(model, users[rest], posts[rest], {name: x[rest] for name, x in (context or {}).items()})
        scores[rest] = found.scores
        shares = {rung: part * (1 - share) for rung, part in found.shares.items()}
        shares["popularity"] = shares.get("popularity", 0.0) + share
        return Scored(scores, found.defaulted, shares, True)

    def _key(
        self, model: Model, user: int, posts: np.ndarray, k: int | None, context: Mapping[str, float] | None
    ) -> Hashable:
        """What determines an answer, but for the time."""
        if self.predictions is None:
            return None
        sent = tuple(sorted((name, value) for name, value in (context or {}).items() if name != "event_time"))
        return model.version, self.flags, user, posts.tobytes(), k, sent

    def _kept(self, key: Hashable) -> Ranking | Prediction | None:
        known = None if self.predictions is None else self.predictions.get(key)
        if known is not None:
            self._count(known.rung)
        return known

    def _keep(self, key: Hashable, answer: Ranking | Prediction, found: Scored) -> None:
        self._count(answer.rung)
        # An answer from an outage is not kept: it would outlive it.
        if self.predictions is not None and not found.outage:
            self.predictions.put(key, answer)

    def forget(self) -> None:
        """See `Releases.forget`."""
        if self.predictions is not None:
            self.predictions.clear()

    def _count(self, rung: str) -> None:
        with self._lock:
            self.rungs[rung] += 1

    def _prior(self) -> np.ndarray:
        """P(like), (1,), of a post of which nothing is known: the model at its training means, or one half."""
        try:
            score = self.model.predict_array(np.full((1, len(self.model.signature.features)), np.nan))
        except Exception as error:
            self.note("model_failed", f"{self.model.version}: {type(error).__name__}: {error}")
            score = np.array([np.nan])
        return score if np.isfinite(score).all() else np.array([0.5])

    def _likes(self, posts: np.ndarray) -> np.ndarray:
        ids, likes = self._popularity
        if not len(ids):
            return np.zeros(len(posts))
        slot = np.minimum(np.searchsorted(ids, posts), len(ids) - 1)
        return np.asarray(np.where(ids[slot] == posts, likes[slot], 0.0))


def _named(shares: list[float]) -> dict[str, float]:
    return {name: share for name, share in zip(RUNGS, shares, strict=False) if share}
