"""Breaker, single flight, shedding, deadlines, rate limits: on a virtual clock, but for what is about threads."""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys.core import VirtualClock
from mlsys.features.online import MemoryOnline, StoreUnavailable
from mlsys.features.timeline import NEVER
from mlsys.serving.resilience import (
    CallNotPermitted,
    CircuitBreaker,
    Deadline,
    GuardedOnline,
    LoadShedder,
    Overloaded,
    SingleFlight,
    TokenBucket,
)


def call(breaker: CircuitBreaker, clock: VirtualClock, *, fails: bool = False, seconds: float = 0.0) -> str:
    """What came of a call: ok, failed, or refused."""
    try:
        with breaker.call():
            clock.advance(seconds=seconds)
            if fails:
                raise ConnectionError
    except CallNotPermitted:
        return "refused"
    except ConnectionError:
        return "failed"
    return "ok"


class Reference:
    """The same state machine, written down naively: every rule of Resilience4j's page a line."""

    def __init__(self, window: int, minimum: int, wait: float, probes: int) -> None:
        self.window, self.minimum, self.wait, self.probes = window, minimum, wait, probes
        self.state, self.since, self.asked = "CLOSED", 0.0, 0
        self.calls: deque[tuple[bool, bool]] = deque(maxlen=window)

    def turn(self, state: str, now: float) -> None:
        self.state, self.since, self.asked, self.calls = state, now, 0, deque(maxlen=self.window)

    def permits(self, now: float) -> bool:
        if self.state != "CLOSED" and now - self.since >= self.wait:
            self.turn("HALF_OPEN", now)
        if self.state == "OPEN" or (self.state == "HALF_OPEN" and self.asked >= self.probes):
            return False
        self.asked += 1
        return True

    def ended(self, failed: bool, slow: bool, now: float) -> None:
        self.calls.append((failed, slow))
        enough = self.probes if self.state == "HALF_OPEN" else self.minimum
        if len(self.calls) >= enough:
            bad = max(sum(failed for failed, _ in self.calls), sum(slow for _, slow in self.calls))
            if bad / len(self.calls) >= 0.5:
                self.turn("OPEN", now)
            elif self.state == "HALF_OPEN":
                self.turn("CLOSED", now)


PAST, PAUSES = st.sampled_from([0.0, 2**-6, 2**-4]), st.sampled_from([0.0, 0.25, 1.0, 2.5])
"""Seconds that floating-point numbers hold exactly."""


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), PAST, PAUSES)))
def test_the_breaker_is_the_state_machine_of_its_page(trace: list[tuple[bool, float, float]]) -> None:
    clock, model = VirtualClock(), Reference(6, 4, 2.0, 2)
    breaker = CircuitBreaker(
        clock, sliding_window_size=6, minimum_number_of_calls=4, wait_duration_in_open_state=2.0,
        permitted_number_of_calls_in_half_open_state=2, slow_call_duration_threshold=2**-5,
    )  # fmt: skip
    for fails, seconds, pause in trace:
        expected = "refused"
        if model.permits(clock.monotonic()):
            expected = "failed" if fails else "ok"
            model.ended(fails, seconds >= 2**-5, clock.monotonic() + seconds)
        assert call(breaker, clock, fails=fails, seconds=seconds) == expected
        assert breaker.state == model.state
        clock.advance(seconds=pause)


def test_slow_calls_open_it_although_they_answer() -> None:
    clock = VirtualClock()
    breaker = CircuitBreaker(clock, minimum_number_of_calls=4, slow_call_duration_threshold=0.02)
    assert [call(breaker, clock, seconds=0.05) for _ in range(5)] == ["ok"] * 4 + ["refused"]
    assert breaker.not_permitted == 1 and [state for _, state in breaker.transitions] == ["OPEN"]


def test_probes_that_never_come_back_do_not_keep_it_half_open() -> None:
    clock = VirtualClock()
    breaker = CircuitBreaker(
        clock, minimum_number_of_calls=1, wait_duration_in_open_state=1, permitted_number_of_calls_in_half_open_state=1
    )
    call(breaker, clock, fails=True)
    clock.advance(seconds=1)
    lost = breaker.call()
    lost.__enter__()  # and nothing more is heard of it
    assert call(breaker, clock) == "refused" and breaker.state == "HALF_OPEN"
    clock.advance(seconds=1)
    assert call(breaker, clock) == "ok" and breaker.state == "CLOSED"
    lost.__exit__(None, None, None)


def test_a_call_from_before_it_opened_does_not_keep_it_open() -> None:
    clock = VirtualClock()
    breaker = CircuitBreaker(clock, minimum_number_of_calls=1, wait_duration_in_open_state=1)
    early = breaker.call()
    early.__enter__()
    call(breaker, clock, fails=True)
    clock.advance(seconds=0.9)
    early.__exit__(ConnectionError, ConnectionError(), None)
    clock.advance(seconds=0.1)
    assert call(breaker, clock) == "ok" and [state for _, state in breaker.transitions] == ["OPEN", "HALF_OPEN"]


def test_the_date_may_jump_and_the_breaker_does_not_mind() -> None:
    class Jumping(VirtualClock):
        def now(self) -> np.datetime64:
            return np.datetime64("1999-01-01", "us")

    clock = Jumping("2026-01-01")
    breaker = CircuitBreaker(clock, minimum_number_of_calls=1, wait_duration_in_open_state=5)
    call(breaker, clock, fails=True)
    clock.advance(seconds=4)
    assert call(breaker, clock) == "refused"
    clock.advance(seconds=1)
    assert call(breaker, clock) == "ok"


