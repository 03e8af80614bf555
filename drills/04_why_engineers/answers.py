"""What proves the checks: a reference, what people say instead, and three speeches to compare yours with."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant
from mlsys.drills.rubric import number

PLACES = ("first", "second", "third")
WORDS_A_SECOND = 2.3

FAIR = {
    "bad_rows": "Our log carries broken rows. The first pipeline trained on {v} percent of them and never "
    "complained. Verification refuses them, says why for each, and makes the counts add up.",
    "naive_auc": "On {about} in which every action was a dice roll, the first pipeline claimed an AUC of {v}. Its "
    "features contained the answer. Feature extraction that uses only the past takes that away.",
    "false_pages": "The obvious alert pages when a share moves by a tenth. At {about} it woke somebody on {v} "
    "percent of healthy days. Monitoring has to ask, too, whether chance explains the move.",
    "cores": "At {about}, scoring one pair after another needs {v} cores at peak. The same scores as one vector "
    "product need a small part of that. Nobody touched the model for that: it is serving work.",
    "feature_pass": "At {about}, the first feature code needs {v} core-hours for the log of one day. Columnar code "
    "does the same sums in a small part of it. That is feature extraction done by an engineer.",
    "headroom": "Counting likes per post, with no model at all, goes {v} percent of the way from random order to the "
    "best possible. Only an evaluation pipeline with that baseline tells us what a model adds.",
    "ml_share": "In our own system {v} percent of the lines are the model. Everything around it collects, checks, "
    "joins, serves and watches, and each of these has failed us once.",
    "budget": "The first server scores one pair at a time. For {about} it takes {v} percent of the hundred "
    "milliseconds that we have. Good serving makes one call of it, and stays in time.",
    "f1_of_everyone": "A model that calls every row a {about} has no skill and an F1 of {v}. Without an evaluation "
    "pipeline that knows this baseline, we would have shipped something like it.",
}
"""One reason each at E5: the number, the failure, the box."""

STRONG = {
    "bad_rows": "Take the log. Of the broken rows, {v} percent went into training, and nothing raised an error. So "
    "verification holds a bad batch, the last good one answers, and somebody is paged when the share of dead letters "
    "moves.",
    "naive_auc": "Take features. On {about} of pure noise the first pipeline claimed an AUC of {v}. It would have "
    "won every review and done nothing online. A point-in-time join prevents it; comparing served with trained "
    "values shows when it comes back.",
    "false_pages": "Take alerts. At {about}, a page for every move by a tenth comes on {v} percent of healthy days. "
    "After a week nobody reads them, and the real one is missed. So we grade alerts on injected incidents, like a "
    "classifier.",
    "cores": "Take serving. At {about}, scoring pair by pair needs {v} cores at peak; one vector call needs a small "
    "part of that. When machines run out anyway, popularity answers, and the response says so.",
    "feature_pass": "Take features. At {about}, one pass over a day's log takes {v} core-hours as first written. "
    "That is the time between an idea and its first result, for everybody, every day. Columnar code gives it back.",
    "headroom": "Take evaluation. Counting likes goes {v} percent of the way from random order to the best possible. "
    "Whoever does not know this floor and this ceiling pays for a quarter of work that was never there to win.",
    "ml_share": "And look at our code: {v} percent of the lines are the model. The rest are the boxes where failures "
    "live, and almost none of those failures raises an error; each needs a signal that somebody reads.",
    "budget": "And latency. The first server needs {v} percent of the hundred milliseconds to rank {about}. Users do "
    "not see an error, they leave. So there is a deadline, a cheaper answer behind it, and a metric of how often it "
    "was used.",
    "f1_of_everyone": "And metrics. Calling every row a {about} earns an F1 of {v} without any skill. A team that "
    "cannot see this ships noise for a year. So every number has its baseline and its interval beside it, made by a "
    "pipeline.",
}
"""The same at E6: what is silent, who answers, who notices, what it costs at scale or in speed."""


def reference(variant: Variant) -> Typed:
    """The run's numbers within a small interval, each for the first component that accepts it."""
    values: dict[str, Any] = {"seconds": 110, "spoken": _strong(variant)}
    for place in PLACES:
        values |= {place: _around(variant, place, 0.4), f"{place}_for": variant.key[place]["accept"][0]}
    return Typed(values)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right = dict(reference(variant).values)
    missed = {place: [value * 30 for value in right[place]] for place in PLACES[:2]}
    anything = {place: [0.0001, 100_000] for place in PLACES[1:]}
    return {
        "numbers_for_effect": Typed(right | missed, row="numbers", says="missed"),
        "between_nothing_and_everything": Typed(right | anything, row="numbers", says="1 of 3 hold"),
        "it_is_all_the_model": Typed(right | {"first_for": "ML code", "second_for": "Configuration"}, row="justified",
                                     says="does not argue for ML code"),
        "half_a_minute": Typed(right | {"seconds": 35}, row="time", says="short"),
        "a_lecture": Typed(right | {"seconds": 290}, row="time", says="long"),
    }  # fmt: skip


