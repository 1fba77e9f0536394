"""What is logged of a fault: its class and its place, never its text, which can quote people."""

import asyncio
import gc
import http.client
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from io import StringIO
from typing import Any

import pytest
from redis import Redis

from agent_conversations import API_PREFIX
from agent_conversations.live.server import run
from agent_conversations.store.repository import ConversationRepository
from config.logging import logging_config
from tests.agent_conversations.live.test_server import Watch, append, create
from tests.agent_conversations.live.viewers import Loop, Viewer, live_server
from tests.faults.servers import free_port
from tests.waiting import wait_until

SAID = "what somebody has said"


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Give what is logged, as the service writes it."""
    options = dict(logging_config("INFO")["formatters"]["line"])
    handler = logging.StreamHandler(StringIO())
    handler.setFormatter(options.pop("()")(**options))
    logging.getLogger().addHandler(handler)
    yield handler.stream.getvalue
    logging.getLogger().removeHandler(handler)


def test_fault_in_reading_is_logged_without_its_text(
    watch: Watch, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    viewer = watch().wait_for_types("snapshot")

    def fail(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise ValueError(SAID)

    monkeypatch.setattr(ConversationRepository, "find_part", fail)
    append(SAID)

    viewer.wait_for_types("snapshot", "updated")
    line = json.loads(logged())
    assert (line["cause"], line["conversation_id"]) == ("ValueError", "c-1")
    assert SAID not in logged()


@pytest.fixture
def accesses(real_service: Redis, loop: Loop) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The port of a live server, and the lines of its access log."""
    lines: list[dict[str, Any]] = []
    with live_server(loop, log=lambda fields: lines.append(fields())) as port:
        yield port, lines


def test_viewer_has_a_line_when_it_comes_and_goes(
    accesses: tuple[int, list[dict[str, Any]]], loop: Loop
) -> None:
    create()
    port, lines = accesses
    viewer = Viewer(loop, port, "c-1").connect(additional_headers={"X-Request-ID": "r-1"})
    viewer.wait_for_types("snapshot")
    append(SAID)
    viewer.wait_for_types("snapshot", "updated")
    viewer.close()
    wait_until(lambda: len(lines) == 2)

    known = {"request_id": "r-1", "connection": lines[0]["connection"], "conversation_id": "c-1"}
    assert viewer.handshake["X-Request-ID"] == "r-1"
    assert lines[0] == {"event": "Connection opened", **known}
    assert 0 <= lines[1].pop("seconds") < 30
    assert lines[1] == {"event": "Connection closed", **known, "frames": 2, "code": 1000}


@pytest.mark.parametrize(
    ("target", "status", "event"),
    [
        (f"{API_PREFIX}/ws?conversationId=c-1", 426, f"GET {API_PREFIX}/ws 426"),
        (f"{API_PREFIX}/ws?conversationId=-MARK", 426, f"GET {API_PREFIX}/ws 426"),
        ("/nowhere?token=MARK", 404, "GET /nowhere 404"),
        ("/health/live", 200, "GET /health/live 200"),
    ],
)
def test_other_request_has_the_line_of_a_request(
    accesses: tuple[int, list[dict[str, Any]]], target: str, status: int, event: str
) -> None:
    port, lines = accesses
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", target)
        response = connection.getresponse()
        response.read()

    (line,) = lines
    assert (response.status, line["status"], line["event"]) == (status, status, event)
    assert response.headers.get_all("X-Request-ID") == [line["request_id"]]
    assert "MARK" not in str(line)


@pytest.mark.usefixtures("real_service")
def test_fault_of_a_task_is_logged_without_its_text(logged: Callable[[], str]) -> None:
    async def fail() -> None:
        raise ValueError(SAID)

    async def serve_while_a_task_fails() -> None:
        stop = asyncio.Event()
        serving = asyncio.create_task(run("127.0.0.1", free_port(), stop))
        await asyncio.sleep(0)
        failing = asyncio.create_task(fail())
        await asyncio.wait([failing])
        del failing
        gc.collect()
        stop.set()
        await serving

    asyncio.run(serve_while_a_task_fails())

    assert json.loads(logged())["exception"] == "ValueError"
    assert SAID not in logged()
