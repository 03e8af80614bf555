"""The event log: what was acknowledged is there, whole and in order, whatever died and wherever it was cut.

The kill test ends real processes. For more of them:  MLSYS_KILLS=2000 python -m pytest tests/test_log.py -k kill
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys.collection import (
    Column,
    Consumer,
    CorruptLog,
    EventLog,
    EventLogError,
    ExactlyOnce,
    LogLocked,
    OffsetOutOfRange,
    Schema,
)
from mlsys.collection import partition as partition_module
from mlsys.core import SchemaError
from mlsys.world.noise import NoiseWorld

SEED = secrets.randbelow(10**6)
KILLS = int(os.environ.get("MLSYS_KILLS", "200" if hasattr(os, "fork") else "8"))
SCHEMA = Schema((Column("user_id", "int64"), Column("event_id", "int64"), Column("dwell", "float32", "s", True)))


def rows(start: int, stop: int) -> pd.DataFrame:
    """Events whose every value follows from their id."""
    ids = np.arange(start, stop)
    return pd.DataFrame({"user_id": ids % 7, "event_id": ids, "dwell": (ids / 4).astype(np.float32)})


def everything(log: EventLog) -> pd.DataFrame:
    return pd.concat([log.read(part, 0, 10**9) for part in log.end_offsets()], ignore_index=True)


def check(found: pd.DataFrame) -> None:
    """The rows are as `rows` makes them."""
    ids = found["event_id"].to_numpy()
    assert (found["user_id"] == ids % 7).all() and (found["dwell"] == (ids / 4).astype(np.float32)).all()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog(tmp_path, schema=SCHEMA) as log:
        yield log


# --- Append and read ---------------------------------------------------------------------------------------------


def test_events_come_back_as_they_went_in(tmp_path: Path) -> None:
    events = NoiseWorld(seed=SEED, days=2).events(3_000)
    with EventLog(tmp_path, "impressions", partitions=4, schema=Schema.of(events)) as log:
        ends = [log.append(events[:2_000]), log.append(events[2_000:])][-1]
    found = everything(EventLog(tmp_path, "impressions")).sort_values("event_id", ignore_index=True)
    expected = events.sort_values("event_id", ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_categorical=False)
    assert list(found.dtypes.astype(str)) == list(expected.dtypes.astype(str))
    assert ends == EventLog(tmp_path, "impressions").end_offsets()
    assert min(ends.values()) > 500  # of 3,000 in 4: they are spread


def test_appending_says_the_next_offset_of_the_partitions_it_touched(log: EventLog) -> None:
    first, second = rows(0, 1), rows(7, 8)  # The same user.
    (part,) = log.append(first)
    assert log.append(second) == {part: 2} and log.append(rows(0, 0)) == {}
    assert log.end_offsets() == {part: 2, 1 - part: 0}
    assert log.read(part, 1)["event_id"].tolist() == [7] and log.read(part, 1).index.tolist() == [1]


def test_where_a_key_goes_never_changes(tmp_path: Path) -> None:
    """Another hash, in a new version of pandas say, would tear the events of a user apart."""
    users = pd.DataFrame({"user_id": np.arange(-1, 8)})
    with EventLog(tmp_path, "numbers", partitions=4, schema=Schema.of(users)) as log:
        log.append(users)
        found = [log.read(part, 0)["user_id"].tolist() for part in range(4)]
    assert found == [[0, 3, 4, 5, 6, 7], [1], [2], [-1]]
    with EventLog(tmp_path, "wider", partitions=4, schema=Schema.of(users.astype("int8"))) as log:
        narrow = log.append(users.head(1).astype("int8"))
    with EventLog(tmp_path, "wider", schema=Schema.of(users)) as log:
        assert log.append(users.head(1)).keys() == narrow.keys()
    text = pd.DataFrame({"name": pd.Categorical(["b", "a", None, "c"], categories=["c", "b", "a"])})
    with EventLog(tmp_path, "text", partitions=4, schema=Schema.of(text), key="name") as log:
        log.append(text)
        log.append(pd.DataFrame({"name": ["a"]}))
        found = [[None if pd.isna(v) else v for v in log.read(part, 0)["name"]] for part in range(4)]
    assert found == [["a", "c", "a"], [], [], ["b", None]]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), max_size=6),
    partitions=st.integers(1, 3),
    offset=st.integers(0, 30),
    max_rows=st.integers(0, 30),
)
def test_any_window_of_any_log(sizes: list[int], partitions: int, offset: int, max_rows: int) -> None:
    ends = np.cumsum([0, *sizes]).tolist()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition_module, "BATCH_ROWS", 4)
        with EventLog(folder, partitions=partitions, schema=SCHEMA) as log:
            reader = EventLog(folder)
            for start, stop in itertools.pairwise(ends):
                log.append(rows(start, stop))
            assert log.end_offsets() == reader.end_offsets() == EventLog(folder).end_offsets()
        found = [reader.read(part, 0) for part in range(partitions)]
        assert sorted(pd.concat(found)["event_id"]) == list(range(ends[-1]))
        for part, whole in enumerate(found):
            check(whole)
            assert whole["event_id"].is_monotonic_increasing  # So a user's events are in order.
            if offset <= len(whole):
                window = reader.read(part, offset, max_rows)
                pd.testing.assert_frame_equal(window, whole.iloc[offset : offset + max_rows])
            else:
                with pytest.raises(OffsetOutOfRange, match=f"has no offset {offset}"):
                    reader.read(part, offset, max_rows)
        users = [set(whole["user_id"]) for whole in found]
        assert sum(map(len, users)) == len(set().union(*users))  # Each user is in one partition.


def test_a_few_rows_of_a_frame_with_many_categories_stay_small(tmp_path: Path) -> None:
    users = pd.DataFrame({"name": pd.Categorical([f"user {i}" for i in range(10_000)])})
    with EventLog(tmp_path, partitions=1, schema=Schema.of(users), key="name") as log:
        log.append(users[5:7])
        assert log.read(0, 0)["name"].cat.categories.tolist() == ["user 5", "user 6"]
        assert (log.folder / "0.log").stat().st_size < 200


def test_what_is_asked_wrongly_is_refused(tmp_path: Path, log: EventLog) -> None:
    with pytest.raises(OffsetOutOfRange, match="partition 2"):
        log.read(2, 0)
    with pytest.raises(OffsetOutOfRange, match="no offset -1"):
        log.read(0, -1)
    with pytest.raises(EventLogError, match="not open to append"):
        EventLog(tmp_path).append(rows(0, 1))
    with pytest.raises(EventLogError, match="no topic 'clicks'"):
        EventLog(tmp_path, "clicks")
    with pytest.raises(EventLogError, match="not a name"):
        EventLog(tmp_path, "../clicks", schema=SCHEMA)
    with pytest.raises(EventLogError, match="no column 'user_id'"):
        EventLog(tmp_path, "clicks", schema=Schema((Column("post_id", "int64"),)))
    log.close()
    with pytest.raises(EventLogError, match="not open to append"):
        log.append(rows(0, 1))
    for asked in ({"partitions": 3}, {"key": "event_id"}):
        with pytest.raises(EventLogError, match="lose their order") as caught:
            EventLog(tmp_path, schema=SCHEMA, **asked)  # type: ignore[arg-type]
        EventLog(tmp_path, schema=SCHEMA, partitions=2).close()  # What was refused holds no lock,
        assert caught.traceback  # though its frames are still there.


# --- Schemas -----------------------------------------------------------------------------------------------------


def test_a_row_that_does_not_fit_is_refused_before_anything_is_written(log: EventLog) -> None:
    log.append(rows(0, 5))
    before = log.end_offsets()
    for wrong in (rows(5, 9).assign(extra=1), rows(5, 9).astype({"event_id": float}), rows(5, 9)[["dwell"]]):
        with pytest.raises(SchemaError):
            log.append(wrong)
    assert log.end_offsets() == before
    log.append(rows(5, 9)[["event_id", "user_id"]])  # Another order, and without a column that may be null.
    assert len(everything(log)) == 9 and everything(log)["dwell"].isna().sum() == 4


def test_readers_see_one_schema_across_versions(tmp_path: Path) -> None:
    device = Column("device", "category", nullable=True)
    with EventLog(tmp_path, partitions=1, schema=SCHEMA) as log:
        log.append(rows(0, 2))
    reader = EventLog(tmp_path)
    wider = Schema((*SCHEMA.columns[:2], Column("dwell", "float64", "s", True), device))
    with EventLog(tmp_path, schema=wider) as log:
        log.append(rows(2, 4).astype({"dwell": "float64"}).assign(device=["phone", "tablet"]))
        log.append(rows(4, 6).astype({"dwell": "float64"}).assign(device=["tablet", None]))
    with EventLog(tmp_path, schema=Schema(SCHEMA.columns[:2])) as log:  # What it leaves out is null from then on.
        log.append(rows(6, 7)[["user_id", "event_id"]])
    for found in (reader.read(0, 0), EventLog(tmp_path).read(0, 0)):
        assert {name: str(dtype) for name, dtype in found.dtypes.items()} == {
            "user_id": "int64",
            "event_id": "int64",
            "dwell": "float64",
            "device": "category",
        }
        assert found["event_id"].tolist() == list(range(7))
        assert found["dwell"].fillna(-1).tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, -1]
        assert found["device"].astype(object).fillna("").tolist() == ["", "", "phone", "tablet", "tablet", "", ""]
    assert len(json.loads((tmp_path / "events" / "topic.json").read_text())["schemas"]) == 2


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (Column("dwell", "float32", "ms", True), "unit from s to ms"),
        (Column("dwell", "datetime64[us]", "s", True), "from float32 to datetime64"),
    ],
)
def test_a_schema_that_misleads_readers_is_refused(tmp_path: Path, column: Column, reason: str) -> None:
    EventLog(tmp_path, schema=SCHEMA).close()
    with pytest.raises(SchemaError, match=reason):
        EventLog(tmp_path, schema=Schema((*SCHEMA.columns[:2], column)))
    assert EventLog(tmp_path).schema == SCHEMA
    EventLog(tmp_path, schema=SCHEMA).close()


# --- Consumers ---------------------------------------------------------------------------------------------------


def test_a_consumer_that_dies_before_commit_gets_the_rows_again(tmp_path: Path, log: EventLog) -> None:
    log.append(rows(0, 100))
    first = Consumer(EventLog(tmp_path), "trainer")
    done = first.poll(40)
    first.commit()
    lost = first.poll(25)
    assert (len(done), len(lost)) == (40, 25)
    second = Consumer(EventLog(tmp_path), "trainer")
    assert sum(second.lag.values()) == 60
    rest = second.poll()
    assert set(lost["event_id"]) <= set(rest["event_id"])
    assert sorted([*done["event_id"], *rest["event_id"]]) == list(range(100))
    assert sum(second.lag.values()) == 0 and len(second.poll()) == 0
    assert list(second.poll().dtypes) == list(rest.dtypes)
    other = Consumer(EventLog(tmp_path), "monitor")
    assert len(other.poll(200)) == 100  # Groups do not know of each other.


def test_poll_says_where_each_row_is(log: EventLog) -> None:
    log.append(rows(0, 50))
    polled = Consumer(log, "any").poll()
    for part in (0, 1):
        at = polled.loc[part]
        assert at.index.tolist() == list(range(len(at)))
        pd.testing.assert_frame_equal(at, log.read(part, 0))


def test_poll_goes_round_so_that_a_busy_partition_starves_none(log: EventLog) -> None:
    log.append(rows(0, 50))
    consumer = Consumer(log, "any")
    seen = {part for _ in range(2) for part in consumer.poll(3).index.get_level_values("partition")}
    assert seen == {0, 1}


def test_seek_goes_back_and_commits_nothing(log: EventLog) -> None:
    ends = log.append(rows(0, 50))
    consumer = Consumer(log, "any")
    consumer.poll()
    consumer.commit()
    consumer.seek(0, 1)
    assert consumer.position == {**ends, 0: 1} and consumer.lag == {0: ends[0] - 1, 1: 0}
    assert Consumer(log, "any").position == ends
    pd.testing.assert_frame_equal(consumer.poll().loc[0], log.read(0, 1))
    for wrong in (-1, ends[0] + 1):
        with pytest.raises(OffsetOutOfRange):
            consumer.seek(0, wrong)
    assert consumer.position == ends


def test_a_poll_that_fails_moves_nothing(log: EventLog) -> None:
    log.append(rows(0, 50))
    log.append(rows(50, 100))
    consumer = Consumer(log, "any")
    file = log.folder / "1.log"
    whole = file.read_bytes()
    file.write_bytes(whole[:60] + b"?" + whole[61:])
    for _ in range(2):
        with pytest.raises(CorruptLog):
            consumer.poll()
    file.write_bytes(whole)
    assert len(consumer.poll()) == 100


def test_a_log_that_lost_events_tells_its_consumers(tmp_path: Path, log: EventLog) -> None:
    log.append(rows(0, 50))
    consumer = Consumer(log, "any")
    consumer.poll()
    consumer.commit()
    log.close()
    os.truncate(log.folder / "0.log", 0)
    with pytest.raises(OffsetOutOfRange, match="lost events"):
        Consumer(EventLog(tmp_path), "any").poll()


# --- One writer, many readers ------------------------------------------------------------------------------------

HOLDER = """
import sys
from mlsys.collection.durable import lock
held = lock(__import__("pathlib").Path(sys.argv[1]))
print(held is not None, flush=True)
sys.stdin.read()
"""


def test_one_writer_at_a_time_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    with EventLog(tmp_path, schema=SCHEMA), pytest.raises(LogLocked, match="has a writer"):
        EventLog(tmp_path, schema=SCHEMA)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "events" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with pytest.raises(LogLocked):
            EventLog(tmp_path, schema=SCHEMA)
        EventLog(tmp_path).end_offsets()  # Readers need no lock.
        other.kill()
        other.wait()
        EventLog(tmp_path, schema=SCHEMA).close()


def test_acknowledged_means_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill cannot show a missing fsync, a power cut does: so what was synced, and when, is looked at here."""
    synced: dict[int, int] = {}  # inode → its size when last synced
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(handle: int) -> None:
        fsync(handle)
        synced[os.fstat(handle).st_ino] = os.fstat(handle).st_size

    def note_replace(path: Path, target: Path) -> Path:
        assert synced[path.stat().st_ino] == path.stat().st_size, "renamed before it was on the disk"
        moved = replace(path, target)
        synced.pop(path.parent.stat().st_ino, None)
        order.append(Path(target).name)
        return moved

    def on_disk(path: Path) -> bool:
        return synced.get(path.stat().st_ino) == path.stat().st_size

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    with EventLog(tmp_path, schema=SCHEMA) as log:
        for i in range(3):
            ends = log.append(rows(10 * i, 10 * i + 10))
            assert all(on_disk(log.folder / f"{part}.log") for part in ends) and len(ends) == 2
        consumer = Consumer(log, "any")
        consumer.poll()
        consumer.commit()
        assert on_disk(log.folder / "groups" / "any.json") and order == ["topic.json", "any.json"]
        if os.name == "posix":  # The new names, too.
            assert log.folder.stat().st_ino in synced and (log.folder / "groups").stat().st_ino in synced
    file = log.folder / "0.log"
    with file.open("ab") as torn:
        torn.write(b"half")
    synced.clear()
    with EventLog(tmp_path, schema=SCHEMA):
        assert on_disk(file) and on_disk(log.folder / "0.torn")


