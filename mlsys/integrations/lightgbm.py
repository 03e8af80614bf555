"""LightGBM's boosted trees behind the same face as `mlsys.training.TreeModel`. Needs `pip install lightgbm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.training.models import Signature


@dataclass(frozen=True)
class LightGBMModel:
    """P(y = 1). Kept as LightGBM's own text, which is data: reading it runs nothing, and two of them compare.

    One thread: the same text on every machine, whatever its number of cores.
    """

    version: str
    signature: Signature
    text: str

    @classmethod
    def fit(
        cls, X: pd.DataFrame, y: np.ndarray, *, version: str = "1", seed: int = 0, **settings: Any
    ) -> LightGBMModel:
        """Fit on a frame (n, features), NaN allowed, and 0/1 labels (n,). `settings` go to `lightgbm.train`."""
        labels = np.asarray(y, np.float64)
        if len(np.unique(labels)) < 2:
            raise MlsysError(
                f"cannot fit on {len(labels)} rows with labels {np.unique(labels).tolist()}",
                why="a classifier needs rows of both classes",
                fix="take a longer log, or check how actions map to like",
            )
        usual = {"num_iterations": 60, "learning_rate": 0.15, "num_leaves": 15, "min_data_in_leaf": 50}
        fixed = {"objective": "binary", "deterministic": True, "num_threads": 1, "seed": seed, "verbosity": -1}
        lightgbm = _lightgbm()
        data = lightgbm.Dataset(X.to_numpy(np.float64), labels)
        booster = lightgbm.train({**usual, **settings, **fixed}, data)
        means = np.nan_to_num(X.mean().to_numpy(np.float64))
        return cls(version, Signature(tuple(map(str, X.columns)), tuple(means.tolist())), booster.model_to_string())

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """P(y = 1), float64 (n,), from an array (n, features) in the signature's order, NaN where missing."""
        booster = self.__dict__.get("_booster")
        if booster is None:
            booster = _lightgbm().Booster(model_str=self.text)
            object.__setattr__(self, "_booster", booster)
        return np.asarray(booster.predict(values, num_threads=1))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """P(y = 1), float64 (n,); columns are taken by name."""
        return self.predict_array(X[list(self.signature.features)].to_numpy(np.float64))

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: not the booster that was read from the text."""
        return {name: value for name, value in self.__dict__.items() if name != "_booster"}


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MlsysError(
            "LightGBMModel needs the package lightgbm",
            why="it is not installed; TreeModel needs nothing",
            fix="pip install lightgbm",
        ) from None
    return lightgbm
