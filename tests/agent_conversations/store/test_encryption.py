"""Conversations encrypted at rest; what else they do is tested with keys in each other module."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from agent_conversations.errors import (
    ConversationExistsError,
    MessageConflictError,
    PreconditionFailedError,
)
from agent_conversations.store import keys
from agent_conversations.store.encryption import PLAIN
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.transcripts import transcript_of
from agent_conversations.types import ConversationChanges
from sessions_store.errors import CorruptRecordError, KeyMissingError
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from tests.agent_conversations.store.records import contents, new, said, write_legacy

KEY, NEW_KEY = (Fernet.generate_key().decode() for _ in range(2))
WORD = "confidential"


@pytest.fixture
def plain(store: StoreClient) -> ConversationRepository:
    return ConversationRepository(store)


@pytest.fixture
def encrypted(store: StoreClient) -> ConversationRepository:
    return ConversationRepository(store, encryption_keys=[KEY])


def everything(redis: Any) -> Iterator[bytes]:
    """Yield all that the keys of conversations and of the index hold."""
    for key in redis.scan_iter("*elevenlabs:conversation*"):
        match redis.type(key):
            case b"hash":
                yield from redis.hgetall(key).values()
            case b"list":
                yield from redis.lrange(key, 0, -1)
            case b"string":
                yield redis.get(key)
            case b"zset":
                yield from redis.zrange(key, 0, -1)


def test_no_word_of_a_conversation_stands_in_redis(
    encrypted: ConversationRepository, raw_redis: Redis
) -> None:
    metadata = {"note": WORD}
    created = encrypted.create(new("c", agent_id="a-1", user_id="u-1", metadata=metadata))
    tool: dict[str, Any] = {"role": "tool", "toolName": WORD, "toolArgs": {"q": WORD}}
    encrypted.append_message("c", said(WORD, messageId="m1"))
    encrypted.append_messages("c", [said("", toolOutput=WORD, **tool), said(originalContent=WORD)])
    encrypted.put_message("c", "m1", said(f"{WORD} too"))
    encrypted.put_message("c", "m2", said(WORD))
    encrypted.update("c", ConversationChanges(metadata={WORD: 1}))
    turns = [{"role": "user", "message": f"{WORD} {number}"} for number in range(3)]
    data = {"analysis": {"transcript_summary": WORD}, "transcript": turns, "metadata": {}}
    encrypted.merge_transcript("c", transcript_of(data, "conv_1", 1_000))
    write_legacy(raw_redis, {"createdAt": 1, "messages": [{"role": "user", "content": WORD}]})
    encrypted.get("older")

    stored = [*everything(raw_redis)]

    assert len(stored) > 20
    assert [raw for raw in stored if WORD.encode() in raw] == []
    content = json_codec.canonical({"agentId": "a-1", "userId": "u-1", "metadata": metadata})
    digest = hashlib.sha256(content).hexdigest()[:32]
    assert created.conversation.request_digest == digest
    assert digest.encode() not in stored
    record = raw_redis.hgetall(keys.conversation_key("c"))
    assert (record[b"agentId"], record[b"userId"]) == (b"a-1", b"u-1")
    assert encrypted.get("c").message_count == 7
    assert contents(encrypted.get("older")) == [WORD]


def test_plain_and_encrypted_messages_mix_in_a_conversation(
    plain: ConversationRepository, encrypted: ConversationRepository
) -> None:
    plain.create(new("c", metadata={"a": 1}))
    plain.append_messages("c", [said("1", messageId="m1"), said("2", messageId="m2")])
    encrypted.append_message("c", said("3", messageId="m3"))
    encrypted.put_message("c", "m2", said("two"))

    for number, text in enumerate(("1", "two", "3"), start=1):
        one = said(text, messageId=f"m{number}")
        assert encrypted.append_message("c", one).replayed
        with pytest.raises(MessageConflictError):
            encrypted.append_message("c", said("other", messageId=f"m{number}"))
    both = encrypted.append_messages("c", [one, said("4")])
    assert [appended.replayed for appended in both] == [True, False]
    assert contents(encrypted.get("c")) == ["1", "two", "3", "4"]
    pages = encrypted.list_messages("c", limit=2), encrypted.list_messages("c", order="desc")
    assert [[one.content for one in page.messages] for page in pages] == [
        ["1", "two"],
        ["4", "3", "two", "1"],
    ]
    (listed,) = encrypted.list(message_limit=3).conversations
    assert (contents(listed), listed.metadata) == (["two", "3", "4"], {"a": 1})
    part = encrypted.find_part("c", first=3, positions=[1])
    assert part is not None
    assert b'"two"' in part.single[1]
    ConversationMaintenance(encrypted).verify("c")


def test_creation_is_repeated_under_another_first_key(store: StoreClient) -> None:
    conversation = new("c", metadata={"a": 1})
    for order in ([], [KEY], [NEW_KEY, KEY], [PLAIN, NEW_KEY, KEY]):
        conversations = ConversationRepository(store, encryption_keys=order)

        assert conversations.create(conversation).replayed is (order != [])
        with pytest.raises(ConversationExistsError):
            conversations.create(new("c", metadata={"a": 2}))
        # It was created plain, and then encrypted.
        if order == [KEY]:
            ConversationMaintenance(conversations).reencrypt("c")


def stored(redis: Redis) -> tuple[object, object]:
    """Return the record and messages of ``c``, but for its last access."""
    record = redis.hgetall(keys.conversation_key("c"))
    return {**record, b"lastAccessedAt": b""}, redis.lrange(keys.messages_key("c"), 0, -1)


WITHOUT_KEY = [([], "has no key"), ([NEW_KEY], "does not have")]


@pytest.mark.parametrize(("encryption_keys", "reason"), WITHOUT_KEY)
def test_conversation_without_its_key_is_told_and_unchanged(
    encrypted: ConversationRepository,
    store: StoreClient,
    raw_redis: Redis,
    encryption_keys: list[str],
    reason: str,
) -> None:
    encrypted.create(new("c", metadata={"note": WORD}))
    encrypted.append_message("c", said(WORD, messageId="m1"))
    before = stored(raw_redis)
    reader = ConversationRepository(store, encryption_keys=encryption_keys)

    uses: list[Callable[[], object]] = [
        lambda: reader.get("c"),
        lambda: reader.update("c", ConversationChanges(agent_id="a", metadata={})),
        lambda: reader.list_messages("c"),
        lambda: reader.get_message("c", "m1"),
        lambda: reader.put_message("c", "m1", said()),
        lambda: reader.append_message("c", said(messageId="m1")),
        lambda: reader.find_part("c"),
        lambda: reader.create(new("c")),
        lambda: ConversationMaintenance(reader).verify("c"),
        lambda: ConversationMaintenance(reader).repair("c"),
    ]
    for use in uses:
        with pytest.raises(KeyMissingError, match=f"CONVERSATION_ENCRYPTION_KEYS {reason}"):
            use()

    assert stored(raw_redis) == before
    reader.delete("c")
    assert not reader.exists("c")


@pytest.mark.parametrize(("encryption_keys", "reason"), WITHOUT_KEY)
def test_list_skips_and_reports_what_it_has_no_key_for(
    real_store: StoreClient,
    log: pytest.LogCaptureFixture,
    encryption_keys: list[str],
    reason: str,
) -> None:
    encrypted = ConversationRepository(real_store, encryption_keys=[KEY])
    encrypted.create(new("c"))
    encrypted.append_message("c", said(WORD))

    page = ConversationRepository(real_store, encryption_keys=encryption_keys).list()

    assert (page.total, page.conversations) == (1, [])
    assert f"CONVERSATION_ENCRYPTION_KEYS {reason}" in log.text
    assert WORD not in log.text


def test_what_was_added_under_another_key_is_readable_with_both(store: StoreClient) -> None:
    mine, late, both = (
        ConversationRepository(store, encryption_keys=order)
        for order in ([KEY], [NEW_KEY], [KEY, NEW_KEY])
    )
    mine.create(new("c", metadata={"a": 1}))
    mine.append_message("c", said("1"))
    late.append_message("c", said("2"))
    late.put_message("c", "m3", said("3"))
    with pytest.raises(CorruptRecordError, match="does not have"):
        mine.get("c")

    assert contents(both.get("c")) == ["1", "2", "3"]
    ConversationMaintenance(both).reencrypt("c")
    assert contents(mine.get("c")) == ["1", "2", "3"]


def test_process_without_keys_appends_nothing_to_what_is_encrypted(
    encrypted: ConversationRepository, plain: ConversationRepository
) -> None:
    plain.create(new("c"))
    plain.append_message("c", said("plain"))
    encrypted.append_message("c", said("encrypted"))

    with pytest.raises(CorruptRecordError, match="has no key"):
        plain.append_message("c", said("lost"))

    assert contents(encrypted.get("c")) == ["plain", "encrypted"]


def test_plain_in_place_of_the_first_key_only_decrypts(
    encrypted: ConversationRepository, store: StoreClient, raw_redis: Redis
) -> None:
    encrypted.create(new("c"))
    encrypted.append_message("c", said("1", messageId="m1"))
    decrypting = ConversationRepository(store, encryption_keys=[PLAIN, KEY])

    assert decrypting.append_message("c", said("1", messageId="m1")).replayed
    decrypting.append_message("c", said("2"))
    decrypting.create(new("later", metadata={"note": WORD}))

    assert contents(decrypting.get("c")) == contents(encrypted.get("c")) == ["1", "2"]
    assert b'"2"' in raw_redis.lrange(keys.messages_key("c"), 1, 1)[0]
    assert raw_redis.hget(keys.conversation_key("later"), "schemaVersion") == b"1"


def test_without_keys_everything_is_stored_as_it_was(
    plain: ConversationRepository, raw_redis: Redis
) -> None:
    plain.create(new("c", metadata={"a": [1]}))
    plain.append_message("c", said("1", messageId="m1"))
    plain.put_message("c", "m1", said("2"))

    record = raw_redis.hgetall(keys.conversation_key("c"))

    assert record[b"schemaVersion"] == b"1"
    assert record[b"metadata"] == b'{"a":[1]}'
    assert raw_redis.lrange(keys.messages_key("c"), 0, -1) == plain.get("c").messages_json


def test_update_writes_nothing_where_a_message_has_no_key(
    encrypted: ConversationRepository, store: StoreClient, raw_redis: Redis
) -> None:
    encrypted.create(new("c", metadata={"note": WORD}))
    ConversationRepository(store, encryption_keys=[NEW_KEY]).append_message("c", said(WORD))
    before = stored(raw_redis)

    with pytest.raises(KeyMissingError, match="does not have"):
        encrypted.update("c", ConversationChanges(agent_id="a", metadata={"a": 1}))

    assert stored(raw_redis) == before


@pytest.mark.parametrize("order", [[KEY], [PLAIN, KEY]], ids=["encrypting", "decrypting"])
def test_update_keeps_what_others_append_meanwhile(
    interrupted_store: Callable[[Callable[[], object]], StoreClient],
    encrypted: ConversationRepository,
    order: list[str],
) -> None:
    tag = encrypted.create(new("c", agent_id="a")).conversation.revision
    encrypted.append_message("c", said("1"))
    interrupted = interrupted_store(lambda: encrypted.append_message("c", said("2")))
    late = ConversationRepository(interrupted, encryption_keys=order)

    changed = late.update("c", ConversationChanges(metadata={"note": WORD}))

    assert (changed.agent_id, changed.metadata) == ("a", {"note": WORD})
    assert contents(changed) == contents(encrypted.get("c")) == ["1", "2"]
    assert changed.revision == encrypted.get("c").revision
    with pytest.raises(PreconditionFailedError):
        late.update("c", ConversationChanges(agent_id="b"), if_revision=[tag])


@pytest.mark.parametrize("order", [[KEY], [PLAIN, KEY]], ids=["encrypting", "decrypting"])
def test_put_sees_what_another_put_meanwhile(
    interrupted_store: Callable[[Callable[[], object]], StoreClient],
    encrypted: ConversationRepository,
    store: StoreClient,
    order: list[str],
) -> None:
    encrypted.create(new("c"))
    tag = encrypted.put_message("c", "m1", said("first")).tag
    other = ConversationRepository(store, encryption_keys=order)
    interrupted = interrupted_store(lambda: other.put_message("c", "m1", said("second")))
    late = ConversationRepository(interrupted, encryption_keys=order)

    with pytest.raises(PreconditionFailedError):
        late.put_message("c", "m1", said("third"), if_tag=[tag])

    assert contents(encrypted.get("c")) == ["second"]


def test_encrypted_write_that_is_sent_again_counts_once(real_redis: Redis) -> None:
    class SentTwice(StoreClient):
        def call(self, command: Callable[[Redis], object], **options: Any) -> object:  # type: ignore[override]  # of any type
            super().call(command, **options)
            return super().call(command, **options)

    conversations = ConversationRepository(SentTwice(real_redis), encryption_keys=[KEY])

    assert not conversations.create(new("c", metadata={"a": 1})).replayed
    assert not conversations.append_message("c", said("1")).replayed
    tag = conversations.put_message("c", "m", said("first")).tag
    put = conversations.put_message("c", "m", said("second"), if_tag=[tag])
    assert put.message.content == "second"
    assert contents(conversations.get("c")) == ["1", "second"]


def test_batch_that_is_stored_in_part_outlasts_reencryptions(real_redis: Redis) -> None:
    class Interrupted(StoreClient):
        def call(self, command: Callable[[Redis], object], **options: Any) -> object:  # type: ignore[override]  # of any type
            found = super().call(command, **options)
            if orders:
                others = ConversationRepository(
                    StoreClient(real_redis), encryption_keys=orders.pop()
                )
                ConversationMaintenance(others).reencrypt("c")
            return found

    orders: list[list[str]] = []
    conversations = ConversationRepository(Interrupted(real_redis), encryption_keys=[KEY, NEW_KEY])
    conversations.create(new("c"))
    conversations.append_message("c", said("1", messageId="m1"))
    orders += [[KEY, NEW_KEY], [NEW_KEY, KEY]] * 2

    appended = conversations.append_messages("c", [said("1", messageId="m1"), said("2")])

    assert [one.replayed for one in appended] == [True, False]
    assert contents(conversations.get("c")) == ["1", "2"]


def test_put_of_the_same_message_changes_nothing(
    encrypted: ConversationRepository, raw_redis: Redis
) -> None:
    encrypted.create(new("c"))
    encrypted.put_message("c", "m1", said("same"))
    before = encrypted.get("c").revision, raw_redis.lrange(keys.messages_key("c"), 0, -1)

    put = encrypted.put_message("c", "m1", said("same"), if_tag=["*"])

    assert (put.appended, put.message.content) == (False, "same")
    assert (encrypted.get("c").revision, raw_redis.lrange(keys.messages_key("c"), 0, -1)) == before
