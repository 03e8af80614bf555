"""Impressions from a database and over HTTP: what `read_log` is for a file, with the same mapping and the same reasons.

Scraping pages is not here, because it adds what a table or an API settles for you: whether robots.txt and the terms of
use allow it, and at which rate. A page has no schema, so its layout changes without notice and fields go missing row
by row: the share of dead letters per day is the alarm to set. And each row needs provenance, its address, time and a
copy of the page as fetched, or nobody can parse it again, prove where it came from, or delete it when asked to.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import pandas as pd

from mlsys.collection.coding import Coder, MixedTimes
from mlsys.collection.fetch import Client, SourceError, failed, link
from mlsys.collection.files import Ingested, _DeadLetters, _notes
from mlsys.collection.mapping import Mapping, MappingError
from mlsys.core import MlsysError, generator


@dataclass(frozen=True)
class Fetched(Ingested):
    """What came out of a source, and where to go on. The `line` of a dead letter is its row in the source, from 1.

    No rows, or none that is an event, is no error: with `since` it is an ordinary day. Codes of ids hold within one
    result; `ids` has the originals.

    `cursor` : of a table, the largest `by` seen, the next `since`; over HTTP, the next page's URL, None after the last.
    """

    cursor: Any


def read_table(
    connection: Any,
    query: str,
    mapping: Mapping,
    *,
    since: Any = None,
    by: str | None = None,
    dead_letters: Path | None = None,
    chunk_rows: int = 50_000,
) -> Fetched:
    """Read the rows of a query from any DB-API 2.0 connection (PEP 249), `chunk_rows` at a time.

    since : bound to the query's one placeholder, as the driver does it; never written into the SQL.
    by : the column that `since` is about. Compare with >=, not >: rows with an equal value may be committed later.
        What comes twice has the same event id. Rows whose transaction ends late may still be missed: step back a bit.
    dead_letters : as in `read_log`.

    Raises `SourceError` with what the driver says, `MappingError` if the query lacks a column.

    >>> import sqlite3
    >>> db = sqlite3.connect(":memory:")
    >>> _ = db.execute("CREATE TABLE shown (id, at, post, act)")
    >>> _ = db.executemany("INSERT INTO shown VALUES (?, ?, ?, ?)", [(1, "2026-01-01", 7, 1), (2, "soon", 8, 0)])
    >>> columns = {"event_id": "id", "event_time": "at", "post_id": "post", "action": "act"}
    >>> mapping = Mapping(columns, {"1": "like", "0": "view"})
    >>> got = read_table(db, "SELECT * FROM shown WHERE id >= ?", mapping, since=0, by="id")
    >>> got.rows_out, got.rows_dead, got.cursor
    (1, 1, 2)
    >>> db.close()
    """
    largest = since

    def chunks() -> Iterator[tuple[pd.DataFrame, Sequence[Any]]]:
        nonlocal largest
        cursor = connection.cursor()
        try:
            cursor.execute(query, *([] if since is None else [(since,)]))
            names = [column[0] for column in cursor.description or ()]
            wanted = [*mapping.file_columns, *([by] if by else [])]
            if wrong := [name for name in wanted if names.count(name) != 1]:
                raise MappingError(
                    f"the query needs one column {', '.join(wrong)}",
                    why=f"it has {', '.join(names) or 'none: it is no SELECT'}",
                    fix="name it in the SELECT, once, or correct [columns] of the mapping",
                )
            while rows := cursor.fetchmany(chunk_rows):
                raw = pd.DataFrame(rows, columns=names, dtype=object)
                if by is not None:
                    known = raw[by][raw[by].notna()].tolist()
                    largest = max(known if largest is None else [largest, *known], default=None)
                yield raw[list(mapping.file_columns)], rows
        except MlsysError:
            raise
        except Exception as error:  # PEP 249 drivers have no error class in common.
            raise SourceError(
                f"the database does not answer the query: {type(error).__name__}",
                why=str(error),
                fix="try the query in the database's own shell; `since` needs exactly one placeholder",
            ) from error
        finally:
            cursor.close()

    got = _ingest(chunks, mapping, dead_letters)
    return Fetched(**vars(got), cursor=largest)


def read_http(
    url: str,
    mapping: Mapping,
    *,
    items: str = "items",
    next_page: str = "next",
    cursor_parameter: str | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 10.0,
    retries: int = 4,
    max_pages: int = 1_000,
    max_bytes: int = 32 << 20,
    sleep: Callable[[float], None] = time.sleep,
    seed: int = 0,
    dead_letters: Path | None = None,
) -> Fetched:
    """Read pages of JSON, `{"items": [{...}, ...], "next": "?page=2"}`, until there is no next one.

    items, next_page : the names of these fields. A page that is a bare list is the last one.
    cursor_parameter : if given, `next` is no link but a value for this parameter of `url`.
    timeout : seconds without a byte; not of the whole answer.
    retries : per page, on 429, 5xx, a broken connection or a cut answer. Full jitter: a random pause up to
        0.5, 1, 2, ... s, or what Retry-After asks for. Source: Brooker, Exponential Backoff And Jitter, AWS, 2015.
    max_pages : then `cursor` has where to go on, and a note says so.
    max_bytes : of all pages together.
    seed : of the pauses; give each client its own, or they all come back at the same moment.

    Raises `SourceError`: not http or https, a link or redirect to another origin, a page linked twice, no JSON, 4xx,
    too large, or still failing after the retries.
    """
    client = Client(headers or {}, timeout, retries, max_bytes, sleep, generator(seed))
    pages: list[tuple[pd.DataFrame, Sequence[Any]]] = []
    seen: set[str] = set()
    at: str | None = link(url, "")
    while at is not None and len(pages) < max_pages:
        if at in seen:
            raise failed(at, "it is linked as the next page a second time", "report it; read less with max_pages=")
        seen.add(at)
        records, follow = _page(client.get(at), at, items, next_page)
        pages.append((_columns(records, mapping.file_columns), records))
        if cursor_parameter and follow:
            query = [(name, value) for name, value in parse_qsl(urlsplit(url).query) if name != cursor_parameter]
            follow = f"?{urlencode([*query, (cursor_parameter, follow)])}"
        at = link(at, str(follow)) if follow else None
    got = _ingest(lambda: iter(pages), mapping, dead_letters)
    more = () if at is None else (f"stopped after {len(pages)} pages: go on with read_http(result.cursor, ...)",)
    return Fetched(**{**vars(got), "notes": got.notes + more}, cursor=at)


def _page(body: bytes, url: str, items: str, next_page: str) -> tuple[list[Any], Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise failed(url, f"it is no JSON: {error}; it begins {body[:60]!r}", "look at it in a browser") from None
    if isinstance(page, dict) and isinstance(page.get(items), list):
        return page[items], page.get(next_page)
    if isinstance(page, list):
        return page, None
    keys = f"it has {', '.join(map(str, page))}" if isinstance(page, dict) else "it is no object"
    raise failed(url, f"the page has no list {items!r}; {keys}", "name the field with items=")


_MISSING = ...
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of characters, which JSON allows.


def _columns(records: list[Any], names: Sequence[str]) -> pd.DataFrame:
    objects = [record if isinstance(record, dict) else {} for record in records]
    return pd.DataFrame({name: [record.get(name, _MISSING) for record in objects] for name in names}, dtype=object)


def _ingest(
    chunks: Callable[[], Iterator[tuple[pd.DataFrame, Sequence[Any]]]], mapping: Mapping, dead_letters: Path | None
) -> Ingested:
    """Feed (columns of any objects, the rows as they came) to a `Coder`, as `read_log` does."""
    coder = Coder(mapping)
    try:
        dead, rows_in = _feed(chunks(), coder, dead_letters)
    except MixedTimes:  # Earlier rows were read as UTC, wrongly: once more from the start.
        coder = Coder(mapping, offset_required=True)
        dead, rows_in = _feed(chunks(), coder, dead_letters)
    events, ids = coder.finish()
    if rows_in != len(events) + dead.rows:
        raise AssertionError(f"{rows_in} rows in, {len(events)} out, {dead.rows} dead: a defect of sources")
    reasons, notes = dict(dead.reasons.most_common()), _notes(mapping, coder, 0)
    return Ingested(events, dead.first, rows_in, len(events), dead.rows, reasons, ids, notes)


def _feed(
    chunks: Iterator[tuple[pd.DataFrame, Sequence[Any]]], coder: Coder, dead_letters: Path | None
) -> tuple[_DeadLetters, int]:
    rows_in = 0
    coder.code(pd.DataFrame(columns=list(coder.mapping.file_columns), dtype=object))  # There may be no rows at all.
    with _DeadLetters(dead_letters, coder.mapping) as dead:
        for raw, rows in chunks:
            lines = rows_in + 1 + np.arange(len(raw))
            faults, reason = raw.map(_fault), np.full(len(raw), "", dtype=object)
            for name in raw.columns[::-1]:  # The first column's fault is the one that stays.
                at = (faults[name] != "").to_numpy()
                reason[at] = f"{name} " + faults[name][at].to_numpy(dtype=object)
            good, bad = np.flatnonzero(reason == ""), np.flatnonzero(reason != "")
            text = [json.dumps(rows[i], default=str) for i in bad.tolist()]
            unread = pd.DataFrame({"line": lines[bad], "reason": reason[bad], "text": text})
            found = raw.iloc[good].map(_text).astype(object)
            dying, reasons = coder.code(found)
            dead.add(found.iloc[dying], lines[good][dying], reasons, unread)
            rows_in += len(raw)
    return dead, rows_in


def _fault(value: Any) -> str:
    """Why a value cannot be a cell. It is asked of every value, because drivers and JSON hand out Python objects."""
    if value is _MISSING:
        return "is missing"
    if isinstance(value, dict | list | bytes | memoryview):
        return "is no text, number or time"
    if isinstance(value, str) and _NO_TEXT.search(value):
        return "has characters that are no text"
    return ""


def _text(value: Any) -> str:
    """A value as a CSV would have it; null is an empty cell, and true and false are as in JSON."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
