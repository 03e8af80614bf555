"""A/B tests in the world, where the truth is known: what a test says, and what would have happened to everybody.

Users do not meet in the world. There are two ways from one arm into the other, and no third:

    supply    Where `applause_strength` is above 0 (scenario `markets`) a creator who is liked posts more, and the posts
              are shown to both arms of the market. By market, each arm has its own creators.
    the log   A ranker that counts (`Popularity`) counts what both arms did. Diverted, each learns from its own users:
              no leak, and less to learn from. Source: Brennan et al., Reducing symbiosis bias through better A/B tests
              of recommendation algorithms, WWW (2025), arXiv:2309.07107.

Elsewhere the arms do not touch, and a test by user is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.evaluation.experiment import Effect, assign, cuped, difference
from mlsys.evaluation.intervals import Estimate, ratio
from mlsys.evaluation.metrics import auc
from mlsys.evaluation.offpolicy import ips
from mlsys.evaluation.slates import Shadow, pooled
from mlsys.world import Experiment, Oracle, Popularity, Requests, World, behaviour
from mlsys.world.rankers import Ranker

METRICS = ("like", "dislike", "share", "sessions")
"""What the table of a test counts, per user and day."""

Arm = Ranker | Callable[[World], Ranker]
"""A ranker, or what makes one each morning: lambda world: recency(world.posts.created)."""


def ab_test(
    world: World, control: Arm, treatment: Arm, *, days: int = 14, before: int = 0, by: str = "user",
    salt: str = "test 1", share: float = 0.5, diverted: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """A test in a copy of the world: a row per user and day, users without a session included.

    by : "user" or "market", what the salted hash assigns. share : of them in treatment. before : days ahead of the
    test on which everybody has control, numbered below 0: the covariate of CUPED, and an A/A test. diverted : counters
    learn from their own arm only.
    Columns: day, user_id, unit (user or market), treated, and counts of `METRICS`. Who joins is assigned on arrival.

    >>> from mlsys.world import Oracle
    >>> table = ab_test(World(users=200, seed=13, n_jobs=1), Oracle("a"), Oracle("b"), days=2, before=1)
    >>> table["day"].unique().tolist(), len(table) >= 600
    ([-1, 0, 1], True)
    """
    if by not in ("user", "market"):
        raise MlsysError(f"by={by!r}", why="the hash assigns users or markets", fix='ab_test(..., by="market")')
    world, control, treatment = deepcopy((world, control, treatment))
    found = []
    for day in range(-before, days):
        unit = np.arange(len(world.users)) if by == "user" else world.users.market.astype(np.int64)
        treated = assign(unit, salt, (1 - share, share)) == 1
        arms = _today(control, world), _today(treatment, world)
        log = world.step(Experiment(*arms, treated & (day >= 0))).log.drop_duplicates("event_id")
        of_treated = treated[log["user_id"].to_numpy()]
        for arm, own in ((control, ~of_treated), (treatment, of_treated)):
            _learn(arm, log[own] if diverted and day >= 0 else log)
        found.append(_counts(log, world.p.slots, len(unit)).assign(day=day, unit=unit, treated=treated))
    return pd.concat(found, ignore_index=True)[["day", "user_id", "unit", "treated", *METRICS]]


def effect(
    table: pd.DataFrame, metric: str = "like", *, per: str | None = None, use_cuped: bool = False,
    relative: bool = True, until: int | None = None,
) -> Effect:  # fmt: skip
    """What the test says of a metric: per user, or `per` "sessions"; interval over what was assigned.

    use_cuped : less what the days before foretold. until : look after that many days; None: at the end.
    """
    users = per_user(table, until)
    value, unit, treated = (users[name].to_numpy() for name in (metric, "unit", "treated"))
    if use_cuped:
        if per is not None:
            raise MlsysError("CUPED of a ratio", why="it is here for means per user", fix="leave out `per`")
        value = cuped(value, users[f"{metric}_before"].fillna(users[f"{metric}_before"].mean()).to_numpy())
    weight = None if per is None else users[per].to_numpy()
    return difference(value, treated, per=weight, cluster=unit, relative=relative)


def per_user(table: pd.DataFrame, until: int | None = None) -> pd.DataFrame:
    """A row per user: unit, treated, sums of `METRICS`, and of before the test (`like_before`, NaN for newcomers)."""
    last = np.inf if until is None else until
    during, ahead = table[(table["day"] >= 0) & (table["day"] < last)], table[table["day"] < 0]
    sums = during.groupby("user_id")[list(METRICS)].sum()
    past = ahead.groupby("user_id")[list(METRICS)].sum().add_suffix("_before")
    who = during.drop_duplicates("user_id").set_index("user_id")[["unit", "treated"]]
    return who.join(sums).join(past).reset_index()


def both_worlds(world: World, arms: Mapping[str, Arm], *, days: int = 14) -> pd.DataFrame:
    """The same days in a world for each ranker, all users having it: rows are the rankers.

    like, dislike, share: exact, per session · sessions: per user who was there on the first day
    """
    rows = {}
    for name, arm in arms.items():
        own, arm = deepcopy((world, arm))
        first, sums = len(own.users), np.zeros(4)
        for _ in range(days):
            ranker = _today(arm, own)
            done = own.step(ranker)
            sums += [*done.value[list(METRICS[:3])].iloc[0] * done.sessions, done.sessions]
            _learn(arm, done.log.drop_duplicates("event_id"))
        rows[name] = dict(zip(METRICS, [*sums[:3] / sums[3], sums[3] / first], strict=True))
    return pd.DataFrame(rows).T


def truth_table(
    world: World, arms: Mapping[str, Arm], *, days: int = 14, log_days: int = 7, explore: float = 0.2,
    salt: str = "test",
) -> pd.DataFrame:  # fmt: skip
    """Four judgements of each ranker against the first of them, which is served: relative change of likes per session.

    Columns: auc (of likes, on the log of the first, and its interval auc_low, auc_high) · off, off_low, off_high: IPS
    pooled over positions, from the same log, with `ess`, NaN where the log cannot answer · ab, ab_low, ab_high: a test
    of `days` days by user · truth: all users in one world against all in the other. The oracle has no scores to log.
    """
    served, *others = arms
    log = _logged(world, arms, log_days, explore)
    truth = both_worlds(world, arms, days=days)["like"]
    rows = {}
    for name in arms:
        row: dict[str, float] = {"truth": truth[name] / truth[served] - 1}
        if name in others:
            test = effect(ab_test(world, arms[served], arms[name], days=days, salt=f"{salt} {name}"), per="sessions")
            row |= _flat("ab", test)
        rows[name] = {**log[name], **row}
    columns = [f"{a}{b}" for a in ("auc", "off", "ab") for b in ("", "_low", "_high")]
    return pd.DataFrame(rows).T.reindex(columns=[*columns, "ess", "truth"])


def _logged(world: World, arms: Mapping[str, Arm], days: int, explore: float) -> dict[str, dict[str, float]]:
    """AUC and off-policy lift of all rankers, on a log of the first."""
    world, arms = deepcopy((world, dict(arms)))
    served, *others = arms
    scores: dict[str, list[np.ndarray]] = {name: [] for name in arms}
    joined: dict[str, list[pd.DataFrame]] = {name: [] for name in others}
    logs = []
    for _ in range(days):
        today = {name: _today(arm, world) for name, arm in arms.items()}
        able = [name for name in others if not isinstance(today[name], Oracle)]
        shadows: dict[str, Shadow] = {}
        ranker = today[served]
        for name in able:
            ranker = shadows[name] = Shadow(ranker, today[name], world.p.slots)
        log = world.step(ranker, explore=explore).log.drop_duplicates("event_id")
        logs.append(log)
        for name in able:
            joined[name].append(shadows[name].join(log))
        for name in (served, *able):
            scores[name].append(_scores(today[name], log, world))
        for arm in arms.values():
            _learn(arm, log)
    log = pd.concat(logs)
    liked, user = (log["action"] == "like").to_numpy(), log["user_id"].to_numpy()
    look, found = behaviour.attention(world.p).astype(np.float64), {}
    own = pooled(log.assign(target_rank=_within(log["greedy_rank"], world.p.slots)), look, explore, world.p.candidates)
    for name in arms:
        found[name] = _flat("auc", auc(liked, np.concatenate(scores[name]), cluster=user)) if scores[name] else {}
        if not joined.get(name):
            continue
        rows = pooled(pd.concat(joined[name]), look, explore, world.p.candidates)
        try:
            found[name]["ess"] = ips(rows).ess
        except MlsysError:  # the log holds too little of what this ranker shows
            continue
        lift = ratio(rows.weight * rows.reward, own.weight * own.reward, rows.cluster)
        found[name] |= {"off": lift.value - 1, "off_low": lift.low - 1, "off_high": lift.high - 1}
    return found


def _scores(ranker: Ranker, log: pd.DataFrame, world: World) -> np.ndarray:
    """The ranker's scores of what was shown, (n,); slates are repeated to the length of a list of candidates."""
    slots, each = world.p.slots, world.p.candidates
    first = log.iloc[::slots]
    device = first["device"].cat.codes.to_numpy()
    post = log["post_id"].to_numpy().reshape(-1, slots)[:, np.arange(each) % slots]
    time = first["event_time"].to_numpy().astype("datetime64[us]").astype(np.int64)
    requests = Requests(first["user_id"].to_numpy(), np.where(device < 0, 3, device), time, post)
    return np.asarray(ranker.scores(requests))[:, :slots].ravel()


def _within(rank: pd.Series, slots: int) -> np.ndarray:
    return np.where(rank <= slots, rank, 0)


def _today(arm: Arm, world: World) -> Ranker:
    return arm(world) if callable(arm) else arm


def _learn(arm: Arm, log: pd.DataFrame) -> None:
    """Counters that learn from a day."""
    if isinstance(arm, Popularity):
        arm.observe(log)


def _counts(log: pd.DataFrame, slots: int, users: int) -> pd.DataFrame:
    """A row per user: likes, dislikes, shares, sessions of the day."""
    user = log["user_id"].to_numpy()
    counts = {name: np.bincount(user[(log["action"] == name).to_numpy()], minlength=users) for name in METRICS[:3]}
    sessions = np.bincount(user[(log["position"] == 1).to_numpy()], minlength=users)
    return pd.DataFrame({"user_id": np.arange(users), **counts, "sessions": sessions})


def _flat(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
