"""Conversations: create, read, change, delete."""

from typing import Any

import pytest

from sessions_store.wire.clock import iso_from_ms, ms_from_iso
from tests.agent_conversations.api.conftest import (
    CLIENT_OBJECT,
    Api,
    assert_error,
    message,
    nested,
)
from tests.agent_conversations.api.routes import PREFIX
from tests.agent_conversations.store.records import server_ms


@pytest.fixture
def filled_conversation(api: Api) -> str:
    """The path of a conversation with an agent id and metadata."""
    body = {"conversationId": "c-1", "agentId": "a", "metadata": {"x": 1, "y": 2}}
    assert api.post("/new", body).status_code == 201
    return "/c-1"


def test_conversation_created_without_a_body_has_only_the_required_fields(
    api: Api,
) -> None:
    response = api.post("/new")

    body = response.json()
    created_at = body["conversation"]["createdAt"]
    conversation_id = body["conversationId"]
    assert response.status_code == 201
    assert response.headers["Location"] == f"{PREFIX}/{conversation_id}"
    assert "Idempotency-Replayed" not in response.headers
    assert body == {
        "success": True,
        "conversationId": conversation_id,
        "message": "New agent conversation created",
        "conversation": {
            "conversationId": conversation_id,
            "messages": [],
            "messageCount": 0,
            "createdAt": created_at,
            "lastAccessedAt": created_at,
        },
    }
    assert ms_from_iso(created_at) <= server_ms(api.redis) < ms_from_iso(created_at) + 60_000


def test_generated_id_has_the_time_and_eleven_random_characters(api: Api) -> None:
    word, milliseconds, characters = api.post("/new").json()["conversationId"].split("-")

    assert (word, len(milliseconds)) == ("agent", 13)
    assert milliseconds.isdigit()
    assert len(characters) >= 11
    assert set(characters) <= set("0123456789abcdefghijklmnopqrstuvwxyz")


def test_location_leads_to_the_created_conversation(api: Api) -> None:
    created = api.post("/new", {"agentId": "agent-7", "metadata": CLIENT_OBJECT})

    found = api.get(created.headers["Location"].removeprefix(PREFIX))

    assert found.status_code == 200
    assert found.json()["agentId"] == "agent-7"
    assert found.json()["metadata"] == CLIENT_OBJECT


@pytest.mark.parametrize("field", ["agentId", "metadata", "conversationId"])
def test_null_field_of_a_new_conversation_counts_as_absent(api: Api, field: str) -> None:
    response = api.post("/new", {field: None})

    assert response.status_code == 201
    assert set(response.json()["conversation"]) == {
        "conversationId",
        "messages",
        "messageCount",
        "createdAt",
        "lastAccessedAt",
    }


def test_conversation_created_again_with_the_same_content_is_replayed(api: Api) -> None:
    body = {"conversationId": "conv_1", "metadata": {"a": 1}}
    first = api.post("/new", body)

    again = api.post("/new", body)

    assert again.status_code == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == f"{PREFIX}/conv_1"
    assert again.json()["conversation"]["createdAt"] == first.json()["conversation"]["createdAt"]
    assert api.get("/list").json()["pagination"]["total"] == 1


