"""What proves the checks: a reference that solves two timings, and the slips that people make."""

from __future__ import annotations

import math
from typing import Any

from mlsys.drills import Typed, Variant

PARTS = {"all": 1, "quarter": 4, "sixteenth": 16}


def reference(variant: Variant) -> Typed:
    """From the prompt alone."""
    f = variant.shown
    rest = (f["t_few"] - f["t_many"]) / (1 / f["few"] - 1 / f["many"])  # Minutes of the pilot.
    series, rest = (50 / 60 * part for part in (f["t_few"] - rest / f["few"], rest))
    rows = f["users"] * 1e6 * f["each"] * f["days"]
    even = f["gpu_cores"] * rows / (series + rest) / 3.6e6
    costs = {}
    for part, n in PARTS.items():
        lost = f["worth"] * f.get(f"lost_{n}", 0.0)
        workers, paid = fewest(series / n, rest / n, f["deadline"])
        hours = rows / n / f["gpu_rows"] / 3.6e6
        if workers > 0:
            costs[f"{part}_cluster"] = paid * f["cents"] / 100 + lost
        if hours <= f["deadline"] and rows * 11 / n <= f["gpu_gb"] * 1e9:
            costs[f"{part}_gpu"] = hours * f["gpu_cores"] * f["cents"] / 100 + lost
    best, sent = min(costs, key=costs.__getitem__), f["trees"] * f["leaves"] * 11 * 256 * 16 / 1e9
    workers, paid = fewest(series, rest, f["deadline"])
    return Typed(
        {
            "alone": series + rest, "serial": 100 * series / (series + rest), "workers": workers, "core_hours": paid,
            "floats": rows * 44 / 1e9, "bins": rows * 11 / 1e9,
            "holds": [part for part, n in PARTS.items() if rows * 11 / n <= f["gpu_gb"] * 1e9] or ["none"],
            "sent": sent, "seconds": f["many"] * sent * 8 / f["network"], "gpu_even": even,
            "plan": best, "total": costs[best],
            "told": "This plan is the cheapest that is done in time. More machines wait for the part in series. Were a "
            "point worth more, we would fit on more rows.",
        }
    )  # fmt: skip


def fewest(series: float, rest: float, deadline: float) -> tuple[int, float]:
    """Workers and core-hours."""
    if deadline <= series:
        return -1, -1.0
    workers = max(1, math.ceil(rest / (deadline - series)))
    return workers, workers * series + rest


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, f = dict(reference(variant).values), variant.shown

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    divided = math.ceil(right["alone"] / f["deadline"])
    if right["workers"] > 0 and divided > min(0.65 * right["workers"], right["workers"] - 2):
        divided = 2 * right["workers"] + 1
    part = right["plan"].split("_")[0]
    late = "Look at the part" if right["workers"] < 0 else "Solve: one core"
    other = next(name for name in ("all_cluster", "sixteenth_cluster") if not name.startswith(part))
    return {
        "the_pilot_scales": changed("scaling", "serial 0 is too low", serial=0.0),
        "forgets_the_fiftieth": changed("scaling", "is too low", alone=right["alone"] / 50),
        "divides": changed("machines", late, workers=divided, core_hours=right["alone"]),
        "bits_for_bytes": changed("memory", "is too high", bins=8 * right["bins"]),
        "trusts_the_gpu": changed("memory", "What the GPU holds is not", holds=["none"] if right["holds"] != ["none"]
                                  else ["all", "quarter", "sixteenth"]),
        "grows_with_the_rows": changed("network", "is too high", sent=50 * right["sent"]),
        "one_worker_only": changed("network", "is too low", seconds=right["seconds"] / f["many"]),
        "a_gpu_is_one_core": changed("gpu", "is too low", gpu_even=right["gpu_even"] / f["gpu_cores"]),
        "not_this": changed("choice", "Machines, plus", plan=other),
        "forgets_what_waits": changed("choice", "count waiting cores", total=0.4 * right["total"]),
    }  # fmt: skip
