"""Read a notebook's percent source and run its cells in a fresh kernel.

A source is a Python file whose cells start with `# %%`, `# %% [markdown]` or `# %% tags=["parameters"]`.
`build` turns it into a committed notebook; `mlsys run` executes the same cells with its own parameters.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from mlsys.core import MlsysError
from mlsys.lesson import CLAIM_MIME, LAB_VARIABLE, RESULT_MIME

MARKER = re.compile(r"# %%(?P<markdown> \[markdown\])?(?: tags=(?P<tags>\[.*\]))?\s*$")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")

OnCell = Callable[[int, int], None]
"""Called with (code cells done, code cells in all), first with 0 done."""


class NotebookError(MlsysError):
    """A notebook's source cannot be read, or one of its cells fails."""


@dataclass(frozen=True)
class Cell:
    """One cell of a source; `line` is where its first line stands in the file, from 1."""

    kind: str
    source: str
    line: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What one execution proved; `figures` are PNG files, `error` is None when every cell ran."""

    name: str
    seconds: float
    claims: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    figures: list[bytes] = field(default_factory=list)
    error: str | None = None


def execute(source: Path, *, parameters: dict[str, Any] | None = None, on_cell: OnCell | None = None) -> Outcome:
    """Run a source with some parameters replaced. A failing cell is reported in `error`, not raised."""
    cells = read_source(source)
    if parameters:
        cells = _inject(source, cells, parameters)
    started = time.perf_counter()
    notebook, error = run_cells(source, cells, on_cell)
    data = [output["data"] for output in outputs(notebook) if "data" in output]
    return Outcome(
        name=source.stem,
        seconds=time.perf_counter() - started,
        claims=[bundle[CLAIM_MIME]["claim"] for bundle in data if CLAIM_MIME in bundle],
        results=results(notebook),
        figures=[base64.b64decode(bundle["image/png"]) for bundle in data if "image/png" in bundle],
        error=None if error is None else str(error),
    )


def read_source(source: Path) -> list[Cell]:
    """The cells of a percent file. Markdown lines lose their `# `; blank lines around a cell are dropped."""
    if not source.is_file():
        raise NotebookError(
            f"there is no {source.name}",
            why=f"sources are looked for in {source.parent.name}",
            fix="mlsys notebook list",
        )
    lines = source.read_text(encoding="utf-8").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
    cells = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        marker = MARKER.match(lines[start])
        if marker is None:
            raise NotebookError(
                f"{source.name}:{start + 1}: cannot read the cell marker {lines[start]!r}",
                why="a cell starts with '# %%', then '[markdown]', then 'tags=[...]', the last two if needed",
                fix='write for example: # %% [markdown] tags=["card"]',
            )
        body = list(enumerate(lines[start + 1 : end], start + 2))
        while body and not body[0][1].strip():
            body.pop(0)
        while body and not body[-1][1].strip():
            body.pop()
        if not body:
            continue
        kind = "markdown" if marker["markdown"] else "code"
        text = [_uncomment(source, n, line) if kind == "markdown" else line for n, line in body]
        tags = tuple(ast.literal_eval(marker["tags"] or "[]"))
        cells.append(Cell(kind, "\n".join(text), body[0][0], tags))
    return cells


def _uncomment(source: Path, number: int, line: str) -> str:
    if line and not line.startswith("# ") and line.rstrip() != "#":
        raise NotebookError(
            f"{source.name}:{number}: a line of a markdown cell does not start with '# ': {line!r}",
            why="the source is a Python file, its prose stands in comments",
            fix="put '# ' before it, or start a code cell with '# %%'",
        )
    return line[2:].rstrip()


def assemble(cells: list[Cell]) -> NotebookNode:
    """A notebook of these cells, not yet run; a cell's id is a hash of its source, so it never moves."""
    seen: Counter[str] = Counter()
    built: list[dict[str, Any]] = []
    for cell in cells:
        digest = hashlib.sha256(f"{cell.kind}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        name = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        metadata = {"tags": list(cell.tags)} if cell.tags else {}
        built.append({"cell_type": cell.kind, "id": name, "metadata": metadata, "source": cell.source})
        if cell.kind == "code":
            built[-1] |= {"execution_count": None, "outputs": []}
    content = {"cells": built, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    notebook: NotebookNode = nbformat.from_dict(content)  # type: ignore[no-untyped-call]
    return notebook


def run_cells(
    source: Path, cells: list[Cell], on_cell: OnCell | None = None
) -> tuple[NotebookNode, NotebookError | None]:
    """Execute cells in a fresh kernel, in the folder above the source's.

    Returns the notebook with outputs and, when a cell failed, an error naming the line of the source.
    """
    notebook = assemble(cells)
    code = [cell for cell in cells if cell.kind == "code"]
    current = 0

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal current
        if cell.cell_type == "code":
            current += 1
            if on_cell:
                on_cell(current - 1, len(code))

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(source.resolve().parent.parent)}},
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns on every start that it listens on localhost
        on_cell_start=started,
    )
    try:
        client.execute(env=kernel_environment())
    except CellExecutionError:
        return notebook, _failure(source, code[current - 1], notebook)
    except DeadKernelError:
        return notebook, NotebookError(
            f"{source.name}:{code[current - 1].line}: the kernel died in this cell",
            why="usually it ran out of memory",
            fix="try smaller parameters",
        )
    if on_cell:
        on_cell(len(code), len(code))
    return notebook, None


def kernel_environment() -> dict[str, str]:
    """This process's environment, less what would make a run depend on the machine or on the reader."""
    dropped = (LAB_VARIABLE, "MPLBACKEND", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def _failure(source: Path, cell: Cell, notebook: NotebookNode) -> NotebookError:
    error = next(output for output in outputs(notebook) if output.output_type == "error")
    traceback = ANSI.sub("", "\n".join(error.traceback))
    at = re.search(r"Cell In\s*\[\d+\], line (\d+)", traceback)
    line = cell.line + (int(at[1]) - 1 if at else 0)
    message = f"{error.ename}: {error.evalue}".rstrip()
    above = traceback.removesuffix(message).rstrip().splitlines()[-6:]
    return NotebookError(
        f"{source.name}:{line}: {message}",
        why="a cell failed; the last lines of its traceback:\n    " + "\n    ".join(above),
        fix=f"mend line {line} of {source.name} or what it calls",
    )


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Every output of a notebook, in order."""
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def results(notebook: NotebookNode) -> dict[str, Any]:
    """Every value that `result(...)` emitted in a notebook, by name."""
    found: dict[str, Any] = {}
    for output in outputs(notebook):
        found.update(output.get("data", {}).get(RESULT_MIME, {}))
    return found


def parameter_names(cells: list[Cell]) -> list[str]:
    """The names assigned in the cell tagged `parameters`."""
    tagged = [cell for cell in cells if "parameters" in cell.tags]
    body = ast.parse(tagged[0].source).body if tagged else []
    names = [node for line in body for node in ast.walk(line) if isinstance(node, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _inject(source: Path, cells: list[Cell], parameters: dict[str, Any]) -> list[Cell]:
    """The cells with one more after the parameters cell; unknown names are an error, not silence."""
    known = parameter_names(cells)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise NotebookError(
            f"{source.name} has no parameter {', '.join(unknown)}",
            why="a name that the notebook never reads would change nothing, silently",
            fix=f"use one of: {', '.join(known) or '(it has no cell tagged parameters)'}",
        )
    index = next(i for i, cell in enumerate(cells) if "parameters" in cell.tags)
    text = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    return [*cells[: index + 1], Cell("code", text, cells[index].line), *cells[index + 1 :]]
