"""Redis as online store: one packed value per entity, one MGET per view and request.

A value is the arrival time of the newest event and the vector, as bytes: 8 + 4 F. Nothing is parsed on either side; a
hash with a field per feature costs eight to twenty times as much (`benchmarks/data`). Needs `pip install "redis>=6"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlsys.core import MlsysError
from mlsys.features.online import StoreUnavailable
from mlsys.features.timeline import NEVER

AT_ONCE = 10_000
"""Keys of one command; a longer one would keep other clients waiting."""


class RedisOnline:
    """An `OnlineStore` on a Redis server, for any number of processes and machines.

    url : `redis://host:port/db`. prefix : what all keys begin with. timeout : seconds until a read is given up; a
    server has a budget, so it is short.
    """

    def __init__(self, url: str = "redis://127.0.0.1:6379/0", *, prefix: str = "mlsys", timeout: float = 0.25) -> None:
        try:
            import redis
        except ImportError:
            raise MlsysError(
                "RedisOnline needs the package redis",
                why="it is not installed; the embedded stores need nothing",
                fix='pip install "redis>=6"',
            ) from None
        self.prefix, self._outage = prefix, redis.RedisError
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """See `OnlineStore.write`. Readers see every vector whole, not the table."""
        width = values.shape[1]
        packed = np.empty(len(ids), [("newest", "<i8"), ("vector", "<f4", (width,))])
        packed["newest"], packed["vector"] = newest, values
        data = packed.view(f"V{packed.itemsize}").tolist()
        with self._reported():
            known = self._redis.get(self._key(table))
            if known is not None and int(known) != width and not replace:
                raise MlsysError(
                    f"table {table!r} holds vectors of {int(known)} features, not {width}",
                    why="a reader takes all vectors of a table to be of one length",
                    fix="materialize the view as a whole: materialize(end)",
                )
            keys = self._keys(table, ids)
            if replace:
                kept = set(keys)
                old = [key for key in self._redis.scan_iter(self._key(table) + b":*", AT_ONCE) if key not in kept]
                for at in range(0, len(old), AT_ONCE):
                    self._redis.unlink(*old[at : at + AT_ONCE])
            for at in range(0, len(keys), AT_ONCE):
                self._redis.mset(dict(zip(keys[at : at + AT_ONCE], data[at : at + AT_ONCE], strict=True)))
            self._redis.set(self._key(table), width)

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """See `OnlineStore.read`. One round trip."""
        with self._reported():
            width, *found = self._redis.mget([self._key(table), *self._keys(table, ids)])
        if width is None:
            return None
        size = 8 + 4 * int(width) if width.isdigit() and len(width) < 5 else 0
        if not size or any(value is not None and len(value) != size for value in found):
            raise StoreUnavailable(
                f"Redis holds something else under the keys of table {table!r}",
                why=f"a vector has {size} bytes there, and a table a width",
                fix="find out who writes there, then materialize again; a model server answers from the next rung",
            )
        empty = np.empty(1, [("newest", "<i8"), ("vector", "<f4", ((size - 8) // 4,))])
        empty["newest"], empty["vector"] = NEVER, np.nan
        nothing = empty.tobytes()
        rows = np.frombuffer(b"".join([nothing if value is None else value for value in found]), empty.dtype)
        return rows["vector"].copy(), rows["newest"].copy()

    def rename(self, table: str, to: str) -> None:
        """See `OnlineStore.rename`. Key by key: readers may find part of it under either name meanwhile."""
        with self._reported():
            width = self._redis.get(self._key(table))
            if width is None:
                return
            for key in [*self._redis.scan_iter(self._key(to) + b":*", AT_ONCE)]:
                self._redis.unlink(key)
            moved = list(self._redis.scan_iter(self._key(table) + b":*", AT_ONCE))
            with self._redis.pipeline(transaction=False) as pipe:
                for key in moved:
                    pipe.rename(key, self._key(to) + key[len(self._key(table)) :])
                pipe.rename(self._key(table), self._key(to)).execute()

    def _key(self, table: str) -> bytes:
        return f"{self.prefix}:{table}".encode()

    def _keys(self, table: str, ids: np.ndarray) -> list[bytes]:
        start = self._key(table) + b":"
        return [start + id_ for id_ in np.ascontiguousarray(ids, ">i8").view("V8").tolist()]

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except self._outage as error:
            raise StoreUnavailable(
                f"Redis does not answer: {error}",
                why="the connection failed, took longer than the timeout, or brought what is no answer",
                fix="check the server and the network; a model server answers from the next rung meanwhile",
            ) from error
