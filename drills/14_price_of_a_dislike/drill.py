"""The price of a dislike: a sweep that was run, a worth, a guardrail, and every point at which the choice flips."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.orchestration.framing import month
from mlsys.world import Random, World
from mlsys.world.rankers import VALUE_WEIGHTS

PRICES = (0, 1, 2, 4, 8, 16, 32)
USERS, WARM_UP = 280, 3
NONE = -1.0


def variant(seed: int) -> Variant:
    """Seven months, a worth in whose middle some price is best, and a guardrail that forbids it, or the next one."""
    rng = generator(seed, 1)
    days = int(rng.integers(13, 18))
    runs = {price: month(seed, weights(price), users=USERS, days=days, warm_up=WARM_UP) for price in PRICES}
    alone = month(seed, {"like": 1.0}, users=USERS, days=days, warm_up=WARM_UP)
    rows = [
        (price, round(run["today"].iloc[0], 3), round(run["likes"].iloc[-1], 2), round(100 * run["kept"].iloc[-1], 1))
        for price, run in runs.items()
    ]
    sweep = pd.DataFrame(rows, columns=["price", "today", "likes", "kept"])
    worth = _worth(sweep, rng)
    best = int(np.argmax(value(sweep, worth)))
    loss = losses(sweep)
    limits = [float(loss[best + 1] + 1.5) if best + 1 < len(PRICES) else float(loss[best] + 1.5)]
    if best > 1:
        limits.insert(int(rng.random() < 0.3), float(loss[[best - 1, best]].mean()))  # One that binds, mostly first.
    flipping = [at for at in limits if max(choice(sweep, worth, at)[way] for way in ("up", "down")) > NONE]
    limit = round((flipping or limits)[0], 1)
    shadow = int(rng.choice([4, 8, 16]))
    each = pd.DataFrame({"day": runs[shadow].index, "likes_alone": _daily(alone), "shadow": _daily(runs[shadow])})
    log = World(seed=seed, users=USERS).step(Random()).log["action"].value_counts(normalize=True)
    shown: dict[str, float] = {name: round(100 * float(log[name]), 1) for name in VALUE_WEIGHTS}
    shown |= {"days": float(days), "worth": float(worth), "limit": limit, "shadow": float(shadow)}
    steep = {name: shown[name] / 100 * (1 - shown[name] / 100) for name in VALUE_WEIGHTS}
    ratio = steep["like"] / steep["dislike"]
    key = {
        **choice(sweep, worth, limit),
        "turns": turn(each),
        "got": shadow * ratio,
        "write": shadow / ratio,
        "shadow": float(shadow),
        "limit": limit,
        "worth": float(worth),
    }
    return Variant(shown, key, {"sweep": sweep, "days": each})


def weights(price: float) -> dict[str, float]:
    return {**VALUE_WEIGHTS, "dislike": -float(price)}


def value(sweep: pd.DataFrame, worth: float) -> np.ndarray:
    """Likes per user of day 1, kept users counted at their worth, float64 (prices,)."""
    return (sweep["likes"] + worth * sweep["kept"] / 100).to_numpy()


def losses(sweep: pd.DataFrame) -> np.ndarray:
    """Percent of the likes of day 1 that each price loses against price 0."""
    return (100 * (1 - sweep["today"] / sweep["today"].iloc[0])).to_numpy()


def choice(sweep: pd.DataFrame, worth: float, limit: float) -> dict[str, float]:
    """What is best within the guardrail, where that flips, and what the guardrail costs."""
    loss, worths = losses(sweep), value(sweep, worth)
    allowed = np.flatnonzero(loss <= limit)
    best = int(allowed[np.argmax(worths[allowed])])
    free = int(np.argmax(worths))
    likes, kept, price = sweep["likes"].to_numpy(), sweep["kept"].to_numpy() / 100, sweep["price"].to_numpy()
    found = {"ship": float(price[best]), "today": float(loss[best]), "guard": float(loss[free]),
             "free": float(price[free]), "gives_up": float(worths[free] - worths[best])}  # fmt: skip
    for name, sign in (("up", 1), ("down", -1)):
        rivals = [i for i in allowed if sign * (kept[i] - kept[best]) > 0]
        at = {int(i): (likes[best] - likes[i]) / (kept[i] - kept[best]) for i in rivals}
        there = {i: w for i, w in at.items() if w >= 0}
        near = min(there, key=lambda i: (sign * there[i], price[i])) if there else None
        found[name] = NONE if near is None else float(there[near])
        found[f"{name}_to"] = NONE if near is None else float(price[near])
    return found


def turn(each: pd.DataFrame) -> float:
    """The first day from which on the sum of `shadow` is above that of likes alone, to the end; -1 if there is none."""
    behind = (each["shadow"].cumsum() <= each["likes_alone"].cumsum()).to_numpy()
    last = int(np.flatnonzero(behind).max()) + 1 if behind.any() else 0
    return NONE if last == len(each) else float(each["day"].iloc[last])


def ship(answer: Answer, variant: Variant) -> Evidence:
    """The best price that the guardrail allows, and its cost of today."""
    key, sweep = variant.key, variant.tables["sweep"]
    said = answer["ship"]
    if said not in PRICES:
        return Evidence(0, f"{said:g} is none of the prices that were run: you would ship what nobody has measured.")
    at = PRICES.index(int(said))
    loss, worths = losses(sweep)[at], value(sweep, key["worth"])
    if loss > key["limit"]:
        return Evidence(1, f"Price {said:g} loses {loss:.1f} % of the likes of day 1: the guardrail rolls it back.")
    if said != key["ship"]:
        short = worths[PRICES.index(int(key["ship"]))] - worths[at]
        near = abs(at - PRICES.index(int(key["ship"]))) == 1
        return Evidence(int(near), f"An allowed price is worth {short:.2f} likes per user more than {said:g}, with the "
                        "users that it keeps.")  # fmt: skip
    off = abs(answer["today"] - loss)
    if off > 0.3:
        return Evidence(2, f"Price {said:g}, yes. On day 1 it loses {loss:.1f} %, you said {answer['today']:.1f} %.")
    return Evidence(3, f"Price {said:g} has the most within the guardrail, and loses {loss:.1f} % on day 1.")


def flips(answer: Answer, variant: Variant) -> Evidence:
    """Two thresholds and the prices behind them."""
    key, said = variant.key, {row["direction"]: row for row in answer["flips"]}
    good, near, off = 0, 0, []
    for name in ("up", "down"):
        row = said.get(name)
        if row is None:
            off.append(f"nothing on {name}")
            continue
        at = _close(row["worth"], key[name])
        near += at
        good += at and (key[name] == NONE or row["price"] == key[f"{name}_to"])
        if not at:
            off.append(f"{name}: at {row['worth']:g} your price is still the best, or was not any more")
        elif key[name] != NONE and row["price"] != key[f"{name}_to"]:
            off.append(f"{name}: it flips there, but {row['price']:g} is not the price that takes over")
    if good == 2:
        return Evidence(3, "Both thresholds are where the table puts them, and the prices that take over are right.")
    return Evidence(2 if near == 2 else near, f"{good} of 2 hold: {'; '.join(off)}.")


def guard(answer: Answer, variant: Variant) -> Evidence:
    """From where on the guardrail does not bind, and its price until then."""
    key = variant.key
    binds = key["gives_up"] > 0
    where, cost = abs(answer["guard"] - key["guard"]), abs(answer["gives_up"] - key["gives_up"])
    exact = where <= 0.3 and cost <= max(0.05, 0.03 * key["gives_up"])
    rough = where <= 1 and cost <= max(0.2, 0.25 * key["gives_up"])
    told = "the guardrail forbids the best price" if binds else "the guardrail forbids nothing that you want"
    if exact:
        return Evidence(3, f"So it is: {told}, until it allows {key['guard']:.1f} %; it costs {key['gives_up']:.2f}.")
    if rough:
        return Evidence(2, f"About so: {told}. Not rounded it is {key['guard']:.1f} % and {key['gives_up']:.2f} likes.")
    one = where <= 1 or cost <= max(0.2, 0.25 * key["gives_up"])
    wrong = "the percent" if where > 1 else "the likes"
    return Evidence(int(one), f"Here {told}. Not right: {wrong if one else 'both numbers'}; look at the price that you "
                    "would ship without it.")  # fmt: skip


def turns(answer: Answer, variant: Variant) -> Evidence:
    """The day on which patience has paid."""
    right, said, each = variant.key["turns"], answer["turns"], variant.tables["days"]
    if said == right:
        return Evidence(
            3, f"From day {right:.0f} on it is ahead in total." if right > 0 else "It never is, in this table."
        )
    if right > 0 and said > 0 and abs(said - right) <= 1:
        return Evidence(2, f"By a day: it is ahead for good from day {right:.0f} on.")
    daily = each.loc[each["shadow"] > each["likes_alone"], "day"]
    first = float(daily.iloc[0]) if len(daily) else NONE
    if said == first:
        return Evidence(1, f"On day {said:.0f} it has more likes that day; what it lost before is not made up yet.")
    return Evidence(0, f"Day {said:g} is not it. Add up both columns, and look from the end backwards.")


def heads(answer: Answer, variant: Variant) -> Evidence:
    """The ratio of steepnesses, in both directions."""
    key = variant.key
    found = {name: answer[name] / key[name] - 1 for name in ("got", "write")}
    if all(abs(off) <= 0.05 for off in found.values()):
        return Evidence(3, f"{key['shadow']:g} in the configuration is {key['got']:.1f} in the feed: each head is "
                        "stretched by (1/4) / (p (1 - p)), the rare one most.")  # fmt: skip
    if all(abs(off) <= 0.2 for off in found.values()):
        return Evidence(2, f"About so; with p (1 - p) and not p it is {key['got']:.2f} and {key['write']:.2f}.")
    if abs(answer["got"] / key["write"] - 1) <= 0.2:
        return Evidence(1, "Upside down: the rarer label is stretched more, so a dislike comes to cost more.")
    if abs(answer["got"] / key["shadow"] - 1) <= 0.05:
        return Evidence(0, "The scores are no probabilities any more: heads of different base rates are stretched "
                        "differently, and with them the price.")  # fmt: skip
    good = [name for name, off in found.items() if abs(off) <= 0.2]
    return Evidence(len(good), f"Right: {', '.join(good) or 'neither'}. A price in front of a stretched head is a "
                    "stretched price.")  # fmt: skip


def _close(said: float, right: float) -> bool:
    return said == right if right == NONE else abs(said - right) <= max(1.0, 0.03 * abs(right))


def _daily(run: pd.DataFrame) -> np.ndarray:
    """Likes of each day, from likes so far."""
    return np.round(np.diff(run["likes"].to_numpy(), prepend=0.0), 2)


def _worth(sweep: pd.DataFrame, rng: np.random.Generator) -> int:
    """One that is not near a flip, drawn where a price in the middle is best, if there is one."""
    worths = np.arange(20, 500, 10)
    best = np.array([int(np.argmax(value(sweep, worth))) for worth in worths])
    ranked = np.sort(np.stack([value(sweep, worth) for worth in worths]), axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 0.08
    middle = clear & (best > 0) & (best < len(PRICES) - 1)
    return int(rng.choice(worths[middle if middle.any() else clear if clear.any() else slice(None)]))
