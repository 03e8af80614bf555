"""A crowd that asks a ranking server: arrivals fixed beforehand, whatever the server does, and every answer kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

PATIENCE = 5.0
"""Seconds until a request is given up; it counts as failed."""


@dataclass
class Answer:
    """One request: when it was due and what it took (seconds), HTTP status (0: none came), decoded body, tries, and
    what went wrong on the way."""

    due: float
    latency: float
    status: int
    body: dict[str, object] | None
    tries: int
    error: str = ""


class Crowd:
    """Keeps connections open and opens more when all are waiting, as a load balancer does; one retry on a connection
    that was closed before any answer came, which is safe for a ranking."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(
        self,
        bodies: Sequence[bytes],
        due: np.ndarray,
        events: Sequence[tuple[float, Callable[[], Awaitable[None] | None]]] = (),
    ) -> list[Answer]:
        """Send each body at its second `due`; `events`: what else happens, and when."""
        start = time.perf_counter() + 0.1
        happenings = [asyncio.ensure_future(self._happen(start + at, what)) for at, what in events]
        tasks = []
        for body, at in zip(bodies, due.tolist(), strict=True):
            if (wait := start + at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.ensure_future(self._ask(body, at, start + at)))
        answers = list(await asyncio.gather(*tasks))
        await asyncio.gather(*happenings)
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
        return answers

    @staticmethod
    async def _happen(at: float, what: Callable[[], Awaitable[None] | None]) -> None:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        if (later := what()) is not None:
            await later

    async def _ask(self, body: bytes, due: float, at: float) -> Answer:
        status, found, tries, errors = 0, None, 0, list[str]()
        try:
            async with asyncio.timeout(PATIENCE):
                while tries < 2 and not status:
                    tries += 1
                    status, found = await self._once(body, errors)
        except TimeoutError:
            errors.append(f"given up after {PATIENCE:g} s")
        return Answer(due, time.perf_counter() - at, status, found, tries, "; ".join(errors))

    async def _once(self, body: bytes, errors: list[str]) -> tuple[int, dict[str, object] | None]:
        connection = None
        try:
            connection = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = connection
            writer.write(
                b"POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            data = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")
            if connection is not None:
                connection[1].close()
            await asyncio.sleep(0.05)
            return 0, None
        except BaseException:  # given up: what is still on its way must not answer the next request
            if connection is not None:
                connection[1].close()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append(connection)
        return int(head[9:12]), msgspec.json.decode(data)
