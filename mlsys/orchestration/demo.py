"""A system to serve: a simulated feed, its log in a feature store, a model in a registry, all in one folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.core import EVENT_SCHEMA, Clock, MlsysError, VirtualClock
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import ranking_views
from mlsys.features.store import FeatureStore
from mlsys.serving.deployment import DATABASE, Posts
from mlsys.training import LinearModel
from mlsys.training.registry import Registry, data_hash
from mlsys.world import Random, World

STEPS = 5
"""How often `on_step` is told."""


def build(
    folder: str | Path,
    *,
    name: str = "feed_like",
    users: int = 2_000,
    days: int = 10,
    seed: int = 13,
    morning: np.datetime64 | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> World:
    """Make the folder that `mlsys.serving.deployment.open_deployment` reads; returns the world on the next morning.

    Some days of random ranking; features of their log, as of the last midnight; a linear model of P(like), trained on
    them point in time, as champion. `morning`: the day on which it will serve, since posts have an age. The folder is
    there as a whole or not at all.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise MlsysError(
            f"{folder} is not empty",
            why="a system is built into a folder of its own",
            fix="name a new folder, or delete this one",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        world = World(seed=seed, users=users, n_jobs=1, start=_start(morning, days))
        _fill(Path(scratch) / "system", world, name, days, on_step)
        if folder.exists():
            folder.rmdir()
        (Path(scratch) / "system").replace(folder)
    return world


def _start(morning: np.datetime64 | None, days: int) -> str:
    return "2026-01-01" if morning is None else str(morning.astype("datetime64[D]") - np.timedelta64(days, "D"))


def _fill(folder: Path, world: World, name: str, days: int, on_step: Callable[[str], None]) -> None:
    on_step(f"a feed of {len(world.people()):,} users, {days} days")
    log = pd.concat([world.step(Random()).log for _ in range(days)])
    posts = world.catalogue()
    catalogue = Catalogue(posts, topics=world.p.topics)
    log = catalogue.join_log(log[log["arrival_time"] < world.now].drop_duplicates("event_id", ignore_index=True))
    on_step("events into the feature store")
    store = FeatureStore.open(folder, clock=VirtualClock(world.now))
    store.apply(*ranking_views())
    store.ingest(log[[*EVENT_SCHEMA, "creator_id", "user_topic"]])
    on_step("features, point in time")
    refs = store.list_features()
    rows = log[log["action"].notna()]
    X = store.get_historical_features(rows, refs, every=np.timedelta64(1, "D"))[refs].astype(np.float32)
    on_step("a model, registered")
    model = LinearModel.fit(X, (rows["action"] == "like").to_numpy(np.float64), version=f"{name}-1")
    registry = Registry(folder / DATABASE, name=name)
    registry.register(model, tags={"dataset": f"days 1 to {days}", "data_hash": data_hash(X)})
    registry.set_alias("champion", model.version)
    registry.close()
    on_step("features online")
    store.materialize(world.now)
    likes = np.bincount(log.loc[log["action"] == "like", "post_id"].to_numpy(np.int64), minlength=len(posts))
    Posts(posts, world.p.topics, likes).save(folder)


def materialize(folder: str | Path, online: str, clock: Clock) -> int:
    """Put a folder's features online as of now: in the folder, or in a Redis (`redis://host:port/db`). Vectors."""
    store = FeatureStore.open(folder, clock=clock)
    if online:
        from mlsys.integrations.redis import RedisOnline  # an extra: only who names a Redis needs it

        store.online = RedisOnline(online, timeout=5.0)
    return store.materialize(clock.now())
