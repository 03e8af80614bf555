"""The last stage: the order in which single scores ignore what stands beside them."""

from __future__ import annotations

import numpy as np

from mlsys.core import MlsysError


def diversify(scores: np.ndarray, topic: np.ndarray, penalty: float, slots: int = 10) -> np.ndarray:
    """Fill slots one by one: best of score less `penalty` per post of the same topic that stands above.

    scores float64 (S, C), topic int64 (S, C) from 0; returns new scores (S, C): the chosen first, in their order, the
    rest after them in theirs. Greedy, as in maximal marginal relevance; one step per slot, for all sessions at once.
    Source: Carbonell & Goldstein, The use of MMR, diversity-based reranking, SIGIR (1998).

    >>> diversify(np.array([[0.9, 0.8, 0.7]]), np.array([[0, 0, 1]]), 0.15, slots=2).argmax()
    np.int64(0)
    >>> np.argsort(-diversify(np.array([[0.9, 0.8, 0.7]]), np.array([[0, 0, 1]]), 0.15, slots=2))[0].tolist()
    [0, 2, 1]
    """
    if penalty < 0:
        raise MlsysError(f"penalty={penalty}", why="it would reward more of the same", fix="pass 0 or more")
    sessions, row = len(scores), np.arange(len(scores))
    worth, order = scores.astype(np.float64), np.full(scores.shape, -1, np.int64)
    slots = min(slots, scores.shape[1])
    for slot in range(slots):
        best = np.argmax(np.where(order < 0, worth, -np.inf), axis=1)
        order[row, best] = slot
        worth -= penalty * (topic == topic[row, best][:, None])
    left = np.where(order < 0, scores, -np.inf)
    after = np.argsort(np.argsort(-left, axis=1, kind="stable"), axis=1)
    rank = np.where(order >= 0, order, slots + after)
    return np.asarray(-rank.astype(np.float64)).reshape(sessions, -1)
