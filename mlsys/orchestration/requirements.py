"""What an answer is worth: every clarifying question as a pair of runs, one per answer.

A question has two prices. What the other answer costs although you asked (a constraint: nobody may use user ids), and
what you lose on top because you did not ask, and built for the answer that you had assumed. Only the second is saved
by asking. Both are measured: the same morning of the same world, the same people, another design.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlsys.capacity import LATENCY_CLASSES_MS, carried, plan, unit_costs
from mlsys.config import SystemConfig
from mlsys.features import FeatureStore
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import ranking_views
from mlsys.training import LinearModel, TreeModel
from mlsys.world import Model, Oracle, Popularity, Random, Requests, TableRanker, World, behaviour
from mlsys.world.rankers import VALUE_WEIGHTS, Ranker

HOUR, DAY_HOURS, ROWS, USERS = np.timedelta64(3_600_000_000, "us"), 24.0, 40_000, 1e8
"""An hour, hours of a day, training rows at most, and the users for whom cores are counted."""

MACHINE = {"cores": 64, "memory_gb": 256, "reads_per_second": 100_000, "disk_gb": 10_000}
KEPT_DAYS, USER_VIEWS, REACTIONS = 30, ("user", "user_topic"), ("like", "dislike", "share")
"""One machine, a guess to be said aloud (reads: of single rows, from one store process); days of log that are kept."""


@dataclass(frozen=True)
class Design:
    """What is built. Every field is the consequence of an answer.

    objective : "like", or "value" (`VALUE_WEIGHTS`: what people regret counts against it). estimator : "trees" or
    "linear". without : views or `view:feature` that may not be used. withheld : trained with, missing when served,
    because somebody found out late. every_hours : features are put online so often; 0: fresh for every request.
    list_age_hours : ranked by a batch job so long before the day begins; newer posts and features do not exist for it.
    scored : share of the candidates that there is time or money to score. nulls : "dropped" from training, or "no
    like". views : False: the log holds reactions only. small_bonus : added to the score of posts of small creators.
    """

    objective: str = "like"
    estimator: str = "trees"
    without: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    every_hours: float = DAY_HOURS
    list_age_hours: float = 0.0
    scored: float = 1.0
    nulls: str = "dropped"
    views: bool = True
    small_bonus: float = 0.0


@dataclass(frozen=True)
class Served:
    """A day under one design: exact likes, dislikes and enjoyment per session, and its log with the true P(like)."""

    likes: float
    dislikes: float
    enjoyment: float
    log: pd.DataFrame


class Morning:
    """A world after some days of random ranking, on the morning on which a design goes live.

    Every design meets the same people with the same candidates. What it earns is exact: no die is thrown.

    >>> morning = Morning(seed=13, users=200, days=3)
    >>> linear, oracle = morning.day(Design(estimator="linear")), morning.day(Oracle())
    >>> bool(morning.day(Random()).likes < linear.likes < oracle.likes)
    True
    """

    def __init__(self, seed: int = 13, *, users: int = 1_500, days: int = 10, **changes: Any) -> None:
        self.world, self.popularity = World(seed=seed, users=users, n_jobs=1, **changes), Popularity()
        self.past = pd.concat([_once(self.world.step(Random()).log) for _ in range(days)], ignore_index=True)
        self.popularity.observe(self.past)
        catalogue = self.world.catalogue()
        self._catalogue = Catalogue(catalogue, topics=self.world.p.topics)
        posts = np.bincount(catalogue["creator_id"], minlength=self.world.p.creators)
        order = np.argsort(posts, kind="stable")
        self.small = np.isin(catalogue["creator_id"], order[: len(order) // 2])
        self._days: dict[Any, Served] = {}
        self._stores: dict[Any, FeatureStore] = {}
        self._frames: dict[Any, pd.DataFrame] = {}
        self._models: dict[Design, dict[str, TreeModel | LinearModel]] = {}

    def day(self, what: Design | Ranker) -> Served:
        """The coming day under a design, or any ranker. Nothing is changed; the same design is run once."""
        key: Any = what if isinstance(what, Design) else what.name
        if key not in self._days:
            ranker = self._ranker(what) if isinstance(what, Design) else what
            found = deepcopy(self.world).step(ranker)
            value: dict[Any, float] = found.value.iloc[0].to_dict()
            log = _once(found.log.assign(p_like=found.p_like))
            self._days[key] = Served(value["like"], value["dislike"], value["enjoyment"], log)
        return self._days[key]

    def likes(self, what: Design | Ranker) -> float:
        """Exact likes per session."""
        return self.day(what).likes

    def exposure(self, what: Design | Ranker) -> dict[str, float]:
        """Shares of impressions: of small creators (the half with the fewest posts), and of posts of the first day."""
        post = self.day(what).log["post_id"].to_numpy()
        return {
            "small creators": float(self.small[post].mean()),
            "new posts": float((self.world.posts.first_day[post] == self.world.day).mean()),
        }

    def newcomers(self, what: Design | Ranker) -> dict[str, float]:
        """Of users who are not in the log yet: their share of sessions, and exact likes per session."""
        log = self.day(what).log
        new = log[~log["user_id"].isin(self.past["user_id"])]
        sessions = new["session_id"].nunique()
        likes = float(new["p_like"].astype(np.float64).sum()) / max(sessions, 1)
        return {"share": sessions / log["session_id"].nunique(), "likes": likes}

    def _store(self, design: Design) -> FeatureStore:
        """All that was logged; for features fresher than a day also today's log, under the daily design."""
        if (key := (design.views, today := design.every_hours < DAY_HOURS)) not in self._stores:
            log = pd.concat([self.past, self.day(Design()).log.drop(columns="p_like")]) if today else self.past
            log = log if design.views else log[log["action"].isin(REACTIONS)]
            store = FeatureStore()
            store.apply(*ranking_views())
            store.ingest(self._catalogue.join_log(log))
            self._stores[key] = store
        return self._stores[key]

    def _features(self, design: Design, rows: pd.DataFrame, name: str) -> pd.DataFrame:
        """Features of rows as this design would have known them, float32; kept under `name`."""
        key = (name, design.views, design.every_hours, design.list_age_hours)
        if key not in self._frames:
            store, age = self._store(design), design.list_age_hours * HOUR
            every = design.every_hours * HOUR if design.every_hours else None
            refs = store.list_features()
            asked = rows.assign(event_time=rows["event_time"].dt.floor("D") - age) if design.list_age_hours else rows
            self._frames[key] = store.get_historical_features(asked, refs, every=every)[refs].astype(np.float32)
        return self._frames[key][[ref for ref in self._frames[key] if not _names(design.without, ref)]]

    def _heads(self, design: Design) -> dict[str, TreeModel | LinearModel]:
        """The models of a design, one per action that it weighs; designs that differ only in serving share them."""
        if (key := replace(design, withheld=(), scored=1.0, small_bonus=0.0)) in self._models:
            return self._models[key]
        rows = self.past[self.past["arrival_time"] < self.world.now].tail(ROWS)
        rows = rows if design.views else rows[rows["action"].isin(REACTIONS)]
        X = self._features(design, self._catalogue.join_log(rows), "training")
        use = rows["action"].notna().to_numpy() | (design.nulls == "no like")
        action, fit = rows["action"][use], (TreeModel if design.estimator == "trees" else LinearModel).fit
        names = VALUE_WEIGHTS if design.objective == "value" else ["like"]
        self._models[key] = {name: fit(X[use], (action == name).to_numpy(np.float64)) for name in names}
        return self._models[key]

    def _ranker(self, design: Design) -> Ranker:
        heads = self._heads(design)
        weights = VALUE_WEIGHTS if design.objective == "value" else {"like": 1.0}

        def predict(requests: Requests) -> np.ndarray:
            each = requests.post_id.shape[1]
            rows = {
                "user_id": np.repeat(requests.user_id, each),
                "post_id": requests.post_id.ravel(),
                "device_code": np.repeat(np.where(requests.device > 2, -1, requests.device), each),
                "event_time": np.repeat(requests.time, each).view("datetime64[us]"),
            }
            asked = pd.DataFrame(self._catalogue.join(rows))
            seen = self._features(design, asked, f"requests of {requests.user_id[0]}")
            hidden = [str(ref) for ref in seen if _names(design.withheld, ref)]
            values = seen.assign(**dict.fromkeys(hidden, np.float32(np.nan))).to_numpy()
            score = np.sum([w * heads[name].predict_array(values) for name, w in weights.items()], axis=0)
            score = score + design.small_bonus * self.small[rows["post_id"]]
            if design.list_age_hours:
                made = (self.world.now - design.list_age_hours * HOUR).astype(np.int64)
                score[asked["created"].to_numpy() > made] = -1e3
            score = score.reshape(-1, each)
            score[:, round(design.scored * each) :] = -1e3
            return np.asarray(score)

        return Model("design", predict)


