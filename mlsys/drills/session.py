"""One candidate at one drill: prompt, questions, hints, answer file, check. The terminal and the notebook share it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlsys.core import MlsysError, SystemClock
from mlsys.drills.answer import AnswerError, dump, load, parse, replaced
from mlsys.drills.grading import QUESTIONS, Scorecard, grade, listen
from mlsys.drills.progress import Attempt, Progress
from mlsys.drills.proof import score
from mlsys.drills.source import PLACEHOLDER, Drill, Typed, fill, find

DATABASE = "progress.db"
SHOWN = ".shown.json"
NO_FACT = "I have nothing on that. Assume something, and say what."


class Session:
    """An attempt at a drill, with its folder `work/drills/NN_slug/SEED/`: prompt.md, answer.toml, tables as CSV."""

    def __init__(self, drill: Drill, attempt: Attempt, progress: Progress, work: Path) -> None:
        self.drill, self.attempt, self.progress = drill, attempt, progress
        self.folder = work / "drills" / drill.name / str(attempt.seed)
        self.path = self.folder / "answer.toml"

    @classmethod
    def start(cls, name: str, work: Path, *, seed: int | None = None, new: bool = False) -> Session:
        """Go on with the newest attempt; with `new` or another seed, begin a new one."""
        drill, progress = find(name), Progress(work / DATABASE, SystemClock())
        latest = progress.latest(drill.name)
        if latest is None or new or seed not in (None, latest.seed):
            latest = progress.start(drill.name, secrets.randbelow(10**6) if seed is None else _seed(seed))
        session = cls(drill, latest, progress, work)
        session._lay_out()
        return session

    @classmethod
    def resume(cls, name: str, work: Path) -> Session:
        """The newest attempt at a drill; raises `MlsysError` when there is none."""
        drill, progress = find(name), Progress(work / DATABASE, SystemClock())
        latest = progress.latest(drill.name)
        if latest is None:
            raise MlsysError(
                f"{drill.name} has not been started",
                why="the clock, the seed and the answer file begin with the start",
                fix=f"python start.py drill start {drill.name[:2]}",
            )
        return cls(drill, latest, progress, work)

    @property
    def prompt(self) -> str:
        """What the interviewer says, and how to answer."""
        return self._filled(self.drill.prompt).strip()

    @property
    def clock(self) -> str:
        """How much time has gone, against how much there is."""
        gone, limit = self.progress.minutes(self.attempt), self.drill.minutes
        over = f", {_time(gone - limit)} over" if gone > limit else ""
        done = "" if self.attempt.checked is None else ", checked"
        return f"{_time(gone)} of {_time(limit)} minutes{over}{done}"

    def ask(self, question: str) -> str:
        """The interviewer's answer to one clarifying question; it is kept in the transcript."""
        fact = listen(self.drill, question)
        reply = self._filled(fact.text) if fact else NO_FACT
        if not self.drill.facts:  # All is in the prompt: a question costs nothing.
            return reply
        told = [one for _, one in self.progress.said(self.attempt, "ask")]
        if question in [one for one, _ in self.progress.said(self.attempt, "ask")] or (fact and reply in told):
            return reply
        if len(told) >= QUESTIONS:
            raise MlsysError(
                f"you have asked {QUESTIONS} questions",
                why="an interviewer moves on",
                fix="assume the rest, and say so",
            )
        self.progress.say(self.attempt, "ask", question, reply)
        if fact:
            self.progress.say(self.attempt, "fact", fact.id, question)
        return reply

    @property
    def questions_left(self) -> int:
        """How many more the interviewer answers."""
        return QUESTIONS - len(self.progress.said(self.attempt, "ask"))

    def asked(self) -> list[str]:
        """Ids of the facts that questions have released."""
        return sorted({fact for fact, _ in self.progress.said(self.attempt, "fact")})

    def hint(self, row: str) -> str:
        """The next hint for a row; it caps the row."""
        texts = self.drill.hints.get(row, ())
        if row not in [one.id for one in self.drill.rows]:
            raise MlsysError(f"there is no row {row!r}", why=f"rows are {', '.join(one.id for one in self.drill.rows)}",
                             fix="choose one of these")  # fmt: skip
        used = self.progress.helped(self.attempt).hints.get(row, 0)
        if used >= len(texts):
            raise MlsysError(
                f"the row {row!r} has {'no more hints' if used else 'no hints'}",
                why=f"rows with hints: {', '.join(f'{name} ({len(t)})' for name, t in self.drill.hints.items())}",
                fix="answer as well as you can; `check` says why a row is locked",
            )
        text = self._filled(texts[used])
        self.progress.say(self.attempt, "hint", row, text)
        return text

    def answer(self) -> dict[str, Any]:
        """What stands in the answer file, validated."""
        text = self._text()
        with _named(self.path.name):
            return parse(text, self.drill.fields)

    def _text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise AnswerError(f"there is no {self.path.name} yet", why="it holds your answer",
                              fix=f"python start.py drill start {self.drill.name[:2]}") from None  # fmt: skip
        except UnicodeDecodeError as error:
            raise AnswerError(f"{self.path.name} is not UTF-8: {error.reason} at byte {error.start}",
                              why="the answer is text", fix="save it as UTF-8") from None  # fmt: skip

    def raw(self) -> dict[str, Any]:
        """What stands in the answer file, field by field, as TOML gives it; raises `AnswerError` if it is no TOML."""
        text = self._text() if self.path.exists() else ""
        with _named(self.path.name):
            return load(text)

    def save(self, text: str, *, before: bool = True) -> dict[str, Any]:
        """Put answer text into the file, if it can be read; returns the values of the whole file.

        Fields that the text does not name, or leaves empty, stay as they are, and so do the file's comments. With
        `before`, what was there stays in answer.toml.before.
        """
        with _named("what you typed"):
            parse(text, self.drill.fields)
        old = self._text() if self.path.exists() else self.drill.template(self.attempt.seed)
        with _named(self.path.name):
            there = load(old)
        changed = {name: value for name, value in load(text).items() if value != there.get(name) and not _empty(value)}
        if changed:
            new = replaced(old, changed)
            if before:
                _write(self.path.with_name("answer.toml.before"), old)
            _write(self.path, new)
        return self.answer()

    def check(self) -> Scorecard:
        """Score the answer file and keep the points. What is empty, or cannot be read, is an error and not scored."""
        values = self.answer()
        if not values:
            raise AnswerError(
                "nothing is answered yet",
                why="the first check counts, so an empty answer is not scored",
                fix=f"fill in {self.path.name}, or run the answer cell",
            )
        heard = {row.id for row in self.drill.rows if not row.check}
        human = {row: points for row, points in self.progress.points(self.attempt).items() if row in heard}
        helped = self.progress.helped(self.attempt)
        card = grade(self.drill, self.attempt.seed, values, asked=self.asked(), human=human, helped=helped)
        truths = self.drill.truths(self.attempt.seed)
        intervals = {name: (*values[name], truths[name]) for name in truths if name in values}
        self.progress.keep(self.attempt, card, intervals)
        self.attempt = self.progress.attempts("WHERE id = ?", self.attempt.id)[0]
        return card

    def score(self, points: Mapping[str, int]) -> None:
        """Keep the points that a human gives: rows without a check, 0 to 3."""
        human = [row.id for row in self.drill.rows if not row.check]
        for row, given in points.items():
            if row not in human or given not in range(4):
                raise MlsysError(
                    f"{row}={given} cannot be given" if row in human else f"{row} is no row that a human scores",
                    why=f"a human scores {', '.join(human) or 'no row of this drill'}, with 0, 1, 2 or 3; "
                    "machine rows are earned by evidence",
                    fix=f"{human[0]}=2" if human else "leave it to check",
                )
        for row, given in points.items():
            self.progress.say(self.attempt, "score", row, str(given))
        self.progress.give(self.attempt, points)

    def reference(self) -> str:
        """The reference of this seed, as text. Once seen, this seed earns no more points."""
        typed: Typed = self.drill.answers().reference(self.drill.variant(self.attempt.seed))
        self.progress.say(self.attempt, "show", "reference", "")
        return typed_text(typed)

    def samples(self) -> str:
        """Answers at E4, E5 and E6, each below its points by row. Once seen, this seed earns no more points."""
        if not self.drill.sampled:
            raise MlsysError(f"{self.drill.name} has no samples", why="they are there for longer answers",
                             fix=f"python start.py drill show {self.drill.name[:2]} --reference")  # fmt: skip
        seed, parts = self.attempt.seed, []
        samples: Mapping[str, Typed] = self.drill.answers().samples(self.drill.variant(seed))
        for name, typed in samples.items():
            points = " ".join(f"{row}={found}" for row, found in score(self.drill, seed, typed).points.items())
            parts.append(f"# {name}: {points}\n{typed_text(typed)}")
        self.progress.say(self.attempt, "show", "samples", "")
        return "\n".join(parts)

    def _filled(self, text: str) -> str:
        """Text with this seed's values. They are read from where the start wrote them: asking must not take seconds."""
        try:
            shown = json.loads((self.folder / SHOWN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shown = self.drill.variant(self.attempt.seed).shown
        try:
            return fill(text, shown, self.drill.name)
        except MlsysError:  # A fact's or a hint's own number: not in the candidate's folder.
            return fill(text, self.drill.variant(self.attempt.seed).shown, self.drill.name)

    def _lay_out(self) -> None:
        variant = self.drill.variant(self.attempt.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        named = {name for name, _ in PLACEHOLDER.findall(self.drill.prompt)}
        used = {name: value for name, value in variant.shown.items() if name in named}
        _write(self.folder / SHOWN, json.dumps(used, default=lambda value: value.item()))
        _write(self.folder / "prompt.md", self.prompt + "\n")
        for name, table in variant.tables.items():
            _write(self.folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        if not self.path.exists():
            _write(self.path, self.drill.template(self.attempt.seed))


def typed_text(typed: Typed) -> str:
    """A typed answer as the file somebody would have written, its questions as comments."""
    asked = "".join(f"# asked: {question}\n" for question in typed.questions)
    human = "".join(f"# a human gave {row}: {points}\n" for row, points in typed.human.items())
    return asked + dump(typed.values) + human


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors of an answer say where its lines are counted."""
    try:
        yield
    except AnswerError as error:
        raise AnswerError(f"{where}, {error.what}", why=error.why, fix=error.fix) from None


def _seed(seed: int) -> int:
    if not 0 <= seed < 2**63:
        raise MlsysError(f"seed {seed}", why="a seed is 0 or more, and below 2^63", fix="leave it out, or --seed 7")
    return seed


def _empty(value: Any) -> bool:
    return value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def _write(path: Path, text: str) -> None:
    """In one step, so that a crash leaves the old file. A notebook and a terminal may write at once."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    for wait in (0.05, 0.2, 1.0):
        try:
            part.replace(path)
            return
        except PermissionError:  # On Windows, while somebody reads the file.
            time.sleep(wait)
    part.unlink()
    raise MlsysError(f"{path.name} cannot be written", why="another program holds it open, or the folder is read-only",
                     fix="close it there, then save again")  # fmt: skip


def _time(minutes: float) -> str:
    return f"{int(minutes)}:{int(minutes * 60) % 60:02d}"
