"""Deleting a conversation with everything that belongs to it."""

from functools import partial

import pytest
from redis import Redis

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from tests.agent_conversations.store.records import (
    SORT_FIELDS,
    contents,
    listed_ids,
    new,
    said,
    uses,
)


def test_deleted_conversation_leaves_no_key(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine", agent_id="a", metadata={}))
    conversations.append_message("mine", said())

    conversations.delete("mine")

    assert list(raw_redis.scan_iter()) == []
    assert conversations.list().total == 0


def test_delete_leaves_other_conversations_alone(
    conversations: ConversationRepository,
) -> None:
    for conversation_id in ("one", "one-more"):
        conversations.create(new(conversation_id))
        conversations.append_message(conversation_id, said(conversation_id))

    conversations.delete("one")

    assert contents(conversations.get("one-more")) == ["one-more"]
    for field in SORT_FIELDS:
        assert listed_ids(conversations, sort_by=field) == ["one-more"]


def test_use_of_a_deleted_conversation_restores_no_key(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))
    conversations.delete("mine")

    for use in uses(conversations, "mine", partial(conversations.delete, "mine")):
        with pytest.raises(ConversationNotFoundError):
            use()
    assert list(raw_redis.scan_iter()) == []


def test_recreated_conversation_contains_nothing_of_the_deleted_one(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine", agent_id="old", metadata={"old": 1}))
    conversations.append_message("mine", said("old", messageId="m1"))
    conversations.delete("mine")

    created = conversations.create(new("mine"))

    assert not created.replayed
    found = conversations.get("mine")
    assert (found.agent_id, found.metadata, found.messages) == (None, None, [])
    assert not conversations.append_message("mine", said("new", messageId="m1")).replayed


def test_creation_discards_messages_without_a_record(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said("old", messageId="m1"))
    raw_redis.delete(keys.conversation_key("mine"))

    conversations.create(new("mine"))

    assert conversations.get("mine").messages == []
    assert not conversations.append_message("mine", said("new", messageId="m1")).replayed
