"""A drill in a notebook: `drill = start("03")`, questions, an answer cell, `drill.check()`.

An answer cell starts with %%answer and holds the same text as the terminal's answer.toml; running it saves it there.
So a drill can be begun in one place and ended in the other.
"""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display

from mlsys.analysis import practice, whiteboard
from mlsys.analysis.reference import Table, table
from mlsys.analysis.style import HouseFigure, png
from mlsys.core import MlsysError, SystemClock
from mlsys.drills import Drill, drills
from mlsys.drills.answer import dump, template
from mlsys.drills.graph import Graph
from mlsys.drills.progress import Progress
from mlsys.drills.report import card_text, drill_text, rubric_text
from mlsys.drills.session import DATABASE, Session
from mlsys.lesson import show_widget
from mlsys.lesson.build import to_bytes
from mlsys.lesson.run import Cell, assemble

WORK_VARIABLE = "MLSYS_WORK"
"""`mlsys lab` sets this environment variable to the folder that holds your work."""

WORK = Path(__file__).resolve().parents[2] / "work"

_current: list[LessonDrill] = []


def start(name: str, *, seed: int | None = None, new: bool = False) -> LessonDrill:
    """Start a drill and show its prompt, or go on with the one you started; see `mlsys drill start --help`."""
    session = Session.start(name, work(), seed=seed, new=new)
    drill = LessonDrill(session)
    _current[:] = [drill]
    data = "".join(f"\n\n`drill.tables[{name!r}]`: {len(frame):,} rows" for name, frame in drill.tables.items())
    text = f"**{drill_text(session.drill)} · seed {session.attempt.seed}**\n\n{session.prompt}{data}"
    display(Markdown(f"{text}\n\nClock: {session.clock}"))  # type: ignore[no-untyped-call]
    return drill


