"""What a stored table's columns are, in which unit, and which changes to them are safe.

A schema changes under its readers. Safe is a change after which every reader of yesterday still reads what it
expects: a new column that may be null, and a number type that holds every old value. Everything else needs a new
name, so that nobody adds seconds to milliseconds without noticing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsys.core import SchemaError

NULLABLE = ("float32", "float64", "datetime64[us]", "category")
DTYPES = ("bool", "int8", "int16", "int32", "int64", *NULLABLE)
WIDER = {("int8", "int16"), ("int8", "int32"), ("int8", "int64"), ("int16", "int32"), ("int16", "int64"),
         ("int32", "int64"), ("float32", "float64")}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """`dtype` is one of `DTYPES`; a category holds text. `unit` is a word: "ms", "bytes", "share"."""

    name: str
    dtype: str
    unit: str | None = None
    nullable: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SchemaError(
                f"column {self.name!r} has the type {self.dtype}",
                why=f"stored are {', '.join(DTYPES)}",
                fix="convert it; text is a category, a time datetime64[us] in UTC",
            )
        if self.nullable and self.dtype not in NULLABLE:
            raise SchemaError(
                f"column {self.name!r} is {self.dtype} and nullable",
                why="such numbers have no null",
                fix="make it float64, or write a value that means unknown, as -1 does for ids",
            )


@dataclass(frozen=True)
class Schema:
    """Columns in order.

    >>> events = Schema((Column("user_id", "int64"), Column("dwell", "float64", unit="s", nullable=True)))
    >>> events.evolve(Schema((*events.columns, Column("device", "category", nullable=True)))).names
    ('user_id', 'dwell', 'device')
    >>> events.evolve(Schema((Column("user_id", "int64"), Column("dwell", "float64", unit="ms", nullable=True))))
    Traceback (most recent call last):
    mlsys.core.SchemaError: column 'dwell' would change its unit from s to ms
      why: old rows and new ones would be added up as if they were the same
      do:  add a new column 'dwell_ms' and let readers move over
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, units: Mapping[str, str] | None = None) -> Schema:
        """The schema of a frame: a column that can be null may be."""
        units = units or {}
        if unknown := set(units) - set(frame.columns):
            raise SchemaError(
                f"units name {', '.join(sorted(unknown))}",
                why="the frame has no such column",
                fix=f"it has {', '.join(map(str, frame.columns))}",
            )
        kinds = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
        return cls(tuple(Column(name, kind, units.get(name), kind in NULLABLE) for name, kind in kinds.items()))

    @classmethod
    def load(cls, columns: Sequence[Mapping[str, Any]]) -> Schema:
        """What `dump` wrote."""
        return cls(tuple(Column(**column) for column in columns))

    def dump(self) -> list[dict[str, Any]]:
        """Plain data, for a manifest."""
        return [asdict(column) for column in self.columns]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    def evolve(self, new: Schema) -> Schema:
        """The schema that replaces this one: old columns in their order, then new ones.

        A column that `new` leaves out stays, and is null from then on. Raises `SchemaError` for a change that
        would mislead a reader.
        """
        coming = {column.name: column for column in new.columns}
        kept = []
        for old in self.columns:
            if old.name not in coming:
                if not old.nullable:
                    raise SchemaError(
                        f"column {old.name!r} would go, and it is never null",
                        why="readers take its value for granted",
                        fix="go on writing it; if it was renamed, write both names until every reader has moved",
                    )
                kept.append(old)
                continue
            kept.append(_changed(old, coming.pop(old.name)))
        if strict := [column.name for column in coming.values() if not column.nullable]:
            raise SchemaError(
                f"new column {strict[0]!r} may not be null",
                why="the rows stored so far have no value for it",
                fix="make it nullable: float64, datetime64[us] or a category",
            )
        return Schema((*kept, *coming.values()))

    def enforce(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A frame about to be written, in this schema's columns, order and types.

        A nullable column may be absent; text becomes a category. Raises `SchemaError`, with the rows, for anything
        that would be lost or changed: an unknown column, a null where none may be, a type that does not fit.

        >>> Schema((Column("user_id", "int64"),)).enforce(pd.DataFrame({"user_id": [1.5]}))
        Traceback (most recent call last):
        mlsys.core.SchemaError: column 'user_id' is float64, not int64
          why: a value that has to be rounded or guessed is another value
          do:  convert it where you know what it means: frame["user_id"].astype("int64")
        """
        if unknown := [str(name) for name in frame.columns if name not in self.names]:
            raise SchemaError(
                f"column(s) {', '.join(unknown)} are not in the schema",
                why="what it does not name would be lost",
                fix=f"drop them, or add them to the schema; it has {', '.join(self.names)}",
            )
        for column in self.columns:
            if column.name not in frame.columns:
                if column.nullable:
                    continue
                raise SchemaError(
                    f"column {column.name!r} is absent",
                    why="it may not be null",
                    fix=f"write it; the frame has {', '.join(map(str, frame.columns))}",
                )
            values = frame[column.name]
            if not column.nullable and (null := values.isna()).any():
                raise SchemaError(
                    f"column {column.name!r} has {int(null.sum())} nulls",
                    why="the schema says that it has none",
                    fix="put these rows into a dead-letter file, or write a value that means unknown",
                    rows=frame[null],
                )
            fits = _is_text(values) if column.dtype == "category" else str(values.dtype) == column.dtype
            if not fits and (str(values.dtype), column.dtype) not in WIDER:
                text = column.dtype == "category"
                raise SchemaError(
                    f"column {column.name!r} is {values.dtype}, not {column.dtype}{' of text' * text}",
                    why="a value that has to be rounded or guessed is another value",
                    fix=f'convert it where you know what it means: frame["{column.name}"]'
                    + (".map(str)" if text else f'.astype("{column.dtype}")'),
                )
        return self.conform(frame)

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A frame written under an older schema, with this one's columns, order and types; absent values are null."""
        found = {}
        for column in self.columns:
            if column.name in frame.columns:
                found[column.name] = frame[column.name].astype(column.dtype)  # type: ignore[call-overload]
            elif column.dtype == "category":
                nulls = pd.Categorical.from_codes(np.full(len(frame), -1), categories=pd.Index([], dtype=str))
                found[column.name] = pd.Series(nulls, index=frame.index)
            else:
                found[column.name] = pd.Series(np.nan, index=frame.index).astype(column.dtype)  # type: ignore[call-overload]
        return pd.DataFrame(found, index=frame.index)


def _is_text(values: pd.Series) -> bool:
    """Whether all values that are not null are text."""
    found = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return bool(values.isna().all()) or pd.api.types.infer_dtype(found, skipna=True) == "string"


def _changed(old: Column, new: Column) -> Column:
    """The new column, if readers of the old one are not misled."""
    if old.unit != new.unit:
        name = f"{old.name}_{new.unit or 'raw'}"
        raise SchemaError(
            f"column {old.name!r} would change its unit from {old.unit or 'none'} to {new.unit or 'none'}",
            why="old rows and new ones would be added up as if they were the same",
            fix=f"add a new column {name!r} and let readers move over",
        )
    if old.dtype != new.dtype and (old.dtype, new.dtype) not in WIDER:
        raise SchemaError(
            f"column {old.name!r} would change from {old.dtype} to {new.dtype}",
            why="not every old value has a place in the new type, and readers expect the old one",
            fix="write the old type, or add a new column",
        )
    if new.nullable and not old.nullable:
        raise SchemaError(
            f"column {old.name!r} would become nullable",
            why="readers do not look for nulls in it",
            fix="write a value, or add a new column",
        )
    return new
