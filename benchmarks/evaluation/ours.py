"""The cases that run in the environment of `mlsys`: ours, scikit-learn, scipy, and a loop in numpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timing import Inputs, Run, main

from mlsys import evaluation as ours
from mlsys.training import LinearModel, TreeModel

DRAWS = 100


def auc(data: Inputs) -> dict[str, Run]:
    y, p, user = data["y"], data["p"], data["user"]
    return {
        "mlsys": lambda: ours.auc(y, p).value,
        "mlsys, interval over users": lambda: ours.auc(y, p, cluster=user).value,
        "scikit-learn": lambda: metrics.roc_auc_score(y, p),
    }


def log_loss(data: Inputs) -> dict[str, Run]:
    y, p = data["y"], data["p"]
    return {"mlsys": lambda: ours.log_loss(y, p).value, "scikit-learn": lambda: metrics.log_loss(y, p)}


def average_precision(data: Inputs) -> dict[str, Run]:
    y, p = data["y"], data["p"]
    peer = {"scikit-learn": lambda: metrics.average_precision_score(y, p)}
    return {"mlsys": lambda: ours.average_precision(y, p).value, **peer}


def ndcg(data: Inputs) -> dict[str, Run]:
    y, p, lists = data["y"], data["p"], data["list"]

    def peer() -> object:
        gains, scores = y.reshape(-1, 10), p.reshape(-1, 10)  # all lists are of ten, or they would not fit
        some = gains.any(axis=1)
        return metrics.ndcg_score(gains[some], scores[some], k=10, ignore_ties=True)

    return {"mlsys": lambda: ours.ndcg_at_k(y, p, lists).value, "scikit-learn, ten to a list": peer}


def user_auc(data: Inputs) -> dict[str, Run]:
    y, p, user = data["y"], data["p"], data["user"]

    def peer() -> object:
        frame = pd.DataFrame({"y": y, "user": user, "p": p})
        frame["rank"] = frame.groupby("user")["p"].rank() * y
        own = frame.groupby("user").agg(likes=("y", "sum"), rows=("y", "size"), ranks=("rank", "sum"))
        pairs = own["likes"] * (own["rows"] - own["likes"])
        return ((own["ranks"] - own["likes"] * (own["likes"] + 1) / 2) / pairs)[pairs > 0].mean()

    return {"mlsys": lambda: ours.user_auc(y, p, user).value, "pandas, ranks by user": peer}


def off_policy(data: Inputs, estimator: str) -> dict[str, Run]:
    r, action, pscore, pi, q = (data[name] for name in ("reward", "action", "pscore", "pi", "q"))

    def run() -> object:
        rows = np.arange(len(r)), action
        log = ours.Feedback(r, pscore, pi[rows])
        if estimator == "dr":
            return ours.dr(log, q[rows], np.einsum("na,na->n", pi, q)).value
        return (ours.ips if estimator == "ips" else ours.snips)(log).value

    return {"mlsys": run}


def bootstrap(data: Inputs, kind: str) -> dict[str, Run]:
    """The width of the interval is the answer: resamples differ, so it agrees only roughly."""
    y, per, user = data["likes"], data["per"], data["user"]
    rows = np.arange(len(y))

    def statistic(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / sums[..., 1]

    def own(cluster: np.ndarray) -> object:
        sums = ours.cluster_sums(cluster, y, per)
        found = ours.bootstrap_sums(statistic, sums, np.random.default_rng(13), draws=DRAWS)
        return found.high - found.low

    def scipy() -> object:
        def value(y: np.ndarray, per: np.ndarray, axis: int = -1) -> np.ndarray:
            return y.sum(axis=axis) / per.sum(axis=axis)

        options = {"n_resamples": DRAWS, "batch": 10, "method": "percentile", "rng": 13}  # batch: else gigabytes
        if kind == "mean":
            found = stats.bootstrap((y,), np.mean, **options)
        else:
            found = stats.bootstrap((y, per), value, paired=True, **options)
        return found.confidence_interval.high - found.confidence_interval.low

    def loop() -> object:
        rng, values = np.random.default_rng(13), []
        for _ in range(DRAWS):
            chosen = rng.integers(0, len(y), len(y))
            values.append(y[chosen].mean() if kind == "mean" else y[chosen].sum() / per[chosen].sum())
        return np.subtract(*np.quantile(values, [0.975, 0.025]))

    if kind == "mean":
        per = np.ones(len(y))
    several = {"mlsys, rows": lambda: own(rows), "mlsys, users": lambda: own(user)}
    return {**several, "scipy.stats.bootstrap, rows": scipy, "numpy loop, rows": loop}


def linear(data: Inputs) -> dict[str, Run]:
    X, y = pd.DataFrame(data["X"]).add_prefix("x"), data["y"]
    ready = make_pipeline(SimpleImputer(), StandardScaler()).fit_transform(X)

    def bare(X: object) -> object:
        return LogisticRegression(max_iter=1_000).fit(X, y)

    def pipeline() -> object:
        steps = SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1_000)
        return make_pipeline(*steps).fit(X, y).predict_proba(X[:100])[:, 1]

    return {
        "mlsys": lambda: LinearModel.fit(X, y).predict(X[:100]),
        "bare LogisticRegression, filled and scaled before": lambda: bare(ready).predict_proba(ready[:100])[:, 1],
        "scikit-learn pipeline: impute, scale, fit": pipeline,
    }


def tree(data: Inputs) -> dict[str, Run]:
    X, y = pd.DataFrame(data["X"]).add_prefix("x"), data["y"]
    values = X.to_numpy(np.float64)
    settings = {"max_iter": 60, "learning_rate": 0.15, "max_leaf_nodes": 15, "min_samples_leaf": 50}

    def bare() -> object:
        trees = HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=0)
        return trees.fit(values, y).predict_proba(values[:100])[:, 1]

    own: Run = lambda: TreeModel.fit(X, y).predict(X[:100])  # noqa: E731
    return {"mlsys": own, "bare HistGradientBoostingClassifier": bare}


if __name__ == "__main__":
    main(
        {f.__name__: f for f in (auc, log_loss, average_precision, ndcg, user_auc, linear, tree)}
        | {name: lambda data, name=name: off_policy(data, name) for name in ("ips", "snips", "dr")}
        | {name: lambda data, name=name: bootstrap(data, name) for name in ("mean", "ratio")}
    )
