"""The same kernel, one partition of entities at a time: for logs that do not fit into one process.

A feature is about one entity, so entities are what can be divided. A dataset that is partitioned by an entity's key
holds all events of an entity in one partition; each is read, sorted and asked by itself, here, in other processes, or
on other machines, whichever backend joblib is told to use. Nobody needs the whole log at once, and the answers are
those of one process.

The price is paid before: a log comes by time, and writing it by entity is a full copy per entity (Spark's shuffle).
A view of another entity needs another copy. `benchmarks/data/scale.md` has what one and two workers gain.

>>> import tempfile
>>> from mlsys.core import VirtualClock
>>> from mlsys.features.definitions import feed_views
>>> from mlsys.world.noise import NoiseWorld
>>> events, folder = NoiseWorld(users=50, posts=50).events(1_000), tempfile.TemporaryDirectory()
>>> by_user = Dataset(folder.name, "events_by_user", clock=VirtualClock("2026-02-01"))
>>> str(by_user.write(events, partition_by="user_id"))
'events_by_user@1'
>>> user_view = feed_views()[0]
>>> joined = get_historical_features(by_user, user_view, events.tail(3))
>>> joined["user:total_actions"].notna().tolist()
[True, True, True]
>>> folder.cleanup()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mlsys.collection.schema import Schema
from mlsys.core import MlsysError, microseconds
from mlsys.features.definitions import FeatureView
from mlsys.features.offline import PointInTimeView
from mlsys.features.online import OnlineStore
from mlsys.features.timeline import NEVER
from mlsys.storage import Dataset, Version
from mlsys.storage.content import BUCKETS, partitions
from mlsys.verification import unique

T = TypeVar("T")
Kernel = Callable[[pd.DataFrame, pd.DataFrame], T]
"""Gets a partition's events and those of the asked rows that belong to it. Sent to workers: no lambda."""


def map_by_entity(
    dataset: Dataset,
    kernel: Kernel[T],
    rows: pd.DataFrame | None = None,
    *,
    columns: list[str] | None = None,
    version: int | None = None,
    n_jobs: int | None = None,
) -> Iterator[tuple[np.ndarray, T]]:
    """Run a kernel on every partition; yields (positions of its rows in `rows`, what the kernel returned), in order.

    dataset : partitioned by an entity's key, a whole number. An event_id that comes twice is one event.
    rows : a frame with that key, or None: then every kernel gets an empty one.
    columns : of the events; None means all.
    n_jobs : worker processes; None is what `joblib.parallel_config` says, which may be a Dask cluster whose workers
        reach the dataset's folder. No more than a few partitions are under way at a time.
    """
    found = dataset.version(version)
    key = _key(found)
    asked = {} if rows is None else dict(_split(found, rows, key))
    work, places = [], []
    for name in [f"{key}#{bucket}" for bucket in range(BUCKETS)]:
        place = asked.get(name, np.zeros(0, np.int64))
        if rows is None or len(place):
            part = pd.DataFrame() if rows is None else rows.iloc[place]
            work.append(delayed(_one)(dataset, kernel, found.number, name, columns, part))
            places.append(place)
    yield from zip(places, Parallel(n_jobs=n_jobs, return_as="generator")(work), strict=True)


def get_historical_features(
    dataset: Dataset, view: FeatureView, entity_df: pd.DataFrame, *, version: int | None = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:  # fmt: skip
    """`FeatureStore.get_historical_features` for one view, from a dataset partitioned by the view's entity."""
    out = np.full((len(entity_df), len(view.refs)), np.nan, np.float32)
    rows = entity_df[[view.entity.join_key, "event_time"]]
    kernel = partial(_join, view)
    for place, values in map_by_entity(dataset, kernel, rows, columns=_reads(view), version=version, n_jobs=n_jobs):
        out[place] = values
    return entity_df.assign(**dict(zip(view.refs, out.T, strict=True)))


def materialize(
    dataset: Dataset, view: FeatureView, end: np.datetime64, online: OnlineStore, *, n_jobs: int | None = None
) -> int:
    """`FeatureStore.materialize` for one view: vectors as known at `end` go online partition by partition.

    Returns their number. In an online store that holds the view already, entities that are gone stay as they were.
    """
    count, kernel = 0, partial(_vectors, view, int(microseconds(end)))
    for _, (ids, values, newest) in map_by_entity(dataset, kernel, columns=_reads(view), n_jobs=n_jobs):
        online.write(view.name, ids, values, newest)
        count += len(ids)
    return count


def _join(view: FeatureView, events: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    entity, time = rows[view.entity.join_key].to_numpy(np.int64), microseconds(rows["event_time"])
    return PointInTimeView(view, events).known(entity, time)


def _vectors(
    view: FeatureView, end: int, events: pd.DataFrame, _: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offline = PointInTimeView(view, events)
    values, newest = offline.values(offline.ids, np.full(len(offline.ids), end))
    keep = newest > NEVER
    return offline.ids[keep], values[keep], newest[keep]


def _one(
    dataset: Dataset, kernel: Kernel[T], version: int, partition: str, columns: list[str] | None, rows: pd.DataFrame
) -> T:
    """In the worker: read one partition, each event once, and run the kernel."""
    events = dataset.read(version, columns=columns, partitions=[partition])
    again = unique("event_id").fails(events) if len(events) else np.zeros(0, bool)
    return kernel(events[~again] if again.any() else events, rows)


def _reads(view: FeatureView) -> list[str]:
    columns = [a.column for a in view.aggregations if a.column is not None]
    return list(dict.fromkeys([view.entity.join_key, "event_id", "event_time", "arrival_time", *columns]))


def _split(version: Version, rows: pd.DataFrame, key: str) -> Iterator[tuple[str, np.ndarray]]:
    """Partitions and the positions of their rows: by the same hash as the events, so of the same type."""
    column = next(column for column in version.schema.columns if column.name == key)
    if key not in rows.columns:
        raise MlsysError(
            f"the rows have no column {key!r}",
            why=f"{version} is partitioned by it",
            fix="add it, or pass the dataset that is partitioned by a key of these rows",
        )
    return partitions(Schema((column,)).enforce(rows[[key]].reset_index(drop=True)), key)


def _key(version: Version) -> str:
    """The key by which every part of a version is partitioned."""
    key = version.partition_by
    other = [part.partition for part in version.parts if not part.partition.startswith(f"{key}#")]
    if key is None or other:
        raise MlsysError(
            f"{version} is not partitioned by an entity: it has {other[0] if other else 'no partition'}",
            why="an entity's events have to lie in one partition, or each would be counted without the others",
            fix="write it again: dataset.write(dataset.read(), mode='overwrite', partition_by='user_id')",
        )
    return key
