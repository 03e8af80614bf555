"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

QUESTIONS = ("How late do the rows arrive?", "Was the split random or by time?")
PLAIN_WORDS = (
    "One of the numbers the model learned from already contains whether the user liked this very post. "
    "When we serve, nobody has liked anything yet, so the promised accuracy is not there: we launch the clean model."
)


def reference(variant: Variant) -> Typed:
    """By reading which rows each definition takes, and one refit without the leaks."""
    key = variant.key
    rows = [_row(name, how, "drop" if name in key["empty"] else "as_of_arrival") for name, how in key["leaks"].items()]
    values = {
        "leaks": rows,
        "auc_left": _around(key["left"], 0.015),
        "first_check": "served_against_trained",
        "shuffle_flags": [name for name, how in key["leaks"].items() if how == "own_label"],
        "explain": PLAIN_WORDS,
    }
    return Typed(values, questions=QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, reference(variant).values
    rows: list[dict[str, str]] = right["leaks"]
    by_auc = [row for row in rows if row["feature"] in key["top"]]
    by_auc += [_row(name, "own_label", "drop") for name in key["top"] if name not in key["leaks"]]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed({**right, **values}, QUESTIONS, row=row, says=says)

    return {
        "takes_the_best_for_leaks": changed("found", "is honest", leaks=by_auc),
        "too_good_to_be_true": changed(
            "mechanisms", "is not too_strong", leaks=[{**row, "mechanism": "too_strong"} for row in rows]
        ),
        "believes_the_report": changed("left", "missed", auc_left=_around(key["reported"], 0.015)),
        "anything_above_chance": changed("left", "too wide", auc_left=[0.5, 0.8]),
        "leaves_the_own_row_out": changed(
            "repair", "leave_own_row_out leaves", leaks=[{**row, "repair": "leave_own_row_out"} for row in rows]
        ),
        "forgets_arrival": changed(
            "repair", "by_event_time leaves", leaks=[{**row, "repair": "by_event_time"} for row in rows]
        ),
        "looks_at_auc": changed("detection", "auc_alone flags", first_check="auc_alone"),
        "shuffle_sees_all": changed(
            "detection", "Shuffled labels: wrong about", first_check="shuffled_labels", shuffle_flags=list(key["leaks"])
        ),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 hunts by AUC; E5 closes all leaks by dropping, and one honest feature with them; E6 is exact."""
    key, right = variant.key, reference(variant).values
    accused = next(name for name in key["top"] if name not in key["leaks"])
    quiet = next(name for name, how in key["leaks"].items() if how != "own_label")
    junior = {
        "leaks": [_row(name, "too_strong", "drop") for name in key["top"]],
        "auc_left": _around(key["reported"] - 0.02, 0.02),
        "first_check": "auc_alone",
        "shuffle_flags": list(key["top"]),
        "explain": "The AUC is too high, some features are suspicious.",
    }
    senior = {
        "leaks": [{**row, "repair": "drop"} for row in right["leaks"]] + [_row(accused, "own_label", "drop")],
        "auc_left": _around(key["left"] + 0.01, 0.04),
        "shuffle_flags": [*right["shuffle_flags"], quiet],
        "explain": "The feature counts likes that come in after the post was shown. Serving will not have them.",
    }
    return {
        "E4": Typed(junior, human={"told": 1}),
        "E5": Typed({**right, **senior}, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }


def _row(feature: str, mechanism: str, repair: str) -> dict[str, str]:
    return {"feature": feature, "mechanism": mechanism, "repair": repair}


def _around(value: float, reach: float) -> list[float]:
    return [round(value - reach, 3), round(value + reach, 3)]
