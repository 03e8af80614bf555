"""Rollouts: who gets the challenger, what takes it back, and that nobody's answer is lost meanwhile."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys import FeatureStore, ModelServer
from mlsys.core import MlsysError, VirtualClock
from mlsys.features.definitions import feed_views
from mlsys.orchestration.served import Misread
from mlsys.serving import Guardrails, Rollout
from mlsys.training import LinearModel, label
from mlsys.world.noise import NoiseWorld

POSTS = np.arange(1, 61)


@pytest.fixture(scope="module")
def parts() -> Any:
    world = NoiseWorld(users=400, posts=80, seed=4)
    events = world.events(6_000)
    events = events[events["action"].notna()]
    store = FeatureStore()
    store.apply(*feed_views())
    store.ingest(events)
    rows = store.get_historical_features(events, store.list_features())
    store.materialize(world.end)
    model = LinearModel.fit(rows[store.list_features()], label(events))
    # Noise has nothing to learn: weights that tell posts apart, so that there is an order to be wrong about.
    weights = np.array([0.0, 1.0, -0.5, 0.8])[: len(model.weights)]
    return store, replace(model, weights=weights, version="champion"), world.end


@pytest.fixture
def server(parts: Any) -> ModelServer:
    store, model, end = parts
    return ModelServer(model, store, clock=VirtualClock(end))


def challenger(server: ModelServer, **changes: Any) -> LinearModel:
    assert isinstance(server.model, LinearModel)
    return replace(server.model, **{"version": "challenger", **changes})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50), st.floats(0.01, 0.5), st.floats(0.5, 1.0))
def test_who_is_in_stays_in_when_the_share_grows(users: list[int], small: float, large: float) -> None:
    few, many = (Rollout.__new__(Rollout) for _ in range(2))
    for one, share in ((few, small), (many, large)):
        one.mode, one.share, one.salt = "canary", share, "test"
    array = np.array(users)
    assert (few.arms(array) <= many.arms(array)).all()
    assert few.arm(users[0]) == few.arms(array)[0]


def test_the_share_is_the_share_and_another_salt_another_crowd(server: ModelServer) -> None:
    users = np.arange(100_000)
    one, other = (Rollout(challenger(server), share=0.05, salt=salt).arms(users) for salt in ("a", "b"))
    assert abs(one.mean() - 0.05) < 0.003 and abs((one & other).mean() - 0.0025) < 0.001


def test_a_shadow_changes_no_answer_and_counts_disagreement(server: ModelServer) -> None:
    before = [server.rank(user, POSTS).posts.tolist() for user in range(1, 20)]
    server.begin(Rollout(challenger(server, weights=-server.model.weights), "shadow"))  # type: ignore[attr-defined]
    after = [server.rank(user, POSTS) for user in range(1, 20)]
    assert [one.posts.tolist() for one in after] == before and {one.model_version for one in after} == {"champion"}
    assert server.rollout is not None and server.rollout.compared_requests == 19 and server.rollout.overlap < 0.2
    assert server.status()["rollout"]["requests"] == [19, 19]  # type: ignore[index]


def test_a_canary_gets_its_users_and_nobody_else(server: ModelServer) -> None:
    rollout = Rollout(challenger(server), "canary", share=0.3)
    server.begin(rollout)
    for user in range(1, 100):
        expected = "challenger" if rollout.arm(user) else "champion"
        assert server.rank(user, POSTS).model_version == expected == server.predict(user, 5).model_version


class Bad:
    """A challenger that raises, or gives something that is no number, from the second call on."""

    def __init__(self, model: LinearModel, result: Any) -> None:
        self.version, self.signature, self.result, self.calls = "challenger", model.signature, result, 0

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.calls == 1:
            return np.full(len(values), 0.5)
        if isinstance(self.result, Exception):
            raise self.result
        return np.full(len(values), self.result)


@pytest.mark.parametrize("result", [RuntimeError("a bug"), np.nan])
def test_who_met_a_failing_challenger_is_answered_by_the_champion_and_it_is_gone_soon(
    server: ModelServer, result: Any
) -> None:
    usual = {user: server.rank(user, POSTS).posts.tolist() for user in range(1, 40)}
    server.begin(Rollout(Bad(server.model, result), "canary", share=0.5))  # type: ignore[arg-type]
    for user, posts in usual.items():
        answer = server.rank(user, POSTS)
        assert (answer.posts.tolist(), answer.model_version) == (posts, "champion")
    assert server.rollout is None and server.model.version == "champion"
    rolled = server.events[-1]
    assert rolled.kind == "roll_back" and "failures: 3 of 3" in rolled.detail


def test_a_late_verdict_does_not_take_back_the_next_challenger(server: ModelServer) -> None:
    """A request that met the first challenger ends when the second is being tried already."""
    usual = server.model
    following = Rollout(challenger(server, version="the next"), "canary", share=0.01)

    class Replaced(Bad):
        def predict_array(self, values: np.ndarray) -> np.ndarray:
            if self.calls == 3:
                server.begin(following)
            return super().predict_array(values)

    first = Rollout(Replaced(usual, np.nan), "canary", share=1.0)  # type: ignore[arg-type]
    server.begin(first)
    for user in range(1, 4):
        server.rank(user, POSTS)
    assert first.verdict() is not None and server.rollout is following


def test_a_model_that_reads_its_features_in_reverse_does_not_leave_the_shadow(server: ModelServer) -> None:
    server.begin(Rollout(Misread(server.model), "shadow", guardrails=Guardrails(min_requests=30, min_overlap=0.6)))
    for user in range(1, 40):
        server.rank(user, POSTS)
    assert server.rollout is None and "disagreement" in server.events[-1].detail


def test_a_slow_model_is_taken_back(server: ModelServer) -> None:
    clock = server.clock
    assert isinstance(clock, VirtualClock)

    class Slow:
        def __init__(self, model: Any, seconds: float, version: str) -> None:
            self.model, self.seconds, self.version, self.signature = model, seconds, version, model.signature

        def predict_array(self, values: np.ndarray) -> np.ndarray:
            clock.advance(seconds=self.seconds)
            return np.asarray(self.model.predict_array(values))

    server.model = Slow(server.model, 0.001, "champion")
    server.begin(Rollout(Slow(server.model, 0.02, "challenger"), share=0.5, guardrails=Guardrails(min_requests=20)))
    for user in range(1, 100):
        server.rank(user, POSTS)
    assert server.rollout is None and "latency: 21.00 ms a request against 1.00 ms" in server.events[-1].detail


def test_lost_engagement_is_found_and_chance_is_not(server: ModelServer) -> None:
    """Likes per session of an A/A rollout, and of one that loses a fifth, looked at every hundred sessions."""
    false = caught = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for loss in (0.0, 0.2):
            rollout = Rollout(challenger(server), share=0.5, salt=f"{seed}")
            users = rng.integers(0, 1_500, 4_000)
            likes = rng.poisson(2.0 * np.where(rollout.arms(users) == 1, 1 - loss, 1.0))
            found = False
            for at in range(0, len(users), 400):
                rollout.observe(users[at : at + 400], likes[at : at + 400])
                found |= rollout.verdict() is not None
            false += found and not loss
            caught += found and bool(loss)
    assert false <= 1 and caught >= 57


def test_an_ab_test_is_not_ended_by_its_guardrails(server: ModelServer) -> None:
    rollout = Rollout(challenger(server), "ab", share=0.5)
    server.begin(rollout)
    users = np.arange(2_000)
    server.observe(users, np.where(rollout.arms(users) == 1, 0.0, 2.0) + users % 2)
    assert rollout.verdict() is not None and server.rollout is rollout


def test_a_canary_that_loses_engagement_is_rolled_back_by_what_is_observed(server: ModelServer) -> None:
    rollout = Rollout(challenger(server), "canary", share=0.5)
    server.begin(rollout)
    users = np.arange(2_000)
    server.observe(users, np.where(rollout.arms(users) == 1, 0.0, 2.0) + users % 2)
    assert server.rollout is None and "engagement" in server.events[-1].detail


def test_promote_and_back(server: ModelServer) -> None:
    server.begin(Rollout(challenger(server)))
    server.promote()
    assert (server.model.version, server.rollout) == ("challenger", None)
    server.roll_back("second thoughts")
    assert server.model.version == "champion"
    with pytest.raises(MlsysError, match="nothing to roll back to"):
        server.roll_back("again")
    with pytest.raises(MlsysError, match="no challenger"):
        server.promote()
    assert [event.kind for event in server.events] == ["begin", "promote", "roll_back"]


def test_what_cannot_serve_here_does_not(server: ModelServer) -> None:
    unknown = replace(server.model.signature, features=("person:likes", "post:total_likes"))
    for model in (challenger(server, signature=unknown), challenger(server, intercept=np.nan)):
        with pytest.raises(MlsysError, match="cannot serve here"):
            server.swap(model)
        with pytest.raises(MlsysError, match="cannot serve here"):
            server.begin(Rollout(model))
    assert server.model.version == "champion" and server.rollout is None
    assert [event.kind for event in server.events] == ["refused", "refused"]  # each once, however often it is tried


@pytest.mark.parametrize("wrong", [{"mode": "blue-green"}, {"share": 0.0}, {"share": 1.5}])
def test_a_rollout_that_cannot_be(server: ModelServer, wrong: dict[str, Any]) -> None:
    with pytest.raises(MlsysError, match="a rollout cannot have"):
        Rollout(challenger(server), **wrong)


def test_a_swap_between_requests_of_eight_threads(server: ModelServer) -> None:
    """Every answer is whole: one model's scores under that model's name."""
    other = challenger(server, weights=server.model.weights / 2)  # type: ignore[attr-defined]
    expected = {"champion": server.rank(3, POSTS).scores.tolist()}
    server.swap(other)
    expected["challenger"] = server.rank(3, POSTS).scores.tolist()
    stop, found, errors = threading.Event(), list[tuple[str, list[float]]](), list[Exception]()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = server.rank(3, POSTS)
                found.append((answer.model_version, answer.scores.tolist()))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for i in range(200):
        if i % 2:
            server.roll_back("and forth")
        else:
            server.swap(other)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not errors and len(found) > 20
    assert all(scores == expected[version] for version, scores in found)
