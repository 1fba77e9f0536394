"""Conversations as lines of JSON: to keep them elsewhere, to bring them back, to train on them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent_conversations.store.records import StoredConversation
from sessions_store.wire import json_codec

Format = Callable[[StoredConversation], bytes]


def as_stored(conversation: StoredConversation) -> bytes:
    """Return all of it, as the API does: what ``import_conversations`` takes."""
    return conversation.to_json()


def as_chat(conversation: StoredConversation) -> bytes:
    """Return its messages as those of a chat completion, which models are trained with.

    A tool's call becomes two: the assistant's, and the tool's result where there is one.
    """
    messages = [entry for message in conversation.messages for entry in _chat(message.to_wire())]
    return json_codec.encode({"messages": messages})


def _chat(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if message["role"] != "tool":
        yield {"role": message["role"], "content": message["content"]}
        return
    call_id = message.get("toolCallId") or message["messageId"]
    function = {
        "name": message.get("toolName", ""),
        "arguments": json_codec.encode(message.get("toolArgs", {})).decode(),
    }
    call = {"id": call_id, "type": "function", "function": function}
    yield {"role": "assistant", "content": None, "tool_calls": [call]}
    result = message.get("toolOutput", message["content"])
    if result or message.get("status") != "pending":
        yield {"role": "tool", "content": result, "tool_call_id": call_id}


FORMATS: Mapping[str, Format] = {"conversations": as_stored, "chat": as_chat}
