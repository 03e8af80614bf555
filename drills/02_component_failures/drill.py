"""What fails, who answers, how it is noticed. Every failure is injected into a copy of one warm daily loop; a claim
holds if on day D the copy shows what its healthy twin does not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mlsys.config import SystemConfig
from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.source import load
from mlsys.orchestration.loop import DailyLoop, Training
from mlsys.orchestration.served import ServedRanker
from mlsys.training.models import THREADS
from mlsys.world import Day, Incident, Oracle
from mlsys.world.incidents import Incidents

night = load(Path(__file__).with_name("night.py"))

WORLDS = ((13, 3), (29, 4), (61, 4))
"""Seeds of worlds whose days 1 to D are quiet, and after how many days a feature value expires in them."""

USERS, DAY = 500, 6
"""Day D; days 1 to D of the twin are the healthy ones."""

APART, FELT, NOTHING = (2.0, 0.04), 0.03, 0.003
"""Losses, as shares of likes: so far apart (factor, difference) they have an order; so large belong on the list; so
small do not."""

LETTERS, NONE, LIKES = "ABCDE", "none", {"likes_per_session", "likes_alert"}
METRICS = {
    "null_share": ("impressions logged without an action", "rises", "{:.1%}"),
    "repeated_events": ("events delivered a second time", "rises", "{:.1%}"),
    "feature_age": ("hours since all features were last put online, in the morning", "rises", "{:.0f} h"),
    "defaulted_values": ("feature values that the model's training means stand in for", "rises", "{:.0%}"),
    "popularity_answers": ("requests answered by popularity", "rises", "{:.0%}"),
    "request_errors": ("requests that get no ranking", "rises", "{:.0%}"),
    "input_psi": ("feature columns over their PSI limit", "rises", "{:.0f}"),
    "score_psi": ("scores over their PSI limit: 0 or 1", "rises", "{:.0f}"),
    "likes_per_session": ("likes per session, as logged by midnight", "falls", "{:.2f}"),
    "candidate_auc": ("test AUC of the newest trained model", "falls", "{:.3f}"),
}
ALERTS = {"verification: ": "batch_check", "drift: score": "score_drift", "drift: ": "input_drift",
          "freshness: ": "freshness_alert", "rung: ": "rung_alert", "likes ": "likes_alert"}  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A story with room for its size, boxes in which the fault may be said to sit, sizes, and how it is injected.

    `nights`: the copy is taken so many mornings before day D.
    """

    story: str
    boxes: tuple[str, ...]
    inject: Callable[[DailyLoop, float], None]
    sizes: tuple[float, ...] = (1.0,)
    nights: Callable[[float], int] = lambda size: 0


def _incident(kind: str, late: int = 0) -> Callable[[DailyLoop, float], None]:
    """Strikes from the copy's next day, or `late` days after it, to day D. A size of several nights is all of it."""

    def inject(loop: DailyLoop, size: float) -> None:
        loop.world.incidents = Incidents(
            [Incident(kind, loop.world.day + late, DAY + 1 - loop.day - late, min(size, 1.0))]
        )

    return inject


def _setting(**changes: Any) -> Callable[[DailyLoop, float], None]:
    def inject(loop: DailyLoop, size: float) -> None:
        loop.config = SystemConfig.load(overrides={**loop.config.flat(), **changes})

    return inject


def _resend(loop: DailyLoop, size: float) -> None:
    loop.world.p = replace(loop.world.p, duplicate_share=size)


def _trainer(loop: DailyLoop, size: float) -> None:
    def fit(days: Sequence[Training], estimator: str) -> Any:
        turned = [replace(day, action=(day.action == "like").map({True: "view", False: "like"})) for day in days]
        return DailyLoop.fit(loop, turned, estimator)

    loop.fit = fit  # type: ignore[method-assign]


DISK = ("The disk of the online store is full. {popularity:.0%} of the requests get no features from it.",
        ("feature_store", "resource_management"), _incident("store_outage"))  # fmt: skip
HUNG = ("The nightly job that puts the looked-up features online hangs, and exits with code 0. It did so in the last "
        "{nights} before day D.",
        ("process_management", "feature_store", "feature_extraction"), _incident("stale_features"))  # fmt: skip
IOS = ("A release of the iOS app loses the action of {size:.0%} of its impressions: they are logged without one. Four "
       "in ten impressions are on iOS.", ("data_collection",), _incident("null_spike"))  # fmt: skip
