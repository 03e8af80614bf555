"""One measurement of `scale.py`: `CASE EVENTS FOLDER`, prints one line of JSON."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from mlsys import FeatureStore
from mlsys.core import ACTIONS, VirtualClock, generator
from mlsys.features import Aggregation, Entity, FeatureView
from mlsys.features.partitioned import get_historical_features
from mlsys.storage import Dataset

CHUNK, DAY = 5_000_000, 86_400_000_000
START = int(np.datetime64("2026-01-01", "us").astype(np.int64))
VIEW = FeatureView(
    "user",
    Entity("user", "user_id"),
    (
        Aggregation("events", "count"),
        Aggregation("like_rate", "mean", column="action", equals="like", window_days=7),
        Aggregation("last_slot", "last", column="position"),
    ),
    ttl_days=7,
)


def write_log(folder: Path, events: int) -> None:
    """The log by time, a month of it."""
    log = Dataset(folder, "log", clock=VirtualClock("2026-02-01"))
    for chunk, first in enumerate(range(0, events, CHUNK)):
        n, rng = min(CHUNK, events - first), generator(13, chunk + 1)
        low, high = (START + int(30 * DAY * at / events) for at in (first, first + n))
        happened = np.sort(rng.integers(low, high, n))
        frame = {
            "event_id": np.arange(first, first + n),
            "user_id": rng.integers(0, events // 100, n),
            "post_id": rng.integers(0, events // 50, n),
            "action": pd.Categorical.from_codes(rng.integers(-1, 4, n).astype(np.int8), list(ACTIONS)),
            "event_time": happened.view("M8[us]"),
            "arrival_time": (happened + rng.integers(0, 3_600_000_000, n)).view("M8[us]"),
            "position": rng.integers(1, 11, n),
        }
        log.write(pd.DataFrame(frame))


def labels(events: int) -> pd.DataFrame:
    rng, n = generator(13, 999), events // 10
    time_ = START + rng.integers(0, 30 * DAY, n)
    return pd.DataFrame({"user_id": rng.integers(0, events // 100, n), "event_time": time_.view("M8[us]")})


def measure(case: str, events: int, folder: Path) -> dict[str, float]:
    """Seconds, peak memory of the largest process, and the sum of all answers."""
    log, by_user = (Dataset(folder, name, clock=VirtualClock("2026-02-01")) for name in ("log", "by_user"))
    check = 0.0
    with ExitStack() as stack:
        stack.enter_context(workers(case))  # First: a process starts with its parent's peak memory.
        asked = labels(events)
        begin = time.perf_counter()
        if case == "shuffle":
            shutil.rmtree(by_user.folder, ignore_errors=True)
            days = list(dict.fromkeys(part.partition for part in log.version().parts))
            per_write = max(1, len(days) * CHUNK // events)
            for first in range(0, len(days), per_write):
                by_user.write(log.read(partitions=days[first : first + per_write]), partition_by="user_id")
        else:
            if case == "store":
                store = FeatureStore()
                store.apply(VIEW)
                store.ingest(log.read())
                joined = store.get_historical_features(asked, VIEW.refs)
            else:
                joined = get_historical_features(by_user, VIEW, asked)
            check = float(np.nansum(joined[list(VIEW.refs)].to_numpy(np.float64)))
        seconds = time.perf_counter() - begin
    if case == "workers-2":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)  # Their memory is known once they have ended.
    used = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"seconds": seconds, "mb": used / (2**20 if sys.platform == "darwin" else 2**10), "check": check}


def workers(case: str) -> AbstractContextManager[object]:
    """What joblib is told; starting processes is not inside the clock, as a cluster would be there."""
    if case == "workers-2":
        joblib.Parallel(n_jobs=2)(joblib.delayed(ready)(n) for n in range(8))
        return joblib.parallel_config(backend="loky", n_jobs=2)
    if case != "dask-2":
        return nullcontext()
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    stack = ExitStack()
    stack.enter_context(Client(stack.enter_context(LocalCluster(memory_limit=0, **options))))
    stack.enter_context(joblib.parallel_config(backend="dask"))
    return stack


def ready(n: int) -> int:
    """Makes a worker import what it will need."""
    return n + (get_historical_features is None)


if __name__ == "__main__":
    case_, events_, folder_ = sys.argv[1:4]
    if case_ == "log":
        write_log(Path(folder_), int(events_))
    else:
        print(json.dumps(measure(case_, int(events_), Path(folder_))))
