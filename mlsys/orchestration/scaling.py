"""A hundred times the requests: queues on a virtual clock, and what each lever saves; notebook 07, section 5."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlsys.capacity import unit_costs
from mlsys.core import generator
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.development import cores, scoring_us
from mlsys.orchestration.serving import budget, server
from mlsys.orchestration.traffic import Evening, RequestClock, serve
from mlsys.training import LinearModel
from mlsys.world import Model as ScoredBy

DOLLARS = 0.04
"""An hour of one core: an assumption, about what a general-purpose cloud core costs."""


def queued(
    load: float, *, service: float = 1.0, servers: int = 1, shared: bool = True, requests: int = 20_000, seed: int = 13
) -> np.ndarray:
    """Seconds from arrival to answer, float64 (requests,), at a load from 0 to 1 of so many servers.

    Arrivals are random (Poisson), a request takes `service` seconds. shared : whoever is free takes the next one;
    otherwise a server is drawn for each request, and it waits there.

    >>> idle, busy = (float(np.quantile(queued(load), 0.99)) for load in (0.3, 0.9))
    >>> bool(idle < 3 < 5 < busy)
    True
    """
    rng = generator(seed, 72)
    arrival = np.cumsum(rng.exponential(service / load / servers, requests))
    where, out = rng.integers(0, servers, requests), np.empty(requests)
    free = [0.0] * servers
    for i in range(requests):
        if shared:
            end = max(arrival[i], free[0]) + service
            heapq.heapreplace(free, end)
        else:
            end = free[where[i]] = max(arrival[i], free[where[i]]) + service
        out[i] = end - arrival[i]
    return out


def knee(
    loads: Sequence[float], service: float, *, servers: int = 1, shared: bool = True, seed: int = 13
) -> pd.DataFrame:
    """p50 and p99 in milliseconds by load; see `queued`."""
    rows = {x: 1e3 * np.quantile(queued(x, service=service, servers=servers, shared=shared, seed=seed), [0.5, 0.99])
            for x in loads}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=["p50", "p99"])


def most_load(service: float, limit: float, *, servers: int = 1, shared: bool = True, seed: int = 13) -> float:
    """The highest load whose p99 is within `limit` seconds, to a hundredth."""
    low, high = 0.0, 1.0
    while high - low > 0.01:
        load = (low + high) / 2
        late = np.quantile(queued(load, service=service, servers=servers, shared=shared, seed=seed), 0.99) > limit
        low, high = (low, load) if late else (load, high)
    return low


def rising(bench: Bench, loads: Sequence[float], service: float, *, most: int = 600) -> pd.DataFrame:
    """A whole server on a virtual clock, one thread: p50 and p99 in milliseconds when a request takes so long."""
    model, rows = LinearModel.fit(bench.X, bench.y), {}
    for load in loads:
        evening = Evening(bench.world, seconds=most * service / load, most=most, seed=bench.seed)
        clock = RequestClock(bench.now)
        each = service / evening.posts.shape[1]
        done = serve(evening, server(bench, clock, model, seconds=each), clock, threads=1)
        rows[load] = 1e3 * done["latency"].quantile([0.5, 0.99]).to_numpy()
    return pd.DataFrame.from_dict(rows, orient="index", columns=["p50", "p99"])


def popularity(bench: Bench) -> float:
    """Share of the oracle's likes if posts are ordered by likes in the log."""
    likes = bench.log.loc[bench.log["action"] == "like", "post_id"].value_counts()
    return bench.rank(ScoredBy("popular", lambda asked: likes.reindex(asked.post_id.ravel(), fill_value=0)
                               .to_numpy(np.float64).reshape(asked.post_id.shape))).share  # fmt: skip


def levers(
    share: Mapping[str, float], *, page_hits: float, feature_hits: float, fallback: float,
    users: Sequence[float] = (1e6, 1e8, 1e9),
) -> pd.DataFrame:  # fmt: skip
    """What can be done about a hundred times the requests: kept likes, milliseconds, cores per number of users.

    share : of the oracle's likes, of 60 trees, of a shortlist, linear, list and hybrid. page_hits, feature_hits: hit
    rates of the two caches. fallback: likes kept by an answer without features. reads: rows of the store per request ·
    dollars: a month at the middle number of users, cores only.
    """
    c, parts = unit_costs(), budget(60)
    front, base = parts["HTTP"] + parts["parse"] + c["hit_us"] / 1e3, parts.sum()
    rest = base - parts["model"]
    short = (c["score_linear_500_us"] + scoring_us(60, 200)) / 1e3
    rows = {
        "more replicas": (1.0, base, 501.0),
        "prediction cache": (1.0, (1 - page_hits) * base + page_hits * front, 501 * (1 - page_hits)),
        "feature cache": (1.0, base, 501 * (1 - feature_hits)),
        "shortlist of 200": (share["shortlist"] / share["trees"], rest + short, 501.0),
        "linear model": (share["linear"] / share["trees"], rest + scoring_us(0) / 1e3, 501.0),
        "hybrid": (share["hybrid"] / share["trees"], front + (base - front) / 7, 1 + 500 / 7),
        "lists": (share["list"] / share["trees"], front, 1.0),
        "shed half": ((1 + fallback) / 2, base / 2 + front / 2, 501 / 2),
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["kept", "ms", "reads"])
    for n in users:
        table[f"cores {n / 1e6:,.0f}M"] = [cores(1e3 * ms, n) for ms in table["ms"]]
    return table.assign(dollars=table[f"cores {users[1] / 1e6:,.0f}M"] * 730 * DOLLARS)
