"""A server of some ninety lines under review: six of twenty defects are in it, and every claim is run.

A probe shows a defect if its figure is another one with only that defect repaired; it clears one if its figure would
be another one with that defect put in. Nothing of the key is written down: lines are found in the text, figures run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import number
from mlsys.drills.source import load

text = load(Path(__file__).with_name("server.py"))
bench = load(Path(__file__).with_name("probes.py"))
Runs = dict[str, tuple[float, tuple[int, ...]]]
KINDS, PROBES = text.KINDS, tuple(bench.PROBES)
STATUS = ("no_fallback", "no_limit", "always_ready", "open_admin", "code_from_upload")
"""Defects of which a status tells; two or three of the six are of these. What is in the key is run all the same."""


def variant(seed: int) -> Variant:
    """Six defects, drawn until each of them is shown by a probe, and the figures of all probes."""
    rng = generator(seed, 1)
    f: dict[str, Any] = {"ttl": int(rng.choice([30, 60, 120, 300])), "room": int(rng.integers(6, 16)) * 10}
    f |= {"most": int(rng.integers(2, 7)) * 50, "tries": int(rng.integers(2, 5)), "n": int(rng.integers(4, 10))}
    f |= {"timeout": float(rng.choice([0.02, 0.03, 0.05])), "wait": float(rng.choice([0.02, 0.04, 0.06]))}
    f |= {"weights": tuple(int(one) for one in rng.permutation([2, 3, 5])), "hang": int(rng.integers(2, 8)) * 5}
    f |= dict(zip(("likes", "age", "trust"), (int(one) for one in rng.permutation([1, 4, 7])), strict=True))
    f |= {"crowd": f["room"] + int(rng.integers(2, 9)) * 10, "refusals": int(rng.integers(10, 60))}
    order, others = text.orders(rng), [kind for kind in KINDS if kind not in STATUS]
    for _ in range(200):
        loud = int(rng.integers(2, 4))
        drawn = [*rng.permutation(STATUS)[:loud].tolist(), *rng.permutation(others)[: 6 - loud].tolist()]
        there = frozenset(drawn)
        if (key := _key(f, order, there)) is not None:
            code = text.source(f, order, there).rstrip("\n").split("\n")
            listing = "\n".join(f"{n:3d}  {line}".rstrip() for n, line in enumerate(code, 1))
            names = {f"w_{name}": w for name, w in zip(bench.FEATURES, f["weights"], strict=True)}
            return Variant(f | names | {"code": listing, "long": 10 * f["most"]}, key)
    raise MlsysError(f"seed {seed} gives no server", why="no draw shows all its defects", fix="take another seed")


def _key(f: dict[str, Any], order: tuple[str, ...], there: frozenset[str]) -> dict[str, Any] | None:
    """What the probes say of the server as it stands, and with each defect taken out or put in."""
    try:
        now = _all(text.source(f, order, there), f)
        without = {kind: _all(text.source(f, order, there - {kind}), f) for kind in KINDS if kind in there}
    except ValueError:
        return None
    shown = {kind: _differ(now, then) for kind, then in without.items()}
    if not all(shown.values()):
        return None
    cleared: dict[str, tuple[str, ...]] = {}
    for kind in KINDS:
        if kind not in there:
            try:
                then = _all(text.source(f, order, there | {kind}), f)
            except ValueError:  # Where it would stand is another defect already: what would it do by itself?
                then = _all(text.source(f, order, frozenset([kind])), f)
            cleared[kind] = _differ(now, then)
    status = {kind: {now[name][1] != without[kind][name][1] for name in shown[kind]} for kind in shown}
    listing = text.source(f, order, there)
    return {
        "lines": {kind: tuple(sorted(text.lines(listing, kind))) for kind in KINDS if kind in there},
        "figures": {name: now[name][0] for name in PROBES},
        "shown": shown,
        "repaired": {kind: {name: then[name][0] for name in PROBES} for kind, then in without.items()},
        "cleared": cleared,
        "seen": tuple(kind for kind in shown if status[kind] == {True}),
        "either": tuple(kind for kind in shown if len(status[kind]) == 2),
    }


def _all(source: str, f: dict[str, Any]) -> Runs:
    code = compile(source, "reviewed", "exec")
    return {name: bench.run(name, code, f) for name in PROBES}


def _differ(now: Runs, then: Runs) -> tuple[str, ...]:
    return tuple(name for name in PROBES if not _same(now[name][0], then[name][0]))


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= max(0.006, 0.03 * abs(b))


def lines(answer: Answer, variant: Variant) -> Evidence:
    """Which six, and where."""
    truth, said = variant.key["lines"], [(str(row["defect"]), row["line"]) for row in answer["found"]]
    if len(said) > 9:
        return Evidence(0, f"{len(said)} accusations, and there are six: nobody reads the author a list of everything")
    right = {kind for kind, line in said if line in truth.get(kind, ())}
    accused = sorted({kind for kind, _ in said if kind not in truth})
    elsewhere = sorted({kind for kind, _ in said if kind in truth} - right)
    told = [f"{len(right)} of {len(truth)} found with their line"]
    told += [f"{', '.join(accused)}: this server does that right"] if accused else []
    told += [f"{', '.join(elsewhere)}: it is there, but on another line"] if elsewhere else []
    told += [f"{missing} left for production to find"] if (missing := len(set(truth) - {k for k, _ in said})) else []
    off = len(truth) - len(right) + len(accused)
    return Evidence(3 if not off else 2 if off <= 2 else int(off <= 4), "; ".join(told) + ".")


def _run(row: dict[str, Any], shows: dict[str, tuple[str, ...]], key: Any, no: str) -> str:
    """What is wrong with one row of proofs, in words; nothing: its probe tells, and its figure is right."""
    kind, probe, said, truth = str(row["defect"]), str(row["probe"]), row["figure"], key["figures"][str(row["probe"])]
    if kind not in shows:
        return f"{kind}: {no}"
    if probe not in shows[kind]:
        return f"{probe} reads the same with and without {kind}"
    return "" if _same(said, truth) else f"{probe} does not read {number(said)} on this server"


def proofs(answer: Answer, variant: Variant) -> Evidence:
    """For each defect a probe that would change if it were repaired, and what the probe reads today."""
    key, rows = variant.key, answer["proofs"]
    off = [told for row in rows if (told := _run(row, key["shown"], key, "a probe cannot show what is not there"))]
    right = {str(row["defect"]) for row in rows if not _run(row, key["shown"], key, "no")}
    told = "; ".join([f"{len(right)} of 6 shown by a run", *off[:2]])
    if len(off) > 3:
        return Evidence(0, f"{told}; {len(off)} rows do not hold.")
    points = 3 if len(right) >= 5 and not off else 2 if len(right) >= 4 and len(off) <= 2 else int(len(right) >= 2)
    return Evidence(points, f"{told}.")


def cleared(answer: Answer, variant: Variant) -> Evidence:
    """For suspects that are not there: a probe that would tell, and what it reads."""
    key, rows = variant.key, answer["cleared"]
    if there := sorted({str(row["defect"]) for row in rows} & set(key["lines"])):
        return Evidence(0, f"You clear {there[0]}, and it stands in this server.")
    off = [told for row in rows if (told := _run(row, key["cleared"], key, "it stands in this server"))]
    right = {str(row["defect"]) for row in rows if not _run(row, key["cleared"], key, "no")}
    told = "; ".join([f"{len(right)} cleared by a run", *off[:2]])
    if len(off) > 3:
        return Evidence(0, f"{told}; {len(off)} rows do not hold.")
    points = 3 if len(right) >= 4 and not off else 2 if len(right) >= 3 and len(off) <= 1 else int(len(right) >= 1)
    return Evidence(points, f"{told}.")


def seen(answer: Answer, variant: Variant) -> Evidence:
    """Which of them a look at status codes would find."""
    key, said = variant.key, set(answer["seen"])
    truth, free = set(key["seen"]), set(key["either"])
    extra, missing = sorted(said - truth - free), sorted(truth - said)
    absent = [kind for kind in extra if kind not in key["lines"]]
    if not extra and not missing:
        return Evidence(3, f"Codes tell of {', '.join(sorted(said))}; the others answer as if all were well.")
    told = [f"{', '.join(absent)}: not in this server"] if absent else []
    if quiet := [kind for kind in extra if kind not in absent]:
        told.append(f"{', '.join(quiet)}: its probe gets the very same codes from the repaired server")
    told += [f"{len(missing)} whose codes do change left out"] if missing else []
    hit = len(said & truth)
    return Evidence(2 if len(extra) + len(missing) == 1 and hit else int(hit > 0 and len(extra) + len(missing) == 2),
                    "; ".join(told) + ".")  # fmt: skip
