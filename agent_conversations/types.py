"""Conversations, messages, requests and responses, as clients see them.

A field of a message is listed here and nowhere else; one of a conversation also in its stored
record, in ``store/records.py``.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from sessions_store.wire.clock import ms_from_iso
from sessions_store.wire.fields import (
    BoundedObject,
    ConversationId,
    Identifier,
    Seconds,
    Text,
    Timestamp,
    as_bounded_object,
)
from sessions_store.wire.model import STORED, Encoded, WireModel

Role = Literal["user", "assistant", "system", "tool"]
Source = Literal["voice", "text", "user_input", "agent_response", "tool_output", "system_event"]
Status = Literal["pending", "completed", "failed"]
RoleInRequest = Literal["user", "assistant", "system", "tool", "agent"]
WebhookOutcome = Literal["stored", "repeated", "ignored"]
SortBy = Literal["createdAt", "lastAccessedAt", "messageCount"]
SortOrder = Literal["asc", "desc"]


CONTENT_RULE = "must not be empty, except for the roles tool and assistant"
MAX_MESSAGES_AT_ONCE = 100

OUTCOME = "elevenlabs"
"""The key, in a conversation's metadata, of what ElevenLabs says of its last call."""
MAX_OUTCOME_BYTES = 256 * 1024


def _as_metadata(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Return metadata within their limits; the outcome, sent back as it was read, has its own."""
    if isinstance(value.get(OUTCOME), dict):
        as_bounded_object({key: own for key, own in value.items() if key != OUTCOME}, info)
        as_bounded_object(value[OUTCOME], info, MAX_OUTCOME_BYTES)
        return value
    return as_bounded_object(value, info)


Metadata = Annotated[dict[str, Any], AfterValidator(_as_metadata)]

# --- Messages and conversations -------------------------------------------------------------------


class AgentMessage(WireModel):
    """One thing that was said, or one call of a tool."""

    # The repository fills these in before a message is stored.
    always_in_responses: ClassVar[frozenset[str]] = frozenset({"timestamp", "messageId"})

    role: Annotated[
        Role,
        BeforeValidator(
            lambda role: "assistant" if role == "agent" else role,
            json_schema_input_type=RoleInRequest,
        ),
    ]
    """``agent``, as ElevenLabs' transcripts have it, is the ``assistant``."""
    content: Annotated[
        Text,
        BeforeValidator(lambda content: "" if content is None else content),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}, mode="validation"),
    ]
    """Empty only for the roles ``tool`` and ``assistant``, whose turn may be cut off at once."""
    timestamp: Timestamp | None = None
    source: Source | None = None
    message_id: Identifier | None = None
    tool_name: Text | None = None
    tool_args: BoundedObject | None = None
    tool_output: Text | None = None
    status: Status | None = None
    tool_call_id: Identifier | None = None
    """Links a call of a tool and its result."""
    interrupted: StrictBool | None = None
    """The user cut this turn off."""
    original_content: Text | None = None
    """What was generated, where ``content`` is only what was heard."""
    time_in_call_secs: Seconds | None = None

    @field_validator("content")
    @classmethod
    def _content_of_a_person(cls, content: str, info: ValidationInfo) -> str:
        # Of a role that was refused, it is unknown.
        role = info.data.get("role")
        may_be_empty = role in ("tool", "assistant", None) or info.context is STORED
        if not content and not may_be_empty:
            raise PydanticCustomError("content_empty", CONTENT_RULE)
        return content


class _FieldsOfClients(WireModel):
    """What a client sets of a conversation."""

    agent_id: Identifier | None = None
    user_id: Identifier | None = None
    metadata: Metadata | None = None


class AgentConversationWithoutMessages(_FieldsOfClients):
    """A conversation as a viewer in delta mode is sent it, who has the messages."""

    conversation_id: ConversationId
    message_count: int
    created_at: Timestamp
    last_accessed_at: Timestamp


class AgentConversation(AgentConversationWithoutMessages):
    """What a user and a voice agent said, as a client sees it."""

    messages: list[AgentMessage]
    """In a list only the newest; ``messageCount`` counts all."""


# --- Requests -------------------------------------------------------------------------------------


class NewConversation(_FieldsOfClients):
    """The body of ``POST /new``; all of it is optional."""

    conversation_id: ConversationId | None = None


class ConversationChanges(_FieldsOfClients):
    """The body of a PATCH: a given field replaces the stored one, ``null`` removes it."""

    def given(self) -> list[str]:
        """Return the JSON names of the fields that the request had, ``null`` ones included."""
        return [alias for name, alias in self._wire_names if name in self.model_fields_set]


class AgentMessagesRequest(WireModel):
    """The body of ``POST /{conversationId}/messages``."""

    messages: Annotated[list[AgentMessage], Field(min_length=1, max_length=MAX_MESSAGES_AT_ONCE)]


