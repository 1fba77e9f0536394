"""Appending messages, one at a time and many at once."""

from functools import partial

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.errors import ConversationFullError
from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import NOW, contents, new, said
from tests.agent_conversations.store.threads import run_together


def test_appended_message_is_returned_with_every_field(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine"))
    wire = {
        "role": "tool",
        "content": "",
        "timestamp": "2026-11-23T16:20:45.000Z",
        "source": "tool_output",
        "messageId": "m1",
        "toolName": "search",
        "toolArgs": {"q": ["x"]},
        "toolOutput": "found",
        "status": "completed",
    }

    added = conversations.append_message("mine", AgentMessage.parse(wire))

    assert (added.message_id, added.message_count, added.replayed) == ("m1", 1, False)
    assert [message.to_wire() for message in conversations.get("mine").messages] == [wire]
    page = conversations.list_messages("mine")
    assert [message.to_wire() for message in page.messages] == [wire]


def test_append_fills_in_id_timestamp_and_source(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    conversations.create(new("mine"))

    ids = [conversations.append_message("mine", said(text)).message_id for text in ("a", "b")]

    assert len(set(ids)) == 2
    assert [message.to_wire() for message in conversations.get("mine").messages] == [
        {"role": "user", "content": text, "timestamp": NOW, "source": "text", "messageId": one}
        for text, one in zip("ab", ids, strict=True)
    ]


def test_concurrent_appends_keep_every_message_once_in_writer_order(
    real_conversations: ConversationRepository,
) -> None:
    real_conversations.create(new("mine"))
    writers, each = 8, 60

    def write(writer: int) -> None:
        for number in range(each):
            real_conversations.append_message("mine", said(f"{writer}:{number}"))

    run_together(*(partial(write, writer) for writer in range(writers)))

    found = contents(real_conversations.get("mine"))
    assert len(found) == len(set(found)) == writers * each
    for writer in range(writers):
        own = [text for text in found if text.startswith(f"{writer}:")]
        assert own == [f"{writer}:{number}" for number in range(each)]
    page = real_conversations.list(sort_by="messageCount").conversations
    assert [one.message_count for one in page] == [writers * each]


def test_full_conversation_refuses_messages_but_accepts_repetitions(
    store: StoreClient,
) -> None:
    conversations = ConversationRepository(store, max_messages=2)
    conversations.create(new("mine"))
    conversations.append_message("mine", said("a", messageId="m1"))
    conversations.append_message("mine", said("b"))

    with pytest.raises(ConversationFullError, match="most messages it may have is 2"):
        conversations.append_message("mine", said("c"))

    assert contents(conversations.get("mine")) == ["a", "b"]
    assert conversations.append_message("mine", said("a", messageId="m1")).replayed


def test_several_messages_count_all_against_the_limits(
    store: StoreClient, raw_redis: Redis
) -> None:
    conversations = ConversationRepository(store, max_messages=3, max_bytes=1500)
    conversations.create(new("mine"))
    conversations.append_messages("mine", [said("a"), said("b")])

    with pytest.raises(ConversationFullError, match="most messages it may have is 3"):
        conversations.append_messages("mine", [said("c"), said("d")])
    with pytest.raises(ConversationFullError, match="most bytes it may have is 1500"):
        ConversationRepository(store, max_bytes=1500).append_messages(
            "mine", [said("c" * 2000), said("d")]
        )

    found = conversations.get("mine")
    assert contents(found) == ["a", "b"]
    assert found.message_bytes == sum(map(len, found.messages_json))


def test_each_message_id_is_stored_with_its_position(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    ids = [conversations.append_message("mine", said()).message_id for _ in range(5)]

    positions = raw_redis.hgetall(keys.message_ids_key("mine"))

    assert [int(positions[one.encode()]) for one in ids] == list(range(5))
