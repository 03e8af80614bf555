"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

STORES = ("A", "B", "C")
RIVAL = {"loses_rows": "ignores_ttl", "ignores_ttl": "loses_rows", "ignores_arrival": "sees_its_instant",
         "sees_its_instant": "ignores_arrival", "counts_repeats": "window_by_arrival", "a_day_old": "ignores_ttl",
         "window_by_arrival": "ignores_arrival", "rounds_down": "a_day_old"}  # fmt: skip
QUESTIONS = ("What does serving know at that instant?", "Can an event be delivered twice?")


def reference(variant: Variant) -> Typed:
    """A join of one's own, and a comparison by label."""
    key = variant.key
    values = {
        "defects": [{"store": store, "defect": key["defects"][store]} for store in STORES],
        "proof": [_shown(variant, store) for store in STORES],
        "wrong_rows": [{"store": store, "rows": len(key["wrong"][store])} for store in STORES],
        "leaks": list(key["leaks"]) or ["none"],
        "told": "Your store gets rows wrong that nobody sees in the mean. Training learns from values that serving "
        "will not have; after the repair the offline AUC falls to what you measure online, and tomorrow shows it.",
    }
    return Typed(values, questions=QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, reference(variant).values
    labels = [label for label in key["right"] if label not in key["wrong"]["A"] and label not in key["wrong"]["B"]]
    healthy = [{"store": s, "label": labels[0], "right": 1} for s in ("A", "B")] + [right["proof"][2]]
    copied = [{**row, "right": 99} for row in right["proof"]]
    not_lost = [{**row, "rows": row["rows"] + 1} for row in right["wrong_rows"]]
    everyone = list(STORES) if len(key["leaks"]) < 2 else ["none"]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed({**right, **values}, QUESTIONS, row=row, says=says)

    rivals = [{**row, "defect": RIVAL[row["defect"]]} for row in right["defects"]]
    return {
        "the_rival_that_fits_most_rows": changed(
            "defects", "has to give the store's answer on every row", defects=rivals
        ),
        "rows_that_are_right": changed("proof", f"is right on label {labels[0]}", proof=healthy),
        "knows_that_it_is_wrong_only": changed("proof", "does not belong there either", proof=copied),
        "counts_by_eye": changed("extent", "Join it yourself", wrong_rows=not_lost),
        "every_defect_is_a_leak": changed("leaks", "leaks nothing", leaks=everyone)
        if everyone != ["none"]
        else changed("leaks", "answers from events that", leaks=everyone),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 eyes it; E5 finds two of three; E6 joins it."""
    right = reference(variant).values
    junior = {
        "defects": [right["defects"][0], *({**row, "defect": RIVAL[row["defect"]]} for row in right["defects"][1:])],
        "proof": right["proof"][:1],
        "wrong_rows": [{"store": store, "rows": 20} for store in STORES],
        "leaks": list(STORES) if len(variant.key["leaks"]) < 2 else ["none"],
        "told": "The join is wrong.",
    }
    senior = {
        "defects": [*right["defects"][:2], {**right["defects"][2], "defect": RIVAL[right["defects"][2]["defect"]]}],
        "proof": right["proof"][:2],
        "wrong_rows": [*right["wrong_rows"][:2], {"store": "C", "rows": 1}],
    }
    return {
        "E4": Typed(junior, human={"told": 0}),
        "E5": Typed({**right, **senior}, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }


def _shown(variant: Variant, store: str) -> dict[str, Any]:
    label = variant.key["wrong"][store][0]
    return {"store": store, "label": label, "right": variant.key["right"][label]}
