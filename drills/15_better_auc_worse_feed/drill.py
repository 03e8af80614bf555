"""A ranker with the better AUC makes a worse feed: two twins of one market, and one thing that was framed another way.

The key is what ran: the old ranker, the new one, and in the same market every other cause and every mend.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.source import load
from mlsys.evaluation import auc
from mlsys.orchestration.framing import one_thread

twins = load(Path(__file__).with_name("twins.py"))
CAUSES, COLUMNS, SHOWN, DAYS = twins.CAUSES, list(twins.COLUMNS), twins.SHOWN, twins.DAYS
MENDS = ("add_prices", "fix_slot", "calibrate", "centre", "newest_first")

MOVED, QUIET, CLEAR = 0.15, 0.06, 2.5
"""A column differs by this share of the old twin's mean, or is as good as the same; standard errors of a clear win."""

NARROW, WIDE = 8.0, 16.0
"""Percentage points: how wide an interval may be for three points, for two."""


@one_thread
def variant(seed: int) -> Variant:
    """Which cause, at which price. Six seeds are six causes."""
    rng, block = generator(seed, 1), generator(seed // 6, 2).permutation(len(CAUSES))
    cause, price = CAUSES[block[seed % 6]], float(rng.choice([2, 3, 4]))
    hidden = {"likes_alone": (2.0, 3.0), "slot": (4.0, 2.0)}.get(cause, (0.0, 0.0))
    price = hidden[1] if price == hidden[0] else price  # There its loss would hide in the noise.
    window = int(rng.choice([12, 15, 18]))
    for attempt in range(1, 40):
        start = twins.Market(100 * (seed % 10**6) + attempt, price)
        bench = twins.train(start, window)
        ahead = twins.measures(cause, price, bench)
        if ahead["report"] > -CLEAR or ahead["dcg_served"] < 1 or max(ahead.values()) < CLEAR:
            continue
        before, after = (start.copy().run(bench.rankers[name], DAYS) for name in ("old", cause))
        old, new = twins.value(before, price), twins.value(after, price)
        effect = 100 * (new.sum() / old.sum() - 1)
        if effect < -10 and abs(twins.forecast(old, new) - effect) < NARROW / 2 - 0.5:  # By the tables alone, that is.
            break
    else:
        raise MlsysError(f"seed {seed} gives no twins", why="no feed got worse", fix="take another seed")
    before, after, kept, lost = before[:SHOWN], after[:SHOWN], new[:SHOWN].sum(), (old - new)[:SHOWN].sum()
    runs = {name: start.copy().run(bench.rankers[name], SHOWN) for name in CAUSES if name != cause}
    regained = dict.fromkeys(MENDS, 0.0)  # What changes no order brings nothing back.
    for name, ranker in twins.mends(cause, bench).items():
        regained[name] = 100 * (twins.value(start.copy().run(ranker, SHOWN), price).sum() - kept) / lost
    label, table = bench.labels[cause], bench.held_out(cause)
    auc_old, auc_new = (auc(label, table[name].to_numpy()).value for name in ("old", "new"))
    error = 1.96 * (auc_new - auc_old) / -ahead["report"]
    key = {
        "cause": cause,
        "yes": 100 * float(label.mean()),
        "was": dict(before[COLUMNS].mean()),
        "here": dict(after[COLUMNS].mean()),
        "rivals": {name: dict(run[COLUMNS].mean()) for name, run in runs.items()},
        "verdicts": {name: _verdicts(run, after, before) for name, run in runs.items()},
        "effect": effect,
        "ahead": ahead,
        "regained": regained,
        "idle": tuple(name for name in MENDS if name not in twins.mends(cause, bench)),
    }
    shown = {"price": price, "window": window, "rows": len(table), "users": twins.USERS, "shown": SHOWN, "days": DAYS,
             "auc_old": auc_old, "auc_new": auc_new, "gain": auc_new - auc_old,
             "gain_low": auc_new - auc_old - error, "gain_high": auc_new - auc_old + error}  # fmt: skip
    tables = {"old": before.reset_index(names="day"), "new": after.reset_index(names="day"), "held_out": table}
    for name in ("old", "new"):
        tables[name]["day"] += 1
    return Variant(shown, key, tables)


def _verdicts(rival: pd.DataFrame, here: pd.DataFrame, old: pd.DataFrame) -> dict[str, str]:
    """By column, whether the run of a rival did the same as the new twin."""
    gap = rival[COLUMNS] - here[COLUMNS]
    far, error = gap.mean().abs() / old[COLUMNS].mean(), gap.std() / np.sqrt(SHOWN) / old[COLUMNS].mean()
    return {name: "differs" if far[name] >= MOVED and far[name] >= 4 * error[name]
            else "same" if far[name] <= QUIET or far[name] <= min(MOVED, 2 * error[name]) else "unclear"
            for name in COLUMNS}  # fmt: skip


def cause(answer: Answer, variant: Variant) -> Evidence:
    """What was framed another way, and how often its label says yes."""
    key, said = variant.key, answer["cause"]
    if said != key["cause"]:
        run, here, far = key["rivals"][said], key["here"], key["verdicts"][said]
        tell = max(COLUMNS, key=lambda one: (far[one] == "differs", abs(run[one] - here[one]) / key["was"][one]))
        return Evidence(0, f"were it {said}, {tell} would be {run[tell]:.3g}; here it is {here[tell]:.3g}")
    told = f"the run of {said} gives these tables"
    if abs(answer["yes"] - key["yes"]) <= 2.5:
        return Evidence(3, f"{told}; its label says yes in {key['yes']:.1f} % of the rows")
    return Evidence(2, f"{told}; but count the rows with a yes again: {answer['yes']:.3g} % it is not")


def rivals(answer: Answer, variant: Variant) -> Evidence:
    """Rivals excluded by columns that they would have treated otherwise, as their own runs did."""
    key, wrong, unclear = variant.key, [], 0
    good: dict[str, set[str]] = {}
    for row in answer["ruled_out"]:
        name, column = str(row["rival"]), str(row["column"])
        verdict = key["verdicts"].get(name, {}).get(column)
        if verdict == "differs":
            good.setdefault(name, set()).add(column)
        elif verdict == "unclear":
            unclear += 1
        elif verdict == "same":
            wrong.append(f"{column} would look about as it does here, were it {name}")
    columns = set().union(*good.values())
    told = f"{len(good)} ruled out, by {len(columns)} column{'s' * (len(columns) != 1)}"
    points = max(0, min(3, len(good) - len(wrong), 1 + len(columns)))
    if any(row["rival"] == key["cause"] for row in answer["ruled_out"]):
        return Evidence(min(1, points), f"{told}; but nothing rules out {key['cause']}")
    if wrong:
        return Evidence(points, f"{told}; but {wrong[0]}")
    if points == 3:
        return Evidence(3, f"{told}: in their own runs these columns do otherwise than here")
    noisy = f"; {unclear} too near to say" if unclear else ""
    return Evidence(points, f"{told}: it takes three rivals, and two columns{noisy}")


def effect(answer: Answer, variant: Variant) -> Evidence:
    """Value lost over all the days, those that nobody has seen included."""
    (low, high), truth = answer["effect"], variant.key["effect"]
    told = f"you said {low:.3g} to {high:.3g} %, the twins say {truth:.1f} %"
    if not low <= truth <= high:
        return Evidence(0, f"{told}; missed: value is sessions times what a session gives, and both move")
    wide = high - low
    points = 3 if wide <= NARROW + 0.01 else 2 if wide <= WIDE + 0.01 else 1
    return Evidence(points, told + ("" if points == 3 else f"; {wide:.3g} points are wide"))


def measure(answer: Answer, variant: Variant) -> Evidence:
    """Which measures of the test day put the old ranker ahead, as the feed did."""
    ahead, said = variant.key["ahead"], set(answer["tells"])
    missed = [name for name, z in ahead.items() if z >= CLEAR and name not in said]
    fooled = [name for name in ahead if ahead[name] <= -CLEAR and name in said]
    errors = len(missed) + len(fooled) + ("report" in fooled)
    notes = [f"{name} puts the new one ahead, by {-ahead[name]:.1f} standard errors" for name in fooled[:1]]
    notes += [f"{len(missed)} more would have told"] * bool(missed)
    told = "; ".join(notes) or "each of them puts the old one ahead, as the feed did, or is too near to say"
    return Evidence(max(0, 3 - errors), told)


def mend(answer: Answer, variant: Variant) -> Evidence:
    """What brings most back tonight, and what moves no post past another."""
    regained, said, idle = variant.key["regained"], answer["mend"], set(variant.key["idle"])
    right, errors = regained[said] >= max(regained.values()) - 15, idle ^ set(answer["idle"])
    told = f"{said} brings back {regained[said]:.0f} % of what was lost in {SHOWN} days"
    if said in idle:
        told = f"{said} moves no post past another in any session: nothing comes back"
    elif not right:
        told += "; something else brings more"
    for name in sorted(errors)[:1]:
        told += f"; {name} {'does not change' if name in idle else 'does change'} the order of a session"
    return Evidence(max(1, 3 - len(errors)) if right else int(not errors), told)


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"effect": variant.key["effect"]}
