"""A model as bytes and back, without running anything that the bytes say: arrays, and JSON that names them.

The layout is that of safetensors (github.com/huggingface/safetensors#format), so other tools read the arrays: the
header's length (8 bytes), the header (JSON: array → dtype, shape, place), the arrays. The header also holds the SHA-256
of all of it. A pickle is refused: it is a program, and whoever can write it runs what they like where it is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from mlsys.core import MlsysError
from mlsys.training.calibration import CalibratedModel
from mlsys.training.models import THREADS, LinearModel, Signature, TreeModel, ValueModel
from mlsys.training.retrieval import Embedding

FORMAT = "mlsys model 1"
DTYPES = {"F64": "<f8", "I64": "<i8", "U8": "|u1"}
NODE = {
    "value": "<f8",
    "feature_idx": "<i8",
    "num_threshold": "<f8",
    "missing_go_to_left": "|u1",
    "left": "<i8",
    "right": "<i8",
    "is_leaf": "|u1",
}
"""What scikit-learn asks of a tree's node at prediction, under its names."""

Arrays = dict[str, np.ndarray]


class ArtifactError(MlsysError):
    """Bytes that are no model, or no longer the one that was stored."""


def dumps(model: object) -> bytes:
    """The bytes of a model of this package, the same for the same model. What could not be read back is refused.

    >>> model = LinearModel("1", Signature(("a",), (0.5,)), np.array([2.0]), -1.0)
    >>> data = dumps(model)
    >>> float(loads(data).predict_array(np.array([[0.5]]))[0])
    0.5
    >>> loads(data[:-1])
    Traceback (most recent call last):
    mlsys.training.artifact.ArtifactError: the artifact is damaged...
    """
    arrays: Arrays = {}
    text = json.dumps(_pack(model, "", arrays))
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "sha256": "0" * 64, "model": text}}
    end, names = 0, {dtype: name for name, dtype in DTYPES.items()}
    for name, values in arrays.items():
        start, end = end, end + values.nbytes
        dtype = names[values.dtype.newbyteorder("<").str]
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": (start, end)}
    body = json.dumps(header).encode()
    body += b" " * (-len(body) % 8)
    data = len(body).to_bytes(8, "little") + body + b"".join(values.tobytes() for values in arrays.values())
    sealed = data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1)
    loads(sealed)
    return sealed


def loads(data: bytes) -> Any:
    """The model in these bytes; it scores as the stored one, to the bit (an Embedding: but for the last digit).
    `ArtifactError` if they are damaged, not of this format, or say what no model of this package is."""
    if not isinstance(data, bytes):
        raise _unknown(f"they are {type(data).__name__}, not bytes")
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size]) if size < len(data) else {}
        meta = header["__metadata__"]
        known, digest, text = meta["format"] == FORMAT, str(meta["sha256"]), str(meta["model"])
    except (ValueError, KeyError, TypeError, RecursionError):
        known, digest, text = False, "", ""
    if not known:
        pickled = data[:1] == b"\x80" or data[:2] == b"PK"
        raise _unknown("they look like a pickle, or an archive" if pickled else f"their header is not {FORMAT!r}")
    found = hashlib.sha256(data.replace(digest.encode(), b"0" * 64, 1)).hexdigest()
    if found != digest:
        raise ArtifactError(
            "the artifact is damaged",
            why=f"its SHA-256 is {found[:12]}..., and it was stored as {digest[:12]}...",
            fix="serve the version before, and register this one again from its run",
        )
    try:
        arrays = {name: _array(data[8 + size :], **at) for name, at in header.items() if name != "__metadata__"}
        return _unpack(json.loads(text), "", arrays)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ArtifactError(
            "the artifact holds no model",
            why=f"it is whole, but not what this package writes: {type(error).__name__}: {error}",
            fix="find out who made it; register a model of this package",
        ) from None


