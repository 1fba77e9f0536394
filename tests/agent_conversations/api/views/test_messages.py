"""The messages of a conversation: append one, read a page of them."""

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.agent_conversations.api.conftest import (
    CLIENT_OBJECT,
    NOW,
    Api,
    assert_error,
    message,
    nested,
)
from tests.conftest import forget_services


@pytest.fixture
def seven_messages(api: Api, conversation: str) -> str:
    """The path of the messages ``m-0`` to ``m-6``."""
    for number in range(7):
        api.post(f"{conversation}/message", message(messageId=f"m-{number}"))
    return f"{conversation}/messages"


def test_server_fills_in_what_a_message_leaves_out(api: Api, conversation: str) -> None:
    response = api.post(f"{conversation}/message", message())

    body = response.json()
    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response.headers
    assert body == {
        "success": True,
        "conversationId": "c-1",
        "message": "Message added to conversation",
        "messageId": body["messageId"],
        "messageCount": 1,
    }
    assert api.get(conversation).json()["messages"] == [
        {
            "role": "user",
            "content": "Hello",
            "timestamp": NOW,
            "source": "text",
            "messageId": body["messageId"],
        }
    ]


def test_every_field_of_a_message_is_kept(api: Api, conversation: str) -> None:
    whole = {
        "role": "tool",
        "content": "",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "source": "tool_output",
        "messageId": "m-1",
        "toolName": "list_tasks",
        "toolArgs": CLIENT_OBJECT,
        "toolOutput": "",
        "status": "failed",
        "toolCallId": "call-1",
        "interrupted": False,
        "originalContent": "",
        "timeInCallSecs": 0,
    }

    api.post(f"{conversation}/message", whole)

    assert api.get(conversation).json()["messages"] == [whole]
    assert api.get(f"{conversation}/messages").json()["messages"] == [whole]


def test_client_object_is_written_as_it_was_sent(api: Api, conversation: str) -> None:
    api.post(f"{conversation}/message", message(role="tool", toolArgs=CLIENT_OBJECT))

    text = api.get(conversation).content.decode()

    as_sent = json.dumps(CLIENT_OBJECT, ensure_ascii=False, separators=(",", ":"))
    assert as_sent in text


@pytest.mark.parametrize(
    "field",
    [
        "content",
        "timestamp",
        "source",
        "messageId",
        "toolName",
        "toolArgs",
        "toolOutput",
        "status",
        "toolCallId",
        "interrupted",
        "originalContent",
        "timeInCallSecs",
    ],
)
def test_null_field_of_a_message_counts_as_absent(api: Api, conversation: str, field: str) -> None:
    body = message(role="assistant", **{"content": "Hello", field: None})

    response = api.post(f"{conversation}/message", body)

    (stored,) = api.get(conversation).json()["messages"]
    assert response.status_code == 201
    assert set(stored) == {"role", "content", "timestamp", "source", "messageId"}


def test_wrong_role_blames_no_empty_content(api: Api, conversation: str) -> None:
    response = api.post(f"{conversation}/message", message(role="narrator", content=""))

    assert list(response.json()["details"]) == ["role"]


def test_role_agent_is_stored_as_assistant(api: Api, conversation: str) -> None:
    api.post(f"{conversation}/message", message(role="agent"))

    (stored,) = api.get(conversation).json()["messages"]
    assert stored["role"] == "assistant"


@pytest.mark.parametrize("role", ["assistant", "agent", "tool"])
@pytest.mark.parametrize("content", ["", None])
def test_turn_without_words_is_stored(
    api: Api, conversation: str, role: str, content: str | None
) -> None:
    response = api.post(f"{conversation}/message", message(role=role, content=content))

    (stored,) = api.get(conversation).json()["messages"]
    assert response.status_code == 201
    assert stored["content"] == ""


