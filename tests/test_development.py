"""Notebook 05's runs: what is chosen, served and retrained is what the words say; its figures repeat to the byte."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlsys import naive
from mlsys.analysis import development as draw
from mlsys.analysis.style import png
from mlsys.capacity import unit_costs
from mlsys.orchestration import development as dev
from mlsys.orchestration import retraining
from mlsys.orchestration.bench import Bench
from mlsys.world import Oracle, Random, Requests


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(13, users=150, days=6)


@pytest.fixture(scope="module")
def broad(bench: Bench) -> Bench:
    return dev.wide(bench, 200)


def test_scoring_costs_go_through_the_measured_points() -> None:
    costs = unit_costs()
    assert dev.scoring_us(60) == costs["score_60_trees_500_us"]
    assert dev.scoring_us(240) == pytest.approx(costs["score_240_trees_500_us"])
    assert dev.scoring_us(0, 250) == costs["score_linear_500_us"] / 2
    assert dev.cores(2_000.0) == pytest.approx(2 * dev.cores(1_000.0))
    assert dev.fit_seconds(1e6, 120) == pytest.approx(2 * costs["fit_60_trees_us_per_row"])


def test_the_frontier_has_every_model_and_its_price(bench: Bench) -> None:
    table = dev.frontier(bench, (5, 20))
    assert list(table.index) == ["linear", "5 trees", "20 trees", "20 trees, slow"]
    assert table["share"].between(0.3, 1).all() and table["ms"]["5 trees"] < table["ms"]["20 trees"]
    learning = dev.learning(bench, [4, 1], (5,))
    assert list(learning.index) == [len(bench.X) // 4, len(bench.X)]
    assert learning["5 trees"].iloc[1] == pytest.approx(table["share"]["5 trees"])


def test_a_wide_bench_leaves_the_narrow_one_alone(bench: Bench, broad: Bench) -> None:
    best = bench.best
    assert broad.world.p.candidates == 200 and bench.world.p.candidates == 50
    assert broad.best > best == bench.best  # more to choose from
    assert broad.X is bench.X


def test_a_cascade_ranks_what_the_first_stage_hands_on(bench: Bench, broad: Bench) -> None:
    requests: list[Requests] = []

    def keep(asked: Requests) -> np.ndarray:
        requests.append(asked)
        return dev.embed(bench)(asked)

    cascade = dev.Cascade(broad, keep, 20, bench.model.predict)
    broad.rank(cascade)
    asked = requests[0]
    cheap, scores = dev.embed(bench)(asked), cascade.scores(asked)
    kept = scores > dev.LEFT_OUT
    assert scores.shape == asked.post_id.shape and (kept.sum(axis=1) == 20).all()
    assert (cheap[kept].reshape(-1, 20).min(axis=1) >= np.where(kept, -np.inf, cheap).max(axis=1)).all()
    everything = dev.Cascade(broad, keep, 200, bench.model.predict).scores(asked)
    assert np.allclose(everything[kept], scores[kept])  # the same ranker, more of it
    voted = dev.Cascade(broad, keep, 200, bench.model.predict, vote=1.0).scores(asked)
    assert np.allclose(voted, everything + cheap)


def test_stages_lie_between_chance_and_the_oracle(broad: Bench) -> None:
    stages = dev.stages(broad, keeps=[10, 50])
    assert stages["share"].between(0.3, 1).all()
    assert stages["ms"]["all"] == pytest.approx(dev.scoring_us(60, 200) / 1e3)
    assert stages["ms"]["embedding only"] == pytest.approx(unit_costs()["retrieve_1000_us"] / 5_000)
    variety = dev.variety(broad, [0.0, 0.2], keep=20)
    assert variety["topics"][0.2] > variety["topics"][0.0] and variety["share"][0.2] < variety["share"][0.0]


def test_promises_are_kept_on_random_traffic(bench: Bench, broad: Bench) -> None:
    table = dev.promises(bench, broad)
    assert abs(table["ratio"]["random traffic"] - 1) < 0.15
    assert table["promised"]["best 10 of 1,000"] > table["promised"]["by way of 50"]


def test_a_served_log_grows_and_the_start_stays(bench: Bench) -> None:
    rows, day = len(bench.log), bench.world.day
    later, earned = dev.live(bench, bench.model.predict, 2, explore=0.1)
    shuffled, chance = dev.live(bench, None, 2)
    assert (len(bench.log), bench.world.day) == (rows, day) and later.world.day == day + 2
    assert later.log["event_id"].is_unique and len(later.log) > rows and len(later.X) == len(later.rows)
    new = later.log["event_time"] >= bench.now
    assert 0 < later.log["explored"][new].mean() < 0.3 and shuffled.log["explored"].all()
    assert chance < earned < 1


def test_own_logs_and_cold_start_have_their_rows(bench: Bench) -> None:
    logs = dev.own_logs(13, users=80, days=1)
    assert list(logs.index) == list(dev.LOGS) and logs["earned"]["greedy"] > logs["earned"]["random"]
    cold = dev.cold(bench)
    assert cold["sessions"].sum() == len(bench.rank(Oracle()).log) // bench.world.p.slots
    assert cold.drop(columns="sessions").max().max() <= 1.0


def test_the_best_of_n_is_the_mean_over_all_choices() -> None:
    found = pd.DataFrame({"validation": [0.1, 0.5, 0.3, 0.4], "truth": [1.0, 2.0, 3.0, 4.0]})
    best = retraining.best_of(found, [1, 2, 4])
    assert best["truth"][1] == pytest.approx(2.5) and best["truth"][4] == 2.0
    assert best["validation"][2] == pytest.approx((0.5 * 3 + 0.4 * 2 + 0.3) / 6)


def test_a_search_knows_both_numbers() -> None:
    found = retraining.search(13, trials=3, users=60, days=4)
    assert len(found) == 3 and ((found[["validation", "truth"]] > 0.3) & (found[["validation", "truth"]] < 0.9)).all(
        axis=None
    )


def test_models_age_by_their_names() -> None:
    ages = retraining.ageing(13, users=60, first=4, calm=2, after=2)
    assert len(ages) == 4 and (ages.loc[0, ["frozen", "daily", "lag 3"]] == ages["daily"][0]).all()
    assert ages["lag 7"].equals(ages["frozen"].rename("lag 7"))  # four days are not seven


def test_the_way_of_a_label_is_that_of_the_log(bench: Bench) -> None:
    hours = retraining.velocity(bench.log, 2.0)
    way = (bench.log["arrival_time"] - bench.log["event_time"]).dt.total_seconds() / 3_600
    assert hours["nightly"]["label arrives"] == pytest.approx(way.quantile(0.99), rel=0.02)
    assert hours["nightly"]["fit"] == 2.0 and (hours.sum().diff().dropna() < 0).all()


def test_paper_follows_amdahl_and_the_unit_costs() -> None:
    paper = retraining.on_paper([1, 10, 10**9], serial=0.05)
    assert paper["speedup"].to_numpy() == pytest.approx([1, 1 / (0.05 + 0.095), 20], rel=1e-6)
    assert paper["hours"][1] == pytest.approx(dev.fit_seconds(paper["rows"][1]) / 3_600)
    assert retraining.on_paper([1], share=0.1)["hours"][1] == pytest.approx(paper["hours"][1] / 10)
    assert retraining.memory_gb(1e8)["float32"] == pytest.approx(4 * retraining.memory_gb(1e8)["bins"])
    assert retraining.gpu_rows_per_second(2) == pytest.approx(2e6 / unit_costs()["fit_60_trees_us_per_row"])


def test_a_rollback_is_an_alias(bench: Bench) -> None:
    assert all(retraining.released(bench).values())


def test_where_nobody_can_leave_both_systems_keep_everybody() -> None:
    month = retraining.month(13, users=80, days=3, train=3, return_strength=0.0)
    kept = month["kept"].groupby("system").first()
    assert kept["likes"] == kept["value"] and (month["likes"].groupby("system").diff().dropna() > 0).all()
    assert month["auc"].groupby("system").std().max() == pytest.approx(0)


def test_the_naive_answers_work() -> None:
    assert naive.largest([10, 240, 500], [1.0, 9.0, 200.0]) == 240
    assert naive.shortlist(1_000) == 1_000 and naive.workers(45.8, 1) == 46
    assert naive.with_position(pd.DataFrame({"a": [1.0, 2.0]}), 1)["position"].tolist() == [1, 1]
    assert naive.forecast([0.2, 0.4]) == pytest.approx(0.3) and naive.promoted([1, 2]) == 1
    assert naive.tuned(pd.Series([0.6, 0.7])) == 0.7


def test_figures_repeat_to_the_byte() -> None:
    frame = pd.DataFrame({"trees": [0, 30, 240, 240], "share": [0.7, 0.8, 0.75, 0.79], "ms": [0.02, 1.5, 9.4, 9.4]},
                         ["linear", "30 trees", "240 trees", "240 trees, slow"])  # fmt: skip
    learning = pd.DataFrame({"30 trees": [0.7, 0.8], "linear": [0.7, 0.7], "seconds": [0.1, 0.2]}, [1_000, 4_000])
    papers = {serial: retraining.on_paper([1, 10], serial=serial) for serial in (0.0, 0.1)}
    best = pd.DataFrame({"validation": [0.6, 0.7], "truth": [0.6, 0.61]}, [1, 8])
    drawn: list[list[bytes]] = []
    for _ in range(2):
        figures = [draw.frontier_panels(frame, learning), draw.paper_curves(papers, 1.0), draw.search_curve(best, 0.59)]
        drawn.append([png(figure) for figure in figures])
    assert drawn[0] == drawn[1]


def test_a_random_order_is_worth_what_the_bench_says(bench: Bench) -> None:
    assert dev.live(bench, None, 1)[1] == pytest.approx(bench.rank(Random()).share, abs=0.02)
