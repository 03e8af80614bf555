"""Alerts graded like a classifier: every kind of incident, in several sizes, on known days, and healthy months.

A run is a branch of one warm loop: the same people and posts, and one incident from `ONSET` on. Its twin is the same
branch without it, so what an incident costs is known, and whoever pages can be graded. What production saw is kept as
signals: any policy can be graded on the same runs afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from mlsys.config import SystemConfig
from mlsys.monitoring.alerts import AlertRule
from mlsys.monitoring.daily import HEALTHY_DAYS, RULES, DailyMonitor, Day
from mlsys.orchestration.loop import WARM_UP, DailyLoop
from mlsys.world import KINDS, Incident
from mlsys.world.incidents import Incidents

ONSET = 12
"""The incident's first day; the monitor has some eighteen healthy days by then."""

LONGEST, AFTER = 4, 2
"""Days of an incident that are graded, and days after it, since features remember."""

SIZES = (0.25, 0.5, 1.0)
"""Of each kind's usual size."""

MONTH = 30
WORTH = 0.02
"""Engagement lost, from which on an incident has to be noticed."""


@dataclass(frozen=True)
class Run:
    """kind : "" for a healthy month. size : of the incident, days : of it that are graded.
    signals : of each day from the first that a model served, the last `len(share)` of them from `ONSET` on.
    share, twin : share of the oracle's likes on these days, and without the incident, float64 (d,)."""

    seed: int
    kind: str
    size: float
    days: int
    signals: tuple[dict[str, float], ...]
    share: np.ndarray
    twin: np.ndarray

    @property
    def cost(self) -> float:
        """Engagement lost on the incident's days and the two after, as a share."""
        return float(1 - self.share.sum() / self.twin.sum())


def corpus(
    seed: int,
    *,
    users: int = 2_000,
    kinds: Sequence[str] = tuple(KINDS),
    sizes: Sequence[float] = SIZES,
    month: int = MONTH,
    on_run: Callable[[Run], None] = lambda _: None,
) -> list[Run]:
    """One healthy month and a run per kind and size, all in the world of this seed. Models are linear."""
    loop = DailyLoop(SystemConfig.load(overrides={"training.estimator": "linear"}), seed=seed, users=users)
    loop.run(ONSET - 2)  # A shift of interests happens in the night before its first day.
    healthy = deepcopy(loop)
    healthy.run(ONSET - 1 + max(month, LONGEST + AFTER))
    share = _shares(healthy)
    runs = [Run(seed, "", 0.0, 0, _signals(healthy), share, share)]
    on_run(runs[0])
    for kind in kinds:
        usual = KINDS[kind]
        days = min(usual.days, LONGEST)
        for size in (usual.size * part for part in sizes):
            broken = deepcopy(loop)
            broken.world.incidents = Incidents([Incident(kind, ONSET + WARM_UP - 1, usual.days, size)])
            broken.run(ONSET - 1 + days + AFTER)
            runs.append(Run(seed, kind, size, days, _signals(broken), _shares(broken), share[: days + AFTER]))
            on_run(runs[-1])
    return runs


def _signals(loop: DailyLoop) -> tuple[dict[str, float], ...]:
    return tuple(row["signals"] for row in loop.history if int(str(row["day"])) > -HEALTHY_DAYS)  # type: ignore[misc]


def _shares(loop: DailyLoop) -> np.ndarray:
    frame = loop.frame()
    return np.asarray(frame.loc[frame["day"] >= ONSET, "share_of_oracle"], np.float64)


class Policy(Protocol):
    """Who decides, day by day, whether somebody is paged."""

    def pages(self, signals: Sequence[dict[str, float]]) -> list[tuple[str, ...]]:
        """What is paged on each day, each judged by what was known then."""
        ...


@dataclass(frozen=True)
class Rules:
    """`DailyMonitor` with these rules; `factor` scales every limit and move, above 1 is quieter."""

    name: str = "rules"
    rules: Sequence[AlertRule] = RULES
    factor: float = 1.0
    rate: float = 1e-3

    def pages(self, signals: Sequence[dict[str, float]]) -> list[tuple[str, ...]]:
        """See `Policy.pages`."""
        monitor = DailyMonitor([rule.scaled(self.factor) for rule in self.rules], rate=self.rate)
        return [monitor.observe(Day(day)).pages for day in signals]


@dataclass(frozen=True)
class Naive:
    """Page when any metric is more than `relative` away from its mean of the seven days before."""

    relative: float = 0.10
    name: str = "naive"
    ignored: tuple[str, ...] = ("failed checks", "bad minutes that page", "drift")

    def pages(self, signals: Sequence[dict[str, float]]) -> list[tuple[str, ...]]:
        """See `Policy.pages`."""
        names = [name for name in signals[0] if name not in self.ignored]
        table = pd.DataFrame(list(signals), columns=names)
        usual = table.rolling(HEALTHY_DAYS).mean().shift(1)
        moved = ((table - usual).abs() > self.relative * usual.abs()) & usual.notna() & table.notna()
        return [tuple(name for name, hit in zip(names, row, strict=True) if hit) for row in moved.to_numpy()]


def graded(runs: Iterable[Run], policy: Policy) -> pd.DataFrame:
    """One row per run: seed, kind, size, days, cost, caught (somebody was paged on one of its days), waited (days until
    then, NaN: not), first (what was paged first), pages (rules that began to fire), of a healthy run false ones."""
    rows = []
    for run in runs:
        told = policy.pages(run.signals)
        since = len(run.signals) - len(run.share)
        during = told[since : since + run.days] if run.kind else []
        found = next((i for i, day in enumerate(during) if day), None)
        first = during[found][0] if found is not None else ""
        began = sum(
            len(_rules(day) - _rules(before)) for before, day in zip(told[since - 1 :], told[since:], strict=False)
        )
        waited = float("nan") if found is None else float(found)
        rows.append((run.seed, run.kind, run.size, run.days, run.cost, found is not None, waited, first, began))
    columns = ["seed", "kind", "size", "days", "cost", "caught", "waited", "first", "pages"]
    return pd.DataFrame(rows, columns=columns)


def _rules(texts: tuple[str, ...]) -> set[str]:
    """Which rules: a text begins with its rule's name."""
    return {text.split(" +")[0].split(" -")[0].split(":")[0].rstrip("0123456789.e+ ") for text in texts}


def score(table: pd.DataFrame, *, worth: float = WORTH, per_month: float = 1.0) -> dict[str, float]:
    """A `graded` table in seven numbers.

    recall : of incidents that cost `worth` or more, the share that was paged. precision : those, over those and the
    false pages of the table's healthy months. in_practice : precision if only `per_month` incidents of any cost happen
    in thirty days. waited : mean days until the page. pages_per_incident · false_per_month : pages in thirty healthy
    days · incidents : of that cost.
    """
    healthy, broken = table[table["kind"] == ""], table[table["kind"] != ""]
    costly = broken[broken["cost"] >= worth]
    pages, caught = float(healthy["pages"].sum()), float(costly["caught"].sum())
    false = pages / max(len(healthy), 1)
    usual = per_month * float(broken["caught"].mean()) if len(broken) else 0.0
    return {
        "recall": caught / len(costly) if len(costly) else float("nan"),
        "precision": caught / (caught + pages) if caught + pages else float("nan"),
        "in_practice": usual / (usual + false) if usual + false else float("nan"),
        "waited": float(costly["waited"].mean()),
        "pages_per_incident": float(broken.loc[broken["caught"], "pages"].mean()),
        "false_per_month": false,
        "incidents": float(len(costly)),
    }
