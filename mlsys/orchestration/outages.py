"""A store that fails, and what a server has put behind it: the experiments of notebook 07, section 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mlsys.core import generator
from mlsys.features.online import OnlineStore
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.serving import server
from mlsys.orchestration.traffic import Evening, Fault, FaultyOnline, RequestClock, serve
from mlsys.serving import RUNGS
from mlsys.serving.cache import FeatureCache
from mlsys.serving.resilience import CircuitBreaker, GuardedOnline
from mlsys.training import LinearModel, Model

BELOW = ("snapshot", "defaults", "popularity")
VISIBLE = 0.2
"""Share of an answer's values from below the cache (before the fault: a few new ids) that an alert on rungs sees."""


@dataclass(frozen=True)
class Policy:
    """What a server does about its store. timeout: seconds, None waits; fallback: whether popularity may answer;
    swallow: a failed read looks like an empty one; guard: breaker and a look at what comes back; ttl: of a feature
    cache, 0 for none; snapshot: last night's copy behind the cache."""

    timeout: float | None = 0.02
    fallback: bool = True
    swallow: bool = False
    guard: bool = False
    ttl: float = 0.0
    snapshot: bool = False


POLICIES: Mapping[str, Policy] = {
    "naive: wait": Policy(timeout=None, fallback=False),
    "timeout, popularity": Policy(),
    "timeout, defaults": Policy(swallow=True),
    "cache": Policy(ttl=300),
    "cache, snapshot": Policy(ttl=300, snapshot=True),
    "cache, snapshot, breaker": Policy(ttl=300, snapshot=True, guard=True),
}
REQUEST = 0.0003
"""Seconds of scoring per request."""
E5, E6 = "timeout, popularity", "cache, snapshot, breaker"


class Night:
    """A bench, an evening of its requests, and what all policies share: the model, last night's copy of the store.

    seconds : of the evening; most : requests. The copy is a day older than the store.
    """

    def __init__(
        self, bench: Bench, *, seconds: float = 120.0, most: int | None = None, model: Model | None = None
    ) -> None:
        self.bench, self.model = bench, model or bench.model
        self.evening = Evening(bench.world, seconds=seconds, most=most, seed=bench.seed)
        old = bench.stored(bench.log)
        old.materialize(bench.now - np.timedelta64(1, "D"))
        self.copy = old.online

    def answer(
        self, policy: Policy, faults: Sequence[Fault] = (), *, threads: int = 8, slow: float = 0.02
    ) -> tuple[pd.DataFrame, list[tuple[float, str]]]:
        """The evening by one policy: `traffic.serve`'s table, and what the breaker did.

        `slow`: from how many seconds on the breaker counts a call as slow.
        """
        clock = RequestClock(self.bench.now)
        online: OnlineStore = FaultyOnline(
            self.bench.store.online, clock, faults, timeout=policy.timeout, swallow=policy.swallow, seed=self.bench.seed
        )
        breaker = CircuitBreaker(clock, slow_call_duration_threshold=slow)
        if policy.guard:
            online = GuardedOnline(online, breaker)
        copy = self.copy if policy.snapshot else None
        cache = FeatureCache(clock, ttl_seconds=policy.ttl, snapshot=copy) if policy.ttl else None
        each = REQUEST / self.evening.posts.shape[1]
        made = server(self.bench, clock, self.model, seconds=each, online=online, cache=cache)
        rungs = RUNGS if policy.fallback else ("fresh", "cached", "defaults")
        return serve(self.evening, made, clock, threads=threads, rungs=rungs), breaker.transitions

    @cached_property
    def well(self) -> pd.DataFrame:
        """The evening without a fault."""
        return self.answer(Policy())[0]

    def table(self, fault: Fault, policies: Mapping[str, Policy] = POLICIES) -> pd.DataFrame:
        """Policies under one fault; figures are of the requests that arrive while it lasts.

        failed: share · p99: ms · kept: likes, of those that the same requests earn when all is well · detected: seconds
        from its start until an answer shows that something is wrong (NaN: none does) · recovered: seconds from its end
        until the last such answer · share of feature values per rung.
        """
        return pd.DataFrame({name: self._summary(self.answer(policy, [fault])[0], fault)
                             for name, policy in policies.items()}).T  # fmt: skip

    def _summary(self, done: pd.DataFrame, fault: Fault) -> dict[str, float]:
        during, end = self.during(fault), done["arrival"] + done["latency"]
        worse = (done[list(BELOW)] - self.well[list(BELOW)]).sum(axis=1) > VISIBLE
        ends, one = end[(done["failed"] | worse) & (end >= fault.start)], done[during]
        return {
            "failed": float(one["failed"].mean()),
            "p99": 1e3 * float(one["latency"].quantile(0.99)),
            "kept": one["likes"].sum() / self.well["likes"][during].sum(),
            "detected": ends.min() - fault.start if len(ends) else np.nan,
            "recovered": max(0.0, ends.max() - fault.end) if len(ends) else np.nan,
            **{rung: float(one[rung].mean()) for rung in RUNGS},
        }

    def during(self, fault: Fault) -> np.ndarray:
        """Which requests arrive while it lasts, bool (S,)."""
        return (self.evening.arrival >= fault.start) & (self.evening.arrival < fault.end)

    def dice(self, fault: Fault) -> float:
        """Likes kept by a random order during a fault: the mean of twenty throws."""
        rng, mask = generator(self.bench.seed, 73), self.during(fault)
        throws = [self.evening.worth(rng.random(self.evening.posts.shape))[mask].sum() for _ in range(20)]
        return float(np.mean(throws) / self.well["likes"][mask].sum())


