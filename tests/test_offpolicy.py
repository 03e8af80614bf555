"""Off-policy estimates: equal to obp, intervals that cover, and the world's own truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys import World
from mlsys.core import MlsysError
from mlsys.evaluation import Feedback, PolicyValue, Shadow, cross_fit, dm, dr, ips, off_policy, on_policy, snips
from mlsys.evaluation.slates import feedback, pooled
from mlsys.world import Popularity, Random, TableRanker, recency

LOGGER = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
TARGET = np.array([0.1, 0.1, 0.2, 0.25, 0.35])
RATE = np.array([0.05, 0.1, 0.2, 0.3, 0.6])
ATTENTION = np.arange(1, 11) ** -0.5


def bandit(rng: np.random.Generator, n: int, users: int | None = None) -> tuple[Feedback, np.ndarray]:
    """A log of five actions, and the actions. With users: each has a taste of its own for all of them."""
    action = rng.choice(5, n, p=LOGGER)
    user = rng.integers(0, users, n) if users else None
    taste = 0.0 if user is None else np.clip(rng.normal(scale=0.3, size=users), -0.05, 0.35)[user]  # type: ignore[arg-type]
    reward = (rng.random(n) < np.clip(RATE[action] + taste, 0, 1)).astype(float)
    return Feedback(reward, LOGGER[action], TARGET[action], user), action


def test_estimates_equal_obp() -> None:
    # Open Bandit Pipeline 0.5.7: InverseProbabilityWeighting(lambda_=), SelfNormalizedInverseProbabilityWeighting,
    # DirectMethod, DoublyRobust(lambda_=).estimate_policy_value on these rows.
    i = np.arange(40)
    reward, action, position = ((i * 31) % 7 < 2).astype(float), (i * 13) % 5, i % 2
    target = np.stack([TARGET, [0.3, 0.3, 0.2, 0.1, 0.1]], axis=1)
    q = (np.arange(5)[:, None] + 2 * np.arange(2)) / 10
    log = Feedback(reward, LOGGER[action], target[action, position])
    q_logged, q_target = q[action, position], (target * q).sum(axis=0)[position]
    found = {
        "ips": ips(log), "ips, clipped": ips(log, clip=2), "snips": snips(log), "dm": dm(log, q_target),
        "dr": dr(log, q_logged, q_target), "dr, clipped": dr(log, q_logged, q_target, clip=2),
    }  # fmt: skip
    golden = [0.45625, 0.31875, 0.26071428571428573, 0.3025, 0.10541666666666667, 0.18291666666666667]
    assert [one.value for one in found.values()] == pytest.approx(golden, rel=1e-12)
    table = off_policy(log, q_logged, q_target)
    assert table.index.tolist() == ["on policy", "ips", "snips", "dm", "dr"]
    assert table.loc["dr", "value"] == found["dr"].value and table["warning"].str.contains("effective rows").sum() == 4


@pytest.mark.parametrize("users", [None, 60])
def test_intervals_cover_the_value_of_the_target(users: int | None) -> None:
    rng = np.random.default_rng(17)
    truth = TARGET @ RATE
    if users:
        taste = np.clip(rng.normal(scale=0.3, size=10**6), -0.05, 0.35)
        truth = float(TARGET @ np.clip(RATE[:, None] + taste, 0, 1).mean(axis=1))
    covered, rows_only = np.zeros(4), 0
    for _ in range(400):
        log, action = bandit(rng, 1_500, users)
        wrong = np.full(5, 0.3)  # a reward model that knows nothing: dr must not mind
        found = [ips(log), snips(log), dr(log, wrong[action], np.full(1_500, 0.3)), ips(log, clip=100)]
        covered += [truth in one for one in found]
        rows_only += truth in snips(Feedback(log.reward, log.pscore, log.target))
    assert (covered / 400 >= 0.92).all() and (covered / 400 <= 0.98).all(), covered / 400
    assert not users or rows_only / 400 < 0.91, "rows of one user are not independent"


def test_the_direct_method_is_as_good_as_its_model_and_says_so() -> None:
    rng, covered = np.random.default_rng(18), np.zeros(2)
    for _ in range(300):
        context = rng.normal(size=400)
        log = Feedback(np.zeros(400), np.ones(400), np.ones(400))
        covered += [0 in dm(log, context), 0 in dm(log, context + 0.2)]
    assert 0.92 <= covered[0] / 300 <= 0.98 and covered[1] / 300 < 0.1
    assert "error of the reward model" in dm(log, context).warning


def test_the_logger_valued_from_its_own_log_is_its_mean() -> None:
    log, _ = bandit(np.random.default_rng(1), 500, users=20)
    same = Feedback(log.reward, log.pscore, log.pscore, log.cluster, slots=3)
    for estimator in (ips, snips, on_policy):
        assert estimator(same).value == pytest.approx(3 * log.reward.mean())
    assert ips(same).ess == pytest.approx(500)
    assert (ips(same).low, ips(same).high) == pytest.approx((on_policy(same).low, on_policy(same).high))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1)), min_size=3, max_size=30))
def test_laws(rows) -> None:  # type: ignore[no-untyped-def]
    reward, pscore, target = (np.array(column) for column in zip(*rows, strict=True))
    log = Feedback(reward, pscore, target)
    try:
        value = snips(log).value
    except MlsysError:
        assert log.weight.mean() < 1, "refused only where a part of what the target shows is missing"
        return
    assert reward.min() - 1e-9 <= value <= reward.max() + 1e-9, "self-normalized: a mean of rewards"
    assert snips(Feedback(reward + 2, pscore, target)).value == pytest.approx(value + 2)
    assert ips(Feedback(2 * reward, pscore, target)).value == pytest.approx(2 * ips(log).value)
    assert dr(log, np.zeros(len(rows)), np.zeros(len(rows))).value == pytest.approx(ips(log).value)
    assert ips(log, clip=1.0).value <= ips(log).value + 1e-12
    assert 1 - 1e-9 <= ips(log).ess <= len(rows) + 1e-9


def test_what_the_log_never_shows_is_refused() -> None:
    rng = np.random.default_rng(2)
    action = rng.choice(3, 3_000, p=[0.5, 0.5, 0.0])
    target = np.array([0.3, 0.3, 0.4])
    log = Feedback(np.ones(3_000), np.array([0.5, 0.5, 1])[action], target[action])
    for estimator in (ips, snips):
        with pytest.raises(MlsysError, match="the log holds 60% of what the target shows"):
            estimator(log)
    with pytest.raises(MlsysError, match="the log holds 0%"):
        ips(Feedback(np.ones(3), np.ones(3), np.zeros(3)))
    with pytest.raises(MlsysError, match="2 of 3 rows have no reward, a pscore of 0") as error:
        Feedback(np.array([1, np.nan, 1]), np.array([0.5, 0.5, 0]), np.ones(3))
    assert error.value.rows.tolist() == [1, 2]


def test_few_effective_rows_or_rewards_are_said() -> None:
    rng = np.random.default_rng(3)
    heavy = Feedback(rng.random(1_000), np.append(np.full(999, 1.0), 0.001), np.ones(1_000))
    assert "only 4 effective rows" in ips(heavy).warning and ips(heavy).ess < 10
    rare = Feedback((np.arange(1_000) < 3).astype(float), np.full(1_000, 0.5), np.full(1_000, 0.5))
    assert "only 3 effective rewards" in ips(rare).warning and "ess 1000" in str(ips(rare))
    clipped = ips(bandit(rng, 1_000)[0], clip=2.0)
    assert "cut" in clipped.warning and 0.1 < clipped.clipped < 0.2
    assert isinstance(clipped, PolicyValue) and ips(bandit(rng, 1_000)[0]).warning == ""


def test_a_ranker_of_the_world_is_valued_from_the_log_of_another() -> None:
    covered: dict[str, list[bool]] = {}
    error: dict[str, list[float]] = {}
    for seed in range(60):
        world, target = World(users=800, seed=seed), Popularity()
        target.observe(world.step(Random()).log)
        shadow = Shadow(recency(world.posts.created), target)
        day = world.step(shadow, explore=0.5, against=[target])
        log, truth = shadow.join(day.log), day.value.loc["popularity", "like"]
        exposure = ATTENTION[log["position"] - 1]
        fold, post = log["user_id"].to_numpy() % 2, log["post_id"].to_numpy()
        single, pool = feedback(log), pooled(log, ATTENTION, explore=0.5, candidates=50)
        rates = cross_fit(post, single.reward, exposure, fold, len(world.posts))
        q = rates[fold, post] * exposure, rates[fold, log["target_post"]] * exposure
        found = {f"pooled {name}": row for name, row in off_policy(pool, *q).iterrows()}
        found |= {f"single {name}": row for name, row in off_policy(single, *q).iterrows()}
        for name, row in found.items():
            covered.setdefault(name, []).append(row["low"] <= truth <= row["high"])
            error.setdefault(name, []).append(row["value"] - truth)
        assert day.value.loc[shadow.name, "like"] == pytest.approx(found["pooled on policy"]["value"], abs=0.25)
    for name in ("ips", "snips", "dr"):
        assert np.mean(covered[f"pooled {name}"]) >= 0.88, name  # 95 % of 60, 2.5 standard errors
        assert np.mean(covered[f"single {name}"]) >= 0.85, name
        assert abs(np.mean(error[f"pooled {name}"])) < 3 * np.std(error[f"pooled {name}"]) / np.sqrt(60)
        assert np.std(error[f"pooled {name}"]) < 0.6 * np.std(error[f"single {name}"]), "pooling uses more rows"
    assert np.mean(covered["pooled on policy"]) < 0.5, "the log's own mean is another ranker's value"
    assert np.mean(covered["pooled dm"]) < 0.5, "an item's rate knows nothing of the reader"


def test_a_logger_that_does_not_explore_cannot_answer() -> None:
    world = World(users=300, seed=4)
    rng = np.random.default_rng(4)
    one, two = (TableRanker(name, rng.normal(size=len(world.posts))) for name in "ab")
    shadow = Shadow(one, two)
    log = shadow.join(world.step(shadow).log)
    with pytest.raises(MlsysError, match="of what the target shows"):
        ips(feedback(log))
    mirror = Shadow(one, one)
    log = mirror.join(world.step(mirror).log)
    assert (log["target_post"] == log["post_id"]).all() and (log["target_rank"] == log["position"]).all()
    assert ips(feedback(log)).value == pytest.approx(on_policy(feedback(log)).value)


def test_impressions_of_other_requests_are_refused() -> None:
    world = World(users=50, seed=5)
    ranker = recency(world.posts.created)
    shadow = Shadow(ranker, ranker)
    with pytest.raises(MlsysError, match="not seen"):
        shadow.join(world.step(ranker).log)