QUESTIONS: Mapping[str, tuple[str, str, str, str]] = {
    "objective": ("After how many days is it judged?", "today, by likes", "by the month", "objective"),
    "log order": ("Who ordered the log? Are positions in it?", "shuffled", "one fixed order", "training data"),
    "cores": ("How many cores may ranking have?", "few: half the candidates", "what it takes", "candidate budget"),
    "stack": ("Which models can your serving stack run?", "a dot product", "any, trees too", "model"),
    "new posts": ("How soon must a new post be rankable?", "a list a day will do", "at once", "serving, recall"),
    "device": ("May features use the device?", "yes", "no", "features"),
    "user ids": ("May features use user ids?", "yes", "no", "features"),
    "user totals": ("May we keep how active each user is?", "yes", "no", "features"),
    "feature age": ("Features by the hour or by the day?", "by the day", "by the hour", "feature pipeline"),
    "views": ("Does the log have what was seen and left?", "yes", "reactions only", "labels"),
    "nulls": ("Is a null a lost row, or not liked?", "lost", "not liked", "labels"),
    "scale": ("How many users?", "enough", "a tenth of ours", "storage, reads"),
    "latency": ("Under 100 ms, or under a second?", "100 ms", "a second", "none"),
    "history": ("How many days of log?", "enough", "three", "none"),
    "new users": ("Do new users need a ranker of their own?", "no", "popularity", "serving"),
    "small creators": ("Is there a floor for small creators?", "no", "more exposure", "re-ranking"),
}
"""What is asked, what is assumed by whoever does not ask, the other answer, and the component that it changes."""

