"""The three stacks as a picture and as an explorer: what is chosen, from which number, and until when it holds."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mlsys.analysis.plots import short
from mlsys.analysis.style import FIXED, INK, LINE, MUTED, canvas, figure, headline, house
from mlsys.analysis.widgets import explorer
from mlsys.orchestration.selection import STACKS, TECHNOLOGY, select

WIDTH, ROW = 3.15, 0.74


@house()
def stack_table(chosen: pd.DataFrame, users: float) -> Figure:
    """`select`'s table: three columns, the chosen cell of each row filled, its number and its reversal at the right."""
    rows = len(chosen)
    fig = figure(width=11.0, height=1.35 + ROW * rows, fitted=False)
    counts = chosen["stack"].value_counts()
    mixed = " · ".join(f"{counts[name]} {name}" for name in STACKS if name in counts)
    detail = "Filled: chosen. Right: the number that decides, and up to how many users it holds."
    headline(fig, f"{short(users)} users: {mixed}", detail)
    ax = canvas(fig, 16.2, rows + 1.75)
    for j, name in enumerate(STACKS):
        ax.text(2.35 + j * WIDTH + WIDTH / 2, rows + 0.2, name, ha="center", va="center", color=MUTED, fontsize=9)
    for i, row in enumerate(chosen.to_dict("records")):
        y = rows - i - 0.5
        ax.text(2.2, y, row["component"], ha="right", va="center", fontsize=9.5, color=INK)
        for j, name in enumerate(STACKS):
            on = name == row["stack"]
            face, edge = (FIXED, FIXED) if on else ("white", LINE)
            style, corner = "round,pad=0,rounding_size=0.1", (2.41 + j * WIDTH, y - 0.36)
            ax.add_patch(FancyBboxPatch(corner, WIDTH - 0.12, 0.72, boxstyle=style, facecolor=face, edgecolor=edge))
            text = row["technology"] if on else TECHNOLOGY[row["component"]][j]
            ax.text(2.35 + (j + 0.5) * WIDTH, y, _wrapped(text), ha="center", va="center", fontsize=7.6,
                    color="white" if on else MUTED)  # fmt: skip
        last = "and beyond" if row["stack"] == STACKS[-1] else "at any scale"
        until = last if np.isinf(row["holds_up_to"]) else f"up to {short(row['holds_up_to'])} users"
        ax.text(2.45 + 3 * WIDTH, y, f"{row['because']}\n{until}", ha="left", va="center", fontsize=8, color=INK)
    return fig


def _wrapped(text: str, width: int = 24) -> str:
    if len(text) <= width:
        return text
    cut = text.rfind(" ", 0, width)
    return f"{text[:cut]}\n{text[cut + 1 :]}"


def stack_explorer() -> None:
    """Users, latency class and team against the three stacks."""

    def draw(users: float, answer: float, engineers: int) -> tuple[Figure, str]:
        chosen = select(users, latency_ms=answer, engineers=engineers)
        counts = chosen["stack"].value_counts()
        text = ", ".join(f"{counts[name]} of {len(chosen)} {name}" for name in STACKS if name in counts)
        return stack_table(chosen, users), text

    wide: dict[str, Any] = {"style": {"description_width": "11em"}, "layout": {"width": "34em"}}
    sizes = [(short(n), float(n)) for n in (1e4, 1e5, 1e6, 1e7, 1e8, 1e9)]
    explorer(
        draw,
        users=ipywidgets.SelectionSlider(options=sizes, value=1e6, description="users", **wide),
        answer=ipywidgets.Dropdown(
            options=[("real time, 100 ms", 100.0), ("near real time, 1 s", 1e3), ("batch", 1e5)], value=100.0,
            description="answer within", **wide,
        ),
        engineers=ipywidgets.IntSlider(3, 1, 60, 1, description="engineers", continuous_update=False, **wide),
    )  # fmt: skip
