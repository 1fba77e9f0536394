"""The lists of one agent's and one user's conversations."""

from itertools import chain
from typing import Any

import pytest
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import (
    LEGACY_RECORD,
    SORT_FIELDS,
    listed_ids,
    new,
    said,
    write_legacy,
)
from tests.waiting import wait_until


@pytest.fixture(params=[1, 4])
def shards(request: pytest.FixtureRequest) -> int:
    return int(request.param)


ALL_OWNERS = [(None, None), ("a", None), (None, "u"), ("a", "u")]
OWNERS: list[dict[str, Any]] = [
    {"agent_id": "a"},
    {"user_id": "u"},
    {"agent_id": "a", "user_id": "u"},
]


def lists_of(shards: int, agent_id: str | None = None, user_id: str | None = None) -> list[Any]:
    """Return the three sorted sets of each shard."""
    return [keys.index_keys(agent_id, user_id, tag) for tag in keys.index_tags(shards)]


def members_of(redis: Redis, shards: int, **owners: str) -> list[list[Any]]:
    """Return the members of each of the three, those of all shards together."""
    return [
        [member for key in alike for member in redis.zrange(key, 0, -1)]
        for alike in zip(*lists_of(shards, **owners), strict=True)
    ]


def scores_of(
    redis: Redis, shards: int, conversation_id: str, *owners: str | None
) -> list[float | None]:
    """Return the conversation's three scores, from the one shard that has them."""
    found = [
        [redis.zscore(key, conversation_id) for key in one] for one in lists_of(shards, *owners)
    ]
    return max(found, key=lambda scores: scores.count(None) == 0)


def write_as_release_1_2(redis: Redis, shards: int, conversation_id: str, **fields: Any) -> None:
    """Store a conversation of two messages as the last release did, which had no such lists."""
    times: dict[Any, Any] = {"createdAt": 1_795_450_845_123, "lastAccessedAt": 1_795_450_846_000}
    message = (
        b'{"role":"user","content":"Hi","source":"text","messageId":"%d",'
        b'"timestamp":"2026-11-23T16:20:45.123Z"}'
    )
    messages = [message % number for number in (1, 2)]
    record, message_list, message_ids = keys.record_keys(conversation_id)
    stored: dict[Any, Any] = {
        **times,
        "schemaVersion": 1,
        "revision": "0123456789abcdef",
        "requestDigest": "d" * 32,
        "messageBytes": sum(map(len, messages)),
        **fields,
    }
    redis.hset(record, mapping=stored)
    redis.rpush(message_list, *messages)
    redis.hset(message_ids, mapping={"1": 0, "2": 1})
    for one in lists_of(shards):  # of which all but its own drop it
        for key, score in zip(one, (*times.values(), 2), strict=True):
            redis.zadd(key, {conversation_id: score})


@pytest.mark.parametrize("owners", OWNERS)
def test_list_of_an_owner_has_only_the_owners_conversations(
    conversations: ConversationRepository, owners: dict[str, Any]
) -> None:
    for agent_id in ("a", "b", None):
        for user_id in ("u", "v", None):
            conversations.create(new(f"{agent_id}-{user_id}", agent_id=agent_id, user_id=user_id))

    for sort_by in SORT_FIELDS:
        page = conversations.list(sort_by=sort_by, **owners)
        found = {(one.agent_id, one.user_id) for one in page.conversations}
        assert len(page.conversations) == page.total == (3 if len(owners) == 1 else 1)
        assert all(one[0] == "a" for one in found if "agent_id" in owners)
        assert all(one[1] == "u" for one in found if "user_id" in owners)


def test_list_of_an_unknown_owner_is_empty(conversations: ConversationRepository) -> None:
    conversations.create(new("c-1", agent_id="a"))

    page = conversations.list(agent_id="other", user_id="u")

    assert (page.conversations, page.total, page.next) == ([], 0, None)


def test_change_of_owners_moves_a_conversation_at_once(
    conversations: ConversationRepository, raw_redis: Redis, shards: int
) -> None:
    conversations.create(new("c-1", agent_id="a", user_id="u"))
    conversations.append_message("c-1", said())

    conversations.update("c-1", ConversationChanges.parse({"agentId": "b", "userId": None}))

    assert listed_ids(conversations, agent_id="b", sort_by="messageCount") == ["c-1"]
    scores = scores_of(raw_redis, shards, "c-1", "b")
    assert scores == scores_of(raw_redis, shards, "c-1")
    assert None not in scores
    for owners in OWNERS:
        assert members_of(raw_redis, shards, **owners) == [[], [], []]


def test_deleted_conversation_is_in_no_list(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("c-1", agent_id="a", user_id="u"))

    conversations.delete("c-1")

    assert raw_redis.keys() == []


