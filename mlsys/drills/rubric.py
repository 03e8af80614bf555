"""Points, levels, and how good an interval is.

A row has 0 to 3 points. E5: every row has 2 or more. E6: no row below 2, and at least half of them at 3. A machine
row is earned by evidence alone; a hint, or a reason that was read, caps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COVERAGE = 0.8
"""Intervals are asked for so wide that four of five hold the truth."""


@dataclass(frozen=True)
class Evidence:
    """What a check found: points 0 to 3, and the reason in words that name what the run says."""

    points: int
    reason: str


@dataclass(frozen=True)
class RowScore:
    """One row of a scorecard. `points` None: not scored yet, a human does that. `earned` is before the cap; None:
    nothing was answered. `raised`: it has more than at its first check."""

    row: str
    title: str
    points: int | None
    earned: int | None
    reason: str
    human: bool = False
    raised: bool = False

    @property
    def unlocked(self) -> bool:
        """Whether the row counts for E5."""
        return self.points is not None and self.points >= 2


def level(points: Sequence[int]) -> str:
    """E4, E5 or E6 from the points of all rows.

    >>> level([3, 3, 2]), level([2, 2, 3]), level([3, 3, 1])
    ('E6', 'E5', 'E4')
    """
    if not points or min(points) < 2:
        return "E4"
    return "E6" if 2 * sum(p == 3 for p in points) >= len(points) else "E5"


def interval_score(low: float, high: float, truth: float, *, coverage: float = COVERAGE) -> float:
    """How much an interval costs: its width in decades (factors of ten), plus a penalty for missing the truth.

    Smaller is better. It is the interval score on a log scale: no other interval than the one you believe in is
    cheaper in expectation. A factor of 2 wide and right costs 0.3; a miss by a factor of 2 costs 3.0 more.
    Source: Gneiting & Raftery, J. Am. Stat. Assoc. 102 (2007), section 6.2.

    >>> round(interval_score(100, 200, 150), 2), round(interval_score(100, 200, 400), 2)
    (0.3, 3.31)
    """
    if not 0 < low < high or truth <= 0:
        return math.inf
    a, b, x = (math.log10(v) for v in (low, high, truth))
    return (b - a) + 2 / (1 - coverage) * (max(a - x, 0.0) + max(x - b, 0.0))


def interval_evidence(name: str, low: float, high: float, truth: float, unit: str = "") -> Evidence:
    """Points for one interval: it holds the truth and spans at most a factor of 3 (three points) or 10 (two).

    Wider earns one, a miss none.
    """
    said = f"{name}: you said {number(low)} to {number(high)}, the run says {number(truth)} {unit}".rstrip()
    cost = interval_score(low, high, truth)
    if not low <= truth <= high:
        return Evidence(0, f"{said}; missed (interval score {cost:.2f}, smaller is better)")
    factor = high / low if low > 0 else math.inf
    points = 3 if factor <= 3.001 else 2 if factor <= 10.01 else 1
    wide = "" if points == 3 else f"; a factor of {number(factor)} is wide" if math.isfinite(factor) else "; too wide"
    return Evidence(points, f"{said}; held (interval score {cost:.2f}){wide}")


def number(value: float) -> str:
    """Three significant digits, thousands separated.

    >>> number(1234.6), number(0.01234), number(3e9)
    ('1,230', '0.0123', '3,000,000,000')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def calibration(hits: Sequence[bool], *, coverage: float = COVERAGE) -> tuple[float, float, float]:
    """Share of intervals that held the truth, and a 95 % interval (Wilson) for what that share says.

    >>> share, low, high = calibration([True] * 8 + [False] * 2)
    >>> share, round(low, 2), round(high, 2)
    (0.8, 0.49, 0.94)
    """
    n, share, z = len(hits), float(np.mean(hits)), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return share, middle - reach, middle + reach
