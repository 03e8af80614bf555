"""`mlsys notebook build | list | reset` and `mlsys lab`: make notebooks, and work in copies of them."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mlsys.core import MlsysError
from mlsys.drills import drills
from mlsys.lesson import LAB_VARIABLE
from mlsys.lesson.build import (
    BLANK,
    PLACEHOLDER,
    build,
    difference,
    from_bytes,
    notebook_path,
    picture,
    picture_path,
    to_bytes,
    write,
)
from mlsys.lesson.check import check, compared
from mlsys.lesson.run import Cell, NotebookError, assemble, kernel_environment, read_source

ROOT = Path(__file__).resolve().parents[2]
FIRST_LINE = f"> {BLANK} is a number that you will measure. The last cell shows the text with your numbers.\n\n"
LAST_CELL = "# The text again, with the numbers of your run\nfrom mlsys.lesson.build import filled\n\nfilled({!r})"

DRILL_LINK = re.compile(r"\]\(\.\./drills/(\w+)/prompt\.md\)")
"""In the repository a drill is its prompt; in a reader's copy it is the notebook beside."""

SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
"""Defaults of JupyterLab: do not ask about news on the first start, fetch nothing from outside."""


def add_parser(commands: Any) -> None:
    """Register `notebook` and `lab`."""
    plain = argparse.RawDescriptionHelpFormatter
    notebook = commands.add_parser(
        "notebook",
        help="build notebooks from their sources, list them, start one over",
        formatter_class=plain,
        description="Sources are notebooks/_source/NN_slug.py: edit those, never the .ipynb.",
        epilog="example:  mlsys notebook build 01",
    )
    verbs = notebook.add_subparsers(title="verbs", metavar="VERB", required=True)
    verb = verbs.add_parser(
        "build",
        help="execute sources into notebooks with outputs, and check them",
        formatter_class=plain,
        description="Execute sources into notebooks with outputs, to the same bytes every time, then check\n"
        "that each has every part a notebook must have. Without a number: all of them.",
        epilog="examples: mlsys notebook build 01\n          mlsys notebook build --check   (writes nothing)",
    )
    verb.add_argument("numbers", nargs="*", metavar="NN", help="which notebooks, for example 01 04")
    verb.add_argument("--check", action="store_true", help="only compare a fresh build with the committed file")
    verb.set_defaults(handler=_build)
    verb = verbs.add_parser("list", help="which notebooks there are, and which you have a copy of")
    _add_folder(verb)
    verb.set_defaults(handler=_list)
    verb = verbs.add_parser(
        "reset",
        help="start a notebook over in your work folder",
        formatter_class=plain,
        description="Put a fresh copy into work/. Your copy stays beside it as NN_slug.before-reset.ipynb;\n"
        "rename it back to undo.",
        epilog="example:  mlsys notebook reset 01",
    )
    verb.add_argument("number", metavar="NN", help="which notebook, for example 01")
    _add_folder(verb)
    verb.set_defaults(handler=_reset)
    lab = commands.add_parser(
        "lab",
        help="open the notebooks in JupyterLab, as copies to work in",
        formatter_class=plain,
        description="Open copies of the notebooks, outputs cleared, in work/ (git ignores it). A copy that\n"
        "exists is never overwritten. What you predict is kept in work/predictions.jsonl, what you drill in\n"
        "work/progress.db; the drills are in work/drills/. Ctrl-C ends it.",
        epilog="examples: mlsys lab\n          mlsys lab --port 9999 --no-browser   (prints its address)",
    )
    lab.add_argument("--port", type=int, default=8888, help="first port to try (default: %(default)s)")
    lab.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")
    _add_folder(lab)
    lab.set_defaults(handler=_lab)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=ROOT / "work", help="where copies go (default: work/)")


def sources(numbers: list[str] | None = None) -> list[Path]:
    """The notebook sources with these numbers, all when none is given, in order."""
    found = {path.name[:2]: path for path in sorted((ROOT / "notebooks" / "_source").glob("[0-9][0-9]_*.py"))}
    wanted = [number.zfill(2) for number in numbers or found]
    unknown = [number for number in wanted if number not in found]
    if unknown or not found:
        raise MlsysError(
            f"there is no notebook {', '.join(unknown)}".rstrip(),
            why="notebooks are made from notebooks/_source/NN_slug.py of a checkout of this repository",
            fix=f"choose from: {', '.join(found) or 'none found: run this inside the checkout'}",
        )
    return [found[number] for number in wanted]


