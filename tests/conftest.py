"""Fixtures shared by all tests: stores over fakeredis and the bundled server, and a client."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import time_machine
from cryptography.fernet import Fernet
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.http.response import ResponseHeaders
from django.test.client import Client, ClientHandler
from pytest_django.fixtures import Settings
from redis import Redis, RedisCluster

from agent_conversations import services
from agent_conversations.store.repository import ConversationRepository
from config.logging import logging_config
from config.wsgi import application
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.client import DEFAULT_MAX_WAITING, StoreClient
from sessions_store.redis.connections import ConnectionPool, connection_options
from sessions_store.redis.deployment import Deployment, deployment_of
from sessions_store.repository import SessionRepository
from tests.deployments import (
    HOST,
    PATIENCE_MS,
    ClusterServers,
    SentinelServers,
    cluster_servers,
    sentinel_servers,
)
from tests.faults.servers import mounted_small_disk
from tests.tls import TLS_KINDS, Certificates, make_certificates, tls_in_front_of


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tls", choices=TLS_KINDS, default=TLS_KINDS[0], help="what is shown to a server over TLS"
    )


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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls_client(
    server: EmbeddedServer, certificates: Certificates, pytestconfig: pytest.Config
) -> Iterator[Redis]:
    """A client of the bundled server over TLS, which shows it what ``--tls`` says."""
    with tls_in_front_of(server, certificates, pytestconfig.getoption("tls")) as url:
        pool = ConnectionPool.from_url(url, **connection_options())
        yield Redis(connection_pool=pool)
        pool.close()


@pytest.fixture
def tls_redis(tls_client: Redis) -> Redis:
    """The client of the bundled server over TLS; the server is empty."""
    tls_client.flushall()
    return tls_client


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    """A cluster of three primaries and three replicas, one for each worker of the test run."""
    with cluster_servers(tmp_path_factory.mktemp("cluster"), failure_ms=PATIENCE_MS) as servers:
        yield servers


@pytest.fixture(scope="session")
def cluster_client(cluster: ClusterServers) -> Iterator[Any]:
    """redis-py's own client of the cluster."""
    client: Any = RedisCluster(host=HOST, port=cluster.servers[0].port, protocol=2)
    yield client
    client.close()


@pytest.fixture
def cluster_redis(cluster: ClusterServers, cluster_client: Any) -> Any:
    """redis-py's own client of the cluster, which is empty."""
    cluster.flush()
    return cluster_client


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelServers]:
    """A primary, two replicas and three sentinels, one for each worker of the test run."""
    with sentinel_servers(tmp_path_factory.mktemp("sentinels"), failure_ms=PATIENCE_MS) as servers:
        yield servers


@pytest.fixture
def sentinel_redis(sentinels: SentinelServers) -> Redis:
    """A plain client of the primary, which is empty."""
    client: Redis = sentinels.primary().client
    client.flushall()
    return client


@pytest.fixture(params=["fake", "real", "tls", "sentinel", "cluster"])
def raw_redis(request: pytest.FixtureRequest) -> Redis:
    """The plain client under ``store``, for what a test writes and reads directly."""
    client: Redis = request.getfixturevalue(f"{request.param}_redis")
    return client


@pytest.fixture
def servers(raw_redis: Redis, request: pytest.FixtureRequest) -> Redis | Deployment:
    """What ``store`` is made with: as a service finds it, where that is not one server."""
    kind = request.node.callspec.params["raw_redis"]
    if kind not in ("sentinel", "cluster"):
        return raw_redis
    found = request.getfixturevalue("sentinels" if kind == "sentinel" else "cluster")
    return deployment_of(found.url, connection_options(), max_waiting=DEFAULT_MAX_WAITING)


