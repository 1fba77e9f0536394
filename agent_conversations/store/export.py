"""Conversations as lines of JSON: to keep them elsewhere, to bring them back, to train on them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent_conversations.store.maintenance import Advance
from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from sessions_store.errors import CorruptRecordError, InvalidRequestError
from sessions_store.wire import json_codec

Format = Callable[[StoredConversation], bytes]


def export(
    conversations: ConversationRepository, advance: Advance, unreadable: dict[str, str]
) -> Iterator[StoredConversation]:
    """Yield every conversation once; reading it is no access.

    Args:
        unreadable: is given the reason for each conversation that cannot be read, by its id.
    """
    seen: set[str] = set()
    for batch in conversations.scan_ids():
        for conversation_id in batch:
            if conversation_id in seen:
                continue
            seen.add(conversation_id)
            try:
                part = conversations.find_part(conversation_id)
            except CorruptRecordError as error:
                unreadable[conversation_id] = error.reason
            except InvalidRequestError:
                unreadable[conversation_id] = "has an invalid id"
            else:
                if part is not None:  # deleted or expired since the scan saw it
                    yield part.conversation
        advance(len(batch))


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
