"""A frame as files and back: split into partitions, one file per column, rows in their order again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from mlsys.collection.schema import Column
from mlsys.storage.content import encode, partitions
from mlsys.storage.files import Files
from mlsys.storage.manifest import Part, Version

TIME = "event_time"
"""The column by which whole parts are left out of a read."""
NO_ROWS = Part("", 0, 0, None, None, {})
"""It gives the types where nothing else does."""
Range = tuple[np.datetime64, np.datetime64]


def store(files: Files, frame: pd.DataFrame, by: str | None, first: int) -> tuple[Part, ...]:
    """Put the frame's columns; its first row has the number `first` in the version."""
    coded = {str(name): encode(frame[name]) for name in frame.columns}
    texts = {name: [] if found is None else [files.put_texts(found)] for name, (_, found) in coded.items()}
    parts = []
    for partition, rows in partitions(frame, by):
        run = bool(rows[-1] - rows[0] == len(rows) - 1)  # As they lay: then slices copy nothing, and need no numbers.
        where: Any = slice(rows[0], rows[-1] + 1) if run else rows
        part = Part(
            partition,
            len(rows),
            first + (int(rows[0]) if run else 0),
            None if run else files.put(rows),
            _span(coded[TIME][0][where]) if TIME in coded else None,
            {name: [files.put(values[where]), *texts[name]] for name, (values, _) in coded.items()},
        )
        parts.append(part)
    return tuple(parts)


def load(files: Files, version: Version, columns: Sequence[Column], where: Range | None = None) -> pd.DataFrame:
    """The rows with start <= `event_time` < end, in order. Nothing else is read: no other part, no other column."""
    taken: list[tuple[Part, Any]] = []
    for part in version.parts:
        if where is None:
            taken.append((part, slice(None)))
        elif part.times and np.datetime64(part.times[0]) < where[1] and np.datetime64(part.times[1]) >= where[0]:
            times = files.get(part.columns[TIME][0])
            taken.append((part, np.flatnonzero((times >= where[0]) & (times < where[1]))))
    taken = taken or [(NO_ROWS, slice(None))]
    number = np.concatenate([_numbers(files, part)[rows] for part, rows in taken])
    order = slice(None) if (np.diff(number) > 0).all() else np.argsort(number)
    data = {}
    for column in columns:
        pieces = [_decode(files, part, column)[rows] for part, rows in taken]
        data[column.name] = (union_categoricals if column.dtype == "category" else np.concatenate)(pieces)[order]
    return pd.DataFrame(data, index=pd.RangeIndex(len(number)))


def _decode(files: Files, part: Part, column: Column) -> Any:
    """The column in one part, (rows,): an array, mapped, or a category. Null where it was written before it existed."""
    names = part.columns.get(column.name)
    if column.dtype == "category":
        codes = files.get(names[0]) if names else np.full(part.rows, -1)
        return pd.Categorical.from_codes(codes, pd.Index(files.get_texts(names[1]) if names else [], dtype=str))
    return (
        files.get(names[0]).astype(column.dtype, copy=False)
        if names
        else np.full(part.rows, np.nan).astype(column.dtype)
    )


def _numbers(files: Files, part: Part) -> np.ndarray:
    """The rows' numbers in the version, (rows,) int64."""
    return np.asarray(part.first + (files.get(part.order) if part.order else np.arange(part.rows)))


def _span(times: np.ndarray) -> list[str] | None:
    """The least and the greatest time, None if there is none."""
    known = times[~np.isnat(times)] if times.dtype.kind == "M" else times[:0]
    return [str(known.min()), str(known.max())] if len(known) else None
