"""`mlsys run --log`: the system once around on a log of yours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from mlsys.analysis import plots, report
from mlsys.capacity import unit_costs
from mlsys.collection import Ingested, Mapping, read_log
from mlsys.config import SystemConfig
from mlsys.orchestration import STEPS, SystemRun, run_system


def run_log(
    path: Path, mapping: Mapping, config: SystemConfig, *, folder: Path, max_events: int
) -> list[report.Section]:
    """Read, run every step, print what came out; returns the sections of the report."""
    with tqdm(total=None, desc="  collect", unit="B", unit_scale=True, leave=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        ingested = read_log(path, mapping, dead_letters=folder / "dead_letters.csv", progress=advance)
    run = _system(_last(ingested, max_events), config)
    _print_system(run, folder)
    return _sections(run)


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


def _sections(run: SystemRun) -> list[report.Section]:
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
    return sections
