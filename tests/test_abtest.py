"""Tests in the world: what they count, whom they assign, when their intervals hold the truth and when not."""

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlsys.analysis.evaluation import truth_plot
from mlsys.analysis.style import png
from mlsys.core import MlsysError
from mlsys.evaluation.experiment import assign, cuped, difference, sample_ratio
from mlsys.orchestration.abtest import METRICS, ab_test, both_worlds, effect, per_user, truth_table
from mlsys.world import Experiment, Oracle, Popularity, Random, World, recency
from mlsys.world.rankers import VALUE_WEIGHTS

LIKE, VALUE = Oracle("like"), Oracle("value", VALUE_WEIGHTS)


def small(seed: int = 3, **changes: Any) -> World:
    return World(seed=seed, n_jobs=1, **{"users": 300, **changes})


@pytest.fixture(scope="module")
def learned() -> tuple[World, Popularity, Popularity]:
    """A morning after a week of random order, and two counters of it: smoothed rates, raw likes."""
    world, smooth, raw = small(users=600), Popularity(), Popularity("raw likes", smoothed=False)
    for _ in range(7):
        log = world.step(Random()).log
        smooth.observe(log)
        raw.observe(log)
    return world, smooth, raw


def test_the_table_counts_what_the_world_logged() -> None:
    world = small()
    table = ab_test(world, LIKE, VALUE, days=3, before=2, salt="count")
    assert world.day == 0, "the test ran in a copy"
    again, arm = small(), lambda n: assign(np.arange(n), "count") == 1
    for day in range(-2, 3):
        n = len(again.users)
        treated = arm(n) if day >= 0 else np.zeros(n, bool)
        log = again.step(Experiment(LIKE, VALUE, treated)).log.drop_duplicates("event_id")
        rows = table[table["day"] == day].set_index("user_id")
        assert len(rows) == n, "every user has a row, with or without a session"
        for action in METRICS[:3]:
            counted = log[log["action"] == action].groupby("user_id").size().reindex(range(n), fill_value=0)
            assert (rows[action] == counted).all()
        assert (
            rows["sessions"] == log.groupby("user_id")["session_id"].nunique().reindex(range(n), fill_value=0)
        ).all()
        assert (rows["treated"] == arm(n)).all(), "newcomers are assigned, and nobody changes sides"
    assert n > 300 and (rows["sessions"] == 0).any()


def test_users_are_summed_over_the_days_asked_for() -> None:
    table = ab_test(small(), LIKE, VALUE, days=3, before=2)
    users, early = per_user(table), per_user(table, until=1)
    assert users["like"].sum() == table.loc[table["day"] >= 0, "like"].sum()
    assert early["like"].sum() == table.loc[table["day"] == 0, "like"].sum()
    assert users["like_before"].sum() == table.loc[table["day"] < 0, "like"].sum()
    known = set(table.loc[table["day"] < 0, "user_id"])
    assert (users["like_before"].isna() == ~users["user_id"].isin(known)).all() and len(known) < len(users)
    plain, adjusted = effect(table), effect(table, use_cuped=True)
    assert adjusted.error < 0.8 * plain.error and adjusted.units == plain.units == len(users)
    with pytest.raises(MlsysError, match="CUPED of a ratio"):
        effect(table, per="sessions", use_cuped=True)


def test_markets_are_assigned_whole() -> None:
    world = small(markets=10, creators=40, posts_per_day=80)
    table = ab_test(world, LIKE, VALUE, days=2, by="market")
    assert (table["unit"] == table["user_id"] % 10).all() and len(table.drop_duplicates(["unit", "treated"])) == 10
    assert effect(table).units == 10 and set(table["treated"]) == {False, True}
    with pytest.raises(MlsysError, match="by="):
        ab_test(world, LIKE, VALUE, by="session")


def test_nothing_against_itself_is_nothing() -> None:
    same = both_worlds(small(), {"a": LIKE, "b": Oracle("b")}, days=3)
    assert (same.loc["a"] == same.loc["b"]).all()
    values = small().value([LIKE, VALUE], repeats=1)["like"]
    truth = both_worlds(small(), {"a": LIKE, "b": VALUE}, days=3)["like"]
    assert truth["a"] > truth["b"] and truth.to_numpy() == pytest.approx(values.to_numpy(), rel=0.1)


def test_both_worlds_and_a_test_of_everybody_count_the_same_days() -> None:
    everybody = ab_test(small(), VALUE, LIKE, days=3, share=0.0)
    exact, counted = both_worlds(small(), {"value": VALUE}, days=3).loc["value"], everybody[list(METRICS)].sum()
    assert exact["sessions"] == counted["sessions"] / 300
    rates = counted[list(METRICS[:3])] / counted["sessions"]
    assert rates.to_numpy() == pytest.approx(exact[list(METRICS[:3])].to_numpy(), rel=0.1)


