"""How fast an error budget burns: several windows at once, so that a short fault pages soon and a slow one at all.

A service level objective of 99.9 % leaves 0.1 % of requests as budget; a burn rate of 1 spends it in exactly the
period it is for. A long window says that it is serious, a short one that it is still so. Rates and windows are those
of Beyer et al., The Site Reliability Workbook (2018), ch. 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsys.core import MlsysError


@dataclass(frozen=True)
class BurnWindow:
    """Fires when both windows, in minutes, burn at `rate` or faster."""

    long: int
    short: int
    rate: float
    severity: str


WORKBOOK = (
    BurnWindow(60, 5, 14.4, "page"),
    BurnWindow(360, 30, 6.0, "page"),
    BurnWindow(4320, 360, 1.0, "ticket"),
)
"""For 30 days: 2 % of the budget in an hour, 5 % in six hours, 10 % in three days."""


class ErrorBudget:
    """Burn rates of a stream of minutes.

    objective : share of requests that have to be good, such as 0.999. least : requests that the long window needs
    before it is judged, since three bad ones of a quiet night are no trend.

    >>> budget = ErrorBudget(0.999)
    >>> quiet = budget.observe(np.full(60, 100), np.zeros(60))
    >>> fault = budget.observe(np.full(10, 100), np.full(10, 100))
    >>> quiet["page"].any(), int(fault["page"].argmax())
    (np.False_, 0)
    """

    def __init__(self, objective: float, windows: Sequence[BurnWindow] = WORKBOOK, *, least: int = 100) -> None:
        if not 0 < objective < 1:
            raise MlsysError(
                f"an objective of {objective}", why="it is a share of requests below 1", fix="ErrorBudget(0.999)"
            )
        self.objective, self.windows, self.least = objective, tuple(windows), least
        self._longest = max(window.long for window in windows)
        self._total, self._bad = np.zeros(self._longest), np.zeros(self._longest)

    def observe(self, total: np.ndarray, bad: np.ndarray) -> dict[str, np.ndarray]:
        """Minutes as they come, requests and bad ones of each, (n,): per severity, which minutes fire, bool (n,).

        Before the first minute there was no traffic. One call or many: the same answers.
        """
        n = len(total)
        total, bad = np.append(self._total, total), np.append(self._bad, bad)
        fires = {window.severity: np.zeros(n, bool) for window in self.windows}
        for window in self.windows:
            long, short = (self._burn(total, bad, minutes, n) for minutes in (window.long, window.short))
            enough = _over(total, window.long, n) >= self.least
            fires[window.severity] |= enough & (np.minimum(long, short) >= window.rate)
        self._total, self._bad = total[-self._longest :], bad[-self._longest :]
        return fires

    def burn(self, minutes: int) -> float:
        """The burn rate over the last so many minutes."""
        return float(self._burn(self._total, self._bad, minutes, 1)[0])

    def _burn(self, total: np.ndarray, bad: np.ndarray, minutes: int, n: int) -> np.ndarray:
        share = _over(bad, minutes, n) / np.maximum(_over(total, minutes, n), 1)
        return np.asarray(share / (1 - self.objective))


def _over(counts: np.ndarray, minutes: int, n: int) -> np.ndarray:
    """Sums of the `minutes` up to and with each of the last n, float64 (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    end = np.arange(len(counts) - n + 1, len(counts) + 1)
    return np.asarray(sums[end] - sums[end - minutes])
