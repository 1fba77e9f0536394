"""The WSGI application that is served, called as a server calls it."""

import codecs
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import RequestFactory
from pytest_django.fixtures import Settings
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSet

from config.urls import urlpatterns as service_urlpatterns
from config.wsgi import application
from tests.agent_conversations.api.conftest import assert_error
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient

pytestmark = pytest.mark.usefixtures("real_service")


class NewcomerViewSet(ViewSet):
    @action(detail=False, url_path="greeting")
    def greet(self, request: Request) -> Response:
        return Response({"hello": "world"})


router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("newcomer", NewcomerViewSet, "newcomer")
urlpatterns = [*service_urlpatterns, *router.urls]


def test_new_action_returning_a_response_works_as_served(
    client: ServedClient, settings: Settings
) -> None:
    settings.ROOT_URLCONF = __name__

    response = client.get("/newcomer/greeting")

    assert (response.status_code, response.reason_phrase) == (200, "OK")
    assert response.json() == {"hello": "world"}
    assert response.headers["Content-Type"] == "application/json"


def test_body_in_chunks_is_read(client: ServedClient) -> None:
    environ: dict[str, Any] = {
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": BytesIO(b'{"conversationId": "c-1"}'),
    }

    response = client.generic("POST", f"{PREFIX}/new", **environ)

    assert response.json()["conversationId"] == "c-1"


def test_location_keeps_the_script_name(client: ServedClient) -> None:
    response = client.generic("POST", f"{PREFIX}/new", SCRIPT_NAME="/behind")

    assert response.headers["Location"].startswith(f"/behind{PREFIX}/agent-")


def test_location_has_the_prefix_of_a_trusted_proxy(
    client: ServedClient, settings: Settings
) -> None:
    headers = {"X-Forwarded-Prefix": "/voice/agents/"}
    untrusted = client.generic("POST", f"{PREFIX}/new", headers=headers)
    settings.TRUSTED_PROXIES = 1
    trusted = client.generic("POST", f"{PREFIX}/new", headers=headers)

    assert untrusted.headers["Location"].startswith(f"{PREFIX}/agent-")
    assert trusted.headers["Location"].startswith(f"/voice/agents{PREFIX}/agent-")


@pytest.mark.parametrize(
    "prefix",
    ["/", "voice", "//elsewhere.example", "https://elsewhere.example", "/..", '/"', "/a b"],
)
def test_forwarded_prefix_that_is_no_path_is_ignored(
    client: ServedClient, settings: Settings, prefix: str
) -> None:
    settings.TRUSTED_PROXIES = 1

    response = client.generic("POST", f"{PREFIX}/new", headers={"X-Forwarded-Prefix": prefix})

    assert response.headers["Location"].startswith(f"{PREFIX}/agent-")


def test_host_name_is_checked_at_every_request(client: ServedClient) -> None:
    for _ in range(2):
        for host, status in {
            "testserver": 200,
            "testserver:99": 200,
            "elsewhere.example": 400,
            "testserver@elsewhere.example": 400,
        }.items():
            assert client.get(f"{PREFIX}/list", headers={"Host": host}).status_code == status


