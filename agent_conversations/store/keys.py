"""The keys of conversations and of their index; no other module builds one.

The braces are a Redis Cluster hash tag: only the text between them is hashed. For the message list
that text is the key of the conversation's record, which has no braces and so is hashed whole: all
keys of one conversation are in one slot. The three sorted sets of the index share another.
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
    """Return the keys of a conversation: record, messages, message ids."""
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


READINESS_KEYS = ["elevenlabs:readiness", f"{_INDEX_TAG}:readiness"]
"""Strings, the first of them empty and written to see whether the server takes writes. They are in
the slots of no record and of the index."""


def idempotency_key(digest: str) -> str:
    """String: the conversation id that a creation's ``Idempotency-Key`` was given.

    ``digest`` is that of the client's key, which may be of any length and content.
    """
    return f"{_INDEX_TAG}:idempotency:{digest}"
