"""What you did, in one SQLite file: attempts, what was said, points, intervals.

Several notebooks and terminals may write at once. Each entry is one transaction, so a crash loses at most the entry
that was being written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlsys.core import Clock, MlsysError
from mlsys.drills.grading import Help, Scorecard
from mlsys.drills.source import Drill

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, drill TEXT NOT NULL, seed INTEGER NOT NULL, started TEXT NOT NULL, checked TEXT);
CREATE TABLE IF NOT EXISTS transcript (
    attempt INTEGER NOT NULL REFERENCES attempts, at TEXT NOT NULL,
    kind TEXT NOT NULL, what TEXT NOT NULL, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS scores (
    attempt INTEGER NOT NULL REFERENCES attempts, row TEXT NOT NULL, points INTEGER NOT NULL,
    first INTEGER NOT NULL, at TEXT NOT NULL, PRIMARY KEY (attempt, row));
CREATE TABLE IF NOT EXISTS intervals (
    attempt INTEGER NOT NULL REFERENCES attempts, name TEXT NOT NULL,
    low REAL NOT NULL, high REAL NOT NULL, truth REAL NOT NULL, PRIMARY KEY (attempt, name));
"""

VERSION = 1
"""Of the layout above."""

TABLES = ("attempts", "transcript", "scores", "intervals")

DUE_DAYS = (0, 1, 3, 14)
"""A row with so many points is due again after so many days."""


@dataclass(frozen=True)
class Attempt:
    """One try at one seed of a drill. Times are UTC, `datetime64[s]`; `checked`: when it was checked first."""

    id: int
    drill: str
    seed: int
    started: np.datetime64
    checked: np.datetime64 | None


