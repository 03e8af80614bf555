"""The same linear model under other losses: which of two posts (pairwise), which of a slate (listwise), how much
(least squares). All return a `LinearModel`, so that nothing but the loss differs from its own `fit`.

Only the order of their scores means something. The class says P(y = 1) on the label; here that is not so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from mlsys.core import MlsysError
from mlsys.training.models import LinearModel, Signature


def pairs(y: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of every liked row and every other row of its group: both int64 (pairs,).

    y : 0/1 (n,). group : session of each row, (n,). A group without a like, or with nothing else, has no pair.

    >>> pairs(np.array([1, 0, 0, 1]), np.array([7, 7, 7, 8]))
    (array([0, 0]), array([1, 2]))
    """
    rows = pd.DataFrame({"group": group, "row": np.arange(len(y))})
    liked = np.asarray(y) > 0
    both = rows[liked].merge(rows[~liked], on="group", suffixes=("_liked", "_other"))
    return both["row_liked"].to_numpy(), both["row_other"].to_numpy()


def fit_pairwise(X: pd.DataFrame, y: np.ndarray, group: np.ndarray, *, version: str = "pairwise") -> LinearModel:
    """P(liked row above the other one) = 1 / (1 + exp(s_other - s_liked)): a logistic regression on differences.

    X (n, features), NaN allowed; y 0/1 (n,); group: session of each row, (n,).
    Source: Burges et al., Learning to rank using gradient descent (RankNet), ICML (2005), with a linear s.
    """
    scaled = _Scaled.of(X)
    better, worse = pairs(y, group)
    _check(len(better) > 1, "two pairs of a liked and another row of their session")
    # Half of the pairs the other way round: a classifier wants both classes.
    sign = np.where(np.arange(len(better)) % 2, 1.0, -1.0)
    differences = sign[:, None] * (scaled.values[better] - scaled.values[worse])
    fitted = LogisticRegression(fit_intercept=False, max_iter=1_000).fit(differences, sign)
    return scaled.model(fitted.coef_[0], version)


def fit_listwise(X: pd.DataFrame, y: np.ndarray, group: np.ndarray, *, version: str = "listwise") -> LinearModel:
    """Minimizes -Σ y_i log(exp(s_i) / Σ_j exp(s_j)), j over the session of i, plus half the squared weights.

    Arguments as in `fit_pairwise`.
    Source: Cao et al., Learning to rank: from pairwise approach to listwise approach (ListNet), ICML (2007).
    """
    scaled = _Scaled.of(X)
    order = np.argsort(group, kind="stable")
    values, liked = scaled.values[order], np.asarray(y, np.float64)[order]
    start, size = _runs(np.asarray(group)[order])
    likes = np.add.reduceat(liked, start)
    _check(bool(((likes > 0) & (likes < size)).any()), "sessions with a liked and another row")

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        score = values @ weights
        score -= np.repeat(np.maximum.reduceat(score, start), size)
        power = np.exp(score)
        total = np.add.reduceat(power, start)
        expected = power * np.repeat(likes / total, size)
        value = likes @ np.log(total) - liked @ score + weights @ weights / 2
        return float(value), values.T @ (expected - liked) + weights

    return scaled.model(minimize(loss, np.zeros(values.shape[1]), jac=True, method="L-BFGS-B").x, version)


def fit_least_squares(X: pd.DataFrame, target: np.ndarray, *, version: str = "regression") -> LinearModel:
    """Ridge regression on any number: a like, or a weighted sum of actions. Only the order of its scores is kept.

    >>> model = fit_least_squares(pd.DataFrame({"a": [0.0, 1.0, 2.0]}), np.array([1.0, -3.0, -7.0]))
    >>> bool(model.weights[0] < 0)
    True
    """
    scaled = _Scaled.of(X)
    values, wanted = scaled.values, np.asarray(target, np.float64)
    gram = values.T @ values + np.eye(values.shape[1])
    return scaled.model(np.linalg.solve(gram, values.T @ (wanted - wanted.mean())), version)


@dataclass(frozen=True)
class _Scaled:
    """Features standardized, (n, F), and what it takes to fold the scaling back into the weights."""

    names: tuple[str, ...]
    values: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, X: pd.DataFrame) -> _Scaled:
        raw = X.to_numpy(np.float64)
        known = ~np.isnan(raw)
        mean = np.where(known, raw, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, raw - mean, 0.0)
        scale = centred.std(axis=0)
        scale[scale <= 1e-12 * np.maximum(1, np.abs(mean))] = 1.0  # constant, but for rounding
        return cls(tuple(map(str, X.columns)), centred / scale, mean, scale)

    def model(self, weights: np.ndarray, version: str) -> LinearModel:
        weights = weights / self.scale
        signature = Signature(self.names, tuple(self.mean.tolist()))
        return LinearModel(version, signature, weights, float(-weights @ self.mean))


def _runs(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of every run of equal values, int64 (runs,)."""
    start = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    return start, np.diff(np.append(start, len(group)))


def _check(found: bool, what: str) -> None:
    if not found:
        raise MlsysError(
            f"there are no {what}",
            why="these losses compare rows within a session; a label that is the same for all of them says nothing",
            fix="group by the session that showed the rows, or fit a pointwise model",
        )
