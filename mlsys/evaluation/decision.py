"""From effects to a decision: ship, hold or roll back, why, and what would turn it.

Every metric has a floor that its change must clear: the primary metric a gain worth having, a guardrail the loss that
is tolerated. The interval decides, not the estimate:

    all above the floor   ship         nothing worse than the floor is left in the interval
    all below             roll back    nothing better is left
    across                hold         the test cannot tell yet

and the worst verdict wins. A guardrail has to be shown unharmed; "no significant loss" is not enough. Source of such
non-inferiority guardrails: Schultzberg, Ankargren & Frånberg, Risk-aware product decisions in A/B tests with multiple
metrics, arXiv:2402.11609 (2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from mlsys.core import MlsysError
from mlsys.evaluation.experiment import MISMATCH
from mlsys.evaluation.intervals import Estimate

ACTIONS = ("ship", "hold", "roll back")


@dataclass(frozen=True)
class Guardrail:
    """A metric that may not get worse by more than `tolerated`, in the unit of its effect, 0 or more."""

    effect: Estimate
    tolerated: float
    more_is_better: bool = True


class Decision(NamedTuple):
    """action: one of `ACTIONS`; reasons: a sentence per metric that speaks for it; table: a row per metric.

    Columns: value, low, high, floor, verdict, and the estimates, at this width of interval, from which the metric would
    speak otherwise: ships_from and rolls_back_from. All in the metric's own direction.
    """

    action: str
    reasons: tuple[str, ...]
    table: pd.DataFrame


def decide(
    primary: Estimate,
    guardrails: Mapping[str, Guardrail] | None = None,
    *,
    minimum: float = 0.0,
    sample_ratio_p: float = 1.0,
) -> Decision:
    """Ship, hold or roll back.

    minimum : gain of the primary metric that is worth shipping. sample_ratio_p : `experiment.sample_ratio(...).p`.

    >>> likes, hidden = Estimate(0.04, 0.01, 0.07, 9000), Estimate(0.02, -0.01, 0.05, 9000)
    >>> found = decide(likes, {"dislikes": Guardrail(hidden, tolerated=0.03, more_is_better=False)})
    >>> found.action, found.reasons
    ('hold', ('dislikes: 0.020 [-0.010, 0.050] straddles +0.030; ships if it goes down to +0.000',))
    """
    judged = {"primary": _judge("primary", primary, minimum, True)}
    for name, guard in (guardrails or {}).items():
        if guard.tolerated < 0:
            raise MlsysError(
                f"guardrail {name!r} tolerates {guard.tolerated}",
                why="it is a size of loss, whichever direction is the bad one",
                fix="Guardrail(effect, tolerated=0.01)",
            )
        judged[name] = _judge(name, guard.effect, -guard.tolerated, guard.more_is_better)
    table = pd.DataFrame({name: row for name, (row, _) in judged.items()}).T
    if not sample_ratio_p >= MISMATCH:
        why = f"sample ratio: p {sample_ratio_p:.2g}: the arms are not what was assigned, so no effect can be read"
        return Decision("hold", (why,), table)
    action = max(table["verdict"], key=ACTIONS.index)
    return Decision(action, tuple(why for row, why in judged.values() if row["verdict"] == action), table)


def _judge(name: str, effect: Estimate, floor: float, more_is_better: bool) -> tuple[dict[str, float | str], str]:
    """A row of the table, and the reason in a sentence."""
    sign = 1 if more_is_better else -1
    value, low, high = sign * effect.value, *sorted((sign * effect.low, sign * effect.high))
    # NaN compares as false: an effect that could not be measured is held.
    verdict = "ship" if low >= floor else "roll back" if high < floor else "hold"
    # 0.0 is added so that nothing reads -0.
    own = {"value": effect.value, "low": effect.low, "high": effect.high, "floor": sign * floor + 0.0}
    ends = {"ships_from": low, "rolls_back_from": high}
    turns = {key: round(sign * (floor + value - end), 12) + 0.0 for key, end in ends.items()}
    up, down = ("up", "down") if more_is_better else ("down", "up")
    where = {"ship": "clears", "roll back": "lies beyond", "hold": "straddles"}[verdict]
    other = "rolls_back_from" if verdict == "roll back" else "ships_from"
    way = {"ship": f"holds if the estimate goes {down} past", "hold": f"ships if it goes {up} to",
           "roll back": f"holds if it goes {up} to"}[verdict]  # fmt: skip
    return {
        **own,
        "verdict": verdict,
        **turns,
    }, f"{name}: {effect} {where} {sign * floor + 0.0:+.3f}; {way} {turns[other]:+.3f}"
