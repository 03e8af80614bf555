"""The interval of any number, by drawing users again with replacement: nothing to derive, only to repeat.

Whole clusters (users) are drawn, since the rows of one user come together. A draw is a weight per cluster: how often
it was drawn. So no row is copied, and a metric that takes weights (`sample_weight` in scikit-learn) is all it needs.
Draws come in shards of fixed size with a generator each: `n_jobs` changes the time and not one digit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import norm
from scipy.stats import t as student

from mlsys.core import MlsysError
from mlsys.evaluation.intervals import Estimate, cluster_codes

SHARD, CELLS = 50, 4_000_000
"""Draws per shard, and weights held at once by one: fewer draws when there are many clusters."""

SCHEMES = ("multinomial", "poisson")


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    cluster: np.ndarray,
    rng: np.random.Generator,
    *,
    draws: int = 1_000,
    scheme: str = "multinomial",
    level: float = 0.95,
    n_jobs: int = 1,
) -> Estimate:
    """A statistic of weighted rows, with its percentile interval over redrawn clusters.

    statistic : from row weights, float64 (n,), to a number; weights of 1 give the value itself.
    cluster : user or session of every row, (n,); np.arange(n) where rows are independent.
    scheme : "multinomial", as many clusters as there are; "poisson", each on its own Poisson(1) times, which needs no
        total and so works on a stream; statistics that do not care for the scale of the weights only.
    n_jobs : threads. The result is the same for any number.
    Source: Field & Welsh, Bootstrapping clustered data, JRSS B 69 (2007); Chamandy et al., Estimating uncertainty for
    massive data streams, Google (2012); percentiles widened for few clusters as in Hesterberg, What teachers should
    know about the bootstrap, Am. Stat. 69 (2015).

    >>> y, user = np.array([0, 1, 0, 0, 1, 1, 0, 1.0]), np.array([1, 1, 2, 2, 3, 3, 4, 4])
    >>> bootstrap(lambda w: np.average(y, weights=w), user, np.random.default_rng(13)).value
    0.5
    """
    codes, clusters = cluster_codes(cluster, len(cluster))

    def shard(stream: np.random.Generator, size: int) -> np.ndarray:
        weights = _draw(stream, size, clusters, scheme)
        return np.array([statistic(one[codes]) for one in weights], np.float64)

    values = _run(shard, rng, draws, clusters, scheme, n_jobs)
    return _percentiles(float(statistic(np.ones(len(codes)))), values, len(codes), clusters, level)


def bootstrap_sums(
    statistic: Callable[[np.ndarray], np.ndarray],
    sums: np.ndarray,
    rng: np.random.Generator,
    *,
    draws: int = 1_000,
    scheme: str = "multinomial",
    level: float = 0.95,
    n_jobs: int = 1,
) -> Estimate:
    """`bootstrap` of a statistic of sums over rows (a mean, a ratio, F1, SNIPS): one matrix product per shard.

    sums : float64 (clusters, k), from `cluster_sums`. statistic : from sums (..., k) to values (...).

    >>> sums = cluster_sums(np.array([1, 1, 2, 2]), [0.0, 1.0, 1.0, 1.0], np.ones(4))
    >>> bootstrap_sums(lambda s: s[..., 0] / s[..., 1], sums, np.random.default_rng(13)).value
    0.75
    """
    clusters = len(sums)

    def shard(stream: np.random.Generator, size: int) -> np.ndarray:
        return np.asarray(statistic(_draw(stream, size, clusters, scheme) @ sums), np.float64)

    values = _run(shard, rng, draws, clusters, scheme, n_jobs)
    return _percentiles(float(statistic(sums.sum(axis=0))), values, clusters, clusters, level)


def cluster_sums(cluster: np.ndarray, *columns: np.ndarray | list[float]) -> np.ndarray:
    """Columns (n,) summed by cluster, float64 (clusters, columns), clusters in order of appearance."""
    codes, clusters = cluster_codes(cluster, len(cluster))
    return np.stack([np.bincount(codes, weights=np.asarray(c, np.float64), minlength=clusters) for c in columns], 1)


def _run(
    shard: Callable[[np.random.Generator, int], np.ndarray],
    rng: np.random.Generator,
    draws: int,
    clusters: int,
    scheme: str,
    n_jobs: int,
) -> np.ndarray:
    if scheme not in SCHEMES or clusters < (30 if scheme == "poisson" else 2) or draws < 100:
        raise MlsysError(
            f"cannot bootstrap {clusters} clusters with {draws} draws of scheme {scheme!r}",
            why=f"schemes: {', '.join(SCHEMES)}; it takes two clusters, for poisson 30, which may draw none of a few, "
            "and 100 draws to have percentiles",
            fix='bootstrap(statistic, user_id, rng, draws=1000, scheme="multinomial")',
        )
    size = max(1, min(SHARD, CELLS // clusters))
    sizes = [min(size, draws - first) for first in range(0, draws, size)]
    work = zip(rng.spawn(len(sizes)), sizes, strict=True)
    return np.concatenate(Parallel(n_jobs=n_jobs, prefer="threads")(delayed(shard)(*one) for one in work))


def _draw(stream: np.random.Generator, size: int, clusters: int, scheme: str) -> np.ndarray:
    """How often each cluster is drawn, float64 (size, clusters)."""
    if scheme == "poisson":
        return stream.poisson(1.0, (size, clusters)).astype(np.float64)
    counts = np.empty((size, clusters))
    # Draw by draw: the counts of one stay in the cache, all at once take twice as long.
    for one, drawn in zip(counts, stream.integers(0, clusters, (size, clusters)), strict=True):
        one[:] = np.bincount(drawn, minlength=clusters)
    return counts


def _percentiles(value: float, values: np.ndarray, n: int, clusters: int, level: float) -> Estimate:
    if not np.isfinite(values).all():
        raise MlsysError(
            f"the statistic is not a number in {int((~np.isfinite(values)).sum())} of {len(values)} draws",
            why="some draws lack what it needs, such as a liked row",
            fix="take a longer period, or a statistic that is defined for every sample",
        )
    # Resampled spread is short by sqrt((n - 1) / n), and a percentile is a normal quantile, not Student's.
    tail = norm.cdf(-np.sqrt(clusters / (clusters - 1)) * student.ppf((1 + level) / 2, clusters - 1))
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n, level)
