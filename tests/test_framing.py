"""Other losses for one linear model, and the runs that compare framings."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy.special import expit

from mlsys import World, naive
from mlsys.analysis import framing as draw
from mlsys.analysis.style import png
from mlsys.core import MlsysError
from mlsys.orchestration import framing
from mlsys.training import LinearModel
from mlsys.training.ranking import fit_least_squares, fit_listwise, fit_pairwise, pairs
from mlsys.world import Oracle, Random

SESSIONS, SLOTS = 400, 6
TRUE = np.array([1.0, -0.5, 0.0])


def sessions(seed: int = 3, confounded: bool = False) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Features a and b decide likes; `who` is constant in a session. Confounded: keen sessions see a low `a`."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(SESSIONS), SLOTS)
    keen = np.repeat(rng.normal(size=SESSIONS), SLOTS)
    a = rng.normal(size=len(group)) - (2 * keen if confounded else 0)
    X = pd.DataFrame({"a": a, "b": rng.normal(size=len(group)), "who": np.repeat(rng.normal(size=SESSIONS), SLOTS)})
    y = (rng.random(len(group)) < expit(X.to_numpy() @ TRUE + 2 * keen - 1)).astype(float)
    return X, y, group


@pytest.fixture(scope="module")
def log() -> framing.Log:
    return framing.observe(13, users=150, days=7)


@pytest.mark.parametrize("fit", [fit_pairwise, fit_listwise])
def test_ranking_losses_find_the_order_and_ignore_what_a_session_shares(fit: object) -> None:
    X, y, group = sessions()
    model = fit(X, y, group)  # type: ignore[operator]
    ratio = model.weights[1] / model.weights[0]
    assert ratio == pytest.approx(-0.5, abs=0.15)
    assert abs(model.weights[2]) < 1e-6 * model.weights[0]
    shuffled = np.random.default_rng(0).permutation(len(y))
    again = fit(X.iloc[shuffled], y[shuffled], group[shuffled])  # type: ignore[operator]
    assert again.weights == pytest.approx(model.weights, rel=0.02, abs=0.01)


def test_pairs_cancel_what_confounds_sessions_and_a_pointwise_loss_does_not() -> None:
    X, y, group = sessions(confounded=True)
    pointwise, pairwise = LinearModel.fit(X, y), fit_pairwise(X, y, group)
    assert pairwise.weights[0] == pytest.approx(1.0, abs=0.2)
    assert pointwise.weights[0] < 0.3


def test_missing_values_stand_at_the_mean() -> None:
    X, y, group = sessions()
    holes = X.mask(np.random.default_rng(1).random(X.shape) < 0.2)
    model = fit_pairwise(holes, y, group)
    assert model.signature.features == ("a", "b", "who")
    assert model.signature.defaults[0] == pytest.approx(holes["a"].mean())
    empty = pd.DataFrame({"a": [np.nan]}).reindex(columns=X.columns)
    assert model.predict(empty)[0] == pytest.approx(0.5)


def test_pairs_are_all_liked_against_all_others_of_the_session() -> None:
    y, group = np.array([0, 1, 0, 1, 1, 0]), np.array([4, 4, 4, 4, 9, 5])
    better, worse = pairs(y, group)
    assert sorted(zip(better.tolist(), worse.tolist(), strict=True)) == [(1, 0), (1, 2), (3, 0), (3, 2)]


@pytest.mark.parametrize("fit", [fit_pairwise, fit_listwise])
def test_a_label_that_is_constant_in_every_session_is_refused(fit: object) -> None:
    X, _, group = sessions()
    with pytest.raises(MlsysError, match=r"no .*session"):
        fit(X, (group % 2).astype(float), group)  # type: ignore[operator]


def test_least_squares_orders_by_the_expected_value() -> None:
    X, _, _ = sessions()
    model = fit_least_squares(X, 3 * X["a"].to_numpy() - X["b"].to_numpy())
    assert model.weights == pytest.approx([3, -1, 0], abs=0.01)


def test_a_log_knows_sessions_and_who_returned(log: framing.Log) -> None:
    seen = log.seen
    assert log.features.index.equals(seen.index) and seen["action"].notna().all()
    assert seen["day"].max() == 5 and log.test.sum() == (seen["day"] == 5).sum()
    came = set(zip(seen["user_id"], seen["day"], strict=True))
    known = seen[seen["day"] < 5].drop_duplicates(["user_id", "day"])
    back = [(user, day + 1) in came for user, day in zip(known["user_id"], known["day"], strict=True)]
    assert np.mean(known["returns"].to_numpy() == back) > 0.98  # a day of nulls alone is a visit, and not in `seen`
    assert len(seen.drop_duplicates(["user_id", "day", "returns"])) == len(seen.drop_duplicates(["user_id", "day"]))


def test_a_label_of_the_user_ranks_no_post(log: framing.Log) -> None:
    labels = framing.by_label(log, LinearModel)
    assert labels["auc"].idxmax() == "returns tomorrow"
    share = labels["like"] / labels["like"]["oracle"]
    assert share["like"] > share["random"] + 0.05
    assert labels.loc["random", "auc"] != labels.loc["random", "auc"], "no model, no AUC"
    returns = log.labels()["returns tomorrow"].to_numpy()
    better, _ = pairs(returns, log.seen["session_id"].to_numpy())
    assert len(better) < 0.01 * len(returns)


def test_promises_and_prices_need_probabilities(log: framing.Log) -> None:
    action = log.seen["action"]
    losses = ("pointwise", "pairwise", "listwise")
    heads = {name: log.fit_losses((action == name).to_numpy(), losses) for name in ("like", "share", "dislike")}
    found = framing.promises(log, heads["like"])
    assert found["observed"].to_numpy() == pytest.approx(found["observed"].iloc[0])
    assert found["predicted"]["pairwise"] > 2 * found["observed"]["pairwise"]
    assert found["predicted"]["pairwise, then Platt"] == pytest.approx(found["predicted"]["pointwise"], abs=0.03)
    assert found["over"]["pairwise"] > 0.7 > found["over"]["pointwise"]
    value = framing.priced(log, heads)
    assert value.index.tolist() == list(losses)
    assert value["like"]["pairwise"] < value["like"]["pointwise"]


def test_zeros_are_mostly_unseen_and_shares_add_up() -> None:
    world = World(users=500, seed=5)
    day = world.step(Random())
    table = framing.slots(day, world)
    assert table.sum(axis=1).to_numpy() == pytest.approx(1)
    assert table["never looked at"].iloc[0] == 0 < table["never looked at"].iloc[-1]
    assert framing.never_looked(day, world, "zero") > 0.5
    assert framing.never_looked(day, world, "like") == 0
    views, nulls = (framing.never_looked(day, world, name) for name in ("view", None))
    assert abs(views - nulls) < 0.1


def test_a_month_is_exact_on_its_first_day_and_counts_only_those_who_were_there() -> None:
    run = framing.month(4, {"like": 1.0}, users=200, days=6, warm_up=3)
    world = World(seed=4, users=200)
    for _ in range(3):
        world.step(Random())
    assert run["today"].iloc[0] == pytest.approx(world.value([Oracle()])["like"].iloc[0], rel=0.2)
    assert run["likes"].is_monotonic_increasing and run["kept"].isna().sum() == 5
    assert 0 < run["kept"].iloc[-1] <= 1
    prices = framing.sweep(4, (0, 10), users=200)
    assert prices["today"][10] < prices["today"][0] and prices["clickbait"][10] < prices["clickbait"][0]


def test_growth_has_every_ranker_on_every_morning() -> None:
    found = framing.growth(13, mornings=(2, 5))
    assert found.index.get_level_values("day").unique().tolist() == [2, 5]
    assert found["rows"].groupby("day").first().is_monotonic_increasing
    share = found["share_of_oracle"]
    assert (share.xs("oracle", level="ranker") == 1).all() and (share <= 1).all()
    assert (share.xs("random", level="ranker") < share.xs("recency", level="ranker")).all()
    value = found["like"] + found["share"] - 3 * found["dislike"]
    assert found["value"].to_numpy() == pytest.approx(value.to_numpy())


def test_the_naive_answers() -> None:
    events = pd.DataFrame({"action": pd.Categorical(["like", None, "view", "dislike"])})
    assert naive.accuracy(events, np.zeros(4)) == 0.75
    assert naive.accuracy(events, np.array([0.5, 0, 0, 0.6])) == 0.75
    assert naive.pick(pd.Series({"a": 0.6, "b": 0.9})) == "b"
    assert naive.notify(np.array([0.2, 0.3])).tolist() == [False, True]


def _runs() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([[1, 2], framing.LOSSES], names=["seed", "model"])
    runs = pd.DataFrame(rng.normal(0.65, 0.01, (10, 3)), index, columns=["auc", "ndcg", "share_of_oracle"])
    runs.loc[(slice(None), "trees"), :] += 0.1
    return runs


def _growth() -> pd.DataFrame:
    rankers = ("random", "recency", "popularity", "creator", "linear", "three heads", "trees", "oracle")
    index = pd.MultiIndex.from_product([range(4), (2, 4, 8), rankers], names=["seed", "day", "ranker"])
    rng = np.random.default_rng(0)
    level = dict(zip(rankers, (0.42, 0.55, 0.48, 0.551, 0.62, 0.6, 0.7, 1.0), strict=True))
    frame = pd.DataFrame({"share_of_oracle": index.get_level_values("ranker").map(level)}, index=index)
    frame["rows"] = index.get_level_values("day") * 800.0
    for name in ("like", "dislike", "value", "enjoyment"):
        frame[name] = frame["share_of_oracle"] + rng.normal(0, 0.02, len(frame))
    frame["share_of_oracle"] += rng.normal(0, 0.005, len(frame))
    return frame


SLOTS_TABLE = pd.DataFrame(
    {"like": [0.3, 0.15], "other response": [0.2, 0.1], "passed over": [0.5, 0.25], "never looked at": [0.0, 0.5]},
    index=[1, 2],
)
PROMISES = pd.DataFrame(
    {"predicted": [0.18, 0.51, 0.5, 0.18, 0.17], "observed": 0.185},
    index=["pointwise", "pairwise", "listwise", "pairwise, then Platt", "listwise, then Platt"],
)
PRICED = pd.DataFrame({"like": [2.4, 2.1, 2.0], "dislike": [0.34, 0.29, 0.29]}, index=list(PROMISES.index[:3]))
LABELS = pd.DataFrame(
    {
        "like": [1.53, 2.81, 2.7, 0.82, 1.99, 1.48, 2.69, 3.55],
        "enjoyment": [0.01, -0.27, -0.43, 0.36, 0.59, 0.08, 0.03, -0.44],
        "auc": [np.nan, 0.72, 0.61, 0.56, 0.6, 0.81, np.nan, np.nan],
    },
    index=["random", "like", "any response", "share", "no dislike", "returns tomorrow", "value", "oracle"],
)
SWEEP = pd.DataFrame(
    {"likes": [70.0, 80, 82, 78], "today": [3.5, 3.3, 3.0, 2.7], "kept": [0.79, 0.8, 0.82, 0.84]}, index=[0, 3, 10, 40]
)
FIGURES = {
    "slots": lambda: draw.slot_bars(SLOTS_TABLE, 0.6),
    "losses": lambda: draw.loss_panels(_runs()),
    "promises": lambda: draw.promise_panels(PROMISES, PRICED),
    "labels": lambda: draw.label_map(LABELS),
    "prices": lambda: draw.price_curves(SWEEP),
    "growth": lambda: draw.growth_curves(_growth()),
    "heads": lambda: draw.head_contrast(_growth()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_repeat_to_the_byte_and_cut_no_text(name: str) -> None:
    fig = FIGURES[name]()
    assert png(fig) == png(FIGURES[name]())
    ticks = {label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.findobj(Text)}
    texts = [t for t in fig.findobj(Text) if t not in ticks and t.get_visible() and t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent().padded(-2)) for t in texts if t.get_window_extent().width > 1]
    width, height = fig.bbox.size
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, f"{text!r} is cut"
    over = [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if x.overlaps(y)]
    assert name in ("losses", "heads") or not over, over


def test_the_explorer_runs_a_month_of_its_prices_and_one_of_likes_only() -> None:
    draw._month.cache_clear()
    draw.price_explorer(13, users=60)
    assert draw._month.cache_info().currsize == 2
