"""Outgrowing one process: the same point-in-time join in one store, and partition by partition on workers.

    python benchmarks/data/scale.py --most 1e6          # a minute, to see it work
    python benchmarks/data/scale.py --store-most 1e7    # to 10^8 events, one store to 10^7 (4 GB of memory)

The log lies on disk by time, as it came. One store reads all of it and answers. The partitioned way first writes it
again by user (the shuffle), then reads, sorts and asks each of sixteen partitions by itself. Labels: one per ten
events. Every measurement is a fresh process; memory is that of its largest process at its peak.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = {
    "store": "one store, all in memory",
    "shuffle": "write by user (once)",
    "workers-1": "by partition, one worker",
    "workers-2": "by partition, two workers",
    "dask-2": "by partition, Dask, two workers",
}


def main() -> None:
    """Measure, then write scale.md and scale.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=1e8, help="no more events than this")
    parser.add_argument("--store-most", type=float, default=1e8, help="no more events than this in one store")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for scale.md and scale.png")
    arguments = parser.parse_args()
    cases = [case for case in CASES if case != "dask-2" or find_spec("distributed")]
    if len(cases) < len(CASES):
        print("left out: Dask (pip install distributed)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for events in [10**n for n in range(5, 9) if 10**n <= arguments.most]:
        with tempfile.TemporaryDirectory() as folder:
            child("log", events, Path(folder))
            for case in cases:
                if case == "store" and events > arguments.store_most:
                    continue
                for _ in range(1 if events > 10**6 or case == "shuffle" else 3):
                    found = child(case, events, Path(folder))
                    rows.append({"events": events, "case": case, **found})
                    print(f"{events:>12,}  {case:<12}{found['seconds']:9.2f} s {found['mb']:8.0f} MB", flush=True)
    report(arguments.out, rows)


def child(case: str, events: int, folder: Path) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, str(HERE / "scale_cases.py"), case, str(events), str(folder)]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        print(f"{case} with {events:,} events failed: {done.stderr.strip()[-600:] or f'ended with {done.returncode}'}")
        return {"seconds": math.nan, "mb": math.nan, "check": math.nan}
    return dict(json.loads(done.stdout.splitlines()[-1])) if done.stdout else {}


def report(out: Path, rows: list[dict[str, object]]) -> None:
    """A table of medians, and the two curves."""
    import numpy as np  # Only now: a child starts with its parent's peak memory.
    import pandas as pd
    from matplotlib.figure import Figure

    from mlsys.analysis import style

    runs = pd.DataFrame(rows)
    found = runs.groupby(["case", "events"]).median()
    sums = runs[runs["case"] != "shuffle"].groupby("events")["check"]
    same = bool(((sums.max() - sums.min()) <= 1e-6 * sums.max()).all())
    sizes = sorted(runs["events"].unique())
    cases = [case for case in CASES if case in set(runs["case"])]
    head = f"| seconds (peak MB) | {' | '.join(f'{size:,}' for size in sizes)} |\n|---|{'---:|' * len(sizes)}"

    def cell(case: str, size: int) -> str:
        if (case, size) not in found.index or np.isnan(found.loc[(case, size), "seconds"]):
            return "–"
        return f"{found.loc[(case, size), 'seconds']:,.2f} ({found.loc[(case, size), 'mb']:,.0f})"

    lines = [f"| {CASES[case]} | {' | '.join(cell(case, size) for size in sizes)} |" for case in cases]
    facts = (
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}, pandas {pd.__version__}. Answers of all cases "
        f"{'agree' if same else 'DIFFER'} (their sums, to 1e-6)."
    )
    text = f"# One store, and partition by partition\n\n{facts}\n\n{head}\n" + "\n".join(lines)
    (out / "scale.md").write_text(f"{text}\n\n![Seconds and memory](scale.png)\n", encoding="utf-8")
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, column, label in zip(axes, ("seconds", "mb"), ("seconds", "MB, largest process, peak"), strict=True):
        for case in cases:
            line = found.loc[case][column].dropna()
            axis.plot(line.index, line, marker="o", label=CASES[case])
        axis.set(xscale="log", yscale="log", xlabel="events", title=label)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    (out / "scale.png").write_bytes(style.png(figure))


if __name__ == "__main__":
    main()
