"""Scale: what a feed needs at a million, a hundred million and a billion users. The key is the capacity plan's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsys.capacity import Assumptions, plan, unit_costs
from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import COVERAGE, calibration, interval_score, number

PRODUCTS: dict[str, dict[str, tuple[int, int]]] = {
    "an app for short videos": {"active": (40, 70), "sessions": (6, 20), "requests": (4, 12), "impressions": (4, 8),
                                "candidates": (5, 20), "posts": (5, 20)},
    "an app for photos": {"active": (30, 60), "sessions": (3, 10), "requests": (3, 8), "impressions": (8, 12),
                          "candidates": (3, 10), "posts": (5, 15)},
    "a forum": {"active": (20, 40), "sessions": (3, 6), "requests": (3, 6), "impressions": (15, 25),
                "candidates": (2, 6), "posts": (1, 4)},
    "a market for used goods": {"active": (8, 20), "sessions": (2, 5), "requests": (4, 10), "impressions": (20, 40),
                                "candidates": (10, 30), "posts": (1, 6)},
}  # fmt: skip
"""Ranges from which a product is drawn: active in percent, candidates in hundreds."""

LIMITS = ("store reads", "store memory", "log disks", "cores")
SCALES = {"1m": 1e6, "100m": 1e8, "1b": 1e9}
INTERVALS = {
    "requests_1m": "requests per second at 1M", "requests_100m": "requests per second at 100M",
    "requests_1b": "requests per second at 1B", "log_100m": "GB of log a day at 100M",
    "log_1b": "GB of log a day at 1B", "online_1b": "GB of online features at 1B",
    "cores_100m": "cores at 100M", "cores_1b": "cores at 1B", "breaks_at": "users at which it breaks",
}  # fmt: skip
COLUMNS = {"requests": "requests_per_second", "log": "log_gb_per_day", "online": "online_gb", "cores": "cores"}
MARGIN = 4.0
"""The limit that breaks first is so many times nearer than the next one: no guess of a fact can change which it is."""

GOOD, FAIR, WIDE = 1.3, 3.0, 10.0
"""Factors: a middle that is off by less is worth three points, two, one; WIDE is also the widest interval at E5."""


def variant(seed: int) -> Variant:
    """A product, its plan at three scales, and limits of which one is passed first."""
    rng, costs = generator(seed, 1), unit_costs()
    product = str(rng.choice(list(PRODUCTS)))
    drawn = {name: int(rng.integers(low, high + 1)) for name, (low, high) in PRODUCTS[product].items()}
    candidates, active = 100 * drawn["candidates"], drawn["active"] / 100
    peak, used = float(rng.choice([1.5, 3.2, 3.6, 4.0])), float(rng.choice([0.35, 0.4, 0.65, 0.7]))
    days = int(rng.choice([7, 14, 30, 90]))
    guesses = (active, drawn["sessions"], drawn["requests"], drawn["impressions"], peak, used, drawn["posts"])
    found = plan(list(SCALES.values()), costs, Assumptions(*((one,) * 3 for one in guesses)), candidates=candidates)
    table = found[found["case"] == "mid"].set_index("users").drop(columns="case").to_dict("index")
    asked = [(name, *name.split("_")) for name in INTERVALS if name != "breaks_at"]
    truth = {name: float(table[SCALES[scale]][COLUMNS[what]]) for name, what, scale in asked}
    reads = float(table[1e9]["store_reads_per_second"])
    needs = np.array([reads / 1e6, truth["online_1b"], truth["log_1b"] * days / 1e3, truth["cores_1b"]])
    first = seed % len(LIMITS)  # neighbouring seeds differ
    while True:
        over = rng.uniform(4, 15) / np.exp(rng.uniform(math.log(1.2 * MARGIN), math.log(30), len(LIMITS)))
        over[first] = rng.uniform(4, 15)
        own = np.array([_round(need / one) for need, one in zip(needs, over, strict=True)])
        over = needs / own
        if over[first] > max(3.0, MARGIN * np.delete(over, first).max()):
            break
    shown: dict[str, Any] = {
        "product": product, **drawn, "candidates": candidates, "active": active, "days": days,
        "rank_us": costs["rank_500_us"], "event_bytes": costs["event_bytes"], "row_bytes": costs["online_row_bytes"],
        "peak": peak, "utilization": used,
        "own_reads_million": float(own[0]), "own_memory": float(own[1]), "own_disks": float(own[2]),
        "own_cores": float(own[3]),
    }  # fmt: skip
    key = {"truth": truth | {"breaks_at": float(1e9 / over[first])}, "bottleneck": LIMITS[first],
           "over": dict(zip(LIMITS, map(float, over), strict=True))}  # fmt: skip
    return Variant(shown, key)


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return dict(variant.key["truth"])


def qps(answer: Answer, variant: Variant) -> Evidence:
    """Requests per second at peak: the worst of three middles counts."""
    return _worst([_middle(answer, variant, name) for name in ("requests_1m", "requests_100m", "requests_1b")])


def storage(answer: Answer, variant: Variant) -> Evidence:
    """Log per day and online rows: the worst of three middles counts."""
    return _worst([_middle(answer, variant, name) for name in ("log_100m", "log_1b", "online_1b")])


def replicas(answer: Answer, variant: Variant) -> Evidence:
    """Cores for ranking: the worst of two middles counts."""
    return _worst([_middle(answer, variant, name) for name in ("cores_100m", "cores_1b")])


def bottleneck(answer: Answer, variant: Variant) -> Evidence:
    """The limit with the largest ratio of need to what is owned, and the users at which it is passed."""
    said, right, over = answer["bottleneck"], variant.key["bottleneck"], variant.key["over"]
    if said != right:
        most, here = number(over[right]), number(over[said])
        return Evidence(0, f"you said {said}: a billion users need {here} times what you own there, "
                           f"and {most} times of something else; the largest ratio breaks first")  # fmt: skip
    found = _middle(answer, variant, "breaks_at")
    return Evidence(max(1, found.points), f"{said} it is, {number(over[said])} times over at 1B; {found.reason}")


def calibrated(answer: Answer, variant: Variant) -> Evidence:
    """The share of intervals that hold the truth, and their mean width."""
    truth = variant.key["truth"]
    ends = [(name, *answer[name]) for name in INTERVALS]
    hits = [low <= truth[name] <= high for name, low, high in ends]
    share, least, most = calibration(hits)
    cost = float(np.mean([interval_score(low, high, truth[name]) for name, low, high in ends]))
    widths = [math.log10(high / low) if low > 0 else math.inf for _, low, high in ends]
    factor = 10 ** min(float(np.mean(widths)), 300.0)
    fits, narrow = most >= COVERAGE, factor <= WIDE + 0.01
    points = 3 if share > 0.75 and factor <= 3.01 else 2 if fits and narrow else 1 if narrow and sum(hits) > 2 else 0
    say = (
        "too wide to decide anything" if not narrow
        else "too sure: widen what you guessed, or ask for it" if not fits
        else "a little too sure" if share < 0.75
        else "fair"
    )  # fmt: skip
    return Evidence(points, f"{sum(hits)} of {len(hits)} intervals held, where {COVERAGE:.0%} are wanted (so few tell "
                            f"{least:.0%} to {most:.0%}); mean width a factor of {number(factor)}, mean interval score "
                            f"{cost:.2f}: {say}")  # fmt: skip


def _middle(answer: Answer, variant: Variant, name: str) -> Evidence:
    """How far the geometric middle of an interval is from the plan's value."""
    (low, high), truth, what = answer[name], variant.key["truth"][name], INTERVALS[name]
    if low <= 0:
        return Evidence(0, f"{what}: an interval from {number(low)} has no order of magnitude; start above zero")
    middle = math.sqrt(low) * math.sqrt(high)
    off = max(middle / truth, truth / middle)
    points = sum(off <= 1.001 * limit for limit in (GOOD, FAIR, WIDE))
    told = f"{what}: your middle is {number(middle)}, the plan says {number(truth)}"
    if high / low > WIDE + 0.01:
        return Evidence(min(points, 1), f"{told}; {number(low)} to {number(high)} is too wide to plan with")
    if off > FAIR:
        return Evidence(points, f"{told}, a factor of {number(off)} {'less' if middle > truth else 'more'}")
    return Evidence(points, told)


def _worst(found: Sequence[Evidence]) -> Evidence:
    """The weakest of some intervals decides."""
    worst = min(found, key=lambda one: one.points)
    alike = sum(one.points == worst.points for one in found) == len(found)
    return worst if not alike else Evidence(worst.points, "; ".join(one.reason for one in found))


def _round(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")
