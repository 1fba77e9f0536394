"""The repositories of this process, built from Django's settings on first use."""

from collections.abc import Sequence
from functools import cache, lru_cache

from django.conf import settings
from django_redis import get_redis_connection

from agent_conversations.metrics import (
    REDIS_CONNECTIONS,
    REDIS_WAITING,
    SharedMetrics,
    commands,
    count_push,
    count_session,
)
from agent_conversations.served_requests import current
from agent_conversations.store.keys import READINESS_KEYS
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.webhooks import RefusedDeliveries, WebhookReceiver
from sessions_store.errors import StoreUnavailableError
from sessions_store.pushes import PushRepository
from sessions_store.redis.client import StoreClient
from sessions_store.redis.deployment import is_one_server
from sessions_store.redis.node import Node
from sessions_store.redis.rate_limit import RateLimiter
from sessions_store.redis.server_checks import ServerProblem, SharedCheck, check_server
from sessions_store.repository import SessionRepository

MOST_USERS = 1_000
"""Whose repositories are kept: one takes 20 µs to make."""


@cache
def metrics() -> SharedMetrics:
    return SharedMetrics(settings.METRICS_DIR)


@cache
def store() -> StoreClient:
    if is_one_server(settings.REDIS_URL):
        redis_client = get_redis_connection("default")
        client = StoreClient(redis_client, settings.REDIS_MAX_WAITING, settings.WRITE_ACKS)
    else:
        client = StoreClient.from_url(
            settings.REDIS_URL,
            max_waiting=settings.REDIS_MAX_WAITING,
            max_connections=settings.REDIS_MAX_CONNECTIONS,
            write_acks=settings.WRITE_ACKS,
        )
    client.observe = _observe
    return client


def _observe(operation: str, outcome: str, seconds: float) -> None:
    commands.append((operation, outcome))
    if served := current.get():
        served.redis_seconds += seconds


@cache
def sessions() -> SessionRepository:
    return SessionRepository(
        store(), encryption_keys=settings.SESSION_ENCRYPTION_KEYS, observe=count_session
    )


@cache
def pushes() -> PushRepository:
    return PushRepository(store(), sessions(), observe=count_push)


@cache
def conversations() -> ConversationRepository:
    return ConversationRepository(
        store(),
        retention_seconds=settings.CONVERSATION_RETENTION_SECONDS or None,
        max_messages=settings.CONVERSATION_MAX_MESSAGES,
        max_bytes=settings.CONVERSATION_MAX_BYTES,
        index_shards=settings.INDEX_SHARDS,
        encryption_keys=settings.CONVERSATION_ENCRYPTION_KEYS,
    )


@cache
def maintenance() -> ConversationMaintenance:
    return ConversationMaintenance(conversations())


@lru_cache(MOST_USERS)
def conversations_of(user_id: str | None) -> ConversationRepository:
    """Return the conversations of one user, or of all."""
    return conversations() if user_id is None else conversations().of_user(user_id)


@lru_cache(MOST_USERS)
def sessions_of(user_id: str | None) -> SessionRepository:
    """Return the sessions of one user's conversations, or all."""
    if user_id is None:
        return sessions()
    return sessions().checked(conversations_of(user_id).check_owner)


@lru_cache(MOST_USERS)
def pushes_of(user_id: str | None) -> PushRepository:
    """Return the pushes of one user's conversations, or all."""
    if user_id is None:
        return pushes()
    return pushes().checked(conversations_of(user_id).check_owner)


@cache
def webhooks() -> WebhookReceiver:
    return WebhookReceiver(
        conversations(),
        sessions(),
        secrets=settings.ELEVENLABS_WEBHOOK_SECRETS,
        refused=RefusedDeliveries(settings.REFUSED_WEBHOOKS_DIR),
    )


@cache
def session_rate() -> RateLimiter | None:
    """Return the rate limit of session registrations, ``None`` if there is none."""
    rate = settings.SESSION_RATE
    return RateLimiter(store(), "sessions", rate) if rate else None


def _nodes() -> Sequence[Node]:
    try:
        return store().nodes()
    except StoreUnavailableError:
        return ()


REDIS_CONNECTIONS.set_function(lambda: sum(node.open_connections for node in _nodes()))
REDIS_WAITING.set_function(lambda: sum(node.breaker.waiting for node in _nodes()))


def server_problems() -> list[ServerProblem]:
    """Return the problems of this service's Redis server."""
    return check_server(
        store(),
        READINESS_KEYS,
        conversations_expire=bool(settings.CONVERSATION_RETENTION_SECONDS),
    )


@cache
def readiness() -> SharedCheck:
    return SharedCheck(server_problems)
