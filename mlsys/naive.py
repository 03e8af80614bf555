"""The naive system, in one file: what most people write first, and what the notebooks break.

Every function here works, reads well and is wrong or slow in a way that an interviewer listens for.
Do not import it from the rest of the package: it is the patient, not the doctor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split

FEATURES = ["total_actions", "like_rate", "unique_viewers", "total_likes"]


def clean(events: pd.DataFrame) -> pd.DataFrame:
    """Drop rows without an action; nobody counts them."""
    return events.dropna(subset=["action"])


def extract_features(events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Per-user and per-post aggregates over the whole table: the future, and the label itself, included.

    The `groupby(lambda)` runs Python once per group; see `unit_costs` for what that costs.
    """
    rows = clean(events).astype({"action": object})
    users = rows.groupby("user_id").agg(
        total_actions=("post_id", "count"), like_rate=("action", lambda a: (a == "like").sum() / len(a))
    )
    posts = rows.groupby("post_id").agg(
        unique_viewers=("user_id", "nunique"), total_likes=("action", lambda a: (a == "like").sum())
    )
    return users, posts


@dataclass
class Result:
    """What the naive pipeline reports: `auc`, `precision`, `recall`, `f1` at threshold 0.5, rows dropped."""

    model: LogisticRegression
    users: pd.DataFrame
    posts: pd.DataFrame
    auc: float
    precision: float
    recall: float
    f1: float
    rows_in: int
    rows_used: int


def train(events: pd.DataFrame, seed: int = 42) -> Result:
    """Whole-table features, a random split, a logistic regression, threshold 0.5."""
    users, posts = extract_features(events)
    rows = clean(events)
    rows = rows[rows["action"].isin(["like", "dislike", "view"])]
    X = rows.merge(users, on="user_id", how="left").merge(posts, on="post_id", how="left")[FEATURES].fillna(0)
    y = (rows["action"] == "like").astype(int)
    X_train, X_test, y_train, y_test = train_test_split(
        X.to_numpy(np.float64), y.to_numpy(), test_size=0.2, random_state=seed
    )
    model = LogisticRegression(max_iter=1000).fit(X_train, y_train)
    score, label = model.predict_proba(X_test)[:, 1], model.predict(X_test)
    return Result(
        model,
        users,
        posts,
        auc=float(roc_auc_score(y_test, score)),
        precision=float(precision_score(y_test, label, zero_division=0)),
        recall=float(recall_score(y_test, label)),
        f1=float(f1_score(y_test, label)),
        rows_in=len(events),
        rows_used=len(rows),
    )


class Server:
    """Looks features up with `.loc`, builds one DataFrame per prediction, guesses defaults inline."""

    def __init__(self, model: LogisticRegression, users: pd.DataFrame, posts: pd.DataFrame) -> None:
        self.model, self.users, self.posts = model, users, posts

    def predict(self, user: int, post: int) -> float:
        """P(like) for one pair; an unknown id silently gets an invented row."""
        u = self.users.loc[user] if user in self.users.index else {"total_actions": 0, "like_rate": 0.5}
        p = self.posts.loc[post] if post in self.posts.index else {"unique_viewers": 0, "total_likes": 0}
        row = [[u["total_actions"], u["like_rate"], p["unique_viewers"], p["total_likes"]]]
        return float(self.model.predict_proba(row)[0, 1])

    def predict_from(self, features: dict[str, float]) -> float:
        """P(like) from a dict of features: the order of its keys decides which weight meets which value."""
        return float(self.model.predict_proba([list(features.values())])[0, 1])

    def rank(self, user: int, posts: list[int]) -> list[int]:
        """Candidates by P(like), one model call each."""
        return sorted(posts, key=lambda post: -self.predict(user, post))


@dataclass
class Monitor:
    """Alerts when any metric moves by more than 10 % of its baseline, however noisy that metric is."""

    baseline: dict[str, float]
    threshold: float = 0.1
    alerts: list[str] = field(default_factory=list)

    def check(self, current: dict[str, float]) -> list[str]:
        """Names of the metrics that moved; also kept in `alerts`."""
        moved = [
            name
            for name, value in current.items()
            if self.baseline.get(name) and abs(value - self.baseline[name]) / self.baseline[name] >= self.threshold
        ]
        self.alerts += moved
        return moved


