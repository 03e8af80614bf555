"""Drift needs size and significance; an alert policy is graded like a classifier."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, false_discovery_control, ks_2samp, kstwo

from mlsys import ModelMonitor, naive
from mlsys.core import MlsysError
from mlsys.monitoring import AlertPolicy, grade, psi
from mlsys.monitoring.columns import summarize
from mlsys.monitoring.drift import benjamini_hochberg, chi2_p_value, ks_p_value
from mlsys.world.noise import NoiseWorld


def test_psi_equals_its_definition() -> None:
    assert psi(np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.3, 0.6])) == pytest.approx(
        0.1 * np.log(2) + 0.1 * np.log(0.6 / 0.5)
    )


SAMPLES = st.lists(st.floats(-5, 5) | st.sampled_from([0.0, 1.0]), min_size=2, max_size=60)


@given(SAMPLES, SAMPLES)
def test_ks_equals_scipy_ties_or_not(a: list[float], b: list[float]) -> None:
    found = summarize(pd.Series(a)).compare(summarize(pd.Series(a)).count(pd.Series(b)))
    reference = ks_2samp(a, b, method="asymp")
    assert found.ks == pytest.approx(reference.statistic)
    assert found.p == pytest.approx(min(1.0, 2 * reference.pvalue))


def test_ks_of_a_large_reference_is_a_ten_thousandth_off_at_most() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.exponential(size=60_000), rng.exponential(1.1, size=3_000)
    column = summarize(pd.Series(a))
    exact, found = ks_2samp(a, b, method="asymp").statistic, column.compare(column.count(pd.Series(b))).ks
    assert exact - 1 / 9_999 <= found <= exact + 1e-12 and len(column.counts) < 20_100


@pytest.mark.parametrize("rows", [3_000, 30_000, 300_000])
@pytest.mark.parametrize("root", [0.7, 1.0, 1.5, 2.0])
def test_the_p_value_of_large_samples_is_near_scipys(rows: int, root: float) -> None:
    gap, n = root / np.sqrt(rows / 2), rows / 2
    assert ks_p_value(gap, rows, rows) == pytest.approx(kstwo.sf(gap, n), rel=0.02)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=6))
def test_chi2_equals_scipy(cells: list[tuple[int, int]]) -> None:
    table = np.array(cells).T
    kept = table[:, table.sum(axis=0) > 0]
    if kept.shape[1] < 2 or not kept.sum(axis=1).all():
        assert chi2_p_value(*table) == 1.0
    else:
        assert chi2_p_value(*table) == pytest.approx(chi2_contingency(kept, correction=False).pvalue)


@given(st.lists(st.integers(0, 4), max_size=400), st.lists(st.integers(0, 400), max_size=5), st.integers(0, 99))
def test_a_stream_of_batches_reports_what_one_batch_does(codes: list[int], cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(np.array(codes, int) == 4, np.nan, rng.normal(size=len(codes)).round(1))
    names = np.array(["a", "b", "c", None, "new"], object)
    whole = pd.DataFrame({"x": values, "kind": pd.Series(names[np.array(codes, int)], dtype=object)})
    monitor = ModelMonitor(pd.DataFrame({"x": rng.normal(size=300).round(1), "kind": list("abc") * 100}), min_rows=9)
    window, at = monitor.window(), [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for start, end in pairwise(at):
        window.observe(whole[start:end])
    pd.testing.assert_frame_equal(window.report(), monitor.check(whole), check_exact=True)


def test_a_batch_that_does_not_fit_adds_nothing() -> None:
    monitor = ModelMonitor(pd.DataFrame({"x": np.arange(500.0), "y": np.arange(500.0)}))
    window = monitor.window()
    window.observe(pd.DataFrame({"x": np.arange(300.0), "y": np.arange(300.0)}))
    before = window.report()
    with pytest.raises(MlsysError, match="kind"):
        window.observe(pd.DataFrame({"x": np.arange(300.0), "y": ["a"] * 300}))
    pd.testing.assert_frame_equal(window.report(), before)
    assert monitor.window().report()["status"].tolist() == ["TOO_FEW_ROWS"] * 2


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
