"""Feature cache, prediction cache and the ladder: what is served when the store answers, and when it does not."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys import FeatureStore, ModelServer
from mlsys.core import VirtualClock
from mlsys.features.definitions import feed_views
from mlsys.features.online import MemoryOnline, Source, StoreUnavailable
from mlsys.features.timeline import NEVER
from mlsys.serving.cache import FeatureCache, PredictionCache
from mlsys.serving.resilience import Deadline
from mlsys.training import LinearModel, label
from mlsys.world.noise import NoiseWorld

FRESH, CACHED, SNAPSHOT, MISSING = (int(one) for one in Source)


class Switch:
    """An online store that can be switched off, and counts what is read."""

    def __init__(self, inner: MemoryOnline) -> None:
        self.inner, self.on, self.read_ids = inner, True, list[int]()

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        if not self.on:
            raise StoreUnavailable("off", why="a test", fix="switch it on")
        self.read_ids += ids.tolist()
        return self.inner.read(table, ids)

    def write(self, *args: Any, **more: Any) -> None:
        self.inner.write(*args, **more)

    def rename(self, table: str, to: str) -> None:
        self.inner.rename(table, to)


def store_of(ids: np.ndarray, width: int = 2) -> Switch:
    inner = MemoryOnline()
    values = (ids[:, None] * 10.0 + np.arange(width)).astype(np.float32)
    inner.write("user", ids, values, ids * 1_000)
    return Switch(inner)


ids = st.lists(st.integers(0, 40) | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ids, st.floats(0, 8)), max_size=12), st.sampled_from([1, 4, 64]))
def test_what_the_cache_says_is_what_the_store_says(reads: list[tuple[list[int], float]], slots: int) -> None:
    """However few slots there are: ids that share one take it from each other, and never each other's vector."""
    clock, store = VirtualClock(), store_of(np.arange(0, 30, 2))
    cache = FeatureCache(clock, ttl_seconds=10, slots=slots)
    for asked, pause in reads:
        array = np.array(asked, np.int64)
        values, newest, source = cache.read(store, "user", array, 2)  # type: ignore[misc]
        expected = store.inner.read("user", array)
        assert expected is not None
        np.testing.assert_array_equal(values, expected[0])
        np.testing.assert_array_equal(newest, expected[1])
        assert set(source.tolist()) <= {FRESH, CACHED}
        clock.advance(seconds=pause)
    assert all(len(table.ids) == slots for table in cache._tables.values())


def test_an_id_is_read_once_per_ttl_whether_or_not_it_is_known() -> None:
    clock, store = VirtualClock(), store_of(np.array([1, 2]))
    cache = FeatureCache(clock, ttl_seconds=10)
    for _ in range(3):
        cache.read(store, "user", np.array([1, 1, 99]), 2)
    assert sorted(store.read_ids) == [1, 99]
    assert (cache.hits, cache.misses) == (6, 3)
    clock.advance(seconds=10.001)
    assert cache.read(store, "user", np.array([1]), 2)[2].tolist() == [FRESH]  # type: ignore[index]
    cache.read(store, "user", np.full(500, 2), 2)
    assert store.read_ids.count(2) == 1  # five hundred rows of one user are one read


def test_an_old_value_is_replaced_when_it_is_read_again() -> None:
    clock, store = VirtualClock(), store_of(np.array([1]))
    cache = FeatureCache(clock, ttl_seconds=10)
    cache.read(store, "user", np.array([1]), 2)
    store.write("user", np.array([1]), np.array([[7.0, 8.0]], np.float32), np.array([5]))
    assert cache.read(store, "user", np.array([1]), 2)[0].tolist() == [[10.0, 11.0]]  # type: ignore[index]
    clock.advance(seconds=11)
    assert cache.read(store, "user", np.array([1]), 2)[0].tolist() == [[7.0, 8.0]]  # type: ignore[index]


def test_during_an_outage_cached_then_expired_then_the_snapshot_then_nothing() -> None:
    clock, store, copy = VirtualClock(), store_of(np.array([1, 2])), MemoryOnline()
    copy.write("user", np.array([2, 3]), np.array([[0.5, 0.5], [0.25, 0.25]], np.float32), np.array([9, 9]))
    cache = FeatureCache(clock, ttl_seconds=10, snapshot=copy)
    cache.read(store, "user", np.array([1]), 2)
    clock.advance(seconds=8)
    cache.read(store, "user", np.array([2]), 2)
    clock.advance(seconds=4)
    store.on = False
    values, newest, source = cache.read(store, "user", np.array([1, 2, 3, 4]), 2)  # type: ignore[misc]
    assert source.tolist() == [SNAPSHOT, CACHED, SNAPSHOT, MISSING]
    assert values[:3].tolist() == [[10.0, 11.0], [20.0, 21.0], [0.25, 0.25]]  # what was read beats the copy
    assert np.isnan(values[3]).all() and newest[3] == NEVER
    store.on = True
    assert cache.read(store, "user", np.array([1]), 2)[2].tolist() == [FRESH]  # type: ignore[index]


