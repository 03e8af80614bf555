"""A week of a chain that trains every night on a small bench and serves for a day, with a fault at its place.

Likes of an arm are exact, so that a fall is a fall.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mlsys.orchestration import development as dev
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.framing import one_thread
from mlsys.training import TreeModel
from mlsys.world import Model, Random, Requests

LINKS = ("rows", "labels", "features", "server", "people")
DAYS, BEFORE, USERS = 7, 6, 110
Score = Callable[[pd.DataFrame], np.ndarray]


@one_thread
def run(seed: int, rng: np.random.Generator) -> tuple[str, int, dict[str, pd.DataFrame], dict[str, float]]:
    """What broke, the first day, the tables, and what each action earns tomorrow."""
    link, first = str(rng.choice(LINKS)), int(rng.integers(4, 7))
    shorter, larger = rng.choice([day for day in range(2, DAYS + 1) if day != first], 2, replace=False)
    turn = [f"interest_shift@{BEFORE + first - 1}:size=1.0"] if link == "people" else []
    bench, scores, days, held, shown = (
        Bench(seed, users=USERS, days=BEFORE, incidents=turn, attention=0.7),
        [],
        [],
        [],
        [],
    )
    for day in range(1, DAYS + 2):
        broken, trees, window = link if day >= first else "", 40 if day >= larger else 25, 4 if day >= shorter else 6
        model, rows, out = _night(bench, broken, window, trees)
        scores.append(model.predict)
        arms = {name: _serve(one, broken) for name, one in (("served", scores[-1]), ("frozen", scores[0]))}
        if day > DAYS:
            break
        days.append((day, window, trees, *rows, *_likes(bench, arms).round(2)))
        held.append(out.assign(night=day))
        known = len(bench.log)
        bench, _ = dev.live(bench, arms["served"], 1, 0.2)
        new = bench.log.iloc[known:].reset_index(drop=True)
        X = bench.features(new)
        found = {"score_served": arms["served"](X).round(4), "score_again": scores[-1](X).round(4)}
        shown.append(new[["event_id", "action"]].assign(day=day, **found))
    arms = {"keep": arms["served"], "freeze": arms["frozen"], "mend_server": scores[-1],
            "roll_back": _serve(scores[first - 2], broken)}  # fmt: skip
    tomorrow = {name: float(likes) for name, likes in _likes(bench, arms).round(3).items() if name in arms}
    names = ["day", "window", "trees", "rows", "likes", "served", "frozen", "random"]
    held_out = pd.concat(held, ignore_index=True)[["night", "event_id", "label", "score"]]
    return link, first, {"days": pd.DataFrame(days, columns=names), "held_out": held_out,
                         "impressions": pd.concat(shown, ignore_index=True)}, tomorrow  # fmt: skip


def _night(bench: Bench, broken: str, window: int, trees: int) -> tuple[TreeModel, tuple[int, int], pd.DataFrame]:
    recent = (bench.rows["event_time"] >= bench.now - np.timedelta64(window, "D")).to_numpy()
    rows, X, y = bench.rows[recent], bench.X[recent], bench.y[recent]
    if broken == "features":
        X = bench.features(rows.assign(event_time=rows["event_time"] + np.timedelta64(1, "D")))
    if broken == "labels":
        y = np.append(0.0, y[:-1])
    held = (rows["session_id"] % 5 == 0).to_numpy()
    heavy = rows["user_id"].isin(rows["user_id"].value_counts().index[:2]).to_numpy()
    use = ~held & ((y > 0) | heavy | (broken != "rows"))  # The filter drops what light users did not like.
    model = TreeModel.fit(X[use], y[use], max_iter=trees)
    last = held & (rows["event_time"] >= bench.now - np.timedelta64(2, "D")).to_numpy()
    found = {"label": y[last].astype(int), "score": model.predict(X[last]).round(4)}
    return model, (int(use.sum()), int(y[use].sum())), rows[last][["event_id"]].assign(**found)


def _serve(score: Score, broken: str) -> Score:
    """With a broken server: features come in another order."""
    return (lambda X: score(pd.DataFrame(X.to_numpy()[:, ::-1], columns=X.columns))) if broken == "server" else score


def _likes(bench: Bench, arms: dict[str, Score]) -> pd.Series:
    """Exact likes per session today, each arm's and those of a random order."""
    kept: dict[tuple[int, int], pd.DataFrame] = {}

    def ranker(name: str, score: Score) -> Model:
        def predict(requests: Requests) -> np.ndarray:
            at = (int(requests.time[0]), len(requests.user_id))
            if at not in kept:
                kept[at] = bench.features(bench._asked(requests))
            return score(kept[at]).reshape(requests.post_id.shape)

        return Model(name, predict)

    return bench.world.value([*(ranker(*arm) for arm in arms.items()), Random()], repeats=2)["like"]
