"""The short way of a program's request leads to the same answers as Django's own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory
from django.urls import Resolver404, resolve
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings
from redis import Redis
from time_machine import Traveller

from agent_conversations.api.urls import find_view
from config.handler import ProgramRequest, ServiceHandler

PREFIX = "/agent-conversations/api"
SESSION = {"sessionUrl": "wss://example.com/?token=t", "sessionId": "s-1"}
MESSAGE = {"role": "user", "content": "Hello", "messageId": "m-1"}

Answer = tuple[str, dict[str, str], bytes]


def serve(handler: WSGIHandler, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Return status line, headers and body, as a WSGI server gets them."""
    content = b"" if body is None else json.dumps(body).encode()
    environ = (
        RequestFactory()
        .generic(method, path, content, "application/json" if content else "", headers=headers)
        .environ
    )
    started: list[tuple[str, dict[str, str]]] = []

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        started.append((status, dict(headers)))

    response = handler(environ, start)
    received = b"".join(response)
    response.close()
    return *started[0], received


segments = st.one_of(
    st.sampled_from(["", "list", "new", "message", "messages", "session", "ws", "c-1", "list/"]),
    st.text("ab.-_/%?#\n ü", max_size=4),
)


class TestFindingTheView:
    @given(st.lists(segments, max_size=4), st.sampled_from([PREFIX, PREFIX + "x", "", PREFIX[1:]]))
    def test_finds_what_djangos_resolver_finds(self, parts: list[str], prefix: str) -> None:
        path = "/".join([prefix, *parts])
        found = find_view(path)

        try:
            match = resolve(path)
        except Resolver404:
            assert found is None
        else:
            of_the_api = path.startswith(PREFIX + "/")
            assert found == ((match.func, match.kwargs) if of_the_api else None)

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/list", "agent-conversations"),
            ("/new", "new-agent-conversation"),
            ("/c-1", "agent-conversation"),
            ("/c-1/message", "new-agent-message"),
            ("/c-1/messages", "agent-messages"),
            ("/c-1/session", "agent-session"),
        ],
    )
    def test_knows_every_route(self, path: str, name: str) -> None:
        assert find_view(PREFIX + path) is not None
        assert resolve(PREFIX + path).url_name == name


REQUESTS: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", "/new", {"conversationId": "c-1", "metadata": {"a": [1]}}, {}),
    ("POST", "/new", {"conversationId": "c-1", "metadata": {"a": [1]}}, {}),
    ("POST", "/new", {"conversationId": "c-1"}, {}),
    ("POST", "/c-1/message", MESSAGE, {}),
    ("POST", "/c-1/message", {"role": "user"}, {}),
    ("GET", "/c-1", None, {}),
    ("HEAD", "/c-1", None, {}),
    ("GET", "/c-1/messages?limit=1", None, {}),
    ("GET", "/list?limit=1", None, {}),
    ("GET", "/list?limit=x", None, {}),
    ("PATCH", "/c-1", {"agentId": "a"}, {"If-Match": '"other"'}),
    ("POST", "/c-1/session", SESSION, {}),
    ("POST", "/c-1/session", SESSION, {"Origin": "http://localhost:3000"}),
    ("OPTIONS", "/c-1", None, {"Origin": "http://x", "Access-Control-Request-Method": "GET"}),
    ("GET", "/c-1/session", None, {}),
    ("DELETE", "/c-1/session", None, {}),
    ("PUT", "/c-1", {}, {}),
    ("GET", "/nobody", None, {}),
    ("GET", "/not!an!id", None, {}),
    ("GET", "/c-1/nothing", None, {}),
    ("GET", "/c-1", None, {"Accept": "application/json;q=0"}),
    ("GET", "/c-1", None, {"Accept": "application/json"}),
    ("GET", "/c-1", None, {"Host": "elsewhere.example"}),
    ("DELETE", "/c-1", None, {}),
]


@pytest.mark.usefixtures("real_service")
class TestAnswers:
    @pytest.fixture(autouse=True)
    def _still(self, clock: Traveller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
        monkeypatch.setattr("secrets.randbits", lambda size: 1)

    def answers(self, handler: WSGIHandler) -> Iterator[Answer]:
        for method, path, body, headers in REQUESTS:
            yield serve(handler, method, PREFIX + path, body, **headers)

    def test_are_the_same_as_by_djangos_own_handler(self, real_redis: Redis) -> None:
        short = list(self.answers(ServiceHandler()))
        real_redis.flushall()

        assert short == list(self.answers(WSGIHandler()))
        assert {status[:3] for status, _, _ in short} >= {"200", "201", "204", "400", "404", "409"}

    def test_take_the_short_way_unless_a_browser_asks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = []
        make = ProgramRequest.__init__

        def note(request: ProgramRequest, *args: Any) -> None:
            taken.append(args[0]["HTTP_ACCEPT"])
            make(request, *args)

        monkeypatch.setattr(ProgramRequest, "__init__", note)

        for accept in ("*/*", "application/json", "", "text/html", "application/json;q=0"):
            serve(ServiceHandler(), "GET", f"{PREFIX}/list", Accept=accept)

        assert taken == ["*/*", "application/json", ""]

    def test_keep_the_script_name(self) -> None:
        environ = RequestFactory().generic("POST", f"{PREFIX}/new", SCRIPT_NAME="/behind").environ
        environ["PATH_INFO"] = f"{PREFIX}/new"
        started: list[Any] = []

        ServiceHandler()(environ, lambda *given: started.append(given))

        assert dict(started[0][1])["Location"].startswith(f"/behind{PREFIX}/agent-")


@pytest.mark.usefixtures("real_service")
class TestTheHostName:
    def status(self, host: str) -> str:
        return serve(ServiceHandler(), "GET", f"{PREFIX}/list", Host=host)[0]

    def test_is_checked_at_every_request(self) -> None:
        for _ in range(2):
            assert self.status("testserver") == "200 OK"
            assert self.status("elsewhere.example") == "400 Bad Request"
            assert self.status("testserver:99") == "200 OK"
            assert self.status("testserver@elsewhere.example") == "400 Bad Request"

    def test_is_checked_by_the_settings_as_they_are(self, settings: Settings) -> None:
        assert self.status("testserver") == "200 OK"

        settings.ALLOWED_HOSTS = ["elsewhere.example"]

        assert self.status("testserver") == "400 Bad Request"
        assert self.status("elsewhere.example") == "200 OK"
        assert django_settings.ALLOWED_HOSTS == ["elsewhere.example"]
