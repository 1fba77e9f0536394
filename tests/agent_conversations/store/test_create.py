"""Creating a conversation, and how it is stored and returned."""

import json
import re
from typing import Any

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from tests.agent_conversations.store.records import SORT_FIELDS, new, said

CLIENT_OBJECTS = [
    pytest.param({}, id="empty"),
    pytest.param({"a": [], "b": {}, "c": [[], {}], "d": None, "e": "", "f": False}, id="nothing"),
    pytest.param({"n": 12345678901234567, "m": -(10**40), "f": 0.1, "e": 1e300}, id="numbers"),
    pytest.param({"ü": "日本語 😀 \u2028", "\U0001f600": "a\x00b", "\x01": '"\\/'}, id="unicode"),
    pytest.param({"z": 1, "a": {"y": 1, "b": 2}, "10": 3, "9": 4, "snake_case": 5}, id="order"),
    pytest.param({"seam": 'x"},{"role":"user', "role": "user"}, id="looks like a message"),
]


def test_created_conversation_is_returned_with_every_field(
    conversations: ConversationRepository,
) -> None:
    created = conversations.create(new("mine", agent_id="a1", metadata={"k": [1]}))
    now = created.conversation.created_at

    assert not created.replayed
    for found in (created.conversation, conversations.get("mine")):
        assert found.conversation_id == "mine"
        assert found.agent_id == "a1"
        assert found.metadata == {"k": [1]}
        assert found.messages == []
        assert found.created_at == now <= found.last_accessed_at
        assert json_codec.decode(found.to_json()) == {
            "conversationId": "mine",
            "messages": [],
            "messageCount": 0,
            "createdAt": now,
            "lastAccessedAt": found.last_accessed_at,
            "agentId": "a1",
            "metadata": {"k": [1]},
        }


def test_conversation_without_optional_fields_omits_them(
    conversations: ConversationRepository,
) -> None:
    conversation_id = conversations.create().conversation.conversation_id

    found = conversations.get(conversation_id)

    assert (found.agent_id, found.metadata) == (None, None)
    assert set(json_codec.decode(found.to_json())) == {
        "conversationId",
        "messages",
        "messageCount",
        "createdAt",
        "lastAccessedAt",
    }


def test_generated_ids_are_unique_and_have_the_documented_shape(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    ids = {conversations.create().conversation.conversation_id for _ in range(50)}

    assert len(ids) == 50
    assert all(re.fullmatch(r"agent-1795450845123-[a-z0-9]{11,}", one) for one in ids)


def test_conversation_is_stored_under_the_documented_keys(
    store: StoreClient, raw_redis: Redis
) -> None:
    conversations = ConversationRepository(store)
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))

    assert raw_redis.type("elevenlabs:conversation:mine") == b"hash"
    messages = raw_redis.lrange("{elevenlabs:conversation:mine}:messages", 0, -1)
    assert [json.loads(message)["messageId"] for message in messages] == ["m1"]
    for field in SORT_FIELDS:
        key = f"{{elevenlabs:conversations}}:{field}"
        assert raw_redis.zrange(key, 0, -1) == [b"mine"]
    assert raw_redis.zscore("{elevenlabs:conversations}:messageCount", "mine") == 1


@pytest.mark.parametrize("client_object", CLIENT_OBJECTS)
def test_metadata_and_tool_arguments_are_returned_unchanged(
    conversations: ConversationRepository, client_object: dict[str, Any]
) -> None:
    encoded = json_codec.encode(client_object)
    conversations.create(new("created", metadata=client_object))
    conversations.create(new("updated"))
    conversations.update("updated", ConversationChanges(metadata=client_object))
    call = said("", role="tool", toolName="t", toolArgs=client_object)
    for conversation_id in ("created", "updated"):
        conversations.append_message(conversation_id, call)
        conversations.append_message(conversation_id, said("after"))

    found = [conversations.get("created"), conversations.get("updated")]

    for one in [*found, *conversations.list().conversations]:
        response = json_codec.decode(one.to_json())
        assert json_codec.encode(response["metadata"]) == encoded
        assert json_codec.encode(response["messages"][0]["toolArgs"]) == encoded
        assert json_codec.encode(one.messages[0].tool_args) == encoded
        assert one.message_count == 2


def test_repr_of_a_conversation_hides_its_content(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine", metadata={"note": "secret"}))
    conversations.append_message("mine", said("secret"))

    found = conversations.get("mine")

    assert "secret" not in f"{found!r} {found}"
    assert "mine" in repr(found)
