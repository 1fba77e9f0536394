"""How long a session lives: ten minutes, never extended by reading it."""

import pytest
from redis import Redis
from time_machine import Traveller

from sessions_store.repository import SessionRepository
from tests.sessions_store.records import ID, KEY, session
from tests.waiting import wait_until


def test_new_session_expires_in_ten_minutes(sessions: SessionRepository, raw_redis: Redis) -> None:
    sessions.set(ID, session())

    found = sessions.get(ID)

    assert 590 < raw_redis.ttl(KEY) <= 600
    assert found is not None
    assert found.expires_in_seconds is not None
    assert 590 < found.expires_in_seconds <= 600


def test_value_and_expiry_are_written_by_one_command(
    real_redis: Redis, real_sessions: SessionRepository
) -> None:
    real_redis.config_resetstat()

    real_sessions.set(ID, session(sessionId=ID))

    sent = real_redis.info("commandstats")
    written = {name: stats["calls"] for name, stats in sent.items() if "config" not in name}
    assert written == {"cmdstat_set": 1}
    assert real_redis.ttl(KEY) > 590


def test_session_is_gone_after_ten_minutes(
    fake_redis: Redis, clock: Traveller, fake_sessions: SessionRepository
) -> None:
    fake_sessions.set(ID, session())
    clock.shift(599)
    assert fake_sessions.get(ID) is not None

    clock.shift(1.001)

    assert fake_sessions.get(ID) is None
    assert fake_redis.keys() == []


def test_session_is_gone_after_a_lifetime_of_its_own(
    real_redis: Redis, real_sessions: SessionRepository
) -> None:
    stored = real_sessions.set(ID, session(), ttl_seconds=1)
    assert stored.ttl == 1

    wait_until(lambda: real_redis.exists(KEY) == 0)

    assert real_sessions.get(ID) is None


def test_storing_a_session_again_restarts_its_lifetime(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())
    raw_redis.expire(KEY, 100)

    sessions.set(ID, session())

    assert 590 < raw_redis.ttl(KEY) <= 600


def test_reading_a_session_does_not_extend_its_lifetime(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())
    raw_redis.expire(KEY, 100)

    found = sessions.get(ID)

    assert raw_redis.ttl(KEY) <= 100
    assert found is not None
    assert found.expires_in_seconds is not None
    assert found.expires_in_seconds <= 100
    assert found.ttl == 600


def test_touch_extends_the_lifetime_and_changes_nothing_else(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())
    raw_redis.expire(KEY, 100)
    before = raw_redis.get(KEY)

    assert sessions.touch(ID)

    assert 590 < raw_redis.ttl(KEY) <= 600
    assert raw_redis.get(KEY) == before


def test_touch_does_not_restore_an_expired_session(
    fake_sessions: SessionRepository, clock: Traveller
) -> None:
    fake_sessions.set(ID, session())
    clock.shift(600.001)

    assert not fake_sessions.touch(ID)

    assert fake_sessions.get(ID) is None


def test_touch_does_not_create_a_session(sessions: SessionRepository, raw_redis: Redis) -> None:
    assert not sessions.touch(ID)
    assert raw_redis.keys() == []


@pytest.mark.parametrize("ttl_seconds", [-1, 0, 10**9 + 1])
def test_lifetime_that_could_not_be_read_is_not_stored(
    sessions: SessionRepository, raw_redis: Redis, ttl_seconds: int
) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000000000, not"):
        sessions.set(ID, session(), ttl_seconds)
    with pytest.raises(ValueError, match="from 1 to 1000000000, not"):
        sessions.touch(ID, ttl_seconds)

    assert raw_redis.keys() == []
    assert sessions.set(ID, session(), 10**9) is not None
    assert sessions.get(ID) is not None
