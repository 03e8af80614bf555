"""Average precision, thresholds from costs, and rows of one user, against scikit-learn and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from mlsys.core import MlsysError
from mlsys.evaluation import auc, average_precision, best_threshold, cost, log_loss

pairs = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda rows: any(y for y, _ in rows)
)


@settings(deadline=None)
@given(pairs)
def test_average_precision_equals_scikit_learn(rows) -> None:  # type: ignore[no-untyped-def]
    y, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 7
    found = average_precision(y, p)
    assert found.value == pytest.approx(average_precision_score(y, p))
    assert found.low <= found.value + 1e-12 and found.value - 1e-12 <= found.high


@pytest.mark.parametrize(("size", "base", "separation"), [(400, 0.2, 0.0), (300, 0.2, 1.0), (1_000, 0.05, 2.5)])
def test_average_precision_interval_covers(size: int, base: float, separation: float) -> None:
    rng, covered = np.random.default_rng(3), 0
    y = rng.random(10**6) < base
    truth = average_precision_score(y, rng.normal(size=10**6) + separation * y)
    for _ in range(400):
        y = rng.random(size) < base
        covered += truth in average_precision(y, rng.normal(size=size) + separation * y)
    assert 0.915 <= covered / 400 <= 0.98, covered / 400


def test_intervals_over_users_cover_where_rows_do_not() -> None:
    rng, metrics = np.random.default_rng(4), (auc, average_precision, log_loss)

    def draw(users: int):  # type: ignore[no-untyped-def]
        user = np.repeat(np.arange(users), rng.integers(2, 15, users))
        taste = rng.normal(size=users)[user]
        p = 1 / (1 + np.exp(1.5 - taste))
        return rng.random(len(user)) < p, 1 / (1 + np.exp(1.5 - 0.8 * taste)), user

    y, p, _ = draw(100_000)
    truth = [metric(y, p).value for metric in metrics]
    covered = np.zeros((2, 3))
    for _ in range(400):
        y, p, user = draw(100)
        covered[0] += [t in metric(y, p, cluster=user) for t, metric in zip(truth, metrics, strict=True)]
        covered[1] += [t in metric(y, p) for t, metric in zip(truth, metrics, strict=True)]
    assert (covered[0] / 400 >= 0.91).all() and (covered[0] / 400 <= 0.985).all(), covered / 400
    assert (covered[1] < covered[0] - 0.02 * 400).all(), covered / 400


def test_dice_have_the_base_rate() -> None:
    y = np.arange(20_000) % 10 == 0
    assert 0.1 in average_precision(y, np.random.default_rng(5).random(20_000))
    assert average_precision(np.array([1, 1, 0, 0]), np.array([4, 3, 2, 1])).low < 0.6, "two likes prove little"
    with pytest.raises(MlsysError, match="a liked row"):
        average_precision(np.zeros(3), np.arange(3.0))


@settings(deadline=None)
@given(pairs, st.integers(0, 5), st.integers(1, 5))
def test_no_threshold_is_cheaper(rows, cost_fp: int, cost_fn: int) -> None:  # type: ignore[no-untyped-def]
    y, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 7
    best = cost(y, p, best_threshold(y, p, cost_fp, cost_fn), cost_fp, cost_fn)
    brute = [np.mean(cost_fp * (~y & (p >= t)) + cost_fn * (y & (p < t))) for t in [*np.unique(p), np.inf]]
    assert best.value == pytest.approx(min(brute), abs=1e-12)


def test_on_calibrated_scores_costs_alone_give_the_threshold() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(200_000)
    y = rng.random(200_000) < p
    assert best_threshold(y, p, cost_fp=1, cost_fn=4) == pytest.approx(1 / 5, abs=0.03)
    assert best_threshold(y, 0.1 * p, cost_fp=5, cost_fn=1) == pytest.approx(0.5 / 6, abs=0.01)
    assert best_threshold(y, p, cost_fp=1, cost_fn=0) == np.inf, "a like missed costs nothing: say nothing"
    with pytest.raises(MlsysError, match="cost_fp=1, cost_fn=None"):
        best_threshold(y, p, cost_fp=1)


def test_cost_interval_covers() -> None:
    rng, covered = np.random.default_rng(7), 0
    truth = 0.3 * 0.5 * 1 + 0.7 * 0  # a like is missed half the time, no false alarm
    for _ in range(400):
        y = rng.random(200) < 0.3
        covered += truth in cost(y, rng.random(200) * y, 0.5, cost_fp=9, cost_fn=1)
    assert 0.92 <= covered / 400 <= 0.98
