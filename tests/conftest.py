"""Fixtures shared by all tests: a store over fakeredis and over the bundled server."""

from collections.abc import Callable, Iterator
from typing import Any

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
def stoppable_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A bundled server of the test's own, which it may stop."""
    with EmbeddedServer(tmp_path_factory.mktemp("stoppable")) as running:
        yield running


@pytest.fixture
def stoppable_store(stoppable_server: EmbeddedServer) -> Iterator[StoreClient]:
    """A store over ``stoppable_server``."""
    client = Redis.from_url(stoppable_server.url, **connection_options())
    yield StoreClient(client)
    client.close()


@pytest.fixture
def interrupted_store(raw_redis: Redis) -> Callable[[Callable[[], object]], StoreClient]:
    """Make a store in which another writer acts once, right after the first call to Redis."""

    class InterruptedStore(StoreClient):
        def __init__(self, intrude: Callable[[], object]) -> None:
            super().__init__(raw_redis)
            self._intrude: Callable[[], object] | None = intrude

        def call(self, command: Callable[[Redis], Any], *, repeatable: bool = False) -> Any:
            found = super().call(command, repeatable=repeatable)
            intrude, self._intrude = self._intrude, None
            if intrude is not None:
                intrude()
            return found

    return InterruptedStore


@pytest.fixture
def point_at(settings: Settings) -> Iterator[Callable[[str], None]]:
    """Point the Django service at the Redis server of a URL."""

    def point(url: str) -> None:
        default = {**settings.CACHES["default"], "LOCATION": url}
        settings.CACHES = {**settings.CACHES, "default": default}
        services.forget()

    yield point
    services.forget()


@pytest.fixture
def real_service(
    server: EmbeddedServer, real_redis: Redis, point_at: Callable[[str], None]
) -> Redis:
    """The Django service on the bundled server; gives a plain client of that server."""
    point_at(server.url)
    return real_redis
