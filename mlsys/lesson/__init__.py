"""What the cells of a notebook call: predict, reveal, result, claim, hood.

Each shows a fixed text beside anything interactive, so that a headless run repeats to the byte.
"""

from __future__ import annotations

import ast
import html
import inspect
import json
import math
import os
import textwrap
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from IPython import get_ipython
from IPython.display import display

from mlsys.core import MlsysError

RESULT_MIME = "application/vnd.mlsys.result+json"
CLAIM_MIME = "application/vnd.mlsys.claim+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
LAB_VARIABLE = "MLSYS_LAB"
"""`mlsys lab` sets this environment variable to 1; only then are predictions kept in a file."""
PREDICTIONS = Path("predictions.jsonl")
HOOD_LINES = 25


class ClaimRefuted(MlsysError, AssertionError):
    """A conclusion of the notebook does not hold in this run."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the reader's own line, not the frames of this package."""
        frames = traceback.extract_tb(self.__traceback__)
        here = Path(__file__).parent.parent
        own = next((f for f in reversed(frames) if here not in Path(f.filename).parents), frames[-1])
        return [f"Cell In[{get_ipython().execution_count}], line {own.lineno}", f"    {own.line}", "", str(self)]


@dataclass(frozen=True)
class _Prediction:
    question: str
    slider: Any
    unit: str


_predictions: dict[str, _Prediction] = {}

emitted: dict[str, Any] = {}
"""What `result` emitted in this kernel so far; `mlsys.lesson.build.filled` puts it into the prose."""


def predict(name: str, question: str, *, low: float, high: float, default: float, unit: str = "") -> None:
    """Show a slider that asks for a number before the run gives it; never blocks.

    Without a reader the answer is `default`. Integers for low, high and default make an integer slider.
    Under `mlsys lab` the slider starts at the answer kept last time.
    """
    if not low <= default <= high or low == high:
        raise MlsysError(
            f"predict({name!r}): default {default} is not between low {low} and high {high}",
            why="the slider runs from low to high and starts at default",
            fix="widen low..high or move the default",
        )
    whole = all(isinstance(number, int) for number in (low, high, default))
    kept = _kept(name)
    start = default if kept is None else min(max(kept, low), high)
    common: dict[str, Any] = {"continuous_update": False, "layout": ipywidgets.Layout(width="30em")}
    slider: Any
    if whole:
        slider = ipywidgets.IntSlider(
            value=int(start), min=low, max=high, step=max(1, int(high - low) // 100), **common
        )
    else:
        step = (high - low) / 100
        decimals = max(0, math.ceil(-math.log10(step)))
        slider = ipywidgets.FloatSlider(
            value=start, min=low, max=high, step=step, readout_format=f".{decimals}f", **common
        )
    slider.observe(lambda change: _keep(name, predicted=change["new"]), names="value")
    _predictions[name] = _Prediction(question, slider, unit)
    row = ipywidgets.HBox([slider, ipywidgets.Label(unit)])
    box = ipywidgets.VBox([ipywidgets.HTML(html.escape(question)), row])
    origin = "default" if kept is None else "kept"
    text = f"{question} Your prediction: {_with_unit(start, unit)} ({origin})"
    show_widget(box, text)


def reveal(name: str, value: float) -> None:
    """Print what was predicted under `name`, what the run says, and the distance."""
    if name not in _predictions:
        raise MlsysError(
            f"nothing was predicted under {name!r}",
            why="reveal() compares the run with an earlier predict() of the same name",
            fix=f"run the cell with predict({name!r}, ...) first; known: {', '.join(_predictions) or 'none'}",
        )
    prediction = _predictions[name]
    said, outcome = prediction.slider.value, _plain(name, value)
    off = _with_unit(abs(said - outcome), prediction.unit)
    print(
        f"you said {_with_unit(said, prediction.unit)}, "
        f"the run says {_with_unit(outcome, prediction.unit)}: off by {off}"
    )
    _keep(name, predicted=said, outcome=outcome)


def result(**values: float | int | bool | str) -> None:
    """Emit named numbers of this run: read by the prose (`{{name}}`), the tests and the scoreboard.

    Floats keep 6 significant digits (4 in the text), because other CPUs differ in the last ones.
    """
    plain = {name: _plain(name, value) for name, value in values.items()}
    emitted.update(plain)
    text = "\n".join(f"{name} = {number(value)}" for name, value in plain.items())
    _show({RESULT_MIME: plain, "text/plain": text})


def claim(text: str, holds: bool | np.bool_) -> None:
    """State a conclusion and prove it in this run; raises `ClaimRefuted` when it does not hold."""
    if not isinstance(holds, bool | np.bool_):
        raise MlsysError(
            f"claim {text!r}: the condition is a {type(holds).__name__}, not true or false",
            why="anything that is not empty counts as true in Python, so it would prove nothing",
            fix="compare: claim(text, a > b), with .all() for an array",
        )
    if not holds:
        raise ClaimRefuted(
            f"refuted: {text}",
            why="the inequality in the line above is false for these parameters and this code",
            fix="print both sides; if you changed a parameter, you have found where the claim ends: say why",
        )
    _show({CLAIM_MIME: {"claim": text}, "text/plain": f"PROVED  {text}"})


def hood(thing: Callable[..., Any] | type) -> None:
    """Show the package's own source of a function or class, without its docstring: at most 25 lines."""
    source = textwrap.dedent(inspect.getsource(thing))
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node):
            doc = node.body[0]
            lines[doc.lineno - 1 : doc.end_lineno] = [""] * ((doc.end_lineno or doc.lineno) - doc.lineno + 1)
    code = "\n".join(line for line in lines if line.strip())
    length = code.count("\n") + 1
    if length > HOOD_LINES:
        raise MlsysError(
            f"{thing.__qualname__} has {length} lines of code",
            why=f"an open-the-hood cell promises about twenty lines, at most {HOOD_LINES}",
            fix="show the part that does the work, or split the function",
        )
    title = f"# {thing.__module__}.{thing.__qualname__}"
    _show({"text/markdown": f"```python\n{title}\n{code}\n```", "text/plain": f"{title}\n{code}"})


