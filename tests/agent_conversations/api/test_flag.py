"""The feature flag: what is behind it, what is not, and which words switch it on."""

import io

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse
from pytest_django.fixtures import Settings
from redis import Redis

from config.env import read_environment
from tests.agent_conversations.api.routes import PREFIX, ROUTES

switched_off = override_settings(ELEVENLABS_AGENT_ENABLED=False)


def test_every_route_is_found() -> None:
    assert len(ROUTES) == len(set(ROUTES)) >= 10
    assert all("<" not in path and "(" not in path for _, path in ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("body", [b"", b"{}", b"no json"])
@switched_off
def test_switched_off_every_route_is_a_503_and_asks_redis_nothing(
    real_service: Redis, client: Client, method: str, path: str, body: bytes
) -> None:
    real_service.config_resetstat()

    response = client.generic(method, path, body, "application/json")

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    answer = response.json()
    assert answer.pop("error")
    assert answer.pop("message")
    assert answer == {"success": False, "code": "feature_disabled", "enabled": False}
    # The first is this test's own; INFO does not count itself.
    assert set(real_service.info("commandstats")) == {"cmdstat_config|resetstat"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_switched_on_no_route_says_that_it_is_off(
    real_service: Redis, client: Client, method: str, path: str
) -> None:
    response = client.generic(method, path, b"{}", "application/json")

    assert response.status_code != 503


@switched_off
def test_nothing_is_written_while_it_is_off(real_service: Redis, client: Client) -> None:
    client.post(f"{PREFIX}/new", {"conversationId": "c-1"}, "application/json")
    client.post(f"{PREFIX}/c-1/session", {"sessionUrl": "wss://host/push"}, "application/json")

    assert real_service.dbsize() == 0


def test_the_flag_is_read_at_each_request(
    real_service: Redis, client: Client, settings: Settings
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
        "docs",
        "redoc",
        "index",
    ],
)
@switched_off
def test_what_lies_outside_does_not_depend_on_it(
    real_service: Redis, client: Client, name: str
) -> None:
    assert client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("enabled", [True, False])
def test_health_and_index_tell_whether_it_is_on(
    real_service: Redis, client: Client, settings: Settings, enabled: bool
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = enabled

    health, page = client.get("/health").json(), client.get("/").content.decode()

    assert health["enabled"] is enabled
    assert ("ELEVENLABS_AGENT_ENABLED=true" in page) is not enabled


class TestVariable:
    @pytest.mark.parametrize("word", ["true", "TRUE", "True", " true "])
    def test_true_in_any_case_switches_it_on(
        self, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        monkeypatch.setenv("ELEVENLABS_AGENT_ENABLED", word)

        assert read_environment().elevenlabs_agent_enabled is True

    @pytest.mark.parametrize("word", ["", "false", "FALSE", "yes", "1", "on", "true!", "t"])
    def test_every_other_word_switches_it_off(
        self, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        monkeypatch.setenv("ELEVENLABS_AGENT_ENABLED", word)

        assert read_environment().elevenlabs_agent_enabled is False

    def test_without_it_the_feature_is_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ELEVENLABS_AGENT_ENABLED", raising=False)

        assert read_environment().elevenlabs_agent_enabled is False

    @pytest.mark.parametrize(
        ("word", "warned"),
        [("true", False), ("False", False), ("", False), ("yes", True), ("1", True), ("on", True)],
    )
    def test_the_system_check_warns_of_a_word_that_is_neither(
        self, monkeypatch: pytest.MonkeyPatch, settings: Settings, word: str, warned: bool
    ) -> None:
        monkeypatch.setenv("ELEVENLABS_AGENT_ENABLED", word)
        settings.ENVIRONMENT = read_environment()

        found = {message.id: message for message in run_checks()}

        assert ("elevenlabs_agent.W001" in found) is warned
        assert not warned or "true or false" in str(found["elevenlabs_agent.W001"].hint)

    def test_manage_py_check_prints_the_warning(
        self, monkeypatch: pytest.MonkeyPatch, settings: Settings
    ) -> None:
        monkeypatch.setenv("ELEVENLABS_AGENT_ENABLED", "yes")
        settings.ENVIRONMENT = read_environment()
        printed = io.StringIO()

        call_command("check", stderr=printed)

        assert "elevenlabs_agent.W001" in printed.getvalue()
        assert "ELEVENLABS_AGENT_ENABLED" in printed.getvalue()
