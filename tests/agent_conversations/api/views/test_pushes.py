"""``POST /{conversationId}/push`` and ``GET /{conversationId}/push/{pushId}``."""

from urllib.parse import quote

import pytest

from agent_conversations import services
from tests.agent_conversations.api.conftest import PUSH_URL, Api, assert_error

WORDS = "The report is done."
PUSH = {"text": WORDS, "pushId": "p-1"}


@pytest.fixture
def registered(api: Api) -> None:
    assert api.post("/c-1/session", {"sessionUrl": PUSH_URL, "sessionId": "s-1"}).status_code == 201


@pytest.mark.usefixtures("registered")
def test_push_is_accepted_and_can_be_read(api: Api) -> None:
    response = api.post("/c-1/push", PUSH)

    assert response.status_code == 202
    body = response.json()
    assert set(body) == {"conversationId", "pushId", "state", "createdAt", "expiresAt"}
    assert (body["conversationId"], body["pushId"], body["state"]) == ("c-1", "p-1", "queued")
    assert api.get("/c-1/push/p-1").json() == body


@pytest.mark.usefixtures("registered")
def test_push_without_an_id_is_given_one(api: Api) -> None:
    made = api.post("/c-1/push", {"text": WORDS}).json()["pushId"]

    assert made.startswith("push-")
    assert api.get(f"/c-1/push/{made}").status_code == 200


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("push_id", ["reports/42", "a line\nbreak", " / "])
def test_any_id_of_a_push_leads_to_it(api: Api, push_id: str) -> None:
    api.post("/c-1/push", {**PUSH, "pushId": push_id})

    assert api.get(f"/c-1/push/{quote(push_id)}").json()["pushId"] == push_id


@pytest.mark.usefixtures("registered")
def test_repeated_push_is_answered_as_a_replay(api: Api) -> None:
    first = api.post("/c-1/push", PUSH)
    again = api.post("/c-1/push", PUSH)

    assert "Idempotency-Replayed" not in first.headers
    assert again.status_code == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert_error(api.post("/c-1/push", {**PUSH, "text": "others"}), "push_conflict")


@pytest.mark.usefixtures("registered")
def test_result_of_the_tab_is_shown(api: Api) -> None:
    api.post("/c-1/push", PUSH)
    services.pushes().claim("c-1", "s-1", "p-1", "tab")
    assert api.get("/c-1/push/p-1").json()["state"] == "sent"

    services.pushes().set_result("c-1", "s-1", "p-1", ok=False, reason="The call has ended.")

    body = api.get("/c-1/push/p-1").json()
    assert (body["state"], body["reason"]) == ("failed", "The call has ended.")


def test_push_without_a_session_is_not_found(api: Api) -> None:
    assert_error(api.post("/c-1/push", PUSH), "session_not_found")
    assert_error(api.get("/c-1/push/p-1"), "push_not_found")

    api.post("/c-1/session", {"sessionUrl": PUSH_URL})
    body = assert_error(api.post("/c-1/push", PUSH), "session_not_found")
    assert "without a sessionId" in body["error"]


@pytest.mark.usefixtures("registered")
def test_words_of_a_push_are_in_no_log_or_error(api: Api, log: pytest.LogCaptureFixture) -> None:
    for body in (PUSH, {**PUSH, "kind": WORDS}, {**PUSH, "text": [WORDS]}, {"text": WORDS * 1000}):
        assert WORDS.encode() not in api.post("/c-1/push", body).content
    api.redis.hdel("{elevenlabs:conversation:c-1}:push:p-1", "createdAtMs")
    assert_error(api.post("/c-1/push", PUSH), "corrupt_record")
    assert_error(api.get("/c-1/push/p-1"), "corrupt_record")
    assert WORDS not in log.text
