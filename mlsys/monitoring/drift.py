"""How far two samples are apart (effect size) and whether that could be chance (significance).

Both are needed. With many rows every trifle is significant; with few rows every effect size is large.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import kstwobign


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index of two share vectors (bins,): sum of (c - r) ln(c / r).

    Below 0.1 is usually read as stable, above 0.25 as shifted; under a few hundred rows it is mostly noise.
    Shares below half a thousandth count as half a thousandth. Source: Siddiqi, Credit Risk Scorecards (2006).

    >>> round(psi(np.array([0.5, 0.5]), np.array([0.6, 0.4])), 4)
    0.0405
    """
    r, c = np.maximum(reference, 5e-4), np.maximum(current, 5e-4)
    return float(((c - r) * np.log(c / r)).sum())


def two_sample_ks(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """Largest gap between two empirical distributions, and its asymptotic p-value.

    `reference` float (n,) must be sorted, so that it is sorted once and not at every check. The gap
    equals that of `scipy.stats.ks_2samp`; its asymptotic p-value differs a little, by a small-sample correction.
    """
    current = np.sort(current)
    points = np.concatenate([reference, current])
    below_r = np.searchsorted(reference, points, side="right") / len(reference)
    below_c = np.searchsorted(current, points, side="right") / len(current)
    gap = float(np.abs(below_r - below_c).max())
    size = len(reference) * len(current) / (len(reference) + len(current))
    return gap, float(kstwobign.sf(gap * np.sqrt(size)))


def benjamini_hochberg(p: np.ndarray, rate: float) -> np.ndarray:
    """Which p-values are discoveries at false discovery rate `rate`; bool, shape of `p`, one family per last axis.

    Source: Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995).

    >>> benjamini_hochberg(np.array([0.001, 0.04, 0.9]), 0.05).tolist()
    [True, False, False]
    """
    ordered = np.sort(p, axis=-1)
    m = p.shape[-1]
    passed = ordered <= rate * np.arange(1, m + 1) / m
    cutoff = np.where(passed, ordered, -1.0).max(axis=-1, keepdims=True)
    return np.asarray(p <= cutoff)
