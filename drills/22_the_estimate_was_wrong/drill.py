"""The estimate was wrong: a test promised a lift, the launch did not keep it. Which of six mechanisms?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant

CAUSES = ("lost_users", "wears_off", "shared_supply", "fewer_sessions", "ramp", "calendar")
GROUPS, ALIKE = 200_000, 10
"""Ten users of a group are alike, and in one arm."""
TEST, LAUNCHED = range(8, 22), range(36, 43)
WORTH = 2.0
"""A lift below so many percent does not pay for the ranker."""


def variant(seed: int) -> Variant:
    """A test, a launch, one large cause, small ones beside it."""
    rng = generator(seed, 1)
    cause = str(rng.choice(CAUSES))
    small = str(rng.choice([name for name in CAUSES[:4] if name != cause]))
    size = dict.fromkeys(CAUSES, 0.0) | {
        "calendar": rng.choice([-1, 1]) * rng.uniform(0.015, 0.03),
        small: rng.uniform(0.004, 0.009),
    }
    size[cause] = -rng.uniform(0.07, 0.11) if cause == "calendar" else rng.uniform(0.05, 0.08)
    lift = rng.uniform(0.035, 0.055) if cause == "calendar" or rng.random() < 0.5 else rng.uniform(-0.01, 0.008)
    table = simulate(size, lift, generator(seed, 2))
    found, total = readings(table), table[table["day"] < 22].groupby("arm")[["sessions", "likes"]].sum()
    per = total["likes"] / total["sessions"]
    week = table[table["arm"] == "launched"]
    shown = {"promised": 100 * (per["treatment"] / per["control"] - 1), "worth": WORTH}
    shown["brought"] = 100 * (week["likes"].sum() / week["likes_before"].sum() - 1)
    key = {"cause": cause, "lift": 100 * lift, "action": "keep" if 100 * lift > WORTH else "roll_back"}
    return Variant(shown, key | {"readings": found}, {"days": table})


def simulate(size: dict[str, float], lift: float, rng: np.random.Generator) -> pd.DataFrame:
    """Days of the test and of the launched week, a row per day and arm."""
    often, taste = rng.gamma(2, 0.75, GROUPS), rng.gamma(4, 0.15, GROUPS)
    before, held = rng.poisson(7 * ALIKE * often * taste) / 7, rng.random(GROUPS) < 0.1
    bucket, old_app = rng.random(GROUPS), taste < 0.4
    # Those who are lost like little: without a share of them the mean of the others is higher by about this size.
    lost = old_app & (rng.random(GROUPS) < 2.4 * size["lost_users"] / (0.25 + size["lost_users"]))
    weekend, rows = rng.uniform(0.25, 0.4), []
    for day in (*TEST, *LAUNCHED):
        late, free = (day - 8) % 7 >= 5, day >= 36
        share = 0.5 if day > 9 else 0.42
        if size["ramp"]:
            share = 0.5 + (1.0 if late else -0.4) * size["ramp"] / weekend
        rate = taste * (1 + weekend * late) / (1 + weekend * 2 / 7) * (1 + size["calendar"] * free)
        treated = ~held & ((bucket < share) | free)
        more = (1 + lift + 4 * size["wears_off"] * np.exp(-(day - 8) / 3.5)) / (1 - size["fewer_sessions"])
        arms = {"launched": treated} if free else {"control": ~held & ~treated, "treatment": treated & ~lost}
        for arm, who in {**arms, "holdout": held}.items():
            new = arm in ("treatment", "launched")
            visits = often[who].sum() * (1 - size["fewer_sessions"] * new)
            liked = (often * rate)[who].sum() * (more * (1 - size["fewer_sessions"]) if new else 1.0)
            liked *= 1 - size["shared_supply"] * (arm == "control")
            visits, liked = rng.poisson((ALIKE * visits, ALIKE * liked))
            rows.append((day, arm, ALIKE * int(who.sum()), visits, liked, round(before[who].sum())))
    return pd.DataFrame(rows, columns=["day", "arm", "users", "sessions", "likes", "likes_before"])


def readings(table: pd.DataFrame) -> dict[str, float]:
    """What speaks for each cause, in percent."""
    test = table[table["day"] < 22]
    by = {name: test.pivot_table(name, "day", "arm") for name in test.columns[2:]}
    per, risen = by["likes"] / by["sessions"], by["likes"] / by["likes_before"]
    total = test.drop(columns="day").groupby("arm").sum()
    lift, rate, past = (
        per["treatment"] / per["control"],
        total["likes"] / total["sessions"],
        by["likes_before"] / by["users"],
    )
    calm = table[table["arm"] == "holdout"].groupby(table["day"] >= 36)["likes"].mean()
    visits = by["sessions"] / by["users"]
    found = {
        "lost_users": (past["treatment"] / past["control"]).mean() - 1,
        "wears_off": lift.iloc[:3].mean() - lift.iloc[-3:].mean(),
        "shared_supply": (risen["control"] / risen["holdout"]).mean() - 1,
        "fewer_sessions": (visits["treatment"] / visits["control"]).mean() - 1,
        "ramp": rate["treatment"] / rate["control"] - lift.mean(),
        "calendar": calm[True] / calm[False] - 1,
    }
    return {name: round(100 * float(value), 3) for name, value in found.items()}


def found(answer: Answer, variant: Variant) -> Evidence:
    """Which cause."""
    said, key = answer["cause"], variant.key
    told = f"{said}: its reading is {key['readings'][said]:+.1f}"
    if said == key["cause"]:
        return Evidence(3, f"{told}, and nothing else is of the size of the gap.")
    return Evidence(0, f"Not {told}. That does not fill the gap between promise and launch; another one does.")


def proof(answer: Answer, variant: Variant) -> Evidence:
    """Six readings."""
    said = {str(row["cause"]): float(row["reading"]) for row in answer["readings"]}
    right = variant.key["readings"]
    wrong = [name for name in CAUSES if abs(said.get(name, np.inf) - right[name]) > 0.15 + 0.04 * abs(right[name])]
    own = variant.key["cause"] in wrong
    points = 3 if not wrong else 2 if len(wrong) <= 2 and not own else 1 if len(wrong) <= 3 else 0
    told = f"Wrong or missing: {', '.join(wrong)}" if wrong else "All six hold"
    return Evidence(points, f"{told}; counted from `days`, as the table of the prompt defines them.")


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"lift": variant.key["lift"]}


def lift(answer: Answer, variant: Variant) -> Evidence:
    """What the new ranker truly brings."""
    (low, high), truth = answer["lift"], variant.key["lift"]
    told = f"{low:g} to {high:g} %"
    if not low <= truth <= high:
        why = "Only one group never saw the new ranker, and lived through the same weeks"
        return Evidence(0, f"{told} is too {'low' if high < truth else 'high'}. {why}.")
    wide = high - low
    return Evidence(3 if wide <= 2.01 else 2 if wide <= 4.01 else 1, f"{told}; the simulated truth is {truth:.1f} %.")


def action(answer: Answer, variant: Variant) -> Evidence:
    """Whether it stays."""
    said, key = answer["action"], variant.key
    told = f"{said}, with a true lift of {key['lift']:.1f} % against {WORTH:g} % that it has to bring"
    if said == key["action"]:
        return Evidence(3, f"{told}.")
    return Evidence(0, f"Not {told}: a broken promise and a ranker that does not pay are two questions.")
