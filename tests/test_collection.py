"""Ingestion: any CSV of impressions becomes events, and every row that does not has a reason."""

from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from mlsys.collection import Ingested, LogError, Mapping, MappingError, read_log
from mlsys.core import EVENT_SCHEMA, conform

DATA = Path(__file__).parent / "data"
OPEN_BANDIT = Path(os.environ.get("MLSYS_OPEN_BANDIT", DATA.parents[1].parent / "shared" / "data" / "open_bandit"))

COLUMNS: dict[str, str | tuple[str, ...]] = {"event_time": "ts", "post_id": "item", "action": "act"}
ACTIONS = {"1": "like", "0": "view"}
T = "2026-01-01T00:00:00Z"


def mapping(columns: dict[str, str | tuple[str, ...]] | None = None, **form: str) -> Mapping:
    return Mapping({**COLUMNS, **(columns or {})}, ACTIONS, **form)


def read(tmp: Path, text: str | bytes, m: Mapping | None = None, **options: object) -> Ingested:
    path = tmp / "log.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_log(path, m or mapping(), **options)  # type: ignore[arg-type]


def originals(got: Ingested, column: str) -> list[str]:
    return [str(got.ids[column][code]) if code >= 0 else "" for code in got.events[column]]


def deaths(got: Ingested) -> list[tuple[int, str]]:
    return list(got.dead_letters[["line", "reason"]].itertuples(index=False, name=None))


def same(a: Ingested, b: Ingested) -> None:
    pd.testing.assert_frame_equal(a.events, b.events)
    assert a.ids.keys() == b.ids.keys() and all(list(a.ids[k]) == list(b.ids[k]) for k in a.ids)


# --- The whole path, on a file as one finds them -------------------------------------------------------


@pytest.fixture(scope="module")
def log() -> Ingested:
    return read_log(DATA / "impressions_200.csv", Mapping.load(DATA / "impressions_200.toml"))


def test_dirty_log_becomes_events_that_conform(log: Ingested) -> None:
    assert (log.rows_in, log.rows_out, log.rows_dead) == (200, 180, 20)
    pd.testing.assert_frame_equal(conform(log.events), log.events)
    assert {c: str(t) for c, t in log.events.dtypes.items()} == {
        **EVENT_SCHEMA,
        "device": "category",
        "position": "int64",
        "propensity": "float64",
    }
    assert log.notes == ("1 line breaks are inside quotes: those rows span several lines",)
    assert (log.events["user_id"] == -1).sum() == 2


