"""`mlsys test`: every check, stage by stage, and at the end what was skipped and why."""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PY = sys.executable
PYTEST = [PY, "-m", "pytest", "-q", "-rs", "-n", "3"]  # Some tests wait for disks, clocks and killed processes.

STAGES: dict[str, list[str]] = {
    "lint": [PY, "-m", "ruff", "check", "."],
    "format": [PY, "-m", "ruff", "format", "--check", "."],
    "types": [PY, "-m", "mypy"],
    "tests": [*PYTEST, "--dist", "worksteal", "-m", "not browser"],
    "drills": [PY, "-m", "mlsys", "drill", "prove"],
    "fresh": [PY, "-m", "mlsys", "notebook", "build", "--check"],
    "nbval": [
        *PYTEST, "--dist", "loadfile", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider",
        "-o", "addopts=", "-W", "default", "notebooks",
    ],
    "browser": [PY, "-m", "pytest", "-q", "-rs", "-m", "browser", "tests/test_browser.py"],
}  # fmt: skip

TOGETHER = {"types": ("types", "browser"), "drills": ("drills", "fresh", "nbval")}
"""Stages that keep one core busy each, or wait for a browser, and run side by side."""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "test",
        help="run every check: lint, types, tests, notebooks, browser",
        description="Run every check and end with what was skipped and why. Stages: lint, format, types, tests, "
        "drills (does every grader grade?), fresh (do the sources give the committed notebooks, to the byte?), nbval "
        "(do outputs repeat?), browser.",
        epilog="Example: python start.py test --only tests",
    )
    parser.add_argument("--only", choices=sorted(STAGES), help="run one stage")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the stages; exit code 1 when one failed."""
    outcomes: list[tuple[str, str, float]] = []
    skipped: list[str] = []
    left = [arguments.only] if arguments.only else list(STAGES)
    while left:
        names = [name for name in TOGETHER.get(left[0], left[:1]) if name in left]
        left = [name for name in left if name not in names]
        reasons = {name: reason for name in names if (reason := _cannot(name))}
        skipped += [f"{name}: {reason}" for name, reason in reasons.items()]
        names = [name for name in names if name not in reasons]
        with ThreadPoolExecutor(len(STAGES)) as pool:
            for name, (code, said, seconds) in zip(names, pool.map(_stage, names), strict=True):
                found = re.findall(r"^SKIPPED \[\d+\] (.+)$", said, re.MULTILINE)
                skipped += [f"{name}: {line}" for line in found]
                # pytest says 5 when it had no test to run: that proves nothing.
                outcomes.append((name, "passed" if code == 0 else "FAILED", seconds))
    print("\n=== summary")
    for name, outcome, seconds in outcomes:
        print(f"  {name:<28}{outcome:<8}{seconds:>7.1f} s")
    print("\nSkipped:" if skipped else "\nSkipped: nothing")
    for line in skipped:
        print(f"  {line}")
    failed = sum(outcome == "FAILED" for _, outcome, _ in outcomes)
    print(f"\nstages: {len(outcomes) - failed} passed, {failed} failed")
    return int(failed > 0)


def _cannot(stage: str) -> str | None:
    """Why a stage cannot say anything here, or None."""
    if stage != "fresh":
        return None
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "byte identity is promised on Linux x86-64 only; values are compared by the next stage"
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    other = [name for name in ("numpy", "pandas", "scikit-learn", "matplotlib") if version(name) != locked[name]]
    return f"not the locked versions of {', '.join(other)}" if other else None


def _stage(name: str) -> tuple[int, str, float]:
    """Run a stage, show its output as it comes, and return (exit code, output, seconds)."""
    print(f"\n=== {name}", flush=True)
    said, start = [], time.perf_counter()
    process = subprocess.Popen(
        STAGES[name],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    for line in process.stdout or ():
        print(line, end="", flush=True)
        said.append(line)
    return process.wait(), "".join(said), time.perf_counter() - start
