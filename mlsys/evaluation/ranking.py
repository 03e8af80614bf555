"""What a ranked list is worth: its order (NDCG, per-user AUC), how much of the catalogue is seen, how alike its items.

Columns in, one row per scored item; `group` is the list (session) a row stands in, `cluster` who it was for (user).
Lists are not independent when users come more than once: intervals are over clusters.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student

from mlsys.core import MlsysError
from mlsys.evaluation.intervals import Estimate, cluster_codes, cluster_share


def top_k(score: np.ndarray, group: np.ndarray, k: int) -> np.ndarray:
    """Which rows are among the k best of their list, bool (n,). Ties go to the row that comes first.

    >>> top_k(np.array([0.1, 0.9, 0.5]), np.array([7, 7, 8]), k=1)
    array([False,  True,  True])
    """
    order, rank = _order(score, group)
    chosen = np.empty(len(order), bool)
    chosen[order] = rank < k
    return chosen


def ndcg(y: np.ndarray, score: np.ndarray, group: np.ndarray, k: int = 10) -> np.ndarray:
    """NDCG@k of every group that has a like, float64 (groups,), by id: gains y, discount 1 / log2(rank + 1).

    y 0/1, score and group, all (n,). Ties go to the row that comes first.
    Source: Järvelin & Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS 20 (2002).

    >>> ndcg(np.array([0, 1]), np.array([0.9, 0.1]), np.array([5, 5])).round(3)
    array([0.631])
    """
    order, rank = _order(score, group)
    gain = np.asarray(y, np.float64)[order]
    start = np.flatnonzero(rank == 0)
    reached = np.add.reduceat(np.where(rank < k, gain / np.log2(rank + 2), 0.0), start)
    likes = np.add.reduceat(gain, start).astype(np.int64)
    best = np.append(0.0, np.cumsum(1 / np.log2(np.arange(k) + 2)))[np.minimum(likes, k)]
    return np.asarray(reached[likes > 0] / best[likes > 0])


def ndcg_at_k(
    y: np.ndarray,
    score: np.ndarray,
    group: np.ndarray,
    k: int = 10,
    cluster: np.ndarray | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean NDCG@k over lists that have a like; interval over users if `cluster` (n,) names them, else over lists.

    >>> print(ndcg_at_k(np.array([0, 1]), np.array([0.9, 0.1]), np.array([5, 5]), k=1))
    0.000 [0.000, 0.793]
    """
    y, group = np.asarray(y, bool), np.asarray(group)
    _some(y, "a list with a like")
    liked, first = np.unique(group[y], return_index=True)  # in the order of `ndcg`
    owner = liked if cluster is None else np.asarray(cluster)[y][first]
    return cluster_share(ndcg(y, score, group, k), owner, level)


def user_auc(y: np.ndarray, score: np.ndarray, user: np.ndarray, level: float = 0.95) -> Estimate:
    """Mean over users of their own AUC, a user one vote; those without both classes have none. `n` counts the users.

    AUC over all rows also rewards knowing who likes a lot, which orders nobody's feed. Ties count half.
    Source: Zhu et al., Optimized cost per click in Taobao display advertising, KDD (2017), there weighted by rows.

    >>> y, score, user = np.array([0, 1, 0, 1]), np.array([0.6, 0.5, 0.1, 0.2]), np.array([1, 1, 2, 2])
    >>> user_auc(y, score, user).value
    0.5
    """
    y, score = np.asarray(y, bool), np.asarray(score, np.float64)
    codes, users = cluster_codes(user, len(y))
    # Ranks over all rows less those of the users before: user by user, ties within a user only.
    level_of = np.unique(score, return_inverse=True)[1]
    rank = rankdata(codes * (int(level_of.max(initial=0)) + 1) + level_of)
    rows = np.bincount(codes, minlength=users)
    rank -= (np.cumsum(rows) - rows)[codes]
    likes = np.bincount(codes, weights=y, minlength=users)
    ranks = np.bincount(codes, weights=rank * y, minlength=users)
    both = (likes > 0) & (likes < rows)
    _some(both, "a user with a liked and another row")
    value = (ranks - likes * (likes + 1) / 2)[both] / (likes * (rows - likes))[both]
    return cluster_share(value, None, level)


def coverage(item: np.ndarray, catalogue: int, cluster: np.ndarray, level: float = 0.95) -> Estimate:
    """Share of a catalogue of so many items that stands in at least one list; `item`, `cluster` of the shown rows.

    It grows with the number of lists: compare at equal numbers. The interval is for as many users as these: the
    jackknife, leaving out a user at a time, which loses the items that only this user saw. It is wide rather than
    narrow (Efron & Stein, The jackknife estimate of variance, Ann. Stat. 9, 1981); a bootstrap would sit too low.

    >>> print(coverage(np.array([1, 2, 2, 3]), catalogue=10, cluster=np.array([7, 7, 8, 9])))
    0.300 [0.013, 0.587]
    """
    item_of, items = cluster_codes(item, len(item))
    user_of, users = cluster_codes(cluster, len(item))
    if not 0 < items <= catalogue:
        raise MlsysError(
            f"{items} different items shown of a catalogue of {catalogue}",
            why="it is a share of the items that could have been shown",
            fix="pass the rows that were shown, and the number of items that were live",
        )
    pairs = np.unique(item_of * users + user_of)
    seen_by = np.bincount(pairs // users, minlength=items)
    alone = np.bincount((pairs % users)[seen_by[pairs // users] == 1], minlength=users) / catalogue
    value, reach = items / catalogue, np.inf
    if users > 1:
        reach = float(student.ppf((1 + level) / 2, users - 1) * np.sqrt((users - 1) * alone.var()))
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), len(item), level)


def diversity(
    category: np.ndarray, group: np.ndarray, cluster: np.ndarray | None = None, level: float = 0.95
) -> Estimate:
    """Intra-list diversity: the share of a list's pairs that differ in `category` (topic), meaned over lists.

    All (n,), shown rows only: take `top_k` first. Lists of one item have no pair and are left out.
    Source: Ziegler et al., Improving recommendation lists through topic diversification, WWW (2005).

    >>> diversity(np.array([1, 1, 2]), np.array([5, 5, 5])).value.__round__(3)
    0.667
    """
    list_of, lists = cluster_codes(group, len(category))
    kind_of, kinds = cluster_codes(category, len(category))
    cells, each = np.unique(list_of * kinds + kind_of, return_counts=True)
    same = np.bincount(cells // kinds, weights=each * (each - 1.0), minlength=lists)
    size = np.bincount(list_of, minlength=lists)
    several = size > 1
    _some(several, "a list of two items or more")
    owner = np.arange(lists) if cluster is None else np.asarray(cluster)[np.unique(list_of, return_index=True)[1]]
    value = 1 - same[several] / (size * (size - 1.0))[several]
    return cluster_share(value, owner[several], level)


def _order(score: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by list, best first, and the rank of each of those within its list, from 0."""
    group = np.asarray(group)
    order = np.lexsort((-np.asarray(score, np.float64), group))
    listed = group[order]
    start = np.flatnonzero(np.append(True, listed[1:] != listed[:-1])[: len(listed)])
    size = np.diff(np.append(start, len(listed)))
    return order, np.arange(len(listed)) - np.repeat(start, size)


def _some(found: np.ndarray, what: str) -> None:
    if not found.any():
        raise MlsysError(
            f"there is not {what}",
            why="what has nothing to order says nothing about an order",
            fix="evaluate on a longer period",
        )
