"""The daily loop: what the server ranks today is what people see, and what they do with it trains tomorrow's model.

    day    serve      the world asks the server for every session's ranking
    night  collect    events that had arrived by midnight, each once
           verify     a batch that fails is held: it reaches neither features nor training
           features   what the server would have known, joined to every impression
           train      on the past days · evaluate on the newest one · gate against the serving model · register
           serve      put features online, promote or keep the model
           monitor    compare what was served with the healthy days before it

The world is simulated, the system is not: it is the same store, model, server and monitor as everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from mlsys.collection.inbox import Inbox
from mlsys.config import SystemConfig
from mlsys.core import VirtualClock
from mlsys.evaluation import Estimate, auc
from mlsys.features import FeatureStore
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import ranking_views
from mlsys.monitoring import ModelMonitor
from mlsys.orchestration.served import ServedRanker
from mlsys.serving import ModelServer
from mlsys.training import LinearModel, TreeModel, ValueModel
from mlsys.training.registry import RegisteredModel, Registry
from mlsys.verification import verify
from mlsys.world import Incident, Oracle, Popularity, Random, World

DAY = np.timedelta64(1, "D")
RANDOM_DAYS, WARM_UP = 7, 21
"""Before day 1: a week of random ranking, so that there is something to train on, and two with the first models: after
one, windows hold only what models showed; after the other, the monitor has its reference."""

HEALTHY_DAYS = 7
"""Days without an alert that make the monitor's reference; so many alerting days in a row are the new normal."""

VALUE = {"like": 1.0, "share": 1.0, "dislike": -2.0}
"""The weights of the objective "value"."""


@dataclass
class Training:
    """Training rows of one day: features float32 (n, F), action codes int8 (n,)."""

    features: pd.DataFrame
    action: pd.Series


