"""Cursors of message pages: a position, bound to the conversation and the order it was made for.

The position is that of the last message on a page, counted from the conversation's first, 0. The
digest is not secret, and a forged cursor shows nothing that a page would not. It makes sure that a
cursor of another conversation, of the other order, or cut off on its way is refused instead of
silently having another meaning.
"""

import hashlib
import re

from agent_conversations.types import SortOrder
from sessions_store.errors import InvalidRequestError

_SHAPE = re.compile(r"(\d{1,12})\.([0-9a-f]{12})", re.ASCII)


def encode_cursor(position: int, conversation_id: str, order: SortOrder) -> str:
    """Return the cursor of the page that follows the message at ``position``."""
    return f"{position}.{_digest(position, conversation_id, order)}"


def decode_cursor(cursor: str, conversation_id: str, order: SortOrder) -> int:
    """Return the position in ``cursor``.

    Raises:
        InvalidRequestError: not a cursor that was made for this conversation and order.
    """
    match = _SHAPE.fullmatch(cursor)
    if match and match[2] == _digest(int(match[1]), conversation_id, order):
        return int(match[1])
    sentence = "after must be the next of a page of this conversation in the same order"
    raise InvalidRequestError(sentence, {"after": [sentence]})


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


def _digest(position: int, conversation_id: str, order: SortOrder) -> str:
    source = f"{conversation_id}\n{order}\n{position}".encode()
    return hashlib.blake2s(source, digest_size=6).hexdigest()
