"""Why hire ML engineers: three numbers that argue for a component each, all of them run; the speech is for ears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlsys import naive
from mlsys.analysis import anatomy
from mlsys.analysis.architecture import COMPONENTS
from mlsys.capacity import LATENCY_CLASSES_MS, plan, unit_costs
from mlsys.core import ACTIONS, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import interval_evidence, number
from mlsys.evaluation import classification
from mlsys.monitoring import AlertPolicy, grade
from mlsys.world import Oracle, Popularity, Random, World
from mlsys.world.noise import NoiseWorld
from mlsys.world.spoil import FAULTS, spoil

ORDER = ("first", "second", "third")
ANCHOR = 10_000
"""Events on which the prompt says what the naive pipeline claims."""


@dataclass(frozen=True)
class Quantity:
    """A number to quote. `narrow`: widest interval for three points, twice that for two; 0: a factor of 3, and 10."""

    value: float
    ask: str
    unit: str
    hint: str
    short: str
    narrow: float = 0.0


def bad_rows(seed: int, rng: np.random.Generator) -> Quantity:
    """Share of broken rows that the naive pipeline trains on."""
    n = int(rng.choice([2_000, 3_000, 4_000]))
    events, each = NoiseWorld(seed=seed).events(n), n // 40
    clean, spoiled = naive.train(events), naive.train(spoil(events, each=each, seed=seed))
    kept, all_bad = clean.rows_used / n, each * len(FAULTS)
    ask = (f"A log of {n:,} events gets {all_bad} bad rows, a quarter of each kind: a repeated id, a time that is no "
           "time, a misspelt action, an arrival before the event. The naive pipeline drops rows without an action, "
           f"and trains on every row that says like, dislike or view: {kept:.0%} of the true rows. Which share of the "
           "bad rows does it train on?")  # fmt: skip
    hint = "Which of the four kinds has to go because of what its action says? The others pass like true rows."
    return Quantity(100 * (spoiled.rows_used - clean.rows_used) / all_bad, ask, "%", hint, f"{n:,} events", 20)


def naive_auc(seed: int, rng: np.random.Generator) -> Quantity:
    """What whole-table features claim on dice rolls."""
    n, world = int(rng.choice([5_000, 20_000, 30_000])), NoiseWorld(seed=seed)
    at_anchor, value = (naive.train(world.events(size)).auc for size in (ANCHOR, n))
    ask = (f"In a log of dice rolls ({world.users:,} users, {world.posts:,} posts) no honest feature beats AUC 0.5. "
           f"The naive pipeline, with like rates over the whole table, claims {at_anchor:.2f} on {ANCHOR:,} events. "
           f"What does it claim on {n:,}?")  # fmt: skip
    hint = "The own label is one of all labels of that user and that post. More events per user dilute it, towards 0.5."
    return Quantity(value, ask, "AUC", hint, f"{n:,} events", 0.08)


def false_pages(seed: int, rng: np.random.Generator) -> Quantity:
    """Healthy days on which the naive alert policy pages."""
    n = int(rng.choice([500, 1_000, 2_000, 3_000, 5_000]))

    def share(rows: int) -> float:
        found = grade(AlertPolicy("a tenth"), rows_per_day=rows, null_share=0.17, seeds=range(seed, seed + 20))
        return float(100 * found["false_alarms"].mean())

    ask = ("An alert pages when any of five shares (0.15, 0.05, 0.60, 0.05, 0.15) moves by a tenth of itself. On "
           f"healthy days of 300 impressions it pages on {share(300):.0f} % of them, of 10,000 on {share(10_000):.0f} "
           f"%. On which share of healthy days with {n:,} impressions?")  # fmt: skip
    hint = (
        "A share s of n rows has an error of the root of s (1 - s) / n: compare it with s / 10. Or go between the two."
    )
    return Quantity(share(n), ask, "%", hint, f"{n:,} impressions a day", 20)


def cores(seed: int, rng: np.random.Generator) -> Quantity:
    """Cores for the naive ranking path."""
    users, ms = float(rng.choice([3e6, 1e7, 3e7, 1e8, 3e8, 1e9])), unit_costs()["naive_rank_500_us"] / 1e3
    found = _mid(users)
    ask = (f"{users / 1e6:,.0f} million users make {number(found['requests_per_second'])} ranking requests per "
           f"second at peak. Scored one pair at a time, a request takes {ms:.1f} ms of one core. A core may be busy "
           "half of the time. How many cores?")  # fmt: skip
    hint = "Requests per second times seconds per request: cores that never rest. These rest half of the time."
    return Quantity(found["cores"], ask, "cores", hint, f"{users / 1e6:,.0f} million users")


def feature_pass(seed: int, rng: np.random.Generator) -> Quantity:
    """Core-hours of one naive pass over the log of a day."""
    users, us = float(rng.choice([3e6, 1e7, 3e7, 1e8, 3e8, 1e9])), unit_costs()["naive_features_us_per_event"]
    events = _mid(users)["events_per_day"]
    ask = (f"{users / 1e6:,.0f} million users make {number(events / 1e6)} million events a day. The first code for "
           f"features, a groupby with a lambda, takes {us:.1f} µs of one core per event. How many core-hours for a "
           "day's log, once?")  # fmt: skip
    hint = "Events times microseconds, over a million, is seconds of one core. An hour has 3,600."
    return Quantity(events * us / 1e6 / 3_600, ask, "core-hours", hint, f"{users / 1e6:,.0f} million users")


def headroom(seed: int, rng: np.random.Generator) -> Quantity:
    """How far counting likes goes from random order to the oracle."""
    world, ranker = World(seed=seed, users=int(rng.integers(400, 800))), Popularity()
    for _ in range(int(rng.integers(2, 9))):
        ranker.observe(world.step(Random()).log)
    worst, counted, best = map(float, world.value([Random(), ranker, Oracle()], repeats=3)["like"])
    ask = (f"Likes per session: random order {worst:.2f}, counting likes per post {counted:.2f}, the best possible "
           f"ranker {best:.2f}. How much of the way from random to the best does counting go?")  # fmt: skip
    hint = "A share of the way, not of the best: what counting adds over what there is to add."
    return Quantity(100 * (counted - worst) / (best - worst), ask, "%", hint, "likes per session", 15)


def ml_share(seed: int, rng: np.random.Generator) -> Quantity:
    """Share of this package's code that is ML code."""
    lines = anatomy.lines_of_code()
    model, total = lines["ML code"], sum(lines.values())
    ask = (f"This package has {total:,} lines of code in its twelve components. Labels, splits, fitting and "
           f"predicting take {model:,}. Which share is that?")  # fmt: skip
    return Quantity(100 * model / total, ask, "%", "One division.", "our own package")