BATCH = Design(list_age_hours=DAY_HOURS / 2)
"""Ranked once a day for everyone: between 0 and 24 hours old, so half a day on average."""

_IDS, _WEB, _HALF, _LINEAR = USER_VIEWS, ("request:web",), Design(scored=0.5), Design(estimator="linear")
DESIGNS: Mapping[str, tuple[Design, Design, Design]] = {
    "cores": (_HALF, Design(), _HALF),
    "stack": (_LINEAR, Design(), _LINEAR),
    "new posts": (BATCH, Design(), BATCH),
    "device": (Design(), Design(without=_WEB), Design(withheld=_WEB)),
    "user ids": (Design(), Design(without=_IDS), Design(withheld=_IDS)),
    "user totals": (Design(), Design(without=("user",)), Design(withheld=("user",))),
    "feature age": (Design(), Design(every_hours=1), Design()),
    "views": (Design(), Design(views=False), Design(views=False)),
    "nulls": (Design(), Design(nulls="no like"), Design()),
    "small creators": (Design(), Design(small_bonus=0.05), Design(small_bonus=0.05)),
}
"""The questions that a morning answers, as three designs: for the assumed answer where it is true; for the other one;
and still for the assumed one where the other is true. The last two are equal where nothing can be built differently,
or where what is lost is not counted in likes."""


def stakes(morning: Morning, names: Sequence[str] = tuple(DESIGNS)) -> pd.DataFrame:
    """What each answer costs, in shares of likes, and in cores for `USERS`. Index: the questions' names.

    price : likes under the other answer, designed for it, over those under the assumed one - 1.
    lost : the share of likes that a design for the assumed answer loses where the other one is true.
    cores : cores of the design for the other answer, less those of the design for the assumed one.
    """
    rows = {}
    for name in names:
        before, asked, unasked = map(morning.likes, DESIGNS[name])
        more = cores(DESIGNS[name][1]) - cores(DESIGNS[name][0])
        rows[name] = (asked / before - 1, 1 - unasked / asked, more)
    return _table(rows)


