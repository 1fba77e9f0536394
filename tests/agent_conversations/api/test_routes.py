"""The ten routes end to end: what is sent, what comes back, and under which headers."""

import json
from typing import Any

import pytest
import time_machine

from tests.agent_conversations.api.conftest import Api
from tests.agent_conversations.api.routes import PREFIX

NOW = "2026-11-23T16:20:45.123Z"
LATER = "2026-11-23T16:20:55.123Z"
URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&token=secret-token"

AWKWARD: dict[str, Any] = {
    "zz_snake": 1,
    "aaCamel": {"UPPER": None, "": [], "nested": [[], [{}]]},
    "big": 12345678901234567890123456789,
    "exact": 12345678901234567,
    "text": 'ü "\\ \u2028 \U0001f600',
}


def message(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": "Hello", **fields}


@pytest.fixture
def conversation(clock: time_machine.Traveller, api: Api) -> str:
    """An empty conversation, created at ``NOW``."""
    assert api.post("/new", {"conversationId": "c-1"}).status_code == 201
    return "/c-1"


class TestCreate:
    def test_without_a_body_gives_an_id_and_leaves_out_what_has_no_value(
        self, clock: time_machine.Traveller, api: Api
    ) -> None:
        response = api.post("/new")

        body = response.json()
        conversation_id = body["conversationId"]
        assert response.status_code == 201
        assert response.headers["Location"] == f"{PREFIX}/{conversation_id}"
        assert "Idempotency-Replayed" not in response.headers
        assert body == {
            "success": True,
            "conversationId": conversation_id,
            "message": "Agent conversation created",
            "conversation": {
                "conversationId": conversation_id,
                "messages": [],
                "createdAt": NOW,
                "lastAccessedAt": NOW,
            },
        }

    def test_a_generated_id_has_the_time_and_eleven_random_characters(self, api: Api) -> None:
        word, milliseconds, characters = api.post("/new").json()["conversationId"].split("-")

        assert (word, len(milliseconds)) == ("agent", 13)
        assert milliseconds.isdigit()
        assert len(characters) >= 11
        assert set(characters) <= set("0123456789abcdefghijklmnopqrstuvwxyz")

    def test_location_leads_to_the_conversation(self, api: Api) -> None:
        created = api.post("/new", {"agentId": "agent-7", "metadata": AWKWARD})

        found = api.get(created.headers["Location"].removeprefix(PREFIX))

        assert found.status_code == 200
        assert found.json()["agentId"] == "agent-7"
        assert found.json()["metadata"] == AWKWARD

    @pytest.mark.parametrize("field", ["agentId", "metadata", "conversationId"])
    def test_null_means_absent(self, api: Api, field: str) -> None:
        response = api.post("/new", {field: None})

        assert response.status_code == 201
        assert set(response.json()["conversation"]) == {
            "conversationId",
            "messages",
            "createdAt",
            "lastAccessedAt",
        }

    def test_the_same_id_and_content_again_is_the_same_conversation(self, api: Api) -> None:
        body = {"conversationId": "conv_1", "metadata": {"a": 1}}
        first = api.post("/new", body)

        again = api.post("/new", body)

        assert again.status_code == 200
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Location"] == f"{PREFIX}/conv_1"
        assert (
            again.json()["conversation"]["createdAt"] == (first.json()["conversation"]["createdAt"])
        )
        assert api.get("/list").json()["pagination"]["total"] == 1

    def test_the_same_idempotency_key_again_is_the_same_conversation(self, api: Api) -> None:
        headers = {"Idempotency-Key": "key-1"}
        first = api.post("/new", {"agentId": "a"}, headers=headers)

        again = api.post("/new", {"agentId": "a"}, headers=headers)
        other = api.post("/new", {"agentId": "a"}, headers={"Idempotency-Key": "key-2"})

        assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json()["conversationId"] == first.json()["conversationId"]
        assert other.json()["conversationId"] != first.json()["conversationId"]

    @pytest.mark.parametrize("conversation_id", ["a", "9", "A.b_c-d", "x" * 128])
    def test_an_id_of_the_clients_own_is_kept(self, api: Api, conversation_id: str) -> None:
        response = api.post("/new", {"conversationId": conversation_id})

        assert response.json()["conversationId"] == conversation_id
        assert api.get(f"/{conversation_id}").status_code == 200

    @pytest.mark.parametrize(
        "conversation_id",
        ["", "x" * 129, "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "{a}", "list", "new", "ws"],
    )
    def test_an_id_that_cannot_be_one_is_refused(self, api: Api, conversation_id: str) -> None:
        response = api.post("/new", {"conversationId": conversation_id})

        assert response.status_code == 400
        assert list(response.json()["details"]) == ["conversationId"]
        assert api.get("/list").json()["pagination"]["total"] == 0

    @pytest.mark.parametrize("agent_id", ["", "x" * 257, 7, []])
    def test_an_agent_id_out_of_bounds_is_refused(self, api: Api, agent_id: object) -> None:
        response = api.post("/new", {"agentId": agent_id})

        assert response.status_code == 400
        assert response.json()["error"].startswith("agentId must ")


class TestRead:
    def test_shows_the_time_of_this_reading(
        self, clock: time_machine.Traveller, api: Api, conversation: str
    ) -> None:
        clock.shift(10)

        first = api.get(conversation).json()

        assert (first["createdAt"], first["lastAccessedAt"]) == (NOW, LATER)

    def test_the_etag_changes_with_the_content_and_not_with_reading(
        self, api: Api, conversation: str
    ) -> None:
        before = api.get(conversation).headers["ETag"]
        read_again = api.get(conversation).headers["ETag"]
        api.post(f"{conversation}/message", message())
        after = api.get(conversation).headers["ETag"]

        assert before == read_again != after
        assert before.startswith('"')
        assert before.endswith('"')

    def test_head_answers_the_headers_of_get_alone(self, api: Api, conversation: str) -> None:
        expected = api.get(conversation)

        response = api.send("HEAD", conversation)

        assert response.status_code == 200
        assert response.content == b""
        assert response.headers["ETag"] == expected.headers["ETag"]
        assert api.send("HEAD", "/list").status_code == 200
        assert api.send("HEAD", "/unknown").status_code == 404

    @pytest.mark.parametrize(
        "path", ["/list/", "/new/", "/c-1/", "/c-1/message/", "/c-1/messages/", "/c-1/session/", ""]
    )
    def test_there_is_nothing_at_a_path_with_a_trailing_slash(
        self, api: Api, conversation: str, path: str
    ) -> None:
        response = api.get(path)

        assert response.status_code == 404
        assert response.json()["code"] == "not_found"

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_an_unknown_conversation_is_told_in_the_known_words(
        self, api: Api, method: str
    ) -> None:
        response = api.send(method, "/unknown")

        assert response.status_code == 404
        assert response.json() == {
            "success": False,
            "error": "Agent conversation not found",
            "code": "conversation_not_found",
        }


class TestList:
    def ids(self, api: Api, query: str = "") -> list[str]:
        response = api.get("/list" + query)
        assert response.status_code == 200
        return [found["conversationId"] for found in response.json()["conversations"]]

    def test_of_nothing_is_an_empty_page(self, api: Api) -> None:
        assert api.get("/list").json() == {
            "conversations": [],
            "pagination": {"total": 0, "limit": 50, "offset": 0, "hasMore": False},
        }

    def test_shows_whole_conversations_last_accessed_first_and_touches_none(
        self, clock: time_machine.Traveller, api: Api
    ) -> None:
        for name in ("a", "b", "c"):
            clock.shift(1)
            api.post("/new", {"conversationId": name})
        api.post("/a/message", message(messageId="m-1"))
        clock.shift(1)
        read = api.get("/a").json()

        first = api.get("/list").json()
        clock.shift(1)
        second = api.get("/list").json()

        assert [found["conversationId"] for found in first["conversations"]] == ["a", "c", "b"]
        assert first["conversations"][0] == read
        assert first == second

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("?sortBy=createdAt", ["c", "b", "a"]),
            ("?sortBy=createdAt&sortOrder=asc", ["a", "b", "c"]),
            ("?sortBy=lastAccessedAt", ["a", "c", "b"]),
            ("?sortBy=lastAccessedAt&sortOrder=asc", ["b", "c", "a"]),
            # Equal counts follow the id, in the same direction.
            ("?sortBy=messageCount", ["b", "c", "a"]),
            ("?sortBy=messageCount&sortOrder=asc", ["a", "c", "b"]),
            ("?limit=2", ["a", "c"]),
            ("?limit=2&offset=2", ["b"]),
            ("?offset=3", []),
            ("?offset=999999999", []),
        ],
    )
    def test_sorts_and_pages(
        self, clock: time_machine.Traveller, api: Api, query: str, expected: list[str]
    ) -> None:
        for name in ("a", "b", "c"):
            clock.shift(1)
            api.post("/new", {"conversationId": name})
        api.post("/b/message", message())
        for name in ("b", "c", "a"):
            clock.shift(1)
            api.get(f"/{name}")

        assert self.ids(api, query) == expected

    def test_says_whether_there_is_more(self, api: Api) -> None:
        for name in ("a", "b", "c"):
            api.post("/new", {"conversationId": name})

        pages = [api.get(f"/list?limit=2&offset={n}").json()["pagination"] for n in (0, 1, 2)]

        assert pages == [
            {"total": 3, "limit": 2, "offset": 0, "hasMore": True},
            {"total": 3, "limit": 2, "offset": 1, "hasMore": False},
            {"total": 3, "limit": 2, "offset": 2, "hasMore": False},
        ]

    @pytest.mark.parametrize("limit", [1, 200])
    def test_takes_a_limit_at_its_bounds(self, api: Api, limit: int) -> None:
        assert api.get(f"/list?limit={limit}").json()["pagination"]["limit"] == limit

    @pytest.mark.parametrize(
        ("query", "field", "sentence"),
        [
            *(
                (f"limit={value}", "limit", "limit must be a positive integer")
                for value in ("0", "-1", "1.5", "", "abc", "%2B5", "%205", "1e2", "0x10", "٣", "²")
            ),
            ("limit=201", "limit", "limit must not be greater than 200"),
            *(
                (f"offset={value}", "offset", "offset must be a non-negative integer")
                for value in ("-1", "1.5", "", "abc", "٣", "9" * 40)
            ),
            *(
                (
                    f"sortBy={value}",
                    "sortBy",
                    "sortBy must be one of: createdAt, lastAccessedAt, messageCount",
                )
                for value in ("", "created_at", "createdat", "agentId")
            ),
            *(
                (f"sortOrder={value}", "sortOrder", "sortOrder must be one of: asc, desc")
                for value in ("", "ASC", "up")
            ),
        ],
    )
    def test_refuses_a_parameter_in_the_known_words(
        self, api: Api, query: str, field: str, sentence: str
    ) -> None:
        response = api.get(f"/list?{query}")

        assert response.status_code == 400
        assert response.json() == {
            "success": False,
            "error": sentence,
            "code": "invalid_request",
            "details": {field: [sentence]},
        }

    def test_names_every_parameter_that_is_wrong(self, api: Api) -> None:
        details = api.get("/list?limit=0&offset=-1&sortBy=x&sortOrder=y").json()["details"]

        assert set(details) == {"limit", "offset", "sortBy", "sortOrder"}


