"""The frames that a viewer receives and sends, each a JSON object in a text frame."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, StrictBool

from agent_conversations.envelope import ERROR_RESPONSES
from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.types import (
    AgentConversation,
    AgentConversationWithoutMessages,
    AgentMessage,
)
from sessions_store.errors import CorruptRecordError, StoreUnavailableError
from sessions_store.push_types import PushContent
from sessions_store.wire.fields import ConversationId, Identifier, Text
from sessions_store.wire.model import Encoded, WireModel

Reason = Literal["message_added", "message_updated", "updated"]


class SnapshotFrame(WireModel):
    """The whole conversation: on connecting, and after the server was cut off from Redis."""

    type: Literal["agent_conversation.snapshot"] = "agent_conversation.snapshot"
    conversation_id: ConversationId
    conversation: Encoded[AgentConversation]
    revision: str


class CreatedFrame(WireModel):
    """The conversation came to be while this viewer waited for it."""

    type: Literal["agent_conversation.created"] = "agent_conversation.created"
    conversation_id: ConversationId
    conversation: Encoded[AgentConversation]
    revision: str


class UpdatedFrame(WireModel):
    """The whole conversation after a change; ``reason`` is that of the last one."""

    type: Literal["agent_conversation.updated"] = "agent_conversation.updated"
    conversation_id: ConversationId
    conversation: Encoded[AgentConversation]
    reason: Reason
    revision: str


class DeletedFrame(WireModel):
    """The conversation is gone; the server then closes with 1000."""

    type: Literal["agent_conversation.deleted"] = "agent_conversation.deleted"
    conversation_id: ConversationId


class MessagesAddedFrame(WireModel):
    """In delta mode: the messages that were appended, and how many there are now."""

    type: Literal["agent_conversation.messages_added"] = "agent_conversation.messages_added"
    conversation_id: ConversationId
    messages: Encoded[list[AgentMessage]]
    message_count: int
    revision: str


class MessageUpdatedFrame(WireModel):
    """In delta mode: the message at ``index``, from 0, was replaced."""

    type: Literal["agent_conversation.message_updated"] = "agent_conversation.message_updated"
    conversation_id: ConversationId
    message: Encoded[AgentMessage]
    index: int
    revision: str


class ChangedFrame(WireModel):
    """In delta mode: something other than the messages was changed."""

    type: Literal["agent_conversation.changed"] = "agent_conversation.changed"
    conversation_id: ConversationId
    conversation: Encoded[AgentConversationWithoutMessages]
    revision: str


def _list_codes(schema: dict[str, Any]) -> None:
    told = (ConversationNotFoundError, CorruptRecordError, StoreUnavailableError)
    schema["enum"] = sorted(ERROR_RESPONSES[error].code for error in told)


class ErrorFrame(WireModel):
    """Why there is nothing to see at the moment; the socket stays open."""

    type: Literal["error"] = "error"
    conversation_id: ConversationId
    error: str
    code: str = Field(json_schema_extra=_list_codes)


class PushFrame(PushContent):
    """For a tab that named its session: a push, which no other tab is given."""

    type: Literal["agent_session.push"] = "agent_session.push"
    conversation_id: ConversationId
    push_id: Identifier


class PushResultFrame(WireModel):
    """From that tab: whether it handed the text to its ElevenLabs client; the first one counts."""

    type: Literal["agent_session.push_result"] = "agent_session.push_result"
    push_id: Identifier
    ok: StrictBool
    reason: Text | None = Field(default=None, repr=False)


FRAMES: Sequence[type[WireModel]] = (
    SnapshotFrame,
    CreatedFrame,
    UpdatedFrame,
    DeletedFrame,
    MessagesAddedFrame,
    MessageUpdatedFrame,
    ChangedFrame,
    ErrorFrame,
    PushFrame,
)
"""All that are sent; ``type`` says which one a frame is."""

RECEIVED: Sequence[type[WireModel]] = (PushResultFrame,)


def type_of(frame: type[WireModel]) -> str:
    return str(frame.model_fields["type"].default)
