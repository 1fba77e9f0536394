"""The stored record of a conversation: its fields, and how each is encoded.

``StoredConversation`` lists the fields: reading, creating, updating, the response and the
conversion of legacy records follow its annotations. An optional field is one more line there,
beside its type in ``types.py``; scripts name only the fields that they compare or change.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Annotated, Any, NamedTuple, Self, get_type_hints

from agent_conversations.errors import MessageConflictError
from agent_conversations.types import AgentMessage
from sessions_store.errors import (
    CorruptRecordError,
    KeyMissingError,
    UnsupportedRecordVersionError,
)
from sessions_store.redis.script import Argument
from sessions_store.wire import json_codec
from sessions_store.wire.clock import LAST_MS, iso_from_ms
from sessions_store.wire.model import SCHEMA_VERSION, STORED

ENCRYPTED_VERSION = 2
"""Of the record of a conversation in which anything may be encrypted; others have
``SCHEMA_VERSION``. The next version is 3."""


def _time(raw: bytes) -> int:
    milliseconds = int(raw)
    if not 0 <= milliseconds <= LAST_MS:
        raise ValueError("not a time")
    return milliseconds


def _revision(raw: bytes) -> str:
    if not raw.isalnum():
        raise ValueError("not valid in an ETag")
    return raw.decode()


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError("a value of another type")
    return value


def _object(raw: bytes) -> bytes:
    _checked(json_codec.decode_lossy(raw), dict)
    return raw


@dataclass(frozen=True)
class Stored:
    """A field of the record: its name, in Redis as in JSON, and how it is encoded.

    Its attribute is written to Redis as it is, and read by ``decode``. ``to_json`` encodes it for a
    response; without, clients do not see it. ``from_json`` makes it of a value that a client, or an
    older writer, has sent; without, they do not set it. An invalid value is a ``ValueError``.
    """

    name: str
    decode: Callable[[bytes], Any]
    to_json: Callable[[Any], bytes] | None = None
    from_json: Callable[[Any], Argument] | None = None

    @cached_property
    def key(self) -> bytes:
        return self.name.encode()


def time_field(name: str) -> Stored:
    return Stored(name, _time, lambda ms: f'"{iso_from_ms(ms)}"'.encode())


def text_field(name: str) -> Stored:
    return Stored(name, bytes.decode, json_codec.encode, lambda value: _checked(value, str))


def object_field(name: str) -> Stored:
    """A client's own object. It stays encoded: its numbers and its order are the client's."""
    return Stored(name, _object, bytes, lambda value: json_codec.encode(_checked(value, dict)))


class Scores(NamedTuple):
    """What the list of conversations can be sorted by; the index has no other data."""

    created_at_ms: int
    last_accessed_at_ms: int
    message_count: int

    @classmethod
    def decode(cls, created_at_ms: bytes, last_accessed_at_ms: bytes, message_count: int) -> Self:
        return cls(int(created_at_ms), int(last_accessed_at_ms), message_count)


class Owners(NamedTuple):
    """Whose lists a conversation is in, beside the list of all."""

    agent_id: str | None = None
    user_id: str | None = None

    @classmethod
    def decode(cls, agent_id: bytes | None, user_id: bytes | None) -> Self:
        stored = (agent_id, user_id)
        return cls(*(None if one is None else one.decode(errors="replace") for one in stored))


@dataclass(frozen=True, repr=False)
class StoredConversation:
    """A conversation as it came from Redis: messages and metadata still encoded.

    A response is made by joining these bytes; ``messages`` and ``metadata`` decode them.
    """

    conversation_id: str
    schema_version: Annotated[int, Stored("schemaVersion", int)]
    created_at_ms: Annotated[int, time_field("createdAt")]
    last_accessed_at_ms: Annotated[int, time_field("lastAccessedAt")]
    revision: Annotated[str, Stored("revision", _revision)]
    """Changes with every change of the content; the ETag."""
    request_digest: Annotated[str | None, Stored("requestDigest", bytes.decode)] = None
    """Of the content that it was created with; a repeated creation must have the same."""
    key_digest: Annotated[str | None, Stored("keyDigest", bytes.decode)] = None
    """Of the ``Idempotency-Key`` that it was created under."""
    message_bytes: Annotated[int | None, Stored("messageBytes", int)] = None
    """Of all messages that this service appended."""
    transcripts: Annotated[str | None, Stored("transcripts", bytes.decode)] = None
    """The ElevenLabs calls whose transcripts are in it: ``<call>=<event_timestamp>``, with spaces
    between them."""
    agent_id: Annotated[str | None, text_field("agentId")] = None
    user_id: Annotated[str | None, text_field("userId")] = None
    metadata_json: Annotated[bytes | None, object_field("metadata")] = None
    messages_json: Sequence[bytes] = ()
    """Not in the record, but in a list of their own; only the newest on a page of conversations."""
    older_messages: int = 0
    """How many were left out before ``messages_json``."""
    encoded: bytes = b""
    """What ``to_json`` returns, of a large conversation: for all who read it together."""

    @property
    def created_at(self) -> str:
        return iso_from_ms(self.created_at_ms)

    @property
    def last_accessed_at(self) -> str:
        return iso_from_ms(self.last_accessed_at_ms)

    @property
    def message_count(self) -> int:
        return self.older_messages + len(self.messages_json)

    @property
    def owners(self) -> Owners:
        return Owners(self.agent_id, self.user_id)

    @property
    def scores(self) -> Scores:
        return Scores(self.created_at_ms, self.last_accessed_at_ms, self.message_count)

    def is_of(self, owners: Owners) -> bool:
        """Return whether it has these two ids, as far as they are given."""
        return all(wanted in (None, own) for wanted, own in zip(owners, self.owners, strict=True))

    @cached_property
    def metadata(self) -> dict[str, Any] | None:
        return None if self.metadata_json is None else json_codec.decode(self.metadata_json)

    @cached_property
    def messages(self) -> list[AgentMessage]:
        return [decode_message(self.conversation_id, message) for message in self.messages_json]

    @cached_property
    def joined_messages(self) -> bytes:
        """The messages with commas between them, as in a response."""
        return b",".join(self.messages_json)

    def __repr__(self) -> str:
        agent = f", agent_id={self.agent_id!r}" if self.agent_id else ""
        messages = "message" if self.message_count == 1 else "messages"
        return (
            f"<Conversation {self.conversation_id}: {self.message_count} {messages}{agent}, "
            f"created {self.created_at}, last accessed {self.last_accessed_at}>"
        )

    def to_json(self) -> bytes:
        """Return the ``AgentConversation`` of a response as JSON."""
        return self.encoded or b"".join([self._head(), self.joined_messages, self._tail()])

    def encoded_once(self) -> Self:
        """Return the same with its JSON, which takes no further copy of the messages."""
        messages = [*self.messages_json]
        messages[0] = self._head() + messages[0]
        messages[-1] += self._tail()
        return replace(self, encoded=b",".join(messages))

    def fields_to_json(self) -> bytes:
        """Return the same without ``messages``."""
        return (
            f'{{"conversationId":"{self.conversation_id}"'.encode() + self._fields_after_messages()
        )

    def _head(self) -> bytes:
        return f'{{"conversationId":"{self.conversation_id}","messages":['.encode()

    def _tail(self) -> bytes:
        return b"]" + self._fields_after_messages()

    def _fields_after_messages(self) -> bytes:
        parts = [f',"messageCount":{self.message_count}'.encode()]
        for attribute, name, to_json in _IN_RESPONSES:
            value = getattr(self, attribute)
            if value is not None:
                parts += [name, to_json(value)]
        parts.append(b"}")
        return b"".join(parts)


_FIELDS: Mapping[str, Stored] = {
    attribute: hint.__metadata__[0]
    for attribute, hint in get_type_hints(StoredConversation, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
_IN_RESPONSES = [
    (attribute, b',"%b":' % field.key, field.to_json)
    for attribute, field in _FIELDS.items()
    if field.to_json
]


_EPOCH_DIGITS = 12


def new_id(prefix: str, now: int) -> str:
    """Return an id that no conversation and no message has had; ``now`` is in ms since 1970."""
    return f"{prefix}-{now}-{secrets.token_hex(8)}"


def new_revision() -> str:
    """Return a revision that no conversation has had.

    Its first half is the *epoch*, which appending a message keeps: of two revisions of one epoch,
    the later one has more messages, and everything else is the same.
    """
    return secrets.token_hex(_EPOCH_DIGITS)


def epoch(revision: str) -> str:
    return revision[:_EPOCH_DIGITS]


def is_of_same_write(revision: str, other: str) -> bool:
    """Return whether two revisions differ in their epoch at most."""
    return revision[_EPOCH_DIGITS:] == other[_EPOCH_DIGITS:]


def encode(attributes: Mapping[str, Any]) -> list[Argument]:
    """Return field, value, field, value … for some or all attributes, without those ``None``."""
    encoded: list[Argument] = []
    for attribute, field in _FIELDS.items():
        if attributes.get(attribute) is not None:
            encoded += [field.name, attributes[attribute]]
    return encoded


def attributes_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that clients set, from the JSON object of a request or legacy record.

    Raises:
        ValueError: a value has another type.
    """
    return {
        attribute: field.from_json(value)
        for attribute, field in _FIELDS.items()
        if field.from_json and (value := source.get(field.name)) is not None
    }


