"""What another ranker would have earned, from the log of the one that ran: no experiment, but assumptions.

A logged row counts as often as the target would have shown it more than the logger did: weight = target / pscore.

    ips     mean of w r                         unbiased; noisy where weights are large
    snips   Σ w r / Σ w                         a little biased, less noisy; blind to what was never shown
    dm      mean of q(what the target shows)    no weights; as wrong as the reward model q is
    dr      dm + mean of w (r - q)              unbiased if the weights or the model are right

Slates: a row is one item in one slot, and r is taken to depend on the item and its slot, not on its neighbours (the
item-position model). Sources: Dudík, Langford & Li, Doubly robust policy evaluation and learning, ICML (2011);
Swaminathan & Joachims, The self-normalized estimator for counterfactual learning, NeurIPS (2015); Li et al., Offline
evaluation of ranking policies with click models, KDD (2018). Names as in Open Bandit Pipeline (arXiv:2008.07146).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.evaluation.intervals import FEW, Estimate, cluster_mean, ratio

LOW_ESS = 100
"""Below so many effective rows an interval is not to be trusted, and the result says so."""

DOUBT = 6.0
"""Standard errors by which the weights' mean may fall short of 1 before overlap is taken to be missing. Six, not two: a
log that happens to hold few of the large weights falls short, and finds its error too small."""


@dataclass(frozen=True)
class PolicyValue(Estimate):
    """An estimate of a policy's value. `ess`: rows that the weighted log is worth; `clipped`: share of rows whose
    weight was cut; `warning`: what to doubt, or nothing.

    >>> print(PolicyValue(0.5, 0.4, 0.6, 1000, ess=12.0, warning="few rows count"))
    0.500 [0.400, 0.600] ess 12: few rows count
    """

    ess: float = np.nan
    clipped: float = 0.0
    warning: str = ""

    def __str__(self) -> str:
        about = "" if np.isnan(self.ess) else f" ess {self.ess:.0f}"
        return super().__str__() + about + (f": {self.warning}" if self.warning else "")


@dataclass(frozen=True)
class Feedback:
    """Logged rows, and what the target would have done: arrays (n,).

    reward : what came of the row: a like, or any number.
    pscore : P(the logger shows this item here), above 0; what the log calls propensity.
    target : P(the target shows this item here); 0 or 1 if it does not randomize.
    cluster : session or user of the row; None: rows are independent.
    exposure : share of people who look at the row's slot, if pscore and target are probabilities to be *looked at*
        (`slates.pooled`); None: 1.
    slots : rows of a slate. Values are per slate: the mean row times this.
    """

    reward: np.ndarray
    pscore: np.ndarray
    target: np.ndarray
    cluster: np.ndarray | None = None
    exposure: np.ndarray | None = None
    slots: int = 1

    def __post_init__(self) -> None:
        wrong = ~((self.pscore > 0) & (self.pscore < np.inf) & (self.target >= 0) & np.isfinite(self.reward))
        if not len(self.reward) == len(self.pscore) == len(self.target) or not len(self.reward) or wrong.any():
            raise MlsysError(
                f"{int(wrong.sum())} of {len(self.reward)} rows have no reward, a pscore of 0 or below, or no target",
                why="a row that the logger could not have shown has no weight, and one that is left out is a bias",
                fix="log the propensity of every impression; look at error.rows",
                rows=np.flatnonzero(wrong),
            )

    @property
    def weight(self) -> np.ndarray:
        """Importance weights, float64 (n,)."""
        return np.asarray(self.target / np.asarray(self.pscore, np.float64))

    @property
    def looks(self) -> np.ndarray:
        """Exposure, 1 where there is none, float64 (n,)."""
        return np.ones(len(self.reward)) if self.exposure is None else np.asarray(self.exposure, np.float64)


def on_policy(feedback: Feedback, level: float = 0.95) -> PolicyValue:
    """What the logger itself earned."""
    mean = cluster_mean(feedback.reward, feedback.cluster, level)
    return _value(mean, feedback, np.ones(len(feedback.reward)), 0.0)


def ips(feedback: Feedback, *, clip: float | None = None, level: float = 0.95) -> PolicyValue:
    """Inverse propensity scoring: mean of w r. `clip`: weights are cut there, which lowers a value of rewards >= 0.

    >>> log = Feedback(np.array([1.0, 0, 1, 0]), np.full(4, 0.5), np.array([1.0, 0, 0, 1]))
    >>> print(ips(log).value, ips(log).ess)
    0.5 2.0
    """
    weight, clipped = _weights(feedback, clip)
    return _value(cluster_mean(weight * feedback.reward, feedback.cluster, level), feedback, weight, clipped)


def snips(feedback: Feedback, *, clip: float | None = None, level: float = 0.95) -> PolicyValue:
    """Self-normalized: Σ w r / Σ w, so that it stays within the range of the rewards."""
    weight, clipped = _weights(feedback, clip)
    looks = feedback.looks / feedback.looks.mean()
    mean = ratio(weight * feedback.reward, weight * looks, feedback.cluster, level)
    return _value(mean, feedback, weight, clipped)


def dm(feedback: Feedback, q_target: np.ndarray, *, level: float = 0.95) -> PolicyValue:
    """Direct method: what a reward model expects of what the target shows; q_target (n,), mean over its choices.

    The interval is that of the mean over sessions: how wrong the model is, no log of the logger's can tell.
    """
    mean = cluster_mean(q_target, feedback.cluster, level)
    doubt = "the interval leaves out the error of the reward model"
    return PolicyValue(**vars(_times(mean, feedback.slots)), warning=doubt)


def dr(
    feedback: Feedback,
    q_logged: np.ndarray,
    q_target: np.ndarray,
    *,
    clip: float | None = None,
    level: float = 0.95,
) -> PolicyValue:
    """Doubly robust: the direct method, corrected by the weighted residuals of the rows that were logged.

    q_logged (n,): the model's reward for the logged row. Fit the model on other rows (`cross_fit`).
    """
    weight, clipped = _weights(feedback, clip)
    parts = q_target + weight * (feedback.reward - q_logged)
    return _value(cluster_mean(parts, feedback.cluster, level), feedback, weight, clipped)


def off_policy(
    feedback: Feedback,
    q_logged: np.ndarray | None = None,
    q_target: np.ndarray | None = None,
    *,
    clip: float | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """All estimators beside what the logger earned: a row each; value, low, high, ess, clipped, warning."""
    found = {"on policy": on_policy(feedback, level)}
    found |= {"ips": ips(feedback, clip=clip, level=level), "snips": snips(feedback, clip=clip, level=level)}
    if q_logged is not None and q_target is not None:
        found["dm"] = dm(feedback, q_target, level=level)
        found["dr"] = dr(feedback, q_logged, q_target, clip=clip, level=level)
    columns = ["value", "low", "high", "ess", "clipped", "warning"]
    return pd.DataFrame([vars(one) for one in found.values()], index=list(found))[columns]


def cross_fit(
    item: np.ndarray, reward: np.ndarray, exposure: np.ndarray, fold: np.ndarray, items: int, strength: float = 20.0
) -> np.ndarray:
    """The simplest reward model: smoothed reward per look at an item, float64 (folds, items), from the other folds.

    item int64 (n,) below `items`, fold int64 (n,) from 0: by user, so that no row helps to predict itself. Expected
    reward of an item in a slot is then rates[fold, item] * exposure of the slot.

    >>> cross_fit(np.array([0, 0, 1, 1]), np.array([1, 0, 0, 0]), np.ones(4), np.array([0, 1, 0, 1]), 2, strength=0.5)
    array([[0.  , 0.  ],
           [0.83..., 0.16...]])
    """
    cells = np.asarray(fold) * items + item
    shape = (int(np.max(fold)) + 1, items)
    likes, looks = (
        np.bincount(cells, weights=x, minlength=shape[0] * items).reshape(shape) for x in (reward, exposure)
    )
    likes, looks = likes.sum(axis=0) - likes, looks.sum(axis=0) - looks
    mean = likes.sum(axis=1, keepdims=True) / np.maximum(looks.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray((likes + strength * mean) / (looks + strength))


def _weights(feedback: Feedback, clip: float | None) -> tuple[np.ndarray, float]:
    """Weights, cut at `clip`, and the share that was cut; raises where the log cannot answer.

    If the logger can show all that the target shows, weighted looks sum to all looks. A shortfall is the share of the
    target's choices that the log never holds, and no estimator here would notice.
    """
    if clip is not None and not clip > 0:
        raise MlsysError(f"clip={clip}", why="it is the largest weight", fix="clip=10, or leave it out")
    weight, looks = feedback.weight, feedback.looks
    held = ratio(weight * looks, looks, feedback.cluster)
    error = (held.high - held.low) / 4
    if held.value == 0 or held.value + DOUBT * error < 1:
        raise MlsysError(
            f"the log holds {held.value:.0%} of what the target shows",
            why="what was never shown has no reward to weigh, and the rest may be no sample of it",
            fix="let the logger explore (world.step(ranker, explore=0.1)), or value a target closer to it",
        )
    if clip is None:
        return weight, 0.0
    return np.minimum(weight, clip), float((weight > clip).mean())


def effective(weight: np.ndarray) -> float:
    """Effective sample size, (Σ w)² / Σ w². Source: Kish, Survey sampling (1965).

    >>> effective(np.array([1.0, 1, 1, 0])), effective(np.array([9.0, 1, 1, 1])).__round__(2)
    (3.0, 1.71)
    """
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def _times(mean: Estimate, slots: int) -> Estimate:
    return replace(mean, value=mean.value * slots, low=mean.low * slots, high=mean.high * slots)


def _value(mean: Estimate, feedback: Feedback, weight: np.ndarray, clipped: float) -> PolicyValue:
    ess, counted = effective(weight), effective(weight * feedback.reward)
    doubts = [f"only {ess:.0f} effective rows: do not trust the interval"] if ess < LOW_ESS else []
    if ess >= LOW_ESS and counted < FEW:
        doubts.append(f"only {counted:.0f} effective rewards: do not trust the interval")
    if clipped:
        doubts.append(f"{clipped:.1%} of the weights are cut: biased towards what the logger shows")
    return PolicyValue(**vars(_times(mean, feedback.slots)), ess=ess, clipped=clipped, warning="; ".join(doubts))
