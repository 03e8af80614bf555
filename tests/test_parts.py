"""What the daily loop stands on: inbox, catalogue, features of a request, models, registry, and the days' monitor."""

import pickle
import secrets
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys import FeatureStore, ModelMonitor, ModelServer
from mlsys.collection.inbox import Inbox
from mlsys.config import ConfigError, SystemConfig
from mlsys.core import ACTIONS, EVENT_SCHEMA, MlsysError, VirtualClock, microseconds
from mlsys.features import Entity, FeatureView, OnlineFeatures
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import Aggregation, OnDemandView, ranking_views
from mlsys.features.online import StoreUnavailable
from mlsys.training import LinearModel, TreeModel, ValueModel
from mlsys.training.registry import RegisteredModel, Registry
from mlsys.world import Random, World

SEED = secrets.randbelow(10**6)  # nobody tuned for it; every assertion that depends on it says it
START, HOUR, DAY = np.datetime64("2026-01-01", "us"), np.timedelta64(3_600_000_000, "us"), np.timedelta64(1, "D")
CONTEXT = ("event_time", "device_code")


@pytest.fixture(scope="module")
def week() -> tuple[World, pd.DataFrame, Catalogue]:
    """A world after 9 days of random ranking; their log, each event once, joined; the catalogue."""
    world = World(users=250, seed=SEED)
    log = pd.concat([world.step(Random()).log for _ in range(9)], ignore_index=True)
    catalogue = Catalogue(world.catalogue(), topics=world.p.topics)
    return world, catalogue.join_log(log[~log["event_id"].duplicated()].reset_index(drop=True)), catalogue


def ranking_store(events: pd.DataFrame) -> FeatureStore:
    store = FeatureStore()
    store.apply(*ranking_views())
    store.ingest(events)
    return store


def request(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """The rows of a log as a server gets them: ids, time, device."""
    ids = {name: rows[name].to_numpy() for name in ("user_id", "post_id", "device_code")}
    return {**ids, "event_time": microseconds(rows["event_time"])}


def day_of(log: pd.DataFrame, midnight: np.datetime64) -> pd.DataFrame:
    """The impressions of a day; a session that starts late in the evening has some on the next one."""
    return log[(log["event_time"] >= midnight) & (log["event_time"] < midnight + DAY)]


# --- Inbox -------------------------------------------------------------------------------------------------------


def events(ids: list[int], arrivals: list[int]) -> pd.DataFrame:
    arrived = START + np.array(arrivals, np.int64) * HOUR
    return pd.DataFrame({"event_id": np.array(ids, np.int64), "arrival_time": arrived})


delivery = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20)), max_size=8)


@given(st.lists(st.tuples(delivery, st.lists(st.integers(0, 21), max_size=3)), max_size=6))
def test_whatever_is_delivered_and_whenever_one_looks_every_event_comes_once(
    plan: list[tuple[list[tuple[int, int]], list[int]]],
) -> None:
    inbox, sent, got = Inbox(), [], list[int]()
    for delivered, polls in [*plan, ([], [21])]:
        inbox.deliver(events([one for one, _ in delivered], [hour for _, hour in delivered]))
        sent += delivered
        for hour in polls:
            batch = inbox.poll(START + hour * HOUR)
            assert (batch["arrival_time"] < START + hour * HOUR).all()
            assert batch["arrival_time"].is_monotonic_increasing
            first = {one: min(h for other, h in sent if other == one) for one, _ in sent}
            assert set(batch["event_id"]) == {one for one, h in first.items() if h < hour} - set(got)
            got += batch["event_id"].tolist()
            # What arrived is either handed out or a repeat; what did not is still on its way.
            past = [one for one, h in sent if h < hour]
            seen = len(got) + inbox.repeats
            assert seen >= len(past) and seen + len(inbox) == len(sent)
    assert sorted(got) == sorted({one for one, _ in sent})
    assert inbox.repeats == len(sent) - len(got) and len(inbox) == 0


