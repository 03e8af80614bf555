"""Figures of notebook 05: what a model, stage, log, trial or schedule earns, beside what it promises or costs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.requirements import SIGNED
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.analysis.widgets import explorer
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.development import Cascade, cores, embed, scoring_us, wide
from mlsys.training import TreeModel
from mlsys.world import Oracle

KEEPS = (10, 20, 50, 200, 1_000)
"""Lengths of the shortlist in the explorer."""


@house()
def frontier_panels(frontier: pd.DataFrame, learning: pd.DataFrame) -> Figure:
    """Likes against milliseconds, a point per model; and against rows, a curve per model."""
    fig = figure(height=4.2)
    trees = frontier[~frontier.index.str.endswith("slow")].drop("linear")
    best, largest = str(trees["share"].idxmax()), str(trees.index[-1])
    headline(fig, f"{largest} cost {trees['ms'][largest] / trees['ms'][best]:.0f} times the time of {best} and earn "
             f"{signed(100 * (trees['share'][largest] - trees['share'][best]), '+.1f')} points",
             "Left: same rows, ms of one core for 500 candidates. Right: the newest part of the log.")  # fmt: skip
    left, right = fig.subplots(1, 2)
    left.plot(trees["ms"], trees["share"], color=FIXED, marker="o")
    for name, row in frontier.iterrows():
        colour = NAIVE if name == largest else GOOD if str(name).endswith("slow") else FIXED
        colour = MUTED if name == "linear" else colour
        left.plot(row["ms"], row["share"], "o", color=colour, markersize=9)
        text = str(name) if name in ("linear", largest) or colour == GOOD else str(name).removesuffix(" trees")
        place = (0, -18) if name == largest else (-12, 7) if name == "10 trees" else (6, 8)
        left.annotate(text, (row["ms"], row["share"]), place, textcoords="offset points", ha="center", color=colour)
    left.set(xscale="log", xlabel="ms for 500 candidates, log scale", ylabel="likes, share of the oracle's")
    left.set_xlim(0.01, 40)
    left.margins(y=0.15)
    for name, colour in (("30 trees", FIXED), ("240 trees", NAIVE), ("linear", MUTED)):
        if name in learning:
            right.plot(learning.index, learning[name], color=colour, marker="o")
            right.annotate(name, (learning.index[-1], learning[name].iloc[-1]), (8, 0), textcoords="offset points",
                           va="center", color=colour, fontweight="bold")  # fmt: skip
    right.set(xscale="log", xlabel="labelled rows, log scale", xticks=learning.index, ylim=left.get_ylim())
    right.set_xlim(learning.index[0] * 0.8, learning.index[-1] * 3.2)
    _rows_axis(right)
    for ax in (left, right):
        ax.yaxis.set_major_formatter(PERCENT)
        ax.yaxis.set_major_locator(MultipleLocator(0.05))
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low = min(frontier["share"].min(), learning.drop(columns="seconds").min().min()) - 0.025
    left.set_ylim(low, frontier["share"].max() + 0.025)
    right.set_ylim(left.get_ylim())
    return fig


@house()
def stage_map(stages: pd.DataFrame) -> Figure:
    """Ways from a thousand candidates to ten: likes against milliseconds; of `development.stages`."""
    fig = figure(height=4.6)
    gain = 100 * (stages["share"]["embedding 50"] - stages["share"]["all"])
    headline(fig, f"Ranking 50 of 1,000 earns {signed(gain, '+.1f')} points over ranking all of them, at "
             f"{stages['ms']['embedding 50'] / stages['ms']['all']:.0%} of the time",
             "Each point: how candidates are cut before the same 60 trees. ms of one core per request.")  # fmt: skip
    ax = fig.add_subplot()
    colours = {"all": NAIVE, "all, second vote": GOOD, "embedding only": MUTED}
    below = ("embedding only", "all", "newest 50")
    for name, row in stages.iterrows():
        chosen = FIXED if str(name).startswith("embedding ") else WARN
        colour = colours.get(str(name), chosen)
        ax.plot(row["ms"], row["share"], "o", color=colour, markersize=11)
        place = (0, -20) if name in below else (0, 10)
        ax.annotate(f"{name} {row['share']:.0%}", (row["ms"], row["share"]), place, textcoords="offset points",
                    ha="center", color=colour, fontweight="bold")  # fmt: skip
    ax.set(xscale="log", xlabel="ms of one core per request, log scale", ylabel="likes, share of the oracle's")
    ax.set_xlim(0.09, 14)
    ax.margins(y=0.16)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def log_bars(logs: pd.DataFrame) -> Figure:
    """What the log cost while it was made, and what three successors earn from it; means of `development.own_logs`."""
    fig = figure(height=4.0)
    greedy = logs.loc["greedy"]
    change = signed(100 * float(np.subtract(greedy["position"], greedy["plain"])), "+.0f")
    headline(fig, f"Position as a feature, on the model's own log: {change} points",
             "Shares of the oracle's likes. Left: while the log was made. Right: its successor, tomorrow.")  # fmt: skip
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1, 2.2]})
    at = np.arange(len(logs))
    left.bar(at, logs["earned"], color=MUTED, width=0.6)
    for place, value in zip(at, logs["earned"], strict=True):
        left.annotate(f"{value:.0%}", (place, value), (0, 4), textcoords="offset points", ha="center")
    kinds = [("plain", FIXED, "plain"), ("position", NAIVE, "position as a feature")]
    kinds += [("weights", WARN, "weights 1 / P(look)")]
    for shift, (name, colour, text) in zip((-0.27, 0, 0.27), kinds, strict=True):
        right.bar(at + shift, logs[name], color=colour, width=0.25, label=text)
        for place, value in zip(at + shift, logs[name], strict=True):
            right.annotate(f"{value:.0%}", (place, value), (0, 4), textcoords="offset points", ha="center", fontsize=9)
    left.set(ylim=(0, 1), title="earned meanwhile")
    right.set(ylim=(0, 1), title="the successor, tomorrow")
    right.legend(frameon=False, ncols=3, loc="upper center", fontsize=9)
    for ax in (left, right):
        ax.set(xticks=at, xticklabels=logs.index)
        ax.yaxis.set_major_formatter(PERCENT)
        ax.tick_params(labelcolor=INK)
        ax.grid(axis="x", visible=False)
    return fig


@house()
def promise_pairs(promises: pd.DataFrame) -> Figure:
    """Promised and kept likes per impression, a row per way of choosing; of `development.promises`."""
    fig = figure(height=3.4)
    two = promises.loc[["best 10 of 1,000", "by way of 50"]]
    promised, kept = (signed(two[name].iloc[0] / two[name].iloc[1] - 1, "+.0%") for name in ("promised", "kept"))
    headline(fig, f"The list that promises {promised} keeps {kept}",
             "One model, calibrated on random traffic. Likes per impression, average slot; kept: exact.")  # fmt: skip
    ax, y = fig.add_subplot(), np.arange(len(promises))[::-1]
    ax.hlines(y, promises["kept"], promises["promised"], color=LINE, linewidth=4)
    ax.plot(promises["promised"], y, "o", color=NAIVE, markersize=11, label="promised")
    ax.plot(promises["kept"], y, "o", color=GOOD, markersize=11, label="kept")
    for at, (_, row) in zip(y, promises.iterrows(), strict=True):
        over = bool(row["promised"] > row["kept"])
        for name, colour, outer in (("promised", NAIVE, over), ("kept", GOOD, not over)):
            ax.annotate(f"{row[name]:.3f}", (row[name], at), (9 if outer else -9, 0), va="center", color=colour,
                        textcoords="offset points", ha="left" if outer else "right")  # fmt: skip
    ax.set(yticks=y, yticklabels=promises.index, xlabel="P(like)", ylim=(-0.6, len(promises) - 0.4))
    ax.margins(x=0.18)
    ax.tick_params(axis="y", labelcolor=INK)
    ax.legend(frameon=False, loc="upper right")
    return fig


@house()
def search_curve(best: pd.DataFrame, usual: float) -> Figure:
    """AUC of the best of n trials, on the validation day and in truth; of `retraining.best_of`."""
    fig = figure(width=7.6, height=3.8)
    gain, kept = ((best[name].iloc[-1] - best[name].iloc[0]) for name in ("validation", "truth"))
    headline(fig, f"{best.index[-1]} trials promise {signed(gain, '+.3f')} AUC and keep {signed(kept, '+.3f')}",
             "The best of n by its validation AUC: that AUC, and the exact one of tomorrow.")  # fmt: skip
    ax = fig.add_subplot()
    for name, colour, text in (("validation", NAIVE, "promised"), ("truth", GOOD, "kept tomorrow")):
        ax.plot(best.index, best[name], color=colour, marker="o")
        ax.annotate(text, (best.index[-1], best[name].iloc[-1]), (8, 0), textcoords="offset points", va="center",
                    color=colour, fontweight="bold")  # fmt: skip
    ax.axhline(usual, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    ax.annotate(
        "settings never searched", (best.index[-1], usual), (0, 4), ha="right", textcoords="offset points", color=MUTED
    )
    ax.set(xscale="log", xlabel="trials, log scale", ylabel="AUC", xticks=best.index)
    ax.set_xlim(0.9, best.index[-1] * 2.4)
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return fig


@house()
def age_curves(ages: pd.DataFrame, shift: int) -> Figure:
    """Likes by day of models of different ages, before and after a shift of interests; of `retraining.ageing`."""
    fig = figure(height=4.4)
    last = ages.iloc[-1]
    behind = 100 * (ages["frozen"] - ages["daily"])
    before, after = signed(float(behind[shift - 1]), "+.0f"), signed(float(behind.iloc[-1]), "+.0f")
    headline(fig, f"Frozen: {before} points after {shift - 1} calm days, {after} where the world has changed",
             "Features are renewed every night for all of them. The dashed line: interests shift.")  # fmt: skip
    ax = fig.add_subplot()
    ax.axvline(shift - 0.5, color=EXTRA, linewidth=1.4, linestyle=(0, (4, 3)))
    names = {"daily": FIXED, "warm": GOOD, "lag 3": WARN, "lag 7": EXTRA, "frozen": NAIVE, "ids": MUTED}
    ends = last[list(names)].sort_values()
    height, lower = {}, -1.0
    for name, value in ends.items():
        lower = height[name] = max(float(value), lower + 0.017)
    for name, colour in names.items():
        text = {"lag 3": "3 days late", "lag 7": "7 days late", "ids": "ids only, frozen"}.get(name, name)
        ax.plot(ages.index, ages[name], color=colour)
        ax.annotate(text, (ages.index[-1], height[name]), (8, 0), textcoords="offset points", va="center", color=colour,
                    fontweight="bold")  # fmt: skip
    ax.set(xlabel="days since the first model", ylabel="likes, share of the oracle's")
    ax.set_xlim(ages.index[0], ages.index[-1] * 1.17)
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def paper_curves(papers: dict[float, pd.DataFrame], wanted: float) -> Figure:
    """Hours of a fit by workers, a curve per serial share; of `retraining.on_paper`."""
    fig = figure(width=7.6, height=3.9)
    ideal = papers[0.0]
    worst = max(papers)
    headline(fig, f"{ideal['hours'].iloc[0]:.0f} core hours; with {worst:.0%} in series never under "
             f"{ideal['hours'].iloc[0] * worst:.1f} hours",
             "60 trees on a day of 100 million users, from measured costs. Amdahl; serial shares assumed.")  # fmt: skip
    ax = fig.add_subplot()
    ax.plot([0.9, 200], [wanted, wanted], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    ax.annotate("wanted", (1, wanted), (0, 4), textcoords="offset points", color=MUTED)
    for (serial, paper), colour in zip(papers.items(), (MUTED, GOOD, FIXED, NAIVE), strict=False):
        ax.plot(paper.index, paper["hours"], color=colour, marker="o", markersize=4)
        text = f"{serial:.0%} in series" if serial else "work divides"
        ax.annotate(text, (paper.index[-1], paper["hours"].iloc[-1]), (8, 0), textcoords="offset points", va="center",
                    color=colour, fontweight="bold")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="workers, log scale", ylabel="hours, log scale")
    ax.set_xlim(0.9, ideal.index[-1] * 5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.minorticks_off()
    return fig


@house()
def objective_contrast(open_: pd.DataFrame, captive: pd.DataFrame) -> Figure:
    """Likes and retention of the value function against the like head with the best AUC, a line or dot per world."""
    fig = figure(height=4.2)
    headline(fig, "Where people can leave, the better AUC loses them; where they cannot, it was right",
             "Value function − like head, same log, frozen on day one. Thin: one world. Thick: the mean.")  # fmt: skip
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1.8, 1]})
    for frame, colour, name in ((open_, FIXED, "people can leave"), (captive, NAIVE, "nobody can leave")):
        likes = frame["likes"]
        gap = (likes.xs("value", level="system") / likes.xs("likes", level="system") - 1).unstack("seed")  # noqa: PD010
        left.plot(gap.index, gap, color=colour, alpha=0.15, linewidth=1)
        left.plot(gap.index, gap.mean(axis=1), color=colour, linewidth=3)
        left.annotate(name, (gap.index[-1], gap.mean(axis=1).iloc[-1]), (8, 0), textcoords="offset points",
                      va="center", color=colour, fontweight="bold")  # fmt: skip
    left.axhline(0, color=INK, linewidth=1)
    left.set(xlabel="day", title="likes so far")
    left.set_xlim(1, open_.index.get_level_values("day").max() * 1.4)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.yaxis.set_major_formatter(SIGNED)
    kept = open_["kept"].groupby(["seed", "system"]).first().unstack("system")  # noqa: PD010
    for place, (name, colour) in enumerate((("likes", NAIVE), ("value", FIXED))):
        right.plot(np.full(len(kept), place), kept[name], "o", color=colour, alpha=0.35, markeredgewidth=0)
        right.plot(place, kept[name].mean(), "D", color=colour, markersize=9)
        right.annotate(f"{kept[name].mean():.0%}", (place, kept[name].mean()), (12, 0), textcoords="offset points",
                       va="center", color=colour, fontweight="bold")  # fmt: skip
    right.set(
        xticks=[0, 1], xticklabels=["like head", "value function"], xlim=(-0.5, 1.7), title="first users still here"
    )
    right.yaxis.set_major_formatter(PERCENT)
    return fig


@lru_cache(maxsize=8)
def _benches(seed: int, users: int) -> tuple[Bench, Bench]:
    bench = Bench(seed, users=users, days=8)
    return bench, wide(bench)


@lru_cache(maxsize=32)
def _shares(seed: int, users: int, trees: int) -> pd.Series:
    bench, broad = _benches(seed, users)
    score, first = TreeModel.fit(bench.X, bench.y, max_iter=trees).predict, embed(bench)
    ways = [Cascade(broad, first, keep, score, name=str(keep)) for keep in KEEPS]
    likes = broad.world.value([*ways, Oracle()])["like"]
    return pd.Series((likes / likes["oracle"]).to_numpy()[:-1], KEEPS)


@house()
def _budget_figure(share: pd.Series, ms: pd.Series, keep: int, text: str) -> Figure:
    fig = figure(width=7.6, height=3.6)
    headline(fig, text)
    ax = fig.add_subplot()
    ax.plot(ms, share, color=LINE, marker="o")
    for at in KEEPS:
        ax.annotate(f"{at:,}", (ms[at], share[at]), (0, 9), textcoords="offset points", ha="center", color=MUTED)
    ax.plot(ms[keep], share[keep], "o", color=FIXED, markersize=13)
    ax.set(xscale="log", xlabel="ms of one core per request, log scale", ylabel="likes, share of the oracle's",
           xlim=(0.1, 40), ylim=(0.6, 0.9))  # fmt: skip
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


def budget_explorer(seed: int, *, users: int = 200) -> None:
    """Trees, length of the shortlist and millions of users: likes, milliseconds and cores."""

    def draw(trees: int, keep: int, millions: int) -> tuple[Figure, str]:
        share = _shares(seed, users, trees)
        us = pd.Series({k: 165.0 + scoring_us(trees, k) for k in KEEPS})
        machines = cores(float(us[keep]), millions * 1e6)
        text = f"{share[keep]:.0%} of the oracle's likes, {us[keep] / 1e3:.2f} ms, {machines:,.0f} cores"
        return _budget_figure(share, us / 1e3, keep, text), text

    wide_: dict[str, Any] = {"continuous_update": False, "style": {"description_width": "14em"},
                             "layout": {"width": "36em"}}  # fmt: skip
    explorer(
        draw,
        trees=ipywidgets.SelectionSlider(options=[10, 30, 60, 240], value=60, description="trees", **wide_),
        keep=ipywidgets.SelectionSlider(options=KEEPS, value=50, description="candidates that they score", **wide_),
        millions=ipywidgets.SelectionSlider(
            options=[1, 10, 100, 1_000], value=100, description="million users", **wide_
        ),
    )


def _rows_axis(ax: Axes) -> None:
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