def corrupt(conversation_id: str, *counts: int) -> CorruptRecordError:
    """Return the error; ``counts``, where they are wrong, are of the messages and of their ids."""
    if not counts:
        return CorruptRecordError("conversation", conversation_id)
    reason = "has {} messages, but ids of {}" if any(counts) else "has lost its messages"
    return CorruptRecordError("conversation", conversation_id, reason.format(*counts))


def unsupported(conversation_id: str, version: int) -> CorruptRecordError:
    """Return the error for a record whose version this process cannot read."""
    if version == ENCRYPTED_VERSION:
        reason = "is encrypted, and CONVERSATION_ENCRYPTION_KEYS has no key"
        return KeyMissingError("conversation", conversation_id, reason)
    return UnsupportedRecordVersionError("conversation", conversation_id)


def decode_conversation(
    conversation_id: str,
    record: Mapping[bytes, bytes],
    messages: Sequence[bytes],
    older_messages: int = 0,
    *,
    newest_version: int = SCHEMA_VERSION,
    stored_bytes: int | None = None,
) -> StoredConversation:
    """Return the conversation of a record and its newest messages, which stay encoded.

    Args:
        newest_version: of the records that the caller can read.
        stored_bytes: of these messages, where they were stored in another form.

    Raises:
        CorruptRecordError: a field is missing, or a value or a message is invalid.
        UnsupportedRecordVersionError: a newer release wrote it.
    """
    try:
        if (version := int(record[b"schemaVersion"])) > newest_version:
            raise unsupported(conversation_id, version)
        values = {
            attribute: field.decode(raw)
            for attribute, field in _FIELDS.items()
            if (raw := record.get(field.key)) is not None
        }
        conversation = StoredConversation(
            conversation_id, messages_json=messages, older_messages=older_messages, **values
        )
    except (KeyError, ValueError, TypeError):  # TypeError: a field without a default is missing
        raise CorruptRecordError("conversation", conversation_id) from None
    # The record counts the bytes that this service appended, so that reading a long conversation
    # need not decode it: 1,000 messages take 0.3 ms to decode, half of what fetching them takes.
    if stored_bytes is None:
        stored_bytes = len(conversation.joined_messages) - max(0, len(messages) - 1)
    if stored_bytes != (conversation.message_bytes or 0):
        check_messages(conversation_id, messages)
    return conversation


