"""What clients that send slowly, or never finish, may cost: a thread each, for 30 seconds.

granian reads a body in the thread that handles its request, and waits for the rest as long as the
client likes. So a worker has a thread for each of its connections, of which only as many as
``THREADS`` handle requests at the same time: one that waits for a body does not count.
"""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BODY_SECONDS = 30
INTERVAL_SECONDS = 2
_MS_SINCE_DATA_SENT = struct.Struct("44xI")
"""In Linux's ``struct tcp_info``."""


class SlowClients:
    """Takes requests from the server, bounds how many are handled, and ends what never comes.

    Args:
        port: the server's, in this process.
        requests: how many are handled at the same time; further ones wait.
    """

    def __init__(self, port: int, requests: int) -> None:
        self._port = port
        # As a semaphore, a tenth of the time that Python's own takes.
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(requests):
            self._permits.put(None)
        self._awaited: dict[_Body, tuple[float, str]] = {}

    def wrap(self, application: Wsgi) -> Wsgi:
        permits = self._permits

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
                address = environ["REMOTE_ADDR"]
                environ["wsgi.input"] = _Body(self, environ["wsgi.input"], address)
            permits.get()
            try:
                return application(environ, start_response)
            finally:
                permits.put(None)

        return serve

    def read(self, body: "_Body", size: int) -> bytes:
        self._awaited[body] = time.monotonic(), body.address
        self._permits.put(None)
        try:
            read: bytes = body.stream.read(size)
        finally:
            del self._awaited[body]
            self._permits.get()
        return read

    def give_up(self, seconds: float) -> None:
        """End the bodies that have been awaited for so long: they are answered as cut off.

        Neither the server nor WSGI has a way to, so that their connections are ended for what they
        send. Which ones, nobody says: those of the same client on which nothing was sent for as
        long. Others among them are idle, and a server may end such connections when it likes.
        """
        latest = time.monotonic() - seconds
        late = {address for began, address in list(self._awaited.values()) if began < latest}
        # Names alone, and only then.
        for number in os.listdir("/proc/self/fd") if late else ():  # noqa: PTH208
            # What is no connection, or was closed meanwhile, is an error.
            with suppress(OSError), _duplicate(int(number)) as connection:
                name, client = connection.getsockname(), connection.getpeername()
                if name[1:2] == (self._port,) and client[0] in late:
                    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 48)
                    (silent_ms,) = _MS_SINCE_DATA_SENT.unpack(info)
                    if silent_ms >= seconds * 1000:
                        connection.shutdown(socket.SHUT_RD)

    def start(self) -> None:
        """Start the thread that gives bodies up, where the system is Linux."""
        if sys.platform == "linux":
            threading.Thread(target=self._run, name="slow clients", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL_SECONDS)
            self.give_up(BODY_SECONDS)


class _Body:
    """The ``wsgi.input`` of a request: its thread's permit is another's while it reads."""

    def __init__(self, clients: SlowClients, stream: Any, address: str) -> None:
        self._clients = clients
        self.stream = stream
        self.address = address
        self.readline = stream.readline  # which Django asks for, and nobody calls

    def read(self, size: int) -> bytes:
        return self._clients.read(self, size)


def _duplicate(number: int) -> socket.socket:
    """Return a socket of this process; if it is closed meanwhile, this is still the same one.

    Raises:
        OSError: it is no socket, or there is no such file any more.
    """
    duplicate = os.dup(number)
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise
