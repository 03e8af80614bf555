"""The store is slow, or is it: a trace of one evening, its cause, its cost, and the one setting that would have helped.

Every setting that can be named is run on the same evening; what it keeps is what the answer is held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import interval_evidence, number
from mlsys.drills.source import load
from mlsys.orchestration.traffic import Fault
from mlsys.serving import RUNGS

evening = load(Path(__file__).with_name("evening.py"))
USERS, LEVEL, PROMISE, RATIO = 310, 3.0, 300.0, 1.5
"""Users; points of likes and factor of p99 within which settings are level; ms of p99 that nobody notices."""
CASES = {"gone": "store_hangs", "slow": "store_slow", "flaky": "store_refuses", "garbage": "store_lies",
         "surge": "more_requests", "restart": "cache_emptied"}  # fmt: skip
TURNS = ("gone", "flaky", "slow", "garbage", "tight", "surge", "slow", "restart")
"""Seeds in a row are different cases; tight: gone, with a timeout of which a quarter is none."""

SIGNS = {
    "store_hangs": "reads that time out",
    "store_slow": "reads that come back, and late: read_ms up, timed_out not",
    "store_refuses": "reads that are refused",
    "store_lies": "likes below what is possible while reads and rungs are as always",
    "more_requests": "more requests per row",
    "cache_emptied": "less from the cache at once, and more reads, with as many requests",
    "scoring_slow": "longer requests while reads take as long as before",
    "nothing": "no column that leaves its range",
}


def variant(seed: int) -> Variant:
    """One evening, as it was and with every single change."""
    rng = generator(seed, 1)
    tight, case = TURNS[seed % 8] == "tight", TURNS[seed % 8].replace("tight", "gone")
    start, length = int(rng.integers(32, 47)), int(rng.integers(18, 27))
    end = start if case == "restart" else start + length
    now = evening.Settings(
        threads=2 if case in ("gone", "slow") and rng.random() < 0.3 else 1,
        timeout=float(rng.choice([0.1, 0.15, 0.2, 0.25])),
        breaker=case != "surge" and bool(rng.random() < 0.3),
        ttl=float(rng.choice([3, 5, 8]) if case != "restart" else 300),
        snapshot=bool(rng.random() < 0.5),
    )
    if tight:
        now = replace(now, timeout=float(rng.choice([0.03, 0.04])))
    if case == "slow":
        now = replace(now, timeout=float(rng.choice([0.3, 0.4])))
    if case == "garbage":  # ten times as long outlives what was good before, and keeps what was not
        now = replace(now, ttl=3.0)
    size = {"slow": rng.uniform(0.12, 0.25), "flaky": rng.uniform(0.3, 0.6)}.get(case, 1.0)
    faults = [Fault(case, start, end, float(size))] if case in ("gone", "slow", "flaky", "garbage") else []
    scoring = float(rng.choice([0.11, 0.13]) if case == "surge" else rng.choice([0.03, 0.05]))
    place = evening.Place(seed, users=USERS)
    if case == "surge":
        place.crowd(start, end, float(rng.uniform(3.5, 5)))
    emptied = start if case == "restart" else np.inf
    well, *_ = place.run(replace(now, threads=32), [], scoring, np.inf)
    every = evening.changes(now)
    each = {now: place.run(now, faults, scoring, emptied)}
    _, reads, _ = each[now]
    for name, calm in evening.untouched(reads, now).items():
        every[name] = now if calm else every[name]
    each |= {s: place.run(s, faults, scoring, emptied) for s in set(every.values()) - {now}}
    runs = {name: each[s] for name, s in every.items()}
    found = evening.outcomes({name: done for name, (done, *_) in runs.items()}, well, start)
    done = runs["leave_it"][0]
    during = (done["arrival"] >= start) & (done["arrival"] < (end if end > start else start + 20))
    shares = {rung: float(done.loc[during, rung].mean()) for rung in RUNGS}
    key: dict[str, Any] = {"cause": CASES[case], "start": start, "end": end, "runs": found}
    key["tail"] = end + {"garbage": now.ttl, "restart": 30}.get(case, 5)
    key["cost"] = 100 - found["leave_it"][0]
    key["rungs"] = tuple(rung for rung in RUNGS if shares[rung] >= max(shares.values()) - 0.05)
    key["best"], key["worse"] = best(found), worse(found)
    shown = {"threads": now.threads, "timeout": 1e3 * now.timeout, "ttl": now.ttl, "scoring": 1e3 * scoring,
             "breaker": "yes" if now.breaker else "no", "snapshot": "yes" if now.snapshot else "no",
             "slow": 1e3 * evening.SLOW, "wait": evening.WAIT, "calls": evening.CALLS,
             "quarter": 250 * now.timeout, "longer": 4e3 * now.timeout, "ttl10": 10 * now.ttl,
             "threads2": 2 * now.threads, "seconds": evening.SECONDS, "promise": PROMISE,
             "level": LEVEL, "ratio": RATIO, "popular": round(found["popularity"][0])}  # fmt: skip
    return Variant(shown, key, {"trace": evening.trace(*runs["leave_it"], now.breaker)})


def best(runs: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Settings level with the best: likes first, then p99; only `leave_it`, if that is one of them."""
    most = max(kept for kept, _ in runs.values())
    near = {name: max(p99, PROMISE) for name, (kept, p99) in runs.items() if kept >= most - LEVEL}
    first = tuple(name for name, p99 in near.items() if p99 <= RATIO * min(near.values()))
    return ("leave_it",) if "leave_it" in first else first


