"""Models developed on one log and judged by a tomorrow whose truth is known: class, stages, bias, promises, cold start.

One function per comparison of notebook 05, sections 1 to 4; time, tuning and scale are in `retraining`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.base import clone

from mlsys.capacity import plan, unit_costs
from mlsys.features.catalogue import Catalogue
from mlsys.orchestration.bench import Bench, Score
from mlsys.training import LinearModel, TreeModel
from mlsys.training.reranking import diversify
from mlsys.training.retrieval import Embedding, top_k
from mlsys.world import Oracle, Random, Requests, behaviour
from mlsys.world.rankers import Ranker

LEFT_OUT = -1e3
"""The score of what retrieval did not hand on."""


def scoring_us(trees: int, candidates: int = 500, costs: Mapping[str, float] | None = None) -> float:
    """CPU microseconds to score candidates with so many trees, 0: the linear model; a line through what was measured.

    >>> costs = {"score_60_trees_500_us": 600.0, "score_240_trees_500_us": 2400.0, "score_linear_500_us": 20.0}
    >>> scoring_us(120, 250, costs), scoring_us(0, costs=costs)
    (600.0, 20.0)
    """
    c = costs or unit_costs()
    few, many = c["score_60_trees_500_us"], c["score_240_trees_500_us"]
    whole = few + (trees - 60) * (many - few) / 180 if trees else c["score_linear_500_us"]
    return whole * candidates / 500


def cores(us: float, users: float = 1e8) -> float:
    """Cores for so many users if a request takes `us` of CPU; the middle case of `capacity.plan`."""
    found = plan([users], {**unit_costs(), "asked_us": us}, rank_cost="asked_us").set_index("case")
    return float(found["cores"]["mid"])


def fit_seconds(rows: float, trees: int = 60) -> float:
    """Core seconds to fit on so many rows."""
    return rows * unit_costs()["fit_60_trees_us_per_row"] * trees / 60 / 1e6


def frontier(bench: Bench, trees: Sequence[int] = (10, 30, 60, 120, 240)) -> pd.DataFrame:
    """Every model on the same rows: share of the oracle's likes, exact AUC, ms for 500, cores at 100 M users.

    The last row has as many trees as the largest, and a learning rate that suits them.
    """
    found: dict[str, tuple[LinearModel | TreeModel, int]] = {"linear": (LinearModel.fit(bench.X, bench.y), 0)}
    found |= {f"{n} trees": (TreeModel.fit(bench.X, bench.y, max_iter=n), n) for n in trees}
    slow = TreeModel.fit(bench.X, bench.y, max_iter=max(trees), learning_rate=0.15 * 30 / max(trees))
    found[f"{max(trees)} trees, slow"] = (slow, max(trees))
    rows = {
        name: {
            "trees": n,
            "share": bench.judge(model.predict).share,
            "auc": bench.auc(model.predict),
            "ms": scoring_us(n) / 1e3,
            "cores": cores(scoring_us(n)),
        }
        for name, (model, n) in found.items()
    }
    return pd.DataFrame(rows).T


def learning(bench: Bench, parts: Sequence[int], trees: Sequence[int] = (30, 240)) -> pd.DataFrame:
    """Share of the oracle's likes when only the newest 1/part of the rows is trained on, a column per model.

    Index: rows. Also seconds: what a fit of the smaller trees takes on one core.
    """
    rows = {}
    for part in parts:
        X, y = (bench.X[-(len(bench.X) // part) :], bench.y[-(len(bench.y) // part) :])
        found = {f"{n} trees": TreeModel.fit(X, y, max_iter=n) for n in trees} | {"linear": LinearModel.fit(X, y)}
        rows[len(X)] = {name: bench.judge(model.predict).share for name, model in found.items()}
        rows[len(X)]["seconds"] = fit_seconds(len(X), min(trees))
    return pd.DataFrame(rows).T.sort_index()


def wide(bench: Bench, candidates: int = 1_000) -> Bench:
    """The same morning and log; tomorrow every session has so many candidates."""
    other = copy(bench)
    other.world = deepcopy(bench.world)
    other.world.p = replace(other.world.p, candidates=candidates)
    other._kept = {}
    for cached in ("best", "tomorrow", "X_tomorrow"):
        other.__dict__.pop(cached, None)
    return other


def factorize(bench: Bench, size: int = 16) -> Embedding:
    """Vectors of users, creators and topics from the likes in the log."""
    rows = bench.rows
    codes = [rows[name].to_numpy() for name in ("creator_id", "topic")]
    return Embedding.fit(rows["user_id"].to_numpy(), codes, bench.y, size=size)


def embed(bench: Bench, learned: Embedding | None = None) -> Callable[[Requests], np.ndarray]:
    """First stage: user vector · (creator vector + topic vector), learned from this bench's log if from no other."""
    vectors, posts = learned or factorize(bench), bench.catalogue

    def score(requests: Requests) -> np.ndarray:
        found = posts.join({"user_id": np.zeros(requests.post_id.size, int), "post_id": requests.post_id.ravel()})
        codes = [found[name].reshape(requests.post_id.shape) for name in ("creator_id", "topic")]
        return vectors.score(requests.user_id, codes)

    return score


