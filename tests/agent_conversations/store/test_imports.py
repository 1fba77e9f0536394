"""Conversations of the earlier service, stored here."""

from typing import Any

import pytest
from redis import Redis

from agent_conversations.store import foreign_records
from agent_conversations.store.imports import import_from_node
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import index_key, said
from tests.agent_conversations.store.test_maintenance import ignore, legacy_json


@pytest.fixture
def node(store: StoreClient, raw_redis: Redis) -> StoreClient:
    raw_redis.set("agent:conversation:older-1", legacy_json())
    raw_redis.set("agent:conversation:older-2", legacy_json(conversationId="older-2"))
    raw_redis.sadd("agent:conversations:list", "older-1", "older-gone")
    return store


def test_import_copies_every_conversation_and_keeps_the_source(
    node: StoreClient,
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
) -> None:
    result = import_from_node(node, maintenance, ignore)

    assert (result.imported, result.present, result.missing) == (2, 0, 1)
    found = {one.conversation_id: one for one in conversations.list().conversations}
    assert found.keys() == {"older-1", "older-2"}
    older = found["older-1"]
    assert [message.content for message in older.messages] == ["first", "second"]
    assert [message.message_id for message in older.messages] == ["legacy-0", "own-id"]
    assert older.metadata == {"empty": [], "big": 12345678901234567890123}
    assert older.last_accessed_at == "2025-02-03T04:05:06.000Z"
    assert raw_redis.exists("agent:conversation:older-1"), "the source is left as it is"


def test_import_lists_conversations_by_message_count(
    node: StoreClient,
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
) -> None:
    import_from_node(node, maintenance, ignore)

    counts: Any = raw_redis.zrange(index_key("messageCount"), 0, -1, withscores=True)
    found = {conversation_id.decode(): count for conversation_id, count in counts}
    assert found == {one: conversations.get(one).message_count for one in found}
    assert set(found.values()) >= {2.0}


def test_repeated_import_changes_nothing(
    node: StoreClient, conversations: ConversationRepository, maintenance: ConversationMaintenance
) -> None:
    import_from_node(node, maintenance, ignore)
    conversations.append_message("older-1", said("since then"))

    result = import_from_node(node, maintenance, ignore)

    assert (result.imported, result.present) == (0, 2)
    assert conversations.get("older-1").message_count == 3


def test_dry_run_of_an_import_writes_nothing(
    node: StoreClient, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    before = sorted(raw_redis.keys())

    result = import_from_node(node, maintenance, ignore, dry_run=True)

    assert result.imported == 2
    assert sorted(raw_redis.keys()) == before


def test_import_names_unreadable_records_and_continues(
    node: StoreClient, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    raw_redis.set("agent:conversation:broken", "{")
    raw_redis.set("agent:conversation:bad id", legacy_json())
    raw_redis.set(
        "agent:conversation:impossible",
        legacy_json(createdAt=1e20, lastAccessedAt=None, messages=[]),
    )
    raw_redis.hset("agent:conversation:hash", "a", "b")
    raw_redis.set(b"agent:conversation:\xff", legacy_json())

    result = import_from_node(node, maintenance, ignore)

    assert result.imported == 2
    assert result.unreadable == {
        "bad id": "has an invalid id",
        "broken": "is not JSON",
        "hash": "is no string in Redis",
        "impossible": "has no time",
    }
    assert result.missing == 2


ODD_MESSAGES: list[Any] = [
    {"role": "user", "content": None, "timestamp": 1738555446},
    {"role": "agent", "content": {"text": "Hi"}, "timestamp": 1738555447123},
    {"role": "tool", "content": "", "toolOutput": {"n": 10**20}, "status": "success"},
    {"role": "narrator", "content": "x", "messageId": "i" * 257, "status": "queued"},
    "no object",
    {"role": "user", "content": "y", "messageId": 7, "source": "fax", "toolArgs": [1]},
    {"role": "user", "content": "z", "timestamp": True, "messageId": True, "interrupted": "yes"},
    {"role": "tool", "content": "", "toolCallId": [1], "originalContent": 5, "timeInCallSecs": -1},
]


def test_import_keeps_odd_messages_and_tells_each_change(
    store: StoreClient,
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
) -> None:
    record = legacy_json(
        messages=ODD_MESSAGES, createdAt=1738555446, title="Today", status="open", agentId=5
    )
    raw_redis.set("agent:conversation:odd", record)

    result = import_from_node(store, maintenance, ignore)

    assert (result.imported, result.unreadable) == (1, {})
    found = conversations.get("odd")
    assert [message.content for message in found.messages] == [
        "",
        '{"text":"Hi"}',
        "",
        "x",
        "y",
        "z",
        "",
    ]
    roles = [message.role for message in found.messages]
    assert roles == ["user", "assistant", "tool", "system", "user", "user", "tool"]
    assert found.created_at == "2025-02-03T04:04:06.000Z"
    assert found.messages[0].timestamp == "2025-02-03T04:04:06.000Z"
    assert found.messages[1].timestamp == "2025-02-03T04:04:07.123Z"
    assert found.messages[2].tool_output == '{"n":100000000000000000000}'
    assert [message.status for message in found.messages[2:4]] == ["completed", None]
    assert found.messages[4].tool_args == {"value": [1]}
    assert found.messages[5].message_id != "True"
    assert found.messages[6].original_content == "5"
    assert found.agent_id == "5"
    assert found.metadata is not None
    assert (found.metadata["title"], found.metadata["status"]) == ("Today", "open")
    assert {(one.message, one.field) for one in result.changes["odd"]} == {
        (None, "agentId"),
        (None, "title"),
        (None, "status"),
        (0, "content"),
        (1, "role"),
        (1, "content"),
        (2, "toolOutput"),
        (2, "status"),
        (3, "role"),
        (3, "messageId"),
        (3, "status"),
        (4, "message"),
        (5, "messageId"),
        (5, "source"),
        (5, "toolArgs"),
        (6, "timestamp"),
        (6, "messageId"),
        (6, "interrupted"),
        (7, "toolCallId"),
        (7, "originalContent"),
        (7, "timeInCallSecs"),
    }


def test_import_knows_every_field_of_a_message() -> None:
    assert foreign_records.FIXES.keys() == {
        field.alias for field in AgentMessage.model_fields.values()
    }


def test_import_takes_no_time_before_1970(
    store: StoreClient,
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
) -> None:
    none = "0001-01-01T00:00:00Z"  # Go's time.Time without a value
    messages = [{"role": "user", "content": "x", "timestamp": one} for one in (none, 1738555446)]
    record = legacy_json(messages=messages, createdAt=none, lastAccessedAt=none)
    raw_redis.set("agent:conversation:go", record)

    result = import_from_node(store, maintenance, ignore)

    found = conversations.get("go")
    assert {message.timestamp for message in found.messages} == {"2025-02-03T04:04:06.000Z"}
    assert found.created_at == "2025-02-03T04:04:06.000Z"
    assert {(one.message, one.field) for one in result.changes["go"]} == {
        (None, "createdAt"),
        (None, "lastAccessedAt"),
        (0, "timestamp"),
    }


def test_sound_record_is_imported_without_a_change(
    node: StoreClient, maintenance: ConversationMaintenance
) -> None:
    assert import_from_node(node, maintenance, ignore).changes == {}
