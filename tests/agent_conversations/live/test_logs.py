"""What is logged of a fault: its class and its place, never its text, which can quote people."""

import asyncio
import gc
import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO

import pytest

from agent_conversations.live.server import run
from agent_conversations.store.repository import ConversationRepository
from config.logging import logging_config
from tests.agent_conversations.live.test_server import Watch, append, create
from tests.faults.servers import free_port

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
