"""The model server over HTTP: two hot routes as plain ASGI in front of a FastAPI application that has all others.

A request of the hot routes is counted as waiting before it is read, and gives way to the loop once: so all requests
that have arrived are counted before the first is answered, and those that are too many are refused while that is cheap.
An embedded store is read on the loop, in microseconds; a remote one by a few threads, so that a slow read holds up
those who wait for it and nobody else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import numpy as np
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from mlsys.config import SystemConfig
from mlsys.core import Clock, MlsysError
from mlsys.serving import admin
from mlsys.serving.control import Control
from mlsys.serving.deployment import Deployment
from mlsys.serving.messages import (
    DEVICES,
    MOST_BYTES,
    PredictAnswer,
    PredictRequest,
    Problem,
    RankAnswer,
    RankRequest,
    Refusal,
    Refused,
    candidates,
    decode,
)
from mlsys.serving.openapi import described
from mlsys.serving.resilience import Deadline, LoadShedder, Overloaded
from mlsys.serving.telemetry import Telemetry

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
HOT: dict[str, type[RankRequest] | type[PredictRequest]] = {"/v1/rank": RankRequest, "/v1/predict": PredictRequest}
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode


class Application:
    """An ASGI application around a `Deployment`. `token`: for /admin; None refuses every call there."""

    def __init__(
        self,
        deployment: Deployment,
        control: Control,
        config: SystemConfig,
        telemetry: Telemetry,
        *,
        clock: Clock,
        token: str | None = None,
    ) -> None:
        self.deployment, self.server, self.control = deployment, deployment.server, control
        self.config, self.telemetry, self.clock = config, telemetry, clock
        self.ready, self.draining = False, False
        self.shedder = LoadShedder(config.serving.max_in_flight)
        self._pool = ThreadPoolExecutor(config.serving.threads, "store") if deployment.breaker else None
        self._ids, self._salt = count(1), f"{np.random.SeedSequence().entropy:x}"[:8]
        self.server.on_event = telemetry.event
        self.api = self._api(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "POST" and (kind := HOT.get(scope["path"])):
            await self._hot(scope["path"], kind, dict(scope["headers"]), receive, send)
        else:
            await self.api(scope, receive, send)  # type: ignore[arg-type]

    def warm_up(self) -> None:
        """Answer a few requests that nobody asked, so that the first real one finds everything loaded."""
        posts = np.arange(500)
        for _ in range(20):
            self.server.rank(0, posts, context=self._context(None))
        self.server.rungs.clear()
        if self.server.predictions is not None:
            self.server.predictions.clear()

    def drain(self) -> None:
        """Say to load balancers and clients that they should go elsewhere; answer whoever asks all the same."""
        if not self.draining:
            self.draining = True
            self.telemetry.write("info", "drain", in_flight=self.shedder.in_flight)

    async def _hot(
        self,
        route: str,
        kind: type[RankRequest] | type[PredictRequest],
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        start = self.clock.monotonic()
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _ID.fullmatch(given) else f"{self._salt}-{next(self._ids)}"
        said: dict[str, object] = {"request_id": request_id}
        out: list[tuple[bytes, bytes]] = [_JSON, (b"x-request-id", request_id.encode())]
        if self.draining:
            out.append((b"connection", b"close"))
        try:
            with self.shedder.admit():
                await asyncio.sleep(0)
                status, body = await self._answer(kind, headers, receive, start, said)
        except Overloaded as full:
            self.telemetry.shed.inc()
            status, out = 503, [*out, (b"retry-after", str(full.retry_after).encode())]
            body = _encode(Refusal(Problem("server", f"{full.what}: {full.why}", full.fix), request_id))
        except Refused as refused:
            status, out = refused.status, [*out, *refused.headers]
            body = _encode(Refusal(refused.problem, request_id))
        out.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": out})
        await send({"type": "http.response.body", "body": body})
        self.telemetry.request(route, status, self.clock.monotonic() - start, **said)

    async def _answer(
        self,
        kind: type[RankRequest] | type[PredictRequest],
        headers: dict[bytes, bytes],
        receive: Receive,
        start: float,
        said: dict[str, object],
    ) -> tuple[int, bytes]:
        request = decode(await _body(headers, receive), kind)
        work = self._rank if isinstance(request, RankRequest) else self._predict
        try:
            if self._pool is None:
                return 200, work(request, start, said)  # type: ignore[arg-type]
            loop = asyncio.get_running_loop()
            return 200, await loop.run_in_executor(self._pool, work, request, start, said)  # type: ignore[arg-type]
        except Exception as error:  # Nobody gets a stack trace, and nobody gets nothing.
            self.telemetry.unexpected(error, **said)
            return 200, self._without_model(request, start, said)

    def _rank(self, request: RankRequest, start: float, said: dict[str, object]) -> bytes:
        deadline = Deadline(self.clock, start + self.config.serving.max_latency_ms / 1e3)
        found = self.server.rank(
            request.user_id, candidates(request), request.k, self._context(request.device), deadline
        )
        self._count(found.rung, found.model_version, found.cached, dict(found.shares), said)
        return _encode(
            RankAnswer(
                found.posts.tolist(), found.scores.round(6).tolist(), found.rung, _rounded(found.shares),
                round(found.defaulted, 6), found.cached, found.model_version, self._ms(start), str(said["request_id"]),
            )
        )  # fmt: skip

    def _predict(self, request: PredictRequest, start: float, said: dict[str, object]) -> bytes:
        found = self.server.predict(request.user_id, request.post_id, self._context(request.device))
        self._count(found.rung, found.model_version, found.cached, {}, said)
        p = round(found.probability, 6)
        return _encode(
            PredictAnswer(
                p, max(p, round(1 - p, 6)), found.rung, round(found.defaulted, 6), found.cached, found.model_version,
                self._ms(start), str(said["request_id"]),
            )
        )  # fmt: skip

    def _without_model(self, request: RankRequest | PredictRequest, start: float, said: dict[str, object]) -> bytes:
        """An answer that cannot fail: by popularity; for a prediction, one half, and no confidence."""
        version, request_id = self.server.model.version, str(said["request_id"])
        self._count("popularity", version, False, {"popularity": 1.0}, said)
        if isinstance(request, PredictRequest):
            return _encode(PredictAnswer(0.5, 0.5, "popularity", 1.0, False, version, self._ms(start), request_id))
        found = self.server.rank_by_popularity(candidates(request), request.k)
        return _encode(
            RankAnswer(
                found.posts.tolist(), found.scores.tolist(), "popularity", {"popularity": 1.0}, 1.0, False, version,
                self._ms(start), request_id,
            )
        )  # fmt: skip

    def _context(self, device: str | None) -> dict[str, float]:
        """What the model's request features are computed from. The time is the server's, never the client's."""
        code = DEVICES.index(device) if device else -1
        return {"device_code": code, "event_time": float(self.clock.now().astype(np.int64))}

    def _count(self, rung: str, version: str, cached: bool, sources: dict[str, float], said: dict[str, object]) -> None:
        said |= {"rung": rung, "model_version": version, "cached": cached, "in_flight": self.shedder.in_flight}
        self.telemetry.answered(rung, version, cached, sources)

    def _ms(self, start: float) -> float:
        return round(1e3 * (self.clock.monotonic() - start), 3)

    def _gauges(self) -> None:
        breaker = self.deployment.breaker
        self.telemetry.in_flight.set(self.shedder.in_flight)
        self.telemetry.breaker_open.set(breaker is not None and breaker.state != "CLOSED")

    def _api(self, token: str | None) -> FastAPI:
        """Everything that is not hot."""

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            follower = asyncio.create_task(self._follow())
            self.ready = True
            self.telemetry.write("info", "ready", model_version=self.server.model.version)
            yield
            follower.cancel()

        api = FastAPI(title="mlsys", version=self.config.version, lifespan=lifespan, redirect_slashes=False)
        api.include_router(admin.router(self.control, token, self.clock), prefix="/admin", tags=["admin"])

        @api.get("/health/live", tags=["health"])
        async def live() -> dict[str, str]:
            """The process runs."""
            return {"status": "alive"}

        @api.get("/health/ready", tags=["health"], responses={503: {"description": "warming up, or draining"}})
        async def ready() -> JSONResponse:
            """Send requests here, or do not."""
            status = "draining" if self.draining else "ready" if self.ready else "warming up"
            body = {"status": status, "model_version": self.server.model.version, "configuration": self.config.version}
            return JSONResponse(body, 200 if status == "ready" else 503)

        @api.get("/metrics", tags=["health"], response_class=Response)
        async def metrics() -> Response:
            """For Prometheus."""
            self._gauges()
            return Response(self.telemetry.exposition(), media_type="text/plain; version=0.0.4")

        @api.exception_handler(HTTPException)
        async def refused(request: Request, error: HTTPException) -> JSONResponse:
            path, headers = request.url.path, dict(error.headers or {})
            if path in HOT:  # FastAPI does not know it.
                error.status_code, headers["Allow"] = 405, "POST"
            known = {404: f"there is no {path}", 405: f"{path} takes {headers.get('Allow', 'another method')}"}
            reason = known.get(error.status_code, str(error.detail))
            remedy = headers.pop("X-Remedy", "see /docs")
            return self._refusal(error.status_code, "request", reason, remedy, headers)

        @api.exception_handler(RequestValidationError)
        async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"][1:]) or "body"
            return self._refusal(422, field, first["msg"], "see /docs for the fields")

        @api.exception_handler(MlsysError)
        async def mistaken(_: Request, error: MlsysError) -> JSONResponse:
            return self._refusal(409, "request", f"{error.what}: {error.why}", error.fix)

        hot = described()

        def openapi() -> dict[str, Any]:
            if api.openapi_schema is None:
                made = FastAPI.openapi(api)
                made["paths"] = {**hot["paths"], **made["paths"]}
                made.setdefault("components", {}).setdefault("schemas", {}).update(hot["schemas"])
            return api.openapi_schema or {}

        api.openapi = openapi  # type: ignore[method-assign]
        return api

    def _refusal(
        self, status: int, field: str, reason: str, remedy: str, headers: Mapping[str, str] | None = None
    ) -> JSONResponse:
        body = {"error": {"field": field, "reason": reason, "remedy": remedy}}
        return JSONResponse({**body, "request_id": f"{self._salt}-{next(self._ids)}"}, status, dict(headers or {}))

    async def _follow(self) -> None:
        """Look after champion and challenger for as long as the server runs; off the loop, since it reads files."""
        while True:
            await asyncio.sleep(self.config.serving.reload_seconds)
            self._gauges()  # Another worker may be the one that is asked for metrics.
            try:
                await asyncio.to_thread(self.control.look)
            except Exception as error:  # A follower that dies would leave a server that nobody can roll back.
                self.telemetry.unexpected(error)


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The body, as long as it is JSON and not too long; what Content-Length says is not believed."""
    media, _, parameters = headers.get(b"content-type", b"").partition(b";")
    charset = parameters.lower().partition(b"charset=")[2].strip(b' "')
    if media.strip().lower() != b"application/json" or charset not in (b"", b"utf-8", b"utf8"):
        raise Refused(415, "Content-Type", "the body has to be JSON in UTF-8", "send Content-Type: application/json")
    if headers.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
        raise Refused(415, "Content-Encoding", "a compressed body is not read", "send it as it is")
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "body", "the connection was closed before the body's end", "send all of it")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise Refused(413, "body", f"it has more than {MOST_BYTES:,} bytes", "send fewer candidates")
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(share, 6) for name, share in shares.items()}
