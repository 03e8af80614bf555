"""Where on the frontier: nine systems that were run, a worth, two prices, and one row that is the best of ten.

Shares are exact, of a small world; the table shows them as experiments would: a short one for each trial of the
search, long ones for the rest. What was held back, a long one of the search's winner, judges the estimate.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load
from mlsys.orchestration.development import cores

run = load(Path(__file__).with_name("table.py"))
WAYS, EXPERIMENTS, TRIALS, NONE = run.WAYS, run.EXPERIMENTS, run.TRIALS, run.NONE
OFF = (0.0, -0.15, 0.1, 0.2)
"""Estimates of T that are as good, in parts of its promised lead: what follows from one of them is accepted."""


def variant(seed: int) -> Variant:
    """Noise, prices and a guardrail, drawn until nothing is a close call."""
    true, tried = run.shares(seed)
    rng = generator(seed, 2)
    curse, then = str(rng.choice(["luck", "luck", "real"])), str(rng.choice([*EXPERIMENTS, "none"]))
    over_mean, per_ms = run.tail(rng), cores(1e3, 1e6)
    for attempt in range(3_000):
        rng = generator(seed, 3, attempt)
        if not (search := run.searched(rng, tried)):
            continue
        f = run.facts(rng, search)
        measured = np.round(true + run.LONG * rng.standard_normal(len(true)), 1)
        systems = run.table(measured, search["best"], f, over_mean, per_ms)
        wanted = (curse if attempt < 240 else "", then if attempt < 150 else "")
        if key := _key(rng, search, f, systems, *wanted):
            trials = pd.DataFrame({"trial": range(1, TRIALS + 1), "points": search.pop("measured")})
            return Variant(f, search | key, {"systems": systems, "trials": trials})
    raise MlsysError(f"seed {seed} gives no table", why="every draw is a close call", fix="take another seed")


def _key(
    rng: np.random.Generator, search: dict[str, Any], f: dict[str, Any], systems: pd.DataFrame, curse: str, then: str
) -> dict[str, Any]:
    """What follows; empty if something is a close call, or not what is wanted. Adds what is left to the facts."""
    p99, place = np.sort(systems["p99"].to_numpy()), int(rng.integers(4, len(systems) - 1))
    f["limit"] = round(float(np.sqrt(p99[place] * p99[place + 1])))
    lead = search["best"] - search["mean"]
    *near, told = run.counted(systems, [*(search["estimate"] + off * lead for off in OFF), search["best"]])
    naive, chosen = run.choice(told, f)[0], [run.choice(c, f) for c in near]
    ship = chosen[0][0]
    found = "real" if naive == ship else "luck"
    close = ship == 0 or any(one != ship or ahead < 0.15 for one, _, ahead in chosen) or found != (curse or found)
    if close or not p99[place] * 1.04 < f["limit"] < p99[place + 1] / 1.04:
        return {}
    turned = [run.flips(c, f) for c in near]
    if sum(turned[0][way] != NONE for way in WAYS) < 2:
        return {}
    over = near[0]["p99"] > f["limit"]
    f["blocked"] = str(systems["system"][np.argmax(np.where(over, run.nets(near[0], f), -np.inf))])
    f["better"] = max(0.5, round(2 * math.sqrt(search["kept"]) * search["se"]) / 2)
    for _ in range(40):
        run.bets(rng, f)
        worths = run.worths(near[0], f)
        first, second = sorted(worths, key=lambda name: -worths[name])[:2]
        clear = first == (then or first) and worths[first] - worths[second] > max(5, 0.2 * worths[first])
        if clear and all(max(w := run.worths(c, f), key=w.__getitem__) == first for c in near[1:]):
            break
    else:
        return {}
    struck = [run.dominated(c) for c in near]
    return {
        "always": tuple(sorted(frozenset.intersection(*struck))),
        "ever": tuple(sorted(frozenset.union(*struck))),
        "ship": str(systems["system"][ship]),
        "next": first,
        "worths": worths,
        "near": tuple(float(c["points"][-1]) for c in near),
    }


def curse(answer: Answer, variant: Variant) -> Evidence:
    """What is left of the promised lead, and an interval for the second experiment."""
    key, (low, high) = variant.key, answer["second"]
    off, second = _off(answer["estimate"], key), key["second"]
    points = 3 if off <= 0.1 else 2 if off <= 0.2 else int(off <= 0.35)
    told = f"You expect {answer['estimate']:.1f} of T; a long experiment, held back until now, says {second:.1f}"
    if points < 2:
        return Evidence(points, f"{told}. That keeps {_kept(answer['estimate'], key):.0%} of its lead over the mean "
                        "trial: hold the noise of one trial against the spread of all ten.")  # fmt: skip
    if not low <= second <= high:
        return Evidence(1, f"{told}: outside of {low:g} to {high:g}.")
    wide = (high - low) / key["se"]
    if wide > 4.5:
        return Evidence(1, f"{told}. {low:g} to {high:g} is so wide that no decision hangs on it.")
    kept = f"{key['kept']:.0%} of the promised lead is real, by the spread of the trials"
    return Evidence(min(points, 3 if wide <= 3.2 else 2), f"{told}, reported were {key['best']:.1f}: {kept}.")


def frontier(answer: Answer, variant: Variant) -> Evidence:
    """What nobody should ship, whatever a point or a core is worth."""
    said, struck = set(answer["struck"]) - {"none"}, [run.dominated(c) for c in _near(answer, variant)]
    extra = sorted(said - frozenset.union(*struck))
    missing = sorted(frozenset.intersection(*struck) - said)
    if not extra and not missing:
        return Evidence(3, f"Struck: {', '.join(sorted(said)) or 'none'}. What is left is a question of prices.")
    told = [f"{name} is on the frontier: who has as many points needs more cores, or costs more" for name in extra]
    told += [f"{len(missing)} more can go: another has its points for no more"] if missing else []
    return Evidence(2 if len(extra) + len(missing) == 1 and len(struck[0]) > 2 else 0, "; ".join(told) + ".")


def ship(answer: Answer, variant: Variant) -> Evidence:
    """The best that the guardrail allows, and what it earns over today's."""
    key, f, said = variant.key, variant.shown, answer["ship"]
    near, names = _near(answer, variant), variant.tables["systems"]["system"].tolist()
    at, net = names.index(said), run.nets(near[0], f)
    if near[0]["p99"][at] > f["limit"]:
        return Evidence(0, f"{said} has a p99 of {near[0]['p99'][at]:g} ms: the guardrail rolls it back.")
    if said != key["ship"]:
        lost = net[names.index(key["ship"])] - net[at]
        whose = ", with the points that are left of its search," if said == "T" else ""
        return Evidence(0, f"{said}{whose} earns {number(lost)} thousand a month less than the best allowed.")
    right = [run.choice(c, f)[1] for c in near]
    if _within(answer["gain"], right, 0.04):
        return Evidence(3, f"{said} it is, and earns {number(right[0])} thousand a month over A.")
    rough = _within(answer["gain"], right, 0.25)
    return Evidence(2 if rough else 1, f"{said}, yes. Over A it earns {number(right[0])} thousand a month, you said "
                    f"{number(answer['gain'])}.")  # fmt: skip


