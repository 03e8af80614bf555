"""Training sets prepared in different ways, each judged by what people do with the model that it makes.

One function per comparison of notebook 04, steps 1 to 5. Every comparison changes the preparation and nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from mlsys import naive
from mlsys.collection import Consumer, EventLog, ExactlyOnce
from mlsys.core import generator, microseconds
from mlsys.evaluation import auc
from mlsys.orchestration.bench import Bench, Score
from mlsys.training import LinearModel, TreeModel
from mlsys.training.calibration import undersampled
from mlsys.verification import DEFAULT_CHECKS, Check, in_range, verify
from mlsys.world import Random, TableRanker, World, behaviour
from mlsys.world.rankers import VALUE_WEIGHTS
from mlsys.world.truth import expected_auc

HOUR = np.timedelta64(3_600_000_000, "us")
DAY = 24 * HOUR


def wire(seed: int, *, users: int = 600, days: int = 2) -> pd.DataFrame:
    """What the network delivers, in order of arrival: one in twenty events hours late, one in fifty twice."""
    world = World(seed=seed, users=users, n_jobs=1, late_share=0.05, duplicate_share=0.02)
    log = pd.concat([world.step(Random()).log for _ in range(days)])
    columns = ["event_id", "user_id", "post_id", "action", "event_time", "arrival_time"]
    return log.sort_values("arrival_time", kind="stable")[columns].reset_index(drop=True)


def consume(log: EventLog, group: str, *, killed_at: int, max_rows: int = 1_500) -> pd.DataFrame:
    """Read a topic to its end, and die once, after the work on batch `killed_at` and before its commit.

    Rows, stream state and offsets are saved together, here as one pickle: what the next process finds is of one moment.
    """
    stream = ExactlyOnce(bound=timedelta(hours=24), allowed_lateness=timedelta(hours=96))
    saved = pickle.dumps((stream, [], dict.fromkeys(log.end_offsets(), 0)))
    batch, killed = 0, False
    while True:
        stream, rows, offsets = pickle.loads(saved)  # A process starts, and knows what was saved.
        consumer = Consumer(log, group)
        for partition, offset in offsets.items():
            consumer.seek(partition, offset)
        while len(events := consumer.poll(max_rows)):
            rows.append(stream.take(events.reset_index(drop=True)).events)
            batch += 1
            if batch == killed_at and not killed:
                break
            saved = pickle.dumps((stream, rows, consumer.position))
        else:
            out: pd.DataFrame = pd.concat(rows, ignore_index=True)
            return out
        killed = True


def lateness(events: pd.DataFrame, hours: Sequence[float], batch: int = 500) -> pd.DataFrame:
    """What each allowed lateness costs: share of dead letters, and most event ids held in memory. Index: hours."""
    found = {}
    for allowed in hours:
        stream, held = ExactlyOnce(bound=timedelta(hours=1), allowed_lateness=timedelta(hours=allowed)), 0
        for first in range(0, len(events), batch):
            stream.take(events.iloc[first : first + batch])
            held = max(held, stream.remembered)
        found[allowed] = (stream.dead / stream.rows_in, held)
    return pd.DataFrame.from_dict(found, orient="index", columns=["dead", "ids"])


def waiting(bench: Bench, waits: Sequence[float], *, days: float = 1, **settings: Any) -> pd.DataFrame:
    """Train at midnight on `days` days of impressions that are at least `wait` hours old. Index: wait.

    The impression is known at once, the like when it arrives: until then it looks like a plain view.
    rows · like_rate: what the training set says · true_rate: of the same rows, when all likes are in · share.
    """
    log = bench.log[bench.log["action"].notna()]
    log = log[log["event_time"] >= bench.now - (max(waits) + 24 * days) * HOUR]
    X, age = bench.features(log), (microseconds(bench.now) - microseconds(log["event_time"])) / 3.6e9
    liked = (log["action"] == "like").to_numpy()
    seen, found = liked & (log["arrival_time"] < bench.now).to_numpy(), {}
    for wait in waits:
        use = (age >= wait) & (age < wait + 24 * days)
        model = TreeModel.fit(X[use], seen[use].astype(np.float64), **settings)
        found[wait] = (int(use.sum()), seen[use].mean(), liked[use].mean(), bench.judge(model.predict).share)
    return pd.DataFrame.from_dict(found, orient="index", columns=["rows", "like_rate", "true_rate", "share"])


def wait_or_train(seeds: Sequence[int], *, users: int = 500, days: int = 6, delay_hours: float = 6) -> pd.DataFrame:
    """Share of the oracle's likes when trained on the last day, labels as they are, or on the day before, labels in.

    Columns (world, design): calm or shifted (interests turned over as the last day began) × now or wait. Index: seed.
    """
    rows: dict[tuple[str, str], list[float]] = {}
    late: dict[str, Any] = {"delay_minutes": 60 * delay_hours, "late_share": 0.0}
    for seed in seeds:
        for name, incidents in (("calm", []), ("shifted", [f"interest_shift@{days - 1}"])):
            found = waiting(Bench(seed, users=users, days=days, incidents=incidents, **late), (0, 24), max_iter=30)
            for way, share in zip(("now", "wait"), found["share"], strict=True):
                rows.setdefault((name, way), []).append(share)
    return pd.DataFrame(rows, index=list(seeds))


def positions(seed: int, *, users: int = 2_000, explore: float = 0.1) -> tuple[pd.DataFrame, float]:
    """A week in one fixed order, biggest creators first, and a few shuffled sessions.

    Per slot (index from 1): like rate over that of slot 1 in all sessions (`logged`), in the shuffled ones
    (`shuffled`), and the true chance to be looked at (`true`). And what ranking posts by likes per *estimated* look
    earns over ranking by likes per impression: a share of likes.
    """
    world = World("legacy_order", seed=seed, users=users, candidates=10, n_jobs=1)
    days = []
    for _ in range(7):
        order = TableRanker("size", world.creators.size[world.posts.creator])
        days.append(world.step(order, explore=explore).log)
    log = pd.concat(days).drop_duplicates("event_id")
    slot, post, n = log["position"].to_numpy() - 1, log["post_id"].to_numpy(), len(world.posts)
    liked = (log["action"] == "like").to_numpy(np.float64)

    def curve(rows: np.ndarray) -> np.ndarray:
        rate = np.bincount(slot[rows], weights=liked[rows]) / np.bincount(slot[rows])
        return np.asarray(rate / rate[0])

    def rate(look: np.ndarray) -> np.ndarray:
        shown, prior = np.bincount(post, weights=look, minlength=n), 20 * look.mean()
        return np.asarray(
            (np.bincount(post, weights=liked, minlength=n) + prior * liked.mean() / look.mean()) / (shown + prior)
        )

    logged, shuffled = curve(np.ones(len(log), bool)), curve(log["explored"].to_numpy())
    world.p = replace(world.p, candidates=50)
    rankers = [TableRanker("impression", rate(np.ones(len(log)))), TableRanker("look", rate(shuffled[slot]))]
    value = world.value(rankers, repeats=3)["like"]
    table = pd.DataFrame({"logged": logged, "shuffled": shuffled, "true": behaviour.attention(world.p)})
    return table.set_axis(np.arange(1, len(table) + 1)), float(value["look"] / value["impression"] - 1)


FAULTS: Mapping[str, Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]] = {
    "event time after arrival": lambda log, u: log.assign(
        event_time=log["event_time"].mask(u < 0.2, log["arrival_time"] + DAY)
    ),
    "iOS loses its actions": lambda log, u: log.assign(action=log["action"].mask((log["device"] == "iOS") & (u < 0.6))),
    "length in percent": lambda log, u: log.assign(length=log["length"] * 100),
    "views sent five times": lambda log, u: pd.concat([log, *[log[(log["action"] == "view") & (u < 0.3)]] * 4]),
    "Web logs a view as a like": lambda log, u: log.assign(
        action=log["action"].mask((log["device"] == "Web") & (log["action"] == "view"), "like")
    ),
}
"""What happens to some days of log, given a uniform number per row."""


def steady(reference: pd.DataFrame, by: str = "device", *, factor: float = 1.5, z: float = 4.0) -> Check:
    """Like rate per value of `by`: all rows of one fail when its rate is off the reference's by `factor` and `z` sd."""
    usual = (reference["action"] == "like").groupby(reference[by], observed=True).mean()

    def fails(events: pd.DataFrame) -> np.ndarray:
        found = (events["action"] == "like").groupby(events[by], observed=True).agg(["mean", "size"])
        was = usual.reindex(found.index)
        far = (found["mean"] > factor * was) | (found["mean"] < was / factor)
        far &= (found["mean"] - was).abs() > z * np.sqrt(was * (1 - was) / found["size"])
        return events[by].isin(found.index[far]).to_numpy()

    return Check(f"steady(like rate by {by})", (by, "action"), fails, mostly=0.5)


