"""The examples that several operations share."""

from typing import Any

from rest_framework.exceptions import UnsupportedMediaType

from agent_conversations.envelope import ERROR_RESPONSES
from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    PermissionDeniedError,
    ScopeMissingError,
)
from agent_conversations.store.repository import DEFAULT_MAX_MESSAGES
from sessions_store.errors import CorruptRecordError, InvalidRequestError, StoreUnavailableError

EXAMPLE_ID = "agent-1795423973269-5e9d21b07c3fa846"
USER_MESSAGE: dict[str, Any] = {
    "role": "user",
    "content": "What is left on my list for today?",
    "timestamp": "2026-11-23T08:53:01.412Z",
    "source": "voice",
    "messageId": "msg-1795423981412-0b7f4d92ac81e365",
}
ASSISTANT_MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": "Two things: the plumber, and …",
    "timestamp": "2026-11-23T08:53:05.034Z",
    "source": "agent_response",
    "messageId": "conv_9001k9a3:7:agent",
    "interrupted": True,
    "originalContent": "Two things: the plumber, and the plants, which want water.",
    "timeInCallSecs": 11.5,
}
TOOL_MESSAGE: dict[str, Any] = {
    "role": "tool",
    "content": "",
    "timestamp": "2026-11-23T08:53:03.120Z",
    "source": "tool_output",
    "messageId": "msg-1795423983120-c4a80e6d19b2f753",
    "toolName": "list_tasks",
    "toolArgs": {"day": "2026-11-23", "open": True},
    "toolOutput": "2 tasks: call the plumber, water the plants",
    "status": "completed",
    "toolCallId": "call_6b1f",
}
CONVERSATION: dict[str, Any] = {
    "conversationId": EXAMPLE_ID,
    "messages": [USER_MESSAGE, TOOL_MESSAGE],
    "messageCount": 2,
    "createdAt": "2026-11-23T08:52:53.269Z",
    "lastAccessedAt": "2026-11-23T08:53:03.120Z",
    "agentId": "agent_7101k5zvyjhmfg983brhmhkd98n6",
    "userId": "user_42",
    "metadata": {"title": "Today", "tags": []},
}
_OF_IT = {"conversationId": EXAMPLE_ID, "revision": "8c1f02ab77d4e90b35aa6c1d"}
FRAMES: dict[str, dict[str, Any]] = {
    "agent_conversation.snapshot": {**_OF_IT, "conversation": CONVERSATION},
    "agent_conversation.created": {**_OF_IT, "conversation": CONVERSATION},
    "agent_conversation.updated": {
        **_OF_IT,
        "conversation": CONVERSATION,
        "reason": "message_added",
    },
    "agent_conversation.deleted": {"conversationId": EXAMPLE_ID},
    "agent_conversation.messages_added": {
        **_OF_IT,
        "messages": [USER_MESSAGE],
        "messageCount": 3,
    },
    "agent_conversation.message_updated": {**_OF_IT, "message": ASSISTANT_MESSAGE, "index": 1},
    "agent_conversation.changed": {
        **_OF_IT,
        "conversation": {name: CONVERSATION[name] for name in CONVERSATION if name != "messages"},
    },
    "agent_session.push": {
        "conversationId": EXAMPLE_ID,
        "pushId": "report-42-done",
        "kind": "contextual_update",
        "text": "The report is done: 12 pages, in the user's inbox.",
        "contextId": "report",
    },
    "agent_session.push_result": {
        "pushId": "report-42-done",
        "ok": False,
        "reason": "The call has ended.",
    },
    "error": {
        "conversationId": EXAMPLE_ID,
        "error": str(ConversationNotFoundError()),
        "code": ERROR_RESPONSES[ConversationNotFoundError].code,
    },
}
"""What goes over the live socket, by its ``type``."""

# The exceptions whose text depends on what they are given.
_ARGUMENTS: dict[type[Exception], tuple[Any, ...]] = {
    StoreUnavailableError: ("TimeoutError",),
    CorruptRecordError: ("conversation", EXAMPLE_ID),
    ConversationExistsError: (EXAMPLE_ID,),
    ConversationFullError: ("messages", DEFAULT_MAX_MESSAGES),
    UnsupportedMediaType: ("text/plain",),
}


def example_error(error: type[Exception], invalid: tuple[str, str], scope: str | None) -> Exception:
    """Return an exception as it is raised; ``invalid`` is the field and sentence of a 400."""
    if error is PermissionDeniedError:
        return ScopeMissingError(str(scope))
    if error is InvalidRequestError:
        return InvalidRequestError.of_field(*invalid)
    return error(*_ARGUMENTS.get(error, ()))
