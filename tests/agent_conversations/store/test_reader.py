"""Conversations read as they are stored."""

from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.maintenance import Unreadable, find_corrupt
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.keys import CONVERSATION_PREFIX
from sessions_store.repository import SessionRepository


def test_find_corrupt_reports_an_invalid_id(
    conversations: ConversationRepository, sessions: SessionRepository, raw_redis: Redis
) -> None:
    raw_redis.hset(f"{CONVERSATION_PREFIX}an id", "createdAt", 1)

    found = list(find_corrupt(conversations, sessions, lambda _: None))

    assert found == [Unreadable("conversation", "an id", "has an invalid id")]


def test_verify_changes_nothing(conversations: ConversationRepository, raw_redis: Redis) -> None:
    conversations.create(NewConversation(conversation_id="mine"))
    conversations.append_message("mine", AgentMessage(role="user", content="Hello"))
    before = raw_redis.hgetall(keys.conversation_key("mine"))

    conversations.verify("mine")

    assert raw_redis.hgetall(keys.conversation_key("mine")) == before
