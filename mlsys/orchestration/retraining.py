"""Time, search and scale: how stale a model may get, what tuning promises, and what training costs on many machines.

One function per comparison of notebook 05, sections 5 to 7, and its contrast. All of it uses `development`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from mlsys.capacity import plan, unit_costs
from mlsys.core import MlsysError, microseconds
from mlsys.evaluation import auc
from mlsys.orchestration.bench import Bench, Score
from mlsys.orchestration.development import Cascade, embed, factorize, fit_seconds, live
from mlsys.training import TreeModel
from mlsys.training.registry import RegisteredModel, Registry
from mlsys.training.retrieval import Embedding
from mlsys.training.tuning import Range, random_search
from mlsys.world import Model, Random, Requests, World
from mlsys.world.rankers import VALUE_WEIGHTS
from mlsys.world.truth import expected_auc

SPACE: Mapping[str, Range] = {
    "learning_rate": (0.02, 0.5),
    "max_iter": (5, 60),
    "max_leaf_nodes": (3, 31),
    "min_samples_leaf": (5, 300),
}
"""What a search draws from."""

WARM_TREES = 8
"""Trees that a warm retraining puts on top of the old score."""


def search(seed: int, *, trials: int, users: int = 120, days: int = 8) -> pd.DataFrame:
    """A random search over `SPACE`: per trial the AUC on the log's last day, and the exact one of tomorrow."""
    bench = Bench(seed, users=users, days=days)
    day = bench.rows["event_time"].dt.normalize()
    test = (day == day.max()).to_numpy()

    def evaluate(settings: Mapping[str, Any]) -> dict[str, float]:
        model = TreeModel.fit(bench.X[~test], bench.y[~test], **settings)
        found = auc(bench.y[test], model.predict(bench.X[test])).value
        return {"validation": found, "truth": bench.auc(model.predict)}

    found = random_search(evaluate, SPACE, trials=trials, seed=seed)
    usual = evaluate({})
    return found.assign(rows=int((~test).sum()), usual=usual["truth"], usual_validation=usual["validation"])


