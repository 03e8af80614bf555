"""Looking at a test before its end: what it does to false alarms, and intervals that stand any number of looks.

An interval of 95 % is right 95 times of 100 at one look, chosen beforehand. Whoever looks every day and stops at the
first that leaves out 0 takes the worst of many looks. A confidence sequence is wider, and all its intervals together
hold the truth in 95 of 100 tests:

    reach = error · sqrt((1 + error² / τ²) · (2 log(1/α) + log(1 + τ² / error²)))

the mixture of likelihood ratios over effects N(0, τ²), error the standard error at the look. τ of the size of the
minimum detectable effect makes it tightest at about the planned end (there τ²/error² is 7.8, and 7.9 is best).
In a month of daily looks that uses about 1 of the 5 %: whoever fixes the last look beforehand finds more with a
group-sequential test (Schultzberg & Ankargren, Choosing a sequential testing framework, Spotify Engineering, 2023).
Sources: Robbins, Statistical methods related to the law of the iterated logarithm (1970); Johari, Koomen, Pekelis &
Walsh, Always valid inference, Operations Research 70 (2022), arXiv:1512.04922; for errors that are estimated:
Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences, arXiv:2103.06476.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlsys.core import MlsysError
from mlsys.evaluation.experiment import Effect


def always_valid(effect: Effect, tau: float) -> Effect:
    """The same effect with an interval, and a p-value, that stand looking at any time, any number of times.

    tau : the effect that the test was planned for (`power.mde`), in the effect's unit, named before the first look.
    The least p-value so far is a valid one too.

    >>> print(always_valid(Effect(0.03, 0.01, 0.05, 1000, error=0.01, p=0.003), tau=0.028))
    0.030 [-0.000, 0.060] p 0.055
    """
    if not (tau > 0 and effect.error > 0):
        raise MlsysError(
            f"tau={tau}, error={effect.error}",
            why="both are above 0: tau is an effect worth finding, error the standard error of this one",
            fix="always_valid(difference(value, treated), tau=power.mde(sd, n))",
        )
    reach = float(mixture_reach(np.array(effect.error), tau, 1 - effect.level))
    p = float(np.exp(-_log_ratio(effect.value, effect.error, tau)))
    return replace(effect, low=effect.value - reach, high=effect.value + reach, p=min(1.0, p))


def mixture_reach(error: np.ndarray, tau: float, alpha: float = 0.05) -> np.ndarray:
    """Half the width of the interval at each standard error, shape as given."""
    odds = (tau / np.asarray(error)) ** 2
    return np.asarray(error * np.sqrt((1 + 1 / odds) * (np.log1p(odds) - 2 * np.log(alpha))))


def _log_ratio(value: float, error: float, tau: float) -> float:
    """log of the mixture likelihood ratio against no effect."""
    odds = (tau / error) ** 2
    return float(((value / error) ** 2 * odds / (1 + odds) - np.log1p(odds)) / 2)


def looks(daily: np.ndarray, treated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference of the arms' means of all days so far, and its standard error: both float64 (tests, days).

    daily : float (units, days), what each unit did on each day. treated : bool (tests, units), a division per test.
    """
    so_far, arm = np.cumsum(np.asarray(daily, np.float64), axis=1), treated.astype(np.float64)
    so_far = so_far - so_far.mean(axis=0)  # nothing lost in the squares below
    n = arm.sum(axis=1, keepdims=True)
    m = len(so_far) - n
    first, second = arm @ so_far, arm @ so_far**2
    total, squares = so_far.sum(axis=0), (so_far**2).sum(axis=0)
    inside = (second - first**2 / n) / (n - 1) / n
    outside = (squares - second - (total - first) ** 2 / m) / (m - 1) / m
    return first / n - (total - first) / m, np.sqrt(inside + outside)


def peeking(
    daily: np.ndarray, rng: np.random.Generator, *, effect: float = 0.0, tests: int = 1_000, level: float = 0.95
) -> pd.DataFrame:
    """Share of tests that have found something, by the day: a fresh random half of the units is treated in each.

    daily : float (units, days), what each unit did each day, nobody being treated. effect : what treatment adds to a
    unit's day; 0: an A/A test, whatever is found is false.
    Rows: days from 1. once: by a look on that day alone · daily: by a look every day until then, stopping at the first
    find · always_valid: the same with the confidence sequence, planned for power 0.8 on the last day.

    >>> found = peeking(np.random.default_rng(1).normal(size=(400, 28)), np.random.default_rng(2), tests=300)
    >>> bool(found["daily"].iloc[-1] > 3 * found["once"].iloc[-1]), bool(found["always_valid"].iloc[-1] < 0.05)
    (True, True)
    """
    daily = np.asarray(daily, np.float64)
    units, days = daily.shape
    if units < 4 or tests < 1:
        raise MlsysError(
            f"{units} units, {tests} tests", why="each arm takes two units", fix="peeking(daily, rng, tests=1000)"
        )
    half = np.arange(units) < units // 2
    found, error = looks(daily, rng.permuted(np.broadcast_to(half, (tests, units)), axis=1))
    found = found + effect * np.arange(1, days + 1)
    bound = float(norm.ppf((1 + level) / 2))
    once = np.abs(found) > bound * error
    # As a sum of days, effect and error grow with time; tau is one day's effect, so errors are put per day.
    per_day = error / np.arange(1, days + 1)
    tau = (bound + float(norm.ppf(0.8))) * float(per_day[:, -1].mean())
    sure = np.abs(found) / np.arange(1, days + 1) > mixture_reach(per_day, tau, 1 - level)
    shares = {
        "once": once.mean(axis=0),
        "daily": np.maximum.accumulate(once, axis=1).mean(axis=0),
        "always_valid": np.maximum.accumulate(sure, axis=1).mean(axis=0),
    }
    return pd.DataFrame(shares, index=pd.RangeIndex(1, days + 1, name="day"))
