"""Lists for many users at once, by the scorer that answers requests too: the batch half of batch, online and hybrid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from mlsys.core import MlsysError
from mlsys.features.online import StoreUnavailable
from mlsys.serving.server import ModelServer

ROWS = 65_536
"""Pairs scored at once: a few megabytes of features, and numpy's overhead is nowhere to be seen."""


class Lists(NamedTuple):
    """`users` int64 (n,), their `posts` int64 (n, k) best first, and `scores` float64 (n, k)."""

    users: np.ndarray
    posts: np.ndarray
    scores: np.ndarray


def rank_many(
    server: ModelServer,
    users: np.ndarray,
    candidates: np.ndarray,
    k: int,
    *,
    context: Mapping[str, np.ndarray] | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Lists:
    """The best `k` posts of every user: what `server.rank` would answer each of them, in chunks.

    users : int64 (n,). candidates : int64 (n, C), or (C,) if all have the same. context : columns (n,), as of
    `ModelServer.score`. on_rows : told after each chunk how many users are done.

    Raises `StoreUnavailable` where `rank` would fall to a lower rung: nobody waits for a list, so a job is better run
    again later than finished with likes.
    """
    users, candidates = np.asarray(users, np.int64), np.asarray(candidates, np.int64)
    if candidates.ndim == 1:
        candidates = np.broadcast_to(candidates, (len(users), len(candidates)))
    if candidates.shape[:1] != users.shape or not 1 <= k <= candidates.shape[1]:
        raise MlsysError(
            f"{len(users)} users, candidates of shape {candidates.shape}, k={k}",
            why="each user has a row of candidates, and a list is at most that long",
            fix="rank_many(server, users, candidates, k=10): candidates (n, C) or (C,)",
        )
    each, step = candidates.shape[1], max(1, ROWS // candidates.shape[1])
    posts, scores = np.empty((len(users), k), np.int64), np.empty((len(users), k))
    for at in range(0, len(users), step):
        part = slice(at, at + step)
        own = candidates[part]
        sent = {name: np.repeat(column[part], each) for name, column in (context or {}).items()}
        found = server.score(np.repeat(users[part], each), own.ravel(), sent)
        if found.outage:
            raise StoreUnavailable(
                f"the store stopped answering after {at} of {len(users)} users",
                why="a list is kept for a day: one made of likes or old features would be served all day",
                fix="run the job again when the store is back; last night's lists stand until then",
            )
        score = found.scores.reshape(own.shape)
        order = np.lexsort((own, -np.round(score, 6)), axis=-1)[:, :k]
        posts[part], scores[part] = np.take_along_axis(own, order, 1), np.take_along_axis(score, order, 1)
        on_rows(min(at + step, len(users)))
    return Lists(users, posts, scores)
