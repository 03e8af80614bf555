"""The data path beside what one would otherwise use: features, point-in-time join, online reads, verification.

    python benchmarks/data/run.py --peers .peers-data/bin/python

Every measurement is a fresh process that prepares, runs once to warm up, then a few times. Rounds go through all cases
in turn, so that a busy machine slows all alike; a cell is the median over rounds, a ratio the median of the ratios
within a round. Answers are compared: a case that finds something else than ours is marked.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from plan import TABLES, Case, Table

HERE = Path(__file__).resolve().parent
Found = dict[tuple[str, int], list[dict[str, float]]]


def main() -> None:
    """Measure, then write results.md and data.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="python of an environment with peers.txt installed")
    parser.add_argument("--tables", nargs="+", choices=[table.name for table in TABLES], help="only these")
    parser.add_argument("--most", type=float, default=1e7, help="no size above this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--limit", type=float, default=60, help="leave out what took longer at a tenth of the size / 10"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.md and data.png")
    arguments = parser.parse_args()
    tables = [table for table in TABLES if not arguments.tables or table.name in arguments.tables]
    missing = [] if arguments.peers else ["the peers (polars, DuckDB, pandera, Feast): no --peers"]
    if not shutil.which("redis-server"):
        missing.append("Redis: no redis-server")
    for what in missing:
        print(f"left out: {what}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as port:
        found = {table.name: measure(table, arguments, Path(folder), port) for table in tables}
    from report import draw, write  # only now: a child starts with its parent's peak memory

    write(arguments.out / "results.md", facts(arguments, busy, missing), tables, found)
    draw(arguments.out / "data.png", tables, found)


def measure(table: Table, arguments: argparse.Namespace, folder: Path, port: int | None) -> Found:
    """All runs of a table: by case and size, one dict per round."""
    found: Found = {}
    sizes = [size for size in table.sizes if size <= arguments.most]
    for i in range(arguments.rounds):
        for size in sizes:
            inputs = prepare(table, size, folder, port)
            for case in table.cases:
                if (case.peer and not arguments.peers) or (case.redis and port is None):
                    continue
                smaller = [
                    run["seconds"] * size / other
                    for (name, other), runs in found.items()
                    for run in runs
                    if name == case.name and other < size
                ]
                if table.grows and (size > case.most or (smaller and min(smaller) > arguments.limit)):
                    continue
                result = child(case, inputs, folder, arguments.peers)
                if not result:
                    continue
                found.setdefault((case.name, size), []).append(result)
                said = f"{result['seconds'] * 1e3:12.3f} ms {result['mb']:7.0f} MB"
                print(f"round {i + 1}  {case.name:<22}{size:>12,}{said}", flush=True)
    return found


def prepare(table: Table, size: int, folder: Path, port: int | None) -> Path:
    """The inputs of all cases, in one file, made once."""
    path = folder / f"{table.name}-{size}.npz"
    if path.exists():
        return path
    rng = np.random.default_rng(13)
    if table.name == "read":
        vectors, asked = rng.random((50_000, 8), np.float32), rng.integers(0, 50_000, size)
        np.savez(path, vectors=vectors, asked=asked, port=port or 0)
        return path
    users, month = max(size // 10, 1_000), 30 * 86_400_000_000
    start = int(np.datetime64("2026-01-01", "us").astype(np.int64))
    data = {
        "event_id": np.arange(size),
        "user_id": rng.integers(0, users, size),
        "post_id": rng.integers(0, size // 2, size),
        "action": np.searchsorted(np.cumsum([0.15, 0.05, 0.60, 0.05]), rng.random(size)).astype(np.int8),
        "event_time": np.sort(start + rng.integers(0, month, size)),
        "position": rng.integers(1, 11, size),
        "propensity": 1 - rng.random(size),
        "label_user": rng.integers(0, users, size // 5),
        "label_time": start + rng.integers(0, month, size // 5),
    }
    data["action"][data["action"] == 4] = -1
    if table.name == "verify":
        data["post_id"][::1000], data["propensity"][5::500] = -1, 2.0
    if table.name == "join":
        data |= {f"f{i}": rng.random(size).astype(np.float32) for i in range(8)}
    np.savez(path, **data)
    return path


def child(case: Case, inputs: Path, folder: Path, peers: str | None) -> dict[str, float]:
    """Run one case in a process of its own; what it prints last is JSON."""
    own = Path(tempfile.mkdtemp(dir=folder))
    python, script = (peers, "peers.py") if case.peer else (sys.executable, "ours.py")
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [str(python), str(HERE / script), case.name, str(inputs), str(own)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, cwd=own)
    shutil.rmtree(own)
    if done.returncode:
        print(f"{done.stderr[-1500:]}\n{case.name} failed", flush=True)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def redis_server(folder: Path) -> Iterator[int | None]:
    """A Redis of our own on loopback; None where there is none to start."""
    if not shutil.which("redis-server"):
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def facts(arguments: argparse.Namespace, busy: float, missing: list[str]) -> str:
    """What the numbers depend on."""
    lines = [
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"rounds: {arguments.rounds}; load average before the run {busy:.1f}.",
        f"Ours: Python {platform.python_version()}, " + ", ".join(installed(["numpy", "pandas", "redis"])) + ".",
    ]
    if arguments.peers:
        names = ["numpy", "pandas", "polars", "duckdb", "pandera", "feast", "redis"]
        code = f"import run, sys; print(', '.join(run.installed({names})))"
        env = {**os.environ, "PYTHONPATH": str(HERE)}
        said = subprocess.run([arguments.peers, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
        lines.append(f"Peers: {said.strip()}.")
    return "\n".join([*lines, *(f"Left out: {what}." for what in missing)])


def installed(names: list[str]) -> list[str]:
    """Packages and their versions, those that are there."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