@pytest.mark.parametrize("seconds", [0, 5, 12.25, 10**20])
def test_time_in_call_is_returned_as_it_was_sent(
    api: Api, conversation: str, seconds: float
) -> None:
    api.post(f"{conversation}/message", message(timeInCallSecs=seconds))

    assert f'"timeInCallSecs":{seconds}' in api.get(conversation).content.decode()


def test_timestamp_with_an_offset_is_returned_in_utc(api: Api, conversation: str) -> None:
    sent = message(timestamp="2026-11-23T10:20:45.1239+02:00")

    api.post(f"{conversation}/message", sent)

    (stored,) = api.get(conversation).json()["messages"]
    assert stored["timestamp"] == "2026-11-23T08:20:45.123Z"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": None}, "role"),
        ({"role": "robot"}, "role"),
        ({"content": None}, "content"),
        ({"content": ""}, "content"),
        ({"content": ["a"]}, "content"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-11-23T10:20:45"}, "timestamp"),
        ({"timestamp": 1795423973269}, "timestamp"),
        ({"source": "radio"}, "source"),
        ({"messageId": ""}, "messageId"),
        ({"messageId": "x" * 257}, "messageId"),
        ({"toolArgs": []}, "toolArgs"),
        ({"status": "done"}, "status"),
        ({"toolCallId": ""}, "toolCallId"),
        ({"interrupted": "yes"}, "interrupted"),
        ({"interrupted": 1}, "interrupted"),
        ({"originalContent": 1}, "originalContent"),
        ({"timeInCallSecs": -0.1}, "timeInCallSecs"),
        ({"timeInCallSecs": True}, "timeInCallSecs"),
        ({"timeInCallSecs": "5"}, "timeInCallSecs"),
    ],
)
def test_invalid_field_of_a_message_is_refused_by_its_name(
    api: Api, conversation: str, fields: dict[str, Any], field: str
) -> None:
    response = api.post(f"{conversation}/message", message(**fields))

    body = assert_error(response, "invalid_request")
    assert list(body["details"]) == [field]
    assert body["error"].startswith(field)
    assert api.get(conversation).json()["messages"] == []


def test_tool_arguments_at_their_limits_are_stored(api: Api, conversation: str) -> None:
    deep = json.loads(nested(32))
    wide = {"a": "x" * (16_384 - len('{"a":""}'))}

    for tool_args in (deep, wide):
        body = {"role": "tool", "content": "", "toolArgs": tool_args}
        assert api.post(f"{conversation}/message", body).status_code == 201

    messages = api.get(conversation).json()["messages"]
    assert [one["toolArgs"] for one in messages] == [deep, wide]


def test_message_sent_again_counts_once(api: Api, conversation: str) -> None:
    sent = message(messageId="m-1")
    api.post(f"{conversation}/message", sent)
    api.post(f"{conversation}/message", message(messageId="m-2"))

    again = api.post(f"{conversation}/message", sent)

    assert again.status_code == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.json()["messageId"], again.json()["messageCount"]) == ("m-1", 2)
    assert len(api.get(conversation).json()["messages"]) == 2


def test_message_sent_again_with_a_new_timestamp_counts_once(api: Api, conversation: str) -> None:
    api.post(f"{conversation}/message", message(messageId="m-1", timestamp=NOW))

    again = api.post(
        f"{conversation}/message", message(messageId="m-1", timestamp="2026-12-01T00:00:00Z")
    )

    (stored,) = api.get(conversation).json()["messages"]
    assert (again.status_code, stored["timestamp"]) == (200, NOW)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_idempotency_key_is_used_where_there_is_no_message_id(api: Api, conversation: str) -> None:
    path, headers = f"{conversation}/message", {"Idempotency-Key": "key-1"}
    first = api.post(path, message(), headers=headers)
    again = api.post(path, message(), headers=headers)
    with_id = api.post(path, message(messageId="m-1"), headers=headers)

    assert [one.status_code for one in (first, again, with_id)] == [201, 200, 201]
    assert again.json()["messageId"] == first.json()["messageId"]
    assert with_id.json()["messageId"] == "m-1"


