"""How you stand: a square per rubric row, and how often your intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
    drills = rows.drop_duplicates("drill")["drill"].tolist()
    lines = [(step, drill) for step in NAMES for drill in drills
             if (rows.loc[rows["drill"] == drill, "step"] == step).any()]  # fmt: skip
    steps = [step for step in NAMES if step not in {s for s, _ in lines}]
    every = sorted([*lines, *((step, "") for step in steps)])
    height = 0.42 * len(every) + 1.2
    fig = figure(width=9, height=height, fitted=False)
    ax = canvas(fig, 90, 10 * height)
    tried = int(rows["points"].notna().sum()) if len(rows) else 0
    due = int((rows["due"] & rows["points"].notna()).sum()) if len(rows) else 0
    told = f"{tried} of {len(rows)} rows tried, {due} due again" if tried else "Nothing tried yet: mlsys drill next"
    headline(fig, told, "Points per row: 2 is E5, 3 is E6. A thick frame: due again. Empty: not tried.")
    y, before = 10 * height - 11, -1
    for step, drill in every:
        if step != before:
            ax.text(1, y + 1.5, NAMES[step], fontsize=8.5, fontweight="bold", va="center")
            ax.plot([1, 89], [y + 3.6, y + 3.6], color=LINE, lw=0.6)
            before = step
        ax.text(36, y + 1.5, drill, fontsize=8, color=MUTED, va="center")
        mine = rows[rows["drill"] == drill] if drill else rows.head(0)
        for i, row in enumerate(mine.itertuples()):
            x, points = 57 + 3.9 * i, float(row.points)
            known = not np.isnan(points)
            colour = COLOURS[int(points)] if known else LINE
            frame = (INK, 1.6) if known and row.due else (colour, 0.8)
            ax.add_patch(Rectangle((x, y), 3.3, 3.0, facecolor=colour + ("66" if known else "22"),
                                   edgecolor=frame[0], lw=frame[1], gid="row"))  # fmt: skip
            if known:
                ax.text(x + 1.65, y + 1.45, f"{points:.0f}", fontsize=8, ha="center", va="center")
        y -= 4.2
    return fig


@house()
def calibration_plot(intervals: pd.DataFrame) -> HouseFigure:
    """Every interval you gave against what it should hold; columns name, low, high, truth."""
    given = intervals[(intervals["low"] > 0) & (intervals["truth"] > 0)].tail(60)
    fig = figure(width=9, height=2.2 + 0.09 * len(given))
    if not len(intervals):
        headline(fig, "No interval yet", "Drills that estimate ask for some: mlsys drill start 03")
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
