"""The system, end to end, on one log: each component does its step and hands on to the next.

    collect → verify → store features → train → evaluate → serve → monitor → plan

`run_system` is the main job of `mlsys run`. The order and the names are the whiteboard's; what a step does is one
call into the component that owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlsys import capacity
from mlsys.collection import Ingested, Mapping
from mlsys.config import SystemConfig
from mlsys.core import ACTIONS, EVENT_SCHEMA, UNKNOWN_ID, MlsysError, VirtualClock, microseconds
from mlsys.evaluation import Estimate, auc, best_threshold, evaluate
from mlsys.features import FeatureService, FeatureStore, FeatureView
from mlsys.features.definitions import feed_views
from mlsys.monitoring import ModelMonitor
from mlsys.serving import ModelServer
from mlsys.training import LinearModel, Split, label, time_split
from mlsys.verification import Report, verify

SIMULATED_LOG = Mapping(
    {name: name for name in (*EVENT_SCHEMA, "device")}, {action: action for action in ACTIONS}, time_zone="UTC"
)
"""How to read a log that `mlsys.world.spoil` wrote."""

STEPS = ("verify", "store features", "train", "evaluate", "serve", "monitor", "plan")


@dataclass
class SystemRun:
    """What each step produced; fields fill in the order of the steps."""

    ingested: Ingested
    config: SystemConfig
    report: Report = field(init=False)
    store: FeatureStore = field(init=False)
    rows: pd.DataFrame = field(init=False)
    y: np.ndarray = field(init=False)
    split: Split = field(init=False)
    model: LinearModel = field(init=False)
    scores: np.ndarray = field(init=False)
    threshold: float = field(init=False)
    metrics: dict[str, Estimate] = field(init=False)
    leaked: Estimate = field(init=False)
    honest: Estimate = field(init=False)
    server: ModelServer = field(init=False)
    defaulted: float = field(init=False)
    drift: pd.DataFrame = field(init=False)
    capacity: pd.DataFrame = field(init=False)
    carried: dict[str, float] = field(init=False)

    @property
    def funnel(self) -> dict[str, int]:
        """Rows that reached each stage; what is missing between two stages is named by the later one."""
        return {
            "read": self.ingested.rows_in,
            "schema ok (rest: dead letters)": self.ingested.rows_out,
            "taken (rest: --max-events)": len(self.ingested.events),
            "verified (rest: quarantine)": len(self.report.clean),
            "with an action": len(self.rows),
            "trained on": int(self.split.train.sum()),
            "tested on": int(self.split.test.sum()),
        }


def run_system(ingested: Ingested, config: SystemConfig, on_step: Callable[[str], None] = lambda _: None) -> SystemRun:
    """Run every step on ingested events. `on_step` is told the name of each step before it starts."""
    run = SystemRun(ingested, config)
    for name, step in zip(STEPS, (_verify, _features, _train, _evaluate, _serve, _monitor, _plan), strict=True):
        on_step(name)
        step(run)
    return run


def leakage(events: pd.DataFrame, views: list[FeatureView], test_share: float = 0.3) -> tuple[Estimate, Estimate]:
    """AUC on the last rows in time: what leakage would have claimed, and what is true.

    Same rows, split, model and features. First the features are computed over the whole table, the row's own label
    and its future included, as `groupby` does; then as they were known at the time.
    """
    store = FeatureStore()
    store.apply(*views)
    store.ingest(events)
    after_all = np.datetime64(int(microseconds(events["arrival_time"]).max()) + 1, "us")
    y, split, features = label(events), time_split(events, test_share), store.list_features()
    keys = events[[*dict.fromkeys(view.entity.join_key for view in views), "event_time"]]

    def estimate(asked: pd.DataFrame) -> Estimate:
        rows = store.get_historical_features(asked, features)[features]
        model = LinearModel.fit(rows[split.train], y[split.train])
        return auc(y[split.test], model.predict(rows[split.test]))

    return estimate(keys.assign(event_time=after_all)), estimate(keys)


def _verify(run: SystemRun) -> None:
    run.report = verify(run.ingested.events)
    if not len(run.report.clean):
        raise MlsysError(
            "no row passed verification",
            why="every row failed a check that quarantines",
            fix="look at the report's failures",
            rows=run.report.quarantine,
        )


def _knows_users(run: SystemRun) -> bool:
    return bool((run.ingested.events["user_id"] != UNKNOWN_ID).any())


def _features(run: SystemRun) -> None:
    clean = run.report.clean
    events = clean[clean["action"].notna()]
    run.store = FeatureStore()
    settings = run.config.features
    run.store.apply(
        *feed_views(
            user=_knows_users(run), window_days=settings.window_days or None, ttl_days=settings.ttl_days or None
        )
    )
    run.store.apply(FeatureService("feed", tuple(run.store.list_features())))
    run.store.ingest(events)
    run.rows = run.store.get_historical_features(events, "feed")


def _train(run: SystemRun) -> None:
    run.y, run.split = label(run.rows), time_split(run.rows, run.config.training.test_share)
    oldest = run.split.cut - np.timedelta64(run.config.training.lookback_days, "D")
    recent = (run.rows["event_time"] >= oldest).to_numpy()
    run.split = Split(run.split.cut, run.split.train & recent, run.split.test)
    features, train = run.store.list_features(), run.split.train
    version = f"{run.config.model.name}:{run.config.model.version}"
    run.model = LinearModel.fit(run.rows.loc[train, features], run.y[train], version=version)


def _evaluate(run: SystemRun) -> None:
    run.scores = run.model.predict(run.rows)
    train, test = run.split.train, run.split.test
    run.threshold = best_threshold(run.y[train], run.scores[train])
    run.metrics = evaluate(run.y[test], run.scores[test], run.threshold)
    plain = list(feed_views(user=_knows_users(run)))
    run.leaked, run.honest = leakage(run.rows, plain, run.config.training.test_share)


def _serve(run: SystemRun) -> None:
    end = np.datetime64(int(microseconds(run.rows["arrival_time"]).max()) + 1, "us")
    run.store.materialize(end)
    run.server = ModelServer(run.model, run.store, clock=VirtualClock(end), flags=run.config.flags)
    likes = np.bincount(run.rows["post_id"].to_numpy(np.int64), weights=run.y)
    posts = np.flatnonzero(np.bincount(run.rows["post_id"].to_numpy(np.int64)))
    run.server.remember_popularity(posts, likes[posts])
    users = run.rows["user_id"].drop_duplicates().head(100).tolist()
    ranked = [run.server.rank(user, posts[: run.config.serving.candidates]) for user in users]
    run.defaulted = float(np.mean([ranking.defaulted for ranking in ranked]))


def _monitor(run: SystemRun) -> None:
    settings = run.config.monitoring

    def drift(frame: pd.DataFrame, before: np.ndarray, after: np.ndarray) -> pd.DataFrame:
        # The earlier half is when the windows of the features still fill: not a healthy reference.
        rows = np.flatnonzero(before)
        reference = frame.iloc[rows[len(rows) // 2 :]]
        monitor = ModelMonitor(reference, min_psi=settings.min_psi, rate=settings.rate, min_rows=settings.min_rows)
        return monitor.check(frame[after])

    # Raw columns are watched before rows without an action are dropped: a null spike would be invisible after.
    clean = run.report.clean
    raw = [c for c in ("action", "device", "position") if c in clean.columns]
    late = (clean["event_time"] >= run.split.cut).to_numpy()
    features = run.rows[run.store.list_features()].assign(score=run.scores)
    reports = [drift(clean[raw], ~late, late), drift(features, run.split.train, run.split.test)]
    run.drift = pd.concat(reports).sort_values("psi", ascending=False, kind="stable", ignore_index=True)


def _plan(run: SystemRun) -> None:
    run.capacity = capacity.plan([1e6, 1e8, 1e9], candidates=run.config.serving.candidates)
    run.carried = capacity.carried(run.config.serving.replicas, candidates=run.config.serving.candidates)
