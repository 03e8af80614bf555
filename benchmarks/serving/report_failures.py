"""The table and the figure of `prove.py`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from failures import Found

from mlsys.serving import RUNGS

COLOURS = dict(zip(RUNGS, ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00"), strict=True))


def write(path: Path, found: Sequence[Found], *, rate: float, seconds: float) -> None:
    """One row per case."""
    lines = [
        "# What the server does when things go wrong",
        "",
        f"{date.today():%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores; server, store, "
        f"proxy and crowd share them. {rate:g} requests a second, faults of {seconds:g} s, 50 candidates a request.",
        "",
        "Failed: no answer, or another status than 200 and 503; over the whole case, like retried and shed. All else "
        "is while the fault lasted. Kept: expected likes, as a share of what a server earns whose store is well. "
        "Back after: from the fault's end to the last second in which more than 5 % of the answers were late (50 ms), "
        "shed, or from an outage's rung.",
        "",
        "| case | what is broken | requests | failed | retried | shed | p50 ms | p99 ms | where features came from "
        "| kept | back after |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|",
    ]
    for one in found:
        mix = " · ".join(f"{name} {share:.0%}" for name, share in one.sources.items() if share >= 0.005)
        lines.append(
            f"| {one.case} | {one.what} | {one.requests:,} | {one.failed} | {one.retried} | {one.shed:,} | "
            f"{one.p50_ms:.1f} | {one.p99_ms:.1f} | {mix} | {one.kept:.1%} | {one.recovery_s:.1f} s |"
        )
    notes = [f"- {one.case}: {one.note}" for one in found if one.note]
    path.write_text("\n".join([*lines, *([""] if notes else []), *notes, ""]), encoding="utf-8", newline="\n")


def draw(path: Path, found: Sequence[Found]) -> None:
    """Per case: where features came from, second by second, and p99 above it."""
    columns = 3
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(12, 2.3 * rows), squeeze=False, sharex=True)
    for axis, one in zip(axes.ravel(), found, strict=False):
        seconds, floor = np.arange(len(one.series["kept"])), np.zeros(len(one.series["kept"]))
        for rung in RUNGS:
            top = floor + np.array(one.series[rung])
            axis.fill_between(seconds, floor, top, color=COLOURS[rung], lw=0, label=rung)
            floor = top
        axis.axvspan(*one.span, color="black", alpha=0.12, lw=0)
        axis.set(title=one.case, ylim=(0, 1.02), ylabel="share of answers")
        right = axis.twinx()
        right.plot(seconds, np.maximum(one.series["p99_ms"], 0.5), color="black", lw=1)
        right.set(yscale="log", ylim=(0.5, 6_000), ylabel="p99 ms")
    for axis in axes.ravel()[len(found) :]:
        axis.axis("off")
    axes[0, 0].legend(loc="lower left", fontsize=7)
    figure.suptitle(
        "Where features came from. White: failed or shed. Grey: the fault. Line: p99 of each second, milliseconds",
        y=1.0,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