@dataclass
class DailyLoop:
    """The system in a world, day by day; day 1 is the first that a trained model ranks.

    >>> from mlsys.config import SystemConfig
    >>> loop = DailyLoop(SystemConfig.load(overrides={"training.estimator": "linear"}), seed=13, users=200)
    >>> row = loop.step()
    >>> bool(row["random_share"] < row["share_of_oracle"] < 1), row["gate"]
    (True, 'promoted')
    """

    config: SystemConfig
    seed: int = 13
    users: int = 2_000
    incidents: Sequence[Incident] = ()
    world: World = field(init=False)
    store: FeatureStore = field(init=False)
    history: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shifted = [replace(i, day=i.day + WARM_UP - 1) for i in self.incidents]
        self.world = World(seed=self.seed, users=self.users, incidents=shifted)
        self.store, self.inbox, self.registry = FeatureStore(), Inbox(), Registry()
        self.store.apply(*ranking_views(window_days=self.config.features.window_days or 7.0))
        self.popularity, self.rows = Popularity(), dict[int, Training]()
        self.alerts: list[str] = []
        self._healthy: list[tuple[pd.DataFrame, float]] = []
        self._unhealthy: list[tuple[pd.DataFrame, float]] = []
        self._online = self.world.now
        for _ in range(RANDOM_DAYS):
            catalogue = self._catalogue()
            self._night(self.world.step(Random()).log, catalogue)
        for _ in range(WARM_UP - RANDOM_DAYS):
            self.step()
            if self.day <= 1 - HEALTHY_DAYS:
                self._healthy.clear()
        self.history.clear()

    @property
    def day(self) -> int:
        """The day that `step` will run, from 1."""
        return self.world.day - WARM_UP + 1

    def frame(self) -> pd.DataFrame:
        """One row per day so far."""
        return pd.DataFrame(self.history)

    def step(self) -> dict[str, object]:
        """One day and the night after it. Returns the day's row of `frame`."""
        world, day, served = self.world, self.day, self._serve()
        version = self.registry.aliases.get("champion", "none")
        offline = self.registry.metrics.get(version, {})
        result = world.step(served, explore=self.config.serving.explore, against=[Random(), Oracle()])
        online = result.value.loc["server"]
        gate = self._night(result.log, served.server.catalogue or self._catalogue())
        self._monitor(served, float(online["like"]))
        answered = sum(served.rungs.values()) or 1.0
        row: dict[str, object] = {
            "day": day,
            "share_of_oracle": online["like"] / result.value.loc["oracle", "like"],
            "random_share": result.value.loc["random", "like"] / result.value.loc["oracle", "like"],
            "likes_per_session": online["like"],
            "dislikes_per_session": online["dislike"],
            "enjoyment": online["enjoyment"],
            "sessions": result.sessions,
            "active_users": result.active,
            "model_version": version,
            **{name: offline.get(name, float("nan")) for name in ("auc", "auc_low", "auc_high")},
            "gate": gate,
            "alerts": self.alerts,
            "rungs": {rung: count / answered for rung, count in served.rungs.items()},
        }
        self.alerts = []
        self.history.append(row)
        return row

    def _catalogue(self) -> Catalogue:
        return Catalogue(self.world.catalogue(), topics=self.world.p.topics)

    def _serve(self) -> ServedRanker:
        """The server as it stands this morning, and today's incidents."""
        size, today = self.world.incidents.size, self.world.day
        model = self.registry.get("champion")
        assert model is not None  # the warm-up trained one
        clock = VirtualClock(self.world.now)
        server = ModelServer(model, self.store, clock=clock, flags=self.config.flags, catalogue=self._catalogue())
        likes = self.popularity.likes
        server.remember_popularity(np.arange(len(likes)), likes)
        return ServedRanker(server, size("store_outage", today), size("bad_model_push", today))

    def _night(self, log: pd.DataFrame, catalogue: Catalogue) -> str:
        """From the day's log to what will serve tomorrow; returns what the gate said."""
        self.inbox.deliver(log)
        batch = self.inbox.poll(self.world.now)
        report = verify(batch)
        failed = [f.check for f in report.failures.itertuples() if f.severity == "error"]
        self.alerts += [f"verification: {check}" for check in failed]
        if not failed:
            self._learn(catalogue.join_log(report.clean))
        views = [view.name for view in self.store.list_feature_views()]
        stuck = round(self.world.incidents.size("stale_features", self.world.day - 1) * len(views))
        self.store.materialize(self.world.now, views[stuck:])
        self._online = self._online if stuck else self.world.now
        if failed:
            return "held: verification failed"
        return self._train()

    def _learn(self, events: pd.DataFrame) -> None:
        """Features of every impression, as of the morning it was served; then the events enter the store."""
        # Late events ask for features of days ago: keep as many days more as anything can be late.
        window = round(self.config.features.window_days or 7.0)
        self.store.expire(self.world.now - np.timedelta64(window + 4, "D"))
        self.store.ingest(events)
        self.popularity.observe(events)
        labelled = events[events["action"].notna()]
        refs = self.store.list_features()
        joined = self.store.get_historical_features(labelled, refs, every=DAY)
        self.rows[self.world.day] = Training(joined[refs], labelled["action"])
        self.rows = {day: rows for day, rows in self.rows.items() if day > self.world.day - 1 - self._lookback}

    @property
    def _lookback(self) -> int:
        return self.config.training.lookback_days

    def _train(self) -> str:
        """A new model on all days but the newest, judged on that one; the gate decides whether it will serve."""
        settings, champion = self.config.training, self.registry.get("champion")
        *past, newest = sorted(self.rows)
        age = self.day - 1
        if len(past) < 3 or (champion and (not settings.every_days or age % settings.every_days)):
            return "not due"
        test = self.rows[newest]
        liked = (test.action == "like").to_numpy(np.float64)
        model = self._fit([self.rows[day] for day in past])
        found = _judge(model, test.features, liked)
        self.registry.register(model, auc=found.value, auc_low=found.low, auc_high=found.high)
        if champion is not None:
            serving = _judge(champion, test.features, liked).value
            if found.value < serving - settings.tolerance:
                return f"held: AUC {found.value:.3f} against {serving:.3f}"
        self.registry.set_alias("champion", model.version)
        return "promoted"

    def _fit(self, days: list[Training]) -> RegisteredModel:
        settings, version = self.config.training, f"{self.config.model.name}:{self.day}"
        X = pd.concat([rows.features for rows in days]).tail(settings.max_rows)
        action = pd.concat([rows.action for rows in days]).tail(settings.max_rows)

        def head(name: str) -> LinearModel | TreeModel:
            y = (action == name).to_numpy(np.float64)
            return (TreeModel if settings.estimator == "trees" else LinearModel).fit(X, y, version=version)

        if settings.objective == "like":
            return head("like")
        return ValueModel(version, {name: head(name) for name in VALUE}, VALUE)

    def _monitor(self, served: ServedRanker, likes: float) -> None:
        """Alerts of the day. Its reference are the last days without an alert."""
        settings = self.config.monitoring
        if self.world.now - self._online > DAY:
            hours = int((self.world.now - self._online) / np.timedelta64(1, "h"))
            self.alerts.append(f"freshness: features {hours} h old")
        down = served.rungs["popularity"] / (sum(served.rungs.values()) or 1.0)
        if down > 0.01:
            self.alerts.append(f"rung: popularity answered {down:.0%}")
        sample = pd.concat(served.samples, ignore_index=True) if served.samples else pd.DataFrame()
        if len(self._healthy) == HEALTHY_DAYS:
            if len(sample):
                days = [frame for frame, _ in self._healthy]
                monitor = ModelMonitor.from_days(
                    days, min_psi=settings.min_psi, rate=settings.rate, min_rows=settings.min_rows
                )
                found = monitor.check(sample)
                self.alerts += [f"drift: {name}" for name in found.loc[found["status"] == "DRIFT", "column"]]
            usual = float(np.mean([value for _, value in self._healthy]))
            if likes < 0.9 * usual:
                self.alerts.append(f"likes per session {likes / usual - 1:+.0%}")
        if not len(sample):
            return
        days = self._unhealthy if self.alerts else self._healthy
        days.append((sample, likes))
        if not self.alerts:
            self._unhealthy = []
        elif len(self._unhealthy) == HEALTHY_DAYS:
            self._healthy, self._unhealthy = self._unhealthy, []
        self._healthy = self._healthy[-HEALTHY_DAYS:]


def _judge(model: RegisteredModel, features: pd.DataFrame, liked: np.ndarray) -> Estimate:
    """AUC of the like head."""
    head = model.heads["like"] if isinstance(model, ValueModel) else model
    return auc(liked, head.predict(features))
