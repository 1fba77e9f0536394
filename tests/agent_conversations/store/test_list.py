"""The list of conversations: its order and its pages."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.store.results import ConversationPage
from agent_conversations.types import SortBy, SortOrder
from sessions_store.errors import InvalidRequestError
from tests.agent_conversations.store.records import (
    SORT_FIELDS,
    SORT_ORDERS,
    contents,
    new,
    said,
    write_legacy,
)


@pytest.fixture(params=[1, 4])
def shards(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def tied(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> list[StoredConversation]:
    """Twelve conversations, several of which share each of the three values."""
    ids = ["b", "a", "B", "a-1", "A", "a.1", "a_1", "0", "10", "9", "Z", "z"]
    for number, conversation_id in enumerate(ids):
        found = conversations.create(new(conversation_id)).conversation
        for _ in range(number % 3):
            conversations.append_message(conversation_id, said())
        created_at = found.created_at_ms // 1000 * 1000 + number // 4
        times: dict[Any, Any] = {"createdAt": created_at, "lastAccessedAt": created_at + number % 2}
        raw_redis.hset(keys.conversation_key(conversation_id), mapping=times)
        maintenance.index(conversation_id)
    return list(conversations.list(limit=200).conversations)


_VALUES: dict[str, Callable[[StoredConversation], int]] = {
    "createdAt": lambda one: one.created_at_ms,
    "lastAccessedAt": lambda one: one.last_accessed_at_ms,
    "messageCount": lambda one: one.message_count,
}


@pytest.mark.parametrize("sort_order", SORT_ORDERS)
@pytest.mark.parametrize("sort_by", SORT_FIELDS)
def test_list_orders_by_value_then_id_across_pages(
    conversations: ConversationRepository,
    tied: list[StoredConversation],
    sort_by: SortBy,
    sort_order: SortOrder,
) -> None:
    value = _VALUES[sort_by]
    expected = [
        one.conversation_id
        for one in sorted(
            tied,
            key=lambda one: (value(one), one.conversation_id),
            reverse=sort_order == "desc",
        )
    ]
    for limit in (1, 5, 12, 200):
        pages = [
            conversations.list(limit=limit, offset=offset, sort_by=sort_by, sort_order=sort_order)
            for offset in range(0, 12, limit)
        ]
        assert [one.conversation_id for page in pages for one in page.conversations] == expected
        assert {page.total for page in pages} == {12}


@pytest.mark.parametrize("offset", [12, 13, 10**17])
def test_page_past_the_end_is_empty_with_the_total(
    conversations: ConversationRepository, tied: list[StoredConversation], offset: int
) -> None:
    page = conversations.list(offset=offset)

    assert list(page.conversations) == []
    assert page.total == len(tied)


def test_list_without_conversations_is_empty(
    conversations: ConversationRepository,
) -> None:
    page = conversations.list()

    assert (list(page.conversations), page.total) == ([], 0)


def test_list_starts_with_the_last_accessed_conversation_by_default(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    for conversation_id in ("a", "b", "c"):
        conversations.create(new(conversation_id))
        clock.shift(1)
    conversations.append_message("a", said("Hi"))

    page = conversations.list()

    assert [one.conversation_id for one in page.conversations] == ["a", "c", "b"]
    assert contents(page.conversations[0]) == ["Hi"]


def pages(conversations: ConversationRepository, **query: Any) -> Iterator[ConversationPage]:
    """Yield page after page by their cursors; others may act in between."""
    cursor = None
    for _ in range(100):
        page = conversations.list(cursor=cursor, **query)
        yield page
        cursor = page.next
        if cursor is None:
            return
    pytest.fail("The pages have no end.")


@pytest.mark.parametrize("sort_order", SORT_ORDERS)
@pytest.mark.parametrize("sort_by", SORT_FIELDS)
def test_cursor_neither_skips_nor_repeats_while_others_move(
    conversations: ConversationRepository,
    tied: list[StoredConversation],
    sort_by: SortBy,
    sort_order: SortOrder,
) -> None:
    staying = {one.conversation_id for one in tied} - {"a", "B", "9", "z"}
    seen: list[str] = []
    for number, page in enumerate(
        pages(conversations, limit=2, sort_by=sort_by, sort_order=sort_order)
    ):
        seen += [one.conversation_id for one in page.conversations]
        if number < 2:
            conversations.create(new(f"later-{number}"))
            for moved in ("a", "B"):
                conversations.append_message(moved, said())
            conversations.delete(("9", "z")[number])

    assert sorted(one for one in seen if one in staying) == sorted(staying)


@pytest.mark.parametrize("sort_order", SORT_ORDERS)
@pytest.mark.parametrize("sort_by", SORT_FIELDS)
def test_pages_that_are_deleted_one_by_one_leave_nothing(
    conversations: ConversationRepository,
    tied: list[StoredConversation],
    sort_by: SortBy,
    sort_order: SortOrder,
) -> None:
    for page in pages(conversations, limit=5, sort_by=sort_by, sort_order=sort_order):
        for one in page.conversations:
            conversations.delete(one.conversation_id)

    assert conversations.list().total == 0


def test_cursor_of_another_selection_is_refused(conversations: ConversationRepository) -> None:
    for conversation_id in ("c-1", "c-2", "c-3"):
        conversations.create(new(conversation_id, agent_id="a"))
    query: dict[str, Any] = {"sort_by": "createdAt", "agent_id": "a", "lowest": 1, "limit": 1}
    cursor = conversations.list(**query).next
    assert cursor
    assert conversations.list(cursor=cursor, **{**query, "limit": 2, "message_limit": 0}).total == 3

    others: list[dict[str, Any]] = [
        {"sort_by": "lastAccessedAt"},
        {"sort_order": "asc"},
        {"agent_id": None},
        {"user_id": "u"},
        {"lowest": None},
        {"highest": 10**15},
    ]
    wrong = ["", "1.c-1", cursor[:-1], cursor + "0", cursor.replace("c-", "d-"), cursor + "\n"]
    attempts = [(cursor, {**query, **other}) for other in others] + [(one, query) for one in wrong]
    for sent, asked in attempts:
        with pytest.raises(InvalidRequestError, match="cursor must be the next of a page") as error:
            conversations.list(cursor=sent, **asked)
        assert list(error.value.details) == ["cursor"]


@pytest.mark.parametrize("sort_order", SORT_ORDERS)
@pytest.mark.parametrize("sort_by", SORT_FIELDS)
def test_range_includes_both_its_ends(
    conversations: ConversationRepository,
    tied: list[StoredConversation],
    sort_by: SortBy,
    sort_order: SortOrder,
) -> None:
    value = _VALUES[sort_by]
    values = sorted({value(one) for one in tied})
    lowest, highest = values[1], values[-1] - (1 if sort_by == "messageCount" else 0)
    expected = {one.conversation_id for one in tied if lowest <= value(one) <= highest}
    assert expected

    query: dict[str, Any] = {"sort_by": sort_by, "sort_order": sort_order}
    found = conversations.list(lowest=lowest, highest=highest, **query)

    assert {one.conversation_id for one in found.conversations} == expected
    assert found.total == len(expected)
    assert conversations.list(lowest=highest + 1, highest=highest, **query).total == 0


@pytest.mark.parametrize(
    ("message_limit", "expected"), [(0, []), (2, ["5", "6"]), (500, "0123456")]
)
def test_conversation_is_listed_with_its_newest_messages(
    conversations: ConversationRepository, message_limit: int, expected: Sequence[str]
) -> None:
    conversations.create(new("c-1"))
    for number in range(7):
        conversations.append_message("c-1", said(str(number)))

    (found,) = conversations.list(message_limit=message_limit).conversations

    assert contents(found) == list(expected)
    assert found.message_count == 7


def test_page_stays_within_its_bytes_with_right_counts(
    real_conversations: ConversationRepository,
) -> None:
    for number in range(8):
        real_conversations.create(new(f"c-{number}"))
        for _ in range(10):
            real_conversations.append_message(f"c-{number}", said("x" * 1_000_000))

    page = real_conversations.list().conversations

    assert [one.message_count for one in page] == [10] * 8
    assert {len(one.messages_json) for one in page} == {4}
    assert sum(len(one.joined_messages) for one in page) <= 32 * 1024 * 1024


def test_listed_legacy_record_has_its_newest_messages_too(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
    maintenance.index("older")

    (found,) = conversations.list(message_limit=1).conversations

    assert (contents(found), found.message_count) == (["three"], 3)
