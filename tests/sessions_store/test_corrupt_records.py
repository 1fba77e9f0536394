"""Stored sessions that cannot be read."""

from collections.abc import Callable

import pytest
from redis import Redis

from sessions_store.errors import CorruptRecordError, UnsupportedRecordVersionError
from sessions_store.repository import SessionRepository
from tests.sessions_store.records import ID, KEY, URL, write_raw


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"sessionPayload": {}, "wsUrl": "wss://secret', id="cut off"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'["wss://secret"]', id="an array"),
        pytest.param(b'{"sessionId": "conv_1"}', id="no URL"),
        pytest.param(b'{"wsUrl": "wss://secret", "sessionPayload": 1}', id="payload a number"),
        pytest.param(b'{"wsUrl": "wss://secret", "createdAt": "yesterday"}', id="no time"),
        pytest.param(b'{"wsUrl": "wss://secret", "ttl": "long"}', id="no lifetime"),
        pytest.param(b'{"wsUrl": "wss://secret", "ttl": 1000000000001}', id="an endless lifetime"),
        pytest.param(b'{"wsUrl": "wss://secret", "a": 1, "a": 2}', id="a key twice"),
    ],
)
def test_error_names_a_corrupt_session_without_its_content(
    sessions: SessionRepository, raw_redis: Redis, stored: bytes
) -> None:
    raw_redis.set(KEY, stored, ex=300)

    uses: list[Callable[[], object]] = [
        lambda: sessions.get(ID),
        lambda: sessions.verify(ID),
        lambda: sessions.delete(ID, "conv_1"),
    ]
    for use in uses:
        with pytest.raises(CorruptRecordError) as refusal:
            use()
        assert ID in str(refusal.value)
        assert "secret" not in str(refusal.value)
        assert refusal.value.__cause__ is None


def test_key_of_another_type_is_corrupt_but_can_be_deleted(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    raw_redis.rpush(KEY, "x")

    with pytest.raises(CorruptRecordError):
        sessions.get(ID)
    with pytest.raises(CorruptRecordError):
        sessions.delete(ID, "mine")

    assert sessions.delete(ID)
    assert sessions.get(ID) is None


def test_session_of_a_newer_version_is_refused_and_kept(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    write_raw(raw_redis, {"sessionPayload": {}, "wsUrl": URL, "schemaVersion": 2})

    with pytest.raises(UnsupportedRecordVersionError, match="newer version"):
        sessions.get(ID)
    with pytest.raises(UnsupportedRecordVersionError):
        sessions.delete(ID, "conv_1")

    assert raw_redis.exists(KEY) == 1
