"""Offline up, feed flat: one cause is built into a challenger, and every table is measured on what was built."""

from __future__ import annotations

import math
from pathlib import Path

from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load
from mlsys.world import Random

launch = load(Path(__file__).with_name("launch.py"))

TABLE = {"serving_skew": "served", "policy_bias": "auc_by_slice", "miscalibration": "calibration",
         "underpowered": "arms", "label_delay": "labels", "sample_ratio_mismatch": "assignment"}  # fmt: skip
REACH = {"serving_skew": (0, 1.0), "policy_bias": (0, 0.0015), "miscalibration": (0.03, 0), "underpowered": (0.1, 0),
         "label_delay": (0, 0.1), "sample_ratio_mismatch": (0, 0.2)}  # fmt: skip
"""How far off a reading may be: share of it, and absolute."""
DECISIONS = {"serving_skew": ("fix_features_and_rerun",), "policy_bias": ("retrain_on_explored_and_rerun", "drop"),
             "miscalibration": ("recalibrate_and_rerun",), "underpowered": ("run_with_more_traffic",),
             "gain_is_real": ("ship",)}  # fmt: skip


def variant(seed: int) -> Variant:
    """History, offline comparison, A/B test and everything that could be measured about them."""
    rng = generator(seed, 1)
    cause = launch.CAUSES[int(rng.integers(len(launch.CAUSES)))]
    weight, explore = float(rng.choice([1.0, 1.25, 1.5])), float(rng.choice([0.08, 0.10, 0.12]))
    feed = launch.Feed(seed)
    for _ in range(launch.FIRST):
        feed.step(Random())
    first = launch.fit(feed.labelled(launch.FIRST - 2, launch.FIRST), launch.CHAMPION, weight, rng)
    for _ in range(launch.START - launch.FIRST):
        feed.step(launch.Arm("champion", first, feed), explore)
    train, test = feed.labelled(launch.TRAIN, launch.TEST), feed.labelled(launch.TEST, launch.START)
    hours = int(rng.choice([1, 6, 12]))
    champion = launch.Arm("champion", launch.fit(train, launch.CHAMPION, weight, rng), feed)
    challenger = launch.build(cause, champion, train, weight, rng)
    tables = {"labels": launch.labels(test), "served": launch.replay(challenger)}
    tables |= launch.offline(launch.pick(test, test["hours"] < hours), champion.model, challenger.model)
    feed.rows = {}
    ab, found = launch.test(cause, champion, challenger, weight, explore, rng)
    tables |= found
    economics, latency = launch.economics(cause, ab, rng), launch.latency(rng)
    by_slice = tables["auc_by_slice"].set_index("rows_of_log")
    every, explored = (by_slice.loc[name].to_dict() for name in ("all", "explored"))
    heads = tables["calibration"].query("arm == 'challenger' and scores == 'all'")
    arrived = float(tables["labels"].set_index("hours_after_the_impression")["arrived_percent"][hours])
    readings = {
        "serving_skew": (float(tables["served"]["differs_percent"].max()),),
        "policy_bias": (float(explored["gain"]),),
        "miscalibration": tuple((heads["predicted"] / heads["observed"]).tolist()),
        "underpowered": (ab["mde"],),
        "label_delay": (arrived,),
        "sample_ratio_mismatch": (ab["seen_percent"],),
    }
    alerts = {  # Name: the day of the test on which it is read (0: before it), and whether it fires.
        "explored_gain": (0, explored["gain_low"] <= 0),
        "head_ratio": (0, any(not 0.8 <= ratio <= 1.25 for ratio in readings["miscalibration"])),
        "power": (0, ab["mde"] > economics["pays"]),
        "labels_late": (0, arrived < 95),
        "served_differs": (1, readings["serving_skew"][0] > 10),
        "sample_ratio": (1, abs(ab["srm_z"]) > 3.29),
        "value_drop": (launch.DAYS, ab["high"] < 0),
    }
    key = ab | {"cause": cause, "pays": economics.pop("pays"), "story": challenger.story,
                "repaired": challenger.repaired, "readings": readings,
                "fits": latency.pop("fits"), "parts": latency.pop("parts"),
                "fired": {name: day for name, (day, fires) in alerts.items() if fires}}  # fmt: skip
    shown = {"weight": weight, "explore": 100 * explore, "days": launch.DAYS, "hours": hours, "deff": ab["deff"]}
    shown |= {f"auc_{name}": value for name, value in every.items()} | economics | latency
    for arm, row in tables["arms"].set_index("arm").iterrows():
        shown |= {f"{name}_{arm}": value for name, value in row.items()}
    return Variant(shown, key, tables)


def framing(answer: Answer, variant: Variant) -> Evidence:
    """Were the facts asked for that three numbers hang on?"""
    needed = {"unit": "the unit of assignment, on which the MDE hangs", "worth": "what value is worth",
              "latency": "what the p99 is made of"}  # fmt: skip
    missing = [why for name, why in needed.items() if name not in answer.asked]
    if not missing:
        return Evidence(3, f"{len(answer.asked)} facts asked for, with the three that numbers hang on")
    points = 2 if len(missing) == 1 and len(answer.asked) >= 3 else 1 if answer.asked else 0
    return Evidence(points, f"{len(answer.asked)} facts asked for; not asked for: {'; '.join(missing)}")


