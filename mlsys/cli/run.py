"""`mlsys run`: thirty days of the system in the simulated feed, or once around on a log; notebooks; a report."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from mlsys.analysis import report
from mlsys.cli.loop import run_loop
from mlsys.cli.system import run_log
from mlsys.collection import Mapping
from mlsys.config import SystemConfig
from mlsys.core import MlsysError
from mlsys.lesson.run import Outcome, execute
from mlsys.world import KINDS, Incident

ROOT = Path(__file__).resolve().parents[2]


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "run",
        help="run the system for thirty days and every notebook, end with a scoreboard and a report",
        description="Run the whole system in a simulated feed: what the server ranks is what people see tomorrow, and "
        "what they do trains the next model. Break it with --incident. Then execute every notebook. With --log and "
        "--mapping the system runs once around on your own log of impressions instead (any CSV, gzip too), and says "
        "what leakage would have claimed. A run that was interrupted goes on where it was.",
        epilog="Examples:\n"
        "  python start.py run\n"
        "  python start.py run --days 10 --seed 3 --no-notebooks\n"
        "  python start.py run --incident stale_features@12 --no-notebooks\n"
        "  python start.py run --incident bad_model_push@8:days=1:size=0.2 --incident store_outage@20\n"
        "  python start.py run --set training.objective=value        # likes now, or people who stay?\n"
        "  python start.py run --set training.every_days=0 --incident interest_shift@5   # a frozen model\n"
        "  python start.py run --log clicks.csv --mapping clicks.toml\n\n"
        f"Incidents: {', '.join(KINDS)}; `python start.py world incidents` explains them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=int, default=30, help="days to run after the warm-up (default 30)")
    parser.add_argument("--users", type=int, default=2_000, help="users on the first day (default 2000)")
    parser.add_argument("--seed", type=int, default=13, help="seed of the feed (default 13); notebooks keep their own")
    parser.add_argument("--incident", action="append", default=[], metavar="NAME@DAY",
                        help="break something on a day; NAME@DAY:days=2:size=0.5 says how long, how much")  # fmt: skip
    parser.add_argument("--no-compare", action="store_true", help="with an incident: skip the same days without it")
    parser.add_argument("--fresh", action="store_true", help="start over, even if a run was interrupted")
    parser.add_argument("--log", type=Path, metavar="FILE", help="a CSV of impressions to use instead")
    parser.add_argument("--mapping", type=Path, metavar="FILE", help="TOML: which column is what (see README)")
    parser.add_argument("--max-events", type=int, default=2_000_000, metavar="N",
                        help="of a longer log, use the last N events (default 2000000)")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML with settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument("--no-notebooks", action="store_true", help="leave the notebooks out")
    parser.add_argument("--folder", type=Path, default=Path("work"), help="where results go (default work/)")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Do the main job; exit code 1 when a notebook failed."""
    config, folder = _check(arguments), arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "dead_letters.csv"):
        if (folder / name).is_dir():
            raise MlsysError(f"{folder / name} is a folder", why="a result goes there", fix="choose another --folder")
    started = time.perf_counter()
    incidents = [Incident.parse(text) for text in arguments.incident]
    what = arguments.log.name if arguments.log else f"{arguments.days} days, {arguments.users:,} users"
    print(f"The system on {what}  (configuration {config.version})")
    if arguments.log:
        mapping = Mapping.load(arguments.mapping)
        sections = run_log(arguments.log, mapping, config, folder=folder, max_events=arguments.max_events)
    else:
        sections = run_loop(
            config,
            seed=arguments.seed,
            users=arguments.users,
            days=arguments.days,
            incidents=incidents,
            folder=folder,
            compare=not arguments.no_compare,
            fresh=arguments.fresh,
        )
    board = [("system", what, "ran", time.perf_counter() - started)]
    outcomes = [] if arguments.log or arguments.no_notebooks else _notebooks()
    board += [(o.name, f"{len(o.claims)} claims proved", "FAILED" if o.error else "ran", o.seconds) for o in outcomes]
    scoreboard = pd.DataFrame(board, columns=["part", "what", "outcome", "seconds"]).round({"seconds": 1})
    path = folder / "report.html"
    report.write_report(path, f"mlsys on {what}", [*sections, *_notebook_sections(outcomes)], scoreboard)
    _print_scoreboard(scoreboard, outcomes)
    print(f"\nReport: {path.resolve()}")
    return int(any(o.error for o in outcomes))


def _check(arguments: argparse.Namespace) -> SystemConfig:
    """The configuration, once every option makes sense."""
    if bool(arguments.log) != bool(arguments.mapping):
        raise MlsysError(
            "--log and --mapping go together",
            why="a mapping says which of the file's columns is the user, the post, the action and the time",
            fix="python start.py run --log FILE --mapping FILE (README, 'Your own log')",
        )
    if arguments.log and arguments.incident:
        raise MlsysError("--incident with --log", why="only the simulated feed can be broken", fix="leave one out")
    if arguments.max_events < 1_000:
        raise MlsysError(f"--max-events {arguments.max_events}", why="fewer prove nothing", fix="--max-events 100000")
    if arguments.seed < 0:
        raise MlsysError(f"--seed {arguments.seed}", why="a seed is 0 or more", fix="--seed 7")
    if arguments.days < 1:
        raise MlsysError(f"--days {arguments.days}", why="a run has a day or more", fix="--days 30")
    if arguments.users < 200:
        raise MlsysError(f"--users {arguments.users}", why="below 200 nothing can be learned", fix="--users 2000")
    malformed = [pair for pair in arguments.set if "=" not in pair]
    if malformed:
        raise MlsysError(f"--set {malformed[0]}", why="it has to be KEY=VALUE", fix="--set serving.replicas=12")
    overrides = dict(pair.split("=", 1) for pair in arguments.set)
    return SystemConfig.load(arguments.config, environ=os.environ, overrides=overrides)


def _notebooks() -> list[Outcome]:
    sources = sorted((ROOT / "notebooks" / "_source").glob("[0-9]*.py"))
    outcomes = []
    for source in sources:
        with tqdm(total=None, desc=f"  {source.stem}", unit="cell", leave=False) as bar:

            def advance(done: int, total: int, bar: Any = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            outcomes.append(execute(source, parameters=None, on_cell=advance))
    return outcomes


def _print_scoreboard(scoreboard: pd.DataFrame, outcomes: list[Outcome]) -> None:
    print("\nScoreboard")
    for row in scoreboard.itertuples():
        print(f"  {row.part:<24}{row.what:<34}{row.outcome:<8}{row.seconds:>6.1f} s")
    for outcome in outcomes:
        for text in outcome.claims:
            print(f"    proved  {text}")
        if outcome.error:
            print(f"    {outcome.error}")


def _notebook_sections(outcomes: list[Outcome]) -> list[report.Section]:
    sections: list[report.Section] = []
    for outcome in outcomes:
        table = pd.DataFrame({"proved": outcome.claims})
        sections.append((f"Notebook {outcome.name}", outcome.error or "", table, None))
        sections += [("", "", None, figure) for figure in outcome.figures]
    return sections