@pytest.fixture
def store(servers: Redis | Deployment) -> StoreClient:
    return StoreClient(servers)


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
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[time_machine.Traveller]:
    """Python's time, standing still until a test moves it; a real server's own goes on.

    What comes after a ``shift`` has another millisecond on a real server too.
    """
    with time_machine.travel("2026-11-23T16:20:45.123Z", tick=False) as traveller:
        shift = traveller.shift

        def shift_both(seconds: float) -> None:
            shift(seconds)
            time.sleep(0.002)

        monkeypatch.setattr(traveller, "shift", shift_both)
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
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is a disk of its own, of 8 MiB."""
    folder = tmp_path_factory.mktemp("disk")
    with ExitStack() as stack:
        try:
            stack.enter_context(mounted_small_disk(folder))
        except PermissionError as error:
            # A right of the machine, not a tool: a container may be without it, in CI too.
            pytest.skip(str(error))
        yield folder


@pytest.fixture
def interrupted_store(servers: Redis | Deployment) -> Callable[[Callable[[], object]], StoreClient]:
    """Make a store in which another writer acts once, right after the first call to Redis."""

    class InterruptedStore(StoreClient):
        def __init__(self, intrude: Callable[[], object]) -> None:
            super().__init__(servers)
            self._intrude: Callable[[], object] | None = intrude

        def call(self, command: Callable[[Redis], Any], **options: Any) -> Any:
            found = super().call(command, **options)
            intrude, self._intrude = self._intrude, None
            if intrude is not None:
                intrude()
            return found

    return InterruptedStore


def forget_services() -> None:
    """Have the next use build the repositories, by the settings as they are then."""
    for one in vars(services).values():
        if hasattr(one, "cache_clear"):
            one.cache_clear()


@pytest.fixture
def point_at(settings: Settings) -> Iterator[Callable[[str], None]]:
    """Point the Django service at the Redis server of a URL."""

    def point(url: str) -> None:
        default = {**settings.CACHES["default"], "LOCATION": url}
        settings.CACHES = {**settings.CACHES, "default": default}
        settings.REDIS_URL = url
        forget_services()

    yield point
    forget_services()


@pytest.fixture
def real_service(
    server: EmbeddedServer, real_redis: Redis, point_at: Callable[[str], None]
) -> Redis:
    """The Django service on the bundled server; gives a plain client of that server."""
    point_at(server.url)
    return real_redis


@pytest.fixture
def encrypted_service(real_service: Redis, settings: Settings) -> Redis:
    """The Django service on the bundled server, with two keys for conversations."""
    settings.CONVERSATION_ENCRYPTION_KEYS = [Fernet.generate_key().decode() for _ in range(2)]
    forget_services()
    return real_service


class ServedHandler(ClientHandler):
    """Calls the WSGI application that is served, as a server does."""

    def __call__(self, environ: dict[str, Any]) -> Any:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body: Any = application(environ, lambda status, headers: started.append((status, headers)))
        content = b"".join(body)
        body.close()
        status, headers = started[0]
        if environ["REQUEST_METHOD"] == "HEAD":
            content = b""  # which a server does not send
        response: Any = HttpResponse(content, status=int(status[:3]), reason=status[4:])
        response.headers = ResponseHeaders(dict(headers))
        response.wsgi_request = WSGIRequest(environ)  # the test client reads it
        return response


class ServedClient(Client):
    """Django's test client in front of ``ServedHandler``: an exception is a 500, not raised."""

    def __init__(self, **options: Any) -> None:
        super().__init__(raise_request_exception=False, **options)
        self.handler = ServedHandler()


@pytest.fixture
def client() -> ServedClient:
    """In place of pytest-django's, which goes around ``config.wsgi``."""
    return ServedClient()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, at DEBUG and in the form in which the service writes it."""
    options = dict(logging_config("DEBUG")["formatters"]["line"])
    formatter = caplog.handler.formatter
    caplog.handler.setFormatter(options.pop("()")(**options))
    with caplog.at_level(logging.DEBUG):
        yield caplog
    caplog.handler.setFormatter(formatter)
