"""The hot routes in OpenAPI's words: FastAPI does not see them, but its page shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from mlsys.serving.messages import PredictAnswer, PredictRequest, RankAnswer, RankRequest, Refusal

REFUSALS = {
    400: "no JSON",
    413: "too long",
    415: "not application/json in UTF-8",
    422: "a field is wrong: the body says which, why, and what to send",
    503: "too many requests are waiting: try again after Retry-After seconds",
}


def described() -> dict[str, Any]:
    """`paths` and `schemas` of /v1/rank and /v1/predict."""
    kinds = (RankRequest, PredictRequest, RankAnswer, PredictAnswer, Refusal)
    references, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    rank, predict, ranked, predicted, refusal = references

    def route(name: str, summary: str, body: Any, answer: Any) -> dict[str, Any]:
        answers = {
            "200": {"description": "an answer, from some rung", "content": {"application/json": {"schema": answer}}}
        }
        for status, description in REFUSALS.items():
            answers[str(status)] = {"description": description, "content": {"application/json": {"schema": refusal}}}
        return {
            "post": {
                "tags": ["serving"],
                "operationId": name,
                "summary": summary,
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": answers,
            }
        }

    paths = {
        "/v1/rank": route("rank", "Order posts for a user", rank, ranked),
        "/v1/predict": route("predict", "Will this user like this post?", predict, predicted),
    }
    return {"paths": paths, "schemas": schemas}