def test_after_a_failed_append_the_log_is_closed_and_opening_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(tmp_path, schema=SCHEMA)
    log.append(rows(0, 20))

    def full(file: BinaryIO) -> None:
        file.truncate(file.tell() - 5)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(partition_module, "sync", full)
        with pytest.raises(OSError, match="No space"):
            log.append(rows(20, 40))
    with pytest.raises(EventLogError, match="append that failed"):
        log.append(rows(20, 40))
    with EventLog(tmp_path, schema=SCHEMA) as again:
        assert len(again.notes) == 1
        again.append(rows(20, 40))
        assert sorted(everything(again)["event_id"]) == list(range(40))


def test_a_crash_between_partitions_repeats_events_that_their_ids_tell_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = NoiseWorld(seed=SEED, days=1).events(100)
    log, real, calls = EventLog(tmp_path, schema=Schema.of(events)), partition_module.sync, []

    def crash(file: BinaryIO) -> None:
        calls.append(file.name)
        if len(calls) == 2:  # Partition 0 has its events on the disk; of 1 not a byte came there.
            file.truncate(0)
            raise KeyboardInterrupt
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr(partition_module, "sync", crash)
        with pytest.raises(KeyboardInterrupt):
            log.append(events)
    with EventLog(tmp_path, schema=Schema.of(events)) as again:
        there = again.end_offsets()[0]
        assert 0 < there < 100 and again.end_offsets()[1] == 0
        again.append(events)  # It was not acknowledged.
        found = Consumer(again, "any").poll()
    assert len(found) == 100 + there
    taken = ExactlyOnce(bound=timedelta(days=2), allowed_lateness=timedelta(0)).take(found)
    assert sorted(taken.events["event_id"]) == sorted(events["event_id"]) and taken.duplicates == there


