"""A day of the monitor in the Prometheus text format, for a file that node_exporter's textfile collector picks up."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from mlsys.monitoring.daily import DailyMonitor, Told

GAUGES = {
    "feature age, hours": ("mlsys_features_age_seconds", "Age of the online features at midnight.", 3600.0),
    "likes per session": ("mlsys_likes_per_session", "Likes per session that had arrived by midnight.", 1.0),
    "AUC": ("mlsys_auc", "AUC of the serving model on the labels that had arrived.", 1.0),
    "estimated AUC": ("mlsys_estimated_auc", "AUC that the served scores expect of themselves.", 1.0),
    "exposure of the top tenth": ("mlsys_exposure_top_share", "Impressions of the most shown tenth of creators.", 1.0),
}
"""Signal → metric, help, unit's factor."""


def exposition(monitor: DailyMonitor, told: Told, events: Mapping[str, int]) -> bytes:
    """The last day that `monitor` was told of. `events`: how many so far, by outcome: accepted, duplicate, …

    >>> from mlsys.monitoring.daily import Day
    >>> monitor = DailyMonitor()
    >>> text = exposition(monitor, monitor.observe(Day({"AUC": 0.7})), {"accepted": 9}).decode()
    >>> [line for line in text.splitlines() if line.startswith(("mlsys_auc", "mlsys_log_events_total"))]
    ['mlsys_auc 0.7', 'mlsys_log_events_total{outcome="accepted"} 9.0']
    """
    registry = CollectorRegistry()
    for signal, (name, text, factor) in GAUGES.items():
        if not math.isnan(value := told.signals.get(signal, math.nan)):
            Gauge(name, text, registry=registry).set(value * factor)
    if (ratio := told.signals.get("likes over promised")) is not None:
        Gauge("mlsys_calibration_error", "Likes over likes promised, minus 1.", registry=registry).set(ratio - 1)
    usual = [day.signals["likes per session"] for day in monitor.healthy if "likes per session" in day.signals]
    if usual:
        expected = Gauge("mlsys_likes_per_session_expected", "Mean of the healthy days.", registry=registry)
        expected.set(sum(usual) / len(usual))
    columns = {
        "psi": Gauge("mlsys_feature_psi", "PSI against healthy days.", ["feature"], registry=registry),
        "excess": Gauge("mlsys_feature_drifted", "1: beyond its limit.", ["feature"], registry=registry),
        "missing": Gauge("mlsys_feature_missing_share", "Rows without a value.", ["feature"], registry=registry),
    }
    for row in told.drift.to_dict("records"):
        columns["psi"].labels(row["column"]).set(row["psi"])
        columns["excess"].labels(row["column"]).set(float(row["excess"] >= 1))
        columns["missing"].labels(row["column"]).set(row["missing"])
    active = Gauge("mlsys_alert_active", "1 while it fires.", ["alert", "severity"], registry=registry)
    for name, rule in monitor.alerts.rules.items():
        active.labels(name, rule.severity).set(float(monitor.alerts.state(name) == "firing"))
    counted = Counter("mlsys_log_events", "Events of the log by what became of them.", ["outcome"], registry=registry)
    for outcome, count in events.items():
        counted.labels(outcome).inc(count)
    return generate_latest(registry)
