"""The cases of polars, DuckDB, pandera and Feast: run in an environment of their own, which has no `mlsys`."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from timing import Prepare, Run, main  # noqa: E402

Inputs = dict[str, np.ndarray]
COLUMNS = [f"f{i}" for i in range(8)]
ACTIONS = ("like", "dislike", "view", "share")
TTL_US = 7 * 86_400_000_000


def log(data: Inputs) -> dict[str, np.ndarray]:
    names = np.array([*ACTIONS, None], dtype=object)
    return {
        "user_id": data["user_id"],
        "post_id": data["post_id"],
        "action": names[data["action"]],
        "event_time": data["event_time"].view("M8[us]"),
        "position": data["position"],
        "propensity": data["propensity"],
    }


def extract_polars(data: Inputs, _: Path) -> Run:
    import polars as pl

    codes = pl.DataFrame({key: data[key] for key in ("user_id", "post_id", "action")})

    def run() -> object:
        rows = codes.lazy().filter(pl.col("action") >= 0).with_columns(like=(pl.col("action") == 0).cast(pl.Float64))
        users = rows.group_by("user_id").agg(n=pl.len(), rate=pl.col("like").mean()).collect()
        likes = (pl.col("action") == 0).sum()
        posts = codes.lazy().group_by("post_id").agg(viewers=pl.col("user_id").n_unique(), likes=likes).collect()
        return np.round([users["n"].sum(), users["rate"].sum(), posts["viewers"].sum(), posts["likes"].sum()], 3)

    return run


def extract_duckdb(data: Inputs, _: Path) -> Run:
    import duckdb

    frame = pd.DataFrame({key: data[key] for key in ("user_id", "post_id", "action")})
    db = duckdb.connect()
    db.register("frame", frame)
    db.execute("create table log as select * from frame")

    def run() -> object:
        users = db.execute(
            "select count(*) n, avg((action = 0)::double) rate from log where action >= 0 group by user_id"
        )
        first = users.fetchnumpy()
        posts = db.execute("select count(distinct user_id) v, sum((action = 0)::int) l from log group by post_id")
        second = posts.fetchnumpy()
        return np.round([first["n"].sum(), first["rate"].sum(), second["v"].sum(), second["l"].astype(float).sum()], 3)

    return run


def sides(data: Inputs) -> tuple[pd.DataFrame, pd.DataFrame]:
    left = pd.DataFrame({"user_id": data["label_user"], "event_time": data["label_time"].view("M8[us]")})
    right = {"user_id": data["user_id"], "event_time": data["event_time"].view("M8[us]")}
    return left, pd.DataFrame({**right, **{name: data[name] for name in COLUMNS}})


def join_polars(data: Inputs, *, prepared: bool) -> Run:
    import polars as pl

    left, right = (pl.from_pandas(side) for side in sides(data))

    def ready() -> tuple[pl.DataFrame, pl.DataFrame]:
        return left.sort("event_time"), right.sort("event_time")

    kept = ready() if prepared else None

    def run() -> object:
        asked, rows = kept or ready()
        options = {"on": "event_time", "by": "user_id", "strategy": "backward", "allow_exact_matches": False}
        return asked.join_asof(rows, tolerance="7d", **options).select(COLUMNS).to_numpy()

    return run


def join_duckdb(data: Inputs, _: Path) -> Run:
    import duckdb

    left, right = sides(data)
    db = duckdb.connect()
    db.register("left_", left), db.register("right_", right)
    db.execute("create table asked as select * from left_")
    db.execute("create table known as select * from right_")
    fresh = "asked.event_time - known.event_time <= interval 7 day"
    query = f"""
        select {", ".join(f"case when {fresh} then {name} end {name}" for name in COLUMNS)}
        from asked asof left join known
        on asked.user_id = known.user_id and asked.event_time > known.event_time
    """
    return lambda: db.execute(query).df()


def feast_store(folder: Path, offline: str, online: dict[str, str]):  # type: ignore[no-untyped-def]
    from feast import FeatureStore, RepoConfig

    logging.disable(logging.CRITICAL)
    config = RepoConfig(
        project="bench",
        registry=str(folder / "registry.db"),
        provider="local",
        offline_store={"type": offline},
        online_store=online,
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def feast_view(path: Path, key: str):  # type: ignore[no-untyped-def]
    from datetime import timedelta

    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32

    entity = Entity(name=key, join_keys=[key], value_type=ValueType.INT64)
    source = FileSource(path=str(path), timestamp_field="event_time")
    fields = [Field(name=name, dtype=Float32) for name in COLUMNS]
    return entity, FeatureView(name="v", entities=[entity], ttl=timedelta(days=7), schema=fields, source=source)


def join_feast(data: Inputs, folder: Path, offline: str) -> Run:
    left, right = sides(data)
    right.assign(event_time=right["event_time"].dt.tz_localize("UTC")).to_parquet(folder / "rows.parquet")
    store = feast_store(folder, offline, {"type": "sqlite", "path": str(folder / "online.db")})
    store.apply(list(feast_view(folder / "rows.parquet", "user_id")))
    asked = left.rename(columns={"event_time": "event_timestamp"})
    asked["event_timestamp"] = asked["event_timestamp"].dt.tz_localize("UTC")
    features = [f"v:{name}" for name in COLUMNS]
    return lambda: store.get_historical_features(asked, features).to_df()[COLUMNS].to_numpy(np.float64, na_value=np.nan)


def read_feast(data: Inputs, folder: Path, online: dict[str, str]) -> Run:
    now = pd.Timestamp.now(tz="UTC")
    frame = pd.DataFrame(data["vectors"], columns=COLUMNS).assign(
        post_id=np.arange(len(data["vectors"])), event_time=now
    )
    frame.to_parquet(folder / "rows.parquet")
    store = feast_store(folder, "dask", online)
    store.apply(list(feast_view(folder / "rows.parquet", "post_id")))
    store.write_to_online_store("v", frame)
    features, asked = [f"v:{name}" for name in COLUMNS], [{"post_id": int(i)} for i in data["asked"]]

    def run() -> object:
        found = store.get_online_features(features=features, entity_rows=asked).to_dict()
        return [found[name] for name in COLUMNS]

    return run


def verify_pandera(data: Inputs, _: Path) -> Run:
    import pandera.pandas as pa

    frame = pd.DataFrame(log(data)).astype({"action": pd.CategoricalDtype(list(ACTIONS))})
    schema = pa.DataFrameSchema(
        {
            "event_time": pa.Column(nullable=False),
            "post_id": pa.Column(checks=pa.Check.ge(0)),
            "action": pa.Column(checks=pa.Check.isin(ACTIONS), nullable=True),
            "position": pa.Column(checks=pa.Check.in_range(0, 100)),
            "propensity": pa.Column(checks=pa.Check.in_range(0, 1, include_min=False)),
        }
    )

    def run() -> object:
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as errors:
            cases = errors.failure_cases
            return [(cases["column"] == name).sum() for name in schema.columns]
        return [0] * 5

    return run


CASES: dict[str, Prepare] = {
    "extract-polars": extract_polars,
    "extract-duckdb": extract_duckdb,
    "join-polars": lambda data, _: join_polars(data, prepared=True),
    "join-polars-sort": lambda data, _: join_polars(data, prepared=False),
    "join-duckdb": join_duckdb,
    "join-feast": lambda data, folder: join_feast(data, folder, "dask"),
    "join-feast-duckdb": lambda data, folder: join_feast(data, folder, "duckdb"),
    "read-feast-sqlite": lambda data, folder: read_feast(
        data, folder, {"type": "sqlite", "path": str(folder / "f.db")}
    ),
    "read-feast-redis": lambda data, folder: read_feast(
        data, folder, {"type": "redis", "connection_string": f"127.0.0.1:{int(data['port'])}"}
    ),
    "verify-pandera": verify_pandera,
}

if __name__ == "__main__":
    main(CASES)
