"""A/B tests: who is in which arm, whether the split is what it should be, and what the difference is worth.

The interval belongs to what was assigned. A user has many rows, and all of them went to one arm together: rows are no
units. Where whole markets were assigned, markets are the units.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import chisquare
from scipy.stats import t as student

from mlsys.core import MlsysError
from mlsys.evaluation.intervals import Estimate, cluster_codes, cluster_error

MISMATCH = 0.001
"""Below this p-value a split is taken to be broken. Strict, because it is checked on every test, every day. Source:
Kohavi, Tang & Xu, Trustworthy online controlled experiments (2020), ch. 21."""


def assign(units: np.ndarray, salt: str, shares: Sequence[float] = (0.5, 0.5)) -> np.ndarray:
    """The arm of every unit (user, market), int64 (n,): 0 is control. The same unit and salt always give the same arm.

    units : int ids (n,). salt : name of the experiment; another salt is another split, independent of the first.
    shares : of the arms, summing to 1. Nobody who was in the last arm leaves it when its share grows.
    Source of the mixer: Steele, Lea & Flood, Fast splittable pseudorandom number generators, OOPSLA (2014).

    >>> assign(np.array([7, 8, 7, 9]), "new ranker").tolist()
    [0, 0, 0, 1]
    """
    units, upper = np.asarray(units), np.cumsum(shares)
    if units.dtype.kind not in "iu" or not salt or min(shares) < 0 or abs(upper[-1] - 1) > 1e-9:
        raise MlsysError(
            f"cannot assign units of type {units.dtype} by salt {salt!r} to shares {tuple(shares)}",
            why="units are whole-number ids, the salt names the experiment, shares of arms sum to 1",
            fix='assign(users, salt="new ranker", shares=(0.5, 0.5))',
        )
    key = np.frombuffer(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "<u8")[0]
    bits = _mixed(_mixed(units.astype(np.uint64)) ^ key)
    # 53 bits are what a float64 holds; the last bound is left out, so that rounding leaves nobody without an arm.
    return np.searchsorted(upper[:-1], (bits >> np.uint64(11)) * 2.0**-53, side="right").astype(np.int64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64: every bit of the result depends on every bit of x, uint64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


class SampleRatio(NamedTuple):
    """Units counted and expected per arm, (arms,), and P(counts this far off or farther | the split works)."""

    counts: np.ndarray
    expected: np.ndarray
    p: float

    @property
    def ok(self) -> bool:
        """No sample-ratio mismatch was found."""
        return self.p >= MISMATCH


def sample_ratio(arm: np.ndarray, shares: Sequence[float] = (0.5, 0.5)) -> SampleRatio:
    """Pearson's chi² of the arms (n,) that were seen against the shares that were planned: the SRM check.

    Pass units as assigned, one entry each: rows of one user come together, and would find a mismatch where none is.
    Source: Fabijan et al., Diagnosing sample ratio mismatch in online controlled experiments, KDD (2019).

    >>> found = sample_ratio(np.repeat([0, 1], [50_000, 49_000]))
    >>> found.ok, round(found.p, 4)
    (True, 0.0015)
    """
    counts = np.bincount(np.asarray(arm, np.int64), minlength=len(shares))
    if len(counts) != len(shares) or not counts.sum() or min(shares) <= 0:
        raise MlsysError(
            f"{counts.sum()} units in {len(counts)} arms against {len(shares)} shares",
            why="every arm has a planned share above 0",
            fix="sample_ratio(arm, shares=(0.5, 0.5))",
        )
    expected = counts.sum() * np.asarray(shares, np.float64) / sum(shares)
    return SampleRatio(counts, expected, float(chisquare(counts, expected).pvalue))


@dataclass(frozen=True)
class Effect(Estimate):
    """Treatment - control, or treatment / control - 1. `error`: its standard error; `p`: two-sided, of no difference;
    `control`: the mean of control; `units`: clusters that were assigned.

    >>> print(Effect(0.02, 0.01, 0.03, 1000, p=0.0001))
    0.020 [0.010, 0.030] p 0.0001
    """

    error: float = np.nan
    p: float = np.nan
    control: float = np.nan
    units: int = 0

    def __str__(self) -> str:
        return f"{super().__str__()} p {self.p:.2g}"


def difference(
    value: np.ndarray,
    treated: np.ndarray,
    *,
    per: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
    relative: bool = False,
    level: float = 0.95,
) -> Effect:
    """What treatment changes: difference of the arms' means, or ratios Σ value / Σ per, Student's interval.

    value, per : float (n,), a row per user, or any rows with a cluster each. treated : bool (n,).
    cluster : what was assigned (user of a session, market of a user), (n,); None: every row on its own, Welch's test.
    relative : as a share of control's.
    Sources: Welch, Biometrika 34 (1947); ratios and relative changes: Deng, Knoblich & Lu, Applying the delta method
    in metric analytics, KDD (2018).

    >>> likes, treated = np.array([1.0, 2, 3, 2, 4, 6]), np.array([0, 0, 0, 1, 1, 1], bool)
    >>> print(difference(likes, treated))
    2.000 [-2.155, 6.155] p 0.22
    """
    value, treated = np.asarray(value, np.float64), np.asarray(treated, bool)
    weight = np.ones(len(value)) if per is None else np.asarray(per, np.float64)
    _check(value, weight, treated, cluster)
    arms = []
    for own in (treated, ~treated):
        v, w = value[own], weight[own]
        mean = float(v.sum() / w.sum())
        error, units = cluster_error((v - mean * w) / w.sum(), None if cluster is None else np.asarray(cluster)[own])
        arms.append((mean, error**2, units))
    (mean, spread, units), (base, spread_, units_) = arms
    found = mean - base
    if relative:
        found, spread, spread_ = mean / base - 1, spread / base**2, spread_ * mean**2 / base**4
    total = spread + spread_
    freedom = total**2 / (spread**2 / (units - 1) + spread_**2 / (units_ - 1)) if total else 1.0
    error = float(np.sqrt(total))
    reach = float(student.ppf((1 + level) / 2, freedom)) * error
    p = float(2 * student.sf(abs(found) / error, freedom)) if error else float(found == 0)
    return Effect(found, found - reach, found + reach, len(value), level, error, p, base, units + units_)


def cuped(value: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The values (n,) less what the period before the test foretold: value - θ (before - mean), θ = cov / var.

    before : the same units' values from before the test, (n,), which no treatment can have moved. The mean stays; the
    variance falls by the share corr² (`explained`). Give units that are new their mean, or test them on their own.
    Source: Deng, Xu, Kohavi & Walker, Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data, WSDM (2013).

    >>> likes, before = np.array([3.0, 5, 7, 9.5]), np.array([1.0, 2, 3, 4])
    >>> cuped(likes, before).round(2).tolist(), round(explained(likes, before), 3)
    ([6.22, 6.08, 5.92, 6.28], 0.997)
    """
    value, x = _paired(value, before)
    x = x - x.mean()
    spread = float(x @ x)
    return np.asarray(value - float(x @ value) / spread * x if spread else value)


