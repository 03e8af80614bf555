"""Datasets by manifest: what was written is read, for ever, and neither a crash nor a flipped bit passes as data."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlsys
from mlsys.collection.schema import Column, Schema
from mlsys.core import SchemaError, VirtualClock
from mlsys.storage import AccessDenied, CorruptDataset, Dataset, DatasetError, WriteConflict

RELAXED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
T0 = np.datetime64("2026-01-01", "us")
SCHEMA = Schema(
    (
        Column("flag", "bool"),
        Column("tiny", "int8"),
        Column("user_id", "int64"),
        Column("score", "float32", nullable=True),
        Column("dwell", "float64", unit="s", nullable=True),
        Column("event_time", "datetime64[us]", nullable=True),
        Column("city", "category", nullable=True),
    )
)
HOURS = st.none() | st.integers(-5, 5).map(lambda half_days: 12 * half_days)
BOUNDS = st.tuples(HOURS, HOURS)
BY = st.sampled_from([None, "event_time", "user_id", "city", "dwell"])


@st.composite
def frames(draw: st.DrawFn, most: int = 12) -> pd.DataFrame:
    n = draw(st.integers(0, most))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    times = [np.datetime64("NaT") if h is None else T0 + np.timedelta64(h, "h") for h in column(HOURS)]
    texts = draw(st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True))
    city = np.array(column(st.integers(-1, len(texts) - 1)), np.int64)
    return pd.DataFrame(
        {
            "flag": np.array(column(st.booleans()), bool),
            "tiny": np.array(column(st.integers(-128, 127)), np.int8),
            "user_id": np.array(column(st.integers(-(2**63), 2**63 - 1)), np.int64),
            "score": np.array(column(st.floats(width=32)), np.float32),
            "dwell": np.array(column(st.floats()), np.float64),
            "event_time": np.array(times, "datetime64[us]"),
            "city": pd.Categorical.from_codes(city, pd.Index(texts, dtype=str)),
        }
    )


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """The same rows, order and types; the order of categories is another matter."""
    pd.testing.assert_frame_equal(a.reset_index(drop=True), b, check_categorical=False)
    assert all((x == "category") == (y == "category") for x, y in zip(a.dtypes, b.dtypes, strict=True))


def concat(*frames: pd.DataFrame) -> pd.DataFrame:
    texts = {"city": "object"}
    joined = pd.concat([frame.astype(texts) for frame in frames], ignore_index=True)
    return joined.astype({"city": "category"})


def events(n: int, day: int = 0, seed: int = 0) -> pd.DataFrame:
    """`n` events in three days from `day` on, out of order."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 50, n),
            "dwell": rng.random(n),
            "event_time": T0 + rng.integers(day * 86_400, (day + 3) * 86_400, n).astype("timedelta64[s]"),
            "device": pd.Categorical(rng.choice(["ios", "android"], n)),
        }
    )


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Only a power cut needs fsync. That it is called, and when, has a test; children call the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock("2026-02-01")


@pytest.fixture
def data(tmp_path: Path, clock: VirtualClock) -> Dataset:
    return Dataset(tmp_path, clock=clock, owner="feed-data")


def column_file(data: Dataset, column: str, version: int | None = None, part: int = 0) -> Path:
    return data.folder / "files" / data.version(version).parts[part].columns[column][0]


# --- Laws ---------------------------------------------------------------------------------------------


