"""Figures of notebook 06: what a metric, interval, slice or log says, beside what is true."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.analysis.widgets import explorer
from mlsys.evaluation import power
from mlsys.evaluation.experiment import explained
from mlsys.orchestration.judging import Shadowed
from mlsys.orchestration.trials import outcomes

PANELS = ("AUC", "NDCG@10", "F1 at 0.5", "log loss", "per-user AUC", "AUC within slot")
"""Metrics that are drawn, of `judging.METRICS`."""

MARKED = {
    "trees": GOOD,
    "trees, sampled": FIXED,
    "linear": EXTRA,
    "who likes a lot": WARN,
    "dice": MUTED,
    "logged order": NAIVE,
}


@house()
def metric_panels(table: pd.DataFrame) -> Figure:
    """Each metric against what the feed truly earns, a dot per score; of `judging.metrics`."""
    fig = figure(height=5.4)
    logged, linear = table.loc["logged order"], table.loc["linear"]
    headline(fig, f"NDCG@10: {logged['NDCG@10']:.2f} for slots given by chance, {linear['NDCG@10']:.2f} for a model "
             f"that earns {linear['share']:.0%}",
             "Up: likes that the feed earns, of the oracle's. Across: the metric, on tomorrow's labels.")  # fmt: skip
    for ax, name in zip(fig.subplots(2, 3, sharey=True).flat, PANELS, strict=True):
        best = table[name].idxmin() if name == "log loss" else table[name].idxmax()
        for scorer, row in table.iterrows():
            colour = MARKED.get(str(scorer), LINE)
            ax.plot(row[name], row["share"], "o", color=colour, markersize=9)
            if scorer == best:
                ax.plot(row[name], row["share"], "o", markersize=15, markerfacecolor="none", markeredgecolor=INK)
        ax.set(xlabel=f"{name}, less is better" if name == "log loss" else name)
        ax.margins(x=0.12, y=0.12)
        ax.yaxis.set_major_formatter(PERCENT)
    for place, (scorer, colour) in enumerate(MARKED.items()):
        fig.text(0.05 + 0.148 * place, 0.003, f"● {scorer}", color=colour, fontsize=9, fontweight="bold")
    fig.text(0.965, 0.003, "ring: first", fontsize=9, ha="center")
    engine = fig.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.005, 0.045, 0.99, 0.955 - 0.62 / 5.4))  # type: ignore[call-arg]
    return fig


@house()
def interval_ladders(found: pd.DataFrame, table: pd.DataFrame, show: int = 50) -> Figure:
    """The first intervals of `judging.samples` by rows and by users, those that miss the truth in colour."""
    fig = figure(height=4.2)
    headline(fig, f"“95 %”: by rows {table['held']['rows']:.0%} hold the truth, by users {table['held']['users']:.0%}",
             f"The first {show} samples; the line is the exact rate of the world. Red: misses it.")  # fmt: skip
    for ax, way in zip(fig.subplots(1, 2, sharex=True, sharey=True), ("rows", "users"), strict=True):
        one = found.xs(way, level="way").head(show)
        miss = ((one["low"] > one["truth"]) | (one["truth"] > one["high"])).to_numpy()
        at = np.arange(len(one))
        ax.hlines(at, one["low"], one["high"], colors=[NAIVE if bad else FIXED for bad in miss], linewidth=2.2)
        ax.axvline(one["truth"].iloc[0], color=INK, linewidth=1.2)
        ax.set(
            title=f"interval by {way}: {int(miss.sum())} of {len(one)} miss", xlabel="likes per impression", yticks=[]
        )
        ax.xaxis.set_major_formatter(PERCENT)
    return fig


@house()
def slice_gaps(table: pd.DataFrame, of: tuple[str, ...] = ("slot", "history")) -> Figure:
    """Exact AUC and ceiling of the slices of some kinds: the distance is what the model leaves; of `judging.sliced`."""
    some = table[table.index.get_level_values("slice").isin(of)].copy()
    kinds = [("slot", [str(k) for k in range(1, 11)]), ("history", ["none", "1-20", "21-100", "over 100"])]
    keys = [(kind, value) for kind, values in kinds for value in values if (kind, value) in some.index]
    some = some.loc[keys]
    fig = figure(height=1.4 + 0.27 * len(some))
    slots = some.loc["slot"]
    best = str(slots["exact"].idxmax())
    headline(fig, f"Slot {best} has the best AUC and more left to gain than most",
             "Left end: exact AUC. Right end: the ceiling, AUC of P(like) itself. Number: the gap.")  # fmt: skip
    ax, at = fig.add_subplot(), np.arange(len(some))[::-1]
    wide = some["gap"] > some["gap"].median()
    ax.hlines(at, some["exact"], some["ceiling"], colors=[NAIVE if bad else LINE for bad in wide], linewidth=5)
    ax.plot(some["exact"], at, "o", color=FIXED, markersize=8)
    ax.plot(some["ceiling"], at, "|", color=INK, markersize=12)
    for place, gap, end in zip(at, some["gap"], some["ceiling"], strict=True):
        ax.annotate(f"{gap:.3f}", (end, place), (9, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set(yticks=at, yticklabels=[f"{kind} {value}" for kind, value in keys], xlabel="AUC")
    ax.tick_params(axis="y", labelcolor=INK)
    ax.grid(axis="y", visible=False)
    return fig


@house()
def simpson(table: pd.DataFrame) -> Figure:
    """Old and new feed in every third of the users and in all of them; of `judging.volunteers`."""
    fig = figure(width=7.6, height=3.6)
    every = table.loc["all"].to_dict()
    headline(fig, f"Worse in every third, {signed(every['new'] / every['old'] - 1, '+.0%')} in all",
             "Likes per session of either feed's users. Who likes often chose the new one more often.")  # fmt: skip
    ax, at = fig.add_subplot(), np.arange(len(table))
    for shift, name, colour in ((-0.2, "old", FIXED), (0.2, "new", NAIVE)):
        ax.bar(at + shift, table[name], color=colour, width=0.38, label=name)
        for place, value in zip(at + shift, table[name], strict=True):
            ax.annotate(f"{value:.2f}", (place, value), (0, 4), textcoords="offset points", ha="center")
    ax.axvline(len(table) - 1.5, color=LINE, linewidth=1)
    ax.set(xticks=at, xticklabels=[*(f"like {name}" for name in table.index[:-1]), "all"], ylabel="likes per session")
    ax.set_ylim(0, table.to_numpy().max() * 1.25)
    ax.tick_params(axis="x", labelcolor=INK)
    ax.grid(axis="x", visible=False)
    ax.legend(frameon=False, loc="upper left", ncols=2)
    return fig


WAYS = {"logged mean": NAIVE, "where both agree": NAIVE, "dm": WARN, "ips by slot": MUTED, "ips": FIXED,
        "snips": FIXED,         "dr": GOOD}  # fmt: skip


@house()
def what_if(tables: Mapping[float, pd.DataFrame], logs: Mapping[float, Shadowed]) -> Figure:
    """Off-policy estimates with intervals beside the truth, a panel per share explored; of `judging.off_policy`."""
    shares = [share for share, table in tables.items() if "dr" in table.index]
    off = tables[shares[-1]]["value"] / logs[shares[-1]].truth - 1
    fig = figure(height=3.9)
    mean, agree, robust = (signed(float(off[name]), "+.0%") for name in ("logged mean", "where both agree", "dr"))
    headline(fig, f"The logged mean is {mean} off, “where both agree” {agree}, doubly robust {robust}",
             "What the trees would have earned, by another's log. Line: exact. ess: effective rows.")  # fmt: skip
    axes = np.atleast_1d(fig.subplots(1, len(shares), sharex=True, sharey=True))
    names = list(WAYS)[::-1]
    for ax, share in zip(axes, shares, strict=True):
        table, log = tables[share], logs[share]
        ax.axvline(log.truth, color=INK, linewidth=1.2)
        for at, name in enumerate(names):
            row = table.loc[name]
            if np.isfinite(row["low"]):
                ax.hlines(at, row["low"], row["high"], color=WAYS[name], linewidth=3)
            ax.plot(row["value"], at, "o", color=WAYS[name], markersize=8)
            if np.isfinite(row["ess"]):
                ax.annotate(f"ess {row['ess']:.0f}", (0.98, at), xycoords=("axes fraction", "data"), ha="right",
                            va="bottom", fontsize=8, color=MUTED)  # fmt: skip
        ax.set(yticks=range(len(names)), yticklabels=names, xlabel="likes per session",
               title=f"{share:.0%} explored, costs {1 - log.served / log.alone:.1%} of the likes")  # fmt: skip
        ax.tick_params(axis="y", labelcolor=INK)
        ax.set_xlim(0.4 * log.truth, 2.4 * log.truth)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return fig


@house()
def plan_panels(plan: pd.DataFrame, broken: pd.DataFrame) -> Figure:
    """Users per arm by what is read; and what a lossy assignment does; of `trials.plan` and `trials.broken`."""
    fig = figure(height=3.9)
    few, many = plan["needed"]["impressions"], plan["needed"]["likes per user"]
    headline(fig, f"{few:,.0f} users per arm, or {many:,.0f}: it depends on what is counted",
             "Left: same lift, same power. Right: A/A tests that lose the most active of the treated.")  # fmt: skip
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1.25, 1]})
    at = np.arange(len(plan))[::-1]
    left.hlines(at, 100, plan["needed"], colors=[NAIVE, *[FIXED] * (len(plan) - 1)], linewidth=12)
    for place, (_, row) in zip(at, plan.iterrows(), strict=True):
        left.annotate(f"{row['needed']:,.0f}", (row["needed"], place), (7, 0), textcoords="offset points", va="center")
    left.set(xscale="log", xlim=(100, many * 5), yticks=at, yticklabels=plan.index, ylim=(-0.6, len(plan) - 0.4),
             xlabel="users per arm, log scale")  # fmt: skip
    left.minorticks_off()
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    left.tick_params(axis="y", labelcolor=INK)
    left.grid(axis="y", visible=False)
    for name, colour, text in (
        ("lift", NAIVE, "reads"),
        ("stopped", FIXED, "sample ratio stops"),
        ("before", GOOD, "week before stops"),
    ):
        right.plot(broken.index, broken[name], color=colour, marker="o")
        right.annotate(text, (broken.index[-1], broken[name].iloc[-1]), (8, 0), textcoords="offset points", va="center",
                       color=colour, fontweight="bold")  # fmt: skip
    right.axhline(0, color=INK, linewidth=1)
    right.set(xlabel="lost of the treated", xlim=(0, broken.index[-1] * 1.9), xticks=broken.index, ylim=(-0.45, 1.08))
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(PERCENT)
    return fig


@house()
def peek_curves(found: pd.DataFrame) -> Figure:
    """A/A tests that have found something by the day, by who comes and how one looks; of `trials.peeked`."""
    fig = figure(width=7.6, height=4.0)
    last = found.iloc[-1]
    headline(fig, f"Daily looks: {last['the same, CUPED', 'daily']:.0%} of empty tests find something, not 5 %",
             "A/A tests, so every find is false. Share that has found something by that day.")  # fmt: skip
    ax = fig.add_subplot()
    ax.plot([1, found.index[-1]], [0.05, 0.05], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    lines = [("others every day", "daily", LINE, "daily, others every day"),
             ("the same, CUPED", "daily", NAIVE, "daily, CUPED"),
             ("the same people", "daily", WARN, "daily, the same people"),
             ("the same, CUPED", "once", MUTED, "once, on that day"),
             ("the same, CUPED", "always_valid", GOOD, "daily, always valid")]  # fmt: skip
    height, lower = {}, -1.0
    for people, way, *_ in sorted(lines, key=lambda line: last[line[0], line[1]]):
        lower = height[people, way] = max(float(last[people, way]), lower + 0.055 * float(last.max()))
    for people, way, colour, text in lines:
        ax.plot(found.index, found[people, way], color=colour)
        ax.annotate(text, (found.index[-1], height[people, way]), (8, 0), textcoords="offset points", va="center",
                    color=MUTED if colour == LINE else colour, fontweight="bold", fontsize=9)  # fmt: skip
    ax.set(xlabel="day of the test", xlim=(1, found.index[-1] * 1.5), ylim=(0, None))
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def spill_dots(found: pd.DataFrame) -> Figure:
    """What tests by user and by market say, less the truth, a dot per world; of `trials.spillover`, by `applause`."""
    fig = figure(width=7.6, height=3.6)
    reacts = found.xs("creators react", level="world")
    off = ((reacts["user"] - reacts["truth"]) / reacts["truth"]).mean()
    headline(fig, f"Where creators react, a test by user is {signed(off, '+.0%')} off; one by market is noisy",
             "Gain that a test reports, less the true one. A dot per world, a diamond for the mean.")  # fmt: skip
    ax, ticks = fig.add_subplot(), []
    ax.axvline(0, color=INK, linewidth=1.2)
    at = 0
    for world in found.index.unique("world"):
        one = found.xs(world, level="world")
        for way, colour in (("user", NAIVE), ("market", FIXED)):
            gap = one[way] - one["truth"]
            ax.plot(gap, np.full(len(gap), at), "o", color=colour, alpha=0.4, markeredgewidth=0, markersize=8)
            ax.plot(gap.mean(), at, "D", color=colour, markersize=9)
            ticks.append(f"{world}, by {way}")
            at -= 1
    ax.set(yticks=range(0, at, -1), yticklabels=ticks, ylim=(at + 0.4, 0.6), xlabel="reported − true")
    ax.tick_params(axis="y", labelcolor=INK)
    return fig


@house()
def truth_grid(truths: pd.DataFrame) -> Figure:
    """Every judgement of every candidate as a table of colours, the truth at the end; of `trials.truths`."""
    fig = figure(height=1.6 + 0.62 * len(truths))
    value = truths.loc["value"].to_dict()
    headline(fig, f"“value”: {signed(float(value['A/B likes per session']), '+.0%')} by the week's test, "
             f"{signed(float(value['truth']), '+.0%')} likes per user in truth",
             "Against the control. Orange: worse. Green: better. Grey: within three in a hundred.")  # fmt: skip
    ax, names = fig.add_subplot(), list(truths.columns)
    titles = {"A/B likes per session": "A/B, a week:\nlikes per session", "truth": "truth, 4 weeks:\nlikes per user",
              "A/B likes per user, CUPED": "A/B, a week:\nlikes per user", "stay": "truth, last week:\nsessions",
              "off-policy": "off-policy:\nlikes per session", "AUC": "offline:\nAUC"}  # fmt: skip
    for row, (_, values) in enumerate(truths.iterrows()):
        for column, name in enumerate(names):
            found = float(values[name])
            small = abs(found) < (0.005 if name == "AUC" else 0.03)
            colour = LINE if small else GOOD if found > 0 else NAIVE
            ax.add_patch(Rectangle((column + 0.03, -row - 0.95), 0.94, 0.9, facecolor=colour + "55", edgecolor="none"))
            text = signed(found, "+.3f" if name == "AUC" else "+.0%")
            weight = "bold" if name in ("truth", "stay") else "normal"
            ax.text(column + 0.5, -row - 0.5, text, ha="center", va="center", fontweight=weight)
    ax.axvline(names.index("truth"), color=INK, linewidth=1.5)
    ax.set(xlim=(0, len(names)), ylim=(-len(truths), 0), xticks=np.arange(len(names)) + 0.5,
           xticklabels=[titles[name] for name in names], yticks=-np.arange(len(truths)) - 0.5,
           yticklabels=truths.index)  # fmt: skip
    ax.xaxis.tick_top()
    ax.tick_params(labelcolor=INK)
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)
    return fig


@house()
def season_dots(open_: pd.DataFrame, captive: pd.DataFrame) -> Figure:
    """Likes in all days and in the last week, E6 − E5, a dot per world; of `trials.season`."""
    fig = figure(height=3.4)
    headline(fig, "Where people can leave, the longer test ends ahead; elsewhere it costs a week",
             "E6 − E5, in likes of the control. A dot per world, a diamond for the mean.")  # fmt: skip
    for ax, (kind, title) in zip(
        fig.subplots(1, 2, sharey=True), (("gain", "all days"), ("end", "the last week")), strict=True
    ):
        ax.axvline(0, color=INK, linewidth=1.2)
        for at, (frame, colour) in enumerate(((open_, FIXED), (captive, NAIVE))):
            wide = frame[kind].astype(float).unstack("rule")  # noqa: PD010
            gap = (wide["E6"] - wide["E5"]).to_numpy()
            ax.plot(gap, np.full(len(gap), -at), "o", color=colour, alpha=0.35, markeredgewidth=0, markersize=8)
            ax.plot(gap.mean(), -at, "D", color=colour, markersize=10)
            ax.annotate(signed(float(gap.mean()), "+.0%"), (gap.mean(), -at), (0, 12), textcoords="offset points",
                        ha="center", color=colour, fontweight="bold")  # fmt: skip
        ax.set(yticks=[0, -1], yticklabels=["people can leave", "nobody can leave"], ylim=(-1.6, 0.6), title=title)
        ax.xaxis.set_major_formatter(PERCENT)
        ax.tick_params(axis="y", labelcolor=INK)
    return fig


@lru_cache(maxsize=4)
def _spread(seed: int) -> tuple[float, float]:
    """Relative sd of one user's likes in a week, and what the week before explains of it."""
    o = outcomes(seed, users=1_500, days=7, names=())
    y = o.likes["popular"].sum(axis=0)
    return float(y.std(ddof=1) / y.mean()), explained(y, o.before["likes"])


