"""When to page somebody, and how good that decision is: an alert policy is a classifier of days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlsys.core import generator
from mlsys.monitoring.drift import benjamini_hochberg
from mlsys.world.noise import ACTION_SHARES


@dataclass(frozen=True)
class AlertPolicy:
    """Page when any watched share moved by `min_relative` of its baseline and, if `rate` is set, not by chance.

    `rate` is the false discovery rate over the shares of one day (Benjamini-Hochberg); None skips the test.
    """

    name: str
    min_relative: float = 0.10
    rate: float | None = None

    def pages(self, baseline: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Whether each day pages, bool (days,), from baseline counts (m,) and daily counts (days, m)."""
        b, n, total = baseline / baseline.sum(), counts.sum(axis=1, keepdims=True), baseline.sum()
        share = counts / n
        moved = (np.abs(share - b) >= self.min_relative * b) & (b > 0)
        if self.rate is not None:
            pooled = (counts + baseline) / (n + total)
            error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / total))
            p = 2 * norm.sf(np.abs(share - b) / np.maximum(error, 1e-12))
            moved &= benjamini_hochberg(p, self.rate)
        return np.asarray(moved.any(axis=1))


def grade(policy: AlertPolicy, *, rows_per_day: int, null_share: float, seeds: Iterable[int]) -> pd.DataFrame:
    """Grade a policy on known days: 30 healthy ones, and 30 on which more actions are lost before they are logged.

    The watched metrics are the shares of the five actions of the noise world; the incident raises the share of
    nulls to `null_share` (healthy: .15) at the expense of all others. Per seed, a frame with `false_alarms` (pages
    on healthy days, as a share) and `caught` (incident days paged, as a share). The baseline is 30 days of log.
    """
    healthy = np.array(list(ACTION_SHARES.values()))
    broken = np.append(healthy[:-1] * (1 - null_share) / (1 - healthy[-1]), null_share)
    rows = []
    for seed in seeds:
        rng = generator(seed, rows_per_day)
        baseline = rng.multinomial(30 * rows_per_day, healthy)
        false = policy.pages(baseline, rng.multinomial(rows_per_day, healthy, size=30))
        caught = policy.pages(baseline, rng.multinomial(rows_per_day, broken, size=30))
        rows.append((policy.name, rows_per_day, seed, false.mean(), caught.mean()))
    return pd.DataFrame(rows, columns=["policy", "rows_per_day", "seed", "false_alarms", "caught"])