def samples(variant: Variant) -> dict[str, Typed]:
    """Three speeches, with the seconds that they take at an ordinary pace, and the points a listener gives them."""
    right = dict(reference(variant).values)
    wide = {place: _around(variant, place, 0.9) for place in PLACES}
    vague = {place: _around(variant, place, 3.0) for place in PLACES}
    boxes = {"first_for": "ML code", "second_for": "ML code", "third_for": "Resource management"}
    weak, fair, strong = _weak(variant), _fair(variant), _strong(variant)
    return {
        "E4": Typed(right | vague | boxes | _said(weak), human={"structure": 1, "persuasion": 1}),
        "E5": Typed(right | wide | _said(fair), human={"structure": 2, "persuasion": 2}),
        "E6": Typed(right | _said(strong), human={"structure": 3, "persuasion": 3}),
    }


def _around(variant: Variant, place: str, share: float) -> list[float]:
    """An interval whose width is so much of what two points allow: of a width, or of a factor of ten."""
    key = variant.key[place]
    value, narrow = key["value"], key["narrow"]
    if narrow:
        return [value - share * narrow, value + share * narrow]
    return [value / 10 ** (share / 2), value * 10 ** (share / 2)]


def _said(speech: str) -> dict[str, Any]:
    return {"spoken": speech, "seconds": round(len(speech.split()) / WORDS_A_SECOND)}


def _reasons(variant: Variant, lines: dict[str, str]) -> list[str]:
    keys = [variant.key[place] for place in PLACES]
    return [lines[key["name"]].format(v=_spoken(key["value"]), about=key["short"]) for key in keys]


def _spoken(value: float) -> str:
    """As one says a number: two digits below a thousand."""
    return number(float(f"{value:.2g}"))


def _weak(variant: Variant) -> str:
    first, _, third = (_spoken(variant.key[place]["value"]) for place in PLACES)
    return (
        "Well, machine learning is complicated, and people underestimate it. It is true that the code of the model "
        "is small. But you also need pipelines, and a feature store, and Kafka, and Kubernetes, and monitoring, and "
        "an experiment platform. You need somebody who knows all of these tools. Data scientists often do not write "
        "production code, and engineers often do not know statistics, so you need people in between. There are also "
        f"many things that can go wrong. For example, I remember numbers like {first} and {third} from a project, "
        "which shows that it is hard. Data quality matters a lot, and scale matters, because big companies have lots "
        "of users. So I would say that ML engineers are important for bringing models to production and keeping them "
        "there, with best practices and automation."
    )


def _fair(variant: Variant) -> str:
    return "\n\n".join(
        [
            "Because the model is the part that you can install, and the system around it is the part that fails. "
            "The code that learns is small since libraries do it. Each box around it exists because of a failure, "
            "and I have three from our own runs.",
            *_reasons(variant, FAIR),
            "So I would hire people who own the whole way: from the event on the phone to the alert at night. Each "
            "of these boxes prevents one failure that I can put a number on. Without them the model is a number in a "
            "notebook, and we hear from users that it is wrong.",
        ]
    )


def _strong(variant: Variant) -> str:
    return "\n\n".join(
        [
            "You hire them because the model can be bought, and the system that keeps it true cannot. "
            "Three failures, measured.",
            *_reasons(variant, STRONG),
            "All of it gets worse with size. At a hundred times the users, the rare fault comes every hour, a slow "
            "path costs a hundred times as many machines, and nobody can look at rows any more. So every box needs a "
            "fallback with a name, a signal that says when it answers, and an owner. And then there is speed. With "
            "trusted data, one definition per feature, and a canary, a team ships a model every day and takes it "
            "back in a minute. Without, it ships once a quarter and argues about what the number meant. The learner "
            "is the same in both. The pace is what you hire for.",
        ]
    )
