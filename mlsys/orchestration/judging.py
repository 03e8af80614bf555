"""Judgements of rankers whose true worth is known: metrics, intervals, slices, off-policy values.

One function per comparison of notebook 06, sections 1 to 4; experiments are in `trials`.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys import evaluation as ev
from mlsys.core import MlsysError, generator
from mlsys.evaluation.slates import Shadow, feedback, pooled
from mlsys.orchestration.bench import Bench, Score
from mlsys.orchestration.development import Cascade, shuffled
from mlsys.training import LinearModel, TreeModel
from mlsys.world import Experiment, Popularity, Random, World, behaviour
from mlsys.world.rankers import Ranker
from mlsys.world.truth import expected_auc

SLOTS = 10
METRICS = {"AUC": 1, "PR-AUC": 1, "log loss": -1, "ECE": -1, "F1 at 0.5": 1, "per-user AUC": 1, "NDCG@10": 1,
           "AUC within slot": 1}  # fmt: skip
"""Columns of `metrics`, and whether more of it is better."""


def held(bench: Bench) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Tomorrow's labelled rows, in random order of posts: features, liked 1.0 or 0.0, log."""
    use = bench.tomorrow["action"].notna().to_numpy()
    log = bench.tomorrow[use].reset_index(drop=True)
    return bench.X_tomorrow[use].reset_index(drop=True), (log["action"] == "like").to_numpy(np.float64), log


def scorers(bench: Bench) -> dict[str, Score]:
    """Seven scores between 0 and 1. `trees, sampled` saw a quarter of the rows without a like."""
    posts, users = ([str(c) for c in bench.X if str(c).startswith("user") == own] for own in (False, True))
    users = [name for name in users if "topic" not in name]
    kept = (bench.y > 0) | (generator(bench.seed, 1).random(len(bench.y)) < 0.25)
    sampled = TreeModel.fit(bench.X[kept], bench.y[kept])
    blind, who = TreeModel.fit(bench.X[posts], bench.y), TreeModel.fit(bench.X[users], bench.y)
    return {
        "trees": bench.model.predict,
        "trees, sampled": sampled.predict,
        "linear": LinearModel.fit(bench.X, bench.y).predict,
        "posts only": lambda X: blind.predict(X[posts]),
        "newest": lambda X: np.exp(-X["request:age_days"].to_numpy(np.float64) / 1.5),
        "who likes a lot": lambda X: who.predict(X[users]),
        "dice": lambda X: generator(bench.seed, len(X)).random(len(X)),
    }


def metrics(bench: Bench) -> pd.DataFrame:
    """Every metric of every scorer on tomorrow's labels, and `share`, what its feed truly earns of the oracle's likes.

    `logged order` is no model: it repeats the slots of the log, which are random, so its feed is that of dice.
    """
    X, y, log = held(bench)
    found, rows = scorers(bench), {}
    for name, score in {**found, "logged order": None}.items():
        p = 1 / log["position"].to_numpy(np.float64) if score is None else np.clip(score(X), 0, 1).astype(np.float64)
        rows[name] = _all_metrics(y, p, log) | {"share": bench.judge(score or found["dice"]).share}
    return pd.DataFrame(rows).T


def _all_metrics(y: np.ndarray, p: np.ndarray, log: pd.DataFrame) -> dict[str, float]:
    user, slot, session = (log[name].to_numpy() for name in ("user_id", "position", "session_id"))
    found = (ev.auc(y, p), ev.average_precision(y, p), ev.log_loss(y, p), ev.ece(y, p),
             ev.classification(y, p, 0.5)["f1"], ev.user_auc(y, p, user), ev.ndcg_at_k(y, p, session),
             ev.user_auc(y, p, slot))  # fmt: skip
    return {name: one.value for name, one in zip(METRICS, found, strict=True)}


