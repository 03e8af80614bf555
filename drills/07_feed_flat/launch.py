"""A launch: a world and its counts, a champion, a challenger into which one cause is built, every table measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mlsys.capacity import carried
from mlsys.core import generator, microseconds
from mlsys.evaluation import auc, calibration_table
from mlsys.training import LinearModel, ValueModel
from mlsys.world import Experiment, Requests, World

CAUSES = ("serving_skew", "policy_bias", "miscalibration", "underpowered", "gain_is_real")
USERS, POSTS, ROWS, TRIES = 16_000, 8_000, 60_000, 12
FIRST, TRAIN, TEST, START, DAYS = 5, 9, 12, 15, 7  # first day of: champion, training, test rows, A/B; days of the A/B
Z, POWER = 1.96, 2.80  # 95 % · 5 % two-sided with 80 % power
STORE = ("post_like_rate", "post_dislike_rate", "creator_like_rate", "creator_dislike_rate", "topic_like_rate",
         "topic_dislike_rate")  # fmt: skip
CHAMPION = (*STORE[:4], "topic_dislike_rate", "post_age_days")
MISREADS: tuple[dict[str, str], ...] = (  # Input: what the server puts there instead; nothing: missing.
    {"creator_like_rate": "creator_dislike_rate", "creator_dislike_rate": "creator_like_rate"},
    {"topic_like_rate": "", "topic_dislike_rate": ""},
    {"post_like_rate": "", "post_dislike_rate": ""},
)
Columns = dict[str, np.ndarray]
Table = dict[str, np.ndarray]


class Feed:
    """A world, and likes, dislikes and other responses per post, creator, and user and topic.

    `morning`: smoothed rates from what had arrived by midnight; `complete`: from all that had happened by then.
    """

    def __init__(self, seed: int) -> None:
        self.world = World(seed=seed, users=USERS, n_jobs=1, new_users_per_day=0, activity_sd=0.8, sessions_per_day=0.5)
        p = self.world.p
        sizes = {"post": POSTS, "creator": p.creators, "topic": USERS * p.topics}
        self.arrived, self.happened = ({name: np.zeros((n, 3)) for name, n in sizes.items()} for _ in range(2))
        self.morning, self.complete = _rates(self.arrived), _rates(self.happened)
        self.late: Columns = {}
        self.rows: dict[int, Columns] = {}

    def inputs(self, table: Table, user: np.ndarray, post: np.ndarray, rank: np.ndarray, day: int) -> Columns:
        """Model inputs by name; `rank`: where the old ranker would have put the post."""
        posts = self.world.posts
        keys = {"post": post, "creator": posts.creator[post], "topic": user * self.world.p.topics + posts.topic[post]}
        rates = [table[name][key, i] for name, key in keys.items() for i in (0, 1)]
        age = np.asarray(day - posts.first_day[post], np.float64)
        return dict(zip(STORE, rates, strict=True)) | {"post_age_days": age, "old_rank_log": np.log(rank)}

    def step(self, ranker: Any, explore: float = 0.0) -> None:
        """A day and the night after it. Its rows are kept, with the inputs of that morning."""
        day, log = self.world.day, self.world.step(ranker, explore=explore).log
        log = log[~log["event_id"].duplicated()]
        rows: Columns = {name: log[name].to_numpy() for name in
                         ("user_id", "post_id", "greedy_rank", "explored", "session_id", "arrival_time")}  # fmt: skip
        rows |= {name: log[name].cat.codes.to_numpy() for name in ("action", "device")}
        rows["hours"] = (microseconds(log["arrival_time"]) - microseconds(log["event_time"])) / 3_600e6
        rank = rows["greedy_rank"].astype(np.float64)
        self.rows[day] = rows | self.inputs(self.morning, rows["user_id"], rows["post_id"], rank, day)
        rows = pick(rows, rows["action"] >= 0)
        self._count(self.happened, rows)
        rows = {name: np.append(self.late.get(name, rows[name][:0]), rows[name]) for name in rows}
        on_time = rows["arrival_time"] < self.world.now
        self._count(self.arrived, pick(rows, on_time))
        self.late = pick(rows, ~on_time)
        self.morning, self.complete = _rates(self.arrived), _rates(self.happened)

    def labelled(self, first: int, last: int) -> Columns:
        """Rows with an action, of some days."""
        rows = {name: np.concatenate([self.rows[day][name] for day in range(first, last)]) for name in self.rows[first]}
        return pick(rows, rows["action"] >= 0)

    def _count(self, counts: Table, rows: Columns) -> None:
        posts, post = self.world.posts, rows["post_id"]
        topic = rows["user_id"] * self.world.p.topics + posts.topic[post]
        for name, key in {"post": post, "creator": posts.creator[post], "topic": topic}.items():
            cells = 3 * key + np.minimum(rows["action"], 2)
            counts[name] += np.bincount(cells, minlength=counts[name].size).reshape(-1, 3)


@dataclass(frozen=True)
class Arm:
    """A model as the world's ranker. `old`: the model whose rank of a post is an input. `misread`: what the server
    does to inputs of the users in `hit`. `story`: what was built, told afterwards; `repaired`: the exact lift in
    percent without what is wrong, where known."""

    name: str
    model: ValueModel
    feed: Feed
    old: ValueModel | None = None
    misread: Mapping[str, str] = field(default_factory=dict)
    hit: np.ndarray = field(default_factory=lambda: np.zeros(USERS, bool))
    story: str = "it has one more input, a user's like rate on the topic, and nothing was wrong with it"
    repaired: float | None = None

    def inputs(self, requests: Requests, table: Table) -> Columns:
        """What a server with this table gives the model, each (S, C)."""
        post = requests.post_id
        rank: np.ndarray = np.ones(post.shape)
        if self.old is not None:
            best_first = np.argsort(-replace(self, model=self.old, old=None).rate(requests, table), axis=1)
            rank = np.argsort(best_first, axis=1) + 1.0
        user = np.broadcast_to(requests.user_id[:, None], post.shape)
        right = self.feed.inputs(table, user, post, rank, self.feed.world.day)
        wrong = {name: right[source] if source else np.nan for name, source in self.misread.items()}
        return right | {name: np.where(self.hit[user], column, right[name]) for name, column in wrong.items()}

    def rate(self, requests: Requests, table: Table) -> np.ndarray:
        """Scores with this table, float64 (S, C)."""
        found = self.inputs(requests, table)
        X = np.stack([found[name].ravel() for name in self.model.signature.features], axis=1)
        return np.round(self.model.predict_array(X), 6).reshape(requests.post_id.shape)

    def scores(self, requests: Requests) -> np.ndarray:
        """Scores of this morning."""
        return self.rate(requests, self.feed.morning)


def _rates(counts: Table) -> Table:
    """Like and dislike rate (n, 2) of each key, pulled towards the mean of all."""
    found = {}
    for (name, count), prior in zip(counts.items(), (20, 50, 10), strict=True):
        shown = count.sum(axis=1, keepdims=True)
        found[name] = (count[:, :2] + prior * count[:, :2].sum(axis=0) / max(shown.sum(), 1)) / (shown + prior)
    return found


def pick(rows: Columns, which: np.ndarray) -> Columns:
    return {name: column[which] for name, column in rows.items()}


def _head(rows: Columns, names: Sequence[str], action: int) -> LinearModel:
    return LinearModel.fit(pd.DataFrame({name: rows[name] for name in names}), rows["action"] == action)


def fit(rows: Columns, names: Sequence[str], weight: float, rng: np.random.Generator) -> ValueModel:
    """Both heads, on a sample of the rows."""
    rows = pick(rows, rng.permutation(len(rows["action"]))[:ROWS])
    heads = {head: _head(rows, names, action) for action, head in enumerate(("like", "dislike"))}
    return ValueModel("1", heads, {"like": 1.0, "dislike": -weight})


def _value(arms: Sequence[Arm], weight: float) -> list[float]:
    """Exact value per session of each arm this morning, had everybody met it."""
    found = arms[0].feed.world.value(arms)
    return (found["like"] - weight * found["dislike"]).tolist()


def build(cause: str, champion: Arm, train: Columns, weight: float, rng: np.random.Generator) -> Arm:
    """A better model, or what the cause makes of one: sizes are such that its exact lift is near zero."""
    if cause == "policy_bias":
        model = fit(train, (*CHAMPION, "old_rank_log"), weight, rng)
        story = "its new input is the rank that the champion gave: on rows the champion chose, that is who looked"
        return replace(champion, name="challenger", model=model, old=champion.model, story=story)
    names = (*CHAMPION, "topic_like_rate")
    good = replace(champion, name="challenger", model=fit(train, names, weight, rng))
    if cause == "miscalibration":  # Trained on all dislikes and a share of the other rows, and not corrected for it.
        tried, story = [], "its dislike head saw {:.0%} of the rows without a dislike, and nobody corrected for it"
        for share in (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12):
            some = pick(train, (train["action"] == 1) | (rng.random(len(train["action"])) < share))
            heads = {**good.model.heads, "dislike": _head(some, names, 1)}
            tried.append(replace(good, model=replace(good.model, heads=heads), story=story.format(share)))
        base, right, *wrong = _value([champion, good, *tried], weight)
        flattest = int(np.argmin(np.abs(np.array(wrong) / base - 0.98)))
        return replace(tried[flattest], repaired=100 * (right / base - 1))
    if cause == "serving_skew":
        misread = MISREADS[int(rng.integers(len(MISREADS)))]
        bad = replace(good, misread=misread, hit=np.ones(USERS, bool))
        base, right, worst = _value([champion, good, bad], weight)
        hit = rng.random(USERS) < (right - 0.99 * base) / (right - worst)
        told = " and ".join(f"{source or 'nothing'} for {name}" for name, source in misread.items())
        story = f"for {hit.mean():.0%} of users the server read {told}"
        return replace(bad, hit=hit, story=story, repaired=100 * (right / base - 1))
    return good


def labels(rows: Columns) -> pd.DataFrame:
    """How soon responses arrive."""
    found = [(limit, round(100 * float((rows["hours"] < limit).mean()), 2)) for limit in (0.25, 0.5, 1, 6, 12, 24, 48)]
    return pd.DataFrame(found, columns=["hours_after_the_impression", "arrived_percent"])


def offline(rows: Columns, champion: ValueModel, challenger: ValueModel) -> dict[str, pd.DataFrame]:
    """AUC of both like heads by slice, and calibration of all four heads."""
    p = {(arm, head): one.predict(pd.DataFrame({name: rows[name] for name in one.signature.features}))
         for arm, model in (("champion", champion), ("challenger", challenger))
         for head, one in model.heads.items()}  # fmt: skip
    old, new, liked = p["champion", "like"], p["challenger", "like"], rows["action"] == 0
    slices = {"all": liked | True, "chosen by the champion": ~rows["explored"], "explored": rows["explored"]}
    slices |= {name: rows["device"] == code for code, name in enumerate(("iOS", "Android", "Web"))}
    slices["posts under two days old"] = rows["post_age_days"] < 2
    found, bins = [], []
    for name, at in slices.items():
        gain, error = _gain(liked[at], old[at], new[at])
        aucs = [auc(liked[at], score[at]).value for score in (old, new)]
        found.append((name, at.sum(), *np.round([*aucs, gain, gain - Z * error, gain + Z * error], 4)))
    for (arm, head), score in p.items():
        happened = rows["action"] == ("like", "dislike").index(head)
        for parts in (1, 5):
            for i, (predicted, observed, n) in enumerate(calibration_table(happened, score, parts).to_numpy(), 1):
                name = "all" if parts == 1 else f"fifth {i}"
                bins.append((arm, head, name, int(n), round(predicted, 4), round(observed, 4)))
    columns = ["rows_of_log", "rows", "champion", "challenger", "gain", "gain_low", "gain_high"]
    calibration = pd.DataFrame(bins, columns=["arm", "head", "scores", "rows", "predicted", "observed"])
    return {"auc_by_slice": pd.DataFrame(found, columns=columns), "calibration": calibration}


def _gain(y: np.ndarray, old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """AUC of `new` less that of `old` on the same rows, and its standard error (DeLong, paired)."""
    ranks = []
    for score in (old, new):
        every = rankdata(score)
        ranks.append(((every[y] - rankdata(score[y])) / (~y).sum(), (every[~y] - rankdata(score[~y])) / y.sum()))
    up, down = ranks[1][0] - ranks[0][0], ranks[1][1] - ranks[0][1]
    return float(up.mean()), float(np.sqrt(up.var(ddof=1) / len(up) + down.var(ddof=1) / len(down)))


def replay(challenger: Arm) -> pd.DataFrame:
    """Yesterday's impressions again: the challenger's inputs as served, and as the complete log gives them."""
    rows, slots = challenger.feed.rows[START - 1], challenger.feed.world.p.slots
    user, device, post = (rows[name].reshape(-1, slots) for name in ("user_id", "device", "post_id"))
    requests = Requests(user[:, 0], device[:, 0], np.zeros(len(user)), post)
    given = challenger.inputs(requests, challenger.feed.morning)
    right = replace(challenger, misread={}).inputs(requests, challenger.feed.complete)
    found = []
    for name in challenger.model.signature.features:
        differs = ~(np.abs(given[name] - right[name]) <= 0.05 * np.abs(right[name]))
        shares = [round(100 * float(part.mean()), 1) for part in (np.isnan(given[name]), differs)]
        found.append((name if name in CHAMPION else "added_input", differs.size, *shares))
    return pd.DataFrame(found, columns=["input", "values", "missing_percent", "differs_percent"])


def test(
    cause: str, champion: Arm, challenger: Arm, weight: float, explore: float, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """An A/B test by user, run again with other users until its outcome is a typical one: the truth within 1.2
    standard errors, and an interval without 0 if and only if the gain is real and the test large enough."""
    shares = {"underpowered": [0.007, 0.009], "gain_is_real": [0.3, 0.35, 0.4]}.get(cause, [0.25, 0.3, 0.35])
    planned = float(rng.choice(shares))
    for attempt in range(1, TRIES + 1):
        trial, truth = deepcopy(champion.feed), []
        arms = [replace(arm, feed=trial) for arm in (champion, challenger)]
        treated = generator(trial.world.seed, 2, attempt).random(USERS) < planned
        for day in range(DAYS):
            if day in (0, DAYS - 1):
                truth.append(_value(arms, weight))
            trial.step(Experiment(arms[0], arms[1], treated), explore)
        found, tables = _measure(trial, treated, planned, weight)
        old, new = np.mean(truth, axis=0)
        found["truth"] = float(100 * (new / old - 1))
        typical = abs(found["lift"] - found["truth"]) <= 1.2 * found["se"] and found["deff"] > 1.3
        clear = found["low"] > 1.15 * found["mde"] if cause == "gain_is_real" else found["low"] < 0 < found["high"]
        if typical and clear and abs(found["srm_z"]) < 2.5:
            break
    return found, tables


def _measure(
    feed: Feed, treated: np.ndarray, planned: float, weight: float
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Tables of the test; lift, its standard error and interval by user and the MDE, in percent; the design effect."""
    names = ("session_id", "user_id", "action", "explored")
    days = [
        pd.DataFrame({name: rows[name] for name in names}).assign(day=day - START + 1)
        for day, rows in feed.rows.items()
    ]
    rows = pd.concat(days, ignore_index=True)
    rows = rows[~rows["explored"]].assign(likes=rows["action"] == 0, dislikes=rows["action"] == 1)
    s = rows.groupby("session_id").agg(day=("day", "first"), user=("user_id", "first"), likes=("likes", "sum"),
                                       dislikes=("dislikes", "sum"))  # fmt: skip
    s = s.assign(value=s["likes"] - weight * s["dislikes"], arm=np.where(treated[s["user"]], "challenger", "champion"))
    arms, assigned, means, errors = [], [], [], []
    for name, share, members in (("champion", 1 - planned, ~treated), ("challenger", planned, treated)):
        own = s[s["arm"] == name]
        early, late = (set(own.loc[own["day"].isin(days), "user"]) for days in ((1, 2, 3), (5, 6, 7)))
        mean, n, users = own["value"].mean(), len(own), own["user"].nunique()
        by_user = (own["value"] - mean).groupby(own["user"]).sum()
        means.append(mean)
        errors.append((own["value"].var() / n, (by_user**2).sum() / n**2))
        per_session = [mean, np.sqrt(errors[-1][0]), own["likes"].mean(), own["dislikes"].mean()]
        arms.append((name, users, n, *np.round(per_session, 4), round(100 * len(early & late) / len(early), 1)))
        assigned.append((name, round(100 * share, 1), int(members.sum()), users))
    naive, by_user = np.sum(errors, axis=0)
    base, lift = float(means[0]), 100 * (means[1] / means[0] - 1)
    se, seen = float(100 * np.sqrt(by_user) / base), [row[-1] for row in assigned]
    by_day = s.groupby(["day", "arm"])["value"].agg(["size", "mean"]).reset_index().round(3)
    tables = {
        "arms": pd.DataFrame(arms, columns=["arm", "users", "sessions", "value_per_session", "se_sessions_independent",
                                            "likes_per_session", "dislikes_per_session", "returned_percent"]),
        "by_day": by_day.set_axis(["day", "arm", "sessions", "value_per_session"], axis=1),
        "assignment": pd.DataFrame(assigned, columns=["arm", "planned_percent", "users_assigned", "users_seen"]),
    }  # fmt: skip
    srm_z = (seen[1] / sum(seen) - planned) / np.sqrt(planned * (1 - planned) / sum(seen))
    return {"base": base, "lift": float(lift), "se": se, "low": float(lift - Z * se), "high": float(lift + Z * se),
            "mde": POWER * se, "deff": float(by_user / naive), "srm_z": float(srm_z),
            "seen_percent": 100 * seen[1] / sum(seen)}, tables  # fmt: skip


