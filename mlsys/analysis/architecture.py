"""The architecture as data: twelve components, what flows between them, seven steps, eight layers.

Every drawing and table reads these tuples, so a name or a flow is changed in one place.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Component(NamedTuple):
    """One of the twelve boxes.

    `entry` is its place in the list of eight component groups and `stage` its place among the nine steps
    of a run, both from 1; None where that count leaves it out. `step` is the framework step that owns it.
    """

    name: str
    group: str
    why: str
    step: int
    module: str
    entry: int | None
    stage: int | None


class Flow(NamedTuple):
    """`what` moves from `source` to `target`."""

    source: str
    target: str
    what: str


class Step(NamedTuple):
    """One of the seven framework steps."""

    number: int
    name: str
    purpose: str


DATA, MODEL, OPERATIONS, MANAGEMENT = "Data pipeline", "ML code", "Operations", "Management"
EVERYTHING = "every component"

WATCH = "Monitoring and observability"

COMPONENTS = (
    Component("Data collection", DATA, "A model knows only what was logged, in the form it was logged.",
              3, "mlsys.collection", 1, 1),
    Component("Data verification", DATA, "Bad rows do not raise errors; they train a bad model in silence.",
              3, "mlsys.verification", 1, 2),
    Component("Feature extraction", DATA, "A feature may use only what had arrived before the impression.",
              3, "mlsys.features.offline", 1, 3),
    Component("Feature store", DATA, "Training and serving must read one definition, or their values drift apart.",
              3, "mlsys.features", None, 4),
    Component("ML code", MODEL, "It turns feature rows into a score: the part everybody pictures first.",
              4, "mlsys.training", None, 5),
    Component("Evaluation pipeline", OPERATIONS, "It decides, with an interval, whether a model may ship.",
              5, "mlsys.evaluation", 2, 6),
    Component("Analysis tools", OPERATIONS, "A number that nobody can explain cannot be acted on.",
              5, "mlsys.analysis", 7, None),
    Component("Serving infrastructure", OPERATIONS, "A good score that comes late is a wrong answer.",
              6, "mlsys.serving", 4, 8),
    Component("Monitoring", OPERATIONS, "The world changes after launch; labels tell you so days too late.",
              7, "mlsys.monitoring", 3, 7),
    Component("Configuration", MANAGEMENT, "Most changes are settings, and a setting can break as much as code.",
              7, "mlsys.config", 8, 9),
    Component("Process management", MANAGEMENT, "Someone must run every job in order, retry it, and stop the rest.",
              7, "mlsys.orchestration", 5, None),
    Component("Resource management", MANAGEMENT, "Machines are bought before the traffic comes, and paid for after.",
              7, "mlsys.capacity", 6, 9),
)  # fmt: skip
"""The twelve boxes, in the order in which notebook 01 meets them."""

FLOWS = (
    Flow("Data collection", "Data verification", "raw events"),
    Flow("Data verification", "Feature extraction", "accepted rows"),
    Flow("Feature extraction", "Feature store", "dated values"),
    Flow("Feature store", "ML code", "rows as of each event"),
    Flow("ML code", "Evaluation pipeline", "candidate model"),
    Flow("Evaluation pipeline", "Serving infrastructure", "model that passed the gate"),
    Flow("Evaluation pipeline", "Analysis tools", "metrics by slice"),
    Flow("Feature store", "Serving infrastructure", "latest feature vectors, at request time"),
    Flow("Serving infrastructure", "Monitoring", "scores, latency"),
    Flow("Monitoring", "Analysis tools", "alerts to explain"),
    Flow("Monitoring", "Process management", "retrain or roll back"),
    Flow("Serving infrastructure", "Data collection", "served impressions are logged"),
    Flow("Configuration", EVERYTHING, "settings"),
    Flow("Process management", EVERYTHING, "schedule"),
    Flow("Resource management", EVERYTHING, "machines"),
)
"""What moves where. Serving → Data collection closes the loop: the ranker makes its own training data."""

STEPS = (
    Step(1, "Clarifying requirements", "Agree on goal, scale, latency and success before any design."),
    Step(2, "Framing the problem as an ML task", "Turn the goal into an input, a label and an objective."),
    Step(3, "Data preparation", "Get rows you may trust, with features that use only the past."),
    Step(4, "Model development", "Start with a baseline; add complexity only where it pays."),
    Step(5, "Evaluation", "Show offline, then online, how sure you are of the gain."),
    Step(6, "Deployment and serving", "Answer in time at full load, and have a way back."),
    Step(7, "Monitoring and infrastructure", "Notice what changed, and make the next model cheap to ship."),
)
"""The seven framework steps, in order."""

LAYER_FLOWS = (
    Flow("Data sources", "Data collection", ""),
    Flow("Data collection", "Data storage", ""),
    Flow("Data storage", "Data processing", ""),
    Flow("Data storage", "Feature store", ""),
    Flow("Data storage", WATCH, "volume, freshness"),
    Flow("Data processing", "Feature store", "values"),
    Flow("Data processing", WATCH, "data quality"),
    Flow("Feature store", "Model training infrastructure", "training rows"),
    Flow("Model training infrastructure", "Model registry", ""),
    Flow("Model registry", "Model serving", "approved"),
    Flow("Feature store", "Model serving", "online features"),
    Flow("Model serving", WATCH, "scores, latency, errors"),
)
"""Who feeds whom among the eight layers. The registry is a part of the training infrastructure."""


def counts() -> pd.DataFrame:
    """The twelve boxes against the two shorter counts; a dash where a count leaves a component out.

    >>> counts().drop(columns="component").nunique().to_dict()  # a dash is not a place: minus one
    {'box': 12, 'in the list of groups': 9, 'in the run by stages': 10}
    """
    return pd.DataFrame(
        {
            "component": [c.name for c in COMPONENTS],
            "box": range(1, len(COMPONENTS) + 1),
            "in the list of groups": [str(c.entry or "–") for c in COMPONENTS],
            "in the run by stages": [str(c.stage or "–") for c in COMPONENTS],
        }
    )
