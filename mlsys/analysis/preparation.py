"""Figures of notebook 04: what a preparation does to the data, and what that costs in likes."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.requirements import SIGNED
from mlsys.analysis.style import FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.analysis.widgets import explorer


@house()
def lateness_curve(table: pd.DataFrame) -> Figure:
    """Dead letters against event ids in memory, a point per allowed lateness; of `preparation.lateness`."""
    fig = figure(width=7.6, height=3.8)
    first, last = table.iloc[0], table.iloc[-1]
    headline(fig, f"No event lost takes {last['ids'] / first['ids']:.0f} times the memory",
             "One point per allowed lateness. Behind the watermark by more than that: a dead letter.")  # fmt: skip
    ax = fig.add_subplot()
    ax.plot(table["ids"], table["dead"], color=FIXED, marker="o")
    for hours, row in _rows(table):
        ax.annotate(f"{hours} h", (row["ids"], row["dead"]), (7, 5), textcoords="offset points", color=INK)
    ax.set(xlabel="most event ids held in memory", ylabel="share of events that are dead letters", ylim=(-0.003, None))
    ax.set_xlim(0, last["ids"] * 1.12)
    ax.xaxis.set_major_formatter(lambda value, _: short(value))
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def label_bias(table: pd.DataFrame, slots: pd.DataFrame) -> Figure:
    """Left: like rate of the training set by hours waited. Right: like rate per slot, estimated and true."""
    fig = figure(height=4.2)
    missing = 1 - table["like_rate"].iloc[0] / table["true_rate"].iloc[0]
    headline(fig, f"At midnight {missing:.0%} of the day's likes are still on their way",
             "Left: training set of one day, likes six hours late on average. Right: a shuffled slice of the log "
             "shows who was looked at.")  # fmt: skip
    left, right = fig.subplots(1, 2)
    left.plot(table.index, table["true_rate"], color=MUTED, linestyle=(0, (4, 3)))
    left.plot(table.index, table["like_rate"], color=NAIVE, marker="o")
    left.annotate(
        "in the end", (table.index[1], table["true_rate"].iloc[1]), (0, 7), textcoords="offset points", color=MUTED
    )
    left.annotate("at midnight", (table.index[1], table["like_rate"].iloc[1]), (8, -12), textcoords="offset points",
                  color=NAIVE, fontweight="bold")  # fmt: skip
    left.set(xlabel="hours waited before training", ylabel="like rate of the training set", xticks=table.index)
    left.set_ylim(0, table["true_rate"].max() * 1.25)
    left.yaxis.set_major_formatter(PERCENT)
    right.plot(slots.index, slots["true"], color=MUTED, linestyle=(0, (4, 3)), label="chance to be looked at (truth)")
    right.plot(
        slots.index, slots["shuffled"], color=FIXED, marker="o", linewidth=0, label="like rate, shuffled sessions"
    )
    right.set(xlabel="slot", ylabel="as a share of slot 1", ylim=(0, 1.08), xticks=slots.index)
    right.legend(frameon=False)
    return fig


@house()
def fault_bars(table: pd.DataFrame) -> Figure:
    """Likes lost per fault and policy; of `preparation.fault_costs`."""
    rows = table.sort_values("trained")
    worst = rows.index[-1]
    fig = figure(height=1.7 + 0.72 * len(rows))
    passes = "" if rows["seen"].iloc[-1] else ", and every row check passes"
    headline(fig, f"Costliest: {worst}{passes}",
             "Likes lost. Three days of log have the fault. Touched: share of their rows.")  # fmt: skip
    ax = fig.add_subplot()
    y = np.arange(len(rows))
    ways = (("trained", NAIVE, "train on everything"), ("held", WARN, "hold the batch if a default check fails"),
            ("set_aside", FIXED, "set rows aside, then compare rates"))  # fmt: skip
    for at, (column, colour, name) in enumerate(ways):
        ax.barh(y + 0.26 * (1 - at), rows[column], height=0.24, color=colour, label=name)
        for place, value in zip(y, rows[column], strict=True):
            ax.annotate(signed(value, ".1%"), (max(value, 0), place + 0.26 * (1 - at)), (4, 0), fontsize=8.5,
                        textcoords="offset points", va="center", color=INK)  # fmt: skip
    labels = [f"{name}\n{row['touched']:.0%} touched" for name, row in _rows(rows)]
    ax.axvline(0, color=INK, linewidth=1)
    ax.set(
        yticks=y,
        yticklabels=labels,
        xlabel="likes lost",
        xlim=(min(0.0, float(rows[["trained", "held", "set_aside"]].to_numpy().min())) - 0.004, None),
    )
    ax.legend(frameon=False, loc="lower right")
    return _quiet(fig, ax)


@house()
def fill_bars(table: pd.DataFrame) -> Figure:
    """Share of the oracle's likes per answer to a missing value, and how much of it is new posts; of `fills`."""
    fig = figure(height=4.0)
    trees: Any = table.loc["trees"]
    shown = {"share": "share of the oracle's likes", "new_posts": "share of impressions that are new posts"}
    usual, dropped = trees["new_posts"]["mean"], trees["new_posts"]["drop the row"]
    title = f"Drop rows with a null: new posts fall from {usual:.0%} to {dropped:.0%} of the feed"
    headline(fig, title, "What is missing is new: no history yet. Left: likes. Right: impressions of posts of the day.")
    for ax, (column, name) in zip(fig.subplots(1, 2, sharey=True), shown.items(), strict=True):
        for model, colour, offset in (("trees", FIXED, 0.18), ("linear", GOOD, -0.18)):
            values: Any = table.loc[model][column]
            y = np.arange(len(values))[::-1] + offset
            ax.barh(y, values, height=0.32, label=model,
                    color=[NAIVE if name == "drop the row" else colour for name in values.index])  # fmt: skip
            for place, value in zip(y, values, strict=True):
                ax.annotate(f"{model} {value:.1%}", (value, place), (-5, 0), textcoords="offset points", va="center",
                            ha="right", color="white", fontsize=9)  # fmt: skip
        ax.set(yticks=np.arange(4)[::-1], yticklabels=list(trees.index), xlabel=name)
        ax.xaxis.set_major_formatter(PERCENT)
        _quiet(fig, ax, percent=False)
    return fig


