"""The monitor of a daily system: signals of a day and a sample of what was served, in; who is told what, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlsys.monitoring.alerts import AlertRule, Alerts
from mlsys.monitoring.drift import benjamini_hochberg
from mlsys.monitoring.monitor import ModelMonitor

HEALTHY_DAYS = 7
"""Healthy days before anything is compared; so many alerting days in a row are the new normal."""

REMEMBERED = 21
"""Healthy days that are kept."""

RULES: tuple[AlertRule, ...] = (
    AlertRule("slo", "bad minutes that page", above=0, runbook="slo", stake="whoever asks in these minutes"),
    AlertRule("rung: popularity", "popularity rung", above=0.01, runbook="rungs", stake="a sixth of their likes"),
    AlertRule("rung: defaults", "defaults rung", moved=0.5, least=0.03, direction="up", runbook="rungs"),
    AlertRule("verification", "failed checks", above=0, runbook="verification", stake="tomorrow's features"),
    AlertRule("freshness", "feature age, hours", above=1, runbook="freshness", stake="a point of likes a day"),
    AlertRule("duplicates", "duplicate share", moved=1.0, least=0.02, direction="up", runbook="duplicates"),
    AlertRule("impressions lost", "impressions that arrived", moved=0.02, direction="down", runbook="lost"),
    AlertRule("impressions invented", "impressions that arrived", moved=0.02, direction="up", runbook="bots"),
    AlertRule("nulls", "null share", moved=0.1, least=0.02, direction="up", runbook="nulls"),
    AlertRule("sample ratio", "sample ratio surprise", above=3, runbook="sample-ratio", stake="the experiment"),
    AlertRule("heavy users", "share of the five heaviest users", moved=1.0, least=0.02, direction="up", runbook="bots"),
    AlertRule("new users", "new users", moved=1.0, least=0.03, direction="up", runbook="new-users"),
    AlertRule(
        "likes per impression",
        "likes per impression",
        moved=0.06,
        direction="both",
        runbook="likes",
        stake="the goal itself",
    ),
    AlertRule("dislikes per impression", "dislikes per impression", moved=0.15, direction="up", severity="ticket"),
    AlertRule("drift", "drift", above=1, runbook="drift"),
    AlertRule("likes promised", "likes over promised", moved=0.05, direction="both", runbook="performance"),
    AlertRule("AUC", "AUC", moved=0.03, direction="down", runbook="performance"),
    AlertRule("exposure", "exposure of the top tenth", moved=0.1, direction="up", severity="ticket"),
)
"""What the daily system is watched for, besides drift."""

INHIBITS = {
    "verification": ("freshness", "nulls"),
    "freshness": ("likes promised", "AUC"),
}
"""Causes and the effects that go without saying."""


@dataclass(frozen=True)
class Day:
    """signals : a number each, by name; NaN: not known. sample : features and score of what was asked for."""

    signals: Mapping[str, float]
    sample: pd.DataFrame = field(default_factory=pd.DataFrame)


class DailyMonitor:
    """Judges a day by the healthy days before it: days on which nobody was paged.

    rate : of false alarms per rule and day. drift_factor : a column drifts when its PSI is so many times the largest
    that healthy days show of each other; see `ModelMonitor.from_days`. The signal `drift` is the largest PSI of a
    significant column, in units of its limit.

    >>> monitor = DailyMonitor()
    >>> for likes in (0.30, 0.31, 0.29, 0.30, 0.31, 0.29, 0.30):
    ...     _ = monitor.observe(Day({"likes per impression": likes}))
    >>> monitor.observe(Day({"likes per impression": 0.2})).pages
    ('likes per impression -33%',)
    """

    def __init__(
        self,
        rules: Sequence[AlertRule] = RULES,
        *,
        rate: float = 1e-3,
        drift_factor: float = 3.0,
        min_psi: float = 0.1,
        drift_rate: float = 0.01,
        min_rows: int = 200,
    ) -> None:
        self.alerts = Alerts(rules, inhibits=INHIBITS, rate=rate)
        self.drift_factor, self.min_psi, self.drift_rate, self.min_rows = drift_factor, min_psi, drift_rate, min_rows
        self.healthy: list[Day] = []
        self._unhealthy: list[Day] = []

    def observe(self, day: Day) -> Told:
        """What is told about this day; it becomes part of the reference if nobody was paged."""
        drift = self._drift(day)
        if len(drift):
            day = Day({**day.signals, "drift": float(drift["excess"].max())}, day.sample)
        firing = self.alerts.observe(day.signals, self._past())
        said: dict[str, list[str]] = {"page": [], "ticket": []}
        for name in firing:
            said[self.alerts.rules[name].severity] += self._texts(name, day, drift)
        pages, tickets = said["page"], said["ticket"]
        (self._unhealthy if pages else self.healthy).append(day)
        if not pages:
            self._unhealthy = []
        elif len(self._unhealthy) == HEALTHY_DAYS:
            self.healthy, self._unhealthy = self._unhealthy, []
        self.healthy = self.healthy[-REMEMBERED:]
        return Told(tuple(pages), tuple(tickets), day.signals, drift)

    def forget(self) -> None:
        """Start over: what was healthy is no reference for what comes."""
        self.healthy, self._unhealthy = [], []

    def _past(self) -> dict[str, np.ndarray]:
        if len(self.healthy) < HEALTHY_DAYS:
            return {}
        names = {name for day in self.healthy for name in day.signals}
        return {name: np.array([day.signals.get(name, np.nan) for day in self.healthy]) for name in names}

    def _drift(self, day: Day) -> pd.DataFrame:
        """`ModelMonitor.check` of the sample, and `excess`: PSI over its limit, 0 where it is not significant."""
        days = [one.sample for one in self.healthy[-HEALTHY_DAYS:] if len(one.sample)]
        if len(days) < HEALTHY_DAYS or not len(day.sample):
            return pd.DataFrame()
        monitor = ModelMonitor.from_days(
            days, margin=self.drift_factor, min_psi=self.min_psi, rate=self.drift_rate, min_rows=self.min_rows
        )
        found = monitor.check(day.sample)
        judged = (found["status"] != "TOO_FEW_ROWS") & benjamini_hochberg(found["p"].to_numpy(), self.drift_rate)
        return found.assign(excess=np.where(judged, found["psi"] / found["column"].map(monitor.limits), 0.0))

    def _texts(self, name: str, day: Day, drift: pd.DataFrame) -> list[str]:
        """The rule, and how far its signal is from usual; of drift, the columns."""
        rule = self.alerts.rules[name]
        value = day.signals.get(rule.signal, float("nan"))
        if np.isnan(value):  # It fired before, and nothing says that it is over.
            return [f"{name}: no data"]
        if rule.signal == "drift" and len(drift):
            worst = drift.sort_values("excess", ascending=False)
            return [f"{name}: {column}" for column in worst.loc[worst["excess"] >= rule.clear, "column"]]
        if rule.above is not None:
            return [f"{name} {value:.0%}" if 0 < rule.above < 1 else f"{name} {value:.3g}"]
        usual = float(np.nanmean([one.signals.get(rule.signal, np.nan) for one in self.healthy]))
        return [f"{name} {value / usual - 1:+.0%}" if usual else f"{name} {value:.3g}"]


class Told(NamedTuple):
    """Pages and tickets of a day, what they are about, worst first in `drift` (empty: not judged)."""

    pages: tuple[str, ...]
    tickets: tuple[str, ...]
    signals: Mapping[str, float]
    drift: pd.DataFrame
