"""The contract of online stores: what `FeatureStore` relies on, on every implementation, the real engine behind it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlsys import FeatureStore
from mlsys.core import MlsysError
from mlsys.features.definitions import feed_views
from mlsys.features.online import MemoryOnline, OnlineStore, StoreUnavailable
from mlsys.features.sqlite import MOST_SEGMENTS, SqliteOnline
from mlsys.features.timeline import NEVER
from mlsys.world.noise import NoiseWorld

ROOT = Path(__file__).resolve().parents[1]
Connect = Callable[[], OnlineStore]


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real Redis server of our own, on loopback, ended afterwards."""
    absent = [] if importlib.util.find_spec("redis") else ["the package redis (pip install redis)"]
    absent += [] if shutil.which("redis-server") else ["redis-server (apt-get install redis-server)"]
    if absent:
        missing = f"Redis is not tested: no {' and no '.join(absent)}"
        pytest.fail(missing) if os.environ.get("MLSYS_NEEDS_REDIS") else pytest.skip(missing)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    """Opens the store under test; twice gives two views of one store, but for memory."""
    if request.param == "memory":
        only = MemoryOnline()
        return lambda: only
    if request.param == "sqlite":
        return lambda: SqliteOnline(tmp_path / "online.db")
    port = request.getfixturevalue("redis_port")
    from mlsys.integrations.redis import RedisOnline

    return lambda: RedisOnline(f"redis://127.0.0.1:{port}/0", prefix=str(tmp_path))


def vectors(ids: list[int], value: float = 0.0, width: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array(ids, np.int64),
        (np.array(ids)[:, None] + value + np.arange(width) / 4).astype(np.float32),
        np.array(ids, np.int64) * 10,
    )


def test_what_was_written_is_read_in_the_order_asked(connect: Connect) -> None:
    store = connect()
    assert store.read("user", np.array([1])) is None
    store.write("user", *vectors([5, -3, 2**40]))
    found = store.read("user", np.array([2**40, 4, 5, 5, -3, -1]))
    assert found is not None
    values, newest = found
    assert values.dtype == np.float32 and newest.dtype == np.int64
    np.testing.assert_array_equal(values[[0, 2, 3, 4], 1], np.array([2**40, 5, 5, -3], np.float32) + np.float32(0.25))
    assert np.isnan(values[[1, 5]]).all() and newest.tolist() == [2**40 * 10, NEVER, 50, 50, -30, NEVER]
    values[:] = 7.0  # An answer belongs to who asked.
    assert (again := store.read("user", np.array([5]))) is not None and again[0][0, 0] == 5
    assert (empty := store.read("user", np.zeros(0, np.int64))) is not None and empty[0].shape == (0, 2)


def test_upsert_replace_and_rename(connect: Connect) -> None:
    store = connect()
    store.write("user", *vectors([1, 2, 3]))
    store.write("user", *vectors([9, 2], 100.0))
    found = store.read("user", np.array([1, 2, 9]))
    assert found is not None and found[0][:, 0].tolist() == [1, 102, 109]
    store.write("post", *vectors([1], 0.5, width=3))
    store.write("user", *vectors([2], 0.5, width=1), replace=True)
    found = store.read("user", np.array([1, 2]))
    assert found is not None and np.isnan(found[0][0]).all() and found[0][1].tolist() == [2.5]
    store.rename("user", "user@1")
    store.rename("nobody", "user@1")
    assert store.read("user", np.array([2])) is None
    found = store.read("user@1", np.array([2]))
    assert found is not None and found[0].tolist() == [[2.5]]
    store.write("user", *vectors([2]))
    store.rename("user", "user@1")
    found = store.read("user@1", np.array([2]))
    assert found is not None and found[0].tolist() == [[2.0, 2.25]]
    found = store.read("post", np.array([1]))
    assert found is not None and found[0].tolist() == [[1.5, 1.75, 2.0]]


