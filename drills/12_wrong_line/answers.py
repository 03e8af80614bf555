"""What proves the checks: a reference that compares two tables, and what people say who look at likes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

drill = load(Path(__file__).with_name("drill.py"))
ASKS, COLUMNS = drill.ASKS, drill.COLUMNS
OTHER = {"north": "south", "south": "north"}
QUESTIONS = ("How much does a healthy day vary?", "Is what was logged what people gave?")


def reference(variant: Variant) -> Typed:
    """The line, two suspects by a column each, the effect, and a condition halfway between bad days and healthy."""
    key = variant.key
    pairs: list[dict[str, str]] = []
    for name in sorted(key["rivals"], key=lambda name: name not in key["near"]):
        taken = {pair["column"] for pair in pairs}
        apart = {c: abs(far - key["here"][c]) for c, far in key["rivals"][name].items()
                 if drill._verdict(far, key["here"][c]) == "differs" and c not in taken}  # fmt: skip
        if apart:
            pairs.append({"rival": name, "column": max(apart, key=lambda c: apart[c])})
    column, when, value = _wire(variant)
    return Typed(
        {
            "where": key["where"],
            "first": key["first"],
            "line": key["line"],
            "question": ASKS[key["line"]],
            "ruled_out": pairs[:2],
            "effect": [key["effect"] - 4, key["effect"] + 4],
            "trip_column": column,
            "trip_when": when,
            "trip_value": value,
            "told": "One line of the spec does not hold in one market. Here is since when, what it does, the number "
            "that would have told us; the next spec asks for it, or writes the number beside the line.",
        },
        questions=QUESTIONS,
    )


def _wire(variant: Variant) -> tuple[str, str, float]:
    """The condition with the widest gap between the healthy days and the first day on which it can be seen."""
    key, found = variant.key, []
    sick, other = variant.tables[key["where"]], variant.tables[OTHER[key["where"]]]
    for name in COLUMNS:
        healthy = np.concatenate([other[name], sick[name][: key["first"] - 1], key["unseen"][name]])
        bad, low, high = float(sick[name][key["seen"] - 1]), healthy.min(), healthy.max()
        found.append(((bad - high) / (high - low), name, "above", float((bad + high) / 2)))
        found.append(((low - bad) / (high - low), name, "below", float((bad + low) / 2)))
    return max(found)[1:]


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, dict(reference(variant).values)

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, QUESTIONS, row=row, says=says)

    suspect = next(iter(key["near"]), "slots" if key["line"] != "slots" else "time")
    same = [{"rival": name, "column": column} for name in key["rivals"] for column in COLUMNS
            if drill._verdict(key["rivals"][name][column], key["here"][column]) == "same"]  # fmt: skip
    later = key["first"] + 5 if key["first"] < 6 else key["first"] - 3
    away = key["effect"] + (20 if key["effect"] < 0 else -20)
    return {
        "the_healthy_market": changed("found", "is noise", where=OTHER[key["where"]]),
        "when_somebody_noticed": changed("found", "it is, but", first=later),
        "the_nearest_suspect": changed("line", "would be", line=suspect, question=ASKS[suspect]),
        "columns_that_say_nothing": changed("rivals", "would look as it does here", ruled_out=same[:2]),
        "one_suspect": changed("rivals", "it takes two rivals", ruled_out=right["ruled_out"][:1]),
        "the_wrong_way_round": changed("effect", "missed", effect=[away - 4, away + 4]),
        "a_shrug": changed("effect", "points are wide", effect=[-60, 60]),
        "never": changed("tripwire", "never fires", trip_value=1e6 if right["trip_when"] == "above" else -1e6),
        "always": changed("tripwire", "people believe", trip_value=-1e6 if right["trip_when"] == "above" else 1e6),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 sees likes fall; E5 has the line and a shaky day; E6 has it all."""
    key, right = variant.key, dict(reference(variant).values)
    junior = {
        "line": "time" if key["line"] != "time" else "slots",
        "effect": [-60, 60],
        "ruled_out": right["ruled_out"][:1],
    }
    wide = {"effect": [key["effect"] - 7, key["effect"] + 7], "question": "how_many"}
    slow = {"first": key["first"] + (3 if key["line"] == "returns" else 1)}
    return {
        "E4": Typed(right | junior, human={"told": 0}),
        "E5": Typed(right | wide | slow, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }
