"""The keys of sessions and pushes, and the channel of a conversation.

Other services read sessions directly, so their key never changes. The keys of a push have the hash
tag of its conversation, in whose slot of a Redis Cluster they are.
"""

SESSION_PREFIX = "elevenlabs:session:"
CONVERSATION_PREFIX = "elevenlabs:conversation:"


def session_key(conversation_id: str) -> str:
    """String: the session's JSON."""
    return SESSION_PREFIX + conversation_id


def alias_key(session_id: str) -> str:
    """String: the conversation that a session, or an ElevenLabs call, is of."""
    return f"{{elevenlabs:conversations}}:alias:{session_id}"


def push_key(conversation_id: str, push_id: str) -> str:
    """Hash: a push, and what is known of it."""
    return f"{{{CONVERSATION_PREFIX}{conversation_id}}}:push:{push_id}"


def push_queue_key(conversation_id: str, session_id: str) -> str:
    """Sorted set: the ids of the pushes that wait for a tab of the session, by their creation."""
    return f"{{{CONVERSATION_PREFIX}{conversation_id}}}:pushes:{session_id}"


_CHANGES_SUFFIX = "}:changes"


def changes_channel(conversation_id: str) -> str:
    """Channel: what changes the conversation is published here, for those who watch it."""
    return f"{{{CONVERSATION_PREFIX}{conversation_id}{_CHANGES_SUFFIX}"


def conversation_of(channel: str) -> str:
    """Return the conversation id of a ``changes_channel``."""
    return channel.removeprefix("{" + CONVERSATION_PREFIX).removesuffix(_CHANGES_SUFFIX)
