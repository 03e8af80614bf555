"""Incidents do to the log what they say, and alerts are graded against what is known of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlsys.core import MlsysError
from mlsys.orchestration.grading import AFTER, Naive, Rules, Run, corpus, graded, score
from mlsys.world import KINDS, Incident, Random, World
from mlsys.world.damage import BOT, RENAMED, STEPS

HOUR = pd.Timedelta("1h")

# --- What an incident does to a log ------------------------------------------------------------------------------


def pair(kind: str, size: float) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """A day's log without and with an incident, and the latter's P(like)."""
    plain = World(seed=5, users=400).step(Random())
    hit = World(seed=5, users=400, incidents=[Incident(kind, 0, 1, size)]).step(Random())
    assert plain.value.equals(hit.value), "what people do is the same"
    assert len(hit.log) == len(hit.p_like)
    return plain.log, hit.log, hit.p_like


def test_duplicates_are_copies_that_arrive_later() -> None:
    plain, hit, p_like = pair("duplicates", 0.3)
    pd.testing.assert_frame_equal(hit.head(len(plain)), plain)
    extra = hit.iloc[len(plain) :]
    assert extra["event_id"].isin(plain["event_id"]).all()
    assert 0.25 < len(extra) / len(plain) < 0.35
    one = extra.iloc[0]
    first = plain[plain["event_id"] == one["event_id"]].iloc[0]
    assert one["arrival_time"] > first["arrival_time"]
    pd.testing.assert_series_equal(one.drop("arrival_time"), first.drop("arrival_time"), check_names=False)
    assert p_like[len(plain)] == p_like[plain.index[plain["event_id"] == one["event_id"]][0]]


def test_late_data_and_label_delay_move_arrivals_and_nothing_else() -> None:
    for kind, who in (("late_data", slice(None)), ("label_delay", "like")):
        plain, hit, _ = pair(kind, 0.4)
        pd.testing.assert_frame_equal(hit.drop(columns="arrival_time"), plain.drop(columns="arrival_time"))
        later = (hit["arrival_time"] - plain["arrival_time"]) / HOUR
        chosen = later if isinstance(who, slice) else later[plain["action"] == who]
        assert 0.33 < (chosen >= 24).mean() < 0.47 and (later == 0).mean() > 0.5
        if not isinstance(who, slice):
            assert (later[plain["action"] != who] == 0).all()


def test_a_new_name_and_a_wrong_clock_strike_the_same_users_every_time() -> None:
    plain, hit, _ = pair("schema_change", 0.3)
    renamed = (hit["action"] == RENAMED).to_numpy()
    assert (plain["action"][renamed] == "like").all() and renamed.any()
    users = set(hit["user_id"][renamed])
    likes = hit[hit["action"] == "like"]
    assert users.isdisjoint(likes["user_id"]) and 0.1 < len(users) / likes["user_id"].nunique() < 0.8
    plain, hit, _ = pair("clock_skew", 0.2)
    ahead = (hit["event_time"] - plain["event_time"]) / HOUR
    assert set(ahead) == {0.0, 2.0} and (hit["event_time"] > hit["arrival_time"]).any()
    assert (hit["event_time"] - plain["event_time"]).groupby(hit["user_id"]).nunique().max() == 1


def test_one_arm_loses_sessions_and_bots_like_three_posts() -> None:
    plain, hit, p_like = pair("sample_ratio_mismatch", 0.5)
    kept = (
        hit.groupby(hit["user_id"] % 2)["session_id"].nunique()
        / plain.groupby(plain["user_id"] % 2)["session_id"].nunique()
    )
    assert kept[0] == 1 and 0.35 < kept[1] < 0.65
    assert len(p_like) == len(hit)
    plain, hit, p_like = pair("bots", 0.3)
    bots = hit[hit["user_id"] >= BOT]
    assert len(hit) - len(bots) == len(plain) and bots["post_id"].nunique() == 3
    assert 0.85 < (bots["action"] == "like").mean() < 0.95 and (p_like[len(plain) :] == 0).all()
    assert not hit["event_id"].iloc[len(plain) :].isin(plain["event_id"]).any()


def test_a_wave_brings_users_and_other_days_are_untouched() -> None:
    calm, wave = World(seed=5, users=400), World(seed=5, users=400, incidents=[Incident("new_user_wave", 1, 2, 0.1)])
    joined = []
    for world in (calm, wave):
        logs = [world.step(Random()).log for _ in range(4)]
        joined.append([int((world.users.joined == day).sum()) for day in range(1, 4)])
    assert np.subtract(*joined[::-1])[0:2].min() > 25 and joined[0][2] < 20
    for kind in STEPS:
        world = World(seed=5, users=100, incidents=[Incident(kind, 3, 1, 0.5)])
        pd.testing.assert_frame_equal(world.step(Random()).log, World(seed=5, users=100).step(Random()).log)
    assert len(logs) == 4


def test_every_kind_says_what_it_is() -> None:
    assert len(KINDS) == 16
    for kind in KINDS.values():
        assert kind.what and kind.cause and kind.where and kind.size_means and kind.days > 0 < kind.size <= 1
    with pytest.raises(MlsysError, match="did you mean 'duplicates'"):
        Incident("duplicate", 1, 1, 1.0)


# --- Grading -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return corpus(3, users=300, kinds=["store_outage", "duplicates"], sizes=(1.0,), month=8)


def test_a_corpus_knows_what_its_incidents_cost(runs: list[Run]) -> None:
    healthy, outage, twice = runs
    assert healthy.cost == 0 and len(healthy.share) == 8
    assert len(outage.share) == KINDS["store_outage"].days + AFTER == len(outage.twin)
    np.testing.assert_array_equal(outage.twin, healthy.share[:3])
    assert outage.cost > 0.02 and twice.cost == 0, "what arrives twice is counted once"
    np.testing.assert_array_equal(twice.share, healthy.share[: len(twice.share)])


def test_rules_page_on_incidents_and_not_on_healthy_days(runs: list[Run]) -> None:
    table = graded(runs, Rules()).set_index("kind")
    assert table.loc[["store_outage", "duplicates"], "caught"].all() and not table.loc["", "caught"]
    assert (
        table.loc["store_outage", "first"].startswith("rung: popularity") and table.loc["store_outage", "waited"] == 0
    )
    assert table.loc["duplicates", "first"].startswith("duplicates +")
    assert table.loc["", "pages"] == 0
    deaf = graded(runs, Rules(factor=1e9)).set_index("kind")
    assert not deaf["caught"].any() and not deaf["pages"].any()


def test_the_naive_policy_pages_on_healthy_days(runs: list[Run]) -> None:
    assert graded(runs, Naive())["pages"].iloc[0] > 3
    days = [{"x": 1.0}] * 7 + [{"x": 1.05}, {"x": 1.2}, {"x": float("nan")}, {"x": 0.5}]
    assert [bool(told) for told in Naive().pages(days)] == [False] * 8 + [True, False, False]


def test_the_score_is_what_it_says() -> None:
    rows = [
        ("", 0.0, False, np.nan, 2),
        ("", 0.0, False, np.nan, 0),
        ("a", 0.05, True, 0.0, 3),
        ("a", 0.03, False, np.nan, 0),
        ("b", 0.01, True, 2.0, 1),
        ("b", 0.0, False, np.nan, 0),
    ]
    found = score(pd.DataFrame(rows, columns=["kind", "cost", "caught", "waited", "pages"]))
    assert found == {
        "recall": 0.5,
        "precision": 1 / 3,
        "in_practice": 0.5 / 1.5,
        "waited": 0.0,
        "pages_per_incident": 2.0,
        "false_per_month": 1.0,
        "incidents": 2.0,
    }