# --- Torn ends and corrupt middles -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[int]]:
    """A log of one partition with three batches of 2 rows; its bytes; where each batch ends, from 0."""
    folder = tmp_path_factory.mktemp("three")
    ends = [0]
    with EventLog(folder, partitions=1, schema=SCHEMA) as log:
        for i in range(3):
            log.append(rows(2 * i, 2 * i + 2))
            ends.append((log.folder / "0.log").stat().st_size)
    return folder, (folder / "events" / "0.log").read_bytes(), ends


def damaged(source: Path, target: Path, data: bytes) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    (target / "events" / "0.log").write_bytes(data)
    return target


def test_a_log_cut_at_any_byte_keeps_its_whole_batches(three: tuple[Path, bytes, list[int]], tmp_path: Path) -> None:
    source, data, ends = three
    for size in range(len(data) + 1):
        folder = damaged(source, tmp_path / "cut", data[:size])
        whole = max(i for i, end in enumerate(ends) if end <= size)
        reader = EventLog(folder)
        assert reader.end_offsets() == {0: 2 * whole}
        assert (folder / "events" / "0.log").stat().st_size == size  # A reader mends nothing.
        with EventLog(folder, schema=SCHEMA) as log:
            torn = size - ends[whole]
            assert len(log.notes) == (torn > 0)
            if torn:
                assert f"{torn:,} bytes" in log.notes[0] and f"offset {2 * whole}" in log.notes[0]
                assert (folder / "events" / "0.torn").read_bytes() == data[ends[whole] : size]
            assert log.append(rows(2 * whole, 2 * whole + 3)) == {0: 2 * whole + 3}
        found = reader.read(0, 0)
        check(found)
        assert found["event_id"].tolist() == list(range(2 * whole + 3))


