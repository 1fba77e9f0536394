"""The keys of sessions. Other services read a session directly, so its key never changes."""

SESSION_PREFIX = "elevenlabs:session:"


def session_key(conversation_id: str) -> str:
    return SESSION_PREFIX + conversation_id


def alias_key(session_id: str) -> str:
    """String: the conversation that a session, or an ElevenLabs call, is of."""
    return f"{{elevenlabs:conversations}}:alias:{session_id}"
