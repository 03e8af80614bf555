"""LightGBM's trees do what ours do, behind the same face."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from mlsys.core import MlsysError
from mlsys.evaluation import auc
from mlsys.integrations.lightgbm import LightGBMModel
from mlsys.training import TreeModel

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install lightgbm")


def data(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd")).mask(rng.random((n, 4)) < 0.1)
    return X, (rng.random(n) < 1 / (1 + np.exp(-2 * np.sin(2 * X["a"].fillna(0)) - X["b"].fillna(1)))).to_numpy(float)


def test_it_learns_what_our_trees_learn() -> None:
    X, y = data(8_000, 1)
    fresh, truth = data(8_000, 2)
    ours, theirs = (auc(truth, model.fit(X, y).predict(fresh)).value for model in (TreeModel, LightGBMModel))
    assert abs(ours - theirs) < 0.02 and theirs > 0.7


def test_it_repeats_survives_a_pickle_and_takes_columns_by_name() -> None:
    X, y = data(2_000, 3)
    model = LightGBMModel.fit(X, y, version="7", num_leaves=7)
    expected = model.predict(X)
    assert LightGBMModel.fit(X, y, version="7", num_leaves=7) == model
    again = pickle.loads(pickle.dumps(model))
    assert again == model and np.array_equal(again.predict(X[list("dcba")]), expected)
    assert model.signature.features == tuple("abcd") and model.version == "7"


def test_one_class_is_refused() -> None:
    X, _ = data(100, 4)
    with pytest.raises(MlsysError, match="both classes"):
        LightGBMModel.fit(X, np.zeros(100))
