"""The figures: plain arrays in, one figure out, the finding in the title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house

PERCENT = FuncFormatter(lambda value, _: f"{value:.0%}")


def short(value: float, unit: str = "") -> str:
    """A number for an axis or a bar, three digits: k, M, B for counts; k, M, G before a unit.

    >>> short(1_234_000), short(2e9), short(2e9, "B"), short(0.0021)
    ('1.23M', '2B', '2GB', '0.0021')
    """
    for size, letter in ((1e12, "T"), (1e9, "G" if unit else "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}{unit}"
    return f"{value:.3g}{unit}"


def seconds(value: float) -> str:
    """A duration with its unit.

    >>> seconds(0.0753), seconds(0.000153)
    ('75.3 ms', '153 µs')
    """
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


@house()
def auc_curve(
    events: np.ndarray, leaked: np.ndarray, honest: np.ndarray, honest_low: np.ndarray, honest_high: np.ndarray
) -> Figure:
    """AUC that leaked features claim, and honest ones reach, against the number of events; all arrays (n,)."""
    fig = figure(height=4.8)
    headline(
        fig,
        f"On pure noise, leaking features claim an AUC of up to {leaked.max():.2f}",
        "Same rows, same split, same model. Only the join differs.",
    )
    ax = fig.add_subplot()
    ax.axhline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.fill_between(events, honest_low, honest_high, color=FIXED, alpha=0.15, linewidth=0)
    ax.plot(events, leaked, color=NAIVE, marker="o", markersize=6)
    ax.plot(events, honest, color=FIXED, marker="o", markersize=6)
    for n, value in zip(events, leaked, strict=True):
        ax.annotate(f"{value:.2f}", (n, value), (0, 9), textcoords="offset points", ha="center", color=NAIVE)
    middle = len(events) // 2
    ax.annotate("whole-table features:\nthe label is inside", (events[middle], leaked[middle]), (30, 10),
                textcoords="offset points", color=NAIVE, fontweight="bold")  # fmt: skip
    ax.annotate("point-in-time features, 95 % interval", (events[middle], honest_low[middle:].min()), (0, -8),
                textcoords="offset points", color=FIXED, fontweight="bold", va="top")  # fmt: skip
    ax.annotate("chance", (1, 0.5), (-3, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", color=MUTED, fontsize=9)  # fmt: skip
    ax.set(xscale="log", ylim=(min(0.4, honest_low.min() - 0.03), 1.06), ylabel="AUC on held-out rows",
           xlabel="events, log scale (users and posts fixed: fewer events per entity to the left)")  # fmt: skip
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return fig


@house()
def costs_bar(names: Sequence[str], naive_seconds: Sequence[float], fixed_seconds: Sequence[float]) -> Figure:
    """Naive path against columnar path, seconds on a log scale, the ratio printed between them."""
    fig = figure(height=0.9 + 0.85 * len(names) + 0.5)
    ratios = np.array(naive_seconds) / np.array(fixed_seconds)
    headline(fig, f"The columnar path costs {ratios.min():.3g} to {ratios.max():.3g} times less")
    ax = fig.add_subplot()
    y = np.arange(len(names))[::-1]
    for offset, values, colour in ((0.18, naive_seconds, NAIVE), (-0.18, fixed_seconds, FIXED)):
        ax.hlines(y + offset, min(fixed_seconds) / 3, values, color=colour, linewidth=11)
        for place, value in zip(y + offset, values, strict=True):
            ax.annotate(seconds(value), (value, place), (6, 0), textcoords="offset points", va="center", color=INK)
    for place, ratio, value in zip(y, ratios, naive_seconds, strict=True):
        ax.annotate(f"× {ratio:.3g}", (value, place), (70, 0), textcoords="offset points", va="center",
                    fontweight="bold", fontsize=12)  # fmt: skip
    ax.set(xscale="log", yticks=y, yticklabels=names, xlim=(min(fixed_seconds) / 3, max(naive_seconds) * 30),
           ylim=(-0.6, len(names) - 0.4), xlabel="time, log scale: naive above, columnar below")  # fmt: skip
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    return fig


@house()
def score_histogram(scores: np.ndarray, threshold: float) -> Figure:
    """How the scores (n,) are spread, and where two thresholds cut them: one half, and the given one."""
    fig = figure(height=3.4)
    over = float((scores >= threshold).mean())
    headline(fig, f"No score reaches one half; the tuned threshold takes {over:.0%} of rows" if scores.max() < 0.5
             else f"The threshold takes {over:.0%} of rows")  # fmt: skip
    ax = fig.add_subplot()
    # Bins of a fixed width: as many bins as fit the scores would draw a comb where scores are close together.
    ax.hist(scores, bins=np.arange(0, 1.005, 0.005).tolist(), color=FIXED, alpha=0.75)
    for value, text, colour in ((threshold, f"chosen {threshold:.3f}", NAIVE), (0.5, "default 0.5", MUTED)):
        ax.axvline(value, color=colour, linewidth=1.5)
        ax.annotate(text, (value, 0.97), (-5, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                    color=colour, ha="right", va="top", fontweight="bold")  # fmt: skip
    ax.set(xlabel="predicted probability of a like", ylabel="rows", xlim=(0, max(0.62, float(scores.max()) * 1.05)))
    return fig


@house()
def drift_bars(names: Sequence[str], psi: np.ndarray, threshold: float) -> Figure:
    """PSI per column, largest first, against the size from which a shift matters."""
    fig = figure(height=1.2 + 0.32 * len(names))
    over = int((np.asarray(psi) >= threshold).sum())
    headline(fig, f"{over} of {len(names)} columns moved by more than {threshold:g}" if over else "No column moved")
    ax = fig.add_subplot()
    y = np.arange(len(names))[::-1]
    ax.barh(y, psi, color=[NAIVE if value >= threshold else FIXED for value in psi], height=0.6)
    ax.axvline(threshold, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(
        yticks=y,
        yticklabels=names,
        xlabel="population stability index",
        xlim=(0, max(1.5 * threshold, 1.05 * max(psi))),
    )
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    return fig


@house()
def intervals(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    reference: float | None = None,
) -> Figure:
    """Estimates with their intervals, one line each, and a line at the reference."""
    fig = figure(height=1.1 + 0.5 * len(names))
    ax = fig.add_subplot()
    y = np.arange(len(names))[::-1]
    if reference is not None:
        ax.axvline(reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.hlines(y, lows, highs, color=FIXED, linewidth=3)
    ax.plot(values, y, "o", color=FIXED, markersize=8)
    for place, value, low, high in zip(y, values, lows, highs, strict=True):
        ax.annotate(f"{value:.3f} [{low:.3f}, {high:.3f}]", (value, place), (0, 10), textcoords="offset points",
                    ha="center", color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    ax.set(yticks=y, yticklabels=names, ylim=(-0.5, len(names) - 0.2), xlim=(min(0.3, *lows), 1.05))
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    return fig


@house()
def loss_funnel(stages: Sequence[str], counts: Sequence[int]) -> Figure:
    """Rows that reached each stage, and how many the stage before lost."""
    fig = figure(height=1.0 + 0.45 * len(stages))
    headline(fig, f"Of {counts[0]:,} rows read, every one is accounted for")
    ax = fig.add_subplot()
    y = np.arange(len(stages))[::-1]
    ax.barh(y, counts, color=[FIXED] * (len(stages) - 1) + [GOOD], height=0.62)
    for place, count in zip(y, counts, strict=True):
        ax.annotate(f"{count:,}", (count, place), (6, 0), textcoords="offset points", va="center", color=INK)
    ax.set(yticks=y, yticklabels=stages, xlim=(0, counts[0] * 1.12), xlabel="rows")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    return fig


def _alert_axes(ax: Axes) -> None:
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.06), xlabel="healthy days that page", ylabel="bad days caught")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.yaxis.set_major_formatter(PERCENT)


@house()
def alert_tradeoff(graded: pd.DataFrame) -> Figure:
    """Policies as classifiers of days: one dot per seed, one panel per log volume.

    `graded`: columns policy, rows_per_day, seed, false_alarms, caught, as `mlsys.monitoring.grade` gives.
    """
    fig = figure(height=4.4)
    headline(fig, "Little data forces a choice; much data does not", "One dot per seed. Best is top left.")
    volumes = sorted(graded["rows_per_day"].unique())
    for place, volume in enumerate(volumes, start=1):
        ax = fig.add_subplot(1, len(volumes), place)
        here = graded[graded["rows_per_day"] == volume]
        for i, (policy, rows) in enumerate(here.groupby("policy")):
            colour = (NAIVE, FIXED, WARN)[i]
            ax.plot(rows["false_alarms"], rows["caught"], "o", color=colour, alpha=0.35, markeredgewidth=0)
            x, y = rows["false_alarms"].mean(), rows["caught"].mean()
            ax.plot(x, y, "D", color=colour, markersize=9)
            high, left = y > 0.5, x < 0.5  # the name stands under a high cloud of dots, over a low one
            corner = (rows["false_alarms"].min() if left else 1, rows["caught"].min() if high else rows["caught"].max())
            ax.annotate(str(policy), corner, (-4, -18 - 16 * i if high else 14), textcoords="offset points",
                        color=colour, fontweight="bold", ha="left" if left else "right", va="center")  # fmt: skip
        ax.set_title(f"{volume:,} impressions a day")
        _alert_axes(ax)
    return fig


@house()
def alert_curves(curves: Mapping[str, np.ndarray], chosen: tuple[float, float], finding: str) -> Figure:
    """What every threshold gives, per kind of policy: arrays (thresholds, 2) of false alarms and catches."""
    fig = figure(width=7.6, height=4.4)
    headline(fig, finding)
    ax = fig.add_subplot()
    for (name, points), colour, where in zip(curves.items(), (NAIVE, FIXED), (0.55, 0.35), strict=True):
        ax.plot(*points.T, color=colour, marker="o", markersize=3)
        at = points[np.argmin(np.abs(points[:, 1] - where))]
        ax.annotate(name, at, (6, 12), textcoords="offset points", color=colour, fontweight="bold")
    ax.plot(*chosen, "*", color=EXTRA, markersize=20, markeredgecolor="white")
    ax.annotate("you", chosen, (11, 6), textcoords="offset points", color=EXTRA, fontweight="bold")
    _alert_axes(ax)
    return fig


@house()
def scale_curves(users: np.ndarray, qps: np.ndarray, storage_bytes: np.ndarray, cores: np.ndarray) -> Figure:
    """Requests, online storage and cores against users, each with its values printed; arrays (n,)."""
    fig = figure(height=3.4)
    headline(fig, "Everything grows with users; what breaks first is what cannot be split")
    panels = (
        (qps, "requests/s at peak", FIXED, ""),
        (storage_bytes, "online store", GOOD, "B"),
        (cores, "cores to rank", NAIVE, ""),
    )
    for place, (values, name, colour, unit) in enumerate(panels, start=1):
        ax = fig.add_subplot(1, 3, place)
        ax.loglog(users, values, color=colour, marker="o", markersize=6)
        for n, value in zip(users, values, strict=True):
            ax.annotate(short(value, unit), (n, value), (-8, 3), textcoords="offset points", ha="right", color=INK)
        ax.set_title(name)
        ax.set(xlabel="users", xlim=(users[0] / 30, users[-1] * 4), ylim=(values[0] / 4, values[-1] * 8))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: short(value, unit)))
        ax.spines[["left", "bottom"]].set_color(LINE)
    return fig


@house()
def oracle_shares(value: pd.DataFrame) -> Figure:
    """Likes per session of each ranker as a share of the oracle's; `mlsys.orchestration.ladder.ladder`."""
    share: dict[Any, float] = value["share_of_oracle"].to_dict()
    aucs: dict[Any, float] = value["auc"].dropna().to_dict()
    best = max((name for name in share if name != "oracle"), key=lambda name: share[name])
    fig = figure(height=3.6)
    headline(
        fig,
        f"The best model earns {share[best]:.0%} of what is possible, random order {share['random']:.0%}",
        "Exact likes per session on the same sessions. Beside the bars: AUC on impressions in random order.",
    )
    ax = fig.add_subplot()
    y = np.arange(len(value))
    ax.barh(y, list(share.values()), color=[GOOD if name == "oracle" else FIXED for name in share], height=0.62)
    for at, name in enumerate(share):
        auc = f"   AUC {aucs[name]:.2f}" if name in aucs else ""
        ax.annotate(f"{share[name]:.0%}{auc}", (share[name], at), (5, 0), textcoords="offset points", va="center")
    ax.set(yticks=y, yticklabels=list(share), xlim=(0, 1.28), xlabel="likes, share of the oracle's")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xticks(np.arange(0, 1.01, 0.25))
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    return fig