def test_list_of_an_owner_heals_from_what_others_left(
    conversations: ConversationRepository, raw_redis: Redis, shards: int
) -> None:
    conversations.create(new("mine", agent_id="a", user_id="u"))
    conversations.create(new("changed", agent_id="b"))
    # An earlier release changed and deleted conversations without knowing of these lists.
    for owners in OWNERS:
        for key in chain.from_iterable(lists_of(shards, **owners)):
            raw_redis.zadd(key, {b"changed": 1, b"deleted": 2, b"\xff": 3})

    for owners in OWNERS:
        page = conversations.list(sort_order="asc", limit=1, **owners)
        assert [one.conversation_id for one in page.conversations] == ["mine"]
        assert (page.total, page.next) == (1, None)
        assert members_of(raw_redis, shards, **owners) == [[b"mine"]] * 3
    assert listed_ids(conversations, agent_id="b") == ["changed"]


def test_next_access_restores_lost_lists_of_owners(
    conversations: ConversationRepository, raw_redis: Redis, shards: int
) -> None:
    conversations.create(new("c-1", agent_id="a", user_id="u"))
    conversations.append_message("c-1", said())
    for owners in ALL_OWNERS:
        for one in lists_of(shards, *owners):
            raw_redis.delete(*one)

    conversations.get("c-1")

    for owners in ALL_OWNERS:
        scores = scores_of(raw_redis, shards, "c-1", *owners)
        assert scores == scores_of(raw_redis, shards, "c-1")
        assert None not in scores


def test_reindex_builds_the_lists_for_existing_data(
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
    shards: int,
) -> None:
    for number in range(5):
        write_as_release_1_2(raw_redis, shards, f"c-{number}", agentId="a" if number % 2 else "b")
    write_legacy(raw_redis, {**LEGACY_RECORD, "agentId": "a", "userId": "u"})
    for key in chain.from_iterable(lists_of(shards, "b")):
        raw_redis.zadd(key, {"c-1": 1, "deleted": 2})
    assert listed_ids(conversations, sort_by="createdAt") == [f"c-{n}" for n in (4, 3, 2, 1, 0)]

    result = maintenance.reindex(lambda _: None)

    assert (result.listed, result.unreadable) == (6, [])
    assert result.orphans == 6 * shards
    for sort_by in SORT_FIELDS:
        assert set(listed_ids(conversations, sort_by=sort_by, agent_id="a")) == {
            "c-1",
            "c-3",
            "older",
        }
        assert listed_ids(conversations, sort_by=sort_by, agent_id="a", user_id="u") == ["older"]
    assert raw_redis.type(keys.conversation_key("older")) == b"string"


def test_reindex_restores_a_lost_sorted_set_of_an_owner(
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
    shards: int,
) -> None:
    conversations.create(new("c-1", agent_id="a", user_id="u"))
    before = scores_of(raw_redis, shards, "c-1")

    for owners in ALL_OWNERS[1:]:
        for alike in zip(*lists_of(shards, *owners), strict=True):
            for lost in alike:
                raw_redis.delete(lost)
            maintenance.reindex(lambda _: None)
            assert scores_of(raw_redis, shards, "c-1", *owners) == before


def test_conversations_of_the_last_release_work_before_reindex(
    conversations: ConversationRepository, raw_redis: Redis, shards: int
) -> None:
    for conversation_id in ("read", "written", "left"):
        write_as_release_1_2(raw_redis, shards, conversation_id, agentId="a")

    assert [one.message_count for one in conversations.list().conversations] == [2, 2, 2]
    assert conversations.get("read").message_count == 2
    assert conversations.append_message("written", said()).message_count == 3
    assert conversations.append_message("written", said("Hi", messageId="2")).replayed

    # What has been accessed since is in its agent's list, with every order.
    for sort_by in SORT_FIELDS:
        assert set(listed_ids(conversations, sort_by=sort_by, agent_id="a")) == {"read", "written"}
    conversations.delete("left")
    assert conversations.list().total == 2


def test_lists_of_owners_end_with_their_last_conversation(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store, retention_seconds=1)
    for number in range(3):
        conversations.create(new(f"c-{number}", agent_id="a", user_id=f"u-{number}"))

    wait_until(
        lambda: not (real_redis.keys("*:agentId:*") or real_redis.keys("*:userId:*")),
        "the lists did not expire",
    )

    assert conversations.list(agent_id="a").total == conversations.list().total == 0
    assert real_redis.keys() == []


def test_use_after_a_lifted_retention_keeps_the_lists_of_owners(
    store: StoreClient, raw_redis: Redis
) -> None:
    ConversationRepository(store, retention_seconds=600).create(new("c-1", agent_id="a"))
    lists = keys.index_keys("a", None)
    assert all(0 < raw_redis.pttl(key) <= 600_000 for key in lists)

    ConversationRepository(store).get("c-1")

    assert [raw_redis.pttl(key) for key in lists] == [-1, -1, -1]
