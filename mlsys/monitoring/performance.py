"""How good the model is today: without labels, and with those that have arrived.

Without labels a calibrated model tells its own AUC: a row with score p is a like with probability p. That is
confidence-based performance estimation (CBPE; Garg et al., ICLR 2022, and NannyML's documentation). It sees a change of
*who is asked* and is blind to a change of *what they want*, since then the scores are wrong and do not know it.
"""

from __future__ import annotations

import numpy as np

from mlsys.core import MlsysError


def estimated_auc(p: np.ndarray) -> float:
    """The AUC that calibrated probabilities (n,) expect of themselves; NaN where all are alike for certain.

    Every row stands for p positives and 1 - p negatives: the share of pairs in the right order, ties half.

    >>> round(estimated_auc(np.array([0.1, 0.1, 0.6])), 4)
    0.7841
    """
    p = np.sort(_checked(p))
    values, n = np.unique(p, return_counts=True)
    likes, others = values * n, (1 - values) * n
    below = np.cumsum(others) - others
    pairs = likes.sum() * others.sum()
    return float((likes * (below + others / 2)).sum() / pairs) if pairs else float("nan")


def estimated_log_loss(p: np.ndarray) -> float:
    """The log loss that calibrated probabilities (n,) expect of themselves: their mean entropy, nats.

    >>> round(estimated_log_loss(np.array([0.5])), 4)
    0.6931
    """
    p = np.clip(_checked(p), 1e-12, 1 - 1e-12)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def promised(p: np.ndarray, y: np.ndarray) -> float:
    """Likes that came over likes that were promised, y (n,) of 0 and 1: 1 is calibrated, below it the model boasts.

    >>> promised(np.array([0.5, 0.5, 0.2]), np.array([1, 0, 0]))
    0.8333333333333334
    """
    return float(np.sum(y) / max(float(np.sum(_checked(p))), 1e-12))


def _checked(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise MlsysError(
            f"{len(p)} scores, {int((~((p >= 0) & (p <= 1))).sum())} of them no probabilities",
            why="performance without labels needs calibrated probabilities of one row or more",
            fix="calibrate the model first (mlsys.training), and drop rows without a score",
        )
    return p