def test_dirty_log_values_equal_the_file(log: Ingested) -> None:
    with (DATA / "impressions_200.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in reversed(list(csv.DictReader(file)))}  # The first of equal ids wins.
    found = [rows[str(i)] for i in log.events["event_id"]]
    names = Mapping.load(DATA / "impressions_200.toml").actions
    assert originals(log, "post_id") == [row["post"] for row in found]
    assert originals(log, "user_id") == [row["user"] for row in found]
    assert [a if isinstance(a, str) else "" for a in log.events["action"]] == [
        names.get(row["reaction"], "") for row in found
    ]
    assert [d if isinstance(d, str) else "" for d in log.events["device"]] == [row["platform"] for row in found]
    assert log.events["propensity"].tolist() == [float(row["p"]) for row in found]
    assert log.events["position"].tolist() == [int(row["slot"]) for row in found]
    for column, source in (("event_time", "shown_at"), ("arrival_time", "logged_at")):
        assert [f"{time.isoformat()}Z" for time in log.events[column]] == [row[source] for row in found]


def test_dirty_log_reasons_and_lines(log: Ingested) -> None:
    assert log.reasons["action 'clap' is not in the mapping"] == 3 and sum(log.reasons.values()) == 20
    at = dict(deaths(log))
    assert at[12] == "event_time is not an ISO 8601 time between 1900 and 2200"
    assert at[92] == "event_time has no UTC offset, and other times in the file have one"
    assert at[123] == "too many fields" and at[124] == "too few fields"
    assert at[153] == "event_id was seen before"


@pytest.mark.parametrize("policy", ["random", "bts"])
def test_open_bandit(policy: str) -> None:
    if not OPEN_BANDIT.is_dir():
        pytest.skip(f"no Open Bandit log in {OPEN_BANDIT.name}; set MLSYS_OPEN_BANDIT to its folder")
    path = OPEN_BANDIT / policy / "women.csv.gz"
    got = read_log(path, Mapping.load(DATA / "open_bandit.toml"), chunk_rows=20_000)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert got.rows_in == got.rows_out == len(rows) == 10_000
    assert (got.events["action"] == "like").sum() == sum(row["click"] == "1" for row in rows)
    assert originals(got, "post_id") == [row["item_id"] for row in rows]
    assert originals(got, "user_id") == ["|".join(row[f"user_feature_{i}"] for i in range(4)) for row in rows]
    assert got.events["propensity"].tolist() == [float(row["propensity_score"]) for row in rows]


# --- Faults of single rows -----------------------------------------------------------------------------

FULL: dict[str, str | tuple[str, ...]] = {
    "arrival_time": "arr",
    "user_id": "u",
    "event_id": "id",
    "position": "pos",
    "propensity": "p",
    "device": "dev",
}
GOOD = {"id": "7", "ts": T, "arr": T, "u": "u1", "item": "i1", "act": "1", "pos": "3", "p": "0.5", "dev": "Web"}
ISO = "is not an ISO 8601 time between 1900 and 2200"


def table(*rows: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(GOOD), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *[({"ts": bad}, f"event_time {ISO}") for bad in ("", "soon", "now", "today", "2026", "2026-13-01T00:00Z")],
        *[({"ts": bad}, f"event_time {ISO}") for bad in ("1767225600", "1850-01-01Z", "9999-01-01T00:00:00Z", "é")],
        ({"arr": ""}, f"arrival_time {ISO}"),
        ({"arr": "2025-12-31T23:59:59.999999Z"}, "arrival_time is before event_time"),
        ({"item": ""}, "post_id is missing"),
        ({"act": "like"}, "action 'like' is not in the mapping"),
        *[({"pos": bad}, "position is not a whole number from 0") for bad in ("", "-1", "2.5", "top", "nan", "9e99")],
        *[({"p": bad}, "propensity is not a number in (0, 1]") for bad in ("", "0", "-.1", "1.01", "nan", "inf")],
        ({"id": ""}, "event_id is missing"),
        ({"id": "x" * 65}, "event_id is longer than 64 characters"),
        ({"id": "8"}, "event_id was seen before"),
        # Several faults: the first in the documented order.
        ({"id": "8", "p": "2", "pos": "-1", "act": "?", "item": "", "arr": "?", "ts": "?"}, f"event_time {ISO}"),
        ({"id": "8", "p": "2", "pos": "-1", "act": "?", "item": ""}, "post_id is missing"),
        ({"id": "8", "p": "2", "pos": "-1", "act": "?"}, "action '?' is not in the mapping"),
        ({"id": "8", "p": "2", "pos": "-1"}, "position is not a whole number from 0"),
        ({"id": "8", "p": "2"}, "propensity is not a number in (0, 1]"),
    ],
)
def test_a_faulty_row_is_a_dead_letter(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    got = read(tmp_path, table({**GOOD, "id": "8"}, {**GOOD, **change}, {**GOOD, "id": "9"}), mapping(FULL))
    assert deaths(got) == [(3, reason)] and got.reasons == {reason: 1}
    assert got.events["event_id"].tolist() == [8, 9]
    letter = got.dead_letters.iloc[0].drop(["line", "reason", "text"])
    assert letter.to_dict() == {**GOOD, **change}


def test_empty_user_action_and_device_are_kept(tmp_path: Path) -> None:
    got = read(tmp_path, table({**GOOD, "u": "", "act": "", "dev": ""}), mapping(FULL))
    row = got.events.iloc[0]
    assert row["user_id"] == -1 and pd.isna(row["action"]) and pd.isna(row["device"])
    m = Mapping({**COLUMNS, **FULL}, {"": "view", "1": ""})
    got = read(tmp_path, table({**GOOD, "act": ""}, {**GOOD, "id": "8"}), m)
    assert got.events["action"].isna().tolist() == [False, True]


def test_a_duplicate_is_judged_against_kept_rows_only(tmp_path: Path) -> None:
    got = read(tmp_path, table({**GOOD, "p": "2"}, GOOD, GOOD), mapping(FULL), chunk_rows=1)
    assert [reason for _, reason in deaths(got)] == ["propensity is not a number in (0, 1]", "event_id was seen before"]


def test_unknown_actions_are_counted_by_name_up_to_a_bound(tmp_path: Path) -> None:
    rows = "".join(f"{T},i,a{i}\n" for i in range(50))
    got = read(tmp_path, f"ts,item,act\n{rows}{T},i,1\n")
    assert len(got.reasons) == 21 and got.reasons["action is not in the mapping (further values)"] == 30


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{T},i,1,9", "too many fields"),
        (f"{T},i", "too few fields"),
        (" ", "too few fields"),
        (f"{T},i\0,1", "NUL byte"),
        (f'{T},5" tv,1', "a quote stands inside a field or is not closed"),
        (f'{T},"5" tv",1', "a quote stands inside a field or is not closed"),
        (f'{T},"i,1', "a quote stands inside a field or is not closed"),
    ],
)
@pytest.mark.parametrize("chunk_rows", [1, 1_000])
def test_a_line_that_cannot_be_split_is_a_dead_letter(tmp_path: Path, line: str, reason: str, chunk_rows: int) -> None:
    text = f'ts,item,act\r\n{T},"a\nb",1\r\n\r\n{line}\r\n{T},"c ""d""",0\r\n{line}\r\n{T},"e,f",1'
    got = read(tmp_path, text, chunk_rows=chunk_rows)
    assert deaths(got) == [(5, reason), (7, reason)] and set(got.dead_letters["text"]) == {line}
    assert originals(got, "post_id") == ["a\nb", 'c "d"', "e,f"] and got.rows_in == 5


