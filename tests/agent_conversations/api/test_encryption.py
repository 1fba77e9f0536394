"""The API with ``CONVERSATION_ENCRYPTION_KEYS``: clients notice nothing of it."""

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.store.keys import conversation_key, messages_key
from tests.agent_conversations.api.conftest import CLIENT_OBJECT, Api, assert_error, message
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


def test_missing_key_is_a_corrupt_record_that_the_log_names(
    api: Api, encrypted_service: Redis, settings: Settings, log: pytest.LogCaptureFixture
) -> None:
    api.post("/new", {"conversationId": "c-1", "metadata": {"note": "confidential"}})
    api.post("/c-1/message", message(content="confidential"))
    stored = encrypted_service.lrange(messages_key("c-1"), 0, -1)
    settings.CONVERSATION_ENCRYPTION_KEYS = []
    forget_services()

    for response in (api.get("/c-1"), api.post("/c-1/message", message())):
        assert_error(response, "corrupt_record")

    assert "CONVERSATION_ENCRYPTION_KEYS has no key" in log.text
    assert "confidential" not in log.text
    assert encrypted_service.lrange(messages_key("c-1"), 0, -1) == stored
    assert "confidential" not in str(encrypted_service.hvals(conversation_key("c-1")))
