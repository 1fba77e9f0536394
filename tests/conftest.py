"""Fixtures shared by all tests: a store over fakeredis and over the bundled server."""

from collections.abc import Iterator

import fakeredis
import pytest
import time_machine
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from agent_conversations.store.repository import ConversationRepository
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.client import StoreClient, connection_options
from sessions_store.repository import SessionRepository


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The bundled server, one for each worker of the test run."""
    with EmbeddedServer(tmp_path_factory.mktemp("valkey"), {"appendonly": "no"}) as running:
        yield running


@pytest.fixture
def real_redis(server: EmbeddedServer) -> Iterator[Redis]:
    """A plain client of the bundled server, which is empty."""
    client = Redis.from_url(server.url, **connection_options())
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def fake_redis() -> Iterator[Redis]:
    """A plain client of an empty fakeredis, whose time is Python's and can be moved."""
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), protocol=2)
    yield client
    client.close()


@pytest.fixture(params=["fake", "real"])
def raw_redis(request: pytest.FixtureRequest) -> Redis:
    """The plain client under ``store``, for what a test writes and reads directly."""
    client: Redis = request.getfixturevalue(f"{request.param}_redis")
    return client


@pytest.fixture
def store(raw_redis: Redis) -> StoreClient:
    return StoreClient(raw_redis)


@pytest.fixture
def sessions(store: StoreClient) -> SessionRepository:
    return SessionRepository(store)


@pytest.fixture
def conversations(store: StoreClient) -> ConversationRepository:
    return ConversationRepository(store)


@pytest.fixture
def real_store(real_redis: Redis) -> StoreClient:
    return StoreClient(real_redis)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Python's time, standing still until a test moves it; a real server's own goes on."""
    with time_machine.travel("2026-11-23T16:20:45.123Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def real_service(server: EmbeddedServer, real_redis: Redis, settings: Settings) -> Iterator[Redis]:
    """The Django service on the bundled server; gives a plain client of that server."""
    default = {**settings.CACHES["default"], "LOCATION": server.url}
    settings.CACHES = {**settings.CACHES, "default": default}
    services.forget()
    yield real_redis
    services.forget()
