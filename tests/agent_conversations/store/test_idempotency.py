"""A write that is repeated with its handle counts once."""

from typing import Any

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.errors import ConversationExistsError, MessageConflictError
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, ConversationChanges
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import NOW, contents, new, said
from tests.agent_conversations.store.threads import run_together


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param({}, {}, id="no time"),
        pytest.param({"timestamp": NOW}, {"timestamp": NOW}, id="same time"),
        pytest.param({"timestamp": NOW}, {}, id="omitted time"),
        pytest.param({"timestamp": NOW}, {"timestamp": "2026-11-23T17:20:45.123+01:00"}, id="zone"),
        pytest.param({"timestamp": NOW}, {"timestamp": "2020-01-01T00:00:00Z"}, id="other time"),
        pytest.param({}, {"source": "text"}, id="explicit default"),
        pytest.param(
            {"toolArgs": {"a": 1, "b": 2}},
            {"toolArgs": {"b": 2, "a": 1}},
            id="other key order",
        ),
    ],
)
def test_repeated_append_counts_once(
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
        {"toolName": "t"},
        {"toolArgs": {}},
        {"status": "failed"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_message_id_with_other_content_is_a_conflict(
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


def test_append_repeated_under_its_idempotency_key_counts_once(
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


def test_two_conversations_may_use_the_same_message_id(
    conversations: ConversationRepository,
) -> None:
    for conversation_id in ("one", "other"):
        conversations.create(new(conversation_id))

        assert not conversations.append_message(conversation_id, said(messageId="m1")).replayed


def test_concurrent_repetitions_of_an_append_count_once(
    real_conversations: ConversationRepository,
) -> None:
    real_conversations.create(new("mine"))
    replayed = []

    def write() -> None:
        added = real_conversations.append_message("mine", said(messageId="m1"))
        replayed.append(added.replayed)

    run_together(*[write] * 8)

    assert sorted(replayed) == [False] + [True] * 7
    assert real_conversations.get("mine").message_count == 1


def test_repeated_creation_returns_the_stored_conversation(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    request = new("mine", agent_id="a", metadata={"x": 1, "y": 2})
    created = conversations.create(request).conversation
    conversations.append_message("mine", said())
    changed = conversations.update("mine", ConversationChanges(agent_id="b", metadata=None))
    clock.shift(5)

    again = conversations.create(new("mine", agent_id="a", metadata={"y": 2, "x": 1}))

    assert again.replayed
    assert again.conversation.revision == changed.revision
    assert again.conversation.agent_id == "b"
    assert again.conversation.created_at_ms == created.created_at_ms
    assert contents(again.conversation) == ["Hello"]
    assert conversations.list().total == 1


@pytest.mark.parametrize(
    "other", [{}, {"agent_id": "b"}, {"agent_id": "a", "metadata": {}}], ids=str
)
@pytest.mark.parametrize("handle", ["id", "key"])
def test_creation_handle_with_other_content_is_a_conflict(
    conversations: ConversationRepository, handle: str, other: dict[str, Any]
) -> None:
    conversation_id = "mine" if handle == "id" else None
    key = "k" if handle == "key" else None
    first = conversations.create(new(conversation_id, agent_id="a"), idempotency_key=key)

    with pytest.raises(ConversationExistsError):
        conversations.create(new(conversation_id, **other), idempotency_key=key)

    assert conversations.get(first.conversation.conversation_id).agent_id == "a"
    assert conversations.list().total == 1


def test_creation_repeated_under_its_idempotency_key_counts_once(
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


def test_concurrent_repetitions_of_a_creation_count_once(
    real_conversations: ConversationRepository,
) -> None:
    created = []

    def create() -> None:
        created.append(real_conversations.create(new(agent_id="a"), idempotency_key="k"))

    run_together(*[create] * 8)

    assert sorted(one.replayed for one in created) == [False] + [True] * 7
    assert len({one.conversation.conversation_id for one in created}) == 1
    assert real_conversations.list().total == 1


@pytest.mark.parametrize("index_in_same_step", [None, False])
def test_creation_repeated_after_a_delete_makes_another_conversation(
    store: StoreClient, *, index_in_same_step: bool | None
) -> None:
    conversations = ConversationRepository(store, index_in_same_step=index_in_same_step)
    made = []
    for _ in range(3):
        created = conversations.create(new(agent_id="a"), idempotency_key="k")
        again = conversations.create(new(agent_id="a"), idempotency_key="k")
        conversation_id = created.conversation.conversation_id
        assert (created.replayed, again.replayed) == (False, True)
        assert again.conversation.conversation_id == conversation_id
        conversations.delete(conversation_id)
        made.append(conversation_id)

    assert len(set(made)) == 3
    assert conversations.list().total == 0
    # An id that is asked for by name is free again.
    assert not conversations.create(new(made[0])).replayed


def test_concurrent_repetitions_after_a_delete_make_one_conversation(
    real_conversations: ConversationRepository,
) -> None:
    first = real_conversations.create(idempotency_key="k").conversation.conversation_id
    real_conversations.delete(first)
    created = []

    def create() -> None:
        created.append(real_conversations.create(idempotency_key="k"))

    run_together(*[create] * 8)

    assert sorted(one.replayed for one in created) == [False] + [True] * 7
    assert first not in {one.conversation.conversation_id for one in created}
    assert real_conversations.list().total == 1