def best_of(found: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """What the best of n trials promises and keeps, in expectation over all choices of n of these trials; index n.

    The trial of rank i, counted from 0, is the best of n out of N in C(N - 1 - i, n - 1) of C(N, n) choices.

    >>> best_of(pd.DataFrame({"validation": [0.6, 0.7], "truth": [0.65, 0.61]}), [1, 2])["truth"].round(2).tolist()
    [0.63, 0.61]
    """
    ranked = found.sort_values("validation", ascending=False, kind="stable")[["validation", "truth"]]
    total = len(ranked)
    chance = {n: [comb(total - 1 - i, n - 1) / comb(total, n) for i in range(total)] for n in sizes}
    return pd.DataFrame({n: np.array(weight) @ ranked.to_numpy() for n, weight in chance.items()}, ranked.columns).T


def ageing(seed: int, *, users: int = 250, first: int = 10, calm: int = 7, after: int = 8) -> pd.DataFrame:
    """Share of the oracle's likes per day (index: days since the first model) of models of different ages.

    frozen: never retrained · daily, lag 3, lag 7: trained last night, three, seven nights before that ·
    warm: last night, a few trees on the last three days, on top of the frozen score · ids: a frozen embedding, no
    features. Features are renewed every night. Interests shift on day `calm`; the daily model makes the log.
    """
    bench = Bench(seed, users=users, days=first, incidents=[f"interest_shift@{first + calm}"])
    nights: list[Score] = []
    vectors, rows = factorize(bench), {}
    for day in range(calm + after):
        recent = (bench.rows["event_time"] >= bench.now - np.timedelta64(first, "D")).to_numpy()
        nights.append(TreeModel.fit(bench.X[recent], bench.y[recent], max_iter=30).predict)
        scores = {"frozen": nights[0], "daily": nights[-1], "warm": warmed(bench, nights[0])}
        scores |= {f"lag {lag}": nights[max(day - lag, 0)] for lag in (3, 7)}
        rows[day] = {name: bench.judge(score).share for name, score in scores.items()}
        rows[day]["ids"] = bench.rank(Cascade(bench, embed(bench, vectors), 10, None)).share
        bench, _ = live(bench, nights[-1], 1, explore=0.1)
    return pd.DataFrame(rows).T


def warmed(bench: Bench, old: Score, days: int = 3) -> Score:
    """A few trees on the last days, with the old score's log-odds as one more feature."""
    recent = (bench.rows["event_time"] >= bench.now - np.timedelta64(days, "D")).to_numpy()

    def told(X: pd.DataFrame) -> pd.DataFrame:
        return X.assign(old=logit(old(X)))

    model = TreeModel.fit(told(bench.X[recent]), bench.y[recent], max_iter=WARM_TREES)
    return lambda X: model.predict(told(X))


def velocity(log: pd.DataFrame, fit_hours: float) -> pd.DataFrame:
    """Hours from a label to a served model, stage by stage, on the log's virtual clock.

    The label's way is the 99th percentile of the log's; waiting for a run is half its interval, on average. Tests and
    canary are assumptions, and stand here to be argued with.
    """
    way = microseconds(log["arrival_time"]) - microseconds(log["event_time"])
    label = float(np.quantile(way, 0.99)) / 3.6e9
    return pd.DataFrame(
        {
            "weekly, by hand": [label, 84, fit_hours, 24, 72],
            "nightly": [label, 12, fit_hours, 1, 24],
            "hourly, warm": [label, 0.5, fit_hours / 10, 0.2, 4],
        },
        ["label arrives", "next run starts", "fit", "tests and review", "canary"],
    )


def on_paper(workers: Sequence[int], *, users: float = 1e8, serial: float = 0.02, share: float = 1.0) -> pd.DataFrame:
    """Fitting 60 trees on one day's impressions of so many users: hours, speed-up and core hours by workers.

    Amdahl: hours(n) = hours(1) · (serial + (1 - serial) / n). `share` of the rows is kept.
    Source: Amdahl, Validity of the single processor approach, AFIPS (1967).

    >>> on_paper([1, 100], serial=0.02)["speedup"].round(1).tolist()
    [1.0, 33.6]
    """
    rows = share * float(plan([users]).set_index("case")["events_per_day"]["mid"])
    one = fit_seconds(rows) / 3_600
    n = np.asarray(workers, np.float64)
    hours = one * (serial + (1 - serial) / n)
    found = {"rows": rows, "hours": hours, "speedup": one / hours, "core_hours": hours * n}
    return pd.DataFrame(found, index=pd.Index(workers, name="workers"))


def memory_gb(users: float, *, features: int = 11, size: int = 16) -> dict[str, float]:
    """Gigabytes: a day's rows as floats, as the bytes of histogram trees, and the users' vectors of an embedding."""
    rows = float(plan([users]).set_index("case")["events_per_day"]["mid"])
    return {
        "float32": rows * features * 4 / 1e9,
        "bins": rows * features / 1e9,
        "vectors": users * (size + 1) * 4 / 1e9,
    }


def gpu_rows_per_second(price_in_cores: float) -> float:
    """Rows per second that a fit on a GPU has to reach before it is cheaper than the cores of its price."""
    return price_in_cores * 1e6 / unit_costs()["fit_60_trees_us_per_row"]


def released(bench: Bench) -> dict[str, bool]:
    """Two nights in the registry: promoted, rolled back, fitted once more, and a version that is taken.

    restored: after the rollback the champion scores as before, to the bit · repeated: so does a fit of the same
    rows with the same settings · other: one row less gives other scores · refused: a second model under one version.
    """
    registry, scores = Registry(), {}
    last = bench.rows["event_time"].dt.normalize()
    for version, rows in {"night 1": (last < last.max()).to_numpy(), "night 2": np.ones(len(last), bool)}.items():
        model = TreeModel.fit(bench.X[rows], bench.y[rows], version=version, max_iter=30)
        registry.register(model, auc=bench.auc(model.predict), rows=float(rows.sum()))
        registry.set_alias("champion", version)
        scores[version] = _asked(registry.get("champion"), bench)
    registry.set_alias("champion", "night 1")
    again = TreeModel.fit(bench.X, bench.y, version="night 2", max_iter=30)
    shorter = TreeModel.fit(bench.X[1:], bench.y[1:], version="night 3", max_iter=30)
    try:
        registry.register(again)
        refused = False
    except MlsysError:
        refused = True
    return {
        "restored": np.array_equal(_asked(registry.load_model("models:/model@champion"), bench), scores["night 1"]),
        "repeated": np.array_equal(_asked(again, bench), scores["night 2"]),
        "other": not np.array_equal(_asked(shorter, bench), scores["night 2"]),
        "refused": refused,
    }


def _asked(model: RegisteredModel, bench: Bench) -> np.ndarray:
    return model.predict_array(bench.X_tomorrow[list(model.signature.features)].to_numpy())


def month(seed: int, *, users: int = 200, days: int = 21, train: int = 6, **changes: Any) -> pd.DataFrame:
    """Two frozen systems from one log: the like head that has the best AUC, and three heads under the value function.

    Heads are embeddings of user × (creator, topic, age). Per day (index, from 1) and system: likes, per first user so
    far; today, per session, exact. kept: of those who came on days 1 to 3, the share that came on the last three.
    auc: exact, of likes, on the first morning.
    """
    world = World(users=users, seed=seed, n_jobs=1, **changes)
    log = pd.concat([world.step(Random()).log for _ in range(train)])
    shown = (log["event_time"].to_numpy() - world.start) // np.timedelta64(1, "D")
    codes = _codes(world, log["post_id"].to_numpy(), shown.astype(np.int64))
    user, action = log["user_id"].to_numpy(), log["action"]
    heads = {name: Embedding.fit(user, codes, (action == name).to_numpy(np.float64)) for name in VALUE_WEIGHTS}
    random, found = deepcopy(world).step(Random()), {}
    zero = np.zeros(len(random.log), np.int64)
    for name, weights in {"likes": {"like": 1.0}, "value": VALUE_WEIGHTS}.items():
        after = deepcopy(world)
        ranker = Model(name, _weighted(after, heads, weights))
        asked = Requests(random.log["user_id"].to_numpy(), zero, zero, random.log[["post_id"]].to_numpy())
        rows = _watch(after, ranker, days)
        first = _weighted(world, heads, weights)(asked)[:, 0]
        found[name] = rows.assign(auc=expected_auc(first, random.p_like.astype(np.float64)))
    return pd.concat(found, names=["system", "day"])


def _weighted(
    world: World, heads: Mapping[str, Embedding], weights: Mapping[str, float]
) -> Callable[[Requests], np.ndarray]:
    def predict(requests: Requests) -> np.ndarray:
        codes = _codes(world, requests.post_id, world.day)
        terms = [weight * heads[name].score(requests.user_id, codes) for name, weight in weights.items()]
        return np.asarray(np.sum(terms, axis=0))

    return predict


def _codes(world: World, post: np.ndarray, day: np.ndarray | int) -> list[np.ndarray]:
    """Creator, topic and age in days of posts, int64, shape of `post`: all of it is in the catalogue."""
    posts = world.posts
    age = np.clip(day - posts.first_day[post], 0, world.p.live_days - 1)
    return [posts.creator[post].astype(np.int64), posts.topic[post].astype(np.int64), age.astype(np.int64)]


def _watch(world: World, ranker: Model, days: int) -> pd.DataFrame:
    users = len(world.users)
    came, likes, today = np.zeros((days, users), bool), np.zeros(days), np.zeros(days)
    for day in range(days):
        step = world.step(ranker)
        rows = slice(step.sessions * world.p.slots)  # Repeated deliveries stand behind them.
        user, liked = step.log["user_id"].to_numpy()[rows], (step.log["action"] == "like").to_numpy()[rows]
        here = user < users
        came[day, user[here]] = True
        likes[day], today[day] = (liked & here).sum() / users, step.value["like"].iloc[0]
    early = came[:3].any(axis=0)
    kept = float((early & came[-3:].any(axis=0)).sum() / early.sum())
    return pd.DataFrame({"likes": likes.cumsum(), "today": today, "kept": kept}, index=range(1, days + 1))
