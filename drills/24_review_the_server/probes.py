"""Twenty probes of a server, against fakes on a virtual clock: each gives one figure, and the statuses it saw."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

FEATURES = ("likes", "age", "trust")
SECRET, TOKEN = "dsn=feed:hunter2@10.0.0.7", "t0ken-of-the-operators"
ENOUGH = 2_000
"""Reads after which a probe gives a request up."""


class GaveUp(BaseException):
    """A request that does not end: no `except Exception` of the server's may swallow it."""


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds since the start."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Later."""
        self.seconds += seconds


class Store:
    """Feature rows by id. The first `refuses` reads fail at once; a read before `hangs` seconds waits until then."""

    def __init__(self, clock: Clock, row: Callable[[int], dict[str, float]]) -> None:
        self.clock, self.row, self.reads, self.ids = clock, row, 0, 0
        self.refuses, self.hangs = 0.0, 0.0

    def read(self, ids: list[int], timeout: float | None = None) -> dict[int, dict[str, float]]:
        """Rows by id, or an `OSError`."""
        self.reads, self.ids = self.reads + 1, self.ids + len(ids)
        if self.reads > ENOUGH:
            raise GaveUp
        if self.reads <= self.refuses:
            raise ConnectionError("refused")
        wait = max(0.0, self.hangs - self.clock.now())
        if timeout is not None and timeout < wait:
            self.clock.sleep(timeout)
            raise TimeoutError("too slow")
        self.clock.sleep(wait)
        return {one: self.row(one) for one in ids}


class Model:
    """A linear model with a name."""

    features = FEATURES

    def __init__(self, name: str, weights: tuple[int, ...], broken: bool) -> None:
        self.name, self.version, self.weights, self.broken = name, f"{name}-1", weights, broken

    def predict(self, rows: list[list[float]]) -> list[float]:
        """One score a row."""
        if self.broken:
            raise RuntimeError(f"cannot reach {SECRET}")
        return [sum(w * x for w, x in zip(self.weights, row, strict=True)) for row in rows]


class Models:
    """Loads models, and counts."""

    def __init__(self, weights: tuple[int, ...]) -> None:
        self.weights, self.loads, self.broken = weights, 0, False

    def load(self, name: str) -> Model:
        """The model of that name."""
        self.loads += 1
        return Model(name, self.weights, self.broken)


class Metrics:
    """Counters by name and labels; durations."""

    def __init__(self) -> None:
        self.counters: Counter[tuple[Any, ...]] = Counter()
        self.seen: list[float] = []

    def count(self, name: str, n: int = 1, **labels: Any) -> None:
        """One more, or n."""
        self.counters[name, *sorted(labels.items())] += n

    def observe(self, name: str, value: float) -> None:
        """One duration."""
        self.seen.append(value)


CALLS: list[int] = []


def called() -> dict[str, float]:
    """What the uploaded bytes call."""
    CALLS.append(1)
    return {}


class Upload:
    """Bytes that call something when they are unpickled."""

    def __reduce__(self) -> tuple[Callable[[], dict[str, float]], tuple[()]]:
        return called, ()


class Bench:
    """A fresh server of this source between fakes."""

    def __init__(self, code: Any, f: dict[str, Any], broken: bool = False) -> None:
        self.f, self.clock, self.metrics, self.log = f, Clock(), Metrics(), list[str]()
        names: dict[str, Any] = {"__name__": "reviewed"}
        exec(code, names)
        self.store, self.models = Store(self.clock, self.row), Models(f["weights"])
        self.models.broken, self.no_likes, self.statuses = broken, set[int](), list[int]()
        self.server = names["Server"](self.store, self.models, {}, self.clock, lambda: 0.5, self.metrics,
                                      self.log.append, TOKEN)  # fmt: skip

    def row(self, one: int) -> dict[str, float]:
        """Users have trust, posts the rest; fields in the order of the store."""
        if one < 1_000:
            return {"trust": float(self.f["trust"])}
        likes = math.nan if one in self.no_likes else float(self.f["likes"])
        return {"age": float(self.f["age"]), "likes": likes}

    def rank(self, user: int, posts: list[int]) -> dict[str, Any]:
        """The body; empty if the request does not end."""
        try:
            status, body = self.server.rank({"user": user, "posts": posts})
        except GaveUp:
            status, body = 0, {}
        self.statuses.append(status)
        return dict(body)


def posts(n: int, first: int = 1_001) -> list[int]:
    """Ids of posts."""
    return list(range(first, first + n))


