"""Evenings on a virtual clock: what they are worth, what a failing store does to them, and how queues grow."""

import numpy as np
import pandas as pd
import pytest

from mlsys.core import MlsysError
from mlsys.features.online import MemoryOnline, StoreUnavailable
from mlsys.features.timeline import NEVER
from mlsys.orchestration import outages, pushes, scaling, serving
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.traffic import Evening, Fault, FaultyOnline, RequestClock, serve
from mlsys.training import LinearModel
from mlsys.training.compression import compress

NOW = np.datetime64("2026-01-01", "us")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(5, users=150, days=5)


@pytest.fixture(scope="module")
def linear(bench: Bench) -> LinearModel:
    return LinearModel.fit(bench.X, bench.y)


def faulty(*faults: Fault, **settings: object) -> tuple[FaultyOnline, RequestClock]:
    store, clock = MemoryOnline(), RequestClock(NOW)
    store.write("user", np.arange(4), np.arange(4, dtype=np.float32)[:, None], np.zeros(4, np.int64))
    return FaultyOnline(store, clock, faults, **settings), clock  # type: ignore[arg-type]


def test_a_request_clock_stands_where_it_is_set() -> None:
    clock = RequestClock(NOW)
    clock.begin(10)
    clock.advance(seconds=2)
    assert clock.monotonic() == pytest.approx(12) and clock.now() == NOW + np.timedelta64(12, "s")
    clock.begin(3)  # The next request began earlier than the last one ended.
    assert clock.monotonic() == pytest.approx(3) and clock.now() == NOW + np.timedelta64(3, "s")


def test_a_read_takes_time_and_waits_no_longer_than_the_timeout() -> None:
    store, clock = faulty(Fault("gone", 5, 60), timeout=0.02)
    assert store.read("user", np.array([2]))[0].item() == 2.0  # type: ignore[index]
    assert 0 < clock.monotonic() < 0.01
    clock.begin(5)
    with pytest.raises(StoreUnavailable):
        store.read("user", np.array([2]))
    assert clock.monotonic() == pytest.approx(5.02)


def test_without_a_timeout_a_read_ends_with_the_fault() -> None:
    store, clock = faulty(Fault("gone", 0, 60), timeout=None)
    assert store.read("user", np.array([3])) is not None
    assert clock.monotonic() == pytest.approx(60)


def test_kinds_of_faults() -> None:
    slow, clock = faulty(Fault("slow", 0, 9, 0.3), timeout=0.5)
    assert slow.read("user", np.array([1])) is not None and clock.monotonic() == pytest.approx(0.3)
    shifted, _ = faulty(Fault("shifted", 0, 9))
    values, newest = shifted.read("user", np.array([1, 3]))  # type: ignore[misc]
    assert values[0, 0] == 2.0 and newest[1] == NEVER  # Plausible, but the next one's; the last has no next.
    garbage, _ = faulty(Fault("garbage", 0, 9))
    assert garbage.read("user", np.array([1]))[1][0] > np.datetime64("2100", "us").astype(np.int64)  # type: ignore[index]
    swallowed, _ = faulty(Fault("gone", 0, 9), swallow=True)
    assert swallowed.read("user", np.array([1]))[1][0] == NEVER  # type: ignore[index]
    flaky, clock = faulty(Fault("flaky", 0, 1e9, 0.3))
    refused = 0
    for _ in range(1_000):
        try:
            flaky.read("user", np.array([1]))
        except StoreUnavailable:
            refused += 1
    assert refused == pytest.approx(300, abs=60)
    with pytest.raises(MlsysError, match="no fault"):
        Fault("tired", 0, 1)


def test_an_evening_is_worth_most_in_the_best_order(bench: Bench) -> None:
    evening = Evening(bench.world, seconds=60)
    dice = evening.worth(np.random.default_rng(0).random(evening.posts.shape))
    good = evening.worth(serving.scored(bench, evening, bench.model))
    assert (evening.oracle >= dice - 1e-9).all() and dice.sum() < good.sum() < evening.oracle.sum()
    assert (np.diff(evening.arrival) >= 0).all() and evening.arrival.max() < 60


