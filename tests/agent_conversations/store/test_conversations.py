"""The contract of ``ConversationRepository``, over fakeredis and over a real server."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, get_args

import pytest
from redis import Redis
from redis.crc import key_slot
from time_machine import Traveller

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
    PreconditionFailedError,
)
from agent_conversations.store import keys
from agent_conversations.store.cursors import encode_cursor
from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import (
    AgentMessage,
    ConversationChanges,
    NewConversation,
    SortBy,
    SortOrder,
)
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    StoreUnavailableError,
    UnsupportedRecordVersionError,
)
from sessions_store.redis.client import StoreClient, connection_options
from sessions_store.wire import json_codec

NOW = "2026-11-23T16:20:45.123Z"
SORT_FIELDS: tuple[SortBy, ...] = get_args(SortBy)
SORT_ORDERS: tuple[SortOrder, ...] = get_args(SortOrder)

CLIENT_OBJECTS = [
    pytest.param({}, id="empty"),
    pytest.param({"a": [], "b": {}, "c": [[], {}], "d": None, "e": "", "f": False}, id="nothing"),
    pytest.param({"n": 12345678901234567, "m": -(10**40), "f": 0.1, "e": 1e300}, id="numbers"),
    pytest.param({"ü": "日本語 😀 \u2028", "\U0001f600": "a\x00b", "\x01": '"\\/'}, id="unicode"),
    pytest.param({"z": 1, "a": {"y": 1, "b": 2}, "10": 3, "9": 4, "snake_case": 5}, id="order"),
    pytest.param({"seam": 'x"},{"role":"user', "role": "user"}, id="looks like a message"),
]


def new(conversation_id: str | None = None, **fields: Any) -> NewConversation:
    return NewConversation(conversation_id=conversation_id, **fields)


def said(content: str = "Hello", **fields: Any) -> AgentMessage:
    return AgentMessage.parse({"role": "user", "content": content, **fields})


def contents(conversation: StoredConversation) -> list[str]:
    return [message.content for message in conversation.messages]


def listed_ids(conversations: ConversationRepository, **query: Any) -> list[str]:
    return [one.conversation_id for one in conversations.list(**query).conversations]


def index_members(redis: Redis) -> list[list[Any]]:
    return [redis.zrange(key, 0, -1) for key in keys.INDEX_KEYS]


def run_together(*tasks: Callable[[], object]) -> None:
    """Run the tasks in a thread each, all at once; raise what any of them raised."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        barrier.wait()
        task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(run, task) for task in tasks]:
            done.result()


# --- Creating and reading -------------------------------------------------------------------------


