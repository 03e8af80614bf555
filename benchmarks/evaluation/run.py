"""Evaluation and training beside what one would otherwise use.

    python benchmarks/evaluation/run.py --ranx .peers-ranx/bin/python --obp .peers/bin/python

The cases of a question run in turn in one process, peers with an environment of their own right after; rounds go
through all questions. A cell is the median over rounds, a ratio that of the ratios in a round. Answers are compared.
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

import numpy as np

HERE = Path(__file__).resolve().parent
SIZES = (100_000, 1_000_000)
QUESTIONS = {
    "auc": "AUC",
    "log_loss": "log loss",
    "average_precision": "average precision",
    "ndcg": "NDCG@10",
    "user_auc": "AUC per user",
    "ips": "IPS",
    "snips": "SNIPS",
    "dr": "DR",
    "mean": "bootstrap of a mean",
    "ratio": "bootstrap of a ratio",
    "linear": "train, linear",
    "tree": "train, trees",
}
PEERS = {"ndcg": "ranx", "ips": "obp", "snips": "obp", "dr": "obp"}


def main() -> None:
    """Measure, then write results.md and evaluation.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranx", metavar="PYTHON", help="python of an environment with peers.txt")
    parser.add_argument("--obp", metavar="PYTHON", help="python of an environment with ../world/peers.txt")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), metavar="QUESTION")
    parser.add_argument("--most", type=float, default=1e6, help="no size above this")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.md and evaluation.png")
    arguments = parser.parse_args()
    sizes = [size for size in SIZES if size <= arguments.most]
    busy = os.getloadavg()[0]
    found: dict[tuple[str, int], list[dict[str, dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs = {size: prepare(size, Path(folder)) for size in sizes}
        for i in range(arguments.rounds):
            for question in arguments.questions:
                for size in sizes:
                    one = child(sys.executable, "ours.py", question, inputs[size])
                    if question in PEERS and (python := getattr(arguments, PEERS[question])):
                        one |= child(python, "peers.py", question, inputs[size])
                    found.setdefault((question, size), []).append(one)
                    said = "  ".join(f"{name} {run['seconds']:.4f}" for name, run in one.items())
                    print(f"round {i + 1}  {question} {size:,}: {said}", flush=True)
    from report import draw, write

    arguments.out.mkdir(parents=True, exist_ok=True)
    write(arguments.out / "results.md", facts(arguments, busy), QUESTIONS, found)
    draw(arguments.out / "evaluation.png", QUESTIONS, found)


def prepare(size: int, folder: Path) -> Path:
    """The inputs of all cases, in one file."""
    rng = np.random.default_rng(13)
    truth, rows = rng.normal(size=size), np.arange(size)
    X = rng.normal(size=(size, 12))
    y = rng.random(size) < 1 / (1 + np.exp(1.5 - truth - X[:, 0] * X[:, 1] - X[:, 2:6].sum(axis=1) / 2))
    X[rng.random(X.shape) < 0.02] = np.nan
    taste = rng.normal(size=(size, 10))
    logger, target = (np.exp(strength * taste) for strength in (0.5, 1.0))
    logger, target = (odds / odds.sum(axis=1, keepdims=True) for odds in (logger, target))
    action = (logger.cumsum(axis=1) < rng.random((size, 1))).sum(axis=1).clip(max=9)
    reward = rng.random(size) < 1 / (1 + np.exp(2 - taste[rows, action]))
    data = {
        "y": y,
        "p": 1 / (1 + np.exp(1.5 - truth)),
        "user": rng.integers(0, size // 20, size),
        "list": rows // 10,
        "X": X,
        "action": action,
        "reward": reward.astype(np.float64),
        "pscore": logger[rows, action],
        "pi": target,
        "q": 1 / (1 + np.exp(2.2 - 0.8 * taste)),
        "likes": rng.poisson(0.2 + 0.5 * y).astype(np.float64),
        "per": 1.0 + rng.poisson(2, size),
    }
    path = folder / f"{size}.npz"
    np.savez(path, **data)
    return path


def child(python: str, script: str, question: str, inputs: Path) -> dict[str, dict[str, float]]:
    """The cases of a question in a process of their own; what it prints last is JSON."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [python, str(HERE / script), question, str(inputs)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True)
    if done.returncode:
        print(f"{done.stderr[-1500:]}\n{question} failed in {script}", flush=True)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def facts(arguments: argparse.Namespace, busy: float) -> str:
    """What the numbers depend on."""
    ours = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "scipy"))
    lines = [
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, one thread, "
        f"rounds: {arguments.rounds}; load average before the run {busy:.1f}.",
        f"Python {platform.python_version()}, {ours}.",
    ]
    for peer in ("ranx", "obp"):
        code = (
            f"import sys; from importlib.metadata import version as v; print(sys.version[:6], v({peer!r}), v('numpy'))"
        )
        if python := getattr(arguments, peer):
            said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
            lines.append("{1} {2}: Python {0}, numpy {3}.".format(said[0], peer, *said[1:]))
        else:
            lines.append(f"Left out: {peer}, no --{peer}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