def test_host_name_is_checked_by_the_current_settings(
    client: ServedClient, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["elsewhere.example"]
    elsewhere = {"Host": "elsewhere.example"}

    assert client.get(f"{PREFIX}/list").status_code == 400
    assert client.get(f"{PREFIX}/list", headers=elsewhere).status_code == 200
    assert django_settings.ALLOWED_HOSTS == ["elsewhere.example"]


@pytest.fixture
def searched_codecs() -> Iterator[list[str]]:
    """The names that Python looked for among its codecs, and keeps for ever."""
    names: list[str] = []
    codecs.register(names.append)
    yield names
    codecs.unregister(names.append)


UNREADABLE_TYPES = [
    "a; b*=bogus''x",
    "application/json; b*=bogus''x",
    "application/json; charset",
    "application/json; charset=hex",
    "application/json; charset=base64",
    "text/plain; charset=undefined",
    'text/plain; charset="punycode"',
    "text/plain; charset=utf-8; charset=idna",
    f"text/plain; charset={'x' * 1000}",
    "no type at all",
]


@pytest.mark.parametrize("content_type", UNREADABLE_TYPES)
@pytest.mark.parametrize(
    "route", [f"GET {PREFIX}/list?limit=1", f"POST {PREFIX}/new", "GET /health/live", "GET /docs"]
)
def test_unreadable_content_type_is_unsupported(
    client: ServedClient, searched_codecs: list[str], route: str, content_type: str
) -> None:
    method, path = route.split()

    response = client.generic(method, path, b"{}", content_type)

    assert_error(response, "unsupported_media_type")
    assert searched_codecs == []


@pytest.mark.parametrize("name", ["CONTENT_TYPE", "HTTP_ACCEPT", "HTTP_HOST", "HTTP_ORIGIN"])
@pytest.mark.parametrize("value", ['a;x="' + ";" * 200_000, "a/b;x=" + "a" * 200_000])
def test_long_header_is_refused_without_delay(client: ServedClient, name: str, value: str) -> None:
    began = time.thread_time()

    response = client.generic("GET", f"{PREFIX}/list", **{name: value})  # type: ignore[arg-type]

    assert time.thread_time() - began < 1
    assert_error(response, "invalid_request")


def test_content_type_of_a_request_without_body_may_be_any(client: ServedClient) -> None:
    response = client.generic("GET", f"{PREFIX}/list", CONTENT_TYPE="text/plain; format=flowed")

    assert response.status_code == 200


def test_query_with_too_many_fields_is_refused(client: ServedClient) -> None:
    query = "&".join(f"a{number}=" for number in range(1_001))
    for content_type in ("application/json; charset=utf-8", "application/json", ""):
        response = client.generic("GET", f"{PREFIX}/list?{query}", CONTENT_TYPE=content_type)

        assert_error(response, "invalid_request")


def test_line_break_in_the_schemas_version_is_refused(client: ServedClient) -> None:
    for path in ("/openapi.yaml", "/openapi.json"):
        assert_error(client.get(f"{path}?version=%0A"), "invalid_request")


def test_request_that_cannot_be_built_is_reported_by_us(log: pytest.LogCaptureFixture) -> None:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    # From a server that does not write paths as PEP 3333 says.
    environ = {**RequestFactory().get(PREFIX).environ, "PATH_INFO": "/\u20ac"}

    body = application(environ, lambda *start: started.append(start))

    assert json.loads(b"".join(body))["code"] == "internal_error"
    ((status, headers),) = started
    assert status == "500 Internal Server Error"
    assert [name for name, _ in headers] == ["Content-Type", "X-Request-ID"]
    assert "A request failed" in log.text


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"X-Request-ID": "3f2b:a+/_.-="}, "3f2b:a+/_.-="),
        ({"X-Request-ID": "x" * 128}, "x" * 128),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
        ({"traceparent": f"01-{TRACE}-b7ad6b7169203331-01-more"}, TRACE),
        ({"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, "mine"),
        ({"X-Request-ID": "a b", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
    ],
)
def test_response_has_the_id_of_its_request(
    client: ServedClient, headers: dict[str, str], request_id: str
) -> None:
    for path in (f"{PREFIX}/list", f"{PREFIX}/c-9", "/nowhere", "/health/live"):
        assert client.get(path, headers=headers).headers["X-Request-ID"] == request_id


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Request-ID": ""},
        {"X-Request-ID": "x" * 129},
        {"X-Request-ID": "a\r\nSet-Cookie: a"},
        {"X-Request-ID": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"},
        {"traceparent": TRACE},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"ff-{TRACE}-b7ad6b7169203331-01"},
    ],
)
def test_request_without_a_usable_id_is_given_one(
    client: ServedClient, headers: dict[str, str]
) -> None:
    ids = {client.get(f"{PREFIX}/c-9", headers=headers).headers["X-Request-ID"] for _ in range(9)}

    assert len(ids) == 9
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in ids)


def test_lines_of_a_request_have_its_id(
    client: ServedClient,
    log: pytest.LogCaptureFixture,
    point_at: Callable[[str], None],
    tmp_path: Path,
) -> None:
    point_at(f"unix://{tmp_path}/nowhere.sock")
    client.get(f"{PREFIX}/c-1", headers={"X-Request-ID": "r-1"})
    logging.getLogger("config").warning("Between requests")

    lines = [json.loads(line) for line in log.text.splitlines()]
    assert [line.get("request_id") for line in lines] == ["r-1", None]
    assert lines[0]["event"] == "The store is unavailable"


def test_body_without_length_is_refused_in_http_1_0(client: ServedClient) -> None:
    response = client.generic(
        "POST", f"{PREFIX}/new", CONTENT_TYPE="application/json", SERVER_PROTOCOL="HTTP/1.0"
    )

    assert_error(response, "invalid_request")


def test_request_without_body_needs_no_length(client: ServedClient) -> None:
    response = client.generic("POST", f"{PREFIX}/new", SERVER_PROTOCOL="HTTP/1.0")

    assert response.status_code == 201
