"""The key of a session. Other services read sessions directly, so it never changes."""

SESSION_PREFIX = "elevenlabs:session:"


def session_key(conversation_id: str) -> str:
    return SESSION_PREFIX + conversation_id
