"""A fortnight of one feed in which one thing happened: a fault of the data, or an honest change.

What happened is done to the log of a small `mlsys.World`, so every row that it touched is known. What an action
leaves is counted in the log that the candidate has.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.source import load
from mlsys.verification import verify

fortnight = load(Path(__file__).with_name("fortnight.py"))

WIDTH = {"views_as_likes": (0.4, 0.8), "taps_lost": (0.4, 0.8), "taps_under_way": (1.0, 1.8)}
COUNTED, SLACK = (0.05, 0.2), 3
"""Largest widths of an interval, as a share of the truth, for three points and for two: where it has to be estimated,
and where it can be counted. Counts of rows may be off by `SLACK`."""

ACTION = {
    "views_as_likes": {"set_aside": 3, "hold": 2},
    "taps_lost": {"set_aside": 3, "hold": 2},
    "repeats_same_id": {"dedupe_id": 3, "dedupe_content": 3, "set_aside": 2, "hold": 2},
    "repeats_new_id": {"dedupe_content": 3, "set_aside": 2, "hold": 2},
    "other_zone": {"convert": 3, "set_aside": 2, "hold": 2},
    "other_unit": {"convert": 3, "set_aside": 2, "hold": 2},
    "queue": {"nothing": 3, "wait": 2, "set_aside": 1, "hold": 1},
    "taps_under_way": {"wait": 3, "nothing": 3, "set_aside": 1, "hold": 1},
    "new_people": {"nothing": 3, "wait": 1},
    "better_feed": {"nothing": 3, "wait": 1},
}
"""Points of the actions that help; all others have none."""

BAD = ("views_as_likes", "taps_lost", "repeats_same_id", "repeats_new_id", "other_zone", "other_unit")
WHY = {
    "set_aside": "the rows it leaves out are right",
    "hold": "the rows it leaves out are right",
    "dedupe_id": "no event_id comes twice",
    "dedupe_content": "no row comes twice",
    "convert": "no column has another zone or unit, so nothing can be put back",
    "wait": "the older rows are as wrong tomorrow as tonight",
    "nothing": "training would read wrong rows as right ones",
}


def variant(seed: int) -> Variant:
    """The log, its people, the daily checks; what happened, where, since when, and to how many rows."""
    event, where, first, log, people = fortnight.draw(seed)
    checks = []
    for day, batch in log.groupby(fortnight.day_of(log)):
        acted, report = batch["action"].dropna(), verify(batch)
        shares = [round(1 - len(acted) / len(batch), 3), round((acted == "like").mean(), 3)]
        failed = ", ".join(report.failures["check"]) or "none"
        checks.append((day, len(batch), batch["user_id"].nunique(), *shares, failed))
    names = ["day", "rows", "people", "null_share", "like_share", "failed_checks"]
    columns = ["event_id", "user_id", "device", "post_id", "length", "action", "event_time", "arrival_time"]
    tables = {"events": log[columns], "people": people, "checks": pd.DataFrame(checks, columns=names)}
    key = {"event": event, "slice": where, "first_day": first, "touched": int(log["touched"].sum())}
    return Variant({"rows": float(len(log))}, key, tables)


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"touched": float(variant.key["touched"])}


def rows_left(variant: Variant, action: str, where: str, first: float) -> int:
    """Rows of the log that an action leaves for tonight's training."""
    log = variant.tables["events"]
    if action in ("set_aside", "hold"):
        here = (log["device"] == where) | (where == fortnight.EVERY) | (action == "hold")
        return int((~here | (fortnight.day_of(log) < first)).sum())
    if action.startswith("dedupe"):
        return len(log.drop_duplicates("event_id" if action == "dedupe_id" else fortnight.CONTENT))
    return int((log["event_time"] < fortnight.NOW - fortnight.DAY).sum()) if action == "wait" else len(log)


