"""Metrics of ranked lists: equal to scikit-learn and ranx where they overlap, intervals over users that cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from mlsys.core import MlsysError
from mlsys.evaluation import coverage, diversity, ndcg, ndcg_at_k, top_k, user_auc

rows = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 5)), min_size=4, max_size=60)


def columns(rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    return tuple(np.array([row[i] for row in rows]) for i in range(3))  # type: ignore[return-value]


@settings(deadline=None)
@given(rows, st.integers(1, 12))
def test_ndcg_equals_scikit_learn(rows, k: int) -> None:  # type: ignore[no-untyped-def]
    group, y, score = columns(rows)
    score = score + np.arange(len(score)) * 1e-6  # no ties: scikit-learn averages over their orders
    own = [g for g in np.unique(group) if y[group == g].any() and (group == g).sum() > 1]
    one = [g for g in np.unique(group) if y[group == g].any() and (group == g).sum() == 1]
    theirs = {g: ndcg_score(y[group == g][None], score[group == g][None], k=k) for g in own} | dict.fromkeys(one, 1.0)
    assert ndcg(y, score, group, k) == pytest.approx([theirs[g] for g in sorted(theirs)])


def test_ndcg_equals_ranx() -> None:
    # ranx 0.3.21, evaluate(Qrels, Run, ["ndcg@3", "ndcg@5", "ndcg@10"]) on these six queries.
    i = np.arange(60)
    y, score, group = (i * 7919) % 11 < 3, ((i * 104729) % 97) / 97, i // 10
    found = [ndcg_at_k(y, score, group, k).value for k in (3, 5, 10)]
    assert found == pytest.approx([0.21601365182764418, 0.3205389364355269, 0.5682975808569374], rel=1e-12)


def test_ndcg_of_a_perfect_a_reversed_and_a_cut_order() -> None:
    y, group = np.array([1, 0, 0, 1, 0]), np.array([1, 1, 1, 2, 2])
    assert ndcg(y, y, group).tolist() == [1, 1]
    assert ndcg(y, -y, group).tolist() == pytest.approx([1 / np.log2(4), 1 / np.log2(3)])
    assert ndcg(y, -y, group, k=2)[0] == 0


@settings(deadline=None)
@given(rows)
def test_user_auc_is_the_mean_of_scikit_learns(rows) -> None:  # type: ignore[no-untyped-def]
    user, y, score = columns(rows)
    both = [u for u in np.unique(user) if 0 < y[user == u].sum() < (user == u).sum()]
    if not both:
        with pytest.raises(MlsysError, match="liked and another row"):
            user_auc(y, score, user)
        return
    ours = user_auc(y, score, user)
    assert ours.value == pytest.approx(np.mean([roc_auc_score(y[user == u], score[user == u]) for u in both]))
    assert ours.n == len(both)
    # Raising all scores of a user changes nothing; it would change AUC over all rows.
    assert user_auc(y, score + 10 * user, user).value == pytest.approx(ours.value)


@settings(deadline=None)
@given(rows, st.integers(1, 5))
def test_top_k_is_k_of_every_list_and_the_best(rows, k: int) -> None:  # type: ignore[no-untyped-def]
    group, _, score = columns(rows)
    chosen = top_k(score, group, k)
    for g in np.unique(group):
        inside, left = score[(group == g) & chosen], score[(group == g) & ~chosen]
        assert len(inside) == min(k, (group == g).sum())
        assert not len(left) or inside.min() >= left.max()


def feed(rng: np.random.Generator, users: int):  # type: ignore[no-untyped-def]
    """Users with 1 to 4 sessions of 8 posts, whose quality of ranking differs from user to user."""
    sessions = rng.integers(1, 5, users)
    user = np.repeat(np.repeat(np.arange(users), sessions), 8)
    session = np.repeat(np.arange(sessions.sum()), 8)
    y = rng.random(len(user)) < 0.3
    return y, rng.normal(size=users)[user] * y + rng.normal(size=len(user)), session, user


def test_intervals_over_users_cover() -> None:
    rng = np.random.default_rng(3)
    y, score, session, user = feed(rng, 40_000)
    truth = ndcg_at_k(y, score, session, 5).value, user_auc(y, score, user).value
    covered, rows_only = np.zeros(2), 0
    for _ in range(400):
        y, score, session, user = feed(rng, 60)
        found = ndcg_at_k(y, score, session, 5, cluster=user)
        covered += [truth[0] in found, truth[1] in user_auc(y, score, user)]
        rows_only += truth[0] in ndcg_at_k(y, score, session, 5)
    assert (covered / 400 >= 0.915).all() and (covered / 400 <= 0.985).all(), covered / 400
    assert rows_only < covered[0], "sessions of one user are alike"


@pytest.mark.parametrize("users", [30, 300])
def test_coverage_covers_what_as_many_users_see(users: int) -> None:
    rng, popularity = np.random.default_rng(users), np.arange(1, 201) ** -1.0
    edges = np.cumsum(popularity / popularity.sum())

    def shown() -> tuple[np.ndarray, np.ndarray]:
        sessions = rng.integers(1, 4, users)
        user = np.repeat(np.arange(users), 5 * sessions)
        return np.searchsorted(edges, rng.random(len(user))), user

    found = [coverage(item, 200, user) for item, user in (shown() for _ in range(400))]
    truth = np.mean([one.value for one in found])
    covered = np.mean([truth in one for one in found])
    assert covered >= 0.93, "the jackknife may be too wide, never too narrow"
    spread = np.std([one.value for one in found])
    assert np.mean([one.high - one.low for one in found]) < 2 * 2 * 1.96 * spread


def test_diversity_covers_and_counts_pairs() -> None:
    topic, group = np.array([1, 1, 2, 3, 5, 5, 9]), np.array([0, 0, 0, 0, 1, 1, 2])
    by_hand = (5 / 6 + 0) / 2  # four items, one alike pair of six; two alike; one item has no pair
    assert diversity(topic, group).value == pytest.approx(by_hand)
    assert diversity(np.arange(7), group).value == 1
    rng, covered = np.random.default_rng(4), 0
    for _ in range(400):
        taste = np.repeat(rng.integers(0, 4, 50), 12)  # two lists of six a user, half of them of one topic
        topics = np.where(rng.random(600) < 0.5, taste, rng.integers(0, 4, 600))
        user = np.repeat(np.arange(50), 12)
        covered += (1 - (0.25 + 0.75 * 0.25)) in diversity(topics, np.repeat(np.arange(100), 6), user)
    assert 0.915 <= covered / 400 <= 0.985


def test_few_or_perfect_lists_never_claim_certainty() -> None:
    y = np.array([1, 0, 1, 0])
    assert ndcg_at_k(y, y, np.array([1, 1, 2, 2])).low < 0.5
    assert user_auc(y, y, np.array([1, 1, 2, 2])).low < 0.5
    assert coverage(np.array([1, 2]), 4, np.array([7, 7])).high == 1.0


def test_what_has_no_answer_is_refused() -> None:
    nothing = np.zeros(4, bool)
    with pytest.raises(MlsysError, match="a list with a like"):
        ndcg_at_k(nothing, np.arange(4.0), np.arange(4))
    with pytest.raises(MlsysError, match="two items"):
        diversity(np.arange(4), np.arange(4))
    with pytest.raises(MlsysError, match="3 different items shown of a catalogue of 2"):
        coverage(np.arange(3), 2, np.arange(3))
