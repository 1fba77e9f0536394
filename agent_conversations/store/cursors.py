"""Cursors: where a page ended, bound to what the page was one of.

That of a page of messages is the position of its last message, counted from the conversation's
first, 0; that of a page of the list is what its last conversation was sorted by, and its id. The
digest is not secret, and a forged cursor shows nothing that a page would not. It makes sure that a
cursor of another conversation, another order or other filters, or one that was cut off on its way,
is refused instead of silently having another meaning.
"""

import hashlib
import re
from typing import NamedTuple

from agent_conversations.types import SortBy, SortOrder
from sessions_store.errors import InvalidRequestError
from sessions_store.wire import json_codec

_MESSAGE_SHAPE = re.compile(r"(\d{1,12})\.([0-9a-f]{12})", re.ASCII)
_LIST_SHAPE = re.compile(r"(\d{1,15})\.([\w.-]{1,128})\.([0-9a-f]{12})", re.ASCII)


class Selection(NamedTuple):
    """Which conversations a page of the list is of, and in which order.

    ``lowest`` and ``highest`` are values of ``sort_by``, in milliseconds or as a count.
    """

    sort_by: SortBy = "lastAccessedAt"
    sort_order: SortOrder = "desc"
    agent_id: str | None = None
    user_id: str | None = None
    lowest: int | None = None
    highest: int | None = None


class Entry(NamedTuple):
    """A conversation in the list: its value of ``sort_by``, and its id."""

    score: int
    conversation_id: str


def encode_list_cursor(last: Entry, selection: Selection) -> str:
    """Return the cursor of the page that follows ``last``."""
    return f"{last.score}.{last.conversation_id}.{_list_digest(last, selection)}"


def decode_list_cursor(cursor: str, selection: Selection) -> Entry:
    """Return the last conversation of the page before.

    Raises:
        InvalidRequestError: not a cursor that was made for this selection.
    """
    match = _LIST_SHAPE.fullmatch(cursor)
    if match:
        last = Entry(int(match[1]), match[2])
        if match[3] == _list_digest(last, selection):
            return last
    raise InvalidRequestError.of_field(
        "cursor", "cursor must be the next of a page with the same sort and filters"
    )


def _list_digest(last: Entry, selection: Selection) -> str:
    return _hash(json_codec.encode([*last, *selection]))


def encode_message_cursor(position: int, conversation_id: str, order: SortOrder) -> str:
    """Return the cursor of the page that follows the message at ``position``."""
    return f"{position}.{_message_digest(position, conversation_id, order)}"


def decode_message_cursor(cursor: str, conversation_id: str, order: SortOrder) -> int:
    """Return the position in ``cursor``.

    Raises:
        InvalidRequestError: not a cursor that was made for this conversation and order.
    """
    match = _MESSAGE_SHAPE.fullmatch(cursor)
    if match and match[2] == _message_digest(int(match[1]), conversation_id, order):
        return int(match[1])
    raise InvalidRequestError.of_field(
        "after", "after must be the next of a page of this conversation in the same order"
    )


def _message_digest(position: int, conversation_id: str, order: SortOrder) -> str:
    return _hash(f"{conversation_id}\n{order}\n{position}".encode())


def page_range(position: int | None, limit: int, order: SortOrder) -> tuple[int, int]:
    """Return the indexes of the page after ``position`` (``None``: the first), as for LRANGE."""
    if order == "asc":
        first = 0 if position is None else position + 1
        return first, first + limit - 1
    if position is None:
        return -limit, -1
    if position == 0:
        return 1, 0  # an empty range: no message is before the first
    return max(0, position - limit), position - 1


def last_position(position: int | None, found: int, total: int, order: SortOrder) -> int | None:
    """Return the position of the last of ``found`` messages on the page after ``position``.

    ``None``: no page follows, because the conversation has no more of its ``total`` messages.
    """
    if order == "asc":
        last = found - 1 if position is None else position + found
        has_more = last < total - 1
    else:
        last = (total if position is None else position) - found
        has_more = last > 0
    return last if found and has_more else None


def _hash(source: bytes) -> str:
    return hashlib.blake2s(source, digest_size=6).hexdigest()
