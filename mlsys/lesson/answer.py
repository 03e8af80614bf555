"""The whole interview answer, filled in from what the committed notebooks measured and proved.

`read` takes one built notebook apart, `compose` fills the texts of `answer_text` and `answer_cards`, `markdown` and
`card` write them down; the printable pages are in `answer_html`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsys.analysis.architecture import STEPS
from mlsys.lesson import CLAIM_MIME, RESULT_MIME
from mlsys.lesson.answer_cards import CARDS, Quote
from mlsys.lesson.answer_text import PLANS, Claim, Plan
from mlsys.lesson.build import PLACEHOLDER, fill
from mlsys.lesson.run import Cell, NotebookError

HEADING = re.compile(r"^## (?:(?P<number>\d+)\. )?(?P<title>[^:\n]+)", re.MULTILINE)
SEED = re.compile(r"^SEED = (\d+)", re.MULTILINE)
BOUND = re.compile(rf"{PLACEHOLDER.pattern}%?")
OPEN, CLOSE = "\x02", "\x03"
"""Stand around every number that came from a run, until a page or a text says how it looks."""
MARKED = re.compile(f"{OPEN}(.*?){CLOSE}")
WIDTH = 96


@dataclass(frozen=True)
class Notebook:
    """What one built notebook holds: values by name, the sections of names and of proved claims, its identity."""

    name: str
    seed: str
    digest: str
    values: dict[str, Any]
    emitted: dict[str, str]
    proved: dict[str, str]

    @property
    def identity(self) -> str:
        """Seed and the first 8 hex digits of the file's SHA-256: the same bytes, the same identity."""
        return f"seed {self.seed}, {self.digest}"


@dataclass(frozen=True)
class Point:
    """One claim as it is said, with the notebook and section that prove it."""

    say: str
    source: str
    e5: str
    e6: str
    then: str


@dataclass(frozen=True)
class Step:
    """One step of the answer; `quotes` are the lines of its card: number, what it is, notebook and section."""

    number: int
    name: str
    minutes: int
    opening: str
    points: tuple[Point, ...]
    quotes: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Answer:
    """The seven steps, and the notebooks that they quote."""

    steps: tuple[Step, ...]
    notebooks: tuple[Notebook, ...]


