"""Drift needs size and significance; an alert policy is graded like a classifier."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ks_2samp

from mlsys import ModelMonitor, naive
from mlsys.core import MlsysError
from mlsys.monitoring import AlertPolicy, grade, psi, two_sample_ks
from mlsys.monitoring.drift import benjamini_hochberg
from mlsys.world.noise import NoiseWorld


def test_psi_equals_its_definition() -> None:
    assert psi(np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.3, 0.6])) == pytest.approx(
        0.1 * np.log(2) + 0.1 * np.log(0.6 / 0.5)
    )


def test_ks_equals_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b = np.sort(rng.normal(size=3_000)), rng.normal(0.1, 1, 900)
    gap, p = two_sample_ks(a, b)
    reference = ks_2samp(a, b, method="asymp")
    assert gap == pytest.approx(reference.statistic)
    assert p == pytest.approx(reference.pvalue, rel=0.15)


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_equals_scipy(p: list[float]) -> None:
    values = np.array(p)
    np.testing.assert_array_equal(benjamini_hochberg(values, 0.05), false_discovery_control(values) <= 0.05)
    np.testing.assert_array_equal(
        benjamini_hochberg(np.stack([values, values[::-1]]), 0.05),
        np.stack([benjamini_hochberg(values, 0.05), benjamini_hochberg(values[::-1], 0.05)]),
    )


def healthy(seed: int, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    events = NoiseWorld(seed=seed).events(n)
    return pd.DataFrame({"device": events["device"], "age": rng.exponential(size=n), "flag": rng.random(n) < 0.1})


def test_healthy_batches_stay_quiet() -> None:
    monitor = ModelMonitor(healthy(0, 5_000))
    alarms = sum((monitor.check(healthy(seed, 1_000))["status"] == "DRIFT").any() for seed in range(1, 41))
    assert alarms == 0


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("age", lambda f: f.assign(age=f["age"] * 1_000)),  # seconds became milliseconds
        ("age", lambda f: f.assign(age=f["age"].where(np.arange(len(f)) % 4 > 0))),  # a null spike
        (
            "device",
            lambda f: f.assign(device=f["device"].astype(object).where(f["device"] != "iOS", "iPadOS")),
        ),
        ("device", lambda f: f.assign(device=f["device"].where(f["device"] != "Web"))),
    ],
)
def test_a_broken_column_is_named(column: str, change) -> None:  # type: ignore[no-untyped-def]
    report = ModelMonitor(healthy(0, 5_000)).check(change(healthy(1, 1_000)))
    assert report.loc[report["status"] == "DRIFT", "column"].tolist() == [column]


rng = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (np.ones(2_000), np.full(500, 1_000.0)),  # a constant that is another one
        (rng.random(2_000) < 0.05, rng.random(500) < 0.6),  # a rare flag
        (rng.poisson(0.08, 2_000), rng.poisson(0.8, 500)),  # a counter that is mostly zero
        (np.full(2_000, np.nan), rng.normal(size=500)),  # a column that came to life
        (rng.normal(size=2_000), np.full(500, np.nan)),  # one that died
    ],
)
def test_shifts_of_lumpy_columns_are_seen(before: np.ndarray, after: np.ndarray) -> None:
    monitor = ModelMonitor(pd.DataFrame({0: before.astype(float)}))
    assert monitor.check(pd.DataFrame({0: after.astype(float)}))["status"].tolist() == ["DRIFT"]
    assert monitor.check(pd.DataFrame({0: before[:500].astype(float)}))["status"].tolist() == ["OK"]


def test_a_share_that_was_and_is_zero_does_not_page() -> None:
    assert not AlertPolicy("x").pages(np.array([100, 0]), np.array([[100, 0]])).any()


def test_a_trifle_in_a_huge_batch_is_significant_but_not_drift() -> None:
    rng = np.random.default_rng(2)
    monitor = ModelMonitor(pd.DataFrame({"x": rng.normal(size=200_000)}))
    report = monitor.check(pd.DataFrame({"x": rng.normal(0.03, 1, 200_000)}))
    assert report["p"][0] < 1e-6 and report["status"][0] == "OK"


def test_small_batches_are_not_judged_and_lost_columns_are_errors() -> None:
    monitor = ModelMonitor(healthy(0, 5_000))
    assert (monitor.check(healthy(1, 50))["status"] == "TOO_FEW_ROWS").all()
    with pytest.raises(MlsysError, match="age"):
        monitor.check(healthy(1, 500).drop(columns="age"))
    assert (ModelMonitor(healthy(0, 20)).check(healthy(1, 500))["status"] == "TOO_FEW_ROWS").all()
    with pytest.raises(MlsysError, match="kind"):
        monitor.check(healthy(1, 500).assign(age="old"))


def test_the_policy_without_a_test_is_the_naive_monitor() -> None:
    baseline, day = np.array([150, 50, 600, 50, 150]), np.array([[15, 6, 60, 5, 14]])
    shares = dict(zip("abcde", (baseline / baseline.sum()).tolist(), strict=True))
    today = dict(zip("abcde", (day[0] / day.sum()).tolist(), strict=True))
    assert AlertPolicy("x").pages(baseline, day).tolist() == [bool(naive.Monitor(shares).check(today))]


def test_a_significance_test_trades_false_alarms_for_misses() -> None:
    loose, strict = AlertPolicy("loose"), AlertPolicy("strict", rate=0.05)
    a, b = (grade(p, rows_per_day=1_000, null_share=0.17, seeds=range(100, 110)) for p in (loose, strict))
    assert b["false_alarms"].mean() < 0.15 < 0.5 < a["false_alarms"].mean()
    assert b["caught"].mean() < a["caught"].mean()
