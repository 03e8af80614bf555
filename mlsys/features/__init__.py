"""One feature definition, executed the same way for training (offline) and serving (online)."""

from mlsys.features.definitions import Aggregation, Entity, FeatureService, FeatureView
from mlsys.features.online import OnlineFeatures, Status
from mlsys.features.store import FeatureStore

__all__ = [
    "Aggregation",
    "Entity",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "OnlineFeatures",
    "Status",
]
