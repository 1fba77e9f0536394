"""What each operation takes, answers and can fail with, and an example of each.

The schema, the documentation and the forms of the browsable API are made from this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework import exceptions

from agent_conversations.api.exceptions import FeatureDisabledError, RequestTooLargeError
from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
    PreconditionFailedError,
    SessionNotFoundError,
)
from agent_conversations.types import (
    AgentConversation,
    AgentConversationCreated,
    AgentConversationList,
    AgentMessage,
    AgentMessageAdded,
    AgentMessagePage,
    ConversationChanges,
    ConversationListQuery,
    MessagePageQuery,
    NewConversation,
)
from sessions_store.errors import CorruptRecordError, InvalidRequestError, StoreUnavailableError
from sessions_store.types import (
    WHAT_TO_SEND,
    AgentSessionRegistered,
    AgentSessionRegistration,
    AgentSessionStatus,
)
from sessions_store.wire.fields import CONVERSATION_ID_RULE
from sessions_store.wire.model import WireModel

Json = dict[str, Any]
ErrorTypes = tuple[type[Exception], ...]

_ALWAYS: ErrorTypes = (
    InvalidRequestError,
    exceptions.NotAcceptable,
    exceptions.NotAuthenticated,
    FeatureDisabledError,
    StoreUnavailableError,
    Exception,
)
_BODY: ErrorTypes = (RequestTooLargeError, exceptions.UnsupportedMediaType)


_BAD_LIMIT = ("limit", "limit must be a positive integer")
_BAD_ID = ("conversationId", CONVERSATION_ID_RULE)


@dataclass(frozen=True)
class Operation:
    """One row of the contract's table of routes."""

    operation_id: str
    tag: str
    summary: str
    success: int
    answer: type[WireModel] | None = None
    answer_example: Json | None = None
    request: type[WireModel] | None = None
    request_examples: Mapping[str, Json] = field(default_factory=dict)
    """By name; the first one fills in the form of the browsable API."""
    query: type[WireModel] | None = None
    refused: tuple[str, str] = _BAD_ID
    """A field and a sentence, for the example of a request that is refused."""
    own_errors: ErrorTypes = ()
    irreversible: str = ""
    """What cannot be undone after this operation, in a sentence; empty where nothing is lost."""
    repeatable: bool = False
    """Whether the same request again is answered with 200 and ``Idempotency-Replayed``."""

    @property
    def errors(self) -> ErrorTypes:
        return (*_ALWAYS, *(_BODY if self.request else ()), *self.own_errors)


EXAMPLE_ID = "agent-1795423973269-5iwhvn2en0a1"
_USER_MESSAGE: Json = {
    "role": "user",
    "content": "What is left on my list for today?",
    "timestamp": "2026-11-23T08:53:01.412Z",
    "source": "voice",
    "messageId": "msg-1795423981412-k3v9x2m1q8zt",
}
_TOOL_MESSAGE: Json = {
    "role": "tool",
    "content": "",
    "timestamp": "2026-11-23T08:53:03.120Z",
    "source": "tool_output",
    "messageId": "msg-1795423983120-0c7w5r2ynb4e",
    "toolName": "list_tasks",
    "toolArgs": {"day": "2026-11-23", "open": True},
    "toolOutput": "2 tasks: call the plumber, water the plants",
    "status": "completed",
}
_CONVERSATION: Json = {
    "conversationId": EXAMPLE_ID,
    "messages": [_USER_MESSAGE, _TOOL_MESSAGE],
    "createdAt": "2026-11-23T08:52:53.269Z",
    "lastAccessedAt": "2026-11-23T08:53:03.120Z",
    "agentId": "agent_7101k5zvyjhmfg983brhmhkd98n6",
    "metadata": {"title": "Today", "tags": []},
}
_WS_URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=…&token=…"

