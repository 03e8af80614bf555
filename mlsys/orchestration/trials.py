"""Experiments whose every outcome is known: sizes, splits, looks, spillover, launches; the later half of notebook 06.

A user has one outcome under each ranker. The world gives all of them, so any experiment can be run again with another
split, and what it says stands beside what is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlsys import evaluation as ev
from mlsys.core import ACTIONS, generator
from mlsys.evaluation import power, sequential
from mlsys.evaluation.decision import Decision, Guardrail, decide
from mlsys.evaluation.experiment import MISMATCH, Effect, assign, cuped, difference, explained, sample_ratio
from mlsys.orchestration.abtest import Arm
from mlsys.orchestration.judging import SLOTS, off_policy, shadow
from mlsys.world import Experiment, Model, Oracle, Random, Requests, TableRanker, World, behaviour, recency
from mlsys.world.parameters import ENJOYMENT
from mlsys.world.rankers import VALUE_WEIGHTS, Ranker


@dataclass(frozen=True)
class Outcomes:
    """What every user does under every ranker: an experiment reveals one of them per user, here all are known.

    likes, sessions, dislikes : per ranker, float64 (days, users). before : likes and sessions of the week before,
    (users,) each. auc : on the last random day, on which nothing was counted. off_policy : likes per session by SNIPS,
    from a log of the control; empty unless asked for. Users do not meet: nothing spills over.
    """

    likes: dict[str, np.ndarray]
    sessions: dict[str, np.ndarray]
    dislikes: dict[str, np.ndarray]
    before: dict[str, np.ndarray]
    auc: dict[str, float]
    off_policy: dict[str, float]


CONTROL = "popular"
CANDIDATES = ("popular + who", "newest", "like", "value")
"""Rankers of an `Outcomes`, each against the control."""


def counted(
    world: World, log: pd.DataFrame, name: str, weights: Mapping[str, float], *, topics: bool = True
) -> TableRanker:
    """Weighted responses per impression of every post, smoothed, and of every user in every topic beyond that."""
    post, user, each = log["post_id"].to_numpy(), log["user_id"].to_numpy(), world.p.topics
    worth = log["action"].astype(object).map(weights).fillna(0).to_numpy(np.float64)
    shown, total = np.bincount(post, minlength=len(world.posts)), np.bincount(post, worth, len(world.posts))
    rate = (total + 20 * worth.mean()) / (shown + 20)
    if not topics:
        return TableRanker(name, rate)
    cell, cells = user * each + world.posts.topic[post], len(world.users) * each
    extra = np.bincount(cell, worth - rate[post], cells) / (np.bincount(cell, minlength=cells) + 20)
    return TableRanker(name, rate, extra.reshape(-1, each), world.posts.topic)


def candidates(world: World, log: pd.DataFrame) -> dict[str, Arm]:
    """The control and what might replace it, all counted on one log of random order; `newest` looks every morning."""
    popular = counted(world, log, CONTROL, {"like": 1.0}, topics=False)
    user, liked = log["user_id"].to_numpy(), (log["action"] == "like").to_numpy(np.float64)
    shown = np.bincount(user, minlength=len(world.users))
    likes_a_lot = (np.bincount(user, liked, len(shown)) + 20 * liked.mean()) / (shown + 20)
    knows = Model("popular + who", lambda asked: popular.scores(asked) * likes_a_lot[asked.user_id][:, None])
    return {
        CONTROL: popular,
        "popular + who": knows,
        "newest": lambda world: recency(world.posts.created),
        "like": counted(world, log, "like", {"like": 1.0}),
        "value": counted(world, log, "value", VALUE_WEIGHTS),
    }


def started(
    seed: int, *, users: int = 2_000, **changes: Any
) -> tuple[World, dict[str, Arm], pd.DataFrame, pd.DataFrame]:
    """A world after a week of random order, the arms counted on six days of it, their log, and the last day's."""
    world = World(
        seed=seed, users=users, new_users_per_day=0, n_jobs=1, **{"live_days": 100, "posts_per_day": 12, **changes}
    )
    *learn, test = (world.step(Random()).log.drop_duplicates("event_id") for _ in range(7))
    log = pd.concat(learn)
    return world, candidates(world, log), log, test