# --- Times ---------------------------------------------------------------------------------------------


def test_offsets_are_converted_to_utc(tmp_path: Path) -> None:
    times = ["2026-01-01T02:00:00+02:00", "2025-12-31 19:00:00-0500", T, "2026-01-01 00:00:00.000000Z"]
    got = read(tmp_path, "ts,item,act\n" + "".join(f"{t},i,1\n" for t in times))
    assert set(got.events["event_time"]) == {pd.Timestamp("2026-01-01")} and got.rows_dead == 0
    assert got.events["arrival_time"].equals(got.events["event_time"])


def test_times_without_offset_are_utc_with_a_note_or_in_the_zone_named(tmp_path: Path) -> None:
    text = HEAD + "".join(f"2026-{t},i,1\n" for t in ("07-01T12:00:00", "03-29T02:30", "10-25 02:30", "07-01T12:00Z"))
    utc = read(tmp_path, text.replace("Z", ""))
    assert utc.events["event_time"].iloc[0] == pd.Timestamp("2026-07-01 12:00") and utc.rows_dead == 0
    assert any(note.startswith("times have no UTC offset") for note in utc.notes)
    berlin = read(tmp_path, text, mapping(time_zone="Europe/Berlin"))
    assert berlin.events["event_time"].tolist() == [pd.Timestamp("2026-07-01 10:00"), pd.Timestamp("2026-07-01 12:00")]
    assert berlin.reasons == {"event_time does not exist, or exists twice, in Europe/Berlin": 2}
    assert not any("offset" in note for note in berlin.notes)


