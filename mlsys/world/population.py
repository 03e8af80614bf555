"""Who there is: users, creators, posts. Latent traits live here; no ranker but the oracle sees them.

    user      interests θ ~ N(0, I) over topics · generosity g ~ N(0, 1) · satisfaction S = 0 at first
              sessions/day λ_u = λ exp(σ z - σ²/2), z ~ N(0, 1): heavy-tailed · device, region, market
    creator   quality Q ~ N(0, 1) · clickbait B = -.2 Q + .98 z · home topic · size exp(.8 z) · market
    post      quality q = .7 Q + .714 z · clickbait c = .8 B + .6 z · topic = home with probability .5, else any
              length ~ U(0, 1) · created at some time of the day before it can first be shown

A post's creator is drawn with probability proportional to size · exp(applause_strength · applause).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from mlsys.core import generator
from mlsys.world.parameters import DEVICE_SHARES, REGIONS, Parameters

CREATORS, USERS, POSTS = 1, 2, 3
"""Names of random streams."""


@dataclass
class Users:
    """One entry per user; a user's id is the position."""

    interests: np.ndarray  # float64 (n, topics), latent
    generosity: np.ndarray  # float64 (n,), latent
    rate: np.ndarray  # float64 (n,), sessions per day at satisfaction 0, latent
    satisfaction: np.ndarray  # float64 (n,), latent
    device: np.ndarray  # int8 (n,), 3 is not recorded
    region: np.ndarray  # int8 (n,)
    market: np.ndarray  # int16 (n,)
    joined: np.ndarray  # int32 (n,), day

    def __len__(self) -> int:
        return len(self.device)


@dataclass
class Creators:
    """One entry per creator; `applause` changes day by day."""

    quality: np.ndarray  # float64, latent
    clickbait: np.ndarray  # float64, latent
    size: np.ndarray  # float64, how much a creator posts, relative to others
    home: np.ndarray  # int16, topic
    market: np.ndarray  # int16
    applause: np.ndarray  # float64


@dataclass
class Posts:
    """One entry per post, in order of first day; a post's id is the position."""

    creator: np.ndarray  # int32 (n,)
    topic: np.ndarray  # int16 (n,)
    length: np.ndarray  # float64 (n,), 0 to 1
    created: np.ndarray  # int64 (n,), microseconds after the world's start
    first_day: np.ndarray  # int32 (n,), the first day on which it can be shown
    quality: np.ndarray  # float64 (n,), latent
    clickbait: np.ndarray  # float64 (n,), latent

    def __len__(self) -> int:
        return len(self.creator)


def draw_users(p: Parameters, seed: int, day: int, first: int, n: int) -> Users:
    """`n` users who join on `day`; the first of them gets the id `first`."""
    rng = generator(seed, USERS, day)
    return Users(
        interests=rng.standard_normal((n, p.topics)),
        generosity=rng.standard_normal(n),
        rate=p.sessions_per_day * np.exp(p.activity_sd * rng.standard_normal(n) - p.activity_sd**2 / 2),
        satisfaction=np.zeros(n),
        device=np.searchsorted(np.cumsum(DEVICE_SHARES)[:-1], rng.random(n), side="right").astype(np.int8),
        region=rng.integers(0, len(REGIONS), n).astype(np.int8),
        market=((first + np.arange(n)) % p.markets).astype(np.int16),
        joined=np.full(n, day, np.int32),
    )


def draw_creators(p: Parameters, seed: int) -> Creators:
    """The creators; they neither come nor go."""
    rng = generator(seed, CREATORS)
    quality = rng.standard_normal(p.creators)
    return Creators(
        quality=quality,
        clickbait=-0.2 * quality + np.sqrt(1 - 0.2**2) * rng.standard_normal(p.creators),
        size=np.exp(0.8 * rng.standard_normal(p.creators)),
        home=rng.integers(0, p.topics, p.creators).astype(np.int16),
        market=(np.arange(p.creators) % p.markets).astype(np.int16),
        applause=np.zeros(p.creators),
    )


def draw_posts(p: Parameters, seed: int, day: int, creators: Creators) -> Posts:
    """The posts that can first be shown on `day`; every market gets the same number."""
    rng = generator(seed, POSTS, day + p.live_days)  # Posts of the days before the first have days below 0.
    weight = creators.size * np.exp(p.applause_strength * creators.applause)
    each, by_market = p.posts_per_day // p.markets, []
    for market in range(p.markets):
        members = np.flatnonzero(creators.market == market)
        share = np.cumsum(weight[members])
        by_market.append(members[np.searchsorted(share / share[-1], rng.random(each), side="right")])
    creator = np.concatenate(by_market).astype(np.int32)
    n = len(creator)
    home = creators.home[creator]
    return Posts(
        creator=creator,
        topic=np.where(rng.random(n) < 0.5, home, rng.integers(0, p.topics, n)).astype(np.int16),
        length=rng.random(n),
        created=((day - 1 + rng.random(n)) * 86_400e6).astype(np.int64),
        first_day=np.full(n, day, np.int32),
        quality=0.7 * creators.quality[creator] + np.sqrt(1 - 0.7**2) * rng.standard_normal(n),
        clickbait=0.8 * creators.clickbait[creator] + 0.6 * rng.standard_normal(n),
    )


Table = TypeVar("Table", Users, Posts)


def append(old: Table, new: Table) -> Table:
    """Both, the new ones after the old ones."""
    return type(old)(**{f.name: np.concatenate([getattr(old, f.name), getattr(new, f.name)]) for f in fields(old)})
