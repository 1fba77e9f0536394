"""The index in shards: what a page is merged from, and how their number changes."""

import threading
from typing import Any

import pytest
from redis import Redis

from agent_conversations.store import index, keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import SortOrder
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import SORT_ORDERS, listed_ids, new, said

OWNED: dict[str, Any] = {"agent_id": "a", "user_id": "u"}


@pytest.fixture
def shards() -> int:
    return 4


def ignore(_: int) -> None:
    """Stand in for a progress bar."""


def tags_in(redis: Redis) -> set[str]:
    """Return the hash tags of all sorted sets of the index."""
    found = (keys.tag_and_owner(key.decode()) for key in redis.scan_iter())
    return {each[0] for each in found if each}


@pytest.mark.parametrize("sort_order", SORT_ORDERS)
def test_every_offset_of_a_merged_list_is_found(
    conversations: ConversationRepository, monkeypatch: pytest.MonkeyPatch, sort_order: SortOrder
) -> None:
    monkeypatch.setattr(index, "AT_ONCE", 3)
    ids = [f"c-{number:02d}" for number in range(30)]
    for number, conversation_id in enumerate(ids):
        conversations.create(new(conversation_id))
        for _ in range(number // 10):  # so that ten share a value
            conversations.append_message(conversation_id, said())
    expected = ids if sort_order == "asc" else ids[::-1]

    for offset in range(31):
        page = conversations.list(
            limit=2, offset=offset, sort_by="messageCount", sort_order=sort_order
        )
        assert [one.conversation_id for one in page.conversations] == expected[offset : offset + 2]
        assert (page.total, page.offset) == (30, offset)
        assert (page.next is None) == (offset >= 28)
    assert conversations.list(offset=10**17).offset == 10**17


@pytest.mark.parametrize("other", [1, 7])
def test_cursor_means_the_same_in_any_number_of_shards(
    conversations: ConversationRepository, store: StoreClient, other: int
) -> None:
    ids = [f"c-{number}" for number in range(9)]
    for conversation_id in ids:
        conversations.create(new(conversation_id))
    query: dict[str, Any] = {"limit": 4, "sort_by": "messageCount", "sort_order": "asc"}
    first = conversations.list(**query)

    resharded = ConversationRepository(store, index_shards=other)
    ConversationMaintenance(resharded).reindex(ignore)
    second = resharded.list(cursor=first.next, **query)

    assert [one.conversation_id for one in second.conversations] == ids[4:8]
    assert (second.total, second.offset) == (9, 4)


def test_entry_in_the_shard_of_others_is_removed(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("c-1"))
    for tag in keys.index_tags(4):
        raw_redis.zadd(keys.index_keys(None, None, tag)[0], {"c-1": 1})

    assert listed_ids(conversations, sort_by="createdAt") == ["c-1"]
    assert conversations.list(sort_by="createdAt").total == 1


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (4, 8)])
def test_reindex_moves_the_list_to_another_number_of_shards(
    store: StoreClient, raw_redis: Redis, before: int, after: int
) -> None:
    old = ConversationRepository(store, index_shards=before)
    ids = {f"c-{number}" for number in range(40)}
    for conversation_id in ids:
        old.create(new(conversation_id, **OWNED), idempotency_key="kept")
    old.create(idempotency_key="kept")
    new_one = ConversationRepository(store, index_shards=after)
    assert new_one.list().total == 0

    ConversationMaintenance(new_one).reindex(ignore, keep_other_shards=True)
    assert old.list(**OWNED).total == new_one.list(**OWNED).total == 40
    ConversationMaintenance(new_one).reindex(ignore)

    assert (old.list().total, new_one.list().total) == (0, 41)
    assert set(listed_ids(new_one, limit=200, **OWNED)) == ids
    assert tags_in(raw_redis) == set(keys.index_tags(after))
    assert new_one.create(idempotency_key="kept").replayed


def test_entries_of_all_shards_are_compared_with_records(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    for number in range(20):
        conversations.create(new(f"c-{number}"))
    lost, kept = (keys.index_keys(None, None, tag) for tag in keys.index_tags(4)[:2])
    unlisted = raw_redis.zcard(lost[0])
    raw_redis.delete(*lost)
    deleted: Any = raw_redis.zrange(kept[0], 0, 0)[0]
    raw_redis.delete(*keys.record_keys(deleted.decode()))

    found = maintenance.compare_index(ignore)

    assert (found.entries, found.records) == (20 - unlisted, 19)
    assert (found.records_without_entry, found.entries_without_record) == (unlisted, 1)
    assert unlisted > 0


def test_reindex_under_writers_moves_every_conversation(real_store: StoreClient) -> None:
    old = ConversationRepository(real_store)
    for number in range(200):
        old.create(new(f"old-{number}"))
    resharded = ConversationRepository(real_store, index_shards=4)
    over = threading.Event()
    created: list[str] = []

    def write() -> None:
        while not over.is_set():
            name = f"new-{len(created)}"
            resharded.create(new(name))
            resharded.append_message(f"old-{len(created) % 200}", said())
            created.append(name)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ConversationMaintenance(resharded).reindex(ignore)
    finally:
        over.set()
        writer.join()

    page = resharded.list(limit=10_000)
    assert created
    assert page.total == len(page.conversations) == 200 + len(created)