def test_serving_earns_what_ranking_by_the_model_is_worth(bench: Bench) -> None:
    evening, clock = Evening(bench.world, seconds=60), RequestClock(bench.now)
    done = serve(evening, serving.server(bench, clock, bench.model), clock)
    exact = evening.worth(serving.scored(bench, evening, bench.model))
    assert done["likes"].sum() == pytest.approx(exact.sum(), rel=2e-3)  # Ties go to the lower id in a server.
    assert not done["failed"].any() and (done["latency"] >= -1e-6).all()


def test_requests_wait_for_a_free_thread(bench: Bench, linear: LinearModel) -> None:
    evening = Evening(bench.world, seconds=10, most=80)
    each, latency = 0.3 / evening.posts.shape[1], {}
    for threads in (1, 80):
        clock = RequestClock(bench.now)
        latency[threads] = serve(evening, serving.server(bench, clock, linear, seconds=each), clock, threads=threads)[
            "latency"
        ]
    np.testing.assert_allclose(latency[80], 0.3, atol=1e-3)
    arrival, free, expected = evening.arrival, 0.0, []
    for at in arrival:  # Lindley: it starts when it has come and the one before is done.
        free = max(at, free) + 0.3
        expected.append(free - at)
    np.testing.assert_allclose(latency[1], expected, atol=1e-3)


def test_a_late_answer_and_one_from_a_missing_rung_are_worth_nothing(bench: Bench, linear: LinearModel) -> None:
    night = outages.Night(bench, seconds=60, most=60, model=linear)
    fault = Fault("flaky", 0, 1e6)
    none, _ = night.answer(outages.Policy(fallback=False), [fault])
    some, _ = night.answer(outages.Policy(), [fault])
    assert none["failed"].all() and none["likes"].sum() == 0
    assert not some["failed"].any() and some["likes"].sum() > 0 and (some["popularity"] == 1).all()


def test_rungs_are_in_the_order_of_what_they_keep(bench: Bench) -> None:
    night, fault = outages.Night(bench, seconds=80), Fault("gone", 30, 80)
    table = night.table(fault)
    kept = table["kept"]
    assert kept["naive: wait"] < kept["timeout, popularity"] < kept["timeout, defaults"] < kept["cache, snapshot"]
    assert table["detected"]["naive: wait"] >= 50 > 10 > table["detected"]["timeout, popularity"]
    assert table["recovered"]["cache, snapshot"] == pytest.approx(0, abs=0.1)
    assert table["recovered"]["cache, snapshot, breaker"] <= 5.5  # It looks again after five seconds.


def test_only_a_look_at_what_comes_back_finds_garbage(bench: Bench, linear: LinearModel) -> None:
    night = outages.Night(bench, seconds=60, model=linear)
    policies = {name: outages.POLICIES[name] for name in (outages.E5, outages.E6)}
    table = night.table(Fault("garbage", 20, 60), policies)
    assert np.isnan(table["detected"][outages.E5]) and table["detected"][outages.E6] < 10
    assert table["kept"][outages.E6] > table["kept"][outages.E5] + 0.05


def test_a_slow_store_and_few_threads_need_a_breaker(bench: Bench, linear: LinearModel) -> None:
    night = outages.Night(bench, seconds=25, model=linear)
    found = outages.collapse(night, {"slow": Fault("slow", 8, 16, 0.2)}, [2, 50], timeout=0.25)["failed"]["slow"]
    assert found[2, False] > 0.5 > 0.3 > found[2, True] and found[50, False] == 0


def test_a_queue_waits_as_long_as_the_formula_says() -> None:
    for load in (0.3, 0.6, 0.8):  # Pollaczek and Khinchine, service times all the same.
        wait = scaling.queued(load, requests=100_000).mean() - 1
        assert wait == pytest.approx(load / (2 * (1 - load)), rel=0.1)
    random = scaling.queued(0.8, servers=5, shared=False, requests=100_000).mean() - 1
    assert random == pytest.approx(0.8 / 0.4, rel=0.1)  # Each of the five is a queue of its own.
    assert scaling.queued(0.8, servers=5, requests=100_000).mean() - 1 < random / 3


def test_the_most_load_keeps_the_promise_and_a_little_more_does_not() -> None:
    load = scaling.most_load(0.004, 0.02)
    assert np.quantile(scaling.queued(load, service=0.004), 0.99) <= 0.02
    assert np.quantile(scaling.queued(load + 0.02, service=0.004), 0.99) > 0.02


def test_waiting_for_many_reads_is_one_minus_the_power() -> None:
    found = serving.fan_out([1, 5, 100], requests=50_000)["touched"]
    np.testing.assert_allclose(found, 1 - 0.99 ** np.array([1, 5, 100]), atol=0.01)


