"""Training, serving, the ladder."""

import numpy as np
import pandas as pd
import pytest

from mlsys import FeatureStore, ModelServer
from mlsys.core import MlsysError, VirtualClock
from mlsys.features.definitions import feed_views
from mlsys.features.online import StoreUnavailable
from mlsys.serving.batch import rank_many
from mlsys.training import LinearModel, label, time_split
from mlsys.world.noise import NoiseWorld


@pytest.fixture
def parts() -> tuple[FeatureStore, LinearModel, VirtualClock, pd.DataFrame]:
    world = NoiseWorld(users=50, posts=80, seed=4)
    events = world.events(4_000)
    events = events[events["action"].notna()]
    store = FeatureStore()
    store.apply(*feed_views(ttl_days=7))
    store.ingest(events)
    rows = store.get_historical_features(events, store.list_features())
    model = LinearModel.fit(rows[store.list_features()], label(events))
    store.materialize(world.end)
    return store, model, VirtualClock(world.end), events


def test_the_served_score_is_the_trained_models_score(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    asked = pd.DataFrame({"user_id": [3] * 20, "post_id": np.arange(1, 21), "event_time": clock.now()})
    offline = model.predict(store.get_historical_features(asked, store.list_features()))
    ranking = ModelServer(model, store, clock=clock).rank(3, np.arange(1, 21))
    np.testing.assert_allclose(ranking.scores[ranking.posts == 7][0], offline[6])
    assert (np.diff(np.round(ranking.scores, 6)) <= 0).all()


def test_column_order_of_the_frame_does_not_matter(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, _, events = parts
    rows = store.get_historical_features(events.head(50), store.list_features())[store.list_features()]
    np.testing.assert_array_equal(model.predict(rows), model.predict(rows[rows.columns[::-1]]))


def test_a_model_asks_for_its_features_in_its_own_order(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, events = parts
    refs = store.list_features()[::-1]
    rows = store.get_historical_features(events, refs)
    other = LinearModel.fit(rows[refs], label(events))
    a, b = (ModelServer(m, store, clock=clock).rank(3, np.arange(1, 21)) for m in (model, other))
    np.testing.assert_allclose(np.sort(a.scores), np.sort(b.scores), atol=1e-6)


def test_the_ladder_fresh_defaults_popularity(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    server = ModelServer(model, store, clock=clock)
    server.remember_popularity(np.array([5, 2, 9]), np.array([1, 30, 7]))
    assert server.rank(3, np.array([5, 2, 9])).rung == "fresh"
    unknown = server.rank(999_999, np.array([5, 2, 9]))
    assert (unknown.rung, unknown.defaulted) == ("defaults", 0.5)
    store.available = False
    down = server.rank(3, np.array([5, 2, 9, 77]))
    assert (down.rung, down.posts.tolist()) == ("popularity", [2, 9, 5, 77])
    store.available = True
    clock.advance(days=8)
    assert server.rank(3, np.array([5, 2])).defaulted == 1.0
    assert dict(server.rungs) == {"fresh": 1, "defaults": 2, "popularity": 1}


def test_one_prediction_is_a_probability_on_every_rung(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    server = ModelServer(model, store, clock=clock)
    server.remember_popularity(np.array([5]), np.array([12]))
    store.available = False
    down = server.predict(3, 5)
    assert down.rung == "defaults" and 0 < down.probability < 1


def test_the_kill_switch_leaves_the_model_alone(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    server = ModelServer(model, store, clock=clock, flags=("serve_popularity",))
    server.remember_popularity(np.array([5, 2]), np.array([1, 30]))
    assert (server.rank(3, np.array([5, 2])).rung, server.rank(3, np.array([5, 2])).posts[0]) == ("popularity", 2)


def test_a_flag_with_a_share_is_on_for_some_users_and_they_stay(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    users, posts = np.repeat(np.arange(200), 2), np.tile([5, 2], 200)
    plain = ModelServer(model, store, clock=clock).score(users, posts).scores
    before = np.zeros(400, bool)
    for share in (0.1, 0.4):
        server = ModelServer(model, store, clock=clock, flags=(f"serve_popularity={share}",))
        server.remember_popularity(np.array([5, 2]), np.array([11, 30]))
        found = server.score(users, posts)
        killed = found.scores > 1
        assert (
            abs(killed.mean() - share) < 0.08 and (killed[::2] == killed[1::2]).all() and not (before & ~killed).any()
        )
        np.testing.assert_allclose(found.scores[~killed], plain[~killed])
        assert found.shares["popularity"] == pytest.approx(killed.mean())
        assert sum(found.shares.values()) == pytest.approx(1)
        rungs = [server.rank(user, np.array([5, 2])).rung == "popularity" for user in range(200)]
        assert rungs == killed[::2].tolist()
        before = killed


def test_a_nearly_constant_feature_gets_no_weight() -> None:
    X = pd.DataFrame({"a": [0.1] * 7, "b": [0.0, 1, 0, 1, 0, 1, 1]})
    model = LinearModel.fit(X, np.array([0, 1, 0, 1, 0, 1, 0]))
    assert abs(model.weights[0]) < 1e-6
    with pytest.raises(MlsysError, match="infinite"):
        LinearModel.fit(X.assign(a=np.inf), np.array([0, 1, 0, 1, 0, 1, 0]))


def test_ties_are_broken_by_post_id(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    posts = np.array([900_003, 900_001, 900_002])  # unknown posts: equal scores
    assert ModelServer(model, store, clock=clock).rank(3, posts).posts.tolist() == [900_001, 900_002, 900_003]


def test_no_candidates_is_an_error(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    with pytest.raises(MlsysError, match="at least one"):
        ModelServer(model, store, clock=clock).rank(3, np.array([], np.int64))


def test_a_missing_feature_gets_the_training_mean_on_both_paths() -> None:
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, np.nan], "b": [1.0, 0.0, 1.0, 0.0]})
    model = LinearModel.fit(X, np.array([0, 0, 1, 1]))
    assert model.signature.defaults[0] == 1.0
    hole, mean = model.predict(pd.DataFrame({"a": [np.nan, 1.0], "b": [1.0, 1.0]}))
    assert hole == mean
    with pytest.raises(MlsysError, match="lacks the feature"):
        model.predict(X[["a"]])


def test_folded_weights_equal_scikit_learn_on_standardized_columns() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal([3, -50, 0.01], [1, 20, 0.001], (500, 3)), columns=list("abc"))
    y = (rng.random(500) < 1 / (1 + np.exp(-(X["a"] - 3)))).to_numpy()
    Z = StandardScaler().fit_transform(X)
    reference = LogisticRegression(max_iter=1_000).fit(Z, y).predict_proba(Z)[:, 1]
    np.testing.assert_allclose(LinearModel.fit(X, y).predict(X), reference, atol=1e-5)


def test_the_split_leaves_out_labels_that_were_still_under_way() -> None:
    events = NoiseWorld(seed=3, days=3, delay_minutes=600).events(5_000)
    split = time_split(events, 0.3)
    assert events["arrival_time"][split.train].max() < split.cut <= events["event_time"][split.test].min()
    assert split.gap.sum() > 100
    assert not (split.train & split.test).any()
    assert abs(split.test.mean() - 0.3) < 0.01


def test_rows_without_an_action_have_no_label() -> None:
    with pytest.raises(MlsysError, match="no action"):
        label(NoiseWorld(seed=3).events(100))


def test_one_class_cannot_be_fitted() -> None:
    with pytest.raises(MlsysError, match="both classes"):
        LinearModel.fit(pd.DataFrame({"a": [1.0, 2.0]}), np.array([1, 1]))


def test_a_batch_job_gives_every_user_what_the_server_would_answer(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    server, rng = ModelServer(model, store, clock=clock), np.random.default_rng(5)
    users = np.array([3, 999_999, 7, 3])
    candidates = np.stack([rng.permutation(np.arange(1, 31)) for _ in users])
    lists = rank_many(server, users, candidates, 10)
    for user, row, posts, scores in zip(users, candidates, lists.posts, lists.scores, strict=True):
        one = server.rank(int(user), row, 10)
        np.testing.assert_array_equal(posts, one.posts)
        np.testing.assert_allclose(scores, one.scores)
    done: list[int] = []
    shared = rank_many(server, np.arange(1, 41), np.arange(1, 60), 5, on_rows=done.append)
    np.testing.assert_array_equal(shared.posts[2], server.rank(3, np.arange(1, 60), 5).posts)
    assert done[-1] == 40


def test_a_batch_job_rather_fails_than_fills_a_day_with_likes(parts) -> None:  # type: ignore[no-untyped-def]
    store, model, clock, _ = parts
    store.available = False
    with pytest.raises(StoreUnavailable, match="0 of 2 users"):
        rank_many(ModelServer(model, store, clock=clock), np.array([1, 2]), np.arange(1, 9), 3)
    with pytest.raises(MlsysError, match="at most that long"):
        rank_many(ModelServer(model, store, clock=clock), np.array([1, 2]), np.arange(1, 9), 9)
