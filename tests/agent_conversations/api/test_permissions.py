"""The feature flag: what is behind it, and what is not."""

import pytest
from django.test import override_settings
from django.urls import reverse
from pytest_django.fixtures import Settings
from redis import Redis

from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.conftest import ServedClient

switched_off = override_settings(ELEVENLABS_AGENT_ENABLED=False)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("body", [b"", b"{}", b"no json"])
@switched_off
def test_switched_off_route_is_refused_before_redis(
    real_service: Redis, client: ServedClient, method: str, path: str, body: bytes
) -> None:
    real_service.config_resetstat()

    response = client.generic(method, path, body, "application/json")

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    found = response.json()
    assert found.pop("error")
    assert found.pop("message")
    assert found == {"success": False, "code": "feature_disabled", "enabled": False}
    # The first is this test's own; INFO does not count itself.
    assert set(real_service.info("commandstats")) == {"cmdstat_config|resetstat"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_switched_on_route_does_not_say_that_it_is_off(
    real_service: Redis, client: ServedClient, method: str, path: str
) -> None:
    response = client.generic(method, path, b"{}", "application/json")

    assert response.status_code != 503


@switched_off
def test_switched_off_feature_writes_nothing(real_service: Redis, client: ServedClient) -> None:
    client.post(f"{PREFIX}/new", {"conversationId": "c-1"}, "application/json")
    client.post(f"{PREFIX}/c-1/session", {"sessionUrl": "wss://host/push"}, "application/json")

    assert real_service.dbsize() == 0


def test_flag_is_read_at_each_request(
    real_service: Redis, client: ServedClient, settings: Settings
) -> None:
    statuses = []
    for enabled in (True, False, True):
        settings.ELEVENLABS_AGENT_ENABLED = enabled
        statuses.append(client.get(f"{PREFIX}/list").status_code)

    assert statuses == [200, 503, 200]


@pytest.mark.parametrize(
    "name",
    [
        "health",
        "health-live",
        "health-ready",
        "openapi-yaml",
        "openapi-json",
        "asyncapi-yaml",
        "docs",
        "redoc",
        "index",
    ],
)
@switched_off
def test_paths_beside_the_api_do_not_depend_on_the_flag(
    real_service: Redis, client: ServedClient, name: str
) -> None:
    assert client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("enabled", [True, False])
def test_health_and_index_say_whether_the_feature_is_on(
    real_service: Redis, client: ServedClient, settings: Settings, enabled: bool
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = enabled

    health, page = client.get("/health").json(), client.get("/").content.decode()

    assert health["enabled"] is enabled
    assert ("ELEVENLABS_AGENT_ENABLED=true" in page) is not enabled
