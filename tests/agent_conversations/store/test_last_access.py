"""The time of a conversation's last access."""

import time
from collections.abc import Callable

from redis import Redis
from time_machine import Traveller

from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from tests.agent_conversations.store.records import NOW, SORT_FIELDS, new, said


def test_every_use_moves_the_last_access_to_now(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    uses: list[Callable[[], object]] = [
        lambda: conversations.get("mine"),
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges(agent_id="a")),
    ]
    for use in uses:
        clock.shift(1)
        now = time.time_ns() // 1_000_000

        use()

        (found,) = conversations.list().conversations
        assert found.last_accessed_at_ms == now
        assert found.created_at == NOW
        assert raw_redis.zscore(keys.index_key("lastAccessedAt"), "mine") == now


def test_get_returns_the_new_last_access(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    clock.shift(1)

    assert conversations.get("mine").last_accessed_at == "2026-11-23T16:20:46.123Z"


def test_list_moves_no_last_access(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    clock.shift(60)
    for field in SORT_FIELDS:
        conversations.list(sort_by=field)

    (found,) = conversations.list().conversations

    assert found.last_accessed_at == NOW
    assert raw_redis.hget(keys.conversation_key("mine"), "lastAccessedAt") == b"1795450845123"
