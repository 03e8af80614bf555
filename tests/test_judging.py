"""Notebook 06's runs: what judges a ranker is judged by what is true; its figures repeat to the byte."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from mlsys import naive
from mlsys.analysis import judging as draw
from mlsys.analysis.style import png
from mlsys.evaluation import auc
from mlsys.orchestration import judging, trials
from mlsys.orchestration.bench import Bench
from mlsys.world import Random


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(13, users=250, days=6, new_users_per_day=10)


@pytest.fixture(scope="module")
def people() -> trials.Outcomes:
    return trials.outcomes(13, users=400, days=8)


@pytest.fixture(scope="module")
def metrics(bench: Bench) -> pd.DataFrame:
    return judging.metrics(bench)


def test_metrics_know_what_they_are_paid_for(bench: Bench, metrics: pd.DataFrame) -> None:
    assert list(metrics.columns) == [*judging.METRICS, "share"] and metrics["share"].between(0.3, 1).all()
    assert metrics["AUC within slot"]["logged order"] == pytest.approx(0.5)
    assert metrics["share"]["logged order"] == metrics["share"]["dice"]
    assert metrics["NDCG@10"]["logged order"] > metrics["NDCG@10"]["dice"]
    X, y, log = judging.held(bench)
    assert len(X) == len(y) == len(log) and log["action"].notna().all()
    assert metrics["AUC"]["trees"] == pytest.approx(auc(y, bench.model.predict(X)).value)


def test_picks_take_the_best_in_each_metrics_own_direction(metrics: pd.DataFrame) -> None:
    picks = judging.picks(metrics)
    assert picks["pick"]["log loss"] == metrics["log loss"].idxmin() and picks["pick"]["AUC"] == metrics["AUC"].idxmax()
    assert (picks["share"] == [metrics["share"][name] for name in picks["pick"]]).all()


def test_a_threshold_is_chosen_on_other_users_than_it_is_paid_on(bench: Bench) -> None:
    table = judging.thresholds(bench, cost_fp=1, cost_fn=4)
    assert (table.xs("from the costs", level=1)["threshold"] == 0.2).all()
    assert table["said"].between(0, 1).all() and (table.xs("never", level=1)["said"] == 0).all()
    _, y, log = judging.held(bench)
    never = 4 * y[log["user_id"].to_numpy() % 2 == 1].mean()
    assert table["cost"]["trees", "never"] == pytest.approx(never)


def test_intervals_by_users_hold_and_by_rows_do_not() -> None:
    found = judging.samples(13, users=1_000, people=80, repeats=60, days=3)
    cover = judging.coverage(found)
    assert list(cover.index) == ["rows", "users", "bootstrap"] and np.ptp(found["truth"]) == 0
    assert cover["held"]["users"] > cover["held"]["rows"] and cover["width"]["users"] > cover["width"]["rows"]
    one = found.xs("rows", level="way").iloc[0]
    low, high = naive.interval(np.repeat([1.0, 0.0], [round(one["value"] * 1e4), round((1 - one["value"]) * 1e4)]))
    assert low < one["value"] < high


def test_slices_stay_below_their_ceiling_and_placebos_are_nothing(bench: Bench) -> None:
    table, cut = judging.sliced(bench), judging.ways_to_slice(bench)
    some = table["exact"].notna()
    assert (table["gap"][some] >= -1e-9).all() and set(cut.columns) == set(table.index.unique("slice"))
    assert table.loc["slot"]["rows"].sum() == len(cut)
    nothing = judging.placebo(bench, ways=10, repeats=3)
    assert (nothing["corrected"] <= nothing["naive"]).all()
    assert len(naive.bad_slices(table)) >= 1


def test_volunteers_turn_a_loss_into_a_gain() -> None:
    table, truth = judging.volunteers(13)
    assert truth["new"] < truth["old"] and (table["new"] < table["old"]).drop("all").all()
    assert table["new"]["all"] > table["old"]["all"]


def test_a_shadow_answers_only_what_the_log_holds(bench: Bench) -> None:
    day = bench.world.day
    explored, greedy = judging.shadowed(bench, 0.3, days=2), judging.shadowed(bench, 0.0, days=1)
    assert bench.world.day == day and explored.served < explored.alone < explored.truth
    assert greedy.served == pytest.approx(greedy.alone)
    found, refused = judging.off_policy(explored), judging.off_policy(greedy)
    assert abs(found["value"]["dr"] / explored.truth - 1) < 0.3 and "refused" in refused.index
    assert found["value"]["where both agree"] == pytest.approx(naive.replay(explored.log))
    assert found["ess"]["ips"] > found["ess"]["ips by slot"]


def test_every_user_has_an_outcome_under_every_ranker(people: trials.Outcomes) -> None:
    assert set(people.likes) == {trials.CONTROL, *trials.CANDIDATES} and not people.off_policy
    assert all(kind[name].shape == (8, 400) for kind in (people.likes, people.sessions) for name in people.likes)
    first = {name: people.sessions[name][0] for name in people.sessions}
    assert all((first[name] == first[trials.CONTROL]).all() for name in first)  # the same people come on the first day
    same = people.likes["popular + who"].sum() / people.likes[trials.CONTROL].sum()
    assert same == pytest.approx(1, abs=0.01)


def test_counting_a_delivery_twice_changes_nothing() -> None:
    world, *_ = trials.started(13, users=100)
    log = deepcopy(world).step(Random()).log
    again = pd.concat([log, log.tail(50)])
    assert (trials._per_user(again, 100) == trials._per_user(log, 100)).all()


def test_an_experiment_reads_the_truth_if_all_are_split_alike(people: trials.Outcomes) -> None:
    treated = trials.split(people, "value")
    assert (treated == trials.split(people, "value")).all() and 0.4 < treated.mean() < 0.6
    assert (treated != trials.split(people, "like")).any()
    found = trials.read(people, "value", treated, "likes per session", 8)
    arm = [np.where(treated, kind["value"], kind["popular"]).sum(axis=0) for kind in (people.likes, people.sessions)]
    rate = [arm[0][side].sum() / arm[1][side].sum() for side in (treated, ~treated)]
    assert found.value == pytest.approx(rate[0] / rate[1] - 1)
    plain, adjusted = (trials.read(people, "value", treated, f"likes per user{c}", 8) for c in ("", ", CUPED"))
    assert adjusted.error < plain.error


def test_a_plan_keeps_its_promise_and_the_naive_one_does_not(people: trials.Outcomes) -> None:
    table = trials.plan(people, tests=60)
    assert table["needed"]["likes per user"] > 5 * table["needed"]["impressions"]
    assert table["needed"]["likes per user, CUPED"] < table["needed"]["likes per user"] / 2
    assert (table["power"] - table["promised"]).abs().max() < 0.25
    assert naive.users_needed(0.5, 0.1, 16.0) == 100


def test_a_lossy_split_reads_a_loss_that_the_week_before_shows(people: trials.Outcomes) -> None:
    table = trials.broken(people, [0.0, 0.1], tests=30)
    assert abs(table["lift"][0.0]) < 0.15 and table["lift"][0.1] < -0.15
    assert table["before"][0.1] > table["stopped"][0.1] >= table["stopped"][0.0]


def test_looks(people: trials.Outcomes) -> None:
    found = trials.peeked(people, tests=200)
    last = found.iloc[-1]
    for who in trials.PEOPLE:
        assert last[who, "daily"] >= last[who, "once"] and last[who, "always_valid"] <= 0.05
    p = trials.daily_p(people, "nothing")
    assert p.shape == (8,) and ((p > 0) & (p <= 1)).all()
    assert naive.first_find([0.2, 0.04, 0.01]) == 2 and naive.first_find([0.2]) == 0
    over = trials.exaggerated(people, tests=200)
    assert over["at the first find"] > over["at the end"] > 1


def test_by_user_the_supply_is_shared() -> None:
    reacts, calm = (trials.spillover(13, applause=strength, users=200, days=6) for strength in (1.5, 0.0))
    assert min(reacts.values()) > 0 and min(calm.values()) > 0
    assert reacts == trials.spillover(13, applause=1.5, users=200, days=6)
    assert naive.measured(0.3, 0.1) == pytest.approx(0.2)


def test_truths_and_launches_name_every_candidate(people: trials.Outcomes) -> None:
    table = trials.truths(people)
    assert list(table.index) == list(trials.CANDIDATES)
    assert table["truth"]["value"] == pytest.approx(people.likes["value"].sum() / people.likes["popular"].sum() - 1)
    launched = trials.launches(people, days=8)
    assert set(launched["action"]) <= {"ship", "hold", "roll back"} and len(launched) == 2 * len(table)
    assert naive.ship(0.01) == "ship" and naive.ship(-0.01) == "roll back"


def test_a_season_ships_by_its_rule() -> None:
    found = trials.season(13, users=200, days=16)
    assert list(found.index) == list(trials.RULES)
    assert ((found["gain"] == 0) == (found["shipped"] == trials.CONTROL)).all()


def test_figures_repeat(bench: Bench, metrics: pd.DataFrame, people: trials.Outcomes) -> None:
    samples = judging.samples(13, users=500, people=50, repeats=20, days=2)
    logs = {0.3: judging.shadowed(bench, 0.3, days=1)}
    tables = {share: judging.off_policy(log) for share, log in logs.items()}
    plan, broken = trials.plan(people, tests=10), trials.broken(people, [0.0, 0.1], tests=5)
    spill = pd.DataFrame({("creators react", 1): {"truth": 1.0, "user": 0.8, "market": 1.1}}).T
    spill = spill.rename_axis(["world", "seed"])
    season = pd.concat({1: trials.season(13, users=150, days=15)}, names=["seed", "rule"])

    def figures() -> list[bytes]:
        made = [draw.metric_panels(metrics), draw.interval_ladders(samples, judging.coverage(samples), 10)]
        made += [draw.slice_gaps(judging.sliced(bench)), draw.simpson(judging.volunteers(13, users=500)[0])]
        made += [draw.what_if(tables, logs), draw.plan_panels(plan, broken)]
        made += [draw.peek_curves(trials.peeked(people, tests=20)), draw.spill_dots(spill)]
        made += [draw.truth_grid(trials.truths(people)), draw.season_dots(season, season)]
        return [png(one) for one in made]

    assert figures() == figures()
