"""A fortnight of log of a small `mlsys.World`, one thing done to it, and what the log says where that would show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mlsys import World
from mlsys.core import MlsysError, generator
from mlsys.world import Oracle, Random

EVENTS = ("views_as_likes", "taps_lost", "repeats_same_id", "repeats_new_id", "other_zone", "other_unit", "queue",
          "taps_under_way", "new_people", "better_feed")  # fmt: skip
HONEST = EVENTS[-2:]
DEVICES, EVERY, DAYS, TAPS = ("iOS", "Android", "Web"), "every device", 14, ("like", "dislike", "share")
START, HOUR = np.datetime64("2026-03-02", "s"), np.timedelta64(3_600, "s")
DAY, NOW = 24 * HOUR, START + DAYS * 24 * HOUR
SIZES = {"users": 90, "new_users_per_day": 1.0, "creators": 40, "posts_per_day": 12, "candidates": 20,
         "activity_sd": 0.5, "duplicate_share": 0.0}  # fmt: skip
CONTENT = ["user_id", "post_id", "event_time"]
FEWEST = 50
"""Rows that are touched, at least."""


def draw(seed: int) -> tuple[str, str, int, pd.DataFrame, pd.DataFrame]:
    """What happened, where, since which day; the log, with `touched`; people. Ten seeds in a row are ten things."""
    event = EVENTS[generator(seed // 10, 1).permutation(len(EVENTS))[seed % 10]]
    for attempt in range(1, 100):
        rng = generator(seed, 2, attempt)
        first, where = int(rng.integers(6, 12)), str(rng.choice(DEVICES))
        if event in EVENTS[7:] or (event.startswith("repeats") and rng.random() < 0.4):
            where = EVERY
        log, people = _feed(100 * seed + attempt, event, first)
        log = _happen(log.merge(people, on="user_id"), event, where, first, rng)
        log = log[log["arrival_time"] < NOW].sort_values("arrival_time", kind="stable").reset_index(drop=True)
        if event != "repeats_same_id":
            log["event_id"] = np.arange(len(log)) + 1_000
        if log["touched"].sum() >= FEWEST and _clear(log, event, where, first):
            return event, where, first, log, people
    raise MlsysError(f"seed {seed} gives no log", why="what happened never shows", fix="take another seed")


def _feed(seed: int, event: str, first: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a small feed delivers, and when its people joined; 0: before the fortnight."""
    world, days = World(seed=seed, start=str(START), n_jobs=1, **SIZES), []  # type: ignore[arg-type]
    for day in range(1, DAYS + 1):
        if event == "new_people" and day == first - 1:  # They join in the night after it.
            world.p = replace(world.p, new_users_per_day=14.0)
        days.append(world.step(Oracle() if event == "better_feed" and day >= first else Random()).log)
    log = pd.concat(days, ignore_index=True).dropna(subset=["device"])
    log = log.merge(world.catalogue()[["post_id", "length"]].round(3), on="post_id", how="left")
    log = log.astype({"action": object, "device": object, "event_time": "M8[s]", "arrival_time": "M8[s]"})
    people = world.people()[["user_id"]].assign(joined_day=np.where(world.users.joined, world.users.joined + 1, 0))
    return log, people[people["joined_day"] <= DAYS]