def run(name: str, code: Any, f: dict[str, Any]) -> tuple[float, tuple[int, ...]]:
    """A probe's figure, and the statuses of its calls."""
    bench = Bench(code, f, broken=name.startswith("broken"))
    found = float(PROBES[name](bench, int(f["n"])))
    return round(found, 3), tuple(bench.statuses)


def _other_list(b: Bench, n: int) -> float:
    b.rank(1, posts(n))
    return len(set(b.rank(1, posts(n + 2, 2_001)).get("posts", ())) - set(posts(n + 2, 2_001)))


def _after_swap(b: Bench, n: int) -> float:
    for user in range(1, n + 1):
        b.rank(user, posts(3))
    b.statuses.append(b.server.swap("second", TOKEN))
    return sum(b.rank(user, posts(3)).get("by") == "first-1" for user in range(1, n + 1))


def _hour_later(b: Bench, n: int) -> float:
    b.rank(1, posts(n))
    b.clock.sleep(3_600)
    b.rank(1, posts(n))
    return b.store.reads


def _many_users(b: Bench, n: int) -> float:
    for user in range(1, b.f["crowd"] + 1):
        b.rank(user, posts(2))
    return len(b.server.cache)


def _back_again(b: Bench, n: int) -> float:
    b.store.refuses = b.f["tries"]
    return sum(b.rank(1, posts(3)).get("by") == "likes" for _ in range(n))


def _store_gone(b: Bench, n: int) -> float:
    b.store.refuses = math.inf
    for user in range(1, n + 1):
        b.rank(user, posts(3))
    return b.statuses.count(200)


def _one_score(b: Bench, n: int) -> float:
    return float(b.rank(1, posts(1)).get("scores", [0.0])[0])


def _no_likes(b: Bench, n: int) -> float:
    b.no_likes = set(posts(n))
    return sum(not math.isfinite(one) for one in b.rank(1, posts(n + 3)).get("scores", ()))


def _store_hangs(b: Bench, n: int) -> float:
    b.store.hangs = float(b.f["hang"])
    b.rank(1, posts(3))
    return b.clock.now()


def _refused(b: Bench, n: int) -> float:
    b.store.refuses = b.f["refusals"]
    b.rank(1, posts(3))
    return b.store.reads


def _long_list(b: Bench, n: int) -> float:
    b.rank(1, posts(10 * b.f["most"]))
    return b.store.ids


def _loads(b: Bench, n: int) -> float:
    for user in range(1, n + 1):
        b.rank(user, posts(3))
    return b.models.loads


def _broken_text(b: Bench, n: int) -> float:
    return sum(SECRET in str(b.rank(user, posts(3))) for user in range(1, n + 1))


def _ready_down(b: Bench, n: int) -> float:
    b.store.refuses = math.inf
    b.statuses.append(b.server.ready())
    return b.statuses[0]


def _series(b: Bench, n: int) -> float:
    for user in range(1, n + 1):
        b.rank(user, posts(3))
    return sum(key[0] == "requests" for key in b.metrics.counters)


def _repeated(b: Bench, n: int) -> float:
    for _ in range(n):
        b.rank(1, posts(5))
    return b.metrics.counters[("scored",)]


def _broken_timed(b: Bench, n: int) -> float:
    for user in range(1, n + 1):
        b.rank(user, posts(3))
    return len(b.metrics.seen)


def _swap_log(b: Bench, n: int) -> float:
    b.statuses += [b.server.swap("second", TOKEN) for _ in range(n)]
    return sum(TOKEN in line for line in b.log)


def _wrong_token(b: Bench, n: int) -> float:
    b.statuses += [b.server.swap("second", "guess") for _ in range(n)]
    return b.statuses.count(200)


def _uploads(b: Bench, n: int) -> float:
    CALLS.clear()
    b.statuses += [b.server.upload(pickle.dumps(Upload()), TOKEN) for _ in range(n)]
    return len(CALLS)


PROBES: dict[str, Callable[[Bench, int], float]] = {
    "other_list": _other_list, "after_swap": _after_swap, "hour_later": _hour_later, "many_users": _many_users,
    "back_again": _back_again, "store_gone": _store_gone, "one_score": _one_score, "no_likes": _no_likes,
    "store_hangs": _store_hangs, "refused": _refused, "long_list": _long_list, "loads": _loads,
    "broken_text": _broken_text, "ready_down": _ready_down, "series": _series, "repeated": _repeated,
    "broken_timed": _broken_timed, "swap_log": _swap_log, "wrong_token": _wrong_token, "uploads": _uploads,
}  # fmt: skip
