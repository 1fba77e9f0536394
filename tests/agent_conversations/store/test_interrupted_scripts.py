"""A script that fails in its middle: repeated with its handle, it counts once."""

import contextlib

import pytest
from redis import Redis

from agent_conversations.store.repository import ConversationRepository
from sessions_store.errors import StoreUnavailableError
from tests.agent_conversations.store.records import index_key, new, said

WRITES = ["hset", "hincrby", "hdel", "rpush", "zadd", "persist", "unlink"]
READS = ["hmget", "hget", "llen", "hgetall", "lrange"]
COMMANDS = [*WRITES, *READS]


@pytest.mark.parametrize("denied", COMMANDS)
def test_append_repeated_after_a_failed_command_counts_once(
    real_conversations: ConversationRepository, real_redis: Redis, denied: str
) -> None:
    message = said("once", messageId="m-1")
    real_conversations.create(new("c-1"))

    real_redis.acl_setuser("default", enabled=True, commands=[f"-{denied}"])
    with contextlib.suppress(StoreUnavailableError):
        real_conversations.append_message("c-1", message)
    real_redis.acl_setuser("default", enabled=True, categories=["+@all"])
    real_conversations.append_message("c-1", message)

    assert [one.message_id for one in real_conversations.get("c-1").messages] == ["m-1"]
    assert real_conversations.list(sort_by="messageCount").total == 1
    assert real_redis.zscore(index_key("messageCount"), "c-1") == 1


@pytest.mark.parametrize("denied", COMMANDS)
def test_creation_repeated_after_a_failed_command_counts_once(
    real_conversations: ConversationRepository, real_redis: Redis, denied: str
) -> None:
    conversation = new("c-1", agent_id="a-1")

    real_redis.acl_setuser("default", enabled=True, commands=[f"-{denied}"])
    with contextlib.suppress(StoreUnavailableError):
        real_conversations.create(conversation)
    real_redis.acl_setuser("default", enabled=True, categories=["+@all"])
    real_conversations.create(conversation)

    assert [one.conversation_id for one in real_conversations.list().conversations] == ["c-1"]
    assert real_conversations.get("c-1").agent_id == "a-1"
