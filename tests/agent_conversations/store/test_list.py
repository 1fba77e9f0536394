"""The list of conversations: its order and its pages."""

from collections.abc import Callable

import pytest
from time_machine import Traveller

from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import SortBy, SortOrder
from tests.agent_conversations.store.records import SORT_FIELDS, SORT_ORDERS, contents, new, said


@pytest.fixture
def tied(conversations: ConversationRepository, clock: Traveller) -> list[StoredConversation]:
    """Twelve conversations, several of which share each of the three values."""
    ids = ["b", "a", "B", "a-1", "A", "a.1", "a_1", "0", "10", "9", "Z", "z"]
    for number, conversation_id in enumerate(ids):
        conversations.create(new(conversation_id))
        for _ in range(number % 3):
            conversations.append_message(conversation_id, said())
        clock.shift(0.001 if number % 4 == 3 else 0)
    for number, conversation_id in enumerate(ids):
        if number % 2:
            conversations.get(conversation_id)
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
    assert len({value(one) for one in tied}) < len(tied)
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
