"""What is measured: the cases, and what a run gives back."""

from __future__ import annotations

from dataclasses import dataclass

WORKERS_AT = 1_000_000
"""Impressions at which workers are compared. One size is enough: all days are dispatched alike."""


@dataclass(frozen=True)
class Case:
    """A row of the tables, and what `cases.py`, or for a peer `obp_cases.py`, is told."""

    label: str
    command: str
    peer: bool = False


NAIVE = Case("naive: independent columns, whole log kept", "naive")
WHERE = Case("where the time goes", "where")

GROWTH = (
    Case("world, random", "random 10000 1"),
    Case("world, popularity", "popularity 10000 1"),
    Case("world, table", "table 10000 1"),
    Case("world, table, whole log kept", "table-kept 10000 1"),
    NAIVE,
    Case("obp, bandit, 10 actions", "bandit", peer=True),
    Case("obp, slate, 10 of 50", "slate", peer=True),
)
"""Measured at every size."""

WORKERS = {
    Case("random, 1 worker", "random 10000 1"): [Case("… 2 processes", "random 10000 2")],
    Case("popularity, 1 worker", "popularity 10000 1"): [Case("… 2 processes", "popularity 10000 2")],
    Case("table, 1 worker", "table 10000 1"): [
        Case("… 2 processes", "table 10000 2"),
        Case("… 2 threads", "table 10000 2-threads"),
    ],
    Case("table, 100,000 users, 1 worker", "table 100000 1"): [
        Case("… 2 processes", "table 100000 2"),
        Case("… 2 threads", "table 100000 2-threads"),
    ],
}
"""One worker, and right after it what two workers make of the same."""

Runs = dict[tuple[Case, int], dict[int, dict[str, float]]]
"""By case and size, then by round: made, seconds, mb, above_imports, and rate in millions per second."""
