"""Every failure is the same envelope, tells nothing of the inside, and is JSON."""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from agent_conversations import services
from agent_conversations.api.exceptions import ERROR_RESPONSES
from agent_conversations.store.repository import ConversationRepository
from config.logging import logging_config
from sessions_store.errors import StoreError
from tests.agent_conversations.api.conftest import Api
from tests.agent_conversations.api.routes import PREFIX

MESSAGE = {"role": "user", "content": "Hello", "messageId": "m-1"}
CODES = {
    "invalid_request": 400,
    "not_authenticated": 401,
    "conversation_not_found": 404,
    "session_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "unsupported_media_type": 415,
    "conversation_exists": 409,
    "message_conflict": 409,
    "conversation_full": 409,
    "precondition_failed": 412,
    "request_too_large": 413,
    "corrupt_record": 500,
    "internal_error": 500,
    "feature_disabled": 503,
    "store_unavailable": 503,
}


def assert_error(response: Any, code: str) -> dict[str, Any]:
    """Check the envelope; return its body."""
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


def all_subclasses(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():
        yield child
        yield from all_subclasses(child)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, in the form in which the service writes it."""
    options = dict(logging_config("DEBUG")["formatters"]["line"])
    caplog.handler.setFormatter(options.pop("()")(**options))
    return caplog


@pytest.fixture
def conversation(api: Api) -> str:
    assert api.post("/new", {"conversationId": "c-1"}).status_code == 201
    return "/c-1"


class TestTable:
    def test_has_every_error_of_the_store(self) -> None:
        family = set(all_subclasses(StoreError))

        assert family, "the family is loaded"
        assert family <= set(ERROR_RESPONSES)

    def test_gives_each_code_the_status_of_the_contract(self) -> None:
        statuses = {row.code: row.status for row in ERROR_RESPONSES.values()}

        assert statuses.items() >= CODES.items()

    def test_gives_a_code_one_status_only(self) -> None:
        pairs = {(row.code, row.status) for row in ERROR_RESPONSES.values()}

        assert len(pairs) == len({code for code, _ in pairs})


class TestOutsideOfAView:
    @pytest.mark.parametrize("path", ["", "/", "/a/b/c", "/c-1/unknown", "/c-1/message/m-1"])
    def test_an_unknown_path_is_not_found(self, api: Api, path: str) -> None:
        assert_error(api.get(path), "not_found")

    @pytest.mark.parametrize("path", ["/unknown", "/docs/", "/static/unknown.js", "/favicon.ico"])
    def test_an_unknown_path_beside_the_api_is_json_too(self, client: Client, path: str) -> None:
        assert_error(client.get(path, headers={"Accept": "text/html"}), "not_found")

    def test_a_host_name_that_is_not_allowed_is_refused_and_not_quoted(
        self, real_service: object, client: Client, settings: Settings
    ) -> None:
        settings.ALLOWED_HOSTS = ["localhost"]

        for path in (f"{PREFIX}/list", f"{PREFIX}/unknown/", "/docs"):
            response = client.get(path, headers={"Host": "evil.example"})

            assert_error(response, "invalid_request")
            assert b"evil.example" not in response.content

    def test_10_000_query_parameters_are_refused(self, api: Api) -> None:
        query = "&".join(f"a{number}=1" for number in range(10_000))

        for path in ("/list", "/c-1/messages"):
            assert_error(api.get(f"{path}?{query}"), "invalid_request")
        assert_error(api.delete(f"/c-1/session?{query}"), "invalid_request")

    def test_a_body_over_one_mebibyte_is_too_large(self, api: Api, conversation: str) -> None:
        body = json.dumps({**MESSAGE, "content": "x" * 1024 * 1024}).encode()

        assert_error(api.post(f"{conversation}/message", body), "request_too_large")
        assert_error(api.post("/new", body), "request_too_large")
        assert_error(api.patch(conversation, body), "request_too_large")
        assert_error(api.post(f"{conversation}/session", body), "request_too_large")


class TestMethod:
    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/list", {"GET"}),
            ("GET", "/new", {"POST"}),
            ("HEAD", "/new", {"POST"}),
            ("PUT", "/c-1", {"GET", "PATCH", "DELETE"}),
            ("POST", "/c-1", {"GET", "PATCH", "DELETE"}),
            ("GET", "/c-1/message", {"POST"}),
            ("DELETE", "/c-1/messages", {"GET"}),
            ("PATCH", "/c-1/session", {"GET", "POST", "DELETE"}),
            ("OPTIONS", "/list", {"GET"}),
            ("TRACE", "/list", {"GET"}),
            ("BREW", "/list", {"GET"}),
        ],
    )
    def test_that_a_path_does_not_take_is_told_with_those_it_takes(
        self, api: Api, method: str, path: str, allowed: set[str]
    ) -> None:
        response = api.send(method, path)

        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) - {"HEAD"} == allowed
        if method != "HEAD":
            assert_error(response, "method_not_allowed")


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [b"{", b"{'a': 1}", b'{"a":1,}', b"undefined", b'{"a":1} {}', b"[]", b'"a"', b"1", b"null"],
    )
    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", "/new"), ("PATCH", "/c-1"), ("POST", "/c-1/message"), ("POST", "/c-1/session")],
    )
    def test_that_is_no_json_object_is_refused(
        self, api: Api, conversation: str, method: str, path: str, body: bytes
    ) -> None:
        answer = assert_error(api.send(method, path, body), "invalid_request")

        assert list(answer["details"]) == ["body"]

    @pytest.mark.parametrize(
        ("content_type", "headers"),
        [
            ("text/plain", {}),
            ("application/x-www-form-urlencoded", {}),
            ("multipart/form-data; boundary=x", {}),
            ("application/jsonp", {}),
            ("", {}),
            ("application/json; charset=utf-16", {}),
            ("application/json; charset=iso-8859-1", {}),
            ("application/json", {"Content-Encoding": "gzip"}),
        ],
    )
    @pytest.mark.parametrize("route", ["POST /new", "PATCH /c-1", "POST /c-1/message"])
    def test_of_another_type_is_unsupported(
        self,
        api: Api,
        conversation: str,
        route: str,
        content_type: str,
        headers: dict[str, str],
    ) -> None:
        body = gzip.compress(b"{}") if headers else b"{}"
        method, path = route.split()

        response = api.send(method, path, body, content_type=content_type, headers=headers)

        assert_error(response, "unsupported_media_type")

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json; charset=utf-8",
            'application/json; charset="UTF-8"',
            "Application/JSON;charset=utf8",
        ],
    )
    def test_of_json_however_it_is_written_is_taken(self, api: Api, content_type: str) -> None:
        assert api.post("/new", b"{}", content_type=content_type).status_code == 201


class TestAccept:
    @pytest.mark.parametrize(
        "accept",
        [
            None,
            "",
            "*/*",
            "application/json",
            "application/*",
            "text/plain",
            "application/xml, image/*;q=0.8",
            "text/*",
            "application/json, text/html;q=0.5",
            "text/html;q=0, */*",
        ],
    )
    def test_of_anything_but_html_by_name_gives_json(self, api: Api, accept: str | None) -> None:
        headers = {} if accept is None else {"Accept": accept}

        found, missing = api.get("/list", headers=headers), api.get("/c-1", headers=headers)

        assert found.json()["conversations"] == []
        assert_error(missing, "conversation_not_found")

    @pytest.mark.parametrize(
        "accept",
        ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    )
    def test_of_html_by_name_gives_a_page(
        self, real_service: object, client: Client, accept: str
    ) -> None:
        for path, status in ((f"{PREFIX}/list", 200), (f"{PREFIX}/c-1", 404)):
            response = client.get(path, headers={"Accept": accept})

            assert response.status_code == status
            assert response.headers["Content-Type"].startswith("text/html")
            assert response.headers["Cache-Control"] == "no-store"
            assert "Accept" in response.headers["Vary"]

    @pytest.mark.parametrize(
        "accept",
        [
            "application/json;q=0",
            "application/json;Q=0",
            "application/json; q=0.0, text/plain",
            "*/*;q=0",
        ],
    )
    def test_that_refuses_json_is_told_so_in_json(self, api: Api, accept: str) -> None:
        assert_error(api.get("/list", headers={"Accept": accept}), "not_acceptable")

    def test_that_refuses_json_creates_nothing(self, api: Api) -> None:
        api.post("/new", headers={"Accept": "application/json;q=0"})

        assert api.get("/list").json()["pagination"]["total"] == 0

    @pytest.mark.parametrize("accept", ["/", ";;;", "a/b/c", "\x00", ",", "q=0"])
    def test_that_makes_no_sense_is_no_crash(self, api: Api, accept: str) -> None:
        assert api.get("/list", headers={"Accept": accept}).status_code in (200, 406)


class TestConflict:
    def test_a_conversation_id_with_other_content(self, api: Api, conversation: str) -> None:
        body = {"conversationId": "c-1", "agentId": "another"}

        assert_error(api.post("/new", body), "conversation_exists")
        assert "agentId" not in api.get(conversation).json()

    def test_an_idempotency_key_with_other_content(self, api: Api) -> None:
        headers = {"Idempotency-Key": "key-1"}
        api.post("/new", {"agentId": "a"}, headers=headers)

        response = api.post("/new", {"agentId": "b"}, headers=headers)

        assert_error(response, "conversation_exists")

    @pytest.mark.parametrize(
        "change", [{"content": "Other"}, {"role": "assistant"}, {"toolArgs": {"a": []}}]
    )
    def test_a_message_id_with_other_content(
        self, api: Api, conversation: str, change: dict[str, Any]
    ) -> None:
        api.post(f"{conversation}/message", MESSAGE)

        response = api.post(f"{conversation}/message", {**MESSAGE, **change})

        assert_error(response, "message_conflict")
        assert len(api.get(conversation).json()["messages"]) == 1

    def test_a_full_conversation(self, api: Api, conversation: str, settings: Settings) -> None:
        settings.CONVERSATION_MAX_MESSAGES = 1
        services.forget()
        api.post(f"{conversation}/message", MESSAGE)

        response = api.post(f"{conversation}/message", {**MESSAGE, "messageId": "m-2"})

        assert_error(response, "conversation_full")

    def test_a_precondition_that_does_not_hold(self, api: Api, conversation: str) -> None:
        response = api.patch(conversation, {"agentId": "a"}, headers={"If-Match": '"old"'})

        assert_error(response, "precondition_failed")


class TestNoRecord:
    def test_of_the_conversation(self, api: Api) -> None:
        assert_error(api.get("/c-1"), "conversation_not_found")

    def test_of_the_session(self, api: Api) -> None:
        assert_error(api.get("/c-1/session"), "session_not_found")


class TestCorruptRecord:
    @pytest.mark.parametrize("record", [b"no json", b'{"a":', b"[]", b'"secret words"'])
    def test_of_a_conversation_is_told_without_its_content(
        self, api: Api, log: pytest.LogCaptureFixture, record: bytes
    ) -> None:
        api.redis.set("elevenlabs:conversation:c-1", record)

        for response in (
            api.get("/c-1"),
            api.get("/c-1/messages"),
            api.post("/c-1/message", MESSAGE),
            api.patch("/c-1", {"agentId": "a"}),
        ):
            assert_error(response, "corrupt_record")
            assert b"secret" not in response.content
        assert "secret" not in log.text

    @pytest.mark.parametrize("record", [b"no json", b"{}", b'{"sessionId":"secret-words"}'])
    def test_of_a_session_is_told_without_its_content(
        self, api: Api, log: pytest.LogCaptureFixture, record: bytes
    ) -> None:
        api.redis.set("elevenlabs:session:c-1", record, ex=600)

        response = api.get("/c-1/session")

        assert_error(response, "corrupt_record")
        assert b"secret" not in response.content
        assert "secret" not in log.text


class TestCrash:
    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*_: object, **__: object) -> None:
            raise RuntimeError("secret words")

        for name in ("list", "create", "get", "update", "delete", "append_message"):
            monkeypatch.setattr(ConversationRepository, name, crash)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/list", None),
            ("POST", "/new", {}),
            ("GET", "/c-1", None),
            ("PATCH", "/c-1", {}),
            ("DELETE", "/c-1", None),
            ("POST", "/c-1/message", MESSAGE),
        ],
    )
    def test_is_a_fixed_sentence_and_leaves_no_word_in_answer_or_log(
        self, api: Api, log: pytest.LogCaptureFixture, method: str, path: str, body: object
    ) -> None:
        response = api.send(method, path, body)

        answer = assert_error(response, "internal_error")
        assert answer["error"] == "Something went wrong on the server."
        assert "RuntimeError" in log.text
        assert "views.py" in log.text
        assert "secret words" not in log.text
        assert not [one for one in log.records if "secret words" in one.getMessage()]

    def test_shows_a_browser_no_word_of_it(self, real_service: object) -> None:
        browser = Client(raise_request_exception=False, headers={"Accept": "text/html"})

        response = browser.get(f"{PREFIX}/list")

        assert response.status_code == 500
        assert b"internal_error" in response.content
        assert b"secret words" not in response.content

    def test_outside_of_a_view_is_the_same(
        self,
        real_service: object,
        log: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        client: Client,
    ) -> None:
        def crash(*_: object, **__: object) -> None:
            raise RuntimeError("secret words")

        monkeypatch.setattr("sessions_store.redis.deadline.begin", crash)
        client.raise_request_exception = False

        response = client.get("/")

        assert_error(response, "internal_error")
        assert "secret words" not in log.text


class TestStoreUnavailable:
    @pytest.fixture(params=["nobody listens on it", "it does not exist"])
    def away(
        self, api: Api, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[Api]:
        """The service, whose store is a socket that takes no connection."""
        path = tmp_path / "valkey.sock"
        with socket.socket(socket.AF_UNIX) as unheard:
            if request.param == "nobody listens on it":
                unheard.bind(str(path))
            default = {**settings.CACHES["default"], "LOCATION": f"unix://{path}"}
            settings.CACHES = {**settings.CACHES, "default": default}
            services.forget()
            yield api

    @pytest.mark.parametrize(
        ("route", "body"),
        [
            ("GET /list", None),
            ("POST /new", {}),
            ("GET /c-1", None),
            ("PATCH /c-1", {}),
            ("DELETE /c-1", None),
            ("POST /c-1/message", MESSAGE),
            ("GET /c-1/messages", None),
            ("POST /c-1/session", {"sessionUrl": "wss://host/push?token=secret"}),
            ("GET /c-1/session", None),
            ("DELETE /c-1/session", None),
            ("DELETE /c-1/session?sessionId=s-1", None),
        ],
    )
    def test_is_told_as_such_on_every_route(
        self,
        away: Api,
        log: pytest.LogCaptureFixture,
        tmp_path: Path,
        route: str,
        body: object,
    ) -> None:
        method, path = route.split()

        response = away.send(method, path, body)

        assert_error(response, "store_unavailable")
        assert int(response.headers["Retry-After"]) >= 1
        assert str(tmp_path) not in response.content.decode() + log.text
        assert "secret" not in log.text

    def test_health_says_so_and_liveness_does_not_ask(self, away: Api, client: Client) -> None:
        assert_error(client.get("/health/ready"), "store_unavailable")
        assert_error(client.get("/health"), "store_unavailable")
        assert client.get("/health/live").status_code == 200

    def test_a_request_that_is_wrong_anyway_is_told_so(self, away: Api) -> None:
        assert_error(away.get("/list?limit=0"), "invalid_request")
        assert_error(away.post("/c-1/message", {}), "invalid_request")
        assert_error(away.get("/-no-id"), "invalid_request")
