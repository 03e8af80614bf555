"""What proves the checks: a reference that counts on paper and simulates one queue, and what people leave out."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsys.drills import Typed, Variant

TOLD = (
    "The peak with a region lost sizes the fleet, and the promise sizes the share that a replica may be used. "
    "A cache saves money, but what must hold when it is cold decides how much of that we take. After cheaper scoring "
    "I look at what fills the worker's time, and at the store."
)


def reference(variant: Variant) -> Typed:
    """All by hand, but for the utilization, which is ten lines of numpy."""
    f: dict[str, Any] = dict(variant.shown)
    scoring = f["unit_ms"] * f["posts"] / 500
    peak = f["users"] * f["active"] / 100 * f["sessions"] * f["requests"] / 86_400 * f["peak_factor"]
    full = f["read_ms"] + f["handling_ms"] + scoring
    less = f["handling_ms"] + (1 - f["hits"] / 100) * (f["read_ms"] + scoring)
    plain, cached = (_needed(f, peak, ms) for ms in (full, less))
    used, left, quick = _utilization(f, full), 1 - 1 / f["regions"], full - 0.9 * scoring
    workers, store = plain * left * 1e3 / quick / peak, f["store_limit"] * (f["regions"] - 1) / peak
    parts = {"waiting for the store": f["read_ms"], "handling": f["handling_ms"], "scoring": scoring / 10}
    month = 730 * f["dollars"] / 1e3
    return Typed(
        {
            "peak": [round(peak / 1.5, 1), round(peak * 1.5, 1)],
            "breaks": round(1e3 / full, 1),
            "promise": [max(used - 7, 1), min(used + 7, 100)],
            "replicas": plain,
            "cost": round(plain * month, 2),
            "cached": cached,
            "saves": round((plain - cached) * month, 2),
            "cold": round(100 * peak * full / 1e3 / (cached * left), 1),
            "next": "the store's own limit" if store < workers else max(parts, key=parts.__getitem__),
            "grow": round(min(store, workers), 2),
            "told": TOLD,
        }
    )


def _needed(f: dict[str, Any], peak: float, ms: float) -> float:
    """Replicas of all regions: one is lost, the others are held at a share of what they carry."""
    one = peak / (f["regions"] - 1) * ms / 1e3 / (f["hold"] / 100)
    return float(f["regions"] * np.ceil(one - 1e-9))


def _utilization(f: dict[str, Any], ms: float) -> int:
    """At how many percent of the breaking point 99 of 100 requests stay within the promise."""
    rng = np.random.default_rng(0)
    takes = ms + f["read_ms"] * (np.exp(0.3 * rng.standard_normal(60_000) - 0.045) - 1)
    gaps = rng.exponential(ms, 60_000)
    holds, fails = 20, 99
    while fails - holds > 1:
        percent = (holds + fails) // 2
        ahead = np.cumsum(takes[:-1] - gaps[1:] * 100 / percent)  # Work that came less time that went by.
        waits = ahead - np.minimum.accumulate(np.minimum(ahead, 0))
        kept = np.quantile(waits + takes[1:], 0.99) <= f["promise"]
        holds, fails = (percent, fails) if kept else (holds, percent)
    return holds


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    f, right = variant.shown, dict(reference(variant).values)
    scoring, regions = f["unit_ms"] * f["posts"] / 500, f["regions"]
    low, high = right["promise"]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    alone = 1e3 / scoring
    others = [name for name in ("handling", "scoring") if name != right["next"]]
    return {
        "the_mean_day": changed("peak", "missed", peak=[right["peak"][0] / 20, right["peak"][1] / 20]),
        "scoring_alone": changed("replica", "too many for one worker", breaks=max(alone, 1.3 * right["breaks"])),
        "as_full_as_it_goes": changed("replica", "sooner", promise=[min(high + 5, 95), 100]),
        "nearly_idle": changed("replica", "later", promise=[5, max(low - 10, 10)]),
        "no_region_is_lost": changed("fleet", "fewer than needed", replicas=right["replicas"] * (1 - 1 / regions)),
        "always_busy": changed("fleet", "fewer than needed", replicas=right["replicas"] * f["hold"] / 100),
        "a_day_of_hours": changed("fleet", "The replicas, yes", cost=right["cost"] / 30),
        "hits_are_free": changed("cache", "still handled", cached=right["replicas"] * (1 - f["hits"] / 100) * 0.7),
        "cold_is_warm": changed("cache", "still handled", cold=right["cold"] / 2),
        "it_is_always_that": changed("following", "Not ", next=others[0]),
        "ten_times": changed("following", "yes. But", grow=10.0 if right["grow"] < 8 else 1.0),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 sizes for the mean; E5 is near; E6 has all of it."""
    right = dict(reference(variant).values)
    low, high = right["promise"]
    near = {name: right[name] * 1.1 for name in ("breaks", "replicas", "cost", "saves", "cold", "grow")}
    rough = {"peak": [right["peak"][0] / 1.6, right["peak"][1] * 1.6], "promise": [max(low - 5, 1), min(high + 5, 100)]}
    return {
        "E4": Typed(right | {"replicas": right["replicas"] / 2, "cold": right["cold"] / 2}, human={"told": 1}),
        "E5": Typed(right | near | rough, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
