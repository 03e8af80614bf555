"""One market, twice: the ranker that is there, and one that was trained with one thing framed another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mlsys.core import generator
from mlsys.training import LinearModel, ValueModel
from mlsys.training.models import Signature
from mlsys.training.ranking import pairs
from mlsys.world import Model, Random, Requests, World

CAUSES = ("likes_alone", "any_action", "returns", "early_likes", "post", "slot")
"""What may be framed another way: prompt.md says what each does."""

USERS, RANDOM, TRAIN, TEST = 300, 9, 3, 7
"""Users; days in random order, the first day to train on, the test day, which no model has seen. Days from 0."""

SHOWN, DAYS = 7, 10
"""Days of the tables, days of the loss."""

LIKE, DISLIKE, VIEW, SHARE, NULL = 0, 1, 2, 3, -1
COUNTED = (LIKE, DISLIKE, SHARE, VIEW)
PRIORS = {"post": 20, "creator": 40, "topic": 8, "user": 15}

INPUTS = ("post_like", "post_dislike", "post_share", "creator_like", "creator_dislike", "creator_share", "topic_like",
          "topic_dislike", "topic_share", "user_like", "user_days", "fresh", "length", "length_squared",
          "length_on_web", "slot")  # fmt: skip
OF_POST = tuple(name for name in INPUTS if name.startswith(("post", "creator", "fresh")) or name in
                ("length", "length_squared"))  # fmt: skip

COLUMNS = {"sessions": 0, "likes": 3, "shares": 3, "dislikes": 3, "length": 1, "own_topic": 1, "posts": 0, "place": 1,
           "spread": 1}  # fmt: skip
"""Columns of the tables, with their decimals."""


@dataclass(frozen=True)
class Ranker:
    """A model and what the server puts in the place of the slot: the place in the list of candidates, or 1.

    priced : heads that are added to its number, by weight. turn : what is done to the number last.
    """

    model: LinearModel | ValueModel
    fixed_slot: bool = False
    priced: ValueModel | None = None
    turn: Callable[[np.ndarray], np.ndarray] = np.asarray

    def number(self, X: np.ndarray) -> np.ndarray:
        """What it ranks by, shape (...) from inputs (..., inputs)."""
        X = np.concatenate([X[..., :-1], 0 * X[..., -1:]], axis=-1) if self.fixed_slot else X
        out = sum(_predict(model, X) for model in (self.model, self.priced) if model is not None)
        return self.turn(np.asarray(out))


def _predict(model: LinearModel | ValueModel, X: np.ndarray) -> np.ndarray:
    at = [INPUTS.index(name) for name in model.signature.features]
    return model.predict_array(X[..., at].reshape(-1, len(at))).reshape(X.shape[:-1])


class Market:
    """A world, and counts of what was done there: by post, creator, person and topic, and person."""

    def __init__(self, seed: int, price: float) -> None:
        self.world = World(
            seed=seed,
            users=USERS,
            n_jobs=1,
            creators=60,
            posts_per_day=60,
            new_users_per_day=0.0,
            duplicate_share=0.0,
            sessions_per_day=1.6,
            activity_sd=1.0,
            attention=0.7,
            satisfaction_rate=0.04,
        )
        p, self.price = self.world.p, price
        sizes = {"post": p.posts_per_day * (RANDOM + DAYS + p.live_days), "creator": p.creators,
                 "topic": USERS * p.topics, "user": USERS}  # fmt: skip
        self.counts = {name: np.zeros((size, 4)) for name, size in sizes.items()}
        self.came = np.zeros((USERS, RANDOM + DAYS + 1))
        self.rows: list[dict[str, float]] = []

    def copy(self) -> Market:
        """The same market on the same morning; what comes has the same dice."""
        return deepcopy(self)

    def random(self) -> tuple[pd.DataFrame, np.ndarray]:
        """The days in random order: a row per impression, and its inputs as of that morning."""
        logs, inputs = [], []
        for day in range(RANDOM):
            look, before = self.inputs(), self.world.day
            log = self.world.step(Random()).log
            user, post, slot = (log[name].to_numpy() for name in ("user_id", "post_id", "position"))
            inputs.append(look(user, post, log["device"].cat.codes.to_numpy(), slot))
            self._learn(log, before)
            logs.append(log.assign(day=day))
        log = pd.concat(logs, ignore_index=True)
        posts, post = self.world.posts, log["post_id"].to_numpy()
        rng = generator(self.world.seed, 3)
        length = posts.length[post]
        seconds = 3 + 50 * length * rng.uniform(0.5, 1, len(log)) + rng.exponential(4, len(log))
        log["code"], log["length"] = log["action"].cat.codes.to_numpy(), length
        log["seconds"] = np.where(log["code"] == LIKE, seconds, np.nan)
        log["returned"] = self.came[log["user_id"], np.minimum(log["day"] + 1, RANDOM - 1)] > 0
        return log, np.concatenate(inputs)

    def run(self, ranker: Ranker, days: int) -> pd.DataFrame:
        """Days of a ranker: the table."""
        for _ in range(days):
            self._step(ranker)
        return pd.DataFrame(self.rows, columns=list(COLUMNS)).round(COLUMNS).astype({"sessions": int, "posts": int})

    def inputs(self) -> Callable[..., np.ndarray]:
        """Inputs of this morning: a function of user, post, device and slot, which broadcast; float64 (..., inputs)."""
        posts, topics, day = self.world.posts, self.world.p.topics, self.world.day
        total = self.counts["user"].sum(axis=0)
        mean = total[:3] / max(total.sum(), 1) + 1e-6
        rate = {name: np.log((count[:, :3] + prior * mean) / (count.sum(axis=1, keepdims=True) + prior))
                for (name, count), prior in zip(self.counts.items(), PRIORS.values(), strict=True)}  # fmt: skip
        seen = np.log1p(self.came[:, :day].sum(axis=1))
        fresh, length = np.exp(-(day - posts.first_day) / 1.5), posts.length
        of_post = np.column_stack([rate["post"][: len(posts)], rate["creator"][posts.creator], fresh, length,
                                   (length - 0.5) ** 2])  # fmt: skip

        def look(user: np.ndarray, post: np.ndarray, device: np.ndarray, slot: np.ndarray) -> np.ndarray:
            own, one = of_post[post], np.zeros(post.shape)
            web = np.where(device == 2, own[..., 7], 0)
            person = [rate["user"][user, 0] + one, seen[user] + one]
            topic = rate["topic"][user * topics + posts.topic[post]]
            out = [own[..., :6], topic, np.stack(person, -1), own[..., 6:], np.stack([web, np.log(slot) + one], -1)]
            return np.concatenate(out, axis=-1)

        return look

    def _learn(self, log: pd.DataFrame, day: int) -> None:
        user, post, code = log["user_id"].to_numpy(), log["post_id"].to_numpy(), log["action"].cat.codes.to_numpy()
        posts, at = self.world.posts, code != NULL
        keys = {"post": post, "creator": posts.creator[post], "topic": user * self.world.p.topics + posts.topic[post],
                "user": user}  # fmt: skip
        column = np.array([COUNTED.index(action) for action in range(4)])[code]
        for name, key in keys.items():
            table = self.counts[name]
            table += np.bincount(4 * key[at] + column[at], minlength=table.size).reshape(table.shape)
        self.came[np.unique(user), day] = 1

    def _step(self, ranker: Ranker) -> None:
        look, seen, slots, day = self.inputs(), {}, self.world.p.slots, self.world.day
        count = self.counts["topic"].reshape(USERS, -1, 4)
        mean = self.counts["user"][:, 0].sum() / self.counts["user"].sum()
        best = ((count[..., 0] + 8 * mean) / (count.sum(axis=2) + 8)).argmax(axis=1)

        def predict(requests: Requests) -> np.ndarray:
            post = requests.post_id
            place = np.broadcast_to(np.arange(post.shape[1]) + 1, post.shape)
            number = np.round(ranker.number(look(requests.user_id[:, None], post, requests.device[:, None], place)), 6)
            first = np.argsort(-number, axis=1, kind="stable")[:, :slots]
            seen["place"] = float(first.mean()) + 1
            seen["spread"] = 100 * float(number.std(axis=1).mean() / number.std())
            return number

        found = self.world.step(Model("served", predict))
        log, n = found.log, found.sessions
        code, post = log["action"].cat.codes.to_numpy(), log["post_id"].to_numpy()
        posts, shown = self.world.posts, np.sort(np.bincount(post))[::-1]
        self.rows.append({
            "sessions": n, "likes": (code == LIKE).sum() / n, "shares": (code == SHARE).sum() / n,
            "dislikes": (code == DISLIKE).sum() / n, "length": 100 * posts.length[post].mean(),
            "own_topic": 100 * (best[log["user_id"]] == posts.topic[post]).mean(),
            "posts": 1 + int(np.searchsorted(np.cumsum(shown), len(post) / 2)), **seen,
        })  # fmt: skip
        self._learn(log, day)


@dataclass(frozen=True)
class Bench:
    """What was trained on one log: rankers by cause and "old"; of the test day labels by cause, rows and inputs."""

    rankers: Mapping[str, Ranker]
    labels: Mapping[str, np.ndarray]
    test: pd.DataFrame
    X: np.ndarray

    def held_out(self, cause: str) -> pd.DataFrame:
        """The test day as it is handed over, with the numbers of the old ranker and of the one of a cause."""
        test = self.test
        return pd.DataFrame({
            "session": pd.factorize(test["session_id"])[0] + 1, "slot": test["position"], "post": test["post_id"],
            "length": (100 * test["length"]).round().astype(int), "action": test["action"].astype(str),
            "seconds": test["seconds"].round(1), "returned": test["returned"].astype(int),
            "old": self.rankers["old"].number(self.X).round(5), "new": self.rankers[cause].number(self.X).round(5),
        })  # fmt: skip


def train(market: Market, window: float) -> Bench:
    """The old ranker and one per cause, from the same days and inputs."""
    log, X = market.random()
    code, day = log["code"].to_numpy(), log["day"].to_numpy()
    known, free = code != NULL, [name for name in INPUTS if name != "slot"]
    fits, tests = known & (day >= TRAIN) & (day < TEST), known & (day == TEST)
    frame = pd.DataFrame(X, columns=list(INPUTS))
    labels = {
        "likes_alone": code == LIKE,
        "any_action": np.isin(code, (LIKE, SHARE, DISLIKE)),
        "returns": log["returned"].to_numpy(),
        "early_likes": (code == LIKE) & (log["seconds"].to_numpy() <= window),
    }

    def fit(y: np.ndarray, names: list[str] = free) -> LinearModel:
        return LinearModel.fit(frame.loc[fits, names], y[fits])

    share, dislike = fit(code == SHARE), fit(code == DISLIKE)
    heads = {name: fit(y) for name, y in labels.items()}
    models: dict[str, LinearModel | ValueModel] = dict(heads)
    weights = {"like": 1.0, "share": 1.0, "dislike": -market.price}
    three = {"like": heads["likes_alone"], "share": share, "dislike": dislike}
    models["old"] = ValueModel("old", three, weights)
    by_slot = [fit(y, list(INPUTS)) for y in (code == LIKE, code == SHARE, code == DISLIKE)]
    models["slot"] = ValueModel("slot", dict(zip(three, by_slot, strict=True)), weights)
    # A row per post and day: is it in the quarter of that day's posts with the most likes per impression?
    rows = frame.assign(day=day, post=log["post_id"], liked=code == LIKE)[known & (day >= TRAIN) & (day <= TEST)]
    posts = rows.groupby(["day", "post"]).mean()
    top = posts["liked"].groupby("day").rank(pct=True, method="first") > 0.75
    past = np.asarray(posts.index.get_level_values("day") < TEST)
    models["post"] = LinearModel.fit(posts.loc[past, list(OF_POST)], top[past].to_numpy())
    test = log[tests].reset_index(drop=True)
    found = {name: y[tests] for name, y in labels.items()} | {"slot": labels["likes_alone"][tests]}
    found["post"] = test["post_id"].map(top.xs(TEST, level="day")).to_numpy(bool)
    return Bench({name: Ranker(model) for name, model in models.items()}, found, test, X[tests])


def mends(cause: str, bench: Bench) -> dict[str, Ranker]:
    """What can be done at once to the ranker of a cause, and does change an order."""
    new, old = bench.rankers[cause], bench.rankers["old"].model
    assert isinstance(old, ValueModel)
    prices = ValueModel("prices", old.heads, {name: old.weights[name] for name in ("share", "dislike")})
    newest = LinearModel("newest", Signature(("fresh",), (0.0,)), np.ones(1), 0.0)
    found = {"add_prices": replace(new, priced=prices), "newest_first": Ranker(newest)}
    return found | ({"fix_slot": replace(new, fixed_slot=True)} if cause == "slot" else {})


def measures(cause: str, price: float, bench: Bench) -> dict[str, float]:
    """By measure, how many standard errors the old ranker is ahead of that of a cause on the test day."""
    code, session = bench.test["code"].to_numpy(), pd.factorize(bench.test["session_id"])[0]
    old, new = (bench.rankers[name].number(bench.X) for name in ("old", cause))
    value = np.select([code == LIKE, code == SHARE, code == DISLIKE], [1.0, 1.0, -price])
    rng, served = generator(len(code), 4), []
    for _ in range(6):  # At serving, the place in the list of candidates stands where the slot stood.
        X = bench.X.copy()
        X[:, -1] = np.log(rng.integers(1, 51, len(X)))
        served.append(_dcg(value, bench.rankers[cause].number(X), session))
    best = _dcg(value, old, session)
    return {
        "report": _auc(bench.labels[cause], old, new),
        "auc_likes": _auc(code == LIKE, old, new),
        "session_likes": _pairs(code == LIKE, old, new, session),
        "session_dislikes": _pairs(code == DISLIKE, -old, -new, session),
        "dcg_value": _far(best - _dcg(value, new, session)),
        "dcg_served": _far(best - np.mean(served, axis=0)),
    }


def value(table: pd.DataFrame, price: float) -> np.ndarray:
    """Value of each day of a table."""
    return (table["sessions"] * (table["likes"] + table["shares"] - price * table["dislikes"])).to_numpy()


def forecast(old: np.ndarray, new: np.ndarray) -> float:
    """Percent of value lost over all days, from those of the tables: the days to come are like the last three."""
    days = 1 + (DAYS - SHOWN) * (np.arange(SHOWN) >= SHOWN - 3) / 3
    return float(100 * (days @ new[:SHOWN] / (days @ old[:SHOWN]) - 1))


def _auc(y: np.ndarray, old: np.ndarray, new: np.ndarray) -> float:
    """AUC over all rows, paired (DeLong)."""
    ranks = [rankdata(score) for score in (old, new)]
    above = [(rank[y] - rankdata(score[y])) / (~y).sum() for rank, score in zip(ranks, (old, new), strict=True)]
    below = [(rank[~y] - rankdata(score[~y])) / y.sum() for rank, score in zip(ranks, (old, new), strict=True)]
    up, down = above[0] - above[1], below[0] - below[1]
    return float(up.mean() / np.sqrt(up.var() / len(up) + down.var() / len(down)))


def _pairs(y: np.ndarray, old: np.ndarray, new: np.ndarray, session: np.ndarray) -> float:
    """Pairs of one session, a yes and another row, that are in the right order; errors by session."""
    yes, no = pairs(y, session)
    ahead = (old[yes] > old[no]).astype(float) - (new[yes] > new[no])
    count = np.bincount(session[yes], minlength=session.max() + 1)
    return _far(np.bincount(session[yes], ahead, session.max() + 1) - ahead.mean() * count, ahead.sum())


def _far(by_session: np.ndarray, total: float | None = None) -> float:
    """A sum over sessions, in its standard errors."""
    centred = by_session - by_session.mean()
    return float((by_session.sum() if total is None else total) / np.sqrt((centred**2).sum()))


def _dcg(value: np.ndarray, number: np.ndarray, session: np.ndarray) -> np.ndarray:
    """Value of a session's rows, discounted by their rank by the number, by session."""
    order = np.lexsort((-number, session))
    start = np.searchsorted(session[order], np.arange(session.max() + 1))
    rank = np.arange(len(order)) - start[session[order]] + 1
    return np.bincount(session[order], value[order] / np.log2(1 + rank))
