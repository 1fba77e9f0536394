"""Fixtures shared by the tests of sessions."""

import pytest
from redis import Redis

from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository


@pytest.fixture
def real_sessions(real_store: StoreClient) -> SessionRepository:
    """The repository on the bundled server alone, for what fakeredis cannot show."""
    return SessionRepository(real_store)


@pytest.fixture
def fake_sessions(fake_redis: Redis) -> SessionRepository:
    """The repository on fakeredis alone, whose time can be moved."""
    return SessionRepository(StoreClient(fake_redis))