_fields_of_every_message = itemgetter(
    *AgentMessage.always_in_responses,
    *(str(field.alias) for field in AgentMessage.model_fields.values() if field.is_required()),
)


def check_messages(conversation_id: str, messages: Sequence[bytes]) -> None:
    """Raise ``CorruptRecordError`` if a stored message cannot be a part of a response."""
    try:
        decoded = json_codec.decode_lossy(b"[" + b",".join(messages) + b"]")
        for message in decoded:
            _fields_of_every_message(message)
    except (json_codec.InvalidJsonError, KeyError, TypeError):
        raise CorruptRecordError("conversation", conversation_id) from None
    if len(decoded) != len(messages):
        raise CorruptRecordError("conversation", conversation_id)


def decode_message(conversation_id: str, raw: bytes) -> AgentMessage:
    """Return a stored message.

    Raises:
        CorruptRecordError: not JSON, not a message, or one without its timestamp or id.
    """
    try:
        message = AgentMessage.model_validate(json_codec.decode(raw), context=STORED, by_name=False)
    except ValueError:
        raise CorruptRecordError("conversation", conversation_id) from None
    if message.timestamp is None or message.message_id is None:
        raise CorruptRecordError("conversation", conversation_id)
    return message


def check_repetition(conversation_id: str, given: bytes, stored: bytes) -> None:
    """Raise ``MessageConflictError`` unless both are the same message but for the timestamp."""
    if given == stored:
        return
    one, other = (decode_message(conversation_id, raw).to_wire() for raw in (given, stored))
    other["timestamp"] = one["timestamp"]
    if json_codec.canonical(one) != json_codec.canonical(other):
        raise MessageConflictError
