"""Pages of a conversation's messages."""

from collections.abc import Iterator

import pytest

from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import SortOrder
from tests.agent_conversations.store.records import SORT_ORDERS, new, said


def _pages(
    conversations: ConversationRepository, limit: int, order: SortOrder
) -> Iterator[list[str]]:
    after = None
    while True:
        page = conversations.list_messages("mine", limit=limit, after=after, order=order)
        yield [message.content for message in page.messages]
        if page.next is None:
            return
        after = page.next


@pytest.mark.parametrize("order", SORT_ORDERS)
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_message_pages_contain_each_message_once_in_order(
    conversations: ConversationRepository, count: int, limit: int, order: SortOrder
) -> None:
    conversations.create(new("mine"))
    texts = [str(number) for number in range(count)]
    for text in texts:
        conversations.append_message("mine", said(text))

    pages = list(_pages(conversations, limit, order))

    together = [text for page in pages for text in page]
    assert together == (texts if order == "asc" else texts[::-1])
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert count == 0 or pages[-1]
    assert conversations.list_messages("mine", limit=limit, order=order).total == count


@pytest.mark.parametrize("order", SORT_ORDERS)
def test_append_between_two_pages_skips_and_repeats_nothing(
    conversations: ConversationRepository, order: SortOrder
) -> None:
    conversations.create(new("mine"))
    for number in range(4):
        conversations.append_message("mine", said(str(number)))

    first = conversations.list_messages("mine", limit=2, order=order)
    conversations.append_message("mine", said("new"))
    second = conversations.list_messages("mine", limit=9, after=first.next, order=order)

    texts = [message.content for message in [*first.messages, *second.messages]]
    assert texts == (["0", "1", "2", "3", "new"] if order == "asc" else ["3", "2", "1", "0"])
    assert second.next is None
