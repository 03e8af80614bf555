"""The numbers of the drill, and the arithmetic that follows from them: rows, workers, dollars a night."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

FEATURES, BINS, PILOT = 11, 256, 50
PARTS = {"all": 1, "quarter": 4, "sixteenth": 16}
"""Parts of the rows that a fit may use, as divisors."""
PLANS = tuple(f"{part}_{machine}" for machine in ("cluster", "gpu") for part in PARTS)
Facts = Mapping[str, Any]


def draw(rng: np.random.Generator, each: float, us: float) -> tuple[dict[str, Any], float, float, float]:
    """Facts; then what they hide: hours on one core, the share in series, how much slower a core of the cluster is."""
    f: dict[str, Any] = {"users": int(rng.integers(2, 17)) * 5, "each": each, "days": int(rng.choice([2, 3, 4, 5]))}
    f |= {"trees": int(rng.choice([60, 100, 150, 200])), "leaves": int(rng.choice([16, 31, 63, 127]))}
    f |= {"few": int(rng.choice([4, 8])), "many": int(rng.choice([32, 64])), "network": int(rng.choice([5, 10, 25]))}
    f |= {"cents": round(float(rng.uniform(2, 7)), 1), "gpu_cores": int(rng.integers(15, 61))}
    f |= {"gpu_gb": int(rng.choice([24, 48, 80, 160, 320])), "worth": int(rng.choice([5, 10, 20, 50, 100, 200]))}
    serial, slow, bend = (float(x) for x in rng.uniform([0.005, 1.2, 0.2], [0.05, 2.5, 0.5]))
    alone = rows(f) * us * slow * f["trees"] / 60 / 3.6e9
    f["deadline"] = max(1, round(2 * alone * serial * float(np.exp(rng.uniform(-0.6, 1.8))))) / 2
    f["gpu_rows"] = float(f"{f['gpu_cores'] * rows(f) / alone / 3.6e6 * np.exp(rng.uniform(-1, 1.5)):.2g}")
    f |= {f"lost_{n}": round(float(rng.uniform(0.3, 0.8) * (n**bend - 1)), 2) for n in (4, 16)}
    for name in ("few", "many"):
        f[f"t_{name}"] = float(f"{60 * alone / PILOT * (serial + (1 - serial) / f[name]):.4g}")
    return f, alone, serial, slow


def clear(f: Facts, alone: float, serial: float) -> str:
    """The cheapest plan; empty if it is a close call, or deadline or memory are."""
    costs = totals(f, alone, serial)
    first, second = sorted(costs, key=costs.__getitem__)[:2]
    near = [alone * serial / n / f["deadline"] for n in PARTS.values()]
    near += [rows(f) * FEATURES / 1e9 / n / f["gpu_gb"] for n in PARTS.values()]
    near += [rows(f) / n / f["gpu_rows"] / 3.6e6 / f["deadline"] for n in PARTS.values()]
    close = any(0.8 < one < 1.2 for one in near) or not costs[second] > 1.15 * costs[first]
    return "" if close or costs[first] < 5 or f["deadline"] > 24 or f["lost_16"] < f["lost_4"] + 0.1 else first


def rows(f: Facts) -> float:
    """Rows of one fit."""
    return float(f["users"] * 1e6 * f["each"] * f["days"])


def workers(alone: float, serial: float, deadline: float) -> tuple[int, float]:
    """Fewest cores that meet the deadline, and the core-hours they are paid for; -1, -1 if none do."""
    left = deadline / alone - serial
    n = max(1, math.ceil((1 - serial) / left - 1e-9)) if left > 0 else -1
    return n, n * alone * (serial + (1 - serial) / n) if n > 0 else -1.0


def totals(f: Facts, alone: float, serial: float) -> dict[str, float]:
    """Dollars a night per plan, machines and lost points; infinite where it is late, or does not fit."""
    found = {}
    for part, n in PARTS.items():
        lost = f["worth"] * f.get(f"lost_{n}", 0.0)
        paid, hours = workers(alone / n, serial, f["deadline"])[1], rows(f) / n / f["gpu_rows"] / 3.6e6
        on_gpu = hours <= f["deadline"] and rows(f) * FEATURES / n <= f["gpu_gb"] * 1e9
        found[f"{part}_cluster"] = paid * f["cents"] / 100 + lost if paid > 0 else math.inf
        found[f"{part}_gpu"] = hours * f["gpu_cores"] * f["cents"] / 100 + lost if on_gpu else math.inf
    return found
