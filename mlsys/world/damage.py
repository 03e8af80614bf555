"""What an incident does to a day's log, between the people and whoever reads it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import ACTIONS, generator
from mlsys.world.incidents import Incidents, struck

HOUR = 3_600_000_000
DAMAGE = 16
"""Random stream of a day."""

BOT = 1_000_000
"""User id of the first bot; there are `BOTS` of them."""
BOTS = 5
BOT_SESSION = 10
"""Impressions of a bot's session."""

RENAMED = "favourite"
"""What a new version of a client calls a like."""


def damage(log: pd.DataFrame, incidents: Incidents, seed: int, day: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The log (see `Day`) as it is delivered, and the row of the true one behind each row, int64 (n,), -1 for none."""
    row = np.arange(len(log))
    sizes = {kind: incidents.size(kind, day) for kind in STEPS}
    for i, (kind, size) in enumerate(sizes.items(), start=1):
        if size:
            log, origin = STEPS[kind](log, size, generator(seed, DAMAGE, day, i))
            row = np.where(origin >= 0, row[origin], -1)
    return log, row


Damaged = tuple[pd.DataFrame, np.ndarray]


def _same(log: pd.DataFrame) -> Damaged:
    return log, np.arange(len(log))


def _twice(log: pd.DataFrame, size: float, rng: np.random.Generator) -> Damaged:
    again = np.flatnonzero(rng.random(len(log)) < size)
    copies = log.iloc[again].assign(arrival_time=_later(log["arrival_time"].iloc[again], rng.random(len(again))))
    return pd.concat([log, copies], ignore_index=True), np.append(np.arange(len(log)), again)


def _late(log: pd.DataFrame, size: float, rng: np.random.Generator) -> Damaged:
    hours = np.where(rng.random(len(log)) < size, rng.uniform(24, 48, len(log)), 0.0)
    return _same(log.assign(arrival_time=_later(log["arrival_time"], hours)))


def _labels_late(log: pd.DataFrame, size: float, rng: np.random.Generator) -> Damaged:
    held = (log["action"] == "like").to_numpy() & (rng.random(len(log)) < size)
    return _same(log.assign(arrival_time=_later(log["arrival_time"], np.where(held, 36.0, 0.0))))


def _renamed(log: pd.DataFrame, size: float, _: np.random.Generator) -> Damaged:
    new = struck(log["user_id"].to_numpy(), size) & (log["action"] == "like").to_numpy()
    renamed = log["action"].astype(object).where(~new, RENAMED)
    return _same(log.assign(action=pd.Categorical(renamed, categories=[*ACTIONS, RENAMED])))


def _skewed(log: pd.DataFrame, size: float, _: np.random.Generator) -> Damaged:
    ahead = np.where(struck(log["user_id"].to_numpy(), size), 2.0, 0.0)
    return _same(log.assign(event_time=_later(log["event_time"], ahead)))


def _one_arm_lost(log: pd.DataFrame, size: float, rng: np.random.Generator) -> Damaged:
    session, back = np.unique(log["session_id"].to_numpy(), return_inverse=True)
    lost = (rng.random(len(session)) < size)[back] & (log["user_id"].to_numpy() % 2 == 1)
    kept = np.flatnonzero(~lost)
    return log.iloc[kept].reset_index(drop=True), kept


def _bots(log: pd.DataFrame, size: float, rng: np.random.Generator) -> Damaged:
    """Impressions by bots, who like what they are paid for: the three newest posts of the log."""
    n = round(size * log["session_id"].nunique()) * BOT_SESSION
    copied = np.sort(rng.choice(len(log), n))
    session = np.arange(n) // BOT_SESSION
    liked = rng.random(n) < 0.9
    fake = log.iloc[copied].assign(
        event_id=BOT * 10**6 + log["event_id"].max() * 10 + np.arange(n),
        user_id=BOT + session % BOTS,
        post_id=log["post_id"].max() - rng.integers(0, 3, n),
        action=pd.Categorical(np.where(liked, "like", "view"), categories=log["action"].cat.categories),
        session_id=BOT * 10**6 + log["session_id"].max() * 10 + session,
    )
    return pd.concat([log, fake], ignore_index=True), np.append(np.arange(len(log)), np.full(n, -1))


def _later(times: pd.Series, hours: np.ndarray) -> np.ndarray:
    return np.asarray(times.to_numpy() + (hours * HOUR).astype(np.int64).astype("timedelta64[us]"))


STEPS = {
    "duplicates": _twice,
    "late_data": _late,
    "label_delay": _labels_late,
    "schema_change": _renamed,
    "clock_skew": _skewed,
    "sample_ratio_mismatch": _one_arm_lost,
    "bots": _bots,
}
