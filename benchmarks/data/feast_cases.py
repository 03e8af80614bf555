"""The four cases of `tests/test_feast_cases.py`, on Feast's local stores: what it returns, beside what is right.

.peers-data/bin/python benchmarks/data/feast_cases.py
"""

from __future__ import annotations

import logging
import tempfile
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType, __version__
from feast.types import Float32

START = pd.Timestamp("2026-01-01", tz="UTC")


def store(rows: list[tuple[int, float, float, float]], folder: Path, start: pd.Timestamp = START) -> FeatureStore:
    """Rows of (user, score, day it happened, day it was written)."""
    frame = pd.DataFrame(rows, columns=["user_id", "score", "at", "made"])
    frame = frame.assign(at=start + pd.to_timedelta(frame["at"], "D"), made=start + pd.to_timedelta(frame["made"], "D"))
    frame.astype({"at": "datetime64[us, UTC]", "made": "datetime64[us, UTC]"}).to_parquet(folder / "rows.parquet")
    config = RepoConfig(
        project="cases",
        registry=str(folder / "registry.db"),
        provider="local",
        offline_store={"type": "dask"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    user = Entity(name="user_id", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(path=str(folder / "rows.parquet"), timestamp_field="at", created_timestamp_column="made")
    fields = [Field(name="score", dtype=Float32)]
    made = FeatureStore(config=config)
    made.apply([user, FeatureView(name="user", entities=[user], ttl=timedelta(days=7), schema=fields, source=source)])
    return made


def joined(found: FeatureStore, asked: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """(label, score) of every row that comes back."""
    frame = pd.DataFrame(asked, columns=["user_id", "day"])
    frame = frame.assign(event_timestamp=START + pd.to_timedelta(frame.pop("day"), "D"), label=range(len(frame)))
    back = found.get_historical_features(frame, ["user:score"]).to_df().sort_values("label")
    return [(int(label), round(float(score), 3)) for label, score in zip(back["label"], back["score"], strict=True)]


def main() -> None:
    """Print one line per case."""
    logging.disable(logging.CRITICAL)
    said: list[tuple[str, object, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        found = store([(1, 0.1, 0, 0), (2, 0.2, 20, 20), (3, 0.3, 21, 21)], Path(folder))
        back = joined(found, [(3, 22), (1, 22), (2, 22), (2, 22), (9, 22)])
        said.append(("five label rows in", f"{len(back)} out: labels {[label for label, _ in back]}", "5 out"))
    with tempfile.TemporaryDirectory() as folder:
        now = pd.Timestamp.now(tz="UTC").floor("s")
        found = store([(1, 0.1, -52, -52)], Path(folder), now)
        found.materialize(start_date=now - timedelta(days=60), end_date=now)
        answer = found.get_online_features(features=["user:score"], entity_rows=[{"user_id": 1}])
        status = answer.proto.results[1].statuses[0] if len(answer.proto.results) > 1 else "?"
        value = answer.to_dict()["score"][0]
        said.append(
            ("value of 52 days, TTL 7", f"value {value and round(value, 3)}, status {status} (1 = PRESENT)", "none")
        )
    with tempfile.TemporaryDirectory() as folder:
        back = joined(store([(1, 0.5, 0, 0)], Path(folder)), [(1, 3), (1, 3)])
        said.append(("two rows, one key and time", f"{len(back)} out", "2 out"))
    with tempfile.TemporaryDirectory() as folder:
        found = store([(1, 0.1, 1, 1), (1, 0.9, 2, 6)], Path(folder))
        back = joined(found, [(1, 4)])
        said.append(("dated day 2, written day 6, asked on day 4", f"score {back[0][1]}", "score 0.1"))
    print(f"Feast {__version__}, file store and SQLite")
    for case, answer_, right in said:
        print(f"  {case:<44}{answer_!s:<44}right: {right}")


if __name__ == "__main__":
    main()
