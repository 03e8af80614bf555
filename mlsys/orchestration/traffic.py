"""An evening of requests on a virtual clock, with a store that can fail: what each answer took, and what it was worth.

The sessions of a day are squeezed into a few minutes, so that a server has something to do; who asks for what, and what
every order of posts is worth to them, is the world's own and exact. Time is made of three things: when requests arrive,
how long a read of the store takes, and how long scoring takes. Nothing is measured here, and so nothing varies.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, VirtualClock, generator
from mlsys.features.online import OnlineStore, StoreUnavailable
from mlsys.features.timeline import NEVER
from mlsys.serving import RUNGS, ModelServer
from mlsys.serving.resilience import Deadline
from mlsys.training import Model, Signature
from mlsys.world import Model as ScoredBy
from mlsys.world import Oracle, Random, Requests, World

ARRIVALS, READS = 1, 2
"""Random streams."""

FAULTS = ("gone", "slow", "flaky", "garbage", "shifted")


class RequestClock(VirtualClock):
    """A virtual clock that is set for each request: requests overlap, and every one has a time of its own."""

    def begin(self, seconds: float) -> None:
        """Stand at so many seconds after the start, earlier or later than now."""
        step = round(seconds * 1e6) - self._elapsed
        self._elapsed += step
        self._now = self._now + np.timedelta64(step, "us")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a store from second `start` to `end`.

    gone : reads hang until the timeout · slow : a read takes `size` seconds · flaky : a share `size` of the reads is
    refused at once · garbage : numbers that nobody wrote · shifted : the numbers of the next id, as after a job that
    was one row off.
    """

    kind: str
    start: float
    end: float
    size: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS or not self.start < self.end or self.size <= 0:
            raise MlsysError(
                f"there is no fault {self}",
                why=f"kinds are {', '.join(FAULTS)}; it starts before it ends, and its size is above 0",
                fix='Fault("slow", 60, 90, size=0.2)',
            )


@dataclass
class FaultyOnline:
    """An `OnlineStore` whose reads take time on the clock, and fail when a fault says so.

    read_seconds : median of a read. timeout : seconds until a caller gives up; None waits for ever, which here means
    until the fault is over. swallow : a failed read looks like one that found nothing, as some clients have it.
    """

    store: OnlineStore
    clock: RequestClock
    faults: Sequence[Fault] = ()
    read_seconds: float = 0.001
    timeout: float | None = 0.02
    swallow: bool = False
    seed: int = 13
    reads: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._rng = generator(self.seed, READS)

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """See `OnlineStore.read`."""
        self.reads += 1
        now = self.clock.monotonic()
        takes, refused, garbage = self.read_seconds * float(np.exp(0.3 * self._rng.standard_normal())), False, False
        shift = 0
        for fault in self.faults:
            if fault.start <= now < fault.end:
                takes = fault.size if fault.kind == "slow" else fault.end - now if fault.kind == "gone" else takes
                refused |= fault.kind == "flaky" and self._rng.random() < fault.size
                garbage |= fault.kind == "garbage"
                shift |= fault.kind == "shifted"
        late = self.timeout is not None and takes > self.timeout
        self.clock.advance(seconds=float(self.timeout) if late and self.timeout is not None else takes)
        found = self.store.read(table, ids + shift)
        if found is not None and garbage:
            values = self._rng.standard_normal(found[0].shape).astype(np.float32) * np.float32(1e3)
            return values, self._rng.integers(0, 2**62, len(ids))
        if found is None or not (late or refused):
            return found
        if self.swallow:
            return np.full_like(found[0], np.nan), np.full(len(ids), NEVER)
        raise StoreUnavailable(
            "the online store did not answer",
            why="it timed out" if late else "it refused",
            fix="serve from the next rung of the ladder",
        )

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """See `OnlineStore.write`."""
        self.store.write(table, ids, values, newest, replace=replace)

    def rename(self, table: str, to: str) -> None:
        """See `OnlineStore.rename`."""
        self.store.rename(table, to)


@dataclass
class TimedModel:
    """A model whose scoring takes time on the clock: seconds per candidate scored."""

    model: Model
    clock: RequestClock
    seconds: float

    @property
    def version(self) -> str:
        """The model's."""
        return self.model.version

    @property
    def signature(self) -> Signature:
        """The model's."""
        return self.model.signature

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """The model's scores, later."""
        self.clock.advance(seconds=self.seconds * len(values))
        return self.model.predict_array(values)


