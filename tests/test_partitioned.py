"""Partition by partition, wherever that runs, the answers are those of one store that holds everything."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from test_features import HOUR, START, VIEW

from mlsys import FeatureStore
from mlsys.core import ACTIONS, UNKNOWN_ID, MlsysError, VirtualClock
from mlsys.features import Aggregation, FeatureView
from mlsys.features.online import MemoryOnline
from mlsys.features.partitioned import get_historical_features, map_by_entity, materialize
from mlsys.storage import Dataset

SEED = secrets.randbelow(10**6)
USERS, EVENTS, LABELS = 300, 8_000, 1_500
END = START + 220 * HOUR


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    """Late, in no order, of unknown users too; some are delivered twice, the second time later."""
    rng = np.random.default_rng(SEED)
    happened = START + rng.integers(0, 200, EVENTS) * HOUR
    log = pd.DataFrame(
        {
            "event_id": rng.permutation(EVENTS),
            "user_id": np.where(rng.random(EVENTS) < 0.02, UNKNOWN_ID, rng.integers(0, USERS, EVENTS)),
            "post_id": rng.integers(0, 40, EVENTS),
            "action": pd.Categorical.from_codes(rng.integers(-1, 4, EVENTS), list(ACTIONS)),
            "event_time": happened,
            "arrival_time": happened + rng.integers(0, 8, EVENTS) * HOUR,
            "position": rng.integers(1, 10, EVENTS),
        }
    )
    again = log.sample(400, random_state=SEED)
    return pd.concat([log, again.assign(arrival_time=again["arrival_time"] + HOUR)], ignore_index=True)


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    rng = np.random.default_rng(SEED + 1)
    users = rng.integers(-1, USERS + 20, LABELS)  # Nobody knows the last twenty.
    asked = pd.DataFrame({"user_id": users, "event_time": START + rng.integers(0, 220, LABELS) * HOUR})
    return asked.assign(liked=rng.random(LABELS) < 0.2).sample(frac=1, random_state=SEED)  # an index of its own


@pytest.fixture(scope="module")
def store(events: pd.DataFrame) -> FeatureStore:
    store = FeatureStore()
    store.apply(VIEW)
    store.ingest(events)
    store.materialize(END)
    return store


@pytest.fixture(scope="module")
def dataset(events: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """In two versions, so that a partition has rows of two writes."""
    dataset = Dataset(tmp_path_factory.mktemp("data"), "by_user", clock=VirtualClock("2026-02-01"))
    dataset.write(events.head(3_000), partition_by="user_id")
    dataset.write(events.tail(len(events) - 3_000))
    return dataset


@pytest.fixture(scope="module", params=["here", "processes", "threads", "dask"])
def backend(request: pytest.FixtureRequest) -> Iterator[AbstractContextManager[object]]:
    if request.param == "dask":
        distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'mlsys[dask]'")
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(host="127.0.0.1", **options) as cluster, distributed.Client(cluster):
            yield joblib.parallel_config(backend="dask")
        return
    kinds = {"processes": {"backend": "loky", "n_jobs": 2}, "threads": {"backend": "threading", "n_jobs": 2}}
    yield joblib.parallel_config(**kinds[request.param]) if request.param in kinds else nullcontext()


def whoami(events: pd.DataFrame, rows: pd.DataFrame) -> tuple[int, int]:
    return os.getpid(), events["user_id"].nunique()


def test_joins_vectors_and_workers(
    backend: AbstractContextManager[object], dataset: Dataset, store: FeatureStore, labels: pd.DataFrame,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    where, online = request.node.callspec.params["backend"], MemoryOnline()
    with backend:
        joined = get_historical_features(dataset, VIEW, labels)
        count = materialize(dataset, VIEW, END, online)
        ran = [found for _, found in map_by_entity(dataset, whoami, columns=["event_id", "user_id"])]
    expected = store.get_historical_features(labels, VIEW.refs)
    exact = [ref for ref in VIEW.refs if "rate" not in ref]
    pd.testing.assert_frame_equal(joined[["user_id", "event_time", "liked", *exact]],
                                  expected[["user_id", "event_time", "liked", *exact]])  # fmt: skip
    np.testing.assert_allclose(joined[list(VIEW.refs)], expected[list(VIEW.refs)], rtol=1e-6)
    assert joined[VIEW.refs[0]].notna().any() and joined[VIEW.refs[0]].isna().any()
    ids = np.arange(-1, USERS + 20)
    (values, newest), (same, known) = online.read("user", ids), store.online.read("user", ids)
    np.testing.assert_array_equal(newest, known)
    np.testing.assert_allclose(values, same, rtol=1e-6)
    assert count == len(store.entities("user"))
    others = {pid for pid, _ in ran} - {os.getpid()}
    assert len(others) == 2 if where == "dask" else bool(others) == (where == "processes"), ran
    assert sum(users for _, users in ran) == USERS + 1  # Nobody, and no unknown one, is in two partitions.


def test_a_view_reads_its_own_columns_and_no_others(dataset: Dataset, labels: pd.DataFrame) -> None:
    view = FeatureView("user", VIEW.entity, (Aggregation("events", "count"),))
    before = len(dataset.audit())
    get_historical_features(dataset, view, labels)
    read = dataset.audit()["columns"].iloc[before:]
    assert {tuple(columns) for columns in read} == {("user_id", "event_id", "event_time", "arrival_time")}


def test_a_narrower_key_finds_its_partition(dataset: Dataset, labels: pd.DataFrame) -> None:
    narrow = labels.assign(user_id=labels["user_id"].astype(np.int32))
    expected = get_historical_features(dataset, VIEW, labels)
    np.testing.assert_array_equal(get_historical_features(dataset, VIEW, narrow)[VIEW.refs[0]], expected[VIEW.refs[0]])


def test_an_earlier_version_answers_as_it_did(dataset: Dataset, events: pd.DataFrame, labels: pd.DataFrame) -> None:
    store = FeatureStore()
    store.apply(VIEW)
    store.ingest(events.head(3_000))
    expected = store.get_historical_features(labels, VIEW.refs)[VIEW.refs[0]]
    found = get_historical_features(dataset, VIEW, labels, version=1)[VIEW.refs[0]]
    pd.testing.assert_series_equal(found, expected)


def test_a_log_that_is_not_by_entity_is_refused(events: pd.DataFrame, labels: pd.DataFrame, tmp_path: Path) -> None:
    by_time = Dataset(tmp_path, "log", clock=VirtualClock("2026-02-01"))
    by_time.write(events)
    with pytest.raises(MlsysError, match=r"not partitioned by an entity.*event_time=2026"):
        get_historical_features(by_time, VIEW, labels)
    by_time.write(events.tail(10), partition_by="user_id")  # Half of it by user is not by user.
    with pytest.raises(MlsysError, match="not partitioned by an entity"):
        get_historical_features(by_time, VIEW, labels)
    by_time.write(events, mode="overwrite", partition_by="user_id")
    assert len(get_historical_features(by_time, VIEW, labels)) == len(labels)


def test_rows_without_the_key_are_refused(dataset: Dataset, labels: pd.DataFrame) -> None:
    with pytest.raises(MlsysError, match="no column 'user_id'"):
        list(map_by_entity(dataset, whoami, labels.drop(columns="user_id")))
