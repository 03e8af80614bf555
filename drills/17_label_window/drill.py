"""Two shortcuts of a nightly job: labels are cut off at one instant, and the dislike head sees few negatives.

What is still under way at the cut is known to the world, which goes on; the candidate has the counts of that instant.
The heads are fitted on the world's log, one on all rows, one on a share of those without a dislike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.source import load

nightly = load(Path(__file__).with_name("nightly.py"))

POSTS, PLANS = "ABCDE", ("now", "wait", "history")
KEPT = np.arange(1, 1_001) / 1_000
"""Shares kept at which orders are looked at."""

NARROW, WIDE = (6, 8), (12, 14)
"""Widths of intervals in percentage points, for three points and for two: of what is missing, of a like rate."""


def variant(seed: int) -> Variant:
    """A night whose truth can be found from its counts, and five posts whose order the sampling turns."""
    log, shown, key, tables = _labels(seed)
    rng = generator(seed, 2)
    kept, weight = float(rng.choice([0.04, 0.05, 0.08, 0.1])), float(rng.integers(2, 6))
    table, at = nightly.heads(log, kept, rng), round(1_000 * kept) - 1
    for _ in range(4_000):
        five = table.iloc[rng.permutation(len(table))[: len(POSTS)]].reset_index(drop=True)
        like, said = five["p_like"].to_numpy(), five["p_dislike"].to_numpy()
        p = nightly.repaired(said, kept)
        sampled = nightly.repaired(p[:, None], 1 / KEPT)  # What a head that kept this share would say.
        first = (like[:, None] - weight * sampled).argmax(axis=0)
        turns, top = KEPT[max(np.flatnonzero(first != first[-1]), default=0)], int(first[-1])
        ahead = np.diff(np.sort(like - weight * p)[-2:])[0] > 0.012 and first[at] != top
        if ahead and 1.8 * kept < turns < 0.8 and top == (like - weight * five["whole"]).argmax():
            break
    else:
        raise MlsysError(f"seed {seed} gives no five posts", why="sampling turns no order", fix="take another seed")
    percent = {"repaired": 100 * p, "said": 100 * said, "scaled": 100 * said * kept, "whole": 100 * five["whole"]}
    key |= {name: dict(zip(POSTS, map(float, values), strict=True)) for name, values in percent.items()}
    key |= {"top": POSTS[top], "raw": POSTS[int(first[at])], "keeps": 100 * float(turns)}
    tables["scores"] = five.drop(columns="whole").assign(post=list(POSTS))[["post", "p_like", "p_dislike"]]
    day, ratio = float(rng.choice([40, 60, 80, 120])), float(rng.choice([0.6, 0.7, 1.6, 1.9]))
    hour = round(day * (key["days"] - 1) / key["hours"] * ratio, 1)
    shown |= {"kept": kept, "kept_percent": 100 * kept, "weight": weight, "per_day": day, "per_hour": hour}
    return Variant(shown, key, tables)


def _labels(seed: int) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A log, and of its last night what is shown, the key and the counts."""
    for attempt in range(1, 100):
        rng = generator(seed, 1, attempt)
        cut, later, days = int(rng.integers(5, 10)), int(rng.integers(2, 5)), int(rng.integers(3, 6))
        night, log = nightly.night(100 * seed + attempt, cut, float(rng.uniform(4.5, 8.5)))
        tables = night.tables()
        guess = nightly.estimated(tables)
        bound = round(float(np.sqrt(night.missing(days - 1, 0) * night.missing(days, 0))), 1)
        told = []
        for one in (night, guess):
            hours = next(wait for wait in range(99) if one.missing(1, wait) <= bound)
            rates = [float(one.rates(wait)[1]) for wait in (nightly.LONGEST, 0)]
            told.append([one.missing(1, 0), one.missing(1, later), rates[0], hours, one.overtakes(), rates[1]])
        near = (np.abs(np.subtract(*told)) < [1.8, 1.8, 1.8, 2, 2, 99]).all()  # By the counts alone, that is.
        if near and guess.missing(days, 0) < bound < guess.missing(days - 1, 0) and 2 <= told[0][4] <= 10:
            names = ("now", "later", "new", "hours", "overtakes", "raw_new")
            key = {**dict(zip(names, told[0], strict=True)), "days": days}
            return log, {"cut": cut, "later": float(later), "bound": bound}, key, tables
    raise MlsysError(f"seed {seed} gives no night", why="its counts tell too little", fix="take another seed")


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return {"now": variant.key["now"], "later": variant.key["later"], "new_rate": variant.key["new"]}


def _held(interval: tuple[float, float], truth: float, kind: int) -> tuple[int, str]:
    """Points of an interval of missing likes (0) or a rate (1), and what is to be said."""
    low, high = interval
    told = f"you said {low:.3g} to {high:.3g} %"
    if not low <= truth <= high:
        return 0, f"{told}: missed, it is {'less' if truth < low else 'more'}"
    points = 3 if high - low <= NARROW[kind] else 2 if high - low <= WIDE[kind] else 1
    return points, f"{told}, it was {truth:.1f} %" + ("" if points == 3 else f": {high - low:.3g} points are wide")