@pytest.mark.parametrize(
    "change", [{"content": "Other"}, {"role": "assistant"}, {"toolArgs": {"a": []}}]
)
def test_message_id_with_other_content_is_a_conflict(
    api: Api, conversation: str, change: dict[str, Any]
) -> None:
    api.post(f"{conversation}/message", message(messageId="m-1"))

    response = api.post(f"{conversation}/message", message(messageId="m-1", **change))

    assert_error(response, "message_conflict")
    assert len(api.get(conversation).json()["messages"]) == 1


def test_full_conversation_takes_no_new_message(
    api: Api, conversation: str, settings: Settings
) -> None:
    settings.CONVERSATION_MAX_MESSAGES = 2
    forget_services()
    path = f"{conversation}/message"
    api.post(path, message(messageId="m-0"))
    api.post(path, message(messageId="m-1"))

    third = api.post(path, message(messageId="m-2"))
    first_again = api.post(path, message(messageId="m-0"))

    assert_error(third, "conversation_full")
    assert first_again.status_code == 200, "what is in it already is no new message"


def test_several_messages_are_added_in_their_order(api: Api, conversation: str) -> None:
    sent = [message(content=str(number), messageId=f"m-{number}") for number in range(100)]

    response = api.post(f"{conversation}/messages", {"messages": sent})

    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response.headers
    assert response.json() == {
        "success": True,
        "conversationId": "c-1",
        "message": "Messages added to conversation",
        "messageCount": 100,
        "messages": [{"messageId": f"m-{number}", "replayed": False} for number in range(100)],
    }
    stored = api.get(conversation).json()["messages"]
    assert [one["content"] for one in stored] == [str(number) for number in range(100)]


def test_several_messages_sent_again_count_once(api: Api, conversation: str) -> None:
    sent = [message(messageId="m-1"), message(messageId="m-2")]
    api.post(f"{conversation}/messages", {"messages": sent})

    again = api.post(f"{conversation}/messages", {"messages": sent})
    more = api.post(f"{conversation}/messages", {"messages": [*sent, message(messageId="m-3")]})

    assert again.status_code == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert more.status_code == 201
    assert [one["replayed"] for one in more.json()["messages"]] == [True, True, False]
    assert more.json()["messageCount"] == 3


def test_several_messages_without_ids_count_once_under_a_key(api: Api, conversation: str) -> None:
    body = {"messages": [message(), message(messageId="own"), message()]}
    headers = {"Idempotency-Key": "key"}

    first = api.post(f"{conversation}/messages", body, headers=headers)
    again = api.post(f"{conversation}/messages", body, headers=headers)

    assert (first.status_code, again.status_code) == (201, 200)
    ids = [one["messageId"] for one in first.json()["messages"]]
    assert ids == ["key-0", "own", "key-2"]
    assert again.json()["messageCount"] == 3


@pytest.mark.parametrize(
    ("messages", "field", "end"),
    [
        ([message()] * 3 + [message(role="robot")], "messages[3].role", "'assistant'"),
        ([message(), message(content="")], "messages[1].content", "tool and assistant"),
        ([message(), "text"], "messages[1]", "must be a JSON object"),
        ([message(), {"role": "user"}], "messages[1].content", "is required"),
        ([], "messages", "must not be empty"),
        ([message()] * 101, "messages", "must have at most 100 items"),
        ({}, "messages", "must be an array"),
        (None, "messages", "must be an array"),
    ],
)
def test_fault_in_one_of_several_messages_names_its_place(
    api: Api, conversation: str, messages: Any, field: str, end: str
) -> None:
    response = api.post(f"{conversation}/messages", {"messages": messages})

    body = assert_error(response, "invalid_request")
    assert list(body["details"]) == [field]
    assert body["error"].startswith(f"{field} ")
    assert end in body["error"]
    assert api.get(conversation).json()["messages"] == []


