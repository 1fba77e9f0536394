"""Health: what it tells of Redis, and what it needs for that."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from sessions_store.embedded.server import EmbeddedServer
from tests.conftest import ServedClient

Point = Callable[[str], None]


@pytest.fixture
def point_at(settings: Settings) -> Iterator[Point]:
    """Point the service at another Redis."""

    def point(url: str) -> None:
        default = {**settings.CACHES["default"], "LOCATION": url}
        settings.CACHES = {**settings.CACHES, "default": default}
        services.forget()

    yield point
    services.forget()


@pytest.fixture
def server_with(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a server with some options and give its URL."""
    with ExitStack() as stack:

        def start(**options: str) -> str:
            named = {name.replace("_", "-"): value for name, value in options.items()}
            return stack.enter_context(EmbeddedServer(tmp_path, named)).url

        yield start


def ready(client: ServedClient) -> tuple[int, Any]:
    first, second = client.get("/health/ready"), client.get("/health")
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    return first.status_code, first.json()


def test_a_fit_server(
    client: ServedClient, point_at: Point, server_with: Callable[..., str]
) -> None:
    point_at(server_with())

    assert ready(client) == (200, {"status": "ok", "redis": "ok", "enabled": True})


def test_the_flag_is_told_and_does_not_matter(
    client: ServedClient, real_service: Redis, settings: Settings
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    status, body = ready(client)

    assert (status, body["enabled"]) == (200, False)


def test_an_unfit_server_comes_with_advice(
    client: ServedClient, point_at: Point, server_with: Callable[..., str]
) -> None:
    point_at(server_with(maxmemory_policy="allkeys-lru", appendonly="no"))

    status, body = ready(client)

    assert status == 200
    assert body["advice"].keys() == {"may_evict", "no_persistence"}
    assert "noeviction" in body["advice"]["may_evict"]


def test_a_replica_is_not_ready(
    client: ServedClient, point_at: Point, server_with: Callable[..., str]
) -> None:
    point_at(server_with(replicaof="127.0.0.1 1"))

    status, body = ready(client)

    assert (status, body["code"]) == (503, "store_unavailable")
    assert "primary" in body["advice"]["read_only"]


def test_a_server_whose_memory_is_full_is_not_ready(
    client: ServedClient, point_at: Point, server_with: Callable[..., str]
) -> None:
    point_at(server_with(maxmemory="1"))

    status, body = ready(client)

    assert (status, body["code"]) == (503, "store_unavailable")
    assert "maxmemory" in body["advice"]["out_of_memory"]


def test_without_redis_it_is_alive_and_not_ready(client: ServedClient, point_at: Point) -> None:
    point_at("unix:///nowhere.sock")

    assert client.get("/health/live").json() == {"status": "ok"}
    status, body = ready(client)
    assert (status, body["code"]) == (503, "store_unavailable")
    assert "nowhere" not in str(body)