@pytest.mark.parametrize("chunk_rows", [1, 1_000])
def test_mixed_times_lose_those_without_offset_even_the_early_ones(tmp_path: Path, chunk_rows: int) -> None:
    rows = [f"2026-01-01T00:00:{s:02d}{'Z' if s == 30 else ''},item {s},1" for s in range(40)]
    got = read(tmp_path, "ts,item,act\n" + "\n".join(rows), chunk_rows=chunk_rows)
    assert originals(got, "post_id") == ["item 30"]
    assert got.reasons == {"event_time has no UTC offset, and other times in the file have one": 39}


@pytest.mark.parametrize(
    ("unit", "text"), [("s", "1767225600.25"), ("ms", "1767225600250"), ("us", "1767225600250000")]
)
def test_epoch_numbers(tmp_path: Path, unit: str, text: str) -> None:
    got = read(tmp_path, f"ts,item,act\n{text},i,1\n1e30,i,1\n{T},i,1\n", mapping(time_unit=unit))
    assert got.events["event_time"].tolist() == [pd.Timestamp("2026-01-01 00:00:00.25")]
    assert got.reasons == {"event_time is not an epoch number between 1900 and 2200": 2}


# --- Ids -----------------------------------------------------------------------------------------------


def test_ids_are_codes_in_order_numbers_if_all_are_whole(tmp_path: Path) -> None:
    got = read(tmp_path, f"ts,item,act\n{T},10,1\n{T},9,1\n{T},10,1\n")
    assert got.events["post_id"].tolist() == [1, 0, 1] and got.ids["post_id"].tolist() == [9, 10]
    got = read(tmp_path, f"ts,item,act\n{T},10,1\n{T},09,1\n")
    assert got.ids["post_id"].tolist() == ["09", "10"]
    assert got.events["event_id"].tolist() == [0, 1] and got.events["user_id"].tolist() == [-1, -1]
    assert {note.split(" is mapped")[0] for note in got.notes} == {"no event_id", "no user_id"}


@pytest.mark.parametrize("chunk_rows", [1, 1_000])
def test_event_ids_that_are_not_whole_numbers_are_numbered(tmp_path: Path, chunk_rows: int) -> None:
    ids = ["5", "é-1", "05", "12345678901234567890", "5"]
    text = "id,ts,item,act\n" + "".join(f"{i},{T},a rather long name of an item,1\n" for i in ids)
    got = read(tmp_path, text, mapping({"event_id": "id"}), chunk_rows=chunk_rows)
    assert got.events["event_id"].tolist() == [0, 1, 2, 3]
    assert [i.decode() for i in got.ids["event_id"]] == ids[:4] and deaths(got)[0][0] == 6


def test_a_context_joins_columns_without_confusing_them(tmp_path: Path) -> None:
    rows = [("a|", "b"), ("a", "|b"), ("", ""), ("a", ""), ("a|", "b"), ("a\\", "b"), ("a\\|b", "")]
    text = "ts,item,act,x,y\n" + "".join(f"{T},i,1,{x},{y}\n" for x, y in rows)
    users = read(tmp_path, text, mapping({"user_id": ("x", "y")})).events["user_id"].tolist()
    assert users[2] == -1 and users[0] == users[4] and len(set(users)) == 6


# --- Files that cannot be read, and mappings that do not fit ---------------------------------------------

