"""Pushes: each is given to one tab at most, and never more is told of it than is known."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    PushConflictError,
    PushNotFoundError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from sessions_store.keys import changes_channel, push_key, push_queue_key
from sessions_store.push_types import MAX_PUSH_BYTES, AgentPush, AgentPushRequest
from sessions_store.pushes import KEPT_SECONDS, PushRepository
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from tests.faults.relay import Relay, named
from tests.sessions_store.records import session

ID, OTHER = "c-1", "c-2"
SESSION = "sess-1"
WORDS = "The report is done."


@pytest.fixture
def pushes(store: StoreClient, sessions: SessionRepository) -> PushRepository:
    sessions.set(ID, session(sessionId=SESSION))
    return PushRepository(store, sessions)


@pytest.fixture
def real_pushes(real_store: StoreClient) -> PushRepository:
    sessions = SessionRepository(real_store)
    sessions.set(ID, session(sessionId=SESSION))
    return PushRepository(real_store, sessions)


def create(pushes: PushRepository, push_id: str = "p-1", **fields: Any) -> AgentPush:
    request = AgentPushRequest.parse({"text": WORDS, "pushId": push_id, **fields})
    return pushes.create(ID, request).push


def let_pass(redis: Redis, seconds: float, push_id: str = "p-1") -> None:
    """Have a push be as much older."""
    key = push_key(ID, push_id)
    for field in ("createdAtMs", "expiresAtMs", "heldUntilMs"):
        if redis.hexists(key, field):
            redis.hincrby(key, field, round(-seconds * 1000))


def state(pushes: PushRepository, push_id: str = "p-1") -> str:
    return pushes.get(ID, push_id).state


# --- What is known --------------------------------------------------------------------------------


def test_push_that_nobody_takes_is_queued_and_expires(
    pushes: PushRepository, raw_redis: Redis
) -> None:
    made = create(pushes, expiresInSeconds=60)
    assert made == pushes.get(ID, "p-1")
    assert made.state == "queued"

    let_pass(raw_redis, 59)
    assert state(pushes) == "queued"
    let_pass(raw_redis, 1)
    assert state(pushes) == "expired"
    assert pushes.claim(ID, SESSION, "p-1", "tab") is None
    assert state(pushes) == "expired"


@pytest.mark.parametrize(("lifetime", "unknown_after"), [(10, 35), (600, 600)])
def test_tab_without_a_word_is_unknown_at_the_later_time(
    pushes: PushRepository, raw_redis: Redis, lifetime: int, unknown_after: int
) -> None:
    create(pushes, expiresInSeconds=lifetime)
    content = pushes.claim(ID, SESSION, "p-1", "tab")
    assert content is not None
    assert content.text == WORDS

    let_pass(raw_redis, unknown_after - 1)
    assert state(pushes) == "sent"
    let_pass(raw_redis, 1)
    assert state(pushes) == "unknown"


def test_tab_that_stays_keeps_its_push_sent(pushes: PushRepository, raw_redis: Redis) -> None:
    create(pushes, expiresInSeconds=1)
    pushes.claim(ID, SESSION, "p-1", "tab")

    for _ in range(3):
        let_pass(raw_redis, 30)
        assert state(pushes) == "sent"
        assert pushes.hold(ID, "p-1", "tab")
    assert not pushes.hold(ID, "p-1", "another")
    let_pass(raw_redis, 36)
    assert state(pushes) == "unknown"


@pytest.mark.parametrize(
    ("ok", "reason", "told"), [(True, "", "delivered"), (False, "no call", "failed")]
)
def test_first_result_of_a_tab_stays(
    pushes: PushRepository, raw_redis: Redis, ok: bool, reason: str, told: str
) -> None:
    create(pushes)
    pushes.claim(ID, SESSION, "p-1", "tab")

    pushes.set_result(ID, SESSION, "p-1", ok=ok, reason=reason)
    pushes.set_result(ID, SESSION, "p-1", ok=not ok, reason="another")

    let_pass(raw_redis, 1000)
    assert pushes.get(ID, "p-1").to_wire().get("reason", "") == reason
    assert state(pushes) == told
    assert not pushes.hold(ID, "p-1", "tab")
    assert WORDS not in str(raw_redis.hvals(push_key(ID, "p-1")))


def test_late_result_takes_the_place_of_unknown(pushes: PushRepository, raw_redis: Redis) -> None:
    create(pushes)
    pushes.claim(ID, SESSION, "p-1", "tab")
    let_pass(raw_redis, 100)
    assert state(pushes) == "unknown"

    assert pushes.set_result(ID, SESSION, "p-1", ok=True).state == "delivered"


def test_result_is_taken_for_what_the_session_was_given(pushes: PushRepository) -> None:
    create(pushes)
    with pytest.raises(PushNotFoundError):
        pushes.set_result(ID, SESSION, "p-1", ok=True)
    pushes.claim(ID, SESSION, "p-1", "tab")

    for conversation_id, session_id, push_id in (
        (ID, "sess-2", "p-1"),
        (ID, SESSION, "p-2"),
        (OTHER, SESSION, "p-1"),
    ):
        with pytest.raises(PushNotFoundError):
            pushes.set_result(conversation_id, session_id, push_id, ok=True)
    assert state(pushes) == "sent"


def test_push_is_forgotten_an_hour_after_its_time(pushes: PushRepository, raw_redis: Redis) -> None:
    create(pushes, expiresInSeconds=10)

    remaining = raw_redis.pttl(push_key(ID, "p-1")) / 1000
    assert KEPT_SECONDS < remaining <= KEPT_SECONDS + 10
    assert 10 < raw_redis.ttl(push_queue_key(ID, SESSION)) <= 600
    with pytest.raises(PushNotFoundError):
        pushes.get(ID, "another")


# --- Who gets it ----------------------------------------------------------------------------------


def test_waiting_pushes_come_in_the_order_of_their_creation(pushes: PushRepository) -> None:
    ids = [f"p-{number}" for number in (3, 1, 2)]
    for push_id in ids:
        create(pushes, push_id)
        time.sleep(0.001)

    assert pushes.list_waiting(ID, SESSION) == ids
    assert list(pushes.have_waiting([(ID, SESSION), (ID, "sess-2")])) == [True, False]
    for push_id in ids:
        pushes.claim(ID, SESSION, push_id, "tab")
    assert pushes.list_waiting(ID, SESSION) == []
    assert list(pushes.have_waiting([(ID, SESSION)])) == [False]


def test_second_claim_gets_nothing_but_from_the_same_tab(pushes: PushRepository) -> None:
    create(pushes)
    given = pushes.claim(ID, SESSION, "p-1", "tab")

    assert pushes.claim(ID, SESSION, "p-1", "another") is None
    assert pushes.claim(ID, SESSION, "p-1", "tab") == given
    pushes.set_result(ID, SESSION, "p-1", ok=True)
    assert pushes.claim(ID, SESSION, "p-1", "tab") is None


def test_one_of_many_tabs_gets_each_push(real_pushes: PushRepository) -> None:
    for number in range(20):
        create(real_pushes, f"p-{number}")
    start = threading.Barrier(5)

    def take(tab: int) -> list[str]:
        start.wait()
        ids = real_pushes.list_waiting(ID, SESSION)
        return [one for one in ids if real_pushes.claim(ID, SESSION, one, f"tab-{tab}")]

    with ThreadPoolExecutor(5) as threads:
        taken = [push_id for ids in threads.map(take, range(5)) for push_id in ids]
    assert sorted(taken) == sorted(f"p-{number}" for number in range(20))


def test_session_that_replaces_another_gets_none_of_its_pushes(
    pushes: PushRepository, sessions: SessionRepository
) -> None:
    create(pushes)
    sessions.set(ID, session(sessionId="sess-2"))
    create(pushes, "p-2")

    assert pushes.list_waiting(ID, "sess-2") == ["p-2"]
    assert pushes.list_waiting(ID, SESSION) == ["p-1"]


def test_queue_forgets_what_cannot_wait_any_more(pushes: PushRepository, raw_redis: Redis) -> None:
    create(pushes)
    raw_redis.zincrby(push_queue_key(ID, SESSION), -601e6, "p-1")

    create(pushes, "p-2")

    assert pushes.list_waiting(ID, SESSION) == ["p-2"]


def test_creation_is_published_without_its_words(
    real_pushes: PushRepository, server: EmbeddedServer
) -> None:
    with Redis.from_url(server.url, protocol=2) as redis, redis.pubsub() as channel:
        channel.subscribe(changes_channel(ID))
        assert channel.get_message(timeout=5)

        create(real_pushes)

        message = channel.get_message(timeout=5)
        assert message
        assert message["data"] == b"push"


# --- Writing once ---------------------------------------------------------------------------------


def test_same_push_again_is_the_first_one(pushes: PushRepository, raw_redis: Redis) -> None:
    request = AgentPushRequest.parse({"text": WORDS, "pushId": "p-1"})
    first = pushes.create(ID, request)
    pushes.claim(ID, SESSION, "p-1", "tab")

    again = pushes.create(ID, request)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.push.created_at == first.push.created_at
    assert again.push.state == "sent"
    assert pushes.list_waiting(ID, SESSION) == []


@pytest.mark.parametrize(
    "other", [{"text": "others"}, {"kind": "contextual_update"}, {"contextId": "x"}]
)
def test_same_push_id_with_other_content_is_a_conflict(
    pushes: PushRepository, sessions: SessionRepository, other: dict[str, Any]
) -> None:
    create(pushes)

    for _ in range(2):
        with pytest.raises(PushConflictError) as caught:
            create(pushes, **other)
        assert WORDS not in str(caught.value)
        sessions.delete(ID)


def test_repetition_is_known_after_the_session_has_gone(
    pushes: PushRepository, sessions: SessionRepository
) -> None:
    create(pushes)
    sessions.delete(ID)

    assert create(pushes).state == "queued"
    with pytest.raises(SessionNotFoundError):
        create(pushes, "p-2")


def test_session_without_an_id_takes_no_push(
    pushes: PushRepository, sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())

    with pytest.raises(SessionNotFoundError, match="registered without a sessionId"):
        create(pushes)
    assert raw_redis.keys("*push*") == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": ""}, "text must not be empty"),
        ({"text": "ä" * 8193}, f"text must have at most {MAX_PUSH_BYTES} bytes in UTF-8"),
        ({"text": "\ud800"}, "text must be valid Unicode text"),
        ({"text": None}, "text must be a string"),
        ({"kind": "shout"}, "kind must be 'user_message' or 'contextual_update'"),
        ({"expiresInSeconds": 0}, "expiresInSeconds must be a whole number from 1 to 600"),
        ({"expiresInSeconds": 601}, "expiresInSeconds must be a whole number from 1 to 600"),
        ({"expiresInSeconds": 1.5}, "expiresInSeconds must be a whole number from 1 to 600"),
        ({"expiresInSeconds": True}, "expiresInSeconds must be a whole number from 1 to 600"),
        ({"pushId": ""}, "pushId must not be empty"),
    ],
)
def test_invalid_push_is_refused_with_its_field(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        AgentPushRequest.parse({"text": WORDS, **fields})

    assert str(caught.value) == sentence


def test_field_that_is_null_is_left_out() -> None:
    request = AgentPushRequest.parse(
        {"text": "ä" * 8192, "kind": None, "expiresInSeconds": None, "contextId": None}
    )

    assert request.content().kind == "user_message"
    assert "ä" not in f"{request!r} {request.content()!r}"


# --- Faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [1, 2])
def test_lost_reply_to_a_claim_loses_no_push(
    real_pushes: PushRepository, server: EmbeddedServer, tmp_path: Path, cuts: int
) -> None:
    create(real_pushes)
    relay = Relay(tmp_path / "relay.sock", server.socket)
    relay.start()
    store = StoreClient.from_url(relay.url)
    tabs = PushRepository(store, SessionRepository(store))
    with relay.losing("cut", named("EVALSHA", "EVAL"), cuts) as rule:
        if cuts == 2:
            with pytest.raises(StoreUnavailableError):
                tabs.claim(ID, SESSION, "p-1", "tab")
            assert state(real_pushes) == "sent"
        content = tabs.claim(ID, SESSION, "p-1", "tab")
    relay.stop()

    assert rule.done == cuts
    assert content is not None
    assert content.text == WORDS
    assert real_pushes.claim(ID, SESSION, "p-1", "another") is None


def test_outage_is_raised_and_nothing_is_told(
    stoppable_server: EmbeddedServer, stoppable_store: StoreClient
) -> None:
    sessions = SessionRepository(stoppable_store)
    sessions.set(ID, session(sessionId=SESSION))
    pushes = PushRepository(stoppable_store, sessions)
    create(pushes)
    stoppable_server.stop()

    uses: list[Callable[[], object]] = [
        lambda: create(pushes, "p-2"),
        lambda: pushes.get(ID, "p-1"),
        lambda: pushes.list_waiting(ID, SESSION),
        lambda: pushes.have_waiting([(ID, SESSION)]),
        lambda: pushes.claim(ID, SESSION, "p-1", "tab"),
        lambda: pushes.hold(ID, "p-1", "tab"),
        lambda: pushes.set_result(ID, SESSION, "p-1", ok=True),
        lambda: pushes.push(ID, WORDS),
    ]
    for use in uses:
        with pytest.raises(StoreUnavailableError):
            use()


@pytest.mark.parametrize("damage", ["another type", "no time", "no text"])
def test_corrupt_push_is_reported_without_its_words(
    pushes: PushRepository, raw_redis: Redis, damage: str
) -> None:
    create(pushes)
    key = push_key(ID, "p-1")
    if damage == "another type":
        raw_redis.delete(key)
        raw_redis.set(key, WORDS)
    else:
        raw_redis.hdel(key, "createdAtMs" if damage == "no time" else "content")

    uses: list[Callable[[], object]] = [
        lambda: create(pushes),
        lambda: pushes.get(ID, "p-1"),
        lambda: pushes.claim(ID, SESSION, "p-1", "tab"),
        lambda: pushes.set_result(ID, SESSION, "p-1", ok=True),
    ]
    for use in uses:
        with pytest.raises(CorruptRecordError, match=r"^The stored push p-1 cannot be read\.$"):
            use()


@pytest.mark.parametrize("conversation_id", ["", "new", "a b"])
def test_push_to_an_invalid_conversation_is_refused(
    pushes: PushRepository, conversation_id: str
) -> None:
    with pytest.raises(InvalidRequestError):
        pushes.get(conversation_id, "p-1")
    with pytest.raises(InvalidRequestError):
        pushes.push(conversation_id, WORDS)


# --- For callback services ------------------------------------------------------------------------


def test_waiting_push_returns_what_the_tab_said(real_pushes: PushRepository) -> None:
    def be_the_tab() -> None:
        while not (waiting := real_pushes.list_waiting(ID, SESSION)):
            time.sleep(0.01)
        real_pushes.claim(ID, SESSION, waiting[0], "tab")
        real_pushes.set_result(ID, SESSION, waiting[0], ok=True)

    with ThreadPoolExecutor(1) as threads:
        tab = threads.submit(be_the_tab)
        push = real_pushes.push(ID, WORDS, wait_seconds=20)
        tab.result()

    assert push.state == "delivered"


def test_wait_ends_with_what_is_known_by_then(real_pushes: PushRepository) -> None:
    assert real_pushes.push(ID, WORDS, push_id="p-1", wait_seconds=0.2).state == "queued"
    assert real_pushes.push(ID, WORDS, push_id="p-1").state == "queued"