def picks(table: pd.DataFrame) -> pd.DataFrame:
    """What each metric puts first, what that feed earns, and the rank correlation of metric and `share`."""
    better = table[list(METRICS)] * pd.Series(METRICS)
    best = better.idxmax()
    return pd.DataFrame({"pick": best, "share": table["share"][best].to_numpy(),
                         "agreement": better.corrwith(table["share"], method="spearman")})  # fmt: skip


def thresholds(bench: Bench, *, cost_fp: float = 1.0, cost_fn: float = 4.0) -> pd.DataFrame:
    """Cost per row of "say like" at several thresholds, chosen on one half of tomorrow's users, paid on the other.

    Rows: (scorer, way). Columns: threshold, said (share of rows), f1, cost, with that of saying nothing as `never`.
    """
    X, y, log = held(bench)
    even, found, rows = log["user_id"].to_numpy() % 2 == 0, scorers(bench), {}
    for name in ("trees", "trees, sampled"):
        p = found[name](X)
        (y0, p0), (y1, p1) = (y[even], p[even]), (y[~even], p[~even])
        ways = {
            "default 0.5": 0.5,
            "best F1": ev.best_threshold(y0, p0),
            "from the costs": cost_fp / (cost_fp + cost_fn),
            "cheapest": ev.best_threshold(y0, p0, cost_fp, cost_fn),
        }
        for way, at in ways.items():
            f1 = ev.classification(y1, p1, at)["f1"].value
            paid = ev.cost(y1, p1, at, cost_fp, cost_fn).value
            rows[name, way] = {"threshold": at, "said": float((p1 >= at).mean()), "f1": f1, "cost": paid}
        rows[name, "never"] = {"threshold": 1.0, "said": 0.0, "f1": 0.0, "cost": float(cost_fn * y1.mean())}
    return pd.DataFrame(rows).T


def samples(seed: int, *, users: int = 4_000, people: int = 200, repeats: int = 300, days: int = 5) -> pd.DataFrame:
    """95 % intervals of likes per impression, from samples of `people` users with all their rows.

    A row per (sample, way): value, low, high, rows; truth is the exact rate of the whole world. Ways: rows (Wilson's),
    users (clusters), bootstrap (of users).
    """
    world = World(seed=seed, users=users, new_users_per_day=0, n_jobs=1)
    days_ = [world.step(Random()) for _ in range(days)]
    once = [~day.log.duplicated("event_id").to_numpy() for day in days_]
    truth = np.concatenate([day.p_like[use] for day, use in zip(days_, once, strict=True)]).mean(dtype=np.float64)
    log = pd.concat([day.log[use] for day, use in zip(days_, once, strict=True)]).sort_values("user_id", kind="stable")
    user, liked = log["user_id"].to_numpy(), (log["action"] == "like").to_numpy(np.float64)
    rows_of = np.split(np.arange(len(user)), np.searchsorted(user, np.arange(1, users)))
    rng, found = generator(seed, 2), {}
    for i in range(repeats):
        rows = np.concatenate([rows_of[u] for u in rng.choice(users, people, replace=False)])
        y, who = liked[rows], user[rows]
        sums = ev.cluster_sums(who, y, np.ones(len(y)))
        found[i, "rows"], found[i, "users"] = ev.wilson(y.sum(), len(y)), ev.cluster_mean(y, who)
        found[i, "bootstrap"] = ev.bootstrap_sums(_rate, sums, rng, draws=200)
    table = pd.DataFrame([(one.value, one.low, one.high, one.n) for one in found.values()],
                         pd.MultiIndex.from_tuples(found, names=["sample", "way"]), ["value", "low", "high", "rows"],
                         )  # fmt: skip
    table["rows"] = table["rows"].groupby("sample").transform("max")
    return table.assign(truth=float(truth))