def _build(arguments: Namespace) -> int:
    problems: list[str] = []
    same = total = 0
    for source in sources(arguments.numbers):
        path = notebook_path(source)
        try:
            with tqdm(desc=source.stem, unit=" cells") as bar:
                content = build(source, partial(_advance, bar))
        except NotebookError as error:
            problems.append(str(error))
            continue
        if arguments.check:
            stale = difference(source, content)
            if stale:
                problems.append(f"{stale}\n  do:  mlsys notebook build {source.name[:2]}")
        else:
            write(path, content)
            image = picture(content)
            if image is not None:
                write(picture_path(source), image)
        problems += map(str, check(source, path))
        one, of = compared(read_source(source))
        same, total = same + one, total + of
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems; nbval compares {same} of {total} code cells ({same / max(total, 1):.0%})")
    return 1 if problems else 0


def _advance(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _list(arguments: Namespace) -> int:
    for source in sources():
        title = read_source(source)[0].source.splitlines()[0].lstrip("# ")
        print(f"{title:<60} {_state(source, arguments.folder)}")
    return 0


def _state(source: Path, folder: Path) -> str:
    copy = folder / f"{source.stem}.ipynb"
    if not copy.exists():
        return "no copy yet"
    try:
        made_from = from_bytes(copy.read_bytes()).metadata.get("mlsys", {}).get("source")
    except Exception as error:  # the reader's file may be anything
        return f"your copy cannot be read ({type(error).__name__}); mlsys notebook reset {source.name[:2]}"
    if made_from == _digest(source):
        return "your copy is up to date"
    return f"changed since your copy was made; for the new one: mlsys notebook reset {source.name[:2]}"


def fresh_copy(source: Path) -> bytes:
    """A source as a notebook without outputs, its measured numbers blank, marked with the source's hash."""
    cells = read_source(source)
    notebook = assemble([*cells, Cell("code", LAST_CELL.format(source.stem), line=0)])
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = DRILL_LINK.sub(r"](drills/\1.ipynb)", PLACEHOLDER.sub(BLANK, cell.source))
    notebook.cells[0].source = FIRST_LINE + notebook.cells[0].source
    notebook.metadata["mlsys"] = {"source": _digest(source)}
    return to_bytes(notebook)


def _digest(source: Path) -> str:
    text = source.read_text(encoding="utf-8")  # as text: the same hash after a checkout with other line ends
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _reset(arguments: Namespace) -> int:
    (source,) = sources([arguments.number])
    copy: Path = arguments.folder / f"{source.stem}.ipynb"
    if copy.exists():
        kept = copy.with_name(f"{source.stem}.before-reset.ipynb")
        again = 2
        while kept.exists():
            kept = copy.with_name(f"{source.stem}.before-reset-{again}.ipynb")
            again += 1
        copy.replace(kept)
        print(f"your copy is now {kept.name}; rename it to {copy.name} to undo")
    write(copy, fresh_copy(source))
    print(f"{copy.name} is fresh; reload it if it is open in JupyterLab")
    return 0


def _lab(arguments: Namespace) -> int:
    from mlsys.lesson.drill import WORK_VARIABLE
    from mlsys.lesson.drill import notebook as drill_notebook

    folder: Path = arguments.folder.resolve()
    found = sources()
    for source in found:
        copy = folder / f"{source.stem}.ipynb"
        new = not copy.exists()
        if new:
            write(copy, fresh_copy(source))
        print(f"{copy.name}: {'a fresh copy for you' if new else _state(source, folder)}", flush=True)
    for drill in drills():
        copy = folder / "drills" / f"{drill.name}.ipynb"
        if not copy.exists():
            write(copy, drill_notebook(drill))
    print(f"drills/: {len(drills())} drills; which one now: python start.py drill next", flush=True)
    settings = folder / ".lab"
    write(settings / "overrides.json", json.dumps(SETTINGS).encode())
    command = [
        sys.executable,
        *("-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"),
        f"--ServerApp.port={arguments.port}",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{found[0].stem}.ipynb",
        f"--LabApp.app_settings_dir={settings}",
        "--log-level=WARN",  # what remains is the address to open
        "--ServerApp.answer_yes=True",  # Ctrl-C ends it without asking
    ]
    if arguments.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # a container: Jupyter refuses root unless told
        command.append("--allow-root")
    server = subprocess.Popen(command, env={**kernel_environment(), LAB_VARIABLE: "1", WORK_VARIABLE: str(folder)})
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:  # the server received it too, and saves before it ends
            continue
