"""A logistic regression that knows what it was trained on.

The model owns its signature: names and order of its features, and what stands in for a missing value. A server
that asks the model cannot feed it columns in another order, and cannot invent defaults that training never saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from mlsys.core import MlsysError


@dataclass(frozen=True)
class Signature:
    """Feature names in the model's order, and each one's stand-in for a missing value (the training mean)."""

    features: tuple[str, ...]
    defaults: tuple[float, ...]


@dataclass(frozen=True)
class LinearModel:
    """P(like) = 1 / (1 + exp(-(x · weights + intercept))): one dot product per row.

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
        count = np.maximum(known.sum(axis=0), 1)
        defaults = np.where(known, values, 0.0).sum(axis=0) / count
        filled = np.where(known, values, defaults)
        mean, scale = filled.mean(axis=0), filled.std(axis=0)
        scale[scale <= 1e-12 * np.maximum(1, np.abs(mean))] = 1.0  # constant, but for rounding
        fitted = LogisticRegression(max_iter=1_000).fit((filled - mean) / scale, labels)
        weights = fitted.coef_[0] / scale
        signature = Signature(tuple(map(str, X.columns)), tuple(defaults.tolist()))
        return cls(version, signature, weights, float(fitted.intercept_[0] - weights @ mean))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """P(like), float64 (n,). Columns are taken by name, in the signature's order; others are ignored."""
        missing = [name for name in self.signature.features if name not in X.columns]
        if missing:
            raise MlsysError(
                f"the frame lacks the feature(s) {', '.join(missing)}",
                why=f"model {self.version} was trained on {', '.join(self.signature.features)}",
                fix="join the features first: store.get_historical_features(rows, features)",
            )
        return self.predict_array(X[list(self.signature.features)].to_numpy())

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """P(like), float64 (n,), from an array (n, features) that is already in the signature's order."""
        filled = np.where(np.isnan(values), self.signature.defaults, values)
        return np.asarray(expit(filled @ self.weights + self.intercept))
