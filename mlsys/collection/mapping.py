"""What the columns of somebody's log mean: a `Mapping`, written as a TOML file and checked when made."""

from __future__ import annotations

import codecs
import csv
import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from mlsys.core import ACTIONS, EVENT_SCHEMA, OPTIONAL_COLUMNS, MlsysError

REQUIRED = ("event_time", "post_id", "action")
MAPPABLE = (*EVENT_SCHEMA, *OPTIONAL_COLUMNS)
TIME_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}
"""Microseconds in one unit of an epoch number."""

EXAMPLE = """[columns]
event_time = "timestamp"
post_id = "item_id"
action = "click"
[actions]
"1" = "like"
"0" = "view\""""


class MappingError(MlsysError):
    """A mapping says something that cannot be, or does not fit the file."""


@dataclass(frozen=True)
class Mapping:
    """Which column of a file is which column of an event. Immutable and valid once made.

    Parameters
    ----------
    columns : event column → the file's column. `event_time`, `post_id` and `action` are required.
        `user_id` may name several columns: joined, they are one id (a context).
    actions : the file's value → like, dislike, view, share, or "" for null. An empty cell is null
        unless "" is mapped.
    delimiter : one ASCII character.
    encoding : any that Python knows; a byte-order mark is accepted.
    time_zone : IANA name; what a time without a UTC offset means.
    time_unit : "s", "ms" or "us" when times are epoch numbers; None for ISO 8601 text.

    >>> mapping = Mapping({"event_time": "ts", "post_id": "item", "action": "click"}, {"1": "like"})
    >>> mapping.file_columns
    ('ts', 'item', 'click')
    """

    columns: dict[str, str | tuple[str, ...]]
    actions: dict[str, str]
    delimiter: str = ","
    encoding: str = "utf-8"
    time_zone: str | None = None
    time_unit: str | None = None

    def __post_init__(self) -> None:
        _known("[columns]", self.columns, MAPPABLE)
        if absent := [name for name in REQUIRED if name not in self.columns]:
            raise _wrong(f"[columns] lacks {', '.join(absent)}", f"an event needs {', '.join(REQUIRED)}", EXAMPLE)
        for name, source in self.columns.items():
            several = name == "user_id" and isinstance(source, tuple) and len(set(source)) == len(source) > 0
            if not all(isinstance(s, str) and s for s in (source if several else (source,))):
                example = 'user_id = "uid"  or  ["a", "b"]' if name == "user_id" else f'{name} = "a_column"'
                raise _wrong(f"columns.{name} is {source!r}", "it names a column of the file", example)
        if not self.actions:
            raise _wrong("[actions] is missing or empty", "the file's values need a meaning", EXAMPLE)
        for value, action in self.actions.items():
            if action not in (*ACTIONS, ""):
                why = f'an action is {", ".join(ACTIONS)}, or "" for null{_closest(action, ACTIONS)}'
                raise _wrong(f'actions."{value}" is {action!r}', why, f'"{value}" = "like"')
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
            why = "it is one ASCII character, not a quote or line break"
            raise _wrong(f"format.delimiter is {self.delimiter!r}", why, 'delimiter = ";"')
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            why = "Python knows no such encoding"
            raise _wrong(f"format.encoding is {self.encoding!r}", why, 'encoding = "cp1252"') from None
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise _wrong(f"format.time_unit is {self.time_unit!r}", "it is s, ms or us", 'time_unit = "ms"')
        if self.time_zone is None:
            return
        if self.time_unit is not None:
            why = "an epoch number is UTC already"
            raise _wrong("format has both time_zone and time_unit", why, f'time_unit = "{self.time_unit}"')
        try:
            ZoneInfo(self.time_zone)
        except (OSError, ValueError, LookupError):
            why = "it is not an IANA time zone"
            raise _wrong(f"format.time_zone is {self.time_zone!r}", why, 'time_zone = "Europe/Berlin"') from None

    @classmethod
    def load(cls, path: str | Path) -> Mapping:
        """Read a TOML mapping; raises `MappingError` that names the key and shows one that passes."""
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise _wrong(f"cannot read the mapping {path}", error.strerror or str(error), EXAMPLE) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise _wrong(f"{path} is not TOML", str(error), EXAMPLE) from None
        _known(str(path), data, ("columns", "actions", "format"))
        for name, table in data.items():
            if not isinstance(table, dict):
                raise _wrong(f"{name} is {table!r}", "it is a table", EXAMPLE)
        form = data.get("format", {})
        _known("[format]", form, [f.name for f in fields(cls) if f.name not in ("columns", "actions")])
        for name, value in form.items():
            if not isinstance(value, str):
                raise _wrong(f"format.{name} is {value!r}", "it is text", f'{name} = "{value}"')
        columns = {k: tuple(v) if isinstance(v, list) else v for k, v in data.get("columns", {}).items()}
        return cls(columns, data.get("actions", {}), **form)

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The file's columns that are used, each once, in the order of the mapping."""
        sources = [(s,) if isinstance(s, str) else s for s in self.columns.values()]
        return tuple(dict.fromkeys(name for source in sources for name in source))

    def locate(self, line: str) -> tuple[list[int], int]:
        """Positions of `file_columns` in the header `line`, and the number of columns.

        Raises `MappingError` when a column is missing or a name occurs twice.
        """
        header = _split(line, self.delimiter)
        missing = [name for name in self.file_columns if name not in header]
        if missing:
            found = f"its header is {', '.join(map(repr, header[:12]))}{' …' if len(header) > 12 else ''}"
            other = max(",;\t|", key=lambda d: (len(set(_split(line, d)) & set(self.file_columns)), d == ","))
            if len(set(_split(line, other)) & set(missing)) > 0:
                raise MappingError(
                    f"the file is not separated by {self.delimiter!r}; it looks like {other!r}",
                    why=found,
                    fix=f"put delimiter = {_toml(other)} under [format]",
                )
            raise MappingError(
                f"the file has no column {', '.join(name + _closest(name, header) for name in missing)}",
                why=found,
                fix="correct the names under [columns]",
            )
        if twice := sorted({name for name in header if name and header.count(name) > 1}):
            raise MappingError(
                f"the header has {', '.join(map(repr, twice))} more than once",
                why="it is not clear which one is meant",
                fix="rename or drop one of them in the file",
            )
        return [header.index(name) for name in self.file_columns], len(header)

    def texts(self, raw: pd.DataFrame) -> dict[str, np.ndarray]:
        """Event column → its text (object array of str), from a frame of the file's columns."""
        return {
            name: raw[source].to_numpy() if isinstance(source, str) else _joined(raw[list(source)])
            for name, source in self.columns.items()
        }


def _joined(columns: pd.DataFrame) -> np.ndarray:
    """Several columns as one id, "a|b"; all empty gives "". Different rows give different ids."""
    distinct = columns.drop_duplicates()
    escaped = [distinct[c].str.replace("\\", r"\\", regex=False).str.replace("|", r"\|", regex=False) for c in columns]
    text = escaped[0]
    for part in escaped[1:]:
        text = text.str.cat(part, sep="|")
    text = text.mask((distinct == "").all(axis=1), "")
    number = columns.groupby(list(columns), sort=False, dropna=False).ngroup().to_numpy()
    return text.to_numpy(dtype=object)[number]


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _toml(text: str) -> str:
    return '"\\t"' if text == "\t" else f'"{text}"'


def _closest(name: object, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(str(name), [k for k in known if k], n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _known(where: str, table: dict[str, Any], known: Iterable[str]) -> None:
    if unknown := [name for name in table if name not in known]:
        raise _wrong(
            f"{where} has an unknown key {unknown[0]!r}{_closest(unknown[0], known)}",
            f"known are {', '.join(known)}",
            EXAMPLE,
        )


def _wrong(what: str, why: str, example: str) -> MappingError:
    return MappingError(what, why=why, fix=f"for example:\n{example}")
