"""Four drawings of the architecture: components, whiteboard, layers, steps."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path

from mlsys.analysis.architecture import (
    COMPONENTS,
    DATA,
    EVERYTHING,
    FLOWS,
    LAYER_FLOWS,
    MANAGEMENT,
    MODEL,
    OPERATIONS,
    STEPS,
    WATCH,
)
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, MUTED, NAIVE, WARN, canvas, figure, headline, house
from mlsys.core import MlsysError

_COLOUR = {DATA: FIXED, MODEL: NAIVE, OPERATIONS: GOOD, MANAGEMENT: WARN}

# (row, column) of every box, shared by the figure and by the whiteboard version.
_PLACE = {
    "Data collection": (0, 0), "Data verification": (0, 1), "Feature extraction": (0, 2), "Feature store": (0, 3),
    "ML code": (1, 3),
    "Serving infrastructure": (2, 0), "Monitoring": (2, 1), "Analysis tools": (2, 2), "Evaluation pipeline": (2, 3),
    "Configuration": (3, 0), "Process management": (3, 1), "Resource management": (3, 2),
}  # fmt: skip

_BOTTOM = (46.8, 34.0, 18.0, 2.5)


class _Route(NamedTuple):
    points: tuple[tuple[float, float], ...]
    label: tuple[float, float]
    wrap: int
    colour: str = MUTED
    ha: str = "center"
    va: str = "bottom"


_ROUTES = {
    ("Data collection", "Data verification"): _Route(((18.75, 50.5), (25.25, 50.5)), (21.75, 51.2), 7),
    ("Data verification", "Feature extraction"): _Route(((41.75, 50.5), (48.25, 50.5)), (44.75, 51.2), 9),
    ("Feature extraction", "Feature store"): _Route(((64.75, 50.5), (71.25, 50.5)), (67.75, 51.2), 7),
    ("Feature store", "ML code"): _Route(((78.5, 46.8), (78.5, 40.5)), (79.2, 43.7), 13, ha="left", va="center"),
    ("ML code", "Evaluation pipeline"): _Route(((78.5, 34), (78.5, 25.5)), (79.2, 30.6), 10, ha="left", va="center"),
    ("Evaluation pipeline", "Serving infrastructure"): _Route(
        ((74.25, 25.5), (74.25, 30), (16.75, 30), (16.75, 25.5)), (26.25, 30.4), 60, NAIVE, "left"
    ),
    ("Evaluation pipeline", "Analysis tools"): _Route(((71.25, 21.7), (64.75, 21.7)), (68.25, 22.4), 8),
    ("Feature store", "Serving infrastructure"): _Route(
        ((74.25, 46.8), (74.25, 43.2), (13.75, 43.2), (13.75, 25.5)), (26.25, 43.6), 60, FIXED, "left"
    ),
    ("Serving infrastructure", "Monitoring"): _Route(((18.75, 21.7), (25.25, 21.7)), (21.75, 22.4), 8),
    ("Monitoring", "Analysis tools"): _Route(((41.75, 21.7), (48.25, 21.7)), (44.75, 22.4), 9),
    ("Monitoring", "Process management"): _Route(((33.5, 18), (33.5, 10)), (34.2, 12.2), 30, ha="left", va="center"),
    ("Serving infrastructure", "Data collection"): _Route(
        ((4.75, 25.5), (4.75, 46.8)), (5.4, 36.5), 11, EXTRA, "left", "center"
    ),
}


def _box(ax: Axes, x: float, y: float, w: float, h: float, text: str, colour: str, note: str = "") -> None:
    """A rounded box with a centred bold name and, under it, a quiet note."""
    shape = "round,pad=0,rounding_size=0.9"
    ax.add_patch(
        FancyBboxPatch((x, y), w, h, boxstyle=shape, facecolor=colour + "1F", edgecolor=colour, lw=1.4, gid="box")
    )
    lift = 0.28 * h * (text.count("\n") + 1) / (text.count("\n") + 2) if note else 0
    ax.text(x + w / 2, y + h / 2 + lift, text, ha="center", va="center", fontweight="bold", linespacing=1.05)
    if note:
        ax.text(x + w / 2, y + 0.9, note, ha="center", va="bottom", fontsize=8, color=MUTED)


def _arrow(ax: Axes, *points: tuple[float, float], colour: str = MUTED, dashed: bool = False) -> None:
    """An arrow along a polyline, head at the last point."""
    style: dict[str, Any] = dict(
        arrowstyle="-|>", mutation_scale=12, lw=1.6, capstyle="butt", joinstyle="round", shrinkA=0, shrinkB=0
    )
    line = (0, (3, 1.6)) if dashed else "solid"
    ax.add_patch(FancyArrowPatch(path=Path(points), color=colour, linestyle=line, fill=True, **style))


def _say(
    ax: Axes, x: float, y: float, text: str, *, ha: str = "center", va: str = "bottom", colour: str = MUTED
) -> None:
    ax.text(x, y, text, ha=ha, va=va, fontsize=8, color=colour, linespacing=1.1)


@house()
def component_diagram(size_of: Mapping[str, float] | None = None) -> Figure:
    """The twelve boxes and all that flows between them, the feedback loop included.

    `size_of` maps component names to lines of code. Then every box carries its count, and a bar shows
    what share of the system is ML code: all boxes are drawn alike, the measurement makes the point.
    """
    unknown = sorted(set(size_of or {}) - {c.name for c in COMPONENTS})
    if unknown:
        raise MlsysError(
            f"no component is called {unknown[0]!r}",
            why="sizes are drawn into the box of the same name",
            fix=f"use names of COMPONENTS: {', '.join(c.name for c in COMPONENTS)}",
        )
    fig = figure(width=9, height=6.5, fitted=False)
    ax = canvas(fig, 90, 65)
    headline(
        fig,
        "A production ML system is a loop of twelve components",
        "Solid arrows: data and models on their way to an answer. Dashed: served answers become training data.",
    )
    bands = ((46, 12.4, DATA, 57.1), (15, 12.4, OPERATIONS, 16.3), (0.8, 12.8, MANAGEMENT, 12.2))
    for y, height, group, label_y in bands:
        ax.add_patch(Rectangle((1, y), 88, height, facecolor=_COLOUR[group] + "0D", edgecolor="none"))
        ax.text(2.25, label_y, group.upper(), fontsize=8, color=MUTED, fontweight="bold", va="center")
    for component in COMPONENTS:
        row, column = _PLACE[component.name]
        note = f"{size_of[component.name]:,.0f} lines" if size_of and component.name in size_of else ""
        name = component.name if component.group == MODEL else component.name.replace(" ", "\n")
        _box(ax, 2.25 + 23 * column, _BOTTOM[row], 16.5, 6.5 if row == 1 else 7.5, name, _COLOUR[component.group], note)
    for flow in FLOWS:
        if flow.target == EVERYTHING:  # three arrows to everywhere would hide the rest: one for all of them
            continue
        route = _ROUTES[flow.source, flow.target]
        _arrow(ax, *route.points, colour=route.colour, dashed=route.colour == EXTRA)
        text = textwrap.fill(flow.what, route.wrap)
        _say(ax, *route.label, text, ha=route.ha, va=route.va, colour=MUTED if route.colour == EXTRA else route.colour)
    _arrow(ax, (72.5, 2.5), (72.5, 14.2), colour=WARN)
    what = ", ".join(f.what for f in FLOWS if f.target == EVERYTHING)
    _say(ax, 74, 7, textwrap.fill(f"{what}: for {EVERYTHING}", 18), ha="left", va="center")
    if size_of:
        _share_bar(ax, size_of, 26.25, 67, 35)
    return fig


def _share_bar(ax: Axes, size_of: Mapping[str, float], left: float, right: float, y: float) -> None:
    """One stacked bar: lines of code by component, in loop order, ML code named."""
    total = sum(size_of.values())
    model = size_of.get("ML code", 0)
    x = left
    for component in COMPONENTS:
        width = (right - left) * size_of.get(component.name, 0) / total
        colour = _COLOUR[component.group]
        solid = component.group == MODEL
        ax.add_patch(Rectangle((x, y), width, 2.2, facecolor=colour + ("" if solid else "66"), edgecolor="white", lw=1))
        x += width
    ax.text(left, y + 2.8, f"Measured here: ML code is {model / total:.0%} of {total:,.0f} lines", fontsize=9.5,
            fontweight="bold", va="bottom")  # fmt: skip


def component_ascii() -> str:
    """The same twelve boxes in plain ASCII, at most 76 columns: to be drawn from memory on a whiteboard."""
    tops = {0: 0, 1: 7, 2: 13, 3: 19}
    grid = [[" "] * 76 for _ in range(23)]

    def put(y: int, x: int, text: str) -> None:
        grid[y][x : x + len(text)] = text

    for name, (row, column) in _PLACE.items():
        y, x = tops[row], 20 * column
        put(y, x, "+" + "-" * 14 + "+")
        words = [name] if row == 1 else [*name.split(" "), ""][:2]
        for i, word in enumerate(words, start=1):
            put(y + i, x, f"|{word:^14}|")
        put(y + len(words) + 1, x, "+" + "-" * 14 + "+")
    for x in (16, 36, 56):
        put(1, x, "--->")
    put(4, 2, "^        +------------- latest feature vectors ------------+      |")
    put(5, 2, "| feed-  |                                                   training rows")
    put(6, 2, "| back:  |                                                          v")
    for y, word in ((7, "logged"), (8, "impres-"), (9, "sions"), (10, "")):
        put(y, 2, f"| {word:<7}|")
    put(10, 68, "|")
    put(11, 2, "|        |   +------- model that passed the gate ----------+      |")
    put(12, 2, "|        v   v                                             |      v")
    put(14, 16, "--->")
    put(14, 36, "--->")
    put(14, 56, "<---")
    put(17, 27, "| retrain or")
    put(18, 27, "v roll back")
    put(19, 58, "--> to every box:")
    put(20, 62, "settings,")
    put(21, 62, "schedule,")
    put(22, 62, "machines")
    return "\n".join("".join(line).rstrip() for line in grid)


@house()
def layered_diagram() -> Figure:
    """The eight layers and who feeds whom.

    Orchestration is a band beside all others, not a box at the end: it starts, orders and retries the work
    of every layer. It is drawn at the bottom of many stacks as if monitoring fed it; nothing flows that way
    except alerts. Online features go straight from the feature store to serving, past the model.
    """
    fig = figure(width=9, height=7.4, fitted=False)
    ax = canvas(fig, 90, 74)
    headline(fig, "Eight layers, from data sources to monitoring", "Orchestration runs beside all of them.")
    full, half, right = 72.0, 29.0, 45.0
    at = {  # left, bottom, width, what it holds
        "Data sources": (2.0, 60.5, full, "apps, databases, files, partner APIs, our own served impressions"),
        "Data collection": (2.0, 51.5, full, "event streams, connectors, ingestion of files"),
        "Data storage": (2.0, 42.5, full, "lake for raw data, warehouse for tables"),
        "Data processing": (14.0, 32.0, half - 3, "validate, clean, compute"),
        "Feature store": (right, 32.0, half, "offline and online"),
        "Model training infrastructure": (right, 20.8, half, ""),
        "Model serving": (right, 11.0, half, "servers, gateway, cache, A/B"),
        WATCH: (2.0, 1.5, full, "metrics, logs, alerts, drift"),
    }
    colour = {"Data sources": MUTED, "Model training infrastructure": NAIVE, "Model serving": GOOD, WATCH: GOOD}
    for number, (name, (x, y, w, note)) in enumerate(at.items()):
        tall, text = 6.2, f"{number}  {name}" if number else name
        if name == "Model training infrastructure":
            tall = 7.6
            ax.text(
                right + 1.4, y + 3.8, f"{number}  Model training\n    infrastructure", va="center", fontweight="bold"
            )
            text = ""
        _box(ax, x, y, w, tall, text, colour.get(name, FIXED), note)
        if number:
            _arrow(ax, (82, y + tall / 2), (x + w if x + w > 70 else 74, y + tall / 2), colour=WARN, dashed=True)
    _box(ax, right + 18.8, 21.9, 9.2, 5.4, "Model\nregistry", NAIVE)
    _box(ax, 82, 1.5, 6.5, 56.2, "", WARN)
    for x, text, weight, size, shade in (
        (84.3, "8  Orchestration", "bold", 10, INK),
        (86.7, "workflows, schedules, dependencies, retries", "normal", 8, MUTED),
    ):
        ax.text(x, 29.6, text, rotation=90, ha="center", va="center", fontweight=weight, fontsize=size, color=shade)
    middle, mill = right + half / 2, 27.0
    routes: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {
        ("Data sources", "Data collection"): ((38, 60.5), (38, 57.7)),
        ("Data collection", "Data storage"): ((38, 51.5), (38, 48.7)),
        ("Data storage", "Data processing"): ((mill, 42.5), (mill, 38.2)),
        ("Data storage", "Feature store"): ((middle, 42.5), (middle, 38.2)),
        ("Data storage", WATCH): ((7, 42.5), (7, 7.7)),
        ("Data processing", "Feature store"): ((40, 35.1), (right, 35.1)),
        ("Data processing", WATCH): ((mill - 4, 32.0), (mill - 4, 7.7)),
        ("Feature store", "Model training infrastructure"): ((middle, 32.0), (middle, 28.4)),
        ("Model training infrastructure", "Model registry"): ((right + 15.8, 24.6), (right + 18.8, 24.6)),
        ("Model registry", "Model serving"): ((right + 23.4, 21.9), (right + 23.4, 17.2)),
        ("Feature store", "Model serving"): ((right + 3, 32), (right + 3, 30.2), (37, 30.2), (37, 14.1), (right, 14.1)),
        ("Model serving", WATCH): ((middle, 11.0), (middle, 7.7)),
    }
    for flow in LAYER_FLOWS:
        points = routes[flow.source, flow.target]
        shade = FIXED if len(points) > 2 else MUTED
        _arrow(ax, *points, colour=shade)
        (x0, y0), (x1, y1) = points[-2:] if len(points) == 2 else points[2:4]
        if x0 == x1:  # a label stands right of a vertical arrow, half way down
            text = textwrap.fill(flow.what, 10 if abs(y0 - y1) > 4 else 30)
            _say(ax, x0 + 0.9, (y0 + y1) / 2, text, ha="left", va="center", colour=shade)
    return fig


@house()
def steps_strip() -> Figure:
    """The seven framework steps in order, each with its purpose, and the way back from the last."""
    fig = figure(width=9, height=2.6, fitted=False)
    ax = canvas(fig, 90, 26)
    headline(fig, "Seven steps, always in this order")
    width, tip = 12.5, 1.3
    for step in STEPS:
        x = 1.2 + (step.number - 1) * width
        end = x + width - 0.4
        point = [] if step.number == len(STEPS) else [(end + tip, 13.5)]
        shape = [(x, 9.5), (end, 9.5), *point, (end, 17.5), (x, 17.5), (x + tip, 13.5)]
        ax.add_patch(Polygon(shape, facecolor=FIXED + "1F", edgecolor=FIXED, lw=1.2, gid="box"))
        name = textwrap.fill(f"{step.number}  {step.name}", 14)
        ax.text(x + 1.9, 13.5, name, ha="left", va="center", fontsize=8.2, fontweight="bold", linespacing=1.1)
        _say(ax, x + 1.9, 8.4, textwrap.fill(step.purpose, 16), ha="left", va="top")
    _arrow(ax, (82, 17.5), (82, 19.5), (7, 19.5), (7, 17.5), colour=EXTRA, dashed=True)
    _say(ax, 44.5, 19.9, "what monitoring finds reopens an earlier step")
    return fig
