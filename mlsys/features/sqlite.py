"""The embedded online store: one SQLite file is the truth, and every process that reads it holds it in memory.

A write appends one *segment*: ids and vectors as packed arrays. A reader asks SQLite whether another connection has
committed (`PRAGMA data_version`), and only then fetches the segments that it does not have. So a read costs what memory
costs, and a vector that one process wrote is there for all others on their next read. A table of many segments is
merged into one as it is written. Commits are durable; a killed writer leaves the last one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import RLock

import numpy as np

from mlsys.features.online import MemoryOnline, StoreUnavailable

MOST_SEGMENTS = 16

SCHEMA = """
create table if not exists tables (id integer primary key autoincrement, name text unique, width integer);
create table if not exists segments (
  number integer primary key autoincrement, of integer, whole integer, ids blob, newest blob, vectors blob
);
"""


class SqliteOnline:
    """An `OnlineStore` in one file, for several processes and threads of one machine. A table of one write: 1 GB.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = SqliteOnline(Path(folder) / "online.db")
    ...     store.write("user", np.array([7]), np.array([[0.5]], np.float32), np.array([1_000]))
    ...     values, newest = store.read("user", np.array([7, 8]))
    ...     store.close()
    >>> values.tolist()
    [[0.5], [nan]]
    """

    def __init__(self, path: str | Path, *, timeout: float = 5.0) -> None:
        self.path, self._lock = Path(path), RLock()
        self._memory, self._ids = MemoryOnline(), dict[str, int]()
        self._version, self._number = -1, 0
        with self._reported():
            self._db = sqlite3.connect(self.path, timeout=timeout, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(SCHEMA)

    def write(
        self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, *, replace: bool = False
    ) -> None:
        """See `OnlineStore.write`. Durable when it returns."""
        with self._reported(), self._transaction():
            self._db.execute("insert or ignore into tables (name, width) values (?, ?)", (table, values.shape[1]))
            (of,) = self._db.execute("select id from tables where name = ?", (table,)).fetchone()
            (segments,) = self._db.execute("select count(*) from segments where of = ?", (of,)).fetchone()
            if not replace and segments >= MOST_SEGMENTS:
                self._fetch()
                merged = self._memory.tables[str(of)].with_(ids, values, newest)
                ids, values, newest, replace = merged.ids, merged.values[:-1], merged.newest[:-1], True
            if replace:
                self._db.execute("delete from segments where of = ?", (of,))
                self._db.execute("update tables set width = ? where id = ?", (values.shape[1], of))
            packed = [np.ascontiguousarray(a, d).tobytes() for a, d in ((ids, "<i8"), (newest, "<i8"), (values, "<f4"))]
            self._db.execute(
                "insert into segments (of, whole, ids, newest, vectors) values (?, ?, ?, ?, ?)", (of, replace, *packed)
            )
            self._version = -1

    def read(self, table: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """See `OnlineStore.read`."""
        with self._lock:
            # Not `_reported`: this runs for every view of every request.
            try:
                (version,) = self._db.execute("pragma data_version").fetchone()
            except sqlite3.Error as error:
                raise self._unavailable(error) from error
            if version != self._version:
                with self._reported():
                    self._db.execute("begin")
                    try:
                        self._fetch()
                    finally:
                        self._db.execute("rollback")
                    self._version = version
            return self._memory.read(str(self._ids[table]), ids) if table in self._ids else None

    def rename(self, table: str, to: str) -> None:
        """See `OnlineStore.rename`."""
        with self._reported(), self._transaction():
            if self._db.execute("select 1 from tables where name = ?", (table,)).fetchone():
                self._db.execute("delete from tables where name = ?", (to,))
                self._db.execute("update tables set name = ? where name = ?", (to, table))
                self._db.execute("delete from segments where of not in (select id from tables)")
            self._version = -1

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _fetch(self) -> None:
        """Bring memory up to what is committed."""
        self._ids = dict(self._db.execute("select name, id from tables"))
        width = dict(self._db.execute("select id, width from tables"))
        new = "select number, of, whole, ids, newest, vectors from segments where number > ? order by number"
        with closing(self._db.execute(new, (self._number,))) as rows:
            for number, of, whole, ids, newest, vectors in rows:
                values = np.frombuffer(vectors, "<f4").reshape(-1, width[of])
                self._memory.write(
                    str(of), np.frombuffer(ids, "<i8"), values, np.frombuffer(newest, "<i8"), replace=bool(whole)
                )
                self._number = number

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error) -> StoreUnavailable:
        return StoreUnavailable(
            f"the online store {self.path.name} does not answer: {error}",
            why="SQLite could not read or write the file",
            fix="check the disk and who else holds the file; a server answers from the next rung meanwhile",
        )
