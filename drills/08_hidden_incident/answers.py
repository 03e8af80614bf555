"""What proves the checks: a reference, and the wrong answers that people give."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mlsys.drills import Typed, Variant

ACTION = {
    "lost_actions": "quarantine_platform",
    "unit_change": "mask_input",
    "interests_moved": "shorten_window",
    "features_not_refreshed": "restart_materialization",
    "wrong_model_served": "roll_back",
    "store_down": "fail_over_store",
}


def boards(variant: Variant) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The numbers of the sick system and of the control, by day."""
    tables = variant.tables
    both = {name: tables[f"{name}_health"].merge(tables[f"{name}_drift"], on="day").set_index("day") for name in "AB"}
    ill = both.pop(variant.key["sick"]).select_dtypes("number")
    return ill, both.popitem()[1][ill.columns]


def page(variant: Variant) -> dict[str, Any]:
    """The column that the cause moves first, and a limit nearer to the first bad day than to any healthy one: other
    healthy days may go a little further."""
    ill, control = boards(variant)
    name, first = variant.key["onset"], variant.key["first_day"]
    healthy, bad = pd.concat([ill.loc[: first - 1], control])[name], float(ill.loc[first, name])
    above = bad - healthy.max() >= healthy.min() - bad
    edge = float(healthy.max() if above else healthy.min())
    return {"column": name, "when": "above" if above else "below", "value": 0.25 * edge + 0.75 * bad}


def excluded(variant: Variant) -> list[dict[str, str]]:
    """Rivals that explain something, each with a column that they move, and that is quiet."""
    runs = variant.key["rivals"].items()
    return [{"rival": rival, "column": run["quiet"][0]} for rival, run in runs if run["moved"] and run["quiet"]]


def reference(variant: Variant) -> Typed:
    """What the run says, with an interval as wide as ten days of noise are."""
    key, alarm = variant.key, page(variant)
    middle, sick, cause = round(key["cost"]), key["sick"], key["cause"]
    values = {"sick": sick, "first_day": key["first_day"], "cause": cause, "ruled_out": excluded(variant)[:3]}
    values |= {"action": ACTION[cause], "cost": [middle - 5, middle + 5], "page": [alarm]}
    values["report"] = (
        f"Since day {key['first_day']} people on system {sick} give about {middle} % less likes, plus or minus 5; the "
        f"other system is healthy. It is {cause}: its rivals would have moved columns that stand still. We start with "
        f"{ACTION[cause]} now; if {alarm['column']} is not back in its range tomorrow morning, I was wrong."
    )
    return Typed(values, questions=["How much do healthy days vary?", "How old may a feature value get?"])


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    values, key = reference(variant).values, variant.key
    ill, _ = boards(variant)
    usual, middle = float(ill["likes"].iloc[:4].median()), round(key["cost"])
    rival = next(name for name in ACTION if name != key["cause"])
    moved = [{"rival": one["rival"], "column": key["rivals"][one["rival"]]["moved"][0]} for one in values["ruled_out"]]

    def but(row: str, says: str, **changes: object) -> Typed:
        return Typed(values | changes, row=row, says=says)

    return {
        "took_noise_for_it": but("found", "took noise for it", sick="B" if key["sick"] == "A" else "A"),
        "the_last_day": but("found", "too late", first_day=10),
        "another_cause": but("cause", f"a run with {rival}", cause=rival),
        "training": but("cause", "a run with bad_training", cause="bad_training"),
        "what_moved": but("rivals", "in the sick system too", ruled_out=moved),
        "nobody_asked": but("rivals", "0 rivals", ruled_out=[{"rival": key["cause"], "column": "late"}]),
        "act_on_the_symptom": but(
            "action", "leaves the cause", action="roll_back" if key["cause"] == "interests_moved" else "shorten_window"
        ),
        "a_loss_doubled": but("cost", "missed", cost=[middle + 8, middle + 16]),
        "anything": but("cost", "wide", cost=[-50, 100]),
        "pages_all_the_time": but(
            "page", "false alarms,", page=[{"column": "likes", "when": "below", "value": usual + 1}]
        ),
        "never_pages": but("page", "no page", page=[{"column": "held", "when": "above", "value": 1e6}]),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """Answers at the three levels, with what a human gave their report."""
    values, key = dict(reference(variant).values), variant.key
    middle = round(key["cost"])
    e4 = values | {
        "cause": "bad_training",
        "ruled_out": [],
        "action": "wait",
        "report": "Several columns drifted. It looks like a bad model. We retrain tonight and watch.",
    }
    e5 = values | {
        "first_day": key["first_day"] + 1,
        "ruled_out": values["ruled_out"][:2],
        "cost": [middle - 8, middle + 8],
        "report": f"System {key['sick']} loses about {middle} % of its likes. The cause is {key['cause']}. "
        f"We start with {values['action']}.",
    }
    return {
        "E4": Typed(e4, human={"report": 1}),
        "E5": Typed(e5, human={"report": 2}),
        "E6": Typed(values, human={"report": 3}),
    }
