"""Splits, calibration, retrieval, re-ranking, tuning: what each promises, on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

from mlsys.core import MlsysError
from mlsys.training import LinearModel, Signature, TreeModel, time_split
from mlsys.training.calibration import calibrate, undersampled
from mlsys.training.datasets import SplitRefused, random_split
from mlsys.training.reranking import diversify
from mlsys.training.retrieval import Embedding, top_k
from mlsys.training.tuning import random_search
from mlsys.world.noise import NoiseWorld

RNG = np.random.default_rng


class TestSplit:
    def test_random_is_refused_with_a_way_out(self) -> None:
        log = NoiseWorld(users=20, posts=20).events(500)
        with pytest.raises(SplitRefused, match=r"time_split\(events\)"):
            random_split(log)
        split = random_split(log, 0.25, seed=3, force=True)
        assert (split.train ^ split.test).all() and not split.gap.any() and np.isnat(split.cut)
        assert abs(split.test.mean() - 0.25) < 0.07
        assert np.array_equal(split.test, random_split(log, 0.25, seed=3, force=True).test)
        assert not np.array_equal(split.test, random_split(log, 0.25, seed=4, force=True).test)

    def test_rows_of_one_instant_have_no_order_to_respect(self) -> None:
        log = NoiseWorld(users=20, posts=20).events(100).assign(event_time=np.datetime64("2026-01-01", "us"))
        assert random_split(log).test.any()

    @pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
    def test_shares_that_leave_a_side_empty(self, share: float) -> None:
        with pytest.raises(MlsysError, match="test_share"):
            random_split(NoiseWorld(users=5, posts=5).events(50), share, force=True)


def skewed(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, LinearModel]:
    """Labels of a known probability, and a model whose log-odds are half of the truth's, and one too high."""
    rng = RNG(seed)
    X = pd.DataFrame({"a": rng.normal(size=n)})
    y = rng.random(n) < expit(2 * X["a"] - 1)
    return X, y.to_numpy(), LinearModel("1", Signature(("a",), (0.0,)), np.array([1.0]), 0.5)


class TestCalibration:
    @pytest.mark.parametrize("method", ["platt", "isotonic"])
    def test_probabilities_are_right_and_the_order_stays(self, method: str) -> None:
        X, y, model = skewed(20_000, 1)
        fixed = calibrate(model, X, y, method)
        fresh, _, _ = skewed(5_000, 2)
        truth, before, after = expit(2 * fresh["a"] - 1), model.predict(fresh), fixed.predict(fresh)
        assert np.abs(after - truth).mean() < 0.02 < 0.1 < np.abs(before - truth).mean()
        assert spearmanr(before, after)[0] > (0.9999 if method == "platt" else 0.99)
        assert (np.diff(after[np.argsort(before)]) >= 0).all()
        assert fixed.signature == model.signature

    def test_platt_finds_the_two_numbers(self) -> None:
        X, y, model = skewed(100_000, 3)
        at = np.array([0.2, 0.5, 0.8])
        np.testing.assert_allclose(logit(calibrate(model, X, y).curve(at)), 2 * (logit(at) - 0.5) - 1, atol=0.12)

    def test_isotonic_is_scikit_learns(self) -> None:
        X, y, model = skewed(3_000, 4)
        score = model.predict(X)
        own = calibrate(model, X, y, "isotonic")
        theirs = IsotonicRegression(out_of_bounds="clip", y_min=1e-6, y_max=1 - 1e-6).fit(logit(score), y)
        np.testing.assert_allclose(own.curve(score), theirs.predict(logit(score)), atol=1e-9)

    def test_what_cannot_calibrate_is_refused(self) -> None:
        X, y, model = skewed(100, 5)
        for labels in (np.zeros(100), np.ones(100), y[:50]):
            with pytest.raises(MlsysError, match="cannot calibrate"):
                calibrate(model, X, labels)
        with pytest.raises(MlsysError, match="no method 'magic'"):
            calibrate(model, X, y, "magic")

    def test_downsampling_is_undone(self) -> None:
        rng = RNG(6)
        X = pd.DataFrame({"a": rng.normal(size=60_000)})
        truth = expit(X["a"] - 3).to_numpy()
        y = rng.random(len(X)) < truth
        use = y | (rng.random(len(X)) < 0.1)
        model = LinearModel.fit(X[use], y[use])
        assert model.predict(X).mean() > 4 * truth.mean()
        assert abs(undersampled(model.predict(X), 0.1).mean() / truth.mean() - 1) < 0.05

    @given(st.floats(0.001, 0.999), st.floats(0.01, 1.0))
    def test_the_correction_is_bayes(self, p: float, kept: float) -> None:
        assert undersampled(np.array([p]), kept)[0] == pytest.approx(p / (p + (1 - p) / kept), rel=1e-9)


