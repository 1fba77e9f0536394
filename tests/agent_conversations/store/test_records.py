"""The fields of a stored record, and their agreement with the types that clients see."""

from agent_conversations.store.records import (
    StoredConversation,
    attributes_of,
    decode_conversation,
    encode,
)
from agent_conversations.types import AgentConversation, ConversationChanges, NewConversation
from sessions_store.wire import json_codec

FULL = StoredConversation(
    conversation_id="c-1",
    schema_version=1,
    created_at_ms=1_795_450_845_123,
    last_accessed_at_ms=1_795_450_846_000,
    revision="0123456789abcdef",
    request_digest="d" * 32,
    key_digest="k" * 64,
    message_bytes=0,
    transcripts="conv_1=1739537297",
    agent_id="a-1",
    user_id="u-1",
    metadata_json=b'{"n":12345678901234567,"l":[]}',
)


def names(model: type[AgentConversation | NewConversation | ConversationChanges]) -> set[str]:
    return {str(field.alias) for field in model.model_fields.values()}


def test_every_field_of_a_record_is_read_as_written() -> None:
    flat = encode(vars(FULL))
    raw = [one if isinstance(one, bytes) else str(one).encode() for one in flat]

    record = dict(zip(raw[::2], raw[1::2], strict=True))

    assert decode_conversation("c-1", record, ()) == FULL
    assert None not in vars(FULL).values()


def test_response_has_the_fields_of_the_type() -> None:
    assert json_codec.decode(FULL.to_json()).keys() == names(AgentConversation)


def test_client_sets_the_same_fields_everywhere() -> None:
    assert names(NewConversation) - {"conversationId"} == names(ConversationChanges)
    response = json_codec.decode(FULL.to_json())
    given = {name: response[name] for name in names(ConversationChanges)}

    attributes = attributes_of(given)

    assert attributes.items() <= vars(FULL).items()
    assert set(encode(attributes)[::2]) == names(ConversationChanges)