def size_explorer(seed: int) -> None:
    """Thousands of users, the lift one cares for, CUPED or not: power of a week's test, and what it can detect."""

    def draw(thousands: int, lift: int, adjust: bool) -> tuple[Figure, str]:
        sd, known = _spread(seed)
        known = known if adjust else 0.0
        found = power.power(lift / 100, sd, 1_000 * thousands, explained=known)
        least = power.mde(sd, 1_000 * thousands, explained=known)
        text = f"power {found:.0%} for a lift of {lift} %; for 80 % it takes {100 * least:.1f} %"
        return _size_figure(sd, known, thousands, lift, text), text

    wide: dict[str, Any] = {"continuous_update": False, "style": {"description_width": "14em"},
                            "layout": {"width": "36em"}}  # fmt: skip
    explorer(
        draw,
        thousands=ipywidgets.SelectionSlider(
            options=[1, 3, 10, 30, 100, 300], value=10, description="thousand users", **wide
        ),
        lift=ipywidgets.IntSlider(5, 1, 20, 1, description="lift in %", **wide),
        adjust=ipywidgets.Checkbox(False, description="CUPED"),
    )


@house()
def _size_figure(sd: float, known: float, thousands: int, lift: int, text: str) -> Figure:
    fig = figure(width=7.6, height=3.5)
    headline(fig, text)
    ax, n = fig.add_subplot(), np.geomspace(1e3, 3e5, 80)
    for share, colour, name in ((0.0, NAIVE, "likes per user"), (known, FIXED, "with CUPED")):
        if share or name == "likes per user":
            ax.plot(n, [power.power(lift / 100, sd, m, explained=share) for m in n], color=colour, label=name)
    ax.plot(
        1e3 * thousands, power.power(lift / 100, sd, 1e3 * thousands, explained=known), "o", color=INK, markersize=11
    )
    ax.axhline(0.8, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xscale="log", xlabel="users in both arms, log scale", ylabel="power", ylim=(0, 1.05))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.minorticks_off()
    ax.legend(frameon=False, loc="lower right")
    return fig