def test_same_idempotency_key_creates_one_conversation(api: Api) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = api.post("/new", {"agentId": "a"}, headers=headers)

    again = api.post("/new", {"agentId": "a"}, headers=headers)
    other = api.post("/new", {"agentId": "a"}, headers={"Idempotency-Key": "key-2"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["conversationId"] == first.json()["conversationId"]
    assert other.json()["conversationId"] != first.json()["conversationId"]


def test_conversation_id_with_other_content_is_a_conflict(api: Api, conversation: str) -> None:
    body = {"conversationId": "c-1", "agentId": "another"}

    assert_error(api.post("/new", body), "conversation_exists")
    assert "agentId" not in api.get(conversation).json()


def test_idempotency_key_with_other_content_is_a_conflict(api: Api) -> None:
    headers = {"Idempotency-Key": "key-1"}
    api.post("/new", {"agentId": "a"}, headers=headers)

    response = api.post("/new", {"agentId": "b"}, headers=headers)

    assert_error(response, "conversation_exists")


@pytest.mark.parametrize("conversation_id", ["a", "9", "A.b_c-d", "x" * 128])
def test_conversation_id_of_the_client_is_kept(api: Api, conversation_id: str) -> None:
    response = api.post("/new", {"conversationId": conversation_id})

    assert response.json()["conversationId"] == conversation_id
    assert api.get(f"/{conversation_id}").status_code == 200


@pytest.mark.parametrize(
    "conversation_id",
    ["", "x" * 129, "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "{a}", "list", "new", "ws"],
)
def test_invalid_conversation_id_in_a_body_is_refused(api: Api, conversation_id: str) -> None:
    response = api.post("/new", {"conversationId": conversation_id})

    assert response.status_code == 400
    assert list(response.json()["details"]) == ["conversationId"]
    assert api.get("/list").json()["pagination"]["total"] == 0


@pytest.mark.parametrize("agent_id", ["", "x" * 257, 7, []])
def test_agent_id_out_of_bounds_is_refused(api: Api, agent_id: object) -> None:
    response = api.post("/new", {"agentId": agent_id})

    assert response.status_code == 400
    assert response.json()["error"].startswith("agentId must ")


@pytest.mark.parametrize("value", [nested(33), b'{"a":"%b"}' % (b"x" * 16_384)])
def test_metadata_too_deep_or_too_large_is_refused(
    api: Api, conversation: str, value: bytes
) -> None:
    body = b'{"metadata":%b}' % value

    created = api.post("/new", body)
    changed = api.patch(conversation, body)

    assert (created.status_code, changed.status_code) == (400, 400)
    assert api.get("/list").json()["pagination"]["total"] == 1
    assert "metadata" not in api.get(conversation).json()


def test_reading_shows_its_own_time(api: Api, conversation: str) -> None:
    before = server_ms(api.redis)

    first = api.get(conversation).json()

    assert first["createdAt"] <= iso_from_ms(before) <= first["lastAccessedAt"]


def test_etag_changes_with_the_content_and_not_with_reading(api: Api, conversation: str) -> None:
    before = api.get(conversation).headers["ETag"]
    read_again = api.get(conversation).headers["ETag"]
    api.post(f"{conversation}/message", message())
    after = api.get(conversation).headers["ETag"]

    assert before == read_again != after
    assert before.startswith('"')
    assert before.endswith('"')


def test_head_returns_only_the_headers_of_get(api: Api, conversation: str) -> None:
    expected = api.get(conversation)

    response = api.send("HEAD", conversation)

    assert response.status_code == 200
    assert response.content == b""
    assert response.headers["ETag"] == expected.headers["ETag"]
    assert api.send("HEAD", "/list").status_code == 200
    assert api.send("HEAD", "/unknown").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_conversation_is_not_found_in_the_documented_words(api: Api, method: str) -> None:
    response = api.send(method, "/unknown")

    assert assert_error(response, "conversation_not_found") == {
        "success": False,
        "error": "Agent conversation not found",
        "code": "conversation_not_found",
    }


@pytest.mark.parametrize(
    ("changes", "agent_id", "metadata"),
    [
        ({}, "a", {"x": 1, "y": 2}),
        ({"agentId": "b"}, "b", {"x": 1, "y": 2}),
        ({"metadata": {"x": 3}}, "a", {"x": 3}),
        ({"metadata": {}}, "a", {}),
        ({"metadata": CLIENT_OBJECT, "agentId": "b"}, "b", CLIENT_OBJECT),
        ({"agentId": None}, None, {"x": 1, "y": 2}),
        ({"metadata": None}, "a", None),
        ({"agentId": None, "metadata": None}, None, None),
    ],
)
def test_patch_replaces_given_fields_and_removes_null_ones(
    api: Api,
    filled_conversation: str,
    changes: dict[str, Any],
    agent_id: str | None,
    metadata: object,
) -> None:
    response = api.patch(filled_conversation, changes)

    assert response.status_code == 200
    for body in (response.json(), api.get(filled_conversation).json()):
        assert body.get("agentId") == agent_id
        assert body.get("metadata") == metadata
        assert None not in body.values(), "what has no value is left out"


def test_patch_returns_the_etag_that_reading_shows(api: Api, filled_conversation: str) -> None:
    before = api.get(filled_conversation).headers["ETag"]

    after = api.patch(filled_conversation, {"agentId": "b"}).headers["ETag"]

    assert before != after == api.get(filled_conversation).headers["ETag"]


@pytest.mark.parametrize(
    "header", ["{etag}", "W/{etag}", "*", '"other", {etag}', " * ", '{etag},"other"']
)
def test_patch_is_done_where_if_match_holds(
    api: Api, filled_conversation: str, header: str
) -> None:
    headers = {"If-Match": header.format(etag=api.get(filled_conversation).headers["ETag"])}

    response = api.patch(filled_conversation, {"agentId": "b"}, headers=headers)

    assert response.status_code == 200
    assert response.json()["agentId"] == "b"


@pytest.mark.parametrize("header", ['"stale"', 'W/"stale"', '"x", "y"', '"*"', '"x {bare} y"'])
def test_patch_is_refused_where_if_match_does_not_hold(
    api: Api, filled_conversation: str, header: str
) -> None:
    etag = api.get(filled_conversation).headers["ETag"]
    headers = {"If-Match": header.format(etag=etag, bare=etag.strip('"'))}

    response = api.patch(filled_conversation, {"agentId": "b"}, headers=headers)

    assert_error(response, "precondition_failed")
    assert api.get(filled_conversation).json()["agentId"] == "a"


def test_second_patch_based_on_the_same_reading_is_refused(
    api: Api, filled_conversation: str
) -> None:
    headers = {"If-Match": api.get(filled_conversation).headers["ETag"]}

    first = api.patch(filled_conversation, {"agentId": "first"}, headers=headers)
    second = api.patch(filled_conversation, {"agentId": "second"}, headers=headers)

    assert (first.status_code, second.status_code) == (200, 412)
    assert api.get(filled_conversation).json()["agentId"] == "first"


@pytest.mark.parametrize("header", ["nonsense", "{bare}", "", '"unclosed'])
def test_if_match_without_quotes_is_invalid(
    api: Api, filled_conversation: str, header: str
) -> None:
    bare = api.get(filled_conversation).headers["ETag"].strip('"')
    headers = {"If-Match": header.format(bare=bare)}

    response = api.patch(filled_conversation, {"agentId": "b"}, headers=headers)

    assert response.status_code == 400
    assert "quoted" in response.json()["error"]


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"agentId": "b"}), ("DELETE", None)])
def test_unknown_conversation_is_not_found_with_any_if_match(
    api: Api, method: str, body: object
) -> None:
    for header in ("*", '"x"'):
        response = api.send(method, "/unknown", body, headers={"If-Match": header})
        assert response.status_code == 404


