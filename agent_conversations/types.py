"""Conversations, messages, requests and answers: the fields are listed here and nowhere else.

Not the note-taking conversations of cursor-runner (``cursor:conversation:*``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from sessions_store.errors import CorruptRecordError
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms
from sessions_store.wire.fields import (
    BoundedObject,
    ConversationId,
    Identifier,
    Text,
    Timestamp,
)
from sessions_store.wire.model import STORED, WireModel

Role = Literal["user", "assistant", "system", "tool"]
Source = Literal["voice", "text", "user_input", "agent_response", "tool_output", "system_event"]
Status = Literal["pending", "completed", "failed"]
SortBy = Literal["createdAt", "lastAccessedAt", "messageCount"]
SortOrder = Literal["asc", "desc"]


# --- Messages and conversations -------------------------------------------------------------------


class AgentMessage(WireModel):
    """One thing that was said, or one call of a tool."""

    # The repository fills these in before a message is stored.
    always_present: ClassVar[frozenset[str]] = frozenset({"timestamp", "messageId"})

    role: Role
    content: Text
    """Empty only for the role ``tool``."""
    timestamp: Timestamp | None = None
    source: Source | None = None
    message_id: Identifier | None = None
    tool_name: Text | None = None
    tool_args: BoundedObject | None = None
    tool_output: Text | None = None
    status: Status | None = None

    @field_validator("content")
    @classmethod
    def _content_unless_tool(cls, content: str, info: ValidationInfo) -> str:
        if not content and info.data.get("role") != "tool" and info.context is not STORED:
            raise PydanticCustomError(
                "content_empty", "content must not be empty, except for the role tool"
            )
        return content


class AgentConversation(WireModel):
    """What a user and a voice agent said, as a client sees it."""

    conversation_id: ConversationId
    messages: list[AgentMessage]
    created_at: Timestamp
    last_accessed_at: Timestamp
    agent_id: Identifier | None = None
    metadata: BoundedObject | None = None


@dataclass(frozen=True, repr=False)
class StoredConversation:
    """A conversation as it came from Redis: messages and metadata still encoded.

    A long conversation is answered by splicing these bytes; ``messages`` and ``metadata`` decode
    them when asked.
    """

    conversation_id: str
    created_at_ms: int
    last_accessed_at_ms: int
    revision: str
    """Changes with every change of the content; the ETag."""
    agent_id: str | None = None
    metadata_json: bytes | None = None
    messages_json: Sequence[bytes] = ()

    @property
    def created_at(self) -> str:
        return iso_from_ms(self.created_at_ms)

    @property
    def last_accessed_at(self) -> str:
        return iso_from_ms(self.last_accessed_at_ms)

    @property
    def message_count(self) -> int:
        return len(self.messages_json)

    @cached_property
    def joined_messages(self) -> bytes:
        """All messages as they stand in an answer, with commas between them."""
        return b",".join(self.messages_json)

    @cached_property
    def metadata(self) -> dict[str, Any] | None:
        return None if self.metadata_json is None else json_codec.decode(self.metadata_json)

    @cached_property
    def messages(self) -> list[AgentMessage]:
        return [decode_message(self.conversation_id, message) for message in self.messages_json]

    def __repr__(self) -> str:
        agent = f", agent_id={self.agent_id!r}" if self.agent_id else ""
        return (
            f"<Conversation {self.conversation_id}: {self.message_count} messages{agent}, "
            f"created {self.created_at}, last accessed {self.last_accessed_at}>"
        )

    def to_json(self) -> bytes:
        """Return the ``AgentConversation`` as JSON."""
        head = f'{{"conversationId":"{self.conversation_id}","messages":['
        tail = f'],"createdAt":"{self.created_at}","lastAccessedAt":"{self.last_accessed_at}"'
        parts = [head.encode(), self.joined_messages, tail.encode()]
        if self.agent_id is not None:
            parts += [b',"agentId":', json_codec.encode(self.agent_id)]
        if self.metadata_json is not None:
            parts += [b',"metadata":', self.metadata_json]
        return b"".join([*parts, b"}"])


_ALWAYS_IN_A_MESSAGE = {"role", "content", "timestamp", "messageId"}


def check_messages(conversation_id: str, messages: Sequence[bytes]) -> None:
    """Raise ``CorruptRecordError`` if a stored message could not stand in an answer as it is."""
    try:
        decoded = json_codec.decode_lossy(b"[" + b",".join(messages) + b"]")
    except json_codec.InvalidJsonError:
        raise CorruptRecordError("conversation", conversation_id) from None
    if len(decoded) != len(messages) or not all(
        isinstance(message, dict) and message.keys() >= _ALWAYS_IN_A_MESSAGE for message in decoded
    ):
        raise CorruptRecordError("conversation", conversation_id)


def decode_message(conversation_id: str, raw: bytes) -> AgentMessage:
    """Return a stored message.

    Raises:
        CorruptRecordError: not JSON, no message, or one without its timestamp or id.
    """
    try:
        message = AgentMessage.model_validate(json_codec.decode(raw), context=STORED, by_name=False)
    except ValueError:
        raise CorruptRecordError("conversation", conversation_id) from None
    if message.timestamp is None or message.message_id is None:
        raise CorruptRecordError("conversation", conversation_id)
    return message


# --- Requests -------------------------------------------------------------------------------------


class NewConversation(WireModel):
    """The body of ``POST /new``; all of it is optional."""

    agent_id: Identifier | None = None
    metadata: BoundedObject | None = None
    conversation_id: ConversationId | None = None


class ConversationChanges(WireModel):
    """The body of a PATCH: a given field replaces the stored one, ``null`` removes it."""

    agent_id: Identifier | None = None
    metadata: BoundedObject | None = None

    def given(self) -> list[str]:
        """Return the JSON names of the fields that the request had, ``null`` ones included."""
        return [alias for name, alias in self._wire_names if name in self.model_fields_set]


def _integer(sentence: str, minimum: int, maximum: int | None, too_large: str = "") -> Any:
    """Return a query parameter's type: a whole number in ASCII digits between two bounds."""

    def parse(value: object) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) < minimum:
            raise PydanticCustomError("integer", "{sentence}", {"sentence": sentence})
        if maximum is not None and int(text) > maximum:
            raise PydanticCustomError("integer_max", "{sentence}", {"sentence": too_large})
        return int(text)

    schema: dict[str, Any] = {"type": "integer", "minimum": minimum}
    if maximum is not None:
        schema["maximum"] = maximum
    return BeforeValidator(parse), WithJsonSchema(schema)