def test_a_byte_changed_in_the_last_batch_is_cut_off_and_before_it_is_an_error(
    three: tuple[Path, bytes, list[int]], tmp_path: Path
) -> None:
    source, data, ends = three
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << secrets.randbelow(8)
        folder = damaged(source, tmp_path / "changed", bytes(changed))
        if at >= ends[2]:
            with EventLog(folder, schema=SCHEMA) as log:
                assert log.notes and log.end_offsets() == {0: 4}
                check(log.read(0, 0))
            assert (folder / "events" / "0.torn").read_bytes() == changed[ends[2] :]
            continue
        batch = 0 if at < ends[1] else 1
        for options in ({}, {"schema": SCHEMA}):
            with pytest.raises(CorruptLog, match=f"at byte {ends[batch]}, offset {2 * batch}") as caught:
                EventLog(folder, **options).end_offsets()  # type: ignore[arg-type]
        assert caught.value.rows["byte"] == ends[batch]
        assert (folder / "events" / "0.log").read_bytes() == changed
    os.truncate(caught.value.rows["file"], caught.value.rows["byte"])  # What the error says to type.
    with EventLog(folder, schema=SCHEMA) as log:
        log.append(rows(2, 6))
        assert log.read(0, 0)["event_id"].tolist() == list(range(6))


