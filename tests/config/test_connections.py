"""Clients that are slow, or never finish: what they cost, and when they are given up."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import Any

import pytest

from config.connections import SlowClients

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A server's end of a connection, and its client's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=5) as client,
        listener.accept()[0] as accepted,
    ):
        yield accepted, client


@pytest.fixture
def slow_clients(pair: Pair) -> SlowClients:
    return SlowClients(pair[0].getsockname()[1], 2)


def read_body(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return [environ["wsgi.input"].read(10) if "CONTENT_LENGTH" in environ else b""]


class Serving(threading.Thread):
    """A request of ten bytes, being served; ``body`` is what came of them."""

    def __init__(self, slow_clients: SlowClients, stream: Any) -> None:
        super().__init__()
        self._environ = {
            "CONTENT_LENGTH": "10",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": stream,
        }
        self._serve = slow_clients.wrap(read_body)
        self.body: list[bytes] = []
        self.start()

    def run(self) -> None:
        self.body += self._serve(self._environ, print)


def until_served(slow_clients: SlowClients, serving: Serving, seconds: float) -> None:
    """Give up bodies again and again; fail where that does not end a request within 5 s."""
    deadline = time.monotonic() + 5
    while serving.is_alive():
        assert time.monotonic() < deadline
        slow_clients.give_up(seconds)
        time.sleep(0.02)


def test_body_that_never_ends_is_given_up(pair: Pair, slow_clients: SlowClients) -> None:
    accepted, client = pair
    client.sendall(b"half")

    serving = Serving(slow_clients, accepted.makefile("rb"))
    until_served(slow_clients, serving, 0.3)
    accepted.sendall(b"a response")

    assert serving.body == [b"half"]
    assert client.recv(100) == b"a response"


def test_body_that_drips_is_given_up(pair: Pair, slow_clients: SlowClients) -> None:
    accepted, client = pair
    serving = Serving(slow_clients, accepted.makefile("rb"))
    began = time.monotonic()
    while serving.is_alive() and time.monotonic() < began + 0.5:
        client.sendall(b"x")
        time.sleep(0.1)
        slow_clients.give_up(0.3)

    until_served(slow_clients, serving, 0.3)

    assert len(serving.body[0]) < 10


def test_body_in_time_is_not_given_up(pair: Pair, slow_clients: SlowClients) -> None:
    accepted, client = pair
    serving = Serving(slow_clients, accepted.makefile("rb"))
    client.sendall(b"half ")
    slow_clients.give_up(30)
    client.sendall(b"and half")

    until_served(slow_clients, serving, 30)

    assert serving.body == [b"half and h"]


def test_idle_connection_alone_is_not_ended(pair: Pair, slow_clients: SlowClients) -> None:
    accepted, client = pair
    slow_clients.give_up(0)
    client.sendall(b"a request")

    assert accepted.recv(100) == b"a request"


class SlowBody(BytesIO):
    """A body that comes when it is told to."""

    def __init__(self, comes: threading.Event) -> None:
        super().__init__(b"{}")
        self._comes = comes

    def read(self, size: int | None = -1, /) -> bytes:
        assert self._comes.wait(10)
        return super().read(size)


def test_requests_that_wait_for_bodies_hold_nobody_up(slow_clients: SlowClients) -> None:
    comes = threading.Event()
    with ExitStack() as stack:
        for _ in range(10):
            stack.callback(Serving(slow_clients, SlowBody(comes)).join)
        stack.callback(comes.set)

        assert slow_clients.wrap(read_body)({"wsgi.input": BytesIO()}, print) == [b""]


def test_only_so_many_requests_are_handled_at_once(slow_clients: SlowClients) -> None:
    handled, most, counting = 0, 0, threading.Lock()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        nonlocal handled, most
        with counting:
            handled += 1
            most = max(most, handled)
        time.sleep(0.01)
        with counting:
            handled -= 1
        return []

    serve = slow_clients.wrap(application)
    threads = [threading.Thread(target=serve, args=({}, print)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 2