class Answers:
    """A store that gives what it is told to."""

    def __init__(self, values: np.ndarray, newest: np.ndarray) -> None:
        self.found: tuple[np.ndarray, np.ndarray] | None = (values, newest)

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return self.found


TODAY = int(np.datetime64("2026-01-01", "us").astype(np.int64))


@pytest.mark.parametrize(
    ("values", "newest"),
    [
        ([[1.0], [np.inf]], [TODAY, TODAY]),
        ([[1.0], [2.0]], [TODAY, TODAY + 2 * 86_400_000_000]),
        ([[1.0], [2.0]], [TODAY, -5]),
        ([[1.0]], [TODAY]),
    ],
)
def test_garbage_is_an_outage(values: list[list[float]], newest: list[int]) -> None:
    breaker = CircuitBreaker(VirtualClock(), minimum_number_of_calls=1)
    store = GuardedOnline(Answers(np.array(values, np.float32), np.array(newest)), breaker)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="garbage"):
        store.read("user", np.array([1, 2]))
    assert breaker.state == "OPEN"


def test_nulls_and_unknown_ids_are_no_garbage_and_a_lost_table_is_an_outage() -> None:
    answers = Answers(np.array([[1.0], [np.nan]], np.float32), np.array([TODAY, NEVER]))
    store = GuardedOnline(answers, CircuitBreaker(VirtualClock()))  # type: ignore[arg-type]
    assert store.read("user", np.array([1, 2])) is answers.found
    answers.found = None
    with pytest.raises(StoreUnavailable, match="lost table"):
        store.read("user", np.array([1, 2]))


def test_writes_go_past_the_guard() -> None:
    inner, breaker = MemoryOnline(), CircuitBreaker(VirtualClock(), minimum_number_of_calls=1)
    store = GuardedOnline(inner, breaker)
    call(breaker, VirtualClock(), fails=True)
    store.write("user", np.array([1]), np.array([[2.0]], np.float32), np.array([TODAY]))
    store.rename("user", "people")
    assert inner.read("people", np.array([1])) is not None


def together(n: int, work: Callable[[int], object]) -> list[object]:
    """`work(i)` in n threads that start at once; what each returned or raised."""
    found: list[object] = [None] * n
    barrier = threading.Barrier(n)

    def run(i: int) -> None:
        barrier.wait(10)
        try:
            found[i] = work(i)
        except Exception as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return found


def test_one_fetch_for_all_who_want_the_same_at_once() -> None:
    flights, fetched, all_wait = SingleFlight(), [], threading.Event()

    def fetch() -> int:
        fetched.append(1)
        while flights.shared < 7 and not all_wait.wait(0.001):
            pass
        return 42

    assert together(8, lambda _: flights.do("key", fetch)) == [42] * 8
    assert len(fetched) == 1 and flights.do("key", lambda: 43) == 43  # nothing is left behind


def test_an_error_reaches_all_who_waited_and_nobody_after_them() -> None:
    flights = SingleFlight()

    def fetch() -> int:
        while flights.shared < 3:
            pass
        raise StoreUnavailable("gone", why="a test", fix="none")

    found = together(4, lambda _: flights.do("key", fetch))
    assert all(isinstance(one, StoreUnavailable) for one in found)
    assert flights.do("key", lambda: 1) == 1


def test_another_key_is_not_held_up() -> None:
    flights, release = SingleFlight(), threading.Event()
    slow = threading.Thread(target=lambda: flights.do("slow", lambda: release.wait(20)))
    slow.start()
    assert flights.do("quick", lambda: 7) == 7
    release.set()
    slow.join(20)


def test_no_more_than_so_many_at_once() -> None:
    shedder, most, now, lock = LoadShedder(3), [0], [0], threading.Lock()
    full = threading.Event()

    def work(_: int) -> str:
        try:
            with shedder.admit():
                with lock:
                    now[0] += 1
                    most[0] = max(most[0], now[0])
                full.wait(0.2)
                with lock:
                    now[0] -= 1
        except Overloaded as error:
            assert error.retry_after == 1
            return "shed"
        return "done"

    found = together(12, work)
    assert most[0] == 3 and found.count("shed") == shedder.shed == 9 and shedder.in_flight == 0


def test_a_place_is_given_back_when_the_work_fails() -> None:
    shedder = LoadShedder(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), shedder.admit():
            1 / 0  # noqa: B018
    assert shedder.in_flight == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 3), max_size=40))
def test_a_bucket_never_gives_more_than_its_rate_and_burst(pauses: list[float]) -> None:
    clock = VirtualClock()
    bucket, given_ = TokenBucket(2.0, 5, clock), 0
    for pause in pauses:
        clock.advance(seconds=pause)
        given_ += bucket.try_acquire()
        assert given_ <= 5 + 2.0 * clock.monotonic() + 1e-6


def test_a_deadline_passes_once() -> None:
    clock = VirtualClock()
    deadline = Deadline.after(0.05, clock)
    clock.advance(seconds=0.049)
    assert not deadline.expired
    clock.advance(seconds=0.001)
    assert deadline.expired
