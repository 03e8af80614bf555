"""When, how fast, from which memory: the experiments of notebook 07, sections 1 to 4.

Likes are exact, on the `Bench`; microseconds are those of `unit_costs.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from mlsys import naive
from mlsys.capacity import Assumptions, unit_costs
from mlsys.core import generator
from mlsys.features import FeatureStore
from mlsys.features.online import OnlineStore
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.development import scoring_us
from mlsys.orchestration.traffic import Evening, RequestClock, TimedModel
from mlsys.serving import ModelServer, Prediction, Ranking
from mlsys.serving.cache import FeatureCache, PredictionCache
from mlsys.training import LinearModel, Model, TreeModel
from mlsys.training.compression import compress

PAGES = int(Assumptions().requests_per_session[1])
"""Requests of a session: its first page and the ones below."""


def moments(bench: Bench, lead: Sequence[float] = (6, 30), users: float = 1e8) -> pd.DataFrame:
    """Lists made so many hours before the day, the first of them with new posts ranked now (hybrid), all now (online).

    Trees rank in every row. share: of the oracle's likes · new: of the slots, those of posts of the day · scored: posts
    scored per user and day · cores, GB: to score them, and to keep ten ids per user, for so many users.
    """
    model, a, found = bench.model, Assumptions(), {}
    start = int(bench.now.astype("datetime64[us]").astype(np.int64))
    asks = a.active[1] * a.sessions_per_day[1] * a.requests_per_session[1]
    ways = {f"list, {hours:g} h before": (hours, False) for hours in lead} | {"hybrid": (lead[0], True)}
    for name, (hours, fill) in ways.items():
        made = start - round(hours * 3_600e6)

        def served(asked: pd.DataFrame, made: int = made, fill: bool = fill) -> pd.DataFrame:
            then = bench.features(asked.assign(event_time=np.full(len(asked), made).view("datetime64[us]")))
            new = asked["created"].to_numpy() > made
            if fill and new.any():
                then[new] = bench.features(asked[new]).to_numpy()
            return then.assign(unknown=new & (not fill))

        judged = bench.judge(lambda X: np.where(X["unknown"], -1.0, model.predict(X)), served)
        scored = 500 + (asks * 500 / bench.world.p.live_days if fill else 0.0)
        found[name] = (judged.share, judged.new_posts, scored, users * 10 * 8 / 1e9)
    online = bench.judge(model.predict)
    found["online"] = (online.share, online.new_posts, 500 * asks, 0.0)
    table = pd.DataFrame.from_dict(found, orient="index", columns=["share", "new", "scored", "GB"])
    peak = np.where(table.index.str.startswith("list"), 1.0, a.peak_over_mean[1])  # Lists are made at any hour.
    us = scoring_us(60) / 500
    return table.assign(cores=users * table["scored"] * us / 86_400e6 * peak / a.utilization[1])


def budget(trees: int = 60, *, store_ms: float = 0.0, costs: Mapping[str, float] | None = None) -> pd.Series:
    """Milliseconds of one request for 500 posts, by part, in order; 0 trees: the linear model.

    store_ms : what a remote store adds, one read of all its vectors.
    """
    c = costs or unit_costs()
    us = {"HTTP": c["http_us"], "parse": c["parse_500_us"], "join": c["join_500_us"], "features": c["read_500_us"],
          "remote store": 1e3 * store_ms, "model": scoring_us(trees, costs=c), "sort": c["sort_500_us"],
          "encode": c["encode_10_us"]}  # fmt: skip
    return pd.Series(us) / 1e3


def fan_out(reads: Sequence[int], *, requests: int = 40_000, seed: int = 13) -> pd.DataFrame:
    """Requests that wait for the slowest of so many reads; one read in a hundred takes ten times as long.

    Index: reads. touched: requests that met a slow one · p50, p99: in times of a usual read.
    """
    rng, rows = generator(seed, 70), {}
    for n in reads:
        slow = rng.random((requests, n)) < 0.01
        times = np.exp(0.2 * rng.standard_normal((requests, n))) * np.where(slow, 10.0, 1.0)
        worst = times.max(axis=1)
        rows[n] = (slow.any(axis=1).mean(), *np.quantile(worst, [0.5, 0.99]))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["touched", "p50", "p99"])


def payloads(candidates: int = 500, features: int = 11) -> pd.DataFrame:
    """Bytes of a request, and microseconds to read it, by what is sent for each candidate."""
    rng, c = generator(13, 71), unit_costs()
    ids, floats = rng.integers(10**6, 10**7, candidates), rng.random((candidates, features)).astype(np.float32)
    rows = {
        "ids, JSON": (len(json.dumps({"user_id": 5, "candidates": ids.tolist()})), c["parse_500_us"]),
        "features, JSON": (len(json.dumps(floats.astype(float).round(4).tolist())), c["parse_500x11_json_us"]),
        "features, packed": (floats.nbytes, c["parse_500x11_packed_us"]),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["bytes", "us"])


def server(
    bench: Bench,
    clock: RequestClock,
    model: Model,
    *,
    seconds: float = 0.0,
    online: OnlineStore | None = None,
    cache: FeatureCache | None = None,
    predictions: PredictionCache[Ranking | Prediction] | None = None,
) -> ModelServer:
    """A server of this bench on the evening's clock; `seconds`: a candidate's scoring. Last night's features are in the
    bench's own store; `online` stands before it, if given."""
    if not bench.store.registry.materialized:
        bench.store.materialize(bench.now)
    store = FeatureStore(online or bench.store.online, registry=bench.store.registry, cache=cache)
    timed = TimedModel(model, clock, seconds)
    made = ModelServer(timed, store, clock=clock, catalogue=bench.catalogue, predictions=predictions)
    liked = bench.log.loc[bench.log["action"] == "like", "post_id"].value_counts()
    made.remember_popularity(liked.index.to_numpy(), liked.to_numpy())
    return made


