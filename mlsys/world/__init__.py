"""The ground truth: a simulated feed whose every probability is known."""

from mlsys.world.incidents import KINDS, Incident
from mlsys.world.rankers import Experiment, Model, Oracle, Popularity, Random, Requests, TableRanker, ValueFunction
from mlsys.world.rankers import recency as recency
from mlsys.world.simulation import Day, World

__all__ = [
    "KINDS",
    "Day",
    "Experiment",
    "Incident",
    "Model",
    "Oracle",
    "Popularity",
    "Random",
    "Requests",
    "TableRanker",
    "ValueFunction",
    "World",
    "recency",
]
