"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

QUESTIONS = ("Was anything in the app broken?",)


def reference(variant: Variant) -> Typed:
    """Six readings, the largest of them, and the launched week against the holdout."""
    days, readings = variant.tables["days"], variant.key["readings"]
    week = days[days["day"] >= 36].groupby("arm")[["likes", "likes_before"]].sum()
    risen = week["likes"] / week["likes_before"]
    true = 100 * float(risen["launched"] / risen["holdout"] - 1)
    cause = max(readings, key=lambda name: abs(readings[name]))
    values = {
        "cause": cause,
        "readings": [{"cause": name, "reading": round(value, 1)} for name, value in readings.items()],
        "lift": [round(true - 1, 2), round(true + 1, 2)],
        "action": "keep" if true > variant.shown["worth"] else "roll_back",
        "told": f"It was {cause}. In truth the ranker brings {true:.1f} %. That reading is now on every test page.",
    }
    return Typed(values, QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, readings, shown = reference(variant).values, variant.key["readings"], variant.shown

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, QUESTIONS, row=row, says=says)

    rival = sorted(readings, key=lambda name: abs(readings[name]))[-2]
    turned = [{**row, "reading": -row["reading"] - 1} for row in right["readings"]]
    told = shown["brought"] if right["cause"] == "calendar" else shown["promised"]
    other = "roll_back" if right["action"] == "keep" else "keep"
    return {
        "the_small_one": changed("found", "does not fill the gap", cause=rival),
        "the_other_way_round": changed("proof", "Wrong or missing", readings=turned),
        "believes_one_of_the_two": changed("lift", "lived through the same weeks", lift=[told - 1, told + 1]),
        "any_lift": changed("lift", "-40 to 40", lift=[-40, 40]),
        "the_reflex": changed("action", "two questions", action=other),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 takes the small cause; E5 reads four of six, roughly; E6 all of it."""
    right, bad = reference(variant).values, wrong(variant)
    ranked = sorted(right["readings"], key=lambda row: -abs(row["reading"]))
    (low, high), junior = right["lift"], {"cause": bad["the_small_one"].values["cause"], "lift": [-40, 40]}
    return {
        "E4": Typed({**right, **junior}, human={"told": 1}),
        "E5": Typed({**right, "readings": ranked[:4], "lift": [low - 1, high + 0.9]}, QUESTIONS, human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }
