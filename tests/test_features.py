"""One definition, two executions, checked against a loop that anyone can read."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys import FeatureStore
from mlsys.core import ACTIONS, UNKNOWN_ID, MlsysError
from mlsys.features import Aggregation, Entity, FeatureService, FeatureView, Status
from mlsys.features.definitions import feed_views
from mlsys.features.offline import PointInTimeView
from mlsys.features.online import StoreUnavailable
from mlsys.features.streaming import StreamingView
from mlsys.world.noise import NoiseWorld

START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(3_600_000_000, "us")
USER = Entity("user", "user_id")
VIEW = FeatureView(
    "user",
    USER,
    (
        Aggregation("events", "count"),
        Aggregation("actions", "count", column="action"),
        Aggregation("likes", "sum", column="action", equals="like"),
        Aggregation("like_rate", "mean", column="action", equals="like"),
        Aggregation("slots", "sum", column="position", window_days=2 / 24),
        Aggregation("recent_rate", "mean", column="action", equals="like", window_days=3 / 24),
        Aggregation("posts", "distinct", column="post_id"),
        Aggregation("recent_posts", "distinct", column="post_id", window_days=4 / 24),
        Aggregation("best", "max", column="position"),
        Aggregation("recent_worst", "min", column="position", window_days=3 / 24),
        Aggregation("last_slot", "last", column="position", window_days=4 / 24),
        Aggregation("last_liked", "last", column="action", equals="like"),
        Aggregation("hours_since_like", "time_since", column="action", equals="like"),
        Aggregation("hours_since", "time_since", window_days=2 / 24),
    ),
    ttl_days=6 / 24,
)

# Few users, posts and hours, so that ties, duplicates, late events and window edges happen all the time.
row = st.tuples(
    st.sampled_from([UNKNOWN_ID, 1, 2, 3]),
    st.integers(1, 3),
    st.sampled_from([*ACTIONS, None]),
    st.integers(0, 12),
    st.sampled_from([0, 0, 1, 2, 3, 5]),
    st.integers(1, 9),
)


def frame(rows: list[tuple]) -> pd.DataFrame:  # type: ignore[type-arg]
    user, post, action, hour, delay, slot = zip(*rows, strict=True) if rows else ((),) * 6
    happened = START + np.array(hour, np.int64) * HOUR
    return pd.DataFrame(
        {
            "event_id": np.arange(len(rows)),
            "user_id": np.array(user, np.int64),
            "post_id": np.array(post, np.int64),
            "action": pd.Categorical(list(action), categories=list(ACTIONS)),
            "event_time": happened,
            "arrival_time": happened + np.array(delay, np.int64) * HOUR,
            "position": np.array(slot, np.int64),
        }
    )


def by_hand(events: pd.DataFrame, user: int, at: np.datetime64) -> list[float]:
    """The definitions of VIEW, read off row by row."""
    known = events[(events["user_id"] == user) & (events["arrival_time"] < at)]
    if user == UNKNOWN_ID or not len(known) or at - known["arrival_time"].max() > 6 * HOUR:
        return [np.nan] * len(VIEW.aggregations)
    known = known.sort_values(["event_time", "arrival_time", "event_id"])
    acted, four = known[known["action"].notna()], known[known["event_time"] >= at - 4 * HOUR]
    liked = acted[acted["action"] == "like"]
    two, three = known[known["event_time"] >= at - 2 * HOUR], acted[acted["event_time"] >= at - 3 * HOUR]
    return [
        len(known),
        len(acted),
        (acted["action"] == "like").sum(),
        (acted["action"] == "like").mean() if len(acted) else np.nan,
        two["position"].sum(),
        (three["action"] == "like").mean() if len(three) else np.nan,
        known["post_id"].nunique(),
        four["post_id"].nunique(),
        known["position"].max(),
        known.loc[known["event_time"] >= at - 3 * HOUR, "position"].min(),
        four["position"].iloc[-1] if len(four) else np.nan,
        float(acted["action"].iloc[-1] == "like") if len(acted) else np.nan,
        (at - liked["event_time"].iloc[-1]) / HOUR if len(liked) else np.nan,
        (at - two["event_time"].iloc[-1]) / HOUR if len(two) else np.nan,
    ]


def store_of(events: pd.DataFrame) -> FeatureStore:
    store = FeatureStore()
    store.apply(VIEW)
    store.ingest(events)
    return store


@settings(max_examples=150, deadline=None)
@given(
    st.lists(row, min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 20)), max_size=8),
)
def test_offline_equals_the_definition_read_by_hand(rows, questions) -> None:  # type: ignore[no-untyped-def]
    events = frame(rows)
    asked = pd.DataFrame(
        {
            "user_id": np.array([u for u, _ in questions], np.int64),
            "event_time": START + np.array([h for _, h in questions], np.int64) * HOUR,
        }
    )
    got = store_of(events).get_historical_features(asked, list(VIEW.refs))
    assert len(got) == len(asked)
    want = [by_hand(events, u, START + h * HOUR) for u, h in questions]
    np.testing.assert_allclose(
        got[list(VIEW.refs)].to_numpy(np.float64), np.array(want).reshape(len(questions), len(VIEW.refs)), rtol=1e-6
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(row, min_size=1, max_size=25), st.integers(0, 20))
def test_online_equals_offline_to_the_bit(rows, hour) -> None:  # type: ignore[no-untyped-def]
    store, at = store_of(frame(rows)), START + hour * HOUR
    store.materialize(at)
    users = np.array([1, 2, 3, 99, UNKNOWN_ID])
    online = store.get_online_features(list(VIEW.refs), {"user_id": users}, at)
    offline = store.get_historical_features(pd.DataFrame({"user_id": users, "event_time": at}), list(VIEW.refs))
    np.testing.assert_array_equal(online.values, offline[list(VIEW.refs)].to_numpy(np.float32))
    assert ((online.status == Status.PRESENT) == ~np.isnan(online.values)).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(row, min_size=1, max_size=25), st.lists(st.integers(0, 20), min_size=1, max_size=6).map(sorted))
def test_streaming_equals_offline_at_every_stop(rows, stops) -> None:  # type: ignore[no-untyped-def]
    events, view, before = frame(rows), StreamingView(VIEW), np.datetime64(0, "us")
    offline, users = PointInTimeView(VIEW, events), np.array([UNKNOWN_ID, 1, 2, 3, 99])
    held = {user: np.full(len(VIEW.refs), np.nan) for user in users.tolist()}
    for hour in stops:
        at = START + hour * HOUR
        arrived = (events["arrival_time"] >= before) & (events["arrival_time"] < at)
        changed, before = view.update(events[arrived], at), at
        values, newest = view.values(users)
        want, want_newest = offline.values(users, np.full(5, at.astype(np.int64)))
        np.testing.assert_allclose(values, want, rtol=1e-6)
        np.testing.assert_array_equal(newest, want_newest)
        ages = [i for i, a in enumerate(VIEW.aggregations) if a.operation == "time_since"]
        for user, found in zip(users.tolist(), np.delete(values, ages, axis=1), strict=True):
            same = np.array_equal(np.delete(held[user], ages), found, equal_nan=True)
            assert same or user in changed  # Nothing changes that is not reported.
        held = dict(zip(users.tolist(), values, strict=True))


def test_a_stream_takes_every_event_once_and_in_order() -> None:
    view, events = StreamingView(VIEW), frame([(1, 1, "like", 5, 0, 1)])
    with pytest.raises(MlsysError, match="in order of arrival") as raised:
        view.update(events, START + 5 * HOUR)
    assert raised.value.rows["event_id"].tolist() == [0]
    view.update(events, START + 6 * HOUR)
    with pytest.raises(MlsysError, match="stands at"):
        view.update(events, START + 7 * HOUR)
    with pytest.raises(MlsysError, match="stands at"):
        view.update(events.head(0), START)


def test_a_row_never_sees_itself_nor_its_twin_of_the_same_instant() -> None:
    events = frame([(1, 1, "like", 5, 0, 1), (1, 2, "like", 5, 0, 1)])
    rows = store_of(events).get_historical_features(events, ["user:likes"])
    assert rows["user:likes"].isna().all()


def test_a_late_event_is_invisible_until_it_arrives() -> None:
    store = store_of(frame([(1, 1, "view", 0, 0, 1), (1, 1, "like", 1, 5, 1)]))
    asked = pd.DataFrame({"user_id": [1, 1], "event_time": [START + 6 * HOUR, START + 7 * HOUR]})
    # At hour 6 the like has happened (hour 1) and arrives at this very instant: not before it.
    assert store.get_historical_features(asked, ["user:likes"])["user:likes"].tolist() == [0.0, 1.0]


def test_labels_keep_their_rows_order_index_and_duplicates() -> None:
    """The best-known local store returned 3 of 5 such rows: no expired one, no twin."""
    store = store_of(frame([(1, 1, "like", 0, 0, 1)]))
    asked = pd.DataFrame(
        {"user_id": [1, 1, 1, 9, 1], "event_time": START + np.array([1, 1, 300, 1, 2]) * HOUR},
        index=[5, 3, 3, 0, 8],
    )
    got = store.get_historical_features(asked, ["user:likes"])
    assert got.index.tolist() == [5, 3, 3, 0, 8]
    np.testing.assert_array_equal(got["user:likes"], [1, 1, np.nan, np.nan, 1])


def test_online_statuses_and_ages() -> None:
    store = store_of(frame([(1, 1, None, 0, 0, 1), (2, 1, "like", 10, 0, 1)]))
    store.materialize(START + 11 * HOUR)
    answer = store.get_online_features(
        ["user:events", "user:like_rate"], {"user_id": np.array([1, 2, 7])}, START + 12 * HOUR
    )
    names = [[Status(s).name for s in line] for line in answer.status]
    assert names == [["OUTSIDE_MAX_AGE"] * 2, ["PRESENT"] * 2, ["NOT_FOUND"] * 2]
    assert answer.age_seconds[:2, 0].tolist() == [12 * 3600, 2 * 3600]
    assert np.isnan(answer.values[0]).all()
    early = store.get_online_features(["user:like_rate"], {"user_id": np.array([1])}, START + 1 * HOUR)
    assert early.status[0, 0] == Status.NULL_VALUE


def test_feature_order_is_the_asked_one_across_views() -> None:
    store = FeatureStore()
    store.apply(*feed_views())
    store.ingest(NoiseWorld(users=20, posts=20).events(500))
    store.materialize(NoiseWorld().end)
    refs = ["post:total_likes", "user:like_rate", "post:unique_viewers", "user:total_actions"]
    keys = {"user_id": np.array([3]), "post_id": np.array([4])}
    mixed = store.get_online_features(refs, keys, NoiseWorld().end)
    single = [store.get_online_features([ref], keys, NoiseWorld().end).values[0, 0] for ref in refs]
    assert mixed.values[0].tolist() == single


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda s: s.get_historical_features(pd.DataFrame({"user_id": [1]}), ["user:likes"]), "event_time"),
        (lambda s: s.get_historical_features(pd.DataFrame(), ["user:lieks"]), "user:lieks"),
        (lambda s: s.get_historical_features(pd.DataFrame(), "nobody"), "nobody"),
        (lambda s: s.get_online_features(["user:likes"], {"user_id": np.array([1])}, START), "materialize"),
        (lambda s: s.apply(FeatureService("x", ("user:nothing",))), "user:nothing"),
        (lambda s: s.get_historical_features(pd.DataFrame(), []), "no features"),
        (lambda s: (s.materialize(START), s.get_online_features(["user:likes"], {}, START)), "lacks 'user_id'"),
        (lambda s: Aggregation("x", "median", column="action"), "median"),
        (lambda s: Aggregation("x", "sum"), "column"),
        (lambda s: Aggregation("x", "count", window_days=0), "window_days"),
    ],
)
def test_errors_name_what_is_wrong_and_what_to_do(act, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MlsysError, match=says) as raised:
        act(store_of(frame([(1, 1, "like", 0, 0, 1)])))
    assert "do:" in str(raised.value)


def test_a_view_cannot_be_redefined_under_a_service_that_needs_it() -> None:
    store = store_of(frame([(1, 1, "like", 0, 0, 1)]))
    store.apply(FeatureService("feed", ("user:likes",)))
    with pytest.raises(MlsysError, match="user:likes"):
        store.apply(FeatureView("user", USER, (Aggregation("events", "count"),)))


def test_infinite_amounts_are_refused_with_their_rows() -> None:
    events = frame([(1, 1, "like", 0, 0, 1), (2, 1, "like", 0, 0, 1)]).assign(amount=[1.0, np.inf])
    store = FeatureStore()
    store.apply(FeatureView("user", USER, (Aggregation("spent", "sum", column="amount"),)))
    store.ingest(events)
    with pytest.raises(MlsysError, match="infinite") as raised:
        store.materialize(START)
    assert raised.value.rows["user_id"].tolist() == [2]


def test_an_outage_raises_its_own_error() -> None:
    store = store_of(frame([(1, 1, "like", 0, 0, 1)]))
    store.materialize(START)
    store.available = False
    with pytest.raises(StoreUnavailable):
        store.get_online_features(["user:likes"], {"user_id": np.array([1])}, START)


def test_a_long_log_does_not_overflow_the_composite_key() -> None:
    """Two thousand entities times a millennium of microseconds exceeds int64; ranks of times do not."""
    events = NoiseWorld(users=3_000_000, posts=10, days=365_000, seed=2).events(2_000)
    store = FeatureStore()
    store.apply(FeatureView("user", USER, (Aggregation("events", "count"),)))
    store.ingest(events)
    last = events.sort_values("event_time").tail(1)
    at = NoiseWorld(users=3_000_000, days=365_000).end
    asked = pd.DataFrame({"user_id": last["user_id"], "event_time": at})
    want = (events["user_id"] == last["user_id"].iloc[0]).sum()
    assert store.get_historical_features(asked, ["user:events"])["user:events"].iloc[0] == want