class MessageId(WireModel):
    """That of a path, under which a message is put."""

    message_id: Identifier


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
    cursor: str | None = Field(
        default=None,
        description="Instead of `offset`: the `next` of the page before, with the same sort and "
        "filters. No conversation that stays in its place is skipped or comes twice.",
    )
    message_limit: Annotated[
        int,
        *_integer(
            "messageLimit must be a non-negative integer",
            0,
            500,
            "messageLimit must not be greater than 500",
        ),
    ] = Field(
        default=50,
        description="How many messages of each conversation come along: its newest, in order. "
        "Fewer, where those of a page would have more than 32 MiB.",
    )
    sort_by: Annotated[SortBy, *_one_of("sortBy", *get_args(SortBy))] = "lastAccessedAt"
    sort_order: Annotated[SortOrder, *_one_of("sortOrder", *get_args(SortOrder))] = "desc"
    agent_id: Identifier | None = Field(default=None, description="Only this agent's.")
    user_id: Identifier | None = Field(default=None, description="Only this user's.")
    lowest: Annotated[int | None, WithJsonSchema({"type": "string"})] = Field(
        default=None,
        alias="from",
        description="Only conversations whose value of `sortBy` (ISO 8601, or a count) is this or "
        "higher.",
    )
    highest: Annotated[int | None, WithJsonSchema({"type": "string"})] = Field(
        default=None, alias="to", description="Likewise: this or lower."
    )

    @field_validator("cursor")
    @classmethod
    def _cursor_instead_of_offset(cls, cursor: str | None, info: ValidationInfo) -> str | None:
        if cursor is not None and info.data.get("offset"):
            raise PydanticCustomError("cursor_and_offset", "offset must not be sent with a cursor")
        return cursor

    @field_validator("lowest", "highest", mode="before")
    @classmethod
    def _value_of_sort_by(cls, value: object, info: ValidationInfo) -> int:
        """Return the milliseconds of a time, or a count."""
        text = str(value)
        sort_by = info.data.get("sort_by")
        if sort_by == "messageCount":
            if text.isascii() and text.isdigit() and len(text) <= 15:
                return int(text)
            allowed = "a non-negative integer"
        else:
            try:
                return ms_from_iso(text)
            except (ValueError, OverflowError):
                allowed = "ISO 8601 with an offset, such as 2026-11-23T16:20:45.123Z"
        raise PydanticCustomError(
            "value_of_sort_by",
            "must be {allowed}, where sortBy is {sort_by}",
            {"allowed": allowed, "sort_by": sort_by or "a time"},
        )


class MessagePageQuery(WireModel):
    """The query of ``GET /{conversationId}/messages``."""

    limit: Annotated[int, *_integer(_LIMIT, 1, 500, "limit must not be greater than 500")] = 100
    after: str | None = None
    order: Annotated[SortOrder, *_one_of("order", *get_args(SortOrder))] = "asc"


class ViewerQuery(WireModel):
    """The query of ``GET /ws``; ``id`` is another name of ``conversationId``.

    ``after`` and ``revision`` are those of the last frame that a viewer in delta mode has.
    """

    conversation_id: ConversationId
    mode: Annotated[Literal["delta"], *_one_of("mode", "delta")] | None = None
    after: Annotated[int, *_integer("after must be a non-negative integer", 0, None)] | None = None
    revision: str | None = None
    session_id: Identifier | None = Field(
        default=None,
        description="Of the tab that holds the session: it is given the pushes that wait for one.",
    )


# --- Responses ------------------------------------------------------------------------------------


class Pagination(WireModel):
    """``total`` counts the conversations of all pages, ``offset`` those before this one.

    ``next`` is the ``cursor`` of the following page; absent on the last one.
    """

    total: int
    limit: int
    offset: int
    has_more: bool
    next: str | None = None


class MessagePagination(WireModel):
    """``next`` is the ``after`` of the following page; absent on the last one."""

    total: int
    limit: int
    has_more: bool
    next: str | None = None


class AgentConversationList(WireModel):
    conversations: list[Encoded[AgentConversation]]
    pagination: Pagination


class _Written(WireModel):
    """``message`` is a sentence for a person."""

    success: Literal[True] = True
    conversation_id: ConversationId
    message: str


class AgentConversationCreated(_Written):
    conversation: Encoded[AgentConversation]


class AgentMessageAdded(_Written):
    message_id: str
    message_count: int


class AgentMessageResult(WireModel):
    """``replayed``: an earlier request with the same ``messageId`` has added the message."""

    message_id: str
    replayed: bool


class AgentMessagesAdded(_Written):
    """``messages`` are in the order in which they were sent."""

    message_count: int
    messages: list[AgentMessageResult]


class WebhookTaken(WireModel):
    """``ignored``: of no use here; ``repeated``: it was stored before."""

    success: Literal[True] = True
    outcome: WebhookOutcome


class AgentMessagePage(WireModel):
    messages: Encoded[list[AgentMessage]]
    pagination: MessagePagination
