"""One quiet house style: what every figure has in common.

Figures are made without pyplot. So there is no global figure list, no window on macOS, no change to
anybody's `rcParams`, and the same data gives the same PNG bytes whatever style the notebook has set.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/): told apart with any colour vision.
# Named by role: a colour means the same thing in every figure.
NAIVE = "#D55E00"
FIXED = "#0072B2"
GOOD = "#009E73"
WARN = "#E69F00"
EXTRA = "#CC79A7"
INK = "#222222"
MUTED = "#6B6B6B"
LINE = "#C9C9C9"
PAPER = "#FFFFFF"

PIXELS_PER_INCH = 100  # on screen: 9 inches are 900 px wide
DPI = 160  # in the file: sharp on dense screens, and a diagram stays near 100 kB

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#EDEDED",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": DPI,
    "savefig.dpi": "figure",
}


@contextmanager
def house() -> Iterator[None]:
    """The house style inside a `with` block or, as `@house()`, inside a function; then all is as before.

    >>> import matplotlib
    >>> with house():
    ...     matplotlib.rcParams["axes.spines.top"]
    False
    >>> matplotlib.rcParams["axes.spines.top"]
    True
    """
    # "default" first: a style the notebook has switched on must not leak into ours.
    with matplotlib.style.context(["default", _STYLE]):
        yield


class HouseFigure(Figure):
    """A figure that a notebook shows once, as the last expression of a cell, with no backend set up."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        width, height = self.get_size_inches()
        size = {"width": round(width * PIXELS_PER_INCH), "height": round(height * PIXELS_PER_INCH)}
        return png(self), size


@house()
def figure(*, width: float = 9.0, height: float = 4.6, fitted: bool = True) -> HouseFigure:
    """An empty figure of `width` × `height` inches. `fitted` lays axes out so that no label is cut.

    >>> figure(width=9, height=3).get_size_inches().tolist()
    [9.0, 3.0]
    """
    return HouseFigure(figsize=(width, height), dpi=DPI, layout="constrained" if fitted else None)


def headline(fig: Figure, finding: str, detail: str = "") -> None:
    """Put the finding at the top left in bold and, under it, one quiet line on how to read the figure."""
    height = fig.get_size_inches()[1]
    inset = 0.12 / fig.get_size_inches()[0]
    fig.text(inset, 1 - 0.12 / height, finding, ha="left", va="top", fontsize=13, fontweight="bold")
    lines = 1 + finding.count("\n")
    if detail:
        down = (0.16 + 0.22 * lines) / height
        fig.text(inset, 1 - down, detail, ha="left", va="top", fontsize=9.5, color=MUTED)
        lines += 1 + detail.count("\n")
    engine = fig.get_layout_engine()
    if engine is not None:  # leave the strip to the text
        engine.set(rect=(0.005, 0.01, 0.99, 1 - 0.01 - (0.2 + 0.21 * lines) / height))  # type: ignore[call-arg]


def canvas(fig: Figure, width: float, height: float) -> Axes:
    """Axes over the whole figure in drawing units, without ticks or frame: for boxes and arrows."""
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


@house()
def png(fig: Figure) -> bytes:
    """The figure as PNG bytes; equal figures give equal bytes (no date, no version inside)."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