def outcomes(
    seed: int,
    *,
    users: int = 2_000,
    days: int = 28,
    names: Sequence[str] = CANDIDATES,
    logged: bool = False,
    **changes: Any,
) -> Outcomes:
    """A week of random order, and from there every ranker for itself. `logged`: with `off_policy`, too."""
    world, arms, log, test = started(seed, users=users, **changes)
    arms = {name: arm for name, arm in arms.items() if name in (CONTROL, *names)}
    asked = Requests(
        test["user_id"].to_numpy(), np.zeros(len(test)), np.zeros(len(test)), test["post_id"].to_numpy()[:, None]
    )
    rankers, liked = {name: _today(arm, world) for name, arm in arms.items()}, (test["action"] == "like").to_numpy()
    auc = {name: ev.auc(liked, ranker.scores(asked)[:, 0]).value for name, ranker in rankers.items()}
    shadows = {name: shadow(world, rankers[CONTROL], one, 0.2, 3) for name, one in rankers.items()} if logged else {}
    before = _per_user(pd.concat([log, test]), users)
    found = {name: lived(deepcopy(world), arm, days) for name, arm in arms.items()}
    return _outcomes(
        found,
        before,
        auc,
        {name: float(off_policy(one)["value"].get("snips", np.nan)) for name, one in shadows.items()},
    )


def _outcomes(
    found: Mapping[str, np.ndarray], before: np.ndarray, auc: dict[str, float], off: dict[str, float]
) -> Outcomes:
    likes, sessions, dislikes = ({name: rows[kind] for name, rows in found.items()} for kind in range(3))
    return Outcomes(likes, sessions, dislikes, {"likes": before[0], "sessions": before[1]}, auc, off)


def lived(world: World, arm: Arm, days: int) -> np.ndarray:
    """Days of everybody under one arm, in this very world: likes, sessions, dislikes, float64 (3, days, users)."""
    return np.stack([_per_user(world.step(_today(arm, world)).log, len(world.users)) for _ in range(days)], axis=1)


def _today(arm: Arm, world: World) -> Ranker:
    return arm(world) if callable(arm) else arm


def _per_user(log: pd.DataFrame, users: int) -> np.ndarray:
    """Likes, sessions, dislikes, float64 (3, users)."""
    first = np.unique(log["event_id"].to_numpy(), return_index=True)[1]  # repeated deliveries count once
    user, action, slot = (
        x[first] for x in (log["user_id"].to_numpy(), log["action"].cat.codes.to_numpy(), log["position"].to_numpy())
    )
    which = (action == ACTIONS.index("like"), slot == 1, action == ACTIONS.index("dislike"))
    return np.stack([np.bincount(user[one], minlength=users) for one in which]).astype(np.float64)


READINGS = ("likes per session", "likes per user", "likes per user, CUPED")
"""Ways to read likes off an experiment."""


def read(o: Outcomes, name: str, treated: np.ndarray, reading: str, days: int) -> Effect:
    """Relative lift of a ranker over the control, as an experiment of so many days reads it; treated bool (users,).

    reading : of `READINGS`, or sessions per user, dislikes per session.
    """
    both = {kind: [getattr(o, kind)[arm][:days].sum(axis=0) for arm in (CONTROL, name)]
            for kind in ("likes", "sessions", "dislikes")}  # fmt: skip
    y, s, d = (np.where(treated, after, before) for before, after in both.values())
    if reading == "sessions per user":
        return difference(cuped(s, o.before["sessions"]), treated, relative=True)
    return _lift(d if reading.startswith("dis") else y, s, o.before["likes"], treated, reading)


