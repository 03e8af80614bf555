"""The online store: one packed float32 row per entity, and an honest status for every value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.features.positions import Positions
from mlsys.features.timeline import NEVER


class Status(IntEnum):
    """Feast's field statuses. Anything but PRESENT means that the value is NaN."""

    PRESENT = 0
    NULL_VALUE = 1
    NOT_FOUND = 2
    OUTSIDE_MAX_AGE = 3


class Source(IntEnum):
    """Where a value was found: rungs of the fallback ladder. MISSING: the store did not answer, and nobody knew it."""

    FRESH = 0
    CACHED = 1
    SNAPSHOT = 2
    MISSING = 3


class StoreUnavailable(MlsysError):
    """The online store did not answer."""


@dataclass(frozen=True)
class OnlineFeatures:
    """An answer of the online store, n rows by F features, columns in the order asked for.

    `values` float32, NaN unless PRESENT · `status` int8 · `age_seconds` float64, time since the newest event behind
    the value arrived, inf where there is none · `source` int8, where it was found; None: all by the store itself.
    """

    names: tuple[str, ...]
    values: np.ndarray
    status: np.ndarray
    age_seconds: np.ndarray
    source: np.ndarray | None = None

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


class OnlineStore(Protocol):
    """Where vectors wait to be served: tables of one packed float32 row per entity.

    Every implementation passes `tests/test_online.py`: `MemoryOnline`, `SqliteOnline`, `RedisOnline`.
    """

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """Insert or replace vectors: ids int64 (n,), each once, values float32 (n, F), newest int64 microseconds (n,).

        `replace`: all others of the table go. Creates the table, which keeps its F.
        """
        ...

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(values float32 (n, F), newest int64 (n,)); NaN and NEVER where there is no vector. None: no such table.

        Raises `StoreUnavailable`.
        """
        ...

    def rename(self, table: str, to: str) -> None:
        """Move a table, if there is one, to another name."""
        ...


class ReadCache(Protocol):
    """What may stand between a feature store and its online store: `mlsys.serving.cache.FeatureCache`."""

    def read(
        self, store: OnlineStore, table: str, ids: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """As `OnlineStore.read`, and the `Source` of each row, int8 (n,). `width`: F, where nothing is known yet.

        Does not raise `StoreUnavailable`.
        """
        ...


class MemoryOnline:
    """Vectors in arrays of this process: the fastest store, and nothing survives it."""

    def __init__(self) -> None:
        self.tables: dict[str, Vectors] = {}

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """See `OnlineStore.write`."""
        old = self.tables.get(table)
        self.tables[table] = Vectors(ids, values, newest) if old is None or replace else old.with_(ids, values, newest)

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """See `OnlineStore.read`."""
        return self.tables[table].at(ids) if table in self.tables else None

    def rename(self, table: str, to: str) -> None:
        """See `OnlineStore.rename`."""
        if table in self.tables:
            self.tables[to] = self.tables.pop(table)


class Vectors:
    """One table in memory."""

    def __init__(self, ids: np.ndarray, values: np.ndarray, newest: np.ndarray) -> None:
        order = np.argsort(ids)
        self.ids = ids[order]
        # One row more than ids: it answers for whoever is not there.
        self.values = np.vstack([values[order], np.full((1, values.shape[1]), np.nan)]).astype(np.float32)
        self.newest = np.append(newest[order], NEVER)
        self._positions = Positions(self.ids)

    def with_(self, ids: np.ndarray, values: np.ndarray, newest: np.ndarray) -> Vectors:
        """A table in which these vectors are inserted or replaced."""
        kept = ~np.isin(self.ids, ids)
        return Vectors(
            np.append(self.ids[kept], ids),
            np.vstack([self.values[:-1][kept], values]),
            np.append(self.newest[:-1][kept], newest),
        )

    def at(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `OnlineStore.read`."""
        row = self._positions.of(np.ascontiguousarray(ids, np.int64))
        return self.values.take(row, axis=0), self.newest.take(row)
