"""Slices: the one that is worse is found, and luck is not."""

import numpy as np
import pandas as pd
import pytest

from mlsys.core import MlsysError
from mlsys.evaluation import auc, by_slice, cluster_mean, user_auc


def test_each_row_is_the_metric_of_its_slice() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"device": rng.choice(["iOS", "Web"], 3_000), "region": rng.choice(["EU", None, "US"], 3_000)})
    y, score, user = rng.random(3_000) < 0.3, rng.random(3_000), rng.integers(0, 200, 3_000)
    table = by_slice(frame, user_auc, y, score, user)
    assert table["rows"].groupby("slice").sum().tolist() == [3_000, 3_000], "a null is a slice too"
    web = (frame["device"] == "Web").to_numpy()
    own = user_auc(y[web], score[web], user[web])
    row = table.loc["device", "Web"]
    assert (row["value"], row["low"], row["high"]) == (own.value, own.low, own.high)
    assert row["rest"] == user_auc(y[~web], score[~web], user[~web]).value == table.loc[("device", "iOS"), "value"]


def test_of_many_slices_without_a_difference_hardly_ever_one_is_flagged() -> None:
    rng, any_flag, raw, covered, seen = np.random.default_rng(2), 0, 0, 0, 0
    for _ in range(200):
        frame = pd.DataFrame({"topic": np.repeat(np.arange(15), 300)})
        y = rng.random(4_500) < 0.3
        table = by_slice(frame, auc, y, rng.normal(size=4_500) + y)
        any_flag += table["differs"].any()
        truth = 0.7602  # of two normals one apart
        raw += ((table["low"] > truth) | (table["high"] < truth)).any()
        covered += ((table["low"] <= truth) & (truth <= table["high"])).sum()
        seen += len(table)
    assert any_flag / 200 <= 0.1, "at most 5 %, and three standard errors"
    assert raw / 200 > 0.3, "without a correction one in fifteen stands out more often than not"
    assert 0.93 <= covered / seen <= 0.97


def test_the_slice_that_is_worse_is_found() -> None:
    rng, found, wrong = np.random.default_rng(3), 0, 0
    for _ in range(50):
        topic = np.repeat(np.arange(15), 300)
        y = rng.random(4_500) < 0.3
        score = rng.normal(size=4_500) + np.where(topic == 4, 0.1, 1.0) * y
        table = by_slice(pd.DataFrame({"topic": topic}), auc, y, score).loc["topic"]
        worse = table["differs"] & (table["value"] < table["rest"])  # better than a rest with topic 4 in it is no error
        found += worse[4]
        wrong += worse.sum() - worse[4]
    assert found >= 48 and wrong <= 0.05 * found


def test_small_and_one_sided_slices_stay_in_the_table() -> None:
    device = np.repeat(["iOS", "Web", "TV"], [500, 500, 30])
    y = np.append(np.arange(500) % 3 == 0, np.zeros(530))
    table = by_slice(pd.DataFrame({"device": device}), auc, y, np.arange(1_030.0)).loc["device"]
    assert table["rows"].to_dict() == {"TV": 30, "Web": 500, "iOS": 500}
    assert table["why"].to_dict() == {
        "TV": "30 rows",
        "Web": "AUC needs both classes, got 0 liked and 500 other rows",
        "iOS": "rest: AUC needs both classes, got 0 liked and 530 other rows",
    }
    assert not table["differs"].any() and table["value"].notna().tolist() == [False, False, True]


def test_any_metric_of_columns_will_do() -> None:
    value = np.append(np.zeros(300), np.ones(300)) + np.arange(600) % 2
    table = by_slice(pd.DataFrame({"half": np.arange(600) // 300}), cluster_mean, value, min_rows=50)
    assert table["differs"].all() and table["value"].tolist() == [0.5, 1.5]


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(MlsysError, match="3 rows of 1 slices, columns of \\[2\\]"):
        by_slice(pd.DataFrame({"a": [1, 2, 3]}), auc, np.zeros(2))
