"""Who may read which columns, and who has read what.

This is bookkeeping inside a library: it keeps honest readers to what was agreed, and records them. It does not protect
against anyone who can open the files; for that, let the operating system or the storage service hold the rights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mlsys.collection.durable import replace, sync
from mlsys.core import Clock
from mlsys.storage.files import DatasetError
from mlsys.storage.manifest import Version


class AccessDenied(DatasetError):
    """The reader has no grant for a column. `rows`: the columns."""


class Access:
    """`grants.json` (reader to columns) and `audit.jsonl` (one line per read) in the dataset's folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._grants, self._audit, self._clock = folder / "grants.json", folder / "audit.jsonl", clock

    @property
    def grants(self) -> dict[str, list[str]]:
        """Columns that each reader may read."""
        return json.loads(self._grants.read_bytes()) if self._grants.exists() else {}

    def grant(self, reader: str, columns: Sequence[str]) -> None:
        """Replace what a reader may read; no columns is no access."""
        replace(self._grants, {**self.grants, reader: list(columns)})

    def read(self, who: str, version: Version, columns: Sequence[str], *, owner: bool) -> None:
        """Record a read, then allow or deny it. The record is on the disk first."""
        allowed = columns if owner else self.grants.get(who, [])
        denied = [name for name in columns if name not in allowed]
        record = {"at": str(self._clock.now()), "who": who, "version": version.number, "columns": list(columns),
                  "granted": not denied, "denied": denied}  # fmt: skip
        with self._audit.open("ab") as file:
            file.write(b"\n" + json.dumps(record).encode())  # The break first: it ends a line that a crash tore.
            sync(file)
        if denied:
            raise AccessDenied(
                f"{who!r} may not read {', '.join(denied)} of {version}",
                why=f"{self._grants} grants {who!r} " + (", ".join(allowed) or "nothing"),
                fix=f"ask {version.by!r}, who wrote it, for grant({who!r}, {[*allowed, *denied]}), "
                "or read only columns that are granted",
                rows=denied,
            )

    def audit(self) -> pd.DataFrame:
        """One row per read, in order. A line torn by a crash is a row with only `torn`."""
        text = self._audit.read_text(encoding="utf-8") if self._audit.exists() else ""
        records = [_record(line) for line in text.splitlines() if line]
        return pd.DataFrame(records, columns=["at", "who", "version", "columns", "granted", "denied", "torn"])


def _record(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"torn": line}
