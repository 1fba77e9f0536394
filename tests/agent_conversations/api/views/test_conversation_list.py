"""The list of conversations: its order, its pages and its parameters."""

import pytest
import time_machine

from tests.agent_conversations.api.conftest import Api, assert_error, message


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
