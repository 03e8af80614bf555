"""The same scorer as a BentoML service; SERVE_FOLDER names the system."""

from __future__ import annotations

import os
from typing import Any

import bentoml
from servers import model_server, rank


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Ranker:
    """One worker, one route."""

    def __init__(self) -> None:
        self.server = model_server(os.environ["SERVE_FOLDER"])

    @bentoml.api(route="/v1/rank")
    def rank(self, user_id: int, candidates: list[int], k: int = 10) -> dict[str, Any]:
        """Rank."""
        return rank(self.server, user_id, candidates, k)
