"""The cases of `prove.py`: what is broken, when, and what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from client import Answer, Crowd
from proxy import Proxy

from mlsys.config import SystemConfig
from mlsys.core import SystemClock, microseconds
from mlsys.orchestration import demo
from mlsys.orchestration.traffic import Evening
from mlsys.serving import RUNGS
from mlsys.serving.deployment import open_deployment
from mlsys.training import LinearModel, TreeModel
from mlsys.training.registry import Registry

DEVICES = ("iOS", "Android", "Web")
TOKEN = "only for this test"
LATE = 0.05
"""Seconds: the promise of ServingConfig, p99."""


@dataclass
class Found:
    """What came of a case: failed, retried and shed over all of it, the rest while the fault lasted. `kept`: expected
    likes, as a share of what a server whose store is well earns from the same sessions."""

    case: str
    what: str
    requests: int
    failed: int
    retried: int
    shed: int
    p50_ms: float
    p99_ms: float
    sources: dict[str, float]
    kept: float
    recovery_s: float
    span: tuple[float, float]
    note: str = ""
    series: dict[str, list[float]] = field(default_factory=dict)

    def line(self) -> str:
        """For the terminal."""
        mix = ", ".join(f"{name} {share:.0%}" for name, share in self.sources.items() if share >= 0.005)
        return (
            f"{self.case:<12} {self.requests:>6,} requests, {self.failed} failed, {self.shed} shed, "
            f"p99 {self.p99_ms:.0f} ms, kept {self.kept:.1%}, "
            f"back after {self.recovery_s:.1f} s; {mix}. {self.note}"
        )


class Bed:
    """A folder with a trained system, its people, a Redis with the same vectors, and a proxy before it."""

    def __init__(self, folder: Path, rate: float, seconds: float) -> None:
        self.folder, self.rate, self.seconds = folder, rate, seconds
        self.before, self.after = max(3.0, seconds / 3), max(10.0, seconds / 2)
        self._closing: list[Callable[[], None]] = []

    def __enter__(self) -> Bed:
        self.world = demo.build(self.folder / "serving", morning=SystemClock().now())
        length = self.before + self.seconds + self.after
        self.evening = Evening(self.world, seconds=length)
        self.usual = self.evening.worth(self._healthy_scores())
        self.redis_port = self._redis()
        self.proxy = Proxy(self.redis_port)
        self.proxy.__enter__()
        self._closing.append(lambda: self.proxy.__exit__(None, None, None))
        demo.materialize(self.folder / "serving", f"redis://127.0.0.1:{self.redis_port}/0", SystemClock())
        return self

    def __exit__(self, *_: object) -> None:
        for close in reversed(self._closing):
            close()

    def _redis(self) -> int:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        self._closing += [lambda: process.wait(10) and None, process.terminate]
        wait_for(lambda: socket.create_connection(("127.0.0.1", port), 0.2).close() is None, 10)
        return port

    def _healthy_scores(self) -> np.ndarray:
        """What a server answers whose store is well: what every answer is compared with."""
        clock = SystemClock()
        server = open_deployment(self.folder / "serving", SystemConfig(), clock).server
        context = {
            "device_code": self.evening.devices,
            "event_time": np.full(len(self.evening.users), microseconds(clock.now()), np.float64),
        }
        each = self.evening.posts.shape[1]
        scored = server.score(
            np.repeat(self.evening.users, each),
            self.evening.posts.ravel(),
            {name: np.repeat(column, each) for name, column in context.items()},
        )
        return scored.scores.reshape(self.evening.posts.shape)

    def server(self, *settings: str, workers: int = 1, redis: bool = True, date: Path | None = None) -> Server:
        """`mlsys serve` on this folder."""
        wanted = list(settings)
        if redis:
            wanted.append(f"serving.online=redis://127.0.0.1:{self.proxy.port}/0")
        return Server(self.folder / "serving", wanted, workers, date)

    def crowd(
        self,
        port: int,
        events: Sequence[tuple[float, Callable[[], Awaitable[None] | None]]] = (),
        rate: Callable[[float], float] | None = None,
        people: int | None = None,
    ) -> tuple[list[Answer], np.ndarray]:
        """The evening's sessions, over and over, at the bed's rate or `rate(second)`; answers and who asked each.

        people : only so many different sessions.
        """
        length = self.before + self.seconds + self.after
        rng, speed = np.random.default_rng(13), rate or (lambda _: self.rate)
        gaps, due, now = rng.exponential(size=200_000), list[float](), 0.0
        for gap in gaps:
            now += gap / speed(now)
            if now >= length:
                break
            due.append(now)
        who = np.arange(len(due)) % (people or len(self.evening.users))
        encode = msgspec.json.encode
        bodies = [
            encode(
                {
                    "user_id": int(self.evening.users[i]),
                    "candidates": self.evening.posts[i].tolist(),
                    "device": None if self.evening.devices[i] < 0 else DEVICES[self.evening.devices[i]],
                }
            )
            for i in range(len(self.evening.users))
        ]
        answers = asyncio.run(Crowd(port).run([bodies[i] for i in who], np.array(due), events))
        return answers, who

    def judge(self, case: str, what: str, answers: Sequence[Answer], who: np.ndarray, note: str = "") -> Found:
        """Counts, latencies, engagement, recovery."""
        due = np.array([answer.due for answer in answers])
        status = np.array([answer.status for answer in answers])
        latency = np.array([answer.latency for answer in answers])
        likes = self._likes(answers, who)
        usual = self.usual[who]
        mix = np.array([[_sources(answer).get(rung, 0.0) for rung in RUNGS] for answer in answers])
        begin, end = self.before, self.before + self.seconds
        if lost := [answer for answer in answers if answer.status not in (200, 503)]:
            one = lost[0]
            note += f" first failure: second {one.due:.1f}, status {one.status}, {one.error or one.body}"
        inside = (due >= begin) & (due < end)
        ok = status == 200
        worse = ~ok | (latency > LATE) | (mix[:, 2] + mix[:, 4] > 0)
        second = np.minimum(due.astype(int), int(due[-1]))
        counts = np.maximum(np.bincount(second), 1)
        bad = np.flatnonzero(np.bincount(second, worse) > 0.05 * counts)
        back = max(0.0, float(bad[-1] + 1 - end)) if len(bad) else 0.0
        return Found(
            case,
            what,
            int(inside.sum()),
            int((~ok & (status != 503)).sum()),
            int(sum(answer.tries > 1 for answer in answers)),
            int((status == 503).sum()),
            1e3 * float(np.median(latency[inside])),
            1e3 * float(np.quantile(latency[inside], 0.99)),
            dict(zip(RUNGS, mix[inside & ok].mean(axis=0).tolist(), strict=True)) if (inside & ok).any() else {},
            float(likes[inside].sum() / usual[inside].sum()),
            back,
            (begin, end),
            note,
            {
                "kept": (np.bincount(second, likes) / np.maximum(np.bincount(second, usual), 1e-9)).tolist(),
                "p99_ms": [
                    1e3 * float(np.quantile(latency[second == s], 0.99)) if (second == s).any() else 0.0
                    for s in range(len(counts))
                ],
                **{rung: (np.bincount(second, mix[:, i]) / counts).tolist() for i, rung in enumerate(RUNGS)},
            },
        )

    def _likes(self, answers: Sequence[Answer], who: np.ndarray) -> np.ndarray:
        """Expected likes of each answer: each round of the evening is valued as a whole."""
        sessions, out = len(self.evening.users), np.zeros(len(answers))
        for first in range(0, len(answers), sessions):
            part = answers[first : first + sessions]
            scores = np.zeros(self.evening.posts.shape)
            for i, answer in zip(who[first : first + sessions].tolist(), part, strict=True):
                if answer.status == 200 and answer.body is not None:
                    order = np.asarray(answer.body["posts"])
                    scores[i, np.argsort(self.evening.posts[i])] = -np.argsort(order).astype(np.float64)
            worth = self.evening.worth(scores)
            answered = np.array([answer.status == 200 for answer in part])
            out[first : first + len(part)] = np.where(answered, worth[who[first : first + sessions]], 0.0)
        return out


class Server:
    """A running `mlsys serve`; its log lines in a file."""

    def __init__(self, folder: Path, settings: Sequence[str], workers: int, date: Path | None) -> None:
        self.port, self._environ = free_port(), {**os.environ, "MLSYS_ADMIN_TOKEN": TOKEN}
        self.log = folder.parent / f"serve-{self.port}.log"
        program = ["-m", "mlsys"] if date is None else [str(Path(__file__).with_name("jumping.py")), str(date)]
        command = [sys.executable, *program, "serve", "--folder", str(folder), "--port", str(self.port)]
        command += ["--workers", str(workers), "--no-log-requests"]
        command += [part for setting in settings for part in ("--set", setting)]
        self._log, self._command = self.log.open("ab"), command
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def __enter__(self) -> Server:
        wait_for(lambda: self.get("/health/ready")[0] == 200, 60)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._log.close()

    def events(self) -> list[dict[str, object]]:
        """What the server logged, but for requests."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [one for one in found if isinstance(one, dict)]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text."""
        return self._call(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}"))

    def admin(self, what: str, **body: object) -> tuple[int, str]:
        """POST /admin/..., with the token."""
        return self._call(
            urllib.request.Request(
                f"http://127.0.0.1:{self.port}/admin/{what}",
                data=json.dumps(body).encode(),
                headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            )
        )

    @staticmethod
    def _call(request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def store_case(name: str, what: str, mode: str, size: float = 1.0) -> Callable[[Bed], Found]:
    """The proxy misbehaves while the fault lasts."""

    def run(bed: Bed) -> Found:
        def turn(to: str) -> Callable[[], None]:
            def now() -> None:
                bed.proxy.mode, bed.proxy.size = to, size

            return now

        with bed.server("serving.feature_ttl_seconds=5", "serving.prediction_ttl_seconds=0") as server:
            answers, who = bed.crowd(server.port, [(bed.before, turn(mode)), (bed.before + bed.seconds, turn("pass"))])
        bed.proxy.mode = "pass"
        return bed.judge(name, what, answers, who)

    return run


def surge(bed: Bed) -> Found:
    """Ten times the requests while it lasts."""
    peak = 10 * bed.rate

    def rate(second: float) -> float:
        return peak if bed.before <= second < bed.before + bed.seconds else bed.rate

    with bed.server("serving.prediction_ttl_seconds=0", redis=False) as server:
        answers, who = bed.crowd(server.port, rate=rate)
    return bed.judge("surge", f"{peak:.0f} requests a second instead of {bed.rate:.0f}", answers, who)


def killed(bed: Bed) -> Found:
    """One of two workers is killed, and comes back."""
    with bed.server("serving.prediction_ttl_seconds=0", workers=2, redis=False) as server:

        def kill() -> None:
            os.kill(children(server.process.pid)[0], signal.SIGKILL)

        answers, who = bed.crowd(server.port, [(bed.before, kill)])
        left = len(children(server.process.pid))
    return bed.judge("killed", "kill -9 of one of two workers", answers, who, f"workers at the end: {left}")


def surge_answered_late(bed: Bed) -> Found:
    """The same without shedding: everybody waits."""
    peak = 10 * bed.rate

    def rate(second: float) -> float:
        return peak if bed.before <= second < bed.before + bed.seconds else bed.rate

    with bed.server("serving.prediction_ttl_seconds=0", "serving.max_in_flight=100000", redis=False) as server:
        answers, who = bed.crowd(server.port, rate=rate)
    return bed.judge("no shedding", f"the same {peak:.0f} a second, nobody is refused", answers, who)


def stampede(bed: Bed) -> Found:
    """Twenty popular requests, ten times as often, whose features all expire together, on a store that takes 15 ms."""
    bed.proxy.mode, bed.proxy.size = "slow", 0.015
    settings = ("serving.feature_ttl_seconds=3", "serving.prediction_ttl_seconds=0", "serving.store_timeout_ms=100")
    with bed.server(*settings) as server:
        before = bed.proxy.answers
        answers, who = bed.crowd(server.port, rate=lambda _: 3 * bed.rate, people=20)
        reads = bed.proxy.answers - before
    bed.proxy.mode = "pass"
    note = f"{reads:,} reads of the store for {len(answers):,} requests of 4 views each"
    return bed.judge("stampede", "twenty popular requests expire together; a read takes 15 ms", answers, who, note)


def clock_jump(bed: Bed) -> Found:
    """The machine's date jumps by two days, and back; its monotonic clock does not."""
    file = bed.folder / "offset"

    def jump(days: int) -> Callable[[], None]:
        def now() -> None:
            with file.open("r+b") as found:
                found.write(struct.pack("<q", days * 86_400_000_000))

        return now

    file.write_bytes(bytes(8))
    with bed.server("serving.prediction_ttl_seconds=1", "serving.feature_ttl_seconds=5", date=file) as server:
        answers, who = bed.crowd(server.port, [(bed.before, jump(-2)), (bed.before + bed.seconds, jump(0))])
    return bed.judge("clock jump", "the date jumps back by two days, and forth again", answers, who)


def deploy(bed: Bed) -> Found:
    """A new release: the supervisor replaces one worker after the other."""
    with bed.server("serving.prediction_ttl_seconds=0", workers=2, redis=False) as server:
        old = children(server.process.pid)
        answers, who = bed.crowd(server.port, [(bed.before, lambda: server.process.send_signal(signal.SIGHUP))])
        new = children(server.process.pid)
    note = f"{len(set(new) - set(old))} of {len(new)} workers are new at the end"
    return bed.judge("deploy", "SIGHUP: workers drain and are replaced", answers, who, note)


def push_case(name: str, what: str, push: Callable[[Bed, Server, Registry], str]) -> Callable[[Bed], Found]:
    """Somebody puts a model where the champion was, or tries it on a few."""

    def run(bed: Bed) -> Found:
        said: list[str] = []
        with bed.server("serving.prediction_ttl_seconds=0", "serving.reload_seconds=0.5", redis=False) as server:
            registry = Registry(bed.folder / "serving" / "models.db", name="feed_like")
            champion = registry.get_model_version_by_alias("feed_like", "champion").version

            async def now() -> None:
                said.append(await asyncio.to_thread(push, bed, server, registry))

            answers, who = bed.crowd(server.port, [(bed.before, now)])
            events = [line for line in server.events() if line.get("event") in ("refused", "roll_back", "swap")]
            registry.set_registered_model_alias("feed_like", "champion", champion)
        versions = {str((answer.body or {}).get("model_version")) for answer in answers if answer.status == 200}
        last = events[-1] if events else {}
        seen = f"model versions seen: {', '.join(sorted(versions))}"
        note = f"{said[0]}; last event: {last.get('event')}: {str(last.get('detail'))[:120]}; {seen}"
        return bed.judge(name, what, answers, who, note)

    return run


def corrupt(bed: Bed, server: Server, registry: Registry) -> str:
    """A good model is registered and made champion, and its bytes are damaged on the disk."""
    model = registry.get("champion")
    assert isinstance(model, LinearModel)
    made = register(registry, replace(model, version="corrupt"))
    registry.set_registered_model_alias("feed_like", "champion", made)
    with sqlite3.connect(registry.path or "") as db:
        db.execute("update versions set artifact = substr(artifact, 1, 300) where version = ?", (made,))
    db.close()
    return "a truncated artifact became champion"


def missigned(bed: Bed, server: Server, registry: Registry) -> str:
    """A model that wants features which this store does not have."""
    model = registry.get("champion")
    assert isinstance(model, LinearModel)
    features = tuple(name.replace("user:", "person:") for name in model.signature.features)
    other = replace(model, version="missigned", signature=replace(model.signature, features=features))
    registry.set_registered_model_alias("feed_like", "champion", register(registry, other))
    return "a model with unknown features became champion"


def reversed_canary(bed: Bed, server: Server, registry: Registry) -> str:
    """Weights in the wrong order: every check passes, every answer is wrong. Shadow first."""
    model = registry.get("champion")
    assert isinstance(model, LinearModel)
    made = register(registry, replace(model, version="reversed", weights=model.weights[::-1].copy()))
    status, _ = server.admin("shadow", version=made)
    return f"a model that reads its features in reverse goes into the shadow ({status})"


def slow_canary(bed: Bed, server: Server, registry: Registry) -> str:
    """A good model that takes fifty times as long, for a tenth of the users."""
    model = registry.get("champion")
    assert isinstance(model, LinearModel)
    rng = np.random.default_rng(13)
    X = pd.DataFrame(rng.random((3_000, len(model.signature.features))), columns=list(model.signature.features))
    liked = (X.iloc[:, 0] > rng.random(len(X))).to_numpy()
    made = register(registry, TreeModel.fit(X, liked, version="slow", max_iter=1_500))
    status, _ = server.admin("canary", version=made, share=0.1)
    return f"1,500 trees go to a tenth of the users ({status})"


def register(registry: Registry, model: LinearModel | TreeModel) -> int:
    """A new version of the registry; its number."""
    registry.register(model)
    return registry.models[model.version].version


def children(pid: int) -> list[int]:
    """Worker processes: children that have a socket's work to do, not multiprocessing's resource tracker."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    """Until it holds; errors of connections count as no."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError("not ready in time")


def _sources(answer: Answer) -> dict[str, float]:
    body = answer.body or {}
    found = body.get("sources")
    return found if isinstance(found, dict) else {}


CASES: dict[str, Callable[[Bed], Found]] = {
    "healthy": store_case("healthy", "nothing", "pass"),
    "slow": store_case("slow", "every answer of the store takes 200 ms", "slow", 0.2),
    "flaky": store_case("flaky", "a third of the store's connections break", "flaky", 0.33),
    "gone": store_case("gone", "the store does not answer", "gone"),
    "garbage": store_case("garbage", "a tenth of the store's bytes are other ones", "garbage", 0.1),
    "surge": surge,
    "no shedding": surge_answered_late,
    "stampede": stampede,
    "clock jump": clock_jump,
    "killed": killed,
    "deploy": deploy,
    "corrupt": push_case("corrupt", "a truncated model becomes champion", corrupt),
    "mis-signed": push_case("mis-signed", "a model with unknown features becomes champion", missigned),
    "reversed": push_case("reversed", "a model reads its features in reverse order; shadow", reversed_canary),
    "slow model": push_case("slow model", "a model takes fifty times as long; canary of a tenth", slow_canary),
}