def economics(cause: str, ab: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """What the challenger costs more, such that a test of this size does, or does not, see the lift that pays."""
    sessions, worth, share = float(rng.integers(20, 200)), float(rng.choice([0.02, 0.03, 0.05, 0.08])), rng.random()
    if cause == "underpowered":
        lift = 3.2 + 1.4 * share
    elif cause == "gain_is_real":
        lift = ab["mde"] + (0.25 + 0.5 * share) * (ab["low"] - ab["mde"])
    else:
        lift = (1.08 + 0.17 * share) * max(ab["high"], ab["mde"])
    per_percent = sessions * 1e6 * ab["base"] * worth / 100 / 100
    cost = float(f"{lift * per_percent:.3g}")
    return {"sessions_m": sessions, "worth": worth, "cost": cost, "pays": cost / per_percent}


def latency(rng: np.random.Generator) -> dict[str, Any]:
    """Parts of the ranking stage's p99, its budget, and how many candidates fit after a cut by 30 %."""
    each = carried(1, candidates=1)["rank_ms"]
    while True:
        candidates, tail = int(rng.choice([1500, 2000, 2500, 3000])), float(rng.choice([2.5, 3.0, 3.5]))
        scoring = 2 * candidates * each * tail
        fixed = scoring * rng.uniform(0.55, 1.2)
        recall = float(round(fixed * rng.choice([0.3, 0.35, 0.65, 0.7]), 2))
        read = float(round(fixed - recall, 2))
        budget = float(round(1.04 * (scoring + recall + read), 1))
        parts = {"recall": recall, "feature_read": read, "scoring": 0.7 * budget - recall - read}
        largest, second = sorted(parts.values())[:0:-1]
        if parts["scoring"] > 0.15 * scoring and largest > 1.15 * second:
            break
    return {"candidates": candidates, "tail": tail, "recall": recall, "read": read, "budget": budget,
            "scoring_us": 1000 * each, "fits": parts["scoring"] / (2 * each * tail), "parts": parts}  # fmt: skip
