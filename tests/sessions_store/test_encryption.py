"""Sessions encrypted at rest: what is readable in Redis, and with which keys."""

import json

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from sessions_store.errors import KeyMissingError
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession
from tests.sessions_store.records import EVERYTHING, ID, KEY, session

BODY = {
    "sessionUrl": "wss://api.example.com/push?token=MARK",
    "sessionId": "sess-1",
    "metadata": {"from": "MARK"},
    "big": 12345678901234567890123,
    "empty": [],
}


def repository(store: StoreClient, *keys: str) -> SessionRepository:
    return SessionRepository(store, encryption_keys=keys)


def test_session_is_stored_as_plain_json_without_keys(store: StoreClient, raw_redis: Redis) -> None:
    repository(store).set(ID, AgentSession.from_registration(BODY))

    stored = json.loads(raw_redis.get(KEY))  # type: ignore[arg-type]  # bytes

    assert stored["sessionPayload"] == BODY
    assert stored["wsUrl"] == BODY["sessionUrl"]


def test_encrypted_record_shows_only_ids_and_times(store: StoreClient, raw_redis: Redis) -> None:
    repository(store, Fernet.generate_key().decode()).set(ID, AgentSession.from_registration(BODY))

    raw = raw_redis.get(KEY)

    assert isinstance(raw, bytes)
    assert b"MARK" not in raw
    assert json.loads(raw).keys() == {
        "conversationId",
        "createdAt",
        "ttl",
        "sessionId",
        "schemaVersion",
        "encrypted",
    }


def test_encrypted_session_is_returned_unchanged(store: StoreClient) -> None:
    sessions = repository(store, Fernet.generate_key().decode())
    sessions.set(ID, AgentSession.from_registration(BODY))

    found = sessions.get(ID)

    assert found is not None
    assert found.session_payload == BODY
    assert list(found.session_payload) == list(BODY)
    assert found.ws_url == BODY["sessionUrl"]
    assert found.metadata == BODY["metadata"]


def test_old_key_reads_and_new_key_writes_after_rotation(
    store: StoreClient, raw_redis: Redis
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    repository(store, old).set(ID, AgentSession.from_registration(BODY))
    rotated = repository(store, new, old)

    found = rotated.get(ID)
    assert found is not None
    assert found.ws_url == BODY["sessionUrl"]
    rotated.set(ID, AgentSession.from_registration(BODY))

    assert repository(store, new).get(ID) is not None
    with pytest.raises(KeyMissingError, match="key that SESSION_ENCRYPTION_KEYS does not have"):
        repository(store, old).get(ID)


def test_plain_session_is_readable_after_keys_are_configured(store: StoreClient) -> None:
    repository(store).set(ID, AgentSession.from_registration(BODY))

    found = repository(store, Fernet.generate_key().decode()).get(ID)

    assert found is not None
    assert found.session_payload == BODY
    assert found.ws_url == BODY["sessionUrl"]


def test_encrypted_session_is_deleted_by_its_id(store: StoreClient) -> None:
    sessions = repository(store, Fernet.generate_key().decode())
    sessions.set(ID, AgentSession.from_registration(BODY))

    assert not sessions.delete(ID, "another")
    assert sessions.delete(ID, "sess-1")


def test_invalid_encryption_key_is_refused(store: StoreClient) -> None:
    with pytest.raises(ValueError, match="Fernet key"):
        repository(store, "not-a-key")


def test_encrypted_record_hides_credentials_and_keeps_every_field(
    store: StoreClient, raw_redis: Redis
) -> None:
    sessions = repository(store, Fernet.generate_key().decode())

    stored = sessions.set(ID, AgentSession.from_registration(EVERYTHING))

    raw = raw_redis.get(KEY)
    assert isinstance(raw, bytes)
    assert b"wss" not in raw
    assert b"token" not in raw
    assert b"tags" not in raw
    assert json.loads(raw)["sessionId"] == "conv_1"
    found = sessions.get(ID)
    assert found is not None
    assert found.model_copy(update={"expires_in_seconds": None}) == stored
    assert sessions.delete(ID, "conv_1")


@pytest.mark.parametrize("keys", [[], [Fernet.generate_key().decode()]], ids=["none", "another"])
def test_error_says_that_the_encryption_key_is_missing(store: StoreClient, keys: list[str]) -> None:
    encrypting = repository(store, Fernet.generate_key().decode())
    encrypting.set(ID, session())

    with pytest.raises(KeyMissingError, match="encrypted with a key"):
        repository(store, *keys).get(ID)
