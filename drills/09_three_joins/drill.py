"""Which store does what with one definition: a small log, a feature store that is right, and eight ways to be wrong.

The right column is what `mlsys.FeatureStore` joins. A defect is the definition with one condition changed, over all
(label, event) pairs at once. Three defects are drawn; labels are drawn until every defect shows on a few rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlsys import FeatureStore
from mlsys.core import ACTIONS, MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.features import Aggregation, Entity, FeatureView

DEFECTS = ("loses_rows", "ignores_ttl", "ignores_arrival", "sees_its_instant", "counts_repeats", "a_day_old",
           "window_by_arrival", "rounds_down")  # fmt: skip
STORES, USERS, EVENTS, LABELS, DAYS = ("A", "B", "C"), 9, 150, 40, 12
START, HOUR = np.datetime64("2026-03-02", "s"), np.timedelta64(3_600, "s")
WINDOW, TTL, DAY = 48 * HOUR, 72 * HOUR, 24 * HOUR
VIEW = FeatureView(
    "user",
    Entity("user", "user_id"),
    (Aggregation("likes_48h", "sum", column="action", equals="like", window_days=2),),
    ttl_days=3,
)
LOST, EMPTY = -2.0, -1.0
"""What stands for a row that a store did not return, and for an empty value in an answer."""


def variant(seed: int) -> Variant:
    """A log, labels and the answers of three stores."""
    for attempt in range(1, 200):
        rng = generator(seed, attempt)
        log, labels = _log(rng), pd.DataFrame()
        labels = _labels(rng, log)
        right = _joined(log, labels)
        columns = {name: answer(name, log, labels) for name in DEFECTS}
        shows = {name: _differ(column, right) for name, column in columns.items()}
        apart = all(_differ(columns[a], columns[b]).any() for i, a in enumerate(DEFECTS) for b in DEFECTS[:i])
        if apart and all(2 <= wrong.sum() <= LABELS // 2 for wrong in shows.values()):
            break
    else:
        raise MlsysError(f"seed {seed} gives no log", why="some defect never shows", fix="take another seed")
    drawn = [DEFECTS[i] for i in rng.permutation(len(DEFECTS))[: len(STORES)]]
    arrived_only = {name: answer(name, log, labels, forget=True) for name in drawn}
    key = {
        "defects": dict(zip(STORES, drawn, strict=True)),
        "right": dict(zip(labels["label"].tolist(), np.nan_to_num(right, nan=EMPTY).tolist(), strict=True)),
        "wrong": {store: labels["label"][shows[name]].tolist() for store, name in zip(STORES, drawn, strict=True)},
        "leaks": tuple(s for s, name in zip(STORES, drawn, strict=True)
                       if _differ(columns[name], arrived_only[name]).any()),
    }  # fmt: skip
    answers = pd.concat(
        [
            labels[["label"]].assign(store=store, likes_48h=columns[name])
            for store, name in zip(STORES, drawn, strict=True)
        ]
    )
    answers = answers[answers["likes_48h"] != LOST][["store", "label", "likes_48h"]]
    tables = {"events": log.drop(columns="post_id"), "labels": labels, "answers": answers.reset_index(drop=True)}
    return Variant({"labels": float(LABELS)}, key, tables)


def answer(defect: str, log: pd.DataFrame, labels: pd.DataFrame, *, forget: bool = False) -> np.ndarray:
    """What a store with this defect joins to the labels, float64, NaN for empty. `forget`: as if nothing existed that
    had not arrived before the label's instant."""
    at = labels["event_time"].to_numpy("M8[s]")[:, None]
    happened, arrived = (log[name].to_numpy("M8[s]")[None, :] for name in ("event_time", "arrival_time"))
    exists = arrived < at if forget else np.ones((len(labels), len(log)), bool)
    when = at.astype("M8[D]").astype("M8[s]") if defect == "a_day_old" else at
    mine = exists & (labels["user_id"].to_numpy()[:, None] == log["user_id"].to_numpy()[None, :])
    clock = happened if defect == "ignores_arrival" else arrived
    known = mine & (clock <= when if defect == "sees_its_instant" else clock < when)
    if defect != "counts_repeats":
        known &= ~log["event_id"].duplicated().to_numpy()
    since = arrived if defect == "window_by_arrival" else happened
    recent = known & (since >= when - (47 * HOUR if defect == "rounds_down" else WINDOW))
    likes = (recent & (log["action"] == "like").to_numpy()).sum(axis=1).astype(np.float64)
    newest = np.where(known, clock, np.datetime64(0, "s")).max(axis=1)
    old = when[:, 0] - newest > TTL
    likes[~known.any(axis=1) | (old & (defect != "ignores_ttl"))] = np.nan
    return np.where(np.isnan(likes) & (defect == "loses_rows"), LOST, likes)


def defects(answer: Answer, variant: Variant) -> Evidence:
    """One point per store."""
    said = _by_store(answer["defects"], "defect")
    right = [store for store in STORES if said.get(store) == variant.key["defects"][store]]
    missed = [store for store in STORES if store not in right]
    if not missed:
        return Evidence(3, "All three stores do what you say: their answers are those of that defect, row by row.")
    wrong = ", ".join(f"{store} is not {said[store]}" if store in said else f"nothing on {store}" for store in missed)
    return Evidence(
        len(right),
        f"{len(right)} of 3: {wrong}. A defect that fits most rows is not the defect; it has to give the store's "
        "answer on every row.",
    )