def test_conflict_of_one_message_stores_none_of_several(api: Api, conversation: str) -> None:
    api.post(f"{conversation}/message", message(messageId="m-1"))
    sent = [message(messageId="m-0"), message(content="Other", messageId="m-1")]

    response = api.post(f"{conversation}/messages", {"messages": sent})

    assert_error(response, "message_conflict")
    assert len(api.get(conversation).json()["messages"]) == 1


def test_put_replaces_a_message_in_its_place(api: Api, seven_messages: str) -> None:
    heard = {"role": "agent", "content": "Hel", "interrupted": True, "originalContent": "Hello"}

    response = api.put(f"{seven_messages}/m-3", heard)

    stored = api.get(seven_messages).json()["messages"]
    assert response.status_code == 200
    assert response.json() == stored[3]
    assert stored[3] == {
        "role": "assistant",
        "content": "Hel",
        "timestamp": NOW,
        "source": "text",
        "messageId": "m-3",
        "interrupted": True,
        "originalContent": "Hello",
    }
    assert [one["messageId"] for one in stored] == [f"m-{number}" for number in range(7)]


def test_put_appends_a_message_that_is_not_there(api: Api, conversation: str) -> None:
    response = api.put(f"{conversation}/messages/conv_1:7:agent", message(role="agent"))

    found = api.get(f"{conversation}/messages/conv_1:7:agent")
    assert response.status_code == 201
    assert found.json() == response.json()
    assert found.headers["ETag"] == response.headers["ETag"]
    assert api.get(conversation).json()["messages"] == [found.json()]


def test_put_with_a_timestamp_replaces_it(api: Api, seven_messages: str) -> None:
    response = api.put(f"{seven_messages}/m-0", message(timestamp="2020-01-01T00:00:00Z"))

    assert response.json()["timestamp"] == "2020-01-01T00:00:00.000Z"


def test_put_makes_a_new_etag_of_conversation_and_message(api: Api, seven_messages: str) -> None:
    path = f"{seven_messages}/m-0"
    before = [api.get(one).headers["ETag"] for one in ("/c-1", path)]

    put = api.put(path, message(content="Other"))

    after = [api.get(one).headers["ETag"] for one in ("/c-1", path)]
    assert put.headers["ETag"] == after[1]
    assert set(before).isdisjoint(after)


@pytest.mark.parametrize("weak", ["", "W/"])
def test_put_with_the_current_etag_succeeds_once(api: Api, seven_messages: str, weak: str) -> None:
    path = f"{seven_messages}/m-0"
    headers = {"If-Match": weak + api.get(path).headers["ETag"]}

    first = api.put(path, message(content="First"), headers=headers)
    second = api.put(path, message(content="Second"), headers=headers)

    assert first.status_code == 200
    assert_error(second, "precondition_failed")
    assert api.get(path).json()["content"] == "First"


@pytest.mark.parametrize("tag", ["*", '"0000000000000000"', '"*"', '"a b"'])
def test_put_with_an_etag_appends_nothing(api: Api, conversation: str, tag: str) -> None:
    response = api.put(f"{conversation}/messages/m-1", message(), headers={"If-Match": tag})

    assert_error(response, "precondition_failed")
    assert api.get(conversation).json()["messages"] == []


def test_put_with_any_etag_replaces(api: Api, seven_messages: str) -> None:
    response = api.put(f"{seven_messages}/m-0", message(), headers={"If-Match": "*"})

    assert response.status_code == 200


def test_put_under_another_id_than_the_path_is_refused(api: Api, seven_messages: str) -> None:
    response = api.put(f"{seven_messages}/m-0", message(messageId="m-1"))

    assert list(assert_error(response, "invalid_request")["details"]) == ["messageId"]
    assert api.put(f"{seven_messages}/m-0", message(messageId="m-0")).status_code == 200
    assert api.put(f"{seven_messages}/{'x' * 257}", message()).status_code == 400


