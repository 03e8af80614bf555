"""What every case process does: load the inputs, prepare, run a few times, print one line of JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
BUDGET, FEWEST, MOST = 2.0, 5, 1_000
"""Seconds of repetitions, and how many there are at least and at most. What takes longer than the budget runs once."""

Run = Callable[[], object]
Prepare = Callable[[dict[str, np.ndarray], Path], Run]
"""Gets the inputs and a folder of its own; what it returns is timed."""


def main(cases: dict[str, Prepare]) -> None:
    """`CASE INPUTS.npz FOLDER`: seconds (median), p99, MB that the first run added to the peak, and a checksum."""
    name, inputs, folder = sys.argv[1:4]
    with np.load(inputs) as data:
        run = cases[name](dict(data), Path(folder))
    if RESET.exists():
        RESET.write_text("5")  # Else the peak is that of preparing, or of the parent.
    before = peak_mb()
    took, answer = once(run)
    peak = peak_mb()
    seconds = [took]
    while took < BUDGET and len(seconds) < MOST and (sum(seconds) < BUDGET or len(seconds) < FEWEST):
        seconds.append(once(run)[0])
    kept = seconds[len(seconds) > 1 :]  # The first one warms up.
    p50, p99 = np.quantile(kept, [0.5, 0.99])
    said = {"seconds": p50, "p99": p99, "mb": peak - before, "check": checksum(answer)}
    print(json.dumps({key: float(value) for key, value in said.items()}))


def peak_mb() -> float:
    """The most memory this process has held, in MB: on Linux since the last reset, elsewhere since its start."""
    if STATUS.exists():
        return float(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def once(run: Run) -> tuple[float, object]:
    """Seconds, and what came out."""
    begin = time.perf_counter()
    answer = run()
    return time.perf_counter() - begin, answer


def checksum(answer: object) -> float:
    """The sum of all numbers, nulls apart: equal for equal answers in any order."""
    values = np.asarray(answer, np.float64)
    return float(np.nansum(values))
