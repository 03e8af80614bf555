"""Features that come too late, too early, or from other code: what each costs in likes, on the same `Bench`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mlsys import naive
from mlsys.capacity import Assumptions, plan, unit_costs
from mlsys.evaluation import auc
from mlsys.features import Aggregation, Entity, FeatureStore, FeatureView
from mlsys.features.quality import skew_report
from mlsys.orchestration.bench import Bench
from mlsys.training import LinearModel, TreeModel
from mlsys.world.truth import expected_auc

HOUR = np.timedelta64(3_600_000_000, "us")
DAY = 24 * HOUR

ROWS = 15_000
"""Newest rows that `freshness` trains on: it fits many models."""


def backfill(bench: Bench) -> pd.DataFrame:
    """A nightly job writes each user's like rate of the day, stamped with the day's first instant, done at 2 h.

    Index: joined by event time alone, or by arrival. offline: AUC on the last day · tomorrow: exact AUC · share.
    """
    rows = bench.rows.assign(day=bench.rows["event_time"].dt.floor("D"), liked=bench.y)
    job: pd.DataFrame = rows.groupby(["user_id", "day"])["liked"].mean().reset_index()
    done = job["day"] + DAY + 2 * HOUR
    events = job.rename(columns={"day": "event_time", "liked": "rate"}).assign(
        arrival_time=done, post_id=-1, action=None
    )
    events["event_id"] = np.arange(len(events))
    view = FeatureView("job", Entity("user", "user_id"), (Aggregation("like_rate", "last", column="rate"),))
    last, found = (rows["day"] == rows["day"].max()).to_numpy(), {}

    def joined(asked: pd.DataFrame, store: FeatureStore) -> pd.DataFrame:
        return bench.features(asked).join(store.get_historical_features(asked, view.refs)[list(view.refs)].astype("f4"))

    stores = {}
    for name, log in (("event time", events.assign(arrival_time=events["event_time"])), ("arrival", events)):
        stores[name] = FeatureStore()
        stores[name].apply(view)
        stores[name].ingest(log)
    for name, store in stores.items():
        X = joined(rows, store)
        model = TreeModel.fit(X[~last], bench.y[~last])
        ahead = joined(bench.tomorrow, stores["arrival"])  # Tomorrow nobody has what comes tomorrow night.
        exact = expected_auc(model.predict(ahead), bench.tomorrow["p_like"].to_numpy())
        day = bench.judge(model.predict, lambda asked: joined(asked, stores["arrival"]))
        found[name] = (auc(bench.y[last], model.predict(X[last])).value, exact, day.share)
    return pd.DataFrame.from_dict(found, orient="index", columns=["offline", "tomorrow", "share"])


def stale(bench: Bench, days: Sequence[int], ttls: Sequence[float | None]) -> pd.DataFrame:
    """Share of the oracle's likes when the materialization job has hung for some days. Index: days; columns: TTL."""
    table = pd.DataFrame(index=list(days), columns=[ttl or np.inf for ttl in ttls], dtype=float)
    for ttl in ttls:
        store = bench.stored(bench.log, ttl=ttl)
        for late in days:
            store.materialize(bench.now - late * DAY)

            def online(asked: pd.DataFrame, store: FeatureStore = store) -> pd.DataFrame:
                columns = {str(name): asked[name].to_numpy() for name in asked}
                columns["event_time"] = columns["event_time"].astype(np.int64)
                found = store.get_online_features(store.list_features(), columns, bench.now)
                return pd.DataFrame(found.values, columns=list(found.names))

            table.loc[late, ttl or np.inf] = bench.judge(bench.model.predict, online).share
    return table


def freshness(
    bench: Bench, windows: Sequence[float], every: Sequence[float], ttls: Sequence[float | None]
) -> pd.DataFrame:
    """Trained and served with features of this window and TTL, put online every so many hours.

    Index (window, every, ttl; inf for none); columns share, and cores for a hundred million users: passes a day · days
    of events in the window · events a day · cost per event / utilization.
    """
    today = bench.catalogue.join_log(bench.judge(bench.model.predict).log.drop(columns="p_like"))
    events = float(plan([1e8]).set_index("case")["events_per_day"]["mid"])
    per_day = events * unit_costs()["features_us_per_event"] / 1e6 / 86_400 / Assumptions().utilization[1]
    rows = {}
    for window in windows:
        for ttl in ttls:
            store = bench.stored(pd.concat([bench.log, today]), window=window, ttl=ttl)
            for hours in every:

                def served(asked: pd.DataFrame, s: FeatureStore = store, h: float = hours) -> pd.DataFrame:
                    return bench.features(asked, s, every=h)

                model = TreeModel.fit(served(bench.rows.tail(ROWS)), bench.y[-ROWS:])
                share = bench.judge(model.predict, served).share
                rows[window, hours, ttl or np.inf] = (share, 24 / hours * window * per_day)
    return pd.DataFrame(list(rows.values()), pd.MultiIndex.from_tuples(rows), ["share", "cores"])


def skews(bench: Bench) -> pd.DataFrame:
    """Three ways in which serving computes a feature otherwise than training.

    Index: what happened; columns differ: the largest share of values that differ (`skew_report`), feature: of which;
    trees, linear: likes lost.
    """
    rate = naive.like_rate(bench.log[bench.log["event_time"] >= bench.now - 7 * DAY], "user_id")
    models: dict[str, TreeModel | LinearModel] = {"trees": bench.model, "linear": LinearModel.fit(bench.X, bench.y)}

    def second(asked: pd.DataFrame) -> pd.DataFrame:
        return bench.features(asked).assign(**{"user:like_rate": asked["user_id"].map(rate).to_numpy("f4")})

    ways: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "a second implementation": second,
        "nulls served as zero": lambda asked: bench.features(asked).fillna(0),
        "length in percent": lambda asked: bench.features(asked).assign(
            **{"request:length": 100 * asked["length"].astype("f4")}
        ),
    }
    clean, rows = {name: bench.judge(model.predict).share for name, model in models.items()}, {}
    for way, served in ways.items():
        logged = bench.tomorrow.join(served(bench.tomorrow))
        worst = skew_report(bench.store, logged, bench.store.list_features(), every=DAY).iloc[0]
        lost = [1 - bench.judge(model.predict, served).share / clean[name] for name, model in models.items()]
        rows[way] = (worst["differ"], worst["feature"], *lost)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["differ", "feature", "trees", "linear"])
