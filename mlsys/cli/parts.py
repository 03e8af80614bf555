"""The parts of one request, as tasks for `mlsys calibrate`: 500 candidates, 11 features, an embedded store."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import uvicorn

from mlsys import ModelServer
from mlsys.core import VirtualClock
from mlsys.orchestration.bench import Bench
from mlsys.serving.cache import PredictionCache
from mlsys.serving.messages import RankAnswer, RankRequest, candidates, decode
from mlsys.training import LinearModel
from mlsys.training.compression import compress

Task = tuple[Callable[[], object], float]
POSTS, PAGE, TRIPS = 500, 10, 300


def request_parts() -> dict[str, Task]:
    """Name in `unit_costs.json` → what to time, and microseconds per second.

    `parse_500_us` to `encode_10_us`: the parts of a request in their order · `join_500_us`: ids → creator, topic, age ·
    `read_500_us`: features from an embedded store · `hit_us`: a whole answer from the prediction cache ·
    `http_us`: client and server on one core, no work between ·
    `parse_500x11_*`: features instead of ids in the request · `score_*`: the linear model on smaller numbers.
    """
    bench = Bench(7, users=300, days=8)
    bench.store.materialize(bench.now)
    clock, rng = VirtualClock(bench.now), np.random.default_rng(7)
    model, store = LinearModel.fit(bench.X, bench.y), bench.store
    names, context = model.signature.features, {"device_code": 1.0, "event_time": float(bench.now.astype(np.int64))}
    posts = rng.permutation(np.arange(bench.log["post_id"].max() - POSTS, bench.log["post_id"].max()))
    body = json.dumps({"user_id": 5, "candidates": posts.tolist(), "k": PAGE}).encode()
    rows = {"user_id": np.full(POSTS, 5), "post_id": posts} | {k: np.full(POSTS, v) for k, v in context.items()}
    joined = bench.catalogue.join(rows)
    values = store.get_online_features(names, joined, bench.now).values
    scores = model.predict_array(values)
    server = ModelServer(model, store, clock=clock, catalogue=bench.catalogue, predictions=PredictionCache(clock))
    encode, floats = (
        msgspec.json.Encoder().encode,
        json.dumps(np.nan_to_num(values).astype(float).round(4).tolist()).encode(),
    )
    matrix, packed = msgspec.json.Decoder(list[list[float]]), values.tobytes()
    small, tiny = (compress(model, bench.X.to_numpy(), bits) for bits in (16, 8))
    answer = RankAnswer(
        posts[:PAGE].tolist(), scores[:PAGE].round(6).tolist(), "fresh", {"fresh": 1.0}, 0.0, False, "1", 0.4, "id"
    )
    tasks: dict[str, Callable[[], object]] = {
        "parse_500_us": lambda: candidates(decode(body, RankRequest)),
        "join_500_us": lambda: bench.catalogue.join(rows),
        "read_500_us": lambda: store.get_online_features(names, joined, bench.now),
        "sort_500_us": lambda: np.lexsort((posts, -np.round(scores, 6)))[:PAGE],
        "encode_10_us": lambda: encode(answer),
        "hit_us": lambda: server.rank(5, posts, context=context),
        "parse_500x11_json_us": lambda: np.array(matrix.decode(floats), np.float32),
        "parse_500x11_packed_us": lambda: np.frombuffer(packed, np.float32).reshape(POSTS, -1),
        "score_float16_500_us": lambda: small.predict_array(values),
        "score_int8_500_us": lambda: tiny.predict_array(values),
    }
    return {name: (task, 1e6) for name, task in tasks.items()} | {"http_us": (round_trips, 1e6 / TRIPS)}


def round_trips() -> None:
    """Requests of the usual size over one connection to an empty uvicorn application in this process."""
    body = json.dumps({"user_id": 5, "candidates": list(range(10_000, 10_000 + POSTS))}).encode()
    with _listening() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for _ in range(TRIPS):
            connection.request("POST", "/", body)
            connection.getresponse().read()
        connection.close()


@contextmanager
def _listening() -> Iterator[int]:
    """The port of an application that reads a request and answers with a page, in another thread."""
    page = msgspec.json.encode(list(range(10_000, 10_000 + PAGE)))

    async def app(scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(page))]})
        await send({"type": "http.response.body", "body": page})

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 5
    while not server.started and time.monotonic() < until:
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(5)
