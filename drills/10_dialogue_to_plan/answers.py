"""What proves the checks: a reference that multiplies what the prompt shows, and the slips that people make."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

ANSWERS = ("users", "sessions", "list", "candidates", "latency", "retention", "refresh", "peak")
LINES = ("ranking", "features", "log")


def planned(v: dict[str, Any]) -> dict[str, float]:
    """By hand from the prompt: boxes, and dollars per line."""
    a_day = v["users"] * 1e6 * v["active"] * v["sessions"] * v["requests"]
    night = v["list"].startswith("made once")
    fits = min(v["candidates"], 0.1 * v["latency"] * 1e3 / v["score_us"])
    seconds = (v["candidates"] if night else fits) * v["score_us"] / 1e6
    at_peak = a_day / 86_400 * v["peak"]
    events = a_day * v["impressions"]
    found = {
        "requests": at_peak,
        "log": events * v["event_bytes"] * v["retention"] / 1e12,
        "ranking": (v["users"] * 1e6 / 86_400 if night else at_peak) * seconds / v["utilization"],
        "features": v["refresh"] * events * v["pass_us"] / 1e6 / 86_400,
    }
    prices = {"ranking": v["core_price"], "features": v["core_price"], "log": v["tb_price"]}
    return found | {f"{line}_dollars": found[line] * prices[line] for line in LINES}


def bill(plan: dict[str, float]) -> float:
    """Dollars a month."""
    return sum(plan[f"{line}_dollars"] for line in LINES)


def largest(plan: dict[str, float]) -> str:
    """The line that costs most."""
    return max(LINES, key=lambda line: plan[f"{line}_dollars"])


def reference(variant: Variant) -> Typed:
    """One plan as answered, and one per answer turned round."""
    v = dict(variant.shown)
    base, flipped = planned(v), {name: planned(v | {name: v[f"{name}_or"]}) for name in ANSWERS}
    most = max(ANSWERS, key=lambda name: abs(bill(flipped[name]) - bill(base)))
    still = [name for name in ANSWERS if all(abs(flipped[name][x] / base[x] - 1) < 1e-9 for x in LINES)]

    def ratio(plan: dict[str, float]) -> float:
        return plan["log_dollars"] / plan["ranking_dollars"]

    values = {name: [base[name] / 1.2, base[name] * 1.2] for name in ("requests", "log", "ranking", "features")}
    return Typed(
        values
        | {
            "most": most,
            "then": round(bill(flipped[most])),
            "nothing": still or ["none"],
            "shifts": [name for name in ANSWERS if largest(flipped[name]) != largest(base)] or ["none"],
            "turn": round(v["retention"] / ratio(base), 1),
            "moves_turn": [name for name in ANSWERS
                           if name != "retention" and abs(ratio(flipped[name]) / ratio(base) - 1) > 1e-9],
        }
    )  # fmt: skip


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, v = dict(reference(variant).values), variant.shown
    night = v["list"].startswith("made once")

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    def scaled(name: str, factor: float) -> list[float]:
        return [factor * end for end in right[name]]

    quiet = next(
        name for name in ("peak", "refresh", "users") if name != right["most"] and name not in right["nothing"]
    )
    people = ["list", "latency"] if night else ["list", "sessions"]
    vague = [right["features"][0] / 3, right["features"][1] * 3]
    felt = "moves the bill by" if right["nothing"] == ["none"] else "stays"
    usual = ["candidates"] if right["nothing"] != ["candidates"] else ["latency"]
    return {
        "the_mean_is_the_peak": changed("plan", "a factor of", requests=scaled("requests", 1 / v["peak"])),
        "log_of_one_day": changed("plan", "a factor of", log=scaled("log", 1 / v["retention"])),
        "no_idea_of_the_features": changed("plan", "too wide to buy by", features=vague),
        "the_usual_suspect": changed("most", "another answer moves it by", most=quiet),
        "right_answer_wrong_bill": changed("most", "the bill is not", then=2 * right["then"]),
        "no_line_felt_it_they_say": changed("nothing", felt, nothing=usual),
        "everything_stays_as_it_is": changed("shifts", "another box to work on", shifts=["none"])
        if right["shifts"] != ["none"]
        else changed("shifts", "is the largest line still", shifts=["users"]),
        "forgets_the_days_that_are_kept": changed("turn", "apart", turn=right["turn"] / v["retention"]),
        "users_move_it": changed("cancels", "both lines by the same factor", moves_turn=["users", "refresh"]),
        "people_or_nights": changed("cancels", "more would move it", moves_turn=people),
    }  # fmt: skip


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 asks for users first and last; E5 plans well and rounds; E6 says where it turns."""
    right = dict(reference(variant).values)
    names = ("requests", "log", "ranking", "features")
    wide = {name: [right[name][0] / 1.5, right[name][1] * 1.5] for name in names}
    rounded = {"then": round(1.1 * right["then"]), "turn": 1.1 * right["turn"]}
    junior = {"moves_turn": ["users"], "shifts": ["users"], "then": 3 * right["then"]}
    return {
        "E4": Typed(right | wide | junior, human={"aloud": 1}),
        "E5": Typed(right | wide | rounded, human={"aloud": 2}),
        "E6": Typed(right, human={"aloud": 3}),
    }
