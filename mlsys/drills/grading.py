"""Score an answer: every machine row by its check, every other row by whoever listens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlsys.core import MlsysError
from mlsys.drills.answer import Answer
from mlsys.drills.rubric import RowScore, level
from mlsys.drills.source import Drill, Fact, Row

QUESTIONS = 12
"""An interviewer answers so many clarifying questions; what was told already is told again for free."""

WORDS = 30
"""A question of more words is a speech."""


@dataclass(frozen=True)
class Scorecard:
    """The rows of a drill, scored."""

    drill: str
    seed: int
    rows: tuple[RowScore, ...]

    @property
    def level(self) -> str:
        """E4, E5 or E6 over all rows that have been scored; with a row raised after its reason was read, E5 at most."""
        found = level([row.points for row in self.rows if row.points is not None])
        return "E5" if found == "E6" and self.raised else found

    @property
    def open(self) -> tuple[str, ...]:
        """Rows that a human has yet to score."""
        return tuple(row.row for row in self.rows if row.points is None)

    @property
    def raised(self) -> tuple[str, ...]:
        """Rows that have more points than at their first check."""
        return tuple(row.row for row in self.rows if row.raised)

    @property
    def points(self) -> dict[str, int]:
        """Points by row, of those that have some."""
        return {row.row: row.points for row in self.rows if row.points is not None}


@dataclass(frozen=True)
class Help:
    """What the candidate had: hints by row; rows whose reason was read before, with the points they had then, and the
    points that are kept; whether the reference was shown."""

    hints: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    revealed: bool = False

    def cap(self, row: str) -> tuple[int, str]:
        """The most a row can have now, and why."""
        used = self.hints.get(row, 0)
        if self.revealed:
            return self.kept.get(row, 0), "the reference of this seed was shown; start another seed"
        if used:
            return max(1, 3 - used), f"{used} hint{'s' * (used > 1)} used"
        if row in self.seen and self.seen[row] < 3:
            return 2, "you had read why it was locked"
        return 3, ""


def grade(
    drill: Drill,
    seed: int,
    values: Mapping[str, Any],
    *,
    asked: Iterable[str] = (),
    human: Mapping[str, int] | None = None,
    helped: Help | None = None,
) -> Scorecard:
    """Score parsed `values`. A row whose fields are empty is locked; so is one that only a human can score, until
    `human` has points for it."""
    answer, helped = Answer(values, frozenset(asked)), helped or Help()
    scores = [_score(drill, row, seed, answer, human or {}, helped) for row in drill.rows]
    return Scorecard(drill.name, seed, tuple(scores))


def listen(drill: Drill, question: str) -> Fact | None:
    """The fact that a question is about, or None; raises `MlsysError` when it is no single question."""
    words = re.findall(r"[a-z0-9]+", question.lower())
    if not words and re.search(r"\w", question):
        raise MlsysError("that question has no English word", why="the facts are told to English words",
                         fix="ask in English words, one thing at a time")  # fmt: skip
    if not 2 <= len(words) <= WORDS:
        raise MlsysError(
            f"that question has {len(words)} words",
            why="an interviewer answers one question at a time",
            fix="ask for one thing in 2 to 30 words, as you would say it",
        )
    heard = [(fact, [i for i, word in enumerate(words) if word.startswith(fact.words)]) for fact in drill.facts]
    named = [(fact, places) for fact, places in heard if places]
    if len(named) > 2:
        raise MlsysError(
            "I hear more than one question",
            why="an interviewer answers one at a time, and a list of keywords is none",
            fix="ask for one thing",
        )
    # What is said most is meant, and of two that are said as often, what is said first.
    best = min(named, key=lambda one: (-len(one[1]), one[1][0]), default=None)
    return best[0] if best else None


def _score(drill: Drill, row: Row, seed: int, answer: Answer, human: Mapping[str, int], helped: Help) -> RowScore:
    if not row.check:
        points = human.get(row.id)
        told = f"scored {points}: {row.levels[points]}" if points is not None else "a human scores this row"
        return RowScore(row.id, row.title, points, points, told, human=True)
    empty = [name for name in row.needs if name not in answer.values]
    if empty:
        return RowScore(row.id, row.title, 0, None, f"you left {', '.join(empty)} empty")
    found = drill.evidence(row, answer, seed)
    cap, why = helped.cap(row.id)
    points = min(found.points, max(cap, helped.kept.get(row.id, 0)))  # What was earned before the help stays.
    reason = found.reason + (f" (capped at {points}: {why})" if points < found.points else "")
    raised = row.id in helped.seen and points > helped.seen[row.id]
    return RowScore(row.id, row.title, points, found.points, reason, raised=raised)
