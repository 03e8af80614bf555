"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.source import load

nightly = load(Path(__file__).with_name("nightly.py"))

QUESTIONS = ("Have interests changed in these days?", "How were the rows kept: at random?")


def reference(variant: Variant) -> Typed:
    """From the counts at the cut alone: delays of the likes that are old enough, and the odds times the share."""
    shown, key = variant.shown, variant.key
    night = nightly.estimated(variant.tables)
    later, bound = int(shown["later"]), shown["bound"]
    days = next(n for n in range(1, 9) if night.missing(n, 0) <= bound)
    hours = next(h for h in range(1, 72) if night.missing(1, h) <= bound)
    rate = float(night.rates(nightly.LONGEST)[1])
    cost = {"wait": shown["per_hour"] * hours, "history": shown["per_day"] * (days - 1)}
    plan = min(cost, key=lambda name: cost[name])
    values = {
        "now": _around(night.missing(1, 0), 2.5),
        "later": _around(night.missing(1, later), 2.5),
        "days": days,
        "hours": hours,
        "new_rate": _around(rate, 3.5),
        "overtakes": night.overtakes(),
        "repaired": _rows(key["repaired"]),
        "top": key["top"],
        "keeps": key["keeps"],
        "plan": plan,
        "turns": round(cost["history"] / hours, 2),
        "told": f"We take {plan}: {night.missing(1, 0):.0f} % of the day's likes are missing at the cut, {bound} % are "
        f"allowed. It turns at ${cost['history'] / hours:.0f} an hour. Today's posts are hit: they pass the others "
        f"{night.overtakes()} hours later, and a longer window leaves their counts as they are. Ask again if delays "
        "change.",
    }
    return Typed(values, QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    shown, key, right = variant.shown, variant.key, reference(variant).values
    short = {name: _around(0.5 * key[name], 2) for name in ("now", "later")}
    bill = shown["per_day"] * (right["days"] - 1) / 24
    cheap = "wait" if 24 * shown["per_hour"] < shown["per_day"] * (right["days"] - 1) else "history"

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed({**right, **values}, QUESTIONS, row=row, says=says)

    return {
        "delays_of_what_came": changed("late", "missed", **short),
        "anything": changed("late", "wide", now=[0, 100], later=[0, 100]),
        "a_day_is_clean": changed("enough", "longer than needed", hours=24, turns=bill, plan=cheap),
        "believes_the_record": changed("order", "missed", new_rate=_around(key["raw_new"], 2), overtakes=0),
        "takes_the_head_at_its_word": changed(
            "repair", "not what happens", repaired=_rows(key["said"]), top=key["raw"]
        ),
        "multiplies_the_probability": changed(
            "repair", "you multiplied", repaired=_rows(key["scaled"]), top=key["raw"]
        ),
        "the_share_it_has": changed("flip", "another post is still first", keeps=shown["kept_percent"]),
        "the_other_plan": changed(
            "decide", "is dearer", plan="wait" if right["plan"] == "history" else "history", turns=0.5 * right["turns"]
        ),
        "no_change": changed("decide", "breaks the rule", plan="now"),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 waits a day and trusts the head; E5 is near; E6 computes."""
    key, right = variant.key, reference(variant).values
    junior = {"now": [0, 10], "later": [0, 5], "hours": 24, "repaired": _rows(key["said"]), "top": key["raw"]}
    some = [row if row["post"] in ("A", "B", "C") else {**row, "percent": 50.0} for row in right["repaired"]]
    senior = {
        "now": _around(key["now"], 5),
        "later": _around(key["later"], 5),
        "days": right["days"] + 1,
        "turns": 0.88 * right["turns"],
        "new_rate": _around(key["new"], 6),
        "repaired": some,
        "keeps": 1.1 * key["keeps"],
    }
    shown, days, hours = variant.shown, right["days"], right["hours"]
    plan = "wait" if shown["per_hour"] * hours < shown["per_day"] * days else "history"
    senior |= {"plan": plan, "turns": round(1.15 * shown["per_day"] * days / hours, 1)}
    return {
        "E4": Typed({**right, **junior}, human={"told": 1}),
        "E5": Typed({**right, **senior}, QUESTIONS[:1], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }


def _around(middle: float, reach: float) -> list[float]:
    return [round(max(middle - reach, 0.1), 1), round(middle + reach, 1)]


def _rows(percent: dict[str, float]) -> list[dict[str, Any]]:
    return [{"post": post, "percent": round(value, 2)} for post, value in percent.items()]
