"""Which model serves: the champion, a challenger beside it, and the way back.

A swap is one assignment: requests under way end with the model they began with, the next one meets the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np

from mlsys.core import Clock, MlsysError
from mlsys.features.store import FeatureStore
from mlsys.serving.rollout import Rollout
from mlsys.training.models import Model


class Event(NamedTuple):
    """Something that happened to the server; `kind`: swap, begin, promote, roll_back, refused, model_failed."""

    time: np.datetime64
    kind: str
    detail: str


class Chosen(NamedTuple):
    """The model of one request, its arm, and the rollout it is part of."""

    model: Model
    arm: int
    rollout: Rollout | None


class Releases:
    """The half of a `ModelServer` that changes what serves; `events` keeps what happened, `on_event` is told."""

    def __init__(self, model: Model, store: FeatureStore, clock: Clock) -> None:
        self.model, self.store, self.clock = model, store, clock
        self.rollout: Rollout | None = None
        self.previous: Model | None = None
        self.events: deque[Event] = deque(maxlen=1_000)
        self.on_event: Callable[[Event], None] = lambda _: None
        self._lock = Lock()

    def swap(self, model: Model) -> None:
        """Serve another model from the next request on; requests under way end with the one they began with.

        Raises `MlsysError`, and goes on with the old one, if the store does not have the model's features or it gives
        no number for its own training means.
        """
        self.check(model)
        self.previous, self.model = self.model, model
        self.note("swap", f"{self.previous.version} -> {model.version}")

    def check(self, model: Model) -> None:
        """Raise unless this server can serve the model."""
        problem = None
        try:
            self.store.registry.resolve(list(model.signature.features))
            score = model.predict_array(np.array([model.signature.defaults], np.float32))
            if score.shape != (1,) or not np.isfinite(score).all():
                problem = f"it scores its own training means as {score}"
        except MlsysError as error:
            problem = error.what
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            self.note_once("refused", f"{model.version}: {problem}")
            raise MlsysError(
                f"model {model.version!r} cannot serve here: {problem}",
                why="its signature and this feature store do not fit together",
                fix=f"train it on features of this store; {self.model.version!r} goes on serving",
            )

    def begin(self, rollout: Rollout) -> None:
        """Try a challenger beside the champion."""
        self.check(rollout.model)
        self.rollout = rollout
        self.note("begin", f"{rollout.mode} of {rollout.model.version}, share {rollout.share:g}")

    def promote(self) -> None:
        """Make the challenger the champion."""
        rollout = self.rollout
        if rollout is None:
            raise MlsysError("there is no challenger", why="no rollout has begun", fix="server.begin(Rollout(model))")
        self.previous, self.model, self.rollout = self.model, rollout.model, None
        self.note("promote", f"{self.previous.version} -> {self.model.version}")

    def roll_back(self, reason: str) -> None:
        """Take the challenger back; without one, the model that served before."""
        rollout, self.rollout = self.rollout, None
        if rollout is not None:
            self._took_back(rollout.model, self.model, reason)
        elif self.previous is not None:
            gone, self.model, self.previous = self.model, self.previous, None
            self._took_back(gone, self.model, reason)
        else:
            raise MlsysError(
                "there is nothing to roll back to",
                why=f"{self.model.version!r} is the first model of this server",
                fix="swap(model) to one that you trust, or set the flag serve_popularity",
            )

    def observe(self, users: np.ndarray, values: np.ndarray) -> None:
        """What sessions were worth, for the rollout's guardrail: users int64 (n,), values float64 (n,)."""
        if (rollout := self.rollout) is not None:
            rollout.observe(users, values)
            self._guard(rollout)

    def _chosen(self, user: int) -> Chosen:
        """Which model answers this user; read once per request, so that a swap meanwhile does not matter."""
        rollout = self.rollout
        if rollout is not None and rollout.arm(user):
            return Chosen(rollout.model, 1, rollout)
        return Chosen(self.model, 0, rollout)

    def _guard(self, rollout: Rollout) -> None:
        if rollout.mode != "ab" and (reason := rollout.verdict()) is not None:
            with self._lock:
                if self.rollout is not rollout:
                    return
                self.rollout = None
            self._took_back(rollout.model, self.model, reason)

    def _took_back(self, gone: Model, back: Model, reason: str) -> None:
        self.forget()
        self.note("roll_back", f"{gone.version} -> {back.version}: {reason}")

    def note(self, kind: str, detail: str) -> None:
        """Keep that something happened; `on_event` is told."""
        self.events.append(event := Event(self.clock.now(), kind, detail))
        self.on_event(event)

    def note_once(self, kind: str, detail: str) -> None:
        """As `note`, unless it is known: who asks every two seconds need not say so every two seconds."""
        if not any((event.kind, event.detail) == (kind, detail) for event in self.events):
            self.note(kind, detail)

    def forget(self) -> None:
        """Drop kept answers: a rollback must not be outlived by what it took back."""
