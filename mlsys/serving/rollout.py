"""A new model beside the one that serves: in the shadow, for a few users, or for its share of a test.

    shadow   every answer comes from the champion; the challenger scores the same request, and disagreement is counted
    canary   a few users get the challenger; a guardrail that is hurt takes it back without anybody being woken
    ab       as canary, with a share chosen for a test and no promise of a winner before the test's end

Who gets it is a salted hash of the user id, so that a user meets one model, today and tomorrow, on every replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from mlsys.core import MlsysError
from mlsys.evaluation.experiment import Effect, assign, difference
from mlsys.evaluation.sequential import always_valid
from mlsys.training import Model

MODES = ("shadow", "canary", "ab")
TOP = 10
"""Posts of a screen: disagreement is counted on these."""

FEWEST_USERS = 30
"""Per arm, before their engagement is compared: below, an interval by the normal law is none."""


def flagged(flags: Sequence[str], name: str, users: np.ndarray) -> np.ndarray:
    """For which users, int64 (n,), a feature flag is on, bool (n,): all, or the share behind its `=`, by stable hash.

    A larger share keeps who is in, so a flag that is rolled out gradually does not flap.

    >>> few, more = (flagged([f"serve_popularity={share}"], "serve_popularity", np.arange(9)) for share in (0.3, 0.6))
    >>> int(few.sum()), int(more.sum()), bool((more | ~few).all())
    (3, 5, True)
    """
    on = np.zeros(len(users), bool)
    for flag in flags:
        found, given, share = flag.partition("=")
        if found == name:
            part = float(share) if given else 1.0
            on |= assign(users, f"flag {name}", (1 - part, part)).astype(bool) if part < 1 else True
    return on


@dataclass(frozen=True)
class Guardrails:
    """What takes a challenger back.

    min_requests : before so many answers of the challenger only a failure counts.
    max_failure_share : requests on which it raised or gave no number; the champion answered them.
    max_latency_ratio : its mean scoring time over the champion's.
    min_overlap : the mean share of the champion's first ten posts that are in its own; shadow only. A model that reads
    its features in another order is below; so is a much better one, which a person then looks at.
    max_loss : engagement that may be lost, as a share of the champion's, judged by an always-valid interval: a canary
    is looked at all the time.
    tau : the relative effect which that interval is made for.
    """

    min_requests: int = 200
    max_failure_share: float = 0.01
    max_latency_ratio: float = 3.0
    min_overlap: float = 0.3
    max_loss: float = 0.02
    tau: float = 0.1


@dataclass
class Rollout:
    """One challenger and what is known of it. Arm 0 is the champion, 1 the challenger.

    >>> from mlsys.training import LinearModel, Signature
    >>> model = LinearModel("2", Signature(("user:likes",), (0.0,)), np.array([1.0]), 0.0)
    >>> rollout = Rollout(model, "canary", share=0.05, salt="model 2")
    >>> round(float(rollout.arms(np.arange(10_000)).mean()), 3), rollout.verdict() is None
    (0.05, True)
    """

    model: Model
    mode: str = "canary"
    share: float = 0.05
    salt: str = ""
    guardrails: Guardrails = field(default_factory=Guardrails)

    def __post_init__(self) -> None:
        if self.mode not in MODES or not 0 < self.share <= 1:
            raise MlsysError(
                f"a rollout cannot have mode={self.mode!r}, share={self.share}",
                why=f"modes are {', '.join(MODES)}; a share is above 0 and at most 1",
                fix='Rollout(model, "canary", share=0.05)',
            )
        self.salt = self.salt or f"rollout of {self.model.version}"
        self.requests, self.failures, self.seconds = [0, 0], [0, 0], [0.0, 0.0]
        self.compared_requests, self._agreed = 0, 0.0
        self._observed: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._lock, self._fresh = Lock(), False
        self._effect: Effect | None = None

    def arm(self, user: int) -> int:
        """Which model answers this user."""
        return 0 if self.mode == "shadow" else int(self.arms(np.array([user]))[0])

    def arms(self, users: np.ndarray) -> np.ndarray:
        """`arm` of many users, int64 (n,)."""
        if self.mode == "shadow":
            return np.zeros(len(users), np.int64)
        return assign(users, self.salt, (1 - self.share, self.share))

    def answered(self, arm: int, seconds: float, *, failed: bool = False) -> None:
        """Count a model call: how long it took, and whether it raised or gave something that is no number."""
        with self._lock:
            self.requests[arm] += 1
            self.failures[arm] += failed
            self.seconds[arm] += seconds

    def compared(self, champion: np.ndarray, challenger: np.ndarray) -> None:
        """Both models' scores (n,) of one request: do their first ten posts agree?"""
        top = min(TOP, len(champion))
        first, second = (np.argpartition(-scores, top - 1)[:top] for scores in (champion, challenger))
        with self._lock:
            self.compared_requests += 1
            self._agreed += len(np.intersect1d(first, second)) / top

    def observe(self, users: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray) -> None:
        """What sessions were worth, such as likes: users int64 (n,), values float64 (n,). It may come hours later."""
        with self._lock:
            self._observed.append((np.asarray(users, np.int64), np.asarray(values, np.float64), np.ones(len(users))))
            self._fresh = True

    @property
    def overlap(self) -> float:
        """Mean share of the champion's first ten that the challenger has too; NaN before the first comparison."""
        return self._agreed / self.compared_requests if self.compared_requests else float("nan")

    def effect(self) -> Effect | None:
        """What the challenger changes, as a share of the champion's value per session, users as units; None: too few.

        The interval stands looking at any time.
        """
        with self._lock:
            if not self._fresh:
                return self._effect
            users, values, sessions = (np.concatenate(parts) for parts in zip(*self._observed, strict=True))
            users, own = np.unique(users, return_inverse=True)
            values, sessions = np.bincount(own, values), np.bincount(own, sessions)
            self._observed, self._fresh = [(users, values, sessions)], False  # A row per user, for however long.
        treated = self.arms(users).astype(bool)
        if min(treated.sum(), (~treated).sum()) >= FEWEST_USERS and values[~treated].sum():
            found = difference(values, treated, per=sessions, relative=True)
            self._effect = always_valid(found, self.guardrails.tau) if found.error else found
        return self._effect

    def verdict(self) -> str | None:
        """Why the challenger has to go; None: it may stay."""
        rails, (_, n) = self.guardrails, self.requests
        failed = self.failures[1]
        if failed >= 3 and failed > rails.max_failure_share * n:
            return f"failures: {failed} of {n} requests"
        if min(self.requests) >= rails.min_requests:
            champion, challenger = (self.seconds[i] / self.requests[i] for i in (0, 1))
            if challenger > rails.max_latency_ratio * champion:
                return f"latency: {1e3 * challenger:.2f} ms a request against {1e3 * champion:.2f} ms"
        if self.compared_requests >= rails.min_requests and self.overlap < rails.min_overlap:
            return f"disagreement: {self.overlap:.0%} of the champion's first {TOP} posts in its own"
        effect = self.effect()
        if effect is not None and effect.high < -rails.max_loss:
            return f"engagement: {effect.value:+.1%} [{effect.low:+.1%}, {effect.high:+.1%}]"
        return None

    def status(self) -> dict[str, object]:
        """Plain values, for an admin page."""
        effect = self.effect()
        return {
            "version": self.model.version,
            "mode": self.mode,
            "share": self.share,
            "requests": list(self.requests),
            "failures": list(self.failures),
            "mean_ms": [round(1e3 * s / n, 4) if n else None for s, n in zip(self.seconds, self.requests, strict=True)],
            "overlap": round(self.overlap, 4) if self.compared_requests else None,
            "effect": None if effect is None else [effect.value, effect.low, effect.high],
        }
