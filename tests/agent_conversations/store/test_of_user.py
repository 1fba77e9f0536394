"""A repository of one user's conversations, for which others' are as if there were none."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationNotFoundError,
    OtherUserError,
)
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.transcripts import transcript_of
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.errors import CorruptRecordError, PushNotFoundError
from sessions_store.pushes import PushRepository
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession
from tests.agent_conversations.store.records import said

Act = Callable[[ConversationRepository, str], Any]

TRANSCRIPT = transcript_of({"transcript": [{"role": "user", "message": "Hello"}]}, "conv_1", 1_000)

ON_ONE: dict[str, Act] = {
    "get": lambda repository, one: repository.get(one),
    "get_newest": lambda repository, one: repository.get_newest(one, message_limit=1),
    "append_message": lambda repository, one: repository.append_message(one, said("New")),
    "repeat_message": lambda repository, one: repository.append_message(one, first_message()),
    "append_messages": lambda repository, one: repository.append_messages(one, [first_message()]),
    "put_message": lambda repository, one: repository.put_message(one, "m-1", first_message()),
    "merge_transcript": lambda repository, one: repository.merge_transcript(one, TRANSCRIPT),
    "get_message": lambda repository, one: repository.get_message(one, "m-1"),
    "get_no_message": lambda repository, one: repository.get_message(one, "m-9"),
    "list_messages": lambda repository, one: repository.list_messages(one),
    "update": lambda repository, one: repository.update(one, ConversationChanges(agent_id="a")),
    "update_stale": lambda repository, one: repository.update(
        one, ConversationChanges(agent_id="a"), if_revision=["0"]
    ),
    "delete": lambda repository, one: repository.delete(one),
    "delete_stale": lambda repository, one: repository.delete(one, if_revision=["0"]),
    "check_owner": lambda repository, one: repository.check_owner(one),
}


def first_message() -> AgentMessage:
    return said("Hello", messageId="m-1")


@pytest.fixture
def adas(conversations: ConversationRepository) -> ConversationRepository:
    """What Ada's clients have; there is a conversation of hers and one of Bob's."""
    for name in ("ada", "bob"):
        conversations.create(NewConversation(conversation_id=f"{name}-1", user_id=name))
        conversations.append_message(f"{name}-1", first_message())
    return conversations.of_user("ada")


def state(conversations: ConversationRepository) -> list[tuple[str, str, int]]:
    return [
        (one.conversation_id, one.revision, one.last_accessed_at_ms)
        for one in conversations.list(sort_by="createdAt").conversations
    ]


@pytest.mark.parametrize("name", ON_ONE)
def test_conversation_of_another_user_is_as_none(
    conversations: ConversationRepository, adas: ConversationRepository, name: str
) -> None:
    before = state(conversations)

    for one in ("bob-1", "unknown"):
        with pytest.raises(ConversationNotFoundError):
            ON_ONE[name](adas, one)

    assert state(conversations) == before


@pytest.mark.parametrize("name", [one for one in ON_ONE if "stale" not in one and "no_" not in one])
def test_own_conversation_is_read_and_written(adas: ConversationRepository, name: str) -> None:
    ON_ONE[name](adas, "ada-1")


def test_viewer_gets_no_part_of_anothers_conversation(adas: ConversationRepository) -> None:
    assert adas.find_part("bob-1") is None
    assert adas.find_part("ada-1") is not None


def test_conversation_without_a_user_is_nobodys(
    conversations: ConversationRepository, adas: ConversationRepository
) -> None:
    conversations.create(NewConversation(conversation_id="c-1"))

    with pytest.raises(ConversationNotFoundError):
        adas.get("c-1")


def test_list_has_own_conversations_only(adas: ConversationRepository) -> None:
    page = adas.list()

    assert [one.conversation_id for one in page.conversations] == ["ada-1"]
    assert page.total == 1
    assert adas.list(user_id="ada").total == 1
    with pytest.raises(OtherUserError):
        adas.list(user_id="bob")


def test_conversation_is_made_for_the_one_user(adas: ConversationRepository) -> None:
    made = adas.create(NewConversation(agent_id="a-1")).conversation
    also = adas.create(NewConversation(user_id="ada")).conversation

    assert (made.user_id, also.user_id) == ("ada", "ada")
    with pytest.raises(OtherUserError):
        adas.create(NewConversation(user_id="bob"))


@pytest.mark.parametrize("fields", [{}, {"user_id": "bob"}, {"metadata": {"secret": 1}}])
def test_id_of_another_user_is_taken(
    conversations: ConversationRepository, adas: ConversationRepository, fields: dict[str, Any]
) -> None:
    before = state(conversations)
    fields.pop("user_id", None)

    with pytest.raises(ConversationExistsError, match="The conversation bob-1 exists already"):
        adas.create(NewConversation(conversation_id="bob-1", **fields))

    assert state(conversations) == before


def test_creation_is_not_repeated_for_who_lost_it(
    conversations: ConversationRepository, adas: ConversationRepository
) -> None:
    new = NewConversation(conversation_id="c-1")
    adas.create(new)
    assert adas.create(new).replayed
    conversations.update("c-1", ConversationChanges(user_id="bob"))

    with pytest.raises(ConversationExistsError):
        adas.create(new)


def test_users_may_have_the_same_idempotency_key(conversations: ConversationRepository) -> None:
    users = [conversations, conversations.of_user("ada"), conversations.of_user("bob")]

    made = [one.create(idempotency_key="key").conversation.conversation_id for one in users]
    repeated = [one.create(idempotency_key="key") for one in users]

    assert len(set(made)) == 3
    assert [one.conversation.conversation_id for one in repeated] == made
    assert all(one.replayed for one in repeated)


@pytest.mark.parametrize("user_id", [None, "bob"])
def test_conversation_stays_with_its_user(
    conversations: ConversationRepository, adas: ConversationRepository, user_id: str | None
) -> None:
    with pytest.raises(OtherUserError):
        adas.update("ada-1", ConversationChanges(user_id=user_id))

    assert adas.update("ada-1", ConversationChanges(user_id="ada")).user_id == "ada"


def legacy_record(**fields: Any) -> str:
    times = {"createdAt": "2026-01-01T00:00:00.000Z", "lastAccessedAt": "2026-01-01T00:00:00.000Z"}
    return json.dumps({"conversationId": "old-1", "messages": [], **times, **fields})


@pytest.mark.parametrize("name", ["get", "append_message", "check_owner", "delete"])
def test_legacy_record_is_its_users_too(
    raw_redis: Redis, adas: ConversationRepository, name: str
) -> None:
    raw_redis.set("elevenlabs:conversation:old-1", legacy_record(userId="ada"))
    for other in (legacy_record(userId="bob"), legacy_record(), "no record", "{}"):
        raw_redis.set("elevenlabs:conversation:old-2", other)
        with pytest.raises(ConversationNotFoundError):
            ON_ONE[name](adas, "old-2")
        assert raw_redis.exists("elevenlabs:conversation:old-2")
        raw_redis.delete("elevenlabs:conversation:old-2")

    ON_ONE[name](adas, "old-1")


def test_record_of_another_type_is_as_none(raw_redis: Redis, adas: ConversationRepository) -> None:
    raw_redis.rpush("elevenlabs:conversation:list-1", "x")

    for name, act in ON_ONE.items():
        if name != "check_owner":
            with pytest.raises(ConversationNotFoundError):
                act(adas, "list-1")


@pytest.mark.parametrize("name", ["get", "append_message", "put_message", "delete"])
def test_damage_is_told_to_the_owner_alone(
    raw_redis: Redis, adas: ConversationRepository, name: str
) -> None:
    raw_redis.delete("{elevenlabs:conversation:bob-1}:messages")

    with pytest.raises(ConversationNotFoundError):
        ON_ONE[name](adas, "bob-1")


@pytest.mark.parametrize("name", ["get", "get_newest", "list_messages", "put_message", "update"])
@pytest.mark.parametrize("keys", [[], [Fernet.generate_key().decode()]], ids=["none", "other"])
def test_missing_key_is_told_to_the_owner_alone(
    real_store: StoreClient, name: str, keys: list[str]
) -> None:
    own = [Fernet.generate_key().decode()]
    encrypted = ConversationRepository(real_store, encryption_keys=own)
    for user in ("ada", "bob"):
        encrypted.create(NewConversation(conversation_id=f"{user}-1", user_id=user))
        encrypted.append_message(f"{user}-1", first_message())
    adas = ConversationRepository(real_store, encryption_keys=keys).of_user("ada")

    with pytest.raises(CorruptRecordError, match="CONVERSATION_ENCRYPTION_KEYS"):
        ON_ONE[name](adas, "ada-1")
    with pytest.raises(ConversationNotFoundError):
        ON_ONE[name](adas, "bob-1")
    assert (adas.list().total, adas.list().conversations) == (1, [])


def test_long_conversation_is_not_read_after_it_changed_hands(
    conversations: ConversationRepository,
    interrupted_store: Callable[[Callable[[], object]], StoreClient],
    encryption_keys: Sequence[str],
) -> None:
    conversations.create(NewConversation(conversation_id="c-1", user_id="ada"))
    for _ in range(3):
        conversations.append_message("c-1", said("x" * 400_000))
    assert len(conversations.of_user("ada").get("c-1").messages_json) == 3

    def hand_over() -> None:
        conversations.update("c-1", ConversationChanges(user_id="bob"))
        conversations.append_message("c-1", said("Bob's words"))

    interrupted = ConversationRepository(
        interrupted_store(hand_over), encryption_keys=encryption_keys
    )
    with pytest.raises(ConversationNotFoundError):
        interrupted.of_user("ada").get("c-1")


def session(session_id: str) -> AgentSession:
    return AgentSession.from_registration({"wsUrl": "wss://host/push", "sessionId": session_id})


@pytest.mark.parametrize("after_check", [False, True])
@pytest.mark.parametrize("session_id", [None, "s-1"])
def test_session_of_the_next_user_is_not_deleted(
    conversations: ConversationRepository,
    adas: ConversationRepository,
    sessions: SessionRepository,
    session_id: str | None,
    after_check: bool,
) -> None:
    sessions.set("ada-1", session("s-1"))

    def check(conversation_id: str) -> None:
        if after_check:
            adas.check_owner(conversation_id)
        conversations.update("ada-1", ConversationChanges(user_id="bob"))
        sessions.set("ada-1", session("s-1"))
        if not after_check:
            adas.check_owner(conversation_id)

    with pytest.raises(ConversationNotFoundError):
        sessions.checked(check).delete("ada-1", session_id)

    assert sessions.get("ada-1") is not None


def test_session_and_push_are_checked_after_they_are_read(
    conversations: ConversationRepository, adas: ConversationRepository, store: StoreClient
) -> None:
    sessions = SessionRepository(store)
    pushes = PushRepository(store, sessions)
    sessions.set("ada-1", session("s-1"))
    pushes.push("ada-1", "Done.", push_id="p-1")

    def check(conversation_id: str) -> None:
        conversations.update("ada-1", ConversationChanges(user_id="bob"))
        adas.check_owner(conversation_id)

    for act in (
        lambda: sessions.checked(check).get("ada-1"),
        lambda: pushes.checked(check).get("ada-1", "p-1"),
        lambda: pushes.checked(check).push("ada-1", "Again.", push_id="p-2"),
    ):
        conversations.update("ada-1", ConversationChanges(user_id="ada"))
        with pytest.raises(ConversationNotFoundError):
            act()
    with pytest.raises(PushNotFoundError):
        pushes.get("ada-1", "p-2")