def test_parts_add_up_and_the_store_adds_its_trip() -> None:
    plain, remote = serving.budget(60), serving.budget(60, store_ms=2.0)
    assert remote.sum() - plain.sum() == pytest.approx(2.0)
    assert serving.budget(60, costs=dict.fromkeys(_names(), 0.0) | {"http_us": 500.0}).sum() == pytest.approx(0.5)


def _names() -> list[str]:
    from mlsys.capacity import unit_costs

    return list(unit_costs())


def test_a_key_of_the_user_alone_answers_for_another_post(bench: Bench) -> None:
    table = serving.keys(bench, Evening(bench.world, seconds=60))
    assert table["wrong"]["user"] > 0.9 and table["wrong"]["user, candidates"] == 0
    assert table["share"]["user"] < table["share"]["none"] - 0.1
    assert table["hits"]["user"] > table["hits"]["user, candidates"] > 0.7


def test_lists_know_nothing_of_what_came_later(bench: Bench) -> None:
    table = serving.moments(bench, lead=(6, 48))
    assert table["new"]["list, 48 h before"] == 0 < table["new"]["list, 6 h before"] < table["new"]["online"]
    assert table["share"]["hybrid"] > table["share"]["list, 6 h before"] > table["share"]["list, 48 h before"]
    assert table["cores"]["hybrid"] < table["cores"]["online"]


def test_a_lever_is_priced_by_what_it_leaves_out() -> None:
    share = {"trees": 0.8, "shortlist": 0.76, "linear": 0.6, "list": 0.7, "hybrid": 0.78}
    table = scaling.levers(share, page_hits=0.5, feature_hits=0.8, fallback=0.6)
    assert table["kept"].to_dict() == pytest.approx(
        {"more replicas": 1, "prediction cache": 1, "feature cache": 1, "shortlist of 200": 0.95, "linear model": 0.75,
         "hybrid": 0.975, "lists": 0.875, "shed half": 0.8})  # fmt: skip
    assert table["reads"]["feature cache"] == pytest.approx(100.2) and table["reads"]["prediction cache"] == 250.5
    np.testing.assert_allclose(table["cores 1,000M"] / table["cores 1M"], 1_000)


@pytest.mark.parametrize(("bits", "dtype"), [(16, np.float16), (8, np.int8)])
def test_fewer_bits_keep_the_order_nearly(bench: Bench, linear: LinearModel, bits: int, dtype: type) -> None:
    values = bench.X.to_numpy()
    small, exact = compress(linear, values, bits), linear.predict_array(values)
    assert small.stored(values).dtype == dtype and small.version != linear.version
    assert np.corrcoef(np.argsort(np.argsort(small.predict_array(values))), np.argsort(np.argsort(exact)))[0, 1] > 0.99


def test_doors_refuse_what_is_broken_in_form(bench: Bench) -> None:
    found = pushes.doors(bench)["refused by"]
    assert found["one bit flipped"] == found["a pickle"] == "registry"
    assert found["trained on other features"] == found["no numbers at all"] == "server"
    assert (found[-3:] == "nobody").all()


def test_a_bad_push_is_taken_back_where_there_is_somebody_to_compare_with() -> None:
    bench = Bench(5, users=900, days=5)
    people = Evening(bench.world, seconds=600)
    ways = {"all": ("canary", 1.0), "third": ("canary", 0.33), "shadow": ("shadow", 1.0)}
    tried = {name: pushes.push(bench, people, "misread", *how) for name, how in ways.items()}
    table = pd.DataFrame(tried).T
    assert np.isnan(float(table["gone"]["all"])) and table["lost"]["all"] > 0.15
    assert 60 < float(table["gone"]["third"]) < 600 and table["lost"]["third"] < table["lost"]["all"] / 2
    assert table["users"]["shadow"] == 0 and abs(table["lost"]["shadow"]) < 1e-12
    nan = pushes.push(bench, people, "nan", "canary", 0.3)
    assert int(nan["users"]) <= 3 and abs(float(nan["lost"])) < 1e-12


def test_a_cache_outlives_an_outage_and_a_mistake() -> None:
    found = outages.season(3)["all"]
    assert found["gone", "E6"] > found["gone", "E5"] and found["shifted", "E5"] > found["shifted", "E6"]
