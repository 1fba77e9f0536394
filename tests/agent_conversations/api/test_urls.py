"""The API's paths: which methods each takes, and what is no path."""

import json

import pytest

from tests.agent_conversations.api.conftest import PUSH_URL, Api, assert_error, message
from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.conftest import ServedClient

METHODS = {
    "/list": {"GET", "HEAD"},
    "/new": {"POST"},
    "/ws": {"GET", "HEAD"},
    "/c-1": {"GET", "HEAD", "PATCH", "DELETE"},
    "/c-1/message": {"POST"},
    "/c-1/messages": {"GET", "HEAD", "POST"},
    "/c-1/messages/m-1": {"GET", "HEAD", "PUT"},
    "/c-1/session": {"GET", "HEAD", "POST", "DELETE"},
    "/c-1/push": {"POST"},
    "/c-1/push/p-1": {"GET", "HEAD"},
}
OTHER_METHODS = {"PUT", "OPTIONS", "TRACE", "BREW"}
REFUSED = [
    (method, path)
    for path, methods in METHODS.items()
    for method in sorted(set.union(*METHODS.values()) | OTHER_METHODS)
    if method not in methods
]


def test_every_route_is_found() -> None:
    assert len(ROUTES) == len(set(ROUTES)) >= 10
    assert all("<" not in path and "(" not in path for _, path in ROUTES)


def test_methods_are_listed_for_every_route() -> None:
    listed = {(method, PREFIX + path) for path, methods in METHODS.items() for method in methods}

    assert {route for route in listed if route[0] != "HEAD"} == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), REFUSED)
def test_refused_method_comes_with_the_allowed_ones(api: Api, method: str, path: str) -> None:
    response = api.send(method, path)

    assert response.status_code == 405
    assert sorted(response.headers["Allow"].split(", ")) == sorted(METHODS[path])
    if method != "HEAD":
        assert_error(response, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/openapi.yaml", "/asyncapi.yaml", "/docs", "/redoc", "/health"]
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_document_refuses_a_method_without_a_server_error(
    real_service: object, client: ServedClient, method: str, path: str
) -> None:
    response = client.generic(method, path)

    assert response.status_code == 405
    assert {"GET", "HEAD"} <= set(response.headers["Allow"].split(", "))
    if path == "/openapi.json":
        assert json.loads(response.content)["code"] == "method_not_allowed"


def test_index_is_a_page_with_any_accept(client: ServedClient) -> None:
    for accept in ("text/html", "application/json", "application/json;q=0"):
        response = client.get("/", headers={"Accept": accept})

        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/list/", "/new/", "/c-1/", "/c-1/message/", "/c-1/messages/", "/c-1/session/", ""]
)
def test_path_with_a_trailing_slash_is_not_found(api: Api, conversation: str, path: str) -> None:
    response = api.get(path)

    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


def test_request_without_an_upgrade_to_the_websocket_is_told_so(api: Api) -> None:
    assert_error(api.get("/ws?conversationId=c-1"), "upgrade_required")
    assert api.get("/ws/messages").status_code == 400, "no conversation has that id"


@pytest.mark.parametrize("path", ["", "/", "/a/b/c", "/c-1/unknown", "/c-1/message/m-1"])
def test_unknown_path_of_the_api_is_not_found(api: Api, path: str) -> None:
    assert_error(api.get(path), "not_found")


@pytest.mark.parametrize("path", ["/unknown", "/docs/", "/static/unknown.js", "/favicon.ico"])
def test_unknown_path_beside_the_api_is_json_too(client: ServedClient, path: str) -> None:
    assert_error(client.get(path, headers={"Accept": "text/html"}), "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/message"),
        ("GET", "/messages"),
        ("POST", "/session"),
        ("GET", "/session"),
        ("DELETE", "/session"),
    ],
)
@pytest.mark.parametrize("conversation_id", ["-a", "a%20b", "x" * 129, "%C3%A4", "a%0A"])
def test_invalid_conversation_id_is_refused_on_every_route(
    api: Api, method: str, path: str, conversation_id: str
) -> None:
    bodies = {"/message": message(), "/session": {"sessionUrl": PUSH_URL}}
    body = bodies.get(path) if method == "POST" else None

    response = api.send(method, f"/{conversation_id}{path}", body)

    assert response.status_code == 400
    assert list(response.json()["details"]) == ["conversationId"]
