"""An evening at one small replica on a virtual clock: what is seen of it, and what another setting had made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlsys.features import FeatureStore
from mlsys.features.online import OnlineStore, StoreUnavailable
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.traffic import Evening, Fault, FaultyOnline, RequestClock, TimedModel, serve
from mlsys.serving import RUNGS, ModelServer
from mlsys.serving.cache import FeatureCache
from mlsys.serving.resilience import CircuitBreaker, GuardedOnline
from mlsys.training import LinearModel

SECONDS, BIN = 100, 5
SLOW, WAIT, CALLS = 0.05, 5.0, 10
"""Of the breaker: seconds from which on a read is slow, seconds until it looks again, calls before it judges."""
TRACE = ["requests", "p50_ms", "p99_ms", "failed", *RUNGS, "breaker", "reads", "read_ms", "timed_out", "refused",
         "likes", "possible"]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What can be set. timeout: seconds of one read; tries: reads of one look-up, until one answers; checks: answers
    with infinite numbers or times from the future count as failed; ttl: seconds; budget: seconds of waiting after
    which popularity answers; popular: the kill switch."""

    threads: int = 1
    timeout: float = 0.1
    tries: int = 1
    breaker: bool = False
    checks: bool = False
    ttl: float = 5.0
    snapshot: bool = False
    budget: float | None = None
    popular: bool = False


def changes(now: Settings) -> dict[str, Settings]:
    """Every single change that can be chosen, by name."""
    every: dict[str, dict[str, object]] = {
        "leave_it": {},
        "timeout_quarter": {"timeout": now.timeout / 4},
        "timeout_times_4": {"timeout": now.timeout * 4},
        "retry_twice": {"tries": 3},
        "breaker": {"breaker": True},
        "check_values": {"checks": True},
        "ttl_times_10": {"ttl": now.ttl * 10},
        "snapshot": {"snapshot": True},
        "threads_times_2": {"threads": now.threads * 2},
        "deadline": {"budget": 0.3},
        "popularity": {"popular": True},
    }
    return {name: replace(now, **change) for name, change in every.items()}  # type: ignore[arg-type]


def untouched(reads: Sequence[Read], now: Settings) -> dict[str, bool]:
    """Changes that these reads would not have met: running them would give the same evening."""
    ends, longest = {one.end for one in reads}, max(one.took for one in reads)
    return {
        "retry_twice": ends == {"answered"},
        "timeout_times_4": "timed_out" not in ends,
        "timeout_quarter": longest <= now.timeout / 4,
    }


class Read(NamedTuple):
    """One read of the store: when, how long in seconds, and how it ended."""

    at: float
    took: float
    end: str


@dataclass
class Line:
    """Between server and store: keeps a log of the reads, and may try again."""

    store: FaultyOnline
    tries: int
    log: list[Read]

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """See `OnlineStore.read`."""
        for attempt in range(self.tries):
            start, end = self.store.clock.monotonic(), "answered"
            try:
                return self.store.read(table, ids)
            except StoreUnavailable as error:
                end = "timed_out" if "timed out" in str(error) else "refused"
                if attempt == self.tries - 1:
                    raise
            finally:
                self.log.append(Read(start, self.store.clock.monotonic() - start, end))
        return None

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """See `OnlineStore.write`."""
        self.store.write(table, ids, values, newest, replace=replace)

    def rename(self, table: str, to: str) -> None:
        """See `OnlineStore.rename`."""
        self.store.rename(table, to)


class Fused(GuardedOnline):
    """The breaker alone: what comes back is believed."""

    def _plausible(self, table: str, rows: int, values: np.ndarray, newest: np.ndarray) -> None:
        """Nothing is looked at."""


