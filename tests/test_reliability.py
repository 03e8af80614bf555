"""Calibration in a table and in a number: equal to scikit-learn's curve, and an interval that covers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from mlsys.core import MlsysError
from mlsys.evaluation import ece, reliability_table


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_table_equals_scikit_learn(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random(12 * bins + 1)  # borders of its quantile bins fall between rows
    y = rng.random(len(p)) < p
    observed, predicted = calibration_curve(y, p, n_bins=bins, strategy="quantile")
    table = reliability_table(y[:-1], np.delete(p, -1), bins)
    assert table["rows"].tolist() == [12] * bins
    theirs = reliability_table(y, p, bins)
    if (theirs["rows"].iloc[0] == np.searchsorted(np.sort(p), np.quantile(p, 1 / bins), side="left")) or bins == 1:
        assert theirs["predicted"].iloc[0] == pytest.approx(predicted[0])
        assert theirs["observed"].iloc[0] == pytest.approx(observed[0])
    assert (table["low"] <= table["observed"]).all() and (table["observed"] <= table["high"]).all()


SHAPES = {
    "perfect": lambda p: p,
    "a little overconfident": lambda p: 0.03 + 0.94 * p,
    "overconfident": lambda p: 0.2 + 0.6 * p,
    "one end wrong": lambda p: np.where(p > 0.45, 0.3, p),
    "too low throughout": lambda p: 1.3 * p,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [500, 4_000])
def test_ece_interval_covers_the_truth_of_its_bins(shape: str, n: int) -> None:
    rng, covered, value, plain, truths = np.random.default_rng(11), 0, [], [], []
    for _ in range(300):
        p = np.sort(rng.beta(2, 6, n))
        real = SHAPES[shape](p)
        y = rng.random(n) < real
        truth = np.mean([abs(np.mean(part)) for part in np.split(p - real, 10)])
        found = ece(y, p)
        covered += truth in found
        value.append(found.value)
        truths.append(truth)
        plain.append(np.mean([abs(np.mean(part)) for part in np.split(p - y, 10)]))
    assert covered / 300 >= 0.92, covered / 300
    bias, plain_bias = np.mean(value) - np.mean(truths), np.mean(plain) - np.mean(truths)
    assert abs(bias) < max(0.65 * plain_bias, 0.003), "what chance adds is taken out, most of it"


def test_a_large_error_is_found_and_none_is_not_claimed() -> None:
    rng = np.random.default_rng(12)
    p = rng.random(3_000)
    bad = [ece(rng.random(3_000) < 0.2 + 0.6 * p, p) for _ in range(100)]
    good = [ece(rng.random(3_000) < p, p) for _ in range(100)]
    assert all(one.low > 0.05 for one in bad) and np.mean([one.low == 0 for one in good]) > 0.95


def test_rows_of_one_user_widen_the_interval() -> None:
    rng, covered, rows_only = np.random.default_rng(13), 0, 0
    for _ in range(300):
        user = np.repeat(np.arange(80), 20)
        p = rng.beta(4, 8, 1_600)
        mood = rng.choice([-0.2, 0.2], 80)[user]  # right on the whole, wrong for everybody
        real = np.clip(p + 0.1 + mood, 0, 1)
        y = rng.random(1_600) < real
        order = np.argsort(p)
        truth = np.mean([abs(np.mean(part)) for part in np.split((p - np.clip(p + 0.3, 0, 1) / 2
                         - np.clip(p - 0.1, 0, 1) / 2)[order], 10)])  # fmt: skip
        covered += truth in ece(y, p, cluster=user)
        rows_only += truth in ece(y, p)
    assert covered / 300 >= 0.92 and rows_only < covered


def test_a_bin_without_a_like_does_not_claim_certainty() -> None:
    found = ece(np.zeros(100), np.full(100, 0.02), bins=5)
    assert found.low == 0 and found.high > 0.03


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(MlsysError, match="1 of them outside 0 to 1"):
        ece(np.array([0, 1]), np.array([0.5, 1.2]), bins=1)
    with pytest.raises(MlsysError, match="1 of them outside"):
        reliability_table(np.array([0, 1]), np.array([0.5, np.nan]), bins=1)
    with pytest.raises(MlsysError, match="3 bins"):
        reliability_table(np.array([0, 1]), np.array([0.5, 0.2]), bins=3)
