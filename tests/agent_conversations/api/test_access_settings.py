"""The settings of access: how they are read, and what the system checks report of them."""

import io

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from pytest_django.fixtures import Settings

from config.env import read_environment


def test_tokens_are_read_with_and_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKENS", "frontend:aaa, bbb ,,x:y:ccc")

    assert read_environment().api_tokens == {"aaa": "frontend", "bbb": "token-2", "ccc": "x:y"}


def test_a_list_of_nothing_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", " , ")

    assert read_environment().allowed_hosts == ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize(
    ("variables", "check_id"),
    [
        ({"API_TOKENS": "x:short"}, "elevenlabs_agent.W003"),
        ({"API_TOKENS": ""}, "elevenlabs_agent.W004"),
        ({"SESSION_RATE": "often"}, "elevenlabs_agent.E004"),
        ({"SESSION_ENCRYPTION_KEYS": "word"}, "elevenlabs_agent.E005"),
        ({"REDIS_URL": "localhost"}, "elevenlabs_agent.E001"),
        ({"PORT": "http"}, "elevenlabs_agent.E002"),
        ({"CONVERSATION_RETENTION_SECONDS": "1d"}, "elevenlabs_agent.E002"),
        ({"CORS_ALLOWED_ORIGINS": "app.example.com"}, "elevenlabs_agent.E003"),
        ({"LOG_LEVEL": "LOUD"}, "elevenlabs_agent.W002"),
        ({"PORT": "65536"}, "elevenlabs_agent.E002"),
        ({"WORKERS": "0"}, "elevenlabs_agent.E002"),
        ({"ALLOWED_HOSTS": "https://api.example.com"}, "elevenlabs_agent.E006"),
        ({"ALLOWED_HOSTS": "localhost:8000"}, "elevenlabs_agent.E006"),
        ({"API_TOKENS": "alice:"}, "elevenlabs_agent.E007"),
        ({"ALLOW_ANONYMOUS": "yes"}, "elevenlabs_agent.W005"),
        ({"REDIS_URL": "redis://host:99999/0"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host:port/0"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://["}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host/abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host/0?foo=bar"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host/0?socket_timeout=abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix://"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix:///run/valkey.sock?db=abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix:///run/valkey.sock?timeout=abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "rediss://host?ssl_cert_reqs=foo"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host?decode_responses=true"}, "elevenlabs_agent.E001"),
        ({"CORS_ALLOWED_ORIGINS": "http://[a"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a:b"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a b"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a?b"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a/"}, "elevenlabs_agent.E003"),
        ({"SESSION_RATE": "0/min"}, "elevenlabs_agent.E004"),
        ({"SESSION_RATE": "9999999999999/min"}, "elevenlabs_agent.E004"),
        ({"SESSION_RATE": "1/99999999999999year"}, "elevenlabs_agent.E004"),
        ({"API_TOKENS": "bob:t\u00f6ken-that-is-long-enough"}, "elevenlabs_agent.E008"),
        ({"API_TOKENS": "bob:token that is long enough"}, "elevenlabs_agent.E008"),
    ],
)
def test_the_system_check_tells_of_a_bad_value(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, variables: dict[str, str], check_id: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.ENVIRONMENT = read_environment()

    found = {message.id: message for message in run_checks(include_deployment_checks=True)}

    assert check_id in found
    assert found[check_id].hint


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"CONVERSATION_RETENTION_SECONDS": "0"},
        {"ALLOWED_HOSTS": "localhost,[::1],.example.com,*"},
        {"CORS_ALLOWED_ORIGINS": "https://app.example.com,http://localhost:3000,http://[::1]:80"},
        {"REDIS_URL": "redis://user:word@host:6380/3?socket_keepalive=true"},
        {"REDIS_URL": "rediss://host"},
        {"REDIS_URL": "unix:///run/valkey.sock?db=1"},
    ],
    ids=str,
)
def test_the_system_check_is_content_with_good_values(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.ENVIRONMENT = read_environment()

    assert [message.id for message in run_checks() if "elevenlabs" in str(message.id)] == []


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
