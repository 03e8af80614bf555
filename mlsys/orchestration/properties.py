"""What has to be true of the world, measured anew in as many worlds as you like: `python start.py world prove`.

A property is a claim, a function that measures it in the world of one seed, and limits: the mean over worlds of each
limited number has to lie within them. Where a gap has to be there, its limit is about half of what 20 worlds gave, so
that a healthy world passes and a lost effect does not. Where no gap may be, it is some standard errors of one world.
No property asks anything of a single world: "wins in 19 of 20 worlds" is a measured 0 or 1 with the limit .95.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import pandas as pd
from scipy.stats import t

from mlsys.orchestration import measures

Found = Mapping[str, float]


@dataclass(frozen=True)
class Property:
    """A claim, its measurement in the world of a seed, and between which limits the mean over worlds has to lie."""

    claim: str
    measure: Callable[[int], dict[str, float]]
    limits: Mapping[str, tuple[float, float]]

    def holds(self, found: Sequence[Found]) -> bool:
        """Whether it holds in these worlds: one mapping of measured numbers per seed."""
        means = {name: np.mean([one[name] for one in found]) for name in self.limits}
        return all(bool(low <= means[name] <= high) for name, (low, high) in self.limits.items())

    def said(self, found: Sequence[Found]) -> str:
        """Mean of every number, with its 95 % t-interval over worlds when there are two or more."""
        parts, n = [], len(found)
        for name in found[0]:
            values = np.array([one[name] for one in found])
            half = f" ± {t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n):.3f}" if n > 1 else ""
            parts.append(f"{name} {values.mean():.3f}{half}")
        return " · ".join(parts)


def prove(
    names: Sequence[str], seeds: Sequence[int], progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Measure properties in the world of every seed.

    progress : called with (worlds measured, worlds in all) after each.
    Returns one row per name: property, claim, measured (text), holds (bool).

    >>> prove(["marginals"], seeds=[1, 2])[["property", "holds"]]
        property  holds
    0  marginals   True
    """
    rows, done = [], 0
    for name in names:
        found = []
        for seed in seeds:
            found.append(PROPERTIES[name].measure(seed))
            done += 1
            if progress is not None:
                progress(done, len(names) * len(seeds))
        rows.append((name, PROPERTIES[name].claim, PROPERTIES[name].said(found), PROPERTIES[name].holds(found)))
    return pd.DataFrame(rows, columns=["property", "claim", "measured", "holds"])


PROPERTIES: dict[str, Property] = {
    "marginals": Property(
        "Random ranking logs .15 likes, .05 dislikes, .60 views, .05 shares and .15 nulls.",
        measures.marginals,
        {"like": (0.13, 0.17), "dislike": (0.035, 0.065), "view": (0.58, 0.62), "share": (0.035, 0.065),
         "null": (0.14, 0.16)},
    ),
    "noise": Property(
        "Without signal these shares are exact, and actions depend on no user, post, device, position or predecessor.",
        measures.noise,
        {"error of P(like)": (0, 1e-6), "shares (sd)": (-3, 7), "dependence (sd)": (-3, 7)},
    ),
    "activity": Property(
        "The most active tenth of users has nearly half of all sessions.",
        measures.activity,
        {"share of the top tenth": (0.4, 0.55)},
    ),
    "propensity": Property(
        "Logged likes agree with exact values, and logged propensities turn them into the values of other rankers.",
        measures.propensity,
        {"logged / exact - 1": (-0.015, 0.015), "IPS without exploration / exact - 1": (-0.025, 0.025),
         "IPS of random / exact - 1": (-0.06, 0.06), "sum of propensities": (0.95, 1.05), "explored": (0.19, 0.21)},
    ),
    "ladder": Property(
        "Likes per session order random < popularity < linear < boosted trees < oracle, in 19 of 20 worlds.",
        measures.ladder_order,
        {"popularity over random": (0.2, inf), "linear over popularity": (0.08, inf),
         "trees over linear": (0.05, inf), "oracle over trees": (0.1, inf), "in order": (0.95, 1)},
    ),
    "regret": Property(
        "The like-optimiser wins day 1 and loses the month, in likes and in users, to a value function.",
        measures.regret,
        {"likes/session on day 1, like oracle ahead by": (0.04, inf),
         "likes/user in 30 days, value oracle ahead by": (0.17, inf),
         "active on days 28-30, value - like oracle": (0.03, inf)},
    ),
    "clickbait": Property(
        "Popularity has more likes on day 1 than random ranking and keeps fewer users, because it favours clickbait.",
        measures.clickbait,
        {"likes/session on day 1, popularity ahead by": (0.25, inf),
         "clickbait shown, popularity - random": (0.26, inf),
         "active on days 28-30, popularity - random": (-inf, -0.028)},
    ),
    "position_bias": Property(
        "Of a log in a fixed order, likes per look make a better ranker than likes per impression.",
        measures.position_bias,
        {"likes/session, per look ahead by": (0.1, inf)},
    ),
    "feedback_loop": Property(
        "Ranked by raw likes and never explored, a feed forgets new posts and loses value; exploring wins it back.",
        measures.feedback_loop,
        {"change to days 36-40, without exploration": (-inf, -0.17),
         "change to days 61-65, with exploration": (0.06, inf),
         "exposure of the top tenth of posts, days 36-40": (0.99, 1),
         "its change with exploration": (-inf, -0.02),
         "posts shown < 5 times, days 36-40": (0.45, 1),
         "their change with exploration": (-inf, -0.29)},
    ),
    "interference": Property(
        "Where creators post more after applause, a test by user understates the effect; a test by market does not.",
        measures.interference,
        {"enjoyment, all - none": (0.58, inf),
         "user-level - truth": (-inf, -0.15),
         "market-level - truth": (-0.08, 0.08)},
    ),
    "shift": Property(
        "When interests shift, the best ranker of yesterday loses value against the oracle; that of today does not.",
        measures.shift,
        {"headroom lost, frozen": (0.07, inf), "headroom lost, up to date": (-inf, 0.03)},
    ),
}  # fmt: skip
"""All properties of the world, by name."""