class TestUpdate:
    @pytest.fixture
    def full(self, api: Api) -> str:
        created = api.post(
            "/new", {"conversationId": "c-1", "agentId": "a", "metadata": {"x": 1, "y": 2}}
        )
        assert created.status_code == 201
        return "/c-1"

    @pytest.mark.parametrize(
        ("changes", "agent_id", "metadata"),
        [
            ({}, "a", {"x": 1, "y": 2}),
            ({"agentId": "b"}, "b", {"x": 1, "y": 2}),
            ({"metadata": {"x": 3}}, "a", {"x": 3}),
            ({"metadata": {}}, "a", {}),
            ({"metadata": AWKWARD, "agentId": "b"}, "b", AWKWARD),
            ({"agentId": None}, None, {"x": 1, "y": 2}),
            ({"metadata": None}, "a", None),
            ({"agentId": None, "metadata": None}, None, None),
        ],
    )
    def test_replaces_what_is_given_removes_null_and_leaves_the_rest(
        self,
        api: Api,
        full: str,
        changes: dict[str, Any],
        agent_id: str | None,
        metadata: object,
    ) -> None:
        response = api.patch(full, changes)

        assert response.status_code == 200
        for body in (response.json(), api.get(full).json()):
            assert body.get("agentId") == agent_id
            assert body.get("metadata") == metadata
            assert None not in body.values(), "what has no value is left out"

    def test_answers_the_etag_that_reading_shows(self, api: Api, full: str) -> None:
        before = api.get(full).headers["ETag"]

        after = api.patch(full, {"agentId": "b"}).headers["ETag"]

        assert before != after == api.get(full).headers["ETag"]

    @pytest.mark.parametrize("header", ["{etag}", "*", '"other", {etag}', " * ", '{etag},"other"'])
    def test_is_done_where_if_match_holds(self, api: Api, full: str, header: str) -> None:
        etag = api.get(full).headers["ETag"]

        response = api.patch(full, {"agentId": "b"}, headers={"If-Match": header.format(etag=etag)})

        assert response.status_code == 200
        assert response.json()["agentId"] == "b"

    @pytest.mark.parametrize("header", ['"stale"', "W/{etag}", '"x", "y"', '"*"', '"x {bare} y"'])
    def test_is_a_412_where_if_match_does_not_hold(self, api: Api, full: str, header: str) -> None:
        etag = api.get(full).headers["ETag"]

        response = api.patch(
            full,
            {"agentId": "b"},
            headers={"If-Match": header.format(etag=etag, bare=etag.strip('"'))},
        )

        assert response.status_code == 412
        assert response.json()["code"] == "precondition_failed"
        assert api.get(full).json()["agentId"] == "a"

    def test_is_a_412_for_the_second_of_two_who_read_the_same(self, api: Api, full: str) -> None:
        headers = {"If-Match": api.get(full).headers["ETag"]}

        first = api.patch(full, {"agentId": "first"}, headers=headers)
        second = api.patch(full, {"agentId": "second"}, headers=headers)

        assert (first.status_code, second.status_code) == (200, 412)
        assert api.get(full).json()["agentId"] == "first"

    @pytest.mark.parametrize("header", ["nonsense", "{bare}", "", '"unclosed'])
    def test_an_if_match_without_quotes_is_a_400(self, api: Api, full: str, header: str) -> None:
        bare = api.get(full).headers["ETag"].strip('"')

        response = api.patch(full, {"agentId": "b"}, headers={"If-Match": header.format(bare=bare)})

        assert response.status_code == 400
        assert "quoted" in response.json()["error"]

    def test_an_unknown_conversation_is_a_404_whatever_if_match_says(self, api: Api) -> None:
        for header in ("*", '"x"'):
            response = api.patch("/unknown", {"agentId": "b"}, headers={"If-Match": header})
            assert response.status_code == 404


