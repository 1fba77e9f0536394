"""``GET /metrics``, by the application that is served."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.access import Client, Tokens
from sessions_store.embedded.server import EmbeddedServer
from tests.agent_conversations.test_metrics import samples_of
from tests.conftest import ServedClient, forget_services
from tests.waiting import wait_until

TOKEN = "a-token-that-nobody-guesses"
API = "/agent-conversations/api"


@pytest.fixture(autouse=True)
def empty_folder(settings: Settings, tmp_path: Path) -> None:
    """Where no other process writes what it counts."""
    settings.METRICS_DIR = tmp_path
    forget_services()


def read(client: ServedClient, name: str, **labels: str) -> float:
    response = client.get("/metrics")
    assert response.status_code == 200
    return samples_of(response.content).get(name + str(sorted(labels.items())), 0)


@pytest.mark.usefixtures("real_service")
def test_metrics_are_text_in_no_cache(client: ServedClient) -> None:
    response = client.get("/metrics", HTTP_ACCEPT="application/openmetrics-text")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert b"# TYPE http_requests_total counter" in response.content


@pytest.mark.usefixtures("real_service")
def test_metrics_need_a_token_where_there_are_some(
    client: ServedClient, settings: Settings
) -> None:
    settings.API_TOKENS = Tokens({TOKEN: Client("prometheus", frozenset({"metrics"}))})

    refused = client.get("/metrics")
    allowed = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")

    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    assert refused.headers["Cache-Control"] == "no-store"
    assert refused.headers["Content-Type"] == "application/json"
    assert allowed.status_code == 200


@pytest.mark.usefixtures("real_service")
def test_metrics_are_there_while_the_feature_is_off(
    client: ServedClient, settings: Settings
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    assert client.get("/metrics").status_code == 200


@pytest.mark.usefixtures("real_service")
def test_metrics_are_for_any_host(client: ServedClient) -> None:
    assert client.get("/metrics", HTTP_HOST="10.1.2.3:8000").status_code == 200


@pytest.mark.usefixtures("real_service")
def test_route_of_a_request_is_its_pattern(client: ServedClient) -> None:
    labels = {"route": f"{API}/{{conversationId}}", "method": "GET", "status": "404"}
    before = read(client, "http_requests_total", **labels)

    client.get(f"{API}/somebody-s-conversation")
    text = client.get("/metrics").content

    assert read(client, "http_requests_total", **labels) == before + 1
    assert b"somebody" not in text


@pytest.mark.usefixtures("real_service")
def test_session_is_counted_with_its_time_left(client: ServedClient) -> None:
    events = ("registered", "found", "missed", "deleted")
    before = [read(client, "agent_sessions_total", event=event) for event in events]
    left_before = read(client, "agent_session_remaining_seconds_bucket", le="600.0")
    body = {"sessionUrl": "wss://api.elevenlabs.io/v1?token=secret", "sessionId": "s-1"}

    client.post(f"{API}/c-1/session", body, "application/json")
    client.get(f"{API}/c-1/session")
    client.delete(f"{API}/c-1/session?sessionId=s-1")
    client.delete(f"{API}/c-1/session")
    client.get(f"{API}/c-1/session")

    after = [read(client, "agent_sessions_total", event=event) for event in events]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1, 1]
    left = read(client, "agent_session_remaining_seconds_bucket", le="600.0")
    assert left == left_before + 1


@pytest.mark.usefixtures("real_service")
def test_replay_and_conflict_are_counted(client: ServedClient) -> None:
    replays = read(client, "agent_replays_total")
    conflicts = read(client, "agent_errors_total", code="message_conflict")
    client.post(f"{API}/new", {"conversationId": "c-1"}, "application/json")
    for content in ("Hello", "Hello", "Goodbye"):
        body = {"messageId": "m-1", "role": "user", "content": content}
        client.post(f"{API}/c-1/message", body, "application/json")

    assert read(client, "agent_replays_total") == replays + 1
    assert read(client, "agent_errors_total", code="message_conflict") == conflicts + 1


def test_evicted_keys_and_problems_of_redis_are_told(
    client: ServedClient, real_service: Redis
) -> None:
    evicted = read(client, "agent_redis_evicted_keys_total")
    real_service.config_set("maxmemory-policy", "allkeys-random")
    for number in range(100):
        real_service.set(f"filler-{number}", bytes(16 * 1024))
    try:
        real_service.config_set("maxmemory", real_service.info("memory")["used_memory"] - 64 * 1024)
        wait_until(lambda: read(client, "agent_redis_evicted_keys_total") > evicted)
        wait_until(lambda: read(client, "agent_redis_problem", code="may_evict") == 1)
    finally:
        real_service.config_set("maxmemory", 0)
        real_service.config_set("maxmemory-policy", "noeviction")


def test_outage_is_told_and_breaks_no_scrape(
    client: ServedClient,
    stoppable_server: EmbeddedServer,
    point_at: Callable[[str], None],
) -> None:
    point_at(stoppable_server.url)
    assert read(client, "agent_redis_up") == 1

    stoppable_server.stop()
    client.get(f"{API}/c-1")

    labels = {"operation": "read_conversation", "outcome": "NotConnectedError"}
    assert read(client, "redis_commands_total", **labels) >= 1
    assert read(client, "agent_errors_total", code="store_unavailable") >= 1
    assert read(client, "agent_redis_up") == 0
