"""Health: what it reports of Redis, and what it needs for that."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from sessions_store.embedded.server import EmbeddedServer
from tests.agent_conversations.api.conftest import Api, assert_error
from tests.conftest import ServedClient


@pytest.fixture
def use_server(tmp_path: Path, point_at: Callable[[str], None]) -> Iterator[Callable[..., None]]:
    """Start a server with some options, and point the service at it."""
    with ExitStack() as stack:

        def start(**options: str) -> None:
            named = {name.replace("_", "-"): value for name, value in options.items()}
            point_at(stack.enter_context(EmbeddedServer(tmp_path, named)).url)

        yield start


def read_readiness(client: ServedClient) -> tuple[int, Any]:
    first, second = client.get("/health/ready"), client.get("/health")
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    return first.status_code, first.json()


def test_service_on_a_server_without_problems_is_ready(
    client: ServedClient, use_server: Callable[..., None]
) -> None:
    use_server()

    assert read_readiness(client) == (200, {"status": "ok", "redis": "ok", "enabled": True})


def test_readiness_reports_the_flag_and_does_not_depend_on_it(
    client: ServedClient, real_service: Redis, settings: Settings
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    status, body = read_readiness(client)

    assert (status, body["enabled"]) == (200, False)


def test_problems_of_the_server_come_with_advice(
    client: ServedClient, use_server: Callable[..., None]
) -> None:
    use_server(maxmemory_policy="allkeys-lru", appendonly="no")

    status, body = read_readiness(client)

    assert status == 200
    assert body["advice"].keys() == {"may_evict", "no_persistence"}
    assert "noeviction" in body["advice"]["may_evict"]


def test_service_on_a_replica_is_not_ready(
    client: ServedClient, use_server: Callable[..., None]
) -> None:
    use_server(replicaof="127.0.0.1 1")

    status, body = read_readiness(client)

    assert (status, body["code"]) == (503, "store_unavailable")
    assert "primary" in body["advice"]["read_only"]


def test_service_on_a_server_with_full_memory_is_not_ready(
    client: ServedClient, use_server: Callable[..., None]
) -> None:
    use_server(maxmemory="1")

    status, body = read_readiness(client)

    assert (status, body["code"]) == (503, "store_unavailable")
    assert "maxmemory" in body["advice"]["out_of_memory"]


def test_service_without_redis_is_alive_and_not_ready(
    client: ServedClient, point_at: Callable[[str], None]
) -> None:
    point_at("unix:///nowhere.sock")

    assert client.get("/health/live").json() == {"status": "ok"}
    status, body = read_readiness(client)
    assert (status, body["code"]) == (503, "store_unavailable")
    assert "nowhere" not in str(body)


def test_outage_ends_readiness_and_not_liveness(api_in_outage: Api, client: ServedClient) -> None:
    assert_error(client.get("/health/ready"), "store_unavailable")
    assert_error(client.get("/health"), "store_unavailable")
    assert client.get("/health/live").status_code == 200
