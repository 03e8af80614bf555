"""Immutable files named by the sha256 of what is in them: equal data is stored once, and a changed byte shows.

Every file is one array in numpy's `.npy`, so that a reader maps the columns that it wants and no others. Nothing is
pickled: loading data must not run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.collection.durable import sync
from mlsys.core import MlsysError


class DatasetError(MlsysError):
    """The dataset cannot do what was asked."""


class CorruptDataset(DatasetError):
    """Files are missing or not as written. `rows`: a frame of `file` and `problem`."""


class Files:
    """The data files of one dataset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, values: np.ndarray) -> str:
        """Store an array, little endian, and return its name. A file that should hold it and does not is mended."""
        buffer = BytesIO()
        np.save(buffer, values.astype(values.dtype.newbyteorder("<"), copy=False), allow_pickle=False)
        data = buffer.getbuffer()
        name = f"{hashlib.sha256(data).hexdigest()}.npy"
        path = self.folder / name
        if not path.exists() or path.read_bytes() != data:
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                file.write(data)
                sync(file)  # Before the renaming: a file that has its name is whole.
            part.replace(path)
        return name

    def put_texts(self, texts: list[str]) -> str:
        """Store texts, as JSON in bytes: an array of text would lose a NUL at the end."""
        return self.put(np.frombuffer(json.dumps(texts).encode(), np.uint8))

    def get(self, name: str) -> np.ndarray:
        """An array, mapped: the disk is read where it is looked at. Raises `CorruptDataset`."""
        try:
            return np.asarray(np.load(self.folder / name, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise self._corrupt({name: _problem(error)}) from None

    def get_texts(self, name: str) -> list[str]:
        """What `put_texts` stored."""
        return list(json.loads(self.get(name).tobytes()))

    def check(self, names: Iterable[str]) -> int:
        """Hash every file again; returns how many. Raises `CorruptDataset`, with all that differ."""
        problems, checked = {}, list(dict.fromkeys(names))
        for name in checked:
            try:
                with (self.folder / name).open("rb") as file:
                    if f"{hashlib.file_digest(file, 'sha256').hexdigest()}.npy" != name:
                        problems[name] = "changed"
            except OSError as error:
                problems[name] = _problem(error)
        if problems:
            raise self._corrupt(problems)
        return len(checked)

    def _corrupt(self, problems: dict[str, str]) -> CorruptDataset:
        name, problem = next(iter(problems.items()))
        return CorruptDataset(
            f"{self.folder / name} is {problem}" + (f", and {len(problems) - 1} more" if len(problems) > 1 else ""),
            why="its name is the sha256 of what was written",
            fix="put a copy of the file back, or write the same rows again with mode='overwrite': an equal file takes "
            "its place. check(version) says which other versions are whole",
            rows=pd.DataFrame({"file": list(problems), "problem": list(problems.values())}),
        )


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of the files in a folder."""
    if sys.platform != "win32":  # Windows cannot be asked to.
        number = os.open(folder, os.O_RDONLY)
        os.fsync(number)
        os.close(number)


def _problem(error: Exception) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error})"
