"""Figures of notebook 02: what an answer changes, by how much, and which question to ask first."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlsys import naive
from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.analysis.widgets import explorer
from mlsys.config import SystemConfig
from mlsys.orchestration.requirements import Answers

GUIDE = ("objective", "scale", "latency", "history", "views", "log order", "nulls", "cores", "stack", "feature age",
         "new posts", "user ids", "device", "user totals", "small creators", "new users")  # fmt: skip
"""The usual order: goal, scale, latency, data, constraints, people."""

SIGNED = FuncFormatter(lambda value, _: signed(value, "+.0%") if value else "0")


@house()
def horizon_curves(gains: pd.DataFrame, turning_day: float) -> Figure:
    """Likes so far of the value function over those of the like-optimiser - 1: a row per day, a column per seed."""
    mean = gains.mean(axis=1)
    fig = figure(height=4.2)
    worlds = f"{gains.shape[1]} worlds, bold: their mean" if gains.shape[1] > 1 else "One world"
    headline(
        fig,
        f"Likes first {signed(mean.iloc[0], '+.0%')}, after {gains.index[-1]} days {signed(mean.iloc[-1], '+.0%')}",
        f"Value function against like-optimiser, both perfect, likes so far. {worlds}.",
    )
    ax = fig.add_subplot()
    ax.axhline(0, color=MUTED, linewidth=1)
    if gains.shape[1] > 1:
        ax.plot(gains.index, gains, color=FIXED, alpha=0.25, linewidth=1)
    ax.plot(gains.index, mean, color=FIXED, linewidth=2.5)
    ax.axvline(turning_day, color=NAIVE, linewidth=1.2, linestyle=(0, (4, 3)))
    ax.annotate(f"even on day {turning_day:.1f}", (turning_day, 0.97), (6, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", color=NAIVE, fontweight="bold", va="top")  # fmt: skip
    for day in (gains.index[0], *gains.index[6::8]):
        ax.annotate(signed(mean[day], "+.0%"), (day, mean[day]), (0, -14), textcoords="offset points", color=INK)
    ax.margins(y=0.12)
    ax.set(xlabel="day on which somebody looks", ylabel="likes so far", xlim=(0.5, gains.index[-1] + 1.5))
    ax.yaxis.set_major_formatter(SIGNED)
    return fig


@house()
def load_chart(loads: pd.DataFrame) -> Figure:
    """Machines per component (rows) and users (columns), log scale; of `requirements.load`."""
    sizes = [column for column in loads if column != "breaks_at"]
    first = str(loads.index[0])
    fig = figure(height=1.5 + 0.5 * len(loads))
    numbers = ", ".join(short(float(str(n))) for n in sizes)
    headline(
        fig,
        f"First to break: {first}, at {short(loads['breaks_at'].iloc[0])} users",
        f"Machines needed for {numbers} users, log scale. Right of the line, one is not enough.",
    )
    ax = fig.add_subplot()
    y = np.arange(len(loads))[::-1]
    ax.axvline(1, color=INK, linewidth=1.2)
    ax.hlines(y, loads[sizes[0]], loads[sizes[-1]], color=MUTED, linewidth=1.2)
    for size, colour in zip(sizes, (GOOD, FIXED, NAIVE), strict=False):
        ax.plot(loads[size], y, "o", color=colour, markersize=9)
        for place, value in zip(y, loads[size], strict=True):
            ax.annotate(short(value), (value, place), (0, 8), textcoords="offset points", ha="center", fontsize=8.5)
    ax.set(xscale="log", yticks=y, yticklabels=list(loads.index), ylim=(-0.5, len(loads) - 0.3), xlabel="machines",
           xlim=(loads[sizes[0]].min() / 3, loads[sizes[-1]].max() * 3))  # fmt: skip
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    _names(ax)
    return fig


@house()
def change_bars(changes: Mapping[str, float], notes: Sequence[str], finding: str, detail: str = "") -> Figure:
    """Changes in likes, one bar each with a note behind it; losses are orange."""
    values = np.array(list(changes.values()))
    fig = figure(height=1.5 + 0.42 * len(values))
    headline(fig, finding, detail)
    ax = fig.add_subplot()
    y = np.arange(len(values))[::-1]
    ax.barh(y, values, color=[NAIVE if value < -0.015 else FIXED for value in values], height=0.6)
    ax.axvline(0, color=INK, linewidth=1)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    span = high - low
    for place, value, note in zip(y, values, notes, strict=True):
        ax.annotate(f"{signed(value, '+.1%')}   {note}", (max(value, 0), place), (6, 0), textcoords="offset points",
                    va="center", color=INK)  # fmt: skip
    ax.set(
        yticks=y, yticklabels=list(changes), xlim=(low - 0.03 * span, high + 0.75 * span), xlabel="likes per session"
    )
    ax.xaxis.set_major_formatter(SIGNED)
    _names(ax)
    return fig


@house()
def stakes_chart(table: pd.DataFrame, finding: str) -> Figure:
    """Two bars per question: what its answer costs anyway, and what not asking costs on top; of `stakes`."""
    rows = table.iloc[::-1]
    fig = figure(height=1.6 + 0.46 * len(rows))
    headline(fig, finding,
             "Orange: likes lost when the assumed answer is wrong and you did not ask.\nGrey: what the other answer "
             "costs or brings, asked or not.")  # fmt: skip
    ax = fig.add_subplot()
    y = np.arange(len(rows))
    price = rows["price"].fillna(0.0)
    ax.barh(y + 0.18, price, color=MUTED, alpha=0.45, height=0.3)
    ax.barh(y - 0.18, rows["lost"], color=NAIVE, height=0.34)
    ax.axvline(0, color=INK, linewidth=1)
    edge = max(float(rows["lost"].max()), float(price.max()))
    for place, lost in zip(y, rows["lost"], strict=True):
        ax.annotate(signed(lost, ".1%"), (max(lost, 0), place - 0.18), (5, 0), textcoords="offset points", va="center",
                    color=NAIVE, fontsize=9, fontweight="bold")  # fmt: skip
    ax.set(
        yticks=y, yticklabels=list(rows["ask"]), xlabel="likes", xlim=(min(float(price.min()), 0) - 0.02, edge * 1.15)
    )
    ax.xaxis.set_major_formatter(SIGNED)
    _names(ax)
    return fig


@house()
def minutes_curves(curves: Mapping[str, np.ndarray], seconds: float, finding: str) -> Figure:
    """Expected loss still open after so many minutes of questions, one curve per order."""
    fig = figure(width=7.6, height=4.4)
    headline(fig, finding, f"{seconds:.0f} seconds per question. The line: five minutes.")
    ax = fig.add_subplot()
    for (name, left), colour in zip(curves.items(), (NAIVE, WARN, FIXED), strict=True):
        minutes = np.arange(len(left)) * seconds / 60
        ax.step(minutes, left, where="post", color=colour, linewidth=2, label=name)
        at = min(int(5 * 60 // seconds), len(left) - 1)
        ax.plot(5, left[at], "o", color=colour, markersize=8)
        ax.annotate(f"{left[at]:.0%}", (5, left[at]), (7, 6), textcoords="offset points", color=colour,
                    fontweight="bold")  # fmt: skip
    ax.axvline(5, color=EXTRA, linewidth=1.2, linestyle=(0, (4, 3)))
    ax.set(xlabel="minutes spent on questions", ylabel="expected likes lost", ylim=(0, None), xlim=(0, 12))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.legend(frameon=False, loc="upper right")
    return fig


def remaining(lost: Sequence[float], chance: float = 0.5) -> np.ndarray:
    """Expected loss before any question, after the first, the second, ...: float64 (n + 1,).

    1 - Π (1 - chance · lost) over the questions still open, `chance` that the assumed answer is wrong. Losses multiply.

    >>> remaining([0.5, 0.2, -0.1], chance=1.0).round(2).tolist()
    [0.6, 0.2, 0.0, 0.0]
    """
    kept = 1 - chance * np.maximum(np.asarray(lost, np.float64), 0.0)
    return np.asarray(1 - np.append(np.cumprod(kept[::-1])[::-1], 1.0))


def orders(table: pd.DataFrame, chance: float) -> dict[str, np.ndarray]:
    """Expected loss after every question, for three orders: of comfort, the usual one, of the measured loss."""
    best = [str(name) for name in table.sort_values("lost", ascending=False).index]
    by = {
        "what is easy to compute first": list(naive.QUESTIONS),
        "in the usual order": list(GUIDE),
        "by what was measured here": best,
    }
    return {name: remaining(table["lost"][order].tolist(), chance) for name, order in by.items()}


def question_explorer(table: pd.DataFrame) -> None:
    """Seconds per question, and the chance that an assumption is wrong: what three orders of asking leave open."""

    def draw(seconds: int, chance: int) -> tuple[Figure, str]:
        curves, asked = orders(table, chance / 100), int(300 // seconds)
        left = {name: curve[min(asked, len(curve) - 1)] for name, curve in curves.items()}
        worst, *_, best = left.values()
        text = f"Open after {asked} questions: {worst:.0%}, or {best:.0%} in the best order"
        return minutes_curves(curves, seconds, text), text

    wide: dict[str, Any] = {"continuous_update": False, "style": {"description_width": "16em"},
                            "layout": {"width": "36em"}}  # fmt: skip
    explorer(
        draw,
        seconds=ipywidgets.IntSlider(40, 15, 90, 5, description="seconds per question", **wide),
        chance=ipywidgets.IntSlider(50, 10, 100, 10, description="% of assumptions that are wrong", **wide),
    )


def paragraph(answers: Answers, config: SystemConfig) -> str:
    """The problem statement, to be said in half a minute before any box is drawn."""
    goal = "people who come back" if config.training.objective == "value" else "likes in the session"
    return textwrap.fill(
        f"We rank a social feed for {answers.users:,.0f} users, for {goal}, judged after {answers.judged_after_days} "
        f"days: the objective is {config.training.objective!r}. A request has {answers.latency_ms:g} ms, of which "
        f"ranking may take {config.serving.max_latency_ms:g} for {config.serving.candidates} candidates, on "
        f"{config.serving.replicas} cores. Posts are rankable when they appear, so we score at request time; features "
        f"are refreshed once a day over a window of {config.features.window_days:g} days. We train "
        f"{config.training.estimator} every day on up to {config.training.lookback_days} days of impressions with "
        f"position and propensity; {config.serving.explore:.0%} of sessions are explored. User ids and device may be "
        "used. Small creators keep their share of exposure, and new users get the same model.",
        100,
    )


def _names(ax: Axes) -> None:
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
