"""A linear model, and the features it reads, in fewer bits: what it saves in bytes, what it does to the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from mlsys.training.models import LinearModel, Signature

LEVELS = 127
"""Steps of an int8 on either side of zero."""


@dataclass(frozen=True)
class Compressed:
    """A `LinearModel` whose features and weights are float16, or int8 with a scale per feature.

    `scale` float64 (features,): the value that becomes 127; larger ones are cut off. Scores as of `LinearModel`.

    >>> model = LinearModel("1", Signature(("a", "b"), (0.0, 0.0)), np.array([2.0, 0.5]), -1.0)
    >>> rows = np.array([[0.3, 4.0], [1.0, np.nan]], np.float32)
    >>> exact = model.predict_array(rows)
    >>> [bool(abs(compress(model, rows, bits).predict_array(rows) - exact).max() < 0.01) for bits in (16, 8)]
    [True, True]
    """

    model: LinearModel
    bits: int
    scale: np.ndarray

    @property
    def version(self) -> str:
        """The model's, and how many bits."""
        return f"{self.model.version}, {self.bits} bits"

    @property
    def signature(self) -> Signature:
        """The model's."""
        return self.model.signature

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Values (n, features) as they are kept: float16 or int8, missing ones filled with the training means."""
        filled = np.where(np.isnan(values), np.asarray(self.signature.defaults, np.float32), values)
        if self.bits == 16:
            return filled.astype(np.float16)
        return np.clip(np.rint(filled * (LEVELS / self.scale)), -LEVELS, LEVELS).astype(np.int8)

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """Scores, float64 (n,), from values (n, features) in the signature's order, NaN where missing."""
        kept = self.stored(values)
        if self.bits == 16:
            return np.asarray(expit((kept @ self.model.weights.astype(np.float16)).astype(np.float64) + self._bias))
        weights = self.model.weights * self.scale / LEVELS
        step = np.abs(weights).max() / LEVELS
        whole = np.rint(weights / step).astype(np.int32)
        return np.asarray(expit((kept.astype(np.int32) @ whole) * step + self._bias))

    @property
    def _bias(self) -> float:
        return self.model.intercept


def compress(model: LinearModel, values: np.ndarray, bits: int) -> Compressed:
    """The model in 16 or 8 bits.

    `values` (n, features): rows of training; int8 covers all but a thousandth of them.
    """
    largest = np.nanquantile(np.abs(values), 0.999, axis=0)
    return Compressed(model, bits, np.where(largest > 0, largest, 1.0))
