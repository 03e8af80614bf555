"""What proves the checks: a reference that has read the rows, and what people say who look at one number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

drill = load(Path(__file__).with_name("drill.py"))
COLUMNS = drill.COLUMNS
QUESTIONS = ("How much noise is in a day?", "Which rows and label are behind the report?")


def reference(variant: Variant) -> Typed:
    """The cause, every rival by the column that tells most, days to come like the last, what tells, the mend."""
    key, tables = variant.key, variant.tables
    old, new = (drill.twins.value(tables[name], variant.shown["price"]) for name in ("old", "new"))
    guess = drill.twins.forecast(old, new)
    pairs: list[dict[str, str]] = []
    for name, found in key["verdicts"].items():
        apart = {one: abs(key["rivals"][name][one] - key["here"][one]) / key["was"][one] for one in COLUMNS
                 if found[one] == "differs"}  # fmt: skip
        new_ones = [one for one in apart if one not in {pair["column"] for pair in pairs}] or list(apart)
        if apart:
            pairs.append({"rival": name, "column": max(new_ones, key=lambda one: apart[one])})
    return Typed(
        {
            "cause": key["cause"],
            "yes": round(key["yes"], 1),
            "ruled_out": pairs,
            "effect": [round(guess - 3.9, 2), round(guess + 3.9, 2)],
            "tells": [name for name, z in key["ahead"].items() if z > 0 and name != "report"],
            "mend": max(key["regained"], key=lambda name: key["regained"][name]),
            "idle": list(key["idle"]),
            "told": "The AUC rose because it answers another question. Here is what the feed did with it, in value; "
            "the gate now asks for the discounted value of a session, with the inputs of the server.",
        },
        questions=QUESTIONS,
    )


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, dict(reference(variant).values)

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, QUESTIONS, row=row, says=says)

    rivals = right["ruled_out"]
    suspect = next(name for name in drill.CAUSES if name != key["cause"])
    same = [{"rival": name, "column": one} for name, found in key["verdicts"].items() for one in COLUMNS
            if found[one] == "same"]  # fmt: skip
    prices = {} if key["cause"] != "slot" else {"wants_the_prices": changed("mend", "brings more", mend="add_prices")}
    return prices | {
        "another_suspect": changed("cause", "were it", cause=suspect),
        "columns_that_say_nothing": changed("rivals", "would look about as", ruled_out=same[:2]),
        "one_suspect": changed("rivals", "it takes three rivals", ruled_out=rivals[:1]),
        "rules_out_the_cause": changed("rivals", "nothing rules out", ruled_out=[
            *rivals[:2], {"rival": key["cause"], "column": "likes"}]),
        "trusts_the_auc": changed("effect", "missed", effect=[2, 8]),
        "a_shrug": changed("effect", "points are wide", effect=[-250, 50]),
        "reports_again": changed("measure", "puts the new one ahead", tells=["report", *right["tells"]]),
        "likes_alone_again": changed("measure", "more would have told", tells=["auc_likes", "session_likes"]),
        "calibrates": changed("mend", "moves no post", mend="calibrate"),
        "newest_first": changed("mend", "something else brings more", mend="newest_first"),
        "thinks_centring_helps": changed("mend", "does not change the order", idle=["newest_first"]),
    }  # fmt: skip


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 trusts the AUC; E5 has the cause, and less sure numbers; E6 has it all."""
    key, right = variant.key, dict(reference(variant).values)
    low, high = right["effect"]
    other = next(name for name in drill.CAUSES if name != key["cause"])
    junior = {"cause": other, "tells": ["report"], "mend": "calibrate"}
    wide = {"effect": [low - 3, high + 3], "yes": (key["yes"] + 10) % 100, "idle": right["idle"][:-1]}
    return {
        "E4": Typed(right | junior, human={"told": 0}),
        "E5": Typed(right | wide, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }
