"""The store's verbs: versions, what is online after each of them, and that nothing counts twice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_features import HOUR, START, USER, VIEW, frame, row

from mlsys import FeatureStore
from mlsys.core import MlsysError
from mlsys.features import Aggregation, Entity, FeatureService, FeatureView, Status
from mlsys.features.definitions import feed_views
from mlsys.features.online import MemoryOnline
from mlsys.features.quality import skew_report, statistics
from mlsys.features.registry import Registry

POST = FeatureView("post", Entity("post", "post_id"), (Aggregation("likes", "sum", column="action", equals="like"),))
USERS = {"user_id": np.array([1, 2, 3, 99]), "post_id": np.array([1, 2, 3, 99])}
LIKES = Aggregation("likes", "sum", column="action", equals="like")


def parts(events: pd.DataFrame, stops: list[int]) -> list[pd.DataFrame]:
    """Events by the first stop before which they had arrived."""
    edges = [np.datetime64(0, "us"), *(START + hour * HOUR for hour in stops)]
    arrived = events["arrival_time"]
    return [events[(arrived >= a) & (arrived < b)] for a, b in pairwise(edges)]


def online(store: FeatureStore, hour: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = store.get_online_features(store.list_features(), USERS, START + hour * HOUR)
    return found.values, found.status, found.age_seconds


def together(events: pd.DataFrame, hour: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a store that computes everything at once has online."""
    store = FeatureStore()
    store.apply(VIEW, POST)
    store.ingest(events)
    store.materialize(START + hour * HOUR)
    return online(store, hour)


history = given(
    st.lists(row, min_size=1, max_size=25),
    st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True).map(sorted),
)


@settings(max_examples=40, deadline=None)
@history
def test_increments_end_where_a_full_materialization_does(rows, stops) -> None:  # type: ignore[no-untyped-def]
    events, store = frame(rows), FeatureStore()
    store.apply(VIEW, POST)
    store.ingest(events)
    for hour in stops:
        store.materialize_incremental(START + hour * HOUR)
        for found, want in zip(online(store, hour), together(events, hour), strict=True):
            np.testing.assert_array_equal(found, want)


@settings(max_examples=40, deadline=None)
@history
def test_pushes_end_where_a_full_materialization_does(rows, stops) -> None:  # type: ignore[no-untyped-def]
    store, events = FeatureStore(), frame(rows)
    twice = pd.concat([events, events.head(3)])  # At least once.
    store.apply(VIEW, POST)
    ages = [i for i, ref in enumerate([*VIEW.refs, *POST.refs]) if "since" in ref]
    for batch, hour in zip(parts(twice, stops), stops, strict=True):
        store.push(batch, START + hour * HOUR)
        for found, want in zip(online(store, hour), together(events, hour), strict=True):
            # A vector that no event touched keeps the hours_since of its last push.
            np.testing.assert_allclose(np.delete(found, ages, axis=1), np.delete(want, ages, axis=1), rtol=1e-6)


def test_a_push_counts_what_changed_and_goes_on_after_a_materialization() -> None:
    events, store = frame([(1, 1, "like", 0, 0, 1), (2, 1, "view", 1, 0, 1), (1, 2, "like", 4, 0, 1)]), FeatureStore()
    store.apply(POST)
    assert store.push(events.head(2), START + 2 * HOUR) == 1
    store.materialize(START + 3 * HOUR)
    assert store.push(events.tail(1), START + 5 * HOUR) == 2
    assert online(store, 5)[0][:, 0].tolist()[:2] == [1, 1]


def test_after_a_push_that_failed_the_next_one_puts_everything_right() -> None:
    class Flaky(MemoryOnline):
        down = False

        def write(self, table: str, *rest: Any, **options: Any) -> None:
            if self.down and table == "post":
                raise OSError("gone")
            super().write(table, *rest, **options)

    events = frame([(1 + i % 3, 1 + i % 2, "like", i, 0, 1) for i in range(12)])
    store, first, second = FeatureStore(Flaky()), *parts(events, [4, 9])
    store.apply(VIEW, POST)
    store.push(first, START + 4 * HOUR)
    with pytest.raises(MlsysError, match="cannot take these events"):
        store.push(second, START + 5 * HOUR)  # Some of them have not arrived by then.
    store.push(second, START + 9 * HOUR)
    for found, expected in zip(online(store, 9), together(events, 9), strict=True):
        np.testing.assert_array_equal(found, expected)
    store.online.down = True  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="gone"):
        store.push(parts(events, [9, 20])[1], START + 20 * HOUR)
    store.online.down = False  # type: ignore[attr-defined]
    store.push(events.head(0), START + 20 * HOUR)
    for found, expected in zip(online(store, 20), together(events, 20), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_event_counts_once_however_often_it_is_delivered() -> None:
    events, store = frame([(1, 1, "like", hour, 0, 1) for hour in range(4)]), FeatureStore()
    store.apply(FeatureView("user", USER, (LIKES,)))
    assert [store.ingest(part) for part in (events.tail(2), pd.concat([events, events]), events)] == [2, 2, 0]
    store.materialize(START + 9 * HOUR)
    assert store.get_online_features(["user:likes"], {"user_id": [1]}, START + 9 * HOUR).values.tolist() == [[4.0]]


def test_a_crash_between_views_resumes_with_the_view_that_lacks() -> None:
    store, seen = FeatureStore(), list[str]()
    store.apply(VIEW, POST)
    store.ingest(frame([(1, 1, "like", 0, 0, 1)]))

    def dies(view: str) -> None:
        seen.append(view)
        if view == "post":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.materialize_incremental(START + 5 * HOUR, on_view=dies)
    assert store.materialize_incremental(START + 5 * HOUR, on_view=seen.append) == 1
    assert seen == ["user", "post", "post"]
    assert store.materialize_incremental(START + 5 * HOUR) == 0


def test_a_changed_view_is_a_new_version_and_the_old_one_goes_on_serving() -> None:
    events, store = frame([(1, 1, "like", 0, 0, 1), (1, 1, "like", 8, 0, 1)]), FeatureStore()
    store.apply(FeatureView("user", USER, (LIKES,)))
    store.apply(FeatureService("model 1", ("user:likes",)))
    store.ingest(events)
    store.materialize(START + 9 * HOUR)
    recent = Aggregation("likes", "sum", column="action", equals="like", window_days=2 / 24)
    store.apply(FeatureView("user", USER, (recent,)))
    assert store.registry.versions == {"user": 2} and store.list_features() == ["user:likes"]
    store.apply(FeatureService("model 1", ("user@1:likes",)))
    with pytest.raises(MlsysError, match="not online"):
        store.get_online_features(["user:likes"], USERS, START + 9 * HOUR)
    read = store.get_online_features("model 1", {"user_id": [1]}, START + 9 * HOUR)
    assert read.values.tolist() == [[2.0]] and read.status[0, 0] == Status.PRESENT
    store.materialize(START + 10 * HOUR)  # Both: the older one, because a service uses it.
    both = store.get_online_features(["user:likes", "user@1:likes"], {"user_id": [1]}, START + 10 * HOUR)
    assert both.values.tolist() == [[1.0, 2.0]]
    asked = pd.DataFrame({"user_id": [1], "event_time": [START + 10 * HOUR]})
    assert store.get_historical_features(asked, ["user@1:likes"])["user@1:likes"].tolist() == [2.0]


def test_who_owns_a_view_is_not_its_meaning() -> None:
    store = FeatureStore()
    store.apply(FeatureView("user", USER, (LIKES,)), FeatureView("user", USER, (LIKES,), owner="feed team"))
    assert store.registry.versions == {"user": 1}
    assert store.registry.discover("feed team")["feature"].tolist() == ["user:likes"]


def test_features_are_found_by_what_they_read_and_who_uses_them() -> None:
    registry = Registry()
    for view in feed_views():
        registry.apply(view)
    registry.apply(FeatureService("ranker", ("post:total_likes",)))
    found = registry.discover()
    assert found["feature"].tolist() == registry.features()
    assert registry.discover("RANKER")["feature"].tolist() == ["post:total_likes"]
    assert set(registry.discover("action")["feature"]) >= {"user:like_rate", "post:total_likes"}
    assert len(registry.discover("nothing at all")) == 0 and len(Registry().discover("x")) == 0


def test_definitions_survive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "definitions.json"
    first = Registry(path)
    for definition in (
        VIEW,
        POST,
        FeatureService("ranker", POST.refs),
        FeatureView("post", POST.entity, (LIKES,), 3.0),
    ):
        first.apply(definition)
    first.stamp("post", 17)
    again = Registry(path)
    assert again.views == first.views and again.services == first.services and list(again.views) == list(first.views)
    assert again.versions == {"user": 1, "post": 2} and again.materialized["post"] == 17
    assert not list(tmp_path.glob("*.part"))


class TestQuality:
    def store(self) -> FeatureStore:
        store = FeatureStore()
        store.apply(FeatureView("user", USER, (LIKES, Aggregation("rate", "mean", column="action", equals="like"))))
        store.ingest(
            frame([(user, 1, "like" if hour % 2 else None, hour, 0, 1) for user in (1, 2) for hour in range(8)])
        )
        return store

    def served(self, store: FeatureStore) -> pd.DataFrame:
        asked = pd.DataFrame({"user_id": [1, 2, 1, 7], "event_time": START + np.array([3, 9, 9, 9]) * HOUR})
        return store.get_historical_features(asked, store.list_features())

    def test_what_training_sees_has_no_skew(self) -> None:
        store = self.store()
        report = skew_report(store, self.served(store), store.list_features())
        assert report["differ"].tolist() == [0, 0] and report["worst"].tolist() == [-1, -1]

    def test_every_kind_of_skew_is_counted_and_the_worst_row_named(self) -> None:
        store = self.store()
        served = self.served(store)
        served["user:likes"] = [1.0, np.nan, 400.0, 0.0]
        report = skew_report(store, served, store.list_features()).set_index("feature")
        assert report.index[0] == "user:likes" and report.loc["user:rate", "differ"] == 0
        likes = report.loc["user:likes"]
        assert likes[["rows", "differ", "missing", "unknown", "worst"]].tolist() == [4, 0.75, 0.25, 0.25, 1]
        assert (likes["mean_served"], likes["mean_trained"]) == (200.5, 2.5)
        with pytest.raises(MlsysError, match="served lacks user:likes"):
            skew_report(store, served.drop(columns="user:likes"), store.list_features())

    def test_staleness_is_skew_unless_training_is_as_stale(self) -> None:
        store, six = self.store(), np.timedelta64(6, "h")
        asked = pd.DataFrame({"user_id": [1, 2], "event_time": START + np.array([7, 11]) * HOUR})
        stale = store.get_historical_features(asked, ["user:likes"], every=six)
        assert skew_report(store, stale, ["user:likes"])["differ"].tolist() == [0.5]
        assert skew_report(store, stale, ["user:likes"], every=six)["differ"].tolist() == [0]

    def test_statistics_are_those_of_the_vectors(self) -> None:
        store = self.store()
        found = statistics(store, START + 9 * HOUR).set_index("feature")
        assert found.loc["user:likes"].tolist() == [2, 0, 4, 0, 4, 4, 4]
        assert statistics(store, START)["null_share"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["user@1", "user:likes"])
def test_names_that_references_need_are_refused(name: str) -> None:
    with pytest.raises(MlsysError, match="choose another name"):
        Registry().apply(FeatureView(name, USER, (LIKES,)))
