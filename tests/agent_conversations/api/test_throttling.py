"""How often a client may register a session."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from tests.agent_conversations.api.conftest import bearer
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient, forget_services

pytestmark = pytest.mark.usefixtures("ten_a_minute")


@pytest.fixture
def ten_a_minute(settings: Settings, real_service: Redis) -> None:
    settings.SESSION_RATE = "10/min"
    forget_services()


def register(client: ServedClient, **extra: Any) -> Any:
    body = {"sessionUrl": "wss://host/push"}
    return client.post(f"{PREFIX}/c-1/session", body, "application/json", **extra)


def test_registration_over_the_limit_is_refused_with_retry_after(client: ServedClient) -> None:
    responses = [register(client) for _ in range(11)]

    assert [response.status_code for response in responses] == [201] * 10 + [429]
    assert responses[-1].json()["code"] == "rate_limited"
    assert 1 <= int(responses[-1].headers["Retry-After"]) <= 60


def test_limit_holds_exactly_under_concurrency() -> None:
    with ThreadPoolExecutor(12) as threads:
        codes = list(threads.map(lambda _: register(ServedClient()).status_code, range(60)))

    assert sorted(codes) == [201] * 10 + [429] * 50


def test_limit_counts_by_address_without_tokens(client: ServedClient) -> None:
    for _ in range(10):
        register(client, REMOTE_ADDR="192.0.2.1")

    assert register(client, REMOTE_ADDR="192.0.2.1").status_code == 429
    assert register(client, REMOTE_ADDR="192.0.2.2").status_code == 201


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [(1, "{client}"), (1, "192.0.2.99, {client}"), (2, "192.0.2.99, {client}, 198.51.100.1")],
)
def test_limit_counts_clients_behind_trusted_proxies(
    client: ServedClient, settings: Settings, proxies: int, seen: str
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}

    def status(address: str) -> int:
        forwarded = {"X-Forwarded-For": seen.format(client=address)}
        return int(register(client, headers=forwarded).status_code)

    assert [status("192.0.2.1") for _ in range(11)] == [201] * 10 + [429]
    assert status("192.0.2.2") == 201


def test_forwarded_address_is_not_believed_without_trusted_proxies(client: ServedClient) -> None:
    for number in range(10):
        register(client, headers={"X-Forwarded-For": f"192.0.2.{number}"})

    assert register(client, headers={"X-Forwarded-For": "192.0.2.11"}).status_code == 429


@pytest.mark.usefixtures("tokens")
def test_limit_counts_by_token_where_there_are_tokens(client: ServedClient) -> None:
    for _ in range(10):
        register(client, headers=bearer("a-long-enough-token"))

    assert register(client, headers=bearer("a-long-enough-token")).status_code == 429
    assert register(client, headers=bearer("another-long-token")).status_code == 201


def test_limit_is_for_registrations_alone(client: ServedClient) -> None:
    codes = {client.get(f"{PREFIX}/list").status_code for _ in range(15)}
    codes |= {client.get(f"{PREFIX}/c-1/session").status_code for _ in range(15)}

    assert codes == {200, 404}
