"""A database and an HTTP server give what the same rows in a file give; what fails has a reason."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from mlsys.collection import Fetched, Ingested, Mapping, MappingError, SourceError, read_http, read_log, read_table
from mlsys.core import EVENT_SCHEMA, conform

NAMES = ["id", "ts", "uid", "item", "act"]
MAPPING = Mapping(
    {"event_id": "id", "event_time": "ts", "user_id": "uid", "post_id": "item", "action": "act"},
    {"1": "like", "0": "view", "true": "share"},
)
T = "2026-01-01T00:00:00Z"
DIRTY: list[tuple[Any, ...]] = [
    (1, T, "ann", 7, 1),
    (2, "soon", "ann", 7, 1),
    (3, T, None, 8, None),
    (3, T, "bob", 8, 0),
    (4, T, "bob", None, 0),
    (5, "2026-01-02 03:04:05Z", "ann", 9, "shrug"),
    (6, "2026-01-02T03:04:05.678+01:00", "cy", 9, 0),
]
Row = dict[str, Any]


def same(a: Ingested, b: Ingested) -> None:
    pd.testing.assert_frame_equal(a.events, b.events)
    assert a.ids.keys() == b.ids.keys() and all(list(a.ids[k]) == list(b.ids[k]) for k in a.ids)
    assert (a.rows_in, a.rows_out, a.rows_dead, a.reasons, a.notes) == (
        b.rows_in,
        b.rows_out,
        b.rows_dead,
        b.reasons,
        b.notes,
    )
    pd.testing.assert_frame_equal(a.dead_letters.drop(columns="line"), b.dead_letters.drop(columns="line"))


def from_file(tmp: Path, rows: list[tuple[Any, ...]]) -> Ingested:
    pd.DataFrame(rows, columns=NAMES, dtype=object).to_csv(tmp / "log.csv", index=False)
    return read_log(tmp / "log.csv", MAPPING)


# --- A database --------------------------------------------------------------------------------------------------


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE shown (id, ts, uid, item, act)")
    connection.executemany("INSERT INTO shown VALUES (?, ?, ?, ?, ?)", DIRTY)
    yield connection
    connection.close()


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
def test_a_table_gives_what_the_file_gives(tmp_path: Path, db: sqlite3.Connection, chunk_rows: int) -> None:
    got = read_table(
        db, "SELECT * FROM shown ORDER BY rowid", MAPPING, chunk_rows=chunk_rows, dead_letters=tmp_path / "dead.csv"
    )
    same(got, from_file(tmp_path, DIRTY))
    assert (got.rows_in, got.rows_out, got.rows_dead) == (7, 3, 4)
    assert got.dead_letters["line"].tolist() == [2, 4, 5, 6]
    assert len(pd.read_csv(tmp_path / "dead.csv")) == 4
    pd.testing.assert_frame_equal(conform(got.events), got.events)


def test_a_table_is_read_on_from_where_one_was(db: sqlite3.Connection) -> None:
    query = "SELECT * FROM shown WHERE id >= ? ORDER BY id DESC"
    first = read_table(db, query, MAPPING, since=0, by="id", chunk_rows=2)
    assert (first.rows_in, first.cursor) == (7, 6)
    db.execute("INSERT INTO shown VALUES (6, ?, 'dee', 9, 0), (7, ?, 'dee', 9, 0), (NULL, ?, 'dee', 9, 0)", (T, T, T))
    second = read_table(db, query, MAPPING, since=first.cursor, by="id")
    assert (second.rows_in, second.cursor) == (3, 7)  # 6 again, and the new ones: >=.
    nothing = read_table(db, query, MAPPING, since=100, by="id")
    assert (nothing.rows_in, nothing.rows_out, nothing.cursor) == (0, 0, 100)
    assert {c: str(t) for c, t in nothing.events.dtypes.items()} == EVENT_SCHEMA


def test_since_is_bound_and_never_part_of_the_sql(db: sqlite3.Connection) -> None:
    got = read_table(db, "SELECT * FROM shown WHERE uid = ?", MAPPING, since="ann'; DROP TABLE shown; --", by="uid")
    assert got.rows_in == 0
    assert read_table(db, "SELECT * FROM shown WHERE uid = ?", MAPPING, since="ann", by="uid").rows_in == 3


def test_what_a_database_cannot_answer_is_one_clear_error(db: sqlite3.Connection) -> None:
    for query, why in (
        ("SELEKT", "syntax"),
        ("SELECT * FROM shown WHERE id > ?", "binding"),
        ("SELECT * FROM no", "no"),
    ):
        with pytest.raises(SourceError, match=why):
            read_table(db, query, MAPPING)
    for query in ("SELECT id, ts, uid, item FROM shown", "SELECT *, 1 AS act FROM shown", "DELETE FROM shown WHERE 0"):
        with pytest.raises(MappingError, match=r"one column .*act"):
            read_table(db, query, MAPPING)
    with pytest.raises(MappingError, match="one column nope"):
        read_table(db, "SELECT * FROM shown", MAPPING, by="nope")


def test_values_of_a_driver_that_are_no_text(db: sqlite3.Connection) -> None:
    class Cursor:
        """A driver with types of its own, and a placeholder of its own."""

        description = tuple((name,) for name in NAMES)
        closed = False
        rows: tuple[tuple[Any, ...], ...] = (
            (10**17 + 1, datetime(2026, 1, 1, 12), True, 7, True),
            (2, datetime(2026, 1, 1), b"\xff", 7, 1),
            (3, datetime(2026, 1, 1), "a\0", 7, 1),
        )

        def execute(self, query: str, parameters: tuple[Any, ...] = ()) -> None:
            assert (query, parameters) == ("SELECT %s", ("2025",))

        def fetchmany(self, size: int) -> tuple[tuple[Any, ...], ...]:
            taken, self.rows = self.rows[:size], self.rows[size:]
            return taken

        def close(self) -> None:
            Cursor.closed = True

    class Connection:
        cursor = Cursor

    got = read_table(Connection(), "SELECT %s", MAPPING, since="2025")
    assert got.events["event_id"].tolist() == [10**17 + 1] and got.events["action"].tolist() == ["share"]
    assert got.events["event_time"].tolist() == [pd.Timestamp("2026-01-01 12:00")]
    assert got.ids["user_id"].tolist() == ["true"]
    assert got.reasons == {"uid is no text, number or time": 1, "uid has characters that are no text": 1}
    assert Cursor.closed


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_mixed_times_lose_those_without_offset_as_in_a_file(
    tmp_path: Path, db: sqlite3.Connection, chunk_rows: int
) -> None:
    rows = [(1, "2026-01-01T00:00:00", "a", 1, 1), (2, T, "b", 1, 1), (3, T, "c", 1, 1)]
    db.execute("DELETE FROM shown")
    db.executemany("INSERT INTO shown VALUES (?, ?, ?, ?, ?)", rows)
    got = read_table(db, "SELECT * FROM shown", MAPPING, chunk_rows=chunk_rows)
    same(got, from_file(tmp_path, rows))
    assert got.rows_dead == 1


# --- HTTP --------------------------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """A real server on 127.0.0.1: `answers` are given one by one for a path, the last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer | Callable[[str], Answer]]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers.append(dict(self.headers))
                answers = outer.answers[urlsplit(self.path).path]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                status, headers, body = answer(self.path) if callable(answer) else answer
                if status == 0:  # Hangs, then hangs up.
                    outer.hold.wait(5)
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if name == "Date":
                        self._headers_buffer = [h for h in self._headers_buffer if not h.startswith(b"Date")]  # type: ignore[has-type]
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.hold = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def page(self, path: str, rows: Any, **fields: Any) -> None:
        self.answers[path] = [ok({"items": rows, **fields})]

    def close(self) -> None:
        self.hold.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def ok(data: Any, **headers: str) -> Answer:
    return 200, headers, json.dumps(data).encode()


