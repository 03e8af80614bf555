"""Does 0.3 mean three in ten? The table behind a reliability diagram, and one number for it, the ECE.

The usual ECE takes distances from the diagonal, and chance alone puts every bin some way off it: a perfect model of
few rows has an ECE well above 0. Here that is taken out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlsys.core import MlsysError
from mlsys.evaluation.intervals import Estimate, cluster_codes, wilson


def reliability_table(y: np.ndarray, p: np.ndarray, bins: int = 10, level: float = 0.95) -> pd.DataFrame:
    """Equal-count bins of the score, a row each: predicted, observed (both means), low, high (Wilson), rows.

    y 0/1 (n,), p (n,). Equal scores may stand on both sides of a border; in scikit-learn's quantile bins they do not.
    `predicted` outside [low, high]: that bin is off.

    >>> table = reliability_table(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9]), bins=2)
    >>> table[["predicted", "observed", "rows"]].round(2).to_numpy().tolist()
    [[0.15, 0.0, 2.0], [0.75, 1.0, 2.0]]
    """
    y, p, bin_of = _binned(y, p, bins)
    rows = np.bincount(bin_of)
    hits = np.bincount(bin_of, weights=y)
    shares = [wilson(hit, int(n), level) for hit, n in zip(hits, rows, strict=True)]
    return pd.DataFrame(
        {
            "predicted": np.bincount(bin_of, weights=p) / rows,
            "observed": hits / rows,
            "low": [share.low for share in shares],
            "high": [share.high for share in shares],
            "rows": rows,
        }
    )


def ece(
    y: np.ndarray, p: np.ndarray, bins: int = 10, level: float = 0.95, cluster: np.ndarray | None = None
) -> Estimate:
    """Expected calibration error: mean over equal-count bins of |predicted - observed|, less what chance adds.

    A bin's gap d has a standard error s; chance makes |d| too large by about E|N(d, s)| - |d|, which is subtracted
    (Kumar, Liang & Ma, Verified uncertainty calibration, NeurIPS 2019). No estimate of |d| is unbiased, so each end of
    the interval errs on its safe side: the lower one counts only gaps above two standard errors, the upper one takes
    off half of what chance adds. The truth it covers is that of these bins. `cluster` (n,): the user of each row.

    >>> rng = np.random.default_rng(13)
    >>> p = rng.random(2_000)
    >>> good, bad = ece(rng.random(2_000) < p, p), ece(rng.random(2_000) < p**2, p)
    >>> good.low, bool(bad.low > 0.1)
    (0.0, True)
    """
    y, p, bin_of = _binned(y, p, bins)
    n, bins = len(y), int(bin_of.max()) + 1
    codes, clusters = cluster_codes(cluster, n)
    if clusters < 2:
        raise MlsysError(f"{clusters} clusters", why="their spread is the interval", fix="take more users")
    rows, hits, residual = np.bincount(bin_of), np.bincount(bin_of, weights=y), (p - y) / n
    gap = np.bincount(bin_of, weights=residual)  # share of rows · (predicted - observed)
    if cluster is None:
        covariance: np.ndarray = np.diag(np.bincount(bin_of, weights=residual**2) - gap**2 / rows)
    else:
        own = np.bincount(codes * bins + bin_of, weights=residual, minlength=clusters * bins).reshape(clusters, bins)
        covariance = own.T @ own * (clusters / (clusters - 1))
    share = (hits + 1) / (rows + 2)  # a bin without a like is no proof that there is none
    variance = np.maximum(np.diag(covariance), rows * share * (1 - share) / n**2)
    s, size = np.sqrt(variance), np.abs(gap)
    added = s * np.sqrt(2 / np.pi) * np.exp(-(gap**2) / (2 * variance)) - 2 * size * norm.cdf(-size / s)
    value = max(0.0, float((size - added).sum()))
    sign = np.sign(gap)
    error = np.sqrt(max(float(variance.sum()), float(sign @ covariance @ sign)))
    reach = float(norm.ppf((1 + level) / 2) * error)
    least = min(value, float(size[size > 2 * s].sum()))
    most = float((size - added / 2).sum())
    return Estimate(value, max(0.0, least - reach), min(1.0, most + reach), n, level)


def _binned(y: np.ndarray, p: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    outside = ~((p >= 0) & (p <= 1))
    if labels.shape != p.shape or not 1 <= bins <= len(p) or outside.any():
        raise MlsysError(
            f"{len(p)} probabilities, {int(outside.sum())} of them outside 0 to 1, {len(labels)} labels, {bins} bins",
            why="calibration compares probabilities with labels, row by row, a row or more to a bin",
            fix="calibrate the score first (mlsys.training.calibration), or take fewer bins",
        )
    bin_of = np.empty(len(p), np.int64)
    bin_of[np.argsort(p, kind="stable")] = np.arange(len(p)) * bins // len(p)
    return labels, p, bin_of
