"""Size the fleet: what one replica carries within a promise, how many the peak needs, and what gives out next.

The promise is what an evening of requests at one replica measured at some utilization: which, is the question.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlsys.capacity import unit_costs
from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import interval_evidence, number
from mlsys.drills.source import load

fleet = load(Path(__file__).with_name("fleet.py"))
NEXT = (fleet.STORE, *fleet.PARTS)
HOURS = 730
NOISE = 2.0
"""Points of utilization by which an evening's p99 moves."""


def variant(seed: int) -> Variant:
    """Habits, costs and prices, drawn until what gives out next is no close call."""
    wanted = str(generator(seed, 1).choice(NEXT))
    for attempt in range(2_000):
        f = draw(generator(seed, 1, attempt), wanted)
        load_, parts = fleet.peak(f), (f["read_ms"], f["handling_ms"], f["scoring_ms"] / 10)
        n = fleet.replicas(f, fleet.total(f)) / f["regions"] * (f["regions"] - 1)
        workers = n * fleet.breaks(fleet.total(f, cheaper=10)) / load_
        store = f["store_limit"] * (f["regions"] - 1) / load_
        first, second = sorted(parts, reverse=True)[:2]
        which = fleet.STORE if store < workers else fleet.PARTS[int(np.argmax(parts))]
        clear = first > 1.3 * second and not 0.75 < store / workers < 1.33 and store > 1.3
        if which == wanted and clear and 60 <= fleet.replicas(f, fleet.total(f)) <= 20_000:
            break
    else:
        raise MlsysError(f"seed {seed} gives no fleet", why="every draw is a close call", fix="take another seed")
    held = int(generator(seed, 1, attempt, 1).integers(50, 86))
    f["promise"] = float(f"{fleet.p99(f, seed, held / 100):.3g}")
    full, less = fleet.total(f), fleet.total(f, hits=f["hits"] / 100)
    plain, cached = fleet.replicas(f, full), fleet.replicas(f, less)
    left = 1 - 1 / f["regions"]
    month = HOURS * f["dollars"] / 1e3
    key = {"peak": load_, "breaks": fleet.breaks(full), "promise": float(held), "replicas": plain}
    key |= {"cost": plain * month, "cached": cached, "saves": (plain - cached) * month}
    key |= {"cold": 100 * load_ / (cached * left * fleet.breaks(full)), "next": wanted, "grow": min(store, workers)}
    return Variant(f, key)


def draw(rng: np.random.Generator, wanted: str) -> dict[str, Any]:
    """What the prompt gives."""
    heavy = wanted == fleet.PARTS[2]  # A tenth of it is still the most.
    trees = 240 if heavy else int(rng.choice([60, 240]))
    posts = int(rng.choice([800, 900, 1000] if heavy else [200, 300, 400, 600, 800, 1000]))
    unit = unit_costs()[f"score_{trees}_trees_500_us"] / 1e3
    f: dict[str, Any] = {"users": float(f"{np.exp(rng.uniform(np.log(4e6), np.log(3e8))):.2g}"), "trees": trees}
    f |= {"posts": posts, "unit_ms": round(unit, 2), "scoring_ms": round(unit, 2) * posts / 500}
    f |= {"active": int(rng.integers(6, 15)) * 5, "sessions": int(rng.integers(3, 10))}
    f |= {"requests": int(rng.integers(3, 9))}
    f |= {"peak_factor": float(rng.choice([1.8, 2, 2.4, 2.5, 3])), "regions": int(rng.integers(3, 6))}
    large, small = (4.0, 13.0), (0.5, 1.2) if heavy else (0.8, 3.0)
    f["read_ms"] = round(float(rng.uniform(*(large if wanted == fleet.PARTS[0] else small))), 1)
    f["handling_ms"] = round(float(rng.uniform(*(large if wanted == fleet.PARTS[1] else small))) / 2, 1)
    f |= {"hold": int(rng.integers(9, 14)) * 5, "hits": int(rng.integers(6, 16)) * 5}
    workers = 100 / f["hold"] * fleet.total(f) / fleet.total(f, cheaper=10)
    times = max(1.4, workers * rng.uniform(0.3, 0.7)) if wanted == fleet.STORE else workers * rng.uniform(1.4, 3.0)
    limit = fleet.peak(f) / (f["regions"] - 1) * times
    return f | {"store_limit": float(f"{limit:.2g}"), "dollars": int(rng.integers(30, 90)) / 1e3}


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return {name: variant.key[name] for name in ("peak", "promise")}


