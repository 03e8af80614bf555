"""What proves the checks: a reference, the slips that people make, and one answer per level."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

RIVAL = {
    "store_hangs": "store_slow",
    "store_slow": "store_hangs",
    "store_refuses": "store_hangs",
    "store_lies": "nothing",
    "more_requests": "store_slow",
    "cache_emptied": "more_requests",
}


def reference(variant: Variant) -> Typed:
    """What the runs say, with intervals as wide as the noise of some hundred requests."""
    key = variant.key
    setting = key["best"][0]
    p99, cost = key["runs"][setting][1], key["cost"]
    never = [name for name, bad in key["worse"].items() if bad] or ["none_of_them"]
    told = (
        f"From second {key['start']} on: {key['cause']}. It cost {cost:.0f} % of the likes, plus or minus 5. "
        f"Next time {setting}; do not touch {', '.join(never)}."
    )
    return Typed(
        {
            "cause": key["cause"],
            "start": key["start"],
            "end": key["end"],
            "rung": key["rungs"][0],
            "cost": [round(cost - 4, 1), round(cost + 4, 1)],
            "setting": setting,
            "p99": [round(p99 / 1.6, 1), round(p99 * 1.6, 1)],
            "never": never,
            "told": told,
        }
    )


def useless(variant: Variant) -> str:
    """A change that people like and that does not help here."""
    runs, best = variant.key["runs"], variant.key["best"]
    most, now = max(kept for kept, _ in runs.values()), runs["leave_it"]
    for name in ("retry_twice", "timeout_times_4", "snapshot", "popularity"):
        kept, p99 = runs[name]
        little = kept - now[0] < (most - now[0]) / 2 or p99 > max(now[1], 300)
        if name not in best and (best == ("leave_it",) or little):
            return name
    return "popularity"


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, key = reference(variant).values, variant.key

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    other, rungs = useless(variant), ("popularity", "defaults", "fresh")
    p99, late = key["runs"][other][1], max(key["runs"][right["setting"]][1], 1) * 12
    low, reason = key["cost"] + 8, "not worth making" if key["best"] == ("leave_it",) else "stays lost"
    everything = [name for name in key["runs"] if name != "leave_it" and name not in right["never"]]
    return {
        "the_next_best_cause": changed("cause", "would show", cause=RIVAL[key["cause"]]),
        "when_the_page_came": changed("when", "start", start=key["start"] + 14, end=max(key["end"], key["start"] + 14)),
        "until_the_evening_ends": changed("when", "end", end=100),
        "another_rung": changed("rung", "is not what", rung=next(one for one in rungs if one not in key["rungs"])),
        "failed_requests_are_all": changed("rung", "Missed", cost=[low, low + 8]),
        "what_everybody_does": changed("setting", reason, setting=other, p99=[p99 / 1.6, p99 * 1.6]),
        "the_worst_case_of_all": changed("p99", "missed", p99=[late, 3 * late]),
        "do_nothing_at_all": changed("never", "not worse", never=everything),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 takes the likeliest cause and retries; E5 reads the trace; E6 also sizes what the setting does."""
    right, key = reference(variant).values, variant.key
    junior = right | {"cause": RIVAL[key["cause"]], "setting": useless(variant), "cost": [70, 90]}
    p99 = key["runs"][right["setting"]][1]
    missed = right["never"][:-1] if len(right["never"]) > 1 else right["never"]
    senior = right | {
        "start": max(key["start"] - 7, 0),
        "cost": [key["cost"] - 7, key["cost"] + 7],
        "p99": [p99 / 2.5, p99 * 3],
        "never": missed,
    }
    return {
        "E4": Typed(junior, human={"told": 1}),
        "E5": Typed(senior, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
