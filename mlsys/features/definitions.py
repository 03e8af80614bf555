"""What a feature is, apart from how it is computed. Feast's nouns, Chronon's `Aggregation`.

>>> like_rate = Aggregation("like_rate", "mean", column="action", equals="like")
>>> view = FeatureView("user", Entity("user", "user_id"), (like_rate,), ttl_days=7)
>>> view.refs
('user:like_rate',)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys.core import UNKNOWN_ID, MlsysError, SchemaError

OPERATIONS = ("count", "sum", "mean", "min", "max", "last", "distinct", "time_since")


@dataclass(frozen=True)
class Entity:
    """Whom a feature describes; `join_key` is the event column that names it."""

    name: str
    join_key: str


@dataclass(frozen=True)
class Aggregation:
    """One number per entity and instant, from the events that had arrived by then.

    Parameters
    ----------
    name : the feature's name.
    operation : `count`, `sum`, `mean`, `min`, `max`, `last` (of the newest event_time; ties: the one that arrived
        later, then the higher event_id), `distinct` values, or `time_since` the newest event, in hours.
    column : event column it reads; rows where it is null do not take part. `count` and `time_since` may go without.
    equals : turns the column into 0/1: is it this value? For `time_since`, only such rows take part.
    window_days : only events of the last so many days count, `event_time >= t - window`. None: all events.
    """

    name: str
    operation: str
    column: str | None = None
    equals: str | None = None
    window_days: float | None = None

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise MlsysError(
                f"feature {self.name!r} has the operation {self.operation!r}",
                why=f"a feature is one of {', '.join(OPERATIONS)}",
                fix="choose one of these",
            )
        if self.column is None and self.operation not in ("count", "time_since"):
            raise MlsysError(
                f"feature {self.name!r} does not name a column",
                why=f"only 'count' and 'time_since' work without one, not {self.operation!r}",
                fix='add column="..."',
            )
        if self.window_days is not None and not self.window_days > 0:
            raise MlsysError(
                f"feature {self.name!r} has window_days={self.window_days}",
                why="such a window holds no event",
                fix="pass a number above 0, or None for all events",
            )

    @property
    def window(self) -> int | None:
        """The window in microseconds."""
        return None if self.window_days is None else round(self.window_days * 86_400e6)

    def inputs(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The aggregated values, float64 (n,), and which rows take part, bool (n,). One function for all executions.

        For `distinct` the values number the column's distinct values.
        """
        if self.column is None:
            return np.ones(len(events)), np.ones(len(events), bool)
        if self.column not in events.columns:
            raise SchemaError(
                f"feature {self.name!r} reads {self.column!r}, which the events do not have",
                why=f"they have {', '.join(map(str, events.columns))}",
                fix="mend the feature's definition, or map the column at ingestion",
            )
        column = events[self.column]
        use = column.notna().to_numpy().copy()
        if self.column.endswith("_id"):
            use &= (column != UNKNOWN_ID).to_numpy()
        if self.equals is not None:
            value = (column == self.equals).to_numpy(dtype=np.float64, na_value=0.0)
            return value, use & (value > 0) if self.operation == "time_since" else use
        if self.operation == "distinct":
            return pd.factorize(column)[0].astype(np.float64), use
        if self.operation in ("count", "time_since"):
            return use.astype(np.float64), use
        value = column.to_numpy(dtype=np.float64, na_value=0.0)
        if not np.isfinite(value).all():
            raise SchemaError(
                f"column {self.column!r} has infinite values",
                why="one of them would spoil the sums of every entity after it",
                fix="quarantine those rows: verify(events, [in_range(...)])",
                rows=events[~np.isfinite(value)],
            )
        return value, use


@dataclass(frozen=True)
class FeatureView:
    """Features of one entity that are computed and stored together.

    `ttl_days`: a value is withheld (status OUTSIDE_MAX_AGE) when the newest event that we knew of arrived longer
    ago than this, for training and for serving alike. None: values never expire. `owner` and `description` are for
    who looks for a feature; changing them is no new version.
    """

    name: str
    entity: Entity
    aggregations: tuple[Aggregation, ...]
    ttl_days: float | None = None
    owner: str = ""
    description: str = ""

    @property
    def refs(self) -> tuple[str, ...]:
        """Feature references, `view:feature`, in order."""
        return tuple(f"{self.name}:{a.name}" for a in self.aggregations)


@dataclass(frozen=True)
class OnDemandView:
    """Features computed from the request itself, by one function for training and for serving.

    `compute` gets the columns `inputs`, each (n,), and returns float32 (n, features); NaN where it cannot tell.

    >>> def age(columns): return ((columns["event_time"] - columns["created"]) / 3.6e9)[:, None].astype(np.float32)
    >>> OnDemandView("request", ("age_hours",), ("event_time", "created"), age).refs
    ('request:age_hours',)
    """

    name: str
    features: tuple[str, ...]
    inputs: tuple[str, ...]
    compute: Callable[[Mapping[str, np.ndarray]], np.ndarray]

    @property
    def refs(self) -> tuple[str, ...]:
        """Feature references, `view:feature`, in order."""
        return tuple(f"{self.name}:{feature}" for feature in self.features)


@dataclass(frozen=True)
class FeatureService:
    """The features one model uses, in the order in which it uses them."""

    name: str
    features: tuple[str, ...]


def feed_views(
    *, user: bool = True, window_days: float | None = None, ttl_days: float | None = None
) -> Sequence[FeatureView]:
    """The feed's definitions: per user and per post, how much happened and how much of it was liked.

    Without a window these are the four features of `mlsys.naive`. Counters over all time only ever grow, so a
    monitor sees them drift on healthy days; with `window_days` every feature looks back as far and no farther.
    `user=False` leaves the user view out, for logs that do not say who saw what.
    """

    def like(name: str, operation: str) -> Aggregation:
        return Aggregation(name, operation, column="action", equals="like", window_days=window_days)

    actions = Aggregation("total_actions", "count", column="action", window_days=window_days)
    viewers = Aggregation("unique_viewers", "distinct", column="user_id")
    reach = viewers if user and window_days is None else actions
    views = [FeatureView("post", Entity("post", "post_id"), (reach, like("total_likes", "sum")), ttl_days)]
    if user:
        views.insert(0, FeatureView("user", Entity("user", "user_id"), (actions, like("like_rate", "mean")), ttl_days))
    return views


def ranking_views(
    *, window_days: float | None = 7.0, ttl_days: float | None = None
) -> Sequence[FeatureView | OnDemandView]:
    """What a ranker of the simulated feed may know: the past of user, post, creator and user × topic, and the request.

    Needs the columns of `Catalogue.join`.
    """

    def view(name: str, join_key: str) -> FeatureView:
        rate = Aggregation("like_rate", "mean", column="action", equals="like", window_days=window_days)
        count = Aggregation("impressions", "count", column="action", window_days=window_days)
        return FeatureView(name, Entity(name, join_key), (rate, count), ttl_days)

    keys = {"user": "user_id", "post": "post_id", "creator": "creator_id", "user_topic": "user_topic"}
    request = OnDemandView(
        "request", ("age_days", "length", "web"), ("event_time", "created", "length", "device_code"), _request
    )
    return [*(view(name, key) for name, key in keys.items()), request]


def _request(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Age of the post, its length, and whether the reader is on the web (NaN: not recorded)."""
    device, out = columns["device_code"], np.empty((len(columns["length"]), 3), np.float32)
    out[:, 0] = (columns["event_time"] - columns["created"]) / 86_400e6
    out[:, 1] = columns["length"]
    out[:, 2] = np.where(device < 0, np.nan, device == 2)
    return out
