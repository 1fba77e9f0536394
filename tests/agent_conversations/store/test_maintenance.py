"""What an operator does to all records at once."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis

from agent_conversations import services
from agent_conversations.store import keys
from agent_conversations.store.maintenance import (
    Compared,
    ConversationMaintenance,
    Unreadable,
    find_corrupt,
)
from agent_conversations.store.repository import ConversationRepository
from sessions_store.keys import CONVERSATION_PREFIX
from sessions_store.redis.client import StoreClient
from sessions_store.redis.commands import Command
from sessions_store.repository import SessionRepository
from tests.agent_conversations.store.records import index_key, new, said


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
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    ids = fill(conversations, 6)
    raw_redis.zrem(index_key("createdAt"), *ids[:2])
    raw_redis.delete(keys.conversation_key(ids[5]))
    before = index_of(raw_redis)

    found = maintenance.compare_index(ignore)

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
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    ids = fill(conversations, 60)
    before = index_of(raw_redis)
    raw_redis.delete(*keys.INDEX_KEYS)

    result = maintenance.reindex(ignore)

    assert result.listed == len(ids)
    assert index_of(raw_redis) == before


def test_reindex_removes_orphaned_index_entries(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    fill(conversations, 3)
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {"orphan": 1.0})

    result = maintenance.reindex(ignore)

    assert result.orphans > 0
    assert conversations.list().total == 3


def test_reindex_lists_legacy_records_without_converting_them(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    raw_redis.set("elevenlabs:conversation:older-1", legacy_json())

    maintenance.reindex(ignore)
    page = conversations.list()

    assert [one.conversation_id for one in page.conversations] == ["older-1"]
    assert page.conversations[0].last_accessed_at == "2025-02-03T04:05:06.000Z"
    assert raw_redis.type("elevenlabs:conversation:older-1") == b"string"


def test_reindex_names_unreadable_records_and_continues(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    fill(conversations, 2)
    raw_redis.set("elevenlabs:conversation:broken", "{")

    result = maintenance.reindex(ignore)

    assert result.unreadable == ["broken"]
    assert result.listed == 2


def test_reindex_applies_a_new_retention_to_every_record(
    store: StoreClient, raw_redis: Redis
) -> None:
    conversations = ConversationRepository(store)
    fill(conversations, 2)
    kept_a_day = ConversationRepository(store, retention_seconds=86_400)

    ConversationMaintenance(kept_a_day).reindex(ignore)
    expiring = [raw_redis.ttl(f"elevenlabs:conversation:conversation-{n:03d}") for n in (0, 1)]
    ConversationMaintenance(conversations).reindex(ignore)
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
    maintenance = ConversationMaintenance(conversations)
    (*_, damaged) = fill(conversations, 3)
    if lost == ["one"]:
        raw_redis.rpop(keys.messages_key(damaged))
    names = {"messages": keys.messages_key(damaged), "ids": keys.message_ids_key(damaged)}
    raw_redis.delete("-", *(names[one] for one in lost if one in names))

    assert maintenance.reindex(ignore).unreadable == [damaged]
    result = maintenance.reindex(ignore, repair=True)

    assert list(result.repaired) == [damaged]
    assert (result.listed, result.unreadable) == (3, [])
    found = conversations.get(damaged)
    assert [message.content for message in found.messages] == left
    for message in found.messages:
        assert conversations.append_message(damaged, message).replayed
    conversations.append_message(damaged, said("since then"))
    assert list(find_corrupt(maintenance, sessions, ignore)) == []
    assert maintenance.reindex(ignore, repair=True).repaired == {}


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

    ConversationMaintenance(ConversationRepository(store)).repair(store.damaged)

    assert real_redis.hexists(keys.message_ids_key(store.damaged), "new")
    assert store.others.append_message(store.damaged, said("since then", messageId="new")).replayed
    ConversationMaintenance(store.others).verify(store.damaged)


def test_repair_leaves_what_cannot_be_read(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    (*_, damaged) = fill(conversations, 3)
    raw_redis.delete(keys.message_ids_key(damaged))
    raw_redis.lset(keys.messages_key(damaged), 0, "{")

    result = maintenance.reindex(ignore, repair=True)

    assert (result.unreadable, result.repaired) == ([damaged], {})
    assert raw_redis.lrange(keys.messages_key(damaged), 0, 0) == [b"{"]


def test_find_corrupt_finds_every_kind_of_damage_and_nothing_else(
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    sessions: SessionRepository,
    raw_redis: Redis,
) -> None:
    fill(conversations, 3)
    raw_redis.rpush(keys.messages_key("conversation-000"), "not json")
    raw_redis.hdel(keys.conversation_key("conversation-001"), "createdAt")
    raw_redis.lpush("elevenlabs:conversation:a-list", "x")
    raw_redis.set("elevenlabs:conversation:older", "[]")
    raw_redis.hset(keys.conversation_key("conversation-002"), "metadata", "{")
    raw_redis.set("elevenlabs:session:broken", '{"secret": "words"')

    found = {(one.kind, one.record_id) for one in find_corrupt(maintenance, sessions, ignore)}

    assert found == {
        ("conversation", "conversation-000"),
        ("conversation", "conversation-001"),
        ("conversation", "conversation-002"),
        ("conversation", "a-list"),
        ("conversation", "older"),
        ("session", "broken"),
    }


def test_find_corrupt_finds_nothing_in_sound_records(
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    sessions: SessionRepository,
    raw_redis: Redis,
) -> None:
    fill(conversations, 3)
    raw_redis.set("elevenlabs:conversation:older", legacy_json())

    assert list(find_corrupt(maintenance, sessions, ignore)) == []


def test_find_corrupt_reports_undecodable_keys_and_impossible_times(real_service: Redis) -> None:
    real_service.set(b"elevenlabs:session:\xff", "{}")
    real_service.set("elevenlabs:session:late", '{"wsUrl":"wss://h","createdAt":1e20}')

    found = list(find_corrupt(services.maintenance(), services.sessions(), ignore))

    assert sorted(one.record_id for one in found) == ["\\xff", "late"]


def test_find_corrupt_reports_an_invalid_id(
    maintenance: ConversationMaintenance, sessions: SessionRepository, raw_redis: Redis
) -> None:
    raw_redis.hset(f"{CONVERSATION_PREFIX}an id", "createdAt", 1)

    found = list(find_corrupt(maintenance, sessions, ignore))

    assert found == [Unreadable("conversation", "an id", "has an invalid id")]


def test_verify_changes_nothing(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said())
    before = raw_redis.hgetall(keys.conversation_key("mine"))

    maintenance.verify("mine")

    assert raw_redis.hgetall(keys.conversation_key("mine")) == before