def objects(rows: list[tuple[Any, ...]]) -> list[Row]:
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def read(server: Server, slept: list[float]) -> Callable[..., Fetched]:
    def read(path: str = "/a", **options: Any) -> Fetched:
        return read_http(server.url + path, MAPPING, **{"sleep": slept.append, "timeout": 5.0, **options})

    return read


def test_pages_give_what_the_file_gives(tmp_path: Path, server: Server, read: Callable[..., Fetched]) -> None:
    server.page("/a", objects(DIRTY[:3]), next="/b?page=2")
    server.page("/b", objects(DIRTY[3:6]), next=f"{server.url}/c")
    server.page("/c", objects(DIRTY[6:]), next=None)
    got = read(headers={"Authorization": "Bearer secret"}, dead_letters=tmp_path / "dead.csv")
    same(got, from_file(tmp_path, DIRTY))
    assert got.dead_letters["line"].tolist() == [2, 4, 5, 6] and got.cursor is None
    assert server.asked == ["/a", "/b?page=2", "/c"]
    assert all(headers["Authorization"] == "Bearer secret" for headers in server.headers)
    assert len(pd.read_csv(tmp_path / "dead.csv")) == 4


def test_pages_by_cursor(server: Server, read: Callable[..., Fetched]) -> None:
    def answer(path: str) -> Answer:
        at = int(parse_qs(urlsplit(path).query).get("after", ["0"])[0].rstrip("&+ "))
        return ok({"data": objects(DIRTY[at : at + 3]), "cursor": f"{at + 3}&+ " if at < 6 else ""})

    server.answers["/a"] = [answer]
    got = read("/a?size=3&after=0", items="data", next_page="cursor", cursor_parameter="after")
    assert got.rows_in == 7
    assert server.asked[1:] == ["/a?size=3&after=3%26%2B+", "/a?size=3&after=6%26%2B+"]


