"""The API with ``CONVERSATION_ENCRYPTION_KEYS``: clients notice nothing of it."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from agent_conversations.store.encryption import PLAIN
from agent_conversations.store.keys import conversation_key, messages_key
from tests.agent_conversations.api.conftest import (
    CLIENT_OBJECT,
    PUSH_URL,
    Api,
    assert_error,
    message,
)
from tests.agent_conversations.webhooks import SECRET, delivery, encoded, signature, turn
from tests.conftest import forget_services

pytestmark = pytest.mark.usefixtures("encrypted_service")


def test_clients_notice_nothing_of_the_encryption(api: Api) -> None:
    new = {"conversationId": "c-1", "userId": "u-1", "metadata": CLIENT_OBJECT}
    said = message(messageId="m-1", toolArgs=CLIENT_OBJECT)

    assert api.post("/new", new).status_code == 201
    assert api.post("/new", new).headers["Idempotency-Replayed"] == "true"
    assert_error(api.post("/new", {**new, "metadata": {}}), "conversation_exists")
    assert api.post("/c-1/message", said).status_code == 201
    assert api.post("/c-1/message", said).headers["Idempotency-Replayed"] == "true"
    assert_error(
        api.post("/c-1/message", message(content="x", messageId="m-1")), "message_conflict"
    )
    tag = api.get("/c-1/messages/m-1").headers["ETag"]
    changed = message(content="changed", toolArgs=CLIENT_OBJECT)
    put = api.send("PUT", "/c-1/messages/m-1", changed, headers={"If-Match": tag})
    late = api.send("PUT", "/c-1/messages/m-1", said, headers={"If-Match": tag})

    assert (put.status_code, late.status_code) == (200, 412)
    assert put.headers["ETag"] == api.get("/c-1/messages/m-1").headers["ETag"] != tag
    whole = api.get("/c-1").json()
    (listed,) = api.get("/list?userId=u-1").json()["conversations"]
    assert listed["messages"] == whole["messages"] == api.get("/c-1/messages").json()["messages"]
    assert whole["messages"] == [put.json()]
    assert whole["metadata"] == CLIENT_OBJECT
    assert whole["messages"][0]["toolArgs"] == CLIENT_OBJECT


NO_KEYS: list[str] = []
OTHER_KEY = Fernet.generate_key().decode()
SESSION = {"sessionUrl": PUSH_URL, "sessionId": "s-1"}
CORRUPT = "corrupt_record"
USES: list[tuple[str, str, Any, str, str]] = [
    ("POST", "/new", {"conversationId": "c-1"}, CORRUPT, CORRUPT),
    ("GET", "/c-1", None, CORRUPT, CORRUPT),
    ("PATCH", "/c-1", {"agentId": "a-1"}, CORRUPT, CORRUPT),
    ("PATCH", "/c-1", {"metadata": {"note": "mine"}, "userId": None}, CORRUPT, CORRUPT),
    ("POST", "/c-1/message", message(), CORRUPT, "201"),
    ("POST", "/c-1/message", message(messageId="m-1"), CORRUPT, CORRUPT),
    ("POST", "/c-1/messages", {"messages": [message(messageId="m-1")]}, CORRUPT, CORRUPT),
    ("GET", "/c-1/messages", None, CORRUPT, CORRUPT),
    ("GET", "/c-1/messages/m-1", None, CORRUPT, CORRUPT),
    ("GET", "/c-1/messages/m-2", None, CORRUPT, "message_not_found"),
    ("PUT", "/c-1/messages/m-1", message(), CORRUPT, CORRUPT),
    ("PUT", "/c-1/messages/m-2", message(), CORRUPT, "201"),
    ("POST", "/c-1/session", SESSION, "201", "201"),
    ("DELETE", "/c-1/session", None, "204", "204"),
    ("DELETE", "/c-1", None, "204", "204"),
]
"""Requests, and the code or status without any key and with another one: what needs to read nothing
that is encrypted is done with whatever key there is."""


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use[0]} {use[1]}")
@pytest.mark.parametrize("keys", [NO_KEYS, [OTHER_KEY], [PLAIN, OTHER_KEY]], ids=len)
def test_route_without_the_key_tells_no_word_or_token(
    api: Api,
    settings: Settings,
    log: pytest.LogCaptureFixture,
    use: tuple[str, str, Any, str, str],
    keys: list[str],
) -> None:
    method, path, body, without, with_another = use
    api.post("/new", {"conversationId": "c-1", "metadata": {"note": "confidential"}})
    api.post("/c-1/message", message(content="confidential", messageId="m-1"))
    names = conversation_key("c-1"), messages_key("c-1")
    before = [api.redis.dump(name) for name in names]
    settings.CONVERSATION_ENCRYPTION_KEYS = keys
    forget_services()

    listed = api.get("/list").json()
    response = api.send(method, path, body)

    assert (listed["conversations"], listed["pagination"]["total"]) == ([], 1)
    expected = with_another if keys else without
    if expected.isdigit():
        assert response.status_code == int(expected)
    else:
        assert_error(response, expected)
    assert b"gAAAA" not in response.content
    assert "CONVERSATION_ENCRYPTION_KEYS " in log.text
    assert "confidential" not in log.text
    assert "gAAAA" not in log.text
    if method != "GET" and not expected.isdigit():  # reading sets lastAccessedAt
        assert [api.redis.dump(name) for name in names] == before


@pytest.mark.parametrize("keys", [NO_KEYS, [OTHER_KEY]], ids=len)
def test_webhook_without_the_key_is_taken_when_it_is_back(
    api: Api, settings: Settings, tmp_path: Path, keys: list[str]
) -> None:
    own_keys = settings.CONVERSATION_ENCRYPTION_KEYS
    api.post("/new", {"conversationId": "c-1", "metadata": {"note": "confidential"}})
    api.post("/c-1/message", message(content="confidential", messageId="m-1"))
    names = conversation_key("c-1"), messages_key("c-1")
    before = [api.redis.dump(name) for name in names]
    settings.CONVERSATION_ENCRYPTION_KEYS = keys
    settings.ELEVENLABS_WEBHOOK_SECRETS = [SECRET]
    settings.REFUSED_WEBHOOKS_DIR = tmp_path
    forget_services()
    body = encoded(delivery(turn("user", "Hello"), call_id="c-1"))

    def send(seconds_ago: float) -> Any:
        headers = {"ElevenLabs-Signature": signature(body, seconds_ago=seconds_ago)}
        sent = ("POST", "/webhooks/elevenlabs", body, "application/json")
        return api.client.generic(*sent, headers=headers)

    response = send(0)

    assert_error(response, CORRUPT)
    assert b"gAAAA" not in response.content
    assert [api.redis.dump(name) for name in names] == before
    settings.CONVERSATION_ENCRYPTION_KEYS = own_keys
    forget_services()
    assert send(41 * 60).json()["outcome"] == "stored"  # the last repetition
    assert api.get("/c-1").json()["messageCount"] == 2


@pytest.mark.parametrize("order", ["encrypted", "decrypting", "plain"])
def test_token_that_a_client_sends_is_but_a_text(api: Api, settings: Settings, order: str) -> None:
    keys = settings.CONVERSATION_ENCRYPTION_KEYS
    token = Fernet(keys[0]).encrypt(b'{"role":"user"}').decode()
    settings.CONVERSATION_ENCRYPTION_KEYS = {
        "encrypted": keys,
        "decrypting": [PLAIN, *keys],
        "plain": [],
    }[order]
    forget_services()
    new = {"conversationId": "c-1", "agentId": token, "metadata": {token: token}}
    said = message(content=token, toolName=token, toolArgs={token: [token]}, messageId="m-1")

    assert api.post("/new", new).status_code == 201
    assert api.post("/new", new).status_code == 200
    assert api.post("/c-1/message", said).status_code == 201
    assert api.post("/c-1/message", said).status_code == 200
    put = api.put(f"/c-1/messages/{token[:100]}", message(content=token))

    read = api.get("/c-1").json()
    assert (read["agentId"], read["metadata"]) == (token, {token: token})
    assert said.items() <= read["messages"][0].items()
    assert read["messages"][1] == put.json() == api.get(f"/c-1/messages/{token[:100]}").json()
    assert read["messages"][1]["messageId"] == token[:100]
    for refused in ({"metadata": token}, {"metadata": [token]}):
        assert_error(api.patch("/c-1", refused), "invalid_request")
