"""What only a simulation can know: how good any score could be, and how good it is, without a single die thrown."""

from __future__ import annotations

import numpy as np


def expected_auc(scores: np.ndarray, p: np.ndarray) -> float:
    """The AUC of scores over labels that are drawn with true probabilities p: both (n,).

        Σ_ij p_i (1 - p_j) [s_i > s_j, ties one half] / Σ_ij p_i (1 - p_j)

    Scores that order like p itself give the Bayes-optimal AUC: nobody who knows less than the world can beat it.
    In O(n log n).

    >>> expected_auc(np.array([0.1, 0.9]), np.array([0.0, 1.0]))
    1.0
    """
    values, at = np.unique(scores, return_inverse=True)
    likes = np.bincount(at, weights=p, minlength=len(values))
    others = np.bincount(at, weights=1 - p, minlength=len(values))
    below = np.cumsum(others) - others
    return float((likes * (below + others / 2)).sum() / (likes.sum() * others.sum()))