def peak(answer: Answer, variant: Variant) -> Evidence:
    """Requests per second of the busiest time."""
    low, high = answer["peak"]
    found = interval_evidence("peak", low, high, variant.key["peak"], "requests/s")
    return Evidence(found.points, f"{found.reason}. People, visits and pages, over 86,400 seconds, at the peak.")


def replica(answer: Answer, variant: Variant) -> Evidence:
    """What one carries at most, and how much of that within the promise."""
    key, f, said, (low, high) = variant.key, variant.shown, answer["breaks"], answer["promise"]
    points = _near(said, key["breaks"])
    if not points:
        side = "many" if said > key["breaks"] else "few"
        why = "it is busy or waits for the store all of the time that a request takes"
        return Evidence(0, f"{number(said)} requests/s are too {side} for one worker: {why}.")
    if not low - NOISE <= key["promise"] <= high + NOISE:
        way = "sooner: the queue grows long before the worker is always busy" if low > key["promise"] else (
            "later: a promise this wide leaves room for a queue")  # fmt: skip
        return Evidence(1, f"{low:g} to {high:g} %: in the run p99 reaches {f['promise']:g} ms {way}.")
    wide = high - low
    told = f"{number(key['breaks'])} requests/s at most, and p99 is {f['promise']:g} ms at {key['promise']:.0f} %"
    points = min(points, 3 if wide <= 15 else 2 if wide <= 30 else 1)
    return Evidence(points, f"{told}; you said {low:g} to {high:g} %.")


def replicas(answer: Answer, variant: Variant) -> Evidence:
    """For the peak, with a region lost, and what they cost."""
    key, f = variant.key, variant.shown
    said, cost = answer["replicas"], answer["cost"]
    points = min(_near(said, key["replicas"]), _near(cost, key["cost"]))
    if points:
        return Evidence(points, f"{number(key['replicas'])} replicas, {number(key['cost'])} thousand dollars a month; "
                        f"{f['regions'] - 1} of {f['regions']} regions carry the peak.")  # fmt: skip
    if not _near(said, key["replicas"]):
        side = "more than needed" if said > key["replicas"] else "fewer than needed"
        return Evidence(0, f"{number(said)} replicas are {side}: the regions that are left carry all of the peak, at "
                        f"{f['hold']} % of the breaking point.")  # fmt: skip
    return Evidence(1, f"The replicas, yes. {number(cost)} thousand dollars is too {_side(cost, key['cost'])}: "
                    f"{HOURS} hours each.")  # fmt: skip


def cache(answer: Answer, variant: Variant) -> Evidence:
    """What a prediction cache saves, and what happens when it is cold."""
    key, names = variant.key, ("cached", "saves", "cold")
    grades = {name: _near(answer[name], key[name]) for name in names}
    if all(grades.values()):
        end = "the fleet breaks" if key["cold"] > 100 else "it just holds" if key["cold"] > 80 else "it holds"
        told = f"{number(key['cached'])} replicas save {number(key['saves'])} thousand a month"
        return Evidence(min(grades.values()), f"{told}. Cold, they are at {key['cold']:.0f} %: {end}.")
    off = [name for name in names if not grades[name]]
    told = "; ".join(f"{name} {number(answer[name])} is too {_side(answer[name], key[name])}" for name in off)
    return Evidence(int(len(off) == 1), f"{told}. A hit is still handled, and a cold cache hits nothing.")


def following(answer: Answer, variant: Variant) -> Evidence:
    """What gives out first once scoring is cheap."""
    key, said, grow = variant.key, answer["next"], answer["grow"]
    points = _near(grow, key["grow"])
    if said != key["next"]:
        why = "it serves more than the workers can ask for" if said == fleet.STORE else "look at what the others take"
        return Evidence(0, f"Not {said}: {why}.")
    if not points:
        return Evidence(1, f"{said}, yes. But {number(grow)} times the users is too {_side(grow, key['grow'])}.")
    return Evidence(points, f"{said}: with cheap scoring the fleet carries {key['grow']:.2f} times the peak.")


def _side(said: float, right: float) -> str:
    return "high" if said > right else "low"


def _near(said: float, right: float) -> int:
    """3 within a twentieth, 2 within an eighth, else 0: a lost region is a fifth."""
    off = abs(said / right - 1)
    return 3 if off <= 0.05 else 2 if off <= 0.125 else 0
