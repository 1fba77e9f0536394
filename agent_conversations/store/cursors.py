"""Cursors of message pages: a position, bound to the conversation and the order it was made for.

The digest is no secret, and a forged cursor shows nothing that a page would not. It makes sure
that a cursor of another conversation, of the other order, or cut off on the way is refused instead
of silently meaning something else.
"""

import hashlib
import re

from sessions_store.errors import InvalidRequestError

_SHAPE = re.compile(r"(\d{1,12})\.([0-9a-f]{12})", re.ASCII)


def encode_cursor(position: int, conversation_id: str, order: str) -> str:
    """Return the cursor of the page that follows the message at ``position``."""
    return f"{position}.{_digest(position, conversation_id, order)}"


def decode_cursor(cursor: str, conversation_id: str, order: str) -> int:
    """Return the position in ``cursor``.

    Raises:
        InvalidRequestError: not a cursor that was made for this conversation and order.
    """
    match = _SHAPE.fullmatch(cursor)
    if match and match[2] == _digest(int(match[1]), conversation_id, order):
        return int(match[1])
    sentence = "after must be the next of a page of this conversation in the same order"
    raise InvalidRequestError(sentence, {"after": [sentence]})


def _digest(position: int, conversation_id: str, order: str) -> str:
    source = f"{conversation_id}\n{order}\n{position}".encode()
    return hashlib.blake2s(source, digest_size=6).hexdigest()