class Emptied(FeatureCache):
    """A cache that is empty again at a time, as after a restart."""

    emptied_at = np.inf

    def read(
        self, store: OnlineStore, table: str, ids: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """See `FeatureCache.read`."""
        if self.clock.monotonic() >= self.emptied_at:
            self._tables, self.emptied_at = {}, np.inf
        return super().read(store, table, ids, width)


class Place:
    """A world's morning, its model, last night's copy of the store, and the evening's requests."""

    def __init__(self, seed: int, *, users: int) -> None:
        self.bench = bench = Bench(seed, users=users, days=5)
        self.model = LinearModel.fit(bench.X, bench.y)
        self.evening = Evening(bench.world, seconds=SECONDS, seed=seed)
        bench.store.materialize(bench.now)
        old = bench.stored(bench.log)
        old.materialize(bench.now - np.timedelta64(1, "D"))
        self.copy = old.online
        liked = bench.log.loc[bench.log["action"] == "like", "post_id"].value_counts()
        self.liked = liked.index.to_numpy(), liked.to_numpy()

    def crowd(self, start: float, end: float, factor: float) -> None:
        """From `start` to `end` requests come `factor` times as fast as before and after; there are as many in all."""
        seconds = np.linspace(0, SECONDS, 12 * SECONDS + 1)
        so_far = np.cumsum(np.where((seconds >= start) & (seconds < end), factor, 1.0))
        self.evening.arrival = np.interp(self.evening.arrival / SECONDS, so_far / so_far[-1], seconds)

    def run(
        self, s: Settings, faults: Sequence[Fault], scoring: float, emptied_at: float
    ) -> tuple[pd.DataFrame, list[Read], list[tuple[float, str]]]:
        """The evening: `traffic.serve`'s table, the reads, what the breaker did. scoring: seconds per request."""
        clock, log = RequestClock(self.bench.now), list[Read]()
        store = FaultyOnline(self.bench.store.online, clock, faults, read_seconds=0.01, timeout=s.timeout)
        online: OnlineStore = Line(store, s.tries, log)
        never = {} if s.breaker else {"failure_rate_threshold": 2.0, "slow_call_rate_threshold": 2.0}
        breaker = CircuitBreaker(clock, slow_call_duration_threshold=SLOW, minimum_number_of_calls=CALLS,
                                 wait_duration_in_open_state=WAIT, **never)  # fmt: skip
        if s.breaker or s.checks:
            online = (GuardedOnline if s.checks else Fused)(online, breaker)
        cache = Emptied(clock, ttl_seconds=s.ttl, snapshot=self.copy if s.snapshot else None, slots=1 << 12)
        cache.emptied_at = emptied_at
        model = TimedModel(self.model, clock, scoring / self.evening.posts.shape[1])
        features = FeatureStore(online, registry=self.bench.store.registry, cache=cache)
        flags = ("serve_popularity",) if s.popular else ()
        made = ModelServer(model, features, clock=clock, catalogue=self.bench.catalogue, flags=flags)
        made.remember_popularity(*self.liked)
        done = serve(self.evening, made, clock, threads=s.threads, budget=s.budget)
        return done, log, breaker.transitions


def trace(done: pd.DataFrame, log: Sequence[Read], states: Sequence[tuple[float, str]], breaker: bool) -> pd.DataFrame:
    """What a dashboard shows, a row per `BIN` seconds."""
    by = done.groupby((done["arrival"] // BIN).astype(int))
    rows = by[[*RUNGS, "likes", "oracle"]].mean().rename(columns={"oracle": "possible"}).round(2)
    rows["requests"], rows["failed"] = by.size(), by["failed"].sum()
    rows[["p50_ms", "p99_ms"]] = (1e3 * by["latency"].quantile([0.5, 0.99]).unstack()).round().to_numpy()  # noqa: PD010
    reads = pd.DataFrame(log, columns=list(Read._fields))
    own = reads.groupby((reads["at"] // BIN).astype(int))
    rows["reads"], rows["read_ms"] = own.size(), (1e3 * own["took"].median()).round()
    for end in ("timed_out", "refused"):
        rows[end] = (reads["end"] == end).groupby((reads["at"] // BIN).astype(int)).sum()
    at = np.array([0.0, *(t for t, _ in states)])
    names = np.array(["CLOSED", *(name for _, name in states)])
    rows["breaker"] = names[np.searchsorted(at, BIN * (rows.index + 1), side="right") - 1] if breaker else "none"
    whole = ["requests", "failed", "p50_ms", "p99_ms", "reads", "timed_out", "refused"]
    rows = rows.fillna({name: 0 for name in whole}).astype(dict.fromkeys(whole, int))
    return rows[TRACE].set_axis(pd.Index(BIN * rows.index, name="second")).reset_index()


def outcomes(runs: Mapping[str, pd.DataFrame], well: pd.DataFrame, start: float) -> dict[str, tuple[float, float]]:
    """Of requests from `start` on: likes kept, in percent of an evening with nothing wrong, p99 in ms, at least 1."""
    late = well["arrival"] >= start
    possible = well["likes"][late].sum()
    kept = {name: 100 * float(done["likes"][late].sum() / possible) for name, done in runs.items()}
    p99 = {name: 1e3 * float(done["latency"][late].quantile(0.99)) for name, done in runs.items()}
    return {name: (kept[name], max(1.0, p99[name])) for name in runs}
