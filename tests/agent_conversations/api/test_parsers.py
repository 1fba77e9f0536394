"""Bodies: what is read as JSON and kept as it is, and what is refused."""

import gzip
import json

import pytest

from tests.agent_conversations.api.conftest import PUSH_URL, Api, assert_error, message, nested


def in_a_message(tool_args: bytes) -> bytes:
    return b'{"role":"tool","content":"","toolArgs":%b}' % tool_args


REFUSED = {
    "objects nested 100,000 deep": (nested(100_000), 400),
    "arrays nested 100,000 deep": (b"[" * 100_000, 400),
    "33 levels": (in_a_message(nested(33)), 400),
    "over 16 KiB": (in_a_message(json.dumps({"a": "x" * 16_384}).encode()), 400),
    "NaN": (in_a_message(b'{"a":NaN}'), 400),
    "-Infinity": (in_a_message(b'{"a":-Infinity}'), 400),
    "1e999": (in_a_message(b'{"a":1e999}'), 400),
    "a lone surrogate": (b'{"role":"user","content":"\\ud800"}', 400),
    "a lone surrogate in a key": (in_a_message(b'{"\\udfff":1}'), 400),
    "a key twice": (b'{"role":"user","content":"a","content":"b"}', 400),
    "a key twice, deep inside": (in_a_message(b'{"a":[{"b":1,"b":2}]}'), 400),
    "an integer of 5,000 digits": (in_a_message(b'{"a":%b}' % (b"9" * 5000)), 400),
    "bytes that are no UTF-8": (b'{"role":"user","content":"\xff"}', 400),
    "UTF-16": ('{"role":"user","content":"a"}'.encode("utf-16"), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"role":"user","content":"a"}', 400),
    "over 1 MiB": (b'{"role":"user","content":"' + b"x" * 1_048_577 + b'"}', 413),
}


@pytest.mark.parametrize(
    "body",
    [b"{", b"{'a': 1}", b'{"a":1,}', b"undefined", b'{"a":1} {}', b"[]", b'"a"', b"1", b"null"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/new"), ("PATCH", "/c-1"), ("POST", "/c-1/message"), ("POST", "/c-1/session")],
)
def test_body_that_is_no_json_object_is_refused(
    api: Api, conversation: str, method: str, path: str, body: bytes
) -> None:
    found = assert_error(api.send(method, path, body), "invalid_request")

    assert list(found["details"]) == ["body"]


def test_body_over_one_mebibyte_is_too_large(api: Api, conversation: str) -> None:
    body = json.dumps(message(content="x" * 1024 * 1024)).encode()

    assert_error(api.post(f"{conversation}/message", body), "request_too_large")
    assert_error(api.post("/new", body), "request_too_large")
    assert_error(api.patch(conversation, body), "request_too_large")
    assert_error(api.post(f"{conversation}/session", body), "request_too_large")


@pytest.mark.parametrize("name", REFUSED)
def test_message_that_cannot_be_kept_is_refused_and_not_stored(
    api: Api, conversation: str, name: str
) -> None:
    body, status = REFUSED[name]

    response = api.post(f"{conversation}/message", body)

    assert response.status_code == status
    assert response.json()["success"] is False
    assert api.get(conversation).json()["messages"] == []


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
        ("application/json; charset=latin-1", {}),
        ("application/json", {"Content-Encoding": "gzip"}),
        ("application/json", {"Content-Encoding": "br"}),
    ],
)
@pytest.mark.parametrize("route", ["POST /new", "PATCH /c-1", "POST /c-1/message"])
def test_body_of_another_type_is_unsupported(
    api: Api, conversation: str, route: str, content_type: str, headers: dict[str, str]
) -> None:
    encoded = json.dumps(message()).encode()
    body = gzip.compress(encoded) if headers else encoded
    method, path = route.split()

    response = api.send(method, path, body, content_type=content_type, headers=headers)

    assert_error(response, "unsupported_media_type")
    assert api.get(conversation).json()["messages"] == []
    assert api.get("/list").json()["pagination"]["total"] == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        'application/json; charset="UTF-8"',
        "Application/JSON;charset=utf8",
    ],
)
def test_json_media_type_is_taken_in_any_spelling(api: Api, content_type: str) -> None:
    assert api.post("/new", b"{}", content_type=content_type).status_code == 201


@pytest.mark.parametrize(
    "value",
    [
        0,
        -0.5,
        2**53 + 1,
        -(2**63) - 1,
        12345678901234567890123456789,
        10**4299,
        1.1,
        1e-300,
        "NUL \x00 in the middle",
        "\U0001f600 \u2028 ü",
        [],
        {},
        [[], {}, None],
        None,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_client_objects_come_back_as_they_were_sent(
    api: Api, conversation: str, value: object
) -> None:
    sent = {"zz": value, "a": [value], "b": {"zz": value}}

    api.post(f"{conversation}/message", {"role": "tool", "content": "", "toolArgs": sent})
    api.patch(conversation, {"metadata": sent})
    found = api.get(conversation).json()

    assert found["messages"][0]["toolArgs"] == sent
    assert found["metadata"] == sent
    assert list(found["metadata"]) == list(sent)


def test_fields_in_snake_case_are_not_read(api: Api) -> None:
    unknown = {"conversation_id": "mine", "agent_id": 42, "metadata": {"agent_id": 42}}
    created = api.post("/new", unknown).json()["conversation"]
    path = "/" + created["conversationId"]

    sent = {"role": "user", "content": "a", "message_id": "m", "tool_args": "no object"}
    message_id = api.post(f"{path}/message", sent).json()["messageId"]
    session = api.post(f"{path}/session", {"wsUrl": PUSH_URL, "session_id": 42, "expires_at": [1]})
    listed = api.get("/list?sort_by=nothing")

    assert created["metadata"] == {"agent_id": 42}
    assert created["conversationId"] != "mine"
    assert "agentId" not in created
    assert message_id != "m"
    assert "toolArgs" not in api.get(path).json()["messages"][0]
    assert (session.status_code, listed.status_code) == (201, 200)
    assert "sessionId" not in session.json()
