"""How many users: the size of a test on paper, with what is known of people, by market, and under many looks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import norm

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import interval_evidence, number
from mlsys.evaluation.power import design_effect, mde, sample_size

DAYS = (1, 3, 7, 14, 28)
LOOKS = (4, 5, 7, 10, 14, 20, 28)


def variant(seed: int) -> Variant:
    """Numbers, drawn again until no number of days is a close call."""
    for attempt in range(500):
        shown = draw(generator(seed, 1, attempt))
        lift, sd = shown["lift"] / 100 * shown["mean"], shown["sd"]
        known = shown["correlation"] ** 2 * (1 - shown["newcomers"] / 100)
        plain, less = sample_size(lift, sd), sample_size(lift, sd, explained=known)
        reach = [shown[f"day_{day}"] for day in DAYS]
        near = any(0.8 < one / needed < 1.25 for one in reach for needed in (plain, less))
        forgot = (1 - shown["correlation"] ** 2) / (1 - known)
        if (
            not near
            and forgot < 0.7
            and first(shown, less) not in ("1", first(shown, plain))
            and 30_000 < plain < 3_000_000
        ):
            break
    else:
        raise MlsysError(f"seed {seed} gives no test", why="every draw is a close call", fix="take another seed")
    times = design_effect(shown["size"], shown["between"] / 100)
    shown["z"] = round(float(norm.ppf(1 - 0.025 / shown["looks"])), 2)
    walks = generator(seed, 2).normal(size=(40_000, shown["looks"])).cumsum(axis=1)
    found = (np.abs(walks) > 1.96 * np.sqrt(np.arange(1, shown["looks"] + 1))).any(axis=1).mean()
    all_units = shown["size"] * shown["markets"] / times
    key = {"users": plain, "cuped": less, "days": first(shown, plain), "days_cuped": first(shown, less)}
    key |= {"clustered": plain * times, "markets_find": 100 * mde(sd, all_units) / shown["mean"]}
    key |= {"false_finds": 100 * float(found), "times": ((shown["z"] + 0.8416) / (1.96 + 0.8416)) ** 2}
    return Variant(shown, key)


def draw(rng: np.random.Generator) -> dict[str, Any]:
    """What the prompt gives."""
    f: dict[str, Any] = {
        "mean": float(f"{rng.uniform(2, 15):.2g}"),
        "lift": float(rng.choice([1, 1.5, 2, 2.5, 3, 4, 5])),
    }
    f |= {"sd": float(f"{f['mean'] * rng.uniform(1.3, 3):.3g}"), "correlation": int(rng.integers(70, 91)) / 100}
    f |= {"newcomers": int(rng.integers(25, 46)), "looks": int(rng.choice(LOOKS))}
    every, pace = float(np.exp(rng.uniform(11.5, 14))), rng.uniform(3, 8)
    f |= {f"day_{day}": round(every * (1 - math.exp(-day / pace)), -3) for day in DAYS}
    f |= {"size": int(rng.integers(4, 41)) * 500, "between": float(rng.choice([0.2, 0.3, 0.5, 0.8, 1, 1.5]))}
    return f | {"markets": int(rng.integers(6, 31)) * 10}


def first(shown: dict[str, Any], users: float) -> str:
    """The first day of the table with so many users."""
    return next((str(day) for day in DAYS if shown[f"day_{day}"] >= users), "never")


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return {name: variant.key[name] for name in ("users", "false_finds")}


def size(answer: Answer, variant: Variant) -> Evidence:
    """Users, both arms, at first sight."""
    low, high = answer["users"]
    found = interval_evidence("users", low, high, variant.key["users"])
    return Evidence(found.points, f"{found.reason}. Sixteen variances over the squared lift, for each of two arms.")


def cuped(answer: Answer, variant: Variant) -> Evidence:
    """What the week before is worth, in users and in days."""
    said, key = answer["cuped"], variant.key
    points = _near(said, key["cuped"], 0.06, 0.25)
    if not points:
        side = "many" if said > key["cuped"] else "few"
        why = "It takes out the correlation squared, and nothing of those who have no week before."
        return Evidence(0, f"{number(said)} users with CUPED are too {side}. {why}")
    for name, users in (("days", key["users"]), ("days_cuped", key["cuped"])):
        if answer[name] != key[name]:
            return Evidence(
                1, f"{name} is not {answer[name]}: {number(users)} users are needed, by your size and table."
            )
    told = f"{number(said)} users with CUPED, the formula says {number(key['cuped'])}"
    return Evidence(points, f"{told}: day {key['days_cuped']} instead of {key['days']}.")


def clusters(answer: Answer, variant: Variant) -> Evidence:
    """By market."""
    key, f = variant.key, variant.shown
    users, lift = answer["clustered"], answer["markets_find"]
    points = min(_near(users, key["clustered"], 0.08, 0.3), _near(lift, key["markets_find"], 0.08, 0.25))
    if points:
        told = (
            f"{number(key['clustered'])} users by market; all {f['markets']} markets find {key['markets_find']:.2g} %"
        )
        return Evidence(points, f"You are near: {told}.")
    pairs = ("clustered", users, 0.3), ("markets_find", lift, 0.25)
    far = [f"{name} {number(said)} is too {'high' if said > key[name] else 'low'}"
           for name, said, rough in pairs if not _near(said, key[name], 0, rough)]  # fmt: skip
    return Evidence(0, f"{'; '.join(far)}. Users times 1 + (size − 1) × share between; the lift goes with the root.")


def looks(answer: Answer, variant: Variant) -> Evidence:
    """False finds under many looks, and what it costs to prevent them."""
    (low, high), key, times = answer["false_finds"], variant.key, answer["times"]
    truth, n = key["false_finds"], variant.shown["looks"]
    if not low <= truth <= high:
        side = (
            "more: every look is another chance" if high < truth else "less: a look sees all users of the looks before"
        )
        return Evidence(0, f"{low:g} to {high:g} % false finds: missed, it is {side}.")
    points = _near(times, key["times"], 0.05, 0.15)
    if not points:
        side = "much" if times > key["times"] else "little"
        return Evidence(1, f"{times:g} times as many users is too {side}: only 1.96 changes, inside the square.")
    wide = high / max(low, 1e-9)
    told = f"{low:g} to {high:g} %: in 40,000 tests of nothing {n} looks found {truth:.0f} %"
    points = points if wide <= 2.2 else min(points, 2) if wide <= 4.2 else 1
    return Evidence(points, f"{told}; the cure takes {key['times']:.2f} times the users.")


def _near(said: float, right: float, exact: float, rough: float) -> int:
    """3 within `exact`, 2 within `rough`, else 0."""
    off = abs(said / right - 1)
    return 3 if off <= exact else 2 if off <= rough else 0
