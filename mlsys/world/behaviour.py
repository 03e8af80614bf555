"""The choice model: what a user does with a post, and what that does to the user.

A user who looks at a post weighs four responses against a plain view (utility 0):

    U_response = base + g·generosity + a·affinity + q·quality + c·clickbait + m·fit + f·freshness

    affinity   a = θ_u[topic]                     fit  m = .8 - ((length - ideal_device) / .35)²
    freshness  f = exp(-age / 1.5 days) - .35     age in whole days since it could first be shown

    P(response | looked at)  = exp(U_response) / (1 + Σ exp(U))
    P(response at slot k)    = e_k · P(response | looked at) + (1 - e_k) · (view .8, null .2),   e_k = k^-attention

Weights are `parameters.WEIGHTS`. exp of a sum is a product of exps, so one table per user × topic and one per
post × device hold all there is; an impression costs two look-ups and no exp. Tables are float64 exps rounded to
float32, which hides the last bits in which processors disagree.
"""

from __future__ import annotations

import numpy as np

from mlsys.world.parameters import ENJOYMENT, IDEAL_LENGTH, NOISE_SHARES, UNSEEN_NULL, WEIGHTS, Parameters
from mlsys.world.population import Posts, Users

ACTION_OF = np.array([0, 1, 3, -1, 2], np.int8)
"""Index in `core.ACTIONS` of like, dislike, share, null (-1), view."""


def attention(p: Parameters) -> np.ndarray:
    """P(looked at) per slot, float32 (slots,): slot k has k^-attention, and 1 in a world without signal."""
    return np.asarray(np.arange(1, p.slots + 1) ** (-p.attention * p.signal), np.float32)


def fit(length: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """How well a length suits a device, shape of the two broadcast together; .8 at best."""
    return np.asarray(0.8 - ((length - ideal) / 0.35) ** 2)


def freshness(age_days: np.ndarray) -> np.ndarray:
    """exp(-age / 1.5) - .35, age in whole days."""
    return np.asarray(np.exp(-age_days / 1.5) - 0.35)


def user_table(p: Parameters, users: Users) -> np.ndarray:
    """exp of the user's part of each utility: float32 (n, topics, 4), base included."""
    base = p.signal * WEIGHTS[:, 0] + (1 - p.signal) * np.log(np.array(NOISE_SHARES) / (1 - sum(NOISE_SHARES)))
    own = base + p.signal * WEIGHTS[:, 1] * users.generosity[:, None, None]
    return np.asarray(np.exp(own + p.signal * WEIGHTS[:, 2] * users.interests[:, :, None]), np.float32)


def post_table(p: Parameters, posts: Posts, live: slice, day: int, ideal: np.ndarray | None = None) -> np.ndarray:
    """exp of the post's part of each utility on `day`: float32 (live posts, devices, 4).

    `ideal`: the length each device's readers like best, if it is no longer `IDEAL_LENGTH`.
    """
    best = np.asarray(IDEAL_LENGTH) if ideal is None else ideal
    traits = WEIGHTS[:, 3] * posts.quality[live, None] + WEIGHTS[:, 4] * posts.clickbait[live, None]
    traits = traits + WEIGHTS[:, 6] * freshness(day - posts.first_day[live])[:, None]
    suits = WEIGHTS[:, 5] * fit(posts.length[live, None], best)[:, :, None]
    return np.asarray(np.exp(p.signal * (traits[:, None, :] + suits)), np.float32)


def post_enjoyment(p: Parameters, posts: Posts, live: slice) -> np.ndarray:
    """The post's part of enjoyment, float32 (live posts,). The user's part is .5 · affinity."""
    value = ENJOYMENT["quality"] * posts.quality[live] + ENJOYMENT["clickbait"] * posts.clickbait[live]
    return np.asarray(p.signal * value, np.float32)


def odds(users: np.ndarray, posts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp(U) of the four responses, float32 (..., 4), from two table look-ups; and 1 + their sum, (...)."""
    x = users * posts
    return x, 1 + x[..., 0] + x[..., 1] + x[..., 2] + x[..., 3]


def probabilities(x: np.ndarray, total: np.ndarray, e: np.ndarray | float = 1.0) -> np.ndarray:
    """P of like, dislike, share, null, float32 (..., 4), at P(looked at) `e`, which broadcasts over (...)."""
    out = x * (e / total)[..., None]
    out[..., 3] += UNSEEN_NULL * (1 - e)
    return np.asarray(out)


def choose(u: np.ndarray, x: np.ndarray, total: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Actions, int8 codes of `core.ACTIONS` and -1 for null, from uniforms `u` (sessions, slots).

    Inverse CDF in the order like, dislike, share, null, view, with both sides multiplied by total / e.
    """
    r, edge = u * (total / e), x[..., 0].copy()
    drawn = (r >= edge).astype(np.int8)
    for response in (1, 2):
        edge += x[..., response]
        drawn += r >= edge
    edge += x[..., 3] + UNSEEN_NULL * (1 / e - 1) * total
    drawn += r >= edge
    return np.asarray(ACTION_OF[drawn])


def session_rate(p: Parameters, users: Users) -> np.ndarray:
    """Expected sessions of the day, float64 (n,): 2 λ_u / (1 + exp(-2 · return_strength · S)), at most 20.

    exp is rounded to float32, like the tables.
    """
    falling = np.exp(-2 * p.return_strength * users.satisfaction).astype(np.float32).astype(np.float64)
    return np.minimum(2 * users.rate / (1 + falling), p.max_sessions_per_day)


def visits(rate: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Poisson(rate) by inverse CDF, int64 (n,), from uniforms u (n,); rates up to 20, at most 99 visits.

    The same uniform gives the same or more visits at a higher rate: two rankers meet the same people, but for those
    whom they treated differently, and comparisons between them keep little of the noise of who came.

    >>> visits(np.array([0.5, 5.0]), np.array([0.5, 0.5])).tolist()
    [0, 5]
    """
    out, left = np.zeros(len(rate), np.int64), np.arange(len(rate))
    term = np.exp(-rate).astype(np.float32).astype(np.float64)
    below = term.copy()
    for k in range(1, 100):
        # Past the mean, a term this small ends it: rounding leaves the sum of all terms a little off 1.
        more = np.flatnonzero((u[left] > below) & ((term > 1e-12) | (k <= rate[left])))
        if not more.size:
            break
        left, term = left[more], term[more] * rate[left[more]] / k
        below = below[more] + term
        out[left] = k
    return out


def satisfied(p: Parameters, before: np.ndarray, sessions: np.ndarray, enjoyment: np.ndarray) -> np.ndarray:
    """Satisfaction at the end of the day: S + (1 - (1 - ρ)^n)(mean enjoyment - S) after n sessions.

    `sessions` int (n,), `enjoyment` float64 (n,) summed over the day's sessions.
    """
    mean = enjoyment / np.maximum(sessions, 1)
    kept = (1 - p.satisfaction_rate) ** np.arange(sessions.max(initial=0) + 1)
    return np.asarray(before + (1 - kept[sessions]) * (mean - before))


def applauded(applause: np.ndarray, likes: np.ndarray, posts: np.ndarray) -> np.ndarray:
    """A creator's applause at the end of the day: .9 A + .1 · clip(log((likes + 2) / (expected + 2)), ±2).

    Expected likes are the creator's share of live posts times all likes. All arrays (creators,).
    """
    expected = posts / max(posts.sum(), 1) * likes.sum()
    return np.asarray(0.9 * applause + 0.1 * np.clip(np.log((likes + 2) / (expected + 2)), -2, 2))
