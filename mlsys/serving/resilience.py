"""What keeps a server answering when something behind or before it fails: one small class per mechanism.

Each takes the clock, counts what it did, and is safe between threads. Vocabulary and states of the breaker are
Resilience4j's (https://resilience4j.readme.io/docs/circuitbreaker); shedding and deadlines are those of Beyer et al.,
Site Reliability Engineering (2016), ch. 21 and 22.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import TypeVar

import numpy as np

from mlsys.core import Clock, MlsysError, microseconds
from mlsys.features.online import OnlineStore, StoreUnavailable
from mlsys.features.timeline import NEVER

T = TypeVar("T")
DAY = 86_400_000_000


class CallNotPermitted(StoreUnavailable):
    """The circuit breaker is open: the call was not made."""


class Overloaded(MlsysError):
    """More requests wait than the server takes; `retry_after` in seconds."""

    def __init__(self, what: str, *, why: str, fix: str, retry_after: int) -> None:
        super().__init__(what, why=why, fix=fix)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Deadline:
    """When an answer is no use any more. What comes after skips the work that nobody waits for.

    >>> from mlsys.core import VirtualClock
    >>> clock = VirtualClock()
    >>> deadline = Deadline.after(0.050, clock)
    >>> clock.advance(seconds=0.06)
    >>> deadline.expired
    True
    """

    clock: Clock
    at: float

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """The deadline so many seconds from now."""
        return cls(clock, clock.monotonic() + seconds)

    @property
    def expired(self) -> bool:
        """Nobody waits any longer."""
        return self.clock.monotonic() >= self.at


class CircuitBreaker:
    """Stops calling what fails, or is slow, and looks again after a while.

    CLOSED: calls go through; once `minimum_number_of_calls` of the last `sliding_window_size` are known, a share of
    failures or of slow calls at its threshold opens it. OPEN: no call for `wait_duration_in_open_state`. HALF_OPEN:
    `permitted_number_of_calls_in_half_open_state` probes go through, and decide by the same thresholds. Seconds.

    >>> from mlsys.core import VirtualClock
    >>> breaker = CircuitBreaker(VirtualClock(), minimum_number_of_calls=2)
    >>> for _ in range(2):
    ...     try:
    ...         with breaker.call():
    ...             raise ConnectionError("refused")
    ...     except ConnectionError:
    ...         pass
    >>> breaker.state
    'OPEN'
    """

    def __init__(
        self,
        clock: Clock,
        *,
        failure_rate_threshold: float = 0.5,
        slow_call_rate_threshold: float = 0.5,
        slow_call_duration_threshold: float = 0.02,
        sliding_window_size: int = 50,
        minimum_number_of_calls: int = 10,
        wait_duration_in_open_state: float = 5.0,
        permitted_number_of_calls_in_half_open_state: int = 5,
    ) -> None:
        self.clock = clock
        self.failure_rate_threshold, self.slow_call_rate_threshold = failure_rate_threshold, slow_call_rate_threshold
        self.slow_call_duration_threshold = slow_call_duration_threshold
        self.minimum_number_of_calls = minimum_number_of_calls
        self.wait_duration_in_open_state = wait_duration_in_open_state
        self.permitted = permitted_number_of_calls_in_half_open_state
        self._calls: deque[tuple[bool, bool]] = deque(maxlen=sliding_window_size)
        self._state, self._since, self._probes, self._lock = "CLOSED", clock.monotonic(), 0, Lock()
        self.not_permitted = 0
        self.transitions: list[tuple[float, str]] = []

    @property
    def state(self) -> str:
        """CLOSED, OPEN or HALF_OPEN. An open breaker turns half-open at the first call after its wait."""
        return self._state

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around the call: raises `CallNotPermitted` instead of making it; any exception counts as a failure."""
        self._acquire()
        start, failed = self.clock.monotonic(), True
        try:
            yield
            failed = False
        finally:
            self._record(failed, self.clock.monotonic() - start >= self.slow_call_duration_threshold)

    def _acquire(self) -> None:
        with self._lock:
            waited = self.clock.monotonic() - self._since
            # Also from HALF_OPEN: probes that never came back do not keep it there for ever.
            if self._state != "CLOSED" and waited >= self.wait_duration_in_open_state:
                self._turn("HALF_OPEN")
            if self._state == "OPEN" or (self._state == "HALF_OPEN" and self._probes >= self.permitted):
                self.not_permitted += 1
                raise CallNotPermitted(
                    "the circuit breaker is open",
                    why="the last calls failed or were slow; another would only make this request late too",
                    fix=f"it tries again within {self.wait_duration_in_open_state:g} s; serve from the next rung",
                )
            self._probes += self._state == "HALF_OPEN"

    def _record(self, failed: bool, slow: bool) -> None:
        with self._lock:
            if self._state == "OPEN":  # A call from before it opened.
                return
            self._calls.append((failed, slow))
            enough = self.permitted if self._state == "HALF_OPEN" else self.minimum_number_of_calls
            if len(self._calls) < enough:
                return
            failures, slows = (sum(column) / len(self._calls) for column in zip(*self._calls, strict=True))
            if failures >= self.failure_rate_threshold or slows >= self.slow_call_rate_threshold:
                self._turn("OPEN")
            elif self._state == "HALF_OPEN":
                self._turn("CLOSED")

    def _turn(self, state: str) -> None:
        now = self.clock.monotonic()
        if state != self._state:
            self.transitions.append((now, state))
        self._state, self._since, self._probes = state, now, 0
        self._calls.clear()


