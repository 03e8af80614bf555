"""Figures of notebook 06: the size of a test, what looking early does to it, four judgements beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.style import FIXED, GOOD, INK, LINE, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.evaluation.power import power, sample_size

SIGNED = FuncFormatter(lambda value, _: signed(value, "+.0%") if value else "0")


@house()
def power_curves(effect: float, sd: float, explained: float, users: Sequence[float] | None = None) -> Figure:
    """Power against users, both arms together, for an effect in the unit of sd: without and with CUPED.

    explained : share of the variance that CUPED takes out.
    """
    need = [sample_size(effect, sd), sample_size(effect, sd, explained=explained)]
    fig = figure(height=4.2)
    headline(fig, f"CUPED finds it with {short(need[1])} users, without it takes {short(need[0])}",
             f"Power for an effect of {effect:g} at a standard deviation of {sd:.3g} a user; the past explains "
             f"{explained:.0%} of the variance.")  # fmt: skip
    ax = fig.add_subplot()
    n = np.geomspace(need[1] / 20, need[0] * 5, 120) if users is None else np.asarray(users, np.float64)
    for share, size, colour, name in ((0.0, need[0], NAIVE, "plain"), (explained, need[1], FIXED, "CUPED")):
        ax.plot(n, [power(effect, sd, float(one), explained=share) for one in n], color=colour)
        ax.plot(size, 0.8, "o", color=colour, markersize=9)
        ax.annotate(f"{name}: {short(size)}", (size, 0.8), (-8, 8), textcoords="offset points", ha="right",
                    color=colour, fontweight="bold")  # fmt: skip
    ax.axhline(0.8, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xscale="log", ylim=(0, 1.02), xlabel="users in both arms, log scale", ylabel="P(the test finds it)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.yaxis.set_major_formatter(PERCENT)
    return fig


@house()
def peeking_curves(same: pd.DataFrame, better: pd.DataFrame | None = None) -> Figure:
    """Tests that have found something by each day, of `sequential.peeking`: nothing to find, and an effect."""
    panels = {"nothing to find: every find is false": same}
    panels |= {} if better is None else {"the planned effect is there": better}
    last = same.iloc[-1]
    fig = figure(height=4.2)
    headline(fig, f"{len(same)} daily looks turn {last['once']:.0%} false alarms into {last['daily']:.0%}",
             f"The confidence sequence stands at {last['always_valid']:.1%}, looked at as often. Share of simulated "
             "tests.")  # fmt: skip
    for place, (title, table) in enumerate(panels.items(), start=1):
        ax = fig.add_subplot(1, len(panels), place)
        looks = (("daily", NAIVE, "first look below 0.05"), ("once", MUTED, "one look, on that day"),
                 ("always_valid", FIXED, "always valid"))  # fmt: skip
        for column, colour, name in looks:
            ax.plot(table.index, table[column], color=colour, label=name)
            ax.annotate(f"{table[column].iloc[-1]:.0%}", (table.index[-1], table[column].iloc[-1]), (5, 0),
                        textcoords="offset points", va="center", color=colour, fontweight="bold")  # fmt: skip
        if place == 1:
            ax.axhline(0.05, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            ax.legend(frameon=False, loc="upper left")
            ax.set_ylim(0, max(0.1, 1.5 * table.to_numpy().max()))
        else:
            ax.set_ylim(0, 1.02)
        ax.set_title(title)
        ax.set(xlabel="days looked at", ylabel="found something" if place == 1 else "", xlim=(1, len(table) * 1.12))
        ax.yaxis.set_major_formatter(PERCENT)
    return fig


JUDGES: Mapping[str, tuple[str, str]] = {"off": ("off-policy", WARN), "ab": ("A/B test", FIXED)}
"""Columns of `abtest.truth_table` that estimate the lift, their names and colours."""


@house()
def truth_plot(table: pd.DataFrame) -> Figure:
    """AUC, off-policy and A/B estimates and true lift of every ranker but the served one; of `abtest.truth_table`."""
    served, rows = str(table.index[0]), table.iloc[1:]
    missed = {name: _missed(rows, name) for name in JUDGES}
    fig = figure(height=1.9 + 0.62 * len(rows))
    headline(fig, f"Of {len(rows)} lifts, the A/B interval misses {missed['ab'][0]}, the off-policy one "
             f"{missed['off'][0]} of {missed['off'][1]}",
             f"Likes per session against “{served}”. Left: AUC on its log. Diamond: in both worlds.")  # fmt: skip
    left, right = fig.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [1, 2.6]})
    y = np.arange(len(rows))[::-1]
    left.hlines(y, rows["auc_low"], rows["auc_high"], color=MUTED, linewidth=3)
    left.plot(rows["auc"], y, "o", color=MUTED, markersize=7)
    left.axvline(table["auc"].iloc[0], color=LINE, linewidth=1.2)
    left.annotate("served", (table["auc"].iloc[0], y[0] + 0.5), (3, 0), textcoords="offset points", fontsize=8,
                  color=MUTED, va="center")  # fmt: skip
    for at, value in zip(y, rows["auc"], strict=True):
        text, where = (f"{value:.2f}", value) if np.isfinite(value) else ("no scores", table["auc"].iloc[0])
        left.annotate(text, (where, at), (0, 7), textcoords="offset points", ha="center", fontsize=9, color=MUTED)
    for shift, (column, (name, colour)) in zip((0.17, -0.17), JUDGES.items(), strict=True):
        right.hlines(y + shift, rows[f"{column}_low"], rows[f"{column}_high"], color=colour, linewidth=3)
        right.plot(rows[column], y + shift, "o", color=colour, markersize=7, label=name)
    right.plot(rows["truth"], y, "D", color=GOOD, markersize=9, label="truth")
    for at, value in zip(y, rows["truth"], strict=True):
        right.annotate(signed(value, "+.0%"), (1.0, at), (4, 0), xycoords=("axes fraction", "data"), color=GOOD,
                       textcoords="offset points", va="center", fontweight="bold")  # fmt: skip
    right.axvline(0, color=MUTED, linewidth=1)
    right.xaxis.set_major_formatter(SIGNED)
    right.set(xlabel="lift", ylim=(-0.6, len(rows) - 0.2))
    right.legend(frameon=False, loc="best", fontsize=9)
    left.set(yticks=y, yticklabels=list(rows.index), xlabel="AUC")
    left.margins(x=0.3)
    left.tick_params(axis="y", labelcolor=INK)
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
    return fig


def _missed(rows: pd.DataFrame, judge: str) -> tuple[int, int]:
    """Intervals that leave out the truth, and how many there are."""
    some = rows[rows[judge].notna()]
    out = (some["truth"] < some[f"{judge}_low"]) | (some["truth"] > some[f"{judge}_high"])
    return int(out.sum()), len(some)
