"""The world as one object: it holds the state, and a step is a day. See `mlsys.world` for the model on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mlsys.core import ACTIONS, MlsysError, generator
from mlsys.world import behaviour, population, sessions
from mlsys.world.damage import damage
from mlsys.world.incidents import Incident, Incidents
from mlsys.world.parameters import DEVICES, IDEAL_LENGTH, REGIONS, RESPONSES, Parameters, parameters
from mlsys.world.population import Posts
from mlsys.world.rankers import Ranker
from mlsys.world.sessions import Live, Shard

SHARD_USERS = 2_500
"""Users per shard. Shards, and so the bytes that come out, do not depend on the number of workers."""

SHUFFLE, SHIFT, LOSS, DAY, VALUE = 11, 12, 13, 14, 15
"""Random streams of a day."""

VALUES = (*RESPONSES, "enjoyment")
TIME = np.dtype("datetime64[us]")


@dataclass(frozen=True)
class Day:
    """What a step produced. Only `log` is visible in production.

    log : one row per delivered impression, in order of session start, repeats of a delivery last.
        event_id, user_id, post_id, position (from 1), greedy_rank, session_id int64 · action, device, ranker
        category · explored bool · propensity float32 · event_time, arrival_time datetime64[us]
    p_like : true P(like) of every row of `log`, float32 (n,)
    value : exact expected responses and enjoyment per session, a row for what was served and one per ranker in
        `against`, on the very same sessions
    sessions, active : sessions of the day, and users who had one
    """

    log: pd.DataFrame
    p_like: np.ndarray
    value: pd.DataFrame
    sessions: int
    active: int


class World:
    """A feed whose truth is known.

    Parameters
    ----------
    scenario : `default`, `noise`, `legacy_order`, `rich_get_richer` or `markets`.
    seed : same seed and parameters, same bytes, whatever `n_jobs`.
    incidents : what goes wrong, and when.
    n_jobs : worker processes, as in joblib; None follows `joblib.parallel_config`, so that its Dask or Ray
        backends take over without a change here.
    start : midnight of day 0, UTC.
    **changes : any field of `Parameters`, for example users=500.

    >>> from mlsys.world import Oracle, Random
    >>> world = World(users=100, seed=13)
    >>> day = world.step(Random(), against=[Oracle()])
    >>> bool(day.value.loc["oracle", "like"] > day.value.loc["random", "like"]), world.day
    (True, 1)
    """

    def __init__(
        self,
        scenario: str = "default",
        *,
        seed: int = 13,
        incidents: Sequence[Incident] = (),
        n_jobs: int | None = None,
        start: str = "2026-01-01",
        **changes: Any,
    ) -> None:
        self.p: Parameters = parameters(scenario, **changes)
        if seed < 0:
            raise MlsysError(f"seed={seed}", why="a seed is 0 or more", fix="World(seed=13)")
        self.scenario, self.seed, self.n_jobs = scenario, seed, n_jobs
        self.incidents, self.start, self.day = Incidents(incidents), np.datetime64(start, "us"), 0
        self.ideal_length = np.array(IDEAL_LENGTH)
        self.creators = population.draw_creators(self.p, seed)
        self.users = population.draw_users(self.p, seed, 0, 0, self.p.users)
        self.posts = population.draw_posts(self.p, seed, 1 - self.p.live_days, self.creators)
        for day in range(2 - self.p.live_days, 1):
            self._add_posts(day)
        self._user_table = behaviour.user_table(self.p, self.users)
        self._shift()
        self._next_event = self._next_session = 0

    @property
    def now(self) -> np.datetime64:
        """Midnight before the day that `step` will simulate, `datetime64[us]`."""
        return np.datetime64(self.start + np.timedelta64(self.day, "D"))

    def catalogue(self) -> pd.DataFrame:
        """What production knows about every post so far: post_id, creator_id, topic, length, created."""
        posts, day = self.posts, self.day
        length = posts.length.copy()
        for i in self.incidents:
            if i.kind == "unit_change" and i.day <= day < i.day + i.days:
                length[generator(self.seed, LOSS).random(self.p.creators)[posts.creator] < i.size] *= 100
        return pd.DataFrame(
            {
                "post_id": np.arange(len(posts)),
                "creator_id": posts.creator.astype(np.int64),
                "topic": posts.topic.astype(np.int64),
                "length": length,
                "created": self.start + posts.created.astype("timedelta64[us]"),
            }
        )

    def people(self) -> pd.DataFrame:
        """What production knows about every user so far: user_id, device, region, joined."""
        users = self.users
        return pd.DataFrame(
            {
                "user_id": np.arange(len(users)),
                "device": _category(np.where(users.device < len(DEVICES), users.device, -1), DEVICES),
                "region": _category(users.region, REGIONS),
                "joined": self.start + users.joined.astype("timedelta64[D]").astype("timedelta64[us]"),
            }
        )

    def step(self, ranker: Ranker, *, explore: float = 0.0, against: Sequence[Ranker] = ()) -> Day:
        """Simulate a day: `ranker` orders the feed, people respond, satisfaction and creators move.

        explore : share of sessions whose order is a uniform shuffle of their candidates.
        against : rankers that are valued on the same sessions, without being shown to anybody.
        """
        _check_share(explore)
        day, live = self.day, self._live()
        work = [
            delayed(_simulate)(self.p, (self.seed, DAY, day, i), self._midnight, shard, live, ranker, explore, against)
            for i, shard in enumerate(self._shards())
        ]
        parts: list[_Part] = Parallel(n_jobs=self.n_jobs)(work)
        log, p_like = self._log(parts, ranker, explore)
        value = _frame([ranker.name, *(r.name for r in against)], [part.expected for part in parts])
        counts = np.concatenate([part.sessions for part in parts])
        self._remember(parts, counts, live)
        self.day += 1
        self._turn()
        return Day(log, p_like, value, int(counts.sum()), int((counts > 0).sum()))

    def value(self, rankers: Sequence[Ranker], *, repeats: int = 1, explore: float = 0.0) -> pd.DataFrame:
        """Exact expected responses and enjoyment per session of each ranker, were it served today.

        All rankers get the same sessions: `repeats` independent draws of a whole day. Nothing changes in the
        world. Rows are the rankers, columns `VALUES`; the sampling error left is that of who came and what was
        live, none of it from responses.
        """
        _check_share(explore)
        if repeats < 1 or not rankers:
            raise MlsysError(
                f"nothing to value: {len(rankers)} rankers, repeats={repeats}",
                why="a value is a mean over one day or more, of one ranker or more",
                fix="world.value([Random(), Oracle()])",
            )
        live, shards = self._live(), self._shards()
        work = [
            delayed(_value)(self.p, (self.seed, VALUE, self.day, n, i), self._midnight, shard, live, rankers, explore)
            for n in range(repeats)
            for i, shard in enumerate(shards)
        ]
        return _frame([r.name for r in rankers], Parallel(n_jobs=self.n_jobs)(work))

    @property
    def _midnight(self) -> int:
        return int(self.now.astype(np.int64))

    def _live(self) -> Live:
        """The posts that can be shown today, shuffled within markets."""
        p, each = self.p, self.p.posts_per_day // self.p.markets
        n = each * p.markets * p.live_days
        first = len(self.posts) - n
        live = slice(first, len(self.posts))
        market = self.creators.market[self.posts.creator[live]]
        order = np.lexsort((generator(self.seed, SHUFFLE, self.day).random(n), market))
        return Live(
            first,
            self.posts.topic[live].astype(np.int64),
            behaviour.post_table(p, self.posts, live, self.day, self.ideal_length),
            behaviour.post_enjoyment(p, self.posts, live),
            order + first,
            np.arange(p.markets) * each * p.live_days,
            each * p.live_days,
        )

    def _shards(self) -> list[Shard]:
        out = []
        for first in range(0, len(self.users), SHARD_USERS):
            part = slice(first, first + SHARD_USERS)
            users = population.Users(**{name: column[part] for name, column in vars(self.users).items()})
            out.append(Shard(first, users, self._user_table[part]))
        return out

    def _log(self, parts: list[_Part], ranker: Ranker, explore: float) -> tuple[pd.DataFrame, np.ndarray]:
        """The day's sessions in order of time, a row per impression, and after them the repeated deliveries."""
        p, slots = self.p, self.p.slots
        time = np.concatenate([part.requests[2] for part in parts])
        order = np.argsort(time, kind="stable")
        user, device, time = (np.concatenate([part.requests[i] for part in parts])[order] for i in range(3))
        post, greedy, action = (np.concatenate([part.slots[i] for part in parts])[order].ravel() for i in range(3))
        explored = np.concatenate([part.explored for part in parts])[order]
        p_like = np.concatenate([part.p_like for part in parts])[order].ravel()
        n, sessions_, position = len(post), len(time), np.tile(np.arange(1, slots + 1), len(time))
        if size := self.incidents.size("null_spike", self.day):
            lost = generator(self.seed, LOSS, self.day).random(n) < size
            action[lost & (np.repeat(device, slots) == DEVICES.index("iOS"))] = -1
        share = sessions.explored_share(ranker, explore)
        kept = np.where(greedy == position, np.float32(1 - share), np.float32(0))
        delay, repeated = sessions.delivery(p, (self.seed, DAY, self.day), n)
        event = (time[:, None] + np.arange(slots) * sessions.SLOT_SECONDS * sessions.SECOND).ravel()
        arrival = event + delay
        columns: dict[str, Any] = {
            "event_id": np.arange(self._next_event, self._next_event + n),
            "user_id": np.repeat(user, slots),
            "post_id": post,
            "action": action,
            "device": np.repeat(np.where(device < len(DEVICES), device, -1).astype(np.int8), slots),
            "event_time": event.view(TIME),
            "arrival_time": arrival.view(TIME),
            "position": position,
            "propensity": kept + np.float32(share / p.candidates),
            "explored": np.repeat(explored, slots),
            "greedy_rank": greedy.astype(np.int64),
            "session_id": np.repeat(np.arange(self._next_session, self._next_session + sessions_), slots),
        }
        if repeated.size:
            columns = {name: np.concatenate([column, column[repeated]]) for name, column in columns.items()}
            columns["arrival_time"][n:] += np.timedelta64(round(p.delay_minutes * 60e6) + 1, "us")
        columns["action"], columns["device"] = (
            _category(columns["action"], ACTIONS),
            _category(columns["device"], DEVICES),
        )
        columns["ranker"] = _category(np.zeros(n + repeated.size, np.int8), (ranker.name,))
        self._next_event, self._next_session = self._next_event + n, self._next_session + sessions_
        p_like, log = np.concatenate([p_like, p_like[repeated]]), pd.DataFrame(columns, copy=False)
        if not self.incidents:
            return log, p_like
        log, row = damage(log, self.incidents, self.seed, self.day)
        return log, np.where(row >= 0, p_like[row], np.float32(0))

    def _remember(self, parts: list[_Part], counts: np.ndarray, live: Live) -> None:
        """What the day did to users and creators."""
        joy = np.concatenate([part.enjoyment for part in parts])
        self.users.satisfaction = behaviour.satisfied(self.p, self.users.satisfaction, counts, joy)
        if self.p.applause_strength:
            post, action = (np.concatenate([part.slots[i].ravel() for part in parts]) for i in (0, 2))
            by_creator = self.posts.creator[post[action == ACTIONS.index("like")]]
            likes = np.bincount(by_creator, minlength=self.p.creators)
            posts = np.bincount(self.posts.creator[live.first :], minlength=self.p.creators)
            self.creators.applause = behaviour.applauded(self.creators.applause, likes, posts)

    def _turn(self) -> None:
        """The night: new users, new posts, and what changes with the new day."""
        usual = self.p.new_users_per_day + self.incidents.size("new_user_wave", self.day) * len(self.users)
        joining = int(generator(self.seed, population.USERS, self.day, 1).poisson(usual))
        new = population.draw_users(self.p, self.seed, self.day, len(self.users), joining)
        self.users = population.append(self.users, new)
        self._user_table = np.concatenate([self._user_table, behaviour.user_table(self.p, new)])
        self._shift()
        self._add_posts(self.day)

    def _shift(self) -> None:
        """People want other things, if an interest shift starts today."""
        if size := self.incidents.starting("interest_shift", self.day):
            other = generator(self.seed, SHIFT, self.day).standard_normal(self.users.interests.shape)
            self.users.interests = np.sqrt(1 - size**2) * self.users.interests + size * other
            self.ideal_length = self.ideal_length + size * (1 - 2 * self.ideal_length)
            self._user_table = behaviour.user_table(self.p, self.users)

    def _add_posts(self, day: int) -> None:
        new: Posts = population.draw_posts(self.p, self.seed, day, self.creators)
        self.posts = population.append(self.posts, new)