def test_delete_removes_the_conversation_everywhere(api: Api, conversation: str) -> None:
    api.post(f"{conversation}/message", message())

    response = api.delete(conversation)

    assert (response.status_code, response.content) == (204, b"")
    assert api.get(conversation).status_code == 404
    assert api.get(f"{conversation}/messages").status_code == 404
    assert api.get("/list").json()["pagination"]["total"] == 0
    assert api.delete(conversation).status_code == 404


@pytest.mark.parametrize("header", ["{etag}", "W/{etag}", "*", '"other", {etag}'])
def test_delete_is_done_where_if_match_holds(api: Api, conversation: str, header: str) -> None:
    headers = {"If-Match": header.format(etag=api.get(conversation).headers["ETag"])}

    assert api.delete(conversation, headers=headers).status_code == 204
    assert api.get(conversation).status_code == 404


@pytest.mark.parametrize("header", ['"stale"', 'W/"stale"'])
def test_delete_is_refused_where_if_match_does_not_hold(
    api: Api, conversation: str, header: str
) -> None:
    headers = {"If-Match": header.format(etag=api.get(conversation).headers["ETag"])}

    response = api.delete(conversation, headers=headers)

    assert_error(response, "precondition_failed")
    assert api.get(conversation).status_code == 200
    assert api.get("/list").json()["pagination"]["total"] == 1


def test_delete_with_the_etag_before_a_message_is_refused(api: Api, conversation: str) -> None:
    headers = {"If-Match": api.get(conversation).headers["ETag"]}
    api.post(f"{conversation}/message", message())

    assert api.delete(conversation, headers=headers).status_code == 412
