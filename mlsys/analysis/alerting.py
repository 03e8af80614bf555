"""Figures of the monitor: columns against their reference, and alert policies against what was injected."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mlsys.analysis.style import FIXED, INK, MUTED, NAIVE, figure, headline, house
from mlsys.monitoring import Window

PANELS = 3
"""Columns of panels."""


@house()
def column_panels(window: Window, *, most: int = 9) -> Figure:
    """Shares per bin, reference and current, of the columns that moved most."""
    found = window.report().head(most)
    rows = -(-len(found) // PANELS)
    fig = figure(width=9.0, height=0.6 + 2.3 * rows)
    drifted = int((found["status"] == "DRIFT").sum())
    headline(fig, f"{drifted} of {len(window.monitor.columns)} columns drift" if drifted else "No column drifts",
             "Shares of the rows per bin. Grey: reference, colour: current. Largest PSI first.")  # fmt: skip
    for i, row in enumerate(found.to_dict("records")):
        ax = fig.add_subplot(rows, PANELS, i + 1)
        bins = window.bins(row["column"])
        x, moved = np.arange(len(bins)), row["status"] == "DRIFT"
        ax.bar(x, bins["reference"], width=0.86, color="#DDDDDD")
        ax.bar(x, bins["current"], width=0.46, color=NAIVE if moved else FIXED)
        ax.set_title(f"{row['column']}   PSI {row['psi']:.2f}", color=NAIVE if moved else INK, fontsize=9)
        step = -(-len(bins) // 6)
        ax.set_xticks(x[::step], bins.index[::step], fontsize=6.5, rotation=30, ha="right")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.tick_params(axis="y", labelsize=7)
        ax.grid(axis="x", visible=False)
    return fig


@house()
def fatigue_curve(points: Mapping[str, pd.DataFrame], finding: str) -> Figure:
    """Costly incidents caught against false pages in thirty healthy days, a line per kind of policy.

    points : policy → columns false_per_month, recall, label, one row per threshold.
    """
    fig = figure(width=7.8, height=4.2)
    headline(fig, finding, "Incidents that cost 2 % or more. Along a line the thresholds change.")
    ax = fig.add_subplot()
    for (name, line), colour, drop in zip(points.items(), (FIXED, NAIVE), (-13, 7), strict=False):
        x = line["false_per_month"].clip(lower=0.05)
        ax.plot(x, line["recall"], "o-", color=colour, label=name)
        for left, up, label in zip(x, line["recall"], line["label"], strict=True):
            ax.annotate(label, (left, up), (0, drop), textcoords="offset points", fontsize=8, color=colour, ha="center")
    ax.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xscale="log", xlabel="false pages in 30 healthy days, log scale; at the left edge: none",
           ylabel="costly incidents paged", ylim=(-0.03, 1.08))  # fmt: skip
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="lower right")
    return fig


@house()
def cost_dots(graded: pd.DataFrame, *, worth: float) -> Figure:
    """What each incident cost, a dot per run and size; filled: somebody was paged."""
    broken = graded[graded["kind"] != ""]
    kinds = broken.groupby("kind")["cost"].max().sort_values().index
    fig = figure(width=7.8, height=1.2 + 0.27 * len(kinds))
    costly = broken[broken["cost"] >= worth]
    headline(fig, f"{int(costly['caught'].sum())} of {len(costly)} costly incidents paged",
             "Engagement lost, a dot per incident; larger: a larger size. Hollow: nobody was paged.")  # fmt: skip
    ax = fig.add_subplot()
    for y, kind in enumerate(kinds):
        rows = broken[broken["kind"] == kind]
        sizes = 18 + 60 * rows["size"] / rows["size"].max()
        for caught, colour in ((True, FIXED), (False, NAIVE)):
            one = rows["caught"] == caught
            ax.scatter(rows.loc[one, "cost"], np.full(int(one.sum()), y), s=sizes[one], linewidth=1.3,
                       facecolor=colour if caught else "white", edgecolor=colour, zorder=3)  # fmt: skip
    ax.axvline(worth, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(
        yticks=np.arange(len(kinds)), yticklabels=[kind.replace("_", " ") for kind in kinds], xlabel="engagement lost"
    )
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.tick_params(axis="y", labelcolor=INK)
    return fig
