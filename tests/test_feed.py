"""The feed: its laws through its public face, and what it says about itself."""

import ast
import re
import secrets
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

import mlsys.world
from mlsys.core import ACTIONS, EVENT_SCHEMA, MlsysError, generator
from mlsys.orchestration.properties import PROPERTIES, Property, prove
from mlsys.world import (
    Experiment,
    Incident,
    Model,
    Oracle,
    Popularity,
    Random,
    Requests,
    TableRanker,
    ValueFunction,
    World,
    behaviour,
    recency,
)
from mlsys.world.parameters import DEVICE_SHARES, ENJOYMENT, IDEAL_LENGTH, RESPONSES, SCENARIOS, WEIGHTS, Parameters
from mlsys.world.truth import expected_auc

SEED = secrets.randbelow(10**6)  # nobody tuned for it; every assertion that depends on it says it
PAGE = mlsys.world.__doc__ or ""
LOG_COLUMNS = {*EVENT_SCHEMA, "device", "position", "propensity", "explored", "greedy_rank", "session_id", "ranker"}


class Recorded:
    """A ranker that keeps the requests it scores, as a server that logs its candidates would."""

    name = "recorded"

    def __init__(self, table: np.ndarray) -> None:
        self.table, self.seen = table, list[Requests]()

    def scores(self, requests: Requests) -> np.ndarray:
        self.seen.append(requests)
        return np.asarray(self.table[requests.post_id])

    def candidates(self) -> np.ndarray:
        """Of the sessions of a one-shard world, in order of the log, (S, C)."""
        (requests,) = self.seen
        return np.asarray(requests.post_id[np.argsort(requests.time, kind="stable")])


def once(log: pd.DataFrame) -> pd.DataFrame:
    return log[~log["event_id"].duplicated()]


def slots(log: pd.DataFrame, column: str) -> np.ndarray:
    """A column as (sessions, slots)."""
    return once(log)[column].to_numpy().reshape(-1, Parameters.slots)


def run(days: int, **changes: object) -> tuple[World, list[pd.DataFrame]]:
    world = World(users=500, seed=SEED, **changes)  # type: ignore[arg-type]
    return world, [world.step(Random()).log for _ in range(days)]


# --- Same seed, same bytes ---------------------------------------------------------------------------------------


def test_same_seed_same_bytes_for_one_and_two_workers() -> None:
    days = []
    for jobs in (None, 2):
        world = World(seed=SEED, users=5_100, n_jobs=jobs)  # three shards
        day = world.step(Oracle(), explore=0.1, against=[Random()])
        days.append((day, world.step(Oracle()), world.value([Random()], repeats=2), world.users.satisfaction))
    for a, b in zip(days[0][:2], days[1][:2], strict=True):
        pd.testing.assert_frame_equal(a.log, b.log, check_exact=True)
        pd.testing.assert_frame_equal(a.value, b.value, check_exact=True)
        assert a.p_like.tobytes() == b.p_like.tobytes(), SEED
    pd.testing.assert_frame_equal(days[0][2], days[1][2], check_exact=True)
    assert days[0][3].tobytes() == days[1][3].tobytes(), SEED


def test_another_seed_is_another_world() -> None:
    a, b = (World(users=200, seed=seed) for seed in (SEED, SEED + 1))
    assert not np.array_equal(a.users.interests, b.users.interests)
    assert not a.catalogue()["length"].equals(b.catalogue()["length"])
    assert not a.step(Random()).log["post_id"].equals(b.step(Random()).log["post_id"])


def test_days_differ_from_each_other() -> None:
    _, logs = run(2)
    assert not np.array_equal(logs[0]["user_id"][:200].to_numpy(), logs[1]["user_id"][:200].to_numpy())


def test_valuing_changes_nothing() -> None:
    quiet, asked = (World(users=300, seed=SEED) for _ in range(2))
    first = asked.value([Random(), Oracle()], repeats=2)
    pd.testing.assert_frame_equal(first, asked.value([Random(), Oracle()], repeats=2), check_exact=True)
    a, b = quiet.step(Random()), asked.step(Random(), against=[Oracle()])
    pd.testing.assert_frame_equal(a.log, b.log, check_exact=True)


