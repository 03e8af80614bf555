"""What an answer is worth: designs on one morning, both prices of a question, and the specification that follows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlsys import naive
from mlsys.analysis import requirements as draw
from mlsys.capacity import plan
from mlsys.config import SystemConfig
from mlsys.orchestration import requirements as ask
from mlsys.orchestration.requirements import Answers, Design, Morning
from mlsys.world import Oracle, Random

SPEC = Path(__file__).resolve().parents[1] / "notebooks" / "feed.toml"


@pytest.fixture(scope="module")
def morning() -> Morning:
    return Morning(seed=13, users=300, days=4)


def test_designs_stand_between_random_and_the_oracle(morning: Morning) -> None:
    for design in (Design(), Design(estimator="linear"), Design(objective="value"), Design(views=False)):
        assert morning.likes(Random()) < morning.likes(design) < morning.likes(Oracle()), design


def test_every_design_meets_the_same_people(morning: Morning) -> None:
    logs = [morning.day(what).log for what in (Random(), Design(), Oracle())]
    for log in logs[1:]:
        assert log["session_id"].equals(logs[0]["session_id"]) and log["user_id"].equals(logs[0]["user_id"])


def test_a_morning_does_not_pass(morning: Morning) -> None:
    day, before = morning.world.day, morning.likes(Random())
    morning.day(Design(scored=0.9))
    assert morning.world.day == day and Morning(seed=13, users=300, days=4).likes(Random()) == before


def test_likes_are_the_sum_of_the_true_probabilities(morning: Morning) -> None:
    served = morning.day(Design())
    per_session = served.log["p_like"].astype(float).sum() / served.log["session_id"].nunique()
    assert per_session == pytest.approx(served.likes, rel=1e-5)


def test_the_default_design_is_what_the_store_serves_at_midnight(morning: Morning) -> None:
    """Features by the day are those of the last midnight, so materialized and historical ones agree."""
    store = morning._store(Design())
    store.materialize(morning.world.now)
    rows = morning._catalogue.join_log(morning.day(Random()).log.head(200))
    refs = [ref for ref in store.list_features() if not ref.startswith("request:")]
    keys = {name: rows[name].to_numpy() for name in ("user_id", "post_id", "creator_id", "user_topic")}
    online = store.get_online_features(refs, keys, morning.world.now)
    offline = store.get_historical_features(rows, refs, every=np.timedelta64(1, "D"))[refs]
    np.testing.assert_array_equal(online.values, offline.to_numpy(np.float32))


def test_an_older_list_misses_the_posts_made_since(morning: Morning) -> None:
    shown = [morning.exposure(Design(list_age_hours=hours))["new posts"] for hours in (0, 12, 24)]
    assert shown[0] > shown[1] > shown[2] and shown[2] < 0.02


def test_what_is_not_scored_comes_last(morning: Morning) -> None:
    greedy = [morning.likes(Design(scored=share)) for share in (0.2, 0.5, 1.0)]
    assert greedy == sorted(greedy) and greedy[0] > morning.likes(Random())


def test_withheld_features_are_missing_and_forbidden_ones_unknown(morning: Morning) -> None:
    forbidden, late = Design(without=("user",)), Design(withheld=("user",))
    heads = morning._heads(forbidden)["like"].signature.features
    assert not any(ref.startswith("user:") for ref in heads)
    assert any(ref.startswith("user_topic:") for ref in heads)  # another view, with a longer name
    assert morning._heads(late) is morning._heads(Design())
    assert morning.likes(late) != morning.likes(Design())


def test_features_within_the_day_know_more_and_never_the_session_itself(morning: Morning) -> None:
    hourly = morning._store(Design(every_hours=1))
    log = morning.day(Design()).log
    first = log[log["event_time"] == log["event_time"].min()]
    rows = morning._catalogue.join_log(first)
    now, midnight = (
        hourly.get_historical_features(rows, ["post:impressions"], every=every)["post:impressions"]
        for every in (None, np.timedelta64(1, "D"))
    )
    assert now.equals(midnight)  # nothing had arrived before the first session of the day
    last = morning._catalogue.join_log(log[log["event_time"] == log["event_time"].max()])
    counts = [hourly.get_historical_features(last, ["post:impressions"], every=e)["post:impressions"].fillna(0).sum()
              for e in (None, np.timedelta64(1, "D"))]  # fmt: skip
    assert counts[0] != counts[1]


def test_both_prices_of_a_question(morning: Morning) -> None:
    table = ask.stakes(morning, ["cores", "nulls", "views", "user ids"])
    half, full = (morning.likes(Design(scored=share)) for share in (0.5, 1.0))
    assert table.loc["cores", "price"] == pytest.approx(full / half - 1)
    assert table.loc["cores", "lost"] == pytest.approx(1 - half / full)
    assert table.loc["cores", "cores"] == pytest.approx(ask.cores(Design()) - ask.cores(Design(scored=0.5)))
    assert table.loc["views", "lost"] == 0 and table.loc["views", "price"] < 0
    assert table["price"].between(-1, 1).all()


def test_the_other_questions_have_the_same_columns(morning: Morning) -> None:
    small = Morning(seed=13, users=60, days=3)
    month = pd.DataFrame({"like": [1.0, 3.0], "value": [0.9, 4.0]})
    table = ask.others(morning, small, small, month, log_order=0.25)
    assert list(table.columns) == list(ask.stakes(morning, ["nulls"]).columns)
    assert {*table.index, *ask.DESIGNS} == set(ask.QUESTIONS)
    assert table.loc["objective", "lost"] == pytest.approx(0.25)
    assert table.loc["log order", "lost"] == pytest.approx(0.2)
    assert table.loc["latency", ["price", "lost"]].eq(0).all()


def test_every_question_is_in_every_order() -> None:
    names = set(ask.QUESTIONS)
    assert set(ask.DESIGNS) < names and set(naive.QUESTIONS) == set(draw.GUIDE) == names
    assert len(naive.QUESTIONS) == len(draw.GUIDE) == len(names) == 16


def test_remaining_loss_falls_to_nothing() -> None:
    left = draw.remaining([0.3, 0.0, 0.1], chance=0.5)
    np.testing.assert_allclose(left, [1 - 0.85 * 0.95, 0.05, 0.05, 0.0])
    assert draw.remaining([0.3], chance=1.0)[0] == pytest.approx(0.3)


def test_cores_follow_the_plan() -> None:
    mid = plan([1e8]).query("case == 'mid'").iloc[0]
    pass_cores = ask.cores(Design()) - mid["cores"]
    assert ask.cores(Design(every_hours=1)) - mid["cores"] == pytest.approx(24 * pass_cores)
    assert ask.cores(Design(every_hours=0)) == pytest.approx(ask.cores(Design()))
    assert ask.cores(ask.BATCH) < 0.1 * ask.cores(Design())
    assert ask.cores(Design(), 1e9) == pytest.approx(10 * ask.cores(Design()))


def test_load_breaks_where_it_says() -> None:
    loads = ask.load([1e6, 1e9])
    assert loads["breaks_at"].is_monotonic_increasing
    for name, users in loads["breaks_at"].items():
        assert ask.load([users]).loc[name, users] == pytest.approx(1)


def test_the_horizon_turns() -> None:
    gains = pd.DataFrame({seed: ask.months(seed, users=200, days=12)["gain"] for seed in (1, 2)})
    assert gains.shape == (12, 2) and (gains.loc[1] < 0).all()
    assert (gains.loc[12] > gains.loc[1]).all()


def test_positions_matter_where_one_order_ruled() -> None:
    ordered, shuffled = (ask.position_value(13, shuffled=way, users=2_000) for way in (False, True))
    assert ordered > 2 * abs(shuffled)


def test_feed_toml_is_what_the_answers_imply() -> None:
    spec = SystemConfig.load(SPEC)
    assert spec.diff(ask.implied(Answers(), turning_day=4.0)) == {}
    assert ask.spec_path().name == SPEC.name
    text = draw.paragraph(Answers(), spec)
    assert "people who come back" in text and "100,000,000" in text and "500 candidates" in text


@pytest.mark.parametrize(
    ("change", "moves"),
    [({"judged_after_days": 1}, "training.objective"), ({"users": 1e6}, "serving.replicas"),
     ({"latency_ms": 1_000.0}, "serving.max_latency_ms"), ({"history_days": 3}, "training.lookback_days"),
     ({"any_model": False}, "training.estimator")],
)  # fmt: skip
def test_an_answer_moves_one_setting(change: dict[str, float], moves: str) -> None:
    ours, other = (ask.implied(answers, 4.0) for answers in (Answers(), replace(Answers(), **change)))
    assert list(ours.diff(other)) == [moves]


def test_a_tight_deadline_leaves_fewer_candidates() -> None:
    assert ask.implied(Answers(latency_ms=0.1), 4.0).serving.candidates < 500


def test_figures_say_their_finding(morning: Morning) -> None:
    table = ask.stakes(morning, ["cores", "nulls"])
    figures = [
        draw.horizon_curves(pd.DataFrame({"a": np.linspace(-0.1, 0.3, 9)}, index=range(1, 10)), 3.2),
        draw.load_chart(ask.load([1e6, 1e8, 1e9])),
        draw.change_bars({"a": 0.1, "b": -0.1}, ["", "x"], "a finding"),
        draw.stakes_chart(table, "a finding"),
    ]
    for figure in figures:
        assert figure.texts[0].get_text()
        assert figure._repr_png_()[0].startswith(b"\x89PNG")
    assert "479k" in figures[1].texts[0].get_text()