class TestRetrieval:
    def test_taste_is_found_also_for_posts_without_a_past(self) -> None:
        rng, users, creators, topics = RNG(7), 200, 50, 8
        taste, of = rng.normal(size=(users, topics)), rng.integers(0, topics, creators)
        user, creator = rng.integers(0, users, 40_000), rng.integers(0, creators, 40_000)
        y = rng.random(40_000) < expit(1.5 * taste[user, of[creator]] - 1)
        fitted = Embedding.fit(user, [creator, of[creator]], y, size=8)
        asked = np.tile(np.arange(creators), (users, 1))
        found = fitted.score(np.arange(users), [asked, of[asked]])
        truth = taste[:, of]
        assert np.mean([spearmanr(a, b)[0] for a, b in zip(found, truth, strict=True)]) > 0.8
        unknown = np.full((users, topics), creators + 5)  # A creator of this minute: only the topic is known.
        cold = fitted.score(np.arange(users), [unknown, np.tile(np.arange(topics), (users, 1))])
        assert np.mean([spearmanr(a, b)[0] for a, b in zip(cold, taste, strict=True)]) > 0.7

    def test_an_unknown_user_gets_what_most_like(self) -> None:
        rng = RNG(8)
        user, post = rng.integers(0, 100, 20_000), rng.integers(0, 10, 20_000)
        fitted = Embedding.fit(user, [post], rng.random(20_000) < post / 10, size=3)
        assert fitted.score(np.array([10_000]), [np.arange(10)[None]]).argmax() >= 8

    def test_it_repeats_to_the_bit(self) -> None:
        rng = RNG(9)
        user, post, y = rng.integers(0, 50, 3_000), rng.integers(0, 40, 3_000), rng.random(3_000) < 0.2
        one, two = (Embedding.fit(user, [post], y, size=5) for _ in range(2))
        assert np.array_equal(one.users, two.users) and np.array_equal(one.features, two.features)

    def test_sizes_that_cannot_be(self) -> None:
        with pytest.raises(MlsysError, match="size=9"):
            Embedding.fit(np.arange(5), [np.arange(5)], np.ones(5), size=9)
        with pytest.raises(MlsysError, match="top 4 of 3"):
            top_k(np.zeros((1, 3)), 4)

    @given(st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(1, 6))
    def test_top_k_is_a_sort(self, rows: list[list[int]], k: int) -> None:
        scores = np.array(rows, np.float64)
        for row, found in zip(scores, top_k(scores, k), strict=True):
            assert found.tolist() == sorted(range(6), key=lambda i: (-row[i], i))[:k]


