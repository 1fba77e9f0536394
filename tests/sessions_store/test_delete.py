"""Deleting a session, also while another writer replaces it."""

from collections.abc import Callable

import pytest
from redis import Redis

from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from tests.sessions_store.records import ID, session

Interrupted = Callable[[Callable[[], object]], SessionRepository]


@pytest.fixture
def interrupted_sessions(
    interrupted_store: Callable[[Callable[[], object]], StoreClient],
) -> Interrupted:
    """Make a repository in which another writer acts right after the stored session was read."""
    return lambda intrude: SessionRepository(interrupted_store(intrude))


def test_delete_leaves_other_sessions_alone(
    sessions: SessionRepository,
) -> None:
    sessions.set(ID, session())
    sessions.set("other", session(sessionId="other"))

    assert sessions.delete(ID)

    found = sessions.get("other")
    assert found is not None
    assert found.session_id == "other"
    assert [one for batch in sessions.scan_ids() for one in batch] == ["other"]


def test_delete_removes_the_session_once(sessions: SessionRepository, raw_redis: Redis) -> None:
    sessions.set(ID, session())

    assert sessions.delete(ID)
    assert not sessions.delete(ID)

    assert raw_redis.keys() == []


def test_delete_by_its_id_removes_the_session(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session(sessionId="mine"))

    assert sessions.delete(ID, "mine")

    assert raw_redis.keys("elevenlabs:session:*") == []


@pytest.mark.parametrize("fields", [{"sessionId": "theirs"}, {}])
def test_delete_by_another_id_keeps_the_session(
    sessions: SessionRepository, fields: dict[str, str]
) -> None:
    sessions.set(ID, session(**fields))

    assert not sessions.delete(ID, "mine")

    assert sessions.get(ID) is not None


def test_delete_by_id_returns_false_without_a_session(
    sessions: SessionRepository,
) -> None:
    assert not sessions.delete(ID, "mine")


def test_delete_by_id_keeps_a_session_registered_meanwhile(
    sessions: SessionRepository, interrupted_sessions: Interrupted
) -> None:
    sessions.set(ID, session(sessionId="mine"))
    interrupted = interrupted_sessions(lambda: sessions.set(ID, session(sessionId="theirs")))

    assert not interrupted.delete(ID, "mine")

    found = sessions.get(ID)
    assert found is not None
    assert found.session_id == "theirs"


def test_delete_by_id_removes_its_session_stored_again_meanwhile(
    sessions: SessionRepository, interrupted_sessions: Interrupted
) -> None:
    sessions.set(ID, session(sessionId="mine"))
    interrupted = interrupted_sessions(
        lambda: sessions.set(ID, session(sessionId="mine", new=True))
    )

    assert interrupted.delete(ID, "mine")

    assert sessions.get(ID) is None


def test_delete_by_id_returns_false_for_a_session_removed_meanwhile(
    sessions: SessionRepository, interrupted_sessions: Interrupted
) -> None:
    sessions.set(ID, session(sessionId="mine"))
    interrupted = interrupted_sessions(lambda: sessions.delete(ID))

    assert not interrupted.delete(ID, "mine")
