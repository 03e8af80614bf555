"""Which versions of a dataset there are, and what is known of them: reads manifests, never data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.storage.files import DatasetError
from mlsys.storage.manifest import Diff, Version

Instant = str | np.datetime64 | pd.Timestamp


class Catalogue:
    """The manifests in a dataset's folder."""

    def __init__(self, folder: str | Path, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name):
            raise DatasetError(
                f"{name!r} is no name", why="it names a folder", fix='use letters, digits, "-", "_", "."'
            )
        self.folder, self.name = Path(folder) / name, name

    @property
    def versions(self) -> tuple[int, ...]:
        """Numbers of the versions that can be read, oldest first. The first one ever is 1."""
        return tuple(number for number, path in self._manifests().items() if path.suffix == ".json")

    def version(self, number: int | None = None, *, as_of: Instant | None = None) -> Version:
        """What there is to know of a version: the one of that number, else the newest (at an instant)."""
        manifests = self._manifests()
        for found in [number] if number is not None else reversed(manifests):
            if found in manifests:
                version = Version.load(manifests[found])
                if as_of is None or np.datetime64(version.created) <= instant(as_of):
                    return version
        raise DatasetError(
            f"{self.name!r} has no version {'' if number is None else number}{f' as of {as_of}' if as_of else ''}",
            why=f"{self.folder} has {', '.join(map(str, manifests)) or 'none yet'}",
            fix="see history()" if manifests else "write() one, or name another folder",
        )

    def history(self) -> pd.DataFrame:
        """One row per version, oldest first. `kept` is False where the rows were vacuumed."""
        numbers, kept = self._manifests(), self.versions
        return _table(map(self.version, numbers)).assign(kept=[number in kept for number in numbers])

    def lineage(self, version: int | None = None) -> pd.DataFrame:
        """The version and all that it was made from, nearest first, as rows of `history`. Roots have no `parents`."""
        found = [self.version(version)]
        for child in found:  # It grows as it is walked.
            known = {str(version) for version in found}
            found += [self._named(parent) for parent in child.parents if parent not in known]
        return _table(found)

    def diff(self, before: int, after: int) -> Diff:
        """What differs between two versions. Manifests tell it, also those of vacuumed versions."""
        return Diff.between(self.version(before), self.version(after))

    def _path(self, number: int) -> Path:
        return self.folder / "versions" / f"{number:08}.json"

    def _manifests(self) -> dict[int, Path]:
        """By number: of versions that can be read (.json) and of those whose rows are gone (.vacuumed)."""
        paths = sorted((self.folder / "versions").glob("*"))
        return {int(path.stem): path for path in paths if path.suffix in (".json", ".vacuumed")}

    def _whole(self, number: int | None = None, *, as_of: Instant | None = None) -> Version:
        version = self.version(number, as_of=as_of)
        if version.number in self.versions:
            return version
        raise DatasetError(
            f"the rows of {version} were vacuumed",
            why="nobody asked to keep them; history() still tells what they were",
            fix=f"read one of {', '.join(map(str, self.versions))}, or make it anew from its lineage()",
        )

    def _named(self, name: str) -> Version:
        """A version of this dataset or of one beside it, by what it prints."""
        dataset, _, number = name.partition("@")
        if not number.isdecimal():
            raise DatasetError(f"{name!r} is no version", why="events@3 is one", fix="pass what write() returned")
        return Catalogue(self.folder.parent, dataset).version(int(number))


def instant(at: Instant | None, *, first: bool = False) -> np.datetime64:
    """UTC, whatever zone it is given in. None is the first or the last of all instants."""
    if at is None:
        return np.datetime64(-(2**63) + 1 if first else 2**63 - 1, "us")
    found: np.datetime64 = pd.Timestamp(at).to_datetime64().astype("datetime64[us]")
    return found


def _table(versions: Iterable[Version]) -> pd.DataFrame:
    """One row per version: what a reader chooses by."""
    rows = [
        (str(v), np.datetime64(v.created), v.by, v.mode, v.rows, len(v.parts), v.hash, v.parents, v.note)
        for v in versions
    ]
    return pd.DataFrame(rows, columns=["version", "created", "by", "mode", "rows", "parts", "hash", "parents", "note"])
