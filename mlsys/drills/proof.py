"""Prove a grader: the reference passes, wrong answers fail where they should, and nothing else earns points.

A grader that nobody tested gives full marks to the wrong people. So every drill brings its reference, at least one
named wrong answer per machine row, and samples; all of them travel the way of a typed answer, as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsys.core import generator
from mlsys.drills.answer import Field, dump, parse
from mlsys.drills.grading import Scorecard, grade, listen
from mlsys.drills.rubric import level
from mlsys.drills.source import LEVELS, Drill, Typed

SAMPLED = ("incident", "decision", "code", "review", "spoken")
"""Kinds whose E4, E5 and E6 samples must land on their level."""

NEXT, NEXT_FULL = 2, 5
"""So many seeds after the proved one, and in a full proof, are looked at; at most one of them may share its key."""

GUESSES, LUCKY = 20, 2
"""Random answers per seed, and how many of them may pass."""


@dataclass(frozen=True)
class Problem:
    """What does not hold."""

    drill: str
    seed: int
    what: str

    def __str__(self) -> str:
        return f"{self.drill}, seed {self.seed}: {self.what}"


def prove(drill: Drill, seed: int, *, following: int = NEXT) -> list[Problem]:
    """Everything that does not hold for one seed of a drill, held against the `following` ones; empty: the proof."""
    machine = [row for row in drill.rows if row.check]
    if not machine:
        return [Problem(drill.name, seed, "no row has a check: nothing would be proved")]
    try:
        return [Problem(drill.name, seed, what) for what in _problems(drill, seed, following)]
    except Exception as error:  # whatever a drill's own code does wrong is what a proof is for
        return [Problem(drill.name, seed, f"{type(error).__name__}: {error}")]


def score(drill: Drill, seed: int, typed: Typed) -> Scorecard:
    """A typed answer scored as text: dumped, parsed, its questions asked."""
    facts = [fact.id for question in typed.questions if (fact := listen(drill, question))]
    values = parse(dump(typed.values), drill.fields)
    return grade(drill, seed, values, asked=facts, human=typed.human)


def stuffed(fields: tuple[Field, ...], reference: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that names everything: all options, all arrows between all boxes, intervals that hold any number."""
    return {one.name: _everything(one, reference.get(one.name, one.example)) for one in fields}