# --- What is logged ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_log_is_what_it_says(scenario: str) -> None:
    world = World(scenario, users=500, seed=SEED)
    start = world.now
    log = world.step(Random()).log
    assert set(log.columns) == LOG_COLUMNS
    assert {name: str(log[name].dtype) for name in EVENT_SCHEMA} == EVENT_SCHEMA
    posts = np.sort(slots(log, "post_id"), axis=1)
    assert (np.diff(posts, axis=1) > 0).all(), "a post twice in a session"
    assert (slots(log, "position") == np.arange(1, 11)).all()
    assert (slots(log, "user_id") == slots(log, "user_id")[:, :1]).all()
    assert (log["arrival_time"] >= log["event_time"]).all()
    assert log["event_time"].min() >= start and log["event_time"].max() < world.now + np.timedelta64(50, "s")
    assert slots(log, "event_time")[:, 0].tolist() == sorted(slots(log, "event_time")[:, 0].tolist())
    of_post = world.creators.market[world.posts.creator[log["post_id"]]]
    assert (of_post == world.users.market[log["user_id"]]).all(), "a post of another market"


def test_event_ids_are_unique_but_for_repeats_which_arrive_later() -> None:
    _, logs = run(4, duplicate_share=0.1, late_share=0.2)
    log = pd.concat(logs)
    repeated = log["event_id"].duplicated()
    share, n = 0.1, len(once(log))
    assert abs(repeated.sum() / n - share) < 6 * np.sqrt(share * (1 - share) / n), SEED
    first, again = once(log).set_index("event_id"), log[repeated].set_index("event_id")
    assert again.index.is_unique
    first = first.loc[again.index]
    assert (again["arrival_time"] > first["arrival_time"]).all()
    pd.testing.assert_frame_equal(again.drop(columns="arrival_time"), first.drop(columns="arrival_time"))
    late = (once(log)["arrival_time"] - once(log)["event_time"]) > pd.Timedelta(hours=3)
    share = 0.2 * np.exp(-3 / 12)  # the ordinary ten minutes hardly matter beyond three hours
    assert abs(late.mean() - share) < 6 * np.sqrt(share / n) + 0.01, SEED


def test_nothing_latent_is_visible() -> None:
    world, _ = run(1)
    assert set(world.catalogue()) == {"post_id", "creator_id", "topic", "length", "created"}
    assert set(world.people()) == {"user_id", "device", "region", "joined"}
    assert {f.name for f in fields(Requests)} == {"user_id", "device", "time", "post_id"}


