"""The feature store: definitions in, the same numbers out for training and for serving. Feast's verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.core import Clock, MlsysError, microseconds
from mlsys.features.definitions import FeatureService, FeatureView, OnDemandView
from mlsys.features.events import EventTable
from mlsys.features.offline import PointInTimeView
from mlsys.features.online import (
    MemoryOnline,
    OnlineFeatures,
    OnlineStore,
    ReadCache,
    Status,
    StoreUnavailable,
)
from mlsys.features.registry import Registry
from mlsys.features.sqlite import SqliteOnline
from mlsys.features.streaming import StreamingView
from mlsys.features.timeline import NEVER
from mlsys.storage import Dataset

_Place = slice | list[int]
_Plan = tuple[tuple[str, ...], list[tuple[FeatureView | OnDemandView, _Place, _Place]]]
_Found = tuple[_Place, _Place, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


class FeatureStore:
    """Registers features, joins them to labels point in time, and serves them.

    `online` holds the vectors, `registry` the definitions, `events` the events: in memory, unless others are passed.
    `cache` answers for `online` where it can, and where `online` does not.
    `FeatureStore.open(folder)` keeps all three on disk.

    >>> from mlsys.world.noise import NoiseWorld
    >>> from mlsys.features.definitions import feed_views
    >>> store = FeatureStore()
    >>> store.apply(*feed_views())
    >>> events = NoiseWorld(users=50, posts=50).events(1_000)
    >>> store.ingest(events)
    1000
    >>> rows = store.get_historical_features(events.tail(2), ["user:like_rate", "post:total_likes"])
    >>> list(rows.columns[-2:]), len(rows)
    (['user:like_rate', 'post:total_likes'], 2)
    """

    def __init__(
        self,
        online: OnlineStore | None = None,
        *,
        registry: Registry | None = None,
        events: EventTable | None = None,
        cache: ReadCache | None = None,
    ) -> None:
        self.online: OnlineStore = online or MemoryOnline()
        self.cache = cache
        self.registry = registry or Registry()
        self._events = EventTable() if events is None else events
        self._offline: dict[str, PointInTimeView] = {}
        self._streams: dict[str, StreamingView] = {}
        self._plans: dict[str | tuple[str, ...], _Plan] = {}
        self.available = True
        """False makes the online store fail, as an outage would."""

    @classmethod
    def open(cls, folder: str | Path, *, clock: Clock) -> FeatureStore:
        """The store in a folder, for any number of processes of one machine; an empty folder is an empty store.

        Events lie in the `Dataset` "events", a version per ingest; definitions in registry.json (on-demand views are
        functions: apply them again); vectors in online.db. Each verb is on the disk when it returns, and a process
        that dies leaves what was there before or after it: redeliver the events, or `materialize_incremental`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        events = EventTable(Dataset(folder, "events", clock=clock))
        return cls(SqliteOnline(folder / "online.db"), registry=Registry(folder / "registry.json"), events=events)

    def __getstate__(self) -> dict[str, object]:
        """What is pickled: not the sorted copies of the events, which are made again when they are needed."""
        return {**vars(self), "_offline": {}}

    def apply(self, *definitions: FeatureView | OnDemandView | FeatureService) -> None:
        """Register views and services. A view that changes is a new version; what was `user:likes` until then stays
        as `user@1:likes`. A service may only name features that exist, also after a redefinition.
        """
        self._plans.clear()
        for definition in definitions:
            before = self.registry.views.get(definition.name)
            if kept := self.registry.apply(definition):
                self.online.rename(definition.name, kept)
            if before != definition and not isinstance(definition, FeatureService):
                self._offline.pop(definition.name, None)
                self._streams.pop(definition.name, None)

    def list_feature_views(self) -> list[FeatureView | OnDemandView]:
        """Views in their newest version, in order of registration."""
        return [view for name, view in self.registry.views.items() if "@" not in name]

    def list_features(self) -> list[str]:
        """Every `view:feature` in its newest version."""
        return self.registry.features()

    def entities(self, feature_view: str) -> np.ndarray:
        """Entities of a view that have at least one event, int64, ascending."""
        view = next(iter(self.registry.views_of([feature_view])))
        return self._view(view).ids if isinstance(view, FeatureView) else np.zeros(0, np.int64)

    def ingest(self, events: pd.DataFrame) -> int:
        """Append events (`EVENT_SCHEMA`) to the offline store; returns how many were new.

        An event_id counts once, however often it is delivered: the first one stays. What is online changes at the next
        `materialize`, or at once with `push`.
        """
        self._refresh()
        new = len(self._events.append(events))
        self._offline.clear()
        return new

    def expire(self, before: np.datetime64) -> None:
        """Forget events that happened before an instant: what no window reaches any more."""
        self._events.expire(before)
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
        refs = self.registry.resolve(features)
        asked = time = microseconds(self._column(entity_df, "event_time"))
        if every is not None:
            asked = time - time % int(every / np.timedelta64(1, "us"))
        columns: dict[str, np.ndarray] = {}
        for view in self.registry.views_of(refs):
            if isinstance(view, OnDemandView):
                inputs = {name: self._column(entity_df, name).to_numpy() for name in view.inputs}
                columns.update(zip(view.refs, view.compute({**inputs, "event_time": time}).T, strict=True))
                continue
            entity = self._column(entity_df, view.entity.join_key).to_numpy(np.int64)
            columns.update(zip(view.refs, self._view(view).known(entity, asked).T, strict=True))
        return entity_df.assign(**{ref: columns[ref] for ref in refs})

    def materialize(
        self,
        end: np.datetime64,
        feature_views: Sequence[str] | None = None,
        on_view: Callable[[str], None] = lambda _: None,
    ) -> int:
        """Compute every entity's vector as known at `end` and put it online. Returns the number of vectors.

        `feature_views`: only these; None means all. `on_view` is told each view's name before it is computed.
        """
        stop, count = int(microseconds(end)), 0
        for view in self._computed(feature_views):
            on_view(view.name)
            offline = self._view(view)
            values, newest = offline.values(offline.ids, np.full(len(offline.ids), stop))
            keep = newest > NEVER
            self.online.write(view.name, offline.ids[keep], values[keep], newest[keep], replace=True)
            self.registry.stamp(view.name, stop)
            self._streams.pop(view.name, None)
            count += int(keep.sum())
        return count

    def materialize_incremental(
        self,
        end: np.datetime64,
        feature_views: Sequence[str] | None = None,
        on_view: Callable[[str], None] = lambda _: None,
    ) -> int:
        """As `materialize`, for the entities that changed since the last time: an event arrived or left a window.

        A view that is there already is skipped: after a crash, call it again and it goes on with the views that lack.
        """
        stop, count = int(microseconds(end)), 0
        for view in self._computed(feature_views):
            since = self.registry.materialized.get(view.name, NEVER)
            if since >= stop:
                continue
            on_view(view.name)
            offline = self._view(view)
            ids = offline.changed(since, stop)
            values, newest = offline.values(ids, np.full(len(ids), stop))
            self.online.write(view.name, ids, values, newest)
            self.registry.stamp(view.name, stop)
            self._streams.pop(view.name, None)
            count += len(ids)
        return count

    def push(self, events: pd.DataFrame, now: np.datetime64) -> int:
        """Ingest events that arrived since the last push, and put the vectors that they change online at once.

        Returns the number of vectors. What is online then equals what `materialize(now)` would put there. If it fails,
        the events stay in the offline store, and the next push puts every vector online anew.
        """
        try:
            return self._push(events, now)
        except BaseException:
            self._streams.clear()  # They may have seen events whose vectors are not online.
            raise

    def _push(self, events: pd.DataFrame, now: np.datetime64) -> int:
        self._refresh()
        first = {view.name for view in self._computed(None)} - set(self._streams)
        history = self._events.frame() if len(self._events) else None
        new = self._events.append(events)
        self._offline.clear()
        count, stop = 0, int(microseconds(now))
        for view in self._computed(None):
            fresh = new
            if view.name in first:
                self._streams[view.name] = StreamingView(view)
                fresh = fresh if history is None else pd.concat([history, fresh], ignore_index=True)
            stream = self._streams[view.name]
            ids = stream.update(fresh, now)
            values, newest = stream.values(ids)
            self.online.write(view.name, ids, values, newest, replace=view.name in first)
            self.registry.stamp(view.name, stop)
            count += len(ids)
        return count

    def get_online_features(
        self, features: str | Sequence[str], entity_rows: Mapping[str, np.ndarray], now: np.datetime64
    ) -> OnlineFeatures:
        """Vectors as last put online, with status and age as of `now`.

        `entity_rows`: join key → int64 (n,). Raises `StoreUnavailable` during an outage, but not with a `cache`: then
        `source` says which values nobody knew.
        """
        if not self.available:
            raise StoreUnavailable(
                "the online store does not answer",
                why="it is down",
                fix="serve from the next rung of the ladder",
            )
        refs, plan = self._plan(features)
        at, found = int(microseconds(now)), list[_Found]()
        for view, own, place in plan:
            if isinstance(view, OnDemandView):
                if absent := [name for name in view.inputs if name not in entity_rows]:
                    raise MlsysError(
                        f"entity_rows lacks {', '.join(absent)}",
                        why=f"view {view.name!r} is computed from them",
                        fix="send them with the request (`context` of the server), and give the server a catalogue",
                    )
                values = view.compute({name: entity_rows[name] for name in view.inputs})
                found.append((own, place, values, np.isnan(values).view(np.int8), np.zeros(len(values)), None))
            else:
                found.append((own, place, *self._read(view, entity_rows, at)))
        shape = (len(found[0][2]), len(refs))
        out, statuses, ages = np.empty(shape, np.float32), np.empty(shape, np.int8), np.empty(shape)
        sources = None if self.cache is None else np.zeros(shape, np.int8)
        for own, place, values, status, age, source in found:
            out[:, place], statuses[:, place] = values[:, own], status[:, own]
            ages[:, place] = age[:, None]
            if sources is not None and source is not None:
                sources[:, place] = source[:, None]
        return OnlineFeatures(refs, out, statuses, ages, sources)

    def _plan(self, features: str | Sequence[str]) -> _Plan:
        """The references, and for each of their views which of its columns go where in the answer."""
        key = features if isinstance(features, str) else tuple(features)
        if key not in self._plans:
            refs = tuple(self.registry.resolve(features))
            steps = []
            for view in self.registry.views_of(refs):
                place = [i for i, ref in enumerate(refs) if ref in view.refs]
                own = [view.refs.index(refs[i]) for i in place]
                steps.append((view, _run(own), _run(place)))
            self._plans[key] = refs, steps
        return self._plans[key]

    def _read(
        self, view: FeatureView, entity_rows: Mapping[str, np.ndarray], now: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """One view's values float32 (n, F), status int8 (n, F), age in seconds (n,), and from a cache source (n,)."""
        if view.entity.join_key not in entity_rows:
            raise MlsysError(
                f"entity_rows lacks {view.entity.join_key!r}",
                why=f"view {view.name!r} is looked up by it",
                fix=f"pass {{{view.entity.join_key!r}: ids}}; found: {', '.join(entity_rows) or 'none'}",
            )
        keys = np.atleast_1d(entity_rows[view.entity.join_key])
        found: tuple[np.ndarray, ...] | None
        if self.cache is None:
            found = self.online.read(view.name, keys)
        else:
            found = self.cache.read(self.online, view.name, keys, len(view.refs))
        if found is None:
            raise MlsysError(
                f"view {view.name!r} is not online",
                why="nothing was materialized since it was registered",
                fix="call materialize(end) first",
            )
        (values, newest), source = found[:2], found[2] if len(found) > 2 else None
        absent = newest == NEVER
        age = (now - newest) / 1e6
        status = np.isnan(values).view(np.int8)  # NULL_VALUE is 1, PRESENT 0.
        if view.ttl_days is not None and (old := age > view.ttl_days * 86_400).any():
            status[old] = Status.OUTSIDE_MAX_AGE
            values[old] = np.nan
        if absent.any():
            status[absent] = Status.NOT_FOUND
            age[absent] = np.inf
        return values, status, age, source

    def _computed(self, names: Sequence[str] | None) -> list[FeatureView]:
        """Views that are put online: those asked for; or all, older versions only where a service uses them."""
        used = {ref.split(":")[0] for service in self.registry.services.values() for ref in service.features}
        views = [view for view in self.registry.views.values() if isinstance(view, FeatureView)]
        return [v for v in views if (v.name in names if names is not None else "@" not in v.name or v.name in used)]

    def _view(self, view: FeatureView) -> PointInTimeView:
        self._refresh()
        if view.name not in self._offline:
            self._offline[view.name] = PointInTimeView(view, self._events.frame())
        return self._offline[view.name]

    def _refresh(self) -> None:
        """What another process has ingested counts from now on."""
        if self._events.refresh():
            self._offline.clear()
            self._streams.clear()

    @staticmethod
    def _column(frame: pd.DataFrame, name: str) -> pd.Series:
        if name not in frame.columns:
            raise MlsysError(
                f"entity_df has no column {name!r}",
                why="every label row needs its entities' keys and its event_time",
                fix=f"columns found: {', '.join(map(str, frame.columns))}",
            )
        return frame[name]


def _run(positions: list[int]) -> slice | list[int]:
    """Positions in a row as a slice, which numpy reads without a copy."""
    first = positions[0]
    return (
        slice(first, first + len(positions)) if positions == list(range(first, first + len(positions))) else positions
    )