class TestDelete:
    def test_removes_the_conversation_everywhere(self, api: Api, conversation: str) -> None:
        api.post(f"{conversation}/message", message())

        response = api.delete(conversation)

        assert (response.status_code, response.content) == (204, b"")
        assert api.get(conversation).status_code == 404
        assert api.get(f"{conversation}/messages").status_code == 404
        assert api.get("/list").json()["pagination"]["total"] == 0
        assert api.delete(conversation).status_code == 404

    @pytest.mark.parametrize("header", ["{etag}", "*", '"other", {etag}'])
    def test_is_done_where_if_match_holds(self, api: Api, conversation: str, header: str) -> None:
        headers = {"If-Match": header.format(etag=api.get(conversation).headers["ETag"])}

        assert api.delete(conversation, headers=headers).status_code == 204
        assert api.get(conversation).status_code == 404

    @pytest.mark.parametrize("header", ['"stale"', "W/{etag}"])
    def test_is_a_412_where_if_match_does_not_hold(
        self, api: Api, conversation: str, header: str
    ) -> None:
        headers = {"If-Match": header.format(etag=api.get(conversation).headers["ETag"])}

        response = api.delete(conversation, headers=headers)

        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
        assert api.get(conversation).status_code == 200
        assert api.get("/list").json()["pagination"]["total"] == 1

    def test_is_a_412_after_a_message_was_added(self, api: Api, conversation: str) -> None:
        headers = {"If-Match": api.get(conversation).headers["ETag"]}
        api.post(f"{conversation}/message", message())

        assert api.delete(conversation, headers=headers).status_code == 412

    def test_an_unknown_conversation_is_a_404_whatever_if_match_says(self, api: Api) -> None:
        for header in ("*", '"x"'):
            assert api.delete("/unknown", headers={"If-Match": header}).status_code == 404


