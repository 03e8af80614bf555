"""Reference, wrong answers and samples. The reference reads prompt, facts and tables as a candidate would."""

from __future__ import annotations

import math
from typing import Any

from mlsys.drills import Typed, Variant

ASKED = (
    "Are sessions independent, or what was assigned?",
    "What is a like worth?",
    "What is the latency made of?",
    "How long is the label delay?",
    "What is the logging policy?",
)
DECISION = {"serving_skew": "fix_features_and_rerun", "policy_bias": "retrain_on_explored_and_rerun",
            "miscalibration": "recalibrate_and_rerun", "underpowered": "run_with_more_traffic",
            "gain_is_real": "ship"}  # fmt: skip
ALERT = {"serving_skew": "served_differs", "policy_bias": "explored_gain", "miscalibration": "head_ratio",
         "underpowered": "power", "gain_is_real": "none_of_these"}  # fmt: skip
TABLE = {"serving_skew": "served", "policy_bias": "auc_by_slice", "miscalibration": "calibration",
         "underpowered": "arms", "label_delay": "labels", "sample_ratio_mismatch": "assignment"}  # fmt: skip


def read(variant: Variant) -> dict[str, Any]:
    """What a careful person reads off: lift, its error, MDE, the lift that pays, a reading per rival, the cause."""
    shown, tables = variant.shown, variant.tables
    old, new = tables["arms"].to_dict("records")
    error = math.sqrt(shown["deff"] * sum(arm["se_sessions_independent"] ** 2 for arm in (old, new)))
    base = old["value_per_session"]
    mde = 280 * error / base
    pays = 100 * shown["cost"] / (shown["sessions_m"] * 1e6 * base * shown["worth"] / 100)
    explored = tables["auc_by_slice"].set_index("rows_of_log").loc["explored"]
    heads = tables["calibration"].query("arm == 'challenger' and scores == 'all'")
    ratio = max(heads["predicted"] / heads["observed"], key=lambda x: abs(math.log(x)))
    seen = tables["assignment"]["users_seen"]
    arrived = tables["labels"].set_index("hours_after_the_impression")["arrived_percent"][shown["hours"]]
    differs = tables["served"]["differs_percent"].max()
    readings = {"serving_skew": differs, "policy_bias": explored["gain"], "miscalibration": ratio, "underpowered": mde,
                "label_delay": arrived, "sample_ratio_mismatch": 100 * seen[1] / seen.sum()}  # fmt: skip
    sick = {"serving_skew": differs > 10, "policy_bias": explored["gain_low"] <= 0,
            "miscalibration": not 0.8 <= ratio <= 1.25, "underpowered": mde > pays}  # fmt: skip
    return {"lift": 100 * (new["value_per_session"] / base - 1), "error": 100 * error / base, "mde": mde, "pays": pays,
            "readings": {name: float(value) for name, value in readings.items()},
            "cause": next((name for name, found in sick.items() if found), "gain_is_real")}  # fmt: skip


def reference(variant: Variant) -> Typed:
    """Every table read, every number computed."""
    shown, found = variant.shown, read(variant)
    cause, lift, reach = found["cause"], found["lift"], 1.28 * found["error"]
    left = 0.7 * shown["budget"] - shown["recall"] - shown["read"]
    fits = left / (2 * shown["scoring_us"] / 1000 * shown["tail"])
    parts = {"recall": shown["recall"], "feature_read": shown["read"], "scoring": left}
    values = {
        "cause": cause,
        "ruled_out": [{"rival": rival, "table": TABLE[rival], "reading": round(value, 4)}
                      for rival, value in found["readings"].items() if rival != cause],
        "true_lift": [round(lift - reach, 2), round(lift + reach, 2)],
        "mde": round(found["mde"], 2),
        "decision": DECISION[cause],
        "reversal": round(found["pays"], 2),
        "fits": round(fits),
        "bottleneck": max(parts, key=parts.__getitem__),
        "alert": ALERT[cause],
        "pitch": f"{DECISION[cause]}: {cause}. It turns at {found['pays']:.1f} %. I own the next step. Objections?",
    }  # fmt: skip
    return Typed(values, questions=ASKED)


