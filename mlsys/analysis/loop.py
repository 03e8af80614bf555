"""Figures of the daily loop: a month on one axis, and AUC offline against what was earned online."""

from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlsys.analysis.feed import signed
from mlsys.analysis.plots import PERCENT
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, MUTED, NAIVE, WARN, figure, headline, house
from mlsys.core import MlsysError
from mlsys.world import Incident

LOOP_COLUMNS = ("day", "share_of_oracle", "random_share", "likes_per_session", "sessions", "active_users", "retained",
                "auc", "auc_low", "auc_high", "model_version", "gate", "alerts", "rungs")  # fmt: skip
"""What a frame of the daily loop has, one row per day."""


RUNG_COLOURS = {"fresh": FIXED, "cached": GOOD, "snapshot": EXTRA, "defaults": WARN, "popularity": NAIVE}
SHOWN_ALERTS, ALERT_ROWS = 2, 8
"""Alerts named per day, and kinds of alerts that get a row of their own; all others share one row."""


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in LOOP_COLUMNS if name not in frame]
    if missing or not len(frame):
        raise MlsysError(
            f"the frame has no {missing[0]!r}" if missing else "the frame has no day",
            why=f"one row per day with {', '.join(LOOP_COLUMNS)} is what is drawn",
            fix="run the loop for a day or more, and pass its frame",
        )
    return frame


@house()
def loop_overview(
    frame: pd.DataFrame, incidents: Sequence[Incident] = (), baseline: pd.DataFrame | None = None
) -> Figure:
    """The daily loop, panels on one axis of days: engagement, users, retention, AUC, rungs, alerts.

    frame : `LOOP_COLUMNS`, a row per day. incidents : shaded and named; days count like the frame's.
    baseline : the frame of the same seed without incidents, dashed.
    """
    frame, day = _checked(frame), frame["day"].to_numpy()
    rows = _alert_rows(frame["alerts"])
    heights = [2.4, 1.0, 1.0, 1.3, 1.1, 0.35 + 0.22 * max(1, len(rows))]
    fig = figure(height=1.2 + 1.1 * sum(heights))
    detail = "Expected likes per session over those of a ranker that knows every P(like), on the same sessions."
    if baseline is not None:
        detail += f"\nAgainst the same seed without incident, {_change(frame, _checked(baseline), incidents)}."
    served, random = (
        np.average(frame[name], weights=frame["sessions"]) for name in ("share_of_oracle", "random_share")
    )
    headline(fig, f"The feed earns {served:.0%} of the oracle's likes; a random order {random:.0%}", detail)
    panels: list[Axes] = list(fig.subplots(6, 1, sharex=True, gridspec_kw={"height_ratios": heights}))
    top, users, retained, offline, rungs, alerts = panels
    for ax, column, colour in (
        (top, "share_of_oracle", FIXED),
        (users, "active_users", GOOD),
        (retained, "retained", GOOD),
    ):
        ax.plot(day, frame[column], color=colour, marker="o", markersize=4, label="served")
        if baseline is not None:
            ax.plot(baseline["day"], baseline[column], color=INK, linestyle=(0, (3, 2)), linewidth=1.2,
                    label="no incident")  # fmt: skip
    top.plot(day, frame["random_share"], color=MUTED, linewidth=1.2, marker="o", markersize=2, label="random")
    top.set(ylim=(0, 1.02 + 0.11 * len(incidents)), yticks=np.arange(0, 1.01, 0.25), title="likes, share of oracle's")
    top.yaxis.set_major_formatter(PERCENT)
    users.set(ylim=(0, 1.15 * users.dataLim.y1), title="active users")
    users.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    retained.set_title("of the users of the first three days, still here")
    retained.yaxis.set_major_formatter(PERCENT)
    retained.yaxis.set_major_locator(MaxNLocator(3))
    _draw_auc(offline, frame)
    _draw_rungs(rungs, frame)
    _draw_alerts(alerts, day, rows)
    for ax in panels[:5]:
        ax.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.05), borderaxespad=0.2)
    _shade(panels, incidents, int(day[0]), int(day[-1]))
    alerts.set(xlim=(day[0] - 0.6, day[-1] + 0.6), xlabel="day")
    alerts.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=15, min_n_ticks=1))
    return fig


def _change(frame: pd.DataFrame, baseline: pd.DataFrame, incidents: Sequence[Incident]) -> str:
    """How much more of the oracle's likes than the baseline, from the first incident on, over days that both have.

    Shares, not counts: who happened to come differs between two runs, and the oracle meets the same people.
    """
    both = frame.merge(baseline, on="day", suffixes=("", "_base"))
    both = both[both["day"] >= min((i.day for i in incidents), default=0)]
    if both.empty:
        return "not yet comparable"
    change = both["share_of_oracle"].mean() / both["share_of_oracle_base"].mean() - 1
    return f"day {both['day'].min()} to {both['day'].max()}: {signed(change, '+.1%')}"


