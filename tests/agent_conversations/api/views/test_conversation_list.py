"""The list of conversations: its order, its pages and its parameters."""

import pytest
import time_machine

from tests.agent_conversations.api.conftest import Api, assert_error, message

ISO_8601 = "ISO 8601 with an offset, such as 2026-11-23T16:20:45.123Z"


def listed_ids(api: Api, query: str = "") -> list[str]:
    response = api.get("/list" + query)
    assert response.status_code == 200
    return [found["conversationId"] for found in response.json()["conversations"]]


def test_list_of_no_conversations_is_an_empty_page(api: Api) -> None:
    assert api.get("/list").json() == {
        "conversations": [],
        "pagination": {"total": 0, "limit": 50, "offset": 0, "hasMore": False},
    }


def test_list_has_whole_conversations_last_accessed_first_and_touches_none(
    clock: time_machine.Traveller, api: Api
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
def test_list_is_sorted_and_paged_as_its_query_says(
    clock: time_machine.Traveller, api: Api, query: str, expected: list[str]
) -> None:
    for name in ("a", "b", "c"):
        clock.shift(1)
        api.post("/new", {"conversationId": name})
    api.post("/b/message", message())
    for name in ("b", "c", "a"):
        clock.shift(1)
        api.get(f"/{name}")

    assert listed_ids(api, query) == expected


def test_list_says_whether_there_is_more(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.post("/new", {"conversationId": name})

    pages = [api.get(f"/list?limit=2&offset={n}").json()["pagination"] for n in (0, 1, 2)]

    assert [page.pop("next", None) is not None for page in pages] == [True, False, False]
    assert pages == [
        {"total": 3, "limit": 2, "offset": 0, "hasMore": True},
        {"total": 3, "limit": 2, "offset": 1, "hasMore": False},
        {"total": 3, "limit": 2, "offset": 2, "hasMore": False},
    ]


@pytest.mark.parametrize("limit", [1, 200])
def test_list_takes_a_limit_at_its_bounds(api: Api, limit: int) -> None:
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
        *(
            (f"messageLimit={value}", "messageLimit", f"messageLimit must {rule}")
            for value, rule in (
                ("-1", "be a non-negative integer"),
                ("", "be a non-negative integer"),
                ("501", "not be greater than 500"),
            )
        ),
        # An empty filter is a client's fault; it must not show everybody's conversations.
        ("agentId=", "agentId", "agentId must not be empty"),
        ("userId=", "userId", "userId must not be empty"),
        (f"userId={'u' * 257}", "userId", "userId must have at most 256 characters"),
        *(
            (
                f"{field}={value}",
                field,
                f"{field} must be {ISO_8601}, where sortBy is lastAccessedAt",
            )
            for field in ("from", "to")
            for value in ("", "5", "2026-11-23", "2026-11-23T16:20:45")
        ),
        *(
            (
                f"sortBy=messageCount&from={value}",
                "from",
                "from must be a non-negative integer, where sortBy is messageCount",
            )
            for value in ("", "-1", "2026-11-23T16:20:45Z")
        ),
        (
            "cursor=nonsense",
            "cursor",
            "cursor must be the next of a page with the same sort and filters",
        ),
        ("cursor=1.c.0&offset=1", "cursor", "offset must not be sent with a cursor"),
    ],
)
def test_invalid_list_parameter_is_refused_in_the_documented_words(
    api: Api, query: str, field: str, sentence: str
) -> None:
    response = api.get(f"/list?{query}")

    assert assert_error(response, "invalid_request") == {
        "success": False,
        "error": sentence,
        "code": "invalid_request",
        "details": {field: [sentence]},
    }


def test_response_names_every_invalid_list_parameter(api: Api) -> None:
    details = api.get("/list?limit=0&offset=-1&sortBy=x&sortOrder=y").json()["details"]

    assert set(details) == {"limit", "offset", "sortBy", "sortOrder"}


def test_list_has_the_newest_messages_and_counts_all(api: Api) -> None:
    api.post("/new", {"conversationId": "c-1"})
    for number in range(52):
        api.post("/c-1/message", message(content=str(number)))

    def listed(query: str = "") -> tuple[list[str], int]:
        (found,) = api.get("/list" + query).json()["conversations"]
        return [one["content"] for one in found["messages"]], found["messageCount"]

    assert listed() == ([str(number) for number in range(2, 52)], 52)
    assert listed("?messageLimit=0") == ([], 52)
    assert listed("?messageLimit=1") == (["51"], 52)
    assert listed("?messageLimit=500") == ([str(number) for number in range(52)], 52)
    assert api.get("/c-1").json()["messageCount"] == 52


def test_list_has_only_what_its_filters_say(api: Api) -> None:
    for name, fields in {
        "a": {"agentId": "agent 1", "userId": "u"},
        "b": {"agentId": "agent 1"},
        "c": {"userId": "u"},
    }.items():
        api.post("/new", {"conversationId": name, **fields})
        api.get(f"/{name}")
    created = {one["conversationId"]: one for one in api.get("/list").json()["conversations"]}
    since = created["b"]["createdAt"]
    later = [name for name in "cb" if created[name]["createdAt"] >= since]

    assert listed_ids(api, "?agentId=agent%201") == ["b", "a"]
    assert listed_ids(api, "?userId=u") == ["c", "a"]
    assert listed_ids(api, "?userId=u&agentId=agent%201") == ["a"]
    assert listed_ids(api, "?userId=other") == []
    found = listed_ids(api, f"?sortBy=createdAt&from={since}")
    assert [name for name in found if name != "a"] == later
    assert listed_ids(api, "?sortBy=messageCount&from=1") == []
    assert listed_ids(api, "?to=2026-01-01T00:00:00%2B01:00") == []


def test_cursor_leads_from_page_to_page(api: Api) -> None:
    for name in ("a", "b", "c", "d", "e"):
        api.post("/new", {"conversationId": name, "agentId": "a"})
    query = "?limit=2&sortBy=createdAt&sortOrder=asc&agentId=a"

    seen: list[tuple[list[str], int, bool]] = []
    page = api.get("/list" + query).json()
    while True:
        found = [one["conversationId"] for one in page["conversations"]]
        seen.append((found, page["pagination"]["offset"], page["pagination"]["hasMore"]))
        if not page["pagination"]["hasMore"]:
            break
        page = api.get(f"/list{query}&cursor={page['pagination']['next']}").json()

    assert seen == [(["a", "b"], 0, True), (["c", "d"], 2, True), (["e"], 4, False)]


def test_user_of_a_conversation_is_kept_and_changed(api: Api) -> None:
    created = api.post("/new", {"conversationId": "c-1", "userId": "u-1"}).json()
    assert created["conversation"]["userId"] == "u-1"
    assert api.post("/new", {"conversationId": "c-1", "userId": "u-2"}).status_code == 409

    assert api.patch("/c-1", {"userId": "u-2"}).json()["userId"] == "u-2"
    assert listed_ids(api, "?userId=u-1") == []
    assert listed_ids(api, "?userId=u-2") == ["c-1"]
    assert "userId" not in api.patch("/c-1", {"userId": None}).json()
    assert listed_ids(api, "?userId=u-2") == []
