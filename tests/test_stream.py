"""At least once in, exactly once out: checked row by row against a reference that never forgets."""

from __future__ import annotations

import pickle
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mlsys.collection import Consumer, EventLog, ExactlyOnce, Schema
from mlsys.core import SchemaError, conform
from mlsys.world.noise import NoiseWorld

START = np.datetime64("2026-01-01", "us")
US = timedelta(microseconds=1)


def events(ids: list[int], seconds: list[int], delays: list[int] | None = None) -> pd.DataFrame:
    """Events that happened so many seconds after START and arrived `delays` later."""
    happened = START + np.array(seconds, "timedelta64[s]")
    frame = {"event_id": ids, "user_id": 1, "post_id": 1, "action": None, "event_time": happened}
    late = np.array(delays or [0] * len(ids), "timedelta64[s]")
    return conform(pd.DataFrame({**frame, "arrival_time": happened + late}).astype({"event_id": "int64"}))


def once(bound: int, allowed: int) -> ExactlyOnce:
    return ExactlyOnce(bound=timedelta(seconds=bound), allowed_lateness=timedelta(seconds=allowed))


def fates(stream: ExactlyOnce, batches: list[pd.DataFrame]) -> list[str]:
    """What became of each row, in order: out, dead, or duplicate."""
    found = []
    for batch in batches:
        batch = batch.reset_index(drop=True)
        taken = stream.take(batch)
        assert len(batch) == len(taken.events) + len(taken.dead_letters) + taken.duplicates
        fate = pd.Series("duplicate", index=batch.index)
        fate[taken.events.index], fate[taken.dead_letters.index] = "out", "dead"
        found += fate.tolist()
    assert stream.rows_in == stream.rows_out + stream.duplicates + stream.dead == len(found)
    return found


def reference(rows: pd.DataFrame, bound: int, allowed: int) -> list[str]:
    """One row at a time, remembering everything."""
    seen, newest, found = set(), -(10**9), []
    for row in rows.itertuples():
        time = (row.event_time - pd.Timestamp(START)).total_seconds()
        if row.event_time > row.arrival_time:
            found.append("dead")
            continue
        newest = max(newest, time)
        late = newest - bound - time > allowed
        found.append("dead" if late else "duplicate" if row.event_id in seen else "out")
        seen |= set() if late else {row.event_id}
    return found


@settings(max_examples=300, deadline=None)
@given(
    times=st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 0, 5, -1])), min_size=1, max_size=12),
    data=st.data(),
    bound=st.integers(0, 12),
    allowed=st.integers(0, 8),
)
def test_forgetting_and_batching_change_nothing(
    times: list[tuple[int, int]], data: st.DataObject, bound: int, allowed: int
) -> None:
    """Shuffled, duplicated, delayed, cut into batches anywhere: the same as with unbounded memory."""
    copies = data.draw(st.lists(st.integers(0, len(times) - 1), max_size=30))
    order = data.draw(st.permutations([*range(len(times)), *copies]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=6)))
    rows = events(order, [times[i][0] for i in order], [times[i][1] for i in order])
    batches = [rows.iloc[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    stream = once(bound, allowed)
    found = fates(stream, batches)
    assert found == reference(rows, bound, allowed)
    out = rows["event_id"][np.array(found) == "out"]
    assert out.is_unique
    good = rows[rows["event_time"] <= rows["arrival_time"]]
    limit = (good["event_time"].max() - START).total_seconds() - bound - allowed if len(good) else 0
    assert stream.remembered == sum((rows.loc[out.index, "event_time"] - START).dt.total_seconds() >= limit)
    event(f"forgot some: {stream.remembered < len(out)}")
    event(f"all three fates: {len(set(found)) == 3}")


def test_dead_letters_say_how_late_and_what_was_allowed() -> None:
    stream = once(bound=10, allowed=5)
    taken = stream.take(events([1, 2, 3, 4], [100, 85, 84, 0]))
    assert taken.events["event_id"].tolist() == [1, 2]  # 84 is 6 s behind the watermark, 85 exactly 5.
    assert taken.dead_letters["late_by"].tolist() == [pd.Timedelta(seconds=6), pd.Timedelta(seconds=90)]
    assert taken.dead_letters["reason"].unique().tolist() == [
        "event_time is more than the allowed 0:00:05 behind the watermark"
    ]
    assert stream.watermark == START + np.timedelta64(90, "s")


def test_a_clock_that_is_ahead_does_not_make_the_others_late() -> None:
    stream = once(bound=10, allowed=5)
    taken = stream.take(events([1, 2, 3], [100, 10**6, 101], [0, -(10**6), 0]))
    assert taken.events["event_id"].tolist() == [1, 3]
    assert taken.dead_letters["reason"].tolist() == ["event_time is after arrival_time"]
    assert taken.dead_letters["late_by"].isna().all()
    assert stream.watermark == START + np.timedelta64(91, "s")


def test_before_the_first_event_there_is_no_watermark() -> None:
    stream = once(1, 1)
    assert np.isnat(stream.watermark)
    assert len(stream.take(events([], [])).events) == 0 and np.isnat(stream.watermark)
    with pytest.raises(ValueError, match="must not be negative"):
        once(-1, 1)
    with pytest.raises(SchemaError):
        stream.take(events([1], [1]).drop(columns="event_time"))


def test_memory_is_bounded_over_a_month() -> None:
    log = NoiseWorld(seed=5, days=30).events(20_000).sort_values("event_time", ignore_index=True)
    stream, most = once(bound=3_600, allowed=3_600), 0
    for start in range(0, len(log), 500):
        batch = log.iloc[max(0, start - 50) : start + 500]
        stream.take(batch)
        most = max(most, stream.remembered)
    assert stream.rows_out == 20_000 and stream.dead + stream.duplicates == 39 * 50
    assert most < 2 * 20_000 / 30 / 24 * 2  # Of 2 hours, with room.


def test_the_state_goes_on_from_where_it_was_stored(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The transaction of the module's docstring: state, output and offsets; a crash before it repeats the work."""
    world = NoiseWorld(seed=6, days=3).events(1_000)
    sent = pd.concat([world, world.sample(frac=0.5, random_state=1)])
    with EventLog(tmp_path, schema=Schema.of(world)) as log:
        log.append(sent)
    stored, output = pickle.dumps(once(10 * 86_400, 0)), []
    while sum((consumer := Consumer(EventLog(tmp_path), "features")).lag.values()):
        for _ in range(2):
            stream = pickle.loads(stored)
            taken = stream.take(consumer.poll(400))
        # Died here: the second poll was never stored, and the first one's state was thrown away.
        consumer, stream = Consumer(EventLog(tmp_path), "features"), pickle.loads(stored)
        taken = stream.take(consumer.poll(400))
        output.append(taken.events)
        stored = pickle.dumps(stream)
        consumer.commit()
    found = pd.concat(output)
    assert sorted(found["event_id"]) == sorted(world["event_id"])
    assert found.index.names == ["partition", "offset"]  # Each event can be found in the log.
