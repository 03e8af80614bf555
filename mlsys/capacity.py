"""From measured unit costs to the machines that 1M, 100M and 1B users need.

`unit_costs.json` is written by `mlsys calibrate` on one machine and committed, so that every conclusion drawn from
it is the same everywhere until somebody measures again. A plan multiplies these costs by stated assumptions;
it comes as low / mid / high because the assumptions are guesses, and an interviewer asks which one hurts most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlsys.core import MlsysError

UNIT_COSTS = Path(__file__).with_name("unit_costs.json")
LATENCY_CLASSES_MS = {"real time": 100, "near real time": 1000}
"""Upper bounds in milliseconds; everything slower is batch."""


@dataclass(frozen=True)
class Assumptions:
    """Guesses about usage. Each is (low, mid, high).

    sessions_per_day per daily active user · requests_per_session, each ranking `candidates` posts · peak_over_mean
    of the request rate · utilization a server core may reach · active: daily active share of users.
    """

    active: tuple[float, float, float] = (0.4, 0.6, 0.7)
    sessions_per_day: tuple[float, float, float] = (3, 6, 10)
    requests_per_session: tuple[float, float, float] = (3, 5, 10)
    impressions_per_request: tuple[float, float, float] = (8, 10, 12)
    peak_over_mean: tuple[float, float, float] = (1.5, 2, 3)
    utilization: tuple[float, float, float] = (0.6, 0.5, 0.4)
    posts_per_user: tuple[float, float, float] = (1, 5, 10)


def unit_costs(path: str | Path | None = None) -> dict[str, float]:
    """Measured costs by name; the name ends in the unit. `path` defaults to the committed file."""
    file = Path(path or UNIT_COSTS)
    try:
        costs = json.loads(file.read_text(encoding="utf-8"))["costs"]
    except (OSError, ValueError, KeyError) as error:
        raise MlsysError(
            f"cannot read unit costs from {file.name}: {error}",
            why="plans multiply measured costs",
            fix="run `python start.py calibrate`",
        ) from error
    return {name: float(value) for name, value in costs.items()}


def plan(
    users: Sequence[float],
    costs: Mapping[str, float] | None = None,
    assume: Assumptions | None = None,
    *,
    rank_cost: str = "rank_500_us",
    candidates: int = 500,
) -> pd.DataFrame:
    """What each number of users needs; one row per (users, case), case in low, mid, high.

    - requests_per_second = users · active · sessions · requests / 86,400 s · peak
    - events_per_day = users · active · sessions · requests · impressions;  log_gb_per_day = that · bytes per event
    - online_gb = (users + users · posts_per_user) · bytes per online row
    - cores = requests_per_second · CPU seconds to rank the candidates / utilization. Scoring in process only:
      no network, no HTTP, no remote store. The measured cost is for 500 candidates and taken as proportional.
    - store_reads_per_second = requests_per_second · (1 user row + one row per candidate)
    """
    c, a, rows = costs or unit_costs(), assume or Assumptions(), []
    for n in users:
        for i, case in enumerate(("low", "mid", "high")):
            requests = n * a.active[i] * a.sessions_per_day[i] * a.requests_per_session[i]
            qps = requests / 86_400 * a.peak_over_mean[i]
            events = requests * a.impressions_per_request[i]
            rows.append(
                {
                    "users": n,
                    "case": case,
                    "requests_per_second": qps,
                    "store_reads_per_second": qps * (1 + candidates),
                    "events_per_day": events,
                    "log_gb_per_day": events * c["event_bytes"] / 1e9,
                    "online_gb": n * (1 + a.posts_per_user[i]) * c["online_row_bytes"] / 1e9,
                    "cores": qps * c[rank_cost] * candidates / 500 / 1e6 / a.utilization[i],
                }
            )
    return pd.DataFrame(rows)


def carried(
    replicas: int, costs: Mapping[str, float] | None = None, *, candidates: int = 500, utilization: float = 0.5
) -> dict[str, float]:
    """What a number of one-core replicas carries: `requests_per_second`, and `rank_ms` for one request.

    Scoring in process only, as in `plan`.
    """
    seconds = (costs or unit_costs())["rank_500_us"] * candidates / 500 / 1e6
    return {"requests_per_second": replicas * utilization / seconds, "rank_ms": seconds * 1e3}
