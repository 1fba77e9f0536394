"""Who may use the API, and how often."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from config.env import read_environment
from tests.agent_conversations.api.conftest import Api
from tests.agent_conversations.api.routes import ROUTES

API = "/agent-conversations/api"


@pytest.fixture
def tokens(settings: Settings, real_service: Redis) -> Redis:
    settings.API_TOKENS = {"a-long-enough-token": "frontend", "another-long-token": "callbacks"}
    return real_service


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("wrong"),
        bearer("a-long-enough-toke"),
        bearer("a-long-enough-token2"),
        bearer("ä"),
        basic("wrong"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "a-long-enough-token"},
    ],
    ids=str,
)
def test_without_the_right_token_every_route_is_a_401_and_asks_redis_nothing(
    tokens: Redis, client: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    tokens.config_resetstat()

    response = client.generic(method.upper(), path, headers=headers)

    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert not {"cmdstat_evalsha", "cmdstat_set", "cmdstat_del"} & set(tokens.info("commandstats"))


@pytest.mark.parametrize("token", ["a-long-enough-token", "another-long-token"])
def test_each_token_opens_the_api(tokens: Redis, client: Client, token: str) -> None:
    assert client.get(f"{API}/list", headers=bearer(token)).status_code == 200


def test_health_schema_and_docs_need_no_token(tokens: Redis, client: Client) -> None:
    for path in ("/health/live", "/health/ready", "/openapi.yaml", "/docs", "/redoc", "/"):
        assert client.get(path).status_code == 200, path


def test_a_switched_off_feature_says_so_to_everyone(
    tokens: Redis, client: Client, settings: Settings
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    assert client.get(f"{API}/list").json()["code"] == "feature_disabled"


def test_a_browser_is_told_how_to_log_in_and_can(tokens: Redis, client: Client) -> None:
    refused = client.get(f"{API}/list", headers={"Accept": "text/html"})
    let_in = client.get(
        f"{API}/list", headers={"Accept": "text/html", **basic("a-long-enough-token")}
    )

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert "token as password" in refused.headers["WWW-Authenticate"]
    assert let_in.status_code == 200


def test_another_sites_page_cannot_use_the_browsers_login(tokens: Redis, client: Client) -> None:
    headers = {**basic("a-long-enough-token"), "Sec-Fetch-Site": "cross-site"}

    assert client.post(f"{API}/new", headers=headers).status_code == 401


def test_the_schema_declares_the_token(client: Client) -> None:
    schema = client.get("/openapi.json").json()

    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, item in schema["paths"].items():
        for operation in item.values():
            expected: list[dict[str, list[str]]] = (
                [{"token": []}, {}] if path.startswith(API) else [{}]
            )
            assert operation.get("security", [{}]) == expected, path


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


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer", "Basic Og==", "Basic"])
def test_an_empty_token_opens_nothing(api: Api, settings: Settings, header: str | None) -> None:
    settings.API_TOKENS = {"": "alice"}

    response = api.get("/list", headers={"Authorization": header} if header else None)

    assert response.status_code == 401


class TestSessionRate:
    BODY = {"sessionUrl": "wss://host/push"}

    @pytest.fixture
    def limited(self, settings: Settings, real_service: Redis) -> Redis:
        settings.SESSION_RATE = "10/min"
        services.forget()
        return real_service

    def register(self, client: Client, **extra: Any) -> Any:
        return client.post(f"{API}/c-1/session", self.BODY, "application/json", **extra)

    def test_beyond_the_limit_is_a_429_with_retry_after(
        self, limited: Redis, client: Client
    ) -> None:
        answers = [self.register(client) for _ in range(11)]

        assert [answer.status_code for answer in answers] == [201] * 10 + [429]
        assert answers[-1].json()["code"] == "rate_limited"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60

    def test_holds_exactly_under_concurrency(self, limited: Redis) -> None:
        with ThreadPoolExecutor(12) as threads:
            codes = list(threads.map(lambda _: self.register(Client()).status_code, range(60)))

        assert sorted(codes) == [201] * 10 + [429] * 50

    def test_counts_by_address_where_there_are_no_tokens(
        self, limited: Redis, client: Client
    ) -> None:
        for _ in range(10):
            self.register(client, REMOTE_ADDR="192.0.2.1")

        assert self.register(client, REMOTE_ADDR="192.0.2.1").status_code == 429
        assert self.register(client, REMOTE_ADDR="192.0.2.2").status_code == 201

    def test_counts_by_token_where_there_are(
        self, limited: Redis, client: Client, settings: Settings
    ) -> None:
        settings.API_TOKENS = {"one-long-token-x": "one", "two-long-token-x": "two"}
        for _ in range(10):
            self.register(client, headers=bearer("one-long-token-x"))

        assert self.register(client, headers=bearer("one-long-token-x")).status_code == 429
        assert self.register(client, headers=bearer("two-long-token-x")).status_code == 201

    def test_limits_nothing_else(self, limited: Redis, client: Client) -> None:
        codes = {client.get(f"{API}/list").status_code for _ in range(15)}
        codes |= {client.get(f"{API}/c-1/session").status_code for _ in range(15)}

        assert codes == {200, 404}
