"""The manifest: one small JSON file per version that says which data files it consists of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mlsys.collection import durable
from mlsys.collection.schema import Schema
from mlsys.storage.files import CorruptDataset


@dataclass(frozen=True)
class Part:
    """Rows of one partition that came with one write.

    `columns` names the file of each column (two for a category). The rows' numbers in the version are `first` + 0, 1,
    2, ..., or `first` + the numbers in the file `order`. `times`: least and greatest `event_time`, for pruning.
    """

    partition: str
    rows: int
    first: int
    order: str | None
    times: list[str] | None
    columns: dict[str, list[str]]

    def files(self, columns: Iterable[str]) -> list[str]:
        """The files that hold these columns, and the order of the rows."""
        names = [name for column in columns for name in self.columns.get(column, [])]
        return names if self.order is None else [*names, self.order]


@dataclass(frozen=True)
class Version:
    """A state of a dataset that never changes. Prints as "events@3", which is how others name it as a parent."""

    dataset: str
    number: int
    created: str
    by: str
    mode: str
    note: str
    parents: tuple[str, ...]
    schema: Schema
    rows: int
    partition_by: str | None
    digests: dict[str, str]
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return f"{self.dataset}@{self.number}"

    @property
    def hash(self) -> str:
        """Equal rows in equal order under an equal schema have an equal hash, however, when and where written."""
        told = [self.schema.dump(), self.rows, self.digests]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def files(self) -> set[str]:
        """Every data file it consists of."""
        return {file for part in self.parts for file in part.files(part.columns)}

    def save(self, path: Path) -> None:
        """Write the manifest: it is there whole, or not at all."""
        data = {**asdict(self), "schema": self.schema.dump()}
        durable.replace(path, {"seal": _seal(data), "version": data})

    @classmethod
    def load(cls, path: Path) -> Version:
        """What `save` wrote. Raises `CorruptDataset`."""
        try:
            stored = json.loads(path.read_bytes())
            data: dict[str, Any] = stored["version"]
            whole = stored["seal"] == _seal(data)
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise CorruptDataset(
                f"the manifest {path} is not as written",
                why="it carries its own sha256, which differs",
                fix="put a copy of the file back; read(version=...) still reads the other versions",
                rows=pd.DataFrame({"file": [path.name], "problem": ["changed"]}),
            )
        data["parts"] = tuple(Part(**part) for part in data["parts"])
        return cls(**{**data, "parents": tuple(data["parents"]), "schema": Schema.load(data["schema"])})


class Diff(NamedTuple):
    """From one version to another.

    `rows`: how many more. `schema`: lines such as "+ device category". `columns`: those in both whose values differ.
    `partitions`: a frame of `rows_before` and `rows_after`, only of partitions whose files differ.
    """

    rows: int
    schema: tuple[str, ...]
    columns: tuple[str, ...]
    partitions: pd.DataFrame

    @classmethod
    def between(cls, old: Version, new: Version) -> Diff:
        """From the manifests alone."""
        gone, come = (sorted(_told(a) - _told(b)) for a, b in ((old, new), (new, old)))
        values = tuple(n for n in new.schema.names if n in old.digests and old.digests[n] != new.digests[n])
        sides = [_partitions(version) for version in (old, new)]
        names = [name for name in sorted({*sides[0], *sides[1]}) if sides[0].get(name) != sides[1].get(name)]
        rows = [[sum(part.rows for part in side.get(name, [])) for side in sides] for name in names]
        partitions = pd.DataFrame(rows, pd.Index(names, dtype=str), ["rows_before", "rows_after"])
        return cls(new.rows - old.rows, (*(f"- {t}" for t in gone), *(f"+ {t}" for t in come)), values, partitions)


def _partitions(version: Version) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in version.parts:
        found.setdefault(part.partition, []).append(replace(part, first=0))
    return found


def _told(version: Version) -> set[str]:
    return {
        f"{c.name} {c.dtype}" + (f" in {c.unit}" if c.unit else "") + (" or null" if c.nullable else "")
        for c in version.schema.columns
    }


def _seal(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
