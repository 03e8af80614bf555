"""A typed whiteboard, drawn: known components at their place, everything else beside them."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from mlsys.analysis.architecture import COMPONENTS, DATA, MANAGEMENT, MODEL, OPERATIONS
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, MUTED, NAIVE, WARN, HouseFigure, canvas, figure, house
from mlsys.drills.graph import Graph

ALIASES = {
    "Data collection": "collection, collector, ingestion, ingest, logging, log, logs, event log, events, event stream, "
    "kafka, stream, data ingestion, impression log, logged events, data sources, raw events",
    "Data verification": "verification, validation, data validation, data quality, quality checks, verify, checks",
    "Feature extraction": "extraction, feature computation, feature engineering, feature pipeline, features pipeline, "
    "feature job, feature jobs, materialization, materialisation, processing, data processing, etl",
    "Feature store": "store, features, online store, online features, online feature store, offline store, feast",
    "ML code": "ml, model, models, training, trainer, train, model training, training pipeline, ranker, learner",
    "Evaluation pipeline": "evaluation, eval, evaluator, offline evaluation, gate, evaluate, model evaluation",
    "Analysis tools": "analysis, analytics, dashboards, dashboard, notebooks, analysis tool, reports",
    "Serving infrastructure": "serving, server, model server, inference, serve, model serving, ranking service, "
    "prediction service, servers, ranking server",
    "Monitoring": "monitor, monitors, observability, alerts, alerting, monitoring and observability",
    "Configuration": "config, configs, settings, configuration management, feature flags, flags",
    "Process management": "process, orchestration, orchestrator, scheduler, workflow, workflows, airflow, "
    "process management tools, pipeline manager",
    "Resource management": "resources, resource, capacity, capacity planning, cluster, kubernetes, autoscaler, "
    "machine management, resource manager",
}
"""What people call the twelve components, beside their names."""

PLACE = {
    "Data collection": (0, 0), "Data verification": (0, 1), "Feature extraction": (0, 2), "Feature store": (0, 3),
    "ML code": (1, 3),
    "Serving infrastructure": (2, 0), "Monitoring": (2, 1), "Analysis tools": (2, 2), "Evaluation pipeline": (2, 3),
    "Configuration": (3, 0), "Process management": (3, 1), "Resource management": (3, 2),
}  # fmt: skip
"""(row, column), as on the house diagram."""

EVERYTHING = "everything"
SPARE = ((1, 1), (1, 2))
"""Where the first other boxes go; more get rows of their own. The way from serving up to collection stays free."""

BENDS = (0.0, 0.16, -0.16, 0.3, -0.3, 0.45, -0.45)
"""How far an arrow may bend; the first that crosses the fewest boxes is taken."""

STEPS = np.linspace(0, 1, 24)
COLOUR = {DATA: FIXED, MODEL: NAIVE, OPERATIONS: GOOD, MANAGEMENT: WARN}
COLUMN, ROW, WIDTH, HEIGHT = 23.0, 12.5, 15.0, 6.0
HALF = (WIDTH / 2, HEIGHT / 2)

_BY_NAME = {alias.strip(): name for name, text in ALIASES.items() for alias in [*text.split(","), name.lower()]}
_GROUP = {component.name: component.group for component in COMPONENTS}


def component(name: str) -> str:
    """The component that people mean by a name; the name itself, in lower case, if it is none.

    >>> component("Model Server"), component("the feature store"), component("experiment platform")
    ('Serving infrastructure', 'Feature store', 'experiment platform')
    """
    plain = " ".join(name.lower().replace("-", " ").split()).removeprefix("the ").removeprefix("a ")
    if plain in ("everything", "every component", "all", "all components", "every box", "all boxes"):
        return EVERYTHING
    return _BY_NAME.get(plain) or _BY_NAME.get(plain.removesuffix("s")) or plain


@house()
def draw(graph: Graph) -> HouseFigure:
    """The board as a figure: fast enough to follow the typing, and no text it could not draw."""
    board = graph.renamed(component)
    others = [box for box in board.boxes if box not in PLACE and box != EVERYTHING]
    spots = [*SPARE, *((4 + i // 4, i % 4) for i in range(len(others)))]
    place = {**PLACE, EVERYTHING: (3, 3), **dict(zip(others, spots, strict=False))}
    rows = 1 + max((place[box][0] for box in board.boxes), default=3)
    height = ROW * max(rows, 4) + 2
    fig = figure(width=9, height=height / 10, fitted=False)
    fig.set_dpi(80)  # on screen, while typing
    ax = canvas(fig, 90, height)
    at = {box: (3 + COLUMN * column, height - ROW * (row + 1) + 3) for box, (row, column) in place.items()}
    if not board.boxes:
        ax.text(
            45, height / 2, "One arrow a line:   feature store -> server: online features", ha="center", color=MUTED
        )
    drawn = dict.fromkeys((arrow.source, arrow.target) for arrow in board.arrows)
    taken: list[np.ndarray] = []
    for source, target in drawn:
        labels = [a.what for a in board.arrows if (a.source, a.target) == (source, target) and a.what]
        between = np.array([at[box] for box in board.boxes if box not in (source, target)]).reshape(-1, 2)
        bends = BENDS[1:] if (target, source) in drawn else BENDS
        curve = _curve(at[source], at[target], between, bends)
        back = EXTRA if (source, target) == ("Serving infrastructure", "Data collection") else INK
        path = Path(curve, [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=10, lw=1.1, color=back, alpha=0.75))
        if labels:
            spot = _spot(curve, np.array([at[box] for box in board.boxes]), taken)
            taken.append(spot)
            wide = 8 if at[source][1] == at[target][1] else 15
            text = "\n".join(textwrap.wrap(_plain(", ".join(dict.fromkeys(labels))), wide)[:3])
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
            ax.text(float(spot[0]), float(spot[1]), text, fontsize=6.5, color=MUTED, ha="center", va="center",
                    linespacing=1.0, zorder=3, bbox=ground)  # fmt: skip
    for box in board.boxes:
        _box(ax, *at[box], box)
    return fig


def ascii(graph: Graph) -> str:
    """The arrows, grouped by where they start: for the terminal.

    >>> print(ascii(Graph.parse("store -> server: features\\nstore -> trainer")))
    Feature store
      -> Serving infrastructure: features
      -> ML code
    """
    board, lines = graph.renamed(component), []
    for box in dict.fromkeys(arrow.source for arrow in board.arrows):
        lines.append(box)
        for arrow in board.arrows:
            if arrow.source == box:
                lines.append(f"  -> {arrow.target}" + (f": {arrow.what}" if arrow.what else ""))
    return "\n".join([*lines, *(f"{box} (no arrow)" for box in board.alone)])


def _box(ax: Axes, x: float, y: float, name: str) -> None:
    colour = COLOUR[_GROUP[name]] if name in _GROUP else MUTED
    for fill, edge in (("white", "none"), (colour + "1F", colour)):  # arrows do not shine through
        ax.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.8", facecolor=fill,
                                    edgecolor=edge, lw=1.3, gid="box"))  # fmt: skip
    text = "\n".join(textwrap.wrap(_plain(name), 16)[:3])
    weight = "bold" if name in _GROUP else "normal"
    ax.text(x + WIDTH / 2, y + HEIGHT / 2, text, ha="center", va="center", fontsize=8.5, fontweight=weight,
            linespacing=1.05)  # fmt: skip


def _points(curve: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points of a quadratic curve, (n, 2), from its three control points."""
    a, m, b = curve
    t = t[:, None]
    return np.asarray((1 - t) ** 2 * a + 2 * t * (1 - t) * m + t * t * b)


