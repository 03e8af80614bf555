"""Models as bytes: what comes back scores as what went in, and nothing else comes back, whatever the bytes are."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlsys.core import MlsysError
from mlsys.integrations.lightgbm import LightGBMModel
from mlsys.training import LinearModel, Signature, TreeModel, ValueModel
from mlsys.training.artifact import ArtifactError, dumps, loads
from mlsys.training.calibration import CalibratedModel, calibrate
from mlsys.training.retrieval import Embedding

finite = st.floats(-1e6, 1e6)


def table(seed: int, n: int = 2_000, features: int = 4) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = [f"view:feature_{i}" for i in range(features)]
    X = pd.DataFrame(rng.normal(size=(n, features)), columns=names).mask(rng.random((n, features)) < 0.2)
    return X, (rng.random(n) < 1 / (1 + np.exp(-2 * np.sin(2 * X.iloc[:, 0].fillna(0))))).to_numpy(float)


def models() -> dict[str, Any]:
    X, y = table(1)
    linear, trees = LinearModel.fit(X, y, version="l:1"), TreeModel.fit(X, y, version="t:1", max_iter=7)
    rng = np.random.default_rng(2)
    user, codes = rng.integers(0, 30, 500), [rng.integers(0, 9, 500), rng.integers(0, 5, 500)]
    return {
        "linear": linear,
        "trees": trees,
        "value": ValueModel("v:1", {"like": trees, "share": linear}, {"share": 2.0, "like": 0.1}),
        "platt": calibrate(trees, X, y, version="c:1"),
        "isotonic": calibrate(linear, X, y, "isotonic", version="c:2"),
        "value of calibrated": ValueModel("v:2", {"like": calibrate(trees, X, y)}, {"like": 1.0}),
        "embedding": Embedding.fit(user, codes, (rng.random(500) < 0.3).astype(float), size=3),
    }


MODELS = models()


def scores(model: Any, X: pd.DataFrame) -> np.ndarray:
    if isinstance(model, Embedding):
        return model.score(np.arange(40), [np.arange(40)[:, None] % 9, np.arange(40)[:, None] % 5])
    return np.asarray(model.predict_array(X.to_numpy()))


@pytest.mark.parametrize("kind", MODELS)
def test_what_comes_back_scores_to_the_bit_as_what_went_in(kind: str) -> None:
    model, (fresh, _) = MODELS[kind], table(7, n=5_000)
    fresh.iloc[:3] = [[1e9] * 4, [-1e9] * 4, [np.nan] * 4]
    back = loads(dumps(model))
    # A sum over users who lie in memory in another order may differ in its last digit.
    np.testing.assert_allclose(scores(back, fresh), scores(model, fresh), rtol=1e-13 * (kind == "embedding"), atol=0)
    assert type(back) is type(model) and dumps(back) == dumps(model)
    if not isinstance(model, Embedding):
        assert back.version == model.version and back.signature == model.signature


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_linear_model_comes_back(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True))
    weights, defaults = (data.draw(arrays(np.float64, len(names), elements=finite)) for _ in range(2))
    version, intercept = data.draw(st.text()), data.draw(finite)
    model = LinearModel(version, Signature(tuple(names), tuple(defaults.tolist())), weights, intercept)
    back = loads(dumps(model))
    assert (back.version, back.signature, back.intercept) == (version, model.signature, intercept)
    np.testing.assert_array_equal(back.weights, weights)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from(["min_samples_leaf", "max_depth"]), st.integers(1, 40))
def test_any_trees_come_back(seed: int, features: int, setting: str, value: int) -> None:
    X, y = table(seed, n=300, features=features)
    model = TreeModel.fit(X, y, max_iter=4, **{setting: value})
    back = loads(dumps(model))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert back.trees.get_params() == model.trees.get_params() and back.trees.n_iter_ == 4


def test_trees_that_found_nothing_and_trees_that_split_on_what_is_missing() -> None:
    X = pd.DataFrame({"a": [1.0, np.nan] * 200, "b": 1.0})
    for y in (X["a"].isna().to_numpy(float), np.arange(400) % 4 < 2):
        model = TreeModel.fit(X, y, max_iter=3)
        np.testing.assert_array_equal(loads(dumps(model)).predict(X), model.predict(X))


def test_lightgbm_comes_back_from_its_own_text() -> None:
    pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install lightgbm")
    X, y = table(3)
    model = LightGBMModel.fit(X, y, version="g:1")
    back = loads(dumps(model))
    assert back == model
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


@pytest.mark.parametrize("kind", MODELS)
def test_bytes_that_were_cut_or_changed_are_refused_wherever_it_is(kind: str) -> None:
    data = dumps(MODELS[kind])
    step = max(50, len(data) // 400)
    for at in [*range(0, min(600, len(data)), 7), *range(600, len(data), step), len(data) - 1]:
        for broken in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data[:at] + data[at + 1 :]):
            with pytest.raises(ArtifactError, match=r"(?s)artifact.*why:.*do:"):
                loads(broken)
    for broken in (data + b"\0", b"", b"\0" * 500, data[::-1]):
        with pytest.raises(ArtifactError):
            loads(broken)


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_pickle_is_opened_wherever_it_hides(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap, boxed = Trap(sprung), io.BytesIO()
    np.savez(boxed, weights=np.array([trap], object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="pickle"):
        loads(boxed.getvalue())
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        payload = pickle.dumps(trap, protocol)
        with pytest.raises(ArtifactError, match=r"no model artifact"):
            loads(payload)
        with pytest.raises(ArtifactError, match=r"no model artifact|damaged"):
            loads(dumps(MODELS["linear"])[:-8] + payload)
        for name in ("weights", "defaults", "extra"):  # Inside a file that is whole: an array of Python objects.
            with pytest.raises(ArtifactError, match="holds no model"):
                loads(forged(MODELS["linear"], lambda header, body, n=name, p=payload: put(header, body, n, p)))
    assert not sprung.exists()
    pickle.loads(payload)
    assert sprung.exists()  # The trap works.


def put(header: dict[str, Any], body: bytes, name: str, payload: bytes) -> bytes:
    header[name] = {"dtype": "O", "shape": [1], "data_offsets": [len(body), len(body) + len(payload)]}
    return body + payload


def forged(model: Any, change: Callable[[dict[str, Any], bytes], bytes | None]) -> bytes:
    """An artifact with something else in it, and the right SHA-256."""
    data = dumps(model)
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    body = change(header, body) or body
    header["__metadata__"]["sha256"] = "0" * 64
    head = json.dumps(header).encode()
    out = len(head).to_bytes(8, "little") + head + body
    return out.replace(b"0" * 64, hashlib.sha256(out).hexdigest().encode(), 1)


def with_array(name: str, index: int, value: float) -> Callable[[dict[str, Any], bytes], bytes]:
    def change(header: dict[str, Any], body: bytes) -> bytes:
        start, end = header[name]["data_offsets"]
        dtype = {"F64": "<f8", "I64": "<i8", "U8": "|u1"}[header[name]["dtype"]]
        values = np.frombuffer(body[start:end], dtype).copy()
        values[index] = value
        return body[:start] + values.tobytes() + body[end:]

    return change


def with_header(name: str, **changes: Any) -> Callable[[dict[str, Any], bytes], None]:
    return lambda header, body: header[name].update(changes)


def with_said(**changes: Any) -> Callable[[dict[str, Any], bytes], None]:
    def change(header: dict[str, Any], body: bytes) -> None:
        said = json.loads(header["__metadata__"]["model"])
        header["__metadata__"]["model"] = json.dumps(said | changes)

    return change


FORGERIES: list[tuple[str, Callable[[dict[str, Any], bytes], bytes | None]]] = [
    ("trees", with_array("left", 0, 0)),  # A walk without an end.
    ("trees", with_array("right", 0, 10**9)),  # A walk out of memory.
    ("trees", with_array("left", 0, -1)),
    ("trees", with_array("feature_idx", 0, 4)),  # There are four, 0 to 3.
    ("trees", with_array("feature_idx", 0, -1)),
    ("trees", with_array("value", 0, np.nan)),
    ("trees", with_array("num_threshold", 0, np.nan)),
    ("trees", with_array("nodes", 0, 0)),
    ("trees", with_array("nodes", 0, 10**6)),
    ("trees", with_said(kind="forest")),
    ("trees", with_said(settings={"made_up": 1})),
    ("trees", with_said(features=["a", "b", "c"])),
    ("linear", with_array("weights", 0, np.inf)),
    ("linear", with_array("intercept", 0, np.nan)),
    ("linear", with_header("weights", shape=[2, 2])),
    ("linear", with_header("weights", shape=[-1])),
    ("linear", with_header("weights", data_offsets=[0, 10**9])),
    ("linear", with_header("weights", data_offsets=[-8, 24])),
    ("linear", with_header("weights", dtype="|O")),
    ("linear", with_said(version=7)),
    ("linear", with_said(features=[1, 2, 3, 4])),
    ("value", with_said(weights={"dislike": 1.0})),
    ("value", with_said(heads={})),
    ("platt", with_array("knots", 0, 10**6)),
    ("embedding", with_array("offsets", 1, 10**6)),
    ("embedding", with_header("users", shape=[4, 30])),
    ("linear", lambda header, body: header.pop("weights") and None),
]


@pytest.mark.parametrize(("kind", "change"), FORGERIES)
def test_a_whole_file_that_is_no_model_is_refused(kind: str, change: Any) -> None:
    assert scores(loads(forged(MODELS[kind], lambda header, body: None)), table(1)[0]) is not None
    with pytest.raises(ArtifactError, match="holds no model"):
        loads(forged(MODELS[kind], change))


@dataclass(frozen=True)
class Doubled(LinearModel):
    """A subclass that scores otherwise."""


def test_what_has_no_form_as_data_is_refused_when_it_is_stored() -> None:
    linear = MODELS["linear"]
    X, _ = table(5)
    X["category"] = np.arange(len(X)) % 3.0
    split = TreeModel.fit(X, (X["category"] == 1).to_numpy(float), categorical_features=[4])
    bad = LinearModel("1", linear.signature, linear.weights * np.nan, 0.0)
    for model, says in (
        (Doubled("1", linear.signature, linear.weights, 0.0), "a Doubled has no form"),
        ({"weights": [1.0]}, "a dict has no form"),
        (ValueModel("1", {"like": lambda X: X}, {"like": 1.0}), "a function has no form"),  # type: ignore[dict-item]
        (split, "split on a category"),
        (bad, "not a finite number"),
        (CalibratedModel("1", linear, np.zeros((3, 2))), "knots"),
    ):
        with pytest.raises(MlsysError, match=says):
            dumps(model)
    with pytest.raises(ArtifactError, match="not bytes"):
        loads("models:/feed")  # type: ignore[arg-type]


def test_other_tools_read_the_arrays() -> None:
    """The layout is that of safetensors 0.4 and later: read here as its own reader does, by the header alone."""
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    found = safetensors.load(dumps(MODELS["linear"]))
    np.testing.assert_array_equal(found["weights"], MODELS["linear"].weights)