def test_a_table_nobody_ever_read_has_the_width_it_is_asked_for() -> None:
    store = store_of(np.array([1]))
    store.on = False
    values, newest, source = FeatureCache(VirtualClock()).read(store, "post", np.array([5, 6]), 3)  # type: ignore[misc]
    assert values.shape == (2, 3) and np.isnan(values).all() and (source == MISSING).all() and (newest == NEVER).all()


def test_a_new_version_of_a_view_with_another_width_starts_over() -> None:
    clock, store = VirtualClock(), store_of(np.array([1]))
    cache = FeatureCache(clock, ttl_seconds=10)
    cache.read(store, "user", np.array([1]), 2)
    clock.advance(seconds=11)
    store.write("user", np.array([1]), np.ones((1, 3), np.float32), np.array([5]), replace=True)
    assert cache.read(store, "user", np.array([1]), 3)[0].tolist() == [[1.0, 1.0, 1.0]]  # type: ignore[index]


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[FeatureStore, LinearModel, np.datetime64]]:
    world = NoiseWorld(users=50, posts=80, seed=4)
    events = world.events(4_000)
    events = events[events["action"].notna()]
    store = FeatureStore()
    store.apply(*feed_views(ttl_days=7))
    store.ingest(events)
    rows = store.get_historical_features(events, store.list_features())
    store.materialize(world.end)
    yield store, LinearModel.fit(rows[store.list_features()], label(events)), world.end


Served = tuple[ModelServer, Switch, VirtualClock]


def served(parts: Any, *, snapshot: bool = False, predictions: float = 0.0, ttl: float = 300.0) -> Served:
    store, model, end = parts
    clock, switch = VirtualClock(end), Switch(store.online)
    cache = FeatureCache(clock, ttl_seconds=ttl, snapshot=store.online if snapshot else None)
    kept: PredictionCache[Any] | None = PredictionCache(clock, ttl_seconds=predictions) if predictions else None
    server = ModelServer(
        model, FeatureStore(switch, registry=store.registry, cache=cache), clock=clock, predictions=kept
    )
    server.remember_popularity(np.array([5, 2, 9]), np.array([1, 30, 7]))
    return server, switch, clock


POSTS = np.arange(1, 31)


def test_with_a_cache_the_answer_is_that_of_the_store_with_ages_and_expiry(parts: Any) -> None:
    store, model, end = parts
    clock = VirtualClock(end)
    cached = FeatureStore(store.online, registry=store.registry, cache=FeatureCache(clock, ttl_seconds=1e9))
    rows = {"user_id": np.array([3, 4, 999]), "post_id": np.array([1, 2, 999])}
    for days in (0, 3, 8):
        clock.advance(days=days)
        expected = store.get_online_features(model.signature.features, rows, clock.now())
        found = cached.get_online_features(model.signature.features, rows, clock.now())
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.status, expected.status)  # the view's TTL holds for what is cached too
        np.testing.assert_array_equal(found.age_seconds, expected.age_seconds)


def test_one_rung_after_the_other_as_things_fail(parts: Any) -> None:
    server, switch, clock = served(parts, snapshot=True)
    fresh = server.rank(3, POSTS)
    assert (fresh.rung, fresh.shares) == ("fresh", {"fresh": 1.0})
    again = server.rank(3, POSTS)
    assert again.rung == "cached" and again.scores.tolist() == fresh.scores.tolist()
    switch.on = False
    assert server.rank(3, POSTS).rung == "cached"
    clock.advance(seconds=301)
    old = server.rank(3, POSTS)
    assert old.rung == "snapshot" and old.posts.tolist() == fresh.posts.tolist()
    stranger = server.rank(999_999, POSTS)
    assert (stranger.rung, stranger.defaulted) == ("defaults", 0.5)
    assert stranger.shares == {"snapshot": 0.5, "defaults": 0.5}
    nothing = server.rank(999_999, np.array([7_000, 7_001, 9]))  # means for everything but one post
    assert nothing.rung == "defaults"
    assert server.rank(999_999, np.array([7_000, 7_001])).rung == "popularity"  # all alike: nothing tells them apart


def test_without_a_snapshot_popularity_answers_when_nothing_is_known(parts: Any) -> None:
    server, switch, _ = served(parts)
    switch.on = False
    down = server.rank(3, np.array([5, 2, 9, 77]))
    assert (down.rung, down.posts.tolist(), down.defaulted) == ("popularity", [2, 9, 5, 77], 1.0)
    assert 0 < server.predict(3, 5).probability < 1


