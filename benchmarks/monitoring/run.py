"""Drift of fifty columns beside what one would otherwise use.

    python benchmarks/monitoring/run.py --peers .peers-monitoring/bin/python     # about fifteen minutes
    python benchmarks/monitoring/run.py --most 1e5                               # without peers: half a minute

Every case runs in a process of its own, one thread; rounds go through all cases in turn. A cell is the median over
rounds, a ratio the median of the ratios within a round. Answers are compared: KS with scipy's, PSI with numpy's.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES
from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
SIZES, COLUMNS = (100_000, 1_000_000), 50
PEERS = [name for name in CASES if name.startswith(("Evidently", "NannyML"))]


def main() -> None:
    """Measure, then write results.md and monitoring.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="python of an environment with peers.txt")
    parser.add_argument("--most", type=float, default=1e6, help="no size above this")
    parser.add_argument("--rounds", type=int, default=3, help="of the smaller size; the larger has one (default 3)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.md and monitoring.png")
    arguments = parser.parse_args()
    busy, found = os.getloadavg()[0], dict[tuple[str, int], list[dict[str, Any]]]()
    cases = [name for name in CASES if name not in PEERS or arguments.peers]
    if not arguments.peers:
        print("SKIPPED: Evidently and NannyML, no --peers")
    with tempfile.TemporaryDirectory() as folder:
        for size in (size for size in SIZES if size <= arguments.most):
            path = prepare(size, Path(folder))
            for i in range(arguments.rounds if size == SIZES[0] else 1):
                for name in cases:
                    python = arguments.peers if name in PEERS else sys.executable
                    one = child(python, name, path, repeats=1 if name in PEERS else 3)
                    found.setdefault((name, size), []).append(one)
                    print(f"round {i + 1}  {size:,}  {name}: {one['seconds']:.3f} s", flush=True)
            path.unlink()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.md").write_text(table(found, busy), encoding="utf-8")
    draw(found).savefig(arguments.out / "monitoring.png", dpi=120)


def prepare(size: int, folder: Path) -> Path:
    """Fifty columns: bells, tails, counters; a quarter of them moved a little, a tenth a lot."""
    rng = np.random.default_rng(13)
    reference = rng.normal(size=(size, COLUMNS))
    current = rng.normal(size=(size, COLUMNS)) + np.where(np.arange(COLUMNS) % 4 == 0, 0.02, 0.0)
    current[:, ::10] *= 1.3
    for data in (reference, current):
        data[:, 1::5] = np.exp(data[:, 1::5])
        data[:, 2::5] = np.floor(np.exp(data[:, 2::5]))
    path = folder / f"{size}.npz"
    np.savez(path, reference=reference, current=current)
    return path


def child(python: str, case: str, path: Path, *, repeats: int) -> dict[str, Any]:
    """One case in a process of its own."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [python, str(HERE / "cases.py"), case, str(path), str(repeats)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr[-1500:]}\n{case} failed")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def table(found: dict[tuple[str, int], list[dict[str, Any]]], busy: float) -> str:
    """The page."""
    lines = [
        "# Drift of fifty columns beside what one would otherwise use",
        "",
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, one thread; "
        f"Python {platform.python_version()}, {', '.join(f'{n} {version(n)}' for n in ('numpy', 'pandas', 'scipy'))}; "
        f"load average before: {busy:.1f}.",
        "",
        "Ours gives PSI, KS, p-value, missing share and verdict of every column; the others what their name says. "
        "Ratio: seconds over ours. Farthest: the largest difference of the KS statistic from scipy's, and of PSI, in "
        "columns without ties, from numpy's.",
    ]
    for size in dict.fromkeys(size for _, size in found):
        lines += ["", f"## {size:,} rows × {COLUMNS}, against as many", ""]
        lines += ["| case | seconds | ratio | reference, seconds | farthest |", "|---|--:|--:|--:|--:|"]
        smooth = np.arange(COLUMNS) % 5 != 2
        ks, moved = found["scipy, KS", size][0]["found"]["ks"], found["numpy, PSI", size][0]["found"]["psi"]
        truth = {"ks": np.array(ks), "psi": np.where(smooth, moved, np.nan)}
        for (name, of), runs in found.items():
            if of != size:
                continue
            seconds = float(np.median([run["seconds"] for run in runs]))
            base = found["ours", size]
            ratio = float(np.median([one["seconds"] / own["seconds"] for one, own in zip(runs, base, strict=True)]))
            answers = runs[0]["found"]
            off = [np.nanmax(np.abs(answers[key] - truth[key])) for key in truth if key in answers]
            far = ", ".join(f"{value:.1e}" for value in off) or "-"
            lines.append(f"| {name} | {seconds:.3f} | {ratio:,.1f} | {runs[0]['ready']:.2f} | {far} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[tuple[str, int], list[dict[str, Any]]]) -> Figure:
    """Seconds per check, log scale, a group per size."""
    sizes = list(dict.fromkeys(size for _, size in found))
    fig = Figure(figsize=(8.5, 3.6), layout="constrained")
    for i, (size, ax) in enumerate(zip(sizes, fig.subplots(1, len(sizes), squeeze=False)[0], strict=True)):
        cases = [name for name, of in found if of == size]
        seconds = [float(np.median([run["seconds"] for run in found[name, size]])) for name in cases]
        colours = ["#0072B2" if name.startswith("ours") else "#999999" for name in cases]
        ax.barh(cases[::-1], seconds[::-1], color=colours[::-1])
        ax.bar_label(ax.containers[0], [f" {value:.2g} s" for value in seconds[::-1]], fontsize=8)
        ax.set(xscale="log", title=f"{size:,} rows × {COLUMNS}", xlabel="seconds, log scale", yticks=range(len(cases)))
        ax.set_xlim(min(seconds) / 2, max(seconds) * 8)
        if i:
            ax.set_yticklabels([])
        ax.spines[["top", "right"]].set_visible(False)
    return fig


if __name__ == "__main__":
    main()
