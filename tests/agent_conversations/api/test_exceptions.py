"""Every failure is the same envelope, which shows nothing of the inside and is JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from agent_conversations.api.exceptions import RESPONSES
from agent_conversations.store.repository import ConversationRepository
from sessions_store.errors import StoreError
from tests.agent_conversations.api.conftest import CODES, Api, assert_error, message
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient

MESSAGE = message(messageId="m-1")


def all_subclasses(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():
        yield child
        yield from all_subclasses(child)


def crash(*_: object, **__: object) -> None:
    raise RuntimeError("secret words")


@pytest.fixture
def crashing_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("list", "create", "get", "update", "delete", "append_message"):
        monkeypatch.setattr(ConversationRepository, name, crash)


def test_error_table_has_every_error_of_the_store() -> None:
    family = set(all_subclasses(StoreError))

    assert family, "the family is loaded"
    assert family <= set(RESPONSES)


def test_every_code_has_the_status_of_the_contract() -> None:
    statuses = {row.code: row.status for row in RESPONSES.values()}

    assert statuses.items() >= CODES.items()


def test_code_has_only_one_status() -> None:
    pairs = {(row.code, row.status) for row in RESPONSES.values()}

    assert len(pairs) == len({code for code, _ in pairs})


def test_disallowed_host_is_refused_and_not_quoted(
    real_service: object, client: ServedClient, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]

    for path in (f"{PREFIX}/list", f"{PREFIX}/unknown/", "/docs"):
        response = client.get(path, headers={"Host": "evil.example"})

        assert_error(response, "invalid_request")
        assert b"evil.example" not in response.content


@pytest.mark.parametrize("route", ["GET /list", "GET /c-1/messages", "DELETE /c-1/session"])
@pytest.mark.parametrize("names", ["a{}", "a"])
def test_query_of_10_000_parameters_is_refused(api: Api, route: str, names: str) -> None:
    method, path = route.split()
    query = "&".join(f"{names.format(number)}=1" for number in range(10_000))

    assert_error(api.send(method, f"{path}?{query}"), "invalid_request")


@pytest.mark.parametrize("record", [b"no json", b'{"a":', b"[]", b'"secret words"'])
def test_corrupt_conversation_is_reported_without_its_content(
    api: Api, log: pytest.LogCaptureFixture, record: bytes
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
def test_corrupt_session_is_reported_without_its_content(
    api: Api, log: pytest.LogCaptureFixture, record: bytes
) -> None:
    api.redis.set("elevenlabs:session:c-1", record, ex=600)

    response = api.get("/c-1/session")

    assert_error(response, "corrupt_record")
    assert b"secret" not in response.content
    assert "secret" not in log.text


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
@pytest.mark.usefixtures("crashing_repository")
def test_text_of_a_crash_is_in_neither_response_nor_log(
    api: Api, log: pytest.LogCaptureFixture, method: str, path: str, body: object
) -> None:
    response = api.send(method, path, body)

    found = assert_error(response, "internal_error")
    assert found["error"] == "Something went wrong on the server."
    assert "RuntimeError" in log.text
    assert "views.py" in log.text
    assert "secret words" not in log.text
    assert not [one for one in log.records if "secret words" in one.getMessage()]


@pytest.mark.usefixtures("crashing_repository")
def test_text_of_a_crash_is_not_shown_to_a_browser(browser: ServedClient) -> None:
    response = browser.get(f"{PREFIX}/list")

    assert response.status_code == 500
    assert b"internal_error" in response.content
    assert b"secret words" not in response.content


def test_crash_outside_of_a_view_is_the_same_response(
    client: ServedClient, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_store.redis.deadline.begin", crash)

    response = client.get("/")

    assert_error(response, "internal_error")
    assert "secret words" not in log.text


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
        ("POST /c-1/push", {"text": "secret"}),
        ("GET /c-1/push/p-1", None),
    ],
)
def test_outage_is_reported_as_such_on_every_route(
    api_in_outage: Api, log: pytest.LogCaptureFixture, tmp_path: Path, route: str, body: Any
) -> None:
    method, path = route.split()

    response = api_in_outage.send(method, path, body)

    assert_error(response, "store_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert str(tmp_path) not in response.content.decode() + log.text
    assert "secret" not in log.text


def test_sentence_of_an_outage_holds_the_word_timeout(api_in_outage: Api) -> None:
    # By it today's frontend knows that it should try again.
    assert "timeout" in assert_error(api_in_outage.get("/list"), "store_unavailable")["error"]


def test_invalid_request_is_refused_as_such_in_an_outage(api_in_outage: Api) -> None:
    assert_error(api_in_outage.get("/list?limit=0"), "invalid_request")
    assert_error(api_in_outage.post("/c-1/message", {}), "invalid_request")
    assert_error(api_in_outage.get("/-no-id"), "invalid_request")


@pytest.mark.parametrize("path", ["/openapi.yaml", "/openapi.json", "/docs", "/redoc"])
def test_error_of_a_document_is_json(client: ServedClient, path: str) -> None:
    response = client.generic("POST", path)

    assert_error(response, "method_not_allowed")
    assert response.headers["Allow"]
