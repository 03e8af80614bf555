"""Every number of the world, and the named scenarios.

The formulas these numbers enter are on one page: `help(mlsys.world)`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mlsys.core import MlsysError

DEVICES = ("iOS", "Android", "Web")
"""What a user reads on. A fourth kind is not recorded: null."""

DEVICE_SHARES = (0.40, 0.35, 0.20, 0.05)
"""iOS, Android, Web, not recorded."""

IDEAL_LENGTH = (0.25, 0.25, 0.75, 0.50)
"""The length of a post, from 0 to 1, that readers on each device like best."""

REGIONS = ("Americas", "Europe", "Asia")
EVENING_HOUR = (1.0, 19.0, 12.0)
"""UTC hour around which each region's sessions lie."""

RESPONSES = ("like", "dislike", "share", "null")
"""The responses that compete with a plain view, in the order of every table here; a view has utility 0."""

TERMS = ("base", "generosity", "affinity", "quality", "clickbait", "fit", "freshness")
WEIGHTS = np.array(
    [
        # base  generosity affinity quality clickbait fit freshness
        [-0.38, 0.5, 1.0, 0.5, 0.8, 0.7, 1.0],  # like
        [-1.86, 0.0, -0.5, -0.5, 0.9, 0.0, 0.0],  # dislike
        [-1.77, 0.5, 0.4, 0.8, -0.3, 0.0, 0.0],  # share
        [-1.47, 0.0, -0.3, 0.0, 0.0, 0.0, 0.0],  # null: nothing was recorded
    ]
)
"""Utilities of the four responses, one row each, one column per term of `TERMS`."""

NOISE_SHARES = (0.15, 0.05, 0.05, 0.15)
"""Shares of the four responses in a world without signal; the rest, .60, are views."""

ENJOYMENT = {"affinity": 0.5, "quality": 0.5, "clickbait": -1.5}
"""What a user gets out of a post. Clickbait earns likes above and is regretted here: a like does not show regret."""

UNSEEN_NULL = 0.2
"""Of impressions nobody looked at, the share logged as null; the rest are logged as views."""


@dataclass(frozen=True)
class Parameters:
    """Sizes, rates and strengths. Times are in days unless the name says otherwise."""

    users: int = 2_000
    new_users_per_day: float = 5.0
    creators: int = 200
    posts_per_day: int = 170
    live_days: int = 7
    """Days during which a post can be shown."""
    topics: int = 10
    markets: int = 1
    """Markets that see only their own creators' posts."""
    candidates: int = 50
    slots: int = 10
    sessions_per_day: float = 0.8
    """Mean over users at satisfaction 0; the median user has exp(-activity_sd²/2) times as many."""
    activity_sd: float = 1.2
    max_sessions_per_day: float = 20.0
    attention: float = 0.5
    """Slot k is looked at with probability k ** -attention."""
    satisfaction_rate: float = 0.03
    return_strength: float = 0.9
    applause_strength: float = 0.0
    """How much more a creator posts after applause."""
    signal: float = 1.0
    """1: the model as stated. 0: every response is a dice roll, and every slot is looked at."""
    delay_minutes: float = 10.0
    late_share: float = 0.01
    """Share of events that arrive `late_hours` (mean) late instead of `delay_minutes`."""
    late_hours: float = 12.0
    duplicate_share: float = 0.002
    """Share of events delivered twice: delivery is at least once."""

    def __post_init__(self) -> None:
        whole = ("users", "creators", "posts_per_day", "live_days", "topics", "markets", "candidates", "slots")
        at_least_one = ("users", "creators", "posts_per_day", "live_days", "topics", "markets", "slots")
        wrong = {name: "1 or more" for name in at_least_one if getattr(self, name) < 1}
        wrong |= {name: "a whole number" for name in whole if not isinstance(getattr(self, name), int)}
        numbers = [f.name for f in fields(self)]
        wrong |= {name: "0 or more" for name in numbers if name not in wrong and not getattr(self, name) >= 0}
        shares = ("signal", "satisfaction_rate", "late_share", "duplicate_share")
        wrong |= {name: "from 0 to 1" for name in shares if name not in wrong and getattr(self, name) > 1}
        if self.max_sessions_per_day > 50:
            wrong["max_sessions_per_day"] = "at most 50"
        if self.slots > self.candidates:
            wrong["candidates"] = f"at least slots={self.slots}"
        live = self.posts_per_day // self.markets * self.live_days
        if not wrong and live < self.candidates:
            wrong["candidates"] = f"at most the {live} posts that are live in a market"
        if not wrong and self.creators < self.markets:
            wrong["creators"] = f"at least markets={self.markets}"
        for name, what in wrong.items():
            raise MlsysError(
                f"a world cannot have {name}={getattr(self, name)!r}",
                why=f"it has to be {what}",
                fix=f"for example World({name}={getattr(Parameters, name)!r})",
            )


SCENARIOS: dict[str, dict[str, Any]] = {
    "default": {},
    "noise": {"signal": 0.0},
    "legacy_order": {"attention": 1.0},
    "rich_get_richer": {"candidates": 200, "live_days": 30, "posts_per_day": 60},
    "markets": {"markets": 20, "creators": 400, "posts_per_day": 600, "applause_strength": 1.5},
}
"""Changes against the default. The last three make one effect large that the default hardly shows: position bias,
the feedback loop, interference between the arms of an A/B test."""


def parameters(scenario: str, **changes: Any) -> Parameters:
    """The parameters of a named scenario, with changes.

    >>> parameters("noise", users=100).signal
    0.0
    """
    if scenario not in SCENARIOS:
        raise MlsysError(
            f"there is no scenario {scenario!r}",
            why=f"scenarios are {', '.join(SCENARIOS)}",
            fix='choose one, and change single numbers by name: World("default", users=500)',
        )
    names = [f.name for f in fields(Parameters)]
    unknown = [name for name in changes if name not in names]
    if unknown:
        raise MlsysError(
            f"a world has no parameter {unknown[0]!r}",
            why="a mistyped parameter that is ignored is worse than none",
            fix=f"parameters: {', '.join(names)}",
        )
    return replace(Parameters(), **{**SCENARIOS[scenario], **changes})