def fault_costs(bench: Bench, *, days: int = 3, faults: Sequence[str] = tuple(FAULTS)) -> pd.DataFrame:
    """Faults of the last `days` days: trained on as they came, or after verification, a batch per day of arrival.

    touched: share of rows that are wrong or extra · seen: whether `DEFAULT_CHECKS` fail · likes lost when everything
    is trained on (`trained`), when a batch that fails them is held back (`held`), and when only rows are set aside
    (`set_aside`): first those that fail them or a range of length, then, of the rest, slices that are not `steady`.
    A batch is then held only where the failing rows do not tell which ones are bad.
    """
    cut, rows = bench.now - days * DAY, {}
    log = bench.log[bench.log["arrival_time"] < bench.now]
    old, new = log[log["arrival_time"] < cut], log[log["arrival_time"] >= cut]
    more = (*DEFAULT_CHECKS, in_range("length", 0, 1))
    clean, known = bench.judge(bench.model.predict).share, dict[tuple[float, ...], float]()

    def lost(parts: list[pd.DataFrame]) -> float:
        """Ways that come to the same rows are trained once."""
        way = pd.concat(parts)
        key = (len(way), (way["action"] == "like").sum(), round(way["length"].sum(), 3))
        if key not in known:
            known[key] = 1 - _trained(bench, way) / clean
        return known[key]

    for name in faults:
        bad = FAULTS[name](new, generator(bench.seed, 41).random(len(new)))
        twin = new.reindex(bad.index)[list(new)]
        wrong = (bad.astype(object).ne(twin.astype(object)) & bad.notna()).any(axis=1) | bad.index.duplicated()
        wrong |= bad["action"].isna() & twin["action"].notna()
        held, kept, seen = [old], [old], False
        for _, batch in bad.groupby((bad["arrival_time"] - cut) // DAY):
            report, ours = (verify(batch.reset_index(drop=True), checks) for checks in (DEFAULT_CHECKS, more))
            vague = any(r.status == "failed" and not r.check.quarantine for r in ours.results)
            seen |= not report.passed
            held.append(report.clean if report.passed else batch[:0])
            kept.append(batch[:0] if vague else verify(ours.clean, [steady(old)]).clean)
        rows[name] = (wrong.mean(), seen, lost([old, bad]), lost(held), lost(kept))
    names = ["touched", "seen", "trained", "held", "set_aside"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def _trained(bench: Bench, log: pd.DataFrame) -> float:
    """Share of the oracle's likes of a model whose rows and features come from this log. What is served is sound."""
    log = log.assign(action=log["action"].astype(bench.log["action"].dtype))
    rows = bench.usable(log)
    X = bench.features(rows, bench.stored(log))
    return bench.judge(TreeModel.fit(X, (rows["action"] == "like").to_numpy(np.float64)).predict).share


def fills(bench: Bench) -> pd.DataFrame:
    """Four answers to a missing value, two models. Index (model, answer); columns share, new_posts, auc."""
    X, mean = bench.X, bench.X.mean()
    whole = X.notna().all(axis=1).to_numpy()

    def told(Z: pd.DataFrame) -> pd.DataFrame:
        return Z.fillna(mean).join(Z.isna().astype(np.float32).add_suffix(" missing"))

    rows = {}
    for name, fit in (("trees", TreeModel.fit), ("linear", LinearModel.fit)):
        ways: dict[str, tuple[np.ndarray, Callable[[pd.DataFrame], pd.DataFrame]]] = {
            "drop the row": (whole, lambda Z: Z),
            "zero": (np.ones(len(X), bool), lambda Z: Z.fillna(0)),
            "mean": (np.ones(len(X), bool), lambda Z: Z.fillna(mean)),
            "mean and a flag": (np.ones(len(X), bool), told),
        }
        for way, (use, fill) in ways.items():
            model = fit(fill(X)[use], bench.y[use])
            score = _after(fill, model.predict)
            day = bench.judge(score)
            rows[name, way] = (day.share, day.new_posts, bench.auc(score))
    return pd.DataFrame(list(rows.values()), pd.MultiIndex.from_tuples(rows), ["share", "new_posts", "auc"])


def sampling(bench: Bench, kept: float = 0.1) -> pd.DataFrame:
    """The dislike head with all negatives, with a share `kept` of them, that repaired, and with balanced weights.

    Index: these four; columns rows, auc (of tomorrow's throws), predicted and observed rate of dislikes, value: of the
    value function in which this head meets the like and share heads.
    """
    X, action = bench.X, bench.rows["action"]
    heads = {name: TreeModel.fit(X, (action == name).to_numpy(np.float64)).predict for name in VALUE_WEIGHTS}
    y = (action == "dislike").to_numpy(np.float64)
    use = (y > 0) | (generator(bench.seed, 42).random(len(y)) < kept)
    sampled = TreeModel.fit(X[use], y[use]).predict
    ways: dict[str, tuple[int, Score]] = {
        "all negatives": (len(y), heads["dislike"]),
        "sampled": (int(use.sum()), sampled),
        "sampled, repaired": (int(use.sum()), lambda Z: undersampled(sampled(Z), kept)),
        "balanced weights": (len(y), TreeModel.fit(X, y, class_weight="balanced").predict),
    }
    test = bench.tomorrow["action"].notna().to_numpy()
    seen, rows = (bench.tomorrow["action"][test] == "dislike").to_numpy(), {}
    for way, (n, head) in ways.items():
        chosen = {**heads, "dislike": head}
        day = bench.judge(lambda Z, h=chosen: sum(w * h[name](Z) for name, w in VALUE_WEIGHTS.items()))  # type: ignore[misc]
        p = head(bench.X_tomorrow[test])
        rows[way] = (n, auc(seen, p).value, p.mean(), seen.mean(), day.value)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["rows", "auc", "predicted", "observed", "value"])


def splits(bench: Bench, *, whole_table: bool = True) -> pd.DataFrame:
    """AUC that each split reports, and the truth tomorrow. Index: whole table (`naive.encode`) or point in time;
    columns random, by user, by time (the last day), tomorrow. Test shares are about equal.
    """
    day = (bench.rows["event_time"] - bench.now) // DAY
    last = (day == day.max()).to_numpy()
    masks = {
        "random": generator(bench.seed, 43).random(len(last)) < last.mean(),
        "by user": (bench.rows["user_id"] % round(1 / last.mean()) == 0).to_numpy(),
        "by time": last,
    }
    keys = ["user_id", "post_id", "creator_id", "user_topic"]
    ways = {"point in time": (bench.X, bench.X_tomorrow)}
    if whole_table:
        ways["whole table"] = tuple(naive.encode(bench.rows, rows, keys) for rows in (bench.rows, bench.tomorrow))  # type: ignore[assignment]
    truth, rows_ = bench.tomorrow["p_like"].to_numpy(), {}
    for name, (X, X_tomorrow) in ways.items():
        found = {}
        for split, test in masks.items():
            model = TreeModel.fit(X[~test], bench.y[~test])
            found[split] = auc(bench.y[test], model.predict(X[test])).value
        found["tomorrow"] = expected_auc(TreeModel.fit(X, bench.y).predict(X_tomorrow), truth)
        rows_[name] = found
    return pd.DataFrame(rows_).T


def _after(fill: Callable[[pd.DataFrame], pd.DataFrame], predict: Score) -> Score:
    return lambda X: predict(fill(X))