def budget(seed: int, rng: np.random.Generator) -> Quantity:
    """Share of the latency budget that naive ranking takes."""
    n, ms = int(rng.choice([100, 200, 1_000, 2_000])), unit_costs()["naive_rank_500_us"] / 1e3
    limit = LATENCY_CLASSES_MS["real time"]
    ask = (f"Real time is {limit} ms for the whole request. Scored one pair at a time, 500 candidates "
           f"take {ms:.1f} ms. Which share of the time is gone after ranking {n:,}?")  # fmt: skip
    hint = "Time is in proportion to candidates. It may well be more than all of it."
    return Quantity(100 * ms * n / 500 / limit, ask, "%", hint, f"{n:,} candidates")


def f1_of_everyone(seed: int, rng: np.random.Generator) -> Quantity:
    """F1 of saying yes to every row."""
    name = str(rng.choice(list(ACTIONS)))
    y = (NoiseWorld(seed=seed).events(20_000)["action"].dropna() == name).to_numpy(np.float64)
    ask = (f"{y.mean():.1%} of the labelled rows are a {name}. A model without any skill calls every row a {name}. "
           "What is its F1?")  # fmt: skip
    hint = (
        "Its precision is the share of such rows, its recall is 1. F1 is 2 · precision · recall / (precision + recall)."
    )
    return Quantity(classification(y, np.ones(len(y)), 0.5)["f1"].value, ask, "F1", hint, name, 0.1)


POOL: dict[str, tuple[Callable[[int, np.random.Generator], Quantity], tuple[str, ...]]] = {
    "bad_rows": (bad_rows, ("Data verification", "Data collection")),
    "naive_auc": (naive_auc, ("Feature extraction", "Feature store", "Evaluation pipeline")),
    "false_pages": (false_pages, ("Monitoring",)),
    "cores": (cores, ("Serving infrastructure", "Resource management")),
    "feature_pass": (
        feature_pass,
        ("Feature extraction", "Feature store", "Process management", "Resource management"),
    ),
    "headroom": (headroom, ("Evaluation pipeline", "ML code", "Analysis tools")),
    "ml_share": (ml_share, ("everything around the model",)),
    "budget": (budget, ("Serving infrastructure", "Resource management")),
    "f1_of_everyone": (f1_of_everyone, ("Evaluation pipeline", "Analysis tools")),
}
"""What can be asked, three to a place, and the components that each argues for. In the first two places no two share
the one named first, so that the answer to a neighbouring seed fails."""


