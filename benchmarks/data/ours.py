"""The cases that run in the environment of `mlsys`: ours, and what numpy, pandas and sqlite3 do without it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
from timing import Prepare, Run, main

from mlsys import FeatureStore, naive
from mlsys.core import ACTIONS
from mlsys.features import Aggregation, Entity, FeatureView
from mlsys.features.definitions import feed_views
from mlsys.features.online import MemoryOnline, OnlineStore
from mlsys.features.sqlite import SqliteOnline
from mlsys.verification import in_range, in_set, not_null, verify

Inputs = dict[str, np.ndarray]
TTL = 7.0
COLUMNS = [f"f{i}" for i in range(8)]
CHECKS = (
    not_null("event_time"),
    in_range("post_id", 0),
    in_set("action", ACTIONS),
    in_range("position", 0, 100),
    in_range("propensity", 0, 1, open_low=True),
)


def events(data: Inputs) -> pd.DataFrame:
    """The log as a frame."""
    action = pd.Categorical.from_codes(data["action"], categories=list(ACTIONS))
    columns = {name: data[name] for name in ("event_id", "user_id", "post_id", "position", "propensity")}
    times = {"event_time": data["event_time"].view("M8[us]"), "arrival_time": data["event_time"].view("M8[us]")}
    return pd.DataFrame({**columns, "action": action, **times})


def extract(data: Inputs, _: Path) -> Run:
    """Ours: four features, from events to vectors."""
    frame, end = events(data), np.datetime64(int(data["event_time"].max()) + 1, "us")

    def run() -> object:
        store = FeatureStore()
        store.apply(*feed_views())
        store.ingest(frame)
        store.materialize(end)
        user, post = (store.online.read(view, store.entities(view)) for view in ("user", "post"))
        assert user is not None and post is not None
        return np.concatenate([np.nansum(part[0], axis=0, dtype=np.float64) for part in (user, post)]).round(3)

    return run


def extract_naive(data: Inputs, _: Path) -> Run:
    frame = events(data)
    return lambda: np.concatenate([part.sum().to_numpy(np.float64) for part in naive.extract_features(frame)]).round(3)


def extract_pandas(data: Inputs, _: Path) -> Run:
    frame = events(data)

    def run() -> object:
        rows = frame[frame["action"].notna()]
        rows = rows.assign(like=(rows["action"] == "like").astype(np.float64))
        users = rows.groupby("user_id").agg(n=("like", "size"), rate=("like", "mean"))
        posts = frame.assign(like=frame["action"] == "like").groupby("post_id")
        posts = posts.agg(viewers=("user_id", "nunique"), likes=("like", "sum"))
        return np.concatenate([users.sum().to_numpy(), posts.sum().to_numpy()]).round(3)

    return run


def labels(data: Inputs) -> pd.DataFrame:
    return pd.DataFrame({"user_id": data["label_user"], "event_time": data["label_time"].view("M8[us]")})


def rows(data: Inputs) -> pd.DataFrame:
    """Feature rows: a user, a time and eight numbers, as a batch job would have written them."""
    return pd.DataFrame({"user_id": data["user_id"], "event_time": data["event_time"].view("M8[us]"),
                         **{name: data[name] for name in COLUMNS}})  # fmt: skip


def join(data: Inputs, *, prepared: bool) -> Run:
    """Ours: the eight numbers as known just before each label."""
    frame = rows(data).assign(event_id=data["event_id"], post_id=0, arrival_time=data["event_time"].view("M8[us]"),
                              action=pd.Categorical.from_codes(data["action"], list(ACTIONS)))  # fmt: skip
    asked = labels(data)
    view = FeatureView("user", Entity("user", "user_id"), tuple(Aggregation(c, "last", c) for c in COLUMNS), TTL)

    def ready() -> FeatureStore:
        store = FeatureStore()
        store.apply(view)
        store.ingest(frame)
        store.entities("user")  # Sorts.
        return store

    store = ready() if prepared else None
    return lambda: (store or ready()).get_historical_features(asked, view.refs)[list(view.refs)]


def merge_asof(data: Inputs, *, prepared: bool) -> Run:
    def ready() -> tuple[pd.DataFrame, pd.DataFrame]:
        return labels(data).sort_values("event_time"), rows(data).sort_values("event_time")

    sides = ready() if prepared else None

    def run() -> object:
        left, right = sides or ready()
        options = {"on": "event_time", "by": "user_id", "allow_exact_matches": False}
        return pd.merge_asof(left, right, tolerance=pd.Timedelta(days=TTL), **options)[COLUMNS]

    return run


def filled(online: OnlineStore, data: Inputs) -> FeatureStore:
    """A store whose vectors are online."""
    store = FeatureStore(online)
    view = FeatureView("post", Entity("post", "post_id"), tuple(Aggregation(c, "count") for c in COLUMNS), 1e6)
    store.apply(view)
    values = data["vectors"]
    store.online.write("post", np.arange(len(values)), values, np.zeros(len(values), np.int64), replace=True)
    return store


def read(data: Inputs, online: OnlineStore) -> Run:
    """Ours: values, status and age, checked against the TTL."""
    store, now, keys = filled(online, data), np.datetime64("2026-01-01"), {"post_id": data["asked"]}
    refs = tuple(store.list_features())
    return lambda: store.get_online_features(refs, keys, now).values


def read_bare(data: Inputs, _: Path) -> Run:
    """The floor: rows of a matrix by position, nothing asked and nothing said about them."""
    vectors, asked = data["vectors"], data["asked"]
    return lambda: vectors.take(asked, axis=0)


def read_arrays(data: Inputs, _: Path) -> Run:
    """What a read has to say, by hand on bare arrays: unknown ids, expired rows, nulls, ages."""
    n = len(data["vectors"])
    vectors, newest = np.vstack([data["vectors"], np.full((1, 8), np.nan, np.float32)]), np.zeros(n + 1, np.int64)
    asked, now, ttl = data["asked"], 1_767_225_600_000_000, int(1e6 * 86_400e6)

    def run() -> object:
        slot = np.where((asked >= 0) & (asked < n), asked, n)
        values, age = vectors.take(slot, axis=0), now - newest.take(slot)
        status = np.isnan(values).view(np.int8)
        if (old := age > ttl).any():
            status[old], values[old] = 3, np.nan
        if (absent := slot == n).any():
            status[absent] = 2
        ages = np.empty(values.shape)
        ages[:] = (age / 1e6)[:, None]
        return values

    return run


def read_raw_sqlite(data: Inputs, folder: Path) -> Run:
    """One blob per row, one `IN` query."""
    db = sqlite3.connect(folder / "raw.db")
    db.execute("create table vectors (id integer primary key, row blob)")
    blobs = np.ascontiguousarray(data["vectors"]).view("V32").ravel().tolist()
    db.executemany("insert into vectors values (?, ?)", enumerate(blobs))
    asked = data["asked"].tolist()
    query = f"select id, row from vectors where id in ({', '.join('?' * len(set(asked)))})"

    def run() -> object:
        found = dict(db.execute(query, list(set(asked))))
        return np.frombuffer(b"".join(found[id_] for id_ in asked), "<f4").reshape(-1, 8)

    return run


def read_redis(data: Inputs, _: Path) -> Run:
    from mlsys.integrations.redis import RedisOnline

    return read(data, RedisOnline(f"redis://127.0.0.1:{int(data['port'])}/0", prefix="ours", timeout=5))


def read_raw_redis(data: Inputs, _: Path) -> Run:
    """One packed value per row, one MGET, one frombuffer."""
    import redis

    client = redis.Redis(port=int(data["port"]))
    blobs = np.ascontiguousarray(data["vectors"]).view("V32").ravel().tolist()
    for at in range(0, len(blobs), 10_000):
        client.mset({b"raw:%d" % (at + i): blob for i, blob in enumerate(blobs[at : at + 10_000])})
    asked = data["asked"].tolist()
    return lambda: np.frombuffer(b"".join(client.mget([b"raw:%d" % i for i in asked])), "<f4").reshape(-1, 8)


def checks(data: Inputs, _: Path) -> Run:
    frame = events(data)
    return lambda: [len(result.rows) for result in verify(frame, CHECKS).results]


def checks_numpy(data: Inputs, _: Path) -> Run:
    """The five conditions as somebody would type them."""
    frame = events(data)

    def run() -> object:
        position, propensity = frame["position"].to_numpy(), frame["propensity"].to_numpy()
        return [
            int(frame["event_time"].isna().sum()),
            int((frame["post_id"].to_numpy() < 0).sum()),
            int((~frame["action"].isin(ACTIONS) & frame["action"].notna()).sum()),
            int(((position < 0) | (position > 100)).sum()),
            int(((propensity <= 0) | (propensity > 1)).sum()),
        ]

    return run


CASES: dict[str, Prepare] = {
    "extract": extract,
    "extract-naive": extract_naive,
    "extract-pandas": extract_pandas,
    "join": lambda data, _: join(data, prepared=True),
    "join-sort": lambda data, _: join(data, prepared=False),
    "join-asof": lambda data, _: merge_asof(data, prepared=True),
    "join-asof-sort": lambda data, _: merge_asof(data, prepared=False),
    "read": lambda data, _: read(data, MemoryOnline()),
    "read-sqlite": lambda data, folder: read(data, SqliteOnline(folder / "online.db")),
    "read-redis": read_redis,
    "read-bare": read_bare,
    "read-arrays": read_arrays,
    "read-raw-sqlite": read_raw_sqlite,
    "read-raw-redis": read_raw_redis,
    "verify": checks,
    "verify-numpy": checks_numpy,
}

if __name__ == "__main__":
    main(CASES)