class Evening:
    """The sessions of a world's next day, in order of arrival over `seconds`.

    `users` int64 (S,), `devices` int64 (S,) with -1 for not recorded, `posts` int64 (S, C), `arrival` float64 (S,)
    seconds; `oracle` float64 (S,): likes that each session would be worth in the best order.

    >>> evening = Evening(World(users=200, seed=13), seconds=60)
    >>> dice = evening.worth(np.random.default_rng(0).random(evening.posts.shape))
    >>> bool(0.3 < dice.sum() / evening.oracle.sum() < 0.8), len(dice) == len(evening.users)
    (True, True)
    """

    def __init__(self, world: World, *, seconds: float = 300.0, most: int | None = None, seed: int = 13) -> None:
        self.seconds, self._world, seen = seconds, world, list[Requests]()

        def record(requests: Requests) -> np.ndarray:
            seen.append(requests)
            return np.zeros(requests.post_id.shape)

        deepcopy(world).step(ScoredBy("recorder", record))
        self._sizes = [len(requests.user_id) for requests in seen]
        self._order = np.argsort(np.concatenate([requests.time for requests in seen]), kind="stable")
        first = self._order[:most]
        self.users, device, self.time, self.posts = (
            np.concatenate([getattr(requests, name) for requests in seen])[first]
            for name in ("user_id", "device", "time", "post_id")
        )
        self.devices = np.where(device > 2, -1, device).astype(np.int64)
        self.arrival = np.sort(generator(seed, ARRIVALS).random(len(first))) * seconds
        self.oracle = self._likes(Oracle())

    def worth(self, scores: np.ndarray) -> np.ndarray:
        """Exact expected likes of each session, float64 (S,), if its posts were ordered by `scores` (S, C)."""
        full = np.zeros((len(self._order), scores.shape[1]))
        full[self._order[: len(scores)]] = scores
        parts = iter(np.split(full, np.cumsum(self._sizes)[:-1]))
        return self._likes(ScoredBy("given", lambda requests: next(parts)))

    def _likes(self, ranker: ScoredBy | Oracle | Random) -> np.ndarray:
        day = deepcopy(self._world).step(ranker)
        slots = self._world.p.slots
        each = day.p_like[: day.sessions * slots].astype(np.float64).reshape(-1, slots)
        return np.asarray(each.sum(axis=1)[: len(self.users)])


def serve(
    evening: Evening,
    server: ModelServer,
    clock: RequestClock,
    *,
    threads: int = 8,
    budget: float | None = None,
    patience: float = 1.0,
    rungs: Sequence[str] = RUNGS,
) -> pd.DataFrame:
    """Every request of the evening through a server with so many threads; one row each, in order of arrival.

    budget : seconds from arrival until the deadline; None: no deadline. patience : seconds after which nobody looks at
    the answer any more. rungs : those the server is built with; an answer from another one would be an error on
    somebody's screen. Both count as failed, and are worth nothing.

    Columns: arrival, latency (seconds, waiting included), failed, likes and oracle (expected), model_version, and for
    each of `RUNGS` the share of feature values.
    """
    free, rows = [0.0] * threads, list[dict[str, object]]()
    scores = np.zeros(evening.posts.shape)
    for i, (user, posts) in enumerate(zip(evening.users.tolist(), evening.posts, strict=True)):
        arrival = float(evening.arrival[i])
        clock.begin(max(arrival, heapq.heappop(free)))
        context: Mapping[str, float] = {"device_code": int(evening.devices[i]), "event_time": int(evening.time[i])}
        deadline = None if budget is None else Deadline(clock, arrival + budget)
        answer = server.rank(user, posts, context=context, deadline=deadline)
        heapq.heappush(free, clock.monotonic())
        scores[i, np.argsort(posts)] = -np.argsort(answer.posts).astype(np.float64)
        latency = clock.monotonic() - arrival
        failed = latency > patience or not set(answer.shares) <= set(rungs)
        rows.append(
            {
                "arrival": arrival,
                "latency": latency,
                "failed": failed,
                "model_version": answer.model_version,
                **{rung: answer.shares.get(rung, 0.0) for rung in RUNGS},
            }
        )
    frame = pd.DataFrame(rows)
    likes = evening.worth(scores)
    return frame.assign(likes=np.where(frame["failed"], 0.0, likes), oracle=evening.oracle)
