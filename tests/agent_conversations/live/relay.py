"""A relay in front of a Redis server that loses, doubles and reorders notifications."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MESSAGE = b"*3\r\n$7\r\nmessage\r\n"
_CHANGE = b":changes\r\n"


class NotificationRelay:
    """Listens on the Unix socket ``path``, and passes on what it does not treat as told."""

    def __init__(self, path: Path, upstream: Path, seed: int = 0) -> None:
        self.url = f"unix://{path}"
        self.lose = self.double = self.reorder = 0.0
        """How likely each is, from 0 to 1, for each notification of a change."""
        self.spoiled = 0
        """How many notifications were."""
        self._random = random.Random(seed)
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection that there is."""
        for end in [*self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with suppress(OSError):
                server.connect(str(self._upstream))
            self._ends |= {client, server}
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pass_back, args=(server, client), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        self._end(source, target)

    def _pass_back(self, source: socket.socket, target: socket.socket) -> None:
        buffer, kept = b"", b""
        with suppress(OSError):
            while data := source.recv(65536):
                buffer += data
                while buffer:
                    end = _end_of_message(buffer)
                    if end is None:
                        break  # the rest of it has not come yet
                    message, buffer = buffer[:end], buffer[end:]
                    if _CHANGE not in message:
                        target.sendall(message)
                    elif self._happens(self.lose):
                        continue
                    elif self._happens(self.reorder):
                        kept += message
                    else:
                        twice = self._happens(self.double)
                        target.sendall(message * (2 if twice else 1) + kept)
                        kept = b""
        self._end(source, target)

    def _happens(self, likelihood: float) -> bool:
        happens = self._random.random() < likelihood
        self.spoiled += happens
        return happens

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _end_of_message(buffer: bytes) -> int | None:
    """Return where the message ends that the buffer begins with, or what is none before one."""
    if buffer[: len(_MESSAGE)] != _MESSAGE[: len(buffer)]:
        following = buffer.find(_MESSAGE)
        return len(buffer) if following < 0 else following
    position = 0
    for _ in range(7):
        position = buffer.find(b"\r\n", position) + 2
        if position < 2:
            return None
    return position


@contextmanager
def notification_relay(folder: Path, upstream: Path, seed: int = 0) -> Iterator[NotificationRelay]:
    relay = NotificationRelay(folder / "relay.sock", upstream, seed)
    try:
        yield relay
    finally:
        relay.stop()
