"""Viewers in a process of their own, which note when each message came.

They speak as much of WebSocket as they need, on asyncio's own protocols: ten thousand connections
of a complete client would take more of the processors than the server that is measured.
"""

import asyncio
import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from tests.benchmarks.workplace import API

_CONNECTING_AT_ONCE = 100
_READY_SECONDS = 120.0
_COUNT = b'"messageCount":'
_TEXT, _PING = 1, 9

Arrivals = Sequence[tuple[int, float]]
"""Of each frame of a viewer: how many messages there are now, and the time (``time.monotonic``)."""


class ViewersError(Exception):
    """Not all viewers were connected and sent their conversation."""


def most_connections() -> int:
    """Return how many connections a process may have here, a hundred other files left out."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100


class _Viewer(asyncio.Protocol):
    def __init__(self, handshake: bytes) -> None:
        self._handshake = handshake
        self._received = b""
        self._is_open = False
        self.arrivals: list[tuple[int, float]] = []
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._handshake)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ViewersError("a viewer was refused"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._received += data
        if not self._is_open:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._transport.close()
                return
            self._is_open, self._received = True, rest
        while (found := _frame(self._received)) is not None:
            opcode, payload, self._received = found
            if opcode == _PING:
                # A client masks what it sends; zeros are a mask as well.
                self._transport.write(b"\x8a" + bytes([0x80 | len(payload)]) + bytes(4) + payload)
            elif opcode == _TEXT:
                self._take(payload, now)

    def _take(self, payload: bytes, now: float) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
        elif (start := payload.rfind(_COUNT) + len(_COUNT)) >= len(_COUNT):
            digits = payload[start : start + 12].replace(b"}", b",").partition(b",")[0]
            self.arrivals.append((int(digits), now))


def _frame(received: bytes) -> tuple[int, bytes, bytes] | None:
    """Return a frame's opcode and payload, and what follows it; ``None`` before it is whole."""
    if len(received) < 2:
        return None
    start, length = 2, received[1]
    if length >= 126:
        start = 4 if length == 126 else 10
        if len(received) < start:
            return None
        length = int.from_bytes(received[2:start], "big")
    end = start + length
    return (
        None if len(received) < end else (received[0] & 0x0F, received[start:end], received[end:])
    )


async def _connect(port: int, conversation_ids: Sequence[str], query: str) -> list[_Viewer]:
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def connect(conversation_id: str) -> _Viewer:
        handshake = (
            f"GET {API}/ws?conversationId={conversation_id}{query} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()
        async with gate:
            _, viewer = await asyncio.get_running_loop().create_connection(
                lambda: _Viewer(handshake), "127.0.0.1", port
            )
            await viewer.ready
            return viewer

    async with asyncio.timeout(_READY_SECONDS):
        return await asyncio.gather(*map(connect, conversation_ids))


async def _watch(
    port: int, conversation_ids: Sequence[str], query: str, benchmark: Connection
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connected = await _connect(port, conversation_ids, query)
    benchmark.send(len(connected))
    await asyncio.to_thread(benchmark.recv)
    benchmark.send([viewer.arrivals for viewer in connected])


def _run(port: int, conversation_ids: Sequence[str], query: str, benchmark: Connection) -> None:
    asyncio.run(_watch(port, conversation_ids, query, benchmark))


class Viewers:
    """Those of one process; each has been sent its conversation."""

    def __init__(self, benchmark: Connection) -> None:
        self._benchmark = benchmark

    def leave(self) -> Sequence[Arrivals]:
        """End them, and return what each was sent after its first frame."""
        self._benchmark.send("leave")
        arrivals: Sequence[Arrivals] = self._benchmark.recv()
        return arrivals


@contextmanager
def viewers(port: int, conversation_ids: Sequence[str], query: str = "") -> Iterator[Viewers]:
    """Connect a viewer for each conversation named, and wait until each has had its first frame.

    Raises:
        ViewersError: not all of them were.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(port, conversation_ids, query, there))
    process.start()
    there.close()
    try:
        try:
            here.recv()
        except EOFError:
            raise ViewersError(f"{len(conversation_ids):,} viewers did not all connect") from None
        yield Viewers(here)
    finally:
        process.terminate()
        process.join()