def test_the_world_stands_on_core_alone() -> None:
    for path in Path(mlsys.world.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith("mlsys") or name.startswith(("mlsys.core", "mlsys.world")), (path, name)


# --- Who comes and goes ------------------------------------------------------------------------------------------


def test_users_and_posts_arrive_and_posts_are_live_for_exactly_their_days() -> None:
    world, logs = run(20)
    days = len(logs)
    joined = np.asarray(world.users.joined)
    rate = Parameters.new_users_per_day
    assert abs((joined > 0).sum() - days * rate) < 6 * np.sqrt(days * rate), SEED
    assert (np.bincount(world.posts.first_day[world.posts.first_day > 0]) == Parameters.posts_per_day)[1:].all()
    assert any(log["user_id"].isin(np.flatnonzero(joined)).any() for log in logs), "newcomers never come"
    ages = [day - world.posts.first_day[log["post_id"]] for day, log in enumerate(logs)]
    for age in ages:
        assert set(age) == set(range(Parameters.live_days)), SEED
    catalogue = world.catalogue()
    born = ((catalogue["created"] - world.start) // pd.Timedelta(days=1)).to_numpy()
    assert (born == world.posts.first_day - 1).all()
    assert (world.people()["joined"] == world.start + joined.astype("timedelta64[D]")).all()


def test_ids_are_positions() -> None:
    world, logs = run(2)
    assert (world.catalogue()["post_id"] == np.arange(len(world.posts))).all()
    assert (world.people()["user_id"] == np.arange(len(world.users))).all()
    device = world.people()["device"].to_numpy()[logs[0]["user_id"]]
    assert (pd.Series(device).fillna("?").to_numpy() == logs[0]["device"].astype(object).fillna("?").to_numpy()).all()


def test_swapping_the_ranker_changes_tomorrow() -> None:
    a, b = (World(users=500, seed=SEED) for _ in range(2))
    first = a.step(Random()).log, b.step(Oracle()).log
    for column in ("user_id", "event_time", "session_id"):
        assert np.array_equal(once(first[0])[column], once(first[1])[column]), column
    assert not np.array_equal(a.users.satisfaction, b.users.satisfaction)
    came = np.bincount(first[0]["user_id"], minlength=500)[:500] > 0
    assert (a.users.satisfaction[:500][~came] == 0).all()
    assert not np.array_equal(a.step(Random()).log["user_id"], b.step(Random()).log["user_id"])


# --- Ranking and exploration -------------------------------------------------------------------------------------


def test_order_ties_greedy_rank_and_propensity_have_closed_forms() -> None:
    world, explore = World(users=2_000, seed=SEED), 0.3
    # Few different scores, so there are ties; and differences below half the rounding, which are ties too.
    rng = generator(SEED, 1)
    coarse = rng.integers(0, 8, len(world.posts)).astype(float)
    ranker = Recorded(coarse + rng.uniform(-4e-7, 4e-7, len(coarse)))
    log = world.step(ranker, explore=explore).log
    candidates = ranker.candidates()
    best_first = np.argsort(-coarse[candidates], axis=1, kind="stable")
    greedy = np.argsort(best_first, axis=1) + 1
    post = slots(log, "post_id")
    column = (candidates[:, None, :] == post[:, :, None]).argmax(axis=2)
    assert (np.take_along_axis(candidates, column, axis=1) == post).all(), "not a candidate"
    assert (np.take_along_axis(greedy, column, axis=1) == slots(log, "greedy_rank")).all(), SEED
    explored = slots(log, "explored")[:, 0]
    in_order = np.take_along_axis(candidates, best_first[:, :10], axis=1)
    assert (post[~explored] == in_order[~explored]).all(), SEED
    assert not (post[explored] == in_order[explored]).all(axis=1).any()
    at_home = slots(log, "greedy_rank") == slots(log, "position")
    propensity = np.where(at_home, 1 - explore + explore / 50, explore / 50)
    assert np.allclose(slots(log, "propensity"), propensity, rtol=1e-5)
    assert abs(explored.mean() - explore) < 6 * np.sqrt(explore * (1 - explore) / len(explored)), SEED


def test_random_puts_every_candidate_everywhere_equally_often() -> None:
    day = World(users=3_000, seed=SEED).step(Random(), explore=0.05)
    assert day.log["explored"].all()
    assert np.allclose(day.log["propensity"], 1 / 50)
    rank = slots(day.log, "greedy_rank")
    for slot in (0, 4, 9):
        expected = len(rank) / 50
        chi2 = ((np.bincount(rank[:, slot] - 1, minlength=50) - expected) ** 2 / expected).sum()
        assert chi2 < 49 + 7 * np.sqrt(2 * 49), (slot, SEED)


def test_candidates_cover_the_live_posts_evenly() -> None:
    world = World(users=2_000, seed=SEED)
    ranker = Recorded(np.zeros(len(world.posts)))
    sessions = world.step(ranker).sessions
    offered = np.bincount(ranker.candidates().ravel())
    live = Parameters.posts_per_day * Parameters.live_days
    mean = sessions * 50 / live
    assert len(offered) == live
    assert (np.abs(offered - mean) < 6.5 * np.sqrt(mean) + 0.05 * mean).all(), SEED  # strata of 23 or 24 posts


def test_recency_is_newest_first() -> None:
    world = World(users=200, seed=SEED)
    created = world.posts.created
    shown = created[slots(world.step(recency(created)).log, "post_id")]
    assert (np.diff(shown, axis=1) <= 0).all()


def test_popularity_counts_and_gives_the_unknown_the_mean() -> None:
    log = pd.DataFrame({"post_id": [0, 0, 2, 2], "action": ["like", "view", "like", "like"]})
    one = Requests(np.zeros(1), np.zeros(1), np.zeros(1), np.array([[0, 1, 2, 9]]))
    smooth, raw = Popularity(strength=4.0), Popularity(smoothed=False)
    for ranker in (smooth, raw):
        ranker.observe(log[:2])
        ranker.observe(log[2:])
    assert raw.scores(one).tolist() == [[1, 0, 2, 0]]
    assert np.allclose(smooth.scores(one), [[4 / 6, 0.75, 5 / 6, 0.75]])


def test_a_value_function_adds_weighted_heads() -> None:
    heads = {
        name: Model(name, lambda r, c=c: np.full(r.post_id.shape, c)) for name, c in (("like", 0.3), ("null", 0.2))
    }
    one = Requests(np.zeros(2), np.zeros(2), np.zeros(2), np.zeros((2, 3), int))
    assert np.allclose(ValueFunction("v", heads, {"like": 2.0, "null": -1.0}).scores(one), np.full((2, 3), 0.4))


def test_each_arm_of_an_experiment_sees_its_own_ranker() -> None:
    treated = generator(SEED, 2).random(500) < 0.5
    worlds = [World(users=500, seed=SEED) for _ in range(3)]
    value = Oracle("value", {"like": 1.0, "dislike": -3.0})
    mixed, control, treatment = (
        once(w.step(r).log)
        for w, r in zip(worlds, (Experiment(Oracle(), value, treated), Oracle(), value), strict=True)
    )
    arm = treated[mixed["user_id"]]
    assert np.array_equal(mixed["post_id"], np.where(arm, treatment["post_id"], control["post_id"]))
    assert not np.array_equal(treatment["post_id"], control["post_id"])
    assert Experiment(Popularity(), Oracle(), treated).treats(np.array([10**6])).tolist() == [False]


# --- Truth -------------------------------------------------------------------------------------------------------


def test_nobody_beats_the_oracle_at_what_it_maximizes() -> None:
    world = World(users=1_000, seed=SEED)
    tables = [TableRanker(f"table {i}", generator(SEED, i).random(len(world.posts))) for i in range(3)]
    weights = {"like": 1.0, "share": 1.0, "dislike": -3.0}
    value = world.value([Oracle(), Oracle("value", weights), Random(), recency(world.posts.created), *tables])
    assert value["like"].idxmax() == "oracle", SEED
    assert (sum(w * value[name] for name, w in weights.items())).idxmax() == "value", SEED


def test_exact_values_are_sums_of_the_true_probabilities() -> None:
    day = World(users=500, seed=SEED).step(Random())
    first = ~day.log["event_id"].duplicated().to_numpy()
    assert np.isclose(day.p_like[first].sum(dtype=float) / day.sessions, day.value.loc["random", "like"], rtol=1e-5)
    assert day.sessions == day.log["session_id"].nunique() and day.active == day.log["user_id"].nunique()


def test_responses_fall_as_the_true_probabilities_say() -> None:
    world = World(users=2_000, seed=SEED)
    days = [world.step(Random()) for _ in range(5)]
    p = np.concatenate([day.p_like[~day.log["event_id"].duplicated()] for day in days]).astype(float)
    liked = np.concatenate([(once(day.log)["action"] == "like").to_numpy() for day in days])
    for part in np.array_split(np.argsort(p), 5):  # calibrated from the least to the most likeable
        error = liked[part].sum() - p[part].sum()
        assert abs(error) < 6 * np.sqrt((p[part] * (1 - p[part])).sum()), SEED


positive = st.floats(2**-10, 2**10, width=32)
looked = st.floats(2**-6, 1, width=32)


@settings(deadline=None)
@given(st.lists(positive, min_size=4, max_size=4), looked)
def test_probabilities_are_probabilities_and_choose_draws_from_them(x_: list[float], e_: float) -> None:
    x, e = np.array([x_], np.float32), np.array([e_], np.float32)
    _, total = behaviour.odds(x, np.ones_like(x))
    p = behaviour.probabilities(x, total, e)[0].astype(float)
    assert np.isclose(total[0], 1 + x.sum(dtype=float), rtol=1e-6)
    assert (p >= 0).all() and p.sum() <= 1 + 1e-6
    view = 1 - p.sum()
    assert np.isclose(view, e_ / float(total[0]) + 0.8 * (1 - e_), atol=1e-5)
    n = 5_000
    u = ((np.arange(n) + 0.5) / n).astype(np.float32)[:, None]
    drawn = behaviour.choose(u, np.repeat(x[None], n, 0), np.repeat(total[None], n, 0), e)
    shares = [np.mean(drawn == (ACTIONS.index(name) if name in ACTIONS else -1)) for name in (*RESPONSES, "view")]
    assert np.allclose(shares, [*p, view], atol=3 / n), (x_, e_)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.01, 0.99)), min_size=2, max_size=30))
