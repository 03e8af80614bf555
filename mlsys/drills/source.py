"""A drill as it lies in its folder, `drills/NN_slug/`.

drill.toml   what is asked: metadata, fields, facts, rubric rows, hints, follow-ups
prompt.md    the prompt; {{name}} stands for something of the variant
drill.py     variant(seed): what is shown and, computed by running mlsys, the key; one check per machine row
answers.py   reference, named wrong answers, samples: what proves the checks, and what a candidate reads afterwards
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import logging
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from mlsys.core import MlsysError
from mlsys.drills.answer import READERS, Answer, Field, template
from mlsys.drills.rubric import Evidence

FOLDER = Path(__file__).resolve().parents[2] / "drills"
KINDS = ("recall", "whiteboard", "estimate", "code", "review", "incident", "decision", "spoken")
LEVELS = ("E4", "E5", "E6")
WHEN = ("weak", "strong")
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)(?::([^{}]*))?\s*\}\}")


class DrillError(MlsysError):
    """A drill's source is wrong, or there is no such drill."""


@dataclass(frozen=True)
class Variant:
    """One seed of a drill.

    shown : what the candidate gets, by placeholder name. key : what only the checks get, computed by running mlsys.
    tables : data the candidate gets, by file name without its ending.
    """

    shown: Mapping[str, Any]
    key: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Typed:
    """An answer as somebody would give it: field values, the questions typed before, and the points a human gave.

    `row` and `says`, of a wrong answer: the one row it fails, and words that the reason has to hold.
    """

    values: Mapping[str, Any]
    questions: Sequence[str] = ()
    human: Mapping[str, int] = field(default_factory=dict)
    row: str = ""
    says: str = ""


@dataclass(frozen=True)
class Fact:
    """Told only to who asks. `words`: beginnings of words, any of which makes a question be about this."""

    id: str
    words: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Row:
    """One rubric row: what 0, 1, 2 (E5) and 3 (E6) points mean. `check` names a function; none: a human scores."""

    id: str
    title: str
    levels: tuple[str, str, str, str]
    check: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FollowUp:
    """What the interviewer asks next, if the row was `weak` (below 2) or `strong`."""

    row: str
    when: str
    ask: str


@dataclass(frozen=True)
class Drill:
    """One drill. `step` is 1 to 7, or 0 for all seven; `minutes` is the time it should take."""

    folder: Path
    title: str
    step: int
    signal: str
    kind: str
    level: str
    minutes: float
    fields: tuple[Field, ...]
    rows: tuple[Row, ...]
    facts: tuple[Fact, ...] = ()
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    follow_ups: tuple[FollowUp, ...] = ()
    prompt: str = ""

    @property
    def name(self) -> str:
        """The folder's name, `NN_slug`."""
        return self.folder.name

    def variant(self, seed: int) -> Variant:
        """What this seed shows, and its key. The last ones are kept: computing one runs mlsys for some seconds."""
        return _variant(self.folder, seed)

    def show(self, text: str, seed: int) -> str:
        """Text with this seed's values in the place of placeholders."""
        return fill(text, self.variant(seed).shown, self.name)

    def template(self, seed: int) -> str:
        """The empty answer."""
        return template(self.fields, f"{self.title} ({self.name}, seed {seed})")

    def evidence(self, row: Row, answer: Answer, seed: int) -> Evidence:
        """What a machine row's check says."""
        check: Callable[[Answer, Variant], Evidence] = getattr(load(self.folder / "drill.py"), row.check)
        return check(answer, self.variant(seed))

    def truths(self, seed: int) -> Mapping[str, float]:
        """What the interval fields should hold, where the drill says so: for the candidate's calibration."""
        module = load(self.folder / "drill.py")
        found: Mapping[str, float] = module.truths(self.variant(seed)) if hasattr(module, "truths") else {}
        return found

    @property
    def sampled(self) -> bool:
        """Whether there are samples at E4, E5 and E6."""
        return hasattr(self.answers(), "samples")

    def answers(self) -> ModuleType:
        """Reference, wrong answers and samples: functions of a `Variant`."""
        return load(self.folder / "answers.py")


def names(folder: Path = FOLDER) -> list[str]:
    """Every drill's name, in order, whether it can be read or not."""
    return sorted(path.parent.name for path in folder.glob("[0-9][0-9]_*/drill.toml"))


def drills(folder: Path = FOLDER) -> list[Drill]:
    """Every drill that can be read, in order; one that cannot is named in the log, and the others go on."""
    found = []
    for name in names(folder):
        try:
            found.append(read(folder / name))
        except DrillError as error:
            logging.getLogger(__name__).warning("left out: %s", error)
    return found


def find(name: str, folder: Path = FOLDER) -> Drill:
    """The drill with this number or name: 7, 07, 07_feed_flat, or a part of one name only, such as flat."""
    found = names(folder)
    wanted = [one for one in found if one == name or one[:2] == name.zfill(2)]
    if not wanted and name.isidentifier():
        among = [one for one in found if name.lower() in one]
        wanted = among if len(among) == 1 else []
    if not wanted:
        raise DrillError(
            f"there is no drill {name!r}",
            why="drills are " + (", ".join(found) or "in the folder drills/ of a checkout, and it is not there"),
            fix="python start.py drill list",
        )
    return read(folder / wanted[0])


