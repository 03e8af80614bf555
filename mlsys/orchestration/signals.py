"""What production can see of a day of the loop, as one number per signal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.evaluation import auc
from mlsys.evaluation.experiment import sample_ratio
from mlsys.monitoring.performance import estimated_auc, promised
from mlsys.monitoring.slo import ErrorBudget
from mlsys.orchestration.served import ServedRanker

SLOTS = 10
HEAVIEST = 5
FEWEST_ROWS = 200


def log_signals(seen: pd.DataFrame, sessions: int, known: np.ndarray) -> dict[str, float]:
    """Of the events of the day that had arrived by midnight, repeats left out, and the sessions that the server
    answered. `known`: users met before, bool by user id.

    The events' own columns: user_id, action, session_id.
    """
    n = max(len(seen), 1)
    users, counts = np.unique(seen["user_id"].to_numpy(), return_counts=True)
    of_log = seen["session_id"].nunique()
    new = ~known[np.minimum(users, len(known) - 1)] | (users >= len(known))
    return {
        "impressions that arrived": len(seen) / max(sessions * SLOTS, 1),
        "null share": float(seen["action"].isna().mean()),
        "likes per impression": float((seen["action"] == "like").sum()) / n,
        "dislikes per impression": float((seen["action"] == "dislike").sum()) / n,
        "likes per session": float((seen["action"] == "like").sum()) / max(of_log, 1),
        "sessions": float(sessions),
        "active users": float(len(users)),
        "new users": float(new.mean()) if len(users) else 0.0,
        "share of the five heaviest users": float(np.sort(counts)[-HEAVIEST:].sum()) / n,
        "sample ratio surprise": _surprise(users % 2),
    }


def exposure(creators: np.ndarray) -> dict[str, float]:
    """Of impressions by creator, int64 (n,): the share of the tenth of creators that is shown most."""
    counts = np.sort(np.unique(creators, return_counts=True)[1])
    return {"exposure of the top tenth": float(counts[-max(len(counts) // 10, 1) :].sum() / max(counts.sum(), 1))}


def serving_signals(served: ServedRanker, budget: ErrorBudget, stale: np.timedelta64) -> dict[str, float]:
    """Of the day's answers. `budget` has seen the minutes of the days before."""
    answered = sum(served.rungs.values()) or 1.0
    fires = budget.observe(served.minutes[:, 0], served.minutes[:, 1])
    return {
        "popularity rung": served.rungs["popularity"] / answered,
        "defaults rung": served.rungs["defaults"] / answered,
        "bad minutes that page": float(fires["page"].sum()),
        "feature age, hours": float(stale / np.timedelta64(1, "h")),
    }


def model_signals(p_like: np.ndarray, liked: np.ndarray) -> dict[str, float]:
    """Of the serving model on rows whose labels have arrived, probabilities and 0 or 1, (n,); nothing for a few rows.

    The estimate needs no labels: it is here beside the AUC that does.
    """
    if len(p_like) < FEWEST_ROWS or not 0 < liked.sum() < len(liked):
        return {}
    return {
        "AUC": auc(liked, p_like).value,
        "estimated AUC": estimated_auc(p_like),
        "likes over promised": promised(p_like, liked),
    }


def _surprise(arm: np.ndarray) -> float:
    """-log10 of the p-value of two arms of the same size."""
    if len(arm) < FEWEST_ROWS:
        return 0.0
    return float(-np.log10(max(sample_ratio(arm).p, 1e-300)))