write = st.tuples(
    st.lists(st.integers(-2, 12), unique=True, max_size=6), st.integers(0, 50), st.sampled_from([False, False, True])
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(write, min_size=1, max_size=2 * MOST_SEGMENTS + 3), st.integers(0, 10**9))
def test_any_history_of_writes_reads_as_a_dict_would(connect: Connect, writes, run) -> None:  # type: ignore[no-untyped-def]
    store, other, table, want = connect(), connect(), f"t{run}", dict[int, float]()
    store.write(table, *vectors([]), replace=True)
    for ids, value, replace in writes:
        store.write(table, *vectors(ids, value), replace=replace)
        want = ({} if replace else want) | {id_: id_ + value for id_ in ids}
        asked = np.arange(-3, 14)
        for reader in (store, other):
            found = reader.read(table, asked)
            assert found is not None
            np.testing.assert_array_equal(found[0][:, 0], [want.get(id_, np.nan) for id_ in asked.tolist()])
            np.testing.assert_array_equal(found[1], [id_ * 10 if id_ in want else NEVER for id_ in asked.tolist()])


def test_a_feature_store_serves_the_same_from_every_online_store(connect: Connect) -> None:
    events, end = NoiseWorld(users=30, posts=40).events(1_000), NoiseWorld().end
    answers = []
    for online in (MemoryOnline(), connect()):
        store = FeatureStore(online)
        store.apply(*feed_views(ttl_days=3))
        store.ingest(events)
        store.materialize(end)
        keys = {"user_id": np.arange(35), "post_id": np.arange(35)}
        answers.append(store.get_online_features(store.list_features(), keys, end))
    np.testing.assert_array_equal(answers[0].values, answers[1].values)
    np.testing.assert_array_equal(answers[0].status, answers[1].status)
    np.testing.assert_array_equal(answers[0].age_seconds, answers[1].age_seconds)
    assert len(np.unique(answers[0].status)) >= 3


WRITER = """
import sys
from pathlib import Path
import numpy as np
from mlsys.features.sqlite import SqliteOnline
store = SqliteOnline(sys.argv[1])
n = 2_000
for number in range(1_000_000):
    store.write("user", np.arange(n), np.full((n, 4), number, np.float32), np.full(n, number))
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_the_last_commit_and_readers_never_see_half(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    reader, rng, before = SqliteOnline(path), np.random.default_rng(3), -1
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(path)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        until = time.monotonic() + float(rng.uniform(0.05, 0.4))
        while time.monotonic() < until:
            found = reader.read("user", np.arange(2_000))
            assert found is not None and len(np.unique(found[0])) == 1 and (found[0][:, 0] == found[1]).all()
        writer.kill()
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.strip())])
        writer.stdout.close()
        writer.wait(10)
        found = SqliteOnline(path).read("user", np.arange(2_000))
        assert found is not None and acknowledged <= found[0][0, 0] <= acknowledged + 1
        before = max(before, acknowledged)
    assert before > MOST_SEGMENTS  # It was killed while segments were merged, too.


def test_a_broken_or_locked_file_is_an_outage_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        SqliteOnline(tmp_path / "broken.db")
    store, other = SqliteOnline(tmp_path / "a.db", timeout=0.05), SqliteOnline(tmp_path / "a.db")
    other._db.execute("begin immediate")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.write("user", *vectors([1]))
    other._db.execute("rollback")
    store.write("user", *vectors([1]))


def test_a_redis_that_is_gone_is_an_outage(redis_port: int) -> None:
    from mlsys.integrations.redis import RedisOnline

    store = RedisOnline(f"redis://127.0.0.1:{redis_port}/0", prefix="width")
    store.write("user", *vectors([1], width=2))
    with pytest.raises(MlsysError, match="2 features, not 3"):
        store.write("user", *vectors([1], width=3))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = RedisOnline(f"redis://127.0.0.1:{nobody.getsockname()[1]}/0")
        with pytest.raises(StoreUnavailable, match="Redis does not answer"):
            gone.read("user", np.array([1]))


@pytest.mark.parametrize("key, value", [(b":" + (2).to_bytes(8, "big"), b"short"), (b"", b"many"), (b"", b"-2")])
def test_what_somebody_else_wrote_into_redis_is_an_outage_and_no_vector(
    redis_port: int, tmp_path: Path, key: bytes, value: bytes
) -> None:
    import redis

    from mlsys.integrations.redis import RedisOnline

    store = RedisOnline(f"redis://127.0.0.1:{redis_port}/0", prefix=str(tmp_path))
    store.write("user", *vectors([1, 2]))
    redis.Redis(port=redis_port).set(f"{tmp_path}:user".encode() + key, value)
    with pytest.raises(StoreUnavailable, match="something else"):
        store.read("user", np.array([1, 2]))
