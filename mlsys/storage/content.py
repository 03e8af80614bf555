"""What a column holds, as numbers: for storing it, for splitting rows into partitions, and for comparing versions.

The digest of a column is a sum over its rows of a hash of (row number, value), modulo 2**64. So the digest of old and
new rows together is the sum of both, and an append does not have to read what is stored. It is made to tell versions
apart, not to resist a forger: the sha256 of every file does that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from mlsys.storage.files import DatasetError

BUCKETS = 16
"""Partitions of a key that is no time: its hash modulo this."""


def encode(column: pd.Series) -> tuple[np.ndarray, list[str] | None]:
    """(values, None), or for a category (codes with -1 for null, texts)."""
    if column.dtype == "category":
        if column.cat.ordered:
            raise DatasetError(
                f"the categories of {column.name!r} have an order",
                why="a category is stored as text, and its order would be lost",
                fix=f"store the rank as a number, or frame[{column.name!r}].cat.as_unordered()",
            )
        return column.cat.codes.to_numpy(), column.cat.categories.tolist()
    return column.to_numpy(), None


def digests(frame: pd.DataFrame, first: int, before: Mapping[str, str]) -> dict[str, str]:
    """Of every column: the digest of `first` rows, which is in `before`, and these. A null, or no column, adds nothing.

    A value counts as in the widest type: int32 7 is int64 7.
    """
    rows, found = _mix(np.arange(first, first + len(frame), dtype=np.uint64)), {}
    for name in frame.columns:
        bits, known = _bits(frame[name])
        added = int(_mix(bits ^ rows)[known].sum())
        found[str(name)] = f"{(int(before.get(name, '0'), 16) + added) % 2**64:016x}"
    return found


def partitions(frame: pd.DataFrame, by: str | None) -> Iterator[tuple[str, np.ndarray]]:
    """(partition, row numbers in order) by day of a time, else by bucket of a key's hash, else all in one."""
    if by is None:
        labels, codes = ["all"], np.zeros(len(frame), np.int64)
    elif frame[by].dtype.kind == "M":
        days = frame[by].to_numpy().astype("datetime64[D]")
        codes, found = pd.factorize(days.astype(np.int64), sort=True)
        labels = [f"{by}={day}" for day in found.astype("datetime64[D]")]
    else:
        labels, codes = [f"{by}#{bucket}" for bucket in range(BUCKETS)], _mix(_bits(frame[by])[0]) % BUCKETS
    rows = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes.astype(np.int64), minlength=len(labels)))
    for label, part in zip(labels, np.split(rows, ends)[:-1], strict=True):
        if len(part):
            yield label, part


def _bits(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 that stands for the value, whether it is not null), (n,) each, the same on every machine."""
    values, texts = encode(column)
    if texts is not None:
        hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in texts]
        return np.frombuffer(b"".join([*hashes, bytes(8)]), "<u8")[values], values >= 0
    if values.dtype.kind == "f":
        return (values.astype(np.float64) + 0.0).view(np.uint64), ~np.isnan(values)  # -0.0 + 0.0 is 0.0.
    known = ~np.isnat(values) if values.dtype.kind == "M" else np.ones(len(values), bool)
    return values.astype(np.int64).view(np.uint64), known


def _mix(bits: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of the input changes half of the output's."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
