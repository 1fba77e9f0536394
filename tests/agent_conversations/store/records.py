"""Conversations and messages that tests store, and what they read back."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import (
    AgentMessage,
    ConversationChanges,
    NewConversation,
    SortBy,
    SortOrder,
)

NOW = "2026-11-23T16:20:45.123Z"
"""The time of this host that ``clock`` starts with, and of fakeredis; a real server has its own."""
SORT_FIELDS: tuple[SortBy, ...] = get_args(SortBy)
SORT_ORDERS: tuple[SortOrder, ...] = get_args(SortOrder)
LEGACY_RECORD: dict[str, Any] = {
    "conversationId": "older",
    "messages": [
        {
            "role": "user",
            "content": "one",
            "timestamp": "2025-01-01T00:00:01Z",
            "source": "voice",
            "messageId": "m1",
        },
        {"role": "tool", "content": "", "toolArgs": {"n": 10**20, "l": []}, "messageId": "m2"},
        {"role": "assistant", "content": "three", "custom": {"kept": [1]}},
    ],
    "createdAt": "2025-01-01T00:00:00Z",
    "lastAccessedAt": "2025-01-02T00:00:00.5Z",
    "agentId": "a1",
    "metadata": {"z": 12345678901234567, "a": []},
}


def new(conversation_id: str | None = None, **fields: Any) -> NewConversation:
    return NewConversation(conversation_id=conversation_id, **fields)


def said(content: str = "Hello", **fields: Any) -> AgentMessage:
    return AgentMessage.parse({"role": "user", "content": content, **fields})


def uses(
    conversations: ConversationRepository, conversation_id: str, *others: Callable[[], object]
) -> list[Callable[[], object]]:
    """Return each way to use a conversation, and others; in this order, a new one takes all."""
    return [
        partial(use, conversation_id, *arguments)
        for use, *arguments in (
            (conversations.put_message, "m1", said("one")),
            (conversations.put_message, "m1", said("another")),
            (conversations.get_message, "m1"),
            (conversations.append_message, said()),
            (conversations.append_messages, [said(), said()]),
            (conversations.list_messages,),
            (conversations.update, ConversationChanges(agent_id="a")),
            (conversations.get,),
        )
    ] + [*others]


def write_legacy(redis: Redis, record: dict[str, Any] | None = None, name: str = "older") -> None:
    redis.set(keys.conversation_key(name), json.dumps(record or LEGACY_RECORD))


def server_ms(redis: Redis) -> int:
    """Return the server's time in milliseconds since 1970."""
    seconds, microseconds = redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def contents(conversation: StoredConversation) -> list[str]:
    return [message.content for message in conversation.messages]


def listed_ids(conversations: ConversationRepository, **query: Any) -> list[str]:
    return [one.conversation_id for one in conversations.list(**query).conversations]


def index_key(sort_by: SortBy) -> str:
    return keys.INDEX_KEYS[keys.SORT_FIELDS.index(sort_by)]


def index_members(redis: Redis) -> list[list[Any]]:
    return [redis.zrange(key, 0, -1) for key in keys.INDEX_KEYS]