def variant(seed: int) -> Variant:
    """Three quantities, one for each place, as runs of this seed give them."""
    rng, names = generator(seed, 1), list(POOL)
    picked = [names[seed % 3], names[3 + (seed + seed // 3) % 3], names[6 + int(rng.integers(3))]]
    found = [POOL[name][0](seed, rng) for name in picked]
    shown = {f"{what}_{i}": getattr(one, what) for i, one in enumerate(found, 1) for what in ("ask", "hint")}
    shown |= {f"unit_{i}": f"{one.unit}, {_width(one.narrow)}" for i, one in enumerate(found, 1)}
    key = {
        place: {"name": name, "value": one.value, "narrow": one.narrow, "short": one.short, "unit": one.unit,
                "accept": POOL[name][1]}
        for place, name, one in zip(ORDER, picked, found, strict=True)
    }  # fmt: skip
    return Variant(shown, key)


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return {place: variant.key[place]["value"] for place in ORDER}


def numbers(answer: Answer, variant: Variant) -> Evidence:
    """How many of three intervals hold what the run gave, and how wide they are."""
    found = [_held(place, answer[place], variant) for place in ORDER]
    hold = sum(one.points >= 2 for one in found)
    points = 3 if all(one.points == 3 for one in found) else min(hold, 2)
    worst = min(found, key=lambda one: one.points)
    return Evidence(points, f"{hold} of 3 hold the run's number and are narrow enough to quote; {worst.reason}")


def justified(answer: Answer, variant: Variant) -> Evidence:
    """Whether each number argues for the component that was named."""
    off = [place for place in ORDER if answer[f"{place}_for"] not in _accepted(place, variant)]
    points = len(ORDER) - len(off)
    if not off:
        return Evidence(3, "each number is what its component is there to prevent, or to know")
    short, said = variant.key[off[0]]["short"], answer[f"{off[0]}_for"]
    return Evidence(points, f"{points} of 3 argue for their component; the {off[0]} number ({short}) does not argue "
                            f"for {said}: which box, built well, would have made it small, or true?")  # fmt: skip


def time(answer: Answer, variant: Variant) -> Evidence:
    """Seconds by the candidate's own clock."""
    said = answer["seconds"]
    points = 3 if 90 <= said <= 130 else 2 if 70 <= said <= 150 else 1 if 45 <= said <= 180 else 0
    say = (
        "in time" if points == 3 else "short: a reason is missing" if said < 90 else "long: the last part is not heard"
    )
    return Evidence(points, f"you spoke for {said:.0f} of 120 seconds; {say}")


def _mid(users: float) -> dict[str, float]:
    """The middle of the plan, with ranking one pair at a time."""
    found = plan([users], rank_cost="naive_rank_500_us").set_index("case").to_dict("index")
    return {str(name): float(value) for name, value in found["mid"].items()}


def _width(narrow: float) -> str:
    return f"at most {2 * narrow:g} wide" if narrow else "at most a factor of 10 wide"


def _accepted(place: str, variant: Variant) -> tuple[str, ...]:
    key = variant.key[place]
    around = [c.name for c in COMPONENTS if c.name != "ML code"] if key["name"] == "ml_share" else []
    return (*key["accept"], *around)


def _held(place: str, said: tuple[float, float], variant: Variant) -> Evidence:
    """One interval: by factors, or by its width where the unit has an end."""
    key, (low, high) = variant.key[place], said
    value, narrow, what = key["value"], key["narrow"], f"the {place} ({key['short']})"
    if not narrow:
        return interval_evidence(what, low, high, value, key["unit"])
    told = f"{what}: you said {number(low)} to {number(high)}, the run says {number(value)} {key['unit']}"
    if not low <= value <= high:
        return Evidence(0, f"{told}; missed")
    points = 3 if high - low <= 1.001 * narrow else 2 if high - low <= 2.002 * narrow else 1
    return Evidence(points, f"{told}; held{'' if points == 3 else f', but wider than {narrow:g}'}")