def scored(bench: Bench, evening: Evening, model: Model) -> np.ndarray:
    """The model's scores of all posts of all sessions, float64 (S, C), with last night's features."""
    if not bench.store.registry.materialized:
        bench.store.materialize(bench.now)
    S, C = evening.posts.shape
    rows = {"user_id": np.repeat(evening.users, C), "post_id": evening.posts.ravel(),
            "device_code": np.repeat(evening.devices, C), "event_time": np.repeat(evening.time, C)}  # fmt: skip
    X = bench.store.get_online_features(model.signature.features, bench.catalogue.join(rows), bench.now)
    return model.predict_array(X.values).reshape(S, C)


def keys(bench: Bench, evening: Evening) -> pd.DataFrame:
    """Prediction caches by their key, over an evening of sessions of `PAGES` pages each, without a time limit.

    hits: share of look-ups · share: of the oracle's likes · scored: posts scored per page · wrong: share of answers
    that are not those of a server without a cache.
    """
    exact, (S, C) = scored(bench, evening, bench.model), evening.posts.shape
    pair = np.repeat(evening.users, C) * 10**9 + evening.posts.ravel()
    _, first, back = np.unique(pair, return_index=True, return_inverse=True)
    cache, look = naive.Cache(), np.empty((S, C))
    for i, user in enumerate(evening.users.tolist()):  # The naive server asks post by post.
        look[i] = [cache.get(user, float(score)) for score in exact[i]]
    whole, found = _paged(bench, evening)
    kept = {
        "none": (0.0, exact, float(C)),
        "user": (1 - len(cache.kept) / (S * C * PAGES), look, len(cache.kept) / (S * PAGES)),
        "user, post": (1 - len(first) / (S * C * PAGES), exact.ravel()[first][back].reshape(S, C),
                       len(first) / (S * PAGES)),
        "user, candidates": (whole.hits / (S * PAGES), found, C * whole.misses / (S * PAGES)),
    }  # fmt: skip
    top = _top(_sorted(evening, exact))
    return pd.DataFrame(
        {
            name: {
                "hits": hits,
                "share": evening.worth(_sorted(evening, scores)).sum() / evening.oracle.sum(),
                "scored": scored,
                "wrong": float((_top(_sorted(evening, scores)) != top).any(axis=1).mean()),
            }
            for name, (hits, scores, scored) in kept.items()
        }
    ).T


def _paged(bench: Bench, evening: Evening) -> tuple[PredictionCache[Ranking | Prediction], np.ndarray]:
    """The server's own prediction cache after the evening, and the order of its answers as scores (S, C)."""
    clock, scores = RequestClock(bench.now), np.full(evening.posts.shape, -np.inf)
    kept: PredictionCache[Ranking | Prediction] = PredictionCache(clock, ttl_seconds=evening.seconds, size=10**6)
    made = server(bench, clock, bench.model, predictions=kept)
    for i, (user, posts) in enumerate(zip(evening.users.tolist(), evening.posts, strict=True)):
        clock.begin(float(evening.arrival[i]))
        context = {"device_code": int(evening.devices[i]), "event_time": int(evening.time[i])}
        for _ in range(PAGES):
            answer = made.rank(user, posts, context=context)
        asked, place = np.nonzero(posts[:, None] == answer.posts)
        scores[i, asked] = -place
    return kept, scores


