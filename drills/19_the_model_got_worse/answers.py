"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

drill = load(Path(__file__).with_name("drill.py"))

RIVAL = {"rows": "labels", "labels": "rows", "features": "people", "server": "people", "people": "server"}
REFLEX = {"rows": "keep", "labels": "keep", "features": "keep", "server": "keep", "people": "roll_back"}
QUESTIONS = ("What did the gate compare the version with?",)


def reference(variant: Variant) -> Typed:
    """Two ratios by day, five readings, and the arm that goes on."""
    key = variant.key
    link, first, action = key["link"], key["first"], drill.HELPS[key["link"]]
    names = [link, RIVAL[link], next(name for name in drill.HELPS if name not in (link, RIVAL[link]))]
    found = [(name, *drill.readings(variant, first)[name]) for name in names]
    values = {
        "link": link,
        "first_day": first,
        "readings": [{"link": name, "before": round(b, 3), "since": round(s, 3)} for name, b, s in found],
        "action": action,
        "tomorrow": _about(key["tomorrow"][action], 0.1),
        "told": f"Since day {first} it is {link}; {RIVAL[link]} would have moved another reading. Tonight: {action}. "
        "The gate compared the version with nothing: from now on it is held against yesterday's, on served traffic.",
    }
    return Typed(values, questions=QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, tomorrow = reference(variant).values, variant.key["tomorrow"]
    link, first = variant.key["link"], variant.key["first"]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed({**right, **values}, QUESTIONS, row=row, says=says)

    swapped = [{**row, "before": row["since"] + 5, "since": row["before"] + 9} for row in right["readings"]]
    reflex = REFLEX[link]
    held = _about(tomorrow[reflex], 0.1)
    return {
        "the_nearest_rival": changed("found", f"Not {RIVAL[link]}", link=RIVAL[link]),
        "noticed_late": changed("since", "too late", first_day=7)
        if first < 6
        else changed("since", "too early", first_day=2),
        "by_eye": changed("proof", "does not read", readings=swapped),
        "the_reflex": changed("action", "Something else is at", action=reflex, tomorrow=held),
        "hopes": changed("price", "missed", tomorrow=_about(1.5 * tomorrow[right["action"]], 0.1)),
        "anything": changed("price", "wide", tomorrow=[0.1, 9]),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 takes the rival; E5 is a day off; E6 reads all of it."""
    right, truth = reference(variant).values, variant.key["tomorrow"][drill.HELPS[variant.key["link"]]]
    link, first = variant.key["link"], variant.key["first"]
    junior = {"link": RIVAL[link], "first_day": 7 if first < 6 else 3, "action": REFLEX[link], "tomorrow": [0.1, 9]}
    senior = {"first_day": first + 1, "readings": right["readings"][:2], "tomorrow": _about(truth, 0.22)}
    return {
        "E4": Typed({**right, **junior}, human={"told": 0}),
        "E5": Typed({**right, **senior}, QUESTIONS, human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }


def _about(likes: float, share: float) -> list[float]:
    return [round(likes * (1 - share), 2), round(likes * (1 + share), 2)]
