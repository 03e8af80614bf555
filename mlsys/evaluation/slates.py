"""From a feed's log to off-policy rows: what another ranker would have shown to the same people, and how likely.

The log holds what was shown, not the candidates. So the question is asked while serving: `Shadow` ranks as one ranker
does, and notes how another would have ordered the same candidates. Then, per impression,

    item and position   pscore = P(item in this slot), 1 or 0 for the target: few rows agree in both
    pooled              pscore = P(item is looked at, in any slot) = Σ_k e_k P(item in slot k), and so the target's:
                        needs e_k, and that a look at an item is worth the same in every slot; far more rows count
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, microseconds
from mlsys.evaluation.offpolicy import Feedback
from mlsys.world import Requests
from mlsys.world.rankers import Ranker

SLOT_TIME = 5_000_000
"""Microseconds between the impressions of a session."""
_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.int64))


class Shadow:
    """Ranks as `served`, and remembers what `target` would have shown: world.step(Shadow(a, b), explore=0.2).

    The world has to run in this process (n_jobs=1): what a worker remembers is lost with it.

    >>> from mlsys.world import Popularity, World, recency
    >>> world = World(users=60, seed=13)
    >>> shadow = Shadow(recency(world.posts.created), Popularity())
    >>> log = shadow.join(world.step(shadow, explore=0.5).log)
    >>> print(feedback(log).target.mean() < 0.2, log["target_rank"].max())
    True 10
    """

    def __init__(self, served: Ranker, target: Ranker, slots: int = 10) -> None:
        self.name, self.served, self.target, self.slots = served.name, served, target, slots
        self._seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def scores(self, requests: Requests) -> np.ndarray:
        """Those of `served`; the target's best are kept."""
        wanted = np.rint(self.target.scores(requests) * 1e6)
        best = np.argsort(-wanted, axis=1, kind="stable")[:, : self.slots]  # ties as the world breaks them
        chosen = np.take_along_axis(requests.post_id, best, axis=1)
        self._seen.append((requests.user_id, requests.time, chosen))
        return self.served.scores(requests)

    def join(self, log: pd.DataFrame) -> pd.DataFrame:
        """The log, every impression once, with target_rank (0: not among its best) and target_post (in this slot)."""
        log = log.drop_duplicates("event_id")
        users, times, slates = (np.concatenate(part) for part in zip(*self._seen, strict=True)) if self._seen else _NONE
        asked = pd.MultiIndex.from_arrays([users, times])
        once = ~asked.duplicated()
        position = log["position"].to_numpy()
        start = microseconds(log["event_time"]) - (position - 1) * SLOT_TIME
        at = asked[once].get_indexer(pd.MultiIndex.from_arrays([log["user_id"], start]))
        if (at < 0).any():
            raise MlsysError(
                f"{int((at < 0).sum())} of {len(log)} impressions come from requests that the shadow has not seen",
                why="it remembers the requests that it ranked, in its own process",
                fix="step the world with this shadow as the ranker, and with n_jobs=1",
                rows=log[at < 0],
            )
        chosen = slates[once][at]
        same = chosen == log["post_id"].to_numpy()[:, None]
        rank = np.where(same.any(axis=1), same.argmax(axis=1) + 1, 0)
        post = np.take_along_axis(chosen, position[:, None] - 1, axis=1)[:, 0]
        return log.assign(target_rank=rank, target_post=post)


def feedback(log: pd.DataFrame, action: str = "like", cluster: str = "user_id") -> Feedback:
    """Item and position, from a log with `target_rank`: values are actions per session."""
    slots = int(log["position"].max())
    return Feedback(
        (log["action"] == action).to_numpy(np.float64),
        log["propensity"].to_numpy(np.float64),
        (log["target_rank"] == log["position"]).to_numpy(np.float64),
        log[cluster].to_numpy(),
        slots=slots,
    )


def pooled(
    log: pd.DataFrame, attention: np.ndarray, explore: float, candidates: int, action: str = "like",
    cluster: str = "user_id",
) -> Feedback:  # fmt: skip
    """Pooled over positions: attention float64 (slots,) is P(slot k is looked at), `explore` the share of shuffled
    sessions, of so many candidates each. Needs `greedy_rank`, the logger's own rank of what it showed.

    Source: Li et al., Offline evaluation of ranking policies with click models, KDD (2018), document-based click model.
    """
    looked = np.append(np.append(0.0, attention), 0.0)  # by rank; 0 is none of the best
    rank = np.minimum(log["greedy_rank"].to_numpy(), len(attention) + 1)
    pscore = (1 - explore) * looked[rank] + explore / candidates * float(np.sum(attention))
    single = feedback(log, action, cluster)
    target, exposure = looked[log["target_rank"].to_numpy()], looked[log["position"].to_numpy()]
    return Feedback(single.reward, pscore, target, single.cluster, exposure, single.slots)
