"""What proves the checks: a reference that computes all eight figures, and reviews that skip one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

drill = load(Path(__file__).with_name("drill.py"))
QUESTIONS = ("Was every feed shuffled?", "How sure do I have to be about noise?")


def reference(variant: Variant) -> Typed:
    """The three, their figures, and the figures of all others."""
    key = variant.key
    sound = [name for name in drill.STATEMENTS if name not in key["wrong"]]
    return Typed(
        {
            "wrong": list(key["wrong"]),
            "figures": _rows(variant, key["wrong"]),
            "cleared": _rows(variant, sound),
            "told": "Three statements do not hold; here is the figure of each, and what it would have done: two change "
            "numbers only, one the order. The others may stay as they are. Measure the figure before you build.",
        },
        questions=QUESTIONS,
    )


def _rows(variant: Variant, names: Any, scale: float = 1.0) -> list[dict[str, Any]]:
    return [{"statement": name, "figure": round(scale * variant.key["figures"][name], 2)} for name in names]


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, dict(reference(variant).values)
    sound = [name for name in drill.STATEMENTS if name not in key["wrong"]]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, QUESTIONS, row=row, says=says)

    return {
        "what_sounds_wrong": changed("wrong", "bear out", wrong=[key["wrong"][0], *sound[:2]]),
        "the_first_one": changed("wrong", "left standing", wrong=[key["wrong"][0]]),
        "everything_is_wrong": changed("wrong", "bear out", wrong=list(drill.STATEMENTS)),
        "of_all_rows": changed("figures", "the tables say", figures=_rows(variant, key["wrong"], 1.4)),
        "corrects_everything": changed("figures", "corrects nothing", figures=_rows(variant, drill.STATEMENTS)),
        "looks_fine": changed("cleared", "contradict it", cleared=_rows(variant, [*sound[:2], key["wrong"][0]])),
        "by_eye": changed("cleared", "you have", cleared=_rows(variant, sound, 0.7)),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 goes by what sounds wrong; E5 misses one; E6 has computed all eight."""
    key, right = variant.key, dict(reference(variant).values)
    sound = [name for name in drill.STATEMENTS if name not in key["wrong"]]
    some = {"wrong": list(key["wrong"][:2]), "figures": right["figures"][:2], "cleared": right["cleared"][:2]}
    return {
        "E4": Typed(right | {"wrong": sound[:3], "figures": [], "cleared": []}, human={"told": 1}),
        "E5": Typed(right | some, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }
