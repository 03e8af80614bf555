"""The model server, without HTTP."""

from mlsys.serving.cache import FeatureCache, PredictionCache
from mlsys.serving.rollout import Guardrails, Rollout
from mlsys.serving.server import RUNGS, ModelServer, Prediction, Ranking

__all__ = [
    "RUNGS",
    "FeatureCache",
    "Guardrails",
    "ModelServer",
    "Prediction",
    "PredictionCache",
    "Ranking",
    "Rollout",
]