def read(folder: Path) -> Drill:
    """A drill from its folder; what is wrong with it is said with file and place."""
    try:
        content = tomllib.loads((folder / "drill.toml").read_text(encoding="utf-8"))
        prompt = (folder / "prompt.md").read_text(encoding="utf-8")
        functions = _functions((folder / "drill.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        told = f"{Path(error.filename).name}: {error.strerror}" if isinstance(error, OSError) else error
        raise DrillError(f"{folder.name}: {told}", why="a drill is drill.toml, prompt.md, drill.py and answers.py",
                         fix="python start.py drill new makes a folder that works") from None  # fmt: skip
    try:
        fields = tuple(_make(Field, one, f"fields {one.get('name')}") for one in content.pop("fields", []))
        rows = tuple(_make(Row, one, f"rows {one.get('id')}") for one in content.pop("rows", []))
        facts = tuple(_make(Fact, one, f"facts {one.get('id')}") for one in content.pop("facts", []))
        follow_ups = tuple(_make(FollowUp, one, "follow_ups") for one in content.pop("follow_ups", []))
        hints = {row: tuple(texts) if isinstance(texts, list) else texts
                 for row, texts in content.pop("hints", {}).items()}  # fmt: skip
        parts = {"fields": fields, "rows": rows, "facts": facts, "hints": hints, "follow_ups": follow_ups}
        drill: Drill = _make(Drill, {**content, **parts, "folder": folder, "prompt": prompt}, "metadata")
        _validate(drill, functions)
    except (AttributeError, TypeError, ValueError) as error:
        raise DrillError(
            f"{folder.name}/drill.toml: {error}", why="the engine reads it to the letter", fix="see drills/README.md"
        ) from None
    return drill


def fill(text: str, shown: Mapping[str, Any], where: str = "text") -> str:
    """Text with `{{name}}` and `{{name:,.0f}}` replaced by values.

    >>> fill("{{n:,}} users", {"n": 1000})
    '1,000 users'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in shown:
            raise DrillError(
                f"{where}: {{{{{match[1]}}}}} is not shown",
                why=f"variant() shows {', '.join(shown)}",
                fix="add it there",
            )
        return format(shown[match[1]], match[2] or "")

    return PLACEHOLDER.sub(value, text)


def _make(kind: Any, content: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a TOML table; lists become tuples."""
    plain = {name: tuple(value) if isinstance(value, list) and name != "example" else value
             for name, value in content.items()}  # fmt: skip
    try:
        return kind(**plain)
    except TypeError as error:
        raise TypeError(f"{where}: {str(error).partition('__init__() ')[2]}") from None


def _functions(code: str) -> set[str]:
    """What a module defines at its top, without running it."""
    found: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name for one in node.names}
    return found


def _validate(drill: Drill, functions: set[str]) -> None:
    fields, ids = [one.name for one in drill.fields], [row.id for row in drill.rows]
    for what, value, allowed in (("kind", drill.kind, KINDS), ("level", drill.level, LEVELS),
                                 *(("when", one.when, WHEN) for one in drill.follow_ups)):  # fmt: skip
        if value not in allowed:
            raise ValueError(f"{what} {value!r} is none of {', '.join(allowed)}")
    if drill.step not in range(8):
        raise ValueError(f"step {drill.step} is not 1 to 7, or 0 for all")
    if not isinstance(drill.minutes, int | float):
        raise ValueError(f"minutes {drill.minutes!r} is no number")
    for group in (fields, ids, [fact.id for fact in drill.facts]):
        if twice := [name for name in group if group.count(name) > 1]:
            raise ValueError(f"{twice[0]!r} is there twice")
    for where, texts in [*((f"hints of {row}", texts) for row, texts in drill.hints.items()),
                         *((f"words of {fact.id}", fact.words) for fact in drill.facts)]:  # fmt: skip
        if not isinstance(texts, tuple) or not all(isinstance(text, str) and text for text in texts):
            raise ValueError(f"the {where} are no list of texts")
    for one in drill.fields:
        if one.kind not in READERS:
            raise ValueError(f"field {one.name}: kind {one.kind!r} is none of {', '.join(READERS)}")
        one.read(one.example)
    for row in drill.rows:
        if len(row.levels) != 4:
            raise ValueError(f"row {row.id}: {len(row.levels)} levels, not four")
        if row.check and row.check not in functions:
            raise ValueError(f"row {row.id}: drill.py has no function {row.check!r}")
        unknown = [name for name in row.needs if name not in fields]
        if unknown:
            raise ValueError(f"row {row.id} needs {unknown[0]!r}, which is no field")
    for named in [*drill.hints, *(one.row for one in drill.follow_ups)]:
        if named not in ids:
            raise ValueError(f"a hint or follow-up is for the row {named!r}, which is not there")


@functools.lru_cache(maxsize=8)
def _variant(folder: Path, seed: int) -> Variant:
    made: Variant = load(folder / "drill.py").variant(seed)
    return made


@functools.cache
def load(path: Path) -> ModuleType:
    """A Python file of a drill, by path; a long `drill.py` loads others: `load(Path(__file__).with_name("x.py"))`."""
    name = f"mlsys_drill_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DrillError(f"{path.parent.name} has no {path.name}", why="the engine calls its functions",
                         fix="see drills/README.md")  # fmt: skip
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
