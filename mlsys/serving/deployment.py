"""From a folder and a configuration to a running `ModelServer`: where stores, registry and caches are put together.

feature store   registry.json, events/, online.db; or the online vectors in Redis (serving.online)
models          models.db; or an MLflow tracking server (serving.registry)
posts.npz       the catalogue's columns, and likes for the popularity rung
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.config import SystemConfig
from mlsys.core import Clock, MlsysError
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import ranking_views
from mlsys.features.store import FeatureStore
from mlsys.serving.cache import FeatureCache, PredictionCache
from mlsys.serving.resilience import CircuitBreaker, GuardedOnline
from mlsys.serving.server import ModelServer, Prediction, Ranking
from mlsys.training.registry import Registry
from mlsys.training.runs import ModelRegistry

DATABASE, POSTS = "models.db", "posts.npz"
COLUMNS = ("post_id", "creator_id", "topic", "length", "created")


@dataclass(frozen=True)
class Posts:
    """What is known of every post: the frame of `Catalogue`, the number of topics, and likes so far, int64 (n,)."""

    frame: pd.DataFrame
    topics: int
    likes: np.ndarray

    def save(self, folder: Path) -> None:
        """Write posts.npz, whole or not at all."""
        part = folder / f"{POSTS}.part"
        columns = {name: self.frame[name].to_numpy() for name in COLUMNS}
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, topics=self.topics, likes=self.likes, **columns)
        part.replace(folder / POSTS)

    @classmethod
    def load(cls, folder: Path) -> Posts:
        """Read posts.npz."""
        try:
            with np.load(folder / POSTS, allow_pickle=False) as found:
                frame = pd.DataFrame({name: found[name] for name in COLUMNS})
                return cls(frame, int(found["topics"]), found["likes"])
        except (OSError, ValueError, KeyError) as error:
            raise MlsysError(
                f"cannot read {POSTS}: {error}",
                why="the server looks up there who made a post, and what is popular",
                fix="build the folder anew: python start.py serve --folder NEW",
            ) from error


@dataclass(frozen=True)
class Deployment:
    """A server, and what it is fed from: the registry whose champion it follows, and the store's breaker, if remote."""

    server: ModelServer
    registry: ModelRegistry
    breaker: CircuitBreaker | None

    def follow(self) -> bool:
        """Swap to the registry's champion, if that is another; says whether it did.

        Raises `MlsysError`, and changes nothing, if the champion cannot be read or cannot serve here.
        """
        model = self.registry.get("champion")
        if model.version == self.server.model.version:
            return False
        self.server.swap(model)
        return True


def open_deployment(folder: str | Path, config: SystemConfig, clock: Clock) -> Deployment:
    """The system in a folder (see the module), with the caches and the remote parts that the configuration names."""
    folder, serving, breaker = Path(folder), config.serving, None
    store = FeatureStore.open(folder, clock=clock)
    store.apply(*(view for view in ranking_views() if view.name not in store.registry.views))
    if serving.online:
        from mlsys.integrations.redis import RedisOnline  # an extra: only who names a Redis needs it

        breaker = CircuitBreaker(clock, slow_call_duration_threshold=serving.store_timeout_ms / 1e3)
        remote = RedisOnline(serving.online, timeout=serving.store_timeout_ms / 1e3)
        # ttl 0 keeps the rung below: what was read last, and the folder's own vectors.
        cache = FeatureCache(clock, ttl_seconds=serving.feature_ttl_seconds, snapshot=store.online)
        store = FeatureStore(GuardedOnline(remote, breaker), registry=store.registry, cache=cache)
    registry = _registry(folder, config)
    model = registry.get("champion")
    predictions: PredictionCache[Ranking | Prediction] = PredictionCache(
        clock, ttl_seconds=serving.prediction_ttl_seconds
    )
    posts = Posts.load(folder)
    server = ModelServer(
        model,
        store,
        clock=clock,
        flags=config.flags,
        catalogue=Catalogue(posts.frame, topics=posts.topics),
        predictions=predictions if serving.prediction_ttl_seconds else None,
    )
    server.check(model)
    server.remember_popularity(posts.frame["post_id"].to_numpy(), posts.likes)
    return Deployment(server, registry, breaker)


def _registry(folder: Path, config: SystemConfig) -> ModelRegistry:
    if not config.serving.registry:
        return Registry(folder / DATABASE, name=config.model.name)
    from mlsys.integrations.mlflow import MlflowRegistry  # an extra, as above

    return MlflowRegistry(config.serving.registry, name=config.model.name)