HEAD = "ts,item,act\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("\n" + HEAD, "line 1 of .* is blank"),
        (HEAD, "a header and no rows"),
        ("PK\0\0\0", "is not text"),
        (HEAD + f"{T},\udce9,1\n", "is not utf-8"),
        (b"\x1f\x8b\x08\x00rubbish", "cannot read"),
        (HEAD + f'{T},i,1\n{T},"i,1\n{T},i,1\n', r"row that begins in line 3 does not end(.|\n)*quote"),
        (HEAD + f"{T},{'i' * 2**20},1\n", r"line 2 does not end"),
        (HEAD + "?,,\n?,,\n", r"none of the 2 rows .* is an event(.|\n)*event_time is not an ISO .* \(2 rows\)"),
        ("ts;item;act\n1;2;3\n", r"not separated by ','; it looks like ';'(.|\n)*delimiter = \";\""),
        ("ts\titem\tact\n", r"it looks like '\\t'(.|\n)*delimiter = \"\\t\""),
        ("ts,itm,act,x\n", r"no column item \(did you mean 'itm'\?\)(.|\n)*'ts', 'itm', 'act', 'x'"),
        ("TS,a,b\n", r"no column ts.*, item, act"),
        ("ts,item,act,item\n", "'item' more than once"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    for chunk_rows in (100, 250_000):
        with pytest.raises((LogError, MappingError), match=message):
            read(tmp_path, raw, chunk_rows=chunk_rows, dead_letters=tmp_path / "dead.csv")
    assert not (tmp_path / "dead.csv.part").exists()


def test_not_a_file_and_a_cut_gzip(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(LogError, match="cannot read"):
            read_log(path, mapping())
    whole = gzip.compress((HEAD + f"{T},i,1\n" * 9_999).encode())
    assert read(tmp_path, whole).rows_out == 9_999
    with pytest.raises(LogError, match="cannot read"):
        read(tmp_path, whole[:-20])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("chunk_rows", [1, 1_000])
def test_encodings_and_byte_order_marks(tmp_path: Path, encoding: str, chunk_rows: int) -> None:
    text = "ts;item;act\n" + f"{T};é;1\n{T};ü;?\n" * 20
    m = mapping(delimiter=";", encoding=encoding.removesuffix("-sig"))
    got = read(tmp_path, text.encode(encoding), m, chunk_rows=chunk_rows, dead_letters=tmp_path / "d.csv")
    assert got.ids["post_id"].tolist() == ["é"] and set(got.dead_letters["item"]) == {"ü"}
    assert (tmp_path / "d.csv").read_text(m.encoding).splitlines()[1] == f"3;action '?' is not in the mapping;{T};ü;?;"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[columns", "is not TOML"),
        ('[colums]\nevent_time = "ts"', "unknown key 'colums' .did you mean 'columns'"),
        ('[columns]\npost = "x"', "unknown key 'post' .did you mean 'post_id'"),
        ('[columns]\npost_id = "x"', r"lacks event_time, action(.|\n)*event_time = \"timestamp\""),
        ("[columns]\nevent_time = 1", "lacks"),
        ("OK\n[columns2]", "is not TOML"),
        ('COLUMNS\n[actions]\n"1" = "liked"', r'actions."1" is .liked.(.|\n)*did you mean .like'),
        ("COLUMNS", r"\[actions\] is missing"),
        ("COLUMNS\nposition = 3\nALL", r"columns.position is 3(.|\n)*position = "),
        ('COLUMNS\nposition = ["a", "b"]\nALL', "columns.position is"),
        ('COLUMNS\nuser_id = ["a", "a"]\nALL', "columns.user_id is"),
        ('COLUMNS\nALL\n[format]\ndelimeter = ";"', "unknown key 'delimeter' .did you mean 'delimiter'"),
        ('COLUMNS\nALL\n[format]\ndelimiter = "::"', "format.delimiter is '::'"),
        ('COLUMNS\nALL\n[format]\nencoding = "utf-9"', "format.encoding is 'utf-9'"),
        ('COLUMNS\nALL\n[format]\ntime_zone = "Mars/Base"', "format.time_zone is 'Mars/Base'"),
        ('COLUMNS\nALL\n[format]\ntime_unit = "min"', "format.time_unit is 'min'"),
        ('COLUMNS\nALL\n[format]\ntime_unit = "s"\ntime_zone = "UTC"', "both time_zone and time_unit"),
        ("COLUMNS\nALL\n[format]\nencoding = 8", "format.encoding is 8"),
    ],
)
def test_a_wrong_mapping_names_the_key_and_shows_one_that_passes(tmp_path: Path, toml: str, message: str) -> None:
    path = tmp_path / "m.toml"
    columns = '[columns]\nevent_time = "ts"\npost_id = "item"\naction = "act"'
    path.write_text(toml.replace("COLUMNS", columns).replace("ALL", '[actions]\n"1" = "like"'), encoding="utf-8")
    with pytest.raises(MappingError, match=message) as error:
        Mapping.load(path)
    assert "for example:" in error.value.fix


# --- Dead-letter file, progress ---------------------------------------------------------------------------


def test_dead_letters_can_be_corrected_and_read_again(tmp_path: Path) -> None:
    dead = tmp_path / "sub" / "dead.csv"
    m = mapping({"device": "reason"})  # The file has a column with the name of one of ours.
    text = f'ts,item,act,reason\n{T},i,1,x\n{T},"a, ""b""",clap,y\n{T},j,1,z,z\n'
    got = read(tmp_path, text, m, dead_letters=dead)
    assert got.rows_dead == 2 and list(got.dead_letters["_reason"])[1] == "too many fields"
    fixed = tmp_path / "fixed.csv"
    fixed.write_text(dead.read_text("utf-8").replace("clap,", "1,"), encoding="utf-8")
    again = read_log(fixed, m)
    assert again.ids["post_id"].tolist() == ['a, "b"'] and again.events["device"].tolist() == ["y"]
    with pytest.raises(LogError, match="overwrite"):
        read_log(fixed, m, dead_letters=fixed)


def test_the_file_has_all_dead_letters_and_replaces_an_old_one_only_when_complete(tmp_path: Path) -> None:
    dead = tmp_path / "dead.csv"
    dead.write_text("old", encoding="utf-8")
    with pytest.raises(LogError, match="does not end"):
        read(tmp_path, HEAD + f'?,i,1\n{T},"', dead_letters=dead)
    assert dead.read_text("utf-8") == "old"
    got = read(tmp_path, HEAD + f"{T},i,1\n" + "?,i,1\n" * 10_050, dead_letters=dead, chunk_rows=900)
    assert (got.rows_dead, len(got.dead_letters)) == (10_050, 10_000)
    assert len(dead.read_text("utf-8").splitlines()) == 10_051
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dead.csv", "log.csv"]
    read(tmp_path, HEAD + f"{T},i,1\n", dead_letters=dead)
    assert dead.read_text("utf-8") == "line,reason,ts,item,act,text\n"


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    read(tmp_path, HEAD + f"{T},i,1\n" * 50, chunk_rows=2, progress=lambda *at: seen.append(at))
    size = (tmp_path / "log.csv").stat().st_size
    assert len(seen) > 5 and seen == sorted(seen) and seen[-1] == (size, size)


# --- Laws ------------------------------------------------------------------------------------------------

TEXT = st.text("ab0 é😀\"',;|\\\n", max_size=8)


def mostly(good: st.SearchStrategy[str], bad: st.SearchStrategy[str] = TEXT) -> st.SearchStrategy[str]:
    return st.sampled_from([good] * 14 + [bad]).flatmap(lambda strategy: strategy)


CELLS = {
    "id": mostly(st.integers(0, 30).map(str)),
    "ts": mostly(
        st.sampled_from([T, "2026-01-01T01:00:00+01:00", "2026-02-03 04:05:06.789012Z"]), TEXT | st.just("2026-02-03")
    ),
    "u": TEXT,
    "item": TEXT,
    "act": mostly(st.sampled_from(["1", "0", ""])),
    "pos": mostly(st.integers(0, 99).map(str), TEXT | st.just("-1")),
    "p": mostly(st.floats(0.001, 1).map(repr), st.sampled_from(["0", "1.5", "nan", ""])),
}
ALL: dict[str, str | tuple[str, ...]] = {"event_id": "id", "user_id": "u", "position": "pos", "propensity": "p"}
SMALL = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ragged(cells: tuple[str | None, ...]) -> list[str]:
    """A field too many, or (where the last is None) one too few."""
    return [c or "" for c in (cells if cells[-1] is not None else cells[:-2])]


def written(rows: list[list[str]]) -> tuple[str, list[int]]:
    """The CSV, and the line on which each row begins."""
    out, lines = io.StringIO(), []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CELLS)
    for row in rows:
        lines.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    return out.getvalue(), lines