class TestAddMessage:
    def test_fills_in_what_the_server_knows(self, api: Api, conversation: str) -> None:
        response = api.post(f"{conversation}/message", message())

        body = response.json()
        assert response.status_code == 201
        assert "Idempotency-Replayed" not in response.headers
        assert body == {
            "success": True,
            "conversationId": "c-1",
            "message": "Message added",
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

    def test_keeps_every_field(self, api: Api, conversation: str) -> None:
        whole = {
            "role": "tool",
            "content": "",
            "timestamp": "2026-01-02T03:04:05.678Z",
            "source": "tool_output",
            "messageId": "m-1",
            "toolName": "list_tasks",
            "toolArgs": AWKWARD,
            "toolOutput": "",
            "status": "failed",
        }

        api.post(f"{conversation}/message", whole)

        assert api.get(conversation).json()["messages"] == [whole]
        assert api.get(f"{conversation}/messages").json()["messages"] == [whole]

    def test_writes_clients_own_objects_as_they_came(self, api: Api, conversation: str) -> None:
        api.post(f"{conversation}/message", message(role="tool", toolArgs=AWKWARD))

        text = api.get(conversation).content.decode()

        as_sent = json.dumps(AWKWARD, ensure_ascii=False, separators=(",", ":"))
        assert as_sent in text

    @pytest.mark.parametrize(
        "field",
        ["timestamp", "source", "messageId", "toolName", "toolArgs", "toolOutput", "status"],
    )
    def test_null_means_absent(self, api: Api, conversation: str, field: str) -> None:
        response = api.post(f"{conversation}/message", message(**{field: None}))

        (stored,) = api.get(conversation).json()["messages"]
        assert response.status_code == 201
        assert set(stored) == {"role", "content", "timestamp", "source", "messageId"}

    def test_a_time_with_an_offset_is_answered_in_utc(self, api: Api, conversation: str) -> None:
        sent = message(timestamp="2026-11-23T10:20:45.1239+02:00")

        api.post(f"{conversation}/message", sent)

        (stored,) = api.get(conversation).json()["messages"]
        assert stored["timestamp"] == "2026-11-23T08:20:45.123Z"

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"role": None}, "role"),
            ({"role": "agent"}, "role"),
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
        ],
    )
    def test_refuses_a_field_by_its_name(
        self, api: Api, conversation: str, fields: dict[str, Any], field: str
    ) -> None:
        response = api.post(f"{conversation}/message", message(**fields))

        assert response.status_code == 400
        assert response.json()["code"] == "invalid_request"
        assert list(response.json()["details"]) == [field]
        assert response.json()["error"].startswith(field)
        assert api.get(conversation).json()["messages"] == []

    def test_the_same_id_and_content_again_counts_once(self, api: Api, conversation: str) -> None:
        sent = message(messageId="m-1")
        api.post(f"{conversation}/message", sent)
        api.post(f"{conversation}/message", message(messageId="m-2"))

        again = api.post(f"{conversation}/message", sent)

        assert again.status_code == 200
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.json()["messageId"], again.json()["messageCount"]) == ("m-1", 2)
        assert len(api.get(conversation).json()["messages"]) == 2

    def test_the_header_stands_for_the_id_where_the_body_has_none(
        self, api: Api, conversation: str
    ) -> None:
        path, headers = f"{conversation}/message", {"Idempotency-Key": "key-1"}
        first = api.post(path, message(), headers=headers)
        again = api.post(path, message(), headers=headers)
        with_id = api.post(path, message(messageId="m-1"), headers=headers)

        assert [one.status_code for one in (first, again, with_id)] == [201, 200, 201]
        assert again.json()["messageId"] == first.json()["messageId"]
        assert with_id.json()["messageId"] == "m-1"

    def test_an_unknown_conversation_is_a_404_and_stays_unknown(self, api: Api) -> None:
        response = api.post("/unknown/message", message())

        assert response.json()["code"] == "conversation_not_found"
        assert api.get("/unknown").status_code == 404


class TestListMessages:
    @pytest.fixture
    def seven(self, api: Api, conversation: str) -> str:
        for number in range(7):
            api.post(f"{conversation}/message", message(messageId=f"m-{number}"))
        return f"{conversation}/messages"

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("limit", [1, 3, 7, 8])
    def test_next_leads_to_the_end_and_no_further(
        self, api: Api, seven: str, order: str, limit: int
    ) -> None:
        found: list[str] = []
        query = f"?limit={limit}&order={order}"
        pagination: dict[str, Any] = {"hasMore": True, "next": None}
        after = ""
        while pagination["hasMore"]:
            page = api.get(seven + query + after).json()
            pagination = page["pagination"]
            found += [one["messageId"] for one in page["messages"]]
            assert (pagination["total"], pagination["limit"]) == (7, limit)
            assert ("next" in pagination) == pagination["hasMore"]
            after = f"&after={pagination.get('next')}"

        expected = [f"m-{number}" for number in range(7)]
        assert found == (expected if order == "asc" else expected[::-1])

    def test_defaults_to_a_hundred_in_the_order_of_writing(self, api: Api, seven: str) -> None:
        page = api.get(seven).json()

        assert [one["messageId"] for one in page["messages"]] == [f"m-{n}" for n in range(7)]
        assert page["pagination"] == {"total": 7, "limit": 100, "hasMore": False}

    def test_of_an_empty_conversation_is_an_empty_page(self, api: Api, conversation: str) -> None:
        assert api.get(f"{conversation}/messages").json() == {
            "messages": [],
            "pagination": {"total": 0, "limit": 100, "hasMore": False},
        }

    def test_a_message_added_between_two_pages_is_neither_skipped_nor_repeated(
        self, api: Api, seven: str
    ) -> None:
        first = api.get(f"{seven}?limit=4").json()
        api.post("/c-1/message", message(messageId="m-7"))

        second = api.get(f"{seven}?limit=4&after={first['pagination']['next']}").json()

        assert [one["messageId"] for one in second["messages"]] == ["m-4", "m-5", "m-6", "m-7"]

    @pytest.mark.parametrize("after", ["", "0", "x", "3.abcdefabcdef", "3.", "%00", "٣.0"])
    def test_a_cursor_that_is_not_ours_is_refused(self, api: Api, seven: str, after: str) -> None:
        response = api.get(f"{seven}?after={after}")

        assert response.status_code == 400
        assert list(response.json()["details"]) == ["after"]

    def test_a_cursor_of_another_conversation_or_order_is_refused(
        self, api: Api, seven: str
    ) -> None:
        cursor = api.get(f"{seven}?limit=2").json()["pagination"]["next"]
        api.post("/new", {"conversationId": "c-2"})

        assert api.get(f"{seven}?order=desc&after={cursor}").status_code == 400
        assert api.get(f"/c-2/messages?after={cursor}").status_code == 400
        assert api.get(f"{seven}?after={cursor[:-1]}").status_code == 400

    @pytest.mark.parametrize(
        ("query", "sentence"),
        [
            ("limit=0", "limit must be a positive integer"),
            ("limit=x", "limit must be a positive integer"),
            ("limit=501", "limit must not be greater than 500"),
            ("order=up", "order must be one of: asc, desc"),
        ],
    )
    def test_refuses_a_parameter(self, api: Api, seven: str, query: str, sentence: str) -> None:
        response = api.get(f"{seven}?{query}")

        assert response.status_code == 400
        assert response.json()["error"] == sentence

    def test_takes_the_largest_limit(self, api: Api, seven: str) -> None:
        assert api.get(f"{seven}?limit=500").json()["pagination"]["limit"] == 500

    def test_of_an_unknown_conversation_is_a_404(self, api: Api) -> None:
        response = api.get("/unknown/messages")

        assert response.json()["code"] == "conversation_not_found"


