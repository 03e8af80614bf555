"""What proves the checks: a reference by paper, the slips that people make, and one answer per level."""

from __future__ import annotations

import math
from typing import Any

from mlsys.drills import Typed, Variant

METRICS = ("likes", "sessions", "dislikes")


def half(variant: Variant, name: str) -> float:
    """Half a width, in percent."""
    f = variant.shown
    return 196 * f[f"sd_{name}"] / f[f"mean_{name}"] * math.sqrt(1 / f["control"] + 1 / f["treatment"])


def effects(variant: Variant, *, narrow: float = 1, bound: float = 1) -> list[dict[str, Any]]:
    """Intervals, and where they turn."""
    f, found = variant.shown, []
    for name in METRICS:
        x, h = f[f"change_{name}"], half(variant, name)
        floor = f["floor_likes"] if name == "likes" else -f[f"floor_{name}"]
        turn = (-1 if name == "dislikes" else 1) * (floor + bound * h)
        found.append({"metric": name, "low": x - narrow * h, "high": x + narrow * h, "ships_from": turn})
    return found


def reference(variant: Variant) -> Typed:
    """From the page alone."""
    f, speaks = variant.shown, {}
    for one in effects(variant):
        name = one["metric"]
        sign = -1 if name == "dislikes" else 1
        gap, h = sign * (f[f"change_{name}"] - one["ships_from"]), half(variant, name)
        speaks[name] = "ship" if gap >= 0 else "roll_back" if gap < -2 * h else "hold"
    action = next((one for one in ("roll_back", "hold") if one in speaks.values()), "ship")
    because = next((name for name in METRICS if speaks[name] == action), "") if action != "ship" else "all_clear"
    users, share = f["control"] + f["treatment"], f["percent"] / 100
    if abs(f["treatment"] - share * users) > 3.3 * math.sqrt(users * share * (1 - share)):
        action, because = "hold", "sample_ratio"
    elif abs(f["change_before"]) > 3.3 / 1.96 * half(variant, "before"):
        action, because = "hold", "week_before"
    size = (2.8 * 100 * f["sd_dislikes"] / f["floor_dislikes"] / f["mean_dislikes"]) ** 2 / share / (1 - share)
    told = f"Tonight: {action}, decided by {because}. The page gives the estimate at which that turns."
    return Typed({"effects": effects(variant), "action": action, "because": because, "users": size, "told": told})


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right = reference(variant).values

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    eager = (
        {"action": "hold", "because": "likes"}
        if right["action"] == "ship"
        else {"action": "ship", "because": "all_clear"}
    )
    arm = variant.shown["percent"] / 100
    return {
        "one_error_wide": changed("readings", "Wrong or missing", effects=effects(variant, narrow=0.5)),
        "the_other_way": changed("decision", "Not ", **eager),
        "the_bound_itself": changed("turns", "the end of the interval", effects=effects(variant, bound=0)),
        "a_coin_for_power": changed("size", "too few", users=right["users"] * (1.96 / 2.8) ** 2),
        "forgets_control": changed("size", "too few", users=right["users"] * arm * (1 - arm)),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 ships what is up, or fears what is harmless; E5 calculates roughly; E6 all of it."""
    right = reference(variant).values
    junior = wrong(variant)["the_other_way"].values | {"effects": effects(variant, bound=0)}
    senior = right | {"effects": effects(variant, narrow=0.84, bound=0.84), "users": 1.2 * right["users"]}
    return {
        "E4": Typed(junior, human={"told": 1}),
        "E5": Typed(senior, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
