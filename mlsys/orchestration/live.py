"""The real server for a moment: `mlsys.serving.app` on a free port of this machine, in a thread of this process."""

from __future__ import annotations

import http.client
import io
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import uvicorn

from mlsys.config import SystemConfig
from mlsys.core import MlsysError, SystemClock
from mlsys.orchestration import demo
from mlsys.serving.app import Application
from mlsys.serving.control import Control
from mlsys.serving.deployment import open_deployment
from mlsys.serving.telemetry import Telemetry


@contextmanager
def running(*, users: int = 300, days: int = 4) -> Iterator[int]:
    """The port of a server with a small feed of its own; it stops at the end."""
    clock, config = SystemClock(), SystemConfig.load(None)
    with tempfile.TemporaryDirectory(prefix="mlsys-live-") as scratch:
        folder = Path(scratch) / "system"
        demo.build(folder, name=config.model.name, users=users, days=days, morning=clock.now())
        deployment = open_deployment(folder, config, clock)
        control = Control(folder, deployment, config.model.name)
        telemetry = Telemetry(clock, io.BytesIO(), requests=False)
        app = Application(deployment, control, config, telemetry, clock=clock)
        app.warm_up()
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until = time.monotonic() + 5
        while not server.started and time.monotonic() < until:
            time.sleep(0.005)
        try:
            if not server.started:
                raise MlsysError("the server did not start", why="5 s have passed", fix="try `python start.py serve`")
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(5)


def asked(requests: int = 200, *, candidates: int = 500, seconds: float = 1.0) -> tuple[pd.Series, dict[str, object]]:
    """Milliseconds of requests to the real server, one after the other, at most so many and so long; and the last
    answer. Client and server share this process, so the server alone is faster."""
    rng, taken, answer = np.random.default_rng(13), list[float](), dict[str, object]()
    with running() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        until = time.monotonic() + seconds
        for _ in range(requests):
            posts = rng.choice(1_000, candidates, replace=False).tolist()
            body = json.dumps({"user_id": int(rng.integers(300)), "candidates": posts, "k": 10})
            start = time.perf_counter()
            connection.request("POST", "/v1/rank", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            taken.append(1e3 * (time.perf_counter() - start))
            if time.monotonic() > until:
                break
        connection.close()
    return pd.Series(taken), answer
