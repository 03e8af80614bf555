"""The seven steps: recited, applied to things, and mended in somebody else's answer. The key is the architecture's."""

from __future__ import annotations

import re

from mlsys.analysis.architecture import COMPONENTS, STEPS
from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant

ASKED, MOST_OF_A_STEP = 7, 2

POOL: dict[str, int | str] = {
    "asking how many people use it on a day": 1,
    "asking how fast an answer has to come": 1,
    "agreeing on which business number has to move": 1,
    "saying what is out of scope": 1,
    "input: user and post; output: P(like)": 2,
    "deciding that it is a ranking problem": 2,
    "choosing whether a click or a like is to be predicted": 2,
    "objective: likes plus shares minus three dislikes": 2,
    "point-in-time join": "Feature extraction",
    "dead letters with reasons": "Data collection",
    "checking a batch for nulls before training": "Data verification",
    "dropping events that arrived twice": "Data collection",
    "logistic regression as first baseline": "ML code",
    "tuning the depth of the trees": "ML code",
    "learning rate of the network": "ML code",
    "early stopping": "ML code",
    "offline AUC with its interval": "Evaluation pipeline",
    "A/B test with enough people": "Evaluation pipeline",
    "gain by slice: new users and each device": "Analysis tools",
    "estimate of a new ranker from logged propensities": "Evaluation pipeline",
    "canary: one percent of the traffic first": "Serving infrastructure",
    "popularity answers while the store is down": "Serving infrastructure",
    "cache of predictions for repeated requests": "Serving infrastructure",
    "load shedding when the queue is full": "Serving infrastructure",
    "alerts graded on injected incidents": "Monitoring",
    "drift of live features against a reference week": "Monitoring",
    "scheduler that retries the nightly jobs": "Process management",
    "how fast the error budget burns": "Monitoring",
}
"""Things and the step they belong to: a number, or the component whose step it is."""

TOLD = {
    1: ("I ask how many people use it, and how fast an answer has to come.",
        "I ask what the business wants from it, and what we leave out."),
    2: ("I say what goes in, what comes out, and which action is the label.",
        "I write the goal as a ranking by the chance of a like."),
    3: ("I collect events, refuse the broken ones, and join what was known at each moment.",
        "I clean the log and compute columns that see only the past."),
    4: ("I fit a logistic regression, and trees only if they pay.",
        "I fit a simple learner, then a larger one, and tune it."),
    5: ("I compare it with popularity on later days, then in an A/B test.",
        "I show the gain with its interval, offline and then online."),
    6: ("I give it one request in a hundred, with a cache, a fallback and a way back.",
        "I put it behind an endpoint that answers within 100 ms at full load."),
    7: ("I watch for drift, page somebody, and let a scheduler retrain it.",
        "I set alerts with owners, and make the next retrain one command."),
}  # fmt: skip
"""What somebody says at each step, without its name."""

NAMES: dict[str, tuple[int, ...]] = {
    "clarif": (1,), "req": (1,), "scop": (1,), "understand": (1,), "goal": (1,), "business": (1,),
    "fram": (2,), "formul": (2,), "task": (2,), "objective": (2,),
    "data": (3,), "featur": (3,), "prep": (3,),
    "eval": (5,), "metric": (5,), "exper": (5,), "validat": (5,), "test": (5,),
    "deploy": (6,), "serv": (6,), "launch": (6,), "rollout": (6,), "releas": (6,), "infer": (6,),
    "monit": (7,), "infra": (7,), "observ": (7,), "maint": (7,), "operat": (7,), "iterat": (7,),
}  # fmt: skip
"""Beginnings of words that name a step. The first one in a name counts."""

ELSE: dict[str, tuple[int, ...]] = {
    "model": (4,), "train": (4,), "algorithm": (4,), "learn": (4,), "baseline": (4,),
    "problem": (1, 2), "defin": (1, 2), "question": (1,),
}  # fmt: skip
"""These count where none of `NAMES` is in the name: model evaluation is evaluation."""


def step_of(item: str) -> int:
    """The step of something in the pool."""
    owner = POOL[item]
    return owner if isinstance(owner, int) else next(c.step for c in COMPONENTS if c.name == owner)


