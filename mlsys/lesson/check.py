"""Check that a notebook teaches the way every notebook here does: structure, style, bound numbers, freshness.

`check` returns all problems at once. It reads the source and the built notebook and runs nothing.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from mlsys.lesson import RESULT_MIME
from mlsys.lesson.build import NOT_COMPARED, PLACEHOLDER, fill, from_bytes
from mlsys.lesson.run import Cell, NotebookError, read_source, results

SECTIONS, CELL_LINES, LINE_LENGTH, COMPARED = 3, 12, 110, 0.8
ONCE = ("explorer", "tradeoffs", "contrast", "card", "hood")
HEADINGS = ("## Commonly answered wrong", "## Drills")
STEPS = ("**Interviewer:**", "predict(", "naive.", "reveal(", "claim(", "**What an interviewer hears**")

UNIT = (
    r"(?:ms|[nµμu]?s|[kKMGTP]?B|rows?|events?|users?|posts?|items?|impressions?|sessions?|candidates?|QPS|x|K|k|M"
    r"|times|thousand|million|billion|bytes?|requests?|(?:milli|micro)?seconds?|minutes?|hours?|days?|weeks?)"
)
NUMBER = re.compile(
    r"(?<![\w.])(?:\d*\.\d+|\d[\d,]*\s*(?:%|per ?cent\b|×)"
    rf"|\d[\d,]*[⁰¹²³⁴-⁹]*[ -]?{UNIT}\b|\d{{1,3}}(?:,\d{{3}})+)"
)
NOT_PROSE = re.compile(rf"```.*?```|`[^`\n]*`|<!--.*?-->|https?://[^\s)]+|\]\([^)]*\)|{PLACEHOLDER.pattern}", re.DOTALL)
FACT = re.compile(r"<!--\s*fact:\s*\S.*?-->")


@dataclass(frozen=True)
class Problem:
    """One thing to mend: where, what is wrong, what to do."""

    file: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}\n  do:  {self.fix}"


@dataclass
class _Lesson:
    """A source, its syntax trees and the outputs of its built cells; cells share one index."""

    file: str
    cells: list[Cell]
    trees: list[ast.Module]
    outputs: list[list[Any]]
    problems: list[Problem] = field(default_factory=list)

    def report(self, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(self.file, line, message, fix))

    def calls(self, index: int) -> Iterator[tuple[str, ast.Call]]:
        for node in ast.walk(self.trees[index]):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                yield (node.func.id if isinstance(node.func, ast.Name) else node.func.attr), node

    def has_figure(self, index: int) -> bool:
        return any("image/png" in output.get("data", {}) for output in self.outputs[index])


def check(source: Path, notebook: Path) -> list[Problem]:
    """All problems of one notebook, by line of its source; an empty list when there are none."""
    try:
        cells = read_source(source)
    except NotebookError as error:
        return [Problem(source.name, 1, error.what, error.fix)]
    lesson = _Lesson(source.name, cells, [], [[] for _ in cells])
    lesson.trees = [_parse(lesson, cell) for cell in cells]
    _built(lesson, source, notebook)
    for rule in (_header, _parameters, _sections, _once, _style, _numbers, _pairs, _compared):
        rule(lesson)
    return sorted(lesson.problems, key=lambda problem: problem.line)


def compared(cells: list[Cell]) -> tuple[int, int]:
    """How many code cells nbval compares, and how many there are."""
    code = [cell for cell in cells if cell.kind == "code"]
    return sum(not NOT_COMPARED & set(cell.tags) for cell in code), len(code)


def _parse(lesson: _Lesson, cell: Cell) -> ast.Module:
    try:
        return ast.parse(cell.source if cell.kind == "code" else "")
    except SyntaxError as error:
        magic = re.search(r"^\s*[%!?]|\?$", cell.source, re.MULTILINE)
        message = "a magic or shell line" if magic else f"not Python: {error.msg}"
        line = cell.line + (error.lineno or 1) - 1
        lesson.report(line, message, "call a function of mlsys instead" if magic else "mend the cell")
        return ast.Module([], [])


def _built(lesson: _Lesson, source: Path, path: Path) -> None:
    rebuild = f"mlsys notebook build {source.stem[:2]}"
    try:
        notebook = from_bytes(path.read_bytes())
    except Exception as error:  # missing, not JSON, not a notebook: the same answer
        lesson.report(1, f"{path.name} cannot be read ({type(error).__name__})", rebuild)
        return
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        lesson.report(1, f"the kernel of {path.name} is not python3", rebuild)
    values, expected = results(notebook), []
    for cell in lesson.cells:
        try:
            expected.append(fill(source, cell, values) if cell.kind == "markdown" else cell.source)
        except NotebookError as error:
            lesson.report(cell.line, error.what, error.fix)
            expected.append(cell.source)
    if len(notebook.cells) != len(expected):
        lesson.report(1, f"{path.name} has {len(notebook.cells)} cells, its source {len(expected)}", rebuild)
        return
    names: Counter[str] = Counter()
    count = 0
    for index, (cell, built) in enumerate(zip(lesson.cells, notebook.cells, strict=True)):
        if built.source != expected[index] or built.cell_type != cell.kind:
            lesson.report(cell.line, f"cell {index + 1} of {path.name} is not this one", rebuild)
        if built.cell_type != "code":
            continue
        count += 1
        if built.execution_count != count:
            lesson.report(cell.line, f"executed as {built.execution_count}, not as {count}", rebuild)
        lesson.outputs[index] = built.outputs
        for output in built.outputs:
            names.update(list(output.get("data", {}).get(RESULT_MIME, {})))
            if output.output_type == "error":
                lesson.report(cell.line, f"it fails: {output.ename}", "mend it, or catch and print the error")
            if output.get("name") == "stderr":
                lesson.report(cell.line, "it writes to stderr", "mend the cause of the warning")
    for name in (name for name, times in names.items() if times > 1):
        lesson.report(1, f"result {name!r} is emitted twice", "give each number one name")


def _header(lesson: _Lesson) -> None:
    first = lesson.cells[0] if lesson.cells else Cell("code", "", 1)
    number = lesson.file[:2]
    if first.kind != "markdown" or not first.source.startswith(f"# {number} · "):
        lesson.report(first.line, "the title is missing", f"start with a markdown cell: # {number} · Title")
    _, _, after = first.source.partition("**Objectives**\n")
    listed = takewhile(lambda line: not line or line[:2] in ("- ", "* ", "  "), after.splitlines())
    count = sum(line[:2] in ("- ", "* ") for line in listed)
    if not 3 <= count <= 5:
        lesson.report(first.line, f"{count} objectives", "a line **Objectives**, then 3 to 5 bullets")
    for label, pattern in (("Time", r"\*\*Time:\*\* \d+ minutes"), ("Level", r"\*\*Level:\*\* \S")):
        if not re.search(pattern, first.source):
            lesson.report(first.line, f"no {label.lower()} in the first cell", f"add **{label}:** ...")


def _parameters(lesson: _Lesson) -> None:
    tagged = [i for i, cell in enumerate(lesson.cells) if "parameters" in cell.tags and cell.kind == "code"]
    if len(tagged) != 1:
        lesson.report(1, f"{len(tagged)} cells tagged parameters", "have exactly one")
        return
    cell, tree = lesson.cells[tagged[0]], lesson.trees[tagged[0]]
    for before in lesson.trees[: tagged[0]]:
        if any(not isinstance(line, ast.Import | ast.ImportFrom) for line in before.body):
            lesson.report(cell.line, "code stands before the parameters", "move all but imports below")
    for statement in tree.body:
        if not _is_parameter(statement):
            line = cell.line + statement.lineno - 1
            lesson.report(line, "not a parameter", "write NAME = literal: upper case, a plain value")


def _is_parameter(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            return False
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return name.isupper()


def _sections(lesson: _Lesson) -> None:
    starts = [i for i, c in enumerate(lesson.cells) if c.kind == "markdown" and c.source.startswith("## ")]
    naive = _naive_names(lesson)
    full = 0
    for start, end in zip(starts, [*starts[1:], len(lesson.cells)], strict=True):
        marks = [mark for index in range(start, end) for mark in _marks(lesson, index, naive)]
        names = {name for _, name in marks}
        if "predict(" not in names:
            continue
        full += 1
        line, title = lesson.cells[start].line, lesson.cells[start].source.splitlines()[0]
        reached = (-1, 0, 0)
        for step in STEPS:
            later = [at for at, name in marks if name == step and at > reached]
            if not later:
                why = "out of order" if step in names else "missing"
                lesson.report(line, f"{title!r}: {step} is {why}", f"a section has, in order: {', '.join(STEPS)}")
                break
            reached = min(later)
        if "result(" not in names or not any(lesson.has_figure(index) for index in range(start, end)):
            lesson.report(line, f"{title!r}: no figure with its numbers", "draw one and emit result(...)")
    if full < SECTIONS:
        lesson.report(1, f"{full} full sections, with a predict(...)", f"have at least {SECTIONS}")


def _naive_names(lesson: _Lesson) -> set[str]:
    names = {"naive"}
    for tree in lesson.trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "mlsys.naive":
                names |= {alias.asname or alias.name for alias in node.names}
    return names


def _marks(lesson: _Lesson, index: int, naive: set[str]) -> Iterator[tuple[tuple[int, int, int], str]]:
    """Which parts of a section a cell holds, and where: (cell, line, column)."""
    cell = lesson.cells[index]
    if cell.kind == "markdown":
        for part in (STEPS[0], STEPS[-1]):
            at = cell.source.find(part)
            if at >= 0 and (part != STEPS[-1] or {"E5", "E6"} <= set(re.findall(r"E\d", cell.source[at:]))):
                yield (index, cell.source.count("\n", 0, at) + 1, 0), part
        return
    for name, node in lesson.calls(index):
        yield (index, node.lineno, node.col_offset), f"{name}("
    for use in ast.walk(lesson.trees[index]):
        if isinstance(use, ast.Name) and use.id in naive:
            yield (index, use.lineno, use.col_offset), "naive."


def _once(lesson: _Lesson) -> None:
    for tag in ONCE:
        found = [i for i, cell in enumerate(lesson.cells) if tag in cell.tags]
        if len(found) != 1:
            lesson.report(1, f"{len(found)} cells tagged {tag}", "have exactly one")
        elif tag == "explorer":
            code = [i for i in range(found[0], len(lesson.cells)) if lesson.cells[i].kind == "code"]
            if not any(lesson.has_figure(index) for index in code[:2]):
                line = lesson.cells[found[0]].line
                lesson.report(line, "no static figure beside the explorer", "draw it there or in the next cell")
    titles = [line for c in lesson.cells if c.kind == "markdown" for line in c.source.splitlines()]
    for heading in HEADINGS:
        if titles.count(heading) != 1:
            lesson.report(1, f"{titles.count(heading)} headings {heading!r}", "have exactly one")


def _style(lesson: _Lesson) -> None:
    for cell, tree in zip(lesson.cells, lesson.trees, strict=True):
        lines = cell.source.splitlines()
        if cell.kind != "code":
            continue
        for number, line in enumerate(lines, cell.line):
            if len(line) > LINE_LENGTH:
                lesson.report(number, f"{len(line)} characters in a line", f"at most {LINE_LENGTH}")
        full = sum(bool(line.strip()) for line in lines)
        if full > CELL_LINES:
            lesson.report(cell.line, f"{full} lines in a cell", f"at most {CELL_LINES}: split it or use mlsys")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                where = cell.line + node.lineno - 1
                lesson.report(where, "a definition in a notebook", "move it into mlsys and call it")


def _numbers(lesson: _Lesson) -> None:
    """Prose quotes runs: a decimal, a percentage or a number with a unit comes from `result(...)`."""
    for index, cell in enumerate(lesson.cells):
        if cell.kind != "markdown":
            continue
        text = NOT_PROSE.sub(lambda match: "\n" * match[0].count("\n"), cell.source)
        lines = zip(text.split("\n"), cell.source.split("\n"), strict=True)
        for number, (line, original) in enumerate(lines, cell.line):
            if FACT.search(original) or (index == 0 and "**Time:**" in original):
                continue
            for match in NUMBER.finditer(line):
                fix = "use {{name}} of a result(...); for a quoted constant add <!--fact: source--> to the line"
                lesson.report(number, f"{match[0].strip()!r} in the prose is bound to no run", fix)


def _pairs(lesson: _Lesson) -> None:
    asked: dict[str, list[tuple[str, int]]] = {"predict": [], "reveal": []}
    for index, cell in enumerate(lesson.cells):
        for name, node in lesson.calls(index):
            if name in asked and node.args and isinstance(node.args[0], ast.Constant):
                asked[name].append((str(node.args[0].value), cell.line + node.lineno - 1))
    for one, other in (("predict", "reveal"), ("reveal", "predict")):
        partners = Counter(name for name, _ in asked[other])
        for name, line in asked[one]:
            if partners[name] != 1:
                lesson.report(line, f"{one}({name!r}) has {partners[name]} {other}()", "pair them one to one")


def _compared(lesson: _Lesson) -> None:
    same, total = compared(lesson.cells)
    if same < COMPARED * total:
        lesson.report(1, f"nbval compares {same} of {total} code cells", f"at least {COMPARED:.0%}: untag some")
