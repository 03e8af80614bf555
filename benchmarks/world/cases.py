"""One measurement in a process of its own: `python cases.py CASE IMPRESSIONS` prints one line of JSON.

The parent starts a fresh process per case, so that peak memory belongs to that case alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor

from mlsys.world import Popularity, Random, TableRanker, World, behaviour, sessions, simulation
from mlsys.world.rankers import Ranker

PER_MB = 2**20 if sys.platform == "darwin" else 2**10  # getrusage counts in bytes there, in kB elsewhere
SEED = 13


def naive(n: int) -> pd.DataFrame:
    """The log that a first notebook makes: every column drawn on its own, times in a list."""
    np.random.seed(SEED)  # noqa: NPY002 - as such notebooks do
    start = datetime(2026, 1, 1)
    return pd.DataFrame(
        {
            "user_id": np.random.choice(10_000, n),  # noqa: NPY002
            "post_id": np.random.choice(5_000, n),  # noqa: NPY002
            "action": np.random.choice(["like", "dislike", "view", "share", None], n, p=[0.15, 0.05, 0.6, 0.05, 0.15]),  # noqa: NPY002
            "device": np.random.choice(["iOS", "Android", "Web", None], n, p=[0.4, 0.35, 0.2, 0.05]),  # noqa: NPY002
            "timestamp": [start + timedelta(seconds=float(s)) for s in np.random.uniform(0, 30 * 86_400, n)],  # noqa: NPY002
        }
    )


def ranker_of_the_day(kind: str, world: World, rng: np.random.Generator, popularity: Popularity) -> Ranker:
    """Random, popularity, or tables with new random scores for everybody and everything there is today."""
    if kind == "random":
        return Random()
    if kind == "popularity":
        return popularity
    tables = rng.normal(size=len(world.posts)), rng.normal(size=(len(world.users), world.p.topics))
    return TableRanker("table", *tables, world.posts.topic.astype(np.int64))


def world(kind: str, users: int, n: int, keep: bool = False) -> tuple[int, float]:
    """Days until `n` impressions are made; each log is dropped, or kept. Impressions, and seconds in `step`.

    What popularity counts is inside the clock; the world's making and one day to warm up are outside.
    """
    feed, rng, popularity = World(users=users, seed=SEED), np.random.default_rng(SEED), Popularity()
    days, kept = [], []
    while sum(rows for rows, _ in days[1:]) < n:
        ranker = ranker_of_the_day(kind, feed, rng, popularity)
        begin = time.perf_counter()
        log = feed.step(ranker).log
        if kind == "popularity":
            popularity.observe(log)
        days.append((len(log), time.perf_counter() - begin))
        if keep:
            kept.append(log)
    return sum(rows for rows, _ in days[1:]), sum(seconds for _, seconds in days[1:])


PLACES = {
    "sessions and candidates": ((sessions, "draw"),),
    "scores": ((sessions, "_scores"),),
    "top slots": ((sessions, "rank"), (sessions, "_keys"), (sessions, "_best"), (sessions, "_ranks")),
    "exact probabilities": (
        (sessions, "respond"), (sessions, "truth"), (sessions, "expected"),
        (behaviour, "odds"), (behaviour, "probabilities"),
    ),
    "choice": ((sessions, "act"), (behaviour, "choose")),
    "log": ((World, "_log"), (sessions, "delivery"), (simulation.pd, "DataFrame")),
    "other": ((World, "step"),),
}  # fmt: skip
"""Whose time counts as what. A function's own time excludes that of the functions below it in a call."""


def where(n: int) -> dict[str, float]:
    """Nanoseconds per impression at each place, table ranker, 10,000 users, one worker."""
    spent: defaultdict[str, float] = defaultdict(float)
    inside: list[float] = []

    def timed(place: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            inside.append(0.0)
            begin = time.perf_counter()
            result = function(*args, **kwargs)
            took = time.perf_counter() - begin
            spent[place] += took - inside.pop()
            if inside:
                inside[-1] += took
            return result

        return call

    for place, functions in PLACES.items():
        for owner, name in functions:
            setattr(owner, name, timed(place, getattr(owner, name)))
    made, seconds = world("table", 10_000, n)
    scale = seconds / sum(spent.values()) / made * 1e9  # the day to warm up is in `spent`, not in `seconds`
    return {place: spent[place] * scale for place in PLACES}


def main(case: str, n: int) -> dict[str, Any]:
    """Run a case: KIND USERS WORKERS, or one of the names below."""
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if case == "where":
        return where(n)
    if case == "naive":
        begin = time.perf_counter()
        made = len(naive(n))
        seconds = time.perf_counter() - begin
    else:
        kind, users, workers = case.split()
        backend = "threading" if workers == "2-threads" else "loky"
        with joblib.parallel_config(backend=backend, n_jobs=int(workers[0])):
            made, seconds = world(kind.removesuffix("-kept"), int(users), n, kind.endswith("-kept"))
        if workers == "2":
            get_reusable_executor().shutdown()  # a worker's memory is known only when it has ended
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak += 2 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the larger worker; there are two
    return {"made": made, "seconds": seconds, "mb": peak / PER_MB, "above_imports": (peak - imports) / PER_MB}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