@RELAXED
@given(frame=frames(), by=BY)
def test_what_is_written_is_read(frame: pd.DataFrame, by: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset(folder, clock=VirtualClock())
        data.write(frame, partition_by=by, schema=SCHEMA)
        same(frame, data.read(verify=True))
        if len(frame):
            assert list(data.read()["city"].cat.categories) == list(frame["city"].cat.categories)


@RELAXED
@given(a=frames(), b=frames(), c=frames(), by=st.tuples(BY, BY, BY))
def test_append_is_concat_and_never_changes_an_older_version(
    a: pd.DataFrame, b: pd.DataFrame, c: pd.DataFrame, by: tuple[str | None, ...]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = VirtualClock("2026-02-01")
        data = Dataset(folder, clock=clock)
        data.write(a, partition_by=by[0], schema=SCHEMA)
        clock.advance(hours=1)
        data.write(b, partition_by=by[1])
        clock.advance(hours=1)
        data.write(c, mode="overwrite", partition_by=by[2])
        same(a, data.read(1))
        same(concat(a, b), data.read(2))
        same(c, data.read())
        for hours, number in ((0, 1), (0.5, 1), (1, 2), (1.9, 2), (2, 3), (9, 3)):
            at = np.datetime64("2026-02-01", "us") + np.timedelta64(round(hours * 3600), "s")
            assert data.version(as_of=at).number == number
            same(data.read(number), data.read(as_of=at))


@RELAXED
@given(frame=frames(), by=BY, columns=st.lists(st.sampled_from(SCHEMA.names), min_size=1, unique=True), bounds=BOUNDS)
def test_a_part_of_a_read_is_that_part_of_the_read(
    frame: pd.DataFrame, by: str | None, columns: list[str], bounds: tuple[int | None, int | None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset(folder, clock=VirtualClock())
        data.write(frame, partition_by=by, schema=SCHEMA)
        start, end = (None if h is None else T0 + np.timedelta64(h, "h") for h in bounds)
        inside = frame["event_time"].notna()
        inside &= True if start is None else frame["event_time"] >= start
        inside &= True if end is None else frame["event_time"] < end
        same(frame[columns], data.read(columns=columns))
        same(frame.loc[inside, columns], data.read(columns=columns, where=(start, end)))


@RELAXED
@given(frame=frames(), cut=st.integers(0, 12), by=st.tuples(BY, BY))
def test_the_hash_tells_content_and_nothing_else(frame: pd.DataFrame, cut: int, by: tuple[str | None, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = (
            Dataset(folder, name, clock=VirtualClock(f"20{len(name)}6-01-01"), owner=name) for name in ("a", "bc")
        )
        whole = one.write(frame, partition_by=by[0], schema=SCHEMA)
        two.write(frame.iloc[:cut], partition_by=by[1], schema=SCHEMA, note="first")
        assert two.write(frame.iloc[cut:]).hash == whole.hash
        assert one.write(frame, mode="overwrite").hash == whole.hash
        if len(frame) > 1 and not frame.iloc[::-1].reset_index(drop=True).equals(frame):
            assert one.write(frame.iloc[::-1], mode="overwrite").hash != whole.hash
        narrow = one.version().schema.columns[:-1]
        assert (
            two.write(frame[[c.name for c in narrow]], mode="overwrite").hash != whole.hash
            or frame.empty
            or (frame["city"].isna().all())
        )


def test_the_hash_is_the_same_on_every_machine(data: Dataset) -> None:
    frame = pd.DataFrame(
        {
            "user_id": [1, -2],
            "dwell": [0.5, None],
            "event_time": pd.to_datetime(["2026-01-01", None]).astype("datetime64[us]"),
            "city": pd.Categorical(["Zürich", None]),
        }
    )
    assert data.write(frame).digests == {
        "user_id": "0c557103c75a0b84",
        "dwell": "0440fe4ce5f2d375",
        "event_time": "8525770edc6b8091",
        "city": "f1a7c53514e0ef31",
    }


def test_equal_data_is_stored_once(data: Dataset) -> None:
    frame = events(300)
    data.write(frame)

    def stored() -> dict[Path, int]:
        return {path: path.stat().st_ino for path in (data.folder / "files").iterdir()}

    before = stored()
    data.write(frame, mode="overwrite")
    data.write(frame)
    assert stored() == before  # Not even written again.
    data.write(frame.assign(dwell=0.0), mode="overwrite")
    assert len(stored().keys() - before) == 3  # One column, three days.


def test_only_what_is_asked_for_is_opened(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = events(300)
    data.write(frame)
    parts = data.version().parts
    assert [part.partition for part in parts] == [f"event_time=2026-01-0{day}" for day in (1, 2, 3)]
    opened: list[str] = []
    get = type(data._files).get
    monkeypatch.setattr(type(data._files), "get", lambda files, name: opened.append(name) or get(files, name))
    found = data.read(columns=["dwell"], where=("2026-01-02", "2026-01-03"))
    assert set(opened) == {*parts[1].columns["dwell"], *parts[1].columns["event_time"], parts[1].order}
    expected = frame[(frame["event_time"] >= "2026-01-02") & (frame["event_time"] < "2026-01-03")]
    same(expected[["dwell"]], found)
    opened.clear()
    data.read(columns=["user_id"])
    assert set(opened) == {f for part in parts for f in part.files(["user_id"])}


def test_bounds_are_half_open_and_may_be_in_another_zone(data: Dataset) -> None:
    data.write(pd.DataFrame({"event_time": T0 + np.arange(3).astype("timedelta64[h]")}))
    assert len(data.read(where=(pd.Timestamp("2026-01-01T03:00+02:00"), None))) == 2
    assert len(data.read(where=(None, None))) == 3
    assert len(data.read(where=(T0, "2026-01-01T02:00"))) == 2  # The end is not in it.
    assert len(data.read(where=("2026-01-01T02:00", None))) == 1  # The start is.


# --- Schemas ------------------------------------------------------------------------------------------


def test_a_new_column_is_null_in_old_rows_and_unknown_to_old_versions(data: Dataset) -> None:
    old = events(20).astype({"user_id": "int32"})
    data.write(old)
    new = events(20, day=1, seed=1).assign(position=1.5, country=pd.Categorical(["ch"] * 20), seen=T0)
    wide = Schema.of(new)
    data.write(new, schema=wide)
    same(old, data.read(1))
    got = data.read()
    assert got["user_id"].dtype == "int64" and data.read(1)["user_id"].dtype == "int32"
    for name in ("position", "country", "seen"):
        assert got[name].isna().to_list() == [True] * 20 + [False] * 20
        assert got[name].dtype == new[name].dtype
    same(new, data.read().iloc[20:].reset_index(drop=True)[list(new.columns)])
    assert data.diff(1, 2).schema == (
        "- user_id int32",
        "+ country category or null",
        "+ position float64 or null",
        "+ seen datetime64[us] or null",
        "+ user_id int64",
    )


def test_a_schema_is_remembered_and_cannot_mislead(data: Dataset) -> None:
    data.write(events(5), schema=Schema.of(events(5), {"dwell": "s"}))
    data.write(events(5).drop(columns="dwell"))
    assert data.version().schema.columns[1].unit == "s" and data.read()["dwell"].isna().sum() == 5
    with pytest.raises(SchemaError, match="unit from s to ms"):
        data.write(events(5), schema=Schema.of(events(5), {"dwell": "ms"}))
    with pytest.raises(SchemaError, match="'user_id' is float64, not int64"):
        data.write(events(5).astype({"user_id": "float64"}), mode="overwrite")
    with pytest.raises(SchemaError, match="new column 'rank' may not be null"):
        data.write(events(5).assign(rank=1))
    with pytest.raises(SchemaError, match="text is a category"):
        data.write(events(5).assign(city="Bern"))
    with pytest.raises(DatasetError, match="have an order"):
        data.write(events(5).assign(device=pd.Categorical(["s"] * 5, ordered=True)))
    assert data.versions == (1, 2)
    assert data.check() == len(data.version().files)


def test_text_is_taken_where_the_schema_says_category(data: Dataset) -> None:
    data.write(
        pd.DataFrame({"city": ["Bern", None, "", "a\0"]}), schema=Schema((Column("city", "category", nullable=True),))
    )
    got = data.read()["city"]
    assert got.dtype == "category" and got[0] == "Bern" and got.isna()[1] and got[2] == "" and got[3] == "a\0"


def test_bad_requests_are_named(data: Dataset) -> None:
    with pytest.raises(DatasetError, match="no version"):
        data.read()
    data.write(events(5))
    for attempt, said in (
        (lambda: data.write(events(5), mode="apend"), "no mode 'apend'"),  # type: ignore[arg-type]
        (lambda: data.write(events(5), partition_by="user"), "no column user"),
        (lambda: data.read(columns=["user"]), "no column user"),
        (lambda: data.read(7), "no version 7"),
        (lambda: data.read(as_of="2026-01-31T23:59:59"), "no version .*as of"),
        (lambda: data.write(events(5), parents=["events@9"]), "no version 9"),
        (lambda: data.write(events(5), parents=["raw"]), "'raw' is no version"),
        (lambda: data.erase("user", [1]), "no column user"),
        (lambda: data.grant("team", ["user"]), "no column user"),
        (lambda: data.vacuum([7]), "no version 7"),
        (lambda: Dataset(data.folder, "../x", clock=data.clock), "no name"),
    ):
        with pytest.raises(DatasetError, match=said):
            attempt()
    assert data.versions == (1,)


# --- History ------------------------------------------------------------------------------------------


def test_lineage_walks_to_the_roots(tmp_path: Path, clock: VirtualClock) -> None:
    raw, users, features = (Dataset(tmp_path, name, clock=clock) for name in ("raw", "users", "features"))
    first, people = raw.write(events(5)), users.write(events(5))
    clock.advance(days=1)
    second = raw.write(events(5))
    raw.write(events(5))
    made = features.write(events(5), parents=[second, people, second, "raw@1"], note="daily")
    assert made.parents == ("raw@2", "users@1", "raw@1")
    walked = features.lineage()
    assert walked["version"].to_list() == ["features@1", "raw@2", "users@1", "raw@1"]
    assert walked["parents"].to_list() == [made.parents, ("raw@1",), (), ()]
    assert walked["hash"].to_list() == [made.hash, second.hash, people.hash, first.hash]
    raw.vacuum([], dry_run=False)
    assert features.lineage(1)["version"].to_list() == walked["version"].to_list()


def test_history_and_diff(data: Dataset, clock: VirtualClock) -> None:
    data.write(events(30), note="three days")
    clock.advance(hours=2)
    late = events(4, day=1, seed=2).head(1)
    data.write(late)
    told = data.history()
    assert told["version"].to_list() == ["events@1", "events@2"] and told["rows"].to_list() == [30, 31]
    assert told["created"].to_list() == [pd.Timestamp("2026-02-01"), pd.Timestamp("2026-02-01T02:00")]
    assert told["by"].to_list() == ["feed-data"] * 2 and told["kept"].all() and told["note"][0] == "three days"
    change = data.diff(1, 2)
    day = f"event_time={late['event_time'].dt.date.iloc[0]}"
    assert (change.rows, change.schema, list(change.partitions.index)) == (1, (), [day])
    assert int((change.partitions["rows_after"] - change.partitions["rows_before"]).iloc[0]) == 1
    data.write(data.read(2).assign(dwell=1.0), mode="overwrite")
    assert data.diff(2, 3).columns == ("dwell",) and data.diff(2, 3).rows == 0
    same_again = data.diff(3, 3)
    assert same_again.partitions.empty and not same_again.columns


def test_versions_are_made_in_order_even_if_a_clock_goes_back(tmp_path: Path) -> None:
    Dataset(tmp_path, clock=VirtualClock("2026-02-02")).write(events(3))
    data = Dataset(tmp_path, clock=VirtualClock("2026-02-01"))
    data.write(events(3))
    assert data.version(as_of="2026-02-02").number == 2
    with pytest.raises(DatasetError, match="as of"):  # Then the rows of version 1 would be there before version 1.
        data.version(as_of="2026-02-01")


# --- Corruption ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["files", "versions"])
@RELAXED
@given(seed=st.integers(0, 2**32))
def test_any_flipped_bit_is_found(corruptible: Dataset, folder: str, seed: int) -> None:
    dice = random.Random(seed)
    path = dice.choice(sorted((corruptible.folder / folder).iterdir()))
    whole = path.read_bytes()
    at, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
    try:
        for attempt in (corruptible.check, lambda: corruptible.read(verify=True)):
            with pytest.raises(CorruptDataset) as error:
                attempt()
            assert path.name in str(error.value) and error.value.rows["file"].to_list() == [path.name]
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def corruptible(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = Dataset(tmp_path_factory.mktemp("corrupt"), clock=VirtualClock())
    data.write(events(40))
    return data


def test_missing_and_cut_files_are_named_and_mended(data: Dataset) -> None:
    frame = events(300)
    data.write(frame)
    gone, cut = column_file(data, "dwell"), column_file(data, "user_id", part=1)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(CorruptDataset, match=f"{gone.name} is missing"):
        data.read(columns=["dwell"])
    with pytest.raises(CorruptDataset, match=cut.name):
        data.read(columns=["user_id"])
    with pytest.raises(CorruptDataset) as error:
        data.check()
    assert set(error.value.rows["file"]) == {gone.name, cut.name}
    same(frame[["device"]], data.read(columns=["device"], verify=True))
    data.write(frame, mode="overwrite")  # What the message says to do.
    same(frame, data.read(1, verify=True))


def test_loading_runs_no_code(data: Dataset) -> None:
    data.write(events(10))
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    column_file(data, "dwell").write_bytes(buffer.getvalue())
    with pytest.raises(CorruptDataset):
        data.read()


# --- Crashes and other writers ------------------------------------------------------------------------


class Cut(BaseException):
    """The process ends here."""


def operations(monkeypatch: pytest.MonkeyPatch, before: Callable[[str, Any], None]) -> None:
    """Call `before` ahead of everything that touches a file."""
    real_open = io.open
    for name in ("replace", "rename", "fsync", "unlink", "mkdir", "open"):
        monkeypatch.setattr(os, name, _ahead(getattr(os, name), name, before))

    def opened(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        before("write" if set(mode) & set("wax") else "read", path)
        return real_open(path, mode, *rest, **more)

    monkeypatch.setattr(io, "open", opened)


def _ahead(real: Callable[..., Any], name: str, before: Callable[[str, Any], None]) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        before(name, args[0])
        return real(*args, **more)

    return call


WORK: dict[str, Callable[[Dataset], Any]] = {
    "append": lambda data: data.write(events(20, day=2, seed=3)),
    "overwrite": lambda data: data.write(events(20, day=2, seed=3), mode="overwrite"),
    "erase": lambda data: data.erase("user_id", range(25)),
    "grant": lambda data: data.grant("team", ["user_id"]),
    "vacuum": lambda data: data.vacuum([], dry_run=False),
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("kind", [OSError, Cut])
def test_failing_at_any_file_operation_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, kind: type[BaseException]
) -> None:
    before_it = Dataset(tmp_path, "before", clock=VirtualClock())
    before_it.write(events(20))
    before_it.write(events(20, seed=1), mode="overwrite")
    before_it.grant("old-team", ["dwell"])
    frames = {number: before_it.read(number) for number in before_it.versions}
    for fail_at in count():
        shutil.copytree(before_it.folder, tmp_path / f"d{fail_at}")
        data = Dataset(tmp_path, f"d{fail_at}", clock=VirtualClock())
        left = iter(range(fail_at))
        with monkeypatch.context() as patch:

            def before(name: str, path: Any, left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise kind(5, f"no {name}", str(path))

            operations(patch, before)
            try:
                WORK[work](data)
                break
            except kind:
                pass
        data = Dataset(tmp_path, data.name, clock=VirtualClock())
        assert data.version().number in (2, 3)
        assert work == "vacuum" or data.versions[:2] == (1, 2)
        for number in set(data.versions) & set(frames):
            same(frames[number], data.read(number, verify=True))
            data.check(number)
        assert data._access.grants["old-team"] == ["dwell"]
        WORK[work](data)
        data.check()
        data.vacuum(data.versions, dry_run=False)
        named = {file for number in data.versions for file in data.version(number).files}
        assert {path.name for path in (data.folder / "files").iterdir()} == named
    assert fail_at > 3


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no fsync there")
def test_nothing_is_named_before_the_disk_has_it(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut takes is what was not synced: order is all there is to test without one."""
    data.write(events(20))
    synced: set[int] = set()
    named: list[str] = []

    def before(name: str, what: Any) -> None:
        if name == "fsync":
            synced.add(os.fstat(what).st_ino)
        if name == "replace":
            assert Path(what).stat().st_ino in synced, f"{what} was renamed before its bytes were on the disk"
            if "versions" in str(what):
                assert files.stat().st_ino in synced, "the manifest came before the names of its files"
            synced.discard(files.stat().st_ino)
            named.append(str(what))

    files = data.folder / "files"
    operations(monkeypatch, before)
    data.write(events(20, seed=1))
    assert "versions" in named[-1] and (data.folder / "versions").stat().st_ino in synced
    data.read()
    assert (data.folder / "audit.jsonl").stat().st_ino in synced
    synced.clear()

    def vacuuming(name: str, what: Any) -> None:
        if name == "fsync":
            synced.add(os.fstat(what).st_ino)
        if name == "unlink":
            assert (data.folder / "versions").stat().st_ino in synced, "files went before the versions that name them"

    monkeypatch.undo()
    data.write(events(20, seed=2), mode="overwrite")
    operations(monkeypatch, vacuuming)
    told = data.vacuum([], dry_run=False)
    assert told.versions == (1, 2) and told.files


CHILD = """
import os, sys, types
sys.modules["mlsys"] = package = types.ModuleType("mlsys")  # Its face imports all of scipy, thirty times over.
package.__path__ = [sys.argv[2]]
import numpy as np, pandas as pd
from mlsys.core import VirtualClock
from mlsys.storage import Dataset, WriteConflict
os.fsync = lambda number: None
data = Dataset(sys.argv[1], clock=VirtualClock())
print("ready", flush=True)
number, most = map(int, sys.stdin.readline().split())
done = 0
while done < most:
    rows = pd.DataFrame({"user_id": np.full(50, number), "value": np.full(50, number + 0.5),
                         "event_time": np.datetime64("2026-01-01", "us") + np.arange(50).astype("timedelta64[h]")})
    try:
        print(data.write(rows, mode="append").number, flush=True)
    except WriteConflict:
        continue
    done += 1
    if most > 5:
        number += 1
        if number % 4 == 0:
            data.vacuum(data.versions[-3:], dry_run=False)
"""


def child(folder: Path) -> subprocess.Popen[str]:
    """A writer that waits for "first user, writes"; with more than 5 writes, the user counts on."""
    package = str(Path(mlsys.__file__).parent)
    command = [sys.executable, "-c", CHILD, str(folder), package]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(process: subprocess.Popen[str], number: int, most: int) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{number} {most}\n")
    process.stdin.flush()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None and process.stdout.readline() == "ready\n"


def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    data = Dataset(tmp_path, clock=VirtualClock())
    dice = random.Random(7)
    writes, kills_in_work = 0, 0
    for _ in range(30):
        with child(tmp_path) as process:
            ready(process)
            go(process, writes, 1_000_000)
            time.sleep(dice.uniform(0, 0.2))
            process.kill()
            assert process.stdout is not None
            acknowledged = [int(line) for line in process.stdout.read().split()]
        if not data.versions:
            continue
        newest = data.version().number
        assert newest in (writes + len(acknowledged), writes + len(acknowledged) + 1)
        assert acknowledged == list(range(writes + 1, writes + 1 + len(acknowledged)))
        frame = data.read(verify=True)
        np.testing.assert_array_equal(frame["user_id"], np.repeat(np.arange(newest), 50))
        for number in data.versions:
            data.check(number)
        named = set().union(*(data.version(number).files for number in data.versions))
        kills_in_work += any(path.name not in named for path in (data.folder / "files").iterdir())
        writes = newest
    print(f"{writes} writes; {kills_in_work} of 30 kills left files that no version names")
    assert writes > 0 and kills_in_work > 0
    data.vacuum([], dry_run=False)
    assert {path.name for path in (data.folder / "files").iterdir()} == data.version().files


def test_two_writers_never_make_one_version(tmp_path: Path) -> None:
    racers = [child(tmp_path) for _ in range(2)]
    try:
        for racer in racers:
            ready(racer)
        for number, racer in enumerate(racers):
            go(racer, number, 5)
        said = [int(line) for racer in racers for line in racer.communicate(timeout=60)[0].split()]
    finally:
        for racer in racers:
            racer.kill()
    data = Dataset(tmp_path, clock=VirtualClock())
    assert sorted(said) == list(range(1, 11)) == list(data.versions)
    assert data.read(verify=True)["user_id"].value_counts().to_dict() == {0: 250, 1: 250}


def test_the_loser_is_told_and_can_try_again(data: Dataset) -> None:
    first = data.write(events(5))
    other = Dataset(data.folder.parent, clock=data.clock)
    with other._writing(), pytest.raises(WriteConflict, match="another writer"):
        data.write(events(5))
    other.write(events(5))
    with pytest.raises(WriteConflict, match="events@2 came after events@1"):
        data.write(data.read(1), mode="overwrite", after=first)
    assert data.write(data.read(2), mode="overwrite", after=data.version()).number == 3


def test_vacuum_deletes_what_no_kept_version_names(data: Dataset) -> None:
    for seed in range(4):
        data.write(events(60, seed=seed), mode="overwrite")
    (data.folder / "files" / "orphan.part").write_bytes(b"123")
    files = set((data.folder / "files").iterdir())
    plan = data.vacuum([2])
    assert set((data.folder / "files").iterdir()) == files and data.versions == (1, 2, 3, 4)
    sizes = {path.name: path.stat().st_size for path in files}
    assert data.vacuum([2], dry_run=False) == plan
    assert plan.versions == (1, 3) and "orphan.part" in plan.files and plan.bytes == sum(sizes[f] for f in plan.files)
    assert set((data.folder / "files").iterdir()) == {path for path in files if path.name not in plan.files}
    same(events(60, seed=1), data.read(2, verify=True))
    same(events(60, seed=3), data.read(verify=True))
    with pytest.raises(DatasetError, match=r"events@3 were vacuumed[\s\S]*2, 4"):
        data.read(3)
    with pytest.raises(DatasetError, match="vacuumed"):
        data.vacuum([3])
    assert data.history()["kept"].to_list() == [False, True, False, True]
    assert data.diff(1, 3).columns == ("user_id", "dwell", "event_time", "device")
    assert data.write(events(5)).number == 5


# --- Who may read, who did, who must be forgotten -----------------------------------------------------


def test_columns_are_granted_denied_and_recorded(data: Dataset, clock: VirtualClock) -> None:
    data.write(events(5))
    data.grant("ranking-team", ["user_id", "device"])
    assert list(data.read(reader="ranking-team", columns=["device"])) == ["device"]
    clock.advance(hours=1)
    with pytest.raises(AccessDenied) as error:
        data.read(reader="ranking-team")
    said = str(error.value)
    assert "dwell, event_time" in said and "user_id, device" in said and "'feed-data'" in said and "grant(" in said
    with pytest.raises(AccessDenied, match="event_time"):  # A bound on a column tells what is in it.
        data.read(reader="ranking-team", columns=["device"], where=("2026-01-02", None))
    with pytest.raises(AccessDenied, match="nothing"):
        data.read(reader="stranger", columns=["device"])
    data.read(columns=["dwell"])
    data.grant("ranking-team", [])
    with pytest.raises(AccessDenied):
        data.read(reader="ranking-team", columns=["device"])
    told = data.audit()
    assert told["who"].to_list() == ["ranking-team"] * 3 + ["stranger", "feed-data", "ranking-team"]
    assert told["granted"].to_list() == [True, False, False, False, True, False]
    assert told["denied"].to_list() == [[], ["dwell", "event_time"], ["event_time"], ["device"], [], ["device"]]
    assert told["columns"][2] == ["device", "event_time"] and set(told["version"]) == {1}
    assert told["at"][0] == "2026-02-01T00:00:00.000000" and told["at"][1] == "2026-02-01T01:00:00.000000"


def test_the_record_is_there_before_the_data(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write(events(5))
    column_file(data, "dwell").unlink()
    with pytest.raises(CorruptDataset):
        data.read()
    assert len(data.audit()) == 1


def test_a_torn_record_spoils_no_other(data: Dataset) -> None:
    data.write(events(5))
    data.read()
    path = data.folder / "audit.jsonl"
    data.read()
    path.write_bytes(path.read_bytes()[:-20])
    data.read()
    told = data.audit()
    assert told["granted"].to_list()[::2] == [True, True] and str(told["torn"][1]).startswith('{"at"')


def test_erasing_a_user(data: Dataset) -> None:
    frame = events(200).assign(name=lambda f: pd.Categorical("user " + f["user_id"].astype(str)))
    data.write(frame, partition_by="user_id")
    data.write(frame[frame["user_id"] != 7], mode="overwrite")
    data.write(frame)
    gone = data.erase("user_id", [7, 8])
    rows = int(frame["user_id"].isin([7, 8]).sum())
    assert gone.rows == rows + int((frame["user_id"] == 8).sum()) and gone.still_in == (1, 2, 3)
    assert gone.version.parents == ("events@3",) and gone.version.partition_by == "user_id"
    left = concat_names(frame[frame["user_id"] != 7], frame)
    same(left[~left["user_id"].isin([7, 8])], data.read().astype({"name": "object"}))
    data.vacuum([], dry_run=False)
    again = data.erase("user_id", [7, 8])
    assert again == (gone.version, 0, ())
    for path in data.folder.rglob("*"):
        assert path.is_dir() or b'"user 7"' not in path.read_bytes()
    assert data.erase("name", ["user 9"]).rows == 2 * int((frame["user_id"] == 9).sum())


def concat_names(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.astype({"name": "object"}) for frame in frames], ignore_index=True)


def test_erasing_loses_nothing_that_comes_meanwhile(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write(events(20))
    get, late = type(data._files).get, iter([events(5, seed=1)])

    def slow(files: Any, name: str) -> np.ndarray:
        for frame in late:
            Dataset(data.folder.parent, clock=data.clock).write(frame)
        return get(files, name)

    monkeypatch.setattr(type(data._files), "get", slow)
    with pytest.raises(WriteConflict, match="events@2 came after events@1"):
        data.erase("user_id", range(50))
    assert len(data.read()) == 25 and data.erase("user_id", range(50)).rows == 25


def test_erasing_leaves_the_files_of_others_alone(data: Dataset) -> None:
    data.write(events(2_000), partition_by="user_id")
    before = data.version().files
    after = data.erase("user_id", [7]).version
    columns = {file for part in after.parts for name, files in part.columns.items() for file in files}
    assert len(columns - before) <= len(after.schema.names)  # One bucket of sixteen.


def test_manifests_are_readable_json(data: Dataset) -> None:
    data.write(events(5), note="läuft")
    stored = json.loads((data.folder / "versions" / "00000001.json").read_text(encoding="utf-8"))["version"]
    assert (stored["number"], stored["rows"], stored["note"]) == (1, 5, "läuft")