def worse(runs: Mapping[str, tuple[float, float]]) -> dict[str, bool]:
    """Whether each change makes it worse; those that are a close call are not in it."""
    (kept0, p0), found = runs["leave_it"], {}
    for name, (kept, p99) in runs.items():
        if name == "leave_it" or (name == "popularity" and abs(kept - kept0) < 3 * LEVEL):
            continue  # what the evening kept is only known as well as the trace tells it
        gain, ratio = kept - kept0, max(p99, PROMISE) / max(p0, PROMISE)
        if gain <= -1.5 * LEVEL or (ratio >= 1.7 and gain < LEVEL / 2):
            found[name] = True
        elif gain >= LEVEL or (gain > -LEVEL / 5 and ratio < 1.1):
            found[name] = False
    return found


def truths(variant: Variant) -> dict[str, float]:
    """What the cost should hold; p99 belongs to the setting that is chosen."""
    return {"cost": variant.key["cost"]}


def cause(answer: Answer, variant: Variant) -> Evidence:
    """What happened?"""
    said, right = answer["cause"], variant.key["cause"]
    if said == right:
        return Evidence(3, f"Yes, {said}: it was put in, and nothing else; its sign is {SIGNS[said]}.")
    if {said, right} <= {"store_hangs", "store_slow", "store_refuses"}:
        return Evidence(1, f"The store it is, but {said} would show {SIGNS[said]}: the other read columns say no.")
    return Evidence(0, f"{said} would show {SIGNS[said]}: look again whether the trace does.")


def when(answer: Answer, variant: Variant) -> Evidence:
    """From when to when? What the cause leaves behind may be counted in."""
    key, said = variant.key, (answer["start"], answer["end"])
    off = (abs(said[0] - key["start"]), max(key["end"] - said[1], said[1] - key["tail"], 0))
    points = 3 if max(off) <= 5 else 2 if max(off) <= 10 else 0
    if points:
        return Evidence(points, f"{said[0]:g} to {said[1]:g} s; the run had it from {key['start']} to {key['end']} s.")
    which = "start" if off[0] > 10 else "end"
    return Evidence(points, f"The {which} is {max(off):.0f} s off: find the rows where the cause's own column turns.")


def rung(answer: Answer, variant: Variant) -> Evidence:
    """Who answered, and what that cost."""
    key, said, (low, high) = variant.key, answer["rung"], answer["cost"]
    told = f"you said {low:g} to {high:g} % of likes, the run without it says {key['cost']:.1f} %"
    if not low <= key["cost"] <= high:
        near = min(abs(low - key["cost"]), abs(high - key["cost"])) <= 1
        why = "late answers earn nothing, and rows do not have the same number of requests"
        return Evidence(1 if near else 0, f"Missed: {told}; {why}.")
    if said not in key["rungs"]:
        return Evidence(1, f"The cost holds, but {said} is not what most feature values came from meanwhile.")
    points = 3 if high - low <= 10 else 2 if high - low <= 16 else 1
    wide = "" if points == 3 else f"; {high - low:g} points are wide"
    return Evidence(points, f"Mostly {said}; {told}{wide}.")


def setting(answer: Answer, variant: Variant) -> Evidence:
    """The one change, as run."""
    said, key = answer["setting"], variant.key
    (kept, p99), (kept0, p0) = key["runs"][said], key["runs"]["leave_it"]
    most = max(one for one, _ in key["runs"].values())
    told = f"With {said} the run keeps {kept:.1f} % of the likes at a p99 of {number(p99)} ms"
    was = f"as it stood {kept0:.1f} % at {number(p0)} ms"
    if said in key["best"]:
        return Evidence(3, f"{told}, {was}: nothing on the list is clearly better.")
    if key["best"] == ("leave_it",):
        return Evidence(1 if kept >= kept0 - LEVEL else 0, f"{told}, {was}: that change was not worth making.")
    gained = (kept - kept0) / (most - kept0) if most - kept0 > LEVEL else (p0 - max(p99, PROMISE)) / (p0 - PROMISE)
    if gained >= 0.6 and p99 < max(p0, PROMISE):
        return Evidence(2, f"{told}, {was}: most of what there is to gain, another setting is better.")
    return Evidence(int(gained >= 0.3), f"{told}, {was}: most of what there is to gain stays lost.")


def p99(answer: Answer, variant: Variant) -> Evidence:
    """The p99 with the setting that was chosen."""
    said = answer["setting"]
    return interval_evidence(f"p99 with {said}", *answer["p99"], truth=variant.key["runs"][said][1], unit="ms")


def never(answer: Answer, variant: Variant) -> Evidence:
    """Settings that would have made it worse."""
    key, said = variant.key["worse"], set(answer["never"])
    right = {name for name, bad in key.items() if bad} or {"none_of_them"}
    wrong = sorted(name for name in said - right if name == "none_of_them" or not key.get(name, True))
    close = said - key.keys() - {"none_of_them"}  # who names these alone says that the rest is not worse
    missing = sorted(right - said - ({"none_of_them"} if close == said else set()))
    runs = variant.key["runs"]
    points = {0: 3, 1: 2, 2: 1}.get(len(wrong) + len(missing), 0)
    if not wrong and not missing:
        return Evidence(3, f"{', '.join(sorted(said))}: that is what the runs say.")
    parts = [f"{len(missing)} not named"] * bool(missing)
    for name in wrong[:2]:
        if name == "none_of_them":
            parts.append("some of them do make it worse")
        else:
            parts.append(f"{name} keeps {runs[name][0]:.1f} % at {number(runs[name][1])} ms: not worse")
    return Evidence(points, f"{'; '.join(parts)}. As it stood: {runs['leave_it'][0]:.1f} %.")