class Progress:
    """The file and the clock.

    >>> from mlsys.core import VirtualClock
    >>> progress = Progress(":memory:", VirtualClock())
    >>> progress.start("03_scale", 7).seed
    7
    """

    def __init__(self, path: Path | str, clock: Clock) -> None:
        self.path, self.clock = path, clock
        with self._explained():
            if isinstance(path, Path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        with self._transaction() as sql:
            (version,) = sql.execute("PRAGMA user_version").fetchone()
            columns = [column[1] for column in sql.execute("PRAGMA table_info(scores)")]
            # Files from before layouts had numbers: of the last of them, every table is as it is now.
            if version != VERSION and columns and (version or "first" not in columns):
                raise MlsysError(
                    f"{path} was written by another version of mlsys",
                    why=f"its layout is {version}, and this one reads {VERSION}",
                    fix="move the file away, and a new one is made; or go back to the version that wrote it",
                )
            for statement in [*SCHEMA.strip().split(";\n"), f"PRAGMA user_version = {VERSION}"]:
                sql.execute(statement)

    def start(self, drill: str, seed: int) -> Attempt:
        """A new attempt; its clock runs from now."""
        with self._transaction() as sql:
            made = sql.execute(
                "INSERT INTO attempts (drill, seed, started) VALUES (?, ?, ?)", (drill, seed, self._now())
            ).lastrowid
        return self.attempts("WHERE id = ?", made)[0]

    def latest(self, drill: str) -> Attempt | None:
        """The newest attempt at a drill."""
        found = self.attempts("WHERE drill = ? ORDER BY id DESC LIMIT 1", drill)
        return found[0] if found else None

    def attempts(self, where: str = "ORDER BY id", *values: object) -> list[Attempt]:
        """Attempts, by default all."""
        rows = self._read(f"SELECT id, drill, seed, started, checked FROM attempts {where}", *values)
        return [Attempt(i, drill, seed, np.datetime64(started), np.datetime64(checked) if checked else None)
                for i, drill, seed, started, checked in rows]  # fmt: skip

    def minutes(self, attempt: Attempt) -> float:
        """Minutes from the start to the first check, or to now."""
        end = np.datetime64(self._now()) if attempt.checked is None else attempt.checked
        return float((end - attempt.started) / np.timedelta64(1, "s")) / 60

    def say(self, attempt: Attempt, kind: str, what: str, reply: str) -> None:
        """Keep one line of the transcript; `kind` is ask, fact, hint, check, score or show."""
        with self._transaction() as sql:
            sql.execute("INSERT INTO transcript VALUES (?, ?, ?, ?, ?)", (attempt.id, self._now(), kind, what, reply))

    def transcript(self, attempt: Attempt) -> pd.DataFrame:
        """What was said: columns at, kind, what, reply."""
        return self._frame("SELECT at, kind, what, reply FROM transcript WHERE attempt = ? ORDER BY rowid", attempt.id)

    def said(self, attempt: Attempt, kind: str) -> list[tuple[str, str]]:
        """(what, reply) of every line of this kind, at this seed of this drill, whichever the attempt."""
        found = self._read(
            "SELECT what, reply FROM transcript JOIN attempts ON attempt = id "
            "WHERE drill = ? AND seed = ? AND kind = ? ORDER BY transcript.rowid",
            attempt.drill,
            attempt.seed,
            kind,
        )
        return [(str(what), str(reply)) for what, reply in found]

    def helped(self, attempt: Attempt) -> Help:
        """Hints used, reasons read and references seen, at this seed of this drill."""
        hints: dict[str, int] = {}
        for row, _ in self.said(attempt, "hint"):
            hints[row] = hints.get(row, 0) + 1
        seen = self._read(
            "SELECT row, first, points FROM scores JOIN attempts ON attempt = id "
            "WHERE drill = ? AND seed = ? ORDER BY id",
            attempt.drill,
            attempt.seed,
        )
        first: dict[str, int] = {}
        kept: dict[str, int] = {}
        for row, points_then, points in seen:
            first.setdefault(row, points_then)  # Those of the first attempt: a new one does not make the seed new.
            kept[row] = max(points, kept.get(row, 0))
        return Help(hints, first, kept, revealed=bool(self.said(attempt, "show")))

    def keep(self, attempt: Attempt, card: Scorecard, intervals: Mapping[str, tuple[float, float, float]]) -> None:
        """Keep a scorecard, but for rows without an answer: who has read no reason yet has a first check before them.

        The best points of a row stay, and so does when it was first checked: that says when it is due. Intervals count
        as they stood at the first check of this seed, and not once its reference was shown.
        """
        now, before, revealed = self._now(), self._checked(attempt), bool(self.said(attempt, "show"))
        told = self._read(
            "SELECT name FROM intervals JOIN attempts ON attempt = id WHERE drill = ? AND seed = ?",
            attempt.drill,
            attempt.seed,
        )
        known = {name for (name,) in told}
        with self._transaction() as sql:
            sql.execute("UPDATE attempts SET checked = ? WHERE id = ? AND checked IS NULL", (now, attempt.id))
            for row in card.rows:
                if row.earned is not None:
                    sql.execute(
                        "INSERT INTO scores VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                        "SET points = MAX(points, excluded.points)",
                        (attempt.id, row.row, row.points, row.points, before.get(row.row, now)),
                    )
            for name, numbers in intervals.items() if not revealed else ():
                if name in known:
                    continue
                sql.execute("INSERT OR IGNORE INTO intervals VALUES (?, ?, ?, ?, ?)", (attempt.id, name, *numbers))
            reply = " ".join(f"{row}={points}" for row, points in card.points.items())
            sql.execute("INSERT INTO transcript VALUES (?, ?, 'check', ?, ?)", (attempt.id, now, card.level, reply))

    def _checked(self, attempt: Attempt) -> dict[str, str]:
        """When each row of this seed was first checked."""
        return dict(
            self._read(
                "SELECT row, MIN(at) FROM scores JOIN attempts ON attempt = id "
                "WHERE drill = ? AND seed = ? GROUP BY row",
                attempt.drill,
                attempt.seed,
            )
        )

    def give(self, attempt: Attempt, points: Mapping[str, int]) -> None:
        """Keep what a human gives; the last word counts, and the first one says when the row is due."""
        now, before = self._now(), self._checked(attempt)
        with self._transaction() as sql:
            for row, given in points.items():
                sql.execute(
                    "INSERT INTO scores VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET points = excluded.points",
                    (attempt.id, row, given, given, before.get(row, now)),
                )

    def points(self, attempt: Attempt) -> dict[str, int]:
        """The points of an attempt that are kept, by row."""
        return dict(self._read("SELECT row, points FROM scores WHERE attempt = ?", attempt.id))

    def rows(self, drills: Sequence[Drill]) -> pd.DataFrame:
        """One line per rubric row of these drills.

        Columns step, drill, row, points (of the newest attempt; NaN: never), at, due.
        """
        kept = self._frame(
            "SELECT drill, row, points, at FROM scores JOIN attempts ON attempt = id ORDER BY attempt, scores.rowid"
        ).drop_duplicates(["drill", "row"], keep="last")
        known = pd.DataFrame(
            [(drill.step, drill.name, row.id) for drill in drills for row in drill.rows],
            columns=["step", "drill", "row"],
        )
        frame = known.merge(kept, on=["drill", "row"], how="left")
        frame["points"] = frame["points"].astype(float)
        frame["at"] = pd.to_datetime(frame["at"])
        wait = frame["points"].map(dict(enumerate(DUE_DAYS))).fillna(0)
        frame["due"] = ~(frame["at"] + pd.to_timedelta(wait, unit="D") > pd.Timestamp(self._now()))
        return frame

    def intervals(self) -> pd.DataFrame:
        """Every interval ever given: drill, name, low, high, truth."""
        return self._frame("SELECT drill, name, low, high, truth FROM intervals JOIN attempts ON attempt = id")

    def table(self, name: str) -> pd.DataFrame:
        """One of `TABLES` as it is stored: what an export writes."""
        return self._frame(f"SELECT * FROM {TABLES[TABLES.index(name)]}")

    def _frame(self, query: str, *values: object) -> pd.DataFrame:
        with self._explained():
            cursor = self._connection.execute(query, values)
            return pd.DataFrame(cursor.fetchall(), columns=[column[0] for column in cursor.description])

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._connection.execute(query, values).fetchall()

    def _now(self) -> str:
        return str(self.clock.now().astype("datetime64[s]"))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Begin at once, so that two writers wait for each other instead of failing half way."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise MlsysError(f"{error.filename} is a file", why="your work is kept in a folder of that name",
                             fix="move the file away, or choose another folder with --folder") from None  # fmt: skip
        except sqlite3.Error as error:
            locked = "locked" in str(error)
            raise MlsysError(
                f"{self.path} cannot be used: {error}",
                why="another notebook or terminal of yours, or a tool that shows databases, is writing there"
                if locked
                else "attempts and points are kept there",
                fix="wait, or close that one, then try again; leave the file where it is"
                if locked
                else "move the file away; a new one is made",
            ) from None


def weakest(rows: pd.DataFrame) -> pd.Series | None:
    """The row to practise next, of `Progress.rows`; None when nothing is due.

    First what was tried and is below 2, the lowest and then the longest ago; then drills of which no row has points;
    then rows that nobody has scored yet; then the rest.
    """
    due = rows[rows["due"]]
    weak = due[due["points"] < 2].sort_values(["points", "at"], kind="stable")
    tried = due["drill"].isin(rows.loc[rows["points"].notna(), "drill"])
    fresh, unheard = due[due["points"].isna() & ~tried], due[due["points"].isna() & tried]
    rest = due[due["points"] >= 2].sort_values(["points", "at"], kind="stable")
    order = pd.concat([weak, fresh, unheard, rest])
    return order.iloc[0] if len(order) else None
