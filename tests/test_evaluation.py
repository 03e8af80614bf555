"""Metrics against scikit-learn, intervals against many repeated samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mlsys.core import MlsysError
from mlsys.evaluation import auc, best_threshold, calibration_table, classification, log_loss

pairs = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60).filter(
    lambda rows: 0 < sum(y for y, _ in rows) < len(rows)
)


@settings(deadline=None)
@given(pairs)
def test_values_equal_scikit_learn(rows) -> None:  # type: ignore[no-untyped-def]
    y, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 7
    assert auc(y, p).value == pytest.approx(sk.roc_auc_score(y, p))
    assert log_loss(y, p).value == pytest.approx(sk.log_loss(y, np.clip(p, 1e-12, 1), labels=[0, 1]))
    for threshold in (0.0, 0.5, best_threshold(y, p)):
        ours, said = classification(y, p, threshold), p >= threshold
        assert ours["precision"].value == pytest.approx(sk.precision_score(y, said, zero_division=0))
        assert ours["recall"].value == pytest.approx(sk.recall_score(y, said))
        assert ours["f1"].value == pytest.approx(sk.f1_score(y, said))


@settings(deadline=None)
@given(pairs)
def test_no_threshold_beats_the_best_one(rows) -> None:  # type: ignore[no-untyped-def]
    y, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 7
    best = classification(y, p, best_threshold(y, p))["f1"].value
    assert best >= max(classification(y, p, t)["f1"].value for t in np.unique(p)) - 1e-12


@pytest.mark.parametrize(("separation", "size"), [(0.0, 400), (1.0, 400), (2.0, 150)])
def test_auc_interval_covers_the_truth_as_often_as_it_says(separation: float, size: int) -> None:
    from scipy.stats import norm

    truth, rng, covered = norm.cdf(separation / np.sqrt(2)), np.random.default_rng(5), 0
    for _ in range(400):
        y = rng.random(size) < 0.2
        covered += truth in auc(y, rng.normal(size=size) + separation * y)
    assert 0.915 <= covered / 400 <= 0.985  # 95 % of 400, 3 standard errors and DeLong's own approximation


@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
def test_classification_intervals_cover_the_truth(metric: str) -> None:
    rng, covered = np.random.default_rng(6), 0
    y = rng.random(200_000) < 0.2
    truth = classification(y, rng.random(200_000) * 0.6 + y * 0.4, 0.5)[metric].value
    for _ in range(400):
        y = rng.random(300) < 0.2
        covered += truth in classification(y, rng.random(300) * 0.6 + y * 0.4, 0.5)[metric]
    assert covered / 400 >= 0.915


@pytest.mark.parametrize("likes", [1, 3, 8])
def test_few_likes_never_claim_certainty(likes: int) -> None:
    y = np.arange(30) < likes
    assert auc(y, y.astype(float)).low < 0.8  # a perfect separation of so few rows proves little
    rng, covered = np.random.default_rng(8), 0
    for _ in range(400):
        covered += 0.5 in auc(y, rng.random(30))
    assert covered / 400 >= 0.93


def test_a_row_without_a_score_is_refused() -> None:
    for metric in (auc, log_loss):
        with pytest.raises(MlsysError, match="1 of them NaN"):
            metric(np.array([0, 1]), np.array([0.5, np.nan]))
    assert log_loss(np.array([1]), np.array([0.5])).high == np.inf


def test_one_class_is_refused() -> None:
    with pytest.raises(MlsysError, match="both classes"):
        auc(np.zeros(5), np.arange(5.0))


def test_calibration_of_a_calibrated_score() -> None:
    rng = np.random.default_rng(7)
    p = rng.random(50_000)
    table = calibration_table(rng.random(50_000) < p, p)
    assert table["rows"].sum() == 50_000
    assert (table["predicted"] - table["observed"]).abs().max() < 0.03
