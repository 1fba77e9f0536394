"""Conversations as they are stored, read without an access: for the list and for maintenance."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from agent_conversations.store import keys, legacy, records
from agent_conversations.store.records import StoredConversation
from sessions_store.errors import CorruptRecordError, WrongTypeError
from sessions_store.redis.client import Command, StoreClient

_logger = logging.getLogger(__name__)


def find_conversations(
    store: StoreClient, conversation_ids: Sequence[str], *, one_moment: bool
) -> tuple[list[StoredConversation], list[str]]:
    """Return the conversations in the order of their ids, and the ids without a record.

    One round trip, and one more for each legacy record. A record that cannot be read is left out
    and logged.

    Args:
        one_moment: whether they are read as of the same moment; they must then be on one server.
    """
    conversations: list[StoredConversation] = []
    orphans: list[str] = []
    for conversation_id, *replies in _fetch(store, conversation_ids, one_moment):
        try:
            found = _decode(store, conversation_id, *replies)
        except CorruptRecordError as error:
            _logger.error(
                "A conversation is left out of the list",
                extra={"conversation_id": conversation_id, "reason": error.reason},
            )
            continue
        if found is None:
            orphans.append(conversation_id)
        else:
            conversations.append(found)
    return conversations, orphans


def verify_conversation(store: StoreClient, conversation_id: str) -> None:
    """Decode everything of a conversation, if there is one.

    Raises:
        CorruptRecordError: a part of it cannot be read.
    """
    for _, *replies in _fetch(store, [conversation_id], one_moment=True):
        found = _decode(store, conversation_id, *replies)
        for message in found.messages_json if found else ():
            records.decode_message(conversation_id, message)


def _fetch(
    store: StoreClient, conversation_ids: Sequence[str], one_moment: bool
) -> Iterator[tuple[str, Any, Any]]:
    commands: list[Command] = []
    for conversation_id in conversation_ids:
        commands.append(("HGETALL", keys.conversation_key(conversation_id)))
        commands.append(("LRANGE", keys.messages_key(conversation_id), 0, -1))
    replies = store.read_many(commands, one_moment=one_moment)
    return zip(conversation_ids, replies[::2], replies[1::2], strict=True)


def _decode(
    store: StoreClient, conversation_id: str, record: Any, messages: Any
) -> StoredConversation | None:
    if not record:
        return None
    try:
        if isinstance(record, WrongTypeError):
            raw = store.get(keys.conversation_key(conversation_id))
            return None if raw is None else legacy.convert(conversation_id, raw).conversation
        if isinstance(messages, WrongTypeError):
            raise messages
    except WrongTypeError:
        raise CorruptRecordError("conversation", conversation_id) from None
    return records.decode_conversation(conversation_id, record, messages)