def test_expected_auc_is_the_sum_over_pairs_and_the_truth_is_the_best_score(rows: list[tuple[int, float]]) -> None:
    score, p = (np.array(column, float) for column in zip(*rows, strict=True))
    weight = np.outer(p, 1 - p)
    won = np.sign(score[:, None] - score[None, :]) / 2 + 0.5
    assert np.isclose(expected_auc(score, p), (weight * won).sum() / weight.sum())
    assert expected_auc(p, p) >= expected_auc(score, p) - 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_session_rate_and_satisfaction_keep_their_bounds(seed: int, n: int) -> None:
    rng, p = generator(seed), Parameters()
    world = World(users=n, seed=seed)
    world.users.satisfaction = rng.normal(0, 3, n)
    rate = behaviour.session_rate(p, world.users)
    assert ((rate >= 0) & (rate <= np.minimum(2 * world.users.rate, 20))).all()
    sessions, before = rng.integers(0, 20, n), rng.normal(0, 1, n)
    mean = rng.normal(0, 1, n)
    after = behaviour.satisfied(p, before, sessions, mean * sessions)
    between = (np.minimum(before, mean) - 1e-9 <= after) & (after <= np.maximum(before, mean) + 1e-9)
    assert between[sessions > 0].all() and np.array_equal(after[sessions == 0], before[sessions == 0])


