"""Which component at which scale: the three stacks, component by component, each from a number and with its reversal.

What a thing carries is measured where this project measured it, and a stated guess where it did not. Change `Limits`
and see which choices move; those are the ones to argue about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys.capacity import Assumptions, plan, unit_costs
from mlsys.core import MlsysError

STACKS = ("starter", "production", "enterprise")
TECHNOLOGY: dict[str, tuple[str, str, str]] = {
    "data storage": ("PostgreSQL + S3", "Snowflake + S3", "Delta Lake + Snowflake"),
    "feature store": ("Feast, local", "Feast on Redis", "Tecton or Databricks Feature Store"),
    "training": ("scikit-learn, XGBoost", "PyTorch or TensorFlow on GPU", "distributed, on Kubernetes"),
    "experiment tracking": ("MLflow", "MLflow + Weights & Biases", "custom + MLflow"),
    "serving": ("FastAPI + Docker", "TorchServe or TF Serving + Kubernetes", "Triton Inference Server"),
    "monitoring": ("Prometheus + Grafana", "Datadog + Evidently AI", "custom platform + Fiddler"),
    "orchestration": ("Airflow", "Kubeflow Pipelines", "custom + Kubeflow"),
}
"""The curriculum's three stacks, small to large."""


@dataclass(frozen=True)
class Limits:
    """Up to where the starter's and the production stack's part goes, (starter, production).

    month_gb : log of thirty days that a PostgreSQL server, a warehouse takes. A guess.
    redis_servers : more are a platform's job. One process reads 500 rows in `read_500_us`, kept half busy; a Redis
    550,000 a second, 500 in 0.9 ms (measured, see benchmarks/data).
    fit_hours : of one core, for a day's rows. A night; and a night on a machine of 64 cores.
    engineers : who share the runs, the dashboards, the schedules. A guess.
    cores : one machine; a cluster that people still know by heart. A guess.
    """

    month_gb: tuple[float, float] = (2_000, 500_000)
    redis_servers: float = 20
    fit_hours: tuple[float, float] = (8, 512)
    engineers: tuple[float, float] = (5, 30)
    cores: tuple[float, float] = (16, 1_000)


def select(
    users: float, *, latency_ms: float = 100, engineers: int = 3, managed: bool = True, limits: Limits | None = None
) -> pd.DataFrame:
    """One row per component: stack, technology, the number that decides, and up to how many users the choice holds.

    latency_ms : by when an answer is needed: up to 100 real time, up to 1,000 near real time, above: batch, where lists
    are made at night and neither store nor servers see the peak. managed : services that others run may be bought.

    >>> select(1e6)[["component", "stack"]].iloc[1].tolist()
    ['feature store', 'starter']
    """
    if not (users > 0 and latency_ms > 0 and engineers > 0):
        raise MlsysError(
            f"users={users}, latency_ms={latency_ms}, engineers={engineers}",
            why="a choice is for a number of users, a deadline and somebody who runs it",
            fix="select(1e6, latency_ms=100, engineers=3)",
        )
    lim, rows = limits or Limits(), []
    for component in TECHNOLOGY:
        level, why = _level(component, users, latency_ms, engineers, lim)
        technology = TECHNOLOGY[component][level]
        if not managed and component in ("data storage", "feature store", "monitoring") and level:
            technology, why = _self_hosted(component), f"{why}; run by yourselves"
        holds = _holds(lambda n, c=component: _level(c, n, latency_ms, engineers, lim)[0], users)  # type: ignore[misc]
        rows.append((component, STACKS[level], technology, why, holds))
    return pd.DataFrame(rows, columns=["component", "stack", "technology", "because", "holds_up_to"])


def _level(component: str, users: float, latency_ms: float, engineers: int, lim: Limits) -> tuple[int, str]:
    """Which of the three, and the number behind it."""
    mid = plan([users]).query("case == 'mid'").drop(columns="case")
    need = dict(zip(mid.columns, mid.to_numpy(np.float64)[0].tolist(), strict=True))
    costs, batch = unit_costs(), latency_ms > 1_000
    if component in ("experiment tracking", "monitoring", "orchestration"):
        return int(np.searchsorted(lim.engineers, engineers)), f"{engineers} engineers"
    if component == "data storage":
        month = 30 * need["log_gb_per_day"]
        return int(np.searchsorted(lim.month_gb, month)), f"{month:,.0f} GB of log a month"
    if component == "training":
        hours = need["events_per_day"] * costs["fit_60_trees_us_per_row"] / 3.6e9
        return int(np.searchsorted(lim.fit_hours, hours)), f"{hours:,.1f} core hours for a day's rows"
    if component == "feature store":
        read = need["store_reads_per_second"] if not batch else users * 500 / 86_400
        bounds = (500 / costs["read_500_us"] * 1e6 * 0.5, 5.5e5 * lim.redis_servers)
        return int(np.searchsorted(bounds, read)), f"{read:,.0f} rows a second"
    peak = Assumptions().peak_over_mean[1]
    per_request = costs["score_60_trees_500_us"] + costs["http_us"] + costs["read_500_us"]
    cores = need["requests_per_second"] * per_request / 1e6 / Assumptions().utilization[1]
    if batch:  # A list a user and night, at any hour.
        cores = users * per_request / 86_400e6 / Assumptions().utilization[1]
    elif latency_ms > 100:
        cores /= peak  # A second to answer in is a queue that takes the peak.
    return int(np.searchsorted(lim.cores, cores)), f"{cores:,.1f} cores"


def _self_hosted(component: str) -> str:
    return {"data storage": "Delta Lake on your own object store", "feature store": "Feast on Redis",
            "monitoring": "Prometheus + Grafana + Evidently"}[component]  # fmt: skip


def _holds(level: Callable[[float], int], users: float) -> float:
    """The number of users from which on another stack's part is needed, to 5 %; inf where users do not matter."""
    here, top = level(users), 1e13
    if level(top) == here:
        return float("inf")
    low, high = users, top
    while high / low > 1.05:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if level(middle) == here else (low, middle)
    return low
