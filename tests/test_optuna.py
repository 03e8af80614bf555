"""Optuna's search has the face of ours."""

from __future__ import annotations

import pandas as pd
import pytest

from mlsys.core import MlsysError
from mlsys.integrations.optuna import optuna_search
from mlsys.training.tuning import Settings, random_search

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install optuna")
SPACE = {"rate": (0.01, 10.0), "leaves": (4, 64), "kind": ["good", "bad"]}


def evaluate(settings: Settings) -> dict[str, float]:
    if settings["kind"] == "bad":
        raise MlsysError("no such kind", why="it is bad", fix="leave it out")
    return {"loss": abs(float(settings["rate"]) - 1) + int(settings["leaves"]) / 1_000}  # type: ignore[call-overload]


def test_the_same_rows_as_a_random_search_and_better_ones() -> None:
    told: list[Settings] = []
    found = optuna_search(evaluate, SPACE, metric="loss", maximize=False, trials=40, seed=3,
                          on_trial=lambda settings, _: told.append(settings))  # fmt: skip
    drawn = random_search(evaluate, SPACE, trials=40, seed=3)
    assert set(found.columns) == set(drawn.columns) and len(found) == len(drawn)
    assert found["failed"].notna().any() and len(told) == len(found) == 40
    assert found["loss"].tail(20).median() < 0.7 * drawn["loss"].median()
    again = optuna_search(evaluate, SPACE, metric="loss", maximize=False, trials=40, seed=3)
    pd.testing.assert_frame_equal(found, again)
