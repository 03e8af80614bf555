"""Runs that compare framings: the same log, features and morning; another loss, label, objective or no model at all.

What a framing is worth is computed by the world, exactly, on the sessions of the morning after the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd
from scipy.special import logit

from mlsys.config import SystemConfig
from mlsys.core import microseconds
from mlsys.evaluation import auc, log_loss
from mlsys.evaluation.ranking import ndcg
from mlsys.orchestration.loop import DailyLoop
from mlsys.orchestration.served import ServedRanker
from mlsys.training import LinearModel, Model, TreeModel, ValueModel
from mlsys.training.models import THREADS
from mlsys.training.ranking import fit_least_squares, fit_listwise, fit_pairwise
from mlsys.training.registry import RegisteredModel
from mlsys.world import Oracle, Random, TableRanker, World, behaviour, recency
from mlsys.world.parameters import UNSEEN_NULL
from mlsys.world.rankers import VALUE_WEIGHTS, Ranker
from mlsys.world.simulation import Day

LOSSES = ("pointwise", "regression", "pairwise", "listwise", "trees")
"""`Log.fit_losses`: one linear model under four losses, and boosted trees under the first of them."""

Estimator = type[LinearModel] | type[TreeModel]
P = ParamSpec("P")
T = TypeVar("T")


def one_thread(run: Callable[P, T]) -> Callable[P, T]:
    """The function with its linear algebra on one thread, see `THREADS`: many small fits wait less for each other."""

    @wraps(run)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with THREADS.limit(limits=1):
            found: T = run(*args, **kwargs)
        return found

    return limited


@dataclass
class Log:
    """What a random order has taught by a morning.

    loop : the system and its world on that morning, models still missing.
    features : float32 (n, features), each as of the morning its impression was served.
    seen : of the same rows, all with an action: action, user_id, session_id, day, returns (does the user come on the
        day after). The newest day is left out of both: nobody knows yet who returns.
    """

    loop: DailyLoop
    features: pd.DataFrame
    seen: pd.DataFrame

    @property
    def test(self) -> np.ndarray:
        """Rows of the newest day, bool (n,); models learn from all others."""
        return np.asarray(self.seen["day"] == self.seen["day"].max())

    def labels(self) -> pd.DataFrame:
        """What one could predict, 0/1 float64 (n,) each."""
        action = self.seen["action"]
        found = {
            "like": action == "like",
            "any response": action != "view",
            "share": action == "share",
            "no dislike": action != "dislike",
            "returns tomorrow": self.seen["returns"],
        }
        return pd.DataFrame(found).astype(np.float64)

    def fit(
        self, estimator: Estimator, y: np.ndarray, version: str, features: pd.DataFrame | None = None
    ) -> LinearModel | TreeModel:
        """A model of a label (n,), from the rows that are not for testing; `features`: others than the log's own."""
        X, rows = self.features if features is None else features, ~self.test
        return estimator.fit(X[rows], np.asarray(y)[rows], version=version)

    @one_thread
    def fit_losses(self, y: np.ndarray, names: Sequence[str] = LOSSES) -> dict[str, LinearModel | TreeModel]:
        """Models of one label (n,), from the rows that are not for testing."""
        rows = ~self.test
        X, y, group = self.features[rows], np.asarray(y)[rows], self.seen["session_id"].to_numpy()[rows]
        fits: dict[str, Callable[[], LinearModel | TreeModel]] = {
            "pointwise": lambda: LinearModel.fit(X, y, version="pointwise"),
            "regression": lambda: fit_least_squares(X, y),
            "pairwise": lambda: fit_pairwise(X, y, group),
            "listwise": lambda: fit_listwise(X, y, group),
            "trees": lambda: TreeModel.fit(X, y, version="trees"),
        }
        return {name: fits[name]() for name in names}

    def value(self, models: Mapping[str, RegisteredModel], *others: Ranker) -> pd.DataFrame:
        """Exact responses and enjoyment per session, were each model (through the server) or ranker served today."""
        served = [ServedRanker(self.loop.server(model), name=name) for name, model in models.items()]
        return self.loop.world.value([Random(), *served, *others, Oracle()])


