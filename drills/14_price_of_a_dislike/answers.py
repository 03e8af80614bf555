"""What proves the checks: a reference that reads the tables, and what people answer in a hurry."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsys.drills import Typed, Variant

SPOKEN = (
    "We ship the price that has the most likes in the month with the users it keeps, within what day 1 may lose. "
    "Tell me the worth of a kept user: above one number I ship the next price, below another the one before."
)


def reference(variant: Variant) -> Typed:
    """Likes plus worth times kept, the guardrail, the thresholds between pairs, sums, and p (1 - p)."""
    v, sweep, days = variant.shown, variant.tables["sweep"], variant.tables["days"]
    price, likes, kept = (sweep[name].to_numpy(float) for name in ("price", "likes", "kept"))
    loss = 100 * (1 - sweep["today"].to_numpy() / sweep["today"].iloc[0])
    worth = likes + v["worth"] * kept / 100
    open_ = loss <= v["limit"]
    best, free = int(np.argmax(np.where(open_, worth, -np.inf))), int(np.argmax(worth))
    flips = []
    for direction, sign in (("up", 1), ("down", -1)):
        rivals = [i for i in np.flatnonzero(open_) if sign * (kept[i] - kept[best]) > 0]
        at = [(100 * (likes[best] - likes[i]) / (kept[i] - kept[best]), price[i]) for i in rivals]
        at = sorted((pair for pair in at if pair[0] >= 0), key=lambda pair: (sign * pair[0], pair[1]))
        near = at[0] if at else (-1.0, 0.0)
        flips.append({"direction": direction, "worth": round(float(near[0]), 1), "price": float(near[1])})
    behind = np.flatnonzero(days["shadow"].cumsum() <= days["likes_alone"].cumsum())
    last = int(behind.max()) + 1 if len(behind) else 0
    like, dislike = (v[name] / 100 * (1 - v[name] / 100) for name in ("like", "dislike"))
    return Typed(
        {
            "ship": float(price[best]),
            "today": round(float(loss[best]), 1),
            "flips": flips,
            "guard": round(float(loss[free]), 1),
            "gives_up": round(float(worth[free] - worth[best]), 2),
            "turns": int(days["day"].iloc[last]) if last < len(days) else -1,
            "got": round(v["shadow"] * like / dislike, 2),
            "write": round(v["shadow"] * dislike / like, 2),
            "told": SPOKEN,
        }
    )


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, v, days = dict(reference(variant).values), variant.shown, variant.tables["days"]

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    other = [{**row, "worth": row["worth"] + 60 if row["worth"] >= 0 else 60.0} for row in right["flips"]]
    ahead = days.loc[days["shadow"] > days["likes_alone"], "day"]
    daily = int(ahead.iloc[0]) if len(ahead) else 1
    early = daily if abs(daily - right["turns"]) > 1 else right["turns"] + 4
    forgets = {"guard": right["guard"] + 9, "gives_up": right["gives_up"] + 5}
    return {
        "the_dearest": changed("ship", "rolls it back", ship=32.0, today=round(float(_loss(variant, 32)), 1))
        if _loss(variant, 32) > v["limit"]
        else changed("ship", "with the users that it keeps", ship=0.0 if right["ship"] > 1 else 32.0),
        "between_the_prices": changed("ship", "nobody has measured", ship=3.0),
        "another_worth": changed("flips", "still the best, or was not", flips=other),
        "the_guardrail_is_given": changed("guard", "would ship without it", **forgets),
        "ahead_on_the_day": changed("turns", "not made up" if early == daily else "backwards", turns=early),
        "a_score_is_a_score": changed("heads", "no probabilities", got=v["shadow"], write=v["shadow"]),
        "upside_down": changed("heads", "Upside down", got=right["write"], write=right["got"]),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 ships what likes ask for; E5 misses roundings and a neighbour; E6 has all of it."""
    right = dict(reference(variant).values)
    junior = {"got": variant.shown["shadow"], "write": variant.shown["shadow"], "flips": right["flips"][:1]}
    senior = {
        "today": right["today"] + 2,
        "guard": right["guard"] + 0.7,
        "got": 1.12 * right["got"],
        "flips": [{**row, "price": 99.0} for row in right["flips"]],
        "turns": right["turns"] + (right["turns"] > 0),
    }
    return {
        "E4": Typed(right | junior, human={"told": 1}),
        "E5": Typed(right | senior, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }


def _loss(variant: Variant, price: int) -> float:
    sweep = variant.tables["sweep"].set_index("price")["today"]
    return 100 * (1 - sweep[price] / sweep[0])