def wrong(variant: Variant) -> dict[str, Typed]:
    """What people say when the AUC went up and the feed did not."""
    best, found = reference(variant), read(variant)
    cause, shown, questions = found["cause"], variant.shown, best.questions
    real = cause == "gain_is_real"

    def other(row: str, says: str, **changed: Any) -> Typed:
        return Typed(dict(best.values) | changed, questions, row=row, says=says)

    likes = variant.tables["arms"]["likes_per_session"][0] / variant.tables["arms"]["value_per_session"][0]
    excluded = [row for row in best.values["ruled_out"] if row["rival"] != "label_delay"]
    mixed_up = [row | {"table": "by_day"} for row in excluded]
    answers = {
        "asks_the_usual": Typed(best.values, questions[3:], row="framing", says="not asked for"),
        "never_asks_who_was_assigned": Typed(best.values, (questions[1], questions[3]), row="framing",
                                             says="the unit of assignment"),
        "blames_the_labels": other("diagnosis", "is not the cause", cause="label_delay", ruled_out=excluded),
        "looks_in_the_wrong_table": other("diagnosis", "does not tell about", ruled_out=mixed_up),
        "takes_sessions_as_independent": other("quantification", "not independent",
                                               mde=found["mde"] / math.sqrt(shown["deff"])),
        "trusts_the_auc": other("quantification", "misses", true_lift=[found["lift"] + 4 * found["error"],
                                                                       found["lift"] + 6 * found["error"]]),
        "ships_on_auc" if not real else "drops_what_works": other("tradeoff", "does not follow",
                                                                 decision="drop" if real else "ship"),
        "thinks_in_likes": other("tradeoff", f"{1 / likes:.2f} of the one", reversal=found["pays"] / likes),
        "cuts_candidates_by_30_percent": other("systems", "do not shrink", fits=0.7 * shown["candidates"]),
        "watches_the_split": other("monitoring", "stays silent", alert="sample_ratio"),
    }  # fmt: skip
    if not real:
        answers["says_nothing_is_wrong"] = other("diagnosis", "accuses something", cause="gain_is_real")
    return answers


def samples(variant: Variant) -> dict[str, Typed]:
    """Three people at the same whiteboard."""
    best, found, shown = reference(variant), read(variant), variant.shown
    wide = [round(found["lift"] + side * 4 * found["error"], 2) for side in (-1, 1)]
    part = "scoring" if best.values["bottleneck"] != "scoring" else "recall"
    e5 = dict(best.values) | {"ruled_out": best.values["ruled_out"][:1], "true_lift": wide, "bottleneck": part}
    e4 = e5 | {"cause": "label_delay", "decision": "wait_for_labels", "mde": found["mde"] / math.sqrt(shown["deff"]),
               "fits": 0.7 * shown["candidates"], "alert": "value_drop"}  # fmt: skip
    e4["mde"] = round(e4["mde"], 2)
    why, what = found["cause"].replace("_", " "), DECISION[found["cause"]].replace("_", " ")
    e4["pitch"] = (
        f"So, the AUC is up by {shown['auc_gain']:.3f}, that is a lot, and the champion has been there for long. The "
        "labels come late, I think it is the labels. Maybe we wait and look again."
    )
    e5["pitch"] = (
        f"{what}. The reason is {why}: the lift we saw is {found['lift']:+.1f} %, and the test could have seen "
        f"{found['mde']:.1f} %."
    )
    e6 = dict(best.values) | {
        "pitch": f"{e5['pitch']} Below {found['pays']:.1f} % it does not pay for its cost; above, I change my mind. "
        "I own the next step and report in a week. What did I miss?"
    }
    return {
        "E4": Typed(e4, ["How long is the label delay?"], human={"communication": 1}),
        "E5": Typed(e5, [ASKED[0], ASKED[1], ASKED[3]], human={"communication": 2}),
        "E6": Typed(e6, best.questions, human={"communication": 3}),
    }
