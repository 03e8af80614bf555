"""Scores made into probabilities again: one increasing curve, fitted on rows that the model has not seen.

A curve that only rises cannot change an order, so AUC and NDCG stay. What changes is everything that reads the score
as a number: thresholds, bids, forecasts, and the sum of several heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mlsys.core import MlsysError
from mlsys.training.models import Model, Signature

TINY = 1e-6
METHODS = ("platt", "isotonic")


@dataclass(frozen=True)
class CalibratedModel:
    """A model and the curve over its scores: P = curve(score). Linear between the `knots`, float64 (2, k), of the
    score's log-odds; flat beyond an isotonic curve's ends."""

    version: str
    base: Model
    knots: np.ndarray

    @property
    def signature(self) -> Signature:
        """That of the model underneath."""
        return self.base.signature

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """P(y = 1), float64 (n,), from an array (n, features) in the signature's order."""
        return self.curve(self.base.predict_array(values))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """P(y = 1), float64 (n,); columns are taken by name."""
        return self.predict_array(X[list(self.signature.features)].to_numpy())

    def curve(self, score: np.ndarray) -> np.ndarray:
        """What a score between 0 and 1 is worth as a probability."""
        return np.asarray(expit(np.interp(_odds(score), *self.knots)))


def calibrate(
    model: Model, X: pd.DataFrame, y: np.ndarray, method: str = "platt", *, version: str = "calibrated"
) -> CalibratedModel:
    """Fit the curve on rows (n, features) and labels 0/1 (n,) that the model was not trained on.

    platt : two parameters, a logistic regression on the score's log-odds; enough where the shape is right and the
        level is not (another base rate, a ranking loss), and for few rows. isotonic : any rising curve; needs
        thousands of rows, and ties what it cannot tell apart.
    Source: Platt, Probabilistic outputs for support vector machines (1999); Zadrozny & Elkan, Transforming classifier
    scores into accurate multiclass probability estimates, KDD (2002).

    >>> from mlsys.training import LinearModel
    >>> X, y = pd.DataFrame({"a": np.linspace(-3, 3, 400)}), np.arange(400) % 4 == 0
    >>> overdone = LinearModel("1", Signature(("a",), (0.0,)), np.array([3.0]), 0.0)
    >>> bool(abs(calibrate(overdone, X, y).predict(X).mean() - 0.25) < 0.01)
    True
    """
    labels = np.asarray(y, bool)
    if method not in METHODS:
        raise MlsysError(f"there is no method {method!r}", why=f"there are {', '.join(METHODS)}", fix="choose one")
    if len(X) != len(labels) or labels.all() or not labels.any():
        raise MlsysError(
            f"{len(X)} rows with {labels.sum()} likes among {len(labels)} labels cannot calibrate",
            why="a curve needs rows of both classes, a label each",
            fix="take a day of log that the model was not trained on",
        )
    odds = _odds(model.predict_array(X[list(model.signature.features)].to_numpy()))
    if method == "platt":
        fitted = LogisticRegression(C=1e6, max_iter=1_000).fit(odds[:, None], labels)
        ends = np.array([logit(TINY), logit(1 - TINY)])
        return CalibratedModel(version, model, np.stack([ends, fitted.intercept_[0] + fitted.coef_[0, 0] * ends]))
    steps = IsotonicRegression(y_min=TINY, y_max=1 - TINY, out_of_bounds="clip").fit(odds, labels)
    return CalibratedModel(version, model, np.stack([steps.X_thresholds_, logit(steps.y_thresholds_)]))


def undersampled(p: np.ndarray, kept: float) -> np.ndarray:
    """Undo downsampling of negatives: p of a model that saw a share `kept` of them, as a probability again.

    q = p / (p + (1 - p) / kept), which is: log-odds plus log(kept). Source: He et al., Practical Lessons from
    Predicting Clicks on Ads at Facebook, ADKDD (2014).

    >>> undersampled(np.array([0.5]), 0.1).round(3).tolist()
    [0.091]
    """
    return np.asarray(expit(_odds(p) + np.log(kept)))


def _odds(score: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(np.asarray(score, np.float64), TINY, 1 - TINY)))
