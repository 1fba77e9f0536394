"""Sessions at rest: what is readable in Redis, and by whom."""

import json

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from sessions_store.errors import CorruptRecordError
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession

ID = "conversation-1"
BODY = {
    "sessionUrl": "wss://api.example.com/push?token=MARK",
    "sessionId": "sess-1",
    "metadata": {"from": "MARK"},
    "big": 12345678901234567890123,
    "empty": [],
}


def repository(store: StoreClient, *keys: str) -> SessionRepository:
    return SessionRepository(store, encryption_keys=keys)


def test_without_keys_a_session_is_plain_json_for_other_services(
    store: StoreClient, raw_redis: Redis
) -> None:
    repository(store).set(ID, AgentSession.from_registration(BODY))

    stored = json.loads(raw_redis.get(f"elevenlabs:session:{ID}"))  # type: ignore[arg-type]  # bytes

    assert stored["sessionPayload"] == BODY
    assert stored["wsUrl"] == BODY["sessionUrl"]


def test_with_a_key_nothing_of_the_client_is_readable_in_redis_but_ids_and_times(
    store: StoreClient, raw_redis: Redis
) -> None:
    repository(store, Fernet.generate_key().decode()).set(ID, AgentSession.from_registration(BODY))

    raw = raw_redis.get(f"elevenlabs:session:{ID}")

    assert isinstance(raw, bytes)
    assert b"MARK" not in raw
    assert json.loads(raw).keys() == {
        "createdAt",
        "ttl",
        "sessionId",
        "schemaVersion",
        "encrypted",
    }


def test_what_was_encrypted_comes_back_as_it_went_in(store: StoreClient) -> None:
    sessions = repository(store, Fernet.generate_key().decode())
    sessions.set(ID, AgentSession.from_registration(BODY))

    session = sessions.get(ID)

    assert session is not None
    assert session.session_payload == BODY
    assert list(session.session_payload) == list(BODY)
    assert session.ws_url == BODY["sessionUrl"]
    assert session.metadata == BODY["metadata"]


def test_after_a_rotation_the_old_key_still_reads_and_the_new_one_writes(
    store: StoreClient, raw_redis: Redis
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    repository(store, old).set(ID, AgentSession.from_registration(BODY))
    rotated = repository(store, new, old)

    assert rotated.get(ID) is not None
    rotated.set(ID, AgentSession.from_registration(BODY))

    assert repository(store, new).get(ID) is not None
    with pytest.raises(CorruptRecordError, match="key that this service does not have"):
        repository(store, old).get(ID)


def test_a_plain_session_is_still_read_once_keys_are_set(store: StoreClient) -> None:
    repository(store).set(ID, AgentSession.from_registration(BODY))

    session = repository(store, Fernet.generate_key().decode()).get(ID)

    assert session is not None
    assert session.session_payload == BODY


def test_an_encrypted_session_without_keys_is_told_as_such(store: StoreClient) -> None:
    repository(store, Fernet.generate_key().decode()).set(ID, AgentSession.from_registration(BODY))

    with pytest.raises(CorruptRecordError, match="encrypted"):
        repository(store).get(ID)


def test_an_encrypted_session_is_deleted_by_its_id(store: StoreClient) -> None:
    sessions = repository(store, Fernet.generate_key().decode())
    sessions.set(ID, AgentSession.from_registration(BODY))

    assert not sessions.delete(ID, "another")
    assert sessions.delete(ID, "sess-1")


def test_a_word_that_is_no_key_is_refused(store: StoreClient) -> None:
    with pytest.raises(ValueError, match="Fernet key"):
        repository(store, "not-a-key")