def _array(data: bytes, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    start, end = data_offsets
    _check(0 <= start <= end <= len(data) and all(n >= 0 for n in shape), "an array lies outside the file")
    return np.frombuffer(data[start:end], DTYPES[dtype]).reshape(shape).copy()


def _pack(model: Any, at: str, arrays: Arrays) -> dict[str, Any]:
    """What JSON holds of a model; its arrays go into `arrays`, their names begin with `at`.

    By exact type: a subclass may score otherwise, and nothing here would know.
    """
    from mlsys.integrations.lightgbm import LightGBMModel  # Its text needs no LightGBM.

    def put(dtype: str = "<f8", **named: Any) -> None:
        arrays.update({at + name: np.ascontiguousarray(values, dtype) for name, values in named.items()})

    kind = type(model)
    if kind is Embedding:
        put(users=model.users, features=model.features)
        put("<i8", offsets=model.offsets)
        return {"kind": "embedding"}
    said: dict[str, Any] = {"version": model.version} if hasattr(model, "version") else {}
    if kind is ValueModel:
        heads = {name: _pack(head, f"{at}{name}.", arrays) for name, head in model.heads.items()}
        weights = {name: float(weight) for name, weight in model.weights.items()}
        return {"kind": "value", **said, "heads": heads, "weights": weights}
    if kind is CalibratedModel:
        put(knots=model.knots)
        return {"kind": "calibrated", **said, "base": _pack(model.base, f"{at}base.", arrays)}
    if kind not in (LinearModel, TreeModel, LightGBMModel):
        raise ArtifactError(
            f"a {kind.__name__} has no form as data",
            why="only models whose numbers say all are stored; a pickle would run code where it is loaded",
            fix="register a LinearModel, TreeModel, ValueModel, CalibratedModel, Embedding or LightGBMModel",
        )
    put(defaults=model.signature.defaults)
    said["features"] = list(model.signature.features)
    if kind is LinearModel:
        put(weights=model.weights, intercept=[model.intercept])
        return {"kind": "linear", **said}
    if kind is LightGBMModel:
        put("|u1", text=np.frombuffer(model.text.encode(), np.uint8))
        return {"kind": "lightgbm", **said}
    return {"kind": "trees", **said, "settings": _pack_trees(model.trees, at, arrays)}


def _unpack(said: Mapping[str, Any], at: str, arrays: Arrays) -> Any:
    kind = said["kind"]
    if kind == "embedding":
        users, features = arrays[f"{at}users"], arrays[f"{at}features"]
        offsets = arrays[f"{at}offsets"]
        _check(users.ndim == features.ndim == 2 and users.shape[1] == features.shape[1], "vectors differ in length")
        _check(offsets.tolist() == sorted({0, *offsets.tolist(), len(features)}), "offsets do not rise to the end")
        return Embedding(users, features, tuple(offsets.tolist()))
    version = said["version"]
    _check(isinstance(version, str), "a version is text")
    if kind == "value":
        heads = {name: _unpack(head, f"{at}{name}.", arrays) for name, head in said["heads"].items()}
        of = {head.signature.features for head in heads.values()}
        _check(len(of) == 1 and said["weights"].keys() <= heads.keys(), "heads of other features, or a missing one")
        return ValueModel(version, heads, {name: float(weight) for name, weight in said["weights"].items()})
    if kind == "calibrated":
        knots = arrays[f"{at}knots"]
        _check(knots.ndim == 2 and len(knots) == 2 and knots.size > 0 and bool((np.diff(knots[0]) >= 0).all()), "knots")
        return CalibratedModel(version, _unpack(said["base"], f"{at}base.", arrays), knots)
    names, defaults = said["features"], arrays[f"{at}defaults"]
    _check(all(isinstance(name, str) for name in names) and defaults.shape == (len(names),), "one default per feature")
    signature = Signature(tuple(names), tuple(defaults.tolist()))
    if kind == "linear":
        weights, intercept = arrays[f"{at}weights"], arrays[f"{at}intercept"]
        _check(weights.shape == defaults.shape and intercept.shape == (1,), "one weight per feature, one intercept")
        _check(bool(np.isfinite(weights).all() and np.isfinite(intercept).all()), "a weight is not a finite number")
        return LinearModel(version, signature, weights, float(intercept[0]))
    if kind == "lightgbm":
        from mlsys.integrations.lightgbm import LightGBMModel

        return LightGBMModel(version, signature, arrays[f"{at}text"].tobytes().decode())
    _check(kind == "trees", f"there is no kind {kind!r}")
    return TreeModel(version, signature, _unpack_trees(said["settings"], len(names), at, arrays))


def _pack_trees(trees: Any, at: str, arrays: Arrays) -> dict[str, Any]:
    """Every node of every tree, column by column. Returns scikit-learn's settings."""
    nodes = [tree.nodes for (tree,) in trees._predictors]
    every = np.concatenate(nodes)
    if every["is_categorical"].any():
        raise ArtifactError(
            "the trees split on a category",
            why="its bit sets are not stored",
            fix="give categories as numbers, without categorical_features",
        )
    arrays[f"{at}baseline"] = np.asarray(trees._baseline_prediction, "<f8").ravel()
    arrays[f"{at}nodes"] = np.array([len(tree) for tree in nodes], "<i8")
    arrays.update({at + name: every[name].astype(dtype) for name, dtype in NODE.items()})
    plain = (bool, int, float, str, type(None))
    return {name: value for name, value in trees.get_params().items() if isinstance(value, plain)}


def _unpack_trees(settings: dict[str, Any], features: int, at: str, arrays: Arrays) -> HistGradientBoostingClassifier:
    """A classifier fitted on two rows, which makes everything else that scikit-learn keeps; then its trees are
    replaced. Children stand after their parent and within their tree, so that no walk is endless or leaves it."""
    columns, size = {name: arrays[at + name] for name in NODE}, arrays[f"{at}nodes"]
    baseline, total = arrays[f"{at}baseline"], int(size.sum())
    _check(baseline.shape == (1,) and size.ndim == 1 and len(size) > 0 and bool((size > 0).all()), "no nodes")
    _check(all(values.shape == (total,) for values in columns.values()), "nodes lack something")
    inner = columns["is_leaf"] == 0
    own = (np.arange(total) - np.repeat(np.cumsum(size) - size, size))[inner]
    for child in (columns["left"][inner], columns["right"][inner]):
        _check(bool(((own < child) & (child < np.repeat(size, size)[inner])).all()), "a node's child is elsewhere")
    asked = columns["feature_idx"][inner]
    _check(bool(((asked >= 0) & (asked < features)).all()), "a node asks for a feature that there is not")
    numbers = (columns["value"], baseline, np.nan_to_num(columns["num_threshold"], nan=np.nan, posinf=0.0))
    _check(all(bool(np.isfinite(values).all()) for values in numbers), "a value is not a number")

    shell = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1, early_stopping=False, random_state=0)
    with THREADS.limit(limits=1):
        shell.fit(np.arange(2.0)[:, None] * np.ones(features), [0.0, 1.0])
    (((model,),),) = (shell._predictors,)
    every = np.zeros(total, model.nodes.dtype)
    for name, values in columns.items():
        every[name] = values
    none = model.raw_left_cat_bitsets[:0]
    parts = np.split(every, np.cumsum(size)[:-1])
    shell._predictors = [[type(model)(nodes, none, none)] for nodes in parts]
    shell._baseline_prediction = baseline.reshape(1, 1)
    return shell.set_params(**settings)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _unknown(why: str) -> ArtifactError:
    return ArtifactError(
        "these bytes are no model artifact",
        why=f"{why}; what is not known is not loaded",
        fix="store models with mlsys.training.artifact.dumps, or register them: registry.register_model(model, name)",
    )
