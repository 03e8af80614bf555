"""`mlsys run`: the system on simulated or real events, the notebooks, a scoreboard, a report."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mlsys.analysis import plots, report
from mlsys.capacity import unit_costs
from mlsys.collection import Ingested, Mapping, read_log
from mlsys.config import SystemConfig
from mlsys.core import MlsysError
from mlsys.lesson.run import Outcome, execute
from mlsys.orchestration import SIMULATED_LOG, STEPS, SystemRun, run_system
from mlsys.world.noise import NoiseWorld
from mlsys.world.spoil import spoil

ROOT = Path(__file__).resolve().parents[2]


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "run",
        help="run the system and every notebook, end with a scoreboard and a report",
        description="Run the whole system on simulated events, then execute every notebook. With --log and --mapping "
        "it runs on your own log of impressions instead (any CSV, gzip too), and says what leakage would have claimed.",
        epilog="Examples:\n"
        "  python start.py run\n"
        "  python start.py run --events 100000 --seed 3 --no-notebooks\n"
        "  python start.py run --log clicks.csv --mapping clicks.toml\n"
        "  python start.py run --set features.window_days=7 --set monitoring.min_psi=0.2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events",
        type=int,
        default=10_000,
        help="impressions of the simulated log (default 10000); notebooks keep their own",
    )
    parser.add_argument(
        "--seed", type=int, default=13, help="seed of the simulated log (default 13); notebooks keep their own"
    )
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
    if bool(arguments.log) != bool(arguments.mapping):
        raise MlsysError(
            "--log and --mapping go together",
            why="a mapping says which of the file's columns is the user, the post, the action and the time",
            fix="python start.py run --log FILE --mapping FILE (README, 'Your own log')",
        )
    if arguments.max_events < 1_000:
        raise MlsysError(f"--max-events {arguments.max_events}", why="fewer prove nothing", fix="--max-events 100000")
    if arguments.seed < 0:
        raise MlsysError(f"--seed {arguments.seed}", why="a seed is 0 or more", fix="--seed 7")
    malformed = [pair for pair in arguments.set if "=" not in pair]
    if malformed:
        raise MlsysError(f"--set {malformed[0]}", why="it has to be KEY=VALUE", fix="--set serving.replicas=12")
    overrides = dict(pair.split("=", 1) for pair in arguments.set)
    config = SystemConfig.load(arguments.config, environ=os.environ, overrides=overrides)
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "events.csv", "dead_letters.csv"):
        if (folder / name).is_dir():
            raise MlsysError(f"{folder / name} is a folder", why="a result goes there", fix="choose another --folder")
    started = time.perf_counter()
    what = arguments.log.name if arguments.log else f"{arguments.events:,} simulated events"
    print(f"The system on {what}  (configuration {config.version})")
    ingested = _last(_read(arguments, folder), arguments.max_events)
    system = _system(ingested, config)
    board = [("system", what, "ran", time.perf_counter() - started)]
    _print_system(system, folder)
    outcomes = [] if arguments.log or arguments.no_notebooks else _notebooks()
    board += [(o.name, f"{len(o.claims)} claims proved", "FAILED" if o.error else "ran", o.seconds) for o in outcomes]
    scoreboard = pd.DataFrame(board, columns=["part", "what", "outcome", "seconds"]).round({"seconds": 1})
    path = folder / "report.html"
    report.write_report(path, f"mlsys on {what}", _sections(system, outcomes), scoreboard)
    _print_scoreboard(scoreboard, outcomes)
    print(f"\nReport: {path.resolve()}")
    return int(any(o.error for o in outcomes))


def _read(arguments: argparse.Namespace, folder: Path) -> Ingested:
    path, mapping = arguments.log, SIMULATED_LOG
    if path is None:
        if arguments.events < 1_000:
            raise MlsysError(
                f"--events {arguments.events}", why="below 1000 nothing can be judged", fix="--events 10000"
            )
        path = folder / "events.csv"
        world = NoiseWorld(seed=arguments.seed)
        log = spoil(world.events(arguments.events), each=arguments.events // 100, seed=arguments.seed)
        log.to_csv(path, index=False, lineterminator="\n")
    else:
        mapping = Mapping.load(arguments.mapping)
    with tqdm(total=None, desc="  collect", unit="B", unit_scale=True, leave=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return read_log(path, mapping, dead_letters=folder / "dead_letters.csv", progress=advance)


def _last(ingested: Ingested, n: int) -> Ingested:
    """The last `n` events by event time, with a note when that leaves some out."""
    if len(ingested.events) <= n:
        return ingested
    time = ingested.events["event_time"].to_numpy()
    taken = ingested.events[time >= np.partition(time, -n)[-n]]
    note = f"the system runs on the last {len(taken):,} of {ingested.rows_out:,} events (--max-events)"
    return replace(ingested, events=taken.reset_index(drop=True), notes=(*ingested.notes, note))


def _system(ingested: Ingested, config: SystemConfig) -> SystemRun:
    with tqdm(total=len(STEPS), desc="  system", unit="step", leave=False) as bar:

        def show(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        return run_system(ingested, config, show)


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


def _print_system(run: SystemRun, folder: Path) -> None:
    ingested = run.ingested
    for stage, rows in run.funnel.items():
        print(f"  {stage:<34}{rows:>12,}")
    if ingested.reasons:
        print(f"  dead letters, by reason ({folder / 'dead_letters.csv'}):")
        for reason, count in sorted(ingested.reasons.items(), key=lambda item: -item[1])[:6]:
            print(f"    {count:>10,}  {reason}")
    for note in ingested.notes:
        print(f"  note: {note}")
    for row in run.report.failures.itertuples():
        print(f"  VERIFICATION: {row.check} fails for {row.failing:,} rows, {row.share:.1%}; allowed {row.allowed:.1%}")
    if not run.report.passed:
        print("  the batch did not pass: in production it would be held; here training went on, to show you the rest")
    print(f"  AUC, features over the whole table   {run.leaked}   <- what leakage would have claimed")
    print(f"  AUC, the same features point in time {run.honest}")
    print(f"  AUC of the system                    {run.metrics['auc']}")
    print(f"  F1 at the best training threshold    {run.metrics['f1']}")
    rungs = ", ".join(f"{name} {count}" for name, count in sorted(run.server.rungs.items()))
    print(
        f"  {sum(run.server.rungs.values())} users ranked, rungs: {rungs}; "
        f"training means stood in for {run.defaulted:.0%} of the values (unseen or expired)"
    )
    drifted = run.drift.loc[run.drift["status"] == "DRIFT", "column"].tolist()
    judged = (run.drift["status"] != "TOO_FEW_ROWS").any()
    few = f"not judged, under {run.config.monitoring.min_rows} rows (--set monitoring.min_rows=...)"
    print(f"  drift: {', '.join(drifted) or 'none' if judged else few}")
    limit, carried = run.config.serving.max_latency_ms, run.carried
    fits = "within" if carried["rank_ms"] <= limit else "OVER"
    print(
        f"  {run.config.serving.replicas} replicas at half load carry {carried['requests_per_second']:,.0f} "
        "requests/s of scoring, "
        f"{carried['rank_ms']:.2g} ms each: {fits} the {limit:g} ms promised"
    )


def _print_scoreboard(scoreboard: pd.DataFrame, outcomes: list[Outcome]) -> None:
    print("\nScoreboard")
    for row in scoreboard.itertuples():
        print(f"  {row.part:<24}{row.what:<34}{row.outcome:<8}{row.seconds:>6.1f} s")
    for outcome in outcomes:
        for text in outcome.claims:
            print(f"    proved  {text}")
        if outcome.error:
            print(f"    {outcome.error}")


def _sections(run: SystemRun, outcomes: list[Outcome]) -> list[report.Section]:
    reasons = pd.DataFrame(sorted(run.ingested.reasons.items()), columns=["reason", "rows"])
    scores = run.scores[run.split.test]
    names = ["whole table (leak)", "same features, point in time", "the system"]
    estimates = [run.leaked, run.honest, run.metrics["auc"]]
    values, lows, highs = ([getattr(e, part) for e in estimates] for part in ("value", "low", "high"))
    metrics = pd.DataFrame([(name, str(e)) for name, e in run.metrics.items()], columns=["metric", "value [95 %]"])
    costs = unit_costs()
    pairs = ["features_us_per_event", "rank_500_us", "predict_us"]
    mid = run.capacity[run.capacity["case"] == "mid"]
    sections: list[report.Section] = [
        ("Rows", "Every row is accounted for: it goes on, or it is a dead letter with a reason.", reasons,
         plots.loss_funnel(list(run.funnel), list(run.funnel.values()))),
        ("Verification", "Checks on the rows that the schema let through.", run.report.frame().round(4), None),
        ("What leakage would have claimed",
         "The first two: same rows, split and features, only the join differs. The system's features have a window "
         "and expire.", metrics,
         plots.intervals(names, values, lows, highs, reference=0.5)),
        ("Scores", "Scores of the rows after the cut.", None, plots.score_histogram(scores, run.threshold)),
        ("Drift", "Rows after the cut against rows before it.", run.drift.round(4),
         plots.drift_bars(run.drift["column"].tolist(), run.drift["psi"].to_numpy(), run.config.monitoring.min_psi)),
        ("What it costs", "Measured by `mlsys calibrate` on one machine.", None,
         plots.costs_bar([n.rsplit("_us", 1)[0] for n in pairs], [costs["naive_" + n] / 1e6 for n in pairs],
                         [costs[n] / 1e6 for n in pairs])),
        ("At scale", "Mid case of the plan; formulas in mlsys/capacity.py.", mid.round(1),
         plots.scale_curves(mid["users"].to_numpy(), mid["requests_per_second"].to_numpy(),
                            (mid["online_gb"] * 1e9).to_numpy(), mid["cores"].to_numpy())),
    ]  # fmt: skip
    for outcome in outcomes:
        table = pd.DataFrame({"proved": outcome.claims})
        sections.append((f"Notebook {outcome.name}", outcome.error or "", table, None))
        sections += [("", "", None, figure) for figure in outcome.figures]
    return sections