FAILURES = {
    "disk": Failure(*DISK),
    "flag": Failure("A configuration made for a load test goes live: the flag `serve_popularity` is on.",
                    ("configuration",), _setting(flags=("serve_popularity",))),
    "hung": Failure(*HUNG, nights=int),
    "disk_part": Failure(*DISK, (0.25, 0.3)),
    "hung_once": Failure(*HUNG, (1.0, 2.0), int),
    "units": Failure("The service that fills the catalogue of posts now sends their length in percent, 0 to 100. Until "
                     "yesterday it sent a share, 0 to 1.",
                     ("data_collection", "feature_extraction"), _incident("unit_change")),
    "push": Failure("Somebody pushes a model by hand, past the gate. It takes its feature columns in reverse order, "
                    "and answers {size:.0%} of the users.",
                    ("serving_infrastructure", "ml_code", "process_management", "evaluation_pipeline"),
                    _incident("bad_model_push"), (0.6, 0.8, 1.0)),
    "tastes": Failure("In the night before day D everybody starts to want other topics and other lengths, for good.",
                      ("the_world",), _incident("interest_shift", late=1), nights=int),
    "ios": Failure(*IOS, (0.5, 0.6, 0.7)),
    "ios_few": Failure(*IOS, (0.08, 0.1)),
    "trainer": Failure("A change of the training script turns the label round: a like counts 0, all else counts 1. The "
                       "model of the night after day D is trained with it.", ("ml_code",), _trainer),
    "resend": Failure("A collector forgets how far it had read, and delivers {size:.0%} of the day's events a second "
                      "time.", ("data_collection",), _resend, (0.2, 0.3, 0.5)),
    "limit": Failure("A configuration goes live with a slip: the drift limit `monitoring.min_psi` is 10, not 0.1.",
                     ("configuration", "monitoring"), _setting(**{"monitoring.min_psi": 10.0})),
}  # fmt: skip
FALLEN, COSTLY, QUIET = list(FAILURES)[:3], list(FAILURES)[3:8], list(FAILURES)[8:]
"""Mostly not answered fresh · answered fresh, and people notice · nobody notices that day."""