def _alert_rows(alerts: pd.Series) -> dict[str, list[int]]:
    """Kind of alert → positions of its days, in order of appearance. A kind is the text up to its first number."""
    kinds = [[re.sub(r" [-+−]?\d.*$", "", text) for text in day] for day in alerts]
    named = [kind for day in kinds for kind in day[:SHOWN_ALERTS]]
    kept = pd.Series(named, dtype=object).value_counts(sort=True).index[:ALERT_ROWS]
    rows = {kind: [i for i, day in enumerate(kinds) if kind in day] for kind in dict.fromkeys(named) if kind in kept}
    rest = [i for i, day in enumerate(kinds) if any(kind not in rows for kind in day)]
    return {**rows, "others": rest} if rest else rows


def _draw_auc(ax: Axes, frame: pd.DataFrame) -> None:
    """AUC with its interval; filled where the night's gate promoted a model, hollow where it held one."""
    day, auc = frame["day"], frame["auc"]
    ax.fill_between(day, frame["auc_low"], frame["auc_high"], color=FIXED, alpha=0.15, linewidth=0, label="95 %")
    ax.plot(day, auc, color=FIXED, linewidth=1.2, marker="o", markersize=2)
    for start, face, label in (("promoted", FIXED, "night: promoted"), ("held", "white", "night: held")):
        at = frame["gate"].str.startswith(start) & auc.notna()
        if at.any():
            ax.plot(day[at], auc[at], "o", color=FIXED, markerfacecolor=face, markersize=5, label=label)
    ax.set_title("AUC offline" if auc.notna().any() else "AUC offline: no model was trained")
    if auc.isna().all():
        ax.set_yticks([])


def _draw_rungs(ax: Axes, frame: pd.DataFrame) -> None:
    shares = pd.DataFrame(list(frame["rungs"])).fillna(0.0)
    below = np.zeros(len(frame))
    for name in sorted(shares, key=lambda rung: [*RUNG_COLOURS, rung].index(rung)):
        ax.bar(
            frame["day"], shares[name], bottom=below, width=0.8, color=RUNG_COLOURS.get(str(name), MUTED), label=name
        )
        below += shares[name].to_numpy()
    ax.set(ylim=(0, 1), title="answers by rung")
    ax.yaxis.set_major_formatter(PERCENT)


def _draw_alerts(ax: Axes, day: np.ndarray, rows: dict[str, list[int]]) -> None:
    for y, (kind, at) in enumerate(rows.items()):
        ax.plot(day[at], np.full(len(at), -y), "D", color=MUTED if kind == "others" else NAIVE, markersize=5)
    ax.set(yticks=[-y for y in range(len(rows))], yticklabels=[kind[:34] for kind in rows],
           ylim=(0.6 - max(1, len(rows)), 0.6), title="alerts" if rows else "alerts: none")  # fmt: skip
    ax.tick_params(axis="y", labelcolor=INK, labelsize=8.5)


def _shade(panels: list[Axes], incidents: Sequence[Incident], first: int, last: int) -> None:
    for i, incident in enumerate(incidents):
        start, end = max(incident.day, first), min(incident.day + incident.days - 1, last)
        if start > end:
            continue
        for ax in panels:
            ax.axvspan(start - 0.5, end + 0.5, color=WARN, alpha=0.18, linewidth=0, zorder=0)
        left = start <= (first + last) / 2
        panels[0].annotate(f"{incident.kind} (size {incident.size:g})", (start - 0.4 if left else end + 0.4, 1),
                           (0, -3 - 13 * i), xycoords=("data", "axes fraction"), textcoords="offset points",
                           ha="left" if left else "right", va="top", fontweight="bold", fontsize=9)  # fmt: skip


@house()
def offline_online(frame: pd.DataFrame) -> Figure:
    """AUC offline against what was earned online, a dot per day, days as colour; `LOOP_COLUMNS`."""
    known = _checked(frame).dropna(subset=["auc"])
    x, y = known["auc"].to_numpy(np.float64), known["share_of_oracle"].to_numpy(np.float64)
    defined = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    r = signed(np.corrcoef(x, y)[0, 1]) if defined else "undefined"
    fig = figure(width=7.6, height=4.6)
    headline(fig, f"AUC offline against value online: correlation {r}",
             f"{len(x)} days, {known['model_version'].nunique()} models; a dot is a day. Lines: 95 % intervals of the "
             "AUC.")  # fmt: skip
    ax = fig.add_subplot()
    ax.hlines(y, known["auc_low"], known["auc_high"], color=MUTED, alpha=0.3, linewidth=1)
    dots = ax.scatter(x, y, c=known["day"], cmap=matplotlib.colormaps["viridis"], s=42, zorder=3)
    ax.set(xlabel="AUC offline", ylabel="likes online, share of the oracle's")
    ax.yaxis.set_major_formatter(PERCENT)
    if len(x):
        fig.colorbar(dots, ax=ax, label="day", ticks=MaxNLocator(integer=True, nbins=8)).outline.set_visible(False)
    return fig
