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

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mlsys.collection.inbox import Inbox
from mlsys.config import SystemConfig
from mlsys.core import EVENT_SCHEMA, MlsysError, VirtualClock
from mlsys.evaluation import Estimate, auc
from mlsys.features import FeatureStore, FeatureView
from mlsys.features.catalogue import Catalogue
from mlsys.features.definitions import ranking_views
from mlsys.monitoring.daily import HEALTHY_DAYS, DailyMonitor, Told
from mlsys.monitoring.daily import Day as Watched
from mlsys.monitoring.slo import ErrorBudget
from mlsys.orchestration.served import ServedRanker
from mlsys.orchestration.signals import exposure, log_signals, model_signals, serving_signals
from mlsys.serving import ModelServer
from mlsys.training import LinearModel, Model, TreeModel, ValueModel
from mlsys.training.registry import ArtifactError, RegisteredModel, Registry, data_hash
from mlsys.verification import verify
from mlsys.world import Day, Incident, Oracle, Popularity, Random, World
from mlsys.world.rankers import VALUE_WEIGHTS

DAY = np.timedelta64(1, "D")
RANDOM_DAYS, WARM_UP = 7, 21
"""Before day 1: a week of random ranking, so that there is something to train on, and two with the first models: after
one, windows hold only what models showed; after the other, the monitor has its reference."""

FEWEST_DAYS = 3
"""Days that a model is trained on, at least."""


@dataclass
class Training:
    """Training rows of one day: features float32 (n, F), index event_id; action category (n,), never null."""

    features: pd.DataFrame
    action: pd.Series


