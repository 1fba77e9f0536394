"""Conversations on a Redis Cluster, where the index is in another slot."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from time_machine import Traveller

from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.client import StoreClient
from sessions_store.redis.connections import connection_options
from tests.agent_conversations.store.records import (
    index_key,
    index_members,
    listed_ids,
    new,
    said,
    write_legacy,
)
from tests.faults.servers import free_port
from tests.waiting import wait_until


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A plain client of a cluster of one node, which refuses commands across slots."""
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "appendonly": "no"}
    with EmbeddedServer(tmp_path_factory.mktemp("cluster"), options) as server:
        client: Any = Redis.from_url(server.url, **connection_options())
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        yield client
        client.close()


def test_no_command_crosses_the_slots_of_a_cluster(cluster: Redis, clock: Traveller) -> None:
    conversations = ConversationRepository(StoreClient(cluster), index_in_same_step=False)
    ids = ["a", "b", "c", "d"]
    slots = {key_slot(keys.conversation_key(one).encode()) for one in ids}
    assert len(slots) == len(ids)

    for number, conversation_id in enumerate(ids):
        conversations.create(new(conversation_id))
        for _ in range(number):
            conversations.append_message(conversation_id, said())
    conversations.create(new(agent_id="x"), idempotency_key="k")
    replay = conversations.create(new(agent_id="x"), idempotency_key="k")
    assert replay.replayed
    conversations.delete(replay.conversation.conversation_id)
    conversations.update("a", ConversationChanges(agent_id="x"))
    write_legacy(cluster)
    conversations.append_message("older", said("four"))

    assert listed_ids(conversations, sort_by="messageCount", sort_order="asc") == [*ids, "older"]
    assert listed_ids(conversations, sort_by="createdAt", sort_order="asc", limit=1) == ["older"]
    clock.shift(1)
    assert conversations.get("d").message_count == 3
    clock.shift(1)
    assert conversations.list_messages("c", limit=1).next
    assert listed_ids(conversations, limit=2) == ["c", "d"]

    cluster.delete(*keys.record_keys("b"))
    page = conversations.list(sort_by="messageCount", sort_order="asc")
    assert [one.conversation_id for one in page.conversations] == ["a", "c", "d", "older"]
    assert page.total == 4
    for conversation_id in ("a", "c", "d", "older"):
        conversations.delete(conversation_id)
    remembered = (b":idempotency:", b":deleted")
    assert [key for key in cluster.scan_iter() if not any(map(key.__contains__, remembered))] == []


def test_lost_index_of_a_cluster_can_be_rebuilt(
    cluster: Redis,
) -> None:
    conversations = ConversationRepository(
        StoreClient(cluster), index_in_same_step=False, retention_seconds=600
    )
    for conversation_id in ("a", "b"):
        conversations.create(new(conversation_id))
    cluster.delete(*keys.INDEX_KEYS)
    cluster.zadd(index_key("createdAt"), {"orphan": 1})

    result = ConversationMaintenance(conversations).reindex(lambda _: None)

    assert (result.listed, result.orphans) == (2, 1)
    assert sorted(listed_ids(conversations)) == ["a", "b"]
    assert [sorted(members) for members in index_members(cluster)] == [[b"a", b"b"]] * 3