def test_a_bare_list_is_the_last_page_and_none_is_an_ordinary_day(server: Server, read: Callable[..., Fetched]) -> None:
    server.answers["/a"] = [ok(objects(DIRTY))]
    assert read().rows_in == 7
    server.answers["/a"] = [ok([])]
    got = read()
    assert (got.rows_in, len(got.events), got.reasons) == (0, 0, {})


def test_records_that_are_no_rows_are_dead_letters(server: Server, read: Callable[..., Fetched]) -> None:
    good = objects(DIRTY)[0]
    renamed = {**good, "id": 10, "action": 1}
    del renamed["act"]
    server.page("/a", [good, renamed, {**good, "item": {"id": 7}}, "text", None, {**good, "uid": "\ud800"}])
    got = read()
    assert (got.rows_in, got.rows_out, got.rows_dead) == (6, 1, 5)
    assert got.dead_letters["reason"].tolist() == [
        "act is missing",  # Not a null action: somebody renamed it.
        "item is no text, number or time",
        "id is missing",
        "id is missing",
        "uid has characters that are no text",
    ]
    assert json.loads(got.dead_letters["text"][0]) == renamed and got.dead_letters["text"][2] == '"text"'
    assert got.dead_letters["line"].tolist() == [2, 3, 4, 5, 6]


CUT = (200, {"Content-Length": "1000"}, b'{"items": [')
CHUNKS_CUT = (200, {"Transfer-Encoding": "chunked", "Content-Length": "0"}, b'ff\r\n{"items"')


@pytest.mark.parametrize("failure", [(503, {}, b""), (500, {}, b"oops"), (429, {}, b""), CUT], ids=str)
def test_what_may_pass_is_tried_again(
    server: Server, read: Callable[..., Fetched], slept: list[float], failure: Answer
) -> None:
    server.answers["/a"] = [failure, failure, ok(objects(DIRTY))]
    assert read().rows_in == 7
    assert len(slept) == 2 and 0 < slept[0] < 0.5 and 0 < slept[1] < 1
    server.answers["/a"] = [failure]
    server.asked.clear()
    with pytest.raises(SourceError, match="4 times"):
        read(retries=3)
    assert len(server.asked) == 4 and len(slept) == 5


def test_pauses_are_random_and_grow_to_a_bound(
    server: Server, read: Callable[..., Fetched], slept: list[float]
) -> None:
    server.answers["/a"] = [(503, {}, b"")]
    for seed in (1, 2):
        with pytest.raises(SourceError):
            read(retries=12, seed=seed)
    first, second = slept[:12], slept[12:]
    assert all(a != b for a, b in zip(first, second, strict=True))
    assert all(pause < min(60, 0.5 * 2**n) for n, pause in enumerate(first)) and 4 < max(first) <= 60


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:20 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 20.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 31 Dec 2025 00:00:00 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, None),
    ],
)
def test_retry_after_is_honoured(
    server: Server, read: Callable[..., Fetched], slept: list[float], headers: dict[str, str], pause: float | None
) -> None:
    server.answers["/a"] = [(429, headers, b""), ok([])]
    read()
    assert slept == [pause] if pause else slept[0] < 0.5


