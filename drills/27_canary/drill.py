"""A canary after some hours: who is in it, what it fails, what it takes, what people do. Promote, hold or roll back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load
from mlsys.evaluation.experiment import MISMATCH, sample_ratio
from mlsys.evaluation.power import sample_size
from mlsys.evaluation.sequential import always_valid
from mlsys.serving.rollout import Guardrails, Rollout
from mlsys.training import LinearModel, Signature

drawing = load(Path(__file__).with_name("page.py"))
CASES = ("all_clear", "one_of_eight", "interval_too_wide", "looks_bad", "novelty", "sample_ratio", "likes_lost",
         "latency", "failures", "secondary")  # fmt: skip
ALIKE = {"one_of_eight": "all_clear", "looks_bad": "interval_too_wide"}
"""Cases that look like something else: a metric that is red by chance, a loss that one look would believe."""

NEW = LinearModel("2", Signature(("user:likes",), (0.0,)), np.array([1.0]), 0.0)


def variant(seed: int) -> Variant:
    """A page; drawn again until nothing on it is a close call."""
    case = str(generator(seed, 1).choice(CASES))
    for attempt in range(60):
        rng = generator(seed, 2, attempt)
        f = drawing.settings(case, rng)
        rollout = Rollout(NEW, "canary", share=f["share"] / 100, salt=f"seed {seed} {attempt}",
                          guardrails=Guardrails(max_loss=f["floor"] / 100, tau=f["tau"] / 100))  # fmt: skip
        drawn = drawing.people(case, f, rollout, rng)
        key = measured(f, drawn, rollout)
        looks_bad = key["value"] + 1.96 * f["error"] < -0.5
        if (
            key.pop("clear")
            and key["because"] == ALIKE.get(case, case)
            and looks_bad == (case in ("looks_bad", "likes_lost"))
        ):
            return Variant(f, key)
    raise MlsysError(f"seed {seed} gives no page", why="every draw is a close call", fix="take another seed")


def measured(f: dict[str, Any], d: Any, rollout: Rollout) -> dict[str, Any]:
    """Fills in the page, and says what follows from it; `clear`: nothing that decides is a close call."""
    for a, name in enumerate(("old", "new")):
        own = d.arm == a
        f[f"users_{name}"], f[f"sessions_{name}"] = len(np.unique(d.user[own])), int(d.sessions[own].sum())
        f[f"likes_{name}"] = int(d.likes[own].sum())
    f["failed_old"], f["failed_new"] = round(0.001 * f["sessions_old"]), round(f["failed_share"] * f["sessions_new"])
    whole, parts = drawing.effect(d), [drawing.effect(d, d.group == g) for g in range(3)]
    f["error"] = round(100 * whole.error, 3)
    for g, part in enumerate(parts):
        f[f"visit_{g}"], f[f"visit_error_{g}"] = round(100 * part.value, 1), round(100 * part.error, 2)
    found = always_valid(whole, rollout.guardrails.tau)
    value, reach, floor = 100 * found.value, 100 * (found.high - found.low) / 2, f["floor"]
    planned = (1 - rollout.share, rollout.share)
    p = sample_ratio(np.repeat([0, 1], [f["users_old"], f["users_new"]]), planned).p
    worse = [f[f"change_{m}"] / f[f"error_{m}"] * (1 if m in drawing.BAD_UP else -1) for m in drawing.SECONDARY]
    fades = float(abs(parts[0].value - parts[2].value) / np.hypot(parts[0].error, parts[2].error))
    sd = 100 * whole.error * np.sqrt(f["users_new"] * f["users_old"] / (f["users_new"] + f["users_old"]))
    base = f["likes_old"] / f["sessions_old"] * f["sessions_new"] / 100
    key = {"value": value, "low": value - reach, "high": value + reach, "reach": reach, "p": p, "fades": fades}
    key |= {"promote_from": reach - floor, "back_from": -reach - floor, "least_p": float(2 * norm.sf(max(0, *worse)))}
    key |= {"lost": -value * base, "lost_reach": reach * base}
    key["users"] = rollout.share * sample_size(floor, sd, share=rollout.share)
    return key | ruled(f, key, rollout)


def ruled(f: Mapping[str, Any], key: Mapping[str, Any], rollout: Rollout) -> dict[str, Any]:
    """The rule, line by line; the rollout itself says what failures and scoring time mean."""
    rollout.requests, rollout.failures = [f["sessions_old"], f["sessions_new"]], [f["failed_old"], f["failed_new"]]
    rollout.seconds = [f[f"ms_{name}"] * f[f"sessions_{name}"] / 1e3 for name in ("old", "new")]
    told, floor = rollout.verdict(), f["floor"]
    red = {"sample_ratio": key["p"] < MISMATCH, "novelty": key["fades"] > 3.3,
           "secondary": key["least_p"] < f["secondary_p"]}  # fmt: skip
    if told is not None:
        action, because = "roll_back", told.split(":")[0]
    elif red["sample_ratio"] or red["novelty"]:
        action, because = "hold", "sample_ratio" if red["sample_ratio"] else "novelty"
    elif red["secondary"] or key["high"] < -floor:
        action, because = "roll_back", "secondary" if red["secondary"] else "likes_lost"
    elif key["low"] > -floor:
        action, because = "promote", "all_clear"
    else:
        action, because = "hold", "interval_too_wide"
    clear = min(abs(key["low"] + floor), abs(key["high"] + floor)) > 0.12 * key["reach"]
    clear &= (key["p"] > 0.05 or key["p"] < 1e-5) and (key["fades"] < 2.3 or key["fades"] > 4.3)
    by_likes = ("interval_too_wide", "likes_lost")
    clear &= (told is not None) + sum(red.values()) == (because not in ("all_clear", *by_likes))
    clear &= because in by_likes or key["low"] > -floor  # Likes alone would say: promote.
    return {"action": action, "because": because, "clear": bool(clear)}


def reading(answer: Answer, variant: Variant) -> Evidence:
    """The interval that stands looking at any time."""
    low, high = answer["likes"]
    off = max(abs(low - variant.key["low"]), abs(high - variant.key["high"])) / variant.key["reach"]
    return _near(
        off, f"{low:.2f} to {high:.2f} %", "as wide as many looks ask for, the formula with τ, not 1.96 errors"
    )


def decision(answer: Answer, variant: Variant) -> Evidence:
    """What is done, and why."""
    said, because, key, f = answer["action"], answer["because"], variant.key, variant.shown
    told = f"{said}, because of {because}"
    if (said, because) == (key["action"], key["because"]):
        return Evidence(3, f"{told}: that is what the rule says of this page.")
    facts = {
        "failures": f"the canary failed {f['failed_new'] / f['sessions_new']:.2%} of its requests, 1 % is tolerated",
        "latency": f"the canary takes {f['ms_new'] / f['ms_old']:.1f} times as long, 3 is tolerated",
        "sample_ratio": f"the counts of users have p {key['p']:.1g} under the planned split",
        "novelty": f"first and later visits are {key['fades']:.1f} standard errors apart",
        "secondary": f"the least p of a secondary metric that got worse is {key['least_p']:.1g}",
    }
    interval = f"likes are at {key['low']:.1f} to {key['high']:.1f} %, the bound is −{f['floor']} %"
    if because == "all_clear":
        right = key["because"] if key["because"] in facts else ""
        return Evidence(0, f"Not {told}: {facts.get(right, interval)}.")
    return Evidence(1 if said == key["action"] else 0, f"Not {told}: {facts.get(because, interval)}.")


def turns(answer: Answer, variant: Variant) -> Evidence:
    """The estimates at which likes alone would speak for the other actions."""
    key = variant.key
    off = max(abs(answer[name] - key[name]) for name in ("promote_from", "back_from")) / key["reach"]
    said = f"{answer['promote_from']:.2f} and {answer['back_from']:.2f} %"
    return _near(off, said, "the bound, and on either side of it half the width of the interval")


def paid(answer: Answer, variant: Variant) -> Evidence:
    """Likes lost so far, of those who were in it."""
    said, key = answer["lost"], variant.key
    why = "per session of the canary: what the champion earns there, times the change; a gain is below zero"
    return _near(abs(said - key["lost"]) / key["lost_reach"], f"{number(said)} likes", why)


def size(answer: Answer, variant: Variant) -> Evidence:
    """Users whom the canary should have had."""
    said, right = answer["users"], variant.key["users"]
    far = max(said, 1) / right
    points = 3 if abs(far - 1) <= 0.06 else 2 if 1 / 1.3 <= far <= 1.3 else 0
    told = f"{number(said)} users" + (f"; the formula says {number(right)}" if points else "")
    side = "" if points else f" is too {'many' if far > 1 else 'few'}"
    return Evidence(points, f"{told}{side}. The width goes with one over the root of the users.")


def _near(off: float, said: str, why: str) -> Evidence:
    """3 within a tenth of half the interval's width, 2 within a quarter."""
    if off > 0.25:
        return Evidence(1 if off <= 0.5 else 0, f"{said} is {off:.0%} of half a width off: it is {why}.")
    return Evidence(3 if off <= 0.1 else 2, f"{said}: to {off:.0%} of half a width.")
