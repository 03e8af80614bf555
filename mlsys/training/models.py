"""Models that know what they were trained on: a logistic regression, boosted trees, and a weighted sum of such heads.

A model owns its signature: names and order of its features, and what stands in for a missing value. A server
that asks the model cannot feed it columns in another order, and cannot invent defaults that training never saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController

from mlsys.core import MlsysError

THREADS = ThreadpoolController()
"""Trees run on one thread: at some ten thousand rows a second one saves a fifth of the time, and on a machine that is
busy with something else the two wait for each other, seconds per fit."""


@dataclass(frozen=True)
class Signature:
    """Feature names in the model's order, and each one's stand-in for a missing value (the training mean)."""

    features: tuple[str, ...]
    defaults: tuple[float, ...]


class Model(Protocol):
    """What a server needs of a model."""

    @property
    def version(self) -> str:
        """Named in every response."""
        ...

    @property
    def signature(self) -> Signature:
        """Which features, in which order."""
        ...

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """Scores, float64 (n,), from an array (n, features) in the signature's order, NaN where missing."""
        ...


@dataclass(frozen=True)
class LinearModel:
    """P(y = 1) = 1 / (1 + exp(-(x · weights + intercept))): one dot product per row.

    `fit` standardizes, fits scikit-learn's LogisticRegression, and folds the scaling into the weights.
    """

    version: str
    signature: Signature
    weights: np.ndarray
    intercept: float

    @classmethod
    def fit(cls, X: pd.DataFrame, y: np.ndarray, *, version: str = "1") -> LinearModel:
        """Fit on a frame (n, features), NaN allowed, and 0/1 labels (n,).

        >>> model = LinearModel.fit(pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]}), np.array([0, 0, 1, 1]))
        >>> model.signature.features, bool(np.diff(model.predict(pd.DataFrame({"a": [0.0, 3.0]})))[0] > 0)
        (('a',), True)
        """
        values, labels = X.to_numpy(np.float64), np.asarray(y)
        defaults, known = _means(X, values, labels)
        filled = np.where(known, values, defaults)
        mean, scale = filled.mean(axis=0), filled.std(axis=0)
        scale[scale <= 1e-12 * np.maximum(1, np.abs(mean))] = 1.0  # constant, but for rounding
        filled -= mean
        filled /= scale
        fitted = LogisticRegression(max_iter=1_000).fit(filled, labels)
        weights = fitted.coef_[0] / scale
        signature = Signature(tuple(map(str, X.columns)), tuple(defaults.tolist()))
        return cls(version, signature, weights, float(fitted.intercept_[0] - weights @ mean))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """P(y = 1), float64 (n,). Columns are taken by name, in the signature's order; others are ignored."""
        return self.predict_array(_in_order(self, X))

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """P(y = 1), float64 (n,), from an array (n, features) that is already in the signature's order."""
        filled = np.where(np.isnan(values), self.signature.defaults, values)
        return np.asarray(expit(filled @ self.weights + self.intercept))


@dataclass(frozen=True)
class TreeModel:
    """P(y = 1) from scikit-learn's HistGradientBoostingClassifier: interactions such as length × device come free.

    Trees know what a missing value means from training, so nothing is filled in.
    """

    version: str
    signature: Signature
    trees: HistGradientBoostingClassifier

    @classmethod
    def fit(cls, X: pd.DataFrame, y: np.ndarray, *, version: str = "1", seed: int = 0, **settings: Any) -> TreeModel:
        """Fit on a frame (n, features), NaN allowed, and 0/1 labels (n,). `settings` go to scikit-learn.

        >>> X = pd.DataFrame({"a": np.arange(200.0)})
        >>> model = TreeModel.fit(X, (X["a"] > 99).to_numpy())
        >>> bool(np.diff(model.predict(X.iloc[[0, -1]]))[0] > 0.5)
        True
        """
        values, labels = X.to_numpy(np.float64), np.asarray(y)
        defaults, _ = _means(X, values, labels)
        usual = {"max_iter": 60, "learning_rate": 0.15, "max_leaf_nodes": 15, "min_samples_leaf": 50}
        settings = {**usual, "early_stopping": False, **settings}
        with THREADS.limit(limits=1):
            trees = HistGradientBoostingClassifier(**settings, random_state=seed).fit(values, labels)
        return cls(version, Signature(tuple(map(str, X.columns)), tuple(defaults.tolist())), trees)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """P(y = 1), float64 (n,). Columns are taken by name, in the signature's order; others are ignored."""
        return self.predict_array(_in_order(self, X))

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """P(y = 1), float64 (n,), from an array (n, features) that is already in the signature's order."""
        with THREADS.limit(limits=1):
            return np.asarray(self.trees.predict_proba(values)[:, 1])


@dataclass(frozen=True)
class ValueModel:
    """Several heads, one number: Σ weight · P(action). What is served when likes are not the goal.

    `heads`: action → model; all heads have the same features. `weights`: action → weight.
    """

    version: str
    heads: Mapping[str, LinearModel | TreeModel]
    weights: Mapping[str, float]

    @property
    def signature(self) -> Signature:
        """That of any head: they are trained on the same rows."""
        return next(iter(self.heads.values())).signature

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """The weighted sum, float64 (n,), from an array (n, features) in the signature's order."""
        out = np.zeros(len(values))
        for action, weight in self.weights.items():
            out += weight * self.heads[action].predict_array(values)
        return out


def _means(X: pd.DataFrame, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each feature's mean over the rows that have it (features,), and which those are (n, features)."""
    if np.isinf(values).any():
        raise MlsysError(
            f"infinite values in {', '.join(X.columns[np.isinf(values).any(axis=0)])}",
            why="a weight times infinity is no score",
            fix="mend the feature; a missing value is NaN",
        )
    if len(values) == 0 or len(np.unique(labels)) < 2:
        raise MlsysError(
            f"cannot fit on {len(values)} rows with labels {np.unique(labels).tolist()}",
            why="a classifier needs rows of both classes",
            fix="take a longer log, or check how actions map to like",
        )
    known = ~np.isnan(values)
    return np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), known


def _in_order(model: LinearModel | TreeModel, X: pd.DataFrame) -> np.ndarray:
    """The columns that the model wants, in its order."""
    missing = [name for name in model.signature.features if name not in X.columns]
    if missing:
        raise MlsysError(
            f"the frame lacks the feature(s) {', '.join(missing)}",
            why=f"model {model.version} was trained on {', '.join(model.signature.features)}",
            fix="join the features first: store.get_historical_features(rows, features)",
        )
    return X[list(model.signature.features)].to_numpy()
