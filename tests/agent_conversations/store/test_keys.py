"""The keys that other services and operators rely on."""

import pytest
from redis.crc import key_slot

from agent_conversations.store import keys
from sessions_store.keys import alias_key, changes_channel, push_key, push_queue_key, session_key

IDS = ["agent-1795423973269-5iwhvn2en0a", "a", "conv_01.x", "A" * 128]


def test_record_keys_are_the_documented_ones() -> None:
    assert session_key("x-1") == "elevenlabs:session:x-1"
    assert keys.conversation_key("x-1") == "elevenlabs:conversation:x-1"
    assert keys.messages_key("x-1") == "{elevenlabs:conversation:x-1}:messages"
    assert keys.record_keys("x-1")[:2] == [keys.conversation_key("x-1"), keys.messages_key("x-1")]
    others = [*keys.record_keys("x-1")[1:], push_key("x-1", "p"), push_queue_key("x-1", "s")]
    assert all(key.startswith("{elevenlabs:conversation:x-1}:") for key in others)
    assert changes_channel("x-1") == "{elevenlabs:conversation:x-1}:changes"


def test_index_keys_are_the_documented_ones() -> None:
    assert keys.SORT_FIELDS == ("createdAt", "lastAccessedAt", "messageCount")
    assert keys.INDEX_KEYS == [
        "{elevenlabs:conversations}:createdAt",
        "{elevenlabs:conversations}:lastAccessedAt",
        "{elevenlabs:conversations}:messageCount",
    ]


def test_index_keys_of_owners_are_the_documented_ones() -> None:
    start = "{elevenlabs:conversations}"

    assert keys.index_keys("a", None)[0] == f"{start}:agentId:a:createdAt"
    assert keys.index_keys(None, "u")[1] == f"{start}:userId:u:lastAccessedAt"
    assert keys.index_keys("ä", "u")[2] == f"{start}:both:2:ä:u:messageCount"
    assert keys.index_keys(None, None) == keys.INDEX_KEYS


def test_ids_with_colons_have_keys_of_their_own() -> None:
    ids = [None, "a", "b", "a:b", "a:userId:b", "b:createdAt", "1:a"]
    built = [key for one in ids for other in ids for key in keys.index_keys(one, other)]

    assert len(set(built)) == len(built)


@pytest.mark.parametrize("conversation_id", IDS)
def test_keys_of_a_conversation_share_one_slot(
    conversation_id: str,
) -> None:
    pushed = [push_key(conversation_id, "{p}"), push_queue_key(conversation_id, "}{")]
    built = [*keys.record_keys(conversation_id), *pushed]
    slots = {key_slot(key.encode()) for key in built}

    assert slots == {key_slot(f"elevenlabs:conversation:{conversation_id}".encode())}


def test_index_keys_share_one_slot() -> None:
    listed = [*keys.INDEX_KEYS, *keys.index_keys("}{a", "{u}"), keys.idempotency_key("digest")]

    assert {key_slot(key.encode()) for key in listed} == {key_slot(b"elevenlabs:conversations")}


def test_shards_have_slots_of_their_own() -> None:
    tags = keys.index_tags(4)
    shards = [[*keys.INDEX_KEYS], *(keys.index_keys("}{a", "{u}", tag) for tag in tags)]
    slots = [{key_slot(key.encode()) for key in shard} for shard in shards]

    assert keys.index_keys(None, None, tags[3])[0] == "{elevenlabs:conversations:3/4}:createdAt"
    assert all(len(one) == 1 for one in slots)
    assert len(set.union(*slots)) == 5
    assert keys.index_tags(1) == ["{elevenlabs:conversations}"]


@pytest.mark.parametrize("shards", [1, 4])
def test_keys_of_the_index_are_told_from_others(shards: int) -> None:
    tag = keys.index_tags(shards)[-1]
    odd = "0/4}:userId:\n{"

    assert keys.tag_and_owner(f"{tag}:createdAt") == (tag, "")
    assert keys.tag_and_owner(keys.index_keys(odd, None, tag)[1]) == (tag, f"agentId:{odd}:")
    for other in (keys.idempotency_key("createdAt"), alias_key("messageCount"), "createdAt"):
        assert keys.tag_and_owner(other) is None


def test_two_conversations_share_no_key() -> None:
    one, other = keys.record_keys("one"), keys.record_keys("one2")

    assert not set(one) & set(other)
    assert len(set(one)) == len(one)


def test_no_key_belongs_to_the_note_taking_service() -> None:
    built = [*keys.record_keys("x"), *keys.INDEX_KEYS, keys.idempotency_key("d"), session_key("x")]

    assert not [key for key in built if key.strip("{").startswith("cursor:")]
