"""Train it on paper: rows, two timings, a deadline, prices. How many machines, if any?

Hours and gigabytes are those of `mlsys.orchestration.retraining`, at the measured cost of a row; the cluster's cores
are slower than the measured one by a factor that only its two timings show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from mlsys.capacity import plan, unit_costs
from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load
from mlsys.orchestration import retraining

paper = load(Path(__file__).with_name("paper.py"))


def variant(seed: int) -> Variant:
    """Numbers, drawn until one plan is clearly the cheapest, and neither deadline nor memory is a close call."""
    each = float(plan([1e6]).set_index("case")["events_per_day"]["mid"]) / 1e6
    us, wanted = unit_costs()["fit_60_trees_us_per_row"], str(generator(seed, 1).choice(paper.PLANS))
    for attempt in range(3_000):
        f, alone, serial, slow = paper.draw(generator(seed, 2, attempt), each, us)
        if (best := paper.clear(f, alone, serial)) and (best == wanted or attempt > 1_500):
            break
    else:
        raise MlsysError(f"seed {seed} gives no plan", why="every draw is a close call", fix="take another seed")
    users, share = f["users"] * 1e6, f["days"] * f["trees"] / 60 * slow
    hours = float(retraining.on_paper([1], users=users, serial=serial, share=share)["hours"][1])
    gb = {name: f["days"] * one for name, one in retraining.memory_gb(users, features=paper.FEATURES).items()}
    even = retraining.gpu_rows_per_second(f["gpu_cores"]) * 60 / f["trees"] / slow / 1e3
    sent = f["trees"] * f["leaves"] * paper.FEATURES * paper.BINS * 16 / 1e9
    key = {"alone": hours, "serial": 100 * serial, "floats": gb["float32"], "bins": gb["bins"], "even": even}
    key |= {"holds": tuple(part for part, n in paper.PARTS.items() if gb["bins"] / n <= f["gpu_gb"]), "plan": best}
    return Variant(f, key | {"sent": sent, "seconds": f["many"] * sent * 8 / f["network"]}, {})


def scaling(answer: Answer, variant: Variant) -> Evidence:
    """One core, and what stays in series."""
    right = {"alone": (variant.key["alone"], "hours"), "serial": (variant.key["serial"], "%")}
    return _numbers(answer, right, "Two timings, two unknowns: T(n) = one core × (serial + (1 − serial) / n).")


def machines(answer: Answer, variant: Variant) -> Evidence:
    """The fewest workers, and what they are paid."""
    key, deadline, n, paid = variant.key, variant.shown["deadline"], answer["workers"], answer["core_hours"]
    right = [paper.workers(*pair, deadline) for pair in _solved(answer, key)]
    stuck = f"the part in series alone takes {key['alone'] * key['serial'] / 100:.2g} hours of {deadline:g}"
    told = f"{n:g} workers, {number(paid)} core-hours; {stuck}"
    if any(_near(n, one, 0.06) and _near(paid, cost, 0.08) for one, cost in right):
        return Evidence(3, f"{told}: that holds.")
    if right[0][0] < 0 or n < 1:
        return Evidence(0, f"{told}. Look at the part that no worker shortens.")
    rough = any((_near(n, one, 0.3) or abs(n - one) <= 1) and _near(paid, cost, 0.4) for one, cost in right)
    return Evidence(2 if rough else 0, f"{told}. Solve: one core × (serial + (1 − serial) / n) = deadline.")


def memory(answer: Answer, variant: Variant) -> Evidence:
    """Gigabytes of the rows, and what the GPU holds."""
    key, said = variant.key, set(answer["holds"])
    right = {"floats": (key["floats"], "GB"), "bins": (key["bins"], "GB")}
    found = _numbers(answer, right, "Rows × features × 4 bytes, or × 1.")
    if said == set(key["holds"] or ("none",)):
        return found
    return Evidence(min(found.points, 1), f"{found.reason} What the GPU holds is not {', '.join(sorted(said))}.")


def network(answer: Answer, variant: Variant) -> Evidence:
    """What is sent, and for how long the link is busy."""
    key = variant.key
    share = key["seconds"] / (36 * key["alone"] * key["serial"])
    why = f"That is {share:.2%} of the time in series: histograms do not grow with the rows."
    return _numbers(answer, {"sent": (key["sent"], "GB"), "seconds": (key["seconds"], "seconds")}, why)


def gpu(answer: Answer, variant: Variant) -> Evidence:
    """Where a GPU pays."""
    own = [variant.key["even"] * variant.key["alone"] / alone for alone, _ in _solved(answer, variant.key)]
    nearest = min(own, key=lambda even: abs(even - answer["gpu_even"]))
    right = {"gpu_even": (nearest, "thousand rows a second")}
    return _numbers(answer, right, "What one core fits in a second, times its price in cores.")


def choice(answer: Answer, variant: Variant) -> Evidence:
    """The cheapest plan that is ready in time."""
    key, said = variant.key, answer["plan"]
    costs = [paper.totals(variant.shown, *pair) for pair in _solved(answer, key)]
    mine, best = costs[0][said], costs[0][key["plan"]]
    if said != key["plan"]:
        why = (
            "is late, or does not fit"
            if math.isinf(mine)
            else f"costs {number(mine - best)} $ a night more than it has to"
        )
        return Evidence(0, f"{said} {why}. Machines, plus what the lost likes are worth.")
    exact, rough = (any(_near(answer["total"], one[said], share) for one in costs) for share in (0.06, 0.3))
    told = f"{said} is the cheapest; you said {number(answer['total'])} $ a night, and it is {number(best)}"
    return Evidence(
        1 + exact + rough, told + ("." if exact else ": count waiting cores, and what the lost likes are worth.")
    )


def _solved(answer: Answer, key: Mapping[str, float]) -> list[tuple[float, float]]:
    """Hours on one core and the share in series: the true ones, and the candidate's if they are near."""
    own = answer.values.get("alone", 0.0), answer.values.get("serial", 0.0)
    near = _near(own[0], key["alone"], 0.3) and _near(own[1], key["serial"], 0.3)
    return [(key["alone"], key["serial"] / 100)] + ([(own[0], own[1] / 100)] if near else [])


def _near(said: float, right: float, share: float) -> bool:
    return abs(said - right) <= share * abs(right) + 1e-9


def _numbers(answer: Answer, right: Mapping[str, tuple[float, str]], why: str) -> Evidence:
    """3 if all are within 6 %, 2 if all are within 30 %."""
    far = [name for name, (value, _) in right.items() if not _near(answer[name], value, 0.3)]
    points = 0 if far else 3 if all(_near(answer[name], value, 0.06) for name, (value, _) in right.items()) else 2
    told = [f"{name} {number(answer[name])} is too {'high' if answer[name] > value else 'low'}"
            if name in far else f"{name} {number(answer[name])}, the run: {number(value)} {unit}"
            for name, (value, unit) in right.items()]  # fmt: skip
    return Evidence(points, f"{'; '.join(told)}. {why}")
