"""The same scorer as an MLflow pyfunc model ("models from code"); SERVE_FOLDER names the system."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, os.environ["SERVE_HERE"])
import mlflow
from servers import model_server, rank


class Ranker(mlflow.pyfunc.PythonModel):
    """inputs: user_id (1,), candidates (n,), k (1,)."""

    def load_context(self, context: Any) -> None:
        """Open the system once."""
        self.server = model_server(os.environ["SERVE_FOLDER"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Rank."""
        user, k = int(model_input["user_id"][0]), int(model_input["k"][0])
        return rank(self.server, user, [int(one) for one in model_input["candidates"]], k)


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=str(Path(__file__).resolve()), pip_requirements=[])
else:
    mlflow.models.set_model(Ranker())
