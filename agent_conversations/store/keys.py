"""The keys of conversations and of their index; no other module builds one.

The braces are a Redis Cluster hash tag: only the text between them is hashed. For the message list
that text is the key of the conversation's record, which has no braces and so is hashed whole: all
keys of one conversation are in one slot. The sorted sets of the index share another; where the
index is in shards, each shard has one of its own.

One key is made elsewhere too: the scripts on a conversation find its agent's and its user's ids in
its record, and make the keys of their sorted sets of those of all conversations, which they are
given (``lua/includes/owner_lists.lua``).
"""

import re
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


def index_tags(shards: int) -> Sequence[str]:
    """Return the hash tag of each shard of the index.

    The number of shards is in it, so that what an index of another number has is told from ours.
    """
    if shards == 1:
        return [_INDEX_TAG]
    return [f"{{elevenlabs:conversations:{number}/{shards}}}" for number in range(shards)]


def index_keys(agent_id: str | None, user_id: str | None, tag: str = _INDEX_TAG) -> Sequence[str]:
    """Return the sorted sets of one agent's, one user's, or both's conversations, or of all.

    Args:
        tag: of the shard.
    """
    if agent_id is not None and user_id is not None:
        # The length, in bytes, keeps apart what the colons in two ids could make look alike.
        owner = f"both:{len(agent_id.encode())}:{agent_id}:{user_id}"
    elif agent_id is not None:
        owner = f"agentId:{agent_id}"
    elif user_id is not None:
        owner = f"userId:{user_id}"
    else:
        return [f"{tag}:{field}" for field in SORT_FIELDS]
    return [f"{tag}:{owner}:{field}" for field in SORT_FIELDS]


def lists_of(
    agent_id: str | None, user_id: str | None, tag: str = _INDEX_TAG
) -> list[Sequence[str]]:
    """Return, three at a time, the sorted sets that a conversation with these ids is in.

    The first three are those of all conversations.

    Args:
        tag: of the conversation's shard.
    """
    pairs = ((None, None), (agent_id, None), (None, user_id), (agent_id, user_id))
    return list(dict.fromkeys(tuple(index_keys(*pair, tag)) for pair in pairs))


INDEX_PATTERN = "{elevenlabs:conversations*"
"""For SCAN: the index, whatever its number of shards, and some other keys."""

_INDEX_KEY = re.compile(
    r"(\{elevenlabs:conversations(?::\d+/\d+)?\}):((?:agentId|userId|both):.*:)?"
    f"(?:{'|'.join(SORT_FIELDS)})",
    re.ASCII | re.DOTALL,
)


def tag_and_owner(key: str) -> tuple[str, str] | None:
    """Return the shard's hash tag and the owner in a key of the index; ``None`` for another key.

    The owner is empty in a key of all conversations.
    """
    match = _INDEX_KEY.fullmatch(key)
    return match and (match[1], match[2] or "")


READINESS_KEYS = ["elevenlabs:readiness", f"{_INDEX_TAG}:readiness"]
"""Strings, the first of them empty and written to see whether the server takes writes. They are in
two slots, by which a single server is told from a node of a Cluster."""


def idempotency_key(digest: str) -> str:
    """String: the conversation id that a creation's ``Idempotency-Key`` was given.

    ``digest`` is that of the client's key, which may be of any length and content.
    """
    return f"{_INDEX_TAG}:idempotency:{digest}"
