"""A versioned, partitioned, columnar dataset on plain files: what Iceberg, Delta Lake and DVC have in common.

    events/files/<sha256>.npy        one column of one partition, never changed
    events/versions/00000007.json    the manifest of version 7: schema, files, rows, lineage
    events/grants.json, audit.jsonl  who may read which columns; who has
    events/lock                      held by the writer; the system frees it however the writer ends

A write first puts the data files, waits for the disk, and then puts the manifest with one renaming. Before that nobody
sees the version; a crash leaves at most files that no manifest names. What a version reads never changes, so time
travel is no more than reading an older manifest.

What the lakehouse formats add: several writers at a time, manifests that share their lists of files (here each names
all of its files), statistics of every column, small parts merged in the background.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from mlsys.collection.durable import lock
from mlsys.collection.schema import Column, Schema
from mlsys.core import Clock
from mlsys.storage.access import Access
from mlsys.storage.catalogue import Catalogue, Instant, instant
from mlsys.storage.content import digests
from mlsys.storage.files import CorruptDataset, DatasetError, Files, sync_folder
from mlsys.storage.manifest import Version
from mlsys.storage.parts import TIME, load, store


class WriteConflict(DatasetError):
    """Another writer is at work, or was since the rows were read. Nothing was stored: try again."""


class Vacuumed(NamedTuple):
    """What `vacuum` deleted, or would without `dry_run`: versions, data files, their bytes."""

    versions: tuple[int, ...]
    files: tuple[str, ...]
    bytes: int


class Erased(NamedTuple):
    """The version without the rows, how many they were, and the versions that still hold some of them."""

    version: Version
    rows: int
    still_in: tuple[int, ...]


class Dataset(Catalogue):
    """A dataset in a folder: one writer at a time, any number of readers. Rows keep their order, not their index.

    `owner` is who writes, and who reads where no `reader` is named. Times are UTC, and "now" is the `clock`'s.

    Raises `DatasetError`, and of it `WriteConflict`, `CorruptDataset`, `AccessDenied`; `SchemaError` for rows that do
    not fit.

    >>> import tempfile
    >>> from mlsys.core import VirtualClock
    >>> folder, clock = tempfile.TemporaryDirectory(), VirtualClock("2026-01-01")
    >>> likes = Dataset(folder.name, "likes", clock=clock)
    >>> first = likes.write(pd.DataFrame({"user_id": [1, 2], "likes": [3, 4]}))
    >>> clock.advance(days=1)
    >>> second = likes.write(pd.DataFrame({"user_id": [9], "likes": [5]}), note="came late")
    >>> str(second), len(likes.read()), len(likes.read(1)), len(likes.read(as_of="2026-01-01T12:00"))
    ('likes@2', 3, 2, 2)
    >>> likes.grant("ranking-team", ["likes"])
    >>> likes.read(reader="ranking-team", columns=["likes"])["likes"].tolist()
    [3, 4, 5]
    >>> likes.erase("user_id", [2]).still_in
    (1, 2)
    >>> folder.cleanup()
    """

    def __init__(self, folder: str | Path, name: str = "events", *, clock: Clock, owner: str = "owner") -> None:
        super().__init__(folder, name)
        self.clock, self.owner = clock, owner
        self._files, self._access = Files(self.folder / "files"), Access(self.folder, clock)

    def write(
        self,
        frame: pd.DataFrame,
        *,
        mode: Literal["append", "overwrite"] = "append",
        partition_by: str | None = None,
        schema: Schema | None = None,
        parents: Sequence[str | Version] = (),
        note: str = "",
        after: Version | None = None,
    ) -> Version:
        """Make the next version: the old rows and then these, or only these. It is on the disk on return.

        partition_by : a time (by day) or a key (by its hash). Else as before; at first `event_time`, if there is one.
        schema : replaces the old one through `Schema.evolve`. Else as before, and new columns as they come.
        parents : versions of datasets beside this one from which the rows were made.
        after : the version that the rows were worked out from; `WriteConflict` if it is not the newest any more.
        """
        if mode not in ("append", "overwrite"):
            raise DatasetError(f"there is no mode {mode!r}", why="rows are added or replaced", fix='mode="append"')
        with self._writing():
            old = self.version() if self.versions else None
            if after is not None and after != old:
                raise WriteConflict(f"{old} came after {after}", why="its rows would be lost", fix="read() again")
            schema = _next(old.schema if old else None, schema, frame)
            frame = schema.enforce(frame.reset_index(drop=True))
            by = partition_by or (old.partition_by if old else TIME if TIME in schema.names else None)
            base = old if mode == "append" else None
            first = base.rows if base else 0
            now = self.clock.now() if old is None else max(self.clock.now(), np.datetime64(old.created))
            version = Version(
                dataset=self.name,
                number=old.number + 1 if old else 1,
                created=str(now),  # Never before the version before, whatever the clock does: as_of counts on it.
                by=self.owner,
                mode=mode,
                note=note,
                parents=tuple(
                    dict.fromkeys(str(self._named(str(parent))) for parent in [base, *parents] if parent is not None)
                ),
                schema=schema,
                rows=first + len(frame),
                partition_by=by and _pick(schema, [by])[0].name,
                digests=digests(frame, first, base.digests if base else {}),
                parts=(*(base.parts if base else ()), *store(self._files, frame, by, first)),
            )
            sync_folder(self._files.folder)  # The manifest must not outlive the files that it names.
            version.save(self._path(version.number))
            return version

    def erase(self, key: str, ids: Iterable[Any]) -> Erased:
        """Write a version without the rows whose `key` is among `ids`, as when a user asks to be forgotten.

        Until `vacuum`, the versions in `still_in` hold such rows. So may datasets that were made from this one.
        """
        newest, ids = self.version(), list(ids)
        column = _pick(newest.schema, [key])
        frame = load(self._files, newest, newest.schema.columns)
        found = frame[key].isin(ids)
        if found.any():
            left = frame[~found]
            for name in left.select_dtypes("category"):  # A name may be a category, and its text would stay behind.
                left = left.assign(**{str(name): left[name].cat.remove_unused_categories()})
            note = f"erased {found.sum()} rows by {key}"
            newest = self.write(left, mode="overwrite", parents=[newest], note=note, after=newest)
        old = [version for version in map(self.version, self.versions) if key in version.schema.names]
        still = [v.number for v in old if load(self._files, v, column)[key].isin(ids).any()]
        return Erased(newest, int(found.sum()), tuple(still))

    def vacuum(self, keep: Iterable[int], *, dry_run: bool = True) -> Vacuumed:
        """Delete the data files that neither the newest version nor one in `keep` names; the rest is gone for good.

        `keep=dataset.versions[-3:]` keeps three. `history`, `lineage` and `diff` still know the versions that went.
        """
        with nullcontext() if dry_run else self._writing():
            kept = {version.number: version for version in (self.version(), *map(self._whole, keep))}
            named = {file for version in kept.values() for file in version.files}
            gone = tuple(number for number in self.versions if number not in kept)
            files = sorted(path for path in self._files.folder.iterdir() if path.name not in named)
            report = Vacuumed(gone, tuple(path.name for path in files), sum(path.stat().st_size for path in files))
            if not dry_run:
                for number in gone:  # First: no version may name a file that is not there.
                    self._path(number).replace(self._path(number).with_suffix(".vacuumed"))
                sync_folder(self.folder / "versions")
                for path in files:
                    path.unlink()
            return report

    def read(
        self,
        version: int | None = None,
        *,
        as_of: Instant | None = None,
        columns: Sequence[str] | None = None,
        where: tuple[Instant | None, Instant | None] | None = None,
        partitions: Sequence[str] | None = None,
        reader: str | None = None,
        verify: bool = False,
    ) -> pd.DataFrame:
        """The rows of a version (the newest), with the types and in the order in which they were written.

        where : start <= `event_time` < end, None for no bound; partitions outside of it are not opened.
        partitions : only these, by name: `event_time=2026-01-01`, `user_id#7`. One that nobody wrote has no rows.
        reader : a name with grants; every read is recorded.
        verify : hash the files again that are read.
        """
        found = self._whole(version, as_of=as_of)
        if partitions is not None:
            found = replace(found, parts=tuple(part for part in found.parts if part.partition in partitions))
        chosen = _pick(found.schema, found.schema.names if columns is None else columns)
        used = [*chosen, *([] if where is None else _pick(found.schema, [TIME]))]
        asked = list(dict.fromkeys(column.name for column in used))
        self._access.read(reader or self.owner, found, asked, owner=reader is None)
        if verify:
            self._files.check(file for part in found.parts for file in part.files(asked))
        try:
            return load(self._files, found, chosen, where and (instant(where[0], first=True), instant(where[1])))
        except CorruptDataset:
            self._whole(found.number)  # Vacuumed while it was read? Then that is what to say.
            raise

    def check(self, version: int | None = None) -> int:
        """Hash every file of a version again; returns how many. Raises `CorruptDataset`, with all that differ."""
        return self._files.check(sorted(self._whole(version).files))

    def grant(self, reader: str, columns: Sequence[str]) -> None:
        """Say which columns a reader may read, in place of what was said before. None at all: `[]`."""
        with self._writing():
            self._access.grant(reader, [column.name for column in _pick(self.version().schema, columns)])

    def audit(self) -> pd.DataFrame:
        """One row per read: at, who, version, columns, granted, denied."""
        return self._access.audit()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock: a number is given out once, and no file is deleted that a writer counts on."""
        for folder in (self._files.folder, self.folder / "versions"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.folder.parent):
            sync_folder(folder)
        held = lock(self.folder / "lock")
        if held is None:
            raise WriteConflict(
                f"another writer has {self.name!r}",
                why="versions are made one after the other",
                fix="call again when it has ended",
            )
        try:
            yield
        finally:
            held.close()


def _pick(schema: Schema, names: Sequence[str]) -> list[Column]:
    columns = {column.name: column for column in schema.columns}
    if unknown := [str(name) for name in names if name not in columns]:
        raise DatasetError(
            f"there is no column {', '.join(unknown)}",
            why=f"there are {', '.join(columns)}",
            fix="name some of these, or another version",
            rows=unknown,
        )
    return [columns[name] for name in names]


def _next(old: Schema | None, new: Schema | None, frame: pd.DataFrame) -> Schema:
    """The schema to write under: `new`, or the old one and what the frame has beyond it."""
    if new is None:
        known = old.columns if old else ()
        new = Schema((*known, *Schema.of(frame.drop(columns=[c.name for c in known], errors="ignore")).columns))
    return old.evolve(new) if old else new
