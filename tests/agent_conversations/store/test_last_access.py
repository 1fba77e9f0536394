"""The time of a conversation's last access."""

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from tests.agent_conversations.store.records import (
    SORT_FIELDS,
    index_key,
    new,
    said,
    server_ms,
    uses,
)


def test_every_use_moves_the_last_access_to_now(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    created_at_ms = conversations.create(new("mine")).conversation.created_at_ms
    for use in uses(conversations, "mine"):
        clock.shift(1)
        before = server_ms(raw_redis)

        use()

        (found,) = conversations.list().conversations
        assert before <= found.last_accessed_at_ms <= server_ms(raw_redis)
        assert found.created_at_ms == created_at_ms
        score = raw_redis.zscore(index_key("lastAccessedAt"), "mine")
        assert score == found.last_accessed_at_ms


def test_get_returns_the_new_last_access(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    clock.shift(1)
    before = server_ms(raw_redis)

    assert conversations.get("mine").last_accessed_at_ms >= before


def test_list_moves_no_last_access(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    created = conversations.create(new("mine")).conversation
    clock.shift(60)
    for field in SORT_FIELDS:
        conversations.list(sort_by=field)

    (found,) = conversations.list().conversations

    assert found.last_accessed_at_ms == created.created_at_ms
    stored = raw_redis.hget(keys.conversation_key("mine"), "lastAccessedAt")
    assert stored == str(created.created_at_ms).encode()


@pytest.mark.parametrize("days", [-400, 400])
def test_clock_of_a_host_dates_no_access(
    real_conversations: ConversationRepository, real_redis: Redis, clock: Traveller, days: int
) -> None:
    before = server_ms(real_redis)
    clock.move_to(before / 1000 + days * 86_400)

    created = real_conversations.create(new("mine")).conversation
    real_conversations.append_message("mine", said())
    found = real_conversations.get("mine")

    assert before <= created.created_at_ms == found.created_at_ms
    assert created.last_accessed_at_ms <= found.last_accessed_at_ms <= server_ms(real_redis)


def test_last_access_never_goes_back(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    later = server_ms(raw_redis) + 60_000
    raw_redis.hset(keys.conversation_key("mine"), "lastAccessedAt", later)

    conversations.append_message("mine", said())
    conversations.list_messages("mine")
    conversations.update("mine", ConversationChanges(agent_id="a"))

    assert conversations.get("mine").last_accessed_at_ms == later
    assert raw_redis.zscore(index_key("lastAccessedAt"), "mine") == later
