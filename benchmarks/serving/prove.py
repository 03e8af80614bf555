"""What the model server does when things go wrong: real processes, a real Redis, a proxy that misbehaves on command.

    python benchmarks/serving/prove.py                 # all cases, about eight minutes; writes failures.md and .png
    python benchmarks/serving/prove.py --cases gone flaky --seconds 5

Every case asks the same people of the simulated feed for the same rankings, at arrival times fixed beforehand. Before,
during and after a fault it counts what failed, what was shed, how long answers took, where their features came from
and what they were worth: expected likes as a share of the oracle's, exact, from the world's truth. Everything stays on
loopback, is bounded in time, and stops what it started.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from failures import CASES, Bed

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the cases, write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="only these")
    parser.add_argument("--seconds", type=float, default=30, help="how long a fault lasts (default 30)")
    parser.add_argument("--rate", type=float, default=100, help="requests per second (default 100)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for failures.md and failures.png")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Bed(Path(folder), arguments.rate, arguments.seconds) as bed:
        found = []
        for name in arguments.cases:
            found.append(CASES[name](bed))
            print(found[-1].line(), flush=True)
    from report_failures import draw, write

    write(arguments.out / "failures.md", found, rate=arguments.rate, seconds=arguments.seconds)
    draw(arguments.out / "failures.png", found)


if __name__ == "__main__":
    main()
