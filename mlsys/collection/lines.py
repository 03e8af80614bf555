"""From the bytes of a CSV file to rows of text: any size, in bounded memory, with line numbers.

pandas knows no line numbers, and shifts or cuts a row that has too many fields. So rows are found here,
by looking at all delimiters, quotes and line breaks of a block at once; pandas parses only rows that
have the right number of fields. Quotes follow RFC 4180: around a whole field, doubled inside it.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.collection.mapping import Mapping
from mlsys.core import MlsysError

MAX_ROW = 1 << 20
"""Bytes. A longer row means a quote that is never closed, or no CSV at all."""

_FAULTS = (
    "",
    "a quote stands inside a field or is not closed",
    "NUL byte",
    "too many fields",
    "too few fields",
)

_NEWLINE, _QUOTE = ord("\n"), ord('"')

Progress = Callable[[int, int], None]


class LogError(MlsysError):
    """A log cannot be read at all. A single bad row is never an error: it is a dead letter."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a file. `line` is where a row begins, 1 being the header's line.

    `text` : the mapped columns of rows that could be split, as found; `lines` : int64, theirs.
    `bad` : line, reason and text of rows that could not be split.
    `joined` : line breaks inside quotes, in `text`.
    """

    text: pd.DataFrame
    lines: np.ndarray
    bad: pd.DataFrame
    joined: int


def read_rows(path: Path, mapping: Mapping, block: int, progress: Progress | None) -> Iterator[Rows]:
    """The rows below the header, about `block` bytes at a time. Raises `LogError` or `MappingError`."""
    rest, line, positions, width = b"", 1, [-1], 0
    for data, final in _blocks(path, mapping.encoding, block, progress):
        rest += data
        if final and rest and not rest.endswith(b"\n"):
            rest += b"\n"
        if not width:
            header, found, below = rest.partition(b"\n")
            if b"\0" in header or len(header) > MAX_ROW:
                raise LogError(f"{path} is not text", why="line 1 has NUL bytes or no end", fix="export it as CSV")
            if not found and not final:
                continue
            if not header.strip():
                what = f"line 1 of {path} is blank" if below.strip() else f"{path} is empty"
                raise LogError(what, why="line 1 must name the columns", fix="check the export")
            positions, width = mapping.locate(header.decode())
            rest, line = below, 2
        rows, size, newlines = _split(rest, line, mapping, positions, width)
        rest, line = rest[size:], line + newlines
        if len(rest) > MAX_ROW or (final and rest):
            raise _endless(line)
        yield rows


def _blocks(path: Path, encoding: str, size: int, progress: Progress | None) -> Iterator[tuple[bytes, bool]]:
    """The file as UTF-8 with "\\n" line ends, unzipped if it is a gzip; the last block is marked."""
    name = codecs.lookup(encoding).name
    utf8 = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8-sig" if name == "utf-8" else encoding)(), translate=True
    )
    try:
        total = path.stat().st_size
        with path.open("rb") as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            stream = gzip.GzipFile(fileobj=raw) if zipped else raw
            while data := stream.read(size):
                yield utf8.decode(data).encode(), False
                if progress is not None:
                    progress(raw.tell(), total)
            yield utf8.decode(b"", final=True).encode(), True
    except UnicodeDecodeError as error:
        excerpt = bytes(error.object[max(0, error.start - 20) : error.start + 20])
        raise LogError(
            f"{path} is not {encoding}",
            why=f"{error.reason}, near {excerpt!r}",
            fix='set encoding under [format], for example encoding = "cp1252"',
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LogError(f"cannot read {path}", why=why, fix="name a .csv or .csv.gz file that is complete") from None


def _split(buffer: bytes, line: int, mapping: Mapping, positions: list[int], width: int) -> tuple[Rows, int, int]:
    """The complete rows in `buffer`, and how many bytes and line breaks they take."""
    data = np.frombuffer(buffer, np.uint8)
    newlines = np.flatnonzero(data == _NEWLINE)
    commas = np.flatnonzero(data == ord(mapping.delimiter))
    ends, stray = newlines, newlines[:0]
    if b'"' in buffer:
        quotes, stray = _closing_quotes(data, newlines, ord(mapping.delimiter), line)
        ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0]  # Outside quotes: as many opened as closed.
        commas = commas[np.searchsorted(quotes, commas) % 2 == 0]
    starts = np.append(0, ends + 1)[:-1]
    size = int(ends[-1]) + 1 if len(ends) else 0
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    lines = line + np.searchsorted(newlines, starts)
    if len(ends) and (ends - starts).max() > MAX_ROW:
        raise _endless(int(lines[np.argmax(ends - starts)]))

    fault = np.select([fields > width, fields < width], [3, 4], 0)
    if b"\0" in buffer:
        nul = np.flatnonzero(data[:size] == 0)
        fault[np.searchsorted(ends, nul)] = 2
    fault[np.searchsorted(ends, stray[stray < size])] = 1
    blank = starts == ends
    good = (fault == 0) & ~blank
    bad = (fault > 0) & ~blank
    found = pd.DataFrame(
        {
            "line": lines[bad],
            "reason": np.array(_FAULTS, dtype=object)[fault[bad]],
            "text": [buffer[a:b].decode() for a, b in zip(starts[bad], ends[bad], strict=True)],
        }
    )
    body = data[:size] if good.all() else data[:size][np.repeat(good, ends + 1 - starts)]
    text = _parse(body.tobytes(), mapping, positions, width)
    if len(text) != good.sum():
        raise AssertionError(f"{good.sum()} rows became {len(text)} after line {line}: a defect of read_rows")
    joined = int(np.count_nonzero(body == _NEWLINE) - good.sum())
    return Rows(text, lines[good], found, joined), size, int(np.searchsorted(newlines, size))


def _parse(body: bytes, mapping: Mapping, positions: list[int], width: int) -> pd.DataFrame:
    # A header of our own, because pandas drops a byte-order mark that begins the first line.
    header = mapping.delimiter.join(map(str, range(width))).encode() + b"\n"
    frame = pd.read_csv(
        io.BytesIO(header + body),
        sep=mapping.delimiter,
        usecols=positions,
        dtype=object,
        na_filter=False,
        index_col=False,
        skip_blank_lines=False,
        encoding="utf-8",
    )
    return frame[[str(p) for p in positions]].set_axis(list(mapping.file_columns), axis=1)


def _closing_quotes(data: np.ndarray, newlines: np.ndarray, delimiter: int, line: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the quotes that open and close by turns, and of line starts where quotes make no sense.

    An opening quote must follow a delimiter, a line break or a quote; a closing one must precede one.
    Where that fails, the line on which that row began is given up, and counting starts anew below it.
    """
    quotes = np.flatnonzero(data == _QUOTE)
    around = np.concatenate([[_NEWLINE], data, [_NEWLINE]])
    before = np.isin(around[quotes], [delimiter, _NEWLINE, _QUOTE])
    after = np.isin(around[quotes + 2], [delimiter, _NEWLINE, _QUOTE])
    even = np.arange(len(quotes)) % 2 == 0
    # Failures if counting starts at an even quote, and if it starts at an odd one.
    failures = [
        np.flatnonzero(~np.where(even, before, after)),
        np.flatnonzero(~np.where(even, after, before)),
    ]
    quotes_above = np.searchsorted(quotes, newlines)
    keep, given_up = np.ones(len(quotes), bool), []
    first, top = 0, 0  # The first quote and the first line break that are not dealt with yet.
    while True:
        failed = failures[first % 2]
        at = np.searchsorted(failed, first)
        if at == len(failed):
            break
        quote = quotes[failed[at]]
        above = np.searchsorted(newlines, quote)
        row_ends = np.flatnonzero((quotes_above[top:above] - first) % 2 == 0)
        last = top + int(row_ends[-1]) + 1 if len(row_ends) else top  # The line break that ends the bad line.
        if quote - (newlines[last - 1] if last else 0) > MAX_ROW:
            raise _endless(line + last)
        if last == len(newlines):
            break  # Not complete in this block.
        begin = newlines[last - 1] + 1 if last else 0
        keep[np.searchsorted(quotes, begin) : quotes_above[last]] = False
        given_up.append(begin)
        first, top = int(quotes_above[last]), last + 1
    return quotes[keep], np.array(given_up, np.int64)


def _endless(line: int) -> LogError:
    return LogError(
        f"the row that begins in line {line} does not end",
        why=f"a quote in it is not closed, or it is longer than {MAX_ROW:,} bytes",
        fix=f"look at the quotes in line {line}; a quote inside a quoted field is written twice",
    )
