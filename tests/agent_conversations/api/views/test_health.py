"""Health: what it reports of Redis, and what it needs for that."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.server_checks import REFUSALS
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


def test_refused_write_is_logged_with_its_cause_and_remedy(
    client: ServedClient,
    stoppable_server: EmbeddedServer,
    point_at: Callable[[str], None],
    log: pytest.LogCaptureFixture,
) -> None:
    point_at(stoppable_server.url)
    with Redis.from_url(stoppable_server.url) as redis:
        redis.config_set("min-replicas-to-write", 1)

    status, body = read_readiness(client)

    assert status == 503
    assert body["advice"]["too_few_replicas"].startswith("NOREPLICAS: ")
    assert body["advice"]["too_few_replicas"] in log.text


def test_service_is_ready_where_it_may_not_ask(
    client: ServedClient, stoppable_server: EmbeddedServer, point_at: Callable[[str], None]
) -> None:
    with Redis.from_url(stoppable_server.url) as redis:
        redis.acl_setuser("default", enabled=True, commands=["-info", "-config"])
    point_at(stoppable_server.url)

    status, body = read_readiness(client)

    assert (status, body["redis"]) == (200, "ok")
    assert body["advice"].keys() == {"unknown"}


def test_permissions_that_are_advised_are_enough(
    api: Api,
    client: ServedClient,
    stoppable_server: EmbeddedServer,
    point_at: Callable[[str], None],
) -> None:
    advised = REFUSALS["NOPERM"].message.partition("(ACL SETUSER): ")[2].rstrip(".").split()
    with Redis.from_url(stoppable_server.url, protocol=2) as redis:
        redis.execute_command("ACL", "SETUSER", "me", "on", ">word", *advised)
    point_at(stoppable_server.url.replace("unix://", "unix://me:word@"))

    assert api.post("/new", {"conversationId": "c-1"}).status_code == 201
    assert api.post("/c-1/message", {"role": "user", "content": "Hello"}).status_code == 201
    assert api.get("/list").json()["pagination"]["total"] == 1
    assert api.post("/c-1/session", {"sessionUrl": "wss://host/push"}).status_code == 201
    assert api.delete("/c-1/session").status_code == 204
    assert api.delete("/c-1").status_code == 204
    assert client.get("/health/ready").json().keys() == {"status", "redis", "enabled"}


def test_server_is_checked_once_a_second_however_many_ask(
    client: ServedClient, real_service: Redis
) -> None:
    real_service.config_resetstat()
    began = time.monotonic()

    for _ in range(50):
        client.get("/health/ready")

    checks = real_service.info("commandstats")["cmdstat_info"]["calls"]
    assert 1 <= checks <= 1 + (time.monotonic() - began)


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
