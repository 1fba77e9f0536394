"""A live server in this process, on the services that a test has pointed at a Redis server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from tests.agent_conversations.live.viewers import Loop, Viewer, event_loop, live_server


@pytest.fixture
def loop() -> Iterator[Loop]:
    with event_loop() as running:
        yield running


@pytest.fixture
def live_port(real_service: Redis, loop: Loop) -> Iterator[int]:
    """A live server on the bundled server."""
    with live_server(loop) as port:
        yield port


@pytest.fixture
def watch(loop: Loop, live_port: int) -> Iterator[Callable[..., Viewer]]:
    """Connect viewers; those that are open still are closed with the test."""
    viewers: list[Viewer] = []

    def connect(conversation_id: str = "c-1", **query: Any) -> Viewer:
        viewers.append(Viewer(loop, live_port, conversation_id, **query).connect())
        return viewers[-1]

    yield connect
    for viewer in viewers:
        viewer.close()
