"""The repositories of this process, built from Django's settings on first use."""

from functools import cache

from django_redis import get_redis_connection

from agent_conversations.repository import ConversationRepository
from sessions_store.redis_client import StoreClient
from sessions_store.repository import SessionRepository


@cache
def store() -> StoreClient:
    return StoreClient(get_redis_connection("default"))


@cache
def sessions() -> SessionRepository:
    return SessionRepository(store())


@cache
def conversations() -> ConversationRepository:
    return ConversationRepository(store())


def forget() -> None:
    """Build them anew on next use, for tests that change the settings."""
    for repository in (store, sessions, conversations):
        repository.cache_clear()
