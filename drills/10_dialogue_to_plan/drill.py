"""From a dialogue to a plan: four boxes and a bill from eight answers, and what each answer, turned round, does.

The key is the capacity plan's, run once for what was said and once per answer that might yet be another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load

dialogue = load(Path(__file__).with_name("dialogue.py"))
ANSWERS, LINES, needs, ordered = dialogue.ANSWERS, dialogue.LINES, dialogue.needs, dialogue.ordered
BOXES = {"requests": "requests a second at peak", "log": "TB of log kept", "ranking": "cores for ranking",
         "features": "cores for features"}  # fmt: skip
LOUD = ("users", "sessions", "list", "candidates", "retention", "refresh")
"""Answers of which one is drawn to move the bill most."""

APART, LEADS = 1.3, 1.15
"""The answer that moves the bill most does so by this factor; and the largest line leads by this factor, always."""


def variant(seed: int) -> Variant:
    """Eight answers and eight others, drawn until no question is a close call. Five seeds are five dialogues."""
    kind = int(generator(seed // 5, 1).permutation(5)[seed % 5])
    wanted = generator(seed, 2).permutation([name for name in LOUD if kind < 2 or name != "candidates"])
    several = generator(seed, 4).random() < 0.6
    for attempt in range(600):
        fixed, said, other = dialogue.draw(generator(seed, 3, attempt), kind)
        base = needs(said, fixed)
        flipped = {name: needs({**said, name: other[name]}, fixed) for name in ANSWERS}
        moves = {name: found["bill"] - base["bill"] for name, found in flipped.items()}
        most, second = sorted(moves, key=lambda name: -abs(moves[name]))[:2]
        clear = abs(moves[most]) > APART * abs(moves[second])
        shifts = {name: ordered(found)[0] for name, found in flipped.items() if ordered(found)[0] != ordered(base)[0]}
        right = most == wanted[attempt // 60 % len(wanted)] and (len(shifts) > 1) == several
        if (right or attempt > 350) and clear and all(map(_leads, (base, *flipped.values()))):
            break
    else:
        raise MlsysError(f"seed {seed} gives no dialogue", why="every draw is a close call", fix="take another seed")
    key = {
        "boxes": {name: base[name] for name in BOXES},
        "bill": base["bill"],
        "then": {name: found["bill"] for name, found in flipped.items()},
        "most": most,
        "nothing": tuple(name for name in ANSWERS if all(abs(flipped[name][x] / base[x] - 1) < 1e-6 for x in LINES)),
        "largest": ordered(base)[0],
        "shifts": shifts,
        "turn": said["retention"] * base["ranking_dollars"] / base["log_dollars"],
        "turns": {name: said["retention"] * found["ranking_dollars"] / found["log_dollars"]
                  for name, found in flipped.items() if name != "retention"},
    }  # fmt: skip
    costs = dialogue.costs(fixed)
    shown = fixed | said | {f"{name}_or": value for name, value in other.items()}
    shown |= {"score_us": costs["rank_500_us"] / 500, "event_bytes": costs["event_bytes"],
              "pass_us": costs["features_us_per_event"]}  # fmt: skip
    return Variant(shown, key)


def boxes(answer: Answer, variant: Variant) -> Evidence:
    """Four intervals; the worst counts."""
    found = []
    for name, what in BOXES.items():
        (low, high), truth = answer[name], variant.key["boxes"][name]
        factor, middle = high / low if low > 0 else math.inf, math.sqrt(max(low, 0) * high)
        close = truth / 1.1 <= middle <= 1.1 * truth
        points = 0 if not (low <= truth <= high or close) else 3 if factor <= 2.001 else 2 if factor <= 4.001 else 1
        told = f"{what}: you said {number(low)} to {number(high)}, the plan says {number(truth)}"
        if not points and low > 0:
            off = max(middle / truth, truth / middle)
            told += f"; a factor of {number(off)} {'less' if middle > truth else 'more'}"
        found.append(Evidence(points, told + ("; too wide to buy by" if points == 1 else "")))
    worst = min(found, key=lambda one: one.points)
    return worst if worst.points < 3 else Evidence(3, "; ".join(one.reason for one in found))


def most(answer: Answer, variant: Variant) -> Evidence:
    """The answer that moves the bill most, and the bill it gives."""
    key, said, then = variant.key, answer["most"], answer["then"]
    bill, here = key["bill"], key["then"][said]
    told = f"with the other answer to {said} the plan goes from ${number(bill)} to ${number(here)} a month"
    if said != key["most"]:
        far = abs(key["then"][key["most"]] - bill)
        return Evidence(0, f"{told}; another answer moves it by ${number(far)}, up or down")
    off = abs(then / here - 1)
    if off > 0.15:
        return Evidence(1, f"{said} it is, and the bill is not ${number(then)}: {told}")
    return Evidence(3 if off <= 0.04 else 2, f"{told}: no other answer moves it so far; you said ${number(then)}")


def nothing(answer: Answer, variant: Variant) -> Evidence:
    """The answers that leave every line as it is."""
    bill, then = variant.key["bill"], variant.key["then"]
    extra, missing = _apart(answer["nothing"], variant.key["nothing"])
    if not extra and not missing:
        return Evidence(3, "run with each of the others, some line of the bill moves; with what you named, none does")
    told = [f"{name} moves the bill by {100 * (then[name] / bill - 1):+.2g} %" for name in extra]
    if missing:
        told += [f"{len(missing)} more may be turned round, and every line stays: look for what limits what"]
    return Evidence(1 if len(extra) + len(missing) == 1 else 0, "; ".join(told))


def shifts(answer: Answer, variant: Variant) -> Evidence:
    """The answers after which another line is the largest."""
    key = variant.key
    extra, missing = _apart(answer["shifts"], tuple(key["shifts"]))
    if not extra and not missing:
        told = ", ".join(f"{name} ({line})" for name, line in key["shifts"].items()) or "none"
        return Evidence(3, f"as said, {key['largest']} is the largest line; another one leads after: {told}")
    wrong = [f"after {name} {key['largest']} is the largest line still" for name in extra]
    wrong += [f"{len(missing)} more would give you another box to work on"] if missing else []
    return Evidence(2 if len(extra) + len(missing) == 1 and len(key["shifts"]) > 1 else 0, "; ".join(wrong))


def turn(answer: Answer, variant: Variant) -> Evidence:
    """The retention at which log and ranking cost the same."""
    said, right = answer["turn"], variant.key["turn"]
    off = abs(said / right - 1)
    if off > 0.15:
        apart = max(said, right) / max(min(said, right), 1e-9)
        return Evidence(0, f"with {number(said)} days of log the two lines are a factor of {number(apart)} apart; "
                           "a day of log has a price, and ranking costs so many days of it")  # fmt: skip
    return Evidence(
        3 if off <= 0.05 else 2, f"both lines cost the same at {number(right)} days, you said {number(said)}"
    )


def cancels(answer: Answer, variant: Variant) -> Evidence:
    """The answers that move this threshold."""
    key = variant.key
    right = tuple(name for name, days in key["turns"].items() if abs(days / key["turn"] - 1) > 1e-6)
    extra, missing = _apart(answer["moves_turn"], right)
    if not extra and not missing:
        return Evidence(
            3, f"yes; what multiplies both lines alike leaves the {number(key['turn'])} days where they are"
        )
    told = [f"with {name} turned round it stays: both lines by the same factor, or neither" for name in extra]
    told += [f"{len(missing)} more would move it"] if missing else []
    return Evidence(2 if len(extra) + len(missing) == 1 and len(right) > 2 else 0, "; ".join(told))


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return dict(variant.key["boxes"])


def _apart(named: list[str], right: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What was named too much, and too little; "none" names nothing."""
    said = {name for name in named if name != "none"}
    return sorted(said - set(right)), sorted(set(right) - said)


def _leads(found: Mapping[str, float]) -> bool:
    first, second = ordered(found)[:2]
    return bool(found[f"{first}_dollars"] > LEADS * found[f"{second}_dollars"])
