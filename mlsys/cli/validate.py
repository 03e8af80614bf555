"""Do unit costs add up? A day of the system at two scales, predicted from `unit_costs.json` and measured."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys import FeatureStore, ModelServer
from mlsys.collection.log import EventLog
from mlsys.collection.schema import Schema
from mlsys.core import EVENT_SCHEMA, VirtualClock
from mlsys.features.definitions import feed_views
from mlsys.features.sqlite import SqliteOnline
from mlsys.training import LinearModel, TreeModel, label
from mlsys.world.noise import NoiseWorld

SCALES = (2_000, 20_000)
"""Users of a laptop's day; twelve events each."""

EVENTS_PER_USER, RANKINGS, FACTOR = 12, 200, 2.0
"""A cost that is off by more than `FACTOR` at another scale is no unit cost."""


def validate(costs: Mapping[str, float], scales: Sequence[int] = SCALES, *, rounds: int = 3) -> pd.DataFrame:
    """One row per scale and part of the day: unit, predicted, measured (the median of the rounds), ratio of the two.

    Predicted is the unit cost times how many there are, as `capacity.plan` does.
    """
    rows = []
    for users in scales:
        found = _day(costs, users, rounds)
        rows += [(users, part, unit, predicted, real, real / predicted) for part, unit, predicted, real in found]
    return pd.DataFrame(rows, columns=["users", "part", "unit", "predicted", "measured", "ratio"])


def _day(costs: Mapping[str, float], users: int, rounds: int) -> list[tuple[str, str, float, float]]:
    n = users * EVENTS_PER_USER
    events = NoiseWorld(users=users, posts=users * 5, seed=7).events(n)
    kept, clock = events[events["action"].notna()], VirtualClock(NoiseWorld(seed=7).end)
    store = FeatureStore()

    def features() -> pd.DataFrame:
        nonlocal store
        store = FeatureStore()
        store.apply(*feed_views())
        store.ingest(kept)
        return store.get_historical_features(kept, store.list_features())[store.list_features()]

    seconds = _timed(features, rounds)
    X = features()
    found = [("features", "s", len(kept) * costs["features_us_per_event"] / 1e6, seconds)]
    y = label(kept)
    fit = _timed(lambda: TreeModel.fit(X, y, max_iter=60), rounds)
    found.append(("fit, 60 trees", "s", len(X) * costs["fit_60_trees_us_per_row"] / 1e6, fit))
    store.materialize(clock.now())
    server = ModelServer(LinearModel.fit(X, y), store, clock=clock)
    ids = np.random.default_rng(7).integers(0, users * 5, (RANKINGS, 500))
    rank = _timed(lambda: [server.rank(i, row) for i, row in enumerate(ids)], rounds)
    found.append((f"{RANKINGS} rankings of 500", "s", RANKINGS * costs["rank_500_us"] / 1e6, rank))
    with tempfile.TemporaryDirectory() as folder:
        bare = events[list(EVENT_SCHEMA)]
        with EventLog(Path(folder) / "log", schema=Schema.of(bare)) as log:
            log.append(bare)
        size = sum(path.stat().st_size for path in (Path(folder) / "log").rglob("*") if path.is_file())
        found.append(("log on disk", "MB", n * costs["event_bytes"] / 1e6, size / 1e6))
        online = SqliteOnline(Path(folder) / "online.sqlite")
        rows = np.arange(users)
        online.write("user", rows, np.zeros((users, 2), np.float32), rows)
        online.close()
        written = (Path(folder) / "online.sqlite").stat().st_size
        found.append(("online rows on disk", "MB", users * costs["online_row_bytes"] / 1e6, written / 1e6))
    return found


def _timed(task: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        task()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