def _inside(points: np.ndarray, boxes: np.ndarray, margin: float) -> np.ndarray:
    """Which points (n, 2) lie in or near one of the boxes (m, 2: lower left corners)."""
    x, y = (np.abs(points[:, None, i] - boxes[None, :, i] - half) - half < margin for i, half in enumerate(HALF))
    return np.asarray((x & y).any(axis=1))


def _curve(
    source: tuple[float, float], target: tuple[float, float], between: np.ndarray, bends: tuple[float, ...]
) -> np.ndarray:
    """From border to border, bent as little as it takes to pass the other boxes; three control points, (3, 2)."""
    start, end = np.add(source, HALF), np.add(target, HALF)
    if source == target:
        loop = np.array([[-3, HEIGHT / 2], [0, 2.1 * HEIGHT], [3, HEIGHT / 2]])
        return np.asarray(start + loop)
    curves: list[np.ndarray] = []
    most: list[int] = []
    for bend in bends:
        middle = (start + end) / 2 + bend * (end - start)[::-1] * (1, -1)
        curves.append(np.stack([_border(start, middle), middle, _border(end, middle)]))
        if not (crossed := int(_inside(_points(curves[-1], STEPS), between, 0.3).sum())):
            return curves[-1]
        most.append(crossed)
    return curves[int(np.argmin(most))]


def _spot(curve: np.ndarray, boxes: np.ndarray, taken: list[np.ndarray]) -> np.ndarray:
    """Where on the curve its label stands: clear of boxes and of other labels, near the middle if possible."""
    spots = _points(curve, np.array([0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74]))
    cost = 10.0 * _inside(spots, boxes, 0.0) + np.arange(len(spots)) * 0.1
    for other in taken:
        cost = cost + (np.abs(spots - other) < (7.0, 2.2)).all(axis=1)
    return np.asarray(spots[int(np.argmin(cost))])


def _border(centre: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Where a line from the centre of a box leaves it."""
    step = towards - centre
    shrink = min(half / abs(d) if d else np.inf for half, d in zip(HALF, step, strict=True))
    return np.asarray(centre + shrink * step)


def _plain(text: str) -> str:
    """No markup: a dollar sign would start a formula."""
    return text.replace("\\", "/").replace("$", r"\$")
