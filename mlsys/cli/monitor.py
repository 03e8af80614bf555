"""`mlsys monitor grade | report | rules`: alerts graded on known incidents, drift of a file, what is watched."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from mlsys.analysis import alerting
from mlsys.analysis.report import Section, write_report
from mlsys.core import MlsysError
from mlsys.evaluation.intervals import wilson
from mlsys.monitoring import ModelMonitor
from mlsys.monitoring.daily import RULES
from mlsys.orchestration import checkpoint
from mlsys.orchestration.grading import SIZES, WORTH, Naive, Policy, Rules, Run, corpus, graded, score
from mlsys.world import KINDS

FACTORS, THRESHOLDS = (0.4, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0), (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Of the curve: rules scaled, and the naive policy's relative change."""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "monitor",
        help="grade alerts on injected incidents; report the drift between two files",
        description="Alerts are a classifier of days. Here every incident is injected, so they can be graded as one.",
        epilog="Examples:\n"
        "  python start.py monitor grade\n"
        "  python start.py monitor grade --first-seed 7 --kinds bots store_outage --users 600\n"
        "  python start.py monitor report last_week.csv today.csv\n"
        "  python start.py monitor rules",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    grade = actions.add_parser(
        "grade",
        help="every kind of incident in three sizes, and healthy months: who pages, when, and how often for nothing",
        description="Runs the daily system through every kind of incident, in three sizes, in worlds drawn now, and "
        "through healthy months; then grades the default rules and the naive policy (any metric moved by a tenth). "
        "About four minutes a seed at 2,000 users. An interrupted run goes on where it was, if called with its seed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    grade.add_argument("--seeds", type=int, default=2, metavar="N", help="worlds (default 2)")
    grade.add_argument(
        "--first-seed", type=int, metavar="S", help="seed of the first (default: drawn now, and printed)"
    )
    grade.add_argument("--users", type=int, default=2_000, metavar="N", help="users of each world (default 2000)")
    grade.add_argument("--kinds", nargs="+", default=list(KINDS), metavar="KIND", help="only these (default: all 16)")
    grade.add_argument("--folder", type=Path, default=Path("work/monitor"), help="results (default work/monitor)")
    grade.set_defaults(handler=grade_alerts)
    compare = actions.add_parser(
        "report",
        help="drift between two CSV files, column by column, as a page with plots",
        description="Compares every column that both files have: PSI, KS, p, missing share. Writes an HTML page.",
    )
    compare.add_argument("reference", type=Path, help="CSV file of what is usual")
    compare.add_argument("current", type=Path, help="CSV file of what is new")
    compare.add_argument("--min-psi", type=float, default=0.1, help="effect size of a drift (default 0.1)")
    compare.add_argument("--rate", type=float, default=0.01, help="false discovery rate (default 0.01)")
    compare.add_argument("--out", type=Path, default=Path("work/drift.html"), help="page (default work/drift.html)")
    compare.set_defaults(handler=report_drift)
    rules = actions.add_parser("rules", help="what the daily system is watched for", description="Prints the rules.")
    rules.set_defaults(handler=print_rules)


def grade_alerts(arguments: argparse.Namespace) -> int:
    """Simulate what is missing, grade, print, write grade.html."""
    if unknown := sorted(set(arguments.kinds) - set(KINDS)):
        raise MlsysError(f"no incident {', '.join(unknown)}", why="16 kinds are known", fix="mlsys world incidents")
    if arguments.seeds < 1 or arguments.users < 100:
        raise MlsysError(
            f"{arguments.seeds} seeds, {arguments.users} users",
            why="a grade needs a world, and a world a hundred users",
            fix="--seeds 2 --users 2000",
        )
    first = secrets.randbelow(900_000) + 1_000 if arguments.first_seed is None else arguments.first_seed
    print(f"seeds {first} to {first + arguments.seeds - 1}; again: --first-seed {first} --seeds {arguments.seeds}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    runs = [run for i in range(arguments.seeds) for run in _runs(arguments, first + i)]
    policies: dict[str, Policy] = {"default rules": Rules(), "naive: a tenth": Naive()}
    tables = {name: graded(runs, policy) for name, policy in policies.items()}
    board = pd.DataFrame({name: _shown(table) for name, table in tables.items()}).T
    ours = tables["default rules"]
    print(f"\n{board.to_string()}\n")
    kinds = _by_kind(ours)
    print(kinds.to_string())
    missed = ours[(ours["kind"] != "") & (ours["cost"] >= WORTH) & ~ours["caught"]]
    print(
        "\nmissed: "
        + ("; ".join(f"{r.kind} {r.size:.2f}, {r.cost:.1%}, seed {r.seed}" for r in missed.itertuples()) or "none")
    )
    found = score(ours)
    finding = f"{found['recall']:.0%} paged, {found['false_per_month']:.1f} false pages a month"
    sections: list[Section] = [
        ("Coverage against alert fatigue", "", None, alerting.fatigue_curve(_curves(runs), finding)),
        ("What incidents cost, and who was paged", "", kinds.reset_index(), alerting.cost_dots(ours, worth=WORTH)),
        ("Every run", "", ours.round(4), None),
    ]
    page = arguments.folder / "grade.html"
    write_report(page, "Alerts, graded on known incidents", sections, board.reset_index(names="policy"))
    print(f"{page} has the curve, the costs and every run")
    return 0


def _runs(arguments: argparse.Namespace, seed: int) -> list[Run]:
    """The corpus of a seed: simulated, or as it was simulated before by the same code."""
    path = arguments.folder / f"corpus-{seed}.checkpoint"
    key = checkpoint.key_of("corpus", seed, arguments.users, tuple(arguments.kinds))
    runs: list[Run] = checkpoint.load(path, key) or []
    if not runs:
        total = 1 + len(arguments.kinds) * len(SIZES)
        with tqdm(total=total, desc=f"  seed {seed}", unit="run", leave=False, disable=None) as bar:
            runs = corpus(seed, users=arguments.users, kinds=arguments.kinds, on_run=lambda _: bar.update() and None)
        checkpoint.save(path, key, runs)
    return runs


def _shown(table: pd.DataFrame) -> dict[str, str]:
    found, costly = score(table), table[(table["kind"] != "") & (table["cost"] >= WORTH)]
    low_high = wilson(float(costly["caught"].sum()), len(costly)) if len(costly) else None
    return {
        "recall": "-" if low_high is None else f"{found['recall']:.0%} [{low_high.low:.0%}, {low_high.high:.0%}]",
        "of": f"{found['incidents']:.0f} that cost {WORTH:.0%}",
        "precision": f"{found['precision']:.0%}",
        "at one incident a month": f"{found['in_practice']:.0%}",
        "days to detect": f"{found['waited']:.2f}",
        "pages an incident": f"{found['pages_per_incident']:.1f}",
        "false pages a month": f"{found['false_per_month']:.1f}",
    }


def _by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """Cost, catches and the first page of each kind; recall by size as caught/runs."""
    rows = {}
    for kind, part in table[table["kind"] != ""].groupby("kind"):
        sizes = [f"{int(one['caught'].sum())}/{len(one)}" for _, one in part.groupby("size")]
        first = part.loc[part["caught"], "first"].str.replace(r" [+-]?[\d.].*$", "", regex=True).mode()
        rows[kind] = (f"{part['cost'].max():.1%}", "  ".join(sizes), first.iloc[0] if len(first) else "-")
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["largest cost", "caught, small to large", "first page"]
    )


def _curves(runs: list[Run]) -> dict[str, pd.DataFrame]:
    lines: dict[str, list[tuple[str, Policy]]] = {
        "rules, scaled": [(f"× {factor:g}", Rules(factor=factor)) for factor in FACTORS],
        "naive, threshold": [(f"{share:.0%}", Naive(share)) for share in THRESHOLDS],
    }
    return {
        name: pd.DataFrame([{**score(graded(runs, policy)), "label": label} for label, policy in line])
        for name, line in lines.items()
    }


def report_drift(arguments: argparse.Namespace) -> int:
    """Compare two files, print the columns, write the page."""
    frames = []
    for path in (arguments.reference, arguments.current):
        try:
            frames.append(pd.read_csv(path))
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise MlsysError(
                f"{path} is no CSV table", why=str(error), fix="a header line, then rows, in UTF-8"
            ) from None
    reference, current = frames
    shared = [name for name in reference.columns if name in current.columns]
    if not shared:
        raise MlsysError(
            "the files have no column in common",
            why=f"{', '.join(reference.columns[:5])} … against {', '.join(current.columns[:5])} …",
            fix="compare two files of one table",
        )
    alone = sorted(set(reference.columns) ^ set(current.columns))
    monitor = ModelMonitor(reference[shared], min_psi=arguments.min_psi, rate=arguments.rate)
    window = monitor.window()
    window.observe(current[shared])
    found = window.report()
    print(found.round(4).to_string(index=False))
    if alone:
        print(f"in one file only: {', '.join(alone)}")
    note = f"{len(reference):,} rows against {len(current):,}." + (
        f" In one file only: {', '.join(alone)}." if alone else ""
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = [("Columns", note, None, alerting.column_panels(window))]
    write_report(
        arguments.out, f"{arguments.current.name} against {arguments.reference.name}", sections, found.round(4)
    )
    print(f"{arguments.out} has the plots")
    return 0


def print_rules(_: argparse.Namespace) -> int:
    """Print the table of rules."""
    rows = []
    for rule in RULES:
        least = f" and by {rule.least:g}" if rule.least else ""
        limit = f"> {rule.above:g}" if rule.above is not None else f"{rule.direction}, by {rule.moved:.0%}{least}"
        rows.append((rule.name, rule.signal, limit, rule.severity, rule.runbook, rule.stake))
    columns = ["rule", "signal", "fires", "severity", "runbook", "stake"]
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))
    print("\nA move has to be unlikely on a healthy day as well: one day in a thousand, per rule.")
    return 0
