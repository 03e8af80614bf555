"""The event schema, the clock, seeded generators."""

import numpy as np
import pandas as pd
import pytest

from mlsys.core import SchemaError, VirtualClock, conform, generator
from mlsys.world.noise import NoiseWorld


def test_conform_keeps_rows_order_and_extra_columns() -> None:
    events = NoiseWorld(seed=1).events(50).assign(extra=range(50)).sample(frac=1, random_state=0)
    conformed = conform(events)
    assert conformed["extra"].tolist() == events["extra"].tolist()
    assert conformed.index.equals(events.index)
    assert conformed["event_time"].dtype == "datetime64[us]"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: e.drop(columns="post_id"), "post_id"),
        (lambda e: e.assign(action=pd.Categorical(["lkie"] * len(e))), "lkie"),
        (lambda e: e.assign(user_id=np.where(e.index == 3, np.nan, 1.0)), "user_id"),
        (lambda e: e.assign(user_id=1.7), "not int64"),
        (lambda e: e.assign(user_id=1e19), "user_id"),
        (lambda e: e.assign(user_id=np.uint64(2**64 - 1)), "user_id"),
        (lambda e: e.assign(user_id="abc"), "user_id"),
        (lambda e: e.assign(event_time="yesterday"), "event_time"),
        (lambda e: e.assign(event_time=e["event_time"].dt.tz_localize("UTC")), "event_time"),
        (lambda e: e.assign(event_time=pd.NaT), "event_time"),
    ],
)
def test_conform_refuses_instead_of_guessing(change, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SchemaError, match=says) as raised:
        conform(change(NoiseWorld(seed=1).events(10)))
    assert "do:" in str(raised.value)


def test_streams_of_one_seed_are_independent_and_repeat() -> None:
    a, b = generator(7, 1).random(1_000), generator(7, 2).random(1_000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.15
    assert (generator(7, 1).random(1_000) == a).all()


def test_a_clock_does_not_run_backwards() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="cannot be advanced"):
        clock.advance(days=-1)
