"""What an operator does to all records at once."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis

from agent_conversations import services
from agent_conversations.store import foreign_records, keys
from agent_conversations.store.maintenance import (
    Compared,
    compare_index,
    find_corrupt,
    import_from_node,
    reindex,
)
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage
from sessions_store.redis.client import Command, StoreClient
from sessions_store.repository import SessionRepository
from tests.agent_conversations.store.records import new, said


def ignore(_: int) -> None:
    """Stand in for a progress bar."""


def fill(conversations: ConversationRepository, count: int) -> list[str]:
    ids = [f"conversation-{number:03d}" for number in range(count)]
    for number, conversation_id in enumerate(ids):
        conversations.create(new(conversation_id))
        for position in range(number % 3):
            conversations.append_message(conversation_id, said(f"message {position}"))
    return ids


def index_of(redis: Redis) -> dict[str, Any]:
    return {key: redis.zrange(key, 0, -1, withscores=True) for key in keys.INDEX_KEYS}


def test_index_and_records_are_compared(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    ids = fill(conversations, 6)
    raw_redis.zrem(keys.index_key("createdAt"), *ids[:2])
    raw_redis.delete(keys.conversation_key(ids[5]))
    before = index_of(raw_redis)

    found = compare_index(conversations, ignore)

    assert found == Compared(
        entries=4, entries_without_record=1, records=5, records_without_entry=2, is_whole=True
    )
    assert index_of(raw_redis) == before


def legacy_json(**changes: Any) -> str:
    return json.dumps(
        {
            "conversationId": "older-1",
            "createdAt": "2025-01-02T03:04:05.000Z",
            "lastAccessedAt": "2025-02-03T04:05:06.000Z",
            "messages": [
                {"role": "user", "content": "first", "timestamp": "2025-01-02T03:04:06.000Z"},
                {"role": "assistant", "content": "second", "messageId": "own-id"},
            ],
            "metadata": {"empty": [], "big": 12345678901234567890123},
            **changes,
        }
    )


def test_reindex_rebuilds_a_lost_index_exactly(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    ids = fill(conversations, 60)
    before = index_of(raw_redis)
    raw_redis.delete(*keys.INDEX_KEYS)

    result = reindex(conversations, ignore)

    assert result.listed == len(ids)
    assert index_of(raw_redis) == before


def test_reindex_removes_orphaned_index_entries(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    fill(conversations, 3)
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {"orphan": 1.0})

    result = reindex(conversations, ignore)

    assert result.orphans > 0
    assert conversations.list().total == 3


def test_reindex_lists_legacy_records_without_converting_them(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    raw_redis.set("elevenlabs:conversation:older-1", legacy_json())

    reindex(conversations, ignore)
    page = conversations.list()

    assert [one.conversation_id for one in page.conversations] == ["older-1"]
    assert page.conversations[0].last_accessed_at == "2025-02-03T04:05:06.000Z"
    assert raw_redis.type("elevenlabs:conversation:older-1") == b"string"


def test_reindex_names_unreadable_records_and_continues(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    fill(conversations, 2)
    raw_redis.set("elevenlabs:conversation:broken", "{")

    result = reindex(conversations, ignore)

    assert result.unreadable == ["broken"]
    assert result.listed == 2


def test_reindex_applies_a_new_retention_to_every_record(
    store: StoreClient, raw_redis: Redis
) -> None:
    conversations = ConversationRepository(store)
    fill(conversations, 2)
    kept_a_day = ConversationRepository(store, retention_seconds=86_400)

    reindex(kept_a_day, ignore)
    expiring = [raw_redis.ttl(f"elevenlabs:conversation:conversation-{n:03d}") for n in (0, 1)]
    reindex(conversations, ignore)
    kept = [raw_redis.ttl(f"elevenlabs:conversation:conversation-{n:03d}") for n in (0, 1)]

    assert all(isinstance(ttl, int) and 86_000 < ttl <= 86_400 for ttl in expiring)
    assert kept == [-1, -1]


@pytest.mark.parametrize(
    ("lost", "left"),
    [
        (["messages", "ids"], []),
        (["messages"], []),
        (["ids"], ["message 0", "message 1"]),
        (["one"], ["message 0"]),
    ],
    ids=str,
)
def test_repair_makes_what_is_left_readable(
    conversations: ConversationRepository,
    sessions: SessionRepository,
    raw_redis: Redis,
    lost: list[str],
    left: list[str],
) -> None:
    (*_, damaged) = fill(conversations, 3)
    if lost == ["one"]:
        raw_redis.rpop(keys.messages_key(damaged))
    names = {"messages": keys.messages_key(damaged), "ids": keys.message_ids_key(damaged)}
    raw_redis.delete("-", *(names[one] for one in lost if one in names))

    assert reindex(conversations, ignore).unreadable == [damaged]
    result = reindex(conversations, ignore, repair=True)

    assert list(result.repaired) == [damaged]
    assert (result.listed, result.unreadable) == (3, [])
    found = conversations.get(damaged)
    assert [message.content for message in found.messages] == left
    for message in found.messages:
        assert conversations.append_message(damaged, message).replayed
    conversations.append_message(damaged, said("since then"))
    assert list(find_corrupt(conversations, sessions, ignore)) == []
    assert reindex(conversations, ignore, repair=True).repaired == {}


class _BusyStore(StoreClient):
    """Another service appends a message whenever something was read."""

    others: ConversationRepository
    damaged = ""

    def read_many(self, commands: Sequence[Command], *, one_moment: bool = False) -> Sequence[Any]:
        found = super().read_many(commands, one_moment=one_moment)
        self.others.append_message(self.damaged, said("since then", messageId="new"))
        return found


def test_repair_changes_nothing_that_was_written_since(
    real_store: StoreClient, real_redis: Redis
) -> None:
    store = _BusyStore(real_redis)
    store.others = ConversationRepository(real_store)
    (store.damaged, *_) = fill(store.others, 3)

    ConversationRepository(store).repair(store.damaged)

    assert real_redis.hexists(keys.message_ids_key(store.damaged), "new")
    assert store.others.append_message(store.damaged, said("since then", messageId="new")).replayed
    store.others.verify(store.damaged)


def test_repair_leaves_what_cannot_be_read(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    (*_, damaged) = fill(conversations, 3)
    raw_redis.delete(keys.message_ids_key(damaged))
    raw_redis.lset(keys.messages_key(damaged), 0, "{")

    result = reindex(conversations, ignore, repair=True)

    assert (result.unreadable, result.repaired) == ([damaged], {})
    assert raw_redis.lrange(keys.messages_key(damaged), 0, 0) == [b"{"]


def test_find_corrupt_finds_every_kind_of_damage_and_nothing_else(
    conversations: ConversationRepository, sessions: SessionRepository, raw_redis: Redis
) -> None:
    fill(conversations, 3)
    raw_redis.rpush(keys.messages_key("conversation-000"), "not json")
    raw_redis.hdel(keys.conversation_key("conversation-001"), "createdAt")
    raw_redis.lpush("elevenlabs:conversation:a-list", "x")
    raw_redis.set("elevenlabs:conversation:older", "[]")
    raw_redis.hset(keys.conversation_key("conversation-002"), "metadata", "{")
    raw_redis.set("elevenlabs:session:broken", '{"secret": "words"')

    found = {(one.kind, one.record_id) for one in find_corrupt(conversations, sessions, ignore)}

    assert found == {
        ("conversation", "conversation-000"),
        ("conversation", "conversation-001"),
        ("conversation", "conversation-002"),
        ("conversation", "a-list"),
        ("conversation", "older"),
        ("session", "broken"),
    }


def test_find_corrupt_finds_nothing_in_sound_records(
    conversations: ConversationRepository, sessions: SessionRepository, raw_redis: Redis
) -> None:
    fill(conversations, 3)
    raw_redis.set("elevenlabs:conversation:older", legacy_json())

    assert list(find_corrupt(conversations, sessions, ignore)) == []


def test_find_corrupt_reports_undecodable_keys_and_impossible_times(real_service: Redis) -> None:
    real_service.set(b"elevenlabs:session:\xff", "{}")
    real_service.set("elevenlabs:session:late", '{"wsUrl":"wss://h","createdAt":1e20}')

    found = list(find_corrupt(services.conversations(), services.sessions(), ignore))

    assert sorted(one.record_id for one in found) == ["\\xff", "late"]


@pytest.fixture
def node(store: StoreClient, raw_redis: Redis) -> StoreClient:
    raw_redis.set("agent:conversation:older-1", legacy_json())
    raw_redis.set("agent:conversation:older-2", legacy_json(conversationId="older-2"))
    raw_redis.sadd("agent:conversations:list", "older-1", "older-gone")
    return store


def test_import_copies_every_conversation_and_keeps_the_source(
    node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    result = import_from_node(node, conversations, ignore)

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
    node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    import_from_node(node, conversations, ignore)

    counts: Any = raw_redis.zrange(keys.index_key("messageCount"), 0, -1, withscores=True)
    found = {conversation_id.decode(): count for conversation_id, count in counts}
    assert found == {one: conversations.get(one).message_count for one in found}
    assert set(found.values()) >= {2.0}


def test_repeated_import_changes_nothing(
    node: StoreClient, conversations: ConversationRepository
) -> None:
    import_from_node(node, conversations, ignore)
    conversations.append_message("older-1", said("since then"))

    result = import_from_node(node, conversations, ignore)

    assert (result.imported, result.present) == (0, 2)
    assert conversations.get("older-1").message_count == 3


def test_dry_run_of_an_import_writes_nothing(
    node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    before = sorted(raw_redis.keys())

    result = import_from_node(node, conversations, ignore, dry_run=True)

    assert result.imported == 2
    assert sorted(raw_redis.keys()) == before


def test_import_names_unreadable_records_and_continues(
    node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    raw_redis.set("agent:conversation:broken", "{")
    raw_redis.set("agent:conversation:bad id", legacy_json())
    raw_redis.set(
        "agent:conversation:impossible",
        legacy_json(createdAt=1e20, lastAccessedAt=None, messages=[]),
    )
    raw_redis.hset("agent:conversation:hash", "a", "b")
    raw_redis.set(b"agent:conversation:\xff", legacy_json())

    result = import_from_node(node, conversations, ignore)

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
    store: StoreClient, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    record = legacy_json(
        messages=ODD_MESSAGES, createdAt=1738555446, title="Today", status="open", agentId=5
    )
    raw_redis.set("agent:conversation:odd", record)

    result = import_from_node(store, conversations, ignore)

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
    store: StoreClient, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    none = "0001-01-01T00:00:00Z"  # Go's time.Time without a value
    messages = [{"role": "user", "content": "x", "timestamp": one} for one in (none, 1738555446)]
    record = legacy_json(messages=messages, createdAt=none, lastAccessedAt=none)
    raw_redis.set("agent:conversation:go", record)

    result = import_from_node(store, conversations, ignore)

    found = conversations.get("go")
    assert {message.timestamp for message in found.messages} == {"2025-02-03T04:04:06.000Z"}
    assert found.created_at == "2025-02-03T04:04:06.000Z"
    assert {(one.message, one.field) for one in result.changes["go"]} == {
        (None, "createdAt"),
        (None, "lastAccessedAt"),
        (0, "timestamp"),
    }


def test_sound_record_is_imported_without_a_change(
    node: StoreClient, conversations: ConversationRepository
) -> None:
    assert import_from_node(node, conversations, ignore).changes == {}
