"""Conversations of many bytes: read in parts, so that nobody else waits for them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from redis import Redis

from agent_conversations.errors import ConversationFullError, ConversationNotFoundError
from agent_conversations.store import keys
from agent_conversations.store.keys import messages_key
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.store.scripts import BYTES_AT_ONCE
from agent_conversations.types import ConversationChanges, SortOrder
from sessions_store.errors import CorruptRecordError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.commands import Command
from tests.agent_conversations.store.records import SORT_ORDERS, contents, new, said
from tests.agent_conversations.store.threads import run_together

LENGTHS = [10, BYTES_AT_ONCE // 3, 20, BYTES_AT_ONCE // 2, BYTES_AT_ONCE // 2, 30, *[40] * 40]
"""Of the messages' texts: together more than one reply may have."""


@pytest.fixture
def large(real_conversations: ConversationRepository) -> list[str]:
    """The texts of a conversation ``large``."""
    texts = [f"{number:03d}" + "x" * length for number, length in enumerate(LENGTHS)]
    real_conversations.create(new("large"))
    for text in texts:
        real_conversations.append_message("large", said(text))
    return texts


def test_large_conversation_is_read_whole(
    real_conversations: ConversationRepository, large: list[str]
) -> None:
    assert contents(real_conversations.get("large")) == large
    updated = real_conversations.update("large", ConversationChanges(agent_id="a"))
    assert contents(updated) == large
    assert contents(real_conversations.create(new("large")).conversation) == large


@pytest.mark.parametrize("first", [0, 2])
def test_part_of_a_large_conversation_is_read_in_parts(
    real_conversations: ConversationRepository, real_redis: Redis, large: list[str], first: int
) -> None:
    real_redis.config_resetstat()

    part = real_conversations.find_part("large", first=first, positions=[1])

    assert part is not None
    assert contents(part.conversation) == large[first:]
    assert part.conversation.message_count == len(large)
    assert part.single[1] == real_redis.lindex(messages_key("large"), 1)
    assert real_redis.info("commandstats")["cmdstat_evalsha"]["calls"] > 1


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("order", SORT_ORDERS)
def test_pages_within_their_bytes_lead_through_all_messages(
    real_conversations: ConversationRepository, large: list[str], order: SortOrder, limit: int
) -> None:
    found: list[str] = []
    after = None
    while True:
        page = real_conversations.list_messages("large", limit=limit, after=after, order=order)
        assert 1 <= len(page.messages_json) <= limit
        assert sum(map(len, page.messages_json)) <= BYTES_AT_ONCE
        assert page.total == len(large)
        found += [message.content for message in page.messages]
        after = page.next
        if after is None:
            break

    assert found == (large if order == "asc" else large[::-1])


def test_readers_of_a_large_conversation_leave_others_their_turn(
    real_conversations: ConversationRepository, large: list[str]
) -> None:
    real_conversations.create(new("other"))

    def read() -> None:
        for _ in range(3):
            assert real_conversations.get("large").message_count == len(large)

    def append() -> None:
        for _ in range(100):
            real_conversations.append_message("other", said())

    run_together(*[read] * 4, *[append] * 2)

    assert real_conversations.get("other").message_count == 200


def test_conversation_takes_no_more_bytes_than_its_limit(store: StoreClient) -> None:
    conversations = ConversationRepository(store, max_bytes=1000)
    conversations.create(new("mine"))
    conversations.append_message("mine", said("x" * 500, messageId="m1"))
    attempts: list[Callable[[], object]] = [
        partial(conversations.append_message, "mine", said("x" * 500)),
        partial(conversations.append_messages, "mine", [said(), said("x" * 500)]),
    ]

    for attempt in attempts:
        with pytest.raises(ConversationFullError, match="most bytes it may have is 1000"):
            attempt()

    assert conversations.get("mine").message_count == 1
    assert conversations.append_message("mine", said("x" * 500, messageId="m1")).replayed


def test_readers_of_many_messages_leave_others_their_turn(
    real_conversations: ConversationRepository,
) -> None:
    real_conversations.create(new("many"))
    for _ in range(400):
        real_conversations.append_messages("many", [said("short")] * 100)
    real_conversations.create(new("other"))

    def read() -> None:
        assert real_conversations.get("many").message_count == 40_000

    def append() -> None:
        for _ in range(20):
            real_conversations.append_message("other", said())

    run_together(*[read] * 32, *[append] * 2)

    assert real_conversations.get("other").message_count == 40


def test_readers_that_wait_together_read_their_own_writes(
    real_redis: Redis, large: list[str]
) -> None:
    conversations = ConversationRepository(StoreClient(real_redis, max_waiting=4))

    def append_and_read() -> None:
        for _ in range(5):
            message_id = conversations.append_message("large", said()).message_id
            found = conversations.get("large")
            assert any(message_id.encode() in message for message in found.messages_json)
            assert message_id.encode() in found.to_json()

    run_together(*[append_and_read] * 16)

    assert conversations.get("large").message_count == len(large) + 16 * 5


class _ChangingStore(StoreClient):
    """Runs a command before the second part of a large conversation is read."""

    command: Command = ()
    reads = 0

    def read_many(self, commands: Sequence[Command], *, one_moment: bool = False) -> Sequence[Any]:
        self.reads += 1
        if self.reads == 2:
            self.call(lambda client: client.execute_command(*self.command))  # type: ignore[no-untyped-call]  # redis-py's
        return super().read_many(commands, one_moment=one_moment)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("DEL", keys.messages_key("large")), CorruptRecordError),
        (("LTRIM", keys.messages_key("large"), 0, 9), CorruptRecordError),
        (("DEL", keys.conversation_key("large")), ConversationNotFoundError),
    ],
)
@pytest.mark.usefixtures("large")
def test_large_conversation_lost_while_read_is_an_error(
    real_redis: Redis, command: Command, error: type[Exception]
) -> None:
    store = _ChangingStore(real_redis)
    store.command = command

    with pytest.raises(error):
        ConversationRepository(store).get("large")
