"""What proves the checks: a reference by paper, the slips that people make, and one answer per level."""

from __future__ import annotations

import math
from typing import Any

from mlsys.drills import Typed, Variant

METRICS = ("shares", "comments", "follows", "sessions", "minutes", "dislikes", "hides", "reports")


def change(f: dict[str, Any]) -> float:
    """Of likes per session, in percent."""
    return 100 * (f["likes_new"] / f["sessions_new"] / (f["likes_old"] / f["sessions_old"]) - 1)


def half(f: dict[str, Any]) -> float:
    """Half a width, in percent."""
    e, tau = f["error"], f["tau"]
    return e * math.sqrt((1 + (e / tau) ** 2) * (2 * math.log(20) + math.log(1 + (tau / e) ** 2)))


def decided(f: dict[str, Any], reach: float) -> tuple[str, str]:
    """The rule, line by line, at this half width."""
    x, share, users = change(f), f["share"] / 100, f["users_old"] + f["users_new"]
    worse = [f[f"change_{m}"] / f[f"error_{m}"] * (-1 if m in METRICS[:5] else 1) for m in METRICS]
    if f["failed_new"] >= 3 and f["failed_new"] > 0.01 * f["sessions_new"]:
        return "roll_back", "failures"
    if f["ms_new"] > 3 * f["ms_old"]:
        return "roll_back", "latency"
    if abs(f["users_new"] - share * users) > 3.3 * math.sqrt(users * share * (1 - share)):
        return "hold", "sample_ratio"
    if abs(f["visit_0"] - f["visit_2"]) > 3.3 * math.hypot(f["visit_error_0"], f["visit_error_2"]):
        return "hold", "novelty"
    if max(worse) > 2.73:
        return "roll_back", "secondary"
    if x + reach < -f["floor"]:
        return "roll_back", "likes_lost"
    return ("promote", "all_clear") if x - reach > -f["floor"] else ("hold", "interval_too_wide")


def reference(variant: Variant) -> Typed:
    """From the page alone."""
    f: dict[str, Any] = dict(variant.shown)
    x, reach = change(f), half(f)
    action, because = decided(f, reach)
    lost = -x / 100 * f["likes_old"] / f["sessions_old"] * f["sessions_new"]
    told = f"We {action} because of {because}. Likes would speak for more from {reach - f['floor']:.1f} % on."
    return Typed(
        {
            "likes": [x - reach, x + reach],
            "action": action,
            "because": because,
            "promote_from": reach - f["floor"],
            "back_from": -reach - f["floor"],
            "lost": lost,
            "users": f["users_new"] * (2.8 * f["error"] / f["floor"]) ** 2,
            "told": told,
        }
    )


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    f: dict[str, Any] = dict(variant.shown)
    right, x, once = reference(variant).values, change(f), 1.96 * f["error"]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    eager = {"action": "promote", "because": "all_clear"}
    if right["action"] == "promote":
        eager = {"action": "hold", "because": "interval_too_wide"}
    per_session = f["likes_old"] / f["sessions_old"] * f["sessions_new"] / 100
    return {
        "as_if_looked_at_once": changed("reading", "not 1.96 errors", likes=[x - once, x + once]),
        "the_likes_look_fine": changed("decision", "Not ", **eager),
        "the_bound_itself": changed("turns", "the bound, and", promote_from=-f["floor"], back_from=-f["floor"]),
        "the_worst_that_it_may_be": changed("paid", "a gain is below zero", lost=-right["likes"][0] * per_session),
        "a_coin_for_power": changed("size", "too few", users=right["users"] * (1.96 / 2.8) ** 2),
        "both_arms_together": changed("size", "too many", users=right["users"] / f["share"] * 100),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 looks at likes alone; E5 calculates roughly; E6 all of it."""
    f: dict[str, Any] = dict(variant.shown)
    right, reach = reference(variant).values, half(f)
    junior = wrong(variant)["the_likes_look_fine"].values | wrong(variant)["as_if_looked_at_once"].values
    junior |= {name: wrong(variant)["the_likes_look_fine"].values[name] for name in ("action", "because")}
    low, high = right["likes"]
    senior = right | {"likes": [low + 0.2 * reach, high - 0.2 * reach], "users": 1.2 * right["users"]}
    senior |= {"promote_from": right["promote_from"] - 0.2 * reach, "back_from": right["back_from"] + 0.2 * reach}
    return {
        "E4": Typed(junior, human={"told": 1}),
        "E5": Typed(senior, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
