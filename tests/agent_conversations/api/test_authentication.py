"""Who may use the API."""

import base64

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from tests.agent_conversations.api.conftest import Api, bearer
from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.conftest import ServedClient

pytestmark = pytest.mark.usefixtures("real_service", "tokens")


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
    settings.API_TOKENS = {"": "alice"}

    response = api.get("/list", headers={"Authorization": header} if header else None)

    assert response.status_code == 401


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
        for operation in item.values():
            expected: list[dict[str, list[str]]] = (
                [{"token": []}, {}] if path.startswith(PREFIX) else [{}]
            )
            assert operation.get("security", [{}]) == expected, path