# --- Incidents ---------------------------------------------------------------------------------------------------


def with_and_without(
    *texts: str, days: int = 6
) -> tuple[list[World], list[list[pd.DataFrame]], list[list[pd.DataFrame]]]:
    worlds = [World(users=500, seed=SEED, incidents=[Incident.parse(t) for t in some]) for some in ((), texts)]
    logs: list[list[pd.DataFrame]] = [[], []]
    catalogues: list[list[pd.DataFrame]] = [[], []]
    for _ in range(days):
        for i, world in enumerate(worlds):
            catalogues[i].append(world.catalogue())
            logs[i].append(world.step(Random()).log)
    return worlds, logs, catalogues


def identical(a: list[pd.DataFrame], b: list[pd.DataFrame]) -> list[bool]:
    return [one.equals(other) for one, other in zip(a, b, strict=True)]


def test_a_null_spike_loses_ios_actions_on_its_days_and_nothing_else() -> None:
    worlds, (healthy, broken), _ = with_and_without("null_spike@2:days=2:size=0.4")
    assert identical(healthy, broken) == [True] * 2 + [False] * 2 + [True] * 2
    for a, b in zip(healthy[2:4], broken[2:4], strict=True):
        assert a.drop(columns="action").equals(b.drop(columns="action"))
        changed = a["action"].astype(object).fillna("null") != b["action"].astype(object).fillna("null")
        assert b["action"][changed].isna().all() and (b["device"][changed] == "iOS").all()
        had = (a["device"] == "iOS") & a["action"].notna()
        assert abs(changed.sum() / had.sum() - 0.4) < 6 * np.sqrt(0.24 / had.sum()), SEED
    assert np.array_equal(worlds[0].users.satisfaction, worlds[1].users.satisfaction)


@pytest.mark.parametrize("size", [1.0, 0.5])
def test_a_unit_change_is_in_the_catalogue_on_its_days_only(size: float) -> None:
    worlds, (healthy, broken), (before, after) = with_and_without(f"unit_change@2:days=3:size={size}")
    assert all(identical(healthy, broken)), "the world itself did not change"
    assert np.array_equal(worlds[0].posts.length, worlds[1].posts.length)
    for day, (a, b) in enumerate(zip(before, after, strict=True)):
        assert a.drop(columns="length").equals(b.drop(columns="length"))
        ratio = (b["length"] / a["length"]).round(6)
        assert set(ratio) == ({1.0} if not 2 <= day < 5 else {100.0} if size == 1 else {1.0, 100.0}), day
        assert len(set(zip(b["creator_id"], ratio, strict=True))) == b["creator_id"].nunique(), (
            "a creator sends one unit"
        )


