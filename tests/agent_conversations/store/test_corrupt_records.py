"""Records and messages that cannot be read."""

import logging
from collections.abc import Callable

import pytest
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges, SortOrder
from sessions_store.errors import CorruptRecordError
from tests.agent_conversations.store.records import (
    NOW,
    SORT_ORDERS,
    contents,
    new,
    said,
    write_legacy,
)

RECORD = keys.conversation_key("broken")
MESSAGES = keys.messages_key("broken")
IDS = keys.message_ids_key("broken")


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
    "messages lost": lambda redis: redis.delete(MESSAGES),
    "ids lost": lambda redis: redis.delete(IDS),
    "messages and ids lost": lambda redis: redis.delete(MESSAGES, IDS),
    "a message lost": lambda redis: redis.rpop(MESSAGES),
    "an id lost": lambda redis: redis.hdel(IDS, redis.hkeys(IDS)[0]),
    "ids a string": lambda redis: redis.set(IDS, "secret"),
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
def test_error_names_a_corrupt_record_without_its_content(
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
) -> None:
    for use in (conversations.get, maintenance.verify):
        with pytest.raises(CorruptRecordError) as refusal:
            use("broken")
        assert "broken" in str(refusal.value)
        assert "secret" not in str(refusal.value)


@pytest.mark.usefixtures("broken")
def test_list_skips_and_reports_corrupt_records(
    conversations: ConversationRepository, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "agent_conversations"):
        page = conversations.list(sort_by="createdAt", sort_order="asc")

    assert [one.conversation_id for one in page.conversations] == ["a", "c"]
    assert page.total == 3
    assert "secret" not in caplog.text
    assert [getattr(record, "conversation_id", None) for record in caplog.records] == ["broken"]


@pytest.mark.usefixtures("broken")
def test_corrupt_record_can_be_deleted(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.delete("broken")

    assert [key for key in raw_redis.scan_iter() if b"broken" in key] == []
    assert conversations.list().total == 2


def test_message_truncated_after_a_brace_is_corrupt(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("broken"))
    conversations.append_message("broken", said("see {x} there"))
    raw_redis.lset(MESSAGES, 0, '{"role":"user","content":"see {x}')

    with pytest.raises(CorruptRecordError):
        conversations.get("broken")


@pytest.mark.parametrize("order", SORT_ORDERS)
@pytest.mark.parametrize("stored", ["", "secret", "[]", '{"role":"user","con', '{"role":"user"}'])
def test_corrupt_message_affects_only_its_own_page(
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


def test_message_with_an_unknown_role_fails_verification(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    conversations.create(new("broken"))
    conversations.append_message("broken", said(messageId="m1", timestamp=NOW))
    raw_redis.lset(
        MESSAGES, 0, f'{{"role":"x","content":"x","timestamp":"{NOW}","messageId":"m1"}}'
    )

    with pytest.raises(CorruptRecordError):
        maintenance.verify("broken")


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ([MESSAGES], "has 0 messages, but ids of 2"),
        ([IDS], "has 2 messages, but ids of 0"),
        ([MESSAGES, IDS], "has lost its messages"),
    ],
)
def test_lost_key_is_told_by_every_operation(
    conversations: ConversationRepository,
    maintenance: ConversationMaintenance,
    raw_redis: Redis,
    lost: list[str],
    reason: str,
) -> None:
    request = new("broken")
    conversations.create(request)
    for message_id in ("m1", "m2"):
        conversations.append_message("broken", said(messageId=message_id))
    raw_redis.delete(*lost)
    before = raw_redis.hgetall(RECORD)
    uses: list[Callable[[], object]] = [
        lambda: conversations.get("broken"),
        lambda: conversations.create(request),
        lambda: conversations.append_message("broken", said(messageId="m1")),
        lambda: conversations.append_messages("broken", [said(), said()]),
        lambda: conversations.put_message("broken", "m1", said()),
        lambda: conversations.get_message("broken", "m1"),
        lambda: conversations.list_messages("broken"),
        lambda: conversations.update("broken", ConversationChanges(agent_id="a")),
        lambda: maintenance.index("broken"),
        lambda: maintenance.verify("broken"),
    ]

    for use in uses:
        with pytest.raises(CorruptRecordError) as refusal:
            use()
        assert refusal.value.reason == reason
    assert raw_redis.hgetall(RECORD) == before
    assert list(conversations.list().conversations) == []


def test_message_id_that_leads_to_another_message_fails_verification(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    conversations.create(new("broken"))
    conversations.append_messages("broken", [said(messageId="m1"), said(messageId="m2")])
    raw_redis.hset(IDS, "m2", "0")

    with pytest.raises(CorruptRecordError):
        maintenance.verify("broken")


def test_messages_of_a_legacy_record_may_share_an_id(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    messages = [{"role": "user", "content": text, "messageId": "m1"} for text in ("a", "b")]
    write_legacy(raw_redis, {"createdAt": NOW, "messages": messages}, "broken")

    conversations.append_message("broken", said("c"))

    assert contents(conversations.get("broken")) == ["a", "b", "c"]
    maintenance.verify("broken")
