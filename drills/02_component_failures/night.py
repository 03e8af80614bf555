"""The daily loop with the six alerts that the prompt names, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.monitoring import ModelMonitor
from mlsys.monitoring.daily import HEALTHY_DAYS, Told
from mlsys.orchestration.loop import DailyLoop
from mlsys.orchestration.served import ServedRanker


class SixAlerts(DailyLoop):
    """Its reference are the last seven days without an alert."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._healthy: list[tuple[pd.DataFrame, float]] = []
        self._unhealthy: list[tuple[pd.DataFrame, float]] = []

    def _monitor(self, served: ServedRanker, seen: pd.DataFrame, stale: np.timedelta64, passed: bool) -> Told:
        if self.day == 2 - HEALTHY_DAYS:  # The first day whose windows hold only what models showed.
            self._healthy, self._unhealthy = [], []
        settings = self.config.monitoring
        likes = float((seen["action"] == "like").sum() / max(seen["session_id"].nunique(), 1))
        if stale > np.timedelta64(0):
            self.alerts.append(f"freshness: features were {int(stale / np.timedelta64(1, 'h'))} h old at midnight")
        down = served.rungs["popularity"] / (sum(served.rungs.values()) or 1.0)
        if down > 0.01:
            self.alerts.append(f"rung: popularity answered {down:.0%}")
        sample = pd.concat(served.samples, ignore_index=True) if served.samples else pd.DataFrame()
        if len(self._healthy) == HEALTHY_DAYS:
            if len(sample):
                days, limits = (
                    [frame for frame, _ in self._healthy],
                    (settings.min_psi, settings.rate, settings.min_rows),
                )
                options = dict(zip(("min_psi", "rate", "min_rows"), limits, strict=True))
                found = ModelMonitor.from_days(days, **options).check(sample)  # type: ignore[arg-type]
                self.alerts += [f"drift: {name}" for name in found.loc[found["status"] == "DRIFT", "column"]]
            usual = float(np.mean([value for _, value in self._healthy]))
            if likes < 0.9 * usual:
                self.alerts.append(f"likes per session {likes / usual - 1:+.0%}")
        if len(sample):
            (self._unhealthy if self.alerts else self._healthy).append((sample, likes))
            if not self.alerts:
                self._unhealthy = []
            elif len(self._unhealthy) == HEALTHY_DAYS:
                self._healthy, self._unhealthy = self._unhealthy, []
            self._healthy = self._healthy[-HEALTHY_DAYS:]
        return Told((), (), {}, pd.DataFrame())
