"""One partition of an event log: a file of batches, end to end, that a crash at any byte leaves readable.

A batch is a head, then columns. The head has the length and a crc32 of all that follows it, so that a batch is either
whole or not there. Only the end of the file can be torn: a broken batch with a whole one behind it was acknowledged
once, and is an error.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from mlsys.collection.durable import sync
from mlsys.collection.schema import Schema
from mlsys.core import MlsysError

MAGIC = b"MLB1"
HEAD = struct.Struct("<4sIIIQI")
"""Magic; crc32 of what follows; bytes of columns; number of the schema; offset of the first event; events."""
BATCH_ROWS = 65_536
"""The most events in one batch, because a reader of one event decodes its whole batch."""


class EventLogError(MlsysError):
    """The log cannot do what was asked."""


class CorruptLog(EventLogError):
    """A batch is broken that was acknowledged once. `rows`: file, byte and offset where it begins."""


class Batch(NamedTuple):
    """Some events as stored. `offset` is the first one's, `schema` the number of theirs, `size` bytes with the head."""

    offset: int
    rows: int
    schema: int
    columns: bytes
    size: int

    def decode(self, schemas: Sequence[Schema]) -> pd.DataFrame:
        """The events, under the schema they were written with."""
        at = 4 + struct.unpack_from("<I", self.columns)[0]
        texts, found = json.loads(self.columns[4:at]), {}
        for column in schemas[self.schema].columns:
            dtype = np.dtype("int32" if column.dtype == "category" else column.dtype).newbyteorder("<")
            values: Any = np.frombuffer(self.columns, dtype, self.rows, at)
            at += values.nbytes
            if column.dtype == "category":
                values = pd.Categorical.from_codes(values, pd.Index(texts[column.name], dtype=str))
            found[column.name] = values
        return pd.DataFrame(found)


class Partition:
    """The file, and where each of its batches begins. `end` is the next offset; `size` the bytes of whole batches."""

    def __init__(self, path: Path) -> None:
        self.path, self.end, self.size = path, 0, 0
        self._offsets: list[int] = []
        self._places: list[int] = []

    def append(self, frame: pd.DataFrame, schema: int) -> None:
        """Write the events behind the last batch; returns when the disk has them."""
        data = b""
        for start in range(0, len(frame), BATCH_ROWS):
            rows = frame.iloc[start : start + BATCH_ROWS]
            columns = _encode(rows)
            rest = HEAD.pack(MAGIC, 0, len(columns), schema, self.end + start, len(rows))[8:] + columns
            data += MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest
        with self.path.open("ab") as file:
            file.write(data)
            sync(file)
        self.refresh()

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches with the events from offset `start` to before `stop`. Raises `CorruptLog`."""
        with self.path.open("rb") as file:
            for i in range(bisect_right(self._offsets, start) - 1, bisect_left(self._offsets, stop)):
                batch = _batch(file, self._places[i], self.size)
                if batch is None or batch.offset != self._offsets[i]:
                    raise self._corrupt(self._places[i], self._offsets[i])
                yield batch

    def refresh(self) -> int:
        """Take in the whole batches that came since; returns how many bytes follow them. Raises `CorruptLog`."""
        try:
            return self._scan()
        except CorruptLog:  # Or a new writer cut a torn end off and went on, while we looked: look again.
            return self._scan()

    def _scan(self) -> int:
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # What comes behind this may be half written: not looked at.
            while (batch := _batch(file, self.size, size)) is not None and batch.offset == self.end:
                self._offsets.append(self.end)
                self._places.append(self.size)
                self.end, self.size = self.end + batch.rows, self.size + batch.size
            file.seek(self.size)
            rest = file.read(max(0, size - self.size))  # Torn or on its way: then nothing whole is behind it.
        at = rest.find(MAGIC)
        while at >= 0:
            if _batch(BytesIO(rest), at, len(rest)) is not None:
                raise self._corrupt(self.size, self.end)
            at = rest.find(MAGIC, at + 1)
        return len(rest)

    def recover(self) -> str | None:
        """Cut off what is behind the last whole batch, keep it aside, and say so. Only the writer may."""
        torn, aside = self.refresh(), self.path.with_suffix(".torn")
        with self.path.open("r+b") as file:
            if torn:
                file.seek(self.size)
                with aside.open("ab") as kept:
                    kept.write(file.read())
                    sync(kept)
                file.truncate(self.size)
            sync(file)  # Readers may have seen whole batches that nobody had acknowledged yet.
        where = f"{self.path.name} from byte {self.size} (offset {self.end})"
        return f"{torn:,} bytes of {where} were no whole batch: moved to {aside.name}" if torn else None

    def _corrupt(self, byte: int, offset: int) -> CorruptLog:
        return CorruptLog(
            f"{self.path} is corrupt at byte {byte}, offset {offset}",
            why="the batch there is not as written, and it was acknowledged: the disk, or a hand, changed it",
            fix="put a copy of the file in its place; without one, keep this file aside, type "
            f"os.truncate({str(self.path)!r}, {byte}), and append the events from offset {offset} on again",
            rows={"file": str(self.path), "byte": byte, "offset": offset},
        )


def _batch(file: BinaryIO, at: int, size: int) -> Batch | None:
    """The batch that begins at byte `at`, if it is whole and ends within `size` bytes."""
    file.seek(at)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    magic, crc, length, schema, offset, rows = HEAD.unpack(head)
    if magic != MAGIC or at + HEAD.size + length > size:  # Before reading: a broken length may ask for gigabytes.
        return None
    columns = file.read(length)
    if zlib.crc32(columns, zlib.crc32(head[8:])) != crc:
        return None
    return Batch(offset, rows, schema, columns, HEAD.size + length)


def _encode(frame: pd.DataFrame) -> bytes:
    """The texts of the categories as JSON, then one column after the other, little endian."""
    texts, columns = {}, []
    for name in frame.columns:
        column = frame[name]
        if column.dtype == "category":
            column = column.cat.remove_unused_categories()
            texts[name] = column.cat.categories.tolist()
            column = column.cat.codes.astype("int32")
        values = column.to_numpy()
        columns.append(values.astype(values.dtype.newbyteorder("<")).tobytes())
    head = json.dumps(texts).encode()
    return struct.pack("<I", len(head)) + head + b"".join(columns)
