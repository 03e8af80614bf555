"""A morning with its log, its features and a tomorrow whose truth is known: where preparations are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlsys.features import FeatureStore
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import ranking_views
from mlsys.training import TreeModel
from mlsys.world import Incident, Model, Oracle, Random, Requests, World
from mlsys.world.rankers import VALUE_WEIGHTS, Ranker
from mlsys.world.truth import expected_auc

Score = Callable[[pd.DataFrame], np.ndarray]
"""Features (n, F) in, one number per row out."""


class Judged(NamedTuple):
    """A day of serving. share: exact likes per session over the oracle's; value: likes + shares - 3 dislikes, per
    session; new_posts: share of impressions that went to posts of the day; log: what was shown, with `p_like`."""

    share: float
    value: float
    new_posts: float
    log: pd.DataFrame


class Bench:
    """A world after some days of random ranking. `log`: every impression once, with the columns of `Catalogue`;
    `rows`: those with an action that had arrived; `X`, `y`: their features, refreshed once a day, and whether liked.

    >>> bench = Bench(13, users=150, days=4)
    >>> model = TreeModel.fit(bench.X, bench.y)
    >>> bool(0.3 < bench.judge(model.predict).share < 1), bool(0.5 < bench.auc(model.predict) < 0.8)
    (True, True)
    """

    def __init__(
        self, seed: int = 13, *, users: int = 800, days: int = 10, incidents: Sequence[str] = (), **changes: Any
    ) -> None:
        found = [Incident.parse(text) for text in incidents]
        self.seed = seed
        self.world = World(seed=seed, users=users, incidents=found, n_jobs=1, **changes)
        days_ = [self.world.step(Random()).log for _ in range(days)]
        self.catalogue, self.now = Catalogue(self.world.catalogue(), topics=self.world.p.topics), self.world.now
        self.log = self.catalogue.join_log(pd.concat(days_).drop_duplicates("event_id", ignore_index=True))
        self.rows = self.usable(self.log)
        self._kept: dict[str, pd.DataFrame] = {}

    def usable(self, log: pd.DataFrame) -> pd.DataFrame:
        """Rows that can be trained on tonight: the response is not null, and has arrived."""
        use = log["action"].notna() & (log["arrival_time"] < self.now)
        return log[use].reset_index(drop=True)

    def stored(self, log: pd.DataFrame, *, window: float | None = 7.0, ttl: float | None = None) -> FeatureStore:
        """A feature store that knows this log."""
        store = FeatureStore()
        store.apply(*ranking_views(window_days=window, ttl_days=ttl))
        store.ingest(log)
        return store

    @cached_property
    def store(self) -> FeatureStore:
        """The store of `log`."""
        return self.stored(self.log)

    def features(self, rows: pd.DataFrame, store: FeatureStore | None = None, *, every: float = 24.0) -> pd.DataFrame:
        """Features of rows, float32, as last put online before each of them: every so many hours."""
        store = store or self.store
        refs = store.list_features()
        return store.get_historical_features(rows, refs, every=np.timedelta64(round(every), "h"))[refs].astype("f4")

    @cached_property
    def X(self) -> pd.DataFrame:
        """Features of `rows`."""
        return self.features(self.rows)

    @cached_property
    def y(self) -> np.ndarray:
        """1.0 where liked."""
        return (self.rows["action"] == "like").to_numpy(np.float64)

    @cached_property
    def model(self) -> TreeModel:
        """Trees on all of `rows`: what every other preparation is compared with."""
        return TreeModel.fit(self.X, self.y)

    @cached_property
    def tomorrow(self) -> pd.DataFrame:
        """Tomorrow's impressions if their order is random, with the true `p_like`: a test set nobody can argue with."""
        day = deepcopy(self.world).step(Random())
        log = self.catalogue.join_log(day.log.assign(p_like=day.p_like.astype(np.float64)))
        return log.drop_duplicates("event_id", ignore_index=True)

    @cached_property
    def X_tomorrow(self) -> pd.DataFrame:
        """Features of `tomorrow`."""
        return self.features(self.tomorrow)

    def auc(self, score: Score) -> float:
        """Exact AUC on `tomorrow`: expected over all throws of the dice."""
        return expected_auc(score(self.X_tomorrow), self.tomorrow["p_like"].to_numpy())

    @cached_property
    def best(self) -> float:
        """The oracle's likes per session tomorrow."""
        return float(deepcopy(self.world).step(Oracle()).value["like"].iloc[0])

    def judge(self, score: Score, served: Callable[[pd.DataFrame], pd.DataFrame] | None = None) -> Judged:
        """Rank tomorrow by a score. `served`: what the online store would answer for rows, if not `features`."""

        def predict(requests: Requests) -> np.ndarray:
            name = f"{requests.user_id[0]}:{len(requests.user_id)}"
            if f"rows {name}" not in self._kept:
                self._kept[f"rows {name}"] = self._asked(requests)
            if served is None and name not in self._kept:
                self._kept[name] = self.features(self._kept[f"rows {name}"])
            X = self._kept[name] if served is None else served(self._kept[f"rows {name}"])
            return score(X).reshape(requests.post_id.shape)

        return self.rank(Model("prepared", predict))

    def rank(self, ranker: Ranker) -> Judged:
        """Rank tomorrow with any ranker."""
        day = deepcopy(self.world).step(ranker)
        earned: dict[Any, float] = day.value.iloc[0].to_dict()
        log = day.log.assign(p_like=day.p_like.astype(np.float64)).drop_duplicates("event_id", ignore_index=True)
        new = self.world.posts.first_day[log["post_id"].to_numpy()] == self.world.day
        value = sum(weight * earned[name] for name, weight in VALUE_WEIGHTS.items())
        return Judged(earned["like"] / self.best, value, float(new.mean()), log)

    def _asked(self, requests: Requests) -> pd.DataFrame:
        each = requests.post_id.shape[1]
        rows = {
            "user_id": np.repeat(requests.user_id, each),
            "post_id": requests.post_id.ravel(),
            "device_code": np.repeat(np.where(requests.device > 2, -1, requests.device), each),
            "event_time": np.repeat(requests.time, each).view("datetime64[us]"),
        }
        return pd.DataFrame(self.catalogue.join(rows))