@house()
def split_dots(calm: pd.DataFrame, shifted: pd.DataFrame) -> Figure:
    """What each split reports, against what is true tomorrow; of `splits`."""
    rows: dict[str, Any] = {
        "whole-table features": calm.loc["whole table"],
        "point in time": calm.loc["point in time"],
        "point in time, interests\nshifted a day before": shifted.loc["point in time"],
    }
    fig = figure(height=3.6)
    leak = calm.T["whole table"]
    off = float(leak["by time"] - leak["tomorrow"])
    headline(fig, f"A time split does not save leaking features: {signed(off, '+.2f')} AUC",
             "What is reported, against tomorrow (line).")  # fmt: skip
    ax = fig.add_subplot()
    y = np.arange(len(rows))[::-1].astype(float)
    for place, row in zip(y, rows.values(), strict=True):
        ax.plot([row["tomorrow"]] * 2, [place - 0.32, place + 0.32], color=INK, linewidth=2.5)
        ax.annotate(f"{row['tomorrow']:.2f}", (row["tomorrow"], place + 0.34), ha="center", va="bottom", fontsize=9)
    for split, colour, offset in (("random", NAIVE, 0.2), ("by user", WARN, 0.0), ("by time", FIXED, -0.2)):
        ax.plot([row[split] for row in rows.values()], y + offset, "o", color=colour, markersize=8, label=split)
    ax.set(yticks=y, yticklabels=list(rows), xlabel="AUC", ylim=(-0.5, len(rows) - 0.3), xlim=(0.54, 0.93))
    ax.legend(frameon=False, loc="center right")
    return _quiet(fig, ax, percent=False)


@house()
def stale_curves(table: pd.DataFrame) -> Figure:
    """Share of the oracle's likes by days that the job has hung, a curve per TTL; of `stale`."""
    fig = figure(width=7.6, height=4.2)
    longest, least = (float(str(table.columns[i])) for i in (0, -1))
    loss = 1 - table[least].iloc[1] / table[longest].iloc[1]
    headline(fig, f"A TTL of {least:.0f} day and a job a day late: {loss:.0%} of likes gone",
             "The job that puts features online has hung for so many days.")  # fmt: skip
    ax = fig.add_subplot()
    for ttl, colour in zip(map(float, map(str, table)), (FIXED, WARN, NAIVE), strict=False):
        name = "no TTL: old values are served" if np.isinf(ttl) else f"TTL {ttl:.0f} d: older values are withheld"
        ax.plot(table.index, table[ttl], color=colour, marker="o", label=name)
    for day, share in table[longest].items():
        ax.annotate(f"{share:.0%}", (day, share), (0, 8), ha="center",
                    textcoords="offset points", color=FIXED)  # fmt: skip
    ax.set(xlabel="days since features were put online", ylabel="share of the oracle's likes", ylim=(0.5, 0.88))
    ax.set_xticks(list(table.index))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.legend(frameon=False, loc="lower right")
    return fig


@house()
def skew_bars(table: pd.DataFrame) -> Figure:
    """Likes lost per skew and model, beside the share of values that differ; of `skews`."""
    rows = table.sort_values("trees")
    fig = figure(height=3.6)
    quiet = rows.index[0]
    differ, lost = rows["differ"].iloc[0], signed(rows["trees"].iloc[0], ".1%")
    headline(fig, f"{str(quiet).capitalize()}: {differ:.0%} of values differ, {lost} of likes lost",
             "How many values differ does not say what it costs.")  # fmt: skip
    ax = fig.add_subplot()
    y = np.arange(len(rows))
    for model, colour, offset in (("trees", FIXED, 0.18), ("linear", GOOD, -0.18)):
        ax.barh(y + offset, rows[model], height=0.32, color=colour, label=model)
        for place, value in zip(y + offset, rows[model], strict=True):
            ax.annotate(f"{model} {signed(value, '.1%')}", (max(value, 0), place), (5, 0), textcoords="offset points",
                        va="center", color=INK)  # fmt: skip
    labels = [f"{name}\n{row['differ']:.0%} of {row['feature']} differ" for name, row in _rows(rows)]
    ax.set(yticks=y, yticklabels=labels, xlabel="likes lost", xlim=(-0.005, float(rows["linear"].max()) * 1.25))
    return _quiet(fig, ax)


