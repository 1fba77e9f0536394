"""Legacy records: conversations that an older writer kept as one JSON string, messages included."""

from dataclasses import dataclass
from typing import Any

from agent_conversations.store.records import (
    Owners,
    StoredConversation,
    attributes_of,
    new_revision,
)
from agent_conversations.types import AgentMessage
from sessions_store.errors import CorruptRecordError
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, ms_from_iso
from sessions_store.wire.fields import stored_timestamp
from sessions_store.wire.model import SCHEMA_VERSION, STORED


@dataclass(frozen=True)
class ConvertedConversation:
    """A legacy record in today's layout: the conversation, and the id of each of its messages."""

    conversation: StoredConversation
    message_ids: list[str]


def convert(conversation_id: str, raw: bytes) -> ConvertedConversation:
    """Return the conversation of the legacy record ``raw``.

    What is missing is filled in the same way each time, so that a conversation that is only listed
    shows the ids that it will have once it is written: a message's ``timestamp`` is that of the
    message before it, the first one's that of the conversation; its ``messageId`` is ``legacy-``
    and its position. Half of a surrogate pair, which JavaScript leaves where it cuts a string in
    two and writes as an escape, becomes U+FFFD: UTF-8 has none. Keys of a message that this service
    does not know are kept. The revision is a new one.

    Raises:
        CorruptRecordError: not JSON, or not such a conversation.
    """
    try:
        return _convert(conversation_id, json_codec.decode(json_codec.without_lone_surrogates(raw)))
    except (ValueError, KeyError, TypeError):
        raise CorruptRecordError("conversation", conversation_id) from None


def owners(conversation_id: str, raw: bytes) -> Owners:
    """Return the owners of a legacy record; none if it cannot be read."""
    try:
        return convert(conversation_id, raw).conversation.owners
    except CorruptRecordError:
        return Owners()


EARLIEST = iso_from_ms(0)
"""A record's times are counted from 1970. Older ones are no times, but what stands for none."""


def _convert(conversation_id: str, record: Any) -> ConvertedConversation:
    created_at = stored_timestamp(record["createdAt"])
    if created_at is None:
        raise ValueError("no creation time")
    created_at = max(created_at, EARLIEST)
    last_accessed_at = max(stored_timestamp(record.get("lastAccessedAt")) or "", created_at)
    message_ids: list[str] = []
    messages: list[bytes] = []
    before = created_at
    for position, stored in enumerate(record["messages"]):
        message = AgentMessage.model_validate(
            {
                **stored,
                "timestamp": stored_timestamp(stored.get("timestamp")) or before,
                "messageId": stored.get("messageId") or f"legacy-{position}",
            },
            context=STORED,
            by_name=False,
        )
        known = message.to_wire()
        unknown = {
            key: value for key, value in stored.items() if key not in known and value is not None
        }
        before = known["timestamp"]
        message_ids.append(known["messageId"])
        messages.append(json_codec.encode({**known, **unknown}))
    conversation = StoredConversation(
        conversation_id=conversation_id,
        schema_version=SCHEMA_VERSION,
        created_at_ms=ms_from_iso(created_at),
        last_accessed_at_ms=ms_from_iso(last_accessed_at),
        revision=new_revision(),
        message_bytes=sum(map(len, messages)),
        messages_json=messages,
        **attributes_of(record),
    )
    return ConvertedConversation(conversation, message_ids)
