"""Who may use the API."""

import base64
import re
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.access import SCOPES, Client, Tokens
from tests.agent_conversations.api.conftest import Api, assert_error, bearer
from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.conftest import ServedClient

pytestmark = pytest.mark.usefixtures("real_service", "tokens")


SCOPE_OF = {
    ("GET", "/list"): "read",
    ("POST", "/new"): "write",
    ("GET", "/ws"): "read",
    ("GET", "/c-1"): "read",
    ("PATCH", "/c-1"): "write",
    ("DELETE", "/c-1"): "erase",
    ("POST", "/c-1/message"): "write",
    ("GET", "/c-1/messages"): "read",
    ("POST", "/c-1/messages"): "write",
    ("GET", "/c-1/messages/m-1"): "read",
    ("PUT", "/c-1/messages/m-1"): "write",
    ("GET", "/c-1/session"): "read",
    ("POST", "/c-1/session"): "write",
    ("DELETE", "/c-1/session"): "write",
    ("POST", "/c-1/push"): "push",
    ("GET", "/c-1/push/p-1"): "read",
}
"""The scope that each operation needs."""


PAGE = Path(__file__).parents[3] / "docs" / "access.md"


def test_page_on_access_has_each_scope_and_its_routes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    documented = {
        (method, path): scope
        for scope, text in rows
        for method, path in re.findall(r"`([A-Z]+) (/\S+)`", text.partition(";")[0])
        if scope in SCOPES
    }
    ids = {"c-1": "{conversationId}", "m-1": "{messageId}", "p-1": "{pushId}"}

    assert {scope for scope, _ in rows} >= SCOPES
    assert documented == {
        (method, re.sub("c-1|m-1|p-1", lambda found: ids[found[0]], path)): scope
        for (method, path), scope in SCOPE_OF.items()
    }


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
def test_request_without_a_valid_token_is_refused_before_redis(
    real_service: Redis, client: ServedClient, method: str, path: str, headers: dict[str, str]
) -> None:
    real_service.config_resetstat()

    response = client.generic(method.upper(), path, headers=headers)

    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    commands = set(real_service.info("commandstats"))
    assert not {"cmdstat_evalsha", "cmdstat_set", "cmdstat_del"} & commands


@pytest.mark.parametrize("token", ["a-long-enough-token", "another-long-token"])
def test_each_token_opens_the_api(client: ServedClient, token: str) -> None:
    assert client.get(f"{PREFIX}/list", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer", "Basic Og==", "Basic"])
def test_empty_token_opens_nothing(api: Api, settings: Settings, header: str | None) -> None:
    settings.API_TOKENS = Tokens({"": Client("alice")})

    response = api.get("/list", headers={"Authorization": header} if header else None)

    assert response.status_code == 401


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_token_without_the_scope_is_refused_before_redis(
    real_service: Redis, client: ServedClient, settings: Settings, method: str, path: str
) -> None:
    scope = SCOPE_OF[method, path.removeprefix(PREFIX)]
    settings.API_TOKENS = Tokens({"all-but-one-scope": Client("a", SCOPES - {scope})})
    real_service.config_resetstat()

    response = client.generic(method, path, headers=bearer("all-but-one-scope"))

    body = assert_error(response, "permission_denied")
    assert body["error"] == f"This needs a token with the scope {scope}."
    assert set(real_service.info("commandstats")) == {"cmdstat_config|resetstat"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_token_with_just_the_scope_is_let_through(
    client: ServedClient, settings: Settings, method: str, path: str
) -> None:
    scope = SCOPE_OF[method, path.removeprefix(PREFIX)]
    settings.API_TOKENS = Tokens({"only-this-scope": Client("a", frozenset({scope}))})

    response = client.generic(method, path, headers=bearer("only-this-scope"))

    assert response.status_code not in {401, 403, 500}


@pytest.mark.parametrize(
    ("path", "scope"), [("/metrics", "metrics"), ("/watch", "read"), ("/watch/c-1", "read")]
)
def test_metrics_and_pages_have_scopes_too(
    client: ServedClient, settings: Settings, path: str, scope: str
) -> None:
    settings.API_TOKENS = Tokens(
        {
            "only-this-scope": Client("a", frozenset({scope})),
            "all-but-one-scope": Client("b", SCOPES - {scope}),
        }
    )

    assert client.get(path, headers=bearer("only-this-scope")).status_code == 200
    assert client.get(path, headers=bearer("all-but-one-scope")).status_code == 403


def test_page_has_no_form_for_what_the_token_may_not(
    client: ServedClient, settings: Settings, api: Api
) -> None:
    assert api.post("/new", {"conversationId": "c-1"}, headers=bearer("another-long-token"))
    settings.API_TOKENS = Tokens({"only-for-reading": Client("a", frozenset({"read"}))})
    headers = {"Accept": "text/html", **basic("only-for-reading")}

    page = client.get(f"{PREFIX}/c-1", headers=headers)

    assert page.status_code == 200
    assert b'data-method="DELETE"' not in page.content
    assert b'data-method="PATCH"' not in page.content


def test_refused_method_needs_no_scope(api: Api, settings: Settings) -> None:
    settings.API_TOKENS = Tokens({"only-for-metrics": Client("a", frozenset({"metrics"}))})

    assert_error(api.put("/list", headers=bearer("only-for-metrics")), "method_not_allowed")


def test_health_schema_and_docs_need_no_token(client: ServedClient) -> None:
    for path in (
        "/health/live",
        "/health/ready",
        "/openapi.yaml",
        "/asyncapi.yaml",
        "/docs",
        "/redoc",
        "/",
    ):
        assert client.get(path).status_code == 200, path


def test_switched_off_feature_says_so_without_a_token(
    client: ServedClient, settings: Settings
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    assert client.get(f"{PREFIX}/list").json()["code"] == "feature_disabled"


def test_browser_is_asked_to_log_in_and_can(client: ServedClient) -> None:
    refused = client.get(f"{PREFIX}/list", headers={"Accept": "text/html"})
    let_in = client.get(
        f"{PREFIX}/list", headers={"Accept": "text/html", **basic("a-long-enough-token")}
    )

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert "token as password" in refused.headers["WWW-Authenticate"]
    assert let_in.status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 401),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:3000"}, 401),
        ({"Origin": "https://elsewhere.example"}, 401),
        ({"Origin": "http://localhost:3000"}, 401),
        ({"Origin": "http://testserver"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
    ids=str,
)
def test_page_of_another_site_cannot_use_the_browsers_login(
    client: ServedClient, sent: dict[str, str], status: int
) -> None:
    headers = {**basic("a-long-enough-token"), **sent}

    assert client.get(f"{PREFIX}/list", headers=headers).status_code == status


def test_schema_declares_the_token(client: ServedClient) -> None:
    schema = client.get("/openapi.json").json()

    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            route = method.upper(), _ROUTE_OF.get(path, "")
            expected = [{"token": [SCOPE_OF[route]]}, {}] if path.startswith(PREFIX) else [{}]
            assert operation.get("security", [{}]) == expected, path


_ROUTE_OF = {
    PREFIX
    + path.replace("c-1", "{conversationId}")
    .replace("m-1", "{messageId}")
    .replace("p-1", "{pushId}"): path
    for _, path in SCOPE_OF
}
