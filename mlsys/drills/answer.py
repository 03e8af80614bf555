"""An answer is data: TOML text, read against the fields that a drill asks for.

What does not fit is an error that names field and line and shows a value that would pass. A field that is empty, or
not there, is not an error: it is a question left open, and the rows that need it stay locked.
"""

from __future__ import annotations

import datetime
import difflib
import json
import math
import re
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlsys.core import MlsysError
from mlsys.drills.graph import Graph

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What TOML does not take in a text of several lines."""

LONGEST = 200_000
"""Characters of an answer; nobody types more."""


class AnswerError(MlsysError):
    """An answer, or a field of it, cannot be read. Nothing was scored."""


@dataclass(frozen=True)
class Field:
    """One thing that is asked for.

    Parameters
    ----------
    name : its key in the answer.
    kind : text (free, never earns a machine row) · list (of texts) · choice (one of `options`) · choices (several
        of them) · number · interval ([low, high], 80 % sure) · graph (lines `a -> b: what`) · rows (a list of tables
        with `columns`: column name to its options; no options: a number).
    asks : the question, one line.
    example : a value that passes validation; it need not be right.
    unit : of a number or an interval.
    at_least, at_most, whole : what a number has to be, beyond being one.
    """

    name: str
    kind: str
    asks: str
    example: Any
    options: tuple[str, ...] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unit: str = ""
    at_least: float = -math.inf
    at_most: float = math.inf
    whole: bool = False

    def read(self, value: Any) -> Any:
        """The value as checks get it; raises `ValueError` saying what it has to be."""
        return READERS[self.kind](self, value)

    def comment(self) -> str:
        """What a candidate is told above the field."""
        lines = [self.asks + (f" [{self.unit}]" if self.unit else "")]
        if self.options:
            lines.append(f"{'one' if self.kind == 'choice' else 'any'} of: {_listed(self.options)}")
        for name, options in self.columns.items():
            lines.append(f"{name}: one of {_listed(options)}" if options else f"{name}: a number")
        shown = self.example.strip().splitlines()[0] if self.kind == "graph" else toml(self.example)
        return "\n".join([*lines, f"for example: {shown}"])


@dataclass(frozen=True)
class Answer:
    """What was answered, by field, and the ids of the facts that were asked for."""

    values: Mapping[str, Any]
    asked: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(text: str, fields: Sequence[Field]) -> dict[str, Any]:
    """Values by field name, those left open not among them.

    >>> cause = Field("cause", "choice", "What is it?", "skew", options=("skew", "noise"))
    >>> parse('cause = "noise"', [cause])
    {'cause': 'noise'}
    >>> parse('cause = "drift"', [cause])
    Traceback (most recent call last):
    mlsys.drills.answer.AnswerError: line 1: cause = "drift"
      why: it has to be one of skew, noise
      do:  write for example: cause = "skew"
    """
    found = load(text)
    known = {one.name: one for one in fields}
    values: dict[str, Any] = {}
    for name, value in found.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise AnswerError(
                f"line {line_of(text, name)}: there is no field {name!r}",
                why=f"this drill asks for {', '.join(known)}",
                fix=f"did you mean {near[0]}?" if near else "move the text into one of these, or into a # comment",
            )
        if value in ("", [], {}) or (isinstance(value, str) and not value.strip()):
            continue
        try:
            values[name] = known[name].read(value)
        except _ItemError as error:
            raise _refused(text, known[name], value, str(error), error.item) from None
        except ValueError as error:
            raise _refused(text, known[name], value, str(error)) from None
    return values


def template(fields: Sequence[Field], title: str) -> str:
    """An answer with every field empty, and above each what belongs there."""
    empty = {"text": '""', "choice": '""', "number": '""', "graph": '"""\n"""'}
    parts = [f"# {title}", "# Fill in what is empty; a field left empty locks the rows that need it.", ""]
    for one in fields:
        parts += [f"# {line}" for line in one.comment().splitlines()]
        parts += [f"{one.name} = {empty.get(one.kind, '[]')}", ""]
    return "\n".join(parts)


def dump(values: Mapping[str, Any]) -> str:
    """Values as answer text: `load(dump(values))` gives them back."""
    return "".join(f"{_key(name)} = {toml(value, wide=True)}\n" for name, value in values.items())


def toml(value: Any, *, wide: bool = False) -> str:
    """One value as TOML. `wide` puts the items of a list of tables, and a text of several lines, on lines of their own.

    >>> toml([1.5, 2]), toml({"a": "b"})
    ('[1.5, 2]', '{a = "b"}')
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        if wide and value and isinstance(value[0], Mapping | str):
            return "[\n" + "".join(f"  {toml(one)},\n" for one in value) + "]"
        return "[" + ", ".join(toml(one) for one in value) + "]"
    if isinstance(value, str) and wide and "\n" in value and not CONTROL.search(value):
        return '"""\n' + value.replace("\\", "\\\\").replace('""', '"\\"') + '"""'
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def replaced(text: str, values: Mapping[str, Any]) -> str:
    """Answer text with other values for some fields; all other lines stay. Raises `AnswerError` if that cannot be."""
    want, lines = {**load(text), **values}, text.split("\n")
    for name, value in values.items():
        written = f"{name} = {toml(value, wide=True)}".split("\n")
        start = line_of("\n".join(lines), name) - 1
        spans = [end for end in range(start + 1, len(lines) + 1) if _whole("\n".join(lines[start:end]), name)]
        lines[slice(start, spans[0]) if spans else slice(0, 0)] = written
    found = "\n".join(lines)
    for attempt in (found, dump(want)):
        try:
            if _ordered(load(attempt)) == _ordered(want):
                return attempt
        except AnswerError:
            continue
    raise AnswerError(
        "the answer file holds something that cannot be written again",
        why=f"its fields are {', '.join(want)}",
        fix="take out what is no field of this drill, then save again",
    )