CONFIG: dict[str, object] = {
    "model.version": "v1.2.3",
    "model.type": "LogisticRegression",
    "model.features": FEATURES,
    "serving.max_latency_ms": 50,
    "serving.replicas": 10,
    "serving.batch_size": 1,
    "training.schedule": "daily",
    "training.data_lookback_days": 30,
    "monitoring.alert_threshold": 0.1,
    "monitoring.metrics": ["precision", "recall", "latency_p99"],
}


def configure(changes: dict[str, object]) -> dict[str, object]:
    """The settings with changes. A mistyped key is added and never read; so are most of the others."""
    return {**CONFIG, **changes}


def verify(frame: pd.DataFrame) -> list[str]:
    """Sentences about nulls and whole-row duplicates; nothing is stopped, nothing is kept."""
    nulls = frame.isna().sum()
    issues = [f"{name} has {count} nulls" for name, count in nulls[nulls > 0].items()]
    repeats: Any = frame.duplicated().sum()
    return issues + ([f"{repeats} duplicate rows"] if repeats else [])


ASSUMED: dict[str, Any] = {"objective": "like", "estimator": "linear", "list_age_hours": 12.0, "scored": 0.5}
"""The design of somebody who does not ask: likes, a dot product, lists made once a day (on average half a day old),
half the candidates."""

QUESTIONS = ("scale", "latency", "cores", "history", "feature age", "nulls", "user totals", "views", "user ids",
             "device", "new users", "small creators", "stack", "new posts", "log order", "objective")  # fmt: skip
"""Clarifying questions in the order of comfort: what has a number first, what it is all for last."""


