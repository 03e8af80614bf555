"""Six questions, each with two answers and two designs for them: likes, cores, p99 as measured; what asking saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlsys.capacity import LATENCY_CLASSES_MS, carried, plan, unit_costs
from mlsys.orchestration.requirements import USER_VIEWS, USERS, Design, Morning, months
from mlsys.world import Oracle

DESIGNS: Mapping[str, tuple[str, str]] = {
    "horizon": ("by_likes", "by_value"),
    "latency": ("all_candidates", "half_of_them"),
    "stack": ("trees", "dot_product"),
    "device": ("with_device", "without_device"),
    "ids": ("with_ids", "without_ids"),
    "history": ("trees", "dot_product"),
}
"""By question, the design for its first answer and the one for its second."""

PEOPLE, DAYS, SHORT, HEADS = 220, 6, 2, 3
"""Users of the measured world; days of its log, and of the short log; heads of the value function."""

LIMITS = {1: LATENCY_CLASSES_MS["near real time"], 2: LATENCY_CLASSES_MS["real time"]}
NEVER = -1.0
WEB = ("request:web",)


def measure(
    seed: int, *, heavy: int, tail: float, fixed_ms: float, last_day: int
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Rows of question, answer (1, 2), design, likes, cores, p99_ms; the month, by day; and popularity's likes.

    Likes are points: percent of those of trees that use all there is; on `horizon`, of the design that ranks by likes.
    Cores are for `USERS`. heavy : how much dearer the model is than the measured one. tail : p99 over mean of scoring.
    """
    full, short = (Morning(seed, users=PEOPLE, days=days) for days in (DAYS, SHORT))
    base, linear = Design(), Design(estimator="linear")
    best = full.likes(base)

    def points(design: Design) -> float:
        return 100 * full.likes(design) / best

    def scarce(design: Design) -> float:
        """With a short log: both as shares of what a perfect ranker gets on the same day."""
        return 100 * short.likes(design) / short.likes(Oracle()) / (best / full.likes(Oracle()))

    month = months(seed, users=PEOPLE)
    by_value = 100 * (1 + month["gain"])
    first, last = by_value[1], by_value[last_day]
    likes = {
        "horizon": ((100, first), (100, last)),
        "latency": ((100, points(Design(scored=0.5))),) * 2,
        "stack": ((100, points(linear)), (np.nan, points(linear))),
        "device": ((100, points(Design(without=WEB))), (points(Design(withheld=WEB)), points(Design(without=WEB)))),
        "ids": ((100, points(Design(without=USER_VIEWS))),
                (points(Design(withheld=USER_VIEWS)), points(Design(without=USER_VIEWS)))),
        "history": ((100, points(linear)), (scarce(base), scarce(linear))),
    }  # fmt: skip
    costs = unit_costs() | {"rank_500_us": unit_costs()["rank_500_us"] * heavy}
    need = plan([USERS], costs).query("case == 'mid'")["cores"].item()
    share = {"by_value": HEADS, "half_of_them": 0.5}
    popular = 100 * full.likes(full.popularity) / best
    rows = [
        (question, answer, design, round(popular if np.isnan(like) else like, 1), round(need * share.get(design, 1)),
         round(fixed_ms + tail * share.get(design, 1) * carried(1, costs)["rank_ms"]))
        for question, pairs in likes.items()
        for answer, pair in enumerate(pairs, 1)
        for design, like in zip(DESIGNS[question], pair, strict=True)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["question", "answer", "design", "likes", "cores", "p99_ms"])
    curve = pd.DataFrame({"day": month.index, "by_likes": 100.0, "by_value": by_value.round(1).to_numpy()})
    return table, curve, round(popular, 1)


def values(measured: pd.DataFrame, popular: float, exchange: float) -> dict[str, np.ndarray]:
    """By question, points net of cores: float64 (answers, designs)."""
    limit = measured["answer"].map(LIMITS).where(measured["question"] == "latency", np.inf)
    likes = measured["likes"].where(measured["p99_ms"] <= limit, popular)
    net = measured.assign(net=likes - measured["cores"] / exchange)
    return {name: net.loc[net["question"] == name, "net"].to_numpy().reshape(2, 2) for name in DESIGNS}


def worth(nets: Mapping[str, np.ndarray], odds: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """What every question saves at these odds (percent for the first answer), and where the unasked design flips."""
    found: dict[str, dict[str, Any]] = {}
    for name, net in nets.items():
        p = np.array([odds[name], 100 - odds[name]]) / 100
        loss = net.max(axis=1, keepdims=True) - net
        expected = p @ loss
        a, b = net[0, 0] - net[0, 1], net[1, 1] - net[1, 0]  # What the other design loses under either answer.
        found[name] = {
            "saves": float(expected.min()),
            "expected": expected.tolist(),
            "default": DESIGNS[name][int(expected.argmin())],
            "losses": (float(a), float(b)),
            "flips": float(100 * b / (a + b)) if a * b > 0 else NEVER,
            "price": float(abs(net.max(axis=1) @ [1, -1])),
        }
    return found


def band(one: Mapping[str, Any], minute: float) -> tuple[float, float]:
    """Odds of the first answer between which the question saves more than a minute; empty: (0, 0)."""
    a, b = one["losses"]
    return (minute / a, 1 - minute / b) if a > 0 and b > 0 and minute / a + minute / b < 1 else (0.0, 0.0)


def turns(month: pd.DataFrame, heads: float) -> tuple[int, ...]:
    """The first day from which on the value function is worth more, net; two days where the curve nearly touches."""
    lead = (month["by_value"] - month["by_likes"] - heads).to_numpy()
    paid = lead + heads > 0
    day, naive = (int(np.flatnonzero(~ahead).max()) + 2 for ahead in (lead > 0, paid))  # After the last day behind.
    if not naive + 1 < day < len(lead):
        return ()
    near = [one for one in (day - 1, day) if abs(lead[one - 1]) < 0.15]
    return tuple(sorted({day, *(one + int(lead[one - 1] <= 0) for one in near)}))


def clear(found: Mapping[str, Any], odds: Mapping[str, int], ask: tuple[str, ...], minute: float, hard: bool) -> bool:
    """No question nearly worth its minute, no design nearly as good; those asked are not just the least
    sure ones nor, if that can be had (`hard`), the dearest."""
    saves = {name: one["saves"] for name, one in found.items()}
    if any(0.7 * minute < points < 1.3 * minute for points in saves.values()):
        return False
    if any(abs(one["expected"][0] - one["expected"][1]) < 0.3 for one in found.values()):
        return False
    dear = sorted(found, key=lambda name: -found[name]["price"])[: len(ask)]
    unsure = sorted(odds, key=lambda name: abs(odds[name] - 50))[: len(ask)]
    return set(ask) != set(unsure) and not (hard and set(ask) == set(dear))
