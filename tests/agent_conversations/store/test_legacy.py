"""Legacy records: a conversation as one JSON string, read and converted."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from redis import Redis

from agent_conversations.errors import ConversationExistsError, MessageConflictError
from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from tests.agent_conversations.store.records import (
    LEGACY_RECORD,
    SORT_FIELDS,
    contents,
    index_key,
    listed_ids,
    new,
    said,
    server_ms,
    write_legacy,
)
from tests.agent_conversations.store.threads import run_together

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


@pytest.mark.parametrize("left_out", [[], ["conversationId"], ["lastAccessedAt"]], ids=str)
def test_legacy_record_is_read_completely(
    conversations: ConversationRepository, raw_redis: Redis, left_out: list[str]
) -> None:
    write_legacy(
        raw_redis, {key: value for key, value in LEGACY_RECORD.items() if key not in left_out}
    )
    before = server_ms(raw_redis)

    found = conversations.get("older")

    assert json_codec.decode(found.to_json()) == {
        "conversationId": "older",
        "messages": CONVERTED_MESSAGES,
        "messageCount": 3,
        "createdAt": "2025-01-01T00:00:00.000Z",
        "lastAccessedAt": found.last_accessed_at,
        "agentId": "a1",
        "metadata": LEGACY_RECORD["metadata"],
    }
    assert before <= found.last_accessed_at_ms <= server_ms(raw_redis)
    assert found.metadata_json == b'{"z":12345678901234567,"a":[]}'
    assert [message.message_id for message in found.messages] == ["m1", "m2", "legacy-2"]


def test_missing_fields_of_a_legacy_record_are_filled_in(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    messages = [{"role": "user", "content": text} for text in ("a", "b")]
    write_legacy(raw_redis, {"messages": messages, "createdAt": "2025-01-01T00:00:00.000Z"})

    found = [conversations.get("older"), conversations.get("older")]

    for one in found:
        assert [message.to_wire() for message in one.messages] == [
            {**message, "timestamp": "2025-01-01T00:00:00.000Z", "messageId": f"legacy-{number}"}
            for number, message in enumerate(messages)
        ]
        assert (one.agent_id, one.metadata) == (None, None)


def test_lone_surrogate_in_a_legacy_record_is_replaced(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    record = (
        '{"createdAt":"2025-01-01T00:00:00Z","messages":'
        '[{"role":"user","content":"caf\\ud83d \\ud83d\\ude00 \\\\ud83d"}]}'
    )
    raw_redis.set(keys.conversation_key("c-1"), record)

    assert conversations.get("c-1").messages[0].content == "caf\N{REPLACEMENT CHARACTER} 😀 \\ud83d"


def test_reading_a_legacy_record_lists_it(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
    conversations.create(new("newer"))
    assert listed_ids(conversations) == ["newer"]

    conversations.get("older")

    for field in SORT_FIELDS:
        assert set(listed_ids(conversations, sort_by=field)) == {"older", "newer"}
    assert raw_redis.zscore(index_key("messageCount"), "older") == 3
    assert raw_redis.zscore(index_key("createdAt"), "older") == 1735689600000


def test_legacy_record_from_before_1970_stays_readable(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    # Go's time.Time without a value is written like this.
    write_legacy(raw_redis, {**LEGACY_RECORD, "createdAt": "0001-01-01T00:00:00Z"})
    conversations.get("older")

    found = conversations.get("older")

    assert found.created_at == "1970-01-01T00:00:00.000Z"
    assert contents(found)


def test_listed_legacy_record_is_shown_and_not_converted(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)

    maintenance.index("older")

    (found,) = conversations.list().conversations
    assert json_codec.decode(found.to_json())["messages"] == CONVERTED_MESSAGES
    assert found.last_accessed_at == "2025-01-02T00:00:00.500Z"
    assert json.loads(raw_redis.get(keys.conversation_key("older")) or "") == LEGACY_RECORD


@pytest.mark.parametrize("write", ["append", "update"])
def test_first_write_converts_a_legacy_record_completely(
    conversations: ConversationRepository, raw_redis: Redis, write: str
) -> None:
    write_legacy(raw_redis)

    if write == "append":
        added = conversations.append_message("older", said("four", messageId="m4"))
        assert (added.message_count, added.replayed) == (4, False)
    else:
        conversations.update("older", ConversationChanges(metadata={}))

    assert raw_redis.type(keys.conversation_key("older")) == b"hash"
    response = json_codec.decode(conversations.get("older").to_json())
    assert response["messages"][:3] == CONVERTED_MESSAGES
    assert len(response["messages"]) == (4 if write == "append" else 3)
    assert response["metadata"] == (LEGACY_RECORD["metadata"] if write == "append" else {})
    assert response["createdAt"] == "2025-01-01T00:00:00.000Z"


def test_repeated_message_of_a_legacy_record_counts_once(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
    again = said("one", source="voice", messageId="m1")

    added = conversations.append_message("older", again)

    assert (added.message_count, added.replayed) == (3, True)
    with pytest.raises(MessageConflictError):
        conversations.append_message("older", said("other", messageId="legacy-2"))


def test_creation_over_a_legacy_record_is_a_conflict(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)

    with pytest.raises(ConversationExistsError):
        conversations.create(new("older"))

    assert conversations.get("older").message_count == 3


def test_deleted_legacy_record_leaves_no_key(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
    maintenance.index("older")

    conversations.delete("older")

    assert list(raw_redis.scan_iter()) == []


def test_conversion_keeps_all_messages_of_a_long_legacy_record(
    real_redis: Redis, real_conversations: ConversationRepository
) -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(3000)]
    write_legacy(real_redis, {**LEGACY_RECORD, "messages": messages})

    real_conversations.append_message("older", said("last"))

    assert contents(real_conversations.get("older")) == [*map(str, range(3000)), "last"]


def test_concurrent_conversions_of_a_legacy_record_lose_nothing(
    real_redis: Redis, real_conversations: ConversationRepository
) -> None:
    for number in range(30):
        name = f"older-{number}"
        write_legacy(real_redis, {**LEGACY_RECORD, "conversationId": name}, name)

        run_together(
            partial(real_conversations.append_message, name, said("x", messageId="x")),
            partial(real_conversations.append_message, name, said("y", messageId="y")),
            partial(real_conversations.get, name),
        )

        found = contents(real_conversations.get(name))
        assert found[:3] == ["one", "", "three"]
        assert sorted(found[3:]) == ["x", "y"]


def test_conversion_keeps_what_an_older_writer_stores_meanwhile(
    conversations: ConversationRepository,
    raw_redis: Redis,
    interrupted_store: Callable[[Callable[[], object]], StoreClient],
) -> None:
    late = {"role": "user", "content": "late"}
    replaced = {**LEGACY_RECORD, "messages": [*LEGACY_RECORD["messages"], late]}
    write_legacy(raw_redis)
    interrupted = ConversationRepository(
        interrupted_store(lambda: write_legacy(raw_redis, replaced))
    )

    interrupted.append_message("older", said("new"))

    assert contents(conversations.get("older")) == ["one", "", "three", "late", "new"]