def _ordered(values: Mapping[str, Any]) -> str:
    return dump({name: values[name] for name in sorted(values)})  # As text, or nan would differ from itself.


def _whole(text: str, *names: str) -> bool:
    """Whether text is TOML by itself, and holds these names, if any are given."""
    try:
        return list(tomllib.loads(text)) == list(names) or not names
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return False


def line_of(text: str, name: str, item: int | None = None) -> int:
    """The line, from 1, on which a field stands; with `item`, from 0, the line of that item of its list."""
    lines = text.split("\n")
    key = re.compile(rf"""\s*(\[\[?)?\s*["']?{re.escape(name)}["']?\s*(=|\.|\])""")
    # A field begins where all that stands above is whole: not inside another text or list.
    starts = [n for n, line in enumerate(lines) if key.match(line) and _whole("\n".join(lines[:n]))]
    if not starts or item is None:
        return starts[0] + 1 if starts else 1
    if lines[starts[0]].lstrip().startswith("["):
        return starts[min(item, len(starts) - 1)] + 1
    seen = -1
    for number, line in enumerate(lines[starts[0] :], starts[0] + 1):
        if not line.lstrip().startswith("#"):
            seen += len(re.findall(r"\{", line)) or int(number > starts[0] + 1 and bool(line.strip(" ],\t")))
        if seen >= item:
            return number
    return starts[0] + 1


def _listed(options: Sequence[str]) -> str:
    """Options in a comment: words in a row, quoted where they have a space; long phrases a line each."""
    if max(map(len, options)) > 32:
        return "".join(f"\n    {toml(option)}" for option in options)
    plain = not any(" " in option for option in options)
    text = ", ".join(option.replace(" ", "\0") for option in (options if plain else map(toml, options)))
    return "\n    ".join(textwrap.wrap(text, 100, break_on_hyphens=False)).replace("\0", " ")


class _ItemError(ValueError):
    def __init__(self, message: str, item: int) -> None:
        super().__init__(message)
        self.item = item


def load(text: str) -> dict[str, Any]:
    """Answer text as TOML gives it, before it is held against the fields."""
    if len(text) > LONGEST:
        raise AnswerError(
            f"the answer has {len(text):,} characters", why=f"at most {LONGEST:,} are read", fix="answer in short"
        )
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise AnswerError(
            f"the answer cannot be read: {error}",
            why='it is TOML: name = value, where a text stands in "quotes" and a list in [brackets]',
            fix='mend that line; write for example: reason = "a text", share = 3.5, range = [1, 2.5]',
        ) from None


def _refused(text: str, one: Field, value: Any, wanted: str, item: int | None = None) -> AnswerError:
    shown = toml(value if item is None else value[item]) if _plain(value) else f"a {type(value).__name__}"
    where = f"line {line_of(text, one.name, item)}: {one.name}" + (f", item {item + 1}," if item is not None else "")
    return AnswerError(
        f"{where} = {shown[:200]}",
        why=f"it has to be {wanted}",
        fix=f"write for example: {one.name} = {toml(one.example, wide=one.kind in ('rows', 'graph'))}",
    )


def _plain(value: Any) -> bool:
    """Whether JSON can hold it: TOML also has dates."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _text(one: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('a text in "quotes"')
    return value


def _list(one: Field, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('a list of texts: ["...", "..."]')
    return value


def _option(options: Sequence[str], value: Any) -> str:
    if value in options and isinstance(value, str):
        return value
    near = difflib.get_close_matches(value, options, n=1) if isinstance(value, str) else []
    raise ValueError(f"one of {', '.join(options)}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _choice(one: Field, value: Any) -> str:
    return _option(one.options, value)


def _choices(one: Field, value: Any) -> list[str]:
    chosen = _list(one, value)
    for item, name in enumerate(chosen):
        try:
            _option(one.options, name)
        except ValueError as error:
            raise _ItemError(str(error), item) from None
        if name in chosen[:item]:
            raise _ItemError("named once", item)
    return chosen


def _number(one: Field, value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(float(value)):
            raise OverflowError
        if not one.at_least <= value <= one.at_most or (one.whole and value != round(value)):
            raise OverflowError
    except OverflowError:
        limits = [f"at least {one.at_least:g}"] if one.at_least > -math.inf else []
        limits += [f"at most {one.at_most:g}"] if one.at_most < math.inf else []
        kind = f"a {'whole ' if one.whole else ''}number{', in ' + one.unit if one.unit else ''}"
        raise ValueError(", ".join([kind, *limits])) from None
    return float(value)


def _interval(one: Field, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("two numbers, [low, high]")
    low, high = (_number(one, end) for end in value)
    if not low < high:
        raise ValueError("[low, high] with low below high")
    return low, high


def _graph(one: Field, value: Any) -> Graph:
    return Graph.parse(_text(one, value))


def _rows(one: Field, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ValueError("a list of tables")
    for item, row in enumerate(value):
        if not isinstance(row, dict) or set(row) != set(one.columns):
            raise _ItemError(f"a table with exactly {', '.join(one.columns)}", item)
        for name, options in one.columns.items():
            try:
                _option(options, row[name]) if options else _number(one, row[name])
            except ValueError as error:
                raise _ItemError(f"a table whose {name} is {error}", item) from None
    return value


READERS = {
    "text": _text,
    "list": _list,
    "choice": _choice,
    "choices": _choices,
    "number": _number,
    "interval": _interval,
    "graph": _graph,
    "rows": _rows,
}