def coverage(found: pd.DataFrame) -> pd.DataFrame:
    """Of `samples`, per way: held (share of intervals that hold the truth), width, and false_alarms.

    Those are of A/A tests, a sample against the next with nothing between them: share "significant" at 5 %.
    """
    rows = {}
    for way, one in found.groupby("way", sort=False):
        width, value = (one["high"] - one["low"]).to_numpy(), one["value"].to_numpy()
        apart = np.abs(np.diff(value)) > np.hypot(width[1:], width[:-1]) / 2
        held_ = (one["low"] <= one["truth"]) & (one["truth"] <= one["high"])
        rows[way] = {"held": held_.mean(), "width": width.mean(), "false_alarms": apart.mean()}
    return pd.DataFrame(rows).T


def _rate(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def ways_to_slice(bench: Bench) -> pd.DataFrame:
    """A column per way to slice the rows of `held`; null is a slice."""
    X, _, log = held(bench)
    people, user = bench.world.people(), log["user_id"].to_numpy()
    seen = np.bincount(bench.log["user_id"], minlength=len(people))[user]
    return pd.DataFrame(
        {
            "device": people["device"].astype(object).to_numpy()[user],
            "region": people["region"].astype(object).to_numpy()[user],
            "topic": log["topic"].astype(str),
            "slot": log["position"].astype(str),
            "age": X["request:age_days"].round().astype(int).astype(str),
            "history": pd.cut(seen, [-1, 0, 20, 100, 1e9], labels=["none", "1-20", "21-100", "over 100"]).astype(
                object
            ),
            "length": pd.cut(X["request:length"], [-1, 1 / 3, 2 / 3, 2], labels=["short", "middle", "long"]).astype(
                object
            ),
        }
    )


def sliced(bench: Bench) -> pd.DataFrame:
    """AUC of the trees by slice: `by_slice`, and exact; `ceiling`: that of P(like) itself; the `gap`."""
    X, y, log = held(bench)
    cut, score, p = ways_to_slice(bench), bench.model.predict(X), log["p_like"].to_numpy()
    table = ev.by_slice(cut, _auc_of_users, y, score, log["user_id"].to_numpy())
    exact = []
    for name, value in table.index:
        inside = (cut[name].isna() if pd.isna(value) else cut[name] == value).to_numpy()
        exact.append((expected_auc(score[inside], p[inside]), expected_auc(p[inside], p[inside])))
    table[["exact", "ceiling"]] = exact
    return table.assign(gap=table["ceiling"] - table["exact"])


def _auc_of_users(y: np.ndarray, score: np.ndarray, user: np.ndarray) -> ev.Estimate:
    return ev.auc(y, score, cluster=user)


def placebo(bench: Bench, *, ways: int = 40, repeats: int = 6) -> pd.DataFrame:
    """Slices that mean nothing: users tossed into two halves, so many ways. Per repeat, how many halves are "found".

    Columns: naive (the interval leaves out the rest), corrected (`by_slice`).
    """
    X, y, log = held(bench)
    score, user, rng = bench.model.predict(X), log["user_id"].to_numpy(), generator(bench.seed, 3)
    rows = []
    for _ in range(repeats):
        coins = rng.integers(0, 2, (int(user.max()) + 1, ways))[user]
        table = ev.by_slice(pd.DataFrame(coins), _auc_of_users, y, score, user)
        first = table.xs(0, level="of")
        rows.append(
            (int(((first["rest"] < first["low"]) | (first["rest"] > first["high"])).sum()), int(first["differs"].sum()))
        )
    return pd.DataFrame(rows, columns=["naive", "corrected"])


def volunteers(seed: int, *, users: int = 4_000, days: int = 3) -> tuple[pd.DataFrame, pd.Series]:
    """A worse feed that who likes a lot chooses more often: likes per session, exact, by third and arm.

    The second: what either feed earns if all have it. Old: by like rate, new: by number of likes.
    """
    world = World(seed=seed, users=users, new_users_per_day=0, n_jobs=1)
    log = pd.concat([world.step(Random()).log for _ in range(6)])
    liked = (log["action"] == "like").to_numpy()
    likes, shown = np.bincount(log["user_id"][liked], minlength=users), np.bincount(log["user_id"], minlength=users)
    third = pd.qcut((likes + 3.0) / (shown + 20), 3, labels=["rarely", "sometimes", "often"])
    chosen = generator(seed, 4).random(users) < np.array([0.12, 0.4, 0.85])[third.codes]
    old, new = Popularity("old"), Popularity("new", smoothed=False)
    for feed in (old, new):
        feed.observe(log)
    truth = world.value([old, new], repeats=3)["like"]
    found = [world.step(Experiment(old, new, chosen)) for _ in range(days)]
    user = np.concatenate([day.log["user_id"] for day in found])
    p = np.concatenate([day.p_like for day in found]).astype(np.float64) * world.p.slots
    rows = pd.DataFrame({"third": third[user], "arm": np.where(chosen[user], "new", "old"), "likes": p})
    table = rows.groupby(["third", "arm"], observed=True)["likes"].mean().unstack("arm")  # noqa: PD010
    table.index = table.index.astype(str)
    table.loc["all"] = rows.groupby("arm")["likes"].mean()
    return table[["old", "new"]], truth


@dataclass(frozen=True)
class Shadowed:
    """A log with `target_rank`, and what it cannot know, exact likes per session: `truth` of the target, `served` with
    a share `explore` shuffled, and of the logger `alone`."""

    world: World
    log: pd.DataFrame
    explore: float
    truth: float
    served: float
    alone: float


def shadowed(bench: Bench, explore: float, *, days: int = 3) -> Shadowed:
    """Popularity serves, and the trees rank the same candidates unseen."""
    logger, target = Popularity(), Cascade(bench, shuffled, bench.world.p.candidates, bench.model.predict, name="trees")
    logger.observe(bench.log)
    return shadow(bench.world, logger, target, explore, days)


def shadow(start: World, logger: Ranker, target: Ranker, explore: float, days: int) -> Shadowed:
    world, shadow, logs, exact = deepcopy(start), Shadow(logger, target), [], []
    for _ in range(days):
        day = world.step(shadow, explore=explore, against=[logger, target])
        logs.append(day.log)
        exact.append(day.value["like"].to_numpy() * day.sessions)
    log = shadow.join(pd.concat(logs))
    served, alone, truth = np.sum(exact, axis=0) / log["session_id"].nunique()
    return Shadowed(world, log, explore, float(truth), float(served), float(alone))


def off_policy(found: Shadowed) -> pd.DataFrame:
    """What the target would have earned, likes per session: columns as in `evaluation.off_policy`.

    `logged mean` and `where both agree` are naive; `ips by slot` asks for item and position, all below pool over
    positions. A log that cannot answer has the row `refused`.
    """
    liked, agree = (found.log["action"] == "like").to_numpy(), found.log["target_rank"] == found.log["position"]
    rows = {"logged mean": SLOTS * liked.mean(), "where both agree": SLOTS * liked[agree.to_numpy()].mean()}
    table = pd.DataFrame({"value": rows, "warning": ""})
    try:
        return pd.concat([table, _estimates(found.world, found.log, found.explore)])
    except MlsysError as error:
        return pd.concat([table, pd.DataFrame({"value": np.nan, "warning": error.what}, ["refused"])])


def _estimates(world: World, log: pd.DataFrame, explore: float) -> pd.DataFrame:
    look = behaviour.attention(world.p).astype(np.float64)
    rows, fold = pooled(log, look, explore, world.p.candidates), log["user_id"].to_numpy() % 2
    rates = ev.cross_fit(log["post_id"].to_numpy(), rows.reward, rows.looks, fold, len(world.posts))
    seen = look[log["position"].to_numpy() - 1]
    q_logged, q_target = (rates[fold, log[name].to_numpy()] * seen for name in ("post_id", "target_post"))
    found = ev.off_policy(rows, q_logged, q_target).drop(index="on policy")
    by_slot = ev.off_policy(feedback(log)).loc[["ips"]].set_axis(["ips by slot"])
    return pd.concat([by_slot, found])