@THREADS.wrap(limits=1)
def variant(seed: int) -> Variant:
    """Five failures in one world, and what each shows on day D."""
    rng = generator(seed, 1)
    world, ttl = WORLDS[rng.integers(len(WORLDS))]
    mornings, days, popular = trunk(world, ttl)
    stories, key = list[str](), dict[str, Any]()
    for letter, name in zip(LETTERS, _draw(rng), strict=True):
        failure = FAILURES[name]
        size = ttl + 1.0 if name == "hung" else float(rng.choice(failure.sizes))
        key[letter] = shown = strike(name, size, mornings, days)
        nights = f"{size:.0f} nights" if size > 1 else "night"
        stories.append(f"- **{letter}** {failure.story.format(size=size, nights=nights, **shown['rungs'])}")
    key["priced"] = str(rng.choice([x for x in key if key[x]["name"] in ("disk", "flag", "disk_part")]))
    table = [f"| `{name}` | {what} | {way} | {_spoken(days, name)} |" for name, (what, way, _) in METRICS.items()]
    text = {"failures": "\n".join(stories), "metrics": "\n".join(table), "ttl": ttl, "priced": key["priced"]}
    values = {"popular": popular, "model": days[-1]["share"], "random": days[-1]["random"]}
    return Variant({**text, **values, "factor": APART[0], "points": 100 * APART[1]}, key)


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold, in percent."""
    return {"price": 100 * variant.key[variant.key["priced"]]["lost"]}


def components(answer: Answer, variant: Variant) -> Evidence:
    """Is it a box in which the fault sits?"""

    def said(box: str, one: Mapping[str, Any]) -> tuple[bool, str]:
        return box in one["boxes"], f"{box} is not where the fault sits: mended, it would leave the fault as it is"

    return _score(answer, variant, "component", said)


def metrics(answer: Answer, variant: Variant) -> Evidence:
    """Did it leave what healthy days show, in the run with this failure?"""

    def said(name: str, one: Mapping[str, Any]) -> tuple[bool, str]:
        if name == NONE:
            return not one["moved"], f"{len(one['moved'])} of the ten metrics move"
        return name in one["moved"], f"{name} is {one['spoken'][name]}"

    return _score(answer, variant, "metric", said, "moved")


def rungs(answer: Answer, variant: Variant) -> Evidence:
    """Which rung did most feature values come from?"""

    def said(rung: str, one: Mapping[str, Any]) -> tuple[bool, str]:
        return rung == one["rung"], f"{rung} answered {one['rungs'][rung]:.0%} that day"

    return _score(answer, variant, "rung", said)


def detectors(answer: Answer, variant: Variant) -> Evidence:
    """Did it fire in the run with this failure, and not on the healthy twin?"""

    def said(name: str, one: Mapping[str, Any]) -> tuple[bool, str]:
        if name == NONE:
            return not one["fired"], f"{len(one['fired'])} of the eight detectors fire that night"
        return name in one["fired"], f"{name} stays silent that night: what it looks at is within its limit"

    return _score(answer, variant, "detector", said, "fired")


def order(answer: Answer, variant: Variant) -> Evidence:
    """Those that cost likes on day D, the dearest first."""
    lost, named = {letter: variant.key[letter]["lost"] for letter in LETTERS}, answer["costly"]
    if len(set(named)) < len(named) or not set(named) <= set(LETTERS):
        return Evidence(0, "Name letters A to E, each at most once.")
    extra = [x for x in named if lost[x] < NOTHING]
    missing = [x for x in LETTERS if lost[x] > FELT and x not in named]
    pairs = combinations(named, 2)
    swapped = [(a, b) for a, b in pairs if lost[b] > max(APART[0] * lost[a], APART[1] + lost[a])]
    parts = [f"{x} costs nothing that day: people are shown the same as without it" for x in extra[:1]]
    parts += [f"{x} is left out, and costs {lost[x]:.0%} of the likes" for x in missing[:1]]
    parts += [f"{a} ({lost[a]:.0%}) stands before {b} ({lost[b]:.0%})" for a, b in swapped[:1]]
    wrong = len(extra) + len(missing) + len(swapped)
    told = "; ".join(parts) or f"Right: {len(named)} cost likes, in this order, and nobody felt the others that day"
    return Evidence(3 if not wrong else 2 if wrong == 1 else 1 if wrong <= 3 else 0, f"{told}.")


def price(answer: Answer, variant: Variant) -> Evidence:
    """Does the interval hold the share of likes that the priced failure lost?"""
    (low, high), truth = answer["price"], truths(variant)["price"]
    said = f"{variant.key['priced']}: you said {low:.3g} to {high:.3g} %, the run lost {truth:.1f} %"
    if not low <= truth <= high:
        return Evidence(0, f"{said}; missed. Multiply the share of requests that fall by how much worse they rank.")
    points = 3 if 0 < high <= 2.001 * low else 2 if 0 < high <= 4.001 * low else 1
    return Evidence(points, f"{said}; held" + ("." if points == 3 else ", but the interval is wide."))


def _score(
    answer: Answer,
    variant: Variant,
    column: str,
    said: Callable[[str, Mapping[str, Any]], tuple[bool, str]],
    shows: str = "",
) -> Evidence:
    """Points for a column of the claims: 3 for five right, 2 for four, 1 for three. A claim of likes is half a claim
    where something that names the box `shows` too."""
    letters = [row["failure"] for row in answer["claims"]]
    if len(set(letters)) < len(letters):
        return Evidence(0, f"{max(letters, key=letters.count)} is claimed twice: one claim per failure.")
    claims = {row["failure"]: row[column] for row in answer["claims"]}
    wrong, vague = {letter: "not claimed" for letter in LETTERS if letter not in claims}, {}
    for letter in sorted(claims):
        one, claim = variant.key[letter], claims[letter]
        right, why = said(claim, one)
        if not right:
            wrong[letter] = why
        elif claim in LIKES and one["boxes"] != ("the_world",) and set(one[shows]) - LIKES:
            vague[letter] = f"{claim} says that it hurts, not where, and something that names the box shows as well"
    if not wrong and not vague:
        return Evidence(3, f"All five: the runs show each {column} that you claim.")
    points = 2 if len(wrong) <= 1 and len(wrong) + len(vague) <= 2 else 1 if len(wrong) <= 2 else 0
    (letter, why), *rest = {**vague, **wrong}.items() if not wrong else wrong.items()
    others = f" Wrong too: {', '.join(x for x, _ in rest)}." if wrong and rest else ""
    return Evidence(points, f"{5 - len(wrong)} of 5 hold. {letter}: {why}.{others}")


@functools.lru_cache(maxsize=len(WORLDS))
def trunk(world: int, ttl: int) -> tuple[dict[int, DailyLoop], list[dict[str, Any]], float]:
    """The loop on every morning up to day D, what days 1 to D of the healthy twin showed, and what popularity reaches,
    as a share of the oracle."""
    settings = {"training.estimator": "linear", "training.every_days": DAY + 1, "features.ttl_days": float(ttl)}
    loop: DailyLoop = night.SixAlerts(SystemConfig.load(overrides=settings), seed=world, users=USERS)
    loop.run(0)
    mornings, days = {}, []
    while loop.day <= DAY:
        mornings[loop.day] = deepcopy(loop)
        days.append(_day(loop))
    for day, trained in zip(days, list(loop.registry.metrics.values())[-DAY:], strict=True):
        day["metrics"]["candidate_auc"] = trained["auc"]
    fallen = deepcopy(mornings[DAY])
    _setting(flags=("serve_popularity",))(fallen, 1.0)
    server = ServedRanker(fallen.server(fallen.registry.get("champion")))
    likes = fallen.world.value([server, Oracle()], repeats=3)["like"]
    return mornings, days, float(likes["server"] / likes["oracle"])


def strike(name: str, size: float, mornings: Mapping[int, DailyLoop], days: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Run one failure to the night after day D: what it showed that the healthy twin did not."""
    failure, twin, moved, spoken = FAILURES[name], days[-1], [], {}
    loop = deepcopy(mornings[DAY - failure.nights(size)])
    failure.inject(loop, size)
    while loop.day <= DAY:
        found = _day(loop)
    for metric, (_, way, form) in METRICS.items():
        value, (low, high) = found["metrics"][metric], _range(days, metric)
        far = (high - low) / 2
        moved += [metric] * int(value > high + far if way == "rises" else value < low - far)
        spoken[metric] = f"{form.format(value)} that day, and {_spoken(days, metric)} on healthy days"
    fired = {_detector(alert) for alert in found["alerts"]} - {_detector(alert) for alert in twin["alerts"]}
    fired |= {"promotion_gate"} if found["gate"].startswith("held: AUC") else set()
    fired |= {"config_diff"} if mornings[DAY].config.diff(loop.config) else set()
    answered = found["rungs"]
    return {"name": name, "size": size, "boxes": failure.boxes, "moved": moved, "spoken": spoken, "rungs": answered,
            "rung": max(answered, key=answered.get), "fired": sorted(fired),
            "lost": 1 - found["share"] / twin["share"]}  # fmt: skip