class GuardedOnline:
    """An `OnlineStore` behind a circuit breaker, whose answers are looked at before they are believed.

    A table that is not there is an outage too: servers are started on features that are online.
    """

    def __init__(self, store: OnlineStore, breaker: CircuitBreaker) -> None:
        self.store, self.breaker = store, breaker

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """See `OnlineStore.read`."""
        with self.breaker.call():
            found = self.store.read(table, ids)
            if found is None:
                raise StoreUnavailable(
                    f"the online store has lost table {table!r}",
                    why="it is empty, or another one than before",
                    fix="materialize the features again; a server answers from the next rung meanwhile",
                )
            self._plausible(table, len(ids), *found)
        return found

    def _plausible(self, table: str, rows: int, values: np.ndarray, newest: np.ndarray) -> None:
        latest = int(microseconds(self.breaker.clock.now())) + DAY
        strange = (newest > latest) | ((newest < 0) & (newest != NEVER))
        if len(values) != rows or np.isinf(values).any() or strange.any():
            raise StoreUnavailable(
                f"the online store answers garbage for table {table!r}",
                why=f"{len(values)} rows for {rows} ids, infinite numbers, or events from the future",
                fix="find out who writes there; a server answers from the next rung meanwhile",
            )

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """See `OnlineStore.write`; not guarded: a job that writes wants to know."""
        self.store.write(table, ids, values, newest, replace=replace)

    def rename(self, table: str, to: str) -> None:
        """See `OnlineStore.rename`."""
        self.store.rename(table, to)


class SingleFlight:
    """Of callers who want the same thing at the same time one fetches it, and all get that answer or its error.

    Without it, a popular key that expires is fetched by everybody at once: a cache stampede.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}
        self._lock, self.shared = Lock(), 0

    def do(self, key: Hashable, fetch: Callable[[], T]) -> T:
        """`fetch()`, or what another thread's fetch of the same key brings meanwhile."""
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight(Event())
            else:
                self.shared += 1
        if not leads:
            flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            return flight.value  # type: ignore[return-value]
        try:
            flight.value = fetch()
            return flight.value
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()


@dataclass
class _Flight:
    landed: Event
    value: object = None
    error: BaseException | None = None


class LoadShedder:
    """Takes at most `max_in_flight` requests at once, and says no to the rest while saying no is still cheap.

    >>> shedder = LoadShedder(1)
    >>> with shedder.admit():
    ...     with shedder.admit():
    ...         pass
    Traceback (most recent call last):
    mlsys.serving.resilience.Overloaded: 1 requests are being answered
      why: one more would make all of them late
      do:  try again after 1 s
    """

    def __init__(self, max_in_flight: int, *, retry_after: int = 1) -> None:
        self.max_in_flight, self.retry_after = max_in_flight, retry_after
        self.in_flight = self.shed = 0
        self._lock = Lock()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Around a request; raises `Overloaded`."""
        with self._lock:
            if self.in_flight >= self.max_in_flight:
                self.shed += 1
                raise Overloaded(
                    f"{self.in_flight} requests are being answered",
                    why="one more would make all of them late",
                    fix=f"try again after {self.retry_after} s",
                    retry_after=self.retry_after,
                )
            self.in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1


class TokenBucket:
    """`rate` tokens a second, at most `burst` at once: a rate limit that forgives short bursts.

    >>> from mlsys.core import VirtualClock
    >>> clock = VirtualClock()
    >>> bucket = TokenBucket(1.0, 2, clock)
    >>> [bucket.try_acquire() for _ in range(3)], clock.advance(seconds=1), bucket.try_acquire()
    ([True, True, False], None, True)
    """

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._tokens, self._at, self._lock = float(burst), clock.monotonic(), Lock()

    def try_acquire(self) -> bool:
        """Take a token if there is one."""
        with self._lock:
            now = self.clock.monotonic()
            self._tokens, self._at = min(self.burst, self._tokens + (now - self._at) * self.rate), now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