def _happen(log: pd.DataFrame, event: str, where: str, first: int, rng: np.random.Generator) -> pd.DataFrame:
    """Do it to the rows; `touched` says to which."""
    since, u, size = START + (first - 1) * DAY, rng.random(len(log)), rng.random()
    arrival, mine = log["arrival_time"], (log["device"] == where) | (where == EVERY)
    new, tap, view = mine & (log["event_time"] >= since), log["action"].isin(TAPS), log["action"] == "view"
    if event == "views_as_likes":
        hit = new & view & (u < 0.3 + 0.3 * size)
        return log.assign(action=log["action"].mask(hit, "like"), touched=hit)
    if event == "taps_lost":
        hit = new & tap & (u < 0.55 + 0.35 * size)
        return log.assign(action=log["action"].mask(hit, "view"), touched=hit)
    if event.startswith("repeats"):
        extra = pd.concat([log[new & view & (u < 0.15 + 0.25 * size)]] * int(rng.integers(1, 4)))
        late = (rng.exponential(600, len(extra)) + 1).astype("m8[s]")
        extra = extra.assign(arrival_time=extra["arrival_time"] + late, touched=True)
        return pd.concat([log.assign(touched=False), extra], ignore_index=True)
    if event == "other_zone":
        shift = int(rng.choice([-8, -5, -3, 2, 5])) * HOUR
        return log.assign(event_time=log["event_time"].mask(new, log["event_time"] + shift), touched=new)
    if event == "other_unit":
        return log.assign(length=log["length"].mask(new, 100 * log["length"]).round(3), touched=new)
    if event == "queue":
        stands, runs = since + int(2 + 4 * size) * HOUR, since + int(17 + 5 * size) * HOUR
        hit = mine & (arrival >= stands) & (arrival < runs)
        return log.assign(arrival_time=arrival.mask(hit, runs + (90 * u).astype("m8[s]")), touched=hit)
    if event == "taps_under_way":
        late = arrival + rng.exponential(3_600 * (5 + 4 * size), len(log)).astype("m8[s]")
        hit = new & tap & (late >= NOW)
        log = log.assign(action=log["action"].mask(hit, "view"), touched=hit)
        return log.assign(arrival_time=arrival.mask(new & tap & ~hit, late))
    return log.assign(touched=log["event_time"] >= since if event == "better_feed" else log["joined_day"] >= first)


def day_of(log: pd.DataFrame) -> pd.Series:
    """Day of arrival, from 1."""
    return (log["arrival_time"] - START) // pd.Timedelta(DAY) + 1


def _clear(log: pd.DataFrame, event: str, where: str, first: int) -> bool:
    """Where a share changes: whether the likeliest day of the change is the true one, by far."""
    if event not in ("views_as_likes", "taps_lost", "better_feed"):
        return True
    rows = log[((log["device"] == where) | (where == EVERY)) & log["action"].notna()]
    hit = rows["action"].isin(TAPS if event == "taps_lost" else ("like",))
    k, n = (hit.groupby(day_of(rows)).agg(how).to_numpy(float) for how in ("sum", "size"))

    def fit(part: slice) -> float:
        p = k[part].sum() / n[part].sum()
        return float(k[part].sum() * np.log(p) + (n[part].sum() - k[part].sum()) * np.log(1 - p))

    found = {day: fit(slice(0, day - 1)) + fit(slice(day - 1, DAYS)) for day in range(2, DAYS + 1)}
    return found.pop(first) > max(found.values()) + 3


def reading(name: str, log: pd.DataFrame, people: pd.DataFrame, first: int) -> str:
    """What the log says, before `first` and since, where this would show."""
    hours = (log["arrival_time"] - log["event_time"]) / pd.Timedelta(HOUR)
    log, tapped = log.assign(h=hours, new=day_of(log) >= first), log["action"].isin(TAPS)
    if name in ("views_as_likes", "taps_lost", "better_feed"):
        what = TAPS if name == "taps_lost" else ("like",)
        log = log[log["action"].notna()].drop_duplicates(CONTENT)
        log, column, unit, digits = log.assign(x=100 * log["action"].isin(what)), "x", "%", 0
        told = f"{', '.join(what)}: share of the rows with an action, each row once"
    elif name == "other_unit":
        top = log[log["new"]].groupby("device")["length"].max()
        return "the largest length since then is " + ", ".join(f"{top[one]:.3g} on {one}" for one in DEVICES)
    elif name.startswith("repeats"):
        ids, rows = log["event_id"].duplicated().sum(), log.duplicated(CONTENT).sum()
        return f"{ids:,} rows repeat an event_id, and {rows:,} repeat user, post and event_time"
    elif name == "queue":
        burst = log.groupby(["device", log["arrival_time"].dt.floor("5min")]).size().max()
        return f"a device never has more than {burst:,} rows in five minutes"
    elif name == "new_people":
        spans = (1, first - 1), (first, DAYS)
        a, b = (people["joined_day"].between(low, high).sum() / (high - low + 1) for low, high in spans)
        return f"{a:.1f} people joined a day, then {b:.1f}"
    else:
        log, column, digits, unit = log[tapped] if name == "taps_under_way" else log[~tapped], "h", 1, "h"
        told = f"median hours from event to arrival of {'taps' if name == 'taps_under_way' else 'rows without a tap'}"
    by = log.groupby(["device", "new"])[column].agg("median" if column == "h" else "mean")
    return f"{told}: " + ", ".join(f"{d} {by[d, False]:.{digits}f} to {by[d, True]:.{digits}f} {unit}" for d in DEVICES)