@pytest.fixture(scope="module")
def outcomes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every user under control, and every user under treatment: where arms do not touch, a test shows one of both."""
    world = small(users=1_000, new_users_per_day=0)
    return tuple(per_user(ab_test(world, LIKE, VALUE, days=7, before=7, share=share)) for share in (0.0, 1.0))  # type: ignore[return-value]


def test_where_arms_do_not_touch_the_interval_holds_the_truth(outcomes: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    none, every = outcomes
    assert not none["treated"].any() and every["treated"].all()
    assert (none["like_before"] == every["like_before"]).all(), "the days before are the same days"
    means = [np.array([t["dislike"].mean(), t["like"].mean(), t["like"].sum() / t["sessions"].sum()]) for t in outcomes]
    truth = means[1] - means[0]
    hits, errors = np.zeros(3), []
    for test in range(300):
        treated = assign(none["user_id"].to_numpy(), f"test {test}") == 1
        seen = {name: np.where(treated, every[name], none[name]).astype(float) for name in METRICS}
        less = cuped(seen["like"], none["like_before"].to_numpy())
        found = [difference(seen["dislike"], treated), difference(less, treated),
                 difference(seen["like"], treated, per=seen["sessions"])]  # fmt: skip
        errors.append(found[1].error / difference(seen["like"], treated).error)
        hits += [value in one for value, one in zip(truth, found, strict=True)]
        assert sample_ratio(treated).p > 1e-4
    assert (hits / 300 > 0.92).all(), hits
    assert np.mean(errors) < 0.65, "the week before tells how often a user comes"


def test_creators_carry_the_treatment_over_and_markets_keep_it() -> None:
    """By user, a feed that creators answer to looks less of a change than it is."""
    off = {"user": [], "market": []}
    for seed in (11, 12, 13, 14):
        world = World("markets", seed=seed, n_jobs=1, users=1_000, new_users_per_day=0)
        worlds = both_worlds(world, {"like": LIKE, "value": VALUE}, days=28)["share"]
        truth = worlds["value"] / worlds["like"] - 1
        for by in off:
            found = effect(ab_test(world, LIKE, VALUE, days=28, by=by), "share", per="sessions")
            off[by].append((found.value - truth, truth in found))
    (user, _), (market, held) = (np.mean(rows, axis=0) for rows in off.values())
    assert user < -0.12 and abs(market) < abs(user) and held >= 0.75, off


def test_counters_that_share_a_log_carry_it_too(learned: tuple[World, Popularity, Popularity]) -> None:
    world, smooth, raw = learned
    shown = smooth.shown.copy()
    worlds = both_worlds(world, {"a": smooth, "b": raw}, days=10)["like"]
    truth = worlds["b"] / worlds["a"] - 1
    shared, own = (
        effect(ab_test(world, smooth, raw, days=10, diverted=d), per="sessions").value for d in (False, True)
    )
    assert truth < -0.1 and truth < own < shared, "the raw counter lives off what the smoothed one explores"
    assert (smooth.shown == shown).all(), "rankers are copied, too"


def test_four_judgements_of_a_few_rankers(learned: tuple[World, Popularity, Popularity]) -> None:
    world, smooth, _ = learned
    arms = {"served": smooth, "twin": deepcopy(smooth), "newest": lambda w: recency(w.posts.created), "oracle": LIKE}
    table = truth_table(world, arms, days=5, log_days=4, explore=0.3)
    assert world.day == 7 and table.index.tolist() == list(arms)
    twin, newest = table.loc["twin"], table.loc["newest"]
    assert twin["truth"] == 0 and twin["off"] == pytest.approx(0, abs=1e-9) and twin["ab_low"] < 0 < twin["ab_high"]
    assert twin["auc"] == table.loc["served", "auc"] > 0.55 > newest["auc"]
    assert newest["off_low"] < newest["truth"] < newest["off_high"] and newest["ess"] > 100
    assert table.loc["oracle", ["auc", "off", "ess"]].isna().all() and table.loc["oracle", "ab_low"] > 0.2
    assert table.loc["served", ["off", "ab"]].isna().all() and table.loc["served", "truth"] == 0
    figure = truth_plot(table)
    assert "Of 3 lifts" in figure.texts[0].get_text() and len(png(figure)) > 10_000
    blind = truth_table(world, {"served": smooth, "newest": arms["newest"]}, days=1, log_days=2, explore=0.0)
    assert np.isnan(blind.loc["newest", "off"]), "a log without exploration cannot answer, and says so"
