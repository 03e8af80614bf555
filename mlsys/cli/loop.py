"""`mlsys run`: the system in the simulated feed, day after day, with whatever goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mlsys.analysis import loop as figures
from mlsys.analysis import report
from mlsys.config import SystemConfig
from mlsys.core import MlsysError
from mlsys.lesson.build import write
from mlsys.monitoring.exposition import exposition
from mlsys.orchestration import checkpoint
from mlsys.orchestration.loop import WARM_UP, DailyLoop
from mlsys.world import Incident
from mlsys.world.incidents import Incidents

SAVE_EVERY = 3
"""Days between two checkpoints; saving takes about a third of a day."""


def run_loop(
    config: SystemConfig,
    *,
    seed: int,
    users: int,
    days: int,
    incidents: Sequence[Incident],
    folder: Path,
    compare: bool,
    fresh: bool,
) -> list[report.Section]:
    """Run the days, print them, return the sections of the report.

    `compare`: with incidents, also run the same days without them. `fresh`: do not go on with what was interrupted.
    """
    late = [i for i in incidents if i.day > days]
    if late or any(i.day < 1 for i in incidents):
        wrong = (late or [i for i in incidents if i.day < 1])[0]
        raise MlsysError(
            f"{wrong.kind} strikes on day {wrong.day}",
            why=f"the run has days 1 to {days}",
            fix=f"--incident {wrong.kind}@{max(1, min(days, 20))}, or another --days",
        )

    path = folder / "run.checkpoint"
    key = checkpoint.key_of(config.version, seed, users, days, tuple(incidents), compare)
    found = None if fresh else checkpoint.load(path, key)
    loop: DailyLoop = found[0] if found else DailyLoop(config, seed=seed, users=users, incidents=incidents)
    healthy: DailyLoop | None = found[1] if found else None
    if found:
        print(f"  going on after day {loop.day - 1} (--fresh starts over)")
    # The night before the first incident is the last thing that both have in common: interests shift at midnight.
    fork = min(i.day for i in incidents) - 1 if incidents and compare else None
    left = WARM_UP + days - loop.world.day
    left += 0 if fork is None else days + 1 - (healthy.day if healthy else fork)
    with tqdm(total=left, desc="  days", unit="day", leave=False, disable=None) as bar:

        def on_day(one: DailyLoop) -> None:
            nonlocal healthy
            bar.update()
            if one is loop and one.day == fork:
                healthy = deepcopy(one)
                healthy.world.incidents = Incidents()
            if one.world.day % SAVE_EVERY == 0:
                checkpoint.save(path, key, (loop, healthy))

        frame = loop.run(days, on_day)
        baseline = healthy.run(days, on_day) if healthy else None
    path.unlink(missing_ok=True)
    if loop.told is not None:
        write(folder / "mlsys.prom", exposition(loop.monitor, loop.told, loop.events))
    _print(frame, incidents, baseline)
    return _sections(frame, incidents, baseline)


def _print(frame: pd.DataFrame, incidents: Sequence[Incident], baseline: pd.DataFrame | None) -> None:
    print(f"  {'day':>3}  {'of the oracle':<17}{'likes':>6}{'users':>7}{'stayed':>8}{'AUC':>7}  alerts and the gate")
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    for row in rows:
        bar = "█" * round(10 * row["share_of_oracle"])
        stayed = "" if np.isnan(row["retained"]) else f"{row['retained']:.0%}"
        said = [*row["alerts"], *([row["gate"]] if row["gate"].startswith("held") else [])]
        more = f" and {len(said) - 2} more" if len(said) > 2 else ""
        print(
            f"  {row['day']:>3}  {row['share_of_oracle']:>4.0%} {bar:<12}{row['likes_per_session']:>6.2f}"
            f"{row['active_users']:>7}{stayed:>8}{row['auc']:>7.3f}  {'; '.join(said[:2])}{more}".rstrip()
        )
    print(f"  likes per session: {_average(frame, 'share_of_oracle')} of the oracle's; random ranking would have "
          f"{_average(frame, 'random_share')}")  # fmt: skip
    if len(frame) > 5:
        moved = frame["share_of_oracle"].corr(frame["auc"])
        if not np.isnan(moved):
            print(f"  AUC offline against value online, day by day: correlation {moved:+.2f}")
        print(f"  of users who came on days 1 to 3, {frame['retained'].iloc[-1]:.0%} came in the last three days")
    rungs = pd.DataFrame(list(frame["rungs"])).mean()
    print("  feature values served: " + ", ".join(f"{name} {share:.1%}" for name, share in rungs.items()))
    if frame["held"].any():
        print(f"  rows held back by verification: {frame['held'].sum():,}")
    print(f"  days with an alert: {int(frame['alerts'].map(bool).sum())} of {len(frame)}")
    if incidents:
        before = frame[frame["day"] < min(i.day for i in incidents)]
        print(f"  before anything went wrong: {int(before['alerts'].map(bool).sum())} of {len(before)}")
    for incident in incidents:
        _print_incident(incident, frame, baseline)


def _average(frame: pd.DataFrame, column: str) -> str:
    return f"{np.average(frame[column], weights=frame['sessions']):.1%}"


def _print_incident(incident: Incident, frame: pd.DataFrame, baseline: pd.DataFrame | None) -> None:
    name = f"{incident.kind} on day {incident.day}"
    alerts = frame[(frame["day"] >= incident.day) & frame["alerts"].map(bool)]
    if len(alerts):
        wait = int(alerts["day"].iloc[0]) - incident.day
        when = "on the same day" if wait == 0 else f"{wait} day{'s' * (wait > 1)} later"
        print(f"  {name}: first alert {when}: {'; '.join(alerts['alerts'].iloc[0][:2])}")
    else:
        print(f"  {name}: no alert")
    if baseline is not None:
        since = frame["day"] >= incident.day
        here, there = (float(days.loc[since, "share_of_oracle"].mean()) for days in (frame, baseline))
        print(f"    from that day on {here:.1%} of the oracle's likes, {there:.1%} without incident: "
              f"{1 - here / there:.1%} of engagement lost")  # fmt: skip


def _sections(
    frame: pd.DataFrame, incidents: Sequence[Incident], baseline: pd.DataFrame | None
) -> list[report.Section]:
    table = frame.drop(columns=["alerts", "tickets", "signals", "rungs"]).round(3)
    table["alerts"] = frame["alerts"].map("; ".join)
    return [
        (f"{len(frame)} days", "What the server ranks today is what people see, and what they do trains tomorrow's "
         "model.", None, figures.loop_overview(frame, incidents, baseline)),
        ("AUC offline against value online", "", None, figures.offline_online(frame)),
        ("Day by day", "Likes and dislikes are exact expectations per session, not counts of dice.", table, None),
    ]  # fmt: skip
