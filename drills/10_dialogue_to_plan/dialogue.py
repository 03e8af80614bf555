"""What is said, what it might yet be, and the plan of `mlsys.capacity` for either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlsys.capacity import Assumptions, carried, plan, unit_costs

ANSWERS = ("users", "sessions", "list", "candidates", "latency", "retention", "refresh", "peak")
LIVE, BATCH = "made for every request", "made once a day for every user"
LINES = ("ranking", "features", "log")
SCORING = 0.1
"""Share of the latency that scoring may take: the rest is network, recall, feature reads, retries."""


def draw(rng: np.random.Generator, kind: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What is fixed, what was said, what it might yet be.

    kind 0: there is time to score all. 1: not if the latency is another. 2, 3: not even as said; the other latency
    gives more time, or less. 4: a list a day.
    """
    fixed = {
        "active": int(rng.integers(8, 15)) / 20,
        "requests": int(rng.integers(3, 7)),
        "impressions": int(rng.integers(8, 13)),
        "utilization": float(rng.choice([0.4, 0.5, 0.6])),
        "heavy": int(rng.integers(4, 11)) * 10,
        "logged": int(rng.integers(4, 13)) * 10,
        "views": int(rng.integers(6, 17)) * 10,
        "core_price": int(rng.integers(4, 9)) * 5,
        "tb_price": int(rng.integers(4, 10)) * 10,
    }
    said: dict[str, Any] = {
        "users": int(rng.integers(3, 13)) * 10,
        "sessions": int(rng.integers(3, 8)),
        "list": BATCH if kind == 4 else LIVE,
        "candidates": int(rng.integers(5, 13)) * 100,
        "latency": int(rng.choice([150, 200])),
        "retention": int(rng.choice([14, 30, 60])),
        "refresh": int(rng.choice([1, 2, 4])),
        "peak": float(rng.choice([2, 2.5, 3])),
    }
    other: dict[str, Any] = {
        "users": round(said["users"] * rng.choice([1.2, 1.5, 2.0, 3.0])),
        "sessions": said["sessions"] + int(rng.integers(1, 7)),
        "list": LIVE if kind == 4 else BATCH,
        "candidates": round(said["candidates"] * rng.choice([1.5, 2.0, 3.0])),
        "latency": 1000,
        "retention": said["retention"] * int(rng.choice([2, 3, 6])),
        "refresh": int(rng.choice([8, 12, 24])),
        "peak": said["peak"] + float(rng.choice([0.5, 1, 2])),
    }
    fits_per_ms = SCORING / carried(1, costs(fixed), candidates=1)["rank_ms"]

    def takes(candidates: float) -> int:
        """The latency in tens of ms that leaves time for so many candidates."""
        return max(20, round(candidates / fits_per_ms / 10) * 10)

    if kind in (0, 4):
        said["latency"] = max(said["latency"], takes(1.4 * other["candidates"]))
        other["latency"] = 2 * said["latency"]
    elif kind == 1:
        said["latency"] = takes(1.4 * other["candidates"])
        other["latency"] = takes(rng.uniform(0.3, 0.6) * said["candidates"])
    else:
        said["latency"] = takes(rng.uniform(0.5, 0.7) * said["candidates"])
        other["latency"] = 2 * said["latency"] if kind == 2 else max(10, round(said["latency"] / 15) * 10)
    return fixed, said, other


def costs(fixed: Mapping[str, Any]) -> dict[str, float]:
    """Measured costs, for a model so heavy, so many features logged with a row, so many views in a pass."""
    measured = unit_costs()
    return measured | {
        "rank_500_us": measured["rank_500_us"] * fixed["heavy"],
        "event_bytes": measured["event_bytes"] + 4 * fixed["logged"],
        "features_us_per_event": measured["features_us_per_event"] * fixed["views"],
    }


def needs(said: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, float]:
    """The four boxes, and dollars a month: one per line, and the bill."""
    cost, users, night = costs(fixed), said["users"] * 1e6, said["list"] == BATCH
    guesses = (
        fixed["active"],
        said["sessions"],
        fixed["requests"],
        fixed["impressions"],
        said["peak"],
        fixed["utilization"],
        1,
    )
    fits = int(SCORING * said["latency"] / carried(1, cost, candidates=1)["rank_ms"])
    scored = said["candidates"] if night else min(said["candidates"], fits)
    row = plan([users], cost, Assumptions(*((one,) * 3 for one in guesses)), candidates=scored).iloc[1]
    at_night = users * cost["rank_500_us"] * scored / 500 / 1e6 / 86_400 / fixed["utilization"]
    found = {
        "requests": float(row["requests_per_second"]),
        "log": float(row["log_gb_per_day"]) * said["retention"] / 1e3,
        "ranking": at_night if night else float(row["cores"]),
        "features": said["refresh"] * float(row["events_per_day"]) * cost["features_us_per_event"] / 8.64e10,
    }
    prices = {"ranking": fixed["core_price"], "features": fixed["core_price"], "log": fixed["tb_price"]}
    dollars = {f"{name}_dollars": found[name] * prices[name] for name in LINES}
    return found | dollars | {"bill": sum(dollars.values())}


def ordered(found: Mapping[str, float]) -> list[str]:
    """The lines of the bill, the largest first."""
    return sorted(LINES, key=lambda line: -found[f"{line}_dollars"])
