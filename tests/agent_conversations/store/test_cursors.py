"""Cursors of message pages."""

import pytest

from agent_conversations.store.cursors import encode_message_cursor
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import SortOrder
from sessions_store.errors import InvalidRequestError
from tests.agent_conversations.store.records import new, said


def test_foreign_or_altered_cursor_is_refused(
    conversations: ConversationRepository,
) -> None:
    for conversation_id in ("mine", "other"):
        conversations.create(new(conversation_id))
        for number in range(3):
            conversations.append_message(conversation_id, said(str(number)))
    own = conversations.list_messages("mine", limit=1).next
    foreign = conversations.list_messages("other", limit=1).next
    turned = conversations.list_messages("mine", limit=1, order="desc").next
    assert own
    assert conversations.list_messages("mine", after=own).messages[0].content == "1"

    wrong = [foreign, turned, "", "0", "-1", "x", "0.000000000000", own[:-1], own + "0", "1" + own]
    wrong += [own + "\n", own.upper() if own.upper() != own else own[::-1], "\u0661" + own[1:]]
    for cursor in wrong:
        with pytest.raises(InvalidRequestError, match="after must be the next") as refusal:
            conversations.list_messages("mine", after=cursor)
        assert list(refusal.value.details) == ["after"]


@pytest.mark.parametrize(("position", "order"), [(0, "desc"), (2, "asc"), (99, "asc")])
def test_cursor_at_the_end_leads_to_an_empty_page(
    conversations: ConversationRepository, position: int, order: SortOrder
) -> None:
    conversations.create(new("mine"))
    for number in range(3):
        conversations.append_message("mine", said(str(number)))

    page = conversations.list_messages(
        "mine", after=encode_message_cursor(position, "mine", order), order=order
    )

    assert (list(page.messages), page.next, page.total) == ([], None, 3)
