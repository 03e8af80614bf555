"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

drill = load(Path(__file__).with_name("drill.py"))

ACTION = {"views_as_likes": "set_aside", "taps_lost": "set_aside", "repeats_same_id": "dedupe_id",
          "repeats_new_id": "dedupe_content", "other_zone": "convert", "other_unit": "convert", "queue": "nothing",
          "taps_under_way": "wait", "new_people": "nothing", "better_feed": "nothing"}  # fmt: skip
RIVAL = {"views_as_likes": "better_feed", "better_feed": "views_as_likes", "taps_lost": "taps_under_way",
         "taps_under_way": "taps_lost", "repeats_same_id": "new_people", "repeats_new_id": "new_people",
         "new_people": "repeats_new_id", "other_zone": "queue", "queue": "other_zone",
         "other_unit": "queue"}  # fmt: skip
ESTIMATED = {"views_as_likes": 0.15, "taps_lost": 0.15, "taps_under_way": 0.4}
QUESTIONS = ("How much does a healthy day vary?", "How does training use a row without an action?")


def reference(variant: Variant) -> Typed:
    """Five small tables by device and day of arrival, then a count."""
    key = variant.key
    first, where, what = key["first_day"], key["slice"], key["event"]
    reach = ESTIMATED.get(what, 0.01) * key["touched"] + 2
    values = {
        "what": what,
        "slice": where,
        "first_day": first,
        "touched": [max(0, round(key["touched"] - reach)), round(key["touched"] + reach)],
        **_counted(variant, ACTION[what], where, first),
        "told": f"Since day {first}: {what} on {where}, about {key['touched']} rows; it is not {RIVAL[what]}, that "
        f"reading stands still. Tonight: {ACTION[what]}; holding would have thrown away every row since day {first}. "
        "The owner of the source mends it, and a check of this reading by device and day pages from tomorrow on.",
    }
    return Typed(values, questions=QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, reference(variant).values
    first, where, what = key["first_day"], key["slice"], key["event"]
    honest = ACTION[what] == "nothing"
    bad = "hold" if honest or what == "taps_under_way" else "nothing"
    told = "are right" if bad == "hold" else "wrong rows as right ones"

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed({**right, **values}, QUESTIONS, row=row, says=says)

    high = right["touched"][1]
    return {
        "the_nearest_rival": changed("found", f"not {RIVAL[what]}", what=RIVAL[what]),
        "the_last_day": changed("since", "too late", first_day=14, **_counted(variant, ACTION[what], where, 14)),
        "counted_twice": changed("touched", "missed", touched=[high * 2, high * 2 + 9]),
        "anything": changed("touched", "wide", touched=[0, 20_000]),
        "the_reflex": changed("action", told, **_counted(variant, bad, where, first)),
        "deleted_by_eye": changed("price", "off for your action and holding", left=right["left"] - 40,
                                  left_if_held=right["left_if_held"] + 40),
    }  # fmt: skip


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 takes the nearest rival and holds; E5 is a day off and safe; E6 counts."""
    key, right = variant.key, reference(variant).values
    first, where, what, n = key["first_day"], key["slice"], key["event"], key["touched"]
    junior = {"what": RIVAL[what], "first_day": 14, "touched": [0, 20_000], "told": "The batch looks bad, we hold it."}
    share, more = (0.65 if what == "taps_under_way" else 0.3, 6) if what in ESTIMATED else (0.06, 12)
    senior = {
        "first_day": first + 1,
        "touched": [round(n * (1 - share)), round(n * (1 + share)) + more],
        **_counted(variant, right["action"], where, first + 1),
        "told": f"It is {what} on {where} since about day {first + 1}, some {n} rows. Tonight we do {right['action']}.",
    }
    senior |= {"left_if_held": senior["left_if_held"] + 500}
    return {
        "E4": Typed({**right, **junior}, human={"told": 1}),
        "E5": Typed({**right, **senior}, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }


def _counted(variant: Variant, action: str, where: str, first: int) -> dict[str, Any]:
    """An action and the two counts that belong to it."""
    left, held = (drill.rows_left(variant, one, where, first) for one in (action, "hold"))
    return {"action": action, "left": left, "left_if_held": held}
