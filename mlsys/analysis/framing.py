"""Figures of notebook 03: what a zero means, and what losses, labels, prices and rules of thumb are worth."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.analysis.widgets import explorer
from mlsys.orchestration.framing import month

SIGNED = FuncFormatter(lambda value, _: signed(value, "+.0%") if value else "0")


@house()
def slot_bars(slots: pd.DataFrame, unseen: float) -> Figure:
    """What became of the impressions of each slot, of `framing.slots`; `unseen`: of zeros, those nobody looked at."""
    fig = figure(height=4.0)
    headline(fig, f"Of all zeros, {unseen:.0%} were never looked at",
             "Impressions in random order. Every slot holds the same posts; only the looking differs.")  # fmt: skip
    ax = fig.add_subplot()
    below = np.zeros(len(slots))
    for name, colour in zip(slots, (GOOD, FIXED, WARN, LINE), strict=True):
        ax.bar(slots.index, slots[name], bottom=below, width=0.8, color=colour, label=name)
        below += slots[name].to_numpy()
    for slot, like in slots["like"].items():
        ax.annotate(f"{like:.0%}", (float(str(slot)), like), (0, -12), textcoords="offset points", ha="center",
                    color="white", fontweight="bold")  # fmt: skip
    ax.set(xlabel="slot", ylabel="share of impressions", xticks=list(slots.index), ylim=(0, 1.001))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.grid(visible=False)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)
    return fig


@house()
def loss_panels(runs: pd.DataFrame) -> Figure:
    """AUC, NDCG@10 and likes of each way to learn: a dot per seed, the mean as a diamond.

    `runs`: index (seed, model), columns auc, ndcg, share_of_oracle, as `framing.losses` gives.
    """
    names = list(dict.fromkeys(runs.index.get_level_values(-1)))
    means = runs.groupby(level=-1).mean().loc[names]
    linear = means["share_of_oracle"].drop("trees")
    apart, more = 100 * np.ptp(linear.to_numpy()), 100 * (means["share_of_oracle"]["trees"] - linear.max())
    worlds = runs.index.get_level_values(0).nunique()
    fig = figure(height=3.9)
    headline(fig, f"Four losses lie {apart:.1f} points of likes apart; trees add {more:.0f}",
             f"Same rows, same features, {worlds} worlds (dots). Likes are exact, on the morning after.")  # fmt: skip
    y = np.arange(len(names))[::-1]
    titles = {"auc": "AUC", "ndcg": "NDCG@10", "share_of_oracle": "likes, share of the oracle's"}
    first: Axes | None = None
    for place, (column, title) in enumerate(titles.items(), start=1):
        ax = fig.add_subplot(1, 3, place, sharey=first)
        first = first or ax
        for at, name in zip(y, names, strict=True):
            values = runs.xs(name, level=-1)[column]
            colour = GOOD if name == "trees" else FIXED
            ax.plot(values, np.full(len(values), at), "o", color=colour, alpha=0.3, markeredgewidth=0)
            ax.plot(means[column][name], at, "D", color=colour, markersize=8)
            ax.annotate(f"{means[column][name]:.3f}", (means[column][name], at), (0, 9), textcoords="offset points",
                        ha="center", fontsize=9)  # fmt: skip
        ax.set_title(title)
        ax.set(ylim=(-0.5, len(names) - 0.3))
        ax.tick_params(axis="y", labelcolor=INK, labelleft=place == 1)
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.15)
    if first is not None:
        first.set(yticks=y, yticklabels=names)
    return fig


@house()
def promise_panels(promises: pd.DataFrame, priced: pd.DataFrame) -> Figure:
    """What scores promise against what was observed, and what heads of each loss make of one value function."""
    fig = figure(height=3.9)
    observed = float(promises["observed"].iloc[0])
    factor = float(promises["predicted"]["pairwise"]) / observed
    headline(
        fig,
        f"Read as a probability, a pairwise score promises {factor:.1f} times the likes",
        "Left: mean score on the test day; the line is what happened. Right: three heads, the same three prices.",
    )
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1.1, 1]})
    y = np.arange(len(promises))[::-1]
    colours = [NAIVE if value > 1.5 * observed else FIXED for value in promises["predicted"]]
    left.barh(y, promises["predicted"], color=colours, height=0.6)
    left.axvline(observed, color=INK, linewidth=1.4, linestyle=(0, (4, 3)))
    for at, value in zip(y, promises["predicted"], strict=True):
        left.annotate(f"{value:.2f}", (value, at), (5, 0), textcoords="offset points", va="center")
    left.set(yticks=y, yticklabels=list(promises.index), xlim=(0, 0.65), title="promised P(like)")
    rows, at = priced, np.arange(len(priced))
    for shift, column, colour in ((-0.2, "like", GOOD), (0.2, "dislike", NAIVE)):
        change = rows[column] / rows[column]["pointwise"] - 1
        right.bar(at + shift, rows[column], width=0.36, color=colour, label=f"{column}s per session")
        for place, value, moved in zip(at + shift, rows[column], change, strict=True):
            text = f"{value:.2f}" + (f"\n{signed(moved, '+.0%')}" if moved else "")
            right.annotate(text, (place, value), (0, 4), textcoords="offset points", ha="center", fontsize=9)
    right.set(xticks=at, xticklabels=[f"{name} heads" for name in rows.index], ylim=(0, 1.35 * rows["like"].max()),
              title="served: P(like) + P(share) − 3 P(dislike)")  # fmt: skip
    right.legend(frameon=False, loc="upper right", ncols=2, fontsize=9)
    for ax in (left, right):
        ax.tick_params(axis="both", labelcolor=INK)
    left.grid(axis="y", visible=False)
    right.grid(axis="x", visible=False)
    return fig


@house()
def label_map(labels: pd.DataFrame) -> Figure:
    """The feed that each label makes: likes today against enjoyment, of `framing.by_label`."""
    fig = figure(height=4.6)
    best = str(labels["auc"].idxmax())
    share, chance = labels["like"][[best, "random"]] / labels["like"]["oracle"]
    headline(
        fig,
        f"The label with the best AUC earns {share:.0%} of the oracle's likes; chance, {chance:.0%}",
        "Same rows, same trees, another label. Enjoyment is hidden: it decides who comes back. Exact, per session.",
    )
    ax = fig.add_subplot()
    ax.axhline(0, color=MUTED, linewidth=1)
    lower = str(labels["enjoyment"][["random", "returns tomorrow"]].idxmin())
    for name, row in labels.iterrows():
        colour = {"oracle": GOOD, "random": MUTED, best: NAIVE, "value": EXTRA}.get(str(name), FIXED)
        ax.plot(row["like"], row["enjoyment"], "o", color=colour, markersize=11)
        text = f"{name}, AUC {row['auc']:.2f}" if pd.notna(row["auc"]) else str(name)
        above = name in ("value", "like", "oracle") or (name in ("random", "returns tomorrow") and name != lower)
        ax.annotate(text, (row["like"], row["enjoyment"]), (0, 10 if above else -20), textcoords="offset points",
                    ha="center", color=colour, fontweight="bold")  # fmt: skip
    ax.set(xlabel="likes per session, today", ylabel="enjoyment", xlim=(0.3, labels["like"].max() + 0.5))
    ax.margins(y=0.2)
    return fig


@house()
def price_curves(sweep: pd.DataFrame) -> Figure:
    """Likes today, likes of the month and retention against the price of a dislike, of `framing.sweep`."""
    fig = figure(height=4.0)
    month_, at_best = sweep["likes"], int(sweep["likes"].argmax())
    headline(
        fig,
        f"The month's likes peak at a price of {sweep.index[at_best]:g}; likes today fall, retention rises on",
        "Perfect rankers of like + share − price · dislike, 30 days each. Likes against price 0.",
    )
    left, right = fig.subplots(1, 2)
    at = np.arange(len(sweep))
    for column, colour, name in (("likes", FIXED, "likes in 30 days"), ("today", NAIVE, "likes per session, day 1")):
        change = sweep[column] / sweep[column].iloc[0] - 1
        left.plot(at, change, color=colour, marker="o", label=name)
        left.annotate(signed(change.iloc[-1], "+.0%"), (at[-1], change.iloc[-1]), (0, -16), ha="center",
                      textcoords="offset points", color=colour)  # fmt: skip
    left.legend(frameon=False, loc="lower left")
    left.plot(at_best, month_.max() / month_.iloc[0] - 1, "*", color=EXTRA, markersize=18)
    left.axhline(0, color=MUTED, linewidth=1)
    left.yaxis.set_major_formatter(SIGNED)
    left.margins(y=0.16)
    right.plot(at, sweep["kept"], color=GOOD, marker="o")
    for place in (0, len(at) - 1):
        right.annotate(f"{sweep['kept'].iloc[place]:.0%}", (at[place], sweep["kept"].iloc[place]), (0, 9),
                       textcoords="offset points", ha="center", color=GOOD)  # fmt: skip
    right.yaxis.set_major_formatter(PERCENT)
    right.set_title("of the users of the first three days, still here")
    right.margins(y=0.2)
    for ax in (left, right):
        ax.set(xticks=at, xticklabels=[f"{price:g}" for price in sweep.index], xlabel="price of a dislike, in likes")
    return fig


RULES = {"recency": "newest first", "popularity": "like rate of the post", "creator": "like rate of the creator"}


@house()
def growth_curves(growth: pd.DataFrame) -> Figure:
    """Likes of rules and models as a log grows, of `framing.growth` with a level for the seed; bands: ± 2 errors."""
    names = ("random", "popularity", "creator", "recency", "linear", "trees")
    colours = (LINE, WARN, EXTRA, NAIVE, FIXED, GOOD)
    share = pd.DataFrame({name: growth["share_of_oracle"].xs(name, level="ranker") for name in names})
    mean, seeds = share.groupby("day").mean(), share.index.get_level_values(0).nunique()
    reach = 2 * share.groupby("day").std() / np.sqrt(seeds)
    rows = growth["rows"].groupby("day").mean().to_numpy()
    first, *_, last = (signed(100 * gap, "+.1f") for gap in mean["linear"] - mean["recency"])
    fig = figure(height=4.4)
    headline(
        fig,
        f"Linear − newest first: {first} points at {short(rows[0])} labelled impressions, {last} at {short(rows[-1])}",
        f"Means over {seeds} worlds; bands: two standard errors. Rules of thumb need no log, or only counters.",
    )
    ax = fig.add_subplot()
    ends = mean.iloc[-1].sort_values()
    height = ends.to_dict()
    for below, above in pairwise(ends.index):  # names a line apart, where curves end together
        height[above] = max(height[above], height[below] + 0.016)
    for name, colour in zip(names, colours, strict=True):
        ax.plot(rows, mean[name], color=colour, marker="o", markersize=5)
        ax.fill_between(rows, mean[name] - reach[name], mean[name] + reach[name], color=colour, alpha=0.15, linewidth=0)
        ax.annotate(f"{RULES.get(name, name)} {mean[name].iloc[-1]:.0%}", (rows[-1], height[name]), (8, 0),
                    textcoords="offset points", va="center", color=MUTED if colour == LINE else colour,
                    fontweight="bold")  # fmt: skip
    ax.set(xscale="log", xlabel="labelled impressions in the log, log scale", ylabel="likes, share of the oracle's",
           xlim=(rows[0] * 0.9, rows[-1] * 2.4), xticks=rows)  # fmt: skip
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def head_contrast(growth: pd.DataFrame) -> Figure:
    """Three heads less one, a dot per seed and morning: likes, dislikes, and the value function itself."""
    difference = pd.DataFrame(growth.xs("three heads", level="ranker") - growth.xs("linear", level="ranker"))
    rows = growth["rows"].groupby("day").mean()
    fig = figure(height=3.9)
    headline(fig, "Three heads cost likes at once, and pay only when dislikes have been seen",
             "Three heads − one head, per session, same log; a dot per world, the mean as a diamond.")  # fmt: skip
    panels = (("like", "likes", NAIVE), ("dislike", "dislikes", GOOD), ("value", "like + share − 3 dislike", FIXED))
    for place, (column, title, colour) in enumerate(panels, start=1):
        ax = fig.add_subplot(1, 3, place)
        ax.axhline(0, color=INK, linewidth=1)
        for at, (_, values) in enumerate(difference.groupby("day")[column]):
            ax.plot(np.full(len(values), at), values, "o", color=colour, alpha=0.3, markeredgewidth=0)
            ax.plot(at, values.mean(), "D", color=colour, markersize=8)
            text = signed(values.mean(), "+.3f" if column == "dislike" else "+.2f")
            ax.annotate(text, (at, values.mean()), (9, 0), textcoords="offset points", va="center", fontweight="bold")
        ax.set_title(title)
        ax.set(xticks=range(len(rows)), xticklabels=[short(n) for n in rows], xlim=(-0.4, len(rows) - 0.3),
               xlabel="labelled impressions")  # fmt: skip
    return fig


@lru_cache(maxsize=256)
def _month(seed: int, users: int, dislike: int, share: float) -> pd.DataFrame:
    return month(seed, {"like": 1.0, "share": share, "dislike": -float(dislike)}, users=users)


@house()
def _price_figure(chosen: pd.DataFrame, likes: pd.DataFrame, days: int, text: str) -> Figure:
    fig = figure(width=7.6, height=4.0)
    headline(fig, text)
    left, right = fig.subplots(1, 2)
    left.axhline(0, color=MUTED, linewidth=1)
    left.plot(chosen.index, chosen["likes"] / likes["likes"] - 1, color=FIXED)
    left.axvline(days, color=EXTRA, linewidth=1.2, linestyle=(0, (4, 3)))
    left.set(xlabel="day", title="likes so far, against likes only")
    left.yaxis.set_major_formatter(SIGNED)
    for run, colour, name in ((likes, NAIVE, "likes only"), (chosen, FIXED, "your prices")):
        right.plot(run.index, run["kept"], color=colour, label=name)
    right.set(xlabel="day", title="users of the first days, still here")
    right.yaxis.set_major_formatter(PERCENT)
    right.legend(frameon=False)
    return fig


def price_explorer(seed: int, *, users: int = 300) -> None:
    """Prices of a dislike and of a share, and the day on which somebody looks: likes and retention of the month."""

    def draw(dislike: int, share: float, days: int) -> tuple[Figure, str]:
        chosen, likes = _month(seed, users, dislike, share), _month(seed, users, 0, 0.0)
        gain = chosen["likes"][days] / likes["likes"][days] - 1
        stay = signed(100 * (chosen["kept"].iloc[-1] - likes["kept"].iloc[-1]), "+.0f")
        text = f"Likes by day {days}: {signed(gain, '+.0%')}; users who stay for the month: {stay} points"
        return _price_figure(chosen, likes, days, text), text

    wide: dict[str, Any] = {"continuous_update": False, "style": {"description_width": "16em"},
                            "layout": {"width": "36em"}}  # fmt: skip
    explorer(
        draw,
        dislike=ipywidgets.IntSlider(3, 0, 40, 1, description="price of a dislike, in likes", **wide),
        share=ipywidgets.FloatSlider(1.0, min=0.0, max=5.0, step=0.5, description="worth of a share, in likes", **wide),
        days=ipywidgets.IntSlider(30, 1, 30, 1, description="somebody looks on day", **wide),
    )
