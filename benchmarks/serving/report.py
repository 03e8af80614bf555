"""results.md and serving.png of `run.py`."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from load import Result

WHAT = {
    "naive": "FastAPI, sync route, pandas `.loc` and a model call per candidate",
    "fastapi": "FastAPI, pydantic, async route",
    "bare": "ASGI + msgspec on uvicorn",
    "bentoml": "BentoML service, one worker",
    "mlflow": "MLflow models serve, one worker",
    "ours": "`mlsys serve`",
    "ours, cached": "`mlsys serve`, prediction cache on: the same 64 requests again and again",
    "ours, no gc.freeze": "`mlsys serve` without `gc.freeze()`",
}
Runs = Mapping[str, Sequence[Mapping[str, float]]]


def write(
    path: Path, found: Runs, sweep: Sequence[tuple[float, Result]], *, differ: Collection[str], busy: float, rounds: int
) -> None:
    """Tables: throughput and latency, cold start and memory, the sweep."""
    lines = [
        "# The model server beside what one would otherwise use",
        "",
        f"{date.today():%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, one for the "
        f"server and one for the load; Python {platform.python_version()}; load average before: {busy:.1f}; "
        f"{rounds} rounds.",
        "",
        "All but the naive server score with the same `ModelServer` (four feature views, one SQLite store, a linear "
        "model). Requests per second at 16 connections; p50 of one connection, p99 of 16, milliseconds. Ratio: "
        "requests per second, over the bare stack's, the median of the rounds.",
    ]
    for size in (1, 100, 500):
        lines += ["", f"## {size} candidate{'s' * (size > 1)}", ""]
        lines += ["| server | requests/s | ratio | p50 at 1 | p99 at 16 | lost |", "|---|--:|--:|--:|--:|--:|"]
        for name, runs in found.items():
            rate, p50, p99, lost = (
                [run[key] for run in runs]
                for key in (f"rate {size} at 16", f"p50 {size} at 1", f"p99 {size} at 16", f"lost {size} at 16")
            )
            ratio = ""
            if "bare" in found:
                ratio = f"{median(a / b[f'rate {size} at 16'] for a, b in zip(rate, found['bare'], strict=False)):.2f}"
            mark = " ≠" if name in differ else ""
            cells = [f"{median(rate):,.0f}", ratio, f"{median(p50):.2f}", f"{median(p99):.1f}", f"{sum(lost):.0f}"]
            lines.append(f"| {name}{mark} | {' | '.join(cells)} |")
    lines += ["", "## What it takes to run", "", "| server | what | cold start s | memory MB |", "|---|---|--:|--:|"]
    for name, runs in found.items():
        cold, mb = (median(run[key] for run in runs) for key in ("cold_s", "mb"))
        lines.append(f"| {name} | {WHAT[name]} | {cold:.1f} | {mb:,.0f} |")
    if sweep:
        lines += ["", "## Ours, from a tenth of the closed loop's rate to twice as much",
                  "", "500 candidates, open loop: latency counts from the moment a request was due.", "",
                  "| asked for per second | answered | shed | lost | p50 ms | p99 ms | p99.9 ms |",
                  "|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
        for rate, got in sweep:
            shed = sum(status == 503 for status in got.status)
            lines.append(
                f"| {rate:,.0f} | {got.rate:,.0f} | {shed:,} | {got.lost} | {got.quantile(0.5):.1f} | "
                f"{got.quantile(0.99):.1f} | {got.quantile(0.999):.1f} |"
            )
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")


def draw(path: Path, found: Runs, sweep: Sequence[tuple[float, Result]]) -> None:
    """Requests per second and p99 at 500 candidates; the sweep."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6))
    names = list(found)
    colours = ["#0072b2" if name.startswith("ours") else "#999999" for name in names]
    for axis, key, title in (
        (axes[0], "rate 500 at 16", "requests per second, 500 candidates"),
        (axes[1], "p99 500 at 16", "p99 in ms, 16 connections"),
    ):
        values = [median(run[key] for run in found[name]) for name in names]
        axis.barh(names[::-1], values[::-1], color=colours[::-1])
        axis.set(title=title, xscale="log")
        for i, value in enumerate(values[::-1]):
            axis.text(value, i, f" {value:,.0f}", va="center", fontsize=8)
        axis.margins(x=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    if sweep:
        rates = [rate for rate, _ in sweep]
        for q, style in ((0.5, "-"), (0.99, "--")):
            axes[2].plot(rates, [got.quantile(q) for _, got in sweep], style, color="#0072b2", label=f"p{100 * q:g} ms")
        shed = [100 * sum(s == 503 for s in got.status) / max(len(got.status), 1) for _, got in sweep]
        axes[2].plot(rates, shed, ":", color="#d55e00", label="shed, % of requests")
        axes[2].set(title="ours: requests asked for per second", yscale="symlog")
        axes[2].legend(fontsize=8)
        axes[2].spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