def test_after_the_deadline_popularity_answers_and_the_store_is_left_alone(parts: Any) -> None:
    server, switch, clock = served(parts)
    deadline = Deadline.after(0.05, clock)
    clock.advance(seconds=1)
    assert server.rank(3, POSTS, deadline=deadline).rung == "popularity" and switch.read_ids == []


class Broken:
    def __init__(self, model: LinearModel, result: Any) -> None:
        self.version, self.signature, self.result = "broken", model.signature, result

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        if isinstance(self.result, Exception):
            raise self.result
        return np.full(len(values), self.result)


@pytest.mark.parametrize("result", [np.nan, np.inf, ZeroDivisionError("inside the model")])
def test_no_nan_leaves_the_server_and_no_models_error_reaches_a_user(parts: Any, result: Any) -> None:
    server, _, _ = served(parts)
    server.model = Broken(parts[1], result)  # past every check, as a push by hand
    ranking = server.rank(3, np.array([5, 2, 9]))
    assert ranking.rung == "popularity" and np.isfinite(ranking.scores).all() and ranking.posts[0] == 2
    assert server.events[-1].kind == "model_failed" and "broken" in server.events[-1].detail
    assert server.predict(3, 5).probability == 0.5


class TestPredictions:
    def test_the_same_request_gets_the_same_answer_until_it_is_too_old(self, parts: Any) -> None:
        server, switch, clock = served(parts, predictions=60)
        first = server.rank(3, POSTS, 5, {"device_code": 1, "event_time": 7.0})
        reads = len(switch.read_ids)
        again = server.rank(3, POSTS, 5, {"device_code": 1, "event_time": 8.0})
        assert again.cached and not first.cached and again.posts.tolist() == first.posts.tolist()
        assert len(switch.read_ids) == reads and server.predictions is not None and server.predictions.hits == 1
        clock.advance(seconds=61)
        assert not server.rank(3, POSTS, 5, {"device_code": 1, "event_time": 9.0}).cached

    @pytest.mark.parametrize(
        "other",
        [
            {"user": 4}, {"candidates": POSTS[:-1]}, {"candidates": POSTS[::-1]}, {"k": 6}, {"k": None},
            {"context": {"device_code": 2}}, {"context": None},
        ],
        ids=str,
    )  # fmt: skip
    def test_another_request_is_another_key(self, parts: Any, other: dict[str, Any]) -> None:
        server, _, _ = served(parts, predictions=60)
        asked: dict[str, Any] = {"user": 3, "candidates": POSTS, "k": 5, "context": {"device_code": 1}}
        server.rank(**asked)
        assert not server.rank(**(asked | other)).cached
        assert server.rank(**asked).cached

    def test_another_model_or_flag_is_another_key_and_a_rollback_forgets(self, parts: Any) -> None:
        from dataclasses import replace

        server, _, _ = served(parts, predictions=60)
        server.rank(3, POSTS)
        server.swap(replace(parts[1], version="2"))
        assert server.rank(3, POSTS).model_version == "2"
        server.roll_back("a test")
        assert not server.rank(3, POSTS).cached
        server.flags = ("serve_popularity",)
        assert server.rank(3, POSTS).rung == "popularity"

    def test_an_answer_from_an_outage_does_not_outlive_it(self, parts: Any) -> None:
        server, switch, _ = served(parts, predictions=60, snapshot=True)
        switch.on = False
        for posts in (POSTS, np.array([7_000, 7_001])):
            server.rank(3, posts)
            server.predict(3, int(posts[0]))
        switch.on = True
        assert not server.rank(3, POSTS).cached and not server.predict(3, 1).cached

    def test_predictions_are_kept_apart_from_rankings(self, parts: Any) -> None:
        server, _, _ = served(parts, predictions=60)
        server.rank(3, np.array([5]))
        assert not server.predict(3, 5).cached and server.predict(3, 5).cached
        assert server.rank(3, np.array([5])).cached and not server.rank(3, np.array([5]), 1).cached

    def test_the_least_recently_used_goes_first(self) -> None:
        cache: PredictionCache[int] = PredictionCache(VirtualClock(), size=2)
        cache.put("a", 1), cache.put("b", 2), cache.get("a"), cache.put("c", 3)
        assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_the_frame_of_a_cached_answer_reads_like_any_other(parts: Any) -> None:
    server, _, _ = served(parts)
    found = server.store.get_online_features(["user:like_rate"], {"user_id": np.array([3])}, server.clock.now())
    assert isinstance(found.frame(), pd.DataFrame) and found.source is not None
