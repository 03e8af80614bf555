"""A colleague's page on how to frame the feed: eight statements about one day's tables, three of them do not hold.

The key is counted from the tables and from exact values of orders; a statement holds if its figure says so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from mlsys.core import generator, microseconds
from mlsys.drills import Answer, Evidence, Variant
from mlsys.world import Incident, Oracle, Random, World, recency

NEAR = {"labels": 0.3, "window": 0.3, "slots": 2.0, "devices": 1.0, "price": 0.5, "target": 0.02, "head": 4.0,
        "gate": 0.7}  # fmt: skip
"""By statement, how far off its figure may be: rounding, and a choice at the border."""

PRICES = (0, 1, 2, 3, 4, 6, 8, 12, 20)
STATEMENTS = tuple(NEAR)


def variant(seed: int) -> Variant:
    """A day of shuffled feeds, and a page on which three of eight statements are made not to hold."""
    rng = generator(seed, 1)
    bad = set(rng.permutation(STATEMENTS)[:3].tolist())
    spike = [Incident("null_spike", 0, 1, float(rng.uniform(0.3, 0.6)))] if "devices" in bad else []
    attention = float(rng.uniform(0.0, 0.02) if "slots" in bad else rng.uniform(0.4, 0.8))
    world = World(seed=seed, users=1_500, n_jobs=1, incidents=spike, attention=attention, duplicate_share=0.0,
                  delay_minutes=float(rng.uniform(20, 60)))  # fmt: skip
    created = microseconds(world.catalogue()["created"])
    orders = _orders(world, created)
    day = world.step(Random())
    log, truth = _log(day.log, day.p_like.astype(np.float64), "head" in bad, "gate" in bad, rng)
    likes, rows, liked = orders["likes"], log[log["action"] != ""], log[log["action"] == "like"]
    price = _price(orders, "price" in bad, rng)
    late = np.quantile(liked["minutes"], 1 - (rng.uniform(0.05, 0.2) if "window" in bad else rng.uniform(0.004, 0.012)))
    wait, best = float(5 * round(late / 5)), float(likes["likes alone"])
    base = 100 * len(liked) / (len(log) if "labels" in bad else len(rows))
    target = round(best * rng.uniform(*((1.06, 1.3) if "target" in bad else (0.85, 0.97))), 2)
    figures = {
        "labels": 100 * len(liked) / len(rows),
        "window": 100 * float((liked["minutes"] > wait).mean()),
        "slots": 100 * _liked(log, (9, 10)) / _liked(log, (1, 2)),
        "devices": 100 * float((log["action"] == "")[log["device"] == "iOS"].mean()),
        "price": 100 * (1 - float(likes[f"price {price}"]) / best),
        "target": best,
        "head": 100 * float(rows["head"].sum() / len(liked)),
        "gate": 100 * _pairs(rows, "a"),
    }
    other = 100 * float((log["action"] == "")[log["device"] != "iOS"].mean())
    holds = {
        "labels": abs(figures["labels"] - base) < 0.5,
        "window": figures["window"] < 3,
        "slots": figures["slots"] < 80,
        "devices": abs(figures["devices"] - other) < 4,
        "price": figures["price"] < 10,
        "target": target <= best,
        "head": abs(figures["head"] - 100) < 15,
        "gate": figures["gate"] > 100 * _pairs(rows, "b"),
    }
    wrong = tuple(name for name in STATEMENTS if not holds[name])
    shown = {"base": base, "wait": wait, "price": price, "target": target, "rows": len(log),
             "auc_a": truth["a"], "auc_b": truth["b"]}  # fmt: skip
    return Variant(shown, {"wrong": wrong, "figures": figures}, {"log": log, "orders": orders.reset_index()})


def _orders(world: World, created: np.ndarray) -> pd.DataFrame:
    """What each order earns per session, exactly."""
    priced = [Oracle(f"price {k}", {"like": 1.0, "share": 1.0, "dislike": -float(k)}) for k in PRICES]
    found = world.value([Random("shuffled"), recency(created), Oracle("likes alone"), *priced])
    found = found[["like", "share", "dislike"]].set_axis(["likes", "shares", "dislikes"], axis=1)
    return found.rename(index={"recency": "newest first"}).rename_axis("order").round(3)


def _log(
    log: pd.DataFrame, p: np.ndarray, off: bool, blind: bool, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The day's rows with the numbers of a like head and of two rankers, and the AUC of these."""
    user, score = log["user_id"].to_numpy(), logit(p)
    mean = (np.bincount(user, score) / np.maximum(np.bincount(user), 1))[user]
    noise = rng.standard_normal((2, len(log)))
    # One knows who likes a lot, the other, trained on pairs of a session, has no reason to.
    a = 2.0 * mean + (0.54 if blind else 1.6) * (score - mean) + 0.6 * noise[0]
    b = 0.75 * (score - mean) + 0.6 * noise[1] - 1.5 * mean
    action, minutes = log["action"].astype(object).fillna("").astype(str), _minutes(log)
    seen = (action != "").to_numpy()
    head = rng.uniform(0.92, 1.08) * p * (action == "like")[seen].sum() / p[seen].sum()
    if off:  # Trained on every like and a part of the rest, and not put back.
        head = expit(logit(np.clip(head, 1e-6, 1 - 1e-6)) + np.log(rng.uniform(2.0, 4.0)))
    table = pd.DataFrame(
        {
            "session": log["session_id"],
            "slot": log["position"],
            "device": log["device"].astype(object).fillna("other").astype(str),
            "action": action,
            "minutes": np.where(action == "like", minutes, np.nan).round(1),
            "head": head.round(4),
            "a": a.round(4),
            "b": b.round(4),
        }
    )
    rows = table[table["action"] != ""]
    liked = (rows["action"] == "like").to_numpy()
    return table, {name: _auc(liked, rows[name].to_numpy()) for name in ("a", "b")}


