"""`mlsys serve` as a user meets it: real processes, signals, workers, a real Redis. Few, since each takes seconds."""

import importlib.util
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlsys.cli import main
from mlsys.core import SystemClock
from mlsys.orchestration import demo
from mlsys.training import LinearModel
from mlsys.training.registry import Registry

ASKED = {"user_id": 5, "candidates": list(range(900, 950))}
START = Path(__file__).resolve().parents[1] / "start.py"
TOKEN = {"Authorization": "Bearer token"}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Windows are others")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "system"
    demo.build(folder, users=300, days=6, morning=SystemClock().now())
    return folder


class Served:
    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    def ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=5, **said)

    def rank(self) -> dict[str, Any]:
        answer = self.ask("POST", "/v1/rank", json=ASKED)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def workers(self) -> list[int]:
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[Served]:
    port = free_port()
    log = folder.parent / f"{port}.log"
    command = [*launcher(), "serve", "--folder", str(folder), "--port", str(port), *options]
    quick = ["--set", "serving.reload_seconds=0.2", "--set", "serving.drain_seconds=0.5"]
    environ = {**os.environ, "MLSYS_ADMIN_TOKEN": "token", "MLSYS_VENV": sys.prefix}
    with log.open("wb") as out, subprocess.Popen([*command, *quick], env=environ, stdout=out, stderr=out) as process:
        served = Served(process, port, log)
        try:
            until(lambda: served.ask("GET", "/health/ready").status_code == 200, 60)
            yield served
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def launcher() -> list[str]:
    """`start.py`, as a user types it, if these tests run in its environment: signals have to pass through it."""
    start = runpy.run_path(str(START))
    stamp = Path(sys.prefix) / "mlsys.stamp"
    ours = stamp.exists() and stamp.read_text(encoding="utf-8") == start["wanted"]()
    return [sys.executable, str(START)] if ours else [sys.executable, "-m", "mlsys"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def redis_server() -> Iterator[tuple[int, Callable[[], object]]]:
    """Its port, and how to stop it. CI fails where there is none."""
    absent = [] if importlib.util.find_spec("redis") else ["the package redis (pip install redis)"]
    absent += [] if shutil.which("redis-server") else ["redis-server (apt-get install redis-server)"]
    if absent:
        missing = f"Redis is not tested: no {' and no '.join(absent)}"
        pytest.fail(missing) if os.environ.get("MLSYS_NEEDS_REDIS") else pytest.skip(missing)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
            yield port, lambda: (process.terminate(), process.wait(10))
        finally:
            process.terminate()


def until(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return
        except (httpx.TransportError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def events(served: Served, event: str) -> list[dict[str, Any]]:
    lines = [line for line in served.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    return [one for one in map(json.loads, lines) if one["event"] == event]


def test_sigterm_under_load_drops_nothing(folder: Path) -> None:
    statuses: list[int] = []

    def load(served: Served) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=5) as client:
            while True:
                try:
                    answer = client.post("/v1/rank", json=ASKED)
                except httpx.ConnectError:  # The door is closed: nothing was taken, and nothing lost.
                    return
                statuses.append(answer.status_code)
                ready.append(client.get("/health/ready").status_code)

    ready: list[int] = []
    with serve(folder) as served:
        threads = [threading.Thread(target=load, args=(served,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(20)
        served.process.wait(20)
        assert set(statuses) == {200} and len(statuses) > 30 and 503 in ready
        assert [one["event"] for one in events(served, "drain")] == ["drain"]
        assert "Traceback" not in served.log.read_text(encoding="utf-8")


def test_workers_are_told_together_add_up_and_come_back(folder: Path) -> None:
    with serve(folder, "--workers", "2", "--no-log-requests") as served:
        until(lambda: len(events(served, "ready")) == 2, 30)  # One that starts later has nothing to swap.
        registry = Registry(folder / "models.db", name="feed_like")
        model = registry.get("champion")
        assert isinstance(model, LinearModel)
        registry.register(LinearModel("second", model.signature, model.weights / 2, model.intercept))
        answer = served.ask("POST", "/admin/promote", json={"version": 2}, headers=TOKEN)
        assert answer.json() == {"champion": 2}
        until(lambda: {served.rank()["model_version"] for _ in range(20)} == {"second"})
        until(lambda: len(events(served, "swap")) == 2)  # One per worker.
        asked = sum(served.rank() is not None for _ in range(30))
        text = served.ask("GET", "/metrics").text
        (count,) = [line for line in text.splitlines() if line.startswith('mlsys_requests_total{route="/v1/rank"')]
        assert float(count.split()[-1]) >= asked + 20 and len(served.workers()) == 2
        before = served.workers()
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(served.workers()) == 2 and before[0] not in served.workers(), 20)
        assert served.rank()["model_version"] == "second"
        served.ask("POST", "/admin/rollback", json={}, headers=TOKEN)
        until(lambda: {served.rank()["model_version"] for _ in range(20)} == {"feed_like-1"})


def test_a_real_redis_goes_and_comes_back_and_nobody_is_refused(folder: Path) -> None:
    with redis_server() as (port, stop), serve(
        folder, "--materialize", "--set", f"serving.online=redis://127.0.0.1:{port}/0",
        "--set", "serving.prediction_ttl_seconds=0", "--set", "serving.feature_ttl_seconds=0.2",
    ) as served:  # fmt: skip
        usual = served.rank()
        assert usual["sources"]["fresh"] > 0.5
        until(lambda: "cached" in served.rank()["sources"])
        stop()
        until(lambda: "snapshot" in served.rank()["sources"])
        during = served.rank()
        assert during["posts"] == usual["posts"] and "fresh" in during["sources"]  # the request's own features
        until(lambda: served.rank() and "mlsys_breaker_open 1.0" in served.ask("GET", "/metrics").text)


def test_help_and_mistakes_teach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "curl" in capsys.readouterr().out
    assert main(["serve", "--set", "serving.max_inflight=3"]) == 2
    assert "did you mean 'serving.max_in_flight'?" in capsys.readouterr().err
    assert main(["serve", "--workers", "0"]) == 2
    (tmp_path / "other.txt").write_text("mine", encoding="utf-8")
    assert main(["serve", "--folder", str(tmp_path)]) == 2
    assert "posts.npz" in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["other.txt"]