def test_given_every_field_when_created_then_get_returns_every_field(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    created = conversations.create(new("mine", agent_id="a1", metadata={"k": [1]}))

    assert not created.replayed
    for found in (created.conversation, conversations.get("mine")):
        assert found.conversation_id == "mine"
        assert found.agent_id == "a1"
        assert found.metadata == {"k": [1]}
        assert found.messages == []
        assert found.created_at == found.last_accessed_at == NOW
        assert json_codec.decode(found.to_json()) == {
            "conversationId": "mine",
            "messages": [],
            "createdAt": NOW,
            "lastAccessedAt": NOW,
            "agentId": "a1",
            "metadata": {"k": [1]},
        }


def test_given_no_field_when_created_then_the_optional_ones_are_left_out(
    conversations: ConversationRepository,
) -> None:
    conversation_id = conversations.create().conversation.conversation_id

    found = conversations.get(conversation_id)

    assert (found.agent_id, found.metadata) == (None, None)
    assert set(json_codec.decode(found.to_json())) == {
        "conversationId",
        "messages",
        "createdAt",
        "lastAccessedAt",
    }


def test_when_ids_are_generated_then_they_have_the_documented_shape_and_differ(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    ids = {conversations.create().conversation.conversation_id for _ in range(50)}

    assert len(ids) == 50
    assert all(re.fullmatch(r"agent-1795450845123-[a-z0-9]{11,}", one) for one in ids)


def test_when_a_conversation_is_created_then_redis_holds_the_documented_keys(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))

    assert raw_redis.type("elevenlabs:conversation:mine") == b"hash"
    messages = raw_redis.lrange("{elevenlabs:conversation:mine}:messages", 0, -1)
    assert [json.loads(message)["messageId"] for message in messages] == ["m1"]
    for field in SORT_FIELDS:
        key = f"{{elevenlabs:conversations}}:{field}"
        assert raw_redis.zrange(key, 0, -1) == [b"mine"]
    assert raw_redis.zscore("{elevenlabs:conversations}:messageCount", "mine") == 1


def test_given_no_conversation_when_used_then_it_is_not_found_and_none_comes_to_be(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    uses: list[Callable[[], object]] = [
        lambda: conversations.get("missing"),
        lambda: conversations.append_message("missing", said()),
        lambda: conversations.list_messages("missing"),
        lambda: conversations.update("missing", ConversationChanges(agent_id="a")),
        lambda: conversations.delete("missing"),
        lambda: conversations.index("missing"),
    ]
    for use in uses:
        with pytest.raises(ConversationNotFoundError, match=r"^Agent conversation not found$"):
            use()
    assert raw_redis.keys() == []


@pytest.mark.parametrize("conversation_id", ["", "new", "a b", "a:b", "-a", "a\n", "é", "a" * 129])
def test_given_an_id_that_cannot_be_one_when_used_then_it_is_refused(
    conversations: ConversationRepository, raw_redis: Redis, conversation_id: str
) -> None:
    uses: list[Callable[[], object]] = [
        lambda: conversations.get(conversation_id),
        lambda: conversations.append_message(conversation_id, said()),
        lambda: conversations.list_messages(conversation_id),
        lambda: conversations.update(conversation_id, ConversationChanges()),
        lambda: conversations.delete(conversation_id),
    ]
    for use in uses:
        with pytest.raises(InvalidRequestError):
            use()
    assert raw_redis.keys() == []


@pytest.mark.parametrize("client_object", CLIENT_OBJECTS)
def test_given_a_clients_object_when_it_is_stored_then_it_comes_back_as_it_was(
    conversations: ConversationRepository, client_object: dict[str, Any]
) -> None:
    encoded = json_codec.encode(client_object)
    conversations.create(new("created", metadata=client_object))
    conversations.create(new("updated"))
    conversations.update("updated", ConversationChanges(metadata=client_object))
    call = said("", role="tool", toolName="t", toolArgs=client_object)
    for conversation_id in ("created", "updated"):
        conversations.append_message(conversation_id, call)
        conversations.append_message(conversation_id, said("after"))

    found = [conversations.get("created"), conversations.get("updated")]

    for one in [*found, *conversations.list().conversations]:
        answer = json_codec.decode(one.to_json())
        assert json_codec.encode(answer["metadata"]) == encoded
        assert json_codec.encode(answer["messages"][0]["toolArgs"]) == encoded
        assert json_codec.encode(one.messages[0].tool_args) == encoded
        assert one.message_count == 2


def test_given_a_conversation_when_printed_then_nothing_that_was_said_shows(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine", metadata={"note": "secret"}))
    conversations.append_message("mine", said("secret"))

    found = conversations.get("mine")

    assert "secret" not in f"{found!r} {found}"
    assert "mine" in repr(found)


def test_given_a_server_that_is_away_when_used_then_it_is_an_outage_and_never_not_found(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with EmbeddedServer(tmp_path_factory.mktemp("away")) as server:
        client = Redis.from_url(server.url, **connection_options())
        conversations = ConversationRepository(StoreClient(client))
        conversations.create(new("mine"))

    uses: list[Callable[[], object]] = [
        conversations.create,
        lambda: conversations.create(idempotency_key="k"),
        lambda: conversations.get("mine"),
        conversations.list,
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges()),
        lambda: conversations.delete("mine"),
    ]
    for use in uses:
        with pytest.raises(StoreUnavailableError):
            use()
    client.close()


# --- Messages -------------------------------------------------------------------------------------


def test_given_every_field_when_appended_then_it_comes_back_with_every_field(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine"))
    wire = {
        "role": "tool",
        "content": "",
        "timestamp": "2026-11-23T16:20:45.000Z",
        "source": "tool_output",
        "messageId": "m1",
        "toolName": "search",
        "toolArgs": {"q": ["x"]},
        "toolOutput": "found",
        "status": "completed",
    }

    added = conversations.append_message("mine", AgentMessage.parse(wire))

    assert (added.message_id, added.message_count, added.replayed) == ("m1", 1, False)
    assert [message.to_wire() for message in conversations.get("mine").messages] == [wire]
    page = conversations.list_messages("mine")
    assert [message.to_wire() for message in page.messages] == [wire]


def test_given_only_role_and_content_when_appended_then_the_rest_is_filled_in(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    conversations.create(new("mine"))

    ids = [conversations.append_message("mine", said(text)).message_id for text in ("a", "b")]

    assert len(set(ids)) == 2
    assert [message.to_wire() for message in conversations.get("mine").messages] == [
        {"role": "user", "content": text, "timestamp": NOW, "source": "text", "messageId": one}
        for text, one in zip("ab", ids, strict=True)
    ]


def test_given_many_writers_when_all_append_at_once_then_no_message_is_lost_doubled_or_moved(
    real_store: StoreClient,
) -> None:
    conversations = ConversationRepository(real_store)
    conversations.create(new("mine"))
    writers, each = 8, 60

    def write(writer: int) -> None:
        for number in range(each):
            conversations.append_message("mine", said(f"{writer}:{number}"))

    run_together(*(partial(write, writer) for writer in range(writers)))

    found = contents(conversations.get("mine"))
    assert len(found) == len(set(found)) == writers * each
    for writer in range(writers):
        own = [text for text in found if text.startswith(f"{writer}:")]
        assert own == [f"{writer}:{number}" for number in range(each)]
    page = conversations.list(sort_by="messageCount").conversations
    assert [one.message_count for one in page] == [writers * each]


def test_given_one_message_when_many_writers_repeat_it_at_once_then_it_counts_once(
    real_store: StoreClient,
) -> None:
    conversations = ConversationRepository(real_store)
    conversations.create(new("mine"))
    replayed = []

    def write() -> None:
        added = conversations.append_message("mine", said(messageId="m1"))
        replayed.append(added.replayed)

    run_together(*[write] * 8)

    assert sorted(replayed) == [False] + [True] * 7
    assert conversations.get("mine").message_count == 1


def test_given_one_creation_when_many_writers_repeat_it_at_once_then_it_counts_once(
    real_store: StoreClient,
) -> None:
    conversations = ConversationRepository(real_store)
    created = []

    def create() -> None:
        created.append(conversations.create(new(agent_id="a"), idempotency_key="k"))

    run_together(*[create] * 8)

    assert sorted(one.replayed for one in created) == [False] + [True] * 7
    assert len({one.conversation.conversation_id for one in created}) == 1
    assert conversations.list().total == 1


def test_given_the_most_messages_when_another_is_appended_then_the_conversation_is_full(
    store: StoreClient,
) -> None:
    conversations = ConversationRepository(store, max_messages=2)
    conversations.create(new("mine"))
    conversations.append_message("mine", said("a", messageId="m1"))
    conversations.append_message("mine", said("b"))

    with pytest.raises(ConversationFullError, match="is 2"):
        conversations.append_message("mine", said("c"))

    assert contents(conversations.get("mine")) == ["a", "b"]
    assert conversations.append_message("mine", said("a", messageId="m1")).replayed


# --- Pages of messages ----------------------------------------------------------------------------


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
def test_given_messages_when_paged_then_each_comes_once_in_order(
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
def test_given_a_page_when_messages_come_before_the_next_then_none_is_skipped_or_repeated(
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


def test_given_a_cursor_of_something_else_when_used_then_it_is_refused(
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
def test_given_a_cursor_at_the_end_when_used_then_the_page_is_empty_and_the_last(
    conversations: ConversationRepository, position: int, order: SortOrder
) -> None:
    conversations.create(new("mine"))
    for number in range(3):
        conversations.append_message("mine", said(str(number)))

    page = conversations.list_messages(
        "mine", after=encode_cursor(position, "mine", order), order=order
    )

    assert (list(page.messages), page.next, page.total) == ([], None, 3)


# --- Access ---------------------------------------------------------------------------------------


def test_given_time_passed_when_a_conversation_is_used_then_its_last_access_is_now(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    uses: list[Callable[[], object]] = [
        lambda: conversations.get("mine"),
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges(agent_id="a")),
    ]
    for use in uses:
        clock.shift(1)
        now = time.time_ns() // 1_000_000

        use()

        (found,) = conversations.list().conversations
        assert found.last_accessed_at_ms == now
        assert found.created_at == NOW
        assert raw_redis.zscore(keys.index_key("lastAccessedAt"), "mine") == now


def test_given_time_passed_when_a_conversation_is_read_then_the_answer_shows_the_new_access(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    clock.shift(1)

    assert conversations.get("mine").last_accessed_at == "2026-11-23T16:20:46.123Z"


def test_given_time_passed_when_listed_then_no_access_moves(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    clock.shift(60)
    for field in SORT_FIELDS:
        conversations.list(sort_by=field)

    (found,) = conversations.list().conversations

    assert found.last_accessed_at == NOW
    assert raw_redis.hget(keys.conversation_key("mine"), "lastAccessedAt") == b"1795450845123"


# --- The list -------------------------------------------------------------------------------------


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
def test_given_equal_values_when_paged_then_each_comes_once_ordered_by_value_and_id(
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
def test_given_the_end_when_a_page_past_it_is_asked_for_then_it_is_empty_with_the_total(
    conversations: ConversationRepository, tied: list[StoredConversation], offset: int
) -> None:
    page = conversations.list(offset=offset)

    assert list(page.conversations) == []
    assert page.total == len(tied)


def test_given_no_conversation_when_listed_then_the_page_is_empty(
    conversations: ConversationRepository,
) -> None:
    page = conversations.list()

    assert (list(page.conversations), page.total) == ([], 0)


def test_given_conversations_when_listed_without_a_wish_then_the_last_used_comes_first(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    for conversation_id in ("a", "b", "c"):
        conversations.create(new(conversation_id))
        clock.shift(1)
    conversations.append_message("a", said("Hi"))

    page = conversations.list()

    assert [one.conversation_id for one in page.conversations] == ["a", "c", "b"]
    assert contents(page.conversations[0]) == ["Hi"]


def test_given_listed_ids_without_a_record_when_listed_then_they_are_taken_off(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    for conversation_id in ("a", "b", "c", "d"):
        conversations.create(new(conversation_id))
    raw_redis.delete(*keys.record_keys("b"), *keys.record_keys("c"))

    page = conversations.list(sort_by="createdAt", sort_order="asc", limit=2)

    assert [one.conversation_id for one in page.conversations] == ["a", "d"]
    assert page.total == 2
    assert [sorted(members) for members in index_members(raw_redis)] == [[b"a", b"d"]] * 3


def test_given_a_conversation_missing_from_the_list_when_it_is_used_then_it_is_back(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    uses: list[Callable[[], object]] = [
        lambda: conversations.get("mine"),
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges()),
        lambda: conversations.index("mine"),
    ]
    for use in uses:
        raw_redis.delete(*keys.INDEX_KEYS)
        assert listed_ids(conversations) == []

        use()

        for field in SORT_FIELDS:
            assert listed_ids(conversations, sort_by=field) == ["mine"]


# --- Writing once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param({}, {}, id="no time"),
        pytest.param({"timestamp": NOW}, {"timestamp": NOW}, id="the same time"),
        pytest.param({"timestamp": NOW}, {}, id="the time left out"),
        pytest.param({"timestamp": NOW}, {"timestamp": "2026-11-23T17:20:45.123+01:00"}, id="zone"),
        pytest.param({}, {"source": "text"}, id="the default spelled out"),
        pytest.param(
            {"toolArgs": {"a": 1, "b": 2}}, {"toolArgs": {"b": 2, "a": 1}}, id="keys turned"
        ),
    ],
)
def test_given_a_message_when_it_is_sent_again_then_it_counts_once(
    conversations: ConversationRepository,
    clock: Traveller,
    first: dict[str, Any],
    again: dict[str, Any],
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1", **first))
    conversations.append_message("mine", said("another"))
    conversations.update("mine", ConversationChanges(agent_id="later"))
    before = conversations.get("mine")
    clock.shift(5)

    added = conversations.append_message("mine", said(messageId="m1", **again))

    assert (added.message_id, added.message_count, added.replayed) == ("m1", 2, True)
    found = conversations.get("mine")
    assert found.messages_json == before.messages_json
    assert found.revision == before.revision


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Other"},
        {"role": "assistant"},
        {"source": "voice"},
        {"timestamp": "2020-01-01T00:00:00Z"},
        {"toolName": "t"},
        {"toolArgs": {}},
        {"status": "failed"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_given_a_message_when_its_id_comes_with_other_content_then_it_is_a_conflict(
    conversations: ConversationRepository, other: dict[str, Any]
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))

    with pytest.raises(MessageConflictError):
        conversations.append_message(
            "mine",
            AgentMessage.parse({"role": "user", "content": "Hello", "messageId": "m1"} | other),
        )

    assert contents(conversations.get("mine")) == ["Hello"]


def test_given_an_idempotency_key_when_a_message_comes_again_then_it_counts_once(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine"))

    first = conversations.append_message("mine", said(), idempotency_key="k")
    again = conversations.append_message("mine", said(), idempotency_key="k")

    assert (first.message_id, first.replayed) == ("k", False)
    assert (again.message_id, again.message_count, again.replayed) == ("k", 1, True)
    with pytest.raises(MessageConflictError):
        conversations.append_message("mine", said("Other"), idempotency_key="k")
    own = conversations.append_message("mine", said(messageId="m1"), idempotency_key="k")
    assert (own.message_id, own.message_count, own.replayed) == ("m1", 2, False)


def test_given_the_same_message_id_when_used_in_two_conversations_then_both_have_it(
    conversations: ConversationRepository,
) -> None:
    for conversation_id in ("one", "other"):
        conversations.create(new(conversation_id))

        assert not conversations.append_message(conversation_id, said(messageId="m1")).replayed


def test_given_a_conversation_when_created_again_then_it_is_the_one_that_stands(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    wish = new("mine", agent_id="a", metadata={"x": 1, "y": 2})
    conversations.create(wish)
    conversations.append_message("mine", said())
    changed = conversations.update("mine", ConversationChanges(agent_id="b", metadata=None))
    clock.shift(5)

    again = conversations.create(new("mine", agent_id="a", metadata={"y": 2, "x": 1}))

    assert again.replayed
    assert again.conversation.revision == changed.revision
    assert again.conversation.agent_id == "b"
    assert again.conversation.created_at == NOW
    assert contents(again.conversation) == ["Hello"]
    assert conversations.list().total == 1


@pytest.mark.parametrize(
    "other", [{}, {"agent_id": "b"}, {"agent_id": "a", "metadata": {}}], ids=str
)
@pytest.mark.parametrize("handle", ["id", "key"])
def test_given_a_conversation_when_its_handle_comes_with_other_content_then_it_is_a_conflict(
    conversations: ConversationRepository, handle: str, other: dict[str, Any]
) -> None:
    conversation_id = "mine" if handle == "id" else None
    key = "k" if handle == "key" else None
    first = conversations.create(new(conversation_id, agent_id="a"), idempotency_key=key)

    with pytest.raises(ConversationExistsError):
        conversations.create(new(conversation_id, **other), idempotency_key=key)

    assert conversations.get(first.conversation.conversation_id).agent_id == "a"
    assert conversations.list().total == 1


def test_given_an_idempotency_key_when_a_creation_comes_again_then_it_counts_once(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    first = conversations.create(new(agent_id="a"), idempotency_key="k")
    again = conversations.create(new(agent_id="a"), idempotency_key="k")
    other = conversations.create(new(agent_id="a"), idempotency_key="other")

    assert (first.replayed, again.replayed, other.replayed) == (False, True, False)
    assert again.conversation.conversation_id == first.conversation.conversation_id
    assert conversations.list().total == 2
    remembered = list(raw_redis.scan_iter("*:idempotency:*"))
    assert len(remembered) == 2
    assert all(86_000 < raw_redis.ttl(key) <= 86_400 for key in remembered)


# --- Changing -------------------------------------------------------------------------------------


def test_given_fields_when_some_are_changed_then_the_others_stay(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine", agent_id="a", metadata={"k": 1}))
    conversations.append_message("mine", said())

    changed = conversations.update("mine", ConversationChanges(agent_id="b"))
    assert (changed.agent_id, changed.metadata) == ("b", {"k": 1})
    changed = conversations.update("mine", ConversationChanges(metadata={"other": []}))
    assert (changed.agent_id, changed.metadata) == ("b", {"other": []})
    changed = conversations.update("mine", ConversationChanges(agent_id=None))
    assert (changed.agent_id, changed.metadata) == (None, {"other": []})
    changed = conversations.update("mine", ConversationChanges(agent_id="c", metadata=None))
    assert (changed.agent_id, changed.metadata) == ("c", None)

    found = conversations.get("mine")
    assert (found.agent_id, found.metadata, contents(found)) == ("c", None, ["Hello"])
    assert found.created_at_ms == changed.created_at_ms


def test_given_a_conversation_when_its_content_changes_then_its_revision_does_too(
    conversations: ConversationRepository,
) -> None:
    revisions = [conversations.create(new("mine")).conversation.revision]
    changes: list[Callable[[], object]] = [
        lambda: conversations.append_message("mine", said("a", messageId="m1")),
        lambda: conversations.update("mine", ConversationChanges(agent_id="b")),
        lambda: conversations.append_message("mine", said("b")),
        lambda: conversations.update("mine", ConversationChanges(agent_id=None)),
    ]
    for change in changes:
        change()
        revisions.append(conversations.get("mine").revision)

    assert len(set(revisions)) == len(revisions)


def test_given_a_conversation_when_it_is_only_read_then_its_revision_stays(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))
    before = conversations.get("mine").revision
    clock.shift(1)

    conversations.list()
    conversations.list_messages("mine")
    conversations.append_message("mine", said(messageId="m1"))

    assert conversations.create(new("mine")).conversation.revision == before
    assert conversations.get("mine").revision == before


def test_given_the_revision_that_stands_when_changed_then_it_is_done(
    conversations: ConversationRepository,
) -> None:
    revision = conversations.create(new("mine")).conversation.revision

    changed = conversations.update(
        "mine", ConversationChanges(agent_id="b"), if_revision=["0" * 16, revision]
    )

    assert changed.agent_id == "b"
    assert changed.revision != revision


@pytest.mark.parametrize("kind", ["older", "none", "unknown", "part", "longer", "empty", "star"])
def test_given_another_revision_when_changed_then_it_is_refused_and_nothing_changes(
    conversations: ConversationRepository, kind: str
) -> None:
    older = conversations.create(new("mine", agent_id="a")).conversation.revision
    conversations.append_message("mine", said())
    before = conversations.get("mine")
    wanted = {
        "older": [older],
        "none": [],
        "unknown": ["0" * 16],
        "part": [before.revision[:8]],
        "longer": [f"0{before.revision}", f"{before.revision}0"],
        "empty": [""],
        "star": ["**"],
    }[kind]

    with pytest.raises(PreconditionFailedError):
        conversations.update("mine", ConversationChanges(agent_id="b"), if_revision=wanted)

    found = conversations.get("mine")
    assert (found.agent_id, found.revision) == ("a", before.revision)


def test_given_one_revision_when_many_writers_change_it_at_once_then_one_succeeds(
    real_store: StoreClient,
) -> None:
    conversations = ConversationRepository(real_store)
    revision = conversations.create(new("mine")).conversation.revision
    outcomes = []

    def change() -> None:
        agent_id = str(threading.get_ident())
        try:
            changed = conversations.update(
                "mine", ConversationChanges(agent_id=agent_id), if_revision=[revision]
            )
            outcomes.append(changed.agent_id)
        except PreconditionFailedError:
            outcomes.append(None)

    run_together(*[change] * 8)

    (winner,) = [one for one in outcomes if one]
    assert conversations.get("mine").agent_id == winner


# --- Deleting -------------------------------------------------------------------------------------


def test_given_a_conversation_when_deleted_then_no_key_of_it_is_left(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine", agent_id="a", metadata={}))
    conversations.append_message("mine", said())

    conversations.delete("mine")

    assert list(raw_redis.scan_iter()) == []
    assert conversations.list().total == 0


def test_given_two_conversations_when_one_is_deleted_then_the_other_stays(
    conversations: ConversationRepository,
) -> None:
    for conversation_id in ("one", "one-more"):
        conversations.create(new(conversation_id))
        conversations.append_message(conversation_id, said(conversation_id))

    conversations.delete("one")

    assert contents(conversations.get("one-more")) == ["one-more"]
    for field in SORT_FIELDS:
        assert listed_ids(conversations, sort_by=field) == ["one-more"]


def test_given_a_deleted_conversation_when_it_is_used_then_no_key_comes_back(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))
    conversations.delete("mine")

    uses: list[Callable[[], object]] = [
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.append_message("mine", said(messageId="m1")),
        lambda: conversations.update("mine", ConversationChanges(agent_id="a")),
        lambda: conversations.get("mine"),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.delete("mine"),
    ]
    for use in uses:
        with pytest.raises(ConversationNotFoundError):
            use()
    assert list(raw_redis.scan_iter()) == []


def test_given_a_deleted_conversation_when_created_again_then_nothing_of_the_old_one_is_in_it(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine", agent_id="old", metadata={"old": 1}))
    conversations.append_message("mine", said("old", messageId="m1"))
    conversations.delete("mine")

    created = conversations.create(new("mine"))

    assert not created.replayed
    found = conversations.get("mine")
    assert (found.agent_id, found.metadata, found.messages) == (None, None, [])
    assert not conversations.append_message("mine", said("new", messageId="m1")).replayed


def test_given_messages_without_a_record_when_created_then_they_do_not_come_back(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said("old", messageId="m1"))
    raw_redis.delete(keys.conversation_key("mine"))

    conversations.create(new("mine"))

    assert conversations.get("mine").messages == []
    assert not conversations.append_message("mine", said("new", messageId="m1")).replayed


# --- Conversations of an older writer -------------------------------------------------------------

OLDER: dict[str, Any] = {
    "conversationId": "older",
    "messages": [
        {
            "role": "user",
            "content": "one",
            "timestamp": "2025-01-01T00:00:01Z",
            "source": "voice",
            "messageId": "m1",
        },
        {"role": "tool", "content": "", "toolArgs": {"n": 10**20, "l": []}, "messageId": "m2"},
        {"role": "assistant", "content": "three", "custom": {"kept": [1]}},
    ],
    "createdAt": "2025-01-01T00:00:00Z",
    "lastAccessedAt": "2025-01-02T00:00:00.5Z",
    "agentId": "a1",
    "metadata": {"z": 12345678901234567, "a": []},
}
CONVERTED_MESSAGES = [
    {
        "role": "user",
        "content": "one",
        "timestamp": "2025-01-01T00:00:01.000Z",
        "source": "voice",
        "messageId": "m1",
    },
    {
        "role": "tool",
        "content": "",
        "timestamp": "2025-01-01T00:00:01.000Z",
        "messageId": "m2",
        "toolArgs": {"n": 10**20, "l": []},
    },
    {
        "role": "assistant",
        "content": "three",
        "timestamp": "2025-01-01T00:00:01.000Z",
        "messageId": "legacy-2",
        "custom": {"kept": [1]},
    },
]


def write_older(redis: Redis, record: dict[str, Any] | None = None, name: str = "older") -> None:
    redis.set(keys.conversation_key(name), json.dumps(record or OLDER))


@pytest.mark.parametrize("left_out", [[], ["conversationId"], ["lastAccessedAt"]], ids=str)
def test_given_one_string_when_read_then_everything_in_it_is_there(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller, left_out: list[str]
) -> None:
    write_older(raw_redis, {key: value for key, value in OLDER.items() if key not in left_out})

    found = conversations.get("older")

    assert json_codec.decode(found.to_json()) == {
        "conversationId": "older",
        "messages": CONVERTED_MESSAGES,
        "createdAt": "2025-01-01T00:00:00.000Z",
        "lastAccessedAt": NOW,
        "agentId": "a1",
        "metadata": OLDER["metadata"],
    }
    assert found.metadata_json == b'{"z":12345678901234567,"a":[]}'
    assert [message.message_id for message in found.messages] == ["m1", "m2", "legacy-2"]


def test_given_one_string_with_little_in_it_when_read_then_the_rest_is_filled_in(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    messages = [{"role": "user", "content": text} for text in ("a", "b")]
    write_older(raw_redis, {"messages": messages, "createdAt": "2025-01-01T00:00:00.000Z"})

    found = [conversations.get("older"), conversations.get("older")]

    for one in found:
        assert [message.to_wire() for message in one.messages] == [
            {**message, "timestamp": "2025-01-01T00:00:00.000Z", "messageId": f"legacy-{number}"}
            for number, message in enumerate(messages)
        ]
        assert (one.agent_id, one.metadata) == (None, None)


def test_given_one_string_when_it_was_accessed_then_it_is_listed(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_older(raw_redis)
    conversations.create(new("newer"))
    assert listed_ids(conversations) == ["newer"]

    conversations.get("older")

    for field in SORT_FIELDS:
        assert set(listed_ids(conversations, sort_by=field)) == {"older", "newer"}
    assert raw_redis.zscore(keys.index_key("messageCount"), "older") == 3
    assert raw_redis.zscore(keys.index_key("createdAt"), "older") == 1735689600000


def test_given_one_string_in_the_list_when_listed_then_it_is_shown_and_left_as_it_is(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_older(raw_redis)

    conversations.index("older")

    (found,) = conversations.list().conversations
    assert json_codec.decode(found.to_json())["messages"] == CONVERTED_MESSAGES
    assert found.last_accessed_at == "2025-01-02T00:00:00.500Z"
    assert json.loads(raw_redis.get(keys.conversation_key("older")) or "") == OLDER


@pytest.mark.parametrize("write", ["append", "update"])
def test_given_one_string_when_first_written_then_it_is_converted_with_everything_in_it(
    conversations: ConversationRepository, raw_redis: Redis, write: str
) -> None:
    write_older(raw_redis)

    if write == "append":
        added = conversations.append_message("older", said("four", messageId="m4"))
        assert (added.message_count, added.replayed) == (4, False)
    else:
        conversations.update("older", ConversationChanges(metadata={}))

    assert raw_redis.type(keys.conversation_key("older")) == b"hash"
    answer = json_codec.decode(conversations.get("older").to_json())
    assert answer["messages"][:3] == CONVERTED_MESSAGES
    assert len(answer["messages"]) == (4 if write == "append" else 3)
    assert answer["metadata"] == (OLDER["metadata"] if write == "append" else {})
    assert answer["createdAt"] == "2025-01-01T00:00:00.000Z"


def test_given_one_string_when_one_of_its_messages_comes_again_then_it_counts_once(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_older(raw_redis)
    again = said("one", source="voice", messageId="m1")

    added = conversations.append_message("older", again)

    assert (added.message_count, added.replayed) == (3, True)
    with pytest.raises(MessageConflictError):
        conversations.append_message("older", said("other", messageId="legacy-2"))


def test_given_one_string_when_created_again_then_it_is_a_conflict_and_stays(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_older(raw_redis)

    with pytest.raises(ConversationExistsError):
        conversations.create(new("older"))

    assert conversations.get("older").message_count == 3


def test_given_one_string_when_deleted_then_no_key_is_left(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_older(raw_redis)
    conversations.index("older")

    conversations.delete("older")

    assert list(raw_redis.scan_iter()) == []


def test_given_one_long_string_when_first_written_then_nothing_is_lost(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store)
    messages = [{"role": "user", "content": str(number)} for number in range(3000)]
    write_older(real_redis, {**OLDER, "messages": messages})

    conversations.append_message("older", said("last"))

    assert contents(conversations.get("older")) == [*map(str, range(3000)), "last"]


def test_given_one_string_when_two_writers_convert_it_at_once_then_nothing_is_lost(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store)
    for number in range(30):
        name = f"older-{number}"
        write_older(real_redis, {**OLDER, "conversationId": name}, name)

        run_together(
            partial(conversations.append_message, name, said("x", messageId="x")),
            partial(conversations.append_message, name, said("y", messageId="y")),
            partial(conversations.get, name),
        )

        found = contents(conversations.get(name))
        assert found[:3] == ["one", "", "three"]
        assert sorted(found[3:]) == ["x", "y"]


def test_given_one_string_that_an_older_writer_replaces_when_converted_then_its_words_are_kept(
    raw_redis: Redis,
) -> None:
    replaced = {**OLDER, "messages": [*OLDER["messages"], {"role": "user", "content": "late"}]}

    class InterruptedStore(StoreClient):
        """Lets an older writer write once, right after the record was first looked at."""

        looks = 0

        def call(self, command: Callable[[Redis], Any], *, repeatable: bool = False) -> Any:
            found = super().call(command, repeatable=repeatable)
            self.looks += 1
            if self.looks == 1:
                write_older(raw_redis, replaced)
            return found

    write_older(raw_redis)

    ConversationRepository(InterruptedStore(raw_redis)).append_message("older", said("new"))

    found = contents(ConversationRepository(StoreClient(raw_redis)).get("older"))
    assert found == ["one", "", "three", "late", "new"]


@pytest.mark.parametrize(
    "use",
    [
        lambda conversations: conversations.get("c-1"),
        lambda conversations: conversations.list_messages("c-1"),
        lambda conversations: conversations.update("c-1", ConversationChanges(agent_id="b")),
        lambda conversations: conversations.append_message("c-1", said("two", messageId="m-2")),
        lambda conversations: conversations.create(new("c-1")),
        lambda conversations: conversations.index("c-1"),
    ],
    ids=["get", "list_messages", "update", "append again", "create again", "index"],
)
def test_given_a_list_that_lost_a_conversation_when_it_is_used_then_it_is_back_as_it_was(
    conversations: ConversationRepository,
    raw_redis: Redis,
    use: Callable[[ConversationRepository], object],
) -> None:
    conversations.create(new("c-1"))
    conversations.append_message("c-1", said("one"))
    conversations.append_message("c-1", said("two", messageId="m-2"))
    created = raw_redis.zscore(keys.index_key("createdAt"), "c-1")
    raw_redis.delete(*keys.INDEX_KEYS)

    use(conversations)

    accessed = float(raw_redis.hget(keys.conversation_key("c-1"), "lastAccessedAt") or 0)
    assert [raw_redis.zscore(key, "c-1") for key in keys.INDEX_KEYS] == [created, accessed, 2.0]


# --- What cannot be read --------------------------------------------------------------------------

RECORD = keys.conversation_key("broken")
MESSAGES = keys.messages_key("broken")


def _replace(redis: Redis, key: str, write: Callable[[], object]) -> None:
    redis.delete(key)
    write()


BREAKAGES: dict[str, Callable[[Redis], object]] = {
    "no creation time": lambda redis: redis.hdel(RECORD, "createdAt"),
    "no access time": lambda redis: redis.hdel(RECORD, "lastAccessedAt"),
    "no revision": lambda redis: redis.hdel(RECORD, "revision"),
    "revision with a line's end": lambda redis: redis.hset(RECORD, "revision", "a\r\nb"),
    "message bytes a word": lambda redis: redis.hset(RECORD, "messageBytes", "nan"),
    "no version": lambda redis: redis.hdel(RECORD, "schemaVersion"),
    "time a word": lambda redis: redis.hset(RECORD, "createdAt", "soon"),
    "time past the year 9999": lambda redis: redis.hset(RECORD, "createdAt", 253_402_300_800_000),
    "time beyond 64 bits": lambda redis: redis.hset(RECORD, "lastAccessedAt", "9" * 20),
    "time before 1970": lambda redis: redis.hset(RECORD, "lastAccessedAt", -1),
    "time not a number": lambda redis: redis.hset(RECORD, "createdAt", "nan"),
    "time infinite": lambda redis: redis.hset(RECORD, "lastAccessedAt", "inf"),
    "time with a fraction": lambda redis: redis.hset(RECORD, "createdAt", "1.5"),
    "version a word": lambda redis: redis.hset(RECORD, "schemaVersion", "x"),
    "metadata cut off": lambda redis: redis.hset(RECORD, "metadata", '{"a":'),
    "metadata an array": lambda redis: redis.hset(RECORD, "metadata", "[]"),
    "agent not UTF-8": lambda redis: redis.hset(RECORD, "agentId", b"\xff"),
    "record a list": lambda redis: _replace(redis, RECORD, lambda: redis.rpush(RECORD, "x")),
    "record a set": lambda redis: _replace(redis, RECORD, lambda: redis.sadd(RECORD, "x")),
    "record empty": lambda redis: redis.set(RECORD, ""),
    "record no JSON": lambda redis: redis.set(RECORD, "{secret"),
    "record a number": lambda redis: redis.set(RECORD, "1"),
    "record without times": lambda redis: redis.set(RECORD, '{"messages":[]}'),
    "record with an impossible time": lambda redis: redis.set(
        RECORD, '{"createdAt":1e20,"messages":[]}'
    ),
    "record with an infinite time": lambda redis: redis.set(
        RECORD,
        '{"createdAt":"2025-01-01T00:00:00Z","messages":[{"role":"user","content":"secret",'
        '"timestamp":1e300}]}',
    ),
    "record without messages": lambda redis: redis.set(
        RECORD, '{"createdAt":"2025-01-01T00:00:00Z"}'
    ),
    "record with a foreign message": lambda redis: redis.set(
        RECORD, '{"createdAt":"2025-01-01T00:00:00Z","messages":["secret"]}'
    ),
    "messages a string": lambda redis: redis.set(MESSAGES, "secret"),
    "message no JSON": lambda redis: redis.rpush(MESSAGES, "secret"),
    "message empty": lambda redis: redis.lset(MESSAGES, 0, ""),
    "message cut off at the end": lambda redis: redis.lset(MESSAGES, 1, '{"role":"user","con'),
    "message cut off before another": lambda redis: redis.lset(MESSAGES, 0, '{"role":"user","con'),
    "message an array": lambda redis: redis.lset(MESSAGES, 0, "[]"),
    "message without a role": lambda redis: redis.lset(MESSAGES, 0, '{"content":"x"}'),
    "message without its id": lambda redis: redis.lset(
        MESSAGES, 0, '{"content":"x","role":"user","timestamp":"2025-01-01T00:00:00Z"}'
    ),
}


@pytest.fixture(params=BREAKAGES)
def broken(
    request: pytest.FixtureRequest, conversations: ConversationRepository, raw_redis: Redis
) -> None:
    """One conversation between two sound ones, broken in one of the ways above."""
    for conversation_id in ("a", "broken", "c"):
        conversations.create(new(conversation_id, agent_id="x", metadata={"k": 1}))
        conversations.append_message(conversation_id, said("first"))
        conversations.append_message(conversation_id, said("second"))
    BREAKAGES[request.param](raw_redis)


@pytest.mark.usefixtures("broken")
def test_given_a_broken_record_when_read_then_the_error_names_it_without_its_content(
    conversations: ConversationRepository,
) -> None:
    for use in (conversations.get, conversations.verify):
        with pytest.raises(CorruptRecordError) as refusal:
            use("broken")
        assert "broken" in str(refusal.value)
        assert "secret" not in str(refusal.value)


@pytest.mark.usefixtures("broken")
def test_given_a_broken_record_when_listed_then_it_is_left_out_and_reported(
    conversations: ConversationRepository, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "agent_conversations"):
        page = conversations.list(sort_by="createdAt", sort_order="asc")

    assert [one.conversation_id for one in page.conversations] == ["a", "c"]
    assert page.total == 3
    assert "secret" not in caplog.text
    assert [getattr(record, "conversation_id", None) for record in caplog.records] == ["broken"]


def test_given_listed_members_that_can_be_no_ids_when_listed_then_they_are_taken_off(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("c-1"))
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {b"\xff\xfe": 1, b"an id": 2})

    page = conversations.list(sort_order="asc", limit=1)

    assert ([one.conversation_id for one in page.conversations], page.total) == (["c-1"], 1)
    assert [raw_redis.zrange(key, 0, -1) for key in keys.INDEX_KEYS] == [[b"c-1"]] * 3


def test_given_listed_members_that_can_be_no_ids_when_ghosts_are_removed_then_they_are_too(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("c-1"))
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {b"\xff\xfe": 1, b"an id": 2, b"ghost": 3})

    assert sum(conversations.remove_orphans()) == 3
    assert [raw_redis.zrange(key, 0, -1) for key in keys.INDEX_KEYS] == [[b"c-1"]] * 3


def test_given_half_a_surrogate_pair_as_javascript_writes_it_when_read_then_it_is_replaced(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    record = (
        '{"createdAt":"2025-01-01T00:00:00Z","messages":'
        '[{"role":"user","content":"caf\\ud83d \\ud83d\\ude00 \\\\ud83d"}]}'
    )
    raw_redis.set(keys.conversation_key("c-1"), record)

    assert conversations.get("c-1").messages[0].content == "caf\N{REPLACEMENT CHARACTER} 😀 \\ud83d"


@pytest.mark.usefixtures("broken")
def test_given_a_broken_record_when_deleted_then_it_is_gone(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.delete("broken")

    assert [key for key in raw_redis.scan_iter() if b"broken" in key] == []
    assert conversations.list().total == 2


def test_given_a_message_cut_off_behind_a_brace_when_read_then_it_is_corrupt(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("broken"))
    conversations.append_message("broken", said("see {x} there"))
    raw_redis.lset(MESSAGES, 0, '{"role":"user","content":"see {x}')

    with pytest.raises(CorruptRecordError):
        conversations.get("broken")


@pytest.mark.parametrize("order", SORT_ORDERS)
@pytest.mark.parametrize("stored", ["", "secret", "[]", '{"role":"user","con', '{"role":"user"}'])
def test_given_a_broken_message_when_paged_then_its_page_is_corrupt_and_others_are_not(
    conversations: ConversationRepository, raw_redis: Redis, stored: str, order: SortOrder
) -> None:
    conversations.create(new("broken"))
    for text in ("first", "second", "third"):
        conversations.append_message("broken", said(text))
    raw_redis.lset(MESSAGES, 1, stored)

    with pytest.raises(CorruptRecordError):
        conversations.list_messages("broken", order=order)

    page = conversations.list_messages("broken", limit=1, order=order)
    assert [message.content for message in page.messages] == [
        "first" if order == "asc" else "third"
    ]


def test_given_a_message_of_an_unknown_role_when_verified_then_it_is_corrupt(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("broken"))
    conversations.append_message("broken", said(messageId="m1", timestamp=NOW))
    raw_redis.lset(
        MESSAGES, 0, f'{{"role":"x","content":"x","timestamp":"{NOW}","messageId":"m1"}}'
    )

    with pytest.raises(CorruptRecordError):
        conversations.verify("broken")


def test_given_a_newer_version_when_used_then_it_is_refused_and_left_alone(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    for conversation_id in ("newer", "today"):
        conversations.create(new(conversation_id))
    raw_redis.hset(keys.conversation_key("newer"), "schemaVersion", 2)
    before = raw_redis.hgetall(keys.conversation_key("newer"))

    uses: list[Callable[[], object]] = [
        lambda: conversations.get("newer"),
        lambda: conversations.append_message("newer", said()),
        lambda: conversations.list_messages("newer"),
        lambda: conversations.update("newer", ConversationChanges(agent_id="a")),
        lambda: conversations.create(new("newer")),
    ]
    for use in uses:
        with pytest.raises(UnsupportedRecordVersionError, match="newer version"):
            use()
    assert listed_ids(conversations) == ["today"]
    assert raw_redis.hgetall(keys.conversation_key("newer")) == before
    assert raw_redis.exists(keys.messages_key("newer")) == 0


# --- Retention ------------------------------------------------------------------------------------


def test_given_a_retention_when_a_conversation_is_used_then_it_lives_on_from_then(
    fake_redis: Redis, clock: Traveller
) -> None:
    conversations = ConversationRepository(StoreClient(fake_redis), retention_seconds=60)
    conversations.create(new("mine"))
    uses: list[Callable[[], object]] = [
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.get("mine"),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges()),
    ]
    for use in uses:
        clock.shift(59)
        use()
        assert {fake_redis.pttl(key) for key in keys.record_keys("mine")} == {60_000}

    clock.shift(60.001)

    assert conversations.list().total == 0
    with pytest.raises(ConversationNotFoundError):
        conversations.get("mine")
    assert list(fake_redis.scan_iter()) == []


def test_given_a_retention_when_only_listed_then_the_conversation_expires(
    fake_redis: Redis, clock: Traveller
) -> None:
    conversations = ConversationRepository(StoreClient(fake_redis), retention_seconds=60)
    conversations.create(new("old"))
    clock.shift(40)
    conversations.create(new("young"))
    assert conversations.list().total == 2

    clock.shift(20.001)

    page = conversations.list()
    assert [one.conversation_id for one in page.conversations] == ["young"]
    assert page.total == 1


def test_given_a_retention_of_a_second_when_it_passed_then_nothing_is_left(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store, retention_seconds=1)
    conversations.create(new("mine"))
    conversations.append_message("mine", said())
    assert all(0 < real_redis.pttl(key) <= 1000 for key in keys.record_keys("mine"))

    deadline = time.monotonic() + 10
    while real_redis.exists(*keys.record_keys("mine")):
        assert time.monotonic() < deadline, "the conversation did not expire"
        time.sleep(0.02)

    page = conversations.list()
    assert (list(page.conversations), page.total) == ([], 0)
    with pytest.raises(ConversationNotFoundError):
        conversations.append_message("mine", said())
    assert real_redis.keys() == []


def test_given_a_retention_that_is_lifted_when_a_conversation_is_used_then_it_stays_for_ever(
    store: StoreClient, raw_redis: Redis
) -> None:
    limited = ConversationRepository(store, retention_seconds=600)
    limited.create(new("mine"))
    limited.append_message("mine", said())
    assert raw_redis.ttl(keys.conversation_key("mine")) > 0

    ConversationRepository(store).get("mine")

    assert {raw_redis.ttl(key) for key in keys.record_keys("mine")} == {-1}


def test_given_thousands_of_expired_ids_when_listed_then_all_are_taken_off(
    store: StoreClient, raw_redis: Redis
) -> None:
    conversations = ConversationRepository(store, retention_seconds=600)
    conversations.create(new("mine"))
    for key in keys.INDEX_KEYS:
        raw_redis.zadd(key, {f"old-{number}": 1000 for number in range(2500)})

    page = conversations.list()

    assert [one.conversation_id for one in page.conversations] == ["mine"]
    assert page.total == 1
    assert index_members(raw_redis) == [[b"mine"]] * 3


# --- The server's own life ------------------------------------------------------------------------


def test_given_a_server_that_forgot_its_scripts_when_used_then_all_goes_on(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    uses: list[Callable[[], object]] = [
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.get("mine"),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges(agent_id="a")),
        conversations.list,
        conversations.create,
        lambda: conversations.delete("mine"),
    ]
    for use in uses:
        raw_redis.script_flush()
        use()
    assert conversations.list().total == 1


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A plain client of a cluster of one node, which refuses commands across slots."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"cluster-enabled": "yes", "cluster-port": str(port), "appendonly": "no"}
    with EmbeddedServer(tmp_path_factory.mktemp("cluster"), options) as server:
        client: Any = Redis.from_url(server.url, **connection_options())
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 20
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, "the cluster does not come up"
            time.sleep(0.02)
        yield client
        client.close()


def test_given_a_cluster_when_conversations_are_used_then_no_command_crosses_slots(
    cluster: Redis, clock: Traveller
) -> None:
    conversations = ConversationRepository(StoreClient(cluster), index_in_same_step=False)
    ids = ["a", "b", "c", "d"]
    slots = {key_slot(keys.conversation_key(one).encode()) for one in ids}
    assert len(slots) == len(ids)

    for number, conversation_id in enumerate(ids):
        conversations.create(new(conversation_id))
        for _ in range(number):
            conversations.append_message(conversation_id, said())
    conversations.create(new(agent_id="x"), idempotency_key="k")
    replay = conversations.create(new(agent_id="x"), idempotency_key="k")
    assert replay.replayed
    conversations.delete(replay.conversation.conversation_id)
    conversations.update("a", ConversationChanges(agent_id="x"))
    write_older(cluster)
    conversations.append_message("older", said("four"))

    assert listed_ids(conversations, sort_by="messageCount", sort_order="asc") == [*ids, "older"]
    assert listed_ids(conversations, sort_by="createdAt", sort_order="asc", limit=1) == ["older"]
    clock.shift(1)
    assert conversations.get("d").message_count == 3
    clock.shift(1)
    assert conversations.list_messages("c", limit=1).next
    assert listed_ids(conversations, limit=2) == ["c", "d"]

    cluster.delete(*keys.record_keys("b"))
    page = conversations.list(sort_by="messageCount", sort_order="asc")
    assert [one.conversation_id for one in page.conversations] == ["a", "c", "d", "older"]
    assert page.total == 4
    for conversation_id in ("a", "c", "d", "older"):
        conversations.delete(conversation_id)
    assert [key for key in cluster.scan_iter() if b"idempotency" not in key] == []


def test_given_a_cluster_and_a_list_that_was_lost_when_rebuilt_then_it_is_whole(
    cluster: Redis,
) -> None:
    conversations = ConversationRepository(
        StoreClient(cluster), index_in_same_step=False, retention_seconds=600
    )
    for conversation_id in ("a", "b"):
        conversations.create(new(conversation_id))
    cluster.delete(*keys.INDEX_KEYS)
    cluster.zadd(keys.index_key("createdAt"), {"ghost": 1})

    for batch in conversations.scan_ids():
        for conversation_id in batch:
            conversations.index(conversation_id)
    assert sum(conversations.remove_orphans()) == 1

    assert sorted(listed_ids(conversations)) == ["a", "b"]
    assert [sorted(members) for members in index_members(cluster)] == [[b"a", b"b"]] * 3


def test_when_one_step_writes_record_and_list_then_their_order_of_access_never_differs(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store)
    conversations.create(new("mine"))

    def use() -> None:
        for _ in range(20):
            conversations.append_message("mine", said())
            conversations.get("mine")

    run_together(*[use] * 4)

    record = real_redis.hgetall(keys.conversation_key("mine"))
    accessed = real_redis.zscore(keys.index_key("lastAccessedAt"), "mine")
    assert accessed == int(record[b"lastAccessedAt"])
    assert real_redis.zscore(keys.index_key("messageCount"), "mine") == 80


def test_given_messages_in_order_when_their_positions_are_looked_at_then_each_id_has_its_own(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    ids = [conversations.append_message("mine", said()).message_id for _ in range(5)]

    positions = raw_redis.hgetall(keys.message_ids_key("mine"))

    assert [int(positions[one.encode()]) for one in ids] == list(range(5))