@house()
def contrast(worlds: pd.DataFrame) -> Figure:
    """Train now against wait, a dot per seed and world; of `wait_or_train`."""
    fig = figure(width=7.6, height=3.4)
    gap = {name: worlds[name]["now"] - worlds[name]["wait"] for name in ("calm", "shifted")}
    headline(fig, "Waiting for labels wins calm days and loses the day of a shift",
             f"Train at midnight on the last day minus wait a day, {len(worlds)} worlds. Bars: means.")  # fmt: skip
    ax = fig.add_subplot()
    ax.axvline(0, color=INK, linewidth=1)
    for place, values in enumerate(gap.values()):
        spread = np.linspace(-0.18, 0.18, len(values))
        ax.plot(values, 1 - place + spread, "o", color=FIXED if values.mean() > 0 else NAIVE, alpha=0.7)
        ax.plot([values.mean()] * 2, [0.7 - place, 1.3 - place], color=INK, linewidth=2.5)
        ax.annotate(signed(values.mean(), "+.1%"), (values.mean(), 1.32 - place), ha="center", va="bottom")
    ax.set(yticks=[1, 0], yticklabels=["calm", "interests shifted\nas the last day began"], ylim=(-0.5, 1.65),
           xlabel="share of the oracle's likes: now - wait")  # fmt: skip
    ax.xaxis.set_major_locator(MultipleLocator(0.02))
    ax.xaxis.set_major_formatter(SIGNED)
    return _quiet(fig, ax, percent=False)


@house()
def freshness_map(table: pd.DataFrame, chosen: tuple[float, float, float], text: str) -> Figure:
    """Likes against cores, a point per (window, every, ttl); of `freshness`."""
    fig = figure(width=7.6, height=4.4)
    headline(fig, text, "All settings. Colour: window. Hollow: with a TTL of one day.")
    ax = fig.add_subplot()
    windows = sorted({window for window, _, _ in table.index})
    for window, colour in zip(windows, (NAIVE, WARN, FIXED), strict=False):
        for ttl in sorted({ttl for _, _, ttl in table.index}, reverse=True):
            part = table.loc[[key for key in table.index if key[0] == window and key[2] == ttl]]
            ax.plot(part["cores"], part["share"], "o-", color=colour, linewidth=1, markersize=7,
                    markerfacecolor=colour if np.isinf(ttl) else "white",
                    label=f"{window:g} d" if np.isinf(ttl) else None)  # fmt: skip
    row = table.loc[[chosen]].iloc[0]
    ax.plot(row["cores"], row["share"], "o", markersize=17, markerfacecolor="none", markeredgecolor=INK)
    ax.set(xscale="log", xlabel="cores for a hundred million users, log scale", ylabel="share of the oracle's likes")
    ax.xaxis.set_major_formatter(lambda value, _: short(value))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.legend(frameon=False, title="window", loc="center right")
    return fig


def freshness_explorer(table: pd.DataFrame) -> None:
    """Window, hours between two materializations, and TTL: likes against cores."""
    options = [sorted(set(values)) for values in zip(*table.index, strict=True)]

    def draw(window: float, every: float, ttl: float) -> tuple[Figure, str]:
        row = table.loc[[(window, every, ttl)]].iloc[0]
        text = f"{row['share']:.1%} of the oracle's likes for {row['cores']:.3g} cores"
        return freshness_map(table, (window, every, ttl), text), text

    wide: dict[str, Any] = {
        "continuous_update": False,
        "style": {"description_width": "16em"},
        "layout": {"width": "36em"},
    }
    names = ("window, days", "put online every so many hours", "TTL, days (inf: none)")
    start = (options[0][-1], 24 if 24 in options[1] else options[1][0], options[2][-1])
    explorer(draw, **{
        key: ipywidgets.SelectionSlider(options=values, value=value, description=name, **wide)
        for key, values, value, name in zip(("window", "every", "ttl"), options, start, names, strict=True)
    })  # fmt: skip


def _rows(table: pd.DataFrame) -> list[tuple[Any, Any]]:
    return list(table.iterrows())


def _quiet(fig: Figure, ax: Axes, *, percent: bool = True) -> Figure:
    """Names on the left are ink; no lines between them."""
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_color(LINE)
    if percent:
        ax.xaxis.set_major_formatter(SIGNED)
    return fig