def _day(loop: DailyLoop) -> dict[str, Any]:
    """One day and its night: metrics, rungs, alerts, the gate, likes as a share of the oracle's."""
    seen: list[Day] = []
    step, age = loop.world.step, (loop.world.now - loop._refreshed) / np.timedelta64(1, "h")
    loop.world.step = lambda *args, **named: seen.append(step(*args, **named)) or seen[-1]  # type: ignore
    try:
        loop.step()
    finally:
        del loop.world.step
    log, row = seen[0].log, loop.history[-1]
    once = log.drop_duplicates("event_id")
    in_time = log[log["arrival_time"] < loop.world.now].drop_duplicates("event_id")
    answered: Any = row["rungs"]
    drifting = [alert for alert in loop.alerts if alert.startswith("drift: ")]
    found = {
        "null_share": once["action"].isna().mean(),
        "repeated_events": 1 - len(once) / len(log),
        "feature_age": age,
        "defaulted_values": answered["defaults"],
        "popularity_answers": answered["popularity"],
        "request_errors": abs(round(1 - sum(answered.values()), 9)),
        "input_psi": len([alert for alert in drifting if alert != "drift: score"]),
        "score_psi": "drift: score" in drifting,
        "likes_per_session": (in_time["action"] == "like").sum() / in_time["session_id"].nunique(),
        "candidate_auc": list(loop.registry.metrics.values())[-1]["auc"],
    }
    return {"metrics": {name: float(value) for name, value in found.items()}, "rungs": answered, "alerts": loop.alerts,
            "gate": row["gate"], "share": row["share_of_oracle"], "random": row["random_share"]}  # fmt: skip


def _range(days: Sequence[Mapping[str, Any]], metric: str) -> tuple[float, float]:
    values = [day["metrics"][metric] for day in days]
    return min(values), max(values)


def _spoken(days: Sequence[Mapping[str, Any]], metric: str) -> str:
    low, high = (METRICS[metric][2].format(end) for end in _range(days, metric))
    return low if low == high else f"{low} to {high}"


def _detector(alert: str) -> str:
    return next(name for start, name in ALERTS.items() if alert.startswith(start))


def _draw(rng: np.random.Generator) -> list[str]:
    """Two that are not answered fresh, one or two that people notice, one or two that nobody does; in any order."""
    while True:
        two, one, quiet = rng.choice(FALLEN, 2, replace=False), rng.choice(COSTLY), rng.choice(QUIET)
        names = [str(name) for name in (*two, one, quiet, rng.choice(COSTLY + QUIET))]
        if len({name.partition("_")[0] for name in names}) == len(names):
            return [str(name) for name in rng.permutation(names)]
