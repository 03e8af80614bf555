"""What is measured: tables, their cases and sizes."""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = (100_000, 1_000_000, 10_000_000)


@dataclass(frozen=True)
class Case:
    """A row: what `ours.py`, or for a peer `peers.py`, is told, and what the table calls it. `most`: no size above."""

    name: str
    label: str
    peer: bool = False
    redis: bool = False
    most: float = 1e9


@dataclass(frozen=True)
class Table:
    """Cases on the same inputs, the first one ours. `grows`: the size is events, and cost grows with it."""

    name: str
    title: str
    text: str
    sizes: tuple[int, ...]
    cases: tuple[Case, ...]
    grows: bool = True


TABLES = (
    Table(
        "extract",
        "Feature extraction",
        "Per user the number of actions and the like rate, per post distinct viewers and likes, over the whole log."
        " The naive one drops rows without an action, and with them their viewers. Ours sorts by time, because the same"
        " object then answers any instant; the others can only say how it stands at the end. Seconds.",
        EVENTS,
        (
            Case("extract", "mlsys: ingest and materialize"),
            Case("extract-naive", "naive: groupby with a lambda", most=1e5),
            Case("extract-pandas", "pandas, vectorized groupby"),
            Case("extract-polars", "polars, lazy", peer=True),
            Case("extract-duckdb", "DuckDB, from its own table", peer=True),
        ),
    ),
    Table(
        "join",
        "Point-in-time join",
        "N feature rows of eight numbers, N/5 labels, users N/10, TTL of seven days, a row strictly before its label."
        " Seconds. Feast's file store returns fewer rows than it was asked for; it is timed all the same.",
        EVENTS,
        (
            Case("join", "mlsys, view prepared"),
            Case("join-asof", "pandas merge_asof, both sides sorted before"),
            Case("join-polars", "polars join_asof, sorted before", peer=True),
            Case("join-sort", "mlsys, with preparing the view"),
            Case("join-asof-sort", "pandas merge_asof, with sorting"),
            Case("join-polars-sort", "polars join_asof, with sorting", peer=True),
            Case("join-duckdb", "DuckDB ASOF JOIN", peer=True),
            Case("join-feast-duckdb", "Feast, DuckDB store", peer=True, most=1e6),
            Case("join-feast", "Feast, file store", peer=True, most=1e6),
        ),
    ),
    Table(
        "read",
        "Online reads",
        "One request for 1, 100 or 500 entities of 50,000, eight float32 features each. Microseconds, median.",
        (1, 100, 500),
        (
            Case("read", "mlsys, memory"),
            Case("read-arrays", "bare arrays: take, status, age, TTL by hand"),
            Case("read-bare", "bare arrays: take"),
            Case("read-sqlite", "mlsys, SQLite file, read in process"),
            Case("read-raw-sqlite", "SQLite, blobs, one IN query"),
            Case("read-feast-sqlite", "Feast, SQLite", peer=True),
            Case("read-redis", "mlsys, Redis", redis=True),
            Case("read-raw-redis", "Redis, packed, one MGET", redis=True),
            Case("read-feast-redis", "Feast, Redis", peer=True, redis=True),
        ),
        grows=False,
    ),
    Table(
        "verify",
        "Verification",
        "Five checks on five columns, all failures at once. Seconds.",
        EVENTS,
        (
            Case("verify", "mlsys"),
            Case("verify-numpy", "five conditions typed by hand"),
            Case("verify-pandera", "pandera, lazy", peer=True),
        ),
    ),
)
