"""The servers that are compared, each as one would write it: `python servers.py NAME PORT FOLDER` runs one.

All but the naive one score with the same `ModelServer` on the same folder, so they differ in what lies around it:
HTTP, parsing, validation, framework.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mlsys.config import SystemConfig
from mlsys.core import SystemClock
from mlsys.serving import ModelServer
from mlsys.serving.deployment import open_deployment

CLOCK = SystemClock()


def model_server(folder: str) -> ModelServer:
    """Without caches: everybody does all the work for every request."""
    config = SystemConfig.load(overrides={"serving.prediction_ttl_seconds": 0})
    return open_deployment(folder, config, CLOCK).server


def rank(server: ModelServer, user: int, candidates: list[int], k: int | None) -> dict[str, Any]:
    """What every server answers."""
    context = {"device_code": -1, "event_time": float(CLOCK.now().astype(np.int64))}
    found = server.rank(user, np.array(candidates, np.int64), k, context)
    return {
        "posts": found.posts.tolist(),
        "scores": found.scores.round(6).tolist(),
        "rung": found.rung,
        "model_version": found.model_version,
    }


def naive_app(folder: str) -> Any:
    """`.loc` and a model call per candidate, in a sync route: notebook 01's server behind FastAPI."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    from mlsys import naive
    from mlsys.world.noise import NoiseWorld

    found = naive.train(NoiseWorld(users=2_000, posts=3_000, seed=7).events(20_000))
    server, app = naive.Server(found.model, found.users, found.posts), FastAPI()

    class Request(BaseModel):
        user_id: int
        candidates: list[int]
        k: int | None = None

    def ranked(request: Request) -> dict[str, Any]:
        return {"posts": server.rank(request.user_id, request.candidates)[: request.k], "model_version": "naive"}

    ranked.__annotations__["request"] = Request
    app.post("/v1/rank")(ranked)
    return app


def fastapi_app(folder: str) -> Any:
    """FastAPI as its tutorial has it: pydantic in and out, an async route."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    server, app = model_server(folder), FastAPI()

    class Request(BaseModel):
        user_id: int
        candidates: list[int]
        k: int | None = None

    class Answer(BaseModel):
        posts: list[int]
        scores: list[float]
        rung: str
        model_version: str

    async def ranked(request: Request) -> Answer:
        return Answer(**rank(server, request.user_id, request.candidates, request.k))

    ranked.__annotations__.update(request=Request, **{"return": Answer})
    app.post("/v1/rank")(ranked)
    return app


def bare_app(folder: str) -> Any:
    """ASGI and msgspec, nothing else: no checks beyond types, no metrics, no log, no limits."""
    import msgspec

    class Request(msgspec.Struct):
        user_id: int
        candidates: list[int]
        k: int | None = None

    server, decode, encode = model_server(folder), msgspec.json.Decoder(Request).decode, msgspec.json.Encoder().encode
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        request = decode(body)
        out = encode(rank(server, request.user_id, request.candidates, request.k))
        headers = [*start["headers"], (b"content-length", str(len(out)).encode())]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": out})

    return app


APPS = {"naive": naive_app, "fastapi": fastapi_app, "bare": bare_app}


def main() -> None:
    """Serve one of them with uvicorn, one process."""
    import uvicorn
    from threadpoolctl import threadpool_limits

    name, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    threadpool_limits(1)
    if name in ("ours", "ours, no gc.freeze", "ours, cached"):
        from mlsys.cli import main as mlsys

        if name == "ours, no gc.freeze":
            gc.freeze = lambda: None
        seconds = 60 if name == "ours, cached" else 0
        sys.exit(mlsys(["serve", "--folder", folder, "--port", str(port), "--no-log-requests",
                        "--set", f"serving.prediction_ttl_seconds={seconds}"]))  # fmt: skip
    uvicorn.run(APPS[name](folder), host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    assert Path(sys.argv[3]).is_dir()
    main()