def read(path: Path) -> Notebook:
    """Take a built notebook apart; raises `NotebookError` when it is missing or holds no results."""
    build = f"python start.py notebook build {path.name[:2]}"
    why = "every number of the answer is read from the outputs of a built notebook"
    try:
        content = path.read_bytes()
        cells = json.loads(content)["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotebookError(f"{path.name} cannot be read ({type(error).__name__})", why=why, fix=build) from None
    values: dict[str, Any] = {}
    emitted: dict[str, str] = {}
    proved: dict[str, str] = {}
    section, seed = "", "?"
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for heading in HEADING.finditer(source):
                section = f"§{heading['number']}" if heading["number"] else heading["title"].strip()
        elif "parameters" in cell["metadata"].get("tags", []) and (found := SEED.search(source)):
            seed = found[1]
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            values |= data.get(RESULT_MIME, {})
            emitted |= dict.fromkeys(data.get(RESULT_MIME, {}), section)
            if CLAIM_MIME in data:
                proved[data[CLAIM_MIME]["claim"]] = section
    if not values:
        raise NotebookError(f"{path.name} has no results in it", why=why, fix=build)
    return Notebook(path.name, seed, hashlib.sha256(content).hexdigest()[:8], values, emitted, proved)


def compose(folder: Path, plans: Sequence[Plan] = PLANS, cards: Sequence[Sequence[Quote]] = CARDS) -> Answer:
    """The answer, from the built notebooks in `folder`.

    Raises `NotebookError` when one of them is missing, does not emit a number, or does not prove a claim.
    """
    claimed = {claim.notebook for plan in plans for claim in plan.claims}
    quoted = {quote.notebook for card in cards for quote in card}
    found = {number: _read_number(folder, number) for number in sorted(claimed | quoted)}
    steps = tuple(
        Step(
            step.number,
            step.name,
            plan.minutes,
            plan.opening,
            tuple(_point(found[c.notebook], c, f"step {step.number}, claim {i}") for i, c in enumerate(plan.claims, 1)),
            tuple(_quote(found[q.notebook], q, f"card {step.number}, line {i}") for i, q in enumerate(quotes, 1)),
        )
        for step, plan, quotes in zip(STEPS, plans, cards, strict=True)
    )
    return Answer(steps, tuple(found.values()))


def _read_number(folder: Path, number: str) -> Notebook:
    paths = sorted(folder.glob(f"{number}_*.ipynb"))
    return read(paths[0] if paths else folder / f"{number}_*.ipynb")


def _point(notebook: Notebook, claim: Claim, where: str) -> Point:
    if claim.proof not in notebook.proved:
        close = difflib.get_close_matches(claim.proof, notebook.proved, n=1, cutoff=0)
        raise NotebookError(
            f"the answer, {where}: {notebook.name} does not prove {claim.proof!r}",
            why="every claim of the answer rests on a claim(...) of the notebook that it names",
            fix=f"did you mean {close[0]!r}?" if close else f"python start.py notebook build {notebook.name[:2]}",
        )
    source = f"{notebook.name[:2]} {notebook.proved[claim.proof]}"
    say, e5, e6, then = (_filled(notebook, text, where) for text in (claim.say, claim.e5, claim.e6, claim.then))
    return Point(say, source, e5, e6, then)


def _quote(notebook: Notebook, quote: Quote, where: str) -> tuple[str, str, str]:
    names = [match["name"] for match in PLACEHOLDER.finditer(quote.number)]
    number, what = _filled(notebook, quote.number, where), _filled(notebook, quote.what, where)
    return number, what, f"{notebook.name[:2]} {notebook.emitted[names[0]]}"


def _filled(notebook: Notebook, text: str, where: str) -> str:
    """The text with its numbers, each between `OPEN` and `CLOSE`, minus signs as they are printed."""
    marked = BOUND.sub(lambda match: f"{OPEN}{match[0]}{CLOSE}", text)
    try:
        done = fill(Path(notebook.name), Cell("markdown", marked, 1), notebook.values)
    except NotebookError as error:
        _, _, what = error.what.partition(": ")
        raise NotebookError(f"the answer, {where}, {notebook.name}: {what}", why=error.why, fix=error.fix) from None
    return MARKED.sub(lambda match: f"{OPEN}{match[1].replace('-', '−')}{CLOSE}", done)


def plain(text: str) -> str:
    """A filled text without the marks around its numbers."""
    return MARKED.sub(r"\1", text)


def markdown(answer: Answer) -> str:
    """The answer as Markdown: per step an opening, then claims with their two levels and the next question."""
    lines = ["# The 45-minute answer: ranking a feed", ""]
    lines += ["Every number is from a run. `05 §2` is notebook 05, section 2, where a cell proves the claim.", ""]
    clock = 0
    for step in answer.steps:
        lines += [
            f"## {step.number} · {step.name} (minutes {clock} to {clock + step.minutes})",
            "",
            f"> “{step.opening}”",
            "",
        ]
        clock += step.minutes
        for i, point in enumerate(step.points, 1):
            lines += [f"{i}. {_bold(point.say)} ({point.source})", f"   - **E5** {_bold(point.e5)}"]
            lines += [f"   - **E6** {_bold(point.e6)}", f"   - *Then:* “{point.then}”"]
        lines += ["", "| Number | What | Run |", "|---|---|---|"]
        lines += [f"| {_bold(number)} | {_bold(what)} | {source} |" for number, what, source in step.quotes]
        lines.append("")
    lines += ["## The notebooks", ""]
    lines += [f"- {notebook.name} ({notebook.identity})" for notebook in answer.notebooks]
    return "\n".join(lines) + "\n"


def _bold(text: str) -> str:
    return MARKED.sub(r"**\1**", text)


def card(step: Step) -> str:
    """One card as plain text for a terminal: the opening, and the numbers to quote with their source."""
    head = f"{step.number} · {step.name}   {step.minutes} minutes"
    lines = [head, *textwrap.wrap(f"“{step.opening}”", WIDTH, initial_indent="  ", subsequent_indent="  "), ""]
    rows = [(plain(number), plain(what), source) for number, what, source in step.quotes]
    left, middle = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines += [f"  {number:>{left}}   {what:<{middle}}   {source}" for number, what, source in rows]
    return "\n".join(lines)
