"""What proves the checks: a review in which everything was run, and reviews that go by the look of a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

drill = load(Path(__file__).with_name("drill.py"))
TOLD = (
    "First what anybody can misuse from outside, then what gives people wrong answers, then what fails with the store. "
    "The one that pages first is the one that turns a slow store into errors; most of the six page nobody."
)


def reference(variant: Variant) -> Typed:
    """Six with a line and a probe each, four that were suspected and are not there, and what codes tell."""
    key = variant.key
    absent = [kind for kind in drill.KINDS if key["cleared"].get(kind)][:4]
    return Typed(
        {
            "found": [{"defect": kind, "line": lines[len(lines) // 2]} for kind, lines in key["lines"].items()],
            "proofs": _rows(key, key["shown"]),
            "cleared": _rows(key, {kind: key["cleared"][kind] for kind in absent}),
            "seen": list(key["seen"]),
            "told": TOLD,
        }
    )


def _rows(key: Any, shows: dict[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    return [{"defect": kind, "probe": names[0], "figure": key["figures"][names[0]]} for kind, names in shows.items()]


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, dict(reference(variant).values)
    found, proofs, cleared = right["found"], right["proofs"], right["cleared"]
    absent = [row["defect"] for row in cleared]
    other = next(name for name in drill.PROBES if not any(name in names for names in key["shown"].values()))
    quiet = [kind for kind in key["lines"] if kind not in (*key["seen"], *key["either"])]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    would = [row | {"figure": row["figure"] + 3} for row in cleared]
    repaired = [row | {"figure": key["repaired"][row["defect"]][row["probe"]]} for row in proofs]
    return {
        "the_obvious_ones": changed("lines", "left for production", found=found[:3]),
        "by_the_look": changed("lines", "does that right", found=[*found[:4], *_at(absent[:3], 30)]),
        "a_line_is_a_line": changed("lines", "on another line", found=_at([row["defect"] for row in found], 1e3)),
        "as_it_should_be": changed("proofs", "does not read", proofs=repaired),
        "one_test_for_all": changed("proofs", "reads the same with and without",
                                    proofs=[row | {"probe": other} for row in proofs]),
        "shows_what_is_not_there": changed("proofs", "cannot show", proofs=cleared),
        "looks_fine": changed("cleared", "You clear", cleared=[*cleared[:3], proofs[0]]),
        "as_it_would_be": changed("cleared", "does not read", cleared=would),
        "errors_are_seen": changed("seen", "very same codes", seen=list(quiet)),
        "nothing_is_seen": changed("seen", "left out", seen=[quiet[0]]),
    }  # fmt: skip


def _at(kinds: list[str], line: float) -> list[dict[str, Any]]:
    return [{"defect": kind, "line": line} for kind in kinds]


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 names what sounds bad; E5 misses one of each; E6 has run everything."""
    right = dict(reference(variant).values)
    absent = [row["defect"] for row in right["cleared"]]
    some = {"found": right["found"][:5], "proofs": right["proofs"][:4], "cleared": right["cleared"][:3]}
    look = {"found": _at(absent, 40), "proofs": right["cleared"], "seen": absent[:2]}
    return {
        "E4": Typed(right | look, human={"told": 1}),
        "E5": Typed(right | some, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
