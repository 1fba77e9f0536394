"""Viewers and tabs of a Cluster and under Sentinel, while a primary is killed."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from agent_conversations import services
from agent_conversations.store.keys import conversation_key
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.types import AgentSession
from tests.agent_conversations.live.viewers import Loop, Viewer, live_server
from tests.agent_conversations.store.records import new, said
from tests.deployments import (
    FAILURE_MS,
    ClusterServers,
    SentinelServers,
    Server,
    cluster_servers,
    sentinel_servers,
)
from tests.waiting import wait_until

PUSHED = "agent_session.push"


@pytest.fixture(params=["sentinel", "cluster"])
def several(
    request: pytest.FixtureRequest, tmp_path: Path, point_at: Callable[[str], None]
) -> Iterator[ClusterServers | SentinelServers]:
    """Servers of the test's own, to which the services are pointed."""
    start = cluster_servers if request.param == "cluster" else sentinel_servers
    with start(tmp_path, failure_ms=FAILURE_MS) as servers:
        point_at(servers.url)
        yield servers


def primary_of(several: ClusterServers | SentinelServers, conversation_id: str) -> Server:
    if isinstance(several, SentinelServers):
        return several.primary()
    slot = key_slot(conversation_key(conversation_id).encode())
    ranges = several.servers[0].client.execute_command("CLUSTER SLOTS")
    (found,) = [port for first, last, (_, port, *_), *_ in ranges if first <= slot <= last]
    return next(one for one in several.servers if one.port == found)


def until_stored(act: Callable[[], object]) -> None:
    def succeeds() -> bool:
        with suppress(StoreUnavailableError):
            act()
            return True
        return False

    wait_until(succeeds)


def stored(conversation_id: str) -> list[str]:
    part = services.conversations().find_part(conversation_id)
    assert part is not None
    return [json.loads(raw)["messageId"] for raw in part.conversation.messages_json]


def shown(viewer: Viewer) -> list[str]:
    return [message["messageId"] for message in (viewer.copy or {"messages": []})["messages"]]


def append(conversation_id: str, message_id: str) -> None:
    message = said(message_id, messageId=message_id)
    until_stored(partial(services.conversations().append_message, conversation_id, message))


def given(tab: Viewer) -> list[Any]:
    return [frame["pushId"] for frame in tab.frames if frame["type"] == PUSHED]


@pytest.mark.parametrize("delta", [{}, {"mode": "delta"}], ids=["whole", "delta"])
def test_viewers_and_tabs_miss_nothing_of_a_failover(
    several: ClusterServers | SentinelServers, loop: Loop, delta: dict[str, Any]
) -> None:
    ids = ["c-1", "c-2", "c-3"]
    for one in ids:
        services.conversations().create(new(one))
        body = {"wsUrl": "wss://host/push?token=t", "sessionId": f"s-{one}"}
        services.sessions().set(one, AgentSession.from_registration(body))
    with live_server(loop) as port:
        viewers = {
            one: Viewer(loop, port, one, sessionId=f"s-{one}", **delta).connect() for one in ids
        }
        for one in ids:
            append(one, f"{one}-before")
            services.pushes().push(one, "words", push_id="p-before")
        victim = primary_of(several, "c-1")
        acknowledged = StoreClient.from_url(several.url, write_acks=1)
        # Its replica has all that was written before.
        none = ("DEL", f"{{{conversation_key('c-1')}}}:none")
        until_stored(partial(acknowledged.write, none, operation="delete"))
        os.kill(victim.running.pid, signal.SIGKILL)
        victim.running.stop()
        for number in range(5):
            for one in ids:
                append(one, f"{one}-{number}")
                until_stored(partial(services.pushes().push, one, "words", push_id=f"p-{number}"))
        for one, viewer in viewers.items():
            viewer.wait_for(lambda self, one=one: shown(self) == stored(one))  # type: ignore[misc]  # of any type
            viewer.wait_for(lambda self: len(given(self)) >= 6)
        for viewer in viewers.values():
            assert sorted(given(viewer)) == ["p-0", "p-1", "p-2", "p-3", "p-4", "p-before"]
            viewer.close()
    for one in ids:
        assert stored(one) == [f"{one}-before", *(f"{one}-{number}" for number in range(5))]