def others(morning: Morning, short: Morning, small: Morning, month: pd.DataFrame, log_order: float) -> pd.DataFrame:
    """The same columns for the other questions, on the same seed.

    short, small : mornings with fewer days of log, with fewer users. month : of `months`. log_order : of
    `position_value`, not shuffled. Where no design changes, `lost` is what the other estimator would have gained.
    """
    ours, last = Design(), month.iloc[-1]
    rows: dict[str, tuple[float, float, float]] = {}
    likes, best = morning.likes(ours), morning.likes(Oracle())
    new, popular = morning.newcomers(ours), morning.newcomers(morning.popularity)["likes"]
    branch = 1 + new["share"] * (popular - new["likes"]) / likes
    fits = [min(1.0, ms / carried(1)["rank_ms"]) for ms in LATENCY_CLASSES_MS.values()]
    first, second = (morning.likes(Design(scored=share)) for share in fits)
    rows["objective"] = (morning.likes(Design(objective="value")) / likes - 1, 1 - last["like"] / last["value"], 0.0)
    rows["log order"] = (np.nan, 1 - 1 / (1 + log_order), 0.0)
    rows["latency"] = (second / first - 1, 1 - first / second, 0.0)
    rows["new users"] = (branch - 1, 1 - 1 / branch, 0.0)
    for name, other in (("history", short), ("scale", small)):
        promised = other.likes(ours) / other.likes(Oracle()) / (likes / best) - 1
        rows[name] = (promised, max(0.0, 1 - other.likes(ours) / other.likes(_LINEAR)), 0.0)
    return _table(rows)


def cores(design: Design, users: float = USERS) -> float:
    """Cores that ranking and features take, mid case. A batch job ranks every user once a day, at an even pace.

    Features: a pass over the day's events per refresh. Models count alike; what trees cost is for notebook 07.
    """
    needs, cost = _plan([users]).iloc[0], unit_costs()
    at_night = users * cost["rank_500_us"] / 1e6 / 86_400 / 0.5
    ranking = at_night if design.list_age_hours else float(needs["cores"])
    passes = DAY_HOURS / design.every_hours if design.every_hours else 1
    return ranking * design.scored + passes * float(needs["events_per_day"]) * cost["features_us_per_event"] / 8.64e10


def load(users: Sequence[float]) -> pd.DataFrame:
    """How many machines (`MACHINE`) each component needs, mid case: above 1, one machine is not enough.

    A daily pass over the events has one hour. One row per component, one column per number of users, and `breaks_at`:
    the users at which it needs the second machine.
    """
    needs, cost = _plan(users), unit_costs()
    events, seconds = needs["events_per_day"], 3600 * MACHINE["cores"]
    loads = {
        "store, a read per candidate": needs["store_reads_per_second"] / MACHINE["reads_per_second"],
        "event log": needs["log_gb_per_day"] * KEPT_DAYS / MACHINE["disk_gb"],
        "store, a read per request": needs["requests_per_second"] / MACHINE["reads_per_second"],
        "daily feature pass": events * cost["features_us_per_event"] / 1e6 / seconds,
        "ranking": needs["cores"] / MACHINE["cores"],
        "online features, memory": needs["online_gb"] / MACHINE["memory_gb"],
    }
    frame = pd.DataFrame({name: load.to_numpy() for name, load in loads.items()}, index=list(users)).T
    return frame.assign(breaks_at=users[0] / frame[users[0]]).sort_values("breaks_at")


def months(seed: int, *, users: int = 600, days: int = 30) -> pd.DataFrame:
    """Two perfect rankers, from the same start: one for likes, one for the value function. One row per day.

    like, value : exact likes so far, per user of the first day · gain : value over like - 1 · like_active,
    value_active : users who came. Perfect, so that nothing but the objective differs: a better model cannot help.
    """
    start = World(seed=seed, users=users, n_jobs=1)
    for _ in range(7):
        start.step(Random())
    columns = {}
    for name, ranker in (("like", Oracle("like")), ("value", Oracle("value", VALUE_WEIGHTS))):
        world = deepcopy(start)
        found = [world.step(ranker) for _ in range(days)]
        columns[name] = np.cumsum([day.value["like"].iloc[0] * day.sessions for day in found]) / len(start.users)
        columns[f"{name}_active"] = np.array([day.active for day in found])
    columns["gain"] = columns["value"] / columns["like"] - 1
    return pd.DataFrame(columns, index=pd.RangeIndex(1, days + 1, name="day"))


