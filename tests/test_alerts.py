"""Alert rules, burn rates, performance without labels, the daily monitor: who is told what, and when not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from mlsys.core import MlsysError
from mlsys.monitoring.alerts import AlertRule, Alerts, quantile
from mlsys.monitoring.daily import HEALTHY_DAYS, RULES, DailyMonitor, Day
from mlsys.monitoring.performance import estimated_auc, estimated_log_loss, promised
from mlsys.monitoring.slo import WORKBOOK, ErrorBudget

# --- Rules and their states --------------------------------------------------------------------------------------


def states(rule: AlertRule, values: list[float], healthy: list[float] | None = None) -> list[bool]:
    alerts = Alerts([rule])
    past = {rule.signal: np.array(healthy or [])}
    return [bool(alerts.observe({rule.signal: value}, past)) for value in values]


def test_a_rule_fires_after_so_many_steps_and_ends_with_hysteresis() -> None:
    rule = AlertRule("late", "hours", above=10, for_steps=2, keep_firing_for=2, clear=0.5)
    #                    above  once    fires   holds (above 5)  one below  back     two below -> ends
    assert states(rule, [11, 3, 11, 12, 6, 4, 6, 4, 4]) == [False, False, False, True, True, True, True, True, False]


def test_a_move_has_to_be_large_and_unlikely() -> None:
    calm, noisy = [100.0, 101, 99, 100, 101, 99, 100, 100], [100.0, 160, 40, 120, 80, 150, 50, 100]
    rule = AlertRule("likes", "likes", moved=0.1, direction="down")
    assert states(rule, [85], calm) == [True]  # Large, and no healthy day is like it.
    assert states(rule, [95], calm) == [False]  # Unlikely, but small.
    assert states(rule, [60], noisy) == [False]  # Large, but so are healthy days.
    assert states(rule, [130], calm) == [False]  # The other way.
    assert states(rule, [85], calm[:4]) == [False]  # Too few healthy days to know.
    assert states(AlertRule("x", "x", moved=0.1, least=30), [85], calm) == [False]  # Below the least move.


def test_false_alarms_come_at_the_rate_that_was_asked_for() -> None:
    rng, rate = np.random.default_rng(5), 0.02
    rule = AlertRule("x", "x", moved=0.0)
    days = rng.normal(10, 1, (4_000, 13))
    share = np.mean([rule.true(day[-1], day[:-1], rate=rate) for day in days])
    assert 0.014 < share < 0.027
    assert quantile(rate, 12) > quantile(rate, 1_000) > 2.3


def test_a_missing_signal_keeps_the_state_and_a_cause_silences_its_effects() -> None:
    alerts = Alerts(
        [AlertRule("store", "down", above=0), AlertRule("drift", "psi", above=1)], inhibits={"store": ["drift"]}
    )
    assert alerts.observe({"down": 1, "psi": 2}) == ["store"]
    assert alerts.observe({"psi": 2}) == ["store"]
    assert alerts.observe({"down": 0, "psi": float("nan")}) == ["drift"]
    assert (alerts.state("store"), alerts.state("drift")) == ("inactive", "firing")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"above": 1.0, "moved": 0.1}, "one of them"),
        ({}, "one of them"),
        ({"above": 1.0, "direction": "sideways"}, "directions"),
        ({"above": 1.0, "severity": "sms"}, "severities"),
        ({"above": 1.0, "for_steps": 0}, "steps"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object], match: str) -> None:
    with pytest.raises(MlsysError, match=match):
        AlertRule("x", "x", **wrong)  # type: ignore[arg-type]
    with pytest.raises(MlsysError, match="two alert rules are called x"):
        Alerts([AlertRule("x", "x", above=1), AlertRule("x", "y", above=1)])


# --- Burn rates --------------------------------------------------------------------------------------------------

counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60)


@given(counts, st.lists(st.integers(0, 60), max_size=4))
def test_minutes_one_by_one_fire_like_all_at_once(minutes: list[tuple[int, int]], cuts: list[int]) -> None:
    total = np.array([max(pair) for pair in minutes], float)
    bad = np.array([min(pair) for pair in minutes], float)
    whole, parts = ErrorBudget(0.95).observe(total, bad), ErrorBudget(0.95)
    found = [parts.observe(t, b) for t, b in zip(*(np.split(x, sorted(cuts)) for x in (total, bad)), strict=True)]
    for severity, fires in whole.items():
        assert np.concatenate([part[severity] for part in found]).tolist() == fires.tolist()


@pytest.mark.parametrize(
    ("share", "minutes", "page"),
    [
        (1.0, 1, 0),  # A hard fault: 2 % of an hour's requests at once.
        (0.02, 60, 43),  # 20 times the budget: after 14.4 / 20 of an hour.
        (0.0081, 360, 266),  # 8 times: only the six hours' window, after 6 / 8 of them.
        (0.003, 360, None),  # 3 times: nobody is woken ...
        (0.0005, 5_000, None),
    ],
)
def test_a_fault_pages_as_soon_as_the_workbook_says(share: float, minutes: int, page: int | None) -> None:
    budget = ErrorBudget(0.999)
    budget.observe(np.full(4_320, 1_000.0), np.zeros(4_320))
    fires = budget.observe(np.full(minutes, 1_000.0), np.full(minutes, 1_000.0 * share))
    assert (int(fires["page"].argmax()) if fires["page"].any() else None) == page
    if share == 0.003:  # ... but there is a ticket, after a third of three days.
        assert ErrorBudget(0.999).observe(np.full(1_500, 1_000.0), np.full(1_500, 3.0))["ticket"].any()


def test_three_errors_of_a_quiet_night_are_no_trend_and_it_ends_when_the_fault_ends() -> None:
    quiet = ErrorBudget(0.999).observe(np.full(60, 1.0), np.eye(1, 60, 30).ravel() + np.eye(1, 60, 40).ravel())
    assert not quiet["page"].any()
    fires = ErrorBudget(0.999).observe(np.full(120, 100.0), np.where(np.arange(120) < 20, 100.0, 0.0))["page"]
    assert fires[:20].any() and not fires[60:].any()  # The half hour's window still sees it for a while.
    with pytest.raises(MlsysError, match="objective"):
        ErrorBudget(1.0, WORKBOOK)


# --- Performance without labels ----------------------------------------------------------------------------------


def test_calibrated_scores_know_their_own_performance_and_wrong_ones_do_not() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(1.5, 5, 40_000)
    y = rng.random(len(p)) < p
    assert estimated_auc(p) == pytest.approx(roc_auc_score(y, p), abs=0.01)
    assert estimated_log_loss(p) == pytest.approx(log_loss(y, p), abs=0.01)
    assert promised(p, y) == pytest.approx(1, abs=0.03)
    shifted = rng.random(len(p)) < rng.permutation(p)  # They want something else: the scores cannot know.
    assert estimated_auc(p) > roc_auc_score(shifted, p) + 0.1


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=30))
def test_the_estimate_is_its_definition(scores: list[float]) -> None:
    p = np.array(scores)
    right = (p[:, None] > p).astype(float) + 0.5 * (p[:, None] == p)
    pairs = p[:, None] * (1 - p)
    if pairs.sum():
        assert estimated_auc(p) == pytest.approx((pairs * right).sum() / pairs.sum())
    else:
        assert np.isnan(estimated_auc(p))


def test_what_is_no_probability_is_refused() -> None:
    for wrong in ([], [0.5, 1.2], [np.nan]):
        with pytest.raises(MlsysError, match="probabilities"):
            estimated_auc(np.array(wrong))


# --- The daily monitor -------------------------------------------------------------------------------------------


def day(rng: np.random.Generator, *, likes: float = 0.3, shift: float = 0.0, stale: float = 0.0) -> Day:
    signals = {"likes per impression": likes + rng.normal(0, 0.003), "feature age, hours": stale, "failed checks": 0.0}
    return Day(signals, pd.DataFrame({"a": rng.normal(shift, 1, 800), "b": rng.random(800)}))


def warm(seed: int = 1, days: int = 10) -> tuple[DailyMonitor, np.random.Generator]:
    monitor, rng = DailyMonitor(), np.random.default_rng(seed)
    assert not any(monitor.observe(day(rng)).pages for _ in range(days))
    return monitor, rng


def test_a_day_is_judged_by_the_healthy_days_before_it() -> None:
    monitor, rng = warm()
    assert monitor.observe(day(rng, shift=1)).pages == ("drift: a",)
    told = monitor.observe(day(rng, likes=0.2, stale=24))
    assert told.pages[0] == "freshness 24" and told.pages[1].startswith("likes per impression -3")
    assert told.drift.set_index("column")["excess"]["a"] < 1
    assert not monitor.observe(day(rng)).pages
    assert len(monitor.healthy) == 11, "days on which somebody was paged are no reference"


def test_what_lasts_a_week_is_the_new_normal_and_a_month_of_healthy_days_is_quiet() -> None:
    monitor, rng = warm(seed=2, days=30)
    told = [bool(monitor.observe(day(rng, likes=0.2)).pages) for _ in range(HEALTHY_DAYS + 3)]
    assert told == [True] * HEALTHY_DAYS + [False] * 3


def test_nothing_is_compared_before_there_is_a_reference() -> None:
    monitor, rng = warm(days=HEALTHY_DAYS - 1)
    assert not monitor.observe(day(rng, likes=0.1, shift=3)).pages
    monitor.forget()
    assert not monitor.observe(day(rng, likes=0.9)).pages


def test_what_fired_and_is_not_known_any_more_still_fires() -> None:
    monitor, rng = warm()
    assert monitor.observe(day(rng, shift=1)).pages == ("drift: a",)
    assert monitor.observe(Day({})).pages == ("drift: no data",)


def test_every_rule_watches_something_once() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.severity == "ticket" or rule.runbook for rule in RULES)
