"""Conversations that another service kept, or that were exported, stored here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent_conversations.store.foreign_records import Change, mend
from agent_conversations.store.maintenance import (
    UNREADABLE,
    Advance,
    ConversationMaintenance,
    reason_of,
)
from sessions_store.errors import InvalidRequestError, WrongTypeError
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from sessions_store.wire.fields import check_conversation_id

NODE_PREFIX = "agent:conversation:"
NODE_LIST = "agent:conversations:list"
"""Where the earlier Node.js service kept its conversations, and the set of their ids."""


@dataclass
class Imported:
    """``missing``: ids of the earlier service's list that have no record."""

    imported: int = 0
    present: int = 0
    missing: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why, by the id of the record."""
    changes: dict[str, list[Change]] = field(default_factory=dict)
    """By the id of the conversation."""


def import_from_node(
    source: StoreClient,
    maintenance: ConversationMaintenance,
    advance: Advance,
    *,
    prefix: str = NODE_PREFIX,
    list_key: str = NODE_LIST,
    dry_run: bool = False,
) -> Imported:
    """Import the earlier Node.js service's conversations; its own records stay as they are.

    Safe to repeat: a conversation that exists here already is not changed.
    """
    result = Imported()
    for conversation_id in dict.fromkeys(_ids(source, prefix, list_key)):  # each once
        try:
            raw = source.get(prefix + conversation_id)
        except WrongTypeError:
            result.unreadable[conversation_id] = "is no string in Redis"
        else:
            if raw is None:
                result.missing += 1
            else:
                _import(maintenance, conversation_id, raw, result, dry_run=dry_run)
        advance(1)
    return result


def import_lines(
    lines: Iterable[bytes],
    maintenance: ConversationMaintenance,
    advance: Advance,
    *,
    dry_run: bool = False,
) -> Imported:
    """Import what ``export_conversations`` has written, a conversation a line.

    Safe to repeat: a conversation that exists here already is not changed.
    """
    result = Imported()
    for number, line in enumerate(lines, start=1):
        try:
            conversation_id = json_codec.decode_lossy(line)["conversationId"]
            check_conversation_id(conversation_id)
        except (ValueError, TypeError, KeyError, InvalidRequestError):
            result.unreadable[f"line {number}"] = "is no conversation with a valid conversationId"
        else:
            _import(maintenance, conversation_id, line, result, dry_run=dry_run)
        advance(1)
    return result


def _import(
    maintenance: ConversationMaintenance,
    conversation_id: str,
    raw: bytes,
    result: Imported,
    *,
    dry_run: bool,
) -> None:
    try:
        mended, changes = mend(conversation_id, raw)
        is_new = maintenance.import_legacy(conversation_id, mended, dry_run=dry_run)
    except UNREADABLE as error:
        result.unreadable[conversation_id] = reason_of(error)
    else:
        result.imported += is_new
        result.present += not is_new
        if is_new and changes:
            result.changes[conversation_id] = changes


def _ids(source: StoreClient, prefix: str, list_key: str) -> Iterator[str]:
    # Both: a record may lack its entry in the list, an entry its record.
    for batch in source.scan_set(list_key):
        yield from batch
    for batch in source.scan(prefix + "*"):
        yield from (key.removeprefix(prefix) for key in batch)