class TestSession:
    @pytest.mark.parametrize(
        "body",
        [
            {"wsUrl": URL},
            {"sessionUrl": URL},
            {"sessionPayload": {"config": {"wsUrl": URL}}},
            {"sessionPayload": {"wsUrl": URL}},
            {"sessionUrl": "https://not.this/one", "sessionPayload": {"wsUrl": URL}},
        ],
    )
    def test_is_registered_wherever_the_url_stands(
        self, clock: time_machine.Traveller, api: Api, body: dict[str, Any]
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
        stored = json.loads(api.redis.get("elevenlabs:session:c-1") or b"")
        assert stored["wsUrl"] == URL

    def test_is_kept_raw_and_whole(self, api: Api) -> None:
        body = {"sessionUrl": URL, "sessionId": "s-1", "metadata": AWKWARD, "unknown": AWKWARD}

        api.post("/c-1/session", body)

        stored = json.loads(api.redis.get("elevenlabs:session:c-1") or b"")
        assert stored["sessionPayload"] == body
        assert list(stored["sessionPayload"]["unknown"]) == list(AWKWARD)

    def test_is_shown_without_url_and_payload(
        self, clock: time_machine.Traveller, api: Api
    ) -> None:
        sent = {"sessionUrl": URL, "agentSessionId": "s-1", "transport": "websocket"}
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

    def test_null_means_absent(self, api: Api) -> None:
        absent = dict.fromkeys(
            ("wsUrl", "sessionPayload", "sessionId", "transport", "expiresAt", "metadata")
        )

        registered = api.post("/c-1/session", {"sessionUrl": URL, **absent})
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
    def test_without_a_push_capable_url_is_refused_and_says_what_to_send(
        self, api: Api, body: object, words: str
    ) -> None:
        response = api.post("/c-1/session", body)

        assert response.status_code == 400
        assert words in response.json()["error"]
        assert "sessionPayload.config.wsUrl" in response.json()["error"]
        assert not api.redis.exists("elevenlabs:session:c-1")

    def test_a_new_one_replaces_the_old_one(self, api: Api) -> None:
        api.post("/c-1/session", {"sessionUrl": URL, "sessionId": "old"})

        api.post("/c-1/session", {"sessionUrl": URL, "sessionId": "new"})

        assert api.get("/c-1/session").json()["sessionId"] == "new"

    def test_none_is_a_404_of_its_own(self, api: Api, conversation: str) -> None:
        response = api.get(f"{conversation}/session")

        assert response.status_code == 404
        assert response.json()["code"] == "session_not_found"

    @pytest.mark.parametrize(
        ("query", "left"), [("", False), ("?sessionId=new", False), ("?sessionId=old", True)]
    )
    def test_deleting_takes_only_the_session_that_is_named(
        self, api: Api, query: str, left: bool
    ) -> None:
        api.post("/c-1/session", {"sessionUrl": URL, "sessionId": "old"})
        api.post("/c-1/session", {"sessionUrl": URL, "sessionId": "new"})

        response = api.delete(f"/c-1/session{query}")

        assert (response.status_code, response.content) == (204, b"")
        assert (api.get("/c-1/session").status_code == 200) is left

    @pytest.mark.parametrize("query", ["?session_id=s-1", "?sessionid=s-1", "?sessionId=x&a=b"])
    def test_a_misspelt_query_deletes_nothing(self, api: Api, query: str) -> None:
        api.post("/c-1/session", {"sessionUrl": URL, "sessionId": "s-1"})

        response = api.delete(f"/c-1/session{query}")

        assert response.status_code == 400
        assert "is not known here" in response.json()["error"]
        assert api.get("/c-1/session").status_code == 200

    def test_deleting_none_is_a_204_too(self, api: Api) -> None:
        assert api.delete("/c-1/session").status_code == 204
        assert api.delete("/c-1/session?sessionId=x").status_code == 204

    def test_outlives_and_ends_apart_from_its_conversation(
        self, api: Api, conversation: str
    ) -> None:
        api.post(f"{conversation}/session", {"sessionUrl": URL})

        api.delete(f"{conversation}/session")

        assert api.get(conversation).status_code == 200


def test_names_in_snake_case_are_not_ours(api: Api) -> None:
    unknown = {"conversation_id": "mine", "agent_id": 42, "metadata": {"agent_id": 42}}
    created = api.post("/new", unknown).json()["conversation"]
    path = "/" + created["conversationId"]

    message = {"role": "user", "content": "a", "message_id": "m", "tool_args": "no object"}
    message_id = api.post(f"{path}/message", message).json()["messageId"]
    session = api.post(f"{path}/session", {"wsUrl": URL, "session_id": 42, "expires_at": [1]})
    listed = api.get("/list?sort_by=nothing")

    assert created["metadata"] == {"agent_id": 42}
    assert created["conversationId"] != "mine"
    assert "agentId" not in created
    assert message_id != "m"
    assert "toolArgs" not in api.get(path).json()["messages"][0]
    assert (session.status_code, listed.status_code) == (201, 200)
    assert "sessionId" not in session.json()


def test_an_answer_without_a_body_has_no_content_type(api: Api, conversation: str) -> None:
    response = api.delete(conversation)

    assert response.status_code == 204
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/message"),
        ("GET", "/messages"),
        ("POST", "/session"),
        ("GET", "/session"),
        ("DELETE", "/session"),
    ],
)
@pytest.mark.parametrize("conversation_id", ["-a", "a%20b", "x" * 129, "%C3%A4", "ws", "a%0A"])
def test_an_id_that_cannot_be_one_is_a_400_on_every_route(
    api: Api, method: str, path: str, conversation_id: str
) -> None:
    bodies = {"/message": message(), "/session": {"sessionUrl": URL}}
    body = bodies.get(path) if method == "POST" else None

    response = api.send(method, f"/{conversation_id}{path}", body)

    assert response.status_code == 400
    assert list(response.json()["details"]) == ["conversationId"]