def found(answer: Answer, variant: Variant) -> Evidence:
    """What happened, and where."""
    key, said = variant.key, answer["what"]
    log = variant.tables["events"], variant.tables["people"], key["first_day"]
    if said != key["event"]:
        return Evidence(0, f"not {said}: {fortnight.reading(said, *log)}")
    if answer["slice"] != key["slice"]:
        return Evidence(1, f"{said}, but not on {answer['slice']}: {fortnight.reading(said, *log)}")
    return Evidence(3, f"{said}, {key['slice']}: {fortnight.reading(said, *log)}")


def since(answer: Answer, variant: Variant) -> Evidence:
    """The first day."""
    said, first = answer["first_day"], variant.key["first_day"]
    if said == first:
        return Evidence(3, f"day {first}: that is when it began")
    where = "early: on that day the log was as it had always been" if said < first else "late: it had begun before"
    return Evidence(2 if abs(said - first) == 1 else 0, f"day {said:g} is too {where}")


def touched(answer: Answer, variant: Variant) -> Evidence:
    """How many rows, in an interval as narrow as can be known."""
    (low, high), truth = answer["touched"], variant.key["touched"]
    low = max(low, 0.0)
    slack = max(SLACK, 0.01 * truth)
    told = f"you said {low:,.0f} to {high:,.0f} rows"
    if not low - slack <= truth <= high + slack:
        side = "fewer" if truth < low else "more"
        return Evidence(0, f"{told}: missed, there are {side}. Count by what the rows have in common, not by what "
                        "looks odd; where you cannot count, take the share before the first day")  # fmt: skip
    best, good = WIDTH.get(variant.key["event"], COUNTED)
    points = 3 if high - low <= max(12, best * truth) else 2 if high - low <= max(30, good * truth) else 1
    wide = "" if points == 3 else f"; {high - low:,.0f} rows are wide for what the log can tell"
    return Evidence(points, f"{told}, the run touched {truth:,}{wide}")


def action(answer: Answer, variant: Variant) -> Evidence:
    """Whether it helps, and what it throws away."""
    said, key, log = answer["action"], variant.key, variant.tables["events"]
    event, points = key["event"], ACTION[key["event"]].get(answer["action"], 0)
    left = rows_left(variant, said, key["slice"], key["first_day"])
    gone = f"{len(log) - left:,} of {len(log):,} rows are left out for {key['touched']:,} that were touched"
    if points == 3:
        taps = log["action"].isin(fortnight.TAPS).sum()
        why = {"taps_under_way": f"; {key['touched'] / taps:.1%} of the taps are not there yet"}.get(event, "")
        why = "; which of them are wrong nobody can tell" if said == "set_aside" else why
        return Evidence(3, f"{said} helps, and nothing cheaper does: {gone}{why}")
    if points == 2:
        return Evidence(2, f"{said} is safe, and dear: {gone}")
    if said == "wait" and event in fortnight.HONEST:
        return Evidence(1, "wait costs a day of news, and tomorrow these rows are what they are tonight")
    if event in BAD and said == "dedupe_content":
        return Evidence(0, f"{said} does not help: no row comes twice")
    return Evidence(points, f"{said} does not help: {WHY[said]}")


def price(answer: Answer, variant: Variant) -> Evidence:
    """Rows left by your action and by holding everything, for the place and day that you named."""
    where, first = answer["slice"], answer["first_day"]
    said = {"your action": (answer["left"], answer["action"]), "holding": (answer["left_if_held"], "hold")}
    off = [name for name, (rows, one) in said.items() if abs(rows - rows_left(variant, one, where, first)) > SLACK]
    if not off:
        kept = answer["left"] - answer["left_if_held"]
        return Evidence(3, f"both counts hold: your action keeps {kept:,.0f} rows more than holding does")
    told = f"off for {' and '.join(off)}: count the log with your own day ({first:g}) and place ({where})"
    return Evidence(2 if len(off) == 1 else 0, told)
