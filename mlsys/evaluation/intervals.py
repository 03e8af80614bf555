"""An estimate and the ways to its interval: Wilson for shares, normal for means, clusters for rows of one user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from mlsys.core import MlsysError

FEW = 10
"""Below so many rows of a class, or clusters, a normal approximation is not to be trusted."""


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


def normal(value: float, error: float, n: int, level: float, low: float, high: float) -> Estimate:
    """value ± z · error, cut off at the ends of the scale."""
    reach = float(norm.ppf((1 + level) / 2)) * error
    return Estimate(value, max(low, value - reach), min(high, value + reach), n, level)


def wilson(hits: float, n: int, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (J. Am. Stat. Assoc. 22, 1927); 0 of 0 is 0 with [0, 1].

    >>> print(wilson(0, 10))
    0.000 [0.000, 0.278]
    """
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0, level)
    z, share = float(norm.ppf((1 + level) / 2)), hits / n
    centre, spread = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
    # Neither end may pass the share itself, which at 0 and 1 takes no more than rounding.
    return Estimate(share, min(share, max(0.0, float(low))), max(share, min(1.0, float(high))), n, level)


def cluster_codes(cluster: np.ndarray | None, n: int) -> tuple[np.ndarray, int]:
    """Clusters numbered from 0 in order of appearance, int64 (n,), and how many there are; None: every row its own."""
    if cluster is None:
        return np.arange(n), n
    codes, names = pd.factorize(np.asarray(cluster))
    if len(codes) != n or (codes < 0).any():
        raise MlsysError(
            f"{len(codes)} clusters for {n} rows, {int((codes < 0).sum())} of them null",
            why="every row belongs to the user or session it came from",
            fix="pass one id per row; give rows of unknown users an id each",
        )
    return codes, len(names)


def cluster_error(influence: np.ndarray, cluster: np.ndarray | None) -> tuple[float, int]:
    """Standard error of Σ influence when whole clusters are drawn, and their number; one cluster: infinite.

    `influence` (n,): how far each row moves the estimate, summing to 0 over the rows.
    Source: Liang & Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73 (1986).
    """
    codes, clusters = cluster_codes(cluster, len(influence))
    if clusters < 2:
        return np.inf, clusters
    sums = influence if cluster is None else np.bincount(codes, weights=influence, minlength=clusters)
    return float(np.sqrt(clusters / (clusters - 1) * (sums @ sums))), clusters


def freedom(influence: np.ndarray, cluster: np.ndarray | None) -> float:
    """Degrees of freedom of `cluster_error`: those of a normal sample whose variance is known as badly.

    About the number of clusters when they are alike; far fewer when a handful of heavy ones makes up the sum.
    Source: Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bull. 2 (1946).
    """
    codes, clusters = cluster_codes(cluster, len(influence))
    squares = np.bincount(codes, weights=influence, minlength=clusters) ** 2
    return float(2 * clusters * squares.mean() ** 2 / max(squares.var(), np.finfo(np.float64).tiny))


def ratio(
    numerator: np.ndarray,
    denominator: np.ndarray,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
    low: float = -np.inf,
    high: float = np.inf,
) -> Estimate:
    """Σ numerator / Σ denominator over rows (n,), Student's interval over clusters, cut off at [low, high].

    Source of the linearization: Deng, Knoblich & Lu, Applying the delta method in metric analytics, KDD (2018).
    """
    total = float(denominator.sum())
    if not total > 0:
        raise MlsysError(
            f"the {len(denominator)} rows sum to {total:g} in the denominator",
            why="a ratio of sums needs a positive one",
            fix="check the weights, or take a longer period",
        )
    value = float(numerator.sum()) / total
    error, clusters = cluster_error((numerator - value * denominator) / total, cluster)
    reach = float(student.ppf((1 + level) / 2, clusters - 1)) * error if clusters > 1 else np.inf
    return Estimate(value, max(low, value - reach), min(high, value + reach), len(numerator), level)


def cluster_mean(value: np.ndarray, cluster: np.ndarray | None = None, level: float = 0.95) -> Estimate:
    """The mean of rows (n,), whose dependence within a cluster (user, session) may be anything.

    >>> alike = np.repeat([0.0, 1.0, 2.0, 3.0], 25)
    >>> print(cluster_mean(alike), "|", cluster_mean(alike, np.repeat([1, 2, 3, 4], 25)))
    1.500 [1.277, 1.723] | 1.500 [-0.554, 3.554]
    """
    value = np.asarray(value, np.float64)
    return ratio(value, np.ones(len(value)), cluster, level)


def cluster_share(value: np.ndarray, cluster: np.ndarray | None = None, level: float = 0.95) -> Estimate:
    """`cluster_mean` of rows between 0 and 1; Wilson's interval on the clusters where a normal one would lie.

    That is with fewer than 10 clusters, or when all rows are 0 or all are 1: wide on purpose.
    """
    value = np.asarray(value, np.float64)
    mean = ratio(value, np.ones(len(value)), cluster, level, 0.0, 1.0)
    clusters = cluster_codes(cluster, len(value))[1]
    if clusters >= FEW and 0 < mean.value < 1:
        return mean
    few = wilson(mean.value * clusters, clusters, level)
    return Estimate(mean.value, few.low, few.high, len(value), level)