def test_an_interest_shift_moves_people_from_its_day_on() -> None:
    worlds, (healthy, broken), (before, after) = with_and_without("interest_shift@3:size=0.6")
    assert identical(healthy, broken)[:3] == [True] * 3
    assert not healthy[3].equals(broken[3])
    old, new = (world.users.interests[:500].ravel() for world in worlds)
    error = 5 / np.sqrt(len(old))
    assert abs(np.corrcoef(old, new)[0, 1] - 0.8) < error and abs(new.std() - 1) < error, SEED
    assert np.allclose(worlds[1].ideal_length, [0.55, 0.55, 0.45, 0.5])
    assert all(identical(before, after))
    for name in ("rate", "generosity", "device", "region", "joined"):
        assert np.array_equal(getattr(worlds[0].users, name), getattr(worlds[1].users, name)), name


def test_incidents_of_the_loop_leave_the_world_alone() -> None:
    texts = [f"{kind}@1" for kind in ("stale_features", "bad_model_push", "store_outage")]
    _, (healthy, broken), (before, after) = with_and_without(*texts, days=3)
    assert all(identical(healthy + before, broken + after))


# --- What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "defualt"}, "no scenario 'defualt'"),
        ({"user": 10}, "no parameter 'user'"),
        ({"users": 0}, "users=0"),
        ({"sessions_per_day": float("nan")}, "sessions_per_day=nan"),
        ({"attention": -1.0}, "attention=-1"),
        ({"late_share": 1.5}, "late_share=1.5"),
        ({"slots": 60}, "candidates=50"),
        ({"candidates": 2_000}, "1190 posts that are live"),
        ({"markets": 3, "creators": 2, "posts_per_day": 600}, "creators=2"),
    ],
)
def test_an_impossible_world_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(MlsysError, match=re.escape(message)):
        World(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "null_spike", "null_spike@", "nul_spike@3", "null_spike@3:size=2", "null_spike@3:size=0",
             "null_spike@3:days=0", "null_spike@-1", "null_spike@3:size=.1.2", "null_spike@3:length=2"]
)  # fmt: skip
def test_a_mistyped_incident_is_refused(text: str) -> None:
    with pytest.raises(MlsysError) as error:
        Incident.parse(text)
    assert error.value.fix


def test_a_ranker_has_to_score_every_candidate() -> None:
    world = World(users=200, seed=SEED)
    table = np.zeros(len(world.posts))
    table[::3] = np.nan
    with pytest.raises(MlsysError, match="'recorded' gave scores"):
        world.step(Recorded(table))
    with pytest.raises(MlsysError, match="'flat' gave scores of shape"):
        world.step(Model("flat", lambda requests: np.zeros(len(requests.user_id))))
    assert world.day == 0, "a refused ranker does not cost a day"


def test_what_cannot_be_asked_is_refused() -> None:
    world = World(users=200, seed=SEED)
    with pytest.raises(MlsysError, match=r"explore=1\.5"):
        world.step(Random(), explore=1.5)
    with pytest.raises(MlsysError, match="cannot weigh 'lieks'"):
        Oracle("typo", {"lieks": 1.0})
    with pytest.raises(MlsysError, match="no head for it"):
        ValueFunction("v", {}, {"like": 1.0})
    with pytest.raises(MlsysError, match="oracle cannot score"):
        Oracle().scores(Requests(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, 2), int)))


# --- What the page says ------------------------------------------------------------------------------------------


def test_the_page_states_every_parameter_as_it_is() -> None:
    stated = {name: float(number) for name, number in re.findall(r"(\w+) = (-?\d+(?:\.\d+)?)", PAGE)}
    for name, default in asdict(Parameters()).items():
        assert stated.get(name) == default, name
    assert set(stated) - set(asdict(Parameters())) <= {"S", "A"}


def test_the_page_states_the_weights_scenarios_and_shares_as_they_are() -> None:
    for response, row in zip(RESPONSES, WEIGHTS, strict=True):
        line = re.search(rf"^ +{response} +(-?\d.*)$", PAGE, re.MULTILINE)
        assert line and [float(number) for number in line[1].split()] == list(row), response
    for name, changes in SCENARIOS.items():
        line = re.search(rf"^(?:SCENARIOS)? +{name}  +(.*)$", PAGE, re.MULTILINE)
        assert line, name
        assert {key: float(number) for key, number in re.findall(r"(\w+)=([\d.]+)", line[1])} == changes, name
    device = re.search(r"device iOS (\S+), Android (\S+), Web (\S+), not recorded (\S+)", PAGE)
    assert device and tuple(map(float, device.groups())) == DEVICE_SHARES
    ideal = re.search(r"ideal: iOS (\S+), Android (\S+), Web (\S+), not recorded (\S+)", PAGE)
    assert ideal and tuple(map(float, ideal.groups())) == IDEAL_LENGTH
    joy = re.search(r"hidden: (\S+) a \+ (\S+) q - (\S+) c", PAGE)
    assert joy and [float(x) for x in joy.groups()] == [abs(x) for x in ENJOYMENT.values()]
    assert f"view {1 - behaviour.UNSEEN_NULL:.1f}, null {behaviour.UNSEEN_NULL:.1f}".replace("0.", ".") in PAGE


