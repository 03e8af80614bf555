"""`mlsys serve`: the model server as a process, or several."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from mlsys.config import SystemConfig
from mlsys.core import MlsysError, SystemClock

if TYPE_CHECKING:
    import uvicorn

SAID = "MLSYS_SERVE"
"""Environment variable in which workers find what the command was called with, as JSON."""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "serve",
        help="serve rankings over HTTP",
        description="Serve the system in a folder over HTTP: rankings, predictions, health, metrics, and an admin "
        "face. An empty folder is filled first with a small simulated feed and a model trained on it, in seconds. "
        "The page /docs describes every route. Ctrl-C or SIGTERM drains: /health/ready fails, what is asked is "
        "answered, then the process ends.",
        epilog="Examples:\n"
        "  python start.py serve\n"
        "  curl -s localhost:8000/v1/rank -H 'Content-Type: application/json' "
        '-d \'{"user_id": 5, "candidates": [900, 901, 902]}\'\n'
        "  python start.py serve --workers 2 --set serving.max_in_flight=128\n"
        "  python start.py serve --set serving.online=redis://127.0.0.1:6379/0 --materialize\n"
        "  MLSYS_ADMIN_TOKEN=secret python start.py serve          # then: POST /admin/canary, see /docs\n\n"
        "Settings (--config FILE, MLSYS_SERVING__KEY in the environment, --set serving.KEY=VALUE): online, registry,\n"
        "feature_ttl_seconds, prediction_ttl_seconds, store_timeout_ms, threads, max_in_flight, max_latency_ms,\n"
        "reload_seconds, drain_seconds; mlsys/config.py says what they mean.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=Path("work/serving"), help="the system (default work/serving)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port (default 8000)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1); about one per core")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML with settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument(
        "--materialize", action="store_true", help="first put the folder's features online, also in Redis"
    )
    parser.add_argument("--no-log-requests", action="store_true", help="log events, but not every request")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, build what is missing, then serve until told to stop."""
    import uvicorn

    from mlsys.serving.deployment import open_deployment

    if arguments.workers < 1 or not 0 < arguments.port < 65_536:
        raise MlsysError(
            f"--workers {arguments.workers} --port {arguments.port}",
            why="there is at least one worker, and ports go from 1 to 65535",
            fix="--workers 2 --port 8000",
        )
    config = _configuration(arguments.config, arguments.set)
    _prepare(arguments.folder, config, arguments.materialize)
    said = {"folder": str(arguments.folder), "config": str(arguments.config or ""), "set": arguments.set}
    os.environ[SAID] = json.dumps({**said, "requests": not arguments.no_log_requests})
    server = uvicorn.Config(
        "mlsys.cli.serve:application",
        factory=True,
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # Longer than a load balancer keeps an idle connection: it ends it, not we.
        timeout_graceful_shutdown=10,
        backlog=2048,
    )
    print(
        f"http://{arguments.host}:{arguments.port}/docs  (configuration {config.version})", file=sys.stderr, flush=True
    )
    if arguments.workers == 1:
        uvicorn.Server(server).run()
        return 0
    open_deployment(arguments.folder, config, SystemClock())  # What no worker can open is said once, not for ever.
    with tempfile.TemporaryDirectory(prefix="mlsys-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _supervise(server)
    return 0


def _supervise(config: uvicorn.Config) -> None:
    """Keep `config.workers` processes alive; the gauges of one that died go with it, its counts stay."""
    from prometheus_client import multiprocess
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        def keep_subprocess_alive(self) -> None:
            before = {process.pid for process in self.processes}
            super().keep_subprocess_alive()
            for pid in before - {process.pid for process in self.processes}:
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

    Workers(config, sockets=[config.bind_socket()]).run()


def application() -> Any:
    """The ASGI application of one worker, from what `run` left in the environment."""
    from mlsys.serving.admin import TOKEN
    from mlsys.serving.app import Application
    from mlsys.serving.control import Control
    from mlsys.serving.deployment import open_deployment
    from mlsys.serving.telemetry import Telemetry

    said, clock = json.loads(os.environ[SAID]), SystemClock()
    threadpool_limits(1)  # A request is too small to be shared, and workers would fight over the cores.
    config = _configuration(Path(said["config"]) if said["config"] else None, said["set"])
    telemetry = Telemetry(clock, sys.stderr.buffer, requests=said["requests"])
    telemetry.write("info", "start", configuration=config.version)
    deployment = open_deployment(said["folder"], config, clock)
    control = Control(said["folder"], deployment, config.model.name)
    app = Application(deployment, control, config, telemetry, clock=clock, token=os.environ.get(TOKEN))
    app.warm_up()
    control.look()
    _drain_on_signal(app, config.serving.drain_seconds)
    gc.collect()
    gc.freeze()  # What is here stays: the collector need not look at it again, tens of milliseconds each time.
    return app


def _drain_on_signal(app: Any, seconds: float) -> None:
    """Let the first SIGTERM or SIGINT begin the drain, and uvicorn's own handler end it; another Ctrl-C ends it now.

    With several workers Ctrl-C reaches each of them twice, as SIGINT and then as the supervisor's SIGTERM: a SIGTERM
    while it drains changes nothing.

    uvicorn puts its handlers in place before the application starts up, so ours are put around them then.
    """
    start_up = app.api.router.lifespan_context

    def around(api: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _handler(app, seconds, signal.getsignal(number)))
        return start_up(api)

    app.api.router.lifespan_context = around


def _handler(app: Any, seconds: float, then: Any) -> Any:
    """In a thread of its own, since the signal may have come in the middle of a log line, which the drain logs too."""
    begun = threading.Event()

    def end(number: int) -> None:
        app.drain()
        time.sleep(seconds)
        then(number, None)

    def handle(number: int, frame: FrameType | None) -> None:
        if not begun.is_set():
            begun.set()
            threading.Thread(target=end, args=(number,), daemon=True).start()
        elif number == signal.SIGINT:
            then(number, frame)

    return handle


def _prepare(folder: Path, config: SystemConfig, materialize: bool) -> None:
    """Fill an empty folder; put features online if asked to."""
    from mlsys.orchestration import demo
    from mlsys.serving.deployment import Posts

    clock = SystemClock()
    if not folder.exists() or not any(folder.iterdir()):
        print(f"{folder} is empty: a small feed and a model are made for it", file=sys.stderr)
        with tqdm(total=demo.STEPS, unit="step", leave=False) as bar:

            def show(step: str) -> None:
                bar.set_postfix_str(step)
                bar.update()

            demo.build(folder, name=config.model.name, morning=clock.now(), on_step=show)
    Posts.load(folder)  # Another folder, mistyped, is told so before anything is put into it.
    if materialize:
        count = demo.materialize(folder, config.serving.online, clock)
        print(f"{count:,} feature vectors are online", file=sys.stderr)


def _configuration(path: Path | None, pairs: list[str]) -> SystemConfig:
    if malformed := [pair for pair in pairs if "=" not in pair]:
        raise MlsysError(f"--set {malformed[0]}", why="it has to be KEY=VALUE", fix="--set serving.max_in_flight=128")
    return SystemConfig.load(path, environ=os.environ, overrides=dict(pair.split("=", 1) for pair in pairs))
