"""Measurements of the world, one function per property of `properties`: seed in, named numbers out.

Both sides of a comparison start from the same state and get the same random streams, so that what is left is the
effect. Truth that no ranker sees (enjoyment, clickbait, exact values) is read from the world itself.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, chisquare

from mlsys.core import ACTIONS, generator
from mlsys.orchestration.ladder import RUNGS, ladder
from mlsys.world import Experiment, Incident, Oracle, Popularity, Random, TableRanker, World, behaviour
from mlsys.world.noise import ACTION_SHARES
from mlsys.world.parameters import DEVICE_SHARES, ENJOYMENT, WEIGHTS, Parameters
from mlsys.world.rankers import VALUE_WEIGHTS, Ranker

LIKE, VALUE = Oracle("like oracle"), Oracle("value oracle", VALUE_WEIGHTS)
"""The best rankers for today's likes, and for the value function."""


def marginals(seed: int) -> dict[str, float]:
    """Shares of the actions in ten days of random ranking."""
    action = _events(World(seed=seed), Random(), days=10)["action"]
    return {name: float((action == name).mean()) for name in ACTIONS} | {"null": float(action.isna().mean())}


def noise(seed: int) -> dict[str, float]:
    """How far a world without signal is from dice: error of p_like, and chi² (in sd) of shares and of dependence."""
    world = World("noise", seed=seed)
    days = [world.step(Random()) for _ in range(10)]
    log = pd.concat([_once(day.log) for day in days])
    action = log["action"].cat.codes.to_numpy()
    wanted = np.array([ACTION_SHARES[None], *(ACTION_SHARES[name] for name in ACTIONS)]) * len(log)
    others = [log["user_id"], log["post_id"], log["position"], log["device"].cat.codes]
    tables = [pd.crosstab(action, other.to_numpy()) for other in others] + [pd.crosstab(action[1:], action[:-1])]
    return {
        "error of P(like)": max(float(np.abs(day.p_like - ACTION_SHARES["like"]).max()) for day in days),
        "shares (sd)": _surprise(chisquare(np.bincount(action + 1, minlength=5), wanted).statistic, 4),
        "dependence (sd)": max(_surprise(found.statistic, found.dof) for found in map(chi2_contingency, tables)),
    }


def activity(seed: int) -> dict[str, float]:
    """Share of a month's sessions that the most active tenth of users have."""
    log = _events(World(seed=seed, new_users_per_day=0), Random(), days=30)
    return {"share of the top tenth": _top_tenth(np.bincount(log["user_id"], minlength=Parameters.users))}


def propensity(seed: int) -> dict[str, float]:
    """Ten days of popularity with 20 % exploration: logged likes and propensities against exact values."""
    world, ranker = World(seed=seed, users=4_000), Popularity()
    ranker.observe(_events(world, Random(), days=5))
    sums, likes = np.zeros(6), np.zeros(3)
    for _ in range(10):
        exact = world.step(ranker, explore=0.2, against=[ranker, Random()])
        log = _once(exact.log)
        liked, weight = (log["action"] == "like").to_numpy(), 1 / log["propensity"].to_numpy()
        greedy = (log["greedy_rank"] == log["position"]).to_numpy()
        estimates = [liked.sum(), (liked * greedy * weight).sum(), (liked * weight).sum() / world.p.candidates]
        sums += [*estimates, weight.sum() / world.p.candidates, log["explored"].sum(), len(log)]
        likes += exact.value["like"].to_numpy() * exact.sessions
        ranker.observe(log)
    served, same, other = sums[:3] / likes - 1
    return {
        "logged / exact - 1": served,
        "IPS without exploration / exact - 1": same,
        "IPS of random / exact - 1": other,
        "sum of propensities": sums[3] / sums[5],
        "explored": sums[4] / sums[5],
    }


def ladder_order(seed: int) -> dict[str, float]:
    """Likes per session of the next better ranker, as a gain; `ladder` has the rankers."""
    likes = ladder(seed)["like"]
    gains = {f"{better} over {worse}": likes[better] / likes[worse] - 1 for worse, better in pairwise(RUNGS)}
    return {**gains, "in order": float(all(gain > 0 for gain in gains.values()))}


def regret(seed: int) -> dict[str, float]:
    """A month of the like oracle and of the value oracle, after the same ten days of random ranking."""
    world = World(seed=seed, users=3_000)
    _events(world, Random(), days=10)
    likes, value = _month(deepcopy(world), LIKE), _month(world, VALUE)
    return {
        "likes/session on day 1, like oracle ahead by": likes["day 1"] / value["day 1"] - 1,
        "likes/user in 30 days, value oracle ahead by": value["likes"] / likes["likes"] - 1,
        "active on days 28-30, value - like oracle": value["kept"] - likes["kept"],
    }


