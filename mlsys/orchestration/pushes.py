"""A model that should not have been pushed: the doors it has to pass, and who takes it back; notebook 07, section 7."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.served import Misread
from mlsys.orchestration.serving import scored, server
from mlsys.orchestration.traffic import Evening, RequestClock, TimedModel
from mlsys.serving.rollout import Rollout
from mlsys.training import LinearModel, Model, Signature
from mlsys.training.artifact import ArtifactError, dumps, loads

SECONDS = 2e-5
"""The champion's scoring time per candidate."""


@dataclass(frozen=True)
class Broken:
    """A model that gives no number for some rows: one in fifty."""

    model: Model
    version: str = "not a number"

    @property
    def signature(self) -> Signature:
        """The model's."""
        return self.model.signature

    def predict_array(self, values: np.ndarray) -> np.ndarray:
        """The model's scores, with gaps."""
        scores = self.model.predict_array(values)
        return np.where(np.arange(len(scores)) % 50 == 49, np.nan, scores)


def push(
    bench: Bench,
    evening: Evening,
    bad: str,
    mode: str,
    share: float = 1.0,
    *,
    delay: float = 60.0,
) -> dict[str, float | str]:
    """A challenger on an evening, and what becomes of it; `bad`: misread, nan or slow.

    Likes are drawn from what each answer is worth, and known `delay` seconds later. users: who met the challenger ·
    gone: seconds until it was taken back, NaN if it was not · lost: likes, of the champion's, in the evening · why.
    """
    clock = RequestClock(bench.now)
    champion = LinearModel.fit(bench.X, bench.y)
    made = server(bench, clock, champion, seconds=SECONDS)
    challengers: dict[str, Model] = {
        "misread": Misread(made.model),
        "nan": Broken(made.model),
        "slow": TimedModel(replace(champion, version="slow"), clock, 10 * SECONDS),
    }
    worth = {arm: _worth(bench, evening, model) for arm, model in ((0, champion), (1, challengers[bad]))}
    rollout = Rollout(challengers[bad], mode, share=share)
    made.rollout = rollout  # Not `begin`, whose check would stop some of these at the door: see `doors`.
    rng, met, waiting, earned = generator(bench.seed, 74), set[int](), list[tuple[float, int, float]](), 0.0
    gone = np.nan
    for i, (user, posts) in enumerate(zip(evening.users.tolist(), evening.posts, strict=True)):
        clock.begin(float(evening.arrival[i]))
        context = {"device_code": int(evening.devices[i]), "event_time": int(evening.time[i])}
        failed, chosen = rollout.failures[1], 0 if made.rollout is None else rollout.arm(user)
        made.rank(user, posts, context=context)
        met |= {user} if chosen else set()
        arm = 0 if rollout.failures[1] > failed else chosen  # Where a challenger fails, the champion answers.
        earned += worth[arm][i]
        waiting.append((evening.arrival[i] + delay, user, float(rng.poisson(worth[arm][i]))))
        if i % 20 == 19:
            ready = [one for one in waiting if one[0] <= evening.arrival[i]]
            waiting = waiting[len(ready) :]
            if ready:
                made.observe(np.array([one[1] for one in ready]), np.array([one[2] for one in ready]))
        if np.isnan(gone) and made.status()["rollout"] is None:
            gone = float(evening.arrival[i])
    events = [event.detail for event in made.events if event.kind == "roll_back"]
    return {
        "users": len(met),
        "gone": gone,
        "lost": 1 - earned / worth[0].sum(),
        "why": events[-1].split(": ", 1)[1] if events else "stays",
    }


def doors(bench: Bench) -> pd.DataFrame:
    """Bad pushes at the two doors, the artifact's and the server's: who refuses each, and why."""
    clock = RequestClock(bench.now)
    good = LinearModel.fit(bench.X, bench.y, version="2")
    made, data = server(bench, clock, good), bytearray(dumps(good))
    data[-3] ^= 1
    alien = Signature(("user:height", *good.signature.features[1:]), good.signature.defaults)
    pushes: dict[str, Model | bytes] = {
        "one bit flipped": bytes(data),
        "a pickle": b"\x80\x04 whatever",
        "trained on other features": replace(good, signature=alien),
        "no numbers at all": replace(good, intercept=np.nan),
        "no number for one row in fifty": Broken(good),
        "features in reverse order": Misread(good),
        "ten times as slow": TimedModel(good, clock, 10 * SECONDS),
    }
    rows = {}
    for name, pushed in pushes.items():
        try:
            made.swap(loads(pushed) if isinstance(pushed, bytes) else pushed)
            rows[name] = ("nobody", "it passes both doors")
        except ArtifactError as error:
            rows[name] = ("registry", error.what)
        except MlsysError as error:
            rows[name] = ("server", error.what.split(": ", 1)[1])
    return pd.DataFrame.from_dict(rows, orient="index", columns=["refused by", "because"])


def _worth(bench: Bench, evening: Evening, model: Model) -> np.ndarray:
    """Exact likes of every session if this model ranks them, float64 (S,)."""
    return evening.worth(np.nan_to_num(scored(bench, evening, model)))
