"""A small production ML system around a feed-ranking model, made to be read.

>>> from mlsys import FeatureStore, ModelMonitor, ModelServer, World
"""

from mlsys.features.store import FeatureStore
from mlsys.monitoring.monitor import ModelMonitor
from mlsys.serving.server import ModelServer
from mlsys.world import World

__all__ = ["FeatureStore", "ModelMonitor", "ModelServer", "World"]
