"""Ship it or not: one page of a test. Intervals, a rule that was written before, a split that may be broken, a size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.evaluation.decision import Guardrail, decide
from mlsys.evaluation.experiment import sample_ratio
from mlsys.evaluation.intervals import Estimate, normal
from mlsys.evaluation.power import sample_size

METRICS = ("likes", "sessions", "dislikes")
SIGN = {"likes": 1, "sessions": 1, "dislikes": -1}
CASES = ("all_clear", "likes_open", "sessions_open", "dislikes_open", "likes_out", "sessions_out", "dislikes_out",
         "sample_ratio", "week_before")  # fmt: skip
PLACE = {"clear": (1.35, 2.2), "open": (-0.6, 0.6), "out": (-2.2, -1.4)}
"""Where the estimate lies, in half widths beyond its floor."""


def variant(seed: int) -> Variant:
    """A page; drawn again until nothing on it is a close call."""
    case = str(generator(seed, 1).choice(CASES))
    for attempt in range(200):
        shown = draw(case, generator(seed, 2, attempt))
        effects = intervals(shown)
        guards = {m: Guardrail(effects[m], shown[f"floor_{m}"], SIGN[m] > 0) for m in METRICS[1:]}
        p = sample_ratio(np.repeat([0, 1], [shown["control"], shown["treatment"]]), planned(shown)).p
        found = decide(effects["likes"], guards, minimum=shown["floor_likes"], sample_ratio_p=p)
        verdicts = dict(zip(METRICS, found.table["verdict"], strict=True))
        because = next((name for name in METRICS if verdicts[name] == found.action), "all_clear")
        because = "all_clear" if found.action == "ship" else because
        action = found.action.replace(" ", "_")
        if case in ("sample_ratio", "week_before"):
            action, because = "hold", case
        if because == case.split("_o")[0] and (p < 1e-5 if case == "sample_ratio" else p > 0.05):
            break
    else:
        raise MlsysError(f"seed {seed} gives no page", why="every draw is a close call", fix="take another seed")
    size = sample_size(shown["floor_dislikes"] / 100, shown["sd_dislikes"] / shown["mean_dislikes"],
                       share=shown["percent"] / 100)  # fmt: skip
    key = {name: (one.low, one.high) for name, one in effects.items()}
    turns = {name: float(one) for name, one in zip(METRICS, found.table["ships_from"], strict=True)}
    return Variant(shown, key | {"action": action, "because": because, "turns": turns, "users": size, "p": p})


def draw(case: str, rng: np.random.Generator) -> dict[str, Any]:
    """The numbers of the page."""
    percent, users = int(rng.choice([10, 20, 50])), int(rng.integers(30, 90)) * 10_000
    share, off = percent / 100, rng.uniform(6, 9) * rng.choice([-1, 1]) if case == "sample_ratio" else rng.normal() / 2
    treatment = round(users * share + off * np.sqrt(users * share * (1 - share)))
    f: dict[str, Any] = {"percent": percent, "treatment": treatment, "control": users - treatment}
    for name, mean, spread in (("likes", 6.0, 1.7), ("sessions", 5.0, 1.1), ("dislikes", 0.5, 4.0), ("before", 6, 1.7)):
        f[f"mean_{name}"] = float(f"{mean * rng.uniform(0.6, 1.5):.3g}")
        f[f"sd_{name}"] = float(f"{f[f'mean_{name}'] * spread * rng.uniform(0.8, 1.25):.3g}")
        half = 1.96 * error(f, name)
        if name == "before":
            moved = rng.uniform(2.2, 3.2) * rng.choice([-1, 1]) if case == "week_before" else rng.uniform(-0.6, 0.6)
            f["change_before"] = round(float(moved * half), 2)
            continue
        f[f"floor_{name}"] = max(1, round(half * rng.uniform(0.7, 1.7) / 0.25)) * 0.25
        place = case.rpartition("_")[2] if case.startswith(name) else "clear"
        floor = f[f"floor_{name}"] * (1 if name == "likes" else -1)
        f[f"change_{name}"] = round(float(SIGN[name] * (floor + rng.uniform(*PLACE[place]) * half)), 2)
    return f


def planned(shown: Mapping[str, Any]) -> tuple[float, float]:
    """Shares of control and treatment."""
    return 1 - shown["percent"] / 100, shown["percent"] / 100


def error(shown: Mapping[str, Any], name: str) -> float:
    """Standard error of a relative change, in percent."""
    both = 1 / shown["treatment"] + 1 / shown["control"]
    return float(100 * shown[f"sd_{name}"] / shown[f"mean_{name}"] * np.sqrt(both))


def intervals(shown: Mapping[str, Any]) -> dict[str, Estimate]:
    """95 % intervals of the three changes, in percent."""
    users = shown["treatment"] + shown["control"]
    return {m: normal(shown[f"change_{m}"], error(shown, m), users, 0.95, -np.inf, np.inf) for m in METRICS}


def readings(answer: Answer, variant: Variant) -> Evidence:
    """Three intervals."""
    off = {name: _off(variant, name, [one["low"], one["high"]], variant.key[name])
           for name, one in _by_metric(answer).items()}  # fmt: skip
    why = "1.96 × sd / mean × √(1/control + 1/treatment) to either side; the smaller arm sets the width."
    return _three(off, variant, "the interval of", why)


def turns(answer: Answer, variant: Variant) -> Evidence:
    """The estimates from which each metric would speak for shipping."""
    turn = variant.key["turns"]
    off = {name: _off(variant, name, [one["ships_from"]], [turn[name]]) for name, one in _by_metric(answer).items()}
    why = "Its bound plus half a width, on the good side: the end of the interval has to clear it, not the estimate."
    return _three(off, variant, "ships_from of", why)


def decision(answer: Answer, variant: Variant) -> Evidence:
    """What happens tonight, and why."""
    said, because, key = answer["action"], answer["because"], variant.key
    told = f"{said}, because of {because}"
    if (said, because) == (key["action"], key["because"]):
        return Evidence(3, f"{told}: that is what the rule says of this page.")
    if because in METRICS:
        low, high = key[because]
        fact = f"{because} is at {low:.2f} to {high:.2f} %, and by the rule decides something else, or comes too late"
    else:
        users, z = variant.shown, variant.shown["change_before"] / error(variant.shown, "before")
        fact = (
            f"the counts have p {key['p']:.1g} against {users['percent']} % planned, the week before is {z:+.1f} errors"
        )
    return Evidence(1 if said == key["action"] else 0, f"Not {told}: {fact}.")


def size(answer: Answer, variant: Variant) -> Evidence:
    """Users of the next test."""
    said, right = answer["users"], variant.key["users"]
    far = max(said, 1) / right
    points = 3 if abs(far - 1) <= 0.06 else 2 if 1 / 1.3 <= far <= 1.3 else 0
    told = f"{number(said)} users; the formula says {number(right)}" if points else f"{number(said)} users is"
    side = "" if points else f" too {'many' if far > 1 else 'few'}"
    return Evidence(points, f"{told}{side}. (1.96 + 0.84)² × (sd / (tolerated × mean))² / (share × (1 − share)).")


def _by_metric(answer: Answer) -> dict[str, dict[str, Any]]:
    return {str(one["metric"]): one for one in answer["effects"]}


def _off(variant: Variant, name: str, said: list[float], right: Any) -> float:
    """The largest deviation, in half widths."""
    half = (variant.key[name][1] - variant.key[name][0]) / 2
    return float(np.abs(np.subtract(said, right)).max() / half)


def _three(off: Mapping[str, float], variant: Variant, what: str, why: str) -> Evidence:
    """3 if all are within a tenth of a half width, 2 within a third."""
    far = [name for name in METRICS if off.get(name, np.inf) > 0.34]
    if far:
        return Evidence(min(1, 3 - len(far)), f"Wrong or missing: {what} {', '.join(far)}. {why}")
    return Evidence(
        3 if max(off.values()) <= 0.12 else 2, f"All three hold to {max(off.values()):.0%} of a half width."
    )
