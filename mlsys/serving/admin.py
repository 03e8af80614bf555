"""Who may change what serves: promote, roll back, try a challenger. Behind a token, and slowly."""

from __future__ import annotations

import hmac
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from mlsys.core import Clock
from mlsys.serving.control import Control
from mlsys.serving.resilience import TokenBucket

TOKEN = "MLSYS_ADMIN_TOKEN"
RATE, BURST = 1.0, 10
"""Calls per second, and at once: enough for people and scripts, too slow to guess a token."""

Version = Annotated[int, Field(ge=1, le=2**31, strict=True, description="a version of the registry")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Promote(_Body):
    """`version`: null promotes the challenger."""

    version: Version | None = None


class Try(_Body):
    """A challenger, and the share of users who get it."""

    version: Version
    share: Annotated[float, Field(gt=0, le=1)] = 0.05


class RollBack(_Body):
    """Why, for the log."""

    reason: Annotated[str, Field(max_length=200)] = "asked for"


def router(control: Control, token: str | None, clock: Clock) -> APIRouter:
    """The routes under /admin."""
    bucket = TokenBucket(RATE, BURST, clock)

    async def allowed(authorization: Annotated[str | None, Header()] = None) -> None:
        if not bucket.try_acquire():
            raise HTTPException(429, "too many calls of /admin", {"Retry-After": "1", "X-Remedy": "wait a second"})
        if not token:
            remedy = f"start the server with the environment variable {TOKEN} set"
            raise HTTPException(403, "/admin is off: there is no token", {"X-Remedy": remedy})
        scheme, _, given = (authorization or "").partition(" ")
        # Compared as bytes and in constant time, whatever was sent.
        if not hmac.compare_digest(given.encode(), token.encode()) or scheme.lower() != "bearer":
            remedy = "send Authorization: Bearer <token>"
            raise HTTPException(
                401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer", "X-Remedy": remedy}
            )

    reasons = {
        400: "a body that is no text",
        401: "wrong token",
        403: "no token was set when the server started",
        409: "that model cannot serve here",
        422: "a field is wrong: the body says which, why, and what to send",
        429: "too many calls: try again after Retry-After seconds",
    }
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    said: dict[int | str, dict[str, Any]] = {
        status: {"description": reason, "content": refusal} for status, reason in reasons.items()
    }
    routes = APIRouter(dependencies=[Depends(allowed)], responses=said)

    @routes.get("/status")
    def status() -> dict[str, Any]:
        """This worker's model, challenger, rungs and last events."""
        return control.deployment.server.status()

    @routes.post("/promote")
    def promote(body: Promote) -> dict[str, Any]:
        """Make a version the champion, on all workers within `serving.reload_seconds`."""
        return {"champion": control.promote(body.version)}

    @routes.post("/rollback")
    def rollback(body: RollBack) -> dict[str, Any]:
        """Stop trying the challenger; without one, go back to the champion before this one."""
        return {"done": control.roll_back(body.reason)}

    def trying(mode: Literal["shadow", "canary", "ab"]) -> Any:
        def begin(body: Try) -> dict[str, Any]:
            wanted = control.begin(body.version, mode, body.share)
            return {"trying": wanted.version, "mode": wanted.mode, "share": wanted.share}

        begin.__doc__ = (
            f"Try a version as {mode}; guardrails take it back." if mode != "ab" else "Try a version in a test."
        )
        begin.__name__ = mode
        return begin

    for mode in ("shadow", "canary", "ab"):
        routes.post(f"/{mode}")(trying(mode))
    return routes