def proof(answer: Answer, variant: Variant) -> Evidence:
    """A label that the store gets wrong, and what belongs there."""
    key, good, reasons = variant.key, 0, []
    rows = {str(row["store"]): row for row in answer["proof"]}
    for store in STORES:
        row = rows.get(store)
        label = row["label"] if row else None
        if row is None or label not in key["right"]:
            reasons.append(f"no label for {store}")
        elif label not in key["wrong"][store]:
            reasons.append(f"{store} is right on label {label:.0f}")
        elif row["right"] != key["right"][label]:
            reasons.append(f"label {label:.0f} is wrong in {store}, and {row['right']:g} does not belong there either")
        else:
            good += 1
    if good == 3:
        return Evidence(3, "Each of your three rows is wrong in its store, and what you put there is what had arrived.")
    return Evidence(good, f"{good} of 3 shown: {'; '.join(reasons)}.")


def extent(answer: Answer, variant: Variant) -> Evidence:
    """Wrong rows per store, to the row."""
    said = _by_store(answer["wrong_rows"], "rows")
    found = {store: len(labels) for store, labels in variant.key["wrong"].items()}
    right = [store for store in STORES if said.get(store) == found[store]]
    if len(right) == 3:
        return Evidence(3, f"Yes: {', '.join(f'{store} {n}' for store, n in found.items())} of {LABELS} rows.")
    off = ", ".join(f"{store} {said.get(store, 'nothing')}" for store in STORES if store not in right)
    return Evidence(
        len(right),
        f"{len(right)} of 3 counts are right; not: {off}. Join it yourself and compare by label: a lost row, and a "
        "number where nothing belongs, are wrong too.",
    )


def leaks(answer: Answer, variant: Variant) -> Evidence:
    """Which stores change when what had not arrived is deleted."""
    said, found = {name for name in answer["leaks"] if name != "none"}, set(variant.key["leaks"])
    if said == found:
        return Evidence(3,
                        "Deleting what had not arrived changes these stores' answers, and no other's.")  # fmt: skip
    extra, missing = sorted(said - found), sorted(found - said)
    text = [f"{name} does not change when the future is deleted: it is wrong, and it leaks nothing" for name in extra]
    text += [f"{name} answers from events that had not arrived" for name in missing]
    return Evidence(1 if len(extra) + len(missing) == 1 else 0, "; ".join(text) + ".")


def _log(rng: np.random.Generator) -> pd.DataFrame:
    """Deliveries in order of arrival: mostly prompt, some hours late, one user in one go, some twice."""
    user = rng.choice(USERS, EVENTS, p=np.linspace(3, 0.4, USERS) / np.linspace(3, 0.4, USERS).sum()) + 1
    happened = START + rng.integers(0, DAYS * 86_400, EVENTS).astype("m8[s]")
    delay = np.where(rng.random(EVENTS) < 0.8, rng.integers(5, 120, EVENTS), rng.integers(3_600, 40 * 3_600, EVENTS))
    arrived = happened + delay.astype("m8[s]")
    filled, moment = 3, START + np.timedelta64(7 * 24 + int(rng.integers(0, 24)), "h")
    late = (user == filled) & (happened > moment - 4 * DAY) & (happened < moment)
    arrived[late] = moment
    log = pd.DataFrame(
        {
            "event_id": np.arange(1, EVENTS + 1) + 1_000,
            "user_id": user,
            "post_id": rng.integers(1, 500, EVENTS),
            "action": pd.Categorical(rng.choice(list(ACTIONS), EVENTS, p=[0.45, 0.1, 0.35, 0.1]), list(ACTIONS)),
            "event_time": happened.astype("M8[us]"),
            "arrival_time": arrived.astype("M8[us]"),
        }
    )
    again = log.sample(14, random_state=rng)
    again = again.assign(arrival_time=again["arrival_time"] + pd.to_timedelta(rng.integers(60, 7_200, 14), unit="s"))
    return pd.concat([log, again]).sort_values("arrival_time", kind="stable", ignore_index=True)


def _labels(rng: np.random.Generator, log: pd.DataFrame) -> pd.DataFrame:
    """Random moments of random users, a few at the very second at which one of their events arrives."""
    user = rng.integers(1, USERS + 2, LABELS)  # The last one is nobody.
    at = START + rng.integers(2 * 86_400, (DAYS + 2) * 86_400, LABELS).astype("m8[s]")
    exact = log.drop_duplicates("event_id").sample(5, random_state=rng)
    user[:5], at[:5] = exact["user_id"], exact["arrival_time"].to_numpy("M8[s]")
    labels = pd.DataFrame({"user_id": user, "event_time": at.astype("M8[us]")})
    labels = labels.sort_values("event_time", kind="stable", ignore_index=True)
    return labels.assign(label=np.arange(1, LABELS + 1))[["label", "user_id", "event_time"]]


def _joined(log: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    store = FeatureStore()
    store.apply(VIEW)
    store.ingest(log)
    return store.get_historical_features(labels, VIEW.refs)[VIEW.refs[0]].to_numpy(np.float64)


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return ~((one == other) | (np.isnan(one) & np.isnan(other)))


def _by_store(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    return {str(row["store"]): row[column] for row in rows}
