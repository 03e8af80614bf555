"""The feature store: definitions in, the same numbers out for training and for serving. Feast's verbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, conform, microseconds
from mlsys.features.definitions import FeatureService, FeatureView, OnDemandView
from mlsys.features.offline import NEVER, PointInTimeView
from mlsys.features.online import OnlineFeatures, OnlineTable, Status, StoreUnavailable


class FeatureStore:
    """Registers features, joins them to labels point in time, and serves them.

    >>> from mlsys.world.noise import NoiseWorld
    >>> from mlsys.features.definitions import feed_views
    >>> store = FeatureStore()
    >>> store.apply(*feed_views())
    >>> events = NoiseWorld(users=50, posts=50).events(1_000)
    >>> store.ingest(events)
    >>> rows = store.get_historical_features(events.tail(2), ["user:like_rate", "post:total_likes"])
    >>> list(rows.columns[-2:]), len(rows)
    (['user:like_rate', 'post:total_likes'], 2)
    """

    def __init__(self) -> None:
        self._views: dict[str, FeatureView | OnDemandView] = {}
        self._services: dict[str, FeatureService] = {}
        self._events: list[pd.DataFrame] = []
        self._offline: dict[str, PointInTimeView] = {}
        self._online: dict[str, OnlineTable] = {}
        self.available = True
        """False makes the online store fail, as an outage would."""

    def __getstate__(self) -> dict[str, object]:
        """What is pickled: not the sorted copies of the events, which are made again when they are needed."""
        return {**vars(self), "_offline": {}}

    def apply(self, *definitions: FeatureView | OnDemandView | FeatureService) -> None:
        """Register views and services; a service may only name features that exist, also after a redefinition."""
        for d in definitions:
            if not isinstance(d, FeatureService):
                self._views[d.name] = d
                self._offline.pop(d.name, None)
                self._online.pop(d.name, None)
            else:
                self._services[d.name] = d
        for service in self._services.values():
            self._resolve(service.features)

    def list_feature_views(self) -> list[FeatureView | OnDemandView]:
        """Registered views, in order of registration."""
        return list(self._views.values())

    def list_features(self) -> list[str]:
        """Every `view:feature` that can be asked for."""
        return [ref for view in self._views.values() for ref in view.refs]

    def ingest(self, events: pd.DataFrame) -> None:
        """Append events (`EVENT_SCHEMA`) to the offline store. What is online changes at the next `materialize`."""
        self._events.append(conform(events))
        self._offline.clear()

    def expire(self, before: np.datetime64) -> None:
        """Forget events that happened before an instant: what no window reaches any more."""
        self._events = [events[events["event_time"] >= before] for events in self._events]
        self._offline.clear()

    def get_historical_features(
        self, entity_df: pd.DataFrame, features: str | Sequence[str], *, every: np.timedelta64 | None = None
    ) -> pd.DataFrame:
        """Each row's features as they were known just before its `event_time`.

        Rows in = rows out, order and index kept, whatever is found. `features`: a service's name or `view:feature`
        references. NaN where nothing was known or all that was known had outlived the view's TTL.

        `every`: features are put online only so often (counted from 1970), so ask for what had been known at the
        last time before the event. A model trained on fresher values than it is served has seen better days.
        """
        refs = self._resolve(features)
        asked = time = microseconds(self._column(entity_df, "event_time"))
        if every is not None:
            asked = time - time % int(every / np.timedelta64(1, "us"))
        columns: dict[str, np.ndarray] = {}
        for view in self._views_of(refs):
            if isinstance(view, OnDemandView):
                inputs = {name: self._column(entity_df, name).to_numpy() for name in view.inputs}
                columns.update(zip(view.refs, view.compute({**inputs, "event_time": time}).T, strict=True))
                continue
            entity = self._column(entity_df, view.entity.join_key).to_numpy(np.int64)
            values, newest = self._view(view).values(entity, asked)
            if view.ttl_days is not None:
                values[asked - newest > view.ttl_days * 86_400e6] = np.nan
            columns.update(zip(view.refs, values.T, strict=True))
        return entity_df.assign(**{ref: columns[ref] for ref in refs})

    def materialize(self, end: np.datetime64, feature_views: Sequence[str] | None = None) -> int:
        """Compute every entity's vector as known at `end` and put it online. Returns the number of vectors.

        `feature_views`: only these; None means all.
        """
        stop, count = int(microseconds(end)), 0
        for view in self._views.values():
            if isinstance(view, OnDemandView) or (feature_views is not None and view.name not in feature_views):
                continue
            offline = self._view(view)
            values, newest = offline.values(offline.ids, np.full(len(offline.ids), stop))
            keep = newest > NEVER
            ttl = None if view.ttl_days is None else view.ttl_days * 86_400
            self._online[view.name] = OnlineTable(offline.ids[keep], values[keep], newest[keep], ttl)
            count += int(keep.sum())
        return count

    def get_online_features(
        self, features: str | Sequence[str], entity_rows: Mapping[str, np.ndarray], now: np.datetime64
    ) -> OnlineFeatures:
        """Vectors from the last `materialize`, with status and age as of `now`.

        `entity_rows`: join key → int64 (n,). Raises `StoreUnavailable` during an outage.
        """
        if not self.available:
            raise StoreUnavailable(
                "the online store does not answer",
                why="it is down",
                fix="serve from the next rung of the ladder",
            )
        refs, at = self._resolve(features), int(microseconds(now))
        parts = {}
        for view in self._views_of(refs):
            if isinstance(view, OnDemandView):
                if absent := [name for name in view.inputs if name not in entity_rows]:
                    raise MlsysError(
                        f"entity_rows lacks {', '.join(absent)}",
                        why=f"view {view.name!r} is computed from them",
                        fix="send them with the request (`context` of the server), and give the server a catalogue",
                    )
                values = view.compute({name: entity_rows[name] for name in view.inputs})
                status = np.where(np.isnan(values), Status.NULL_VALUE, Status.PRESENT).astype(np.int8)
                age = np.zeros(len(values))
                parts.update({ref: (values[:, i], status[:, i], age) for i, ref in enumerate(view.refs)})
                continue
            if view.name not in self._online:
                raise MlsysError(
                    f"view {view.name!r} is not online",
                    why="nothing was materialized since it was registered",
                    fix="call materialize(end) first",
                )
            if view.entity.join_key not in entity_rows:
                raise MlsysError(
                    f"entity_rows lacks {view.entity.join_key!r}",
                    why=f"view {view.name!r} is looked up by it",
                    fix=f"pass {{{view.entity.join_key!r}: ids}}; found: {', '.join(entity_rows) or 'none'}",
                )
            values, status, age = self._online[view.name].read(np.atleast_1d(entity_rows[view.entity.join_key]), at)
            parts.update({ref: (values[:, i], status[:, i], age) for i, ref in enumerate(view.refs)})
        stacked = [np.stack([parts[ref][part] for ref in refs], axis=1) for part in range(3)]
        return OnlineFeatures(tuple(refs), *stacked)

    def _view(self, view: FeatureView) -> PointInTimeView:
        if view.name not in self._offline:
            if not self._events:
                raise MlsysError(
                    "the store holds no events",
                    why="features are computed from events",
                    fix="call ingest(events) first",
                )
            if len(self._events) > 1:
                self._events = [pd.concat(self._events, ignore_index=True)]
            self._offline[view.name] = PointInTimeView(view, self._events[0])
        return self._offline[view.name]

    def _resolve(self, features: str | Sequence[str]) -> list[str]:
        if isinstance(features, str):
            if features not in self._services:
                raise MlsysError(
                    f"there is no feature service {features!r}",
                    why=f"registered: {', '.join(self._services) or 'none'}",
                    fix="apply(FeatureService(...)) first, or pass a list of view:feature references",
                )
            return list(self._services[features].features)
        known = self.list_features()
        if not features:
            raise MlsysError("no features were asked for", why="the list is empty", fix=f"known: {', '.join(known)}")
        unknown = [ref for ref in features if ref not in known]
        if unknown:
            raise MlsysError(
                f"unknown feature(s) {', '.join(unknown)}",
                why=f"registered: {', '.join(known) or 'none'}",
                fix="references read view:feature",
            )
        return list(features)

    def _views_of(self, refs: Sequence[str]) -> list[FeatureView | OnDemandView]:
        return [self._views[name] for name in dict.fromkeys(ref.split(":")[0] for ref in refs)]

    @staticmethod
    def _column(frame: pd.DataFrame, name: str) -> pd.Series:
        if name not in frame.columns:
            raise MlsysError(
                f"entity_df has no column {name!r}",
                why="every label row needs its entities' keys and its event_time",
                fix=f"columns found: {', '.join(map(str, frame.columns))}",
            )
        return frame[name]
