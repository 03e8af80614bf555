"""The model got worse: a chain that trains every night, in which one link broke, or nothing did and people changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load
from mlsys.evaluation import auc

week = load(Path(__file__).with_name("week.py"))

HELPS = {"rows": "roll_back", "labels": "roll_back", "features": "roll_back", "server": "mend_server", "people": "keep"}
"""What may have happened, and what helps tonight."""
SLACK = {"rows": 2.0, "labels": 2.0, "features": 0.03, "server": 2.0, "people": 0.05}
"""How far a reading may be off."""


def variant(seed: int) -> Variant:
    """A week of nights; drawn again until one action clearly helps."""
    for attempt in range(1, 20):
        link, first, tables, tomorrow = week.run(seed + 7_919 * (attempt - 1), generator(seed, attempt))
        others = ("roll_back", "freeze") if link == "people" else ("keep",)
        if tomorrow[HELPS[link]] > 1.04 * max(tomorrow[name] for name in others):
            return Variant({"days": week.DAYS}, {"link": link, "first": first, "tomorrow": tomorrow}, tables)
    raise MlsysError(f"seed {seed} gives no week", why="no action clearly helps", fix="take another seed")


def readings(variant: Variant, first: float) -> dict[str, tuple[float, float]]:
    """What speaks for each link: before the first day, and from it on, means over days."""
    days, held, shown = (variant.tables[name] for name in ("days", "held_out", "impressions"))
    both = held.merge(shown, on="event_id")
    daily = {
        "rows": 100 * (days["likes"] / days["rows"]).set_axis(days["day"]),
        "labels": 100 * (both["label"] != (both["action"] == "like")).groupby(both["night"]).mean(),
        "features": pd.Series({n: auc(one["label"].to_numpy(float), one["score"].to_numpy()).value
                               for n, one in held.groupby("night")}),
        "server": 100 * ((shown["score_served"] - shown["score_again"]).abs() > 0.001).groupby(shown["day"]).mean(),
        "people": (days["frozen"] / days["random"]).set_axis(days["day"]),
    }  # fmt: skip
    return {name: (float(one[one.index < first].mean()), float(one[one.index >= first].mean()))
            for name, one in daily.items()}  # fmt: skip


def found(answer: Answer, variant: Variant) -> Evidence:
    """Which link."""
    said, key = answer["link"], variant.key
    before, since = readings(variant, key["first"])[said]
    told = f"{said}: its reading is {number(before)} before day {key['first']} and {number(since)} from then on"
    return (
        Evidence(3, f"{told}.") if said == key["link"] else Evidence(0, f"Not {told}. On that day another one breaks.")
    )


def since(answer: Answer, variant: Variant) -> Evidence:
    """The first day."""
    said, first = answer["first_day"], variant.key["first"]
    if said == first:
        return Evidence(3, f"Day {first} is the first with a worse feed and another reading.")
    side = "early: that day is like those before" if said < first else "late: it had begun by then"
    return Evidence(2 if abs(said - first) == 1 else 0, f"Day {said:g} is too {side}.")


def proof(answer: Answer, variant: Variant) -> Evidence:
    """Three readings, with the candidate's own first day or the true one."""
    either = [readings(variant, day) for day in (answer["first_day"], variant.key["first"])]
    wrong, right = [], set()
    for row in answer["readings"]:
        name, said = str(row["link"]), (row["before"], row["since"])
        near = any(np.allclose(said, one[name], rtol=0.03, atol=SLACK[name]) for one in either)
        right |= {name} if near else set()
        wrong += [] if near else [f"{name} does not read {said[0]:g} and {said[1]:g}"]
    if wrong:
        return Evidence(min(1, len(right)), f"{'; '.join(wrong)}. Means over days, by the table of the prompt.")
    return Evidence(min(3, len(right)), f"{len(right)} readings hold, in the same tables, with your days.")


def action(answer: Answer, variant: Variant) -> Evidence:
    """What it earns tomorrow."""
    said, tomorrow, best = answer["action"], variant.key["tomorrow"], HELPS[variant.key["link"]]
    told = f"{said} earns {tomorrow[said]:.2f} likes per session tomorrow, keep {tomorrow['keep']:.2f}"
    if said == best or tomorrow[said] > max(0.97 * tomorrow[best], 1.06 * tomorrow["keep"]):
        return Evidence(3, f"{told}: nothing earns clearly more.")
    if tomorrow[said] > 0.93 * tomorrow[best] and tomorrow[said] > 1.03 * tomorrow["keep"]:
        return Evidence(2, f"{told}. It helps, and gives away what the nights since had learned.")
    return Evidence(
        0, f"{told}. Something else is at {tomorrow[best]:.2f}: mend or go round the link that broke, only."
    )


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold, with the action that helps."""
    return {"tomorrow": variant.key["tomorrow"][HELPS[variant.key["link"]]]}


def price(answer: Answer, variant: Variant) -> Evidence:
    """Tomorrow's likes with the action that was named."""
    (low, high), truth = answer["tomorrow"], variant.key["tomorrow"][answer["action"]]
    told = f"{low:g} to {high:g} likes per session; the run with {answer['action']} says {truth:.2f}"
    if not low <= truth <= high:
        heals = "Every night has more rows from after the turn" if answer["action"] == "keep" else "It was well before"
        return Evidence(0, f"{told}: missed. {heals}; go on from the days in the table that are like tomorrow.")
    wide = (high - low) / truth
    return Evidence(3 if wide <= 0.3 else 2 if wide <= 0.5 else 1, told + (" (wide)." if wide > 0.3 else "."))