@one_thread
def observe(seed: int, *, users: int = 1_000, days: int = 10, config: SystemConfig | None = None) -> Log:
    """A log of `days` days of random ranking, joined to its features, and the system that made it.

    >>> log = observe(13, users=60, days=5)
    >>> len(log.features) == len(log.seen), log.labels().columns[0]
    (True, 'like')
    """
    loop = DailyLoop(config or SystemConfig(), seed=seed, users=users)
    start = loop.world.now
    log = pd.concat([loop.random_day().log for _ in range(days)]).drop_duplicates("event_id").set_index("event_id")
    features = pd.concat([loop.rows[day].features for day in sorted(loop.rows)])
    seen = log.loc[features.index, ["action", "user_id", "session_id"]]
    seen["day"] = (microseconds(log.loc[features.index, "event_time"]) - start.astype(np.int64)) // 86_400_000_000
    came = np.zeros((int(log["user_id"].max()) + 1, days + 1), bool)
    came[log["user_id"], (microseconds(log["event_time"]) - start.astype(np.int64)) // 86_400_000_000] = True
    seen["returns"] = came[seen["user_id"], seen["day"] + 1]
    known = (seen["day"] < days - 1).to_numpy()
    return Log(loop, features[known], seen[known])


@one_thread
def losses(seed: int, *, users: int = 400, days: int = 9, config: SystemConfig | None = None) -> pd.DataFrame:
    """`LOSSES` on one log: auc and ndcg (@10) on the test day; share_of_oracle of likes, exact, on the last morning."""
    log = observe(seed, users=users, days=days, config=config)
    y, test = log.labels()["like"].to_numpy(), log.test
    models, session = log.fit_losses(y), log.seen["session_id"].to_numpy()[test]
    scores = {name: model.predict(log.features[test]) for name, model in models.items()}
    likes = log.value(models)["like"]
    return pd.DataFrame(
        {
            "auc": {name: auc(y[test], score).value for name, score in scores.items()},
            "ndcg": {name: float(ndcg(y[test], score, session).mean()) for name, score in scores.items()},
            "share_of_oracle": (likes / likes["oracle"])[list(models)],
        }
    )


@one_thread
def by_label(log: Log, estimator: Estimator = TreeModel) -> pd.DataFrame:
    """Which feed each label makes: a row per label of `Log.labels`, "value" (three heads), and random.

    auc : of the model on its own label, test day; none for value. like, dislike, share, enjoyment : exact, per session.
    """
    labels, test = log.labels(), log.test
    models = {str(name): log.fit(estimator, y.to_numpy(), str(name)) for name, y in labels.items()}
    auc_of = {
        name: auc(labels[name].to_numpy()[test], model.predict_array(log.features[test].to_numpy())).value
        for name, model in models.items()
    }
    disliked = log.fit(estimator, 1 - labels["no dislike"].to_numpy(), "dislike")
    heads = {"like": models["like"], "share": models["share"], "dislike": disliked}
    value = log.value({**models, "value": ValueModel("value", heads, VALUE_WEIGHTS)})
    return value.drop(columns="null").assign(auc=pd.Series(auc_of))


@one_thread
def promises(log: Log, models: Mapping[str, Model], *, threshold: float = 0.3) -> pd.DataFrame:
    """What scores of a like promise when they are read as probabilities, and what the test day kept.

    Rows: the models and, of pairwise and listwise, the score after Platt's scaling: a logistic regression of the label
    on the score's log-odds over the training rows. Columns: predicted and observed, mean P(like); log_loss; over, the
    share of rows at or above the threshold, and liked, the share of likes among them; spread, mean score of the
    quarter of users' rows with the highest past like rate less that of the lowest, and observed_spread.
    Source: Platt, Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers (1999).
    """
    y, test, quarter = log.labels()["like"].to_numpy(), log.test, log.features["user:like_rate"].rank(pct=True)
    scores = {name: model.predict_array(log.features.to_numpy()) for name, model in models.items()}
    for name in ("pairwise", "listwise"):
        odds = pd.DataFrame({"log-odds": logit(scores[name])})
        scores[f"{name}, then Platt"] = log.fit(LinearModel, y, "platt", features=odds).predict(odds)
    high, low = (quarter >= 0.75).to_numpy() & test, (quarter <= 0.25).to_numpy() & test
    rows = {}
    for name, score in scores.items():
        over = test & (score >= threshold)
        rows[name] = {
            "predicted": score[test].mean(),
            "observed": y[test].mean(),
            "log_loss": log_loss(y[test], score[test]).value,
            "over": over.sum() / test.sum(),
            "liked": y[over].mean() if over.any() else np.nan,
            "spread": score[high].mean() - score[low].mean(),
            "observed_spread": y[high].mean() - y[low].mean(),
        }
    return pd.DataFrame(rows).T


@one_thread
def priced(
    log: Log, heads: Mapping[str, Mapping[str, LinearModel | TreeModel]], prices: Mapping[str, float] = VALUE_WEIGHTS
) -> pd.DataFrame:
    """One value function, its heads from different losses: exact responses and enjoyment per session, by loss.

    heads : action → loss → model, the same losses for every action; `prices` has a weight for each action.
    """
    models: dict[str, RegisteredModel] = {
        loss: ValueModel(loss, {action: fitted[loss] for action, fitted in heads.items()}, prices)
        for loss in heads["like"]
    }
    return log.value(models).loc[list(models)]


def slots(day: Day, world: World) -> pd.DataFrame:
    """What a logged zero means, per position: shares of like, of other recorded responses, of looked at and passed
    over, and never looked at. The last two are the world's secret: a log calls both of them view or null."""
    look = behaviour.attention(world.p).astype(np.float64)
    rows = pd.crosstab(day.log["position"], day.log["action"].cat.codes, normalize="index")
    like, other = rows[0].to_numpy(), (rows[1] + rows[3]).to_numpy()
    return pd.DataFrame(
        {"like": like, "other response": other, "passed over": look - like - other, "never looked at": 1 - look},
        index=rows.index,
    )


def never_looked(day: Day, world: World, action: str | None) -> float:
    """Expected share of the rows with this action (None: null; "zero": all but likes) that nobody looked at."""
    unseen = 1 - behaviour.attention(world.p)[day.log["position"].to_numpy() - 1].astype(np.float64)
    share = {None: UNSEEN_NULL, "view": 1 - UNSEEN_NULL, "zero": 1.0}.get(action, 0.0)
    logged = day.log["action"]
    rows = logged.isna() if action is None else logged != "like" if action == "zero" else logged == action
    return float(share * unseen.sum() / rows.sum())


def month(
    seed: int, weights: Mapping[str, float], *, users: int = 300, days: int = 30, warm_up: int = 10
) -> pd.DataFrame:
    """A month of the perfect ranker of Σ weight · P(response), after `warm_up` days of random ranking; a row per day.

    likes : so far, per user who was there on day 1 · today : expected likes per session · kept : of those active on
    days 1 to 3, the share active on this day or the two before, NaN until day 6 · clickbait : mean of what was shown
    """
    world, ranker = World(seed=seed, users=users), Oracle("objective", weights)
    for _ in range(warm_up):
        world.step(Random())
    first, likes, rows, visitors = len(world.users), 0, [], []
    for day in range(1, days + 1):
        done = world.step(ranker)
        log = done.log.head(done.sessions * world.p.slots)  # without repeated deliveries, which come last
        ours = log["user_id"].to_numpy() < first
        likes += int(((log["action"] == "like").to_numpy() & ours).sum())
        visitors.append(log["user_id"].to_numpy()[ours])
        early, late = np.unique(np.concatenate(visitors[:3])), np.concatenate(visitors[-3:])
        kept = float(np.isin(early, late).mean()) if day >= 6 else float("nan")
        shown = float(world.posts.clickbait[log["post_id"]].mean())
        rows.append((day, likes / first, float(done.value["like"].iloc[0]), kept, shown))
    return pd.DataFrame(rows, columns=["day", "likes", "today", "kept", "clickbait"]).set_index("day")


def sweep(seed: int, dislike: Sequence[float], *, users: int = 1_000) -> pd.DataFrame:
    """The last day of `month` per price of a dislike in likes; today is that of day 1."""
    rows = {}
    for price in dislike:
        run = month(seed, {**VALUE_WEIGHTS, "dislike": -float(price)}, users=users)
        rows[price] = {**run.iloc[-1].to_dict(), "today": run["today"].iloc[0]}
    return pd.DataFrame(rows).T.rename_axis("dislike")


@one_thread
def growth(
    seed: int, *, users: int = 100, mornings: Sequence[int] = (2, 4, 8), config: SystemConfig | None = None
) -> pd.DataFrame:
    """What rules of thumb and models earn on some mornings, as the log of a small product grows.

    Rows: (day, ranker). Rankers: random; the rules recency, popularity (a post's like rate) and creator (its
    creator's); linear and trees, which predict likes; three heads, linear ones under `VALUE_WEIGHTS`; oracle.
    Columns: rows (labelled impressions so far); like, dislike, share, enjoyment (exact, per session); share_of_oracle
    (of its likes); value (Σ weight · response, as in `VALUE_WEIGHTS`).
    """
    loop, found = DailyLoop(config or SystemConfig(), seed=seed, users=users), {}
    shown = likes = np.zeros(loop.world.p.creators)
    for day in range(1, max(mornings) + 1):
        log, posts = loop.random_day().log, loop.world.catalogue()
        creator = posts["creator_id"].to_numpy()
        made = creator[log["post_id"]]
        shown = shown + np.bincount(made, minlength=len(shown))
        likes = likes + np.bincount(made[(log["action"] == "like").to_numpy()], minlength=len(shown))
        if day not in mornings:
            continue
        features = pd.concat([rows.features for rows in loop.rows.values()])
        action = pd.concat([rows.action for rows in loop.rows.values()])
        heads = {name: LinearModel.fit(features, (action == name).to_numpy()) for name in VALUE_WEIGHTS}
        models: dict[str, RegisteredModel] = {
            "linear": heads["like"],
            "three heads": ValueModel("value", heads, VALUE_WEIGHTS),
            "trees": TreeModel.fit(features, (action == "like").to_numpy()),
        }
        rate = (likes + 20 * likes.sum() / shown.sum()) / (shown + 20)
        newest, creators = recency(microseconds(posts["created"])), TableRanker("creator", rate[creator])
        served = [ServedRanker(loop.server(model), name=name) for name, model in models.items()]
        value = loop.world.value([Random(), newest, loop.popularity, creators, *served, Oracle()]).drop(columns="null")
        value.insert(0, "rows", len(features))
        found[day] = value.assign(
            share_of_oracle=value["like"] / value["like"]["oracle"],
            value=sum(weight * value[name] for name, weight in VALUE_WEIGHTS.items()),
        )
    return pd.concat(found, names=["day", "ranker"])
