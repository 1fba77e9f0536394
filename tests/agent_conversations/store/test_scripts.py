"""What the scripts on a conversation do that no other test shows."""

import json

from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage
from sessions_store.redis.client import StoreClient


def test_legacy_record_of_many_messages_is_converted(
    real_store: StoreClient, real_redis: Redis
) -> None:
    # Each message is two arguments, and Lua's unpack() takes at most 8,000.
    messages = [{"role": "user", "content": str(number)} for number in range(5_000)]
    record = {"createdAt": "2025-01-01T00:00:00Z", "messages": messages}
    real_redis.set(keys.conversation_key("old"), json.dumps(record))
    conversations = ConversationRepository(real_store)

    added = conversations.append_message("old", AgentMessage(role="user", content="new"))

    assert added.message_count == 5_001
    found = conversations.get("old")
    assert [message.content for message in found.messages] == [*map(str, range(5_000)), "new"]
    assert real_redis.hget(keys.message_ids_key("old"), "legacy-4999") == b"4999"
