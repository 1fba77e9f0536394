"""Replacing a message in its place, on real servers where it is raced."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from redis import Redis

from agent_conversations.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    PreconditionFailedError,
)
from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import (
    NOW,
    contents,
    index_key,
    new,
    said,
    write_legacy,
)
from tests.agent_conversations.store.threads import run_together

TRAPS = [
    ',"timestamp":"2020-01-01T00:00:00.000Z"',
    '{"timestamp":"2020-01-01T00:00:00.000Z"}',
    '\\","timestamp":"2020-01-01T00:00:00.000Z',
    "{",
    ",",
]
"""Words that look like the JSON of a timestamp."""


def message_bytes(redis: Redis) -> int:
    return int(redis.hget(keys.conversation_key("mine"), "messageBytes") or 0)


def test_put_keeps_bytes_and_index_right(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    for number, text in enumerate(("first", "a long second", "")):
        conversations.put_message("mine", f"m{number % 2}", said(text, role="assistant"))

    found = conversations.get("mine")

    assert contents(found) == ["", "a long second"]
    stored = raw_redis.lrange(keys.messages_key("mine"), 0, -1)
    assert message_bytes(raw_redis) == sum(map(len, stored))
    assert raw_redis.zscore(index_key("messageCount"), "mine") == 2
    assert raw_redis.zscore(index_key("lastAccessedAt"), "mine")


@pytest.mark.parametrize("text", TRAPS)
def test_put_keeps_the_timestamp_whatever_the_words_are(
    conversations: ConversationRepository, text: str
) -> None:
    tool = {"role": "tool", "toolArgs": {"timestamp": "2020-01-01T00:00:00.000Z", text: text}}
    conversations.create(new("mine"))
    conversations.append_message("mine", said(text, messageId="m1", timestamp=NOW, **tool))

    put = conversations.put_message("mine", "m1", said(text + "more", **tool))

    assert put.message.to_wire() == {
        "role": "tool",
        "content": text + "more",
        "timestamp": NOW,
        "source": "text",
        "messageId": "m1",
        "toolArgs": tool["toolArgs"],
    }
    assert conversations.get("mine").messages_json == [put.message_json]


@pytest.mark.parametrize("text", TRAPS)
def test_put_keeps_the_timestamp_that_an_earlier_release_wrote_last(
    conversations: ConversationRepository, raw_redis: Redis, text: str
) -> None:
    written = {
        "role": "tool",
        "content": text,
        "messageId": "m1",
        "toolArgs": {"timestamp": "2020-01-01T00:00:00.000Z", text: {"toolArgs": {}}},
        "toolOutput": text,
        "timestamp": NOW,
        "source": "text",
    }
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))
    raw_redis.lset(keys.messages_key("mine"), 0, json.dumps(written, separators=(",", ":")))

    put = conversations.put_message("mine", "m1", said("corrected"))

    assert put.message.timestamp == NOW


def test_put_keeps_the_timestamp_of_a_legacy_message(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    write_legacy(raw_redis)

    put = conversations.put_message("older", "legacy-2", said("four"))

    assert put.message.timestamp == "2025-01-01T00:00:01.000Z"
    assert contents(conversations.get("older")) == ["one", "", "four"]


def test_same_put_again_changes_nothing(conversations: ConversationRepository) -> None:
    conversations.create(new("mine"))
    first = conversations.put_message("mine", "m1", said("Hello"))
    before = conversations.get("mine").revision

    again = conversations.put_message("mine", "m1", said("Hello"))

    assert (first.appended, again.appended) == (True, False)
    assert again.message_json == first.message_json
    assert conversations.get("mine").revision == before


def test_put_with_a_stale_tag_changes_nothing(real_conversations: ConversationRepository) -> None:
    real_conversations.create(new("mine"))
    first = real_conversations.put_message("mine", "m1", said("first"))
    second = real_conversations.put_message("mine", "m1", said("second"), if_tag=[first.tag])

    with pytest.raises(PreconditionFailedError):
        real_conversations.put_message("mine", "m1", said("third"), if_tag=[first.tag, "*x"])

    assert real_conversations.get_message("mine", "m1").tag == second.tag


def test_message_that_grows_past_the_limit_is_refused(store: StoreClient) -> None:
    conversations = ConversationRepository(store, max_messages=1, max_bytes=300)
    conversations.create(new("mine"))
    conversations.put_message("mine", "m1", said("x" * 100))

    with pytest.raises(ConversationFullError, match="most bytes it may have is 300"):
        conversations.put_message("mine", "m1", said("x" * 300))
    with pytest.raises(ConversationFullError, match="most messages it may have is 1"):
        conversations.put_message("mine", "m2", said("x"))

    assert conversations.put_message("mine", "m1", said("y" * 100)).message.content == "y" * 100


def test_message_that_shrinks_is_accepted_over_the_limit(store: StoreClient) -> None:
    ConversationRepository(store).create(new("mine"))
    ConversationRepository(store).put_message("mine", "m1", said("x" * 1000))
    conversations = ConversationRepository(store, max_bytes=300)

    assert conversations.put_message("mine", "m1", said("y" * 900)).message.content == "y" * 900


def test_put_races_with_appends_and_puts_without_loss(
    real_conversations: ConversationRepository, real_redis: Redis
) -> None:
    real_conversations.create(new("mine"))
    for number in range(4):
        real_conversations.append_message("mine", said("x", messageId=f"m{number}"))

    def put(writer: int) -> None:
        for number in range(40):
            real_conversations.put_message("mine", f"m{number % 4}", said(f"{writer}:{number}"))

    def append(writer: int) -> None:
        for number in range(40):
            real_conversations.append_message("mine", said(f"{writer}:{number}"))

    run_together(*(partial(put, one) for one in range(3)), partial(append, 3), partial(append, 4))

    found = real_conversations.get("mine")
    assert found.message_count == 84
    assert [one.message_id for one in found.messages[:4]] == ["m0", "m1", "m2", "m3"]
    assert {one.content.split(":")[1] for one in found.messages[:4]} == {"36", "37", "38", "39"}
    assert message_bytes(real_redis) == sum(map(len, found.messages_json))


def test_put_races_with_a_delete_without_leftovers(
    real_conversations: ConversationRepository, real_redis: Redis
) -> None:
    def put() -> None:
        try:
            for number in range(30):
                real_conversations.put_message("mine", f"m{number % 3}", said(str(number)))
        except ConversationNotFoundError:
            pass

    for _ in range(20):
        real_conversations.create(new("mine"))
        run_together(put, put, partial(real_conversations.delete, "mine"))
        assert real_redis.keys() == []


def test_only_one_of_two_puts_under_the_same_tag_wins(
    real_conversations: ConversationRepository,
) -> None:
    real_conversations.create(new("mine"))
    tag = real_conversations.put_message("mine", "m1", said("first")).tag
    outcomes: list[str] = []

    def put(text: str) -> None:
        try:
            real_conversations.put_message("mine", "m1", said(text), if_tag=[tag])
            outcomes.append("put")
        except PreconditionFailedError:
            outcomes.append("stale")

    run_together(*(partial(put, f"text {number}") for number in range(6)))

    assert sorted(outcomes) == ["put"] + ["stale"] * 5


def test_big_integers_and_order_come_back_as_they_were_put(
    conversations: ConversationRepository,
) -> None:
    tool_args = {"z": 12345678901234567, "a": [], "m": {"y": 10**30, "b": {}}, "e": [[]]}
    conversations.create(new("mine"))
    conversations.put_message("mine", "m1", said())

    conversations.put_message("mine", "m1", said(role="tool", toolArgs=tool_args))

    found = conversations.get_message("mine", "m1")
    assert json.dumps(tool_args, separators=(",", ":")).encode() in found.message_json
    assert found.message.tool_args == tool_args


def test_put_that_is_sent_again_finds_what_it_has_put(
    real_redis: Redis, real_conversations: ConversationRepository
) -> None:
    class SentTwice(StoreClient):
        def call(self, command: Callable[[Redis], object], **options: Any) -> object:  # type: ignore[override]  # of any type
            super().call(command, **options)
            return super().call(command, **options)

    real_conversations.create(new("mine"))
    tag = real_conversations.put_message("mine", "m1", said("first")).tag

    put = ConversationRepository(SentTwice(real_redis)).put_message(
        "mine", "m1", said("second"), if_tag=[tag]
    )

    assert put.message.content == "second"
