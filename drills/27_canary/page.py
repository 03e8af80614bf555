"""What stands on the page: settings, counts, eight secondary metrics, and people whose likes are drawn one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlsys.evaluation.experiment import Effect, difference
from mlsys.serving.rollout import Rollout

SECONDARY = ("shares", "comments", "follows", "sessions", "minutes", "dislikes", "hides", "reports")
BAD_UP = ("dislikes", "hides", "reports")
VISITS = (1.0, 1.1, 1.4)
"""Mean sessions of a user: the first, the second and third, later ones."""


class Drawn(NamedTuple):
    """Who came: a row per user, arm and visit group. cluster: users, but for those who were assigned by session."""

    user: np.ndarray
    arm: np.ndarray
    group: np.ndarray
    sessions: np.ndarray
    likes: np.ndarray


def settings(case: str, rng: np.random.Generator) -> dict[str, Any]:
    """Settings of the canary, and what is counted per request."""
    share, exposed = int(rng.choice([5, 10, 20])), int(rng.integers(5, 12)) * 1000
    if case in ("interval_too_wide", "looks_bad"):
        exposed //= 4
    f: dict[str, Any] = {"share": share, "coming": exposed * 100 // share, "hours": int(rng.integers(8, 40)),
                         "floor": int(rng.choice([2, 3])), "tau": 10, "secondary_p": 0.05 / len(SECONDARY)}  # fmt: skip
    f["ms_old"] = round(float(rng.uniform(6, 14)), 1)
    f["ms_new"] = round(f["ms_old"] * float(rng.uniform(3.4, 5) if case == "latency" else rng.uniform(0.8, 2.4)), 1)
    f["failed_share"] = float(rng.uniform(0.016, 0.04) if case == "failures" else rng.uniform(0.0005, 0.005))
    z = dict(zip(SECONDARY, rng.uniform(-1.5, 1.5, len(SECONDARY)), strict=True))
    moved, size = str(rng.choice(SECONDARY)), float(rng.uniform(2.05, 2.45))
    if case in ("secondary", "one_of_eight"):
        z[moved] = (size if case == "one_of_eight" else size + 2) * (1 if moved in BAD_UP else -1)
    for name in SECONDARY:
        f[f"error_{name}"] = float(f"{rng.uniform(0.6, 4):.2g}")
        f[f"change_{name}"] = round(z[name] * f[f"error_{name}"], 2)
    return f


def people(case: str, f: Mapping[str, Any], rollout: Rollout, rng: np.random.Generator) -> Drawn:
    """Users by the hash of the rollout; in one case a tenth of them by session, because they are logged out."""
    n = int(f["coming"])
    ids = rng.integers(0, 2**40, n)
    visits = np.column_stack([np.ones(n, np.int64), *(rng.poisson(mean, n) for mean in VISITS[1:])])
    taste = rng.gamma(2.5, 1 / 2.5, n) * rng.uniform(1.5, 3)
    effect = np.full(3, rng.uniform(-0.015, 0.01) if case == "interval_too_wide" else rng.uniform(0.03, 0.08))
    if case == "looks_bad":
        effect = np.full(3, rng.uniform(-0.06, -0.035))
    elif case == "novelty":
        effect = np.array([rng.uniform(0.13, 0.17), 0.05, rng.uniform(-0.01, 0.02)])
    elif case == "likes_lost":
        effect = np.full(3, rng.uniform(-0.2, -0.11))
    arm = rollout.arms(ids)
    rows = [(np.arange(n), np.full(n, g), visits[:, g], arm) for g in range(3)]
    if case == "sample_ratio":  # Sessions of these users are drawn one by one: some meet both models.
        loose = rng.random(n) < 0.1
        new = [np.where(loose, rng.binomial(visits[:, g], rollout.share), visits[:, g] * arm) for g in range(3)]
        rows = [(np.arange(n), np.full(n, g), new[g] if a else visits[:, g] - new[g], np.full(n, a))
                for g in range(3) for a in (0, 1)]  # fmt: skip
    user, group, sessions, arms = (np.concatenate(part) for part in zip(*rows, strict=True))
    came = sessions > 0
    user, group, sessions, arms = user[came], group[came], sessions[came], arms[came]
    likes = rng.poisson(taste[user] * sessions * (1 + effect[group] * arms))
    return Drawn(user, arms, group, sessions, likes)


def effect(d: Drawn, mask: np.ndarray | None = None) -> Effect:
    """Likes per session, canary against champion, users as units."""
    use = np.ones(len(d.user), bool) if mask is None else mask
    units, own = np.unique(2 * d.user[use] + d.arm[use], return_inverse=True)
    likes, sessions = np.bincount(own, d.likes[use]), np.bincount(own, d.sessions[use])
    return difference(likes, units % 2 == 1, per=sessions, relative=True)
