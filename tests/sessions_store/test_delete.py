"""Deleting a session, also while another writer replaces it."""

from collections.abc import Callable

import pytest
from redis import Redis

from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from tests.sessions_store.records import ID, session


class InterruptedStore(StoreClient):
    """Lets another writer act once, right after a key was looked at."""

    def __init__(self, redis: Redis, intrude: Callable[[], object]) -> None:
        super().__init__(redis)
        self._intrude: Callable[[], object] | None = intrude

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        if self._intrude is not None:
            self._intrude()
            self._intrude = None
        return found


def test_given_sessions_of_two_conversations_when_one_is_deleted_then_the_other_stays(
    sessions: SessionRepository,
) -> None:
    sessions.set(ID, session())
    sessions.set("other", session(sessionId="other"))

    assert sessions.delete(ID)

    found = sessions.get("other")
    assert found is not None
    assert found.session_id == "other"
    assert [one for batch in sessions.scan_ids() for one in batch] == ["other"]


def test_given_a_session_when_deleted_then_it_is_gone_and_a_second_time_finds_none(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())

    assert sessions.delete(ID)
    assert not sessions.delete(ID)

    assert raw_redis.keys() == []


def test_given_a_session_when_deleted_by_its_own_id_then_it_is_gone(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session(sessionId="mine"))

    assert sessions.delete(ID, "mine")

    assert raw_redis.keys() == []


@pytest.mark.parametrize("fields", [{"sessionId": "theirs"}, {}])
def test_given_another_session_when_deleted_by_an_id_then_it_stays(
    sessions: SessionRepository, fields: dict[str, str]
) -> None:
    sessions.set(ID, session(**fields))

    assert not sessions.delete(ID, "mine")

    assert sessions.get(ID) is not None


def test_given_no_session_when_deleted_by_an_id_then_nothing_was_there(
    sessions: SessionRepository,
) -> None:
    assert not sessions.delete(ID, "mine")


def test_given_a_session_replaced_after_the_look_when_deleted_by_its_id_then_the_new_one_stays(
    raw_redis: Redis, sessions: SessionRepository
) -> None:
    sessions.set(ID, session(sessionId="mine"))
    interrupted = SessionRepository(
        InterruptedStore(raw_redis, lambda: sessions.set(ID, session(sessionId="theirs")))
    )

    assert not interrupted.delete(ID, "mine")

    found = sessions.get(ID)
    assert found is not None
    assert found.session_id == "theirs"


def test_given_the_same_session_written_anew_after_the_look_when_deleted_then_it_is_gone(
    raw_redis: Redis, sessions: SessionRepository
) -> None:
    sessions.set(ID, session(sessionId="mine"))
    interrupted = SessionRepository(
        InterruptedStore(raw_redis, lambda: sessions.set(ID, session(sessionId="mine", new=True)))
    )

    assert interrupted.delete(ID, "mine")

    assert sessions.get(ID) is None


def test_given_a_session_gone_after_the_look_when_deleted_by_its_id_then_nothing_was_there(
    raw_redis: Redis, sessions: SessionRepository
) -> None:
    sessions.set(ID, session(sessionId="mine"))
    interrupted = SessionRepository(InterruptedStore(raw_redis, lambda: sessions.delete(ID)))

    assert not interrupted.delete(ID, "mine")
