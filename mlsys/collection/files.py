"""Read a log of impressions from a file: events out, and a reason for every row that is not one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from mlsys.collection.coding import Coder, MixedTimes
from mlsys.collection.lines import LogError, Progress, read_rows
from mlsys.collection.mapping import Mapping

SHOWN_DEAD = 10_000
"""Dead letters kept in memory; the file has all."""

BYTES_PER_ROW = 64
"""Turns `chunk_rows` into the size of one read."""


@dataclass(frozen=True)
class Ingested:
    """What came out of a log. rows_in == rows_out + rows_dead, always.

    `events` : `EVENT_SCHEMA` and the optional columns that were mapped, in the order of the file.
    `dead_letters` : line (where the row begins, 1 is the header's), reason, the mapped columns as found, and
        `text`: the row itself where it could not be split. At most the first 10,000.
    `reasons` : reason → rows, most frequent first.
    `ids` : column → original ids; code i stands for ids[column][i]. Numbers if all are whole, else text.
        Whole event ids are kept as they are; others are numbered, their ids are UTF-8 bytes (dtype S).
    `notes` : what was assumed.
    """

    events: pd.DataFrame
    dead_letters: pd.DataFrame
    rows_in: int
    rows_out: int
    rows_dead: int
    reasons: dict[str, int]
    ids: dict[str, np.ndarray]
    notes: tuple[str, ...]


def read_log(
    path: str | Path,
    mapping: Mapping,
    *,
    dead_letters: Path | None = None,
    chunk_rows: int = 250_000,
    progress: Progress | None = None,
) -> Ingested:
    """Read a .csv or .csv.gz of impressions. Blank lines are not rows.

    Parameters
    ----------
    dead_letters : write all dead letters here, as a CSV that `mapping` reads again once they are corrected.
        The file appears, or is replaced, only when it is complete.
    chunk_rows : about how many rows are held as text at a time. Does not change the result.
    progress : called with (bytes read, bytes in all) after every chunk.

    Raises `LogError` if the file cannot be read or has no event, `MappingError` if the header does not fit.
    """
    path = Path(path)
    if dead_letters is not None and dead_letters.resolve() == path.resolve():
        raise LogError("dead letters would overwrite the log", why=f"both are {path}", fix="name another file")
    if path.is_dir():
        raise LogError(f"cannot read {path}", why="it is a directory", fix="name a .csv or .csv.gz file")
    coder = Coder(mapping)
    try:
        dead, rows_in, joined = _read(path, mapping, coder, dead_letters, chunk_rows, progress)
    except MixedTimes:  # Earlier rows were read as UTC, wrongly: once more from the start.
        coder = Coder(mapping, offset_required=True)
        dead, rows_in, joined = _read(path, mapping, coder, dead_letters, chunk_rows, progress)
    if rows_in == 0:
        raise LogError(f"{path} has a header and no rows", why="there is nothing to read", fix="check the export")
    if coder.rows == 0:
        top = "; ".join(f"{reason} ({count:,} rows)" for reason, count in dead.reasons.most_common(5))
        raise LogError(
            f"none of the {rows_in:,} rows in {path} is an event",
            why=top,
            fix="correct the mapping, or the file; `rows` of this error has the dead letters",
            rows=dead.first,
        )
    events, ids = coder.finish()
    if rows_in != len(events) + dead.rows:
        raise AssertionError(f"{rows_in} rows in, {len(events)} out, {dead.rows} dead: a defect of read_log")
    return Ingested(
        events=events,
        dead_letters=dead.first,
        rows_in=rows_in,
        rows_out=len(events),
        rows_dead=dead.rows,
        reasons=dict(dead.reasons.most_common()),
        ids=ids,
        notes=_notes(mapping, coder, joined),
    )


def _read(
    path: Path,
    mapping: Mapping,
    coder: Coder,
    dead_letters: Path | None,
    chunk_rows: int,
    progress: Progress | None,
) -> tuple[_DeadLetters, int, int]:
    """Feed the file to `coder`; returns the dead letters, rows read, and line breaks inside quotes."""
    rows_in = joined = 0
    with _DeadLetters(dead_letters, mapping) as dead:
        for rows in read_rows(path, mapping, max(1, chunk_rows) * BYTES_PER_ROW, progress):
            failed, reasons = coder.code(rows.text)
            dead.add(rows.text.iloc[failed], rows.lines[failed], reasons, rows.bad)
            rows_in += len(rows.lines) + len(rows.bad)
            joined += rows.joined
    return dead, rows_in, joined


def _notes(mapping: Mapping, coder: Coder, joined: int) -> tuple[str, ...]:
    utc = coder.naive_seen and not coder.offset_required
    notes = {
        "times have no UTC offset: taken as UTC; if they are not, set time_zone under [format]": utc,
        "no event_id is mapped: rows are numbered, and duplicates cannot be seen": "event_id" not in mapping.columns,
        "no user_id is mapped: every user is unknown (-1)": "user_id" not in mapping.columns,
        f"{joined:,} line breaks are inside quotes: those rows span several lines": joined > 0,
    }
    return tuple(note for note, holds in notes.items() if holds)


class _DeadLetters:
    """Counts dead letters, keeps the first, streams all to a file that appears when complete."""

    def __init__(self, path: Path | None, mapping: Mapping) -> None:
        self.path, self.mapping = path, mapping
        self.rows, self.reasons = 0, Counter[str]()
        used = mapping.file_columns
        # Our names step aside if the file has them too, so that the mapping can read the dead letters.
        self._own = {name: name if name not in used else f"_{name}" for name in ("line", "reason", "text")}
        self._columns = [self._own["line"], self._own["reason"], *used, self._own["text"]]
        self.first = pd.DataFrame(columns=self._columns)
        self._file: TextIO | None = None

    def __enter__(self) -> _DeadLetters:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._part = self.path.with_name(f"{self.path.name}.part")
            self._file = self._part.open("w", encoding=self.mapping.encoding, newline="")
            self._write(self.first, header=True)
        return self

    def add(self, text: pd.DataFrame, lines: np.ndarray, reasons: np.ndarray, bad: pd.DataFrame) -> None:
        """Rows that failed (their text, lines and reasons) and rows that could not be split."""
        if len(text) + len(bad) == 0:
            return
        failed = text.assign(**{self._own["line"]: lines, self._own["reason"]: reasons})
        found = [
            frame.reindex(columns=self._columns, fill_value="") for frame in (failed, bad.rename(columns=self._own))
        ]
        dead = pd.concat([frame for frame in found if len(frame)]).sort_values(self._own["line"], ignore_index=True)
        self.rows += len(dead)
        self.reasons.update(dead[self._own["reason"]].tolist())
        if len(self.first) < SHOWN_DEAD:
            shown = dead.head(SHOWN_DEAD - len(self.first))
            self.first = pd.concat([self.first, shown], ignore_index=True) if len(self.first) else shown
        self._write(dead, header=False)

    def _write(self, frame: pd.DataFrame, *, header: bool) -> None:
        if self._file is not None:
            frame.to_csv(self._file, sep=self.mapping.delimiter, index=False, header=header, lineterminator="\n")

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._file is not None and self.path is not None:
            self._file.close()
            if error is None:
                self._part.replace(self.path)
            else:
                self._part.unlink()