def test_too_long_a_pause_is_the_callers_to_decide(
    server: Server, read: Callable[..., Fetched], slept: list[float]
) -> None:
    server.answers["/a"] = [(503, {"Retry-After": "3600"}, b"")]
    with pytest.raises(SourceError, match="not before 3600 s"):
        read()
    assert slept == []


def test_a_server_that_hangs_or_is_gone(server: Server, read: Callable[..., Fetched], slept: list[float]) -> None:
    server.answers["/a"] = [(0, {}, b"")]
    with pytest.raises(SourceError, match=r"[Tt]imed ?out.*2 times"):
        read(timeout=0.2, retries=1)
    assert len(slept) == 1
    with pytest.raises(SourceError, match=r"refused|URLError"):
        read_http("http://127.0.0.1:9/a", MAPPING, retries=0)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_what_will_not_pass_is_not_tried_again(
    server: Server, read: Callable[..., Fetched], slept: list[float], status: int
) -> None:
    server.answers["/a"] = [(status, {}, b"")]
    with pytest.raises(SourceError, match=f"HTTP {status}") as caught:
        read("/a?token=secret")
    assert len(server.asked) == 1 and slept == []
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>login</html>", "no JSON.*<html>login"),
        (b'{"items": [', "no JSON"),
        (b"", "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"7", "no list 'items'; it is no object"),
        (b'{"data": []}', "no list 'items'; it has data"),
        (b'{"items": {"id": 1}}', "no list 'items'"),
    ],
)
def test_a_page_that_is_none(server: Server, read: Callable[..., Fetched], body: bytes, why: str) -> None:
    server.answers["/a"] = [(200, {}, body)]
    with pytest.raises(SourceError, match=why):
        read()
    assert len(server.asked) == 1


def test_pages_without_end_are_read_up_to_a_bound_and_on_from_there(
    server: Server, read: Callable[..., Fetched]
) -> None:
    def answer(path: str) -> Answer:
        at = int(parse_qs(urlsplit(path).query).get("page", ["0"])[0])
        return ok({"items": objects([(at, T, "ann", 7, 1)]), "next": f"?page={at + 1}"})

    server.answers["/a"] = [answer]
    got = read(max_pages=5)
    assert got.rows_out == 5 and got.cursor == f"{server.url}/a?page=5"
    assert any("stopped after 5 pages" in note for note in got.notes)
    assert read(got.cursor[len(server.url) :], max_pages=2).events["event_id"].tolist() == [5, 6]


def test_pages_in_a_ring_are_an_error(server: Server, read: Callable[..., Fetched]) -> None:
    server.page("/a", [], next="/b")
    server.page("/b", [], next="/a")
    with pytest.raises(SourceError, match="second time"):
        read()
    assert server.asked == ["/a", "/b"]


def test_the_size_of_all_pages_is_bounded(server: Server, read: Callable[..., Fetched]) -> None:
    server.page("/a", objects(DIRTY), next="/b")
    server.page("/b", objects(DIRTY))
    size = sum(len(answers[0][2]) for answers in server.answers.values())  # type: ignore[index]
    assert read(max_bytes=size).rows_in == 14
    with pytest.raises(SourceError, match="larger than max_bytes"):
        read(max_bytes=size - 1)


def test_only_http_and_only_this_origin(server: Server, read: Callable[..., Fetched], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[]")
    for url in ((tmp_path / "a").as_uri(), "ftp://127.0.0.1/a", "127.0.0.1/a", "http://", "", "http://["):
        with pytest.raises(SourceError, match=r"not http|no address"):
            read_http(url, MAPPING)
    other = Server()
    try:
        other.answers["/a"] = [ok([])]
        for target in (f"{other.url}/a", "file:///etc/passwd", "https://127.0.0.1/a"):
            server.page("/a", [], next=target)
            server.answers["/b"] = [(302, {"Location": target}, b"")]
            for path in ("/a", "/b"):
                with pytest.raises(SourceError, match=r"another origin|not http|not allowed"):
                    read(path, headers={"Authorization": "Bearer secret"})
        assert other.asked == []
    finally:
        other.close()
    server.answers["/c"] = [(302, {"Location": "/d"}, b"")]
    server.answers["/d"] = [ok(objects(DIRTY))]
    assert read("/c").rows_in == 7
    server.answers["/e"] = [(302, {"Location": "/e"}, b"")]
    with pytest.raises(SourceError, match="HTTP 302"):
        read("/e")
