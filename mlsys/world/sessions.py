"""One day of one shard of users: sessions, candidates, ranking, exposure, response.

Everything here is a function of its arguments and one seeded generator per purpose, so it makes no difference
which process runs it. Arrays are (S,) per session, (S, C) per candidate, (S, L) per slot.

A session is explored with probability ε: its order is a uniform shuffle of the candidates. The probability that
post i stands at slot k is therefore known in closed form, given the candidates:

    μ(i at k) = (1 - ε) · 1[the ranker puts i at k] + ε / C
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsys.core import MlsysError, generator
from mlsys.world import behaviour
from mlsys.world.parameters import ENJOYMENT, EVENING_HOUR, RESPONSES, Parameters
from mlsys.world.population import Users
from mlsys.world.rankers import Experiment, Oracle, Random, Ranker, Requests

SESSIONS, CANDIDATES, EXPLORATION, RESPONSE, DELIVERY = range(1, 6)
"""Random streams of a shard."""

LARGEST_SCORE = 1e9
"""Scores rounded to 1e-6 are ordered as 64-bit integers that have the candidate's column in their low bits."""

SECOND = 1_000_000
SLOT_SECONDS = 5
"""Seconds between the impressions of a session."""


@dataclass(frozen=True)
class Live:
    """The posts of a day. Their ids run from `first` on; tables are in that order."""

    first: int
    topic: np.ndarray  # int64 (n,)
    table: np.ndarray  # float32 (n, devices, 4), see behaviour.post_table
    enjoyment: np.ndarray  # float32 (n,)
    order: np.ndarray  # int64 (n,), ids shuffled within markets
    market_start: np.ndarray  # int64 (markets,), where a market begins in `order`
    market_posts: int  # posts per market


@dataclass(frozen=True)
class Shard:
    """What a worker needs: consecutive users, and who they are to the choice model."""

    first_user: int
    users: Users
    table: np.ndarray  # float32 (n, topics, 4), see behaviour.user_table


@dataclass(frozen=True)
class Sessions:
    """The requests of a shard's day, and each session's row in the shard."""

    requests: Requests
    row: np.ndarray


@dataclass(frozen=True)
class Slates:
    """What was shown: post_id int64 (S, L), greedy_rank int16 (S, L) from 1, explored bool (S,)."""

    post_id: np.ndarray
    greedy_rank: np.ndarray
    explored: np.ndarray


@dataclass(frozen=True)
class Responses:
    """True probabilities (S, L, 4) of like, dislike, share, null, at the slot; hidden enjoyment (S,)."""

    p: np.ndarray
    enjoyment: np.ndarray
    x: np.ndarray
    total: np.ndarray


def draw(p: Parameters, key: tuple[int, ...], start: int, shard: Shard, live: Live) -> Sessions:
    """Who comes when, and what could be shown. `key` names the random streams, `start` is midnight in µs."""
    rng, users = generator(*key, SESSIONS), shard.users
    count = behaviour.visits(behaviour.session_rate(p, users), rng.random(len(users)))
    row = np.repeat(np.arange(len(users)), count)
    hour = np.asarray(EVENING_HOUR)[users.region[row]] + 8 * (rng.random(len(row)) + rng.random(len(row)) - 1)
    time = start + (hour % 24 * 3_600 * SECOND).astype(np.int64)
    # One uniform draw per stratum of the shuffled list: no post twice in a session. Bounds are integers.
    bound = np.arange(p.candidates + 1) * live.market_posts // p.candidates
    u = generator(*key, CANDIDATES).random((len(row), p.candidates), np.float32)
    place = (u * np.diff(bound).astype(np.float32)).astype(np.int64) + bound[:-1]
    if p.markets > 1:
        place += live.market_start[users.market[row], None]
    requests = Requests(row + shard.first_user, users.device[row], time, live.order[place])
    return Sessions(requests, row)


def truth(s: Sessions, post_id: np.ndarray, shard: Shard, live: Live) -> tuple[np.ndarray, np.ndarray]:
    """`behaviour.odds` of every shown or candidate post, (S, any, 4) and (S, any)."""
    post, topics, devices = post_id - live.first, shard.table.shape[1], live.table.shape[1]
    users = np.take(shard.table.reshape(-1, 4), s.row[:, None] * topics + live.topic[post], axis=0)
    posts = np.take(live.table.reshape(-1, 4), post * devices + s.requests.device[:, None], axis=0)
    return behaviour.odds(users, posts)


def rank(
    p: Parameters, key: tuple[int, ...], s: Sessions, ranker: Ranker, explore: float, shard: Shard, live: Live
) -> Slates:
    """The best `slots` of every session; a share `explore` of sessions is shuffled instead."""
    shape = s.requests.post_id.shape
    keys = _keys(_scores(s, ranker, shard, live))
    shown = _best(keys, p.slots)
    greedy_rank = np.broadcast_to(np.arange(1, p.slots + 1, dtype=np.int16), shown.shape).copy()
    rng = generator(*key, EXPLORATION)
    explored = np.asarray(rng.random(shape[0]) < explored_share(ranker, explore))
    if (some := np.flatnonzero(explored)).size:
        shown[some] = _best(_keys(rng.random((some.size, shape[1]))), p.slots)
        greedy_rank[some] = _ranks(keys[some], shown[some])
    return Slates(np.take_along_axis(s.requests.post_id, shown, axis=1), greedy_rank, explored)


