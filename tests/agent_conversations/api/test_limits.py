"""What is too much, too deep or no JSON: refused in the envelope, and nothing of it stored."""

import gzip
import json

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from tests.conftest import ServedClient

API = "/agent-conversations/api"
CONVERSATION = "c-1"


@pytest.fixture
def empty(real_service: Redis, client: ServedClient) -> Redis:
    """A service with one empty conversation."""
    created = client.post(f"{API}/new", {"conversationId": CONVERSATION}, "application/json")
    assert created.status_code == 201
    return real_service


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


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


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_is_refused_and_nothing_stored(
    empty: Redis, client: ServedClient, name: str
) -> None:
    body, status = REFUSED[name]

    response = client.post(f"{API}/{CONVERSATION}/message", body, "application/json")

    assert response.status_code == status
    assert response.json()["success"] is False
    assert client.get(f"{API}/{CONVERSATION}").json()["messages"] == []


@pytest.mark.parametrize("field", ["metadata"])
@pytest.mark.parametrize("value", [nested(33), json.dumps({"a": "x" * 16_384}).encode()])
def test_metadata_has_the_same_limits(
    empty: Redis, client: ServedClient, field: str, value: bytes
) -> None:
    body = b'{"%b":%b}' % (field.encode(), value)

    created = client.post(f"{API}/new", body, "application/json")
    changed = client.patch(f"{API}/{CONVERSATION}", body, "application/json")

    assert (created.status_code, changed.status_code) == (400, 400)
    assert client.get(f"{API}/list").json()["pagination"]["total"] == 1
    assert "metadata" not in client.get(f"{API}/{CONVERSATION}").json()


def test_just_within_the_limits_is_stored_and_comes_back(
    empty: Redis, client: ServedClient
) -> None:
    deep = json.loads(nested(32))
    wide = {"a": "x" * (16_384 - len('{"a":""}'))}

    for tool_args in (deep, wide):
        body = {"role": "tool", "content": "", "toolArgs": tool_args}
        assert (
            client.post(f"{API}/{CONVERSATION}/message", body, "application/json").status_code
            == 201
        )

    messages = client.get(f"{API}/{CONVERSATION}").json()["messages"]
    assert [message["toolArgs"] for message in messages] == [deep, wide]


def test_a_session_payload_over_64_kib_is_refused(empty: Redis, client: ServedClient) -> None:
    body = {"sessionPayload": {"wsUrl": "wss://host/push", "more": "x" * 65_536}}

    response = client.post(f"{API}/{CONVERSATION}/session", body, "application/json")

    assert response.status_code == 400
    assert "64 KiB" in response.json()["error"]
    assert not empty.exists(f"elevenlabs:session:{CONVERSATION}")


@pytest.mark.parametrize("levels", [257, 966, 967, 968, 969, 2_000])
@pytest.mark.parametrize("field", ["sessionPayload", "more"])
def test_a_session_nested_too_deep_is_refused(
    empty: Redis, client: ServedClient, levels: int, field: str
) -> None:
    body = b'{"wsUrl":"wss://host/push","%b":%b}' % (field.encode(), nested(levels))

    response = client.post(f"{API}/{CONVERSATION}/session", body, "application/json")

    assert response.status_code == 400
    assert not empty.exists(f"elevenlabs:session:{CONVERSATION}")


def test_a_session_of_256_levels_is_taken(empty: Redis, client: ServedClient) -> None:
    body = b'{"wsUrl":"wss://host/push","sessionPayload":%b}' % nested(256)

    response = client.post(f"{API}/{CONVERSATION}/session", body, "application/json")

    assert response.status_code == 201
    assert client.get(f"{API}/{CONVERSATION}/session").status_code == 200


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("application/json; charset=utf-16", {}),
        ("application/json; charset=latin-1", {}),
        ("text/plain", {}),
        ("application/x-www-form-urlencoded", {}),
        ("application/json", {"Content-Encoding": "gzip"}),
        ("application/json", {"Content-Encoding": "br"}),
    ],
)
def test_other_encodings_are_a_415(
    empty: Redis, client: ServedClient, content_type: str, headers: dict[str, str]
) -> None:
    body = gzip.compress(b'{"role":"user","content":"a"}') if headers else b"role=user&content=a"

    response = client.generic(
        "POST", f"{API}/{CONVERSATION}/message", body, content_type, headers=headers
    )

    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"
    assert client.get(f"{API}/{CONVERSATION}").json()["messages"] == []


def test_10_000_query_parameters_are_a_400(empty: Redis, client: ServedClient) -> None:
    response = client.get(f"{API}/list?" + "a=1&" * 10_000)

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_request"


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
def test_what_is_kept_comes_back_as_it_went_in(
    empty: Redis, client: ServedClient, value: object
) -> None:
    sent = {"zz": value, "a": [value], "b": {"zz": value}}

    client.post(
        f"{API}/{CONVERSATION}/message",
        {"role": "tool", "content": "", "toolArgs": sent},
        "application/json",
    )
    client.patch(f"{API}/{CONVERSATION}", {"metadata": sent}, "application/json")
    conversation = client.get(f"{API}/{CONVERSATION}").json()

    assert conversation["messages"][0]["toolArgs"] == sent
    assert conversation["metadata"] == sent
    assert list(conversation["metadata"]) == list(sent)


def test_a_full_conversation_is_a_409(
    empty: Redis, client: ServedClient, settings: Settings
) -> None:
    settings.CONVERSATION_MAX_MESSAGES = 2
    services.forget()
    path = f"{API}/{CONVERSATION}/message"
    message = {"role": "user", "content": "a", "messageId": "m-0"}
    client.post(path, message, "application/json")
    client.post(path, {**message, "messageId": "m-1"}, "application/json")

    third = client.post(path, {**message, "messageId": "m-2"}, "application/json")
    first_again = client.post(path, message, "application/json")

    assert (third.status_code, third.json()["code"]) == (409, "conversation_full")
    assert first_again.status_code == 200, "what is in it already is no new message"
