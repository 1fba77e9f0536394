"""Conversations that expire after their last access."""

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import listed_ids, new, said, server_ms, uses
from tests.waiting import wait_until


def test_every_use_restarts_the_retention(fake_redis: Redis, clock: Traveller) -> None:
    conversations = ConversationRepository(StoreClient(fake_redis), retention_seconds=60)
    conversations.create(new("mine"))
    for use in uses(conversations, "mine"):
        clock.shift(59)
        use()
        assert {fake_redis.pttl(key) for key in keys.record_keys("mine")} == {60_000}

    clock.shift(60.001)

    assert conversations.list().total == 0
    with pytest.raises(ConversationNotFoundError):
        conversations.get("mine")
    assert list(fake_redis.scan_iter()) == []


def test_list_does_not_restart_the_retention(fake_redis: Redis, clock: Traveller) -> None:
    conversations = ConversationRepository(StoreClient(fake_redis), retention_seconds=60)
    conversations.create(new("old"))
    clock.shift(40)
    conversations.create(new("young"))
    assert conversations.list().total == 2

    clock.shift(20.001)

    page = conversations.list()
    assert [one.conversation_id for one in page.conversations] == ["young"]
    assert page.total == 1


@pytest.mark.parametrize("days", [-400, 400])
def test_clock_of_a_host_expires_nothing(
    real_redis: Redis, real_store: StoreClient, clock: Traveller, days: int
) -> None:
    conversations = ConversationRepository(real_store, retention_seconds=60)
    conversations.create(new("mine"))
    clock.move_to(server_ms(real_redis) / 1000 + days * 86_400)

    assert listed_ids(conversations) == ["mine"]
    conversations.append_message("mine", said())
    conversations.create(new("other"))
    conversations.get("mine")

    assert sorted(listed_ids(conversations)) == ["mine", "other"]
    assert all(50_000 < real_redis.pttl(key) <= 60_000 for key in keys.record_keys("mine"))
    assert 50_000 < real_redis.pttl(keys.conversation_key("other")) <= 60_000


def test_total_counts_no_expired_conversation(fake_redis: Redis, clock: Traveller) -> None:
    conversations = ConversationRepository(StoreClient(fake_redis), retention_seconds=60)
    for name in ("a", "b", "c"):
        conversations.create(new(name))
    clock.shift(61)
    conversations.create(new("later"))

    page = conversations.list(limit=1)

    assert [one.conversation_id for one in page.conversations] == ["later"]
    assert page.total == 1


def test_expired_conversation_leaves_no_key(real_redis: Redis, real_store: StoreClient) -> None:
    conversations = ConversationRepository(real_store, retention_seconds=1)
    conversations.create(new("mine"))
    conversations.append_message("mine", said())
    assert all(0 < real_redis.pttl(key) <= 1000 for key in keys.record_keys("mine"))

    wait_until(lambda: not real_redis.exists(*keys.record_keys("mine")), "it did not expire")

    page = conversations.list()
    assert (list(page.conversations), page.total) == ([], 0)
    with pytest.raises(ConversationNotFoundError):
        conversations.append_message("mine", said())
    assert real_redis.keys() == []


def test_use_after_a_lifted_retention_removes_the_expiry(
    store: StoreClient, raw_redis: Redis
) -> None:
    limited = ConversationRepository(store, retention_seconds=600)
    limited.create(new("mine"))
    limited.append_message("mine", said())
    assert raw_redis.ttl(keys.conversation_key("mine")) > 0

    ConversationRepository(store).get("mine")

    assert {raw_redis.ttl(key) for key in keys.record_keys("mine")} == {-1}