def clickbait(seed: int) -> dict[str, float]:
    """A month of popularity and of random ranking, after the same ten days."""
    world, ranker = World(seed=seed, users=3_000), Popularity()
    ranker.observe(_events(world, Random(), days=10))
    random, popular = _month(deepcopy(world), Random()), _month(world, ranker)
    return {
        "likes/session on day 1, popularity ahead by": popular["day 1"] / random["day 1"] - 1,
        "clickbait shown, popularity - random": popular["clickbait"] - random["clickbait"],
        "active on days 28-30, popularity - random": popular["kept"] - random["kept"],
    }


def position_bias(seed: int) -> dict[str, float]:
    """Like counters from a week in order of creator size, per impression and per look, as rankers of 50 posts."""
    world = World("legacy_order", seed=seed, users=8_000, candidates=10)
    days = [world.step(TableRanker("size", world.creators.size[world.posts.creator])).log for _ in range(7)]
    log, n = pd.concat(days), len(world.posts)
    post, look = log["post_id"].to_numpy(), behaviour.attention(world.p)[log["position"].to_numpy() - 1]
    likes = np.bincount(post[(log["action"] == "like").to_numpy()], minlength=n)

    def rate(weight: np.ndarray) -> np.ndarray:
        shown, prior = np.bincount(post, weights=weight, minlength=n), 20 * weight.mean()
        return np.asarray((likes + prior * likes.sum() / shown.sum()) / (shown + prior))

    world.p = replace(world.p, candidates=50)
    rankers = [TableRanker("per impression", rate(np.ones(len(log)))), TableRanker("per look", rate(look))]
    value = world.value(rankers, repeats=3)["like"]
    return {"likes/session, per look ahead by": value["per look"] / value["per impression"] - 1}


def feedback_loop(seed: int) -> dict[str, float]:
    """Raw like counts rank for 40 days without exploration, and for 25 more with 5 % of it."""
    world, ranker = World("rich_get_richer", seed=seed, users=4_000), Popularity(smoothed=False)
    ranker.observe(_events(world, Random(), days=10))

    def last_five(days: int, explore: float) -> np.ndarray:
        """Headroom reached, exposure share of the top tenth of live posts, share of them shown < 5 times so far."""
        rows = []
        for left in range(days, 0, -1):
            headroom = _headroom(world, ranker) if left <= 5 else 0.0
            live = np.flatnonzero(world.posts.first_day > world.day - world.p.live_days)
            log = world.step(ranker, explore=explore).log
            ranker.observe(log)
            exposure = np.bincount(log["post_id"], minlength=live[-1] + 1)[live]
            known = live[live < len(ranker.shown)]
            rows.append((headroom, _top_tenth(exposure), 1 - (ranker.shown[known] >= 5).sum() / len(live)))
        return np.asarray(np.mean(rows[-5:], axis=0))

    first, without, explored = last_five(5, 0), last_five(35, 0), last_five(25, 0.05)
    return {
        "headroom reached on days 1-5": first[0],
        "change to days 36-40, without exploration": without[0] - first[0],
        "change to days 61-65, with exploration": explored[0] - without[0],
        "exposure of the top tenth of posts, days 36-40": without[1],
        "its change with exploration": explored[1] - without[1],
        "posts shown < 5 times, days 36-40": without[2],
        "their change with exploration": explored[2] - without[2],
    }


