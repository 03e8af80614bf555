"""Components by scale: monotone, with reversals that are reversals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys.analysis.selection import stack_explorer, stack_table
from mlsys.core import MlsysError
from mlsys.orchestration.selection import STACKS, TECHNOLOGY, Limits, select

LATENCIES = st.sampled_from([50.0, 100.0, 800.0, 1e5])


def levels(users: float, **asked: float) -> list[int]:
    return [STACKS.index(stack) for stack in select(users, **asked)["stack"]]  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.floats(3, 9.5), st.floats(1, 1e4), LATENCIES)
def test_more_users_never_need_less(size: float, factor: float, latency_ms: float) -> None:
    few, many = (levels(10**size * f, latency_ms=latency_ms) for f in (1, factor))
    assert all(a <= b for a, b in zip(few, many, strict=True))


@pytest.mark.parametrize("users", [1e4, 1e7, 1e9])
def test_a_choice_holds_up_to_its_reversal_and_not_beyond(users: float) -> None:
    chosen = select(users)
    for i, row in enumerate(chosen.to_dict("records")):
        if np.isfinite(row["holds_up_to"]):
            assert levels(row["holds_up_to"])[i] == levels(users)[i] < levels(row["holds_up_to"] * 1.06)[i]
    assert chosen["component"].tolist() == list(TECHNOLOGY)


def test_the_three_stacks_are_the_ends_and_the_middle() -> None:
    assert set(select(1e4, engineers=2)["stack"]) == {"starter"}
    assert set(select(1e11, engineers=60)["stack"]) == {"enterprise"}
    assert (select(1e8, engineers=12)["stack"] == "production").sum() >= 5
    batch, now = (levels(1e8, latency_ms=latency) for latency in (1e5, 100))
    assert sum(batch) < sum(now), "lists made at night need less"
    assert "Redis" in select(1e9, managed=False).set_index("component")["technology"]["feature store"]
    tight = Limits(cores=(0.1, 0.2))
    assert select(1e6, limits=tight).set_index("component")["stack"]["serving"] == "enterprise"
    with pytest.raises(MlsysError, match="deadline"):
        select(0)


def test_the_picture_and_the_explorer_say_what_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    fig = stack_table(select(1e8), 1e8)
    words = " ".join(text.get_text() for ax in fig.axes for text in ax.texts)
    assert "Snowflake + S3" in words and "users" in words
    stack_explorer()
    assert "7 of 7 starter" in capsys.readouterr().out
