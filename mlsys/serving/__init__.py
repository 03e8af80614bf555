"""The model server, without HTTP."""

from mlsys.serving.server import ModelServer, Prediction, Ranking

__all__ = ["ModelServer", "Prediction", "Ranking"]
