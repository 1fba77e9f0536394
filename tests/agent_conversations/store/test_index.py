"""The index: in step with the records, and repaired where it is not."""

from collections.abc import Callable
from functools import partial

import pytest
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import (
    SORT_FIELDS,
    index_key,
    index_members,
    listed_ids,
    new,
    said,
    uses,
)
from tests.agent_conversations.store.threads import run_together


def test_list_removes_orphaned_index_entries(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    for conversation_id in ("a", "b", "c", "d"):
        conversations.create(new(conversation_id))
    raw_redis.delete(*keys.record_keys("b"), *keys.record_keys("c"))

    page = conversations.list(sort_by="createdAt", sort_order="asc", limit=2)

    assert [one.conversation_id for one in page.conversations] == ["a", "d"]
    assert page.total == 2
    assert [sorted(members) for members in index_members(raw_redis)] == [[b"a", b"d"]] * 3


def test_list_removes_thousands_of_expired_entries(store: StoreClient, raw_redis: Redis) -> None:
    conversations = ConversationRepository(store, retention_seconds=600)
    conversations.create(new("mine"))
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {f"old-{number}": 1000 for number in range(2500)})

    page = conversations.list()

    assert [one.conversation_id for one in page.conversations] == ["mine"]
    assert page.total == 1
    assert index_members(raw_redis) == [[b"mine"]] * 3


def test_list_removes_invalid_index_members(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    conversations.create(new("c-1"))
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {b"\xff\xfe": 1, b"an id": 2})

    page = conversations.list(sort_order="asc", limit=1)

    assert ([one.conversation_id for one in page.conversations], page.total) == (["c-1"], 1)
    assert index_members(raw_redis) == [[b"c-1"]] * 3


def test_cleanup_removes_orphaned_entries_and_invalid_members(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    conversations.create(new("c-1"))
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {b"\xff\xfe": 1, b"an id": 2, b"orphan": 3})

    assert maintenance.reindex(lambda _: None).orphans == 3
    assert index_members(raw_redis) == [[b"c-1"]] * 3


def test_every_use_lists_a_missing_conversation_again(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    for use in uses(conversations, "mine", partial(maintenance.index, "mine")):
        raw_redis.delete(*keys.INDEX_KEYS)
        assert listed_ids(conversations) == []

        use()

        for field in SORT_FIELDS:
            assert listed_ids(conversations, sort_by=field) == ["mine"]


@pytest.mark.parametrize(
    "use",
    [
        lambda conversations: conversations.get("c-1"),
        lambda conversations: conversations.list_messages("c-1"),
        lambda conversations: conversations.update("c-1", ConversationChanges(agent_id="b")),
        lambda conversations: conversations.append_message("c-1", said("two", messageId="m-2")),
        lambda conversations: conversations.create(new("c-1")),
        lambda conversations: ConversationMaintenance(conversations).index("c-1"),
    ],
    ids=["get", "list_messages", "update", "append again", "create again", "index"],
)
def test_every_use_restores_the_scores_of_a_lost_index(
    conversations: ConversationRepository,
    raw_redis: Redis,
    use: Callable[[ConversationRepository], object],
) -> None:
    conversations.create(new("c-1"))
    conversations.append_message("c-1", said("one"))
    conversations.append_message("c-1", said("two", messageId="m-2"))
    created = raw_redis.zscore(index_key("createdAt"), "c-1")
    raw_redis.delete(*keys.INDEX_KEYS)

    use(conversations)

    accessed = float(raw_redis.hget(keys.conversation_key("c-1"), "lastAccessedAt") or 0)
    assert [raw_redis.zscore(key, "c-1") for key in keys.INDEX_KEYS] == [created, accessed, 2.0]


def test_record_and_index_agree_after_concurrent_uses(
    real_redis: Redis, real_conversations: ConversationRepository
) -> None:
    real_conversations.create(new("mine"))

    def use() -> None:
        for _ in range(20):
            real_conversations.append_message("mine", said())
            real_conversations.get("mine")

    run_together(*[use] * 4)

    record = real_redis.hgetall(keys.conversation_key("mine"))
    accessed = real_redis.zscore(index_key("lastAccessedAt"), "mine")
    assert accessed == int(record[b"lastAccessedAt"])
    assert real_redis.zscore(index_key("messageCount"), "mine") == 80
