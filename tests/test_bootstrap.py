"""The bootstrap: intervals that cover, the same digits for any number of workers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from mlsys.core import MlsysError
from mlsys.evaluation import auc, bootstrap, bootstrap_sums, cluster_mean, cluster_sums


def users_and_rows(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Values whose mean is 0, very alike within a user; users have from 1 to 9 rows."""
    user = np.repeat(np.arange(users), rng.integers(1, 10, users))
    return rng.normal(size=users)[user] + 0.5 * rng.normal(size=len(user)), user


@pytest.mark.parametrize(("scheme", "users"), [("multinomial", 12), ("multinomial", 80), ("poisson", 80)])
def test_cluster_intervals_cover_and_row_intervals_do_not(scheme: str, users: int) -> None:
    rng, covered = np.random.default_rng(users), np.zeros(3)
    for _ in range(400):
        value, user = users_and_rows(rng, users)
        sums = cluster_sums(user, value, np.ones(len(value)))
        drawn = bootstrap_sums(lambda s: s[..., 0] / s[..., 1], sums, rng, draws=400, scheme=scheme)
        covered += [0 in drawn, 0 in cluster_mean(value, user), 0 in cluster_mean(value)]
    assert (covered[:2] / 400 >= 0.905).all() and (covered[:2] / 400 <= 0.985).all(), covered / 400
    assert covered[2] / 400 < 0.8, "rows of one user taken as independent claim too much"


def test_the_bootstrap_of_a_mean_equals_scipy() -> None:
    rng = np.random.default_rng(5)
    value = rng.exponential(size=300)
    ours = bootstrap(lambda w: float(w @ value / w.sum()), np.arange(300), rng, draws=4_000)
    theirs = stats.bootstrap((value,), np.mean, n_resamples=4_000, method="percentile", rng=rng).confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.06 * width and abs(ours.high - theirs.high) < 0.06 * width


def test_auc_of_clustered_rows_agrees_with_its_bootstrap_by_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    user = np.repeat(np.arange(150), 8)
    taste = rng.normal(size=150)[user]
    y, score = rng.random(1_200) < 1 / (1 + np.exp(1 - 2 * taste)), taste + rng.normal(size=1_200)
    drawn = bootstrap(lambda w: float(roc_auc_score(y, score, sample_weight=w)), user, rng, draws=300)
    exact, narrow = auc(y, score, cluster=user), auc(y, score)
    assert drawn.value == pytest.approx(exact.value)
    assert exact.high - exact.low == pytest.approx(drawn.high - drawn.low, rel=0.15)
    assert narrow.high - narrow.low < 0.8 * (exact.high - exact.low)


def test_workers_do_not_change_a_digit() -> None:
    value, user = users_and_rows(np.random.default_rng(7), 300)

    def run(n_jobs: int, scheme: str):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(8)
        return bootstrap(lambda w: float(w @ value / w.sum()), user, rng, draws=220, scheme=scheme, n_jobs=n_jobs)

    for scheme in ("multinomial", "poisson"):
        assert run(1, scheme) == run(3, scheme)
    sums = cluster_sums(user, value)
    one, two = (bootstrap_sums(lambda s: s[..., 0], sums, np.random.default_rng(8), n_jobs=n) for n in (1, 2))
    assert one == two
    assert run(1, "poisson") != run(1, "multinomial")


def test_draws_are_independent_of_each_other() -> None:
    seen = []
    bootstrap(lambda w: float(seen.append(w) or 1.0), np.arange(40), np.random.default_rng(9), draws=120)
    drawn = np.array(seen[:-1])
    assert len(np.unique(drawn, axis=0)) == 120, "shards must not repeat each other"
    assert (drawn.sum(axis=1) == 40).all() and (seen[-1] == 1).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-5, 5)), min_size=2, max_size=40).filter(
    lambda rows: len({user for user, _ in rows}) > 1
))  # fmt: skip
def test_names_and_order_of_clusters_do_not_matter(rows) -> None:  # type: ignore[no-untyped-def]
    user, value = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    plain = cluster_mean(value, user)
    renamed = cluster_mean(value[::-1], np.array([f"u{u}" for u in user])[::-1])
    assert plain.value == pytest.approx(value.mean(), abs=1e-12)
    assert (renamed.low, renamed.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_what_cannot_be_drawn_is_refused() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(MlsysError, match="1 clusters"):
        bootstrap(lambda w: 1.0, np.zeros(5), rng)
    with pytest.raises(MlsysError, match="scheme 'bca'"):
        bootstrap(lambda w: 1.0, np.arange(5), rng, scheme="bca")
    with pytest.raises(MlsysError, match="5 clusters with"):
        bootstrap(lambda w: 1.0, np.arange(5), rng, scheme="poisson")
    with pytest.raises(MlsysError, match="not a number in"):
        bootstrap(lambda w: float("nan") if w[0] == 0 else 1.0, np.arange(5), rng)
    with pytest.raises(MlsysError, match="1 of them null"):
        cluster_mean(np.arange(3.0), np.array(["a", None, "b"], object))
    assert cluster_mean(np.arange(3.0), np.ones(3)).high == np.inf, "one user says nothing about others"
