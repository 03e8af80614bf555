"""A load generator on loopback: closed loop (so many connections, each asks again when answered) and open loop (so many
requests a second, whether or not the server keeps up).

In an open loop a request's latency counts from the moment it was due. Counting from the moment it could be sent would
leave out the queue before the server, the very thing that overload is (coordinated omission; Tene, 2013).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

POOL = 64
"""Different requests, asked in turn."""


@dataclass
class Result:
    """`latency` seconds and `status` of every request that was answered, in order; `lost`: without an answer."""

    seconds: float
    latency: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    lost: int = 0

    @property
    def rate(self) -> float:
        """Answers with status 200 per second."""
        return sum(one == 200 for one in self.status) / self.seconds

    def quantile(self, q: float) -> float:
        """Milliseconds, of answers with status 200."""
        good = [took for took, status in zip(self.latency, self.status, strict=True) if status == 200]
        return 1e3 * float(np.quantile(good, q)) if good else float("nan")


def request(path: str, body: bytes, content: str = "application/json") -> bytes:
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, owner: _Load) -> None:
        self.owner, self.began, self._got, self._length = owner, 0.0, b"", -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, data: bytes, due: float) -> None:
        self.began, self._got, self._length = due, b"", -1
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._length < 0:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._got[:end].lower()
            at = head.find(b"content-length:")
            if at < 0:  # chunked: over when the last chunk is there
                if self._got.endswith(b"0\r\n\r\n"):
                    self._length = len(self._got)
                else:
                    return
            else:
                self._length = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._got) >= self._length:
            self.owner.answered(self, int(self._got[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.owner.closed(self)


class _Load:
    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.port, self.requests, self.asked = port, requests, 0
        self.result, self.busy, self.idle = Result(0.0), set[_Connection](), list[_Connection]()
        self.waiting: deque[float] = deque()
        self.until, self.closed_loop = 0.0, True

    async def connect(self) -> _Connection:
        _, made = await asyncio.get_running_loop().create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
        return made

    def send(self, connection: _Connection, due: float) -> None:
        self.busy.add(connection)
        connection.ask(self.requests[self.asked % len(self.requests)], due)
        self.asked += 1

    def answered(self, connection: _Connection, status: int) -> None:
        now = time.perf_counter()
        self.result.latency.append(now - connection.began)
        self.result.status.append(status)
        self.busy.discard(connection)
        if self.closed_loop:
            if now < self.until:
                self.send(connection, now)
        elif self.waiting:
            self.send(connection, self.waiting.popleft())
        else:
            self.idle.append(connection)

    def closed(self, connection: _Connection) -> None:
        if connection in self.busy:
            self.busy.discard(connection)
            self.result.lost += 1
        with suppress(ValueError):
            self.idle.remove(connection)


async def _closed(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Result:
    load = _Load(port, requests)
    open_ = [await load.connect() for _ in range(connections)]
    start = time.perf_counter()
    load.until = start + seconds
    for connection in open_:
        load.send(connection, time.perf_counter())
    while load.busy and time.perf_counter() < load.until + 10:
        await asyncio.sleep(0.01)
    load.result.lost += len(load.busy)
    load.result.seconds = time.perf_counter() - start
    for connection in open_:
        connection.transport.close()
    return load.result


async def _open(port: int, requests: Sequence[bytes], rate: float, seconds: float, most: int) -> Result:
    load = _Load(port, requests)
    load.closed_loop = False
    load.idle = [await load.connect() for _ in range(most)]
    open_ = list(load.idle)
    start = time.perf_counter() + 0.05
    due = start + np.cumsum(np.random.default_rng(13).exponential(1 / rate, int(rate * seconds)))
    for at in due.tolist():
        while (left := at - time.perf_counter()) > 0:
            await asyncio.sleep(left if left > 0.002 else 0)
        if load.idle:
            load.send(load.idle.pop(), at)
        else:
            load.waiting.append(at)
            await asyncio.sleep(0)
    end = time.perf_counter() + 5
    while (load.busy or load.waiting) and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    load.result.lost += len(load.busy) + len(load.waiting)
    load.result.seconds = float(due[-1]) - start
    for connection in open_:
        connection.transport.close()
    return load.result


def closed_loop(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Result:
    """So many connections ask, are answered, and ask again."""
    return asyncio.run(_closed(port, requests, connections, seconds))


def open_loop(port: int, requests: Sequence[bytes], *, rate: float, seconds: float, most: int = 256) -> Result:
    """`rate` requests a second at random moments; at most `most` are on their way, the others wait in line."""
    return asyncio.run(_open(port, requests, rate, seconds, most))


def pin(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