def show_widget(widget: Any, text: str) -> None:
    """Display a widget with `text` in its place wherever there is no live kernel."""
    view = widget._repr_mimebundle_()[WIDGET_MIME]
    _show({WIDGET_MIME: view, "text/plain": text})


def number(value: float | int | bool | str) -> str:
    """A value as readers see it: floats with 4 significant digits, thousands separated.

    >>> number(0.123456), number(1234567.8), number(500), number("linear")
    ('0.1235', '1,235,000', '500', 'linear')
    """
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.4g}"


def _show(bundle: dict[str, Any]) -> None:
    display(bundle, raw=True)  # type: ignore[no-untyped-call]


def _with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".rstrip()


def _plain(name: str, value: Any) -> Any:
    """A Python scalar that JSON can hold, floats rounded to 6 significant digits."""
    if isinstance(value, np.generic):
        value = value.item()
    if not name.isidentifier() or not isinstance(value, bool | int | float | str):
        raise MlsysError(
            f"result {name!r} is a {type(value).__name__}",
            why="a result is one number, string or truth value under a Python name",
            fix="emit scalars, one name each",
        )
    if isinstance(value, float):
        if not math.isfinite(value):
            raise MlsysError(
                f"{name} is {value}",
                why="a result that is not a finite number can be neither compared nor written as JSON",
                fix="look at its inputs: an empty slice or a division by zero",
            )
        return float(f"{value:.6g}")
    return value


def _notebook() -> str:
    """The open notebook's name, as JupyterLab tells its kernel."""
    return Path(os.environ.get("JPY_SESSION_NAME", "notebook")).stem


def _records() -> list[dict[str, Any]]:
    if os.environ.get(LAB_VARIABLE) != "1" or not PREDICTIONS.exists():
        return []
    records = []
    with PREDICTIONS.open(encoding="utf-8") as lines:
        for line in lines:
            with suppress(json.JSONDecodeError):  # a line cut off by a crash must not block the next prediction
                records.append(json.loads(line))
    return records


def _kept(name: str) -> float | None:
    here = [r for r in _records() if (r["notebook"], r["name"]) == (_notebook(), name)]
    return here[-1]["predicted"] if here else None


def _keep(name: str, **values: float) -> None:
    """Append to the predictions of this folder, under `mlsys lab` only and only what is new."""
    record = {"notebook": _notebook(), "name": name, **values}
    earlier = [r for r in _records() if (r["notebook"], r["name"]) == (_notebook(), name)]
    if os.environ.get(LAB_VARIABLE) != "1" or (earlier and earlier[-1] == record):
        return
    with PREDICTIONS.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(record) + "\n")