def test_an_event_that_arrives_at_the_very_moment_is_not_there_yet() -> None:
    inbox = Inbox()
    inbox.deliver(events([1, 2], [3, 2]))
    assert inbox.poll(START + 3 * HOUR)["event_id"].tolist() == [2] and len(inbox) == 1
    assert inbox.poll(START + 4 * HOUR)["event_id"].tolist() == [1]


def test_an_inbox_that_nothing_was_delivered_to_is_empty() -> None:
    inbox = Inbox()
    batch = inbox.poll(START)
    assert list(batch.columns) == list(EVENT_SCHEMA) and len(batch) == len(inbox) == inbox.repeats == 0


def test_an_inbox_keeps_every_column_of_a_world_s_log() -> None:
    world, inbox = World(users=200, seed=SEED), Inbox()
    logs = [world.step(Random()).log for _ in range(2)]
    batches = []
    for log in logs:
        inbox.deliver(log)
        batches.append(inbox.poll(world.now))
    batches.append(inbox.poll(world.now + 30 * DAY))
    got = pd.concat(batches).sort_values("event_id", ignore_index=True)
    sent = pd.concat(logs).sort_values(["event_id", "arrival_time"], ignore_index=True)
    pd.testing.assert_frame_equal(got, sent[~sent["event_id"].duplicated()].reset_index(drop=True))
    assert inbox.repeats == len(sent) - len(got), SEED


# --- Catalogue ---------------------------------------------------------------------------------------------------


def test_a_log_and_a_request_are_joined_by_one_function(week: tuple[World, pd.DataFrame, Catalogue]) -> None:
    world, log, catalogue = week
    asked = catalogue.join({"user_id": log["user_id"].to_numpy(), "post_id": log["post_id"].to_numpy()})
    for name, column in asked.items():
        np.testing.assert_array_equal(column, log[name].to_numpy(), err_msg=f"{name}, seed {SEED}")
    post, user = log["post_id"].to_numpy(), log["user_id"].to_numpy()
    assert (asked["creator_id"] == world.posts.creator[post]).all()
    assert (asked["user_topic"] == user * world.p.topics + world.posts.topic[post]).all()
    assert (log["device_code"] == np.where(world.users.device[user] > 2, -1, world.users.device[user])).all()


def test_ids_that_nobody_knows_are_unknown_and_not_somebody_else_s(
    week: tuple[World, pd.DataFrame, Catalogue],
) -> None:
    world, _, catalogue = week
    posts = np.array([0, -1, len(world.posts), 0])
    found = catalogue.join({"user_id": np.array([5, 5, 5, -1]), "post_id": posts})
    assert found["creator_id"][[1, 2]].tolist() == found["topic"][[1, 2]].tolist() == [-1, -1]
    assert found["user_topic"].tolist() == [5 * 10 + found["topic"][0], -1, -1, -1]
    for name in ("length", "created"):
        assert np.isnan(found[name]).tolist() == [False, True, True, False]


def test_user_and_topic_make_one_key_each(week: tuple[World, pd.DataFrame, Catalogue]) -> None:
    world, log, _ = week
    pairs = pd.DataFrame({"user": log["user_id"], "topic": world.posts.topic[log["post_id"]], "key": log["user_topic"]})
    assert len(pairs.drop_duplicates()) == pairs["key"].nunique() == len(pairs[["user", "topic"]].drop_duplicates())


def test_a_catalogue_with_gaps_is_refused(week: tuple[World, pd.DataFrame, Catalogue]) -> None:
    posts = week[0].catalogue()
    with pytest.raises(MlsysError, match=r"does not count 0, 1, 2(.|\n)*fill the gaps"):
        Catalogue(posts.drop(index=3), topics=10)


# --- Features of the request, features of the morning ------------------------------------------------------------


