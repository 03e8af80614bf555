"""Checks on a batch: what fails, what is set aside, and that nothing vanishes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys.analysis.report import write_verification
from mlsys.core import MlsysError, SchemaError
from mlsys.verification import (
    DEFAULT_CHECKS,
    Check,
    VerificationError,
    fresh,
    in_range,
    in_set,
    not_before,
    not_null,
    unique,
    verify,
)
from mlsys.world.noise import NoiseWorld


@pytest.fixture
def events() -> pd.DataFrame:
    return NoiseWorld(seed=3).events(1_000)


def failing(events: pd.DataFrame, check: Check) -> list[int]:
    return list(verify(events, [check]).results[0].rows)


def test_noise_world_passes_and_absent_optional_columns_are_skipped_not_passed(events: pd.DataFrame) -> None:
    report = verify(events).raise_if_failed()
    status = report.frame().set_index("check")["status"]
    assert report.passed and report.failures.empty and report.failure_cases.empty
    assert report.clean.equals(events) and len(report.quarantine) == 0
    assert set(status[status == "skipped"].index) == {
        "in_range(position, [0, inf])",
        "not_null(propensity)",
        "in_range(propensity, (0, 1])",
    }


def test_all_failures_at_once_with_their_rows(events: pd.DataFrame) -> None:
    events.loc[3, "event_id"] = events.loc[2, "event_id"]
    events.loc[5, "arrival_time"] = events.loc[5, "event_time"] - pd.Timedelta("1s")
    events.loc[[7, 8], "post_id"] = -1
    events.loc[8, "event_id"] = events.loc[2, "event_id"]
    report = verify(events)
    assert not report.passed
    assert set(report.failures["check"]) == {
        "unique(event_id)",
        "not_before(arrival_time, event_time)",
        "in_range(post_id, [0, inf])",
    }
    cases = report.failure_cases
    assert cases.loc[cases["column"] == "post_id", "row"].tolist() == [7, 8]
    assert cases.loc[cases["column"] == "post_id", "value"].tolist() == [-1, -1]
    assert report.quarantine.index.tolist() == [3, 5, 7, 8]
    assert report.quarantine.loc[8, "failed"] == "unique(event_id); in_range(post_id, [0, inf])"
    assert report.clean.equals(events.drop(index=[3, 5, 7, 8]))
    with pytest.raises(VerificationError, match=r"3 of 11 checks failed on 1,000 events") as error:
        report.raise_if_failed()
    assert error.value.rows.equals(cases)
    assert "unique(event_id): 2 rows, 0.20%, allowed 0.00%" in str(error.value)


def test_a_null_spike_fails_the_batch_and_sets_no_row_aside(events: pd.DataFrame) -> None:
    events.loc[:299, "action"] = None
    report = verify(events)
    assert report.failures["check"].tolist() == ["not_null(action)"]
    assert report.failures.loc[0, "allowed"] == 0.2 and report.failures.loc[0, "share"] > 0.3
    assert len(report.quarantine) == 0 and len(report.clean) == 1_000


@pytest.mark.parametrize(("nulls", "status"), [(200, "passed"), (201, "failed")])
def test_mostly_is_a_share_and_its_edge_passes(events: pd.DataFrame, nulls: int, status: str) -> None:
    events["device"] = np.where(np.arange(1_000) < nulls, None, "Web")
    assert verify(events, [not_null("device", mostly=0.8)]).results[0].status == status


def test_warnings_are_failures_that_do_not_stop_the_batch(events: pd.DataFrame) -> None:
    report = verify(events.assign(user_id=-1)).raise_if_failed()
    assert report.passed
    assert report.failures[["check", "severity"]].to_numpy().tolist() == [["in_range(user_id, [0, inf])", "warning"]]


def test_each_check_finds_its_rows_and_lets_nulls_pass(events: pd.DataFrame) -> None:
    e = events.head(5).assign(
        action=pd.Categorical(["like", "odd", None, "view", "odd"]),
        device=["Web", "TV", None, "iOS", "Web"],
        propensity=[0.0, 1.0, np.nan, 1.5, 0.5],
        event_id=[5, 9, 5, 10**15, 9],
    )
    assert failing(e, in_set("action", ("like", "view"))) == [1, 4]
    assert failing(e, in_set("device", ("Web", "iOS"))) == [1]
    assert failing(e, in_range("propensity", 0, 1)) == [3]
    assert failing(e, in_range("propensity", 0, 1, open_low=True)) == [0, 3]
    assert failing(e, in_range("propensity", None, 0.7)) == [1, 3]
    assert failing(e, not_null("propensity")) == [2]
    assert failing(e, unique("event_id")) == [2, 4]
    assert failing(e, unique("device")) == [4]
    e["event_id"] = [2**63 - 1, -(2**63), 0, 0, 1]
    assert failing(e, unique("event_id")) == [3]
    e.loc[1, "arrival_time"] = pd.NaT
    assert failing(e, not_before("arrival_time", "event_time")) == []
    assert failing(e, not_null("arrival_time")) == [1]


def test_fresh_is_about_the_newest_row(events: pd.DataFrame) -> None:
    newest = events["event_time"].max().to_datetime64()
    day = np.timedelta64(1, "D")
    assert verify(events, [fresh("event_time", newest + day, day)]).passed
    report = verify(events, [fresh("event_time", newest + day + np.timedelta64(1, "us"), day)])
    assert not report.passed and report.frame().loc[0, "failing"] == 1_000 and len(report.quarantine) == 0


def test_empty_batch_is_skipped_and_a_missing_column_is_an_error(events: pd.DataFrame) -> None:
    assert set(verify(events.head(0)).frame()["status"]) == {"skipped"}
    with pytest.raises(SchemaError, match="post_id"):
        verify(events.drop(columns="post_id"))
    with pytest.raises(MlsysError, match="mostly=15"):
        not_null("action", mostly=15)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(-2, 3), st.sampled_from([None, "like", "view"]), st.integers(-2, 2)),
        min_size=1,
        max_size=30,
    )
)
def test_rows_in_are_clean_plus_quarantine(rows: list[tuple[int, int, str | None, int]]) -> None:
    ids, posts, actions, delay = zip(*rows, strict=True)
    time = np.datetime64("2026-01-01", "us") + np.zeros(len(rows), "timedelta64[us]")
    events = pd.DataFrame(
        {
            "event_id": np.array(ids) * 10**12,  # Too far apart to tick off: the hashing path.
            "user_id": 1,
            "post_id": posts,
            "action": pd.Categorical(actions, categories=["like", "view"]),
            "event_time": time,
            "arrival_time": time + np.array(delay, "timedelta64[us]"),
        }
    )
    report = verify(events, DEFAULT_CHECKS)
    bad = [i for i, r in enumerate(rows) if r[1] < 0 or r[3] < 0 or r[0] in ids[:i]]
    assert report.quarantine.index.tolist() == bad
    assert sorted([*report.clean.index, *report.quarantine.index]) == list(range(len(rows)))
    dense = verify(events.assign(event_id=ids), DEFAULT_CHECKS)
    assert dense.quarantine.index.tolist() == bad


def test_the_page_names_every_check_and_shows_the_failing_rows(events: pd.DataFrame, tmp_path: Path) -> None:
    bad = events.assign(
        post_id=events["post_id"].where(events["event_id"] != 7, -5), action=pd.Categorical([None] * len(events))
    )
    report = verify(bad)
    write_verification(tmp_path / "report.html", "Batch <1>", report)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert all(check.name.replace("<", "&lt;") in page for check in DEFAULT_CHECKS)
    assert "The batch failed" in page and "&lt;1&gt;" in page and "<td>-5</td>" in page
    assert f"{len(report.failure_cases):,} in all, the first 100 here." in page
