"""Four cases that the best-known feature store gets wrong (Feast 0.67, local; `benchmarks/data/feast_cases.py` runs
them there), as tests that ours passes: offline, in memory and in a folder, and online."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlsys import FeatureStore
from mlsys.core import ACTIONS, VirtualClock
from mlsys.features import Aggregation, Entity, FeatureView, Status

REF = "user:score"
VIEW = FeatureView("user", Entity("user", "user_id"), (Aggregation("score", "last", column="score"),), ttl_days=7)
DAY = np.timedelta64(1, "D")
START = np.datetime64("2026-01-01", "us")
Make = Callable[[], FeatureStore]


@pytest.fixture(params=["memory", "folder"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def build() -> FeatureStore:
        memory = request.param == "memory"
        store = FeatureStore() if memory else FeatureStore.open(tmp_path, clock=VirtualClock("2026-06-01"))
        store.apply(VIEW)
        return store

    return build


def scored(*rows: tuple[int, float, float, float]) -> pd.DataFrame:
    """Events from (user, score, day it happened, day it arrived)."""
    user, score, happened, arrived = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "event_id": np.arange(len(rows)),
            "user_id": np.array(user),
            "post_id": 0,
            "action": pd.Categorical(["view"] * len(rows), list(ACTIONS)),
            "event_time": START + (np.array(happened) * 86_400e6).astype("m8[us]"),
            "arrival_time": START + (np.array(arrived) * 86_400e6).astype("m8[us]"),
            "score": score,
        }
    )


def asked(*rows: tuple[int, float]) -> pd.DataFrame:
    """Label rows from (user, day), each with a label of its own."""
    user, day = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "user_id": user,
            "event_time": START + (np.array(day) * 86_400e6).astype("m8[us]"),
            "label": np.arange(len(rows)),
        }
    )


def test_five_label_rows_in_are_five_out_in_their_order(make: Make) -> None:
    store = make()
    store.ingest(scored((1, 0.1, 0, 0), (2, 0.2, 20, 20), (3, 0.3, 21, 21)))
    rows = asked((3, 22), (1, 22), (2, 22), (2, 22), (9, 22))  # User 1 is past the TTL, 9 unknown, 2 asked twice.
    joined = store.get_historical_features(rows, [REF])
    assert joined["label"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(joined[REF], [0.3, np.nan, 0.2, 0.2, np.nan], rtol=1e-6)


def test_an_expired_value_is_not_served_online(make: Make) -> None:
    store = make()
    store.ingest(scored((1, 0.1, 0, 0), (2, 0.2, 50, 50)))
    now = START + 52 * DAY
    store.materialize(now)
    found = store.get_online_features([REF], {"user_id": np.array([1, 2])}, now)
    assert found.status[:, 0].tolist() == [Status.OUTSIDE_MAX_AGE, Status.PRESENT]
    assert np.isnan(found.values[0, 0]) and found.age_seconds[0, 0] == 52 * 86_400  # It says how old it would be.


def test_two_label_rows_of_one_key_and_time_are_two_rows(make: Make) -> None:
    store = make()
    store.ingest(scored((1, 0.5, 0, 0)))
    joined = store.get_historical_features(asked((1, 3), (1, 3)), [REF])
    assert joined["label"].tolist() == [0, 1] and joined[REF].tolist() == [0.5, 0.5]


def test_a_backfilled_value_is_unknown_until_it_arrives(make: Make) -> None:
    store = make()
    store.ingest(scored((1, 0.1, 1, 1), (1, 0.9, 2, 6)))  # The second was written on day 6, dated day 2.
    joined = store.get_historical_features(asked((1, 4), (1, 7)), [REF])
    np.testing.assert_allclose(joined[REF], [0.1, 0.9], rtol=1e-6)
