"""What a server says about itself: Prometheus metrics, and a line of JSON per request and per event.

Labels are bounded: routes, statuses, rungs, model versions. Never a user, a post or a request id: those are in the log.
"""

from __future__ import annotations

import os
from typing import BinaryIO

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from mlsys.core import Clock
from mlsys.serving.releases import Event

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Seconds; fine where the promise (50 ms) and the usual answer (a millisecond) are."""


class Telemetry:
    """Counts and logs for one server process. `out`: where log lines go; None: nowhere. `requests`: one per request?

    Several processes of one server share a folder (PROMETHEUS_MULTIPROC_DIR), and any of them answers for all.
    """

    def __init__(self, clock: Clock, out: BinaryIO | None, *, requests: bool = True) -> None:
        self.clock, self.out, self.log_requests = clock, out, requests
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "mlsys_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "mlsys_request_seconds", "From the last byte in to the first byte out", ["route"], buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        self.answers = Counter(
            "mlsys_answers", "Answers by rung, model and cache", ["rung", "model_version", "cached"], registry=registry
        )
        self.values = Counter("mlsys_feature_values", "Feature values by rung, as shares", ["rung"], registry=registry)
        self.shed = Counter("mlsys_shed", "Requests refused because too many were waiting", registry=registry)
        self.events = Counter("mlsys_events", "Swaps, rollbacks, refusals of models, bugs", ["kind"], registry=registry)
        self.in_flight = Gauge(
            "mlsys_in_flight", "Requests being answered", registry=registry, multiprocess_mode="livesum"
        )
        self.breaker_open = Gauge(
            "mlsys_breaker_open", "1 while the store is not called", registry=registry, multiprocess_mode="livemax"
        )
        self._children: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self._answers: dict[tuple[str, str, bool], Counter] = {}

    def request(self, route: str, status: int, seconds: float, **said: object) -> None:
        """Count one request and log it."""
        key = (route, str(status))
        if key not in self._children:
            self._children[key] = self.requests.labels(*key), self.seconds.labels(route)
        count, histogram = self._children[key]
        count.inc()
        histogram.observe(seconds)
        if self.log_requests:
            level = "info" if status < 400 else "warning" if status < 500 else "error"
            self.write(level, "request", route=route, status=status, ms=round(1e3 * seconds, 3), **said)

    def answered(self, rung: str, model_version: str, cached: bool, sources: dict[str, float]) -> None:
        """Count where an answer came from."""
        key = (rung, model_version, cached)
        if key not in self._answers:
            self._answers[key] = self.answers.labels(rung, model_version, str(cached).lower())
        self._answers[key].inc()
        if not cached:
            for name, share in sources.items():
                self.values.labels(name).inc(share)

    def event(self, event: Event) -> None:
        """Count and log something that happened to the server."""
        self.events.labels(event.kind).inc()
        self.write("warning" if event.kind in ("refused", "roll_back", "model_failed") else "info", event.kind,
                   detail=event.detail)  # fmt: skip

    def unexpected(self, error: Exception, **said: object) -> None:
        """Count and log a bug: whoever asked got an answer, so nothing else tells."""
        self.events.labels("unexpected").inc()
        self.write("error", "unexpected", error=f"{type(error).__name__}: {error}"[:500], **said)

    def write(self, level: str, event: str, **said: object) -> None:
        """One line of JSON."""
        if self.out is not None:
            line = {"time": str(self.clock.now()), "level": level, "event": event, "pid": os.getpid(), **said}
            self.out.write(msgspec.json.encode(line) + b"\n")
            self.out.flush()

    def exposition(self) -> bytes:
        """All metrics as Prometheus reads them."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