@dataclass(frozen=True)
class Cascade:
    """Retrieval, ranking, re-ranking as one ranker.

    `first` scores all candidates, the best `keep` are scored by `score` (None: stay as they are), plus `vote` times the
    first score, and put in order with `penalty` per post of a topic that stands above.
    """

    bench: Bench
    first: Callable[[Requests], np.ndarray]
    keep: int
    score: Score | None
    vote: float = 0.0
    penalty: float = 0.0
    name: str = "cascade"

    def scores(self, requests: Requests) -> np.ndarray:
        """float64 (S, C); what is left out has `LEFT_OUT`."""
        cheap = self.first(requests)
        if self.score is None:
            return cheap
        kept = top_k(cheap, self.keep)
        some = replace(requests, post_id=np.take_along_axis(requests.post_id, kept, axis=1))
        rows = self.bench._asked(some)
        found = self.score(self.bench.features(rows)).reshape(kept.shape)
        found = found + self.vote * np.take_along_axis(cheap, kept, axis=1)
        if self.penalty:
            found = diversify(found, rows["topic"].to_numpy().reshape(kept.shape), self.penalty)
        out = np.full(cheap.shape, LEFT_OUT)
        np.put_along_axis(out, kept, found, axis=1)
        return out


def shuffled(requests: Requests) -> np.ndarray:
    """A first stage that knows nothing."""
    return np.random.default_rng(len(requests.user_id)).random(requests.post_id.shape)


def stages(bench: Bench, keeps: Sequence[int] = (10, 50, 200)) -> pd.DataFrame:
    """Ways from 1,000 candidates to ten: share of the oracle's likes, ms of one core per request.

    `bench` is a wide one. `second vote`: all are ranked by the sum of both scores.
    """
    first, score, everything = embed(bench), bench.model.predict, bench.world.p.candidates
    created = bench.catalogue._created
    retrieve = unit_costs()["retrieve_1000_us"] * everything / 1_000

    def newest(requests: Requests) -> np.ndarray:
        return np.asarray(created[requests.post_id])

    ways = {"random 50": (Cascade(bench, shuffled, 50, score), 0.0, 50)}
    ways["newest 50"] = (Cascade(bench, newest, 50, score), 0.0, 50)
    ways |= {f"embedding {k}": (Cascade(bench, first, k, score), retrieve, k) for k in keeps}
    ways["embedding only"] = (Cascade(bench, first, everything, None), retrieve, 0)
    ways["all"] = (Cascade(bench, first, everything, score), 0.0, everything)
    ways["all, second vote"] = (Cascade(bench, first, everything, score, vote=1.0), retrieve, everything)
    shares = bench.world.value([*(replace(way, name=name) for name, (way, *_) in ways.items()), Oracle()])["like"]
    ms = {name: (us + scoring_us(60, kept) * (kept > 0)) / 1e3 for name, (_, us, kept) in ways.items()}
    return pd.DataFrame({"share": (shares / shares["oracle"])[list(ways)], "ms": pd.Series(ms)})


def variety(bench: Bench, penalties: Sequence[float], keep: int = 50) -> pd.DataFrame:
    """Re-ranking for diversity: share of likes and of value, topics and creators among the ten, per penalty."""
    first, score, rows = embed(bench), bench.model.predict, {}
    for penalty in penalties:
        judged = bench.rank(Cascade(bench, first, keep, score, penalty=penalty))
        shown = bench.catalogue.join_log(judged.log).groupby("session_id")
        rows[penalty] = {"share": judged.share, "topics": shown["topic"].nunique().mean(), "value": judged.value}
        rows[penalty]["creators"] = shown["creator_id"].nunique().mean()
    return pd.DataFrame(rows).T


def promises(narrow: Bench, broad: Bench) -> pd.DataFrame:
    """What P(like) promises of the posts that it chose itself, and what they keep.

    The model learns P(like | shown, at an average slot) from all impressions, null is no like. promised, kept: means
    over what is shown; kept is exact and put to an average slot, too. top: promised over kept in the first slot.
    """
    rows = narrow.log[narrow.log["arrival_time"] < narrow.now].reset_index(drop=True)
    model = TreeModel.fit(narrow.features(rows), (rows["action"] == "like").to_numpy(np.float64))
    look, first = behaviour.attention(narrow.world.p), embed(narrow)
    served: dict[str, tuple[Bench, Ranker]] = {
        "random traffic": (narrow, Random()),
        "best 10 of 50": (narrow, Cascade(narrow, shuffled, 50, model.predict)),
        "best 10 of 1,000": (broad, Cascade(broad, first, broad.world.p.candidates, model.predict)),
        "by way of 50": (broad, Cascade(broad, first, 50, model.predict)),
    }
    found = {}
    for name, (bench, ranker) in served.items():
        log = bench.catalogue.join_log(bench.rank(ranker).log)
        p, slot = model.predict(bench.features(log)), log["position"].to_numpy() - 1
        truth = log["p_like"].to_numpy() * look.mean() / look[slot]
        top = slot == 0
        found[name] = {"promised": p.mean(), "kept": truth.mean(), "top": p[top].mean() / truth[top].mean()}
    table = pd.DataFrame(found).T
    return table.assign(ratio=table["promised"] / table["kept"])


