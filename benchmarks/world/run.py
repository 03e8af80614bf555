"""How fast the world makes a log, beside what one would otherwise use: all in one run, interleaved, as ratios.

    python benchmarks/world/run.py --peers .peers/bin/python

Every measurement is a fresh process. Rounds go through all cases in turn, so that a busy machine slows all alike;
a cell is the median over rounds, a ratio the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

from plan import GROWTH, WHERE, WORKERS, WORKERS_AT, Case, Runs

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Measure, then write results.md and world.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="python of an environment with peers.txt installed")
    parser.add_argument("--sizes", nargs="+", type=float, default=[1e5, 1e6, 1e7], help="impressions to log")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=30, help="leave out what would take longer, seconds a run")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.md and world.png")
    arguments = parser.parse_args()
    sizes = sorted(int(size) for size in arguments.sizes)
    if not arguments.peers:
        print(f"obp is left out. {peers_help()}")
    cases = [case for case in GROWTH if arguments.peers or not case.peer]
    busy = [os.getloadavg()[0]]
    runs, places = measure(cases, sizes, arguments.rounds, arguments.limit, arguments.peers)
    busy.append(os.getloadavg()[0])
    from report import draw, write  # only now: a child starts with its parent's peak memory

    arguments.out.mkdir(parents=True, exist_ok=True)
    write(arguments.out / "results.md", facts(arguments, busy), sizes, cases, runs, places)
    draw(arguments.out / "world.png", sizes, cases, runs, places)


def measure(
    cases: list[Case], sizes: list[int], rounds: int, limit: float, peers: str | None
) -> tuple[Runs, dict[str, float]]:
    """All runs, and the nanoseconds per impression that each place takes (median over rounds)."""
    runs: Runs = defaultdict(dict)
    places: list[dict[str, float]] = []
    plan = [(case, size) for size in sizes for case in cases]
    plan += [(case, WORKERS_AT) for one, two in WORKERS.items() for case in (one, *two)]
    for i in range(rounds):
        for case, size in plan:
            known = [r for (other, _), by_round in runs.items() if other == case for r in by_round.values()]
            if known and size / max(r["rate"] for r in known) / 1e6 > limit:
                continue
            if i and i - 1 not in runs[case, size]:
                continue
            result = child(case, size, peers)
            result["rate"] = result["made"] / result["seconds"] / 1e6
            runs[case, size][i] = result
            said = f"{result['rate']:6.2f} M/s  {result['mb']:6.0f} MB"
            print(f"round {i + 1}  {case.command:<24}{size:>12,}  {said}", flush=True)
        places.append(child(WHERE, WORKERS_AT, peers))
    return runs, {place: median(one[place] for one in places) for place in places[0]}


def child(case: Case, size: int, peers: str | None) -> dict[str, float]:
    """Run one case in a process of its own; what it prints last is JSON."""
    python, script = (peers, "obp_cases.py") if case.peer else (sys.executable, "cases.py")
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [str(python), str(HERE / script), case.command, str(size)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr[-2000:]}\n{case.label} failed. " + (peers_help() if case.peer else ""))
    return dict(json.loads(done.stdout.splitlines()[-1]))


def peers_help() -> str:
    """How to make the environment of the peers."""
    return (
        "It needs an environment of its own:\n"
        "  python3.10 -m venv .peers && .peers/bin/pip install --no-deps -r benchmarks/world/peers.txt\n"
        "  python benchmarks/world/run.py --peers .peers/bin/python"
    )


def facts(arguments: argparse.Namespace, busy: list[float]) -> str:
    """What the numbers depend on."""
    ours = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pandas", "joblib"))
    lines = [
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"rounds: {arguments.rounds}.",
        f"Load average {busy[0]:.1f} before the run, {busy[1]:.1f} after it; the run itself keeps about 1 busy.",
        f"World and naive: Python {platform.python_version()}, {ours}.",
    ]
    if arguments.peers:
        code = (
            "import platform; from importlib.metadata import version as v; "
            'print(f\'Python {platform.python_version()}, obp {v("obp")}, numpy {v("numpy")}\')'
        )
        said = subprocess.run([arguments.peers, "-c", code], capture_output=True, text=True, check=True).stdout
        lines.append(f"obp: {said.strip()}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