def diagnosis(answer: Answer, variant: Variant) -> Evidence:
    """The cause that was built in, and rivals excluded by the table and the number that exclude them."""
    cause, said, readings = variant.key["cause"], answer["cause"], variant.key["readings"]
    right, notes = [], []
    for rival, row in {row["rival"]: row for row in answer["ruled_out"]}.items():
        share, most = REACH[rival]
        if row["table"] != TABLE[rival]:
            notes.append(f"{row['table']} does not tell about {rival}")
        elif not any(abs(row["reading"] - x) <= share * abs(x) + most for x in readings[rival]):
            notes.append(f"{number(row['reading'])} is not what {TABLE[rival]} says about {rival}")
        elif rival != cause:
            right.append(rival)
    notes = [f"rightly ruled out: {', '.join(right) or 'nothing'}", *notes]
    if said in readings and said != cause:
        found = " and ".join(number(x) for x in readings[said])
        return Evidence(
            0, f"{said} is not the cause: {TABLE[said]} reads {found}, which is healthy; {'; '.join(notes)}"
        )
    if said != cause:
        return Evidence(0, f"a measurement accuses something, so the gain is not what was shown; {'; '.join(notes)}")
    if any(row["rival"] == cause for row in answer["ruled_out"]):
        return Evidence(1, f"{cause} is the cause, and you rule it out as well; {'; '.join(notes)}")
    return Evidence(min(1 + len(right), 3), f"{cause}: {variant.key['story']}; {'; '.join(notes)}")


def quantification(answer: Answer, variant: Variant) -> Evidence:
    """An interval that holds the exact lift and is as wide as the test makes it; the MDE by user."""
    (low, high), key = answer["true_lift"], variant.key
    held, width, ratio = low <= key["truth"] <= high, (high - low) / key["se"], answer["mde"] / key["mde"]
    reason = (f"lift: {low:.1f} to {high:.1f} % {'holds' if held else 'misses'} the exact {key['truth']:+.1f} % and "
              f"spans {number(width)} standard errors; MDE: {ratio:.2f} of what the run gives")  # fmt: skip
    if abs(ratio - 1) > 0.1:
        if abs(ratio * math.sqrt(key["deff"]) - 1) <= 0.1:
            reason += "; sessions of one user are not independent"
        return Evidence(int(held and width <= 12), reason)
    return Evidence((3 if width <= 5 else 2 if width <= 12 else 1) if held else 1, reason)


def tradeoff(answer: Answer, variant: Variant) -> Evidence:
    """The decision that the evidence carries, and the lift at which it turns."""
    key, ratio = variant.key, answer["reversal"] / variant.key["pays"]
    reason = (
        f"the test says {key['low']:.1f} to {key['high']:.1f} %, your threshold is {ratio:.2f} of the one that pays"
    )
    if key["repaired"] is not None:
        reason += f"; repaired, the challenger is worth {key['repaired']:+.1f} %"
    if answer["decision"] not in DECISIONS[key["cause"]]:
        return Evidence(0, f"{answer['decision']} does not follow: {reason}")
    points = 3 if abs(ratio - 1) <= 0.05 else 2 if abs(ratio - 1) <= 0.1 else 1
    return Evidence(points, f"{answer['decision']} follows: {reason}")


def systems(answer: Answer, variant: Variant) -> Evidence:
    """What fits the smaller budget, and what then takes most of it."""
    parts, ratio = variant.key["parts"], answer["fits"] / variant.key["fits"]
    if abs(ratio - 1) > 0.05:
        fixed = number(parts["recall"] + parts["feature_read"])
        reason = f"{number(answer['fits'])} candidates are {ratio:.2f} of what fits: {fixed} ms do not shrink with them"
        everything = abs(answer["fits"] / (0.7 * variant.shown["candidates"]) - 1) < 0.02
        return Evidence(int(0.5 <= ratio <= 2 and not everything), reason)
    named = parts[answer["bottleneck"]] == max(parts.values())
    part, whole = number(parts[answer["bottleneck"]]), number(sum(parts.values()))
    reason = f"{number(answer['fits'])} candidates fit; {answer['bottleneck']} then takes {part} of {whole} ms"
    return Evidence(3 if named else 2, reason + ("" if named else ", another part more"))


def monitoring(answer: Answer, variant: Variant) -> Evidence:
    """Every alert is run on what happened: which is first?"""
    fired, said = variant.key["fired"], answer["alert"]
    if said == "none_of_these":
        return (
            Evidence(0, "one of them fires") if fired else Evidence(3, "none fires: nothing was wrong, no false alarm")
        )
    if said not in fired:
        return Evidence(0, f"{said} stays silent in this run")
    when = f"on day {fired[said]} of the test" if fired[said] else "before the test"
    if fired[said] > min(fired.values()):
        return Evidence(2, f"{said} fires {when}; another one is earlier")
    return Evidence(3, f"{said} fires {when}; none is earlier")


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"true_lift": variant.key["truth"]}
