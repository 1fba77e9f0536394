"""Rewriting conversations under other keys, while others write to them."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.encryption import PLAIN
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.keys import changes_channel
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import contents, new, said, write_legacy

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
SETTINGS = {
    "encrypt": ([], [OLD], [OLD]),
    "rotate": ([OLD], [NEW, OLD], [NEW]),
    "decrypt": ([OLD], [PLAIN, OLD], []),
}
"""The keys before, those while it is done, and those that then are enough."""

every_setting = pytest.mark.parametrize("encryption", SETTINGS.values(), ids=[*SETTINGS])
Encryption = tuple[Sequence[str], Sequence[str], Sequence[str]]


def ignore(count: int) -> None:
    pass


def maintenance_of(store: StoreClient, encryption_keys: Sequence[str]) -> ConversationMaintenance:
    return ConversationMaintenance(ConversationRepository(store, encryption_keys=encryption_keys))


@every_setting
def test_everything_is_rewritten_and_reads_the_same(
    store: StoreClient, raw_redis: Redis, encryption: Encryption
) -> None:
    before, _, after = (ConversationRepository(store, encryption_keys=k) for k in encryption)
    during = maintenance_of(store, encryption[1])
    write_legacy(raw_redis)
    before.get("older")
    before.create(new("c", metadata={"a": [1]}))
    before.create(new("empty"))
    before.append_messages("c", [said(f"{n}", messageId=f"m{n}") for n in range(100)])
    before.append_messages("c", [said(f"{n}", messageId=f"m{n}") for n in range(100, 150)])
    tag = before.get_message("c", "m7").tag
    read = [part.conversation for name in ("c", "older") if (part := before.find_part(name))]

    first, second = during.reencrypt_all(ignore), during.reencrypt_all(ignore)

    assert (first.left, second.left, second.rewritten) == ({}, {}, 0)
    assert first.rewritten >= 153
    found = [part.conversation for name in ("c", "older") if (part := after.find_part(name))]
    assert [one.to_json() for one in found] == [one.to_json() for one in read]
    assert [one.revision for one in found] == [one.revision for one in read]
    assert after.get_message("c", "m7").tag == tag
    assert after.create(new("c", metadata={"a": [1]})).replayed
    stored = raw_redis.lrange(keys.messages_key("c"), 0, -1)
    assert raw_redis.hget(keys.conversation_key("c"), "messageBytes") == b"%d" % sum(
        map(len, stored)
    )
    for name in ("c", "older"):
        version = raw_redis.hget(keys.conversation_key(name), "schemaVersion")
        assert version == (b"2" if encryption[2] else b"1")


@every_setting
def test_nothing_is_lost_or_doubled_while_others_write(
    real_store: StoreClient, real_redis: Redis, encryption: Encryption
) -> None:
    before, during, after = (
        ConversationRepository(real_store, encryption_keys=one) for one in encryption
    )
    before.create(new("c"))
    for first in range(0, 1_000, 100):
        numbers = range(first, first + 100)
        before.append_messages("c", [said("old", messageId=f"old-{n}") for n in numbers])
    ended = threading.Event()
    written: list[str] = []
    faults: list[Exception] = []

    def write(number: int) -> None:
        count = 0
        while not ended.is_set():
            message_id = f"{number}-{count}"
            try:
                during.append_message("c", said(message_id, messageId=message_id))
                during.put_message("c", f"old-{(7 * count + number) % 1_000}", said("new"))
                during.update("c", ConversationChanges(metadata={"n": count}))
            except Exception as error:
                faults.append(error)
                return
            written.append(message_id)
            count += 1
            time.sleep(0.002)

    writers = [threading.Thread(target=write, args=[number]) for number in range(2)]
    for writer in writers:
        writer.start()
    maintenance = ConversationMaintenance(during)
    try:
        maintenance.reencrypt("c")
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    result = maintenance.reencrypt_all(ignore)

    assert (faults, result.left) == ([], {})
    assert maintenance.reencrypt_all(ignore).rewritten == 0
    found = after.get("c")
    ids = [message.message_id for message in found.messages]
    assert ids[:1_000] == [f"old-{number}" for number in range(1_000)]
    assert sorted(map(str, ids[1_000:])) == sorted(written)
    replaced = {(7 * int(one[2:]) + int(one[0])) % 1_000 for one in written}
    assert {n for n, text in enumerate(contents(found)[:1_000]) if text == "new"} == replaced
    ConversationMaintenance(after).verify("c")
    stored = real_redis.lrange(keys.messages_key("c"), 0, -1)
    assert found.message_bytes == sum(map(len, stored))


@every_setting
def test_long_conversation_is_rewritten_part_by_part(
    real_store: StoreClient, encryption: Encryption
) -> None:
    before, _, after = (
        ConversationRepository(real_store, encryption_keys=one) for one in encryption
    )
    during = maintenance_of(real_store, encryption[1])
    before.create(new("c"))
    for size in (400_000, 10, 900_000, 700_000, 10):
        before.append_message("c", said("x" * size))

    first, second = during.reencrypt_all(ignore), during.reencrypt_all(ignore)

    assert (first.rewritten, second.rewritten, first.left) == (6, 0, {})
    assert [len(text) for text in contents(after.get("c"))] == [400_000, 10, 900_000, 700_000, 10]


def test_viewers_are_not_told_of_a_rewriting(real_store: StoreClient, real_redis: Redis) -> None:
    ConversationRepository(real_store).create(new("c"))
    ConversationRepository(real_store).append_message("c", said())
    accessed = real_redis.hget(keys.conversation_key("c"), "lastAccessedAt")
    with real_redis.pubsub(ignore_subscribe_messages=True) as heard:  # type: ignore[no-untyped-call]  # redis-py's
        heard.subscribe(changes_channel("c"))
        heard.get_message(timeout=5)

        rewritten = maintenance_of(real_store, [NEW]).reencrypt("c")

        real_redis.publish(changes_channel("c"), "the end")
        assert rewritten.count == 2
        assert heard.get_message(timeout=5)["data"] == b"the end"
    assert real_redis.hget(keys.conversation_key("c"), "lastAccessedAt") == accessed


def test_message_put_in_between_is_kept(
    interrupted_store: Callable[[Callable[[], object]], StoreClient], store: StoreClient
) -> None:
    writer = ConversationRepository(store, encryption_keys=[OLD])
    writer.create(new("c"))
    writer.append_messages("c", [said("1", messageId="m1"), said("2", messageId="m2")])
    interrupted = interrupted_store(lambda: writer.put_message("c", "m1", said("one")))

    maintenance_of(interrupted, [NEW, OLD]).reencrypt("c")

    assert contents(ConversationRepository(store, encryption_keys=[NEW]).get("c")) == ["one", "2"]


def test_version_stays_where_somebody_encrypts_in_between(
    interrupted_store: Callable[[Callable[[], object]], StoreClient], store: StoreClient
) -> None:
    writer = ConversationRepository(store, encryption_keys=[OLD])
    ConversationRepository(store).create(new("c"))
    interrupted = interrupted_store(lambda: writer.append_message("c", said("1")))

    maintenance_of(interrupted, [PLAIN, OLD]).reencrypt("c")

    assert contents(ConversationRepository(store).get("c")) == ["1"]


def test_what_no_key_decrypts_is_left_and_told(real_store: StoreClient) -> None:
    for conversation_id, key in (("mine", OLD), ("foreign", NEW)):
        conversations = ConversationRepository(real_store, encryption_keys=[key])
        conversations.create(new(conversation_id))
        conversations.append_message(conversation_id, said())

    result = maintenance_of(real_store, [PLAIN, OLD]).reencrypt_all(ignore)

    assert result.left == {
        "foreign": "is encrypted with a key that CONVERSATION_ENCRYPTION_KEYS does not have"
    }
    assert (result.rewritten, result.conversations) == (2, 1)
    with pytest.raises(ValueError, match="encryption_keys"):
        maintenance_of(real_store, []).reencrypt("mine")
