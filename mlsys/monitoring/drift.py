"""How far two samples are apart (effect size) and whether that could be chance (significance).

Both are needed. With many rows every trifle is significant; with few rows every effect size is large.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2, kstwo, kstwobign

LEAST_SHARE = 5e-4

EXACT = 2_000
"""Effective rows of a KS test up to which its p-value is computed exactly."""


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index of two share vectors (bins,): sum of (c - r) ln(c / r).

    Below 0.1 is usually read as stable, above 0.25 as shifted; under a few hundred rows it is mostly noise.
    Shares below half a thousandth count as half a thousandth. Source: Siddiqi, Credit Risk Scorecards (2006).

    >>> round(psi(np.array([0.5, 0.5]), np.array([0.6, 0.4])), 4)
    0.0405
    """
    r, c = np.maximum(reference, LEAST_SHARE), np.maximum(current, LEAST_SHARE)
    return float(((c - r) * np.log(c / r)).sum())


def ks_p_value(gap: float, rows: int, others: int) -> float:
    """P(two samples of one distribution, of these sizes, are `gap` apart or more); that of `scipy.stats.ks_2samp`
    with `method="asymp"`, whose time grows with the sizes. So for large ones Stephens' form of the limit stands in:
    within 2 % wherever p is above 1e-4.

    Source: Stephens, J. R. Stat. Soc. B 32 (1970).

    >>> round(ks_p_value(0.05, 5_000, 1_000), 4)
    0.03
    """
    n = max(float(np.round(rows * others / (rows + others))), 1.0)
    if n <= EXACT:
        return float(kstwo.sf(gap, n))
    return float(kstwobign.sf(gap * (np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n))))


def chi2_p_value(reference: np.ndarray, current: np.ndarray) -> float:
    """P(two count vectors (k,) of one distribution differ like this), Pearson's test of homogeneity, uncorrected; 1.0
    when there is nothing to compare. That of `scipy.stats.chi2_contingency`.

    >>> round(chi2_p_value(np.array([40, 60]), np.array([60, 40])), 4)
    0.0047
    """
    table = np.stack([reference, current]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    rows, total = table.sum(axis=1, keepdims=True), table.sum()
    if table.shape[1] < 2 or not rows.all():
        return 1.0
    expected = rows * table.sum(axis=0) / total
    return float(chi2.sf(((table - expected) ** 2 / expected).sum(), table.shape[1] - 1))


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