def test_what_training_asks_is_what_the_server_was_told_that_morning(
    week: tuple[World, pd.DataFrame, Catalogue],
) -> None:
    """`every=` a day, against `materialize` and `get_online_features` at the midnight before: bit by bit."""
    _, log, catalogue = week
    midnight = START + 8 * DAY
    served = day_of(log, midnight)
    store = ranking_store(log)
    store.materialize(midnight)
    refs = store.list_features()
    online = store.get_online_features(refs, catalogue.join(request(served)), midnight)
    offline = store.get_historical_features(served, refs, every=DAY)
    np.testing.assert_array_equal(offline[refs].to_numpy(np.float32), online.values, err_msg=str(SEED))
    # Without `every` it would have been trained on what nobody knew in the morning.
    fresher = store.get_historical_features(served, refs)[refs].to_numpy(np.float32)
    assert (np.nan_to_num(fresher, nan=-1) != np.nan_to_num(online.values, nan=-1)).mean() > 0.05, SEED


def test_a_model_trained_on_the_morning_scores_the_log_as_the_server_did(
    week: tuple[World, pd.DataFrame, Catalogue],
) -> None:
    _, log, catalogue = week
    midnight = START + 8 * DAY
    store = ranking_store(log)
    store.materialize(midnight)
    today = day_of(log, midnight)
    refs = store.list_features()
    joined = store.get_historical_features(log[log["action"].notna()], refs, every=DAY)
    train = joined[joined["event_time"] < midnight]
    model = TreeModel.fit(train[refs].astype(np.float32), (train["action"] == "like").to_numpy(), max_iter=10)
    told: list[tuple[OnlineFeatures, np.ndarray]] = []

    def observe(answer: OnlineFeatures, scores: np.ndarray) -> None:
        told.append((answer, scores))

    server = ModelServer(model, store, clock=VirtualClock(midnight), catalogue=catalogue, observer=observe)
    asked = request(today)
    scores, defaulted, *_ = server.score(today["user_id"].to_numpy(), today["post_id"].to_numpy(), asked)
    expected = model.predict(store.get_historical_features(today, refs, every=DAY))
    np.testing.assert_array_equal(scores, expected, err_msg=str(SEED))
    (answer, observed), missing = told[0], np.isnan(store.get_historical_features(today, refs, every=DAY)[refs])
    assert answer.names == tuple(refs) and (observed == scores).all() and len(told) == 1
    assert defaulted == pytest.approx(missing.to_numpy().mean()) and defaulted > 0, SEED
    # One request with its context gets the same scores, best first.
    context = {name: float(asked[name][0]) for name in CONTEXT}
    ranking = server.rank(int(asked["user_id"][0]), asked["post_id"][:10], context=context)
    one = server.predict(int(asked["user_id"][0]), int(ranking.posts[0]), context=context)
    assert ranking.scores[0] == ranking.scores.max() == one.probability and len(ranking.posts) == 10
    with pytest.raises(MlsysError, match="event_time"):
        server.rank(1, asked["post_id"][:10])


@settings(max_examples=20)
@given(st.sampled_from([1, 5, 24, 36]))
def test_every_is_asking_at_the_last_full_hours(
    week: tuple[World, pd.DataFrame, Catalogue],
    hours: int,
) -> None:
    _, log, _ = week
    store, refs = ranking_store(log), [ref for view in ranking_views()[:4] for ref in view.refs]
    rows = log.tail(500)
    floored = rows.assign(event_time=rows["event_time"].dt.floor(f"{hours}h"))
    got = store.get_historical_features(rows, refs, every=hours * HOUR)
    pd.testing.assert_frame_equal(got[refs], store.get_historical_features(floored, refs)[refs])
    assert got["event_time"].equals(rows["event_time"])


def test_a_feature_of_the_request_is_one_function_offline_and_online(
    week: tuple[World, pd.DataFrame, Catalogue],
) -> None:
    world, log, catalogue = week
    store = ranking_store(log)
    refs = ["request:web", "request:age_days", "request:length"]
    offline = store.get_historical_features(log, refs, every=DAY)[refs]
    online = store.get_online_features(refs, catalogue.join(request(log)), START)
    np.testing.assert_array_equal(offline.to_numpy(), online.values, err_msg=str(SEED))
    assert (np.isnan(online.values) == (online.status != 0)).all() and (online.age_seconds == 0).all()
    assert np.isnan(offline["request:web"]).equals(log["device"].isna())
    assert (offline["request:web"] == 1).equals(log["device"] == "Web")
    post = log["post_id"].to_numpy()
    age = (microseconds(log["event_time"]) - microseconds(world.start) - world.posts.created[post]) / 86_400e6
    np.testing.assert_allclose(offline["request:age_days"], age, rtol=1e-5)
    assert (age > 0).all() and (age < world.p.live_days + 1).all(), SEED