def test_unknown_message_is_not_found(api: Api, conversation: str) -> None:
    assert_error(api.get(f"{conversation}/messages/m-1"), "message_not_found")
    assert_error(api.get("/unknown/messages/m-1"), "conversation_not_found")


def test_message_does_not_create_an_unknown_conversation(api: Api) -> None:
    response = api.post("/unknown/message", message())

    assert response.json()["code"] == "conversation_not_found"
    assert api.get("/unknown").status_code == 404


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_next_leads_to_the_last_page_and_no_further(
    api: Api, seven_messages: str, order: str, limit: int
) -> None:
    found: list[str] = []
    query = f"?limit={limit}&order={order}"
    pagination: dict[str, Any] = {"hasMore": True, "next": None}
    after = ""
    while pagination["hasMore"]:
        page = api.get(seven_messages + query + after).json()
        pagination = page["pagination"]
        found += [one["messageId"] for one in page["messages"]]
        assert (pagination["total"], pagination["limit"]) == (7, limit)
        assert ("next" in pagination) == pagination["hasMore"]
        after = f"&after={pagination.get('next')}"

    expected = [f"m-{number}" for number in range(7)]
    assert found == (expected if order == "asc" else expected[::-1])


def test_page_has_a_hundred_messages_as_written_by_default(api: Api, seven_messages: str) -> None:
    page = api.get(seven_messages).json()

    assert [one["messageId"] for one in page["messages"]] == [f"m-{n}" for n in range(7)]
    assert page["pagination"] == {"total": 7, "limit": 100, "hasMore": False}


def test_page_of_an_empty_conversation_is_empty(api: Api, conversation: str) -> None:
    assert api.get(f"{conversation}/messages").json() == {
        "messages": [],
        "pagination": {"total": 0, "limit": 100, "hasMore": False},
    }


def test_message_added_between_two_pages_is_neither_skipped_nor_repeated(
    api: Api, seven_messages: str
) -> None:
    first = api.get(f"{seven_messages}?limit=4").json()
    api.post("/c-1/message", message(messageId="m-7"))

    second = api.get(f"{seven_messages}?limit=4&after={first['pagination']['next']}").json()

    assert [one["messageId"] for one in second["messages"]] == ["m-4", "m-5", "m-6", "m-7"]


@pytest.mark.parametrize("after", ["", "0", "x", "3.abcdefabcdef", "3.", "%00", "٣.0"])
def test_invalid_cursor_is_refused(api: Api, seven_messages: str, after: str) -> None:
    response = api.get(f"{seven_messages}?after={after}")

    assert response.status_code == 400
    assert list(response.json()["details"]) == ["after"]


def test_cursor_of_another_conversation_or_order_is_refused(api: Api, seven_messages: str) -> None:
    cursor = api.get(f"{seven_messages}?limit=2").json()["pagination"]["next"]
    api.post("/new", {"conversationId": "c-2"})

    assert api.get(f"{seven_messages}?order=desc&after={cursor}").status_code == 400
    assert api.get(f"/c-2/messages?after={cursor}").status_code == 400
    assert api.get(f"{seven_messages}?after={cursor[:-1]}").status_code == 400


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=0", "limit must be a positive integer"),
        ("limit=x", "limit must be a positive integer"),
        ("limit=501", "limit must not be greater than 500"),
        ("order=up", "order must be one of: asc, desc"),
    ],
)
def test_invalid_page_parameter_is_refused(
    api: Api, seven_messages: str, query: str, sentence: str
) -> None:
    response = api.get(f"{seven_messages}?{query}")

    assert response.status_code == 400
    assert response.json()["error"] == sentence


def test_page_takes_the_largest_limit(api: Api, seven_messages: str) -> None:
    assert api.get(f"{seven_messages}?limit=500").json()["pagination"]["limit"] == 500


def test_page_of_an_unknown_conversation_is_not_found(api: Api) -> None:
    response = api.get("/unknown/messages")

    assert response.json()["code"] == "conversation_not_found"
