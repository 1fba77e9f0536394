"""The session of a conversation: register, look at, delete."""

import json
from typing import Any

import pytest
import time_machine

from tests.agent_conversations.api.conftest import (
    CLIENT_OBJECT,
    NOW,
    PUSH_URL,
    Api,
    assert_error,
    nested,
)

KEY = "elevenlabs:session:c-1"


@pytest.mark.parametrize(
    "body",
    [
        {"wsUrl": PUSH_URL},
        {"sessionUrl": PUSH_URL},
        {"sessionPayload": {"config": {"wsUrl": PUSH_URL}}},
        {"sessionPayload": {"wsUrl": PUSH_URL}},
        {"sessionUrl": "https://not.this/one", "sessionPayload": {"wsUrl": PUSH_URL}},
    ],
)
def test_session_is_registered_wherever_its_url_is(
    clock: time_machine.Traveller, api: Api, body: dict[str, Any]
) -> None:
    response = api.post("/c-1/session", body)

    assert response.status_code == 201
    assert response.json() == {
        "success": True,
        "message": "Agent session registered",
        "conversationId": "c-1",
        "createdAt": NOW,
        "ttl": 600,
    }
    stored = json.loads(api.redis.get(KEY) or b"")
    assert stored["wsUrl"] == PUSH_URL


def test_session_is_stored_raw_and_whole(api: Api) -> None:
    body = {
        "sessionUrl": PUSH_URL,
        "sessionId": "s-1",
        "metadata": CLIENT_OBJECT,
        "unknown": CLIENT_OBJECT,
    }

    api.post("/c-1/session", body)

    stored = json.loads(api.redis.get(KEY) or b"")
    assert stored["sessionPayload"] == body
    assert list(stored["sessionPayload"]["unknown"]) == list(CLIENT_OBJECT)


def test_session_is_shown_without_url_and_payload(clock: time_machine.Traveller, api: Api) -> None:
    sent = {"sessionUrl": PUSH_URL, "agentSessionId": "s-1", "transport": "websocket"}
    registered = api.post("/c-1/session", {**sent, "metadata": {"secret": "secret-token"}})

    response = api.get("/c-1/session")

    remaining = response.json()["expiresInSeconds"]
    assert response.status_code == 200
    assert response.json() == {
        "conversationId": "c-1",
        "sessionId": "s-1",
        "transport": "websocket",
        "createdAt": NOW,
        "ttl": 600,
        "expiresInSeconds": remaining,
    }
    assert 0 < remaining <= 600
    assert b"secret-token" not in response.content + registered.content


def test_null_field_of_a_session_counts_as_absent(api: Api) -> None:
    absent = dict.fromkeys(
        ("wsUrl", "sessionPayload", "sessionId", "transport", "expiresAt", "metadata")
    )

    registered = api.post("/c-1/session", {"sessionUrl": PUSH_URL, **absent})
    status = api.get("/c-1/session").json()

    assert registered.status_code == 201
    assert "sessionId" not in registered.json()
    assert set(status) == {"conversationId", "createdAt", "ttl", "expiresInSeconds"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "no push-capable URL"),
        ({}, "no push-capable URL"),
        ({"sessionId": "s-1"}, "A session id alone cannot reach the agent"),
        ({"agentSessionId": "s-1"}, "A session id alone cannot reach the agent"),
        ({"sessionUrl": "https://host/path"}, "not an absolute ws:// or wss:// URL"),
        ({"sessionUrl": "wss:///path"}, "not an absolute ws:// or wss:// URL"),
        ({"sessionUrl": "/v1/convai"}, "not an absolute ws:// or wss:// URL"),
    ],
)
def test_session_without_push_url_is_refused_with_what_to_send(
    api: Api, body: object, words: str
) -> None:
    response = api.post("/c-1/session", body)

    assert response.status_code == 400
    assert words in response.json()["error"]
    assert "sessionPayload.config.wsUrl" in response.json()["error"]
    assert not api.redis.exists(KEY)


def test_session_payload_over_64_kib_is_refused(api: Api) -> None:
    body = {"sessionPayload": {"wsUrl": "wss://host/push", "more": "x" * 65_536}}

    response = api.post("/c-1/session", body)

    assert response.status_code == 400
    assert "64 KiB" in response.json()["error"]
    assert not api.redis.exists(KEY)


@pytest.mark.parametrize("levels", [257, 966, 967, 968, 969, 2_000])
@pytest.mark.parametrize("field", ["sessionPayload", "more"])
def test_session_nested_too_deep_is_refused(api: Api, levels: int, field: str) -> None:
    body = b'{"wsUrl":"wss://host/push","%b":%b}' % (field.encode(), nested(levels))

    response = api.post("/c-1/session", body)

    assert response.status_code == 400
    assert not api.redis.exists(KEY)


def test_session_of_256_levels_is_registered(api: Api) -> None:
    body = b'{"wsUrl":"wss://host/push","sessionPayload":%b}' % nested(256)

    response = api.post("/c-1/session", body)

    assert response.status_code == 201
    assert api.get("/c-1/session").status_code == 200


def test_new_session_replaces_the_old_one(api: Api) -> None:
    api.post("/c-1/session", {"sessionUrl": PUSH_URL, "sessionId": "old"})

    api.post("/c-1/session", {"sessionUrl": PUSH_URL, "sessionId": "new"})

    assert api.get("/c-1/session").json()["sessionId"] == "new"


def test_missing_session_has_a_not_found_code_of_its_own(api: Api, conversation: str) -> None:
    for path in (conversation, "/unknown"):
        assert_error(api.get(f"{path}/session"), "session_not_found")


@pytest.mark.parametrize(
    ("query", "left"), [("", False), ("?sessionId=new", False), ("?sessionId=old", True)]
)
def test_delete_takes_only_the_named_session(api: Api, query: str, left: bool) -> None:
    api.post("/c-1/session", {"sessionUrl": PUSH_URL, "sessionId": "old"})
    api.post("/c-1/session", {"sessionUrl": PUSH_URL, "sessionId": "new"})

    response = api.delete(f"/c-1/session{query}")

    assert (response.status_code, response.content) == (204, b"")
    assert (api.get("/c-1/session").status_code == 200) is left


@pytest.mark.parametrize("query", ["?session_id=s-1", "?sessionid=s-1", "?sessionId=x&a=b"])
def test_misspelt_query_deletes_no_session(api: Api, query: str) -> None:
    api.post("/c-1/session", {"sessionUrl": PUSH_URL, "sessionId": "s-1"})

    response = api.delete(f"/c-1/session{query}")

    assert response.status_code == 400
    assert "is not known here" in response.json()["error"]
    assert api.get("/c-1/session").status_code == 200


def test_delete_of_a_missing_session_succeeds(api: Api) -> None:
    assert api.delete("/c-1/session").status_code == 204
    assert api.delete("/c-1/session?sessionId=x").status_code == 204


def test_deleted_session_leaves_its_conversation(api: Api, conversation: str) -> None:
    api.post(f"{conversation}/session", {"sessionUrl": PUSH_URL})

    api.delete(f"{conversation}/session")

    assert api.get(conversation).status_code == 200


def test_stored_record_without_any_url_is_no_session(api: Api) -> None:
    stored = {"sessionId": "s-1", "conversationId": "c-1", "lastAccessedAt": "2025-01-01T00:01:00Z"}
    api.redis.set("elevenlabs:session:c-1", json.dumps(stored), ex=60)

    assert_error(api.get("/c-1/session"), "session_not_found")
    assert api.delete("/c-1/session?sessionId=s-1").status_code == 204
    assert api.redis.exists("elevenlabs:session:c-1")