def guessed(fields: tuple[Field, ...], reference: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A random answer by somebody who knows the form, how many items are wanted, and numbers to a factor of ten."""
    return {one.name: _guess(one, reference.get(one.name, one.example), rng) for one in fields}


def _problems(drill: Drill, seed: int, following: int) -> Iterator[str]:
    variant, answers = drill.variant(seed), drill.answers()
    drill.show(drill.prompt, seed)
    for fact in drill.facts:
        drill.show(fact.text, seed)
    parse(drill.template(seed), drill.fields)
    machine = {row.id: row for row in drill.rows if row.check}

    empty = grade(drill, seed, parse(drill.template(seed), drill.fields))
    for row in empty.rows:
        if row.row in machine and (row.points or (machine[row.row].needs and "empty" not in row.reason)):
            yield f"an empty answer earns {row.points} in {row.row}: {row.reason}"

    best_answer: Typed = answers.reference(variant)
    reference = score(drill, seed, best_answer)
    best = {row.row: row for row in reference.rows if row.row in machine}
    if level([row.points or 0 for row in best.values()]) != "E6":
        low = "; ".join(f"{row.row} {row.points}: {row.reason}" for row in best.values() if row.points != 3)
        yield f"the reference is {reference.level}, not E6: {low}"

    wrong: Mapping[str, Typed] = answers.wrong(variant)
    for row_id in machine:
        if not any(typed.row == row_id for typed in wrong.values()):
            yield f"no wrong answer fails the row {row_id}"
    for name, typed in wrong.items():
        yield from _bites(name, typed, score(drill, seed, typed), best)

    others = [one for one in range(seed + 1, seed + 1 + following) if drill.variant(one).key != variant.key]
    if len(others) < following - 1:
        yield f"{following - len(others)} of the next {following} seeds have the same key"
    if others and score(drill, seed, answers.reference(drill.variant(others[0]))).level != "E4":
        yield f"the reference of seed {others[0]} passes"
    for row in score(drill, seed, Typed(stuffed(drill.fields, best_answer.values))).rows:
        if row.row in machine and row.unlocked:
            yield f"naming everything earns {row.points} in {row.row}: {row.reason}"
    guesses = [guessed(drill.fields, best_answer.values, generator(seed, i)) for i in range(1, GUESSES + 1)]
    lucky = [one for one in guesses if score(drill, seed, Typed(one, best_answer.questions)).level != "E4"]
    if len(lucky) > LUCKY:
        yield f"{len(lucky)} of {GUESSES} guesses pass, one is {dump(lucky[0])}"

    samples: Mapping[str, Typed] = answers.samples(variant) if hasattr(answers, "samples") else {}
    if drill.kind in SAMPLED and set(samples) != set(LEVELS):
        yield f"a drill of the kind {drill.kind} has samples for {', '.join(LEVELS)}"
    for name, typed in samples.items():
        found = score(drill, seed, typed)
        if found.level != name:
            yield f"the sample {name} is scored {found.level}: {found.points}"


def _bites(name: str, typed: Typed, found: Scorecard, best: Mapping[str, Any]) -> Iterator[str]:
    """The wrong answer fails its row with its own message, and loses no other."""
    for row in found.rows:
        if row.row not in best:
            continue
        if row.row == typed.row:
            if row.unlocked:
                yield f"the wrong answer {name} is not caught: {row.row} has {row.points}: {row.reason}"
            elif typed.says and typed.says in best[row.row].reason:
                yield f"the wrong answer {name} is to say {typed.says!r}, and so does the reference"
            elif not typed.says or typed.says not in row.reason:
                yield f"the wrong answer {name} fails {row.row} without saying {typed.says!r}: {row.reason}"
        elif row.points != best[row.row].points:
            yield f"the wrong answer {name} also changes {row.row} to {row.points}: {row.reason}"


def _everything(one: Field, reference: Any) -> Any:
    if one.kind == "choice":  # Of which nobody can name all: one that is wrong.
        return next(option for option in one.options if option != reference or len(one.options) == 1)
    if one.kind == "choices":
        return list(one.options)
    if one.kind == "number":
        return min(max(1.0, one.at_least), one.at_most)
    if one.kind == "interval":
        return [max(1e-9, one.at_least), min(1e15, one.at_most)]
    if one.kind == "rows":
        longest = max((len(options) for options in one.columns.values()), default=1)
        return [
            {name: options[i % len(options)] if options else 1.0 for name, options in one.columns.items()}
            for i in range(longest)
        ]
    if one.kind == "list":
        return [*reversed(reference), *reference]
    if one.kind == "graph":
        boxes = one.read(reference).boxes[:15]
        return "\n".join(f"{a} -> {b}: everything" for a in boxes for b in boxes if a != b)
    return " ".join([str(reference)] * 20)


def _guess(one: Field, reference: Any, rng: np.random.Generator) -> Any:
    if one.kind == "choice":
        return str(rng.choice(one.options))
    if one.kind == "choices":
        return [str(name) for name in rng.choice(one.options, min(len(reference), len(one.options)), replace=False)]
    if one.kind == "number":
        value = min(max(float(reference * 10 ** rng.uniform(-1, 1)), one.at_least), one.at_most)
        return round(value) if one.whole else value
    if one.kind == "interval":
        width = reference[1] - reference[0]
        low = reference[0] + width * rng.uniform(-10, 10)
        low = max(min(low, one.at_most - width), one.at_least)
        return [float(low), float(min(low + width, one.at_most))]
    if one.kind == "rows":
        return [
            {name: str(rng.choice(list(options))) if options else float(row[name] * 10 ** rng.uniform(-1, 1))
             for name, options in one.columns.items()}
            for row in reference
        ]  # fmt: skip
    if one.kind == "list":
        return [str(item) for item in rng.permutation(reference)]
    if one.kind == "graph":
        boxes = one.read(reference).boxes
        return "\n".join(f"{a} -> {b}" for a, b in rng.choice(boxes, (2 * len(boxes), 2)) if a != b)
    return str(reference)