def collapse(night: Night, faults: Mapping[str, Fault], threads: Sequence[int], *, timeout: float) -> pd.DataFrame:
    """With and without a breaker, by fault and threads, no cache: failed share and p99 in ms, while it lasts."""
    rows = {}
    for kind, fault in faults.items():
        for n in threads:
            for guard in (False, True):
                done, _ = night.answer(Policy(timeout, guard=guard), [fault], threads=n, slow=0.1)
                one = done[night.during(fault)]
                rows[kind, n, guard] = (one["failed"].mean(), 1e3 * one["latency"].quantile(0.99))
    index = pd.MultiIndex.from_tuples(rows, names=["fault", "threads", "breaker"])
    return pd.DataFrame(list(rows.values()), index, columns=["failed", "p99"])


def regions(kept: Mapping[str, float], *, share_down: float = 1 / 3, minutes: float = 60.0) -> pd.DataFrame:
    """Three regions of the same size, one loses its store for an hour: strategies on paper, from what was measured.

    kept : likes kept by the answer without failover, "naive" and "ladder". detect, move: minutes until somebody or
    something knows, and until users are elsewhere. spare: machines above what the peak needs.
    lost: likes of all regions during that hour, as a share.
    """
    ways = {
        "one region": (1.0, kept["naive"], 10.0, minutes, 0.0),
        "three, a person moves users": (share_down, kept["naive"], 10.0, 15.0, 0.5),
        "three, health checks move users": (share_down, kept["naive"], 1.0, 2.0, 0.5),
        "three, no failover, ladder": (share_down, kept["ladder"], 0.0, minutes, 0.0),
        "three, ladder, then moved": (share_down, kept["ladder"], 1.0, 2.0, 0.5),
    }
    rows = {name: {"users hit": hit, "detect": detect, "move": move, "spare": spare,
                   "lost": hit * (1 - keeps) * min(minutes, detect + move) / minutes}
            for name, (hit, keeps, detect, move, spare) in ways.items()}  # fmt: skip
    return pd.DataFrame(rows).T


def season(seed: int, *, users: int = 200) -> pd.DataFrame:
    """E5 and E6 in one world: a store that is gone for 30 s, and one that is one row off for 30 s, after a restart.

    Index (fault, level); likes kept during the fault, after it, and in the whole evening.
    """
    bench = Bench(seed, users=users, days=5)
    night, rows = Night(bench, seconds=150, model=LinearModel.fit(bench.X, bench.y)), {}
    for kind, start in (("gone", 60.0), ("shifted", 0.0)):
        fault = Fault(kind, start, start + 30)
        during, after = night.during(fault), night.evening.arrival >= fault.end
        for level, name in (("E5", E5), ("E6", E6)):
            done, well = night.answer(POLICIES[name], [fault])[0]["likes"], night.well["likes"]
            rows[kind, level] = [done[mask].sum() / well[mask].sum() for mask in (during, after, during | True)]
    index = pd.MultiIndex.from_tuples(rows, names=["fault", "level"])
    return pd.DataFrame(list(rows.values()), index, columns=["during", "after", "all"])
