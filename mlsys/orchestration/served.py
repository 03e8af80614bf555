"""The model server as the world's ranker: what it answers is what people see."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlsys.features import OnlineFeatures
from mlsys.serving import ModelServer
from mlsys.training import Model, Signature
from mlsys.world import Requests
from mlsys.world.incidents import struck


@dataclass(frozen=True)
class Misread:
    """A model that reads its features in reverse order: what a push past the signature does."""

    model: Model
    version: str = "pushed by hand"

    @property
    def signature(self) -> Signature:
        """The signature it claims to have."""
        return self.model.signature

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """What comes out when column 1 is taken for the last one."""
        return self.model.predict_array(values[:, ::-1])


@dataclass
class ServedRanker:
    """Ranks sessions by asking a `ModelServer`, and keeps what monitoring reads. Scores are the server's; ties go to
    the day's shuffle, as for every ranker, and not to the lower id.

    outage : share of users whose requests find no feature store. misread : share whose requests meet a `Misread`.
    surge : share of the requests between 18 and 20 o'clock that are shed. stampede : share of every five minutes in
    which the store times out; both are answered by popularity, and count as bad.
    rungs : feature values per rung, a session counting one. minutes : requests of each minute of the day and the bad
    ones of them, int64 (1440, 2). samples : features and score of one candidate per session, whatever its rank, so
    that a change of ranking alone does not look like drift.
    """

    server: ModelServer
    outage: float = 0.0
    misread: float = 0.0
    surge: float = 0.0
    stampede: float = 0.0
    name: str = "server"
    rungs: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("fresh", "defaults", "popularity"), 0.0))
    minutes: np.ndarray = field(default_factory=lambda: np.zeros((1440, 2), np.int64))
    samples: list[pd.DataFrame] = field(default_factory=list)

    def scores(self, requests: Requests) -> np.ndarray:
        """float64 (S, C); each user meets the same server all day."""
        user, second = requests.user_id, requests.time // 1_000_000 % 86_400
        shed = (second // 3_600 // 2 == 9) & struck(user + second, self.surge)
        bad = shed | (second % 300 < 300 * self.stampede)
        for column, counted in enumerate((np.ones(len(user), bool), bad)):
            self.minutes[:, column] += np.bincount(second[counted] // 60, minlength=1440)
        cases = [(bad | struck(user, self.outage), "outage"), (~struck(user, 1 - self.misread), "misread")]
        out, left = np.empty(requests.post_id.shape), np.ones(len(user), bool)
        for chosen, case in [*cases, (left, "healthy")]:
            rows = np.flatnonzero(chosen & left)
            left[rows] = False
            if rows.size:
                out[rows] = self._ask(requests, rows, case)
        return out

    def _ask(self, requests: Requests, rows: np.ndarray, case: str) -> np.ndarray:
        """Scores (rows, C) of some sessions."""
        n, candidates = len(rows), requests.post_id.shape[1]
        server, model = self.server, self.server.model
        device = requests.device[rows]
        context = {"device_code": np.where(device > 2, -1, device), "event_time": requests.time[rows]}

        def keep(answer: OnlineFeatures, scores: np.ndarray) -> None:
            one = np.arange(n) * candidates + np.arange(n) % candidates
            self.samples.append(pd.DataFrame(answer.values[one], columns=list(answer.names)).assign(score=scores[one]))

        server.observer, server.store.available = keep, case != "outage"
        server.model = Misread(model) if case == "misread" else model
        try:
            scores, defaulted, *_ = server.score(
                np.repeat(requests.user_id[rows], candidates),
                requests.post_id[rows].ravel(),
                {name: np.repeat(column, candidates) for name, column in context.items()},
            )
        finally:
            server.observer, server.store.available, server.model = None, True, model
        if defaulted is None:
            self.rungs["popularity"] += n
        else:
            self.rungs["fresh"] += n * (1 - defaulted)
            self.rungs["defaults"] += n * defaulted
        return scores.reshape(n, candidates)
