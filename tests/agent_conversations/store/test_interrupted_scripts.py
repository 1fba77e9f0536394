"""A script that fails in its middle: repeated with its handle, it counts once."""

import contextlib

import pytest
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient

WRITES = ["hset", "hincrby", "hdel", "rpush", "zadd", "persist", "unlink"]
READS = ["hmget", "hget", "llen", "hgetall", "lrange"]
COMMANDS = [*WRITES, *READS]


@pytest.mark.parametrize("denied", COMMANDS)
def test_append_repeated_after_a_failed_command_counts_once(
    real_store: StoreClient, real_redis: Redis, denied: str
) -> None:
    conversations = ConversationRepository(real_store)
    message = AgentMessage(role="user", content="once", message_id="m-1")
    conversations.create(NewConversation(conversation_id="c-1"))

    real_redis.acl_setuser("default", enabled=True, commands=[f"-{denied}"])
    with contextlib.suppress(StoreUnavailableError):
        conversations.append_message("c-1", message)
    real_redis.acl_setuser("default", enabled=True, categories=["+@all"])
    conversations.append_message("c-1", message)

    assert [one.message_id for one in conversations.get("c-1").messages] == ["m-1"]
    assert conversations.list(sort_by="messageCount").total == 1
    assert real_redis.zscore(keys.index_key("messageCount"), "c-1") == 1


@pytest.mark.parametrize("denied", COMMANDS)
def test_creation_repeated_after_a_failed_command_counts_once(
    real_store: StoreClient, real_redis: Redis, denied: str
) -> None:
    conversations = ConversationRepository(real_store)
    new = NewConversation(conversation_id="c-1", agent_id="a-1")

    real_redis.acl_setuser("default", enabled=True, commands=[f"-{denied}"])
    with contextlib.suppress(StoreUnavailableError):
        conversations.create(new)
    real_redis.acl_setuser("default", enabled=True, categories=["+@all"])
    conversations.create(new)

    assert [one.conversation_id for one in conversations.list().conversations] == ["c-1"]
    assert conversations.get("c-1").agent_id == "a-1"
