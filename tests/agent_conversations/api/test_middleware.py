"""What middleware adds to responses: which origins may read them."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.agent_conversations.api.conftest import assert_error, varying_headers
from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.conftest import ServedClient

pytestmark = pytest.mark.usefixtures("real_service")

ALLOWED = "http://localhost:3000"
ANOTHER = "https://elsewhere.example"


def preflight(client: ServedClient, header: str, **headers: str) -> Any:
    return client.options(
        f"{PREFIX}/list",
        headers={
            "Origin": ALLOWED,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": header,
            **headers,
        },
    )


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/ready",
        "/health/live",
        "/openapi.json",
        "/openapi.yaml",
        "/asyncapi.yaml",
    ],
)
@pytest.mark.parametrize("origin", [None, ALLOWED, ANOTHER])
def test_health_and_schema_vary_by_origin(
    client: ServedClient, path: str, origin: str | None
) -> None:
    response = client.get(path, headers={"Origin": origin} if origin else None)

    assert response.status_code == 200
    assert "origin" in varying_headers(response)


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", f"{PREFIX}/unknown/path")])
@pytest.mark.parametrize("origin", [ALLOWED, ANOTHER])
def test_api_response_to_an_origin_varies_by_it(
    client: ServedClient, method: str, path: str, origin: str
) -> None:
    response = client.generic(method, path, headers={"Origin": origin})

    assert "origin" in varying_headers(response)


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/asyncapi.yaml", f"{PREFIX}/list"])
def test_allowed_origin_alone_may_read_a_response(client: ServedClient, path: str) -> None:
    allowed = client.get(path, headers={"Origin": ALLOWED})
    another = client.get(path, headers={"Origin": ANOTHER})

    assert allowed.headers["Access-Control-Allow-Origin"] == ALLOWED
    exposed = allowed.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "X-Request-ID"} <= set(exposed)
    assert "Access-Control-Allow-Origin" not in another.headers


@pytest.mark.usefixtures("tokens")
def test_preflight_needs_neither_token_nor_flag(client: ServedClient, settings: Settings) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False
    headers = {"Origin": ALLOWED, "Access-Control-Request-Method": "PATCH"}

    response = client.options(f"{PREFIX}/c-1", headers=headers)

    assert response.status_code == 200
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
    assert "if-match" in response.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    "header", ["sentry-trace", "baggage", "traceparent", "tracestate", "x-request-id"]
)
def test_preflight_allows_the_headers_of_instrumentation(client: ServedClient, header: str) -> None:
    response = preflight(client, header)

    assert header in response.headers["Access-Control-Allow-Headers"].split(", ")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_is_for_any_host(client: ServedClient, path: str) -> None:
    assert client.get(path, headers={"Host": "10.0.0.7:8000"}).status_code == 200


def test_preflight_for_a_foreign_host_is_refused(client: ServedClient) -> None:
    response = preflight(client, "if-match", Host="elsewhere.example")

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_request"
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": ANOTHER},
        {"Origin": ANOTHER},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "testserver"},
    ],
    ids=str,
)
def test_write_for_a_page_of_another_site_is_refused(
    client: ServedClient, headers: dict[str, str]
) -> None:
    responses = [client.generic("POST", f"{PREFIX}/new", headers=headers)]
    responses.append(client.delete(f"{PREFIX}/c-1/session", headers=headers))

    for response in responses:
        assert_error(response, "origin_not_allowed")
    assert client.get(f"{PREFIX}/list", headers=headers).json()["pagination"]["total"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": ALLOWED},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://name-before-a-proxy.example"},
        {"Origin": "http://testserver"},
    ],
    ids=str,
)
def test_write_of_a_program_or_an_allowed_page_is_taken(
    client: ServedClient, headers: dict[str, str]
) -> None:
    assert client.generic("POST", f"{PREFIX}/new", headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", f"{PREFIX}/list", f"{PREFIX}/c-1"])
def test_pages_are_protected_by_their_headers(browser: ServedClient, path: str) -> None:
    headers = browser.get(path).headers

    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "script-src" not in headers["Content-Security-Policy"], "default-src 'self' counts"


@pytest.mark.parametrize("host", ["testserver", "elsewhere.example"])
def test_every_response_says_how_long_it_is(client: ServedClient, host: str) -> None:
    response = client.get(f"{PREFIX}/list", headers={"Host": host})

    # Without it, the server sends a response in chunks.
    assert response.headers["Content-Length"] == str(len(response.content))