def variant(seed: int) -> Variant:
    """Seven things, and an answer with one step missing and two in each other's place."""
    rng = generator(seed, 1)
    items: list[str] = []
    for item in map(str, rng.permutation(list(POOL))):
        if len(items) < ASKED and sum(step_of(one) == step_of(item) for one in items) < MOST_OF_A_STEP:
            items.append(item)
    skipped = seed % len(STEPS) + 1  # neighbouring seeds differ
    order = [step.number for step in STEPS if step.number != skipped]
    i, j = sorted(map(int, rng.choice(len(order), 2, replace=False)))
    order[i], order[j] = order[j], order[i]
    said = "\n".join(f"> - {TOLD[step][int(rng.integers(len(TOLD[step])))]}" for step in order)
    rows = "\n".join(f'  {{item = "{item}", step = ""}},' for item in items)
    swapped = tuple(sorted((order[i], order[j])))
    key = {"steps": {item: step_of(item) for item in items}, "skipped": skipped, "swapped": swapped}
    return Variant({"said": said, "rows": f"placed = [\n{rows}\n]"}, key)


def steps(answer: Answer, variant: Variant) -> Evidence:
    """Seven names, each in its place."""
    said = answer["steps"]
    if len(said) != len(STEPS):
        return Evidence(0, f"you named {len(said)} steps; there are {len(STEPS)}, one item of the list for each")
    found = [_named(text) for text in said]
    off = [i for i, (step, names) in enumerate(zip(STEPS, found, strict=True)) if step.number not in names]
    if not off:
        return Evidence(3, "seven names, each in its place")
    text, names = said[off[0]].split(":")[0], found[off[0]]
    what = f"names step {names[0]}" if names else "names no step that I know"
    points = 2 if len(off) == 1 else 1 if len(off) <= 3 else 0
    return Evidence(points, f"{len(STEPS) - len(off)} of {len(STEPS)} stand in their place; in place {off[0] + 1}, "
                            f"{text[:60]!r} {what}")  # fmt: skip


def placed(answer: Answer, variant: Variant) -> Evidence:
    """Things put to their steps."""
    key, said = variant.key["steps"], [(row["item"], int(row["step"])) for row in answer["placed"]]
    given = {item: {step for other, step in said if other == item} for item in key}
    off = [item for item, right in key.items() if given[item] != {right}]
    right = len(key) - len(off)
    if not off:
        return Evidence(3, f"all {len(key)} stand where they belong")
    first = off[0]
    put = f"put to step {', '.join(map(str, sorted(given[first])))}" if given[first] else "left out"
    why = STEPS[key[first] - 1].purpose
    told = f"{right} of {len(key)} stand where they belong; {first!r}, {put}, belongs to: {why}"
    return Evidence(3 if right == len(key) - 1 else 2 if right >= len(key) - 2 else 1 if right >= 3 else 0, told)


def repaired(answer: Answer, variant: Variant) -> Evidence:
    """The step that was left out, and the two that changed places."""
    skipped, swapped = variant.key["skipped"], {str(step) for step in variant.key["swapped"]}
    missing, named = answer["skipped"] == str(skipped), set(answer["swapped"])
    hits = len(named & swapped) if len(named) == 2 else 0
    points = 3 if missing and hits == 2 else 2 if missing and hits == 1 else 1 if missing or hits == 2 else 0
    told = "the step that was left out is right" if missing else (
        f"step {answer['skipped']} was not left out: they say {_line(int(answer['skipped']), variant)!r}"
    )  # fmt: skip
    pair = [f"{which} that changed places" for which in ("neither of the two", "one of the two", "both")]
    return Evidence(
        points, f"{told}; {f'you have {pair[hits]}' if len(named) == 2 else 'name the two that changed places'}"
    )


def _line(step: int, variant: Variant) -> str:
    """What the speaker said at a step."""
    return next(text for text in TOLD[step] if text in str(variant.shown["said"]))


def _named(text: str) -> tuple[int, ...]:
    """The steps that a name can mean; the name is what stands before a colon or dash, or the first six words."""
    name = re.split(r":| [-–—] |\. ", re.sub(r"^\W*(step\s*)?\d+\s*[.):]?\s*", "", text.lower()), maxsplit=1)[0]
    words = re.findall(r"[a-z]+", name)[:6]
    for known in (NAMES, ELSE):
        for word in words:
            for stem, meant in known.items():
                if word.startswith(stem):
                    return meant
    return ()
