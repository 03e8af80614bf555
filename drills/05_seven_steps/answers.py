"""What proves the checks: a reference, and the answers that people give instead."""

from __future__ import annotations

from typing import Any

from mlsys.analysis.architecture import STEPS
from mlsys.drills import Typed, Variant

SAID = (
    "I ask for goal, users, requests and latency, because every later choice is measured against them.",
    "I turn the goal into input, output, label and objective; the wrong label makes a good model useless.",
    "I collect events, refuse broken ones, and join only what was known at the moment, or the label leaks.",
    "I start with a baseline that ships, and add complexity only where it beats its interval.",
    "I compare with trivial rankers offline, then in an A/B test, and hand on a decision with its interval.",
    "I answer in time at full load, with a canary, a fallback for each failure and a way back.",
    "I watch inputs, scores and latency, page an owner, and make the next retrain one command.",
)


def reference(variant: Variant) -> Typed:
    """The seven, each with a sentence; things and mistakes where they belong."""
    key = variant.key
    return Typed(
        {
            "steps": [f"{step.name}: {said}" for step, said in zip(STEPS, SAID, strict=True)],
            "placed": [{"item": item, "step": str(step)} for item, step in key["steps"].items()],
            "skipped": str(key["skipped"]),
            "swapped": [str(step) for step in key["swapped"]],
        }
    )


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, key = dict(reference(variant).values), variant.key
    names = list(right["steps"])
    early = [*names[:3], names[4], names[3], *names[5:]]
    straight = [names[0], *names[2:], "Launch review: everybody agrees."]
    others = [str(step.number) for step in STEPS if step.number not in (key["skipped"], *key["swapped"])]

    def changed(row: str, says: str, **more: Any) -> Typed:
        return Typed(right | more, row=row, says=says)

    later = [row | {"step": str(int(row["step"]) % 7 + 1)} for row in right["placed"]]
    model = [row | {"step": "4"} for row in right["placed"]]
    return {
        "evaluation_before_the_model": changed("steps", "5 of 7 stand in their place", steps=early),
        "straight_to_the_data": changed("steps", "names step 3", steps=straight),
        "six_steps": changed("steps", "you named 6 steps", steps=names[:1] + names[2:]),
        "all_of_it_is_the_model": changed("placed", "put to step 4", placed=model),
        "one_off_because_counting_starts_late": changed("placed", "belongs to:", placed=later),
        "the_first_of_the_pair_is_missing": changed("repaired", "was not left out", skipped=right["swapped"][0],
                                                    swapped=others[:2]),
        "sees_the_gap_only": changed("repaired", "neither of the two", swapped=others[:2]),
    }  # fmt: skip


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 has names for most; E5 has the order, and slips; E6 says why each step is there."""
    right = dict(reference(variant).values)
    names = ["Requirements", "Problem framing", "Data", "Model", "Evaluation", "Serving", "Monitoring"]
    plain = ["ask about scale and latency", "choose input, label and objective for the ranking",
             "collect, check and join the log into features", "train a baseline, then boosted trees",
             "AUC offline, then an A/B test", "an endpoint with a cache, rolled out to few people first",
             "dashboards and alerts on drift, and a nightly retrain"]  # fmt: skip
    slips = [row | {"step": "4" if row["step"] != "4" else "5"} for row in right["placed"][:2]]
    short = [*names[:3], "Training", "Tuning", "Deployment", "Monitoring"]
    weak = {"steps": [f"{name}: we do it well" for name in short], "placed": slips}
    names[4] = "Numbers"
    fair = {"steps": [f"{name}: {said}" for name, said in zip(names, plain, strict=True)],
            "placed": [*slips, *right["placed"][2:]]}  # fmt: skip
    return {
        "E4": Typed(right | weak, human={"sentences": 0}),
        "E5": Typed(right | fair, human={"sentences": 2}),
        "E6": Typed(right, human={"sentences": 3}),
    }