def explained(value: np.ndarray, before: np.ndarray) -> float:
    """Share of the variance that `cuped` takes out: corr² of value and before, both (n,)."""
    value, x = _paired(value, before)
    v, x = value - value.mean(), x - x.mean()
    total = float(v @ v) * float(x @ x)
    return float(x @ v) ** 2 / total if total else 0.0


def _paired(value: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value, before = np.asarray(value, np.float64), np.asarray(before, np.float64)
    wrong = ~np.isfinite(before) if before.shape == value.shape else np.ones(len(before), bool)
    if wrong.any():
        raise MlsysError(
            f"{int(wrong.sum())} of {len(value)} units have no number from before the test",
            why="CUPED subtracts what a unit's own past foretells",
            fix="fill the mean of the others for units that are new: before.fillna(before.mean())",
            rows=np.flatnonzero(wrong),
        )
    return value, before


def _check(value: np.ndarray, weight: np.ndarray, treated: np.ndarray, cluster: np.ndarray | None) -> None:
    if not len(value) == len(weight) == len(treated):
        raise MlsysError(
            f"{len(value)} values, {len(weight)} denominators, {len(treated)} arms",
            why="each row has one of each",
            fix="difference(value, treated, per=sessions): arrays of one length",
        )
    if (wrong := ~(np.isfinite(value) & (weight >= 0) & (weight < np.inf))).any():
        raise MlsysError(
            f"{int(wrong.sum())} of {len(value)} rows have no value, or a denominator below 0",
            why="a user who did nothing counts as 0: leaving some out is a filter that treatment may move",
            fix="fill 0 for users without sessions; look at error.rows",
            rows=np.flatnonzero(wrong),
        )
    codes, units = cluster_codes(cluster, len(value))
    sides = np.zeros((2, units), bool)
    sides[treated.astype(int), codes] = True
    both = np.logical_and(*sides)
    if both.any():
        raise MlsysError(
            f"{int(both.sum())} of {units} clusters have rows in both arms",
            why="the interval takes whole clusters to be assigned",
            fix="pass as cluster what was assigned; look at error.rows",
            rows=np.flatnonzero(both[codes]),
        )
    if min(sides.sum(axis=1)) < 2 or not (weight[treated].sum() > 0 and weight[~treated].sum() > 0):
        raise MlsysError(
            f"{int(sides[1].sum())} units in treatment, {int(sides[0].sum())} in control",
            why="without two units in each arm there is no telling how much they differ by chance",
            fix="assign more units, or smaller ones: users, not markets",
        )
