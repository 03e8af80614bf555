"""What features look like, and whether a model is served what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.features.definitions import FeatureView
from mlsys.features.store import FeatureStore


def statistics(store: FeatureStore, at: np.datetime64) -> pd.DataFrame:
    """One row per feature over all entities known at `at`: entities, null_share, mean, std, min, median, max.

    >>> from mlsys.features.definitions import feed_views
    >>> from mlsys.world.noise import NoiseWorld
    >>> store, world = FeatureStore(), NoiseWorld(users=10, posts=10)
    >>> store.apply(*feed_views())
    >>> store.ingest(world.events(500))
    500
    >>> statistics(store, world.end)["feature"].tolist()[:2]
    ['user:total_actions', 'user:like_rate']
    """
    frames = []
    for view in store.list_feature_views():
        if not isinstance(view, FeatureView):
            continue
        keys = pd.DataFrame({view.entity.join_key: store.entities(view.name), "event_time": at})
        values = store.get_historical_features(keys, view.refs)[list(view.refs)]
        table = values.agg(["mean", "std", "min", "median", "max"]).T
        table.insert(0, "null_share", values.isna().mean())
        table.insert(0, "entities", len(values))
        frames.append(table)
    return pd.concat(frames).rename_axis("feature").reset_index()


def skew_report(
    store: FeatureStore,
    served: pd.DataFrame,
    features: str | Sequence[str],
    *,
    every: np.timedelta64 | None = None,
    rtol: float = 1e-5,
) -> pd.DataFrame:
    """Compare values that were served with what training would join to the same moments.

    served : what the server logged: entity keys, event_time (when it answered), and a column per feature, NaN where
        a default stood in. features, every : as in `get_historical_features`; `every` is how often features were put
        online. Without it, staleness counts as skew, which it is.

    One row per feature, worst first: rows; differ, the share that does (beyond `rtol`); missing, the share that was
    not served and is known to training; unknown, the share that was served and training does not know; mean_served,
    mean_trained; worst, the row of `served` with the largest difference.
    """
    refs = store.registry.resolve(features)
    if absent := [ref for ref in refs if ref not in served.columns]:
        raise MlsysError(
            f"served lacks {', '.join(absent)}",
            why="a served value is compared with the one that training sees",
            fix="log every feature of the service with the answer",
        )
    trained = store.get_historical_features(served.drop(columns=refs), refs, every=every)
    rows = []
    for ref in refs:
        was, is_ = served[ref].to_numpy(np.float64), trained[ref].to_numpy(np.float64)
        no_was, no_is = np.isnan(was), np.isnan(is_)
        gap = np.abs(was - is_)
        differ = (no_was != no_is) | (gap > rtol * np.maximum(np.abs(was), np.abs(is_)))
        worst = int(np.argmax(np.where(no_was != no_is, np.inf, np.nan_to_num(gap)))) if differ.any() else -1
        both = ~(no_was | no_is)
        means = (was[both].mean(), is_[both].mean()) if both.any() else (np.nan, np.nan)
        rows.append((ref, len(was), differ.mean(), (no_was & ~no_is).mean(), (~no_was & no_is).mean(), *means, worst))
    columns = ["feature", "rows", "differ", "missing", "unknown", "mean_served", "mean_trained", "worst"]
    return pd.DataFrame(rows, columns=columns).sort_values("differ", ascending=False, kind="stable", ignore_index=True)
