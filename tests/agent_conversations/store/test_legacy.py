"""Legacy records: a conversation as one JSON string, read and converted."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from redis import Redis
from time_machine import Traveller

from agent_conversations.errors import ConversationExistsError, MessageConflictError
from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from tests.agent_conversations.store.records import (
    LEGACY_RECORD,
    NOW,
    SORT_FIELDS,
    contents,
    listed_ids,
    new,
    said,
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
def test_given_one_string_when_read_then_everything_in_it_is_there(
    conversations: ConversationRepository, raw_redis: Redis, clock: Traveller, left_out: list[str]
) -> None:
    write_legacy(
        raw_redis, {key: value for key, value in LEGACY_RECORD.items() if key not in left_out}
    )

    found = conversations.get("older")

    assert json_codec.decode(found.to_json()) == {
        "conversationId": "older",
        "messages": CONVERTED_MESSAGES,
        "createdAt": "2025-01-01T00:00:00.000Z",
        "lastAccessedAt": NOW,
        "agentId": "a1",
        "metadata": LEGACY_RECORD["metadata"],
    }
    assert found.metadata_json == b'{"z":12345678901234567,"a":[]}'
    assert [message.message_id for message in found.messages] == ["m1", "m2", "legacy-2"]


def test_given_one_string_with_little_in_it_when_read_then_the_rest_is_filled_in(
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


def test_given_half_a_surrogate_pair_as_javascript_writes_it_when_read_then_it_is_replaced(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    record = (
        '{"createdAt":"2025-01-01T00:00:00Z","messages":'
        '[{"role":"user","content":"caf\\ud83d \\ud83d\\ude00 \\\\ud83d"}]}'
    )
    raw_redis.set(keys.conversation_key("c-1"), record)

    assert conversations.get("c-1").messages[0].content == "caf\N{REPLACEMENT CHARACTER} 😀 \\ud83d"


def test_given_one_string_when_it_was_accessed_then_it_is_listed(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
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
    write_legacy(raw_redis)

    conversations.index("older")

    (found,) = conversations.list().conversations
    assert json_codec.decode(found.to_json())["messages"] == CONVERTED_MESSAGES
    assert found.last_accessed_at == "2025-01-02T00:00:00.500Z"
    assert json.loads(raw_redis.get(keys.conversation_key("older")) or "") == LEGACY_RECORD


@pytest.mark.parametrize("write", ["append", "update"])
def test_given_one_string_when_first_written_then_it_is_converted_with_everything_in_it(
    conversations: ConversationRepository, raw_redis: Redis, write: str
) -> None:
    write_legacy(raw_redis)

    if write == "append":
        added = conversations.append_message("older", said("four", messageId="m4"))
        assert (added.message_count, added.replayed) == (4, False)
    else:
        conversations.update("older", ConversationChanges(metadata={}))

    assert raw_redis.type(keys.conversation_key("older")) == b"hash"
    answer = json_codec.decode(conversations.get("older").to_json())
    assert answer["messages"][:3] == CONVERTED_MESSAGES
    assert len(answer["messages"]) == (4 if write == "append" else 3)
    assert answer["metadata"] == (LEGACY_RECORD["metadata"] if write == "append" else {})
    assert answer["createdAt"] == "2025-01-01T00:00:00.000Z"


def test_given_one_string_when_one_of_its_messages_comes_again_then_it_counts_once(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
    again = said("one", source="voice", messageId="m1")

    added = conversations.append_message("older", again)

    assert (added.message_count, added.replayed) == (3, True)
    with pytest.raises(MessageConflictError):
        conversations.append_message("older", said("other", messageId="legacy-2"))


def test_given_one_string_when_created_again_then_it_is_a_conflict_and_stays(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)

    with pytest.raises(ConversationExistsError):
        conversations.create(new("older"))

    assert conversations.get("older").message_count == 3


def test_given_one_string_when_deleted_then_no_key_is_left(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)
    conversations.index("older")

    conversations.delete("older")

    assert list(raw_redis.scan_iter()) == []


def test_given_one_long_string_when_first_written_then_nothing_is_lost(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store)
    messages = [{"role": "user", "content": str(number)} for number in range(3000)]
    write_legacy(real_redis, {**LEGACY_RECORD, "messages": messages})

    conversations.append_message("older", said("last"))

    assert contents(conversations.get("older")) == [*map(str, range(3000)), "last"]


def test_given_one_string_when_two_writers_convert_it_at_once_then_nothing_is_lost(
    real_redis: Redis, real_store: StoreClient
) -> None:
    conversations = ConversationRepository(real_store)
    for number in range(30):
        name = f"older-{number}"
        write_legacy(real_redis, {**LEGACY_RECORD, "conversationId": name}, name)

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
    replaced = {
        **LEGACY_RECORD,
        "messages": [*LEGACY_RECORD["messages"], {"role": "user", "content": "late"}],
    }

    class InterruptedStore(StoreClient):
        """Lets an older writer write once, right after the record was first looked at."""

        looks = 0

        def call(self, command: Callable[[Redis], Any], *, repeatable: bool = True) -> Any:
            found = super().call(command, repeatable=repeatable)
            self.looks += 1
            if self.looks == 1:
                write_legacy(raw_redis, replaced)
            return found

    write_legacy(raw_redis)

    ConversationRepository(InterruptedStore(raw_redis)).append_message("older", said("new"))

    found = contents(ConversationRepository(StoreClient(raw_redis)).get("older"))
    assert found == ["one", "", "three", "late", "new"]
