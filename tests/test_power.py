"""Power: equal to statsmodels, three faces of one equation, and what a thousand tests do find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys.core import MlsysError
from mlsys.evaluation.experiment import cuped, difference, explained
from mlsys.evaluation.power import design_effect, mde, power, sample_size


def test_equal_to_statsmodels() -> None:
    # statsmodels 0.15.0: NormalIndPower().solve_power and .power; its nobs1 is one arm, with ratio = other / first.
    assert sample_size(0.1, 1.0) == np.ceil(2 * 1569.7721019023288)
    unequal = sample_size(0.1, 1.0, alpha=0.01, power=0.9, share=0.25, explained=0.6)
    assert unequal == pytest.approx(2380.7019466546426 * 4 / 3, abs=1)
    assert power(0.1, 1.0, 1_000) == pytest.approx(0.3526080824447023, rel=1e-12)
    assert power(0.05, 1.0, 1_200, share=0.75) == pytest.approx(0.11651088224933052, rel=1e-12)
    assert power(0.0, 1.0, 1_800) == pytest.approx(0.05)
    assert mde(1.0, 1_400) == pytest.approx(0.14975080917195477, rel=1e-5)


@settings(deadline=None)
@given(st.floats(0.01, 1), st.floats(0.1, 10), st.floats(0.5, 0.95), st.floats(0.05, 0.95), st.floats(0, 0.9))
def test_size_effect_and_power_are_one_equation(e: float, sd: float, p: float, share: float, r2: float) -> None:
    n = sample_size(e * sd, sd, power=p, share=share, explained=r2)
    assert mde(sd, n, power=p, share=share, explained=r2) <= e * sd * (1 + 1e-9)
    assert mde(sd, n - 1, power=p, share=share, explained=r2) > e * sd * (1 - 1e-9) if n > 1 else True
    assert power(e * sd, sd, n, share=share, explained=r2) >= p - 1e-9
    assert power(-e * sd, sd, n, share=share, explained=r2) == pytest.approx(
        power(e * sd, sd, n, share=share, explained=r2)
    )


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_tests_find_as_often_as_planned(share: float) -> None:
    rng, found, with_past = np.random.default_rng(3), 0, 0
    habit = rng.gamma(2, size=200_000)
    sd, r2 = float(np.sqrt(habit.var() + 1)), float(habit.var() / (habit.var() + 1))
    n, less = sample_size(0.4, sd, share=share), sample_size(0.4, sd, share=share, explained=r2)
    assert less < 0.4 * n
    for _ in range(600):
        for size in (n, less):
            past, treated = rng.choice(habit, size), rng.permutation(size) < round(share * size)
            value = past + rng.normal(size=size) + 0.4 * treated
            if size == n:
                found += difference(value, treated).p < 0.05
            else:
                with_past += difference(cuped(value, past), treated).p < 0.05
    assert abs(found / 600 - 0.8) < 0.05 and abs(with_past / 600 - 0.8) < 0.05
    assert explained(past + rng.normal(size=less), past) == pytest.approx(r2, abs=0.12)


def test_design_effect_is_what_clusters_cost() -> None:
    rng, errors = np.random.default_rng(4), []
    for _ in range(400):
        market = np.repeat(np.arange(40), 25)
        value = rng.normal(scale=np.sqrt(0.1), size=40)[market] + rng.normal(scale=np.sqrt(0.9), size=1_000)
        treated = np.isin(market, rng.permutation(40)[:20])
        errors.append(difference(value, treated, cluster=market).error ** 2)
    assert design_effect(1, 0.3) == 1 and design_effect(25, 1.0) == 25 and design_effect(25, 0.0) == 1
    assert np.mean(errors) / (4 / 1_000) == pytest.approx(design_effect(25, 0.1), rel=0.08)


@pytest.mark.parametrize(
    "call",
    [lambda: sample_size(0, 1), lambda: sample_size(0.1, 0), lambda: mde(1, 0), lambda: power(0.1, 1, 10, share=1),
     lambda: mde(1, 10, explained=1), lambda: mde(1, 10, power=1), lambda: sample_size(0.1, 1, alpha=0)],
)  # fmt: skip
def test_impossible_plans_are_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MlsysError):
        call()
