"""Metrics of a like-predictor. Each comes with an interval: a number alone cannot be compared with anything.

Rows are taken as independent. Rows of one user usually are not, and then the intervals are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from mlsys.core import MlsysError

FEW = 10
"""Below so many rows of a class a normal approximation is not to be trusted."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval [low, high] at `level`, from n rows.

    >>> print(Estimate(0.5, 0.45, 0.55, 1000))
    0.500 [0.450, 0.550]
    """

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def __contains__(self, truth: float) -> bool:
        return self.low <= truth <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc(y: np.ndarray, score: np.ndarray, level: float = 0.95) -> Estimate:
    """P(a liked row scores above one that is not), ties counting half, with DeLong's interval.

    Parameters: labels 0/1 (n,), scores (n,). Raises when a class is missing.
    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988); mid-rank form of Sun & Xu, IEEE SPL 21 (2014).
    With fewer than 10 rows of a class, or perfect separation, its variance is close to nothing and would claim
    certainty: then Wilson's interval for a share among the rows of the rarer class, which is wide on purpose.

    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).value
    0.75
    """
    y, score = _checked(y, score)
    m, n = int(y.sum()), int((~y).sum())
    if not m or not n:
        raise MlsysError(
            f"AUC needs both classes, got {m} liked and {n} other rows",
            why="it compares pairs of one liked and one other row",
            fix="evaluate on a longer period",
        )
    ranks = rankdata(score)
    above = (ranks[y] - rankdata(score[y])) / n  # per liked row: the share of other rows below it
    below = 1 - (ranks[~y] - rankdata(score[~y])) / m
    value = float(above.mean())
    if min(m, n) < FEW or value in (0.0, 1.0):
        few = _wilson(value * min(m, n), min(m, n), level)
        return Estimate(value, few.low, few.high, len(y), level)
    variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    return _normal(value, float(np.sqrt(variance)), len(y), level, 0.0, 1.0)


def log_loss(y: np.ndarray, p: np.ndarray, level: float = 0.95) -> Estimate:
    """Mean of -log(probability given to what happened), in nats, with a normal interval."""
    y, p = _checked(y, p)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    loss = -np.log(np.where(y, p, 1 - p))
    error = float(loss.std(ddof=1) / np.sqrt(len(loss))) if len(loss) > 1 else np.inf
    return _normal(float(loss.mean()), error, len(loss), level, 0.0, np.inf)


def classification(y: np.ndarray, p: np.ndarray, threshold: float, level: float = 0.95) -> dict[str, Estimate]:
    """Precision, recall (Wilson intervals) and F1 of "p >= threshold means like".

    No row over the threshold: precision and F1 are 0, not undefined, since the system then does nothing.
    """
    y, p = _checked(y, p)
    said = p >= threshold
    tp, fp, fn = int((y & said).sum()), int((~y & said).sum()), int((y & ~said).sum())
    # With q = tp / (tp + fp + fn), F1 = 2q / (1 + q) is increasing in q: an interval of q maps onto one of F1.
    q = _wilson(tp, tp + fp + fn, level)
    value, low, high = (2 * v / (1 + v) for v in (q.value, q.low, q.high))
    f1 = Estimate(value, low, high, q.n, level)
    return {"precision": _wilson(tp, tp + fp, level), "recall": _wilson(tp, tp + fn, level), "f1": f1}


def best_threshold(y: np.ndarray, p: np.ndarray) -> float:
    """The threshold with the highest F1. Choose it on other rows than you report.

    >>> best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    0.3
    """
    y, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    order = np.argsort(-p, kind="stable")
    hits, taken = np.cumsum(y[order]), np.arange(1, len(y) + 1)
    last = np.append(np.diff(p[order]) != 0, True)  # rows with one score are taken together
    f1 = np.where(last, 2 * hits / (taken + y.sum()), -1.0)
    return float(p[order][np.argmax(f1)])


def calibration_table(y: np.ndarray, p: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Equal-count bins of the score: predicted and observed like share and rows per bin."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    y, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    rows = [(float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts]
    return pd.DataFrame(rows, columns=["predicted", "observed", "rows"])


def evaluate(y: np.ndarray, p: np.ndarray, threshold: float = 0.5) -> dict[str, Estimate]:
    """AUC, log loss, precision, recall and F1 of one set of predictions."""
    return {"auc": auc(y, p), "log_loss": log_loss(y, p), **classification(y, p, threshold)}


def _checked(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(y, bool), np.asarray(p, np.float64)
    if labels.shape != scores.shape or not len(labels) or np.isnan(scores).any():
        raise MlsysError(
            f"{labels.shape} labels and {scores.shape} scores, {int(np.isnan(scores).sum())} of them NaN",
            why="a metric compares one label with one score per row",
            fix="score every row, or leave rows out on both sides",
        )
    return labels, scores


def _normal(value: float, error: float, n: int, level: float, low: float, high: float) -> Estimate:
    reach = float(norm.ppf((1 + level) / 2)) * error
    return Estimate(value, max(low, value - reach), min(high, value + reach), n, level)


def _wilson(hits: float, n: int, level: float) -> Estimate:
    """A share with Wilson's score interval (J. Am. Stat. Assoc. 22, 1927); 0 of 0 is 0 with [0, 1]."""
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0, level)
    z, share = float(norm.ppf((1 + level) / 2)), hits / n
    centre, spread = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
    return Estimate(share, max(0.0, float(low)), min(1.0, float(high)), n, level)
