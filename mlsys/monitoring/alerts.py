"""Alert rules as data, and the states that a rule goes through: inactive, pending, firing.

A rule watches one signal, a number per step. It has either a fixed limit, or a smallest move away from what healthy
steps showed that has to be both large (effect) and unlikely on a healthy step (significance). Words are Prometheus's
(https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.stats import t as student

from mlsys.core import MlsysError

FEWEST_HEALTHY = 5
"""Healthy steps below which no move is judged."""


@dataclass(frozen=True)
class AlertRule:
    """When to tell somebody, whom, and what then.

    signal : its name. Without a value (absent or NaN) the rule keeps its state.
    above : a fixed limit; or else
    moved : the smallest move, as a share of the healthy mean, and `least`, the smallest in the signal's own unit.
    direction : "up", "down" or "both"; of a move.
    for_steps : steps in a row before it fires. keep_firing_for : steps below before it ends.
    clear : once it fires, the share of limit or move that still counts, so that a value at the limit does not flap.
    severity : "page" wakes somebody, "ticket" waits for the morning.
    runbook : the anchor of what to do. stake : what is lost while it is true.
    """

    name: str
    signal: str
    above: float | None = None
    moved: float | None = None
    least: float = 0.0
    direction: str = "both"
    for_steps: int = 1
    keep_firing_for: int = 1
    clear: float = 0.7
    severity: str = "page"
    runbook: str = ""
    stake: str = ""

    def __post_init__(self) -> None:
        if (self.above is None) == (self.moved is None) or self.direction not in ("up", "down", "both"):
            raise MlsysError(
                f"alert rule {self.name!r} has above={self.above}, moved={self.moved}, direction={self.direction!r}",
                why="it needs a limit or a move, one of them; directions are up, down, both",
                fix='AlertRule("likes", "likes per session", moved=0.1, direction="down")',
            )
        if self.severity not in ("page", "ticket") or self.for_steps < 1 or self.keep_firing_for < 1:
            raise MlsysError(
                f"alert rule {self.name!r} has severity={self.severity!r}, for_steps={self.for_steps}",
                why="severities are page and ticket, and steps count from 1",
                fix='AlertRule("likes", "likes per session", moved=0.1, severity="page")',
            )

    def scaled(self, factor: float) -> AlertRule:
        """The same rule with its limit or move so many times as large."""
        if self.moved is None:
            return replace(self, above=(self.above or 0.0) * factor)
        return replace(self, moved=self.moved * factor, least=self.least * factor)

    def true(self, value: float, healthy: np.ndarray, *, rate: float, firing: bool = False) -> bool:
        """Is the condition met? `healthy`: the signal on healthy steps, float64 (k,). `rate`: of false alarms, per step
        and rule. The bound is that of one new value of a normal sample (a t prediction interval)."""
        factor = self.clear if firing else 1.0
        if self.above is not None:
            return bool(value > self.above * factor)
        assert self.moved is not None
        known = healthy[~np.isnan(healthy)]
        if len(known) < FEWEST_HEALTHY:
            return False
        mean = known.mean()
        move = value - mean
        if (self.direction == "up" and move < 0) or (self.direction == "down" and move > 0):
            return False
        chance = quantile(rate, len(known)) * known.std(ddof=1)
        return bool(abs(move) >= factor * max(self.moved * abs(mean), self.least, chance) and move != 0)


@lru_cache
def quantile(rate: float, n: int) -> float:
    """By how many standard deviations of n normal values a further one differs with probability `rate`.

    >>> round(quantile(0.05, 14), 2)
    2.24
    """
    return float(student.isf(rate / 2, n - 1) * np.sqrt(1 + 1 / n))


@dataclass
class _State:
    true_for: int = 0
    false_for: int = 0
    firing: bool = False


class Alerts:
    """Rules and their states, a step at a time.

    inhibits : rule → rules that say nothing while it fires: who knows the cause needs no list of its effects.

    >>> alerts = Alerts([AlertRule("late", "hours", above=24, for_steps=2)])
    >>> [alerts.observe({"hours": hours}) for hours in (30, 31, 2)]
    [[], ['late'], []]
    >>> alerts.state("late")
    'inactive'
    """

    def __init__(
        self, rules: Sequence[AlertRule], *, inhibits: Mapping[str, Sequence[str]] | None = None, rate: float = 1e-4
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        if len(self.rules) < len(rules):
            twice = sorted({r.name for r in rules if sum(o.name == r.name for o in rules) > 1})
            raise MlsysError(
                f"two alert rules are called {', '.join(twice)}", why="states go by name", fix="rename one of them"
            )
        self.inhibits, self.rate = dict(inhibits or {}), rate
        self._states = {name: _State() for name in self.rules}

    def state(self, name: str) -> str:
        """inactive, pending or firing."""
        state = self._states[name]
        return "firing" if state.firing else "pending" if state.true_for else "inactive"

    def observe(self, signals: Mapping[str, float], healthy: Mapping[str, np.ndarray] | None = None) -> list[str]:
        """Names of the rules that fire at this step, inhibited ones left out, in the order of the rules."""
        nothing = np.zeros(0)
        for name, rule in self.rules.items():
            value = signals.get(rule.signal, float("nan"))
            if np.isnan(value):
                continue
            state = self._states[name]
            past = (healthy or {}).get(rule.signal, nothing)
            if rule.true(value, past, rate=self.rate, firing=state.firing):
                state.true_for, state.false_for = state.true_for + 1, 0
                state.firing = state.firing or state.true_for >= rule.for_steps
            else:
                state.true_for, state.false_for = 0, state.false_for + 1
                state.firing = state.firing and state.false_for < rule.keep_firing_for
        firing = [name for name, state in self._states.items() if state.firing]
        quiet = {other for name in firing for other in self.inhibits.get(name, ())}
        return [name for name in firing if name not in quiet]
