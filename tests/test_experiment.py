"""A/B tests: stable arms, a split that is checked, intervals that cover, early looks that do not lie, decisions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys.core import MlsysError
from mlsys.evaluation.decision import Guardrail, decide
from mlsys.evaluation.experiment import Effect, assign, cuped, difference, explained, sample_ratio
from mlsys.evaluation.intervals import Estimate
from mlsys.evaluation.sequential import always_valid, looks, mixture_reach, peeking

I = np.arange(40)
VALUE, BEFORE = ((I * 7) % 11).astype(float) + (I % 3) * 0.5, ((I * 5) % 13).astype(float)
TREATED = (I * 13) % 5 < 2


def test_an_arm_is_a_property_of_unit_and_salt() -> None:
    users = np.arange(5_000)
    arm = assign(users, "new ranker")
    assert "".join(map(str, arm[:40])) == GOLDEN, "arms must not move between releases: people are in them"
    order = np.random.default_rng(1).permutation(5_000)
    assert (assign(users[order], "new ranker") == arm[order]).all() and assign(users[7:8], "new ranker") == arm[7]
    assert (assign(users.astype(np.int32), "new ranker") == arm).all()


GOLDEN = "0111001001101110001011100000100011001111"


def test_arms_are_balanced_and_salts_independent() -> None:
    users, names = np.arange(2_000), [f"test {i}" for i in range(400)]
    arms = np.stack([assign(users, name) for name in names])
    z = (arms.mean(axis=1) - 0.5) * 2 * np.sqrt(2_000)
    assert abs(z.mean()) < 0.2 and 0.85 < z.std() < 1.15, "each split is like coins"
    together = np.corrcoef(arms)[np.triu_indices(400, 1)] * np.sqrt(2_000)
    assert abs(together.mean()) < 0.02 and 0.97 < together.std() < 1.03 and np.abs(together).max() < 6
    neighbours = np.mean(arms[:, 1:] == arms[:, :-1])
    assert abs(neighbours - 0.5) < 0.003, "consecutive ids do not go together"


def test_whoever_is_treated_stays_treated_when_the_share_grows() -> None:
    users = np.arange(20_000)
    small, large = (assign(users, "ramp", (1 - share, share)) == 1 for share in (0.05, 0.5))
    assert (large | ~small).all() and abs(small.mean() - 0.05) < 0.006 and abs(large.mean() - 0.5) < 0.015
    assert not assign(users, "ramp", (1, 0)).any() and assign(users, "ramp", (0, 1)).all()
    three = np.bincount(assign(users, "three", (0.2, 0.3, 0.5))) / 20_000
    assert three == pytest.approx([0.2, 0.3, 0.5], abs=0.015)


@pytest.mark.parametrize("args", [(np.array(["u1"]), "s"), (np.arange(3), ""), (np.arange(3), "s", (0.5, 0.4))])
def test_units_salt_and_shares_are_checked(args: tuple) -> None:  # type: ignore[type-arg]
    with pytest.raises(MlsysError, match="cannot assign"):
        assign(*args)


def test_sample_ratio_equals_statsmodels_and_rarely_cries_wolf() -> None:
    # statsmodels 0.15.0: stats.gof.chisquare(counts, expected); scipy 1.17.1 gives the same.
    assert sample_ratio(np.repeat([0, 1], [5_100, 4_900])).p == pytest.approx(0.04550026389635857, rel=1e-12)
    three = sample_ratio(np.repeat([0, 1, 2], [820, 90, 90]), (0.8, 0.1, 0.1))
    assert three.p == pytest.approx(0.2865047968601901, rel=1e-12) and three.expected.tolist() == [800, 100, 100]
    users = np.arange(3_000)
    p = np.array([sample_ratio(assign(users, f"{i}", (0.7, 0.3)), (0.7, 0.3)).p for i in range(1_000)])
    assert abs((p < 0.05).mean() - 0.05) < 0.021 and (p < 0.001).mean() < 0.005
    arm = assign(np.arange(200_000), "lossy")
    kept = (arm == 0) | (np.arange(200_000) % 50 > 0)  # treatment loses 2 % of its users
    assert sample_ratio(arm).ok and not sample_ratio(arm[kept]).ok
    with pytest.raises(MlsysError, match="arms against"):
        sample_ratio(np.array([0, 1, 2]))


def test_difference_equals_welch() -> None:
    # statsmodels 0.15.0: CompareMeans(...).tconfint_diff(usevar="unequal"), ttest_ind(usevar="unequal").
    found = difference(VALUE, TREATED)
    assert [found.low, found.high, found.p] == pytest.approx(
        [-3.1787832956916247, 1.0746166290249586, 0.3214028552958399]
    )
    assert found.units == found.n == 40 and found.control == VALUE[~TREATED].mean()


def test_difference_equals_clustered_regression() -> None:
    # statsmodels 0.15.0: OLS(...).fit(cov_type="cluster", use_correction=False).bse; here times sqrt(5/4), the
    # correction for five clusters an arm.
    cluster = I // 4
    found = difference(VALUE, cluster % 2 == 0, cluster=cluster)
    assert (found.value, found.error) == pytest.approx((-1.575, 0.41321907 * np.sqrt(5 / 4)), rel=1e-7)
    assert found.units == 10 and found.high - found.value > 2.3 * found.error, "eight degrees of freedom, not infinity"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.booleans())
def test_laws_of_a_difference(seed: int, ratio: bool) -> None:
    rng = np.random.default_rng(seed)
    v, t = rng.gamma(2, size=60) + 0.1, rng.permutation(60) < 30
    per = rng.integers(1, 5, 60).astype(float) if ratio else None
    found, mirror = difference(v, t, per=per), difference(v, ~t, per=per)
    assert [mirror.value, mirror.low, mirror.high] == pytest.approx([-found.value, -found.high, -found.low])
    scaled, lift = difference(3 * v, t, per=per), difference(3 * v, t, per=per, relative=True)
    assert scaled.error == pytest.approx(3 * found.error) and scaled.p == pytest.approx(found.p)
    assert lift.value == pytest.approx(found.value / found.control)
    arms = [difference(np.append(v[own], v[own]), np.arange(60) < 30, per=None) for own in (t, ~t)]
    shares = [one.error / np.sqrt(2) / one.control for one in arms]  # each arm against itself: its own error, times √2
    if not ratio:
        assert lift.error == pytest.approx((1 + lift.value) * np.hypot(*shares)), "as on a log scale"


def shop(rng: np.random.Generator, users: int, lift: float) -> tuple[np.ndarray, ...]:
    """Rows of sessions: likes, user, treated. Users differ in how often they come and in what they like."""
    treated, rate = rng.random(users) < 0.4, rng.gamma(2, size=users)
    visits = 1 + rng.poisson(3 * rate)
    user = np.repeat(np.arange(users), visits)
    return rng.poisson((rate * np.where(treated, 1 + lift, 1))[user]).astype(float), user, treated[user]


def test_intervals_over_users_cover_and_over_rows_do_not() -> None:
    rng, hits = np.random.default_rng(5), np.zeros(4)
    truth = (6 * 3 + 2) / 7  # E[rate (1 + 3 rate)] / E[1 + 3 rate], of rate ~ Gamma(2)
    for _ in range(1_000):
        likes, user, treated = shop(rng, 600, 0.2)
        sums = [np.bincount(user, weights=w, minlength=600) for w in (likes, np.ones(len(user)))]
        arm = np.bincount(user, weights=treated, minlength=600) > 0
        found = difference(likes, treated, cluster=user)
        same = difference(sums[0], arm, per=sums[1])
        assert (same.value, same.error) == pytest.approx((found.value, found.error)), "rows or sums, one answer"
        hits += [0.2 * truth in found, 0.2 in difference(likes, treated, cluster=user, relative=True),
                 0.2 * truth in difference(likes, treated), found.p >= 0.05]  # fmt: skip
    absolute, relative, rows, _ = hits / 1_000
    assert 0.925 < absolute < 0.975 and 0.925 < relative < 0.975 and rows < 0.8, hits


def test_few_markets_cover() -> None:
    rng, hits, false = np.random.default_rng(6), 0, 0
    for _ in range(1_000):
        market = np.repeat(np.arange(12), 50)
        taste = rng.normal(size=12)
        value, treated = rng.normal(size=600) + taste[market], np.isin(market, rng.permutation(12)[:6])
        hits += 0 in difference(value, treated, cluster=market)
        false += difference(value, treated, cluster=market).p < 0.05
    assert 0.935 < hits / 1_000 < 0.97 and false == 1_000 - hits


def test_cuped_equals_regression_and_takes_out_what_it_explains() -> None:
    # statsmodels 0.15.0: residuals of OLS(value, before) plus the mean; rsquared; then CompareMeans as above.
    adjusted = cuped(VALUE, BEFORE)
    assert adjusted[:3] == pytest.approx([0.83783557, 7.62173679, 3.40563801]) and adjusted.mean() == VALUE.mean()
    assert explained(VALUE, BEFORE) == pytest.approx(0.02895225920431066)
    assert adjusted.var() == pytest.approx(VALUE.var() * (1 - explained(VALUE, BEFORE)))
    found = difference(adjusted, TREATED)
    assert (found.low, found.high) == pytest.approx((-3.4396368697768387, 0.6969487925669511))
    assert (cuped(VALUE, np.ones(40)) == VALUE).all() and explained(VALUE, np.ones(40)) == 0


def test_cuped_covers_with_a_quarter_of_the_variance() -> None:
    rng, hits, errors = np.random.default_rng(7), 0, []
    for _ in range(500):
        habit, treated = rng.gamma(1, size=300), rng.permutation(300) < 150
        before, value = habit + rng.normal(scale=0.3, size=300), habit + 0.3 * treated + rng.normal(scale=0.3, size=300)
        found, plain = difference(cuped(value, before), treated), difference(value, treated)
        hits += 0.3 in found
        errors.append((found.error / plain.error) ** 2)
    assert 0.925 < hits / 500 < 0.975 and 0.1 < np.mean(errors) < 0.25


def test_what_cannot_be_read_is_refused_with_its_rows() -> None:
    ones, arms = np.ones(6), np.array([0, 0, 0, 1, 1, 1], bool)
    with pytest.raises(MlsysError, match="1 of 6 rows have no value") as wrong:
        difference(np.array([1, 1, np.nan, 1, 1, 1]), arms)
    assert wrong.value.rows.tolist() == [2]
    with pytest.raises(MlsysError, match="1 of 3 clusters have rows in both arms") as wrong:
        difference(ones, arms, cluster=np.array([1, 1, 2, 2, 3, 3]))
    assert wrong.value.rows.tolist() == [2, 3]
    with pytest.raises(MlsysError, match="1 units in treatment"):
        difference(ones, arms, cluster=np.array([1, 1, 2, 3, 3, 3]))
    with pytest.raises(MlsysError, match="denominators"):
        difference(ones, arms[:5])
    with pytest.raises(MlsysError, match="2 of 6 units have no number from before") as wrong:
        cuped(ones, np.array([1, np.nan, 2, 3, np.nan, 4]))
    assert wrong.value.rows.tolist() == [1, 4]


def test_peeking_equals_the_table_of_1969() -> None:
    # Armitage, McPherson & Rowe, Repeated significance tests on accumulating data, JRSS A 132 (1969), table 2, 5 %.
    rng = np.random.default_rng(8)
    found = peeking(rng.normal(size=(400, 50)), rng, tests=6_000)
    table = {1: 0.050, 2: 0.083, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}
    assert found["daily"][list(table)].tolist() == pytest.approx(list(table.values()), abs=0.02)
    assert found["once"].to_numpy() == pytest.approx(0.05, abs=0.015)
    assert found["always_valid"].iloc[-1] < 0.05


def test_looking_at_any_time_has_a_price() -> None:
    """A test planned for power 0.8 has it at its end; a sequence finds half of them, and never takes a find back."""
    rng = np.random.default_rng(12)
    daily = rng.normal(size=(400, 28))
    planned = 2.802 * 2 / np.sqrt(400 * 28)  # 1.96 + 0.84 errors of the mean day's difference
    found = peeking(daily, rng, effect=planned, tests=2_000)
    assert abs(found["once"].iloc[-1] - 0.8) < 0.04 and abs(found["once"].iloc[6] - 0.29) < 0.05
    assert 0.4 < found["always_valid"].iloc[-1] < 0.6 and found["daily"].iloc[-1] > 0.85
    assert found["daily"].is_monotonic_increasing and found["always_valid"].is_monotonic_increasing
    with pytest.raises(MlsysError, match="3 units"):
        peeking(daily[:3], rng)


def test_looks_are_the_differences_of_the_days_so_far() -> None:
    rng = np.random.default_rng(9)
    daily, treated = rng.gamma(1, size=(50, 4)), np.stack([rng.permutation(50) < 20 for _ in range(3)])
    value, error = looks(daily, treated)
    for test in range(3):
        for day in range(4):
            one = difference(daily[:, : day + 1].sum(axis=1), treated[test])
            assert (value[test, day], error[test, day]) == pytest.approx((one.value, one.error))


def test_a_confidence_sequence_holds_at_all_looks_together() -> None:
    """A thousand looks at a thousand tests, whatever tau was planned: the truth is left out in fewer than 5 %."""
    rng, n = np.random.default_rng(10), np.arange(1, 1_001)
    mean = np.cumsum(rng.normal(size=(1_000, 1_000)), axis=1) / n
    fixed = (np.abs(mean) > 1.96 / np.sqrt(n)).any(axis=1).mean()
    for tau in (0.03, 0.1, 1.0):
        outside = (np.abs(mean) > mixture_reach(1 / np.sqrt(n), tau)).any(axis=1).mean()
        assert outside < 0.05, tau
    assert outside > 0.01 and fixed > 0.4, "no wider than it has to be, and a fixed interval fails"


def test_always_valid_intervals_and_p_values_agree() -> None:
    plain = difference(VALUE, TREATED)
    rng = np.random.default_rng(11)
    for _ in range(50):
        value, error, tau = rng.normal(), rng.random() + 0.05, rng.random() + 0.05
        found = always_valid(Effect(value, value - 2 * error, value + 2 * error, 10, error=error), tau)
        assert (found.p < 0.05) == (0 not in found) and 0 < found.p <= 1
        assert found.high - found.low > 2 * 2.4 * error, "the price of looking at any time"
    with pytest.raises(MlsysError, match="tau"):
        always_valid(plain, 0)
    # A tau of the planned effect is about the tightest choice at the planned end.
    errors = {tau: float(mixture_reach(np.float64(1.0), tau)) for tau in (0.7, 1.4, 2.8, 5.6, 11.2)}
    assert min(errors, key=errors.__getitem__) == 2.8


UP, FLAT, DOWN = Estimate(0.04, 0.02, 0.06, 99), Estimate(0.0, -0.005, 0.005, 99), Estimate(-0.04, -0.06, -0.02, 99)
WIDE = Estimate(0.01, -0.05, 0.07, 99)


@pytest.mark.parametrize(
    ("primary", "guard", "action"),
    [(UP, FLAT, "ship"), (UP, UP, "ship"), (UP, WIDE, "hold"), (UP, DOWN, "roll back"), (WIDE, FLAT, "hold"),
     (DOWN, UP, "roll back"), (WIDE, DOWN, "roll back"), (FLAT, FLAT, "hold")],
)  # fmt: skip
def test_the_worst_verdict_decides(primary: Estimate, guard: Estimate, action: str) -> None:
    found = decide(primary, {"sessions": Guardrail(guard, 0.01)})
    assert found.action == action and len(found.reasons) >= 1
    mirror = Estimate(-guard.value, -guard.high, -guard.low, 99)
    less = decide(primary, {"dislikes": Guardrail(mirror, 0.01, more_is_better=False)})
    assert less.action == action and less.table.loc["dislikes", "floor"] == 0.01


def test_a_gain_has_to_be_worth_it_and_a_broken_split_stops_everything() -> None:
    assert decide(UP, minimum=0.02).action == "ship" and decide(UP, minimum=0.03).action == "hold"
    assert decide(UP, minimum=0.07).action == "roll back"
    broken = decide(UP, sample_ratio_p=1e-5)
    assert broken.action == "hold" and "sample ratio" in broken.reasons[0]
    assert decide(UP, sample_ratio_p=float("nan")).action == "hold"
    nothing = Estimate(float("nan"), float("nan"), float("nan"), 0)
    assert decide(nothing).action == "hold", "what was not measured is not shipped"
    with pytest.raises(MlsysError, match="tolerates"):
        decide(UP, {"x": Guardrail(FLAT, -0.01)})


@settings(deadline=None, max_examples=60)
@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.1), st.floats(0, 0.05), st.booleans())
def test_at_the_reversal_threshold_the_verdict_turns(value: float, reach: float, tolerated: float, more: bool) -> None:
    def verdict(at: float) -> str:
        guard = Guardrail(Estimate(at, at - reach, at + reach, 9), tolerated, more)
        return str(decide(UP, {"g": guard}).table.loc["g", "verdict"])

    row = decide(UP, {"g": Guardrail(Estimate(value, value - reach, value + reach, 9), tolerated, more)}).table.loc["g"]
    step = 1e-6 if more else -1e-6
    assert [verdict(row["ships_from"] + s) for s in (step, -step)] == ["ship", "hold"]
    assert [verdict(row["rolls_back_from"] + s) for s in (step, -step)] == ["hold", "roll back"]