def live(bench: Bench, score: Score | None, days: int, explore: float = 0.0) -> tuple[Bench, float]:
    """Serve a score for some days (None: a random order): the bench after them, and the share of the oracle's likes.

    The log grows by what was shown, features are renewed every night, the score stays.
    """
    shares = []
    for _ in range(days):
        world = deepcopy(bench.world)
        ranker: Ranker = Random() if score is None else Cascade(bench, shuffled, world.p.candidates, score)
        day = world.step(ranker, explore=explore, against=[Oracle()])
        shares.append(day.value["like"].iloc[0] / day.value["like"]["oracle"])
        later = copy(bench)
        for cached in ("store", "X", "y", "model", "best", "tomorrow", "X_tomorrow"):
            later.__dict__.pop(cached, None)
        later.world, later.now, later._kept = world, world.now, {}
        later.catalogue = Catalogue(world.catalogue(), topics=world.p.topics)
        new = later.catalogue.join_log(day.log.drop_duplicates("event_id"))
        later.log = pd.concat([bench.log, new], ignore_index=True)
        later.rows, bench = later.usable(later.log), later
    return bench, float(np.mean(shares))


LOGS: Mapping[str, float | None] = {"random": None, "greedy": 0.0, "10 % explored": 0.1}
"""Who made the log: share of shuffled sessions, None for all of them."""


def own_logs(seed: int, *, users: int = 300, days: int = 5) -> pd.DataFrame:
    """A first model, from three random days, serves for some days; its successor learns from what that one showed.

    Rows: `LOGS`. earned: share of the oracle's likes while the log was made. Of the successor, tomorrow: plain;
    position as a feature, all set to slot 1 when it serves; weights of 1 / P(look) on likes.
    """
    start, found = Bench(seed, users=users, days=3), {}
    old = TreeModel.fit(start.X, start.y, max_iter=30)
    for name, explore in LOGS.items():
        later, earned = live(start, None if explore is None else old.predict, days, explore or 0.0)
        own = (later.rows["event_time"] >= start.now).to_numpy()
        X, y, slot = later.X[own], later.y[own], later.rows["position"].to_numpy()[own]
        plain = TreeModel.fit(X, y, max_iter=30)
        placed = TreeModel.fit(X.assign(position=slot.astype(np.float32)), y, max_iter=30)
        weight = np.where(y > 0, 1 / behaviour.attention(later.world.p)[slot - 1], 1.0)
        trees = clone(plain.trees).fit(X.to_numpy(np.float64), y, sample_weight=weight)
        weighted = TreeModel("weighted", plain.signature, trees)
        found[name] = {
            "earned": earned,
            "plain": later.judge(plain.predict).share,
            "position": later.judge(lambda Z, m=placed: m.predict(Z.assign(position=np.float32(1)))).share,  # type: ignore[misc]
            "weights": later.judge(weighted.predict).share,
        }
    return pd.DataFrame(found).T


HISTORY = (0, 1, 21, 101)
"""Bounds of past impressions: none, 1 to 20, 21 to 100, more."""


def cold(bench: Bench) -> pd.DataFrame:
    """Share of the oracle's likes by how often a user has been seen: trees, trees without user features, embedding."""
    past = np.bincount(bench.log["user_id"], minlength=len(bench.world.users))
    known = [name for name in bench.X if not str(name).startswith("user")]
    blind = TreeModel.fit(bench.X[known], bench.y)
    logs = {
        "trees": bench.judge(bench.model.predict).log,
        "no user features": bench.judge(lambda X: blind.predict(X[known])).log,
        "embedding": bench.rank(Cascade(bench, embed(bench), 10, None)).log,
        "random": bench.rank(Random()).log,
        "oracle": bench.rank(Oracle()).log,
    }
    names = ["none", "1 to 20", "21 to 100", "over 100"]
    bucket = {name: np.searchsorted(HISTORY, past[log["user_id"]], side="right") - 1 for name, log in logs.items()}
    likes = {name: np.bincount(bucket[name], log["p_like"], len(HISTORY)) for name, log in logs.items()}
    table = pd.DataFrame({name: likes[name] / likes["oracle"] for name in logs if name != "oracle"}, names)
    return table.assign(sessions=np.bincount(bucket["oracle"], minlength=len(HISTORY)) // bench.world.p.slots)