def servers(users: float) -> int:
    """Machines for so many users: one per million, whatever they do."""
    return -(-int(users) // 1_000_000)


OBJECTIVE = {"like": 1.0}
"""What the feed is for: likes."""


def accuracy(events: pd.DataFrame, score: Any) -> float:
    """Binary classification on likes: whatever is no like is a no, null included; one half or more says like."""
    liked = (events["action"] == "like").to_numpy()
    return float(((np.asarray(score) >= 0.5) == liked).mean())


def pick(auc: pd.Series) -> str:
    """The name with the highest AUC, whatever it is the AUC of."""
    return str(auc.idxmax())


def notify(score: Any, threshold: float = 0.3) -> np.ndarray:
    """Push where the score says so: anything between 0 and 1 is read as a probability."""
    return np.asarray(score) >= threshold


def consume(batches: list[pd.DataFrame], killed_at: int, commit_first: bool) -> int:
    """Count likes batch by batch; the process dies once, between the work and the commit or the other way round.

    Commit first, and the batch is never counted. Commit last, and it is counted twice. No id is looked at.
    """
    likes, offset, killed = 0, 0, False
    while offset < len(batches):
        found = int((batches[offset]["action"] == "like").sum())
        if offset == killed_at and not killed:
            killed, likes = True, likes + (0 if commit_first else found)
            offset += commit_first
            continue
        likes, offset = likes + found, offset + 1
    return likes


def label(log: pd.DataFrame, now: Any) -> np.ndarray:
    """1.0 where there is a like; what is none yet is none."""
    return np.asarray(((log["action"] == "like") & (log["arrival_time"] < now)).astype(np.float64))


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows without any null: what is left is clean, and nobody asks who is missing."""
    return frame.dropna()


def encode(log: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Like rate and rows per key over the whole log, own row and future included, looked up for `rows`."""
    liked, out = (log["action"] == "like"), {}
    for key in keys:
        groups = liked.groupby(log[key])
        out[f"{key} rate"], out[f"{key} rows"] = rows[key].map(groups.mean()), rows[key].map(groups.size())
    return pd.DataFrame(out, index=rows.index).astype(np.float32)


def like_rate(log: pd.DataFrame, key: str) -> pd.Series:
    """Likes per impression and key, as the serving team wrote it: nulls count as impressions here, not in training."""
    return (log["action"] == "like").groupby(log[key]).mean()


def largest(trees: list[int], ms: list[float], budget_ms: float = 100) -> int:
    """The largest model that answers in time: more is better, and there is time."""
    return max(n for n, cost in zip(trees, ms, strict=True) if cost <= budget_ms)


def shortlist(candidates: int) -> int:
    """How many candidates the ranker scores: all of them, so that nothing good is missed."""
    return candidates


def with_position(X: pd.DataFrame, slot: Any) -> pd.DataFrame:
    """Position bias, solved: the slot is a feature, and slot 1 for everybody when it serves."""
    return X.assign(position=np.asarray(slot, np.float32))


def forecast(score: Any) -> float:
    """Likes per impression of the new feed: the model's own mean over what it would show."""
    return float(np.mean(score))


def tuned(validation: pd.Series) -> float:
    """The result of a search: the best validation score, of however many."""
    return float(validation.max())


def promoted(models: list[Any]) -> Any:
    """The model that passed the gate, for good."""
    return models[0]


def workers(hours: float, wanted: float) -> int:
    """Machines to be done in the wanted hours: work divides."""
    return int(np.ceil(hours / wanted))


def says_like(score: Any) -> np.ndarray:
    """Yes from one half on: that is where scikit-learn draws the line."""
    return np.asarray(score) >= 0.5


def interval(y: Any) -> tuple[float, float]:
    """95 % interval of a share: rows are rows, whoever they come from."""
    share = float(np.mean(y))
    reach = 1.96 * float(np.sqrt(share * (1 - share) / len(y)))
    return share - reach, share + reach


def bad_slices(table: Any) -> list[Any]:
    """Slices whose interval leaves out the others' value, however many were looked at."""
    out = (table["rest"] < table["low"]) | (table["rest"] > table["high"])
    return list(table.index[out])


def replay(log: Any, slots: int = 10) -> float:
    """What the other ranker earns: likes per session in the rows on which it agrees with the one that ran."""
    agree = log["target_rank"] == log["position"]
    return slots * float((log["action"][agree] == "like").mean())


def users_needed(rate: float, lift: float, rows_per_user: float) -> int:
    """Users per arm for a test: 16 p (1 - p) / effect², each impression a coin of its own."""
    return int(np.ceil(16 * rate * (1 - rate) / (rate * lift) ** 2 / rows_per_user))


def first_find(p: Any) -> int:
    """The day on which a test is over: the first with p < 0.05; 0 if there is none."""
    found = np.flatnonzero(np.asarray(p) < 0.05)
    return int(found[0]) + 1 if len(found) else 0


def measured(treatment: float, control: float) -> float:
    """What a launch will bring: the difference of the arms, whoever else was in the market meanwhile."""
    return treatment - control


def ship(lift: float) -> str:
    """A gain is a gain."""
    return "ship" if lift > 0 else "roll back"


@dataclass
class Cache:
    """Predictions by user: the features are the user's, after all. Nothing is ever too old."""

    kept: dict[int, float] = field(default_factory=dict)

    def get(self, user: int, computed: float) -> float:
        """What is kept for this user, whichever post it was for."""
        return self.kept.setdefault(user, computed)


def nightly(users: float, posts: float) -> float:
    """Scores of a nightly job: every user, every post, whoever comes."""
    return users * posts


def replicas(rate: float, ms: float) -> int:
    """Servers for so many requests per second: each is busy all the time."""
    return int(np.ceil(rate * ms / 1e3))


def latency(parts_ms: Any) -> float:
    """What a request takes: what its model takes."""
    return float(parts_ms["model"])


def compress(us: float, bits: int) -> float:
    """Microseconds with numbers of so many bits instead of 64: half the bits, half the time."""
    return us * bits / 64


def fallback(posts: Any, likes: Any) -> np.ndarray:
    """Without features: what most people like."""
    return np.asarray(posts)[np.argsort(-np.asarray(likes), kind="stable")]


def deploy(server: Any, model: Any) -> None:
    """The new model is better, so everybody gets it. It was checked when it was trained."""
    server.model = model
