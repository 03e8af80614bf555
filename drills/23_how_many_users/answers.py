"""What proves the checks: a reference by paper, and the slips that people make."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

DAYS = (1, 3, 7, 14, 28)
FINDS = {4: 12.6, 5: 14.2, 7: 16.7, 10: 19.3, 14: 21.9, 20: 24.8, 28: 27.3}
"""Percent of tests of nothing that a look finds, by looks at equal steps."""


def reference(variant: Variant) -> Typed:
    """From the prompt alone."""
    f = variant.shown
    users = 4 * (2.8 * 100 * f["sd"] / f["lift"] / f["mean"]) ** 2
    less = users * (1 - f["correlation"] ** 2 * (1 - f["newcomers"] / 100))
    clustered = users * (1 + (f["size"] - 1) * f["between"] / 100)
    finds = FINDS[f["looks"]]
    return Typed(
        {
            "users": [0.6 * users, 1.6 * users],
            "cuped": less, "days": _first(variant, users), "days_cuped": _first(variant, less),
            "clustered": clustered, "markets_find": f["lift"] * (clustered / f["size"] / f["markets"]) ** 0.5,
            "false_finds": [round(0.75 * finds, 1), round(1.4 * finds, 1)], "times": ((f["z"] + 0.84) / 2.8) ** 2,
            "told": "So many users until that day; with the week before, fewer and sooner. Looking early finds what is "
            "not there, unless every look pays for it. By market it takes many times as many.",
        }
    )  # fmt: skip


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, f = reference(variant).values, variant.shown
    low, high = right["users"]
    users, share = low / 0.6, f["correlation"]
    every = f["size"] * f["markets"]
    apart = 100 * (1 - 0.95 ** f["looks"])

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    other = next(day for day in ("7", "28", "never") if day not in (right["days"], right["days_cuped"]))
    return {
        "one_arm_of_rows": changed("size", "missed", users=[low / 20, high / 20]),
        "everybody_has_a_past": changed("cuped", "are too few", cuped=users * (1 - share**2)),
        "not_squared": changed("cuped", "are too few", cuped=users * (1 - share)),
        "by_eye": changed("cuped", "days_cuped is not", days_cuped=other),
        "users_are_users": changed("clusters", "clustered", clustered=users),
        "many_users_help": changed("clusters", "markets_find", markets_find=f["lift"] * (users / every) ** 0.5),
        "one_look": changed("looks", "every look is another chance", false_finds=[4.5, 5.5]),
        "looks_apart": changed("looks", "sees all users", false_finds=[0.95 * apart, min(1.05 * apart, 100)]),
        "as_many_times": changed("looks", "too much", times=float(f["looks"])),
    }


def _first(variant: Variant, users: float) -> str:
    return next((str(day) for day in DAYS if variant.shown[f"day_{day}"] >= users), "never")