def test_a_batch_that_is_gone_from_the_middle_is_an_error(three: tuple[Path, bytes, list[int]], tmp_path: Path) -> None:
    source, data, ends = three
    with pytest.raises(CorruptLog, match=f"at byte {ends[1]}, offset 2"):
        EventLog(damaged(source, tmp_path / "gone", data[: ends[1]] + data[ends[2] :])).end_offsets()


def test_a_reader_notices_what_changes_behind_it(three: tuple[Path, bytes, list[int]], tmp_path: Path) -> None:
    source, data, ends = three
    folder = damaged(source, tmp_path / "later", data)
    reader = EventLog(folder)
    assert reader.end_offsets() == {0: 6}
    (folder / "events" / "0.log").write_bytes(data[: ends[1] - 1] + b"?" + data[ends[1] :])
    assert reader.read(0, 2)["event_id"].tolist() == [2, 3, 4, 5]
    with pytest.raises(CorruptLog, match="at byte 0"):
        reader.read(0, 0)


def test_a_reader_sees_no_half_of_a_batch_that_is_on_its_way(
    three: tuple[Path, bytes, list[int]], tmp_path: Path
) -> None:
    source, data, ends = three
    reader = EventLog(damaged(source, tmp_path / "way", data[: ends[1]]))
    seen = []
    for size in range(ends[1], len(data) + 1):
        with (reader.folder / "0.log").open("ab") as file:
            file.write(data[size - 1 : size] if size > ends[1] else b"")
        seen.append(reader.end_offsets()[0])
    assert seen == [2] * (ends[2] - ends[1]) + [4] * (ends[3] - ends[2]) + [6]


