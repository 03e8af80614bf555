"""The online store: one packed float32 row per entity, and an honest status for every value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd

from mlsys.core import MlsysError


class Status(IntEnum):
    """Feast's field statuses. Anything but PRESENT means that the value is NaN."""

    PRESENT = 0
    NULL_VALUE = 1
    NOT_FOUND = 2
    OUTSIDE_MAX_AGE = 3


class StoreUnavailable(MlsysError):
    """The online store did not answer."""


@dataclass(frozen=True)
class OnlineFeatures:
    """An answer of the online store, n rows by F features, columns in the order asked for.

    `values` float32, NaN unless PRESENT · `status` int8 · `age_seconds` float64, time since the newest event behind
    the value arrived, inf where there is none.
    """

    names: tuple[str, ...]
    values: np.ndarray
    status: np.ndarray
    age_seconds: np.ndarray

    def frame(self) -> pd.DataFrame:
        """For reading: one row per asked row and feature."""
        rows, columns = self.values.shape
        return pd.DataFrame(
            {
                "row": np.repeat(np.arange(rows), columns),
                "feature": list(self.names) * rows,
                "value": self.values.ravel(),
                "status": [Status(code).name for code in self.status.ravel().tolist()],
                "age_hours": (self.age_seconds / 3600).ravel().round(1),
            }
        )


class OnlineTable:
    """Vectors of one feature view as of one instant.

    ids int64 (n,) ascending · values float32 (n, F) · newest int64 microseconds (n,).
    """

    def __init__(self, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, ttl_seconds: float | None) -> None:
        self.ids, self.values, self.newest = ids, values, newest
        self.ttl_seconds = ttl_seconds

    def read(self, ids: np.ndarray, now: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(values float32 (n, F), status int8 (n, F), age in seconds (n,)) at `now`, int64 microseconds."""
        if not len(self.ids):
            shape = (len(ids), self.values.shape[1])
            return (
                np.full(shape, np.nan, np.float32),
                np.full(shape, Status.NOT_FOUND, np.int8),
                np.full(len(ids), np.inf),
            )
        slot = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found = self.ids[slot] == ids
        values = self.values[slot]
        age = np.where(found, (now - self.newest[slot]) / 1e6, np.inf)
        status = np.where(np.isnan(values), Status.NULL_VALUE, Status.PRESENT).astype(np.int8)
        if self.ttl_seconds is not None:
            status[age > self.ttl_seconds] = Status.OUTSIDE_MAX_AGE
        status[~found] = Status.NOT_FOUND
        values[status != Status.PRESENT] = np.nan
        return values, status, age
