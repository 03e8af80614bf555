"""Which questions are worth their minute: losses are measured, odds are given, the rest is arithmetic on the tables.

A question has two answers and a design for each. What it saves is what the better unasked design loses on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.source import load

stakes = load(Path(__file__).with_name("stakes.py"))
DESIGNS: Mapping[str, tuple[str, str]] = stakes.DESIGNS
LOUD = ("horizon", "latency", "stack")
NEVER = stakes.NEVER


def variant(seed: int) -> Variant:
    """A measured table, and odds at which no question is a close call."""
    rng = generator(seed, 1)
    heavy = int(rng.choice([*range(120, 165, 5), *range(200, 305, 5)]))
    last_day = int(rng.choice([10, 14, 30]))
    measured, month, popular = stakes.measure(seed, heavy=heavy, tail=3.0, fixed_ms=20.0, last_day=last_day)
    need = float(measured["cores"].min() * 2)
    for attempt in range(1, 3_000):
        rng = generator(seed, 2, attempt)
        exchange = float(f"{2 * need / rng.uniform(6, 14):.2g}")
        minute = float(rng.choice([0.8, 1.0, 1.2, 1.5, 2.0]))
        odds = {name: int(rng.integers(1, 20)) * 5 for name in DESIGNS}
        found = stakes.worth(stakes.values(measured, popular, exchange), odds)
        ask = tuple(name for name, one in found.items() if one["saves"] > minute)
        wide = [name for name, one in found.items() if stakes.band(one, minute)[1] - stakes.band(one, minute)[0] > 0.2]
        turns = stakes.turns(month, 2 * need / exchange)
        # Three of four seeds have another one of the loud questions answered by its odds.
        spare = LOUD[seed % 4 : seed % 4 + 1] if attempt < 150 else ()
        fits = 2 <= len(ask) <= 4 and wide and turns and not set(spare) & set(ask)
        if fits and stakes.clear(found, odds, ask, minute, attempt < 500):
            break
    else:
        raise MlsysError(f"seed {seed} gives no odds", why="every draw is a close call", fix="take another seed")
    which = str(rng.choice(wide))
    low, high = stakes.band(found[which], minute)
    key = {
        "ask": ask,
        "saves": {name: one["saves"] for name, one in found.items()},
        "unasked": {name: one["default"] for name, one in found.items()},
        "differ": {name: abs(one["expected"][0] - one["expected"][1]) for name, one in found.items()},
        "flips": {name: one["flips"] for name, one in found.items()},
        "price": {name: one["price"] for name, one in found.items()},
        "minute": minute,
        "band": (100 * low, 100 * high),
        "turns": turns,
    }
    shown: dict[str, Any] = {f"odds_{name}": odd for name, odd in odds.items()}
    shown |= {f"other_{name}": 100 - odd for name, odd in odds.items()}
    shown |= {"popular": popular, "exchange": exchange, "minute": minute, "last_day": last_day, "which": which}
    return Variant(shown, key, {"measured": measured, "month": month})


def ask(answer: Answer, variant: Variant) -> Evidence:
    """Exactly the questions that save more than their minute."""
    saves, minute, right = variant.key["saves"], variant.key["minute"], set(variant.key["ask"])
    said = {name for name in answer["ask"] if name != "none"}
    if said == right:
        return Evidence(3, f"each of the {len(right)} saves more than {minute:g} points, and none of the others does")
    told = [f"{name} saves {saves[name]:.1f} points and costs {minute:g}" for name in sorted(said - right)]
    told += [f"you leave out {len(right - said)} that save more than {minute:g}"] if right - said else []
    off = said ^ right
    near = len(off) == 1 and all(0.5 * minute < saves[name] < 2 * minute for name in off)
    return Evidence(2 if near else 1 if len(off) == 1 else 0, "; ".join(told))


def saves(answer: Answer, variant: Variant) -> Evidence:
    """What each question saves, in points."""
    said, right = _by_question(answer["saves"], "points"), variant.key["saves"]
    good = [name for name in right if name in said and abs(said[name] - right[name]) <= max(0.15, 0.1 * right[name])]
    if len(good) == len(right):
        return Evidence(3, "all six: " + ", ".join(f"{name} {points:.1f}" for name, points in right.items()))
    off = next(name for name in right if name not in good)
    yours = f"{said[off]:.4g}" if off in said else "nothing"
    told = f"{len(good)} of {len(right)} hold; {off}: you said {yours}, and it saves {right[off]:.1f}"
    price = variant.key["price"][off]
    dear = off in said and abs(said[off] - price) < 0.3
    why = "what the answer costs is paid either way" if dear else "the smaller of two expected losses is what it saves"
    return Evidence(2 if len(good) == 5 else 1 if len(good) == 4 else 0, f"{told}: {why}")


def unasked(answer: Answer, variant: Variant) -> Evidence:
    """The design for every question that nobody asks."""
    said, right = _by_question(answer["unasked"], "design"), variant.key["unasked"]
    good = [name for name in right if said.get(name) == right[name]]
    if len(good) == len(right):
        return Evidence(3, "all six lose less on average than the other design of the same question")
    off = next(name for name in right if name not in good)
    gap = variant.key["differ"][off]
    if off not in said:
        told = f"nothing on {off}"
    elif said[off] not in DESIGNS[off]:
        told = f"{said[off]} is no design for {off}"
    else:
        told = f"{off}: {said[off]} loses {gap:.1f} points more on average than the other design"
    return Evidence(2 if len(good) == 5 else 0, f"{len(good)} of {len(right)}; {told}")


def flips(answer: Answer, variant: Variant) -> Evidence:
    """The odds at which the unasked design is another; -1 where one design is better under both answers."""
    said, right = _by_question(answer["flips"], "percent"), variant.key["flips"]
    far = {name: _far(said[name], right[name]) if name in said else np.inf for name in right}
    good, fine = ([name for name in right if far[name] <= limit] for limit in (3, 1.5))
    if len(good) < len(right):
        off = next(name for name in right if name not in good)
        if off not in said:
            why = f"nothing on {off}"
        elif right[off] == NEVER:
            why = f"{off}: no odds flip it; one design is at least as good under both answers"
        elif said[off] == NEVER:
            why = f"{off} flips: each design wins under one of the answers"
        else:
            why = f"{off}: you said {said[off]:g} %; there the two designs do not lose the same on average"
        return Evidence(2 if len(good) == 5 else 1 if len(good) == 4 else 0, f"{len(good)} of {len(right)}; {why}")
    return Evidence(3 if len(fine) >= 5 else 2, "six thresholds, and -1 where one design wins whatever is answered")


def band(answer: Answer, variant: Variant) -> Evidence:
    """The odds between which one question is worth its minute."""
    said, right = (answer["from"], answer["to"]), variant.key["band"]
    off = max(abs(one - other) for one, other in zip(said, right, strict=True))
    told = f"the minute is well spent from {right[0]:.0f} to {right[1]:.0f} %, you said {said[0]:g} to {said[1]:g}"
    if off <= 5:
        return Evidence(3 if off <= 2 else 2, told)
    half = min(abs(one - other) for one, other in zip(said, right, strict=True)) <= 2
    why = "one end holds" if half else "neither end holds"
    return Evidence(int(half), f"{why}: at an end the smaller expected loss is just the price of a minute")


def turns(answer: Answer, variant: Variant) -> Evidence:
    """The first day on which the value function has paid for its heads."""
    said, right = answer["turns"], variant.key["turns"]
    if said in right:
        return Evidence(3, f"from day {said:g} on it leads by more points than its cores are worth")
    off = min(abs(said - day) for day in right)
    side = "not yet ahead of its cores" if said < min(right) else "ahead of them for days already"
    return Evidence(
        2 if off <= 1 else 0, f"on day {said:g} the value function is {side}; its other heads have to be paid"
    )


def _far(said: float, right: float) -> float:
    """Percentage points; a threshold at the very end of the scale is as good as none."""
    if (said < 0) == (right == NEVER):
        return 0.0 if said < 0 else abs(said - right)
    inside = right if said < 0 else said
    return 0.0 if not 1 < inside < 99 and right != NEVER else np.inf


def _by_question(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    return {str(row["question"]): row[column] for row in rows}