def test_a_torn_end_that_a_writer_replaces_under_a_readers_eyes_is_no_corruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large batches, because a file is read 8 kB or more at a time."""
    ends = []
    with EventLog(tmp_path, partitions=1, schema=SCHEMA) as log:
        for i in range(3):
            log.append(rows(i * 20_000, i * 20_000 + 20_000))
            ends.append((log.folder / "0.log").stat().st_size)
    data = (log.folder / "0.log").read_bytes()
    (log.folder / "0.log").write_bytes(data[: ends[0]] + b"x" * (len(data) - ends[0]))
    real = partition_module._batch

    def meanwhile(file: BinaryIO, at: int, size: int) -> object:
        found = real(file, at, size)
        if at == ends[0] and found is None:
            (log.folder / "0.log").write_bytes(data)  # The writer cut the torn end, and appended.
        return found

    reader = EventLog(tmp_path)
    monkeypatch.setattr(partition_module, "_batch", meanwhile)
    assert reader.end_offsets() == {0: 60_000}


# --- Kills -------------------------------------------------------------------------------------------------------

PRODUCER = """
import os, sys
import numpy as np
from mlsys.collection import EventLog
from test_log import SCHEMA, rows

def produce(folder, topic, first):
    print("pid", os.getpid(), flush=True)
    rng = np.random.default_rng()
    log = EventLog(folder, topic, schema=SCHEMA)
    for note in log.notes:
        print("note", note, flush=True)
    print("acknowledged", first, flush=True)
    for _ in range(500):
        size = int(rng.choice([1, 40, 4_000, 50_000], p=[0.3, 0.3, 0.3, 0.1]))
        log.append(rows(first, first + size))
        first += size
        print("acknowledged", first, flush=True)