def position_value(seed: int, *, shuffled: bool, users: int = 4_000) -> float:
    """What it is worth to know positions: likes per look over likes per impression, as rankers, - 1; exact.

    The log is a week of ten posts a session, shuffled or in order of creator size, with strong position bias.
    """
    world, days = World("legacy_order", seed=seed, users=users, n_jobs=1, candidates=10), []
    for _ in range(7):
        size = TableRanker("size", world.creators.size[world.posts.creator])
        days.append(_once(world.step(Random() if shuffled else size).log))
    log = pd.concat(days)
    look = behaviour.attention(world.p)[log["position"].to_numpy() - 1]
    n = len(world.posts)
    likes = np.bincount(log["post_id"][log["action"] == "like"], minlength=n)

    def rate(weight: np.ndarray) -> np.ndarray:
        seen, prior = np.bincount(log["post_id"], weights=weight, minlength=n), 20 * weight.mean()
        return np.asarray((likes + prior * likes.sum() / seen.sum()) / (seen + prior))

    world.p = replace(world.p, candidates=50)
    rankers = [TableRanker("impression", rate(np.ones(len(log)))), TableRanker("look", rate(look))]
    found: dict[Any, float] = world.value(rankers, repeats=3)["like"].to_dict()
    return found["look"] / found["impression"] - 1


@dataclass(frozen=True)
class Answers:
    """What the interviewer said. The defaults are those of our feed."""

    users: float = 1e8
    judged_after_days: int = 30
    latency_ms: float = 100.0
    history_days: int = 30
    any_model: bool = True


def implied(answers: Answers, turning_day: float) -> SystemConfig:
    """The configuration that follows. turning_day : from which day on the value function is ahead in likes.

    Half of the latency is for ranking, the rest for recall, network and retries; replicas of one core for the high
    case, in tens; as many candidates as are recalled, if they fit.
    """
    high = plan([answers.users]).query("case == 'high'").iloc[0]
    fits = answers.latency_ms / 2 / carried(1, candidates=1)["rank_ms"]
    settings = {
        "training.objective": "value" if answers.judged_after_days >= turning_day else "like",
        "training.estimator": "trees" if answers.any_model else "linear",
        "training.lookback_days": min(answers.history_days, KEPT_DAYS),
        "training.every_days": 1,
        "features.window_days": 7.0,
        "serving.max_latency_ms": answers.latency_ms / 2,
        "serving.candidates": min(500, int(fits)),
        "serving.replicas": math.ceil(float(high["cores"]) / 10) * 10,
        "serving.explore": 0.02,
    }
    return SystemConfig.load(overrides=settings)


def spec_path() -> Path:
    """`feed.toml`: beside the notebook, or, for a copy elsewhere, in the repository's notebooks."""
    here = Path("feed.toml")
    return here if here.is_file() else Path(__file__).resolve().parents[2] / "notebooks" / "feed.toml"


def _table(rows: Mapping[str, tuple[float, float, float]]) -> pd.DataFrame:
    """With what is asked, assumed, answered, and what changes."""
    columns = ["ask", "assumed", "other", "component", "price", "lost", "cores"]
    return pd.DataFrame([(*QUESTIONS[name], *row) for name, row in rows.items()], columns=columns, index=list(rows))


def _once(log: pd.DataFrame) -> pd.DataFrame:
    """Without repeated deliveries."""
    return log[~log["event_id"].duplicated()]


def _names(names: Sequence[str], ref: object) -> bool:
    """Whether a feature reference, or its view, is among these names."""
    return ref in names or str(ref).split(":")[0] in names


def _plan(users: Sequence[float]) -> pd.DataFrame:
    return plan(list(users)).query("case == 'mid'").reset_index(drop=True)
