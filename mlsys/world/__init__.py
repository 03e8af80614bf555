"""The ground truth: a simulated feed whose every probability is known."""

from mlsys.world.noise import World

__all__ = ["World"]
