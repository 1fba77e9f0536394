"""Clients of the API, on the bundled server, and what its requests and responses are made of."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.access import Client, Tokens
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient
from tests.faults.servers import Service
from tests.frontend import served

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

# For what a page is to show; Playwright's 5 s are not enough on a machine that has more to do.
expect.set_options(timeout=30_000)

NOW = "2026-11-23T16:20:45.123Z"
"""The time that ``clock`` starts with."""
PUSH_URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&token=secret-token"
CLIENT_OBJECT: dict[str, Any] = {
    "zz_snake": 1,
    "aaCamel": {"UPPER": None, "": [], "nested": [[], [{}]]},
    "big": 12345678901234567890123456789,
    "exact": 12345678901234567,
    "text": 'ü "\\ \u2028 \U0001f600',
}
"""What a careless server would change."""
CODES = {
    "invalid_request": 400,
    "not_authenticated": 401,
    "invalid_signature": 401,
    "permission_denied": 403,
    "origin_not_allowed": 403,
    "conversation_not_found": 404,
    "message_not_found": 404,
    "session_not_found": 404,
    "push_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "unsupported_media_type": 415,
    "conversation_exists": 409,
    "message_conflict": 409,
    "push_conflict": 409,
    "conversation_full": 409,
    "precondition_failed": 412,
    "request_too_large": 413,
    "upgrade_required": 426,
    "corrupt_record": 500,
    "internal_error": 500,
    "feature_disabled": 503,
    "store_unavailable": 503,
}
"""The contract's codes, and the status of each."""


class Api:
    """Sends JSON below the API's prefix, and checks what every response has in common."""

    def __init__(self, redis: Redis, client: ServedClient) -> None:
        self.redis = redis
        self.client = client

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> "Response":
        """Return the response; ``body`` is encoded as JSON unless it is bytes already."""
        if body is None:
            body = b""
        encoded = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        response: Response = self.client.generic(
            method, PREFIX + path, encoded, content_type, headers=headers
        )
        assert response.headers["Cache-Control"] == "no-store"
        if response.status_code != 204:
            assert response.headers["Content-Type"] == "application/json"
        return response

    def get(self, path: str, **options: Any) -> "Response":
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.send("POST", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.send("PATCH", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.send("PUT", path, body, **options)

    def delete(self, path: str, **options: Any) -> "Response":
        return self.send("DELETE", path, **options)


@pytest.fixture
def api(real_service: Redis, client: ServedClient) -> Api:
    return Api(real_service, client)


@pytest.fixture
def conversation(clock: time_machine.Traveller, api: Api) -> str:
    """The path of an empty conversation; its messages are stamped ``NOW``."""
    assert api.post("/new", {"conversationId": "c-1"}).status_code == 201
    return "/c-1"


@pytest.fixture
def browser(real_service: Redis) -> ServedClient:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    return ServedClient(headers={"Accept": accept})


@pytest.fixture(params=["nobody listens on it", "it does not exist"])
def api_in_outage(
    api: Api, point_at: Callable[[str], None], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Api]:
    """The API, whose store is a socket that takes no connection."""
    path = tmp_path / "valkey.sock"
    with socket.socket(socket.AF_UNIX) as unheard:
        if request.param == "nobody listens on it":
            unheard.bind(str(path))
        point_at(f"unix://{path}")
        yield api


@pytest.fixture
def tokens(settings: Settings) -> None:
    """Let the service take two tokens, of which ``bearer`` sends one."""
    settings.API_TOKENS = Tokens(
        {"a-long-enough-token": Client("frontend"), "another-long-token": Client("callbacks")}
    )


@pytest.fixture(scope="module")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service as ``manage.py serve`` starts it; gives the address of its pages."""
    service = Service(tmp_path_factory.mktemp("service"), TRUSTED_PROXIES="1")
    service.start()
    yield f"http://127.0.0.1:{service.port}"
    service.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The Chromium of the system."""
    path = shutil.which("chromium")
    if path is None and "CI" not in os.environ:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page, of a browser without cookies or history."""
    with chromium.new_context() as context:
        yield context.new_page()


@pytest.fixture
def frontend(tmp_path: Path) -> Iterator[str]:
    """A frontend at another origin, with an empty page; gives its address.

    What a test puts into ``tmp_path`` is served beside it.
    """
    with served(tmp_path) as address:
        yield address


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def message(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": "Hello", **fields}


def nested(levels: int) -> bytes:
    """Return the JSON of an object that is nested so many levels deep."""
    return b'{"a":' * levels + b"1" + b"}" * levels


def assert_error(response: Any, code: str) -> dict[str, Any]:
    """Check that a response is the error envelope with ``code``; return its body."""
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert response.status_code == CODES[code]
    assert response.headers["Content-Type"] == "application/json"
    assert body["success"] is False
    assert body["error"]
    assert isinstance(body["error"], str)
    assert set(body) - {"details"} == {"success", "error", "code"}
    assert "details" not in body or code == "invalid_request"
    return body


def varying_headers(response: Any) -> set[str]:
    """Return the names in ``Vary``, in lower case."""
    return {name.strip().lower() for name in response.headers.get("Vary", "").split(",")}
