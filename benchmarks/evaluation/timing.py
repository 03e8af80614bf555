"""What every process does: load the inputs, prepare, run the cases of one question in turn, print one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np

BUDGET, MOST = 0.6, 10
"""Seconds of repetitions of the slowest case, and how many there are at most; at least one."""

Run = Callable[[], object]
Inputs = Mapping[str, np.ndarray]


def main(questions: Mapping[str, Callable[[Inputs], dict[str, Run]]]) -> None:
    """`QUESTION INPUTS.npz`: by case the median of its seconds, and its answer. The first run of each warms up."""
    with np.load(sys.argv[2]) as inputs:
        cases = questions[sys.argv[1]](inputs)
        first = {name: once(run) for name, run in cases.items()}
    times = min(MOST, max(1, int(BUDGET / max((seconds for seconds, _ in first.values()), default=1.0))))
    taken = [{name: once(run)[0] for name, run in cases.items()} for _ in range(times)]
    found = {name: {"seconds": median(t[name] for t in taken), "answer": first[name][1]} for name in cases}
    print(json.dumps(found))


def once(run: Run) -> tuple[float, float]:
    """Seconds, and what came out."""
    begin = time.perf_counter()
    answer = run()
    return time.perf_counter() - begin, float(np.sum(answer))