def explored_share(ranker: Ranker, explore: float) -> float:
    """The ε of the propensities: all sessions of the random ranker are shuffled."""
    return 1.0 if isinstance(ranker, Random) else explore


def respond(p: Parameters, s: Sessions, slates: Slates, shard: Shard, live: Live) -> Responses:
    """The exact probabilities of every response, before any die is thrown."""
    e = behaviour.attention(p)
    x, total = truth(s, slates.post_id, shard, live)
    post = slates.post_id - live.first
    affinity = shard.users.interests[s.row[:, None], live.topic[post]]
    joy = ENJOYMENT["affinity"] * p.signal * affinity + live.enjoyment[post]
    return Responses(behaviour.probabilities(x, total, e), (joy * (e / e.sum(dtype=np.float64))).sum(axis=1), x, total)


def act(p: Parameters, key: tuple[int, ...], responses: Responses) -> np.ndarray:
    """The dice: action codes int8 (S, L), -1 for null."""
    u = generator(*key, RESPONSE).random(responses.total.shape, np.float32)
    return behaviour.choose(u, responses.x, responses.total, behaviour.attention(p))


def delivery(p: Parameters, key: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Delay of every event, int64 microseconds (n,), and which are delivered twice (positions)."""
    rng = generator(*key, DELIVERY)
    delay = rng.standard_exponential(n, np.float32) * np.float32(p.delay_minutes * 60 * SECOND)
    late = np.flatnonzero(rng.random(n, np.float32) < p.late_share)
    delay[late] += rng.standard_exponential(late.size, np.float32) * np.float32(p.late_hours * 3_600 * SECOND)
    return delay.astype(np.int64), np.flatnonzero(rng.random(n, np.float32) < p.duplicate_share)


def expected(p: Parameters, responses: Responses) -> np.ndarray:
    """Sums over the shard's sessions, float64 (6,): the four responses, enjoyment, sessions."""
    sums = [responses.p[..., i].sum(dtype=np.float64) for i in range(len(RESPONSES))]
    return np.array([*sums, responses.enjoyment.sum(), len(responses.enjoyment)])


def _scores(s: Sessions, ranker: Ranker, shard: Shard, live: Live) -> np.ndarray:
    """float64 (S, C). The oracle gets the truth, an experiment's arms their own users."""
    if isinstance(ranker, Oracle):
        return ranker.from_truth(behaviour.probabilities(*truth(s, s.requests.post_id, shard, live)))
    if isinstance(ranker, Experiment):
        arms = [_scores(s, arm, shard, live) for arm in (ranker.treatment, ranker.control)]
        return np.where(ranker.treats(s.requests.user_id)[:, None], *arms)
    if not len(s.row):  # A shard of a few new users may have no session, and models refuse an empty batch.
        return np.zeros(s.requests.post_id.shape)
    scores = np.asarray(ranker.scores(s.requests))
    wrong = ~(np.abs(scores) < LARGEST_SCORE)  # true for NaN
    if scores.shape != s.requests.post_id.shape or wrong.any():
        raise MlsysError(
            f"ranker {ranker.name!r} gave scores of shape {scores.shape}, {int(wrong.sum())} NaN or too large",
            why=f"every candidate needs one score below {LARGEST_SCORE:g} in size: shape {s.requests.post_id.shape}",
            fix="give a post you cannot score the score of a typical one; scale large scores down",
        )
    return scores


def _ranks(keys: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The rank of some columns among the keys of their row, from 1, int16, shape of `columns`."""
    rank, best_first = np.empty(keys.shape, np.int16), np.argsort(-keys, axis=1)
    np.put_along_axis(rank, best_first, np.arange(1, keys.shape[1] + 1, dtype=np.int16)[None], axis=1)
    return np.take_along_axis(rank, columns, axis=1)


def _keys(scores: np.ndarray) -> np.ndarray:
    """int64 (S, C) that sort like the scores rounded to 1e-6, and no two of a session alike: the column is inside."""
    columns = scores.shape[1]
    bits = int(columns - 1).bit_length()
    return np.asarray((np.rint(scores * 1e6).astype(np.int64) << bits) | np.arange(columns - 1, -1, -1))


def _best(keys: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest keys, largest first, int64 (S, k)."""
    columns = keys.shape[1]
    top = np.partition(keys, columns - k, axis=1)[:, columns - k :]
    top.sort(axis=1)
    return np.asarray(columns - 1 - (top[:, ::-1] & ((1 << int(columns - 1).bit_length()) - 1)))