# --- What it is for ----------------------------------------------------------------------------------------------


CHEAP = ("marginals", "noise", "activity", "propensity", "regret", "shift")


@pytest.mark.parametrize("name", CHEAP)
def test_a_property_holds_in_fresh_worlds(name: str) -> None:
    calls: list[tuple[int, int]] = []
    table = prove([name], range(SEED, SEED + 4), progress=lambda done, total: calls.append((done, total)))
    assert table["holds"].all(), (SEED, table["measured"].item())
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_likes_per_look_beat_likes_per_impression() -> None:
    # The property's own limit is half the gap: four worlds miss that once in 30,000 runs.
    gaps = [gap for seed in range(SEED, SEED + 4) for gap in PROPERTIES["position_bias"].measure(seed).values()]
    assert np.mean(gaps) > 0.04, (gaps, SEED)


def test_a_property_that_is_lost_does_not_hold() -> None:
    gap = Property("There is a gap.", lambda seed: {"gap": float(seed), "other": -9.0}, {"gap": (0.5, np.inf)})
    assert gap.holds([gap.measure(seed) for seed in (0, 1, 2)])
    assert not gap.holds([gap.measure(seed) for seed in (0, 0, 1)])
    assert not gap.holds([{"gap": np.nan}])
    assert gap.said([gap.measure(seed) for seed in (0, 1, 2)]) == "gap 1.000 ± 2.484 · other -9.000 ± 0.000"
    assert set(PROPERTIES) >= {*CHEAP, "clickbait", "position_bias", "feedback_loop", "interference"}


def test_lost_actions_do_not_change_creators() -> None:
    applause = []
    for incidents in ([], [Incident.parse("null_spike@1")]):
        world = World("markets", users=500, seed=SEED, incidents=incidents)
        for _ in range(4):
            world.step(Random())
        applause.append(world.creators.applause)
    assert np.array_equal(*applause)


def test_interests_can_shift_on_the_first_day() -> None:
    still, moved = (World(users=500, seed=SEED, incidents=i) for i in ([], [Incident.parse("interest_shift@0")]))
    assert not np.array_equal(still.users.interests, moved.users.interests)
    assert not still.value([Oracle()]).equals(moved.value([Oracle()]))


def test_scores_too_large_to_order_are_refused() -> None:
    with pytest.raises(MlsysError, match="'large' gave scores"):
        World(users=100, seed=SEED).step(Model("large", lambda requests: requests.post_id * 1e12))


def test_an_arm_cannot_be_random() -> None:
    with pytest.raises(MlsysError, match="cannot be random"):
        Experiment(Random(), Popularity(), np.zeros(1, bool))


def test_visits_are_poisson_and_nearly_the_same_people_come_whatever_is_ranked() -> None:
    rng = np.random.default_rng(SEED)
    rate, u = rng.uniform(0, 20, 20_000), rng.random(20_000)
    count = behaviour.visits(rate, u)
    exact = poisson.ppf(u, rate)
    # e^-rate is rounded to float32, so all platforms draw alike: a uniform that close to a step may fall either way.
    step = np.abs(poisson.cdf(np.minimum(count, exact), rate) - u) < 1e-6
    assert (np.abs(count - exact) <= step).all(), SEED
    assert (behaviour.visits(rate * 1.1, u) >= count).all(), SEED

    came = []
    for ranker in (Random(), Oracle()):
        world = World(users=2_000, seed=SEED)
        for _ in range(10):
            log = world.step(ranker).log
        came.append(np.bincount(log["user_id"], minlength=2_000) // world.p.slots)
    assert (came[0] != came[1]).mean() < 0.25, SEED  # measured .08 to .11; two seeds differ in .55 to .59
