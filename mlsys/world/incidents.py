"""Things that go wrong on known days, so that whoever claims to notice can be graded.

An incident is a kind, a first day, a number of days and a size. It is handed to the world and to the daily loop;
the place where it strikes asks `incidents.size(kind, day)` and gets 0 on all other days.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np

from mlsys.core import MlsysError


@dataclass(frozen=True)
class Kind:
    """What happens, why, where it strikes, how long and how large by default; `size` is from 0 to 1."""

    what: str
    cause: str
    where: str
    days: int
    size: float
    size_means: str


KINDS: dict[str, Kind] = {
    "null_spike": Kind(
        "actions are lost before they are logged", "a release of the iOS app", "world: the log", 3, 0.6,
        "share of iOS actions that turn into null"),
    "unit_change": Kind(
        "post lengths arrive in another unit", "a service now sends percent", "world: the catalogue", 3, 1.0,
        "share of creators whose posts' lengths are multiplied by 100"),
    "interest_shift": Kind(
        "people want other things than yesterday, for good", "the world moves on", "world: the users", 999, 0.7,
        "how far: interests turn to sqrt(1 - size²)·θ + size·new, ideal lengths move by size towards their mirror"),
    "stale_features": Kind(
        "online features are not refreshed", "the materialization job hangs, with exit code 0", "loop: materialize",
        4, 1.0, "share of feature views, rounded up, whose vectors stay as they are"),
    "bad_model_push": Kind(
        "a model is served that reads its features in another order", "a push by hand, past the gate", "loop: serve",
        2, 1.0, "share of users it answers"),
    "store_outage": Kind(
        "the online store does not answer", "its disk is full", "loop: serve", 1, 1.0, "share of requests that fail"),
    "duplicates": Kind(
        "events are delivered twice", "a producer that retries without waiting", "world: the log", 3, 0.3,
        "share of events"),
    "late_data": Kind(
        "events arrive a day late", "a mobile release that uploads on wifi only", "world: the log", 3, 0.4,
        "share of events"),
    "label_delay": Kind(
        "likes arrive a day and a half after their impression", "a queue that is behind", "world: the log", 3, 0.6,
        "share of likes"),
    "schema_change": Kind(
        "likes have another name", "a new version of the client", "world: the log", 2, 0.3, "share of users"),
    "clock_skew": Kind(
        "events are stamped two hours ahead", "a time zone set by hand", "world: the log", 2, 0.2, "share of users"),
    "sample_ratio_mismatch": Kind(
        "one arm of an experiment loses its log", "a redirect in the treatment", "world: the log", 3, 0.3,
        "share of sessions of users with odd ids"),
    "bots": Kind(
        "accounts that like what they are paid for", "a like farm", "world: the log", 3, 0.3,
        "their sessions, as a share of people's"),
    "new_user_wave": Kind(
        "many new users", "a campaign, or a country", "world: the users", 3, 0.1, "new users a day, as a share"),
    "surge": Kind(
        "more requests than the servers take, for two hours", "a cup final", "loop: serve", 1, 0.7,
        "share of those hours' requests that are shed, and see popular posts"),
    "cache_stampede": Kind(
        "a popular key expires and everybody fetches it", "a time to live without jitter", "loop: serve", 2, 0.3,
        "share of every five minutes in which the store times out"),
}  # fmt: skip
"""All kinds, by name."""


@dataclass(frozen=True)
class Incident:
    """One incident: `kind` on days `day` to `day + days - 1`, both counted like `World.day`.

    >>> Incident.parse("null_spike@20")
    Incident(kind='null_spike', day=20, days=3, size=0.6)
    >>> Incident.parse("store_outage@12:days=2:size=0.5").size
    0.5
    """

    kind: str
    day: int
    days: int
    size: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, n=1)
            raise MlsysError(
                f"there is no incident {self.kind!r}",
                why=f"incidents are {', '.join(KINDS)}",
                fix=f"did you mean {near[0]!r}?" if near else "choose one of these",
            )
        if self.day < 0 or self.days < 1 or not 0 < self.size <= 1:
            raise MlsysError(
                f"an incident cannot have day={self.day}, days={self.days}, size={self.size}",
                why="it starts on day 0 or later, lasts a day or more, and its size is above 0 and at most 1",
                fix=f"{self.kind}@20:days=2:size=0.5",
            )

    @classmethod
    def parse(cls, text: str) -> Incident:
        """Read NAME@DAY, or NAME@DAY:days=2:size=0.5; days and size have defaults per kind."""
        found = re.fullmatch(r"(\w+)@(\d+)(?::days=(\d+))?(?::size=([\d.]+))?", text)
        if not found:
            raise MlsysError(
                f"cannot read the incident {text!r}",
                why="it has to be NAME@DAY, or NAME@DAY:days=2:size=0.5",
                fix=f"null_spike@20; names: {', '.join(KINDS)}",
            )
        kind, day, days, size = found.groups()
        usual = KINDS.get(kind)
        try:
            return cls(
                kind, int(day), int(days or (usual.days if usual else 1)), float(size or (usual.size if usual else 1))
            )
        except ValueError:
            raise MlsysError(f"size={size!r} is no number", why="it is a share", fix="size=0.5") from None


def struck(ids: np.ndarray, size: float) -> np.ndarray:
    """Which ids, int64 (n,), an incident of this size hits: the same ones every day."""
    return np.asarray(ids * 2_654_435_761 % 2**32 < size * 2**32)


class Incidents(tuple[Incident, ...]):
    """Several incidents; they may overlap."""

    def size(self, kind: str, day: int) -> float:
        """The size of this kind of incident on this day; 0 when there is none, the largest when there are several."""
        return max((i.size for i in self if i.kind == kind and i.day <= day < i.day + i.days), default=0.0)

    def starting(self, kind: str, day: int) -> float:
        """The size of an incident of this kind that starts on this day, else 0: for changes that happen once."""
        return max((i.size for i in self if i.kind == kind and i.day == day), default=0.0)