class LessonDrill:
    """The drill that you started: what its cells call."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.tables = dict(session.drill.variant(session.attempt.seed).tables)

    def ask(self, question: str) -> None:
        """Put one clarifying question, as you would say it."""
        print(f"{self._session.ask(question)}   [{self._session.questions_left} more questions]")

    def hint(self, row: str) -> None:
        """A hint for a row; it caps the row at 2, a second one at 1."""
        print(self._session.hint(row))

    def rubric(self) -> None:
        """What 0 to 3 points mean, row by row."""
        print(rubric_text(self._session.drill))

    def check(self) -> None:
        """Score what the answer cell saved: points, reasons, follow-ups. The first check counts."""
        card = self._session.check()
        print(f"{self._session.clock}\n\n{card_text(self._session.drill, card, self._session.attempt.seed)}")
        if card.open:
            print(f"\nListen to yourself, then: drill.score({card.open[0]}=2); drill.check()")

    def score(self, **points: int) -> None:
        """Points for the rows that only a human can score."""
        self._session.score(points)
        print("kept: " + ", ".join(f"{row} {given}" for row, given in points.items()))

    def reference(self) -> None:
        """The reference answer of your seed; after that this seed earns no more points."""
        print(self._session.reference())

    def samples(self) -> None:
        """Answers at E4, E5 and E6; after that this seed earns no more points."""
        print(self._session.samples())

    def board(self) -> None:
        """A text box whose arrows are drawn while you type; what can be read is saved at once."""
        session = self._session
        fields = [one for one in session.drill.fields if one.kind == "graph"]
        if not fields:
            raise MlsysError(f"{session.drill.name} has no board", why="it asks for no drawing",
                             fix="answer in the %%answer cell")  # fmt: skip
        field = fields[0]
        text = str(session.raw().get(field.name, ""))
        box = ipywidgets.Textarea(
            value=text, rows=14, layout={"width": "760px"}, placeholder="one arrow a line: a -> b"
        )
        picture, note = ipywidgets.Image(format="png", width=760), ipywidgets.HTML()
        for part, name in ((box, "text"), (picture, "picture"), (note, "note")):
            part.add_class(f"mlsys-board-{name}")

        def draw(told: str = "") -> None:
            try:
                graph = Graph.parse(box.value)
            except ValueError as error:
                note.value = html.escape(f"not saved: write {error}")
                return
            picture.value = png(whiteboard.draw(graph))
            note.value = html.escape(f"{len(graph.boxes)} boxes, {len(graph.arrows)} arrows{told}")

        saved: list[bool] = []  # What was there before is kept once, not at every key.

        def typed(_: Any) -> None:
            told = ", saved" if box.value.strip() else ""
            try:
                session.save(dump({field.name: box.value}), before=not saved)
                saved.extend([True] * bool(told))
            except MlsysError as error:
                told = f", not saved: {error.what}"
            draw(told)

        draw()
        box.observe(typed, names="value")
        still = text.strip() or "No arrows yet. Without widgets, draw in the answer cell."
        show_widget(ipywidgets.VBox([box, note, picture]), still)

    def stopwatch(self, minutes: float = 2.0) -> None:
        """A clock for what is spoken; it runs in the browser. Its value is in seconds."""
        most = round(60 * minutes * 2)
        play = ipywidgets.Play(min=0, max=most, interval=1000, value=0)
        bar = ipywidgets.IntProgress(min=0, max=most, layout={"width": "24em"})
        seconds = ipywidgets.IntText(description="seconds", layout={"width": "12em"})
        for other in (bar, seconds):
            ipywidgets.jslink((play, "value"), (other, "value"))
        text = f"Speak for {minutes:g} minutes: play, and stop when you are done."
        show_widget(ipywidgets.VBox([ipywidgets.HTML(text), ipywidgets.HBox([play, bar, seconds])]), text)


def progress() -> HouseFigure:
    """Steps and rows, and what is due."""
    return practice.heatmap(_progress().rows(drills()))


def calibration() -> HouseFigure:
    """How often your intervals hold the truth."""
    return practice.calibration_plot(_progress().intervals())


def catalogue() -> Table:
    """Every drill, as a table."""
    rows = [(d.name, d.title, d.step or "all", d.kind, d.level, f"{d.minutes:g}") for d in drills()]
    return table(pd.DataFrame(rows, columns=["drill", "title", "step", "kind", "level", "minutes"]))


def notebook(drill: Drill) -> bytes:
    """The candidate's notebook for a drill: the same bytes every time. It holds no variant: `start` shows one."""
    number = drill.name[:2]
    board = [one for one in drill.fields if one.kind == "graph"]
    answer = template([one for one in drill.fields if one not in board], drill.title)
    cells = [
        _text(f"# {drill.title}\n\n{drill_text(drill)}\n\nThe clock starts with the next cell."),
        _code(f'from mlsys.lesson.drill import start\n\ndrill = start("{number}")'),
    ]
    if drill.facts:
        cells += [_text("Ask what you need to know, one thing at a time. Some of it comes only if asked for."),
                  _code('# drill.ask("How high is the peak over the mean?")')]  # fmt: skip
    if drill.kind == "spoken":
        cells.append(_code("drill.stopwatch()"))
    if board:
        cells += [_text("Draw: one arrow a line. What can be read is saved at once."), _code("drill.board()")]
    cells += [
        _text("Your answer. Run the cell to save it; what is left empty locks the rows that need it."),
        _code(f"%%answer\n{answer}".rstrip()),
        _text("The first check counts. `drill.rubric()` says what earns points; `drill.hint(row)` helps and caps the "
              f"row. Afterwards: `drill.reference()`, {'`drill.samples()`, ' if drill.sampled else ''}and another "
              "seed: `start(..., new=True)`."),
        _code("drill.check()"),
    ]  # fmt: skip
    return to_bytes(assemble(cells))


def work() -> Path:
    """The folder that holds your work."""
    return Path(os.environ.get(WORK_VARIABLE) or WORK)


def _text(source: str) -> Cell:
    return Cell("markdown", source, line=0)


def _code(source: str) -> Cell:
    return Cell("code", source, line=0)


def _answer(line: str, cell: str) -> None:
    """The %%answer cell: save its text, if it can be read."""
    if not _current:
        raise MlsysError("no drill is started", why="an answer belongs to a drill and its seed",
                         fix='run the cell with start("NN") first')  # fmt: skip
    session = _current[0]._session
    values = session.save(f"\n{cell}")  # the magic is line 1: so the lines of an error are the cell's
    names = [one.name for one in session.drill.fields]
    empty = [name for name in names if name not in values]
    print(f"saved: {len(values)} of {len(names)} fields" + (f"; still empty: {', '.join(empty)}" if empty else ""))
    for value in values.values():
        if isinstance(value, Graph):
            display(whiteboard.draw(value))  # type: ignore[no-untyped-call]


def _progress() -> Progress:
    return Progress(work() / DATABASE, SystemClock())


if (_shell := get_ipython()) is not None:
    _shell.register_magic_function(_answer, "cell", "answer")
