"""The truth plot, for any set of rankers: four judgements beside the truth. Notebook 06 has its own, of one world."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlsys.analysis.feed import signed
from mlsys.analysis.style import FIXED, GOOD, INK, LINE, MUTED, WARN, figure, headline, house

SIGNED = FuncFormatter(lambda value, _: signed(value, "+.0%") if value else "0")


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
