"""A TCP proxy on loopback that stands between a server and its store, and misbehaves on command.

What it does to the store's answers: nothing; keeps them (gone: nothing comes back any more, and nobody says so); delays
them (slow); closes the connection instead (flaky); changes bytes (garbage).
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType

import numpy as np

MODES = ("pass", "gone", "slow", "flaky", "garbage")


class Proxy:
    """Forwards `port` to `upstream` on 127.0.0.1, from a thread of its own.

    `mode`: one of `MODES`, to be set at any time. `size`: seconds of a delay; share of answers that are broken.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream, self.mode, self.size = upstream, "pass", 1.0
        self.port, self.answers = 0, 0
        self._rng, self._ready = np.random.default_rng(13), threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def listen() -> None:
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.run_until_complete(listen())
        self._loop.run_forever()

    async def _connected(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            store_in, store_out = await asyncio.open_connection("127.0.0.1", self.upstream)
            questions = asyncio.ensure_future(self._questions(client_in, store_out))
            with suppress(OSError):
                await self._answers(store_in, client_out)
            questions.cancel()
            store_out.close()
        client_out.close()

    async def _questions(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
            target.close()

    async def _answers(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 20):
            self.answers += 1
            mode, size = self.mode, self.size
            if mode == "gone":
                while self.mode == "gone":
                    await asyncio.sleep(0.05)
                return  # What comes an age later belongs to a connection that was given up.
            if mode == "slow":
                await asyncio.sleep(size)
            if mode == "flaky" and self._rng.random() < size:
                return
            if mode == "garbage":
                data = self._spoiled(data, size)
            target.write(data)
            await target.drain()

    def _spoiled(self, data: bytes, share: float) -> bytes:
        """The same bytes but for a share of the letters between the line ends, so that most of the protocol stands."""
        found = np.frombuffer(data, np.uint8).copy()
        hit = (self._rng.random(len(found)) < share) & ~np.isin(found, np.frombuffer(b"\r\n$*-+:", np.uint8))
        found[hit] = self._rng.integers(0, 256, int(hit.sum()))
        return found.tobytes()
