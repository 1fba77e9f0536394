"""The keys of conversations and of their index; no other module builds one.

The braces are a Redis Cluster hash tag: only the text between them is hashed. For the message list
that text is the key of the conversation's record, which has no braces and so is hashed whole: all
keys of one conversation are in one slot. The sorted sets of the index share another.

One key is made elsewhere too: the scripts on a conversation find its agent's and its user's ids in
its record, and make the keys of their sorted sets of those of all conversations, which they are
given (``lua/includes/owner_lists.lua``).
"""

from collections.abc import Sequence

from sessions_store.keys import CONVERSATION_PREFIX

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


def deleted_key(conversation_id: str) -> str:
    """String: the digest of the ``Idempotency-Key`` that had made a conversation now deleted."""
    return f"{{{CONVERSATION_PREFIX}{conversation_id}}}:deleted"


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


def index_keys(agent_id: str | None, user_id: str | None) -> Sequence[str]:
    """Return the sorted sets of one agent's, one user's, or both's conversations, or of all."""
    if agent_id is not None and user_id is not None:
        # The length, in bytes, keeps apart what the colons in two ids could make look alike.
        owner = f"both:{len(agent_id.encode())}:{agent_id}:{user_id}"
    elif agent_id is not None:
        owner = f"agentId:{agent_id}"
    elif user_id is not None:
        owner = f"userId:{user_id}"
    else:
        return INDEX_KEYS
    return [f"{_INDEX_TAG}:{owner}:{field}" for field in SORT_FIELDS]


def index_key(sort_by: str, agent_id: str | None = None, user_id: str | None = None) -> str:
    """Return the one of them that has the order of ``sort_by``."""
    return index_keys(agent_id, user_id)[SORT_FIELDS.index(sort_by)]


def lists_of(agent_id: str | None, user_id: str | None) -> list[Sequence[str]]:
    """Return, three at a time, the sorted sets that a conversation with these ids is in."""
    pairs = ((None, None), (agent_id, None), (None, user_id), (agent_id, user_id))
    return list(dict.fromkeys(tuple(index_keys(*pair)) for pair in pairs))


OWNER_PATTERNS = [f"{_INDEX_TAG}:{owner}:*" for owner in ("agentId", "userId", "both")]
"""For SCAN: the sorted sets of all agents and users."""

READINESS_KEYS = ["elevenlabs:readiness", f"{_INDEX_TAG}:readiness"]
"""Strings, the first of them empty and written to see whether the server takes writes. They are in
the slots of no record and of the index."""


def idempotency_key(digest: str) -> str:
    """String: the conversation id that a creation's ``Idempotency-Key`` was given.

    ``digest`` is that of the client's key, which may be of any length and content.
    """
    return f"{_INDEX_TAG}:idempotency:{digest}"