def slate_by_hand(scores: list[float], topics: list[int], penalty: float, slots: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(slots):
        left = [i for i in range(len(scores)) if i not in chosen]
        chosen.append(max(left, key=lambda i: (scores[i] - penalty * sum(topics[j] == topics[i] for j in chosen), -i)))
    return chosen


class TestReranking:
    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=2, max_size=8), st.integers(0, 8))
    def test_it_is_the_greedy_rule(self, posts: list[tuple[int, int]], eighths: int) -> None:
        scores, topics = [float(score) for score, _ in posts], [topic for _, topic in posts]
        slots, penalty = min(3, len(posts)), eighths / 8  # Exact in binary, so that ties are ties.
        found = diversify(np.array([scores]), np.array([topics]), penalty, slots)
        assert np.argsort(-found[0]).tolist()[:slots] == slate_by_hand(scores, topics, penalty, slots)

    def test_without_a_penalty_the_order_stays_and_with_one_topics_mix(self) -> None:
        rng = RNG(10)
        scores, topics = rng.random((50, 30)), rng.integers(0, 5, (50, 30))
        plain = np.argsort(-diversify(scores, topics, 0.0), axis=1)
        assert np.array_equal(plain, np.argsort(-scores, axis=1))
        mixed = np.argsort(-diversify(scores, topics, 0.3), axis=1)[:, :10]
        kinds = [len(set(topics[i, row])) for i, row in enumerate(mixed)]
        assert np.mean(kinds) > np.mean([len(set(topics[i, row[:10]])) for i, row in enumerate(plain)]) + 0.3
        with pytest.raises(MlsysError, match="penalty=-1"):
            diversify(scores, topics, -1)


class TestTuning:
    def test_trials_repeat_and_longer_searches_begin_alike(self) -> None:
        space = {"rate": (0.01, 1.0), "leaves": (4, 64), "kind": ["a", "b"]}
        long = random_search(lambda s: {"loss": float(s["rate"])}, space, trials=20, seed=3)  # type: ignore[arg-type]
        short = random_search(lambda s: {"loss": float(s["rate"])}, space, trials=5, seed=3)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(long.head(5), short)
        assert long["rate"].between(0.01, 1).all() and long["leaves"].between(4, 64).all()
        assert pd.api.types.is_integer_dtype(long["leaves"]) and set(long["kind"]) == {"a", "b"}
        assert 0.3 < (long["rate"] < 0.1).mean() < 0.7  # Half of a log scale.

    def test_a_trial_that_cannot_be_is_a_row_and_the_others_go_on(self) -> None:
        told = []

        def evaluate(settings: dict[str, object]) -> dict[str, float]:
            if settings["kind"] == "bad":
                raise MlsysError("no such kind", why="it is bad", fix="leave it out")
            return {"auc": 0.5}

        found = random_search(evaluate, {"kind": ["good", "bad"]}, trials=12, seed=1,
                              on_trial=lambda s, m: told.append((s["kind"], m.get("auc"))))  # fmt: skip
        assert found["failed"].notna().sum() + found["auc"].notna().sum() == 12
        assert sorted(set(told), key=str) == [("bad", None), ("good", 0.5)] and len(told) == 12

    def test_it_finds_what_helps(self) -> None:
        rng = RNG(11)
        X = pd.DataFrame(rng.normal(size=(3_000, 4)), columns=list("abcd"))
        y = (rng.random(3_000) < expit(2 * np.sin(3 * X["a"]))).to_numpy(np.float64)
        log = pd.DataFrame({"event_time": pd.date_range("2026-01-01", periods=3_000, freq="h")})
        split = time_split(log.assign(arrival_time=log["event_time"]))

        def evaluate(settings: dict[str, object]) -> dict[str, float]:
            model = TreeModel.fit(X[split.train], y[split.train], **settings)
            p = np.clip(model.predict(X[split.test]), 1e-6, 1 - 1e-6)
            return {"loss": -np.log(np.where(y[split.test] > 0, p, 1 - p)).mean()}

        found = random_search(evaluate, {"learning_rate": (0.001, 1.0), "max_leaf_nodes": (2, 32)}, trials=8, seed=2)
        assert found["loss"].min() < 0.9 * found["loss"].max()

    @pytest.mark.parametrize("space", [{"x": (0.0, 1.0)}, {"x": (2.0, 1.0)}, {}])
    def test_spaces_that_are_none(self, space: dict[str, tuple[float, float]]) -> None:
        with pytest.raises(MlsysError):
            random_search(lambda s: {}, space, trials=1)