def _lift(y: np.ndarray, s: np.ndarray, before: np.ndarray, treated: np.ndarray, reading: str) -> Effect:
    if reading.endswith("per session"):
        return difference(y, treated, per=s, relative=True)
    return difference(cuped(y, before) if "CUPED" in reading else y, treated, relative=True)


def split(o: Outcomes, name: str) -> np.ndarray:
    """Who gets the ranker in its test, bool (users,): the salt is its name."""
    return np.asarray(assign(np.arange(len(o.before["likes"])), f"test of {name}") == 1)


def plan(o: Outcomes, *, lift: float = 0.05, days: int = 7, tests: int = 200, seed: int = 13) -> pd.DataFrame:
    """Users per arm for power 0.8, and the power that `tests` experiments on all users here have.

    Rows: impressions (naive: each an independent row), and `READINGS`. Columns: needed (per arm, by `power`, from the
    spread of the control), explained (by the week before), power: share of tests that find `lift`, given to every
    user alike, and promised, what the formula says of that.
    """
    y, s = o.likes[CONTROL][:days].sum(axis=0), o.sessions[CONTROL][:days].sum(axis=0)
    users, rows, rng = len(y), {}, generator(seed, 5)
    p, each = y.sum() / s.sum() / SLOTS, SLOTS * s.mean()
    rows["impressions"] = {"needed": power.sample_size(lift * p, np.sqrt(p * (1 - p))) / 2 / each}
    for reading in READINGS:
        value = (y - y.sum() / s.sum() * s) if "session" in reading else y
        sd, known = value.std(ddof=1) / y.mean(), explained(value, o.before["likes"]) if "CUPED" in reading else 0.0
        half = (rng.permutation(users) < users // 2 for _ in range(tests))
        found = [_lift(np.where(arm, (1 + lift) * y, y), s, o.before["likes"], arm, reading) for arm in half]
        rows[reading] = {"needed": power.sample_size(lift, sd, explained=known) / 2, "explained": known,
                         "power": np.mean([one.p < 0.05 for one in found]),
                         "promised": power.power(lift, sd, users, explained=known)}  # fmt: skip
    return pd.DataFrame(rows).T


def broken(o: Outcomes, losses: Sequence[float], *, days: int = 7, tests: int = 100) -> pd.DataFrame:
    """A/A tests whose treatment loses the most active of its users: mean over tests, each with its own salt.

    Rows: share of the treated that is lost. Columns: lift of likes per user (relative; 0 is true), significant (share
    of tests that find one), stopped (share in which the sample-ratio check refuses), and before (share in which
    sessions of the week *before* differ between the arms, at the level of that check).
    """
    y, active, rows = o.likes[CONTROL][:days].sum(axis=0), o.before["sessions"], {}
    for share in losses:
        found = []
        for n in range(tests):
            treated = assign(np.arange(len(y)), f"test {n}") == 1
            kept = ~treated | (active <= np.quantile(active[treated], 1 - share)) if share else np.ones(len(y), bool)
            test = difference(y[kept], treated[kept], relative=True)
            past = difference(active[kept], treated[kept]).p < MISMATCH
            found.append((test.value, test.p < 0.05, not sample_ratio(treated[kept].astype(int)).ok, past))
        rows[share] = dict(zip(("lift", "significant", "stopped", "before"), np.mean(found, axis=0), strict=True))
    return pd.DataFrame(rows).T


PEOPLE = ("others every day", "the same people", "the same, CUPED")
"""Who comes while a test runs, in `peeked`."""


def peeked(o: Outcomes, *, lift: float = 0.0, tests: int = 1_000, seed: int = 13) -> pd.DataFrame:
    """`sequential.peeking` of likes per user: columns (people, way), rows days.

    others every day: each day's numbers are dealt out to users anew, so that days are independent.
    """
    daily, rng = o.likes[CONTROL].T, generator(seed, 6)
    found = {}
    for people, rows in zip(PEOPLE, (rng.permuted(daily, axis=0), daily, _left(o)), strict=True):
        found[people] = sequential.peeking(rows, rng, effect=lift * daily.mean(), tests=tests)
    return pd.concat(found, axis=1)


def _left(o: Outcomes) -> np.ndarray:
    """Likes of the control by user and day, less what the week before foretold."""
    return np.stack([cuped(day, o.before["likes"]) for day in o.likes[CONTROL]], axis=1)


def daily_p(o: Outcomes, salt: str) -> np.ndarray:
    """p of an A/A test with CUPED after every day, float64 (days,)."""
    found, error = sequential.looks(_left(o), (assign(np.arange(len(o.before["likes"])), salt) == 1)[None])
    return np.asarray(2 * norm.sf(np.abs(found / error))[0])


def exaggerated(o: Outcomes, *, lift: float = 0.05, tests: int = 1_000, seed: int = 13) -> pd.Series:
    """Mean estimate over truth of the tests (CUPED) that find a true lift: at the first find, and at the end."""
    daily, rng = o.likes[CONTROL].T, generator(seed, 7)
    half = np.broadcast_to(np.arange(len(daily)) < len(daily) // 2, (tests, len(daily)))
    found, error = sequential.looks(_left(o), rng.permuted(half, axis=1))
    truth = lift * daily.mean() * np.arange(1, found.shape[1] + 1)
    ahead = (found + truth) / error > 1.96
    first, some = ahead.argmax(axis=1), ahead.any(axis=1)
    ratio = (found + truth) / truth
    return pd.Series(
        {"at the first find": ratio[some, first[some]].mean(), "at the end": ratio[ahead[:, -1], -1].mean()}
    )


def spillover(seed: int, *, applause: float = 1.5, users: int = 400, days: int = 12) -> dict[str, float]:
    """Enjoyment per session, the value oracle against the like oracle, in `markets`: truth, and two experiments.

    truth: everybody against nobody. user, market: what a test says that assigns users, or markets, by halves. Counted
    in the second half of 2 · `days`. applause: how much more a creator posts who is liked; 0: nobody reacts.
    """

    def enjoyed(treated: np.ndarray) -> np.ndarray:
        world = World("markets", seed=seed, users=users, new_users_per_day=0, applause_strength=applause, n_jobs=1)
        ranker = Experiment(Oracle("likes"), Oracle("value", VALUE_WEIGHTS), treated)
        log = pd.concat([world.step(ranker).log for _ in range(2 * days)][days:])
        user, post = log["user_id"].to_numpy(), log["post_id"].to_numpy()
        joy = behaviour.post_enjoyment(world.p, world.posts, slice(None))[post]
        joy = joy + ENJOYMENT["affinity"] * world.users.interests[user, world.posts.topic[post]]
        look = behaviour.attention(world.p)[log["position"].to_numpy() - 1]
        sums = [np.bincount(treated[user], weights=x, minlength=2) for x in (joy * look, look)]
        return np.asarray(sums[0] / np.maximum(sums[1], 1e-9))

    start = World("markets", seed=seed, users=users, new_users_per_day=0)
    arms = {"user": assign(np.arange(users), f"users {seed}") == 1}
    arms["market"] = (generator(seed, 8).permutation(start.p.markets) < start.p.markets // 2)[start.users.market]
    everybody, nobody = (enjoyed(np.full(users, all_)) for all_ in (True, False))
    found = {name: float(np.subtract(*enjoyed(treated)[::-1])) for name, treated in arms.items()}
    return {"truth": float(everybody[1] - nobody[0]), **found}


def truths(o: Outcomes, *, days: int = 7) -> pd.DataFrame:
    """Every judgement of every candidate, relative to the control: a row per candidate.

    AUC: difference in hundredths. off-policy and likes per session: of likes per session. A/B columns: a test of so
    many days. truth: likes per user in all the days, all against none; stay: sessions per user in the last week.
    """
    rows = {}
    for name in o.likes:
        if name == CONTROL:
            continue
        treated = split(o, name)
        tests = {
            f"A/B {reading}": read(o, name, treated, reading, days).value for reading in (READINGS[0], READINGS[2])
        }
        rows[name] = {
            "AUC": o.auc[name] - o.auc[CONTROL],
            "off-policy": o.off_policy.get(name, np.nan) / o.off_policy.get(CONTROL, np.nan) - 1,
            **tests,
            "truth": o.likes[name].sum() / o.likes[CONTROL].sum() - 1,
            "stay": o.sessions[name][-7:].sum() / o.sessions[CONTROL][-7:].sum() - 1,
        }
    return pd.DataFrame(rows).T


def launch(o: Outcomes, name: str, *, days: int, primary: str) -> Decision:
    """The decision after so many days: the primary reading above 0, sessions and dislikes as guardrails."""
    treated = split(o, name)
    guards = {
        "sessions per user": Guardrail(read(o, name, treated, "sessions per user", days), 0.05),
        "dislikes per session": Guardrail(
            read(o, name, treated, "dislikes per session", days), 0.05, more_is_better=False
        ),
    }
    return decide(read(o, name, treated, primary, days), guards)


def launches(o: Outcomes, *, days: int = 14) -> pd.DataFrame:
    """`launch` of every candidate by two primary readings: action, interval, and the estimate that would turn it."""
    rows = {}
    for name in (name for name in o.likes if name != CONTROL):
        for reading in (READINGS[0], READINGS[2]):
            found = launch(o, name, days=days, primary=reading)
            own, turn = found.table.loc["primary"], "rolls_back_from" if found.action == "roll back" else "ships_from"
            rows[name, reading] = {"action": found.action, **own[["value", "low", "high"]], "turns_at": own[turn]}
    return pd.DataFrame(rows).T.infer_objects()


RULES: Mapping[str, tuple[str, int]] = {"E5": ("likes per session", 7), "E6": ("likes per user, CUPED", 14)}
"""What is read, after how many days."""


def season(seed: int, *, users: int = 800, days: int = 28, **changes: Any) -> pd.DataFrame:
    """Weeks of a product that tests two candidates and ships by a rule: rows are `RULES`.

    shipped : the candidate with the best reading, if its interval is above 0; else the control stays. gain: likes of
    all days over those of the control alone; end: of the last week. While it tests, everybody counts as control.
    """
    world, arms, log, test = started(seed, users=users, **changes)
    before, now, served = _per_user(pd.concat([log, test]), users), deepcopy(world), []
    later: dict[int, World] = {}
    for day in range(days):
        if day in [after for _, after in RULES.values()]:
            later[day] = deepcopy(now)
        served.append(lived(now, arms[CONTROL], 1))
    longest = max(after for _, after in RULES.values())
    found = {
        CONTROL: np.concatenate(served, axis=1),
        **{n: lived(deepcopy(world), arms[n], longest) for n in ("like", "value")},
    }
    o, treated = _outcomes(found, before, {}, {}), assign(np.arange(users), f"season {seed}") == 1
    rows, base = {}, o.likes[CONTROL].sum(axis=1)
    for rule, (reading, after) in RULES.items():
        tests = {name: read(o, name, treated, reading, after) for name in ("like", "value")}
        best = max(tests, key=lambda name: tests[name].value)
        shipped, whole = best if tests[best].low > 0 else CONTROL, base.copy()
        if shipped != CONTROL:
            whole[after:] = lived(later[after], arms[shipped], days - after)[0].sum(axis=1)
        rows[rule] = {
            "shipped": shipped,
            "gain": whole.sum() / base.sum() - 1,
            "end": whole[-7:].sum() / base[-7:].sum() - 1,
        }
    return pd.DataFrame(rows).T
