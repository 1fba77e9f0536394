"""Sessions at rest: what is readable in Redis, and by whom."""

import json

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from sessions_store.errors import CorruptRecordError
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession
from tests.sessions_store.records import EVERYTHING, ID, KEY, URL, session

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

    stored = json.loads(raw_redis.get(KEY))  # type: ignore[arg-type]  # bytes

    assert stored["sessionPayload"] == BODY
    assert stored["wsUrl"] == BODY["sessionUrl"]


def test_with_a_key_nothing_of_the_client_is_readable_in_redis_but_ids_and_times(
    store: StoreClient, raw_redis: Redis
) -> None:
    repository(store, Fernet.generate_key().decode()).set(ID, AgentSession.from_registration(BODY))

    raw = raw_redis.get(KEY)

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

    found = sessions.get(ID)

    assert found is not None
    assert found.session_payload == BODY
    assert list(found.session_payload) == list(BODY)
    assert found.ws_url == BODY["sessionUrl"]
    assert found.metadata == BODY["metadata"]


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

    found = repository(store, Fernet.generate_key().decode()).get(ID)

    assert found is not None
    assert found.session_payload == BODY


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


def test_given_a_key_when_set_then_redis_holds_no_credential_and_get_returns_it(
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


def test_given_a_new_key_in_front_when_read_then_what_the_old_one_wrote_is_readable(
    store: StoreClient,
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    repository(store, old).set(ID, session())

    found = repository(store, new, old).get(ID)

    assert found is not None
    assert found.ws_url == URL


def test_given_a_plain_session_when_a_key_is_configured_then_it_is_readable(
    store: StoreClient, sessions: SessionRepository
) -> None:
    sessions.set(ID, session())

    found = repository(store, Fernet.generate_key().decode()).get(ID)

    assert found is not None
    assert found.ws_url == URL


@pytest.mark.parametrize("keys", [[], [Fernet.generate_key().decode()]], ids=["none", "another"])
def test_given_an_encrypted_session_without_its_key_when_read_then_the_error_says_so(
    store: StoreClient, keys: list[str]
) -> None:
    encrypting = repository(store, Fernet.generate_key().decode())
    encrypting.set(ID, session())

    with pytest.raises(CorruptRecordError, match="encrypted with a key"):
        repository(store, *keys).get(ID)