def flips(answer: Answer, variant: Variant) -> Evidence:
    """Four thresholds, and what takes over there."""
    f, said = variant.shown, {row["way"]: row for row in answer["flips"]}
    turned = [run.flips(c, f) for c in _near(answer, variant)]
    good, near, off = 0, 0, []
    for way in WAYS:
        at, to = (said[way]["at"], said[way]["to"]) if way in said else (0.0, "")
        right = [one[way] for one in turned]
        close = any((at < 0) == (there < 0) and (there < 0 or abs(at / there - 1) <= 0.12) for there, _ in right)
        exact = any(there < 0 or (abs(at / there - 1) <= 0.04 and to == then) for there, then in right)
        near, good = near + close, good + (close and exact)
        if not close:
            off.append(f"{way}: " + ("nothing said" if not to else "something does take over" if at < 0
                       else "nothing ever takes over" if right[0][0] < 0 else f"not at {at:g}"))  # fmt: skip
        elif not exact:
            off.append(f"{way}: near, but look again at what takes over, and where")
    if good == len(WAYS):
        return Evidence(3, "All four hold: cores and fixed costs are paid in different coins, and each has its price.")
    return Evidence(2 if near == len(WAYS) or good == 3 else int(good > 0), f"{good} of 4 hold; {'; '.join(off)}.")


def experiment(answer: Answer, variant: Variant) -> Evidence:
    """The experiment that pays, and what it pays."""
    key, f, said, worths = variant.key, variant.shown, answer["next"], variant.key["worths"]
    values = [max(run.gained(name, c, f) for name in EXPERIMENTS) for c in _near(answer, variant)]
    if said != key["next"]:
        if said == "none":
            return Evidence(0, "One of them changes what you ship often enough to pay for itself.")
        idle = abs(worths[said] + f[f"{said}_costs"]) < 1e-6
        why = "whatever it says, you ship the same" if idle else "that is not the most, or less than nothing"
        return Evidence(0, f"{said} is worth {number(worths[said])} thousand a year after its cost: {why}.")
    if _within(answer["value"], values, 0.05):
        return Evidence(3, f"{said}, and the best of the four is worth {number(values[0])} thousand after its cost.")
    rough = _within(answer["value"], values, 0.35)
    return Evidence(2 if rough else 1, f"{said}, yes; the best is worth {number(values[0])} thousand, not "
                    f"{number(answer['value'])}: only an end at which you ship something else pays.")  # fmt: skip


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"second": variant.key["second"]}


def _kept(points: float, key: Any) -> float:
    """The share of the promised lead over the mean trial that an estimate keeps."""
    return float((points - key["mean"]) / (key["best"] - key["mean"]))


def _off(points: float, key: Any) -> float:
    """How far that is from 1 - se^2 / variance, and from the same with James and Stein's (n - 3) / (n - 1)."""
    said, kept = _kept(points, key), key["kept"]
    return max(kept - said, said - 1 + (TRIALS - 3) / (TRIALS - 1) * (1 - kept), 0.0)


def _near(answer: Answer, variant: Variant) -> list[dict[str, np.ndarray]]:
    """The systems with each estimate of T that is accepted; if the candidate's own is near, with what rounds to it."""
    key, own = variant.key, answer.values.get("estimate")
    also = own + np.linspace(-0.05, 0.05, 11) if own is not None and _off(own, key) <= 0.2 else []
    return list(run.counted(variant.tables["systems"], [*key["near"], *also]))


def _within(said: float, right: list[float], share: float) -> bool:
    return any(abs(said - one) <= max(1.0, share * abs(one)) for one in right)
