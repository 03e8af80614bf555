"""One line of the spec was wrong: two markets built on one spec, in one of them a line does not hold.

The key is what ran, with and without it, and each rival line in the same market from the same day on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.source import load

market = load(Path(__file__).with_name("market.py"))
LINES, AT_LAUNCH, DAYS, SIZES = market.LINES, market.AT_LAUNCH, market.DAYS, market.SIZES
COLUMNS = list(market.COLUMNS)
ASKS = {"returns": "stay_away", "slots": "how_far_down", "new_people": "who_joins", "logging": "which_app_logs",
        "time": "busiest_hour", "history": "may_it_go", "interests": "what_turns"}  # fmt: skip
"""By line, the question that would have caught it."""

SPAN, MOVED, QUIET = 4, 0.25, 0.1
"""A column is judged by its mean over the first and over the last so many days since the line broke, whichever is
farther outside the range of healthy days. It moved if by this share of that range; it is quiet if by this at most."""

NARROW, WIDE = 10.0, 16.0
"""Percentage points: how wide an interval may be for three points, for two."""


def variant(seed: int) -> Variant:
    """Which market, which line, since when, and how wrong. Seven seeds are seven lines."""
    rng, block = generator(seed, 1), generator(seed // 7, 2).permutation(len(LINES))
    line, where = LINES[block[seed % 7]], str(rng.choice(["north", "south"]))
    later, size = int(rng.integers(4, 8)), float(rng.uniform(*SIZES[line]))
    first = 1 if line in AT_LAUNCH else later
    start = market.Market(seed)
    control, twin = start.copy(dice=1).run(), start.copy()
    twin.run(first - 2)
    fork = twin.copy()
    sick = fork.copy(wrong=line, size=size, first=first)
    well, ill = twin.run(), sick.run()
    healthy = pd.concat([control, well, ill[: first - 1]])
    low, high = healthy[COLUMNS].min(), healthy[COLUMNS].max()
    here, rivals = _far(ill, low, high, first), {}
    for name in LINES:
        since = 1 if name in AT_LAUNCH else max(first, 2)  # Interests turn in a night.
        if name != line:
            run = (start if since < first else fork).copy(wrong=name, first=since).run()
            rivals[name] = _far(run, low, high, since)
    gone = ((ill < low - QUIET * (high - low)) | (ill > high + QUIET * (high - low))).any(axis=1)
    key = {
        "where": where,
        "line": line,
        "first": first,
        "here": here,
        "rivals": rivals,
        "near": _near(rivals, here),
        "effect": 100 * (sum(sick.given[first - 1 :]) / sum(twin.given[first - 1 :]) - 1),
        "seen": int(gone[first - 1 :].idxmax()),
        "unseen": {name: tuple(well[name]) for name in COLUMNS},
    }
    tables = {where: ill, {"north": "south", "south": "north"}[where]: control}
    shown = {"days": DAYS, "users": market.USERS, "evening": "{}:00 to {}:00".format(*market.EVENING)}
    return Variant(shown, key, {name: tables[name].reset_index() for name in ("north", "south")})


def _far(table: pd.DataFrame, low: pd.Series, high: pd.Series, first: int) -> dict[str, float]:
    """By column, how far it went out of the range of healthy days since the line broke, in widths of that range."""
    spans = table.loc[first : first + SPAN - 1, COLUMNS].mean(), table[COLUMNS][-SPAN:].mean()
    out = pd.DataFrame([((mean - low).clip(upper=0) + (mean - high).clip(lower=0)) / (high - low) for mean in spans])
    return {name: float(max(out[name], key=abs)) for name in COLUMNS}


def _verdict(rival: float, here: float) -> str:
    """Whether a column did the same in the run of a rival as here."""
    gap, top = abs(rival - here), max(abs(rival), abs(here))
    if gap >= MOVED and gap >= 0.6 * top:
        return "differs"
    return "same" if top <= QUIET or gap <= 0.35 * top else "unclear"


def _near(rivals: Mapping[str, Mapping[str, float]], here: Mapping[str, float]) -> tuple[str, ...]:
    """The rivals that move most of what moved here, alike: at least half as much as the nearest one."""
    moved = [column for column, far in here.items() if abs(far) >= MOVED]
    alike = {name: sum(_verdict(rival[column], here[column]) != "differs" for column in moved)
             for name, rival in rivals.items()}  # fmt: skip
    return tuple(name for name, count in alike.items() if count and 2 * count >= max(alike.values()))


def _told(far: float) -> str:
    """What a column did, in words."""
    if abs(far) < MOVED:
        return "in its usual range, or nearly"
    return f"{'above' if far > 0 else 'below'} it by {abs(far):.1f} widths"


def found(answer: Answer, variant: Variant) -> Evidence:
    """Which market, since when."""
    key, said, day = variant.key, answer["where"], answer["first"]
    if said != key["where"]:
        return Evidence(0, f"in {said} the spec held on all days: what you saw there is noise")
    slack = 2 if key["line"] == "returns" else 0  # People stay away one by one.
    off = max(0.0, day - key["first"] - slack) if day > key["first"] else key["first"] - day
    if not off:
        return Evidence(3, f"{said}, and the line did not hold from day {key['first']} on")
    way = "the line held on the day you name" if day < key["first"] else "it had not held before the day you name"
    return Evidence(2 if off == 1 else 1, f"{said} it is, but {way}")


def line(answer: Answer, variant: Variant) -> Evidence:
    """Which line, and the question that would have caught it."""
    key, said, ask = variant.key, answer["line"], answer["question"]
    if said != key["line"]:
        rival, here = key["rivals"][said], key["here"]
        tell = max(
            COLUMNS, key=lambda name: (_verdict(rival[name], here[name]) == "differs", abs(rival[name] - here[name]))
        )
        return Evidence(0, f"were {said} wrong, {tell} would be {_told(rival[tell])}; here it is {_told(here[tell])}")
    if ask != ASKS[said]:
        return Evidence(2, f"{said} did not hold; but the answer to {ask} would not have told you")
    return Evidence(
        3, f"the run in which {said} does not hold, and nothing else, gives these tables; {ask} asks for it"
    )


def rivals(answer: Answer, variant: Variant) -> Evidence:
    """Two rivals, a near one among them, excluded by two columns that they would have treated otherwise."""
    key, wrong, unclear = variant.key, [], 0
    good: dict[str, set[str]] = {}
    for row in answer["ruled_out"]:
        name, column = str(row["rival"]), str(row["column"])
        if name == key["line"]:
            wrong.append(f"{name} is excluded by nothing")
        elif (verdict := _verdict(key["rivals"][name][column], key["here"][column])) == "differs":
            good.setdefault(name, set()).add(column)
        elif verdict == "unclear":
            unclear += 1
        else:
            wrong.append(f"{column} would look as it does here if {name} were wrong")
    columns, near = set().union(*good.values()) if good else set(), set(key["near"])
    enough = len(good) >= 2 and len(columns) >= 2
    told = f"{len(good)} excluded, by {len(columns)} column{'s' * (len(columns) != 1)}"
    if wrong:
        return Evidence(2 if enough and len(wrong) == 1 else 0, f"{told}; but {wrong[0]}")
    if not enough:
        return Evidence(
            min(1, len(good)),
            f"{told}: it takes two rivals, and two columns" + "; one is too noisy to say" * (unclear > 0),
        )
    if near and not near & set(good):
        return Evidence(2, f"{told}; those that would look more like what you see are left standing")
    return Evidence(3, f"{told}: in their own runs these columns do otherwise than here")


def effect(answer: Answer, variant: Variant) -> Evidence:
    """Likes that people gave, against the same days with the line as written."""
    (low, high), truth = answer["effect"], variant.key["effect"]
    told = f"you said {low:+.3g} to {high:+.3g} %, the same days with the line as written say {truth:+.1f} %"
    if not low <= truth <= high:
        near = min(abs(low - truth), abs(high - truth)) <= 1 and high - low <= WIDE
        return Evidence(int(near), f"{told}; missed: mind what is not in the log, and how many came")
    wide = high - low
    told += "" if wide <= NARROW else f"; {wide:.3g} points are wide"
    return Evidence(3 if wide <= NARROW else 2 if wide <= WIDE else 1, told)


def tripwire(answer: Answer, variant: Variant) -> Evidence:
    """A condition beside the line: replayed on both markets, and on healthy days that nobody has seen."""
    key, name, value, above = variant.key, answer["trip_column"], answer["trip_value"], answer["trip_when"] == "above"
    sick = variant.tables[key["where"]][name].to_numpy()
    other = variant.tables[{"north": "south", "south": "north"}[key["where"]]][name].to_numpy()
    healthy = np.concatenate([other, sick[: key["first"] - 1], key["unseen"][name]])

    def fires(values: np.ndarray) -> np.ndarray:
        return np.asarray(values > value if above else values < value)

    alarms, days = int(fires(healthy).sum()), np.flatnonzero(fires(sick[key["first"] - 1 :])) + key["first"]
    if not len(days):
        return Evidence(0, f"{name} {answer['trip_when']} {value:g} never fires in the market where the line is wrong")
    told = f"it fires on day {days[0]}, and on {alarms} of {len(healthy)} healthy days"
    late = int(days[0]) - key["seen"]
    points = 3 if late <= 1 and not alarms else 2 if late <= 3 and alarms <= 1 else 1 if alarms <= 2 else 0
    return Evidence(points, told + ("" if points > 1 else ": a tripwire is one that people believe, in time"))


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"effect": variant.key["effect"]}
