"""A fleet of replicas: what one carries, how many are needed, and an evening of requests at one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlsys.capacity import Assumptions, carried, plan
from mlsys.core import generator
from mlsys.orchestration.traffic import RequestClock, serve

REQUESTS = 30_000
SPREAD = 0.3
"""Of the logarithm of a read's latency, as in `mlsys.orchestration.traffic`."""

PARTS = ("waiting for the store", "handling", "scoring")
STORE = "the store's own limit"


class Answered(NamedTuple):
    """What `serve` looks at."""

    posts: np.ndarray
    shares: dict[str, float]
    model_version: str = "first-1"


@dataclass
class Replica:
    """One worker that takes one request at a time: it waits for the store, handles, scores. Seconds."""

    clock: RequestClock
    reads: np.ndarray
    busy: float
    answered: int = 0

    def rank(self, user: int, posts: np.ndarray, **_: Any) -> Answered:
        """The posts, later."""
        self.clock.advance(seconds=float(self.reads[self.answered]) + self.busy)
        self.answered += 1
        return Answered(posts, {"fresh": 1.0})


@dataclass
class Crowd:
    """Requests at random times, at a rate per second; who asks does not matter here."""

    rate: float
    seed: int
    n: int = REQUESTS

    def __post_init__(self) -> None:
        self.seconds = self.n / self.rate
        self.arrival = np.sort(generator(self.seed, 2).random(self.n)) * self.seconds
        self.users = self.devices = self.time = np.zeros(self.n, np.int64)
        self.posts, self.oracle = np.zeros((self.n, 1), np.int64), np.zeros(self.n)

    def worth(self, scores: np.ndarray) -> np.ndarray:
        """Nothing."""
        return self.oracle


def reads(f: dict[str, Any], seed: int, n: int = REQUESTS) -> np.ndarray:
    """Seconds that reads of the store take, float64 (n,), with the mean that is shown."""
    drawn = np.exp(SPREAD * generator(seed, 3).standard_normal(n) - SPREAD**2 / 2)
    return np.asarray(drawn * f["read_ms"] / 1e3)


def p99(f: dict[str, Any], seed: int, utilization: float) -> float:
    """Milliseconds from arrival to answer that 99 of 100 requests stay below, at a share of the breaking point."""
    clock = RequestClock()
    replica = Replica(clock, reads(f, seed), (f["handling_ms"] + f["scoring_ms"]) / 1e3)
    crowd: Any = Crowd(utilization * breaks(total(f)), seed)
    served = serve(crowd, replica, clock, threads=1, patience=1e9)  # type: ignore[arg-type]
    return float(np.quantile(served["latency"], 0.99)) * 1e3


def total(f: dict[str, Any], *, hits: float = 0.0, cheaper: float = 1.0) -> float:
    """Mean milliseconds of a worker per request. A hit is only handled; `cheaper`: scoring costs so many times less."""
    return float(f["handling_ms"] + (1 - hits) * (f["read_ms"] + f["scoring_ms"] / cheaper))


def breaks(ms: float) -> float:
    """Requests per second at which one worker is always busy."""
    return carried(1, {"rank_500_us": ms * 1e3}, utilization=1.0)["requests_per_second"]


def peak(f: dict[str, Any]) -> float:
    """Requests per second of the busiest time."""
    return float(_planned(f, 1.0)["requests_per_second"])


def replicas(f: dict[str, Any], ms: float) -> float:
    """Of all regions together, so that with one of them lost the others stay at the share they are held at."""
    workers = _planned(f, ms)["cores"] / (f["regions"] - 1)
    return float(f["regions"] * np.ceil(workers - 1e-9))


def _planned(f: dict[str, Any], ms: float) -> dict[str, float]:
    def same(value: float) -> tuple[float, float, float]:
        return (value, value, value)

    habits = Assumptions(
        active=same(f["active"] / 100),
        sessions_per_day=same(f["sessions"]),
        requests_per_session=same(f["requests"]),
        peak_over_mean=same(f["peak_factor"]),
        utilization=same(f["hold"] / 100),
    )
    costs = {"rank_500_us": ms * 1e3, "event_bytes": 1.0, "online_row_bytes": 1.0}
    row = plan([f["users"]], costs, habits).iloc[0]
    return {"requests_per_second": float(row["requests_per_second"]), "cores": float(row["cores"])}