@dataclass
class DailyLoop:
    """The system in a world, day by day; day 1 is the first that a trained model ranks.

    >>> from mlsys.config import SystemConfig
    >>> loop = DailyLoop(SystemConfig.load(overrides={"training.estimator": "linear"}), seed=13, users=200)
    >>> row = loop.run(1).iloc[0]
    >>> bool(row["random_share"] < row["share_of_oracle"] < 1)
    True
    """

    config: SystemConfig
    seed: int = 13
    users: int = 2_000
    incidents: Sequence[Incident] = ()
    history: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.config.training.lookback_days < FEWEST_DAYS:
            raise MlsysError(
                f"training.lookback_days={self.config.training.lookback_days}",
                why=f"the loop trains on {FEWEST_DAYS} days or more",
                fix="--set training.lookback_days=7",
            )
        shifted = [replace(i, day=i.day + WARM_UP - 1) for i in self.incidents]
        # One process: the server counts what it answers, and a worker's copy would be thrown away with its counts.
        self.world = World(seed=self.seed, users=self.users, incidents=shifted, n_jobs=1)
        self.store, self.inbox, self.registry = FeatureStore(), Inbox(), Registry()
        window, ttl = self.config.features.window_days, self.config.features.ttl_days
        self.store.apply(*ranking_views(window_days=window or None, ttl_days=ttl or None))
        self.popularity, self.rows = Popularity(), dict[int, Training]()
        self.alerts: list[str] = []
        self.held: list[pd.DataFrame] = []
        self._visitors: list[np.ndarray] = []
        self._known, self._repeats = np.zeros(1, bool), 0.0
        watched = self.config.monitoring
        self.monitor = DailyMonitor(drift_rate=watched.rate, min_psi=watched.min_psi, min_rows=watched.min_rows)
        self.budget, self.events = ErrorBudget(0.999), Counter[str]()
        self.told: Told | None = None
        self._refreshed = self.world.now

    @property
    def day(self) -> int:
        """The day that `step` will run: below 1 while the system warms up."""
        return self.world.day - WARM_UP + 1

    def frame(self) -> pd.DataFrame:
        """One row per day from day 1 on.

        share_of_oracle, random_share : exact likes per session, as shares of the like oracle's on the same sessions
        likes_, dislikes_per_session, enjoyment : exact expectations of what was served · sessions, active_users
        retained : of users who came on days 1 to 3, the share who came on this day or the two before
        model_version · auc, auc_low, auc_high : test AUC of the serving model when it was registered
        gate : what the night's gate said · alerts, tickets : lists of str · rungs : dict rung → share of feature values
        signals : dict of what was watched
        held : rows that verification kept out of features and training that night
        """
        return pd.DataFrame([row for row in self.history if int(str(row["day"])) >= 1])

    def run(self, days: int, on_day: Callable[[DailyLoop], None] = lambda _: None) -> pd.DataFrame:
        """Step until day `days` is over, from wherever the loop stands. `on_day` is called after each."""
        while self.day <= days:
            self.step()
            on_day(self)
        return self.frame()

    def random_day(self) -> Day:
        """A day of random ranking, and the night after it but for training."""
        catalogue, result = self._catalogue(), self.world.step(Random())
        self._materialize(self._collect(result.log, catalogue))
        return result

    def step(self) -> None:
        """One day and the night after it."""
        if self.world.day < RANDOM_DAYS:
            self.random_day()
            if self.world.day == RANDOM_DAYS:
                self._train()
            return
        day, served, catalogue = self.day, self._serve(), self._catalogue()
        version, stale = self.registry.aliases["champion"], self.world.now - self._refreshed
        offline = self.registry.metrics[version]
        result = self.world.step(served, explore=self.config.serving.explore, against=[Random(), Oracle()])
        value: dict[Any, dict[Any, float]] = result.value.to_dict("index")
        online, best = value["server"], value["oracle"]["like"]
        self._visitors.append(result.log["user_id"].unique())
        self.alerts = []
        passed = self._collect(result.log, catalogue)
        gate = self._train() if passed else "held: verification failed"
        self._materialize(passed)
        seen = result.log[result.log["arrival_time"] < self.world.now].drop_duplicates("event_id")
        told = self._monitor(served, seen, stale, passed)
        answered = sum(served.rungs.values()) or 1.0
        self.history.append(
            {
                "day": day,
                "share_of_oracle": online["like"] / best,
                "random_share": value["random"]["like"] / best,
                "likes_per_session": online["like"],
                "dislikes_per_session": online["dislike"],
                "enjoyment": online["enjoyment"],
                "sessions": result.sessions,
                "active_users": result.active,
                "retained": self._retained(),
                "model_version": version,
                **offline,
                "gate": gate,
                "held": len(self.held[-1]),
                "alerts": self.alerts,
                "tickets": list(told.tickets),
                "signals": dict(told.signals),
                "rungs": {rung: count / answered for rung, count in served.rungs.items()},
            }
        )
        if day == -HEALTHY_DAYS:  # From the next day on windows hold only what models showed.
            self.monitor.forget()

    def _retained(self) -> float:
        """See `frame`; NaN until day 6, when both spans of three days are apart."""
        days = self._visitors[WARM_UP - RANDOM_DAYS :]
        if len(days) < 6:
            return float("nan")
        came = np.unique(np.concatenate(days[:3]))
        return float(np.isin(came, np.concatenate(days[-3:])).mean())

    def _catalogue(self) -> Catalogue:
        return Catalogue(self.world.catalogue(), topics=self.world.p.topics)

    def _serve(self) -> ServedRanker:
        """The server as it stands this morning, and today's incidents."""
        size, today = self.world.incidents.size, self.world.day
        server = self.server(self.registry.get("champion"))
        return ServedRanker(
            server,
            outage=size("store_outage", today),
            misread=size("bad_model_push", today),
            surge=size("surge", today),
            stampede=size("cache_stampede", today),
        )

    def server(self, model: RegisteredModel) -> ModelServer:
        """A server of this model on today's features."""
        clock, likes = VirtualClock(self.world.now), self.popularity.likes
        server = ModelServer(model, self.store, clock=clock, flags=self.config.flags, catalogue=self._catalogue())
        server.remember_popularity(np.arange(len(likes)), likes)
        return server

    def _collect(self, log: pd.DataFrame, catalogue: Catalogue) -> bool:
        """What had arrived by midnight, if it passes verification. A batch that fails is kept aside in `held` as a
        whole, of one that passes the rows that fail."""
        self.inbox.deliver(log)
        before = self.inbox.repeats
        report = verify(self.inbox.poll(self.world.now))
        again = self.inbox.repeats - before
        self._repeats = again / max(len(report.events), 1)
        self.events.update(duplicate=again, accepted=len(report.clean), quarantined=len(report.quarantine))
        failed = [r.check.name for r in report.results if r.status == "failed" and r.check.severity == "error"]
        self.alerts += [f"verification: {check}" for check in failed]
        self.held.append(report.events if failed else report.quarantine)
        if not failed:
            self._learn(catalogue.join_log(report.clean))
        return not failed

    def _materialize(self, passed: bool) -> None:
        """Put features online, but for the views whose job hangs. They are as fresh as the last batch that passed."""
        views = [view.name for view in self.store.list_feature_views() if isinstance(view, FeatureView)]
        stuck = math.ceil(self.world.incidents.size("stale_features", self.world.day) * len(views))
        self.store.materialize(self.world.now, views[stuck:])
        if passed and not stuck:
            self._refreshed = self.world.now

    def _learn(self, events: pd.DataFrame) -> None:
        """Features of every impression, as of the morning it was served; then the events enter the store."""
        self.store.ingest(events[[*EVENT_SCHEMA, "creator_id", "user_topic"]])
        self.popularity.observe(events)
        labelled = events[events["action"].notna()]
        refs = self.store.list_features()
        joined = self.store.get_historical_features(labelled, refs, every=DAY).set_index("event_id")
        self.rows[self.world.day] = Training(joined[refs].astype(np.float32), joined["action"])
        self._forget()

    def _forget(self) -> None:
        """Drop what no training and no window reaches any more."""
        settings, rows = self.config.training, 0
        kept: dict[int, Training] = {}
        newest, *past = sorted(self.rows, reverse=True)
        for day in past[: settings.lookback_days]:
            if rows < settings.max_rows or len(kept) < FEWEST_DAYS:
                kept[day] = self.rows[day]
            rows += len(self.rows[day].features)
        self.rows = {**kept, newest: self.rows[newest]}
        if window := self.config.features.window_days:
            # Late events ask for features of days ago: keep as many days more as anything can be late.
            self.store.expire(self.world.now - np.timedelta64(math.ceil(window) + 4, "D"))

    def _train(self) -> str:
        """A new model on all days but the newest, judged on that one; the gate decides whether it will serve."""
        settings, champion = self.config.training, self.registry.aliases.get("champion")
        *past, newest = sorted(self.rows)
        due = settings.every_days and self.day % settings.every_days == 0
        if len(past) < FEWEST_DAYS or (self.day > 1 and not due):
            return "not due"
        test = self.rows[newest]
        liked = (test.action == "like").to_numpy(np.float64)
        model = self.fit([self.rows[day] for day in past], settings.estimator)
        found = _judge(model, test.features, liked)
        self.registry.register(model, tags=self._lineage(past), auc=found.value, auc_low=found.low, auc_high=found.high)
        if champion is not None:
            serving = _judge(self.registry.get("champion"), test.features, liked).value
            if found.value < serving - settings.tolerance:
                return f"held: AUC {found.value:.3f} against {serving:.3f}"
        try:
            self.registry.set_alias("champion", model.version)
        except ArtifactError as error:  # What cannot be read back does not serve.
            return f"held: {error.what}"
        return "promoted"

    def _lineage(self, days: Sequence[int]) -> dict[str, str]:
        """What a model of these days is made of: the versions of its features, its rows, the model before it."""
        rows = [part for day in days for part in (self.rows[day].features, self.rows[day].action)]
        tags = {
            "feature_versions": json.dumps(self.store.registry.versions),
            "dataset": f"days {min(days)} to {max(days)}",
            "data_hash": data_hash(*rows),
        }
        parent = self.registry.aliases.get("champion")
        return tags if parent is None else {**tags, "parent": parent}

    def fit(self, days: Sequence[Training], estimator: str) -> RegisteredModel:
        """A model of the configured objective, trained on some of `rows`."""
        settings, version = self.config.training, f"{self.config.model.name}:{self.day}"
        X = pd.concat([rows.features for rows in days]).tail(settings.max_rows)
        action = pd.concat([rows.action for rows in days]).tail(settings.max_rows)

        def head(name: str) -> LinearModel | TreeModel:
            y = (action == name).to_numpy(np.float64)
            return (TreeModel if estimator == "trees" else LinearModel).fit(X, y, version=version)

        if settings.objective == "like":
            return head("like")
        return ValueModel(version, {name: head(name) for name in VALUE_WEIGHTS}, VALUE_WEIGHTS)

    def _monitor(self, served: ServedRanker, seen: pd.DataFrame, stale: np.timedelta64, passed: bool) -> Told:
        """What the monitor says of the day; pages go to `alerts`."""
        sessions = round(sum(served.rungs.values()))
        signals = {
            **serving_signals(served, self.budget, stale),
            **log_signals(seen, sessions, self._known),
            **exposure(self._catalogue().join_log(seen)["creator_id"].to_numpy()),
            "duplicate share": self._repeats,
            "failed checks": float(len(self.alerts)),
        }
        users = seen["user_id"].to_numpy()
        self._known = np.append(self._known, np.zeros(max(0, int(users.max(initial=0)) + 1 - len(self._known)), bool))
        self._known[users] = True
        if passed:
            rows = self.rows[self.world.day]
            liked = (rows.action == "like").to_numpy(np.float64)
            signals |= model_signals(_p_like(served.server.model, rows.features), liked)
        sample = pd.concat(served.samples, ignore_index=True) if served.samples else pd.DataFrame()
        self.told = told = self.monitor.observe(Watched(signals, sample))
        self.alerts += [page for page in told.pages if not page.startswith("verification")]  # Those are named already.
        return told


def _judge(model: Model, features: pd.DataFrame, liked: np.ndarray) -> Estimate:
    """AUC of the like head."""
    return auc(liked, _p_like(model, features))


def _p_like(model: Model, features: pd.DataFrame) -> np.ndarray:
    """P(like), (n,); of a value function, by its like head."""
    head: Model = model.heads["like"] if isinstance(model, ValueModel) else model
    return head.predict_array(features[list(head.signature.features)].to_numpy())