def is_event(row: list[str], met: set[str]) -> bool:
    if len(row) != len(CELLS):
        return False
    cell = dict(zip(CELLS, row, strict=True))
    ok = cell["ts"].startswith("2026") and len(cell["ts"]) > 10 and cell["act"] in ("1", "0", "")
    ok = ok and cell["item"] != "" and cell["pos"].strip(" \n").isascii() and cell["pos"].strip(" \n").isdigit()
    ok = ok and cell["p"] not in ("0", "1.5", "nan", "") and cell["id"] not in ("", *met)
    return ok


@SMALL
@given(
    rows=st.lists(
        st.tuples(*CELLS.values()).map(list) | st.tuples(*CELLS.values(), st.none() | TEXT).map(ragged),
        min_size=1,
        max_size=12,
    )
)
def test_any_table(tmp_path: Path, rows: list[list[str]]) -> None:
    met: set[str] = set()
    kept: list[list[str]] = []
    dead: list[int] = []
    text, lines = written(rows)
    aware = any(len(r) == 7 and r[1].startswith("2026") and len(r[1]) > 10 for r in rows)
    assume(aware)  # Otherwise "2026-02-03" is a time, in UTC.
    for row, line in zip(rows, lines, strict=True):
        if is_event(row, met):
            met.add(row[0])
            kept.append(row)
        else:
            dead.append(line)
    if not kept:
        with pytest.raises(LogError, match="is an event"):
            read(tmp_path, text, mapping(ALL))
        return
    event(f"kept {len(kept)}, dead {len(dead)}")
    got = read(tmp_path, text, mapping(ALL))
    assert (got.rows_in, got.rows_out, got.rows_dead) == (len(rows), len(kept), len(dead))
    assert got.rows_in == got.rows_out + got.rows_dead and [line for line, _ in deaths(got)] == dead
    ids = got.ids["event_id"].astype(object) if "event_id" in got.ids else got.events["event_id"].astype(str)
    found = {
        "id": [i.decode() if isinstance(i, bytes) else i for i in ids],
        "u": originals(got, "user_id"),
        "item": originals(got, "post_id"),
        "act": [{"like": "1", "view": "0"}.get(a, "") if isinstance(a, str) else "" for a in got.events["action"]],
    }
    for name, values in found.items():
        assert values == [row[list(CELLS).index(name)] for row in kept], name
    assert got.events["propensity"].tolist() == [float(row[6]) for row in kept]
    assert got.events["position"].tolist() == [int(row[5]) for row in kept]
    expected = pd.to_datetime([row[1] for row in kept], utc=True, format="ISO8601").tz_localize(None)
    assert np.array_equal(got.events["event_time"].to_numpy(), expected.as_unit("us").to_numpy())

    for chunk_rows in (1, 2):
        other = read(tmp_path, text, mapping(ALL), chunk_rows=chunk_rows)
        same(got, other)
        pd.testing.assert_frame_equal(got.dead_letters, other.dead_letters)
        assert got.reasons == other.reasons
    again = read(tmp_path, written(kept)[0], mapping(ALL))
    same(got, again)
    assert again.rows_dead == 0


@SMALL
@given(lines=st.lists(st.text('",\n\0\r x', max_size=40) | st.just(f"{T},i,1"), min_size=1, max_size=12))
def test_any_text_below_a_header_never_breaks_and_chunks_do_not_matter(tmp_path: Path, lines: list[str]) -> None:
    text = HEAD + "\n".join(lines)
    results: list[object] = []
    for chunk_rows in (1, 250_000):
        try:
            got = read(tmp_path, text, chunk_rows=chunk_rows)
        except LogError as error:
            results.append(str(error))
            continue
        assert got.rows_in == got.rows_out + got.rows_dead and got.rows_out >= 1
        results.append((got.events.to_csv(), got.dead_letters.to_csv(), got.notes))
    assert results[0] == results[1]