def _sorted(evening: Evening, scores: np.ndarray) -> np.ndarray:
    """Scores whose ties go to the lower post id, as a server's do."""
    order = np.lexsort((evening.posts, -np.round(scores, 6)), axis=-1)
    return -np.argsort(order, axis=-1).astype(np.float64)


def _top(scores: np.ndarray, k: int = 10) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def hit_rates(bench: Bench, rates: Sequence[float], ttls: Sequence[float], *, most: int = 500) -> pd.DataFrame:
    """Hit rate of a `FeatureCache`, by requests per second of the traffic (index) and time to live (columns)."""
    found = {}
    for rate in rates:
        evening = Evening(bench.world, seconds=most / rate, most=most, seed=bench.seed)
        for ttl in ttls:
            clock = RequestClock(bench.now)
            cache = FeatureCache(clock, ttl_seconds=ttl)
            bench.store.materialize(bench.now)
            store = FeatureStore(bench.store.online, registry=bench.store.registry, cache=cache)
            names = bench.model.signature.features
            for i in range(len(evening.users)):
                clock.begin(float(evening.arrival[i]))
                n = evening.posts.shape[1]
                rows = {"user_id": np.full(n, evening.users[i]), "post_id": evening.posts[i],
                        "device_code": np.zeros(n), "event_time": np.full(n, evening.time[i])}  # fmt: skip
                store.get_online_features(names, bench.catalogue.join(rows), bench.now)
            found[rate, ttl] = cache.hits / (cache.hits + cache.misses)
    return pd.Series(found).unstack()  # noqa: PD010


def aged(bench: Bench, hours: Sequence[float] = (1, 6, 24, 72)) -> pd.Series:
    """Share of the oracle's likes with features that were put online every so many hours; the model is the same."""
    today = bench.catalogue.join_log(bench.judge(bench.model.predict).log.drop(columns="p_like"))
    store = bench.stored(pd.concat([bench.log, today]))
    found = {}
    for every in hours:
        found[every] = bench.judge(bench.model.predict, partial(bench.features, store=store, every=every)).share
    return pd.Series(found)


def smaller(bench: Bench) -> pd.DataFrame:
    """Models and shortcuts: share of the oracle's likes, microseconds for 500 posts, bytes per stored vector of 2.

    A shortlist is the linear model's best 10 or 20 of 50 posts, a fifth or two fifths of 500, ranked by the trees.
    """
    c, X = unit_costs(), bench.X.to_numpy()
    few, linear = bench.model, LinearModel.fit(bench.X, bench.y)
    many, half = TreeModel.fit(bench.X, bench.y, max_iter=240), compress(linear, X, 16)
    eight = compress(linear, X, 8)
    names = list(linear.signature.features)

    def listed(keep: int) -> Callable[[pd.DataFrame], np.ndarray]:
        def score(frame: pd.DataFrame) -> np.ndarray:
            first = linear.predict(frame).reshape(-1, bench.world.p.candidates)
            rank = np.argsort(np.argsort(-first, axis=1), axis=1).ravel()
            return few.predict(frame) - (rank >= keep)

        return score

    fixed, base = 8 + 8, c["score_linear_500_us"]
    rows: dict[str, tuple[Callable[[pd.DataFrame], np.ndarray], float, int]] = {
        "240 trees": (many.predict, c["score_240_trees_500_us"], fixed + 8),
        "60 trees": (few.predict, c["score_60_trees_500_us"], fixed + 8),
        "60 trees, features float16": (lambda f: few.predict(f.astype("f2").astype("f4")),
                                       c["score_60_trees_500_us"], fixed + 4),
        "shortlist of 200, 60 trees": (listed(20), base + scoring_us(60, 200), fixed + 8),
        "shortlist of 100, 60 trees": (listed(10), base + scoring_us(60, 100), fixed + 8),
        "linear": (linear.predict, base, fixed + 8),
        "linear, float16": (lambda f: half.predict_array(f[names].to_numpy()), c["score_float16_500_us"], fixed + 4),
        "linear, int8": (lambda f: eight.predict_array(f[names].to_numpy()), c["score_int8_500_us"], fixed + 2),
    }  # fmt: skip
    return pd.DataFrame({name: {"share": bench.judge(score).share, "us": us, "bytes": size}
                         for name, (score, us, size) in rows.items()}).T  # fmt: skip
