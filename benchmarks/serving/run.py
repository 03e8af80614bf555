"""The model server beside what one would otherwise put around the same scorer.

    python benchmarks/serving/run.py --peers .peers-serving/bin/python       # about ten minutes
    python benchmarks/serving/run.py --rounds 1 --seconds 1 --out work/benchmark

One process each, server and load generator on different cores. Rounds go through all servers in turn; a cell is the
median over rounds, a ratio the median of the ratios within a round. All but the naive one have to give the same posts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import load
import numpy as np

from mlsys.core import SystemClock
from mlsys.orchestration import demo

HERE = Path(__file__).resolve().parent
SERVERS = ("naive", "fastapi", "bare", "bentoml", "mlflow", "ours", "ours, cached", "ours, no gc.freeze")
PEERS = ("bentoml", "mlflow")
SIZES = (1, 100, 500)
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
Runs = dict[str, list[dict[str, float]]]


def main() -> None:
    """Measure, compare answers, write results.md and serving.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="python of an environment with peers.txt and mlsys installed")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), help="only these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.md and serving.png")
    arguments = parser.parse_args()
    names = [name for name in arguments.servers if arguments.peers or name not in PEERS]
    if not arguments.peers:
        print("left out: BentoML and MLflow: no --peers")
    arguments.out.mkdir(parents=True, exist_ok=True)
    busy, found, sweep = os.getloadavg()[0], Runs(), list[tuple[float, load.Result]]()
    load.pin(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "system"
        demo.build(folder, morning=SystemClock().now())
        bodies = requests()
        answers: dict[str, list[int]] = {}
        for i in range(arguments.rounds):
            for name in names:
                with Running(name, folder, arguments.peers, Path(scratch)) as server:
                    run = {"cold_s": server.cold, "mb": server.megabytes()}
                    for size in SIZES:
                        asked = [body(name, one) for one in bodies[size]]
                        seconds = arguments.seconds * (3 if name == "naive" and size == 500 else 1)
                        load.closed_loop(server.port, asked, connections=4, seconds=0.5)
                        for connections in (1, 16):
                            got = load.closed_loop(server.port, asked, connections=connections, seconds=seconds)
                            key = f"{size} at {connections}"
                            run |= {f"rate {key}": got.rate, f"p50 {key}": got.quantile(0.5)}
                            run |= {f"p99 {key}": got.quantile(0.99), f"lost {key}": got.lost + len(got.status)}
                            run[f"lost {key}"] -= sum(status == 200 for status in got.status)
                    answers[name] = server.posts(bodies[100][0])
                    if name == "ours" and i == arguments.rounds - 1:
                        sweep = sweep_up(server.port, [body(name, one) for one in bodies[500]], run["rate 500 at 16"])
                found.setdefault(name, []).append(run)
                said = "  ".join(f"{size}: {run[f'rate {size} at 16']:,.0f}/s" for size in SIZES)
                print(f"round {i + 1}  {name:<20}{said}   p99 {run['p99 500 at 16']:.1f} ms", flush=True)
    others = {name for name in names if name != "naive" and answers[name] != answers[names[-1]]}
    from report import draw, write

    write(arguments.out / "results.md", found, sweep, differ=others, busy=busy, rounds=arguments.rounds)
    draw(arguments.out / "serving.png", found, sweep)


def requests() -> dict[int, list[dict[str, object]]]:
    """64 requests of each size, as plain values."""
    rng, out = np.random.default_rng(13), {}
    for size in SIZES:
        out[size] = [
            {
                "user_id": int(rng.integers(2_000)),
                "candidates": rng.choice(2_400, size, replace=False).tolist(),
                "k": 10,
            }
            for _ in range(load.POOL)
        ]
    return out


def body(name: str, asked: dict[str, object]) -> bytes:
    """The same request in the server's own protocol."""
    if name != "mlflow":
        return load.request("/v1/rank", json.dumps(asked).encode())
    inputs = {"user_id": [asked["user_id"]], "candidates": asked["candidates"], "k": [asked["k"]]}
    return load.request("/invocations", json.dumps({"inputs": inputs}).encode())


def sweep_up(port: int, asked: list[bytes], rate: float) -> list[tuple[float, load.Result]]:
    """Open loop from a tenth of what the closed loop reached to twice as much."""
    shares = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0)
    return [(share * rate, load.open_loop(port, asked, rate=share * rate, seconds=4)) for share in shares]


class Running:
    """A server from its start to its end. `cold`: seconds until the first 200."""

    def __init__(self, name: str, folder: Path, peers: str | None, scratch: Path) -> None:
        self.name = name
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = int(s.getsockname()[1])
        environ = {**os.environ, **QUIET, "SERVE_FOLDER": str(folder), "SERVE_HERE": str(HERE)}
        environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE / "servers.py"), name, str(self.port), str(folder)]
        if name in PEERS:
            assert peers
            # Absolute, but not resolved: a link to the python outside of its environment would lose the environment.
            peers = str(Path(peers).absolute())
            environ["PATH"] = f"{Path(peers).parent}{os.pathsep}{environ['PATH']}"
        if name == "bentoml":
            command = [peers or "", "-m", "bentoml", "serve", "bento_service:Ranker", "--host", "127.0.0.1"]
            command += ["--port", str(self.port)]
        if name == "mlflow":
            saved = scratch / "mlflow-model"
            if not saved.exists():
                subprocess.run([peers or "", str(HERE / "mlflow_model.py"), str(saved)], env=environ, check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            command = [peers or "", "-m", "mlflow", "models", "serve", "-m", str(saved), "--env-manager", "local"]
            command += ["-h", "127.0.0.1", "-p", str(self.port), "-w", "1"]
        self.log = (scratch / f"{name}.log").open("wb")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command, cwd=HERE, env=environ, stdout=self.log, stderr=self.log, start_new_session=True,
            preexec_fn=lambda: load.pin(0),
        )  # fmt: skip
        one = {"user_id": 5, "candidates": [1, 2], "k": 2}
        while not self.posts(one):
            if self.process.poll() is not None or time.perf_counter() - began > 90:
                raise RuntimeError(f"{name} did not start: {Path(self.log.name).read_text()[-2000:]}")
            time.sleep(0.02)
        self.cold = time.perf_counter() - began

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(15)
        self.log.close()

    def posts(self, asked: dict[str, object]) -> list[int]:
        """The posts of an answer; empty if there is none."""
        head, _, data = body(self.name, asked).partition(b"\r\n\r\n")
        path = head.split()[1].decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                found = json.loads(answer.read())
        except OSError:
            return []
        found = found.get("predictions", found)
        return list(found["posts"])

    def megabytes(self) -> float:
        """Resident memory of the process and all below it."""
        total, todo = 0.0, [self.process.pid]
        while todo:
            pid = todo.pop()
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            total += float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split())
        return total


if __name__ == "__main__":
    main()
