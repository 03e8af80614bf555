"""One morning, five rankers, exact values: what is a better model worth?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.config import SystemConfig
from mlsys.orchestration.loop import DailyLoop
from mlsys.orchestration.served import ServedRanker
from mlsys.world import Oracle, Random
from mlsys.world.truth import expected_auc

RUNGS = ("random", "popularity", "linear", "trees", "oracle")
"""The ladder, worst first."""


def ladder(seed: int, *, users: int = 2_000, days: int = 14) -> pd.DataFrame:
    """The value of five rankers on the same morning, after `days` days of random ranking.

    Rows are `RUNGS`; columns: like, dislike, share, null, enjoyment (exact, per session), share_of_oracle (of its
    likes), and auc, exact too: expected over all throws of the dice on the last day's labelled impressions, which the
    models were not trained on, for the two models and, as oracle, for P(like) itself.
    """
    loop = DailyLoop(SystemConfig(), seed=seed, users=users)
    for _ in range(days):
        last = loop.random_day()
    *past, newest = [loop.rows[day] for day in sorted(loop.rows)]
    models = {name: loop.fit(past, name) for name in ("linear", "trees")}
    served = [ServedRanker(loop.server(model), name=name) for name, model in models.items()]
    value = loop.world.value([Random(), loop.popularity, *served, Oracle()], repeats=3)
    value["share_of_oracle"] = value["like"] / float(value["like"]["oracle"])
    p = pd.Series(last.p_like, index=last.log["event_id"]).groupby(level=0).first()
    test = newest.features[newest.features.index.isin(p.index)]
    truth = p[test.index].to_numpy(np.float64)
    scores = {**{name: model.predict_array(test.to_numpy()) for name, model in models.items()}, "oracle": truth}
    value["auc"] = pd.Series({name: expected_auc(score, truth) for name, score in scores.items()})
    return value
