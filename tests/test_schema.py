"""Schemas: which frames fit one, and which changes to it mislead nobody."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsys.collection import Column, Schema
from mlsys.collection.schema import DTYPES, NULLABLE, WIDER
from mlsys.core import SchemaError

EVENTS = Schema(
    (
        Column("user_id", "int32"),
        Column("liked", "bool"),
        Column("dwell", "float32", "s", nullable=True),
        Column("device", "category", nullable=True),
        Column("seen", "datetime64[us]", nullable=True),
    )
)


def frame(**changes: object) -> pd.DataFrame:
    columns = {
        "user_id": np.array([1, 2], "int32"),
        "liked": [True, False],
        "dwell": np.array([0.5, np.nan], "float32"),
        "device": pd.Categorical(["phone", None]),
        "seen": np.array(["2026-01-01", "NaT"], "datetime64[us]"),
    }
    return pd.DataFrame({**columns, **changes})


# --- What a schema is --------------------------------------------------------------------------------------------


def test_a_schema_of_a_frame_takes_it_and_survives_a_manifest() -> None:
    schema = Schema.of(frame(), units={"dwell": "s"})
    assert schema == EVENTS and schema.names == ("user_id", "liked", "dwell", "device", "seen")
    assert Schema.load(json.loads(json.dumps(schema.dump()))) == schema


@pytest.mark.parametrize("dtype", ["object", "datetime64[ns]", "Int64", "uint8", "complex128"])
def test_a_type_that_is_not_stored_is_refused(dtype: str) -> None:
    with pytest.raises(SchemaError, match="stored are"):
        Column("x", dtype)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype not in NULLABLE])
def test_whole_numbers_have_no_null(dtype: str) -> None:
    with pytest.raises(SchemaError, match="nullable"):
        Column("x", dtype, nullable=True)


def test_a_unit_needs_its_column() -> None:
    with pytest.raises(SchemaError, match="units name dwel"):
        Schema.of(frame(), units={"dwel": "s"})


# --- Enforce: what may be written --------------------------------------------------------------------------------


def test_a_frame_that_fits_is_unchanged_whatever_the_order_of_its_columns() -> None:
    pd.testing.assert_frame_equal(EVENTS.enforce(frame()), frame())
    pd.testing.assert_frame_equal(EVENTS.enforce(frame()[list(EVENTS.names[::-1])]), frame())


def test_what_may_be_absent_is_null_and_text_becomes_a_category() -> None:
    found = EVENTS.enforce(frame(device=["phone", None])[["user_id", "liked", "device"]])
    assert list(found.dtypes.astype(str)) == [column.dtype for column in EVENTS.columns]
    assert found["dwell"].isna().all() and found["seen"].isna().all()
    assert found["device"].astype(object).fillna("").tolist() == ["phone", ""]
    nothing = EVENTS.enforce(frame(device=[None, None]))["device"]
    assert nothing.isna().all() and str(nothing.dtype) == "category"


def test_a_smaller_type_is_widened_to_the_last_digit() -> None:
    found = EVENTS.enforce(frame(user_id=np.array([-128, 127], "int8")))["user_id"]
    assert str(found.dtype) == "int32" and found.tolist() == [-128, 127]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"extra": 1}, "extra are not in the schema"),
        ({"user_id": np.array([1, 2], "int64")}, "'user_id' is int64, not int32"),
        ({"user_id": [1.0, 2.0]}, "'user_id' is float64, not int32"),
        ({"user_id": [1.0, None]}, "'user_id' has 1 nulls"),
        ({"liked": [1, 0]}, "'liked' is int64, not bool"),
        ({"dwell": [1, 2]}, "'dwell' is int64, not float32"),
        ({"dwell": [0.1, 0.2]}, "'dwell' is float64, not float32"),
        ({"device": [1, 2]}, "'device' is int64, not category"),
        ({"device": pd.Categorical([1, 2])}, "'device' is category, not category of text"),
        ({"device": pd.Series(["phone", 2], dtype=object)}, "'device' is object, not category"),
        ({"seen": pd.to_datetime(["2026-01-01", None], utc=True)}, "'seen' is datetime64.*UTC"),
    ],
)
def test_what_would_be_lost_or_changed_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(SchemaError, match=what):
        EVENTS.enforce(frame(**changes))


def test_an_absent_column_and_nulls_come_with_their_rows() -> None:
    with pytest.raises(SchemaError, match="'liked' is absent"):
        EVENTS.enforce(frame().drop(columns="liked"))
    with pytest.raises(SchemaError) as caught:
        EVENTS.enforce(frame(user_id=[1.0, None]))
    assert caught.value.rows.index.tolist() == [1]


# --- Evolve: what readers survive --------------------------------------------------------------------------------


def one(dtype: str, unit: str | None = None, nullable: bool = False) -> Schema:
    return Schema((Column("x", dtype, unit, nullable),))


@pytest.mark.parametrize(("old", "new"), itertools.product(DTYPES, DTYPES))
def test_a_type_may_only_widen_and_every_value_keeps(old: str, new: str) -> None:
    if old == new or (old, new) in WIDER:
        assert one(old).evolve(one(new)) == one(new)
        assert old == new or np.can_cast(old, new, casting="safe")
    else:
        with pytest.raises(SchemaError, match=f"from {old.split('[')[0]}.* to {new.split('[')[0]}"):
            one(old).evolve(one(new))


@pytest.mark.parametrize(("old", "new"), [("s", "ms"), (None, "s"), ("s", None)])
def test_a_unit_never_changes(old: str | None, new: str | None) -> None:
    with pytest.raises(SchemaError, match=f"unit from {old or 'none'} to {new or 'none'}") as caught:
        one("float64", old).evolve(one("float64", new))
    assert f"'x_{new or 'raw'}'" in caught.value.fix


def test_columns_come_only_as_nullable_and_go_only_if_they_were() -> None:
    null, sure = Column("y", "float64", nullable=True), Column("y", "float64")
    x = one("int64")
    assert x.evolve(Schema((null, *x.columns))) == Schema((*x.columns, null))  # Old ones keep their place.
    with pytest.raises(SchemaError, match="new column 'y' may not be null"):
        x.evolve(Schema((*x.columns, sure)))
    assert Schema((*x.columns, null)).evolve(x) == Schema((*x.columns, null))
    with pytest.raises(SchemaError, match="'y' would go"):
        Schema((*x.columns, sure)).evolve(x)
    with pytest.raises(SchemaError, match="would become nullable"):
        one("float64").evolve(one("float64", nullable=True))
    assert one("float64", nullable=True).evolve(one("float64")) == one("float64")


columns = st.builds(
    Column,
    st.sampled_from("abcd"),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from([None, "s"]),
    st.booleans(),
)
schemas = st.lists(columns, max_size=4, unique_by=lambda column: column.name).map(lambda found: Schema(tuple(found)))


@given(old=schemas, new=schemas)
def test_every_frame_of_yesterday_can_be_read_after_any_evolution(old: Schema, new: Schema) -> None:
    try:
        merged = old.evolve(new)
    except SchemaError:
        return
    assert merged.names[: len(old.names)] == old.names and set(merged.names) == {*old.names, *new.names}
    assert merged.evolve(new) == merged  # Once is enough.
    rows = pd.DataFrame({column.name: np.array([1.5, -2], column.dtype) for column in old.columns}, index=[5, 6])
    found = merged.conform(rows)
    assert list(found.columns) == list(merged.names) and found.index.tolist() == [5, 6]
    for column in merged.columns:
        assert str(found[column.name].dtype) == column.dtype
        if column.name in old.names:
            assert found[column.name].tolist() == [1.5, -2]
        else:
            assert column.nullable and found[column.name].isna().all()
