"""A store in a folder: it outlives its process, several may use it, and a killed one leaves nothing half-done."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_features import HOUR, VIEW

from mlsys import FeatureStore
from mlsys.core import MlsysError, VirtualClock
from mlsys.features import Aggregation, Entity, FeatureService, FeatureView
from mlsys.features.definitions import OnDemandView, ranking_views
from mlsys.features.registry import Registry
from mlsys.storage import Dataset
from mlsys.world.noise import NoiseWorld

SEED = secrets.randbelow(10**6)
BATCHES = 40
POST = FeatureView("post", Entity("post", "post_id"), (Aggregation("likes", "sum", column="action", equals="like"),))


def log() -> pd.DataFrame:
    events = NoiseWorld(users=40, posts=30, seed=7).events(2_000).sort_values("arrival_time", ignore_index=True)
    return events.assign(position=1)


def batches() -> list[pd.DataFrame]:
    events = log()
    size = len(events) // BATCHES
    return [events.iloc[first : first + size] for first in range(0, len(events), size)]


def end_of(batch: pd.DataFrame) -> np.datetime64:
    return np.datetime64(batch["arrival_time"].max(), "us") + np.timedelta64(1, "us")


def opened(folder: Path) -> FeatureStore:
    store = FeatureStore.open(folder, clock=VirtualClock("2026-03-01"))
    store.apply(VIEW, POST)
    return store


def vectors(store: FeatureStore, now: np.datetime64) -> np.ndarray:
    asked = {"user_id": np.arange(40), "post_id": np.arange(40) % 30}
    return store.get_online_features([*VIEW.refs, *POST.refs], asked, now).values


CHILD = """
import sys
from pathlib import Path
from test_store_open import batches, end_of, opened
store = opened(Path(sys.argv[1]))
print("ready", flush=True)
for i, batch in enumerate(batches()):
    store.push(batch, end_of(batch))
    print(i, flush=True)
"""


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True,
                            cwd=Path(__file__).parent)  # fmt: skip


def test_a_store_is_there_again_when_it_is_opened_again(tmp_path: Path) -> None:
    events, memory = log(), FeatureStore()
    now = end_of(events)
    first = opened(tmp_path)
    first.apply(FeatureService("ranker", (*VIEW.refs, *POST.refs)))
    for store in (first, memory):
        store.apply(VIEW, POST)
        store.ingest(events.head(1_500))
        store.materialize(now)
    again = FeatureStore.open(tmp_path, clock=VirtualClock("2026-03-02"))
    assert again.list_features() == memory.list_features()
    assert again.registry.resolve("ranker") == [*VIEW.refs, *POST.refs]
    np.testing.assert_array_equal(vectors(again, now), vectors(memory, now))
    asked = events.tail(200)
    pd.testing.assert_frame_equal(
        again.get_historical_features(asked, VIEW.refs), memory.get_historical_features(asked, VIEW.refs)
    )
    assert again.ingest(events) == memory.ingest(events) == 500  # Those of before the restart are known.
    later = now + HOUR
    assert again.materialize_incremental(later) == memory.materialize_incremental(later)
    np.testing.assert_array_equal(vectors(again, later), vectors(memory, later))


def test_another_process_serves_what_this_one_puts_online(tmp_path: Path) -> None:
    ours, (one, two, *_) = opened(tmp_path), batches()
    code = """
import sys
from pathlib import Path
import numpy as np
from test_store_open import batches, end_of, opened, vectors
store, now = opened(Path(sys.argv[1])), end_of(batches()[1])
for _ in range(2):
    print(np.nansum(vectors(store, now)), flush=True)
    sys.stdin.readline()
print(store.ingest(batches()[2]), flush=True)
"""
    ours.push(one, end_of(one))
    now = end_of(two)
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                             stdin=subprocess.PIPE, cwd=Path(__file__).parent)  # fmt: skip
    assert other.stdout is not None and other.stdin is not None
    assert float(other.stdout.readline()) == np.nansum(vectors(ours, now))
    ours.push(two, now)
    other.stdin.write("\n")
    other.stdin.flush()
    assert float(other.stdout.readline()) == np.nansum(vectors(ours, now))
    out, _ = other.communicate("\n")
    assert int(out) == len(batches()[2])
    asked = log().head(200)
    together = FeatureStore()
    together.apply(VIEW)
    together.ingest(pd.concat(batches()[:3]))
    expected = together.get_historical_features(asked, VIEW.refs)
    pd.testing.assert_frame_equal(ours.get_historical_features(asked, VIEW.refs), expected)  # With what it ingested.
    assert ours.ingest(batches()[2]) == 0


def test_a_killed_process_loses_nothing_that_it_said_was_there(tmp_path: Path) -> None:
    rng, together = np.random.default_rng(SEED), FeatureStore()
    together.apply(VIEW, POST)
    for batch in batches():
        together.push(batch, end_of(batch))
    last = end_of(batches()[-1])
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        process = child(CHILD, folder)
        assert process.stdout is not None
        said, wanted = -1, int(rng.integers(0, BATCHES - 2))
        assert process.stdout.readline() == "ready\n"
        for line in process.stdout:
            said = int(line)
            if said >= wanted:
                break
        try:
            process.wait(rng.uniform(0, 0.05))
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()
        process.wait()
        store = opened(folder)
        kept = Dataset(folder, "events", clock=VirtualClock()).read()["event_id"]
        assert kept.is_unique
        promised = pd.concat(batches()[: said + 1])
        assert set(promised["event_id"]) <= set(kept), (SEED, attempt)
        if attempt % 2:  # Delivered again from the beginning: whatever was there counts once.
            store.push(log(), last)
        else:
            store.ingest(log())
            store.materialize_incremental(last)
        np.testing.assert_array_equal(vectors(store, last), vectors(together, last), err_msg=f"{SEED} {attempt}")


def test_two_processes_change_definitions_without_losing_one(tmp_path: Path) -> None:
    one, other = Registry(tmp_path / "registry.json"), Registry(tmp_path / "registry.json")
    one.apply(VIEW)
    other.apply(POST)
    one.stamp("user", 7)
    found = Registry(tmp_path / "registry.json")
    assert (list(found.views), found.materialized) == (["user", "post"], {"user": 7})
    with one._changing(), pytest.raises(MlsysError, match=r"another process is changing registry\.json"):
        other.stamp("post", 8)


def test_on_demand_views_are_applied_again_and_keep_their_version(tmp_path: Path) -> None:
    for _ in range(3):
        registry = Registry(tmp_path / "registry.json")
        for view in ranking_views():
            registry.apply(view)
        assert registry.versions["request"] == 1
        assert any(isinstance(view, OnDemandView) for view in registry.views.values())


def test_expired_events_are_gone_and_a_vacuum_takes_their_bytes(tmp_path: Path) -> None:
    store, events = opened(tmp_path), log()
    store.ingest(events)
    middle = np.datetime64(events["event_time"].median(), "us")
    store.expire(middle)
    dataset = Dataset(tmp_path, "events", clock=VirtualClock())
    assert (dataset.read()["event_time"] >= middle).all()
    assert dataset.vacuum([], dry_run=False).versions == (1,)
    assert FeatureStore.open(tmp_path, clock=VirtualClock()).entities("post").size


def test_the_readme_s_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    events = log()
    names = {"events": events, "labels": events.tail(9), "now": end_of(events), "ids": np.arange(40)}
    exec(code, names)
    assert names["train"]["user:likes_7d"].notna().any()  # type: ignore[index,union-attr]
    assert (tmp_path / "work" / "store" / "online.db").exists()