def _one_of(name: str, *allowed: str) -> Any:
    sentence = f"{name} must be one of: {', '.join(allowed)}"

    def parse(value: object) -> str:
        if value not in allowed:
            raise PydanticCustomError("choice", "{sentence}", {"sentence": sentence})
        return str(value)

    return BeforeValidator(parse), WithJsonSchema({"type": "string", "enum": list(allowed)})


_LIMIT = "limit must be a positive integer"


class IdempotencyKey(WireModel):
    """The header of a request that may come again."""

    idempotency_key: Identifier | None = Field(default=None, alias="Idempotency-Key")


class ConversationListQuery(WireModel):
    """The query of ``GET /list``."""

    limit: Annotated[int, *_integer(_LIMIT, 1, 200, "limit must not be greater than 200")] = 50
    offset: Annotated[int, *_integer("offset must be a non-negative integer", 0, None)] = 0
    sort_by: Annotated[SortBy, *_one_of("sortBy", *get_args(SortBy))] = "lastAccessedAt"
    sort_order: Annotated[SortOrder, *_one_of("sortOrder", *get_args(SortOrder))] = "desc"


class MessagePageQuery(WireModel):
    """The query of ``GET /{conversationId}/messages``."""

    limit: Annotated[int, *_integer(_LIMIT, 1, 500, "limit must not be greater than 500")] = 100
    after: str | None = None
    order: Annotated[SortOrder, *_one_of("order", *get_args(SortOrder))] = "asc"


# --- Answers --------------------------------------------------------------------------------------


class Pagination(WireModel):
    """``total`` counts all conversations, whatever the page."""

    total: int
    limit: int
    offset: int
    has_more: bool


class MessagePagination(WireModel):
    """``next`` is the ``after`` of the following page; absent on the last one."""

    total: int
    limit: int
    has_more: bool
    next: str | None = None


class AgentConversationList(WireModel):
    conversations: list[AgentConversation]
    pagination: Pagination


class AgentConversationCreated(WireModel):
    success: Literal[True] = True
    conversation_id: ConversationId
    message: str
    conversation: AgentConversation


class AgentMessageAdded(WireModel):
    success: Literal[True] = True
    conversation_id: ConversationId
    message: str
    message_id: str
    message_count: int


class AgentMessagePage(WireModel):
    messages: list[AgentMessage]
    pagination: MessagePagination