def interference(seed: int) -> dict[str, float]:
    """The value oracle against the like oracle: everybody's enjoyment, and two A/B tests of it.

    Each test is run with an assignment and with its mirror image, which cancels who happened to be in which arm.
    """
    world = World("markets", seed=seed, new_users_per_day=0)
    users, rng = len(world.users), generator(seed, 1)
    by_user = rng.permutation(users) < users // 2
    by_market = (rng.permutation(world.p.markets) < world.p.markets // 2)[world.users.market]
    truth = _effect(seed, np.ones(users, bool), np.zeros(users, bool))
    return {
        "enjoyment, all - none": truth,
        "user-level - truth": _effect(seed, by_user, ~by_user) - truth,
        "market-level - truth": _effect(seed, by_market, ~by_market) - truth,
    }


def shift(seed: int) -> dict[str, float]:
    """A perfect ranker of yesterday and one of today, on a day on which interests shift and on the same without."""
    frozen, fresh = [], []
    for incidents in ([], [Incident.parse("interest_shift@3")]):
        world = World(seed=seed, incidents=incidents)
        _events(world, Random(), days=2)
        yesterday = _tables(world)
        world.step(Random())
        frozen.append(_headroom(world, _perfect(world, yesterday)))
        fresh.append(_headroom(world, _perfect(world, _tables(world))))
    return {"headroom lost, frozen": frozen[0] - frozen[1], "headroom lost, up to date": fresh[0] - fresh[1]}


def _events(world: World, ranker: Ranker, days: int) -> pd.DataFrame:
    """The impressions of some days, each once."""
    return pd.concat([_once(world.step(ranker).log) for _ in range(days)])


def _once(log: pd.DataFrame) -> pd.DataFrame:
    """Without repeated deliveries."""
    return log[~log["event_id"].duplicated()]


def _surprise(chi2: float, freedom: int) -> float:
    """A chi² statistic in standard deviations above its expectation."""
    return float((chi2 - freedom) / np.sqrt(2 * freedom))


def _top_tenth(counts: np.ndarray) -> float:
    """Share of the whole that belongs to the largest tenth."""
    return float(np.sort(counts)[-(len(counts) // 10) :].sum() / counts.sum())


def _month(world: World, ranker: Ranker) -> dict[str, float]:
    """30 days: likes/session of the first, exactly; likes per user; retention; mean clickbait of what was shown.

    Users are those who were there on day 1. Retention: of those active on days 1-3, the share active on days 28-30.
    """
    users, days = len(world.users), []
    for _ in range(30):
        days.append(world.step(ranker))
        if isinstance(ranker, Popularity):
            ranker.observe(days[-1].log)
    log = pd.concat([_once(day.log) for day in days])
    early, late = (set(pd.concat([day.log["user_id"] for day in part])) for part in (days[:3], days[-3:]))
    early &= set(range(users))
    return {
        "day 1": float(days[0].value["like"].iloc[0]),
        "likes": float(((log["action"] == "like") & (log["user_id"] < users)).sum() / users),
        "kept": len(early & late) / len(early),
        "clickbait": float(world.posts.clickbait[log["post_id"]].mean()),
    }


def _headroom(world: World, ranker: Ranker) -> float:
    """Likes/session today, exactly, on a scale on which random is 0 and the oracle is 1."""
    value, random, best = world.value([ranker, Random(), LIKE], repeats=2)["like"]
    return float((value - random) / (best - random))


def _effect(seed: int, *assignments: np.ndarray) -> float:
    """Enjoyment per session, treated - control, on days 16-30 of the experiments with these assignments together."""
    joy, looks = np.zeros(2), np.zeros(2)
    for treated in assignments:
        world = World("markets", seed=seed, new_users_per_day=0)
        ranker = Experiment(LIKE, VALUE, treated)
        _events(world, ranker, days=15)
        log = _events(world, ranker, days=15)
        user, post = log["user_id"].to_numpy(), log["post_id"].to_numpy()
        enjoyed = behaviour.post_enjoyment(world.p, world.posts, slice(None))[post]
        enjoyed = enjoyed + ENJOYMENT["affinity"] * world.users.interests[user, world.posts.topic[post]]
        look = behaviour.attention(world.p)[log["position"].to_numpy() - 1]
        joy += np.bincount(treated[user], weights=enjoyed * look, minlength=2)
        looks += np.bincount(treated[user], weights=look, minlength=2)
    control, treatment = joy / looks
    return float(treatment - control)


def _tables(world: World) -> tuple[np.ndarray, np.ndarray]:
    """What orders posts by today's utility of a like: per post, over the mix of devices, and per user × topic."""
    _, _, affinity, quality, clickbait, fit, freshness = WEIGHTS[0]
    posts = world.posts
    suits = behaviour.fit(posts.length[:, None], world.ideal_length) @ np.array(DEVICE_SHARES)
    score = quality * posts.quality + clickbait * posts.clickbait + fit * suits
    return score + freshness * behaviour.freshness(world.day - posts.first_day), affinity * world.users.interests


def _perfect(world: World, tables: tuple[np.ndarray, np.ndarray]) -> TableRanker:
    """The ranker of these tables; who or what is newer than they are is typical."""
    posts, users = tables
    posts = np.append(posts, np.full(len(world.posts) - len(posts), posts.mean()))
    users = np.vstack([users, np.zeros((len(world.users) - len(users), world.p.topics))])
    return TableRanker("perfect", posts, users, world.posts.topic)
