"""How you stand: a square per rubric row, and how often your intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mlsys.analysis.architecture import STEPS
from mlsys.analysis.style import (
    FIXED,
    GOOD,
    INK,
    LINE,
    MUTED,
    NAIVE,
    WARN,
    HouseFigure,
    canvas,
    figure,
    headline,
    house,
)
from mlsys.drills.rubric import COVERAGE, calibration

COLOURS = (NAIVE, WARN, FIXED, GOOD)
"""Of 0, 1, 2 and 3 points."""

NAMES = {0: "All seven", **{step.number: f"{step.number} {step.name}" for step in STEPS}}


@house()
def heatmap(rows: pd.DataFrame) -> HouseFigure:
    """Steps down, the rows of each drill across; `rows` as `Progress.rows` gives it: step, drill, row, points, due."""
    steps = rows.drop_duplicates("drill").groupby("step")["drill"].apply(list).to_dict() if len(rows) else {}
    lines = sum(1 + len(steps.get(step, [])) for step in NAMES)
    height = 0.36 * lines + 1.2
    fig = figure(width=9, height=height, fitted=False)
    ax = canvas(fig, 90, 10 * height)
    tried = int(rows["points"].notna().sum())
    due = int((rows["due"] & rows["points"].notna()).sum())
    told = (
        f"{tried} of {len(rows)} rows tried, {due} due again"
        if tried
        else "Nothing tried yet: python start.py drill next"
    )
    headline(fig, told, "Points per row: 2 is E5, 3 is E6. A thick frame: due again. Empty: not tried.")
    y = 10 * height - 10.5
    for step, name in NAMES.items():
        ax.plot([1, 89], [y + 3.2, y + 3.2], color=LINE, lw=0.6)
        ax.text(1, y + 1.2, name, fontsize=8.5, fontweight="bold", va="center")
        y -= 3.6
        for drill in steps.get(step, []):
            ax.text(2.5, y + 1.3, drill, fontsize=8, color=MUTED, va="center")
            for i, row in enumerate(rows[rows["drill"] == drill].itertuples()):
                _square(ax, 26 + 8.0 * i, y, str(row.row), float(str(row.points)), bool(row.due))
            y -= 3.6
    return fig


def _square(ax: Axes, x: float, y: float, row: str, points: float, due: bool) -> None:
    known = not np.isnan(points)
    colour = COLOURS[int(points)] if known else LINE
    edge, width = (INK, 1.6) if known and due else (colour, 0.8)
    ax.add_patch(Rectangle((x, y - 0.2), 7.6, 3.0, facecolor=colour + ("66" if known else "22"), edgecolor=edge,
                           lw=width, gid="row"))  # fmt: skip
    if known:
        ax.text(x + 0.4, y + 1.25, f"{points:.0f}", fontsize=8, va="center")
    ax.text(x + 4.3, y + 1.25, row, fontsize=6.2, ha="center", va="center", color=INK if known else MUTED)


@house()
def calibration_plot(intervals: pd.DataFrame) -> HouseFigure:
    """Every interval you gave against what it should hold; columns name, low, high, truth."""
    given = intervals[(intervals["low"] > 0) & (intervals["truth"] > 0)].tail(60)
    fig = figure(width=9, height=2.2 + 0.09 * len(given))
    if not len(intervals):
        headline(fig, "No interval yet", "Drills that estimate ask for some: python start.py drill start 03")
        return fig
    hits = (intervals["low"] <= intervals["truth"]) & (intervals["truth"] <= intervals["high"])
    share, low, high = calibration(list(hits))
    told = "Too narrow" if high < COVERAGE else "Too wide" if low > COVERAGE else "No bias to be seen"
    headline(
        fig,
        f"{share:.0%} of {len(hits)} intervals held the truth; {COVERAGE:.0%} is wanted",
        f"{told}: so few tell {low:.0%} to {high:.0%}. Drawn: the last {len(given)} above 0.",
    )
    ax = fig.add_subplot()
    inside = (given["low"] <= given["truth"]) & (given["truth"] <= given["high"])
    at = np.arange(len(given))
    ax.hlines(at, given["low"] / given["truth"], given["high"] / given["truth"], lw=3,
              colors=[GOOD if hit else NAIVE for hit in inside])  # fmt: skip
    ax.axvline(1, color=INK, lw=1)
    ax.set(xscale="log", yticks=[], xlabel="interval as a multiple of the truth (green holds it, red misses it)")
    return fig
