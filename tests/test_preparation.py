"""Notebook 04's runs: every comparison changes what it says and nothing else; its figures repeat to the byte."""

from __future__ import annotations

import tempfile

import numpy as np
import pandas as pd
import pytest

from mlsys import naive
from mlsys.analysis import preparation as draw
from mlsys.analysis.style import png
from mlsys.collection import EventLog, Schema
from mlsys.orchestration import preparation as prep
from mlsys.orchestration import staleness
from mlsys.orchestration.bench import Bench
from mlsys.training import TreeModel
from mlsys.world import Oracle, Random


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(13, users=250, days=8)


def test_a_bench_judges_between_random_and_oracle(bench: Bench) -> None:
    judged = bench.judge(bench.model.predict)
    assert bench.rank(Random()).share < judged.share < bench.rank(Oracle()).share == 1
    assert 0.55 < bench.auc(bench.model.predict) < 0.85
    assert (bench.rows["arrival_time"] < bench.now).all() and bench.rows["action"].notna().all()
    assert not bench.log["event_id"].duplicated().any()


def test_judging_changes_nothing(bench: Bench) -> None:
    day = bench.world.day
    assert bench.judge(bench.model.predict).share == bench.judge(bench.model.predict).share
    assert bench.judge(bench.model.predict, bench.features).share == bench.judge(bench.model.predict).share
    assert bench.world.day == day


@pytest.mark.parametrize("killed_at", [1, 3, 99])
def test_a_killed_consumer_hands_out_every_event_once(killed_at: int) -> None:
    sent = prep.wire(13, users=100, days=1)
    with tempfile.TemporaryDirectory() as folder:
        with EventLog(folder, schema=Schema.of(sent)) as log:
            log.append(sent)
        taken = prep.consume(EventLog(folder), "test", killed_at=killed_at, max_rows=200)
    assert sorted(taken["event_id"]) == sorted(set(sent["event_id"]))


def test_the_naive_consumer_loses_or_doubles_a_batch() -> None:
    batches = [pd.DataFrame({"action": ["like"] * n}) for n in (1, 2, 4)]
    assert naive.consume(batches, 1, commit_first=True) == 5
    assert naive.consume(batches, 1, commit_first=False) == 9
    assert naive.consume(batches, 99, commit_first=False) == 7


def test_patience_costs_memory_and_saves_events() -> None:
    table = prep.lateness(prep.wire(13, users=200), (0, 6, 48))
    assert table["dead"].is_monotonic_decreasing and table["ids"].is_monotonic_increasing


def test_a_late_like_is_missing_until_it_arrives() -> None:
    table = prep.waiting(Bench(13, users=200, days=4, delay_minutes=360, late_share=0.0), (0, 24))
    assert table["like_rate"][0] < 0.85 * table["true_rate"][0]
    assert table["like_rate"][24] > 0.9 * table["true_rate"][24]


def test_the_contrast_has_a_column_per_world_and_design() -> None:
    worlds = prep.wait_or_train([13, 14], users=100, days=3)
    assert worlds.columns.tolist() == [(w, d) for w in ("calm", "shifted") for d in ("now", "wait")]
    assert worlds.index.tolist() == [13, 14] and worlds.notna().all(axis=None)


def test_a_shuffled_slice_shows_who_was_looked_at() -> None:
    slots, gain = prep.positions(13, users=2_000)
    assert slots["shuffled"].to_numpy() == pytest.approx(slots["true"].to_numpy(), abs=0.1)
    assert gain > 0.03


def test_steady_names_the_slice_that_moved(bench: Bench) -> None:
    check, web = prep.steady(bench.log), (bench.log["device"] == "Web").to_numpy()
    spoilt = prep.FAULTS["Web logs a view as a like"](bench.log, np.zeros(len(bench.log)))
    assert not check.fails(bench.log).any()
    assert np.array_equal(check.fails(spoilt), web)


def test_a_repeated_row_is_gone_after_verification(bench: Bench) -> None:
    table = prep.fault_costs(bench, faults=["views sent five times", "length in percent"])
    row = table.loc["views sent five times"]
    assert row["seen"] and row["set_aside"] == pytest.approx(0, abs=0.002) and 0.2 < row["touched"] < 0.6
    assert not table["seen"]["length in percent"]


def test_sampling_breaks_the_rate_and_the_formula_mends_it(bench: Bench) -> None:
    table = prep.sampling(bench)
    assert table["predicted"]["sampled"] > 3 * table["observed"]["sampled"]
    assert table["predicted"]["sampled, repaired"] == pytest.approx(table["observed"]["sampled"], rel=0.5)
    assert table["auc"]["sampled"] == table["auc"]["sampled, repaired"]


def test_dropped_rows_take_the_new_posts_with_them(bench: Bench) -> None:
    assert (naive.prepare(bench.X)["request:age_days"] >= 1).all()
    table = prep.fills(bench)
    assert table.index.nlevels == 2 and len(table) == 8


def test_no_split_saves_leaking_features(bench: Bench) -> None:
    table = prep.splits(bench)
    leak = table.loc["whole table"]
    assert min(leak[["random", "by user", "by time"]]) > leak["tomorrow"] + 0.1
    assert prep.splits(bench, whole_table=False).index.tolist() == ["point in time"]


def test_a_backfill_leaks_by_event_time_only(bench: Bench) -> None:
    table = staleness.backfill(bench)
    assert table["offline"]["event time"] > table["tomorrow"]["event time"] + 0.04
    assert table["offline"]["arrival"] < table["offline"]["event time"]


def test_old_values_are_served_and_expired_ones_withheld(bench: Bench) -> None:
    table = staleness.stale(bench, (0, 2, 4), (None, 1.0))
    assert table[1.0][2] == table[1.0][4] < table[np.inf][4]


def test_freshness_has_a_price(bench: Bench) -> None:
    table = staleness.freshness(bench, (1.0, 7.0), (1.0, 24.0), (None,))
    cores = table["cores"].to_dict()
    assert cores[7.0, 1.0, np.inf] == pytest.approx(24 * 7 * cores[1.0, 24.0, np.inf])
    fig = draw.freshness_map(table, (7.0, 24.0, np.inf), "text")
    assert png(fig) == png(draw.freshness_map(table, (7.0, 24.0, np.inf), "text"))


def test_the_skew_report_names_the_feature(bench: Bench) -> None:
    table = staleness.skews(bench)
    assert table["feature"]["length in percent"] == "request:length"
    assert table["feature"]["a second implementation"] == "user:like_rate"
    assert (table["trees"]["length in percent"] > 0.05) and (table["differ"] > 0.05).all()


def test_a_training_set_makes_the_same_model_again(bench: Bench) -> None:
    again = TreeModel.fit(bench.X.copy(), bench.y.copy())
    assert np.array_equal(again.predict(bench.X), bench.model.predict(bench.X))