for line in sys.stdin:
    if not hasattr(os, "fork"):
        produce(sys.argv[1], line.split()[0], int(line.split()[1]))
        break
    child = os.fork()
    if child == 0:
        produce(sys.argv[1], line.split()[0], int(line.split()[1]))
        os._exit(0)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


class Producers:
    """Runs one producer after the other. Where there is fork, they come from one process that has imported all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parent: subprocess.Popen[str] | None = None

    def start(self, topic: str, first: int) -> int:
        """A producer that begins with this event id; its process id."""
        if self.parent is None:
            path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
            self.parent = subprocess.Popen(
                [sys.executable, "-c", PRODUCER, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # Buffered: a line is one write, and so a kill cannot leave half of it in front of the next "dead".
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""},
            )
        assert self.parent.stdin is not None and self.parent.stdout is not None
        self.parent.stdin.write(f"{topic} {first}\n")
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline().split()[1])

    def wait(self, appends: int) -> None:
        """Until it has opened the log and appended so often."""
        self.lines: list[str] = []
        while sum(line.startswith("acknowledged") for line in self.lines) <= appends:
            self._line()

    def _line(self) -> bool:
        assert self.parent is not None and self.parent.stdout is not None
        self.lines.append(self.parent.stdout.readline())
        return self.lines[-1].endswith("\n") and self.lines[-1] != "dead\n"

    def end(self) -> tuple[int, int]:
        """After a kill: (events acknowledged, notes)."""
        while self._line():
            pass
        if self.lines[-1] != "dead\n":  # Each producer is a process of its own.
            self.close()
        whole = [line.split() for line in self.lines if line.endswith("\n")]
        said = [int(words[1]) for words in whole if words[0] == "acknowledged"]
        return said[-1], sum(words[0] == "note" for words in whole)

    def close(self) -> None:
        if self.parent is not None:
            with self.parent as parent:
                parent.kill()
            self.parent = None


def test_nothing_acknowledged_is_lost_when_producers_are_killed(tmp_path: Path) -> None:
    """Real kills, at random moments, with a consumer that reads all the while. `SEED` names the moments."""
    rng, producers = np.random.default_rng(SEED), Producers(tmp_path)
    killed_at_work = mended = repeated = 0
    try:
        for topic in range(0, KILLS, 20):  # A new topic now and then, to stay quick.
            name = f"topic-{topic}"
            EventLog(tmp_path, name, schema=SCHEMA).close()
            consumer, acknowledged, seen = Consumer(EventLog(tmp_path, name), "reader"), 0, np.zeros(10**7, np.int32)
            for _ in range(topic, min(topic + 20, KILLS)):
                child = producers.start(name, acknowledged)
                producers.wait(appends=int(rng.integers(3)))
                until = time.monotonic() + rng.uniform(0, 0.03)
                polled, before = [], dict(consumer.position)
                while time.monotonic() < until:
                    polled.append(consumer.poll(10**6))
                    time.sleep(0.005)
                os.kill(child, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
                last, notes = producers.end()
                polled.append(consumer.poll(10**9))
                new = pd.concat(polled)
                check(new)
                for part, offset in before.items():
                    offsets = new.index.get_level_values("offset")[new.index.get_level_values("partition") == part]
                    assert (offsets == np.arange(offset, consumer.position[part])).all(), f"seed {SEED}"
                killed_at_work, mended = killed_at_work + (last > acknowledged), mended + notes
                np.add.at(seen, new["event_id"].to_numpy(), 1)
                acknowledged = max(acknowledged, last)
                assert seen[:acknowledged].all(), f"seed {SEED}: acknowledged events are lost"
            repeated += int((seen > 1).sum())
            with EventLog(tmp_path, name, schema=SCHEMA) as log:
                assert sum(log.end_offsets().values()) == seen.sum()  # The reader got each event that there is, once.
    finally:
        producers.close()
    print(f"{KILLS} kills, {killed_at_work} after an append, {mended} torn ends cut, {repeated:,} events repeated")
    assert killed_at_work > KILLS / 10 and repeated > 0
