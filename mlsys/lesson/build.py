"""Build a notebook with outputs from its percent source, to the same bytes every time."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import nbformat
from IPython.display import Markdown, display
from nbformat import NotebookNode

from mlsys.lesson import WIDGET_MIME, emitted, number
from mlsys.lesson.run import METADATA, Cell, NotebookError, OnCell, read_source, results, run_cells

PLACEHOLDER = re.compile(r"\{\{\s*(?P<name>[A-Za-z_]\w*)\s*(?::(?P<spec>[^{}]*))?\}\}")
DIFFERENCE_LINES = 30
SOURCES = Path(__file__).resolve().parents[2] / "notebooks" / "_source"
NOT_COMPARED = {"nbval-ignore-output", "nbval-skip"}
"""Tags of cells whose output belongs to the machine that ran them."""
BLANK = "▢"
"""Stands for a number that the reader will measure."""


def build(source: Path, on_cell: OnCell | None = None) -> bytes:
    """Execute a source and return the notebook file's bytes; the same source gives the same bytes.

    Placeholders in the prose, `{{name}}` or `{{name:.2f}}`, become values that `result(...)` emitted.
    """
    cells = read_source(source)
    notebook, error = run_cells(source, cells, on_cell)
    if error is not None:
        raise error
    values = results(notebook)
    for cell, built in zip(cells, notebook.cells, strict=True):
        if cell.kind == "markdown":
            built.source = fill(source, cell, values)
        else:
            _trim(built)
    notebook.metadata = METADATA
    return to_bytes(notebook)


def fill(source: Path, cell: Cell, values: dict[str, Any], *, blank: bool = False) -> str:
    """A markdown cell's text with every placeholder replaced by its value; without one: an error, or a blank."""

    def value_of(match: re.Match[str]) -> str:
        name, spec = match["name"], match["spec"]
        where = f"{source.name}:{cell.line + cell.source.count(chr(10), 0, match.start())}"
        if name not in values:
            if blank:
                return BLANK
            close = difflib.get_close_matches(name, values, n=1)
            raise NotebookError(
                f"{where}: the prose names {{{{{name}}}}}, which no cell emitted",
                why="a number in the prose comes from result(...) in this notebook",
                fix=f"did you mean {close[0]}?" if close else f"add result({name}=...) to a cell",
            )
        try:
            return format(values[name], spec) if spec else number(values[name])
        except ValueError as error:
            raise NotebookError(
                f"{where}: cannot write {values[name]!r} as {spec!r}: {error}",
                why="what follows the colon is a Python format specification",
                fix="for example {{auc:.2f}}, {{share:.0%}}, {{rows:,}}",
            ) from None

    return PLACEHOLDER.sub(value_of, cell.source)


def filled(slug: str) -> None:
    """Show every paragraph and table of a notebook that has blanks, with the numbers of this run in them.

    The last cell of a reader's copy calls it; what has not been measured yet stays blank.
    """
    source = SOURCES / f"{slug}.py"
    for cell in read_source(source):
        if cell.kind == "markdown" and PLACEHOLDER.search(cell.source):
            display(Markdown(fill(source, cell, emitted, blank=True)))  # type: ignore[no-untyped-call]


def _trim(cell: NotebookNode) -> None:
    """Drop what differs from run to run: timings, random widget ids, a drawing library's signature, and all that a cell
    shows whose output nbval does not compare."""
    cell.metadata = {name: value for name, value in cell.metadata.items() if name == "tags"}
    if NOT_COMPARED & set(cell.metadata.get("tags", [])):
        cell.outputs = []
    for output in cell.outputs:
        data = output.get("data", {})
        data.pop(WIDGET_MIME, None)
        if "image/png" in data:
            data["image/png"] = base64.b64encode(bare_png(base64.b64decode(data["image/png"]))).decode()


def bare_png(png: bytes) -> bytes:
    """The same picture without its text and time chunks (software version, date)."""
    kept, at = [png[:8]], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        chunk = png[at : at + length + 12]
        if chunk[4:8] not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            kept.append(chunk)
        at += length + 12
    return b"".join(kept)


def to_bytes(notebook: NotebookNode) -> bytes:
    """A notebook as the bytes of its file: UTF-8, `\\n`, one newline at the end."""
    text: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    return (text.rstrip("\n") + "\n").encode()


def from_bytes(content: bytes) -> NotebookNode:
    """The notebook in a file's bytes."""
    notebook: NotebookNode = nbformat.reads(content.decode(), as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def picture(notebook: bytes) -> bytes | None:
    """The first PNG of the cell tagged `picture`, which the README shows; None when no cell has the tag."""
    for cell in from_bytes(notebook).cells:
        if "picture" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    return None


def notebook_path(source: Path) -> Path:
    """Where a source's notebook is: the folder above the sources."""
    return source.parent.parent / f"{source.stem}.ipynb"


def picture_path(source: Path) -> Path:
    """Where a source's picture is: `.github/` beside the notebooks' folder."""
    return source.parent.parent.parent / ".github" / f"{source.stem}.png"


def write(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that an interrupted build leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)


def difference(source: Path, rebuilt: bytes) -> str | None:
    """How the committed notebook or picture differs from a rebuilt one; None when they are the same bytes."""
    path = notebook_path(source)
    if not path.exists():
        return f"{path.name} does not exist"
    committed = path.read_bytes()
    if committed != rebuilt:
        return f"{path.name} is stale: {_first_difference(source, committed, rebuilt)}"
    image = picture(rebuilt)
    file = picture_path(source)
    if image is not None and (not file.exists() or file.read_bytes() != image):
        return f"{file.parent.name}/{file.name} is stale or missing"
    return None


def _first_difference(source: Path, committed: bytes, rebuilt: bytes) -> str:
    try:
        old = from_bytes(committed).cells
    except Exception as error:  # whatever stands there, it is not the notebook
        return f"it cannot be read as a notebook ({type(error).__name__})"
    new = from_bytes(rebuilt).cells
    lines = [cell.line for cell in read_source(source)]
    for index in range(max(len(old), len(new))):
        was, now = (_shown(side[index]) if index < len(side) else [] for side in (old, new))
        if was != now:
            line = f"{source.name}:{lines[index]}" if index < len(lines) else "after the last cell of the source"
            diff = [*difflib.unified_diff(was, now, "committed", "rebuilt", n=1, lineterm="")]
            return f"cell {index + 1} ({line}) differs\n" + "\n".join(diff[:DIFFERENCE_LINES])
    return "same cells, different metadata or formatting"


def _shown(cell: NotebookNode) -> list[str]:
    """A cell as lines of text, a picture as its hash."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: _digest(v) if k == "image/png" and isinstance(v, str) else short(v) for k, v in value.items()}
        if isinstance(value, list):
            return [short(item) for item in value]
        return value.splitlines() if isinstance(value, str) and "\n" in value else value

    return json.dumps(short(cell), indent=1, sort_keys=True, ensure_ascii=False).splitlines()


def _digest(image: str) -> str:
    return f"PNG {hashlib.sha256(image.encode()).hexdigest()[:16]}"