OPERATIONS: Mapping[str, Operation] = {
    "list": Operation(
        operation_id="listAgentConversations",
        tag="conversations",
        summary="List conversations, a page at a time",
        success=200,
        answer=AgentConversationList,
        answer_example={
            "conversations": [_CONVERSATION],
            "pagination": {"total": 1, "limit": 50, "offset": 0, "hasMore": False},
        },
        query=ConversationListQuery,
        refused=_BAD_LIMIT,
    ),
    "create": Operation(
        operation_id="createAgentConversation",
        tag="conversations",
        summary="Create a conversation",
        success=201,
        answer=AgentConversationCreated,
        answer_example={
            "success": True,
            "conversationId": EXAMPLE_ID,
            "message": "Agent conversation created",
            "conversation": {**_CONVERSATION, "messages": []},
        },
        request=NewConversation,
        request_examples={
            "With an agent": {
                "agentId": _CONVERSATION["agentId"],
                "metadata": {"title": "Today", "tags": []},
            },
            "With an id of the client's own": {"conversationId": "conv_9001k9a3"},
            "Empty": {},
        },
        own_errors=(ConversationExistsError, CorruptRecordError),
        repeatable=True,
    ),
    "retrieve": Operation(
        operation_id="getAgentConversation",
        tag="conversations",
        summary="Read a conversation with all its messages",
        success=200,
        answer=AgentConversation,
        answer_example=_CONVERSATION,
        own_errors=(ConversationNotFoundError, CorruptRecordError),
    ),
    "partial_update": Operation(
        operation_id="updateAgentConversation",
        tag="conversations",
        summary="Replace or remove a conversation's agent id or metadata",
        success=200,
        answer=AgentConversation,
        answer_example=_CONVERSATION,
        request=ConversationChanges,
        request_examples={
            "Replace the metadata": {"metadata": {"title": "Today", "tags": []}},
            "Remove the agent id": {"agentId": None},
        },
        own_errors=(ConversationNotFoundError, PreconditionFailedError, CorruptRecordError),
        irreversible="PATCH replaces the given fields whole; what stood there is gone.",
    ),
    "destroy": Operation(
        operation_id="deleteAgentConversation",
        tag="conversations",
        summary="Delete a conversation and all its messages",
        success=204,
        own_errors=(ConversationNotFoundError, PreconditionFailedError),
        irreversible="DELETE removes the conversation and all its messages for good.",
    ),
    "add_message": Operation(
        operation_id="addAgentMessage",
        tag="conversations",
        summary="Append a message",
        success=201,
        answer=AgentMessageAdded,
        answer_example={
            "success": True,
            "conversationId": EXAMPLE_ID,
            "message": "Message added",
            "messageId": _USER_MESSAGE["messageId"],
            "messageCount": 1,
        },
        request=AgentMessage,
        refused=("content", "content must not be empty, except for the role tool"),
        request_examples={
            "A user's voice": {
                "role": "user",
                "content": _USER_MESSAGE["content"],
                "source": "voice",
            },
            "A tool's output": {
                key: value
                for key, value in _TOOL_MESSAGE.items()
                if key not in ("timestamp", "messageId")
            },
            "With every field": _TOOL_MESSAGE,
        },
        own_errors=(
            ConversationNotFoundError,
            MessageConflictError,
            ConversationFullError,
            CorruptRecordError,
        ),
        irreversible="A message that was added cannot be changed or taken back.",
        repeatable=True,
    ),
    "list_messages": Operation(
        operation_id="listAgentMessages",
        tag="conversations",
        summary="Read some of a conversation's messages",
        success=200,
        answer=AgentMessagePage,
        answer_example={
            "messages": [_USER_MESSAGE],
            "pagination": {
                "total": 2,
                "limit": 1,
                "hasMore": True,
                "next": "0.9f2c41d07be3",
            },
        },
        query=MessagePageQuery,
        refused=_BAD_LIMIT,
        own_errors=(ConversationNotFoundError, CorruptRecordError),
    ),
    "register_session": Operation(
        operation_id="registerAgentSession",
        tag="sessions",
        summary="Register the live connection of a conversation",
        success=201,
        answer=AgentSessionRegistered,
        answer_example={
            "success": True,
            "message": "Agent session registered",
            "conversationId": EXAMPLE_ID,
            "sessionId": "sess_42",
            "createdAt": "2026-11-23T08:52:54.001Z",
            "ttl": 600,
        },
        request=AgentSessionRegistration,
        refused=(
            "body",
            "A session id alone cannot reach the agent: a URL rebuilt from it lacks its token. "
            + WHAT_TO_SEND,
        ),
        request_examples={
            "Today's frontend": {
                "sessionUrl": _WS_URL,
                "sessionId": "sess_42",
                "metadata": {"tab": 1},
            },
            "With the payload": {
                "sessionPayload": {"config": {"wsUrl": _WS_URL}, "features": []},
                "agentSessionId": "sess_42",
                "transport": "websocket",
                "expiresAt": "2026-11-23T09:02:54.000Z",
            },
        },
        own_errors=(exceptions.Throttled,),
        irreversible="POST replaces the session that is registered, if there is one.",
    ),
    "retrieve_session": Operation(
        operation_id="getAgentSession",
        tag="sessions",
        summary="See whether a session is registered, and for how long",
        success=200,
        answer=AgentSessionStatus,
        answer_example={
            "conversationId": EXAMPLE_ID,
            "sessionId": "sess_42",
            "transport": "websocket",
            "createdAt": "2026-11-23T08:52:54.001Z",
            "ttl": 600,
            "expiresInSeconds": 574,
        },
        own_errors=(SessionNotFoundError, CorruptRecordError),
    ),
    "destroy_session": Operation(
        operation_id="deleteAgentSession",
        tag="sessions",
        summary="Forget the session, or only the one with a given id",
        success=204,
        own_errors=(CorruptRecordError,),
        irreversible="DELETE forgets the session: callbacks cannot reach the agent any more.",
    ),
}


def operation_of(view: Any, method: str) -> Operation | None:
    """Return the operation that ``method`` has on a view's path."""
    action = getattr(view, "action_map", {}).get(method.lower(), "")
    return OPERATIONS.get(action)