def _minutes(log: pd.DataFrame) -> np.ndarray:
    return (microseconds(log["arrival_time"]) - microseconds(log["event_time"])) / 60e6


def _auc(liked: np.ndarray, score: np.ndarray) -> float:
    rank = np.argsort(np.argsort(score, kind="stable")) + 1
    m = liked.sum()
    return float((rank[liked].sum() - m * (m + 1) / 2) / (m * (len(liked) - m)))


def _pairs(rows: pd.DataFrame, score: str) -> float:
    """Of all pairs of a session, one liked and one not, the share with the liked one above."""
    by = rows.sort_values(["session", score])
    liked = (by["action"] == "like").to_numpy()
    session = by["session"].to_numpy()
    below = np.cumsum(~liked)
    first = np.append(True, session[1:] != session[:-1])
    before = np.maximum.accumulate(np.where(first, below - ~liked, 0))
    below = below - before - ~liked
    others = pd.Series(~liked).groupby(session).transform("sum").to_numpy()
    return float(below[liked].sum() / others[liked].sum())


def _liked(log: pd.DataFrame, slots: tuple[int, int]) -> float:
    return float((log.loc[log["slot"].isin(slots), "action"] == "like").mean())


def _price(orders: pd.DataFrame, dear: bool, rng: np.random.Generator) -> int:
    """A price that costs clearly more than a tenth of the likes, or clearly less."""
    lost = {k: 1 - float(orders["likes"][f"price {k}"] / orders["likes"]["likes alone"]) for k in PRICES}
    fit = [k for k in PRICES if (lost[k] > 0.12 if dear else 0.0 < lost[k] < 0.085)]
    return int(rng.choice(fit or [PRICES[-1] if dear else 1]))


def _figures(answer: Answer, variant: Variant, field: str) -> tuple[set[str], list[str]]:
    """Statements of a field whose figure is right, and what is off, in words."""
    right, off = set(), []
    for row in answer[field]:
        name, said, truth = str(row["statement"]), float(row["figure"]), variant.key["figures"][str(row["statement"])]
        if abs(said - truth) <= NEAR[name]:
            right.add(name)
        else:
            off.append(f"{name}: you have {said:g}, the tables say {truth:.3g}")
    return right, off


def wrong(answer: Answer, variant: Variant) -> Evidence:
    """Which three statements the tables contradict."""
    said, truth = set(answer["wrong"]), set(variant.key["wrong"])
    missed, accused = sorted(truth - said), sorted(said - truth)
    told = f"{len(said & truth)} of {len(truth)} found"
    if accused:
        told += f"; the tables bear out {', '.join(accused)}"
    if missed:
        told += f"; {len(missed)} that they contradict left standing"
    return Evidence(max(0, 3 - len(missed) - len(accused)), told)


def figures(answer: Answer, variant: Variant) -> Evidence:
    """The right figure of each statement that does not hold."""
    truth = set(variant.key["wrong"])
    if len(answer["figures"]) > len(truth) + 1:
        return Evidence(0, f"{len(answer['figures'])} figures: a review that corrects everything corrects nothing")
    right, off = _figures(answer, variant, "figures")
    hits = right & truth
    told = f"{len(hits)} of {len(truth)} corrected with a figure of the tables"
    return Evidence(min(3, len(hits)), "; ".join([told, *off[:1]]))


def cleared(answer: Answer, variant: Variant) -> Evidence:
    """Statements that hold, with the figure that clears them."""
    truth = set(variant.key["wrong"])
    right, off = _figures(answer, variant, "cleared")
    off += [f"{name} is cleared, and the tables contradict it" for name in sorted(_named(answer) & truth)]
    if len(_named(answer)) > 5:
        return Evidence(0, "eight statements, five at most can hold")
    hits = right - truth
    told = f"{len(hits)} cleared with a figure of the tables"
    points = 0 if _named(answer) & truth else min(3, len(hits)) if not off else min(1, len(hits))
    return Evidence(points, "; ".join([told, *off[-1:]]))


def _named(answer: Answer) -> set[str]:
    return {str(row["statement"]) for row in answer["cleared"]}
