"""Every key of a conversation and of the list, and nothing else builds one.

The braces are a Redis Cluster hash tag: only the text between them is hashed. For the message list
that text is the conversation's own main key, which has no braces and is therefore hashed whole, so
all keys of one conversation lie in one slot. The three index sets share another.
"""

CONVERSATION_PREFIX = "elevenlabs:conversation:"
_INDEX_TAG = "{elevenlabs:conversations}"


def conversation_key(conversation_id: str) -> str:
    """Hash: everything about the conversation but its messages."""
    return CONVERSATION_PREFIX + conversation_id


def messages_key(conversation_id: str) -> str:
    """List: one JSON object a message, in order."""
    return f"{{{CONVERSATION_PREFIX}{conversation_id}}}:messages"


def message_ids_key(conversation_id: str) -> str:
    """Hash: message id to the message's position in the list."""
    return f"{{{CONVERSATION_PREFIX}{conversation_id}}}:messageIds"


def record_keys(conversation_id: str) -> list[str]:
    """Return every key that one conversation has, in the order in which scripts take them."""
    return [
        conversation_key(conversation_id),
        messages_key(conversation_id),
        message_ids_key(conversation_id),
    ]


SORT_FIELDS = ("createdAt", "lastAccessedAt", "messageCount")
INDEX_KEYS = [f"{_INDEX_TAG}:{field}" for field in SORT_FIELDS]
"""Sorted sets, member a conversation id; the scores are milliseconds, milliseconds, a count."""


def index_key(sort_by: str) -> str:
    return INDEX_KEYS[SORT_FIELDS.index(sort_by)]


def idempotency_key(digest: str) -> str:
    """String: the conversation id that a creation's ``Idempotency-Key`` was given.

    ``digest`` stands for the client's key, which may be of any length and content.
    """
    return f"{_INDEX_TAG}:idempotency:{digest}"
