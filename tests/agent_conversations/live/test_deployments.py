"""Viewers and tabs of a Cluster and under Sentinel, while a primary is killed or slots move."""

import itertools
import json
import os
import signal
import threading
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
from sessions_store.keys import changes_channel
from sessions_store.redis.client import StoreClient
from sessions_store.types import AgentSession
from tests.agent_conversations.live.viewers import Loop, Viewer, live_server
from tests.agent_conversations.store.records import new, said
from tests.deployments import (
    FAILURE_MS,
    PATIENCE_MS,
    ClusterServers,
    SentinelServers,
    Server,
    cluster_servers,
    sentinel_servers,
)
from tests.faults.scenarios.deployments import move_at_once, move_by_keys, owner_of
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


def slot_of(conversation_id: str) -> int:
    return key_slot(conversation_key(conversation_id).encode())


def test_changes_on_a_cluster_stay_at_the_conversations_node(
    cluster: ClusterServers, loop: Loop, point_at: Callable[[str], None]
) -> None:
    def broadcast() -> int:
        found = [one.client.execute_command("CLUSTER INFO") for one in cluster.servers]
        return sum(int(one.get("cluster_stats_messages_publish_sent", 0)) for one in found)

    cluster.flush()
    point_at(cluster.url)
    services.conversations().create(new("c-1"))
    with live_server(loop) as port:
        viewer = Viewer(loop, port, "c-1").connect().wait_for_types("snapshot")
        before = broadcast()
        for number in range(5):
            append("c-1", f"m-{number}")
        viewer.wait_for(lambda self: shown(self) == stored("c-1"))
        listening = [
            one.port
            for one in cluster.primaries()
            if one.client.execute_command("PUBSUB SHARDCHANNELS", changes_channel("c-1"))
        ]
        viewer.close()

    assert listening == [owner_of(cluster.servers, slot_of("c-1")).port]
    assert broadcast() == before


@pytest.mark.parametrize("move", [move_by_keys, move_at_once])
@pytest.mark.parametrize("delta", [{}, {"mode": "delta"}], ids=["whole", "delta"])
def test_viewers_and_tabs_follow_a_slot_that_moves(
    cluster: ClusterServers,
    loop: Loop,
    point_at: Callable[[str], None],
    move: Callable[[int, Server, Server], None],
    delta: dict[str, Any],
) -> None:
    cluster.flush()
    point_at(cluster.url)
    ids = ["c-1", "c-2", "c-3"]
    over = threading.Event()

    def write() -> None:
        for number in itertools.count():
            for one in ids:
                append(one, f"{one}-{number}")
            if over.is_set():
                return

    for one in ids:
        services.conversations().create(new(one))
        body = {"wsUrl": "wss://host/push?token=t", "sessionId": f"s-{one}"}
        services.sessions().set(one, AgentSession.from_registration(body))
    # Nothing is compared: what they have, they were told of.
    with live_server(loop, compare_seconds=3600) as port:
        viewers = {
            one: Viewer(loop, port, one, sessionId=f"s-{one}", **delta).connect() for one in ids
        }
        for viewer in viewers.values():
            viewer.wait_for(lambda self: self.copy)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(4):
                for one in ids[:2]:
                    source = owner_of(cluster.servers, slot_of(one))
                    (target, _) = (two for two in cluster.primaries() if two is not source)
                    move(slot_of(one), source, target)
                    push = partial(services.pushes().push, one, "words", push_id=f"p-{number}")
                    until_stored(push)
        finally:
            over.set()
            writer.join()
        for one, viewer in viewers.items():
            viewer.wait_for(lambda self, one=one: shown(self) == stored(one))  # type: ignore[misc]  # of any type
        for one in ids[:2]:
            viewers[one].wait_for(lambda self: len(given(self)) >= 4)
            assert given(viewers[one]) == ["p-0", "p-1", "p-2", "p-3"]
        for viewer in viewers.values():
            assert "error" not in viewer.types
            viewer.close()


def test_cluster_without_sharded_channels_tells_plainly(
    tmp_path: Path, loop: Loop, point_at: Callable[[str], None]
) -> None:
    as_before_redis_7 = tmp_path / "renamed.conf"
    as_before_redis_7.write_text('rename-command SPUBLISH ""\nrename-command SSUBSCRIBE ""\n')
    options = {"include": str(as_before_redis_7)}
    with cluster_servers(
        tmp_path, failure_ms=PATIENCE_MS, primaries=2, replicas=0, options=options
    ) as servers:
        point_at(servers.url)
        services.conversations().create(new("c-1"))
        with live_server(loop, compare_seconds=3600) as port:
            viewer = Viewer(loop, port, "c-1").connect().wait_for(lambda self: self.copy)
            append("c-1", "m-1")
            viewer.wait_for(lambda self: shown(self) == ["m-1"])
            plain = [
                one.client.execute_command("PUBSUB CHANNELS", changes_channel("c-1"))
                for one in servers.servers
            ]
            viewer.close()
        assert sum(map(len, plain)) == 1
