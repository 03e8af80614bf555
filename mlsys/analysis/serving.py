"""Figures of notebook 07: where a request's time goes, what memory saves, what a failing store or model costs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from mlsys.analysis.plots import PERCENT
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.analysis.widgets import explorer
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.outages import Night, Policy
from mlsys.orchestration.traffic import Fault
from mlsys.serving import RUNGS
from mlsys.training import LinearModel

PLAIN = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
RUNG_COLOURS = dict(zip(RUNGS, (GOOD, FIXED, EXTRA, WARN, NAIVE), strict=True))


@house()
def moment_bars(table: pd.DataFrame) -> Figure:
    """Likes and cores of lists, hybrid and online; of `serving.moments`."""
    fig = figure(height=3.4)
    online, hybrid = table.loc["online"], table.loc["hybrid"]
    headline(fig, f"Hybrid: {hybrid['share'] / online['share']:.1%} of the likes of ranking now, for "
             f"{hybrid['cores'] / online['cores']:.0%} of the cores",
             "Left: likes, share of the oracle's. Right: cores for scoring, a hundred million users.")  # fmt: skip
    left, right = fig.subplots(1, 2, sharey=True)
    at, colours = np.arange(len(table))[::-1], [WARN, NAIVE, GOOD, FIXED]
    for ax, name, form in ((left, "share", ".1%"), (right, "cores", ",.0f")):
        ax.barh(at, table[name], color=colours, height=0.6)
        for place, value in zip(at, table[name], strict=True):
            ax.annotate(format(value, form), (value, place), (6, 0), textcoords="offset points", va="center")
        ax.set_xlim(0, table[name].max() * 1.2)
        ax.grid(axis="y", visible=False)
    left.set(yticks=at, yticklabels=table.index, xlabel="likes")
    left.xaxis.set_major_formatter(PERCENT)
    left.tick_params(axis="y", labelcolor=INK)
    right.set(xlabel="cores")
    return fig


@house()
def waterfall(budgets: Mapping[str, pd.Series], fans: pd.DataFrame) -> Figure:
    """Parts of a request one after the other, a row per server; and what waiting for several reads does."""
    fig = figure(height=3.9)
    linear, trees = (budgets[name] for name in ("linear", "60 trees"))
    headline(fig, f"The model is {linear['model'] / linear.sum():.0%} of a request if it is linear, "
             f"{trees['model'] / trees.sum():.0%} with 60 trees",
             "Left: 500 candidates, ms of one core. Right: the slowest of n reads, in usual reads.")  # fmt: skip
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1.5, 1]})
    colours = dict(zip(linear.index, (MUTED, LINE, WARN, EXTRA, NAIVE, FIXED, GOOD, INK), strict=True))
    names = list(budgets)[::-1]
    for at, parts in enumerate(budgets[name] for name in names):
        begin = 0.0
        for part, ms in parts.items():
            left.barh(at, ms, left=begin, color=colours[str(part)], height=0.55, label=part if at == 0 else None)
            begin += ms
        left.annotate(f"{begin:.2f} ms", (begin, at), (6, 0), textcoords="offset points", va="center")
    left.set(yticks=range(len(budgets)), yticklabels=names, xlabel="ms")
    left.set_xlim(0, max(parts.sum() for parts in budgets.values()) * 1.22)
    left.tick_params(axis="y", labelcolor=INK)
    left.grid(axis="y", visible=False)
    left.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8)
    for name, colour in (("p50", FIXED), ("p99", NAIVE)):
        right.plot(fans.index, fans[name], color=colour, marker="o")
        right.annotate(name, (fans.index[-1], fans[name].iloc[-1]), (8, 0), textcoords="offset points", va="center",
                       color=colour, fontweight="bold")  # fmt: skip
    right.set(xscale="log", xlabel="reads that a request waits for", xticks=fans.index, ylim=(0, None))
    right.set_xlim(0.9, fans.index[-1] * 2.2)
    right.minorticks_off()
    right.xaxis.set_major_formatter(PLAIN)
    return fig


@house()
def cache_panels(keys: pd.DataFrame, rates: pd.DataFrame) -> Figure:
    """Prediction caches by key: hits against likes; feature cache: hits by traffic and time to live."""
    fig = figure(height=3.8)
    user = keys.loc["user"]
    headline(fig, f"The cache with the best hit rate, {user['hits']:.1%}, serves {user['share']:.0%} of the likes",
             "Left: a point per key. Right: hit rate of a feature cache; it grows with rate × time.")  # fmt: skip
    left, right = fig.subplots(1, 2)
    for name, row in keys.iterrows():
        colour = NAIVE if name == "user" else FIXED
        left.plot(row["hits"], row["share"], "o", color=colour, markersize=10)
        shift = {"user": (-8, 10), "user, post": (-4, 10), "user, candidates": (-8, -16)}.get(str(name), (8, -3))
        left.annotate(str(name), (row["hits"], row["share"]), shift, textcoords="offset points", color=colour,
                      ha="left" if name == "none" else "right", fontweight="bold")  # fmt: skip
    left.set(xlabel="hit rate", ylabel="likes, share of the oracle's", xlim=(-0.05, 1.08), ylim=(0, 1))
    for place, ttl in enumerate(rates.columns):
        colour = (LINE, WARN, FIXED)[place]
        right.plot(rates.index, rates[ttl], color=colour, marker="o")
        right.annotate(f"{ttl:g} s", (rates.index[-1], rates[ttl].iloc[-1]), (8, (0, -7, 7)[place]),
                       textcoords="offset points", va="center", color=MUTED if colour == LINE else colour,
                       fontweight="bold")  # fmt: skip
    right.set(xscale="log", xlabel="requests per second", ylim=(0, 1), xticks=rates.index, ylabel="hit rate")
    right.set_xlim(rates.index[0] * 0.8, rates.index[-1] * 3)
    right.minorticks_off()
    right.xaxis.set_major_formatter(PLAIN)
    for axis in (left.xaxis, left.yaxis, right.yaxis):
        axis.set_major_formatter(PERCENT)
    return fig


@house()
def speed_dots(table: pd.DataFrame) -> Figure:
    """Likes against microseconds, a point per shortcut; of `serving.smaller`."""
    fig = figure(width=7.8, height=4.0)
    small, plain = table.loc["linear, int8"], table.loc["linear"]
    headline(fig, f"Eight bits: the same likes, {small['us'] / plain['us']:.1f} times the time",
             "Likes against time for 500 candidates, one core. Orange: numbers in fewer bits.")  # fmt: skip
    ax = fig.add_subplot()
    for name, row in table.iterrows():
        bits = "float16" in str(name) or "int8" in str(name)
        colour = NAIVE if bits else GOOD if "shortlist" in str(name) else FIXED
        ax.plot(row["us"], row["share"], "o", color=colour, markersize=9)
        below = str(name) in ("linear, int8", "60 trees, features float16", "shortlist of 100, 60 trees")
        left, right = "shortlist" in str(name), "features" in str(name)
        ax.annotate(str(name), (row["us"], row["share"]), (-10, -3) if left else (0, -18 if below else 9),
                    textcoords="offset points", color=colour, fontsize=9,
                    ha="right" if left else "left" if right else "center")  # fmt: skip
    ax.set(xscale="log", xlabel="µs for 500 candidates, log scale", ylabel="likes, share of the oracle's")
    ax.set_xlim(table["us"].min() / 2.2, table["us"].max() * 2.2)
    ax.minorticks_off()
    ax.margins(y=0.18)
    ax.xaxis.set_major_formatter(PLAIN)
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def knee_curves(curves: Mapping[str, pd.DataFrame], measured: pd.DataFrame, limit: float) -> Figure:
    """p99 by load for several ways to share the work; dots: the whole server on a virtual clock."""
    fig = figure(width=7.8, height=4.0)
    one = next(iter(curves.values()))
    fits = one.index[one["p99"] <= limit].max()
    headline(fig, f"One server keeps {limit:g} ms up to {fits:.0%} load; twenty with one queue, longer",
             "p99 in ms against the load. The load is rate × time of a request / servers.")  # fmt: skip
    ax = fig.add_subplot()
    for (name, curve), colour in zip(curves.items(), (NAIVE, WARN, GOOD), strict=True):
        ax.plot(curve.index, curve["p99"], color=colour, label=name)
    ax.plot(measured.index, measured["p99"], "o", color=INK, label="whole server, virtual clock")
    ax.axhline(limit, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(yscale="log", xlabel="load", ylabel="p99 in ms, log scale")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.yaxis.set_major_formatter(PLAIN)
    ax.minorticks_off()
    ax.legend(frameon=False, loc="upper left")
    return fig


@house()
def outage_grid(tables: Mapping[str, pd.DataFrame], collapse: pd.DataFrame) -> Figure:
    """Likes kept by policy and fault; and p99 with and without a breaker where threads are few."""
    fig = figure(height=4.0)
    gone = tables["gone"]["kept"]
    headline(fig, f"Store gone: popularity keeps {gone['timeout, popularity']:.0%}, "
             f"training means {gone['timeout, defaults']:.0%}, a copy {gone['cache, snapshot']:.0%}",
             "Left: likes kept while the fault lasts. Right: p99 with two threads and no cache.")  # fmt: skip
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": [1.7, 1]})
    grid = pd.DataFrame({kind: table["kept"] for kind, table in tables.items()})
    left.imshow(grid.to_numpy(), cmap="RdYlGn", vmin=0, vmax=1.15, aspect="auto", alpha=0.75)
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        left.text(column, row, f"{value:.0%}", ha="center", va="center", color=INK)
    left.set(xticks=range(grid.shape[1]), xticklabels=grid.columns, yticks=range(len(grid)), yticklabels=grid.index)
    left.tick_params(labelcolor=INK)
    left.grid(visible=False)
    two = collapse["p99"].xs(collapse.index.unique("threads")[0], level="threads").unstack("breaker")  # noqa: PD010
    at = np.arange(len(two))
    for shift, guard, colour in ((-0.2, False, NAIVE), (0.2, True, GOOD)):
        right.bar(at + shift, two[guard], width=0.38, color=colour, label="breaker" if guard else "no breaker")
        for place, value in zip(at + shift, two[guard], strict=True):
            right.annotate(f"{value:,.0f}", (place, value), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    right.set(yscale="log", xticks=at, xticklabels=two.index, ylabel="p99 in ms, log scale", ylim=(1, 10**5))
    right.yaxis.set_major_formatter(PLAIN)
    right.tick_params(axis="x", labelcolor=INK)
    right.minorticks_off()
    right.grid(axis="x", visible=False)
    right.legend(frameon=False, loc="upper left", ncols=2)
    return fig


@house()
def push_bars(table: pd.DataFrame, evening: float) -> Figure:
    """Seconds that a misread model served, and what it cost; index: how it was rolled out."""
    fig = figure(height=3.2)
    all_, canary = table.loc["everybody"], table.loc["canary of 20 %"]
    headline(fig, f"Pushed to all: {all_['lost']:.0%} of the likes. Canary of 20 %: {canary['lost']:.1%}, gone after "
             f"{canary['gone']:.0f} s",
             "A model that reads its features in reverse order. Hatched: still there at the end.")  # fmt: skip
    left, right = fig.subplots(1, 2, sharey=True)
    at = np.arange(len(table))[::-1]
    stays = table["gone"].isna()
    for place, value, still in zip(at, table["gone"].fillna(evening), stays, strict=True):
        left.barh(place, value, color=LINE if still else FIXED, height=0.6, hatch="///" if still else None,
                  edgecolor="white")  # fmt: skip
        left.annotate("stays" if still else f"{value:.0f} s", (value, place), (5, 0), textcoords="offset points",
                      va="center")  # fmt: skip
    right.barh(at, table["lost"], color=NAIVE, height=0.6)
    for place, value in zip(at, table["lost"], strict=True):
        right.annotate(f"{value:.1%}", (value, place), (5, 0), textcoords="offset points", va="center")
    left.set(yticks=at, yticklabels=table.index, xlabel="seconds until it was gone", xlim=(0, evening * 1.2))
    right.set(xlabel="likes lost in the evening", xlim=(0, table["lost"].max() * 1.25))
    right.xaxis.set_major_formatter(PERCENT)
    left.tick_params(axis="y", labelcolor=INK)
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
    return fig


@house()
def contrast_dots(found: pd.DataFrame) -> Figure:
    """Likes kept over the evening by E5 and E6, a dot per world; of `outages.season`, index (seed, fault, level)."""
    fig = figure(width=7.8, height=3.4)
    all_ = found["all"].unstack("level")  # noqa: PD010
    gap = all_["E6"] - all_["E5"]
    headline(fig, f"A store that is gone: E6 by {100 * gap.xs('gone', level='fault').mean():.1f} points. "
             f"One that is wrong: E5 by {-100 * gap.xs('shifted', level='fault').mean():.1f}",
             "Likes of the evening, of those without the fault. A dot per world, a diamond for the mean.")  # fmt: skip
    ax, ticks, at = fig.add_subplot(), [], 0
    for fault, words in (("gone", "gone for 30 s"), ("shifted", "one row off for 30 s")):
        for level, colour in (("E5", NAIVE), ("E6", FIXED)):
            kept = all_.xs(fault, level="fault")[level]
            ax.plot(kept, np.full(len(kept), at), "o", color=colour, alpha=0.35, markeredgewidth=0, markersize=8)
            ax.plot(kept.mean(), at, "D", color=colour, markersize=9)
            ticks.append(f"{words}: {level}")
            at -= 1
    ax.set(yticks=range(0, at, -1), yticklabels=ticks, ylim=(at + 0.4, 0.6), xlabel="likes kept")
    ax.tick_params(axis="y", labelcolor=INK)
    ax.xaxis.set_major_locator(MultipleLocator(0.05))
    ax.xaxis.set_major_formatter(PERCENT)
    return fig


@lru_cache(maxsize=4)
def _night(seed: int, users: int) -> Night:
    bench = Bench(seed, users=users, days=6)
    return Night(bench, seconds=60, most=330, model=LinearModel.fit(bench.X, bench.y))


def outage_explorer(seed: int, *, users: int = 400) -> None:
    """What the store does, how long a read may take, and what is behind it."""

    def draw(fault: str, timeout: int, behind: str) -> tuple[Figure, str]:
        night, size = _night(seed, users), {"slow": 0.2, "flaky": 0.5}.get(fault, 1.0)
        one = Fault(fault, 20, 40, size)
        ttl = 0.0 if behind == "popularity" else 300.0
        policy = Policy(timeout / 1e3, ttl=ttl, snapshot=ttl > 0, guard=behind.endswith("breaker"))
        done, _ = night.answer(policy, [one], threads=2, slow=0.1)
        during = night.during(one)
        kept = done["likes"][during].sum() / night.well["likes"][during].sum()
        text = f"{kept:.0%} of the likes kept, p99 {1e3 * done['latency'][during].quantile(0.99):,.0f} ms"
        return _evening_figure(done, one, text), text

    wide: dict[str, Any] = {"style": {"description_width": "14em"}, "layout": {"width": "36em"}}
    explorer(
        draw,
        fault=ipywidgets.Dropdown(
            options=["gone", "slow", "flaky", "garbage"], value="slow", description="the store is", **wide
        ),
        timeout=ipywidgets.SelectionSlider(
            options=[10, 20, 50, 100, 250, 1_000], value=250, description="timeout in ms", continuous_update=False,
            **wide,
        ),
        behind=ipywidgets.Dropdown(
            options=["popularity", "cache and copy", "cache, copy, breaker"], value="popularity",
            description="behind it", **wide,
        ),
    )  # fmt: skip


@house()
def _evening_figure(done: pd.DataFrame, fault: Fault, text: str) -> Figure:
    fig = figure(width=7.6, height=4.2)
    headline(fig, text, "Two threads. Above: a dot per request, red: too late. Below: where its features came from.")
    top, below = fig.subplots(2, 1, sharex=True)
    top.scatter(done["arrival"], 1e3 * done["latency"], s=9, c=np.where(done["failed"], NAIVE, FIXED))
    top.set(yscale="log", ylabel="ms, log scale")
    top.yaxis.set_major_formatter(PLAIN)
    top.minorticks_off()
    bins = np.arange(0, done["arrival"].max() + 2, 2)
    shares = done.groupby(np.digitize(done["arrival"], bins))[list(RUNGS)].mean().reindex(range(1, len(bins) + 1))
    below.stackplot(bins, shares.ffill().bfill().to_numpy().T, colors=list(RUNG_COLOURS.values()), labels=RUNGS)
    below.set(xlabel="second of the evening", ylim=(0, 1), xlim=(0, done["arrival"].max()))
    below.yaxis.set_major_formatter(PERCENT)
    below.legend(frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.32), fontsize=8)
    for ax in (top, below):
        ax.axvspan(fault.start, fault.end, color=WARN, alpha=0.12)
    return fig