@dataclass(frozen=True)
class _Part:
    """What comes back from a shard: requests (user, device, time), slots (post, greedy rank, action), sums."""

    requests: tuple[np.ndarray, np.ndarray, np.ndarray]
    slots: tuple[np.ndarray, np.ndarray, np.ndarray]
    explored: np.ndarray
    p_like: np.ndarray
    expected: np.ndarray
    sessions: np.ndarray
    enjoyment: np.ndarray


def _simulate(
    p: Parameters,
    key: tuple[int, ...],
    start: int,
    shard: Shard,
    live: Live,
    ranker: Ranker,
    explore: float,
    against: Sequence[Ranker],
) -> _Part:
    """A shard's day, from one ranker's slates to what people did with them."""
    s = sessions.draw(p, key, start, shard, live)
    slates = sessions.rank(p, key, s, ranker, explore, shard, live)
    responses = sessions.respond(p, s, slates, shard, live)
    sums = [sessions.expected(p, responses)]
    for other in against:
        instead = sessions.rank(p, key, s, other, 0.0, shard, live)
        sums.append(sessions.expected(p, sessions.respond(p, s, instead, shard, live)))
    n = len(shard.users)
    return _Part(
        (s.requests.user_id, s.requests.device, s.requests.time),
        (slates.post_id, slates.greedy_rank, sessions.act(p, key, responses)),
        slates.explored,
        responses.p[..., 0],
        np.stack(sums),
        np.bincount(s.row, minlength=n),
        np.bincount(s.row, weights=responses.enjoyment, minlength=n),
    )


def _value(
    p: Parameters,
    key: tuple[int, ...],
    start: int,
    shard: Shard,
    live: Live,
    rankers: Sequence[Ranker],
    explore: float,
) -> np.ndarray:
    """Sums of `sessions.expected` per ranker, float64 (rankers, 6)."""
    s = sessions.draw(p, key, start, shard, live)
    slates = [sessions.rank(p, key, s, ranker, explore, shard, live) for ranker in rankers]
    return np.stack([sessions.expected(p, sessions.respond(p, s, one, shard, live)) for one in slates])


def _check_share(explore: float) -> None:
    if not 0 <= explore <= 1:
        raise MlsysError(f"explore={explore}", why="it is a share of sessions", fix="explore=0.05")


def _frame(names: list[str], sums: Sequence[np.ndarray]) -> pd.DataFrame:
    """Per-session means from the shards' sums, added in shard order."""
    total = np.zeros_like(sums[0])
    for part in sums:
        total = total + part
    return pd.DataFrame(total[:, :-1] / np.maximum(total[:, -1:], 1), index=names, columns=list(VALUES))


def _category(codes: np.ndarray, names: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(names)))
