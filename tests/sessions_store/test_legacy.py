"""Legacy records: the shapes in which older writers stored a session."""

import time
from typing import Any

import pytest
from redis import Redis
from time_machine import Traveller

from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSessionStatus
from tests.sessions_store.records import ID, KEY, OTHER_URL, URL, write_raw


def test_record_without_times_takes_its_expiry_from_redis(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    payload = {"config": {"wsUrl": URL}, "sessionId": "inside"}
    write_raw(raw_redis, {"sessionPayload": payload, "wsUrl": URL})

    found = sessions.get(ID)

    assert found is not None
    assert found.session_payload == payload
    assert found.ws_url == URL
    assert (found.created_at, found.ttl, found.schema_version) == (None, None, None)
    assert found.expires_in_seconds is not None
    assert 290 < found.expires_in_seconds <= 300


def test_status_derives_a_missing_creation_time_from_the_expiry(
    fake_redis: Redis, clock: Traveller, fake_sessions: SessionRepository
) -> None:
    write_raw(fake_redis, {"sessionPayload": {}, "wsUrl": URL})

    found = fake_sessions.get(ID)

    assert found is not None
    now_ms = time.time_ns() // 1_000_000
    assert AgentSessionStatus.of(ID, found, now_ms).to_wire() == {
        "conversationId": ID,
        "createdAt": "2026-11-23T16:15:45.123Z",
        "ttl": 600,
        "expiresInSeconds": 300,
    }


@pytest.mark.parametrize("payload", [None, {"config": {"wsUrl": OTHER_URL}}])
def test_session_url_is_the_push_url_without_ws_url(
    sessions: SessionRepository, raw_redis: Redis, payload: dict[str, Any] | None
) -> None:
    record = {
        "sessionUrl": URL,
        "agentSessionId": "conv_3",
        "transport": "webrtc",
        "expiresAt": "2025-01-01T00:10:00Z",
        "createdAt": "2025-01-01T00:00:00Z",
        "ttl": 600,
    }
    write_raw(raw_redis, record if payload is None else {**record, "sessionPayload": payload})

    found = sessions.get(ID)

    assert found is not None
    assert found.ws_url == found.session_url == URL
    assert found.session_id == "conv_3"
    assert found.transport == "webrtc"
    assert found.expires_at == "2025-01-01T00:10:00Z"
    assert found.created_at == "2025-01-01T00:00:00.000Z"
    assert found.ttl == 600
    if payload is None:
        assert found.session_payload["sessionUrl"] == URL
        assert found.session_payload["agentSessionId"] == "conv_3"
    else:
        assert found.session_payload == payload


def test_fields_that_a_legacy_record_lacks_are_absent(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    write_raw(raw_redis, {"sessionUrl": URL, "createdAt": "2025-01-01T00:00:00Z", "ttl": 600})

    found = sessions.get(ID)

    assert found is not None
    assert found.ws_url == URL
    assert (found.session_id, found.transport, found.expires_at, found.metadata) == (None,) * 4


def test_fields_stored_under_metadata_are_found(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    payload = {"config": {"wsUrl": OTHER_URL}, "n": 10**30}
    record = {
        "sessionId": "conv_4",
        "agentId": "a1",
        "conversationId": ID,
        "createdAt": "2025-01-01T00:00:00.5Z",
        "lastAccessedAt": "2025-01-01T00:01:00Z",
        "metadata": {
            "wsUrl": URL,
            "sessionUrl": OTHER_URL,
            "sessionPayload": payload,
            "expiresAt": "2025-01-01T00:10:00Z",
            "page": "/start",
        },
    }
    write_raw(raw_redis, record)

    found = sessions.get(ID)

    assert found is not None
    assert found.ws_url == URL
    assert found.session_url == OTHER_URL
    assert found.session_payload == payload
    assert found.expires_at == "2025-01-01T00:10:00Z"
    assert found.session_id == "conv_4"
    assert found.created_at == "2025-01-01T00:00:00.500Z"
    assert found.metadata == {"page": "/start"}


def test_reading_a_record_without_expiry_gives_it_ten_minutes(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    write_raw(raw_redis, {"sessionPayload": {}, "wsUrl": URL}, ttl_seconds=None)

    found = sessions.get(ID)

    assert found is not None
    assert found.expires_in_seconds == 600
    assert 590 < raw_redis.ttl(KEY) <= 600


def test_verifying_a_record_without_expiry_sets_none(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    write_raw(raw_redis, {"sessionPayload": {}, "wsUrl": URL}, ttl_seconds=None)

    sessions.verify(ID)

    assert raw_redis.ttl(KEY) == -1


def test_legacy_record_is_deleted_by_its_agent_session_id(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    write_raw(raw_redis, {"sessionUrl": URL, "agentSessionId": "conv_3"})

    assert not sessions.delete(ID, "another")
    assert sessions.delete(ID, "conv_3")

    assert raw_redis.keys() == []


@pytest.mark.parametrize("metadata", [{}, {"metadata": {"page": "/start"}}], ids=str)
def test_record_without_any_url_is_no_session(
    sessions: SessionRepository, raw_redis: Redis, metadata: dict[str, Any]
) -> None:
    record = {
        "sessionId": "conv_5",
        "agentId": "a1",
        "conversationId": ID,
        "agentConversationId": ID,
        "createdAt": "2025-01-01T00:00:00Z",
        "lastAccessedAt": "2025-01-01T00:01:00Z",
        **metadata,
    }
    write_raw(raw_redis, record)

    assert sessions.get(ID) is None
    sessions.verify(ID)
    assert not sessions.delete(ID, "conv_5")
    assert raw_redis.exists(KEY)
    assert sessions.delete(ID)