def late(answer: Answer, variant: Variant) -> Evidence:
    """What is missing at the cut and some hours later."""
    (a, now), (b, later) = (_held(answer[name], variant.key[name], 0) for name in ("now", "later"))
    why = "" if min(a, b) else ". Delays are known only of likes that are old enough to be all there"
    return Evidence(min(a, b) if min(a, b) else int(max(a, b) > 1), f"at the cut {now}; later {later}{why}")


def enough(answer: Answer, variant: Variant) -> Evidence:
    """The shortest window, and the shortest wait."""
    found, off = [], []
    for name, what in (("days", "window"), ("hours", "wait")):
        said, right = answer[name], variant.key[name]
        gap, free = abs(said - right), name == "hours"
        found.append(3 if gap <= free else 2 if gap <= 1 + free else 0)
        if found[-1] < 3:
            much = "bias is still above the bound" if said < right else "longer than needed"
            off.append(f"a {what} of {said:g} {name}: {much}")
    told = f"{answer['days']:g} days at the cut, or one day {answer['hours']:g} hours later, come under the bound"
    return Evidence(min(found) if min(found) else int(max(found) == 3), "; ".join(off) or told)


def order(answer: Answer, variant: Variant) -> Evidence:
    """Today's posts: their rate when all likes are in, and when the record puts them first."""
    key, said = variant.key, answer["overtakes"]
    points, told = _held(answer["new_rate"], key["new"], 1)
    gap = abs(said - key["overtakes"])
    turn = 3 if gap <= 1 else 2 if gap <= 2 else 0
    when = "early" if said < key["overtakes"] else "late"
    then = (
        f"they pass the others {key['overtakes']} hours after the cut"
        if turn == 3
        else f"{said:g} hours are too {when}"
    )
    both = min(points, turn) or int(max(points, turn) > 1)
    return Evidence(both, f"today's posts: {told} (at the cut {key['raw_new']:.1f} % are recorded); {then}")


def repair(answer: Answer, variant: Variant) -> Evidence:
    """Dislike probabilities that mean what they say, and which post is first then."""
    key = variant.key
    said = {str(row["post"]): row["percent"] for row in answer["repaired"]}

    def near(truth: str) -> list[str]:
        return [
            post for post in POSTS if abs(said.get(post, -1) - key[truth][post]) <= max(0.04 * key[truth][post], 0.06)
        ]

    right, top = near("repaired"), answer["top"] == key["top"]
    points = 3 if top and len(right) == 5 else 2 if top and len(right) >= 3 else int(top or len(right) == 5)
    told = f"{len(right)} of 5 probabilities hold"
    if len(near("scaled")) >= 3:
        told += ": you multiplied the probability; it is the odds that were inflated"
    elif len(near("said")) >= 3:
        told += ": that is what the head says, not what happens"
    elif len(right) == 5:
        told += f"; a head that saw all rows says {key['whole'][key['top']]:.1f} % for {key['top']}"
    return Evidence(
        points, f"{told}; {answer['top']} {'is first' if top else 'is not first: the sum without repair says so'}"
    )


def flip(answer: Answer, variant: Variant) -> Evidence:
    """The share kept from which on nothing has to be repaired."""
    said, key = answer["keeps"], variant.key
    far = abs(said - key["keeps"])
    points = 3 if far <= max(0.04 * key["keeps"], 0.6) else 2 if far <= max(0.15 * key["keeps"], 1.5) else 0
    if points == 3:
        return Evidence(
            3, f"at {key['keeps']:.1f} % and less another post is first without repair, above it {key['top']}"
        )
    if points == 2:
        return Evidence(2, f"{said:g} % is near the turn at {key['keeps']:.1f} %")
    side = "another post is still first" if said < key["keeps"] else f"{key['top']} is first without repair long before"
    return Evidence(0, f"at {said:g} % kept, {side}; let the odds of every post grow by 1 / share and look who leads")


def decide(answer: Answer, variant: Variant) -> Evidence:
    """The cheaper of two plans that keep the bound, by your own window and wait, and the price at which it turns."""
    shown, days, hours = variant.shown, answer["days"] - 1, answer["hours"]
    cost = {"wait": shown["per_hour"] * hours, "history": shown["per_day"] * days}
    turns, cheap = cost["history"] / hours, [name for name in cost if cost[name] <= 1.03 * min(cost.values())]
    far = abs(answer["turns"] / turns - 1) if turns else 1.0
    bill = f"${cost['wait']:,.0f} for {hours:g} hours, ${cost['history']:,.0f} for {days:g} more days"
    if answer["plan"] == "now":
        return Evidence(0, "one day at the cut breaks the rule: it is over the bound")
    if answer["plan"] not in cheap:
        return Evidence(int(far <= 0.05), f"{answer['plan']} is dearer: {bill} a night")
    if far <= 0.25:
        return Evidence(3 if far <= 0.05 else 2, f"{answer['plan']}: {bill} a night; it turns at ${turns:.1f} an hour")
    return Evidence(1, f"{answer['plan']} is cheap, {bill} a night; but nothing turns at ${answer['turns']:,.1f}")
