"""A scorecard, a transcript and a drill in words: the same text for the terminal and the notebook."""

from __future__ import annotations

import textwrap

import pandas as pd

from mlsys.drills.grading import Scorecard
from mlsys.drills.rubric import calibration
from mlsys.drills.source import Drill

WIDTH = 110


def card_text(drill: Drill, card: Scorecard, seed: int) -> str:
    """Every row with its points, the reason, and what would have earned more; then the level and what is asked next."""
    rows, lines = {row.id: row for row in drill.rows}, []
    for scored in card.rows:
        row = rows[scored.row]
        state = "listen" if scored.points is None else "unlocked" if scored.unlocked else "locked"
        lines.append(f"{_points(scored.points)}  {state:<9}{row.title}  [{row.id}]")
        lines += _wrap(drill.show(scored.reason, seed) if scored.human else scored.reason)
        if scored.human and scored.points is None:
            lines += [line for points, text in enumerate(row.levels) for line in _wrap(f"{points}: {text}")]
        elif scored.points is not None and scored.points < 3:
            lines += _wrap(f"for {scored.points + 1}: {row.levels[scored.points + 1]}")
    lines.append("")
    lines.append(verdict(card))
    asks = []
    for one in drill.follow_ups:
        points = card.points.get(one.row)
        if points is not None and one.when == ("weak" if points < 2 else "strong"):
            asks.append(one.ask)
    if asks:
        lines += ["", "The interviewer goes on:"]
        lines += [line for ask in asks for line in _wrap(f"- {drill.show(ask, seed)}", "  ")]
    return "\n".join(lines)


def verdict(card: Scorecard) -> str:
    """The level in one line, and what is missing for the next."""
    scored = [row for row in card.rows if row.points is not None]
    locked = [row.row for row in scored if not row.unlocked]
    threes = sum(row.points == 3 for row in scored)
    so_far = f" so far; a human has yet to score {', '.join(card.open)}" if card.open else ""
    if locked:
        why = f"E5 needs 2 points in every row; below are {', '.join(locked)}"
    elif card.raised:
        why = f"raised after the reason was read: {', '.join(card.raised)}; E6 takes another seed"
    elif card.level == "E5":
        why = f"E6 needs 3 points in half of the rows; they are {threes} of {len(scored)}"
    else:
        why = f"no row below 2, and {threes} of {len(scored)} at 3"
    return f"{card.level}{so_far}: {why}."


def drill_text(drill: Drill) -> str:
    """What a drill is about, in one line."""
    step = f"step {drill.step}" if drill.step else "all steps"
    what = f"{drill.kind}: {drill.signal}"
    return f"{drill.name}: {drill.title} · {step} · {what} · {drill.level} · {drill.minutes:g} minutes"


def rubric_text(drill: Drill) -> str:
    """The rubric: every row, what 0 to 3 points mean, and who scores it."""
    lines = []
    for row in drill.rows:
        lines.append(f"{row.title}  [{row.id}]  {'checked by a run' if row.check else 'scored by a human'}")
        lines += [line for points, text in enumerate(row.levels) for line in _wrap(f"{points}: {text}")]
    return "\n".join(lines)


def progress_text(rows: pd.DataFrame, intervals: pd.DataFrame) -> str:
    """Drills by step, points by row, what is due, and calibration."""
    lines = []
    for drill, part in rows.groupby("drill", sort=False):
        step = int(part["step"].iloc[0])
        shown = "  ".join(f"{row} {_points(points)}" for row, points in zip(part["row"], part["points"], strict=True))
        due = "due" if bool((part["due"] & part["points"].notna()).any()) else ""
        lines.append(f"{f'step {step}' if step else 'all':<8}{drill:<24}{due:<5}{shown}")
    if len(intervals):
        hits = (intervals["low"] <= intervals["truth"]) & (intervals["truth"] <= intervals["high"])
        share, low, high = calibration(list(hits))
        told = "Widen them." if high < 0.8 else "Dare narrower ones." if low > 0.8 else "Well calibrated so far."
        lines += ["", f"Intervals: {share:.0%} of {len(hits)} held the truth, 80 % is wanted ({low:.0%} to {high:.0%} "
                  f"is what so few can tell). {told}"]  # fmt: skip
    return "\n".join(lines)


def _points(points: float | None) -> str:
    return "·" if points is None or pd.isna(points) else f"{points:.0f}"


def _wrap(text: str, indent: str = " " * 12) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