def test_a_feature_of_the_request_says_what_it_lacks_and_needs_no_materialize(
    week: tuple[World, pd.DataFrame, Catalogue],
) -> None:
    _, log, _ = week

    def seconds(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return (columns["event_time"] / 1e6)[:, None].astype(np.float32)

    store = FeatureStore()
    store.apply(OnDemandView("clock", ("seconds",), ("event_time",), seconds))
    assert store.list_features() == ["clock:seconds"]
    rows = {"event_time": np.array([3_000_000])}
    assert store.get_online_features(["clock:seconds"], rows, START).values.tolist() == [[3.0]]
    assert store.materialize(START) == 0
    with pytest.raises(MlsysError, match="event_time"):
        store.get_historical_features(log[["user_id"]], ["clock:seconds"])
    store.available = False
    with pytest.raises(StoreUnavailable):
        store.get_online_features(["clock:seconds"], rows, START)


def test_a_request_without_its_context_is_refused_with_a_reason(week: tuple[World, pd.DataFrame, Catalogue]) -> None:
    _, log, catalogue = week
    ids = {name: log[name].to_numpy() for name in ("user_id", "post_id")}
    with pytest.raises(MlsysError, match="event_time"):
        ranking_store(log).get_online_features(["request:age_days"], catalogue.join(ids), START)


def test_a_store_that_was_pickled_answers_as_before(week: tuple[World, pd.DataFrame, Catalogue]) -> None:
    _, log, catalogue = week
    store = ranking_store(log)
    store.materialize(START + 8 * DAY)
    refs, rows = store.list_features(), log.tail(300)
    again: FeatureStore = pickle.loads(pickle.dumps(store))
    pd.testing.assert_frame_equal(again.get_historical_features(rows, refs), store.get_historical_features(rows, refs))
    asked = catalogue.join(request(rows)), START + 8 * DAY
    np.testing.assert_array_equal(
        again.get_online_features(refs, *asked).values, store.get_online_features(refs, *asked).values
    )


def test_only_the_views_that_are_named_are_refreshed(week: tuple[World, pd.DataFrame, Catalogue]) -> None:
    _, log, _ = week
    store = ranking_store(log)
    store.materialize(START + 5 * DAY)
    store.materialize(START + 8 * DAY, ["post", "user_topic"])
    now, refs = START + 8 * DAY, [f"{view}:impressions" for view in ("user", "post", "creator", "user_topic")]
    keys = {name: log[name].to_numpy() for name in ("user_id", "post_id", "creator_id", "user_topic")}
    got = store.get_online_features(refs, keys, now).values
    asked = {day: log.assign(event_time=START + day * DAY) for day in (5, 8)}
    old, new = (store.get_historical_features(asked[day], refs)[refs].to_numpy() for day in (5, 8))
    np.testing.assert_array_equal(got[:, [0, 2]], old[:, [0, 2]], err_msg=str(SEED))
    np.testing.assert_array_equal(got[:, [1, 3]], new[:, [1, 3]], err_msg=str(SEED))
    assert (np.nan_to_num(old) != np.nan_to_num(new)).any(axis=0).all(), SEED


event = st.tuples(st.integers(1, 3), st.sampled_from([*ACTIONS, None]), st.integers(0, 40), st.integers(0, 9))


@given(st.lists(event, min_size=1, max_size=30), st.integers(0, 40))
def test_what_no_window_reaches_can_be_forgotten(rows: list[tuple[int, str | None, int, int]], oldest: int) -> None:
    """For every question from `oldest` + the window on; whose events are all gone is unknown instead of idle."""
    window = 10
    user, action, hour, delay = (list(column) for column in zip(*rows, strict=True))
    log = pd.DataFrame(
        {
            "event_id": np.arange(len(rows)),
            "user_id": user,
            "post_id": 0,
            "action": pd.Categorical(action, categories=list(ACTIONS)),
            "event_time": START + np.array(hour) * HOUR,
            "arrival_time": START + (np.array(hour) + np.array(delay)) * HOUR,
        }
    )
    view = FeatureView(
        "user",
        Entity("user", "user_id"),
        (
            Aggregation("rate", "mean", column="action", equals="like", window_days=window / 24),
            Aggregation("count", "count", column="action", window_days=window / 24),
        ),
    )
    whole, shorter = FeatureStore(), FeatureStore()
    for store in (whole, shorter):
        store.apply(view)
        store.ingest(log)
    shorter.expire(START + oldest * HOUR)
    user_, hour_ = (grid.ravel() for grid in np.meshgrid([1, 2, 3, 4], np.arange(oldest + window, 62)))
    asked = pd.DataFrame({"user_id": user_, "event_time": START + hour_ * HOUR})
    before, after = (store.get_historical_features(asked, list(view.refs)) for store in (whole, shorter))
    pd.testing.assert_series_equal(before["user:rate"], after["user:rate"])
    pd.testing.assert_series_equal(before["user:count"].fillna(0), after["user:count"].fillna(0))


# --- Models and their registry -----------------------------------------------------------------------------------


def table(rng: np.random.Generator, n: int = 2_000) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels that need an interaction and a missing value: likely when a and b agree, and when c is missing."""
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    X.loc[rng.random(n) < 0.3, "c"] = np.nan
    agree = (X["a"] > 0) == (X["b"] > 0)
    return X, (rng.random(n) < np.where(X["c"].isna(), 0.9, np.where(agree, 0.7, 0.1))).astype(float)


def test_trees_see_what_a_sum_cannot_and_know_what_missing_means() -> None:
    rng = np.random.default_rng(SEED)
    X, y = table(rng, 4_000)
    test, _ = table(rng)
    trees, linear = TreeModel.fit(X, y), LinearModel.fit(X, y)
    cases = {
        "missing": test["c"].isna().to_numpy(),
        "agree": (test["c"].notna() & ((test["a"] > 0) == (test["b"] > 0))).to_numpy(),
        "differ": (test["c"].notna() & ((test["a"] > 0) != (test["b"] > 0))).to_numpy(),
    }
    seen = {name: (trees.predict(test)[rows].mean(), linear.predict(test)[rows].mean()) for name, rows in cases.items()}
    for name, share in (("missing", 0.9), ("agree", 0.7), ("differ", 0.1)):
        assert abs(seen[name][0] - share) < 0.1, (name, seen, SEED)
    assert max(p for _, p in seen.values()) - min(p for _, p in seen.values()) < 0.2, (seen, SEED)


@pytest.mark.parametrize("kind", [TreeModel, LinearModel])
def test_columns_are_taken_by_name_and_arrays_in_the_signature_s_order(kind: type[TreeModel | LinearModel]) -> None:
    X, y = table(np.random.default_rng(SEED))
    model = kind.fit(X, y, version="7")
    p = model.predict(X)
    assert model.version == "7" and model.signature.features == ("a", "b", "c")
    np.testing.assert_array_equal(model.predict(X[["c", "a", "b"]].assign(other=1.0)), p)
    np.testing.assert_array_equal(model.predict_array(X.to_numpy()), p)
    assert not np.array_equal(model.predict_array(X.to_numpy()[:, ::-1]), p), SEED
    assert p.dtype == np.float64 and ((p > 0) & (p < 1)).all()
    with pytest.raises(MlsysError, match=r"lacks the feature\(s\) b, c(.|\n)*trained on a, b, c"):
        model.predict(X[["a"]])


@pytest.mark.parametrize("kind", [TreeModel, LinearModel])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda X, y: (X, np.zeros(len(X))), r"labels \[0.0\](.|\n)*both classes"),
        (lambda X, y: (X.head(0), y[:0]), r"0 rows"),
        (lambda X, y: (X.assign(b=np.inf), y), r"infinite values in b"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    kind: type[TreeModel | LinearModel],
    spoil: Callable[[pd.DataFrame, np.ndarray], tuple[pd.DataFrame, np.ndarray]],
    says: str,
) -> None:
    with pytest.raises(MlsysError, match=says):
        kind.fit(*spoil(*table(np.random.default_rng(1), 50)))


def test_same_rows_same_trees() -> None:
    X, y = table(np.random.default_rng(SEED))
    a, b, other = TreeModel.fit(X, y), TreeModel.fit(X, y), TreeModel.fit(X, y, max_iter=3)
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    assert not np.array_equal(a.predict(X), other.predict(X))


def test_a_value_model_is_the_weighted_sum_of_its_heads() -> None:
    rng = np.random.default_rng(SEED)
    (X, y), (_, z) = table(rng), table(rng)
    heads = {"like": TreeModel.fit(X, y, max_iter=5), "dislike": LinearModel.fit(X, z)}
    model = ValueModel("3", heads, {"like": 1.0, "dislike": -2.0})
    np.testing.assert_allclose(
        model.predict_array(X.to_numpy()), heads["like"].predict(X) - 2 * heads["dislike"].predict(X), rtol=1e-12
    )
    assert model.signature.features == ("a", "b", "c") and model.version == "3"
    alone = ValueModel("4", heads, {"like": 0.5})
    np.testing.assert_allclose(alone.predict_array(X.to_numpy()), 0.5 * heads["like"].predict(X), rtol=1e-12)


def test_a_registry_keeps_versions_metrics_and_aliases() -> None:
    X, y = table(np.random.default_rng(1), 100)
    one, two = (LinearModel.fit(X, y, version=version) for version in ("m:1", "m:2"))
    registry = Registry()
    registry.register(one, auc=0.6)
    registry.register(two, auc=0.7)
    registry.set_alias("champion", "m:2")
    assert registry.get("champion") is two
    registry.set_alias("champion", "m:1")  # a rollback
    assert registry.get("champion") is one and registry.metrics == {"m:1": {"auc": 0.6}, "m:2": {"auc": 0.7}}


def misuse(registry: Registry, model: RegisteredModel) -> list[tuple[Callable[[], object], str]]:
    return [
        (lambda: registry.register(model), r"'m:1' is taken"),
        (lambda: registry.set_alias("champion", "m:9"), r"no version 'm:9'(.|\n)*registered: m:1"),
        (lambda: registry.get("challenger"), r"alias 'challenger'(.|\n)*aliases: champion"),
        (lambda: Registry().get("champion"), r"aliases: none"),
        (lambda: Registry().set_alias("champion", "m:1"), r"registered: none"),
    ]


def test_a_registry_refuses_what_would_make_a_version_ambiguous() -> None:
    model, registry = LinearModel.fit(*table(np.random.default_rng(1), 100), version="m:1"), Registry()
    registry.register(model, auc=0.6)
    registry.set_alias("champion", "m:1")
    for act, says in misuse(registry, model):
        with pytest.raises(MlsysError, match=says):
            act()
    assert registry.aliases == {"champion": "m:1"} and registry.metrics == {"m:1": {"auc": 0.6}}


# --- The monitor of several days ---------------------------------------------------------------------------------


def day(rng: np.random.Generator, shift: float = 0.0) -> pd.DataFrame:
    """1,000 rows: `few` is a number that 60 entities have, another one every day; `many` is each row's own."""
    value, rows = rng.normal(size=60) + shift, 1_000
    kind = np.where(rng.random(60) < 0.5, "a", "b")[rng.integers(60, size=rows)]
    many = rng.normal(shift, size=rows)
    return pd.DataFrame({"few": value[rng.integers(60, size=rows)], "many": many, "kind": kind})


def test_days_of_a_handful_of_entities_differ_and_do_not_page_until_something_happens() -> None:
    rng, plain, daily = np.random.default_rng(SEED), 0, 0
    for _ in range(5):
        healthy = [day(rng) for _ in range(7)]
        monitors = ModelMonitor(pd.concat(healthy)), ModelMonitor.from_days(healthy)
        for _ in range(12):
            one = day(rng)
            pages = [(m.check(one).set_index("column")["status"] == "DRIFT")["few"] for m in monitors]
            plain, daily = plain + pages[0], daily + pages[1]
        found = monitors[1].check(day(rng, shift=4.0)).set_index("column")["status"]
        assert found["few"] == found["many"] == "DRIFT", (found, SEED)
    assert plain > 25 and daily < 12, (plain, daily, SEED)


def test_a_limit_is_twice_the_largest_distance_of_a_healthy_day_from_the_others() -> None:
    rng = np.random.default_rng(SEED)
    days = [day(rng) for _ in range(3)]
    monitor, wider = (ModelMonitor.from_days(days, margin=margin, min_psi=0) for margin in (2.0, 5.0))
    assert wider.limits == pytest.approx({name: 2.5 * limit for name, limit in monitor.limits.items()})
    assert monitor.limits["few"] > monitor.limits["many"], (monitor.limits, SEED)
    assert ModelMonitor.from_days(days, min_psi=9.0).limits == dict.fromkeys(("few", "many", "kind"), 9.0)
    assert ModelMonitor(pd.concat(days)).limits == {}
    # By hand, for the category: shares of "a" and "b" of a day against those of the other two.
    counts = np.stack([[(d["kind"] == name).sum() for name in "ab"] for d in days])
    others = counts.sum(axis=0) - counts
    c, r = (n / n.sum(axis=1, keepdims=True) for n in (counts, others))
    largest = ((c - r) * np.log(c / r)).sum(axis=1).max()
    assert monitor.limits["kind"] == pytest.approx(2 * largest)


def test_days_are_judged_as_one_reference() -> None:
    rng = np.random.default_rng(SEED)
    days, today = [day(rng) for _ in range(4)], day(rng)
    columns = ["column", "psi", "p", "missing"]
    found, plain = ModelMonitor.from_days(days).check(today), ModelMonitor(pd.concat(days)).check(today)
    pd.testing.assert_frame_equal(found[columns], plain[columns])
    assert (ModelMonitor.from_days(days, min_rows=2_000).check(today)["status"] == "TOO_FEW_ROWS").all()


def test_a_single_day_is_no_reference() -> None:
    with pytest.raises(MlsysError, match="two or more"):
        ModelMonitor.from_days([day(np.random.default_rng(1))])


# --- Settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("training.estimator", "forest", "one of trees, linear"),
        ("training.objective", "likes", "one of like, value"),
        ("training.every_days", -1, "0 or more"),
        ("training.tolerance", -0.1, "0 or more"),
        ("training.max_rows", 0, "above 0"),
        ("serving.explore", 1.5, "from 0 to 1"),
    ],
)
def test_a_setting_of_the_loop_out_of_range_is_refused(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SystemConfig.load(overrides={key: value})


def test_settings_at_their_bounds_are_accepted() -> None:
    for explore in ("0", "1"):
        config = SystemConfig.load(overrides={"training.every_days": "0", "serving.explore": explore})
        assert config.serving.explore == float(explore) and config.training.every_days == 0


def test_the_ranking_views_need_no_more_than_the_schema_and_the_join() -> None:
    joined = {"creator_id", "topic", "length", "created", "user_topic", "device_code"}
    for view in ranking_views(window_days=3.0, ttl_days=2.0):
        if isinstance(view, OnDemandView):
            assert set(view.inputs) <= {*EVENT_SCHEMA, *joined}
        else:
            assert view.entity.join_key in {*EVENT_SCHEMA, *joined} and view.ttl_days == 2.0
            assert {a.window_days for a in view.aggregations} == {3.0}
