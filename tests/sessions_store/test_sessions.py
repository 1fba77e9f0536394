"""The contract of ``SessionRepository``, over fakeredis and over a real server."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from time_machine import Traveller

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    StoreUnavailableError,
    UnsupportedRecordVersionError,
)
from sessions_store.redis.client import StoreClient, connection_options
from sessions_store.repository import SessionRepository
from sessions_store.types import WHAT_TO_SEND, AgentSession, AgentSessionStatus
from sessions_store.wire import json_codec

ID = "agent-1795423973269-5iwhvn2en0a"
KEY = "elevenlabs:session:" + ID
URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a1&token=t%2Fok+en=="
OTHER_URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a1&token=another"
EVERYTHING: dict[str, Any] = {
    "sessionUrl": URL,
    "wsUrl": OTHER_URL,
    "sessionId": "conv_1",
    "transport": "websocket",
    "expiresAt": "2026-11-23T16:35:45Z",
    "metadata": {"tab": 1, "tags": []},
    "sessionPayload": {"config": {"wsUrl": URL, "agentId": "a1"}, "z": 1, "a": None},
}


def session(**fields: Any) -> AgentSession:
    return AgentSession.from_registration({"wsUrl": URL, **fields})


# --- Storing and reading --------------------------------------------------------------------------


def test_given_every_field_when_set_then_get_returns_every_field(
    sessions: SessionRepository, clock: Traveller
) -> None:
    stored = sessions.set(ID, AgentSession.from_registration(EVERYTHING))

    found = sessions.get(ID)

    assert found is not None
    assert found.ws_url == OTHER_URL
    assert found.session_url == URL
    assert found.session_id == "conv_1"
    assert found.transport == "websocket"
    assert found.expires_at == "2026-11-23T16:35:45Z"
    assert found.metadata == {"tab": 1, "tags": []}
    assert found.session_payload == EVERYTHING["sessionPayload"]
    assert found.created_at == "2026-11-23T16:20:45.123Z"
    assert found.ttl == 600
    assert found.schema_version == 1
    assert found.model_copy(update={"expires_in_seconds": None}) == stored


def test_given_every_field_when_set_then_redis_holds_plain_json_with_the_documented_names(
    sessions: SessionRepository, raw_redis: Redis, clock: Traveller
) -> None:
    sessions.set(ID, AgentSession.from_registration(EVERYTHING))

    record = json.loads(raw_redis.get(KEY) or "")

    assert record == {
        **EVERYTHING,
        "createdAt": "2026-11-23T16:20:45.123Z",
        "ttl": 600,
        "schemaVersion": 1,
    }


def test_given_only_a_url_when_set_then_the_optional_fields_are_absent(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, AgentSession.from_registration({"sessionUrl": URL}))

    found = sessions.get(ID)

    assert found is not None
    assert (found.session_id, found.transport, found.expires_at, found.metadata) == (None,) * 4
    assert set(json.loads(raw_redis.get(KEY) or "")) == {
        "sessionPayload",
        "wsUrl",
        "sessionUrl",
        "createdAt",
        "ttl",
        "schemaVersion",
    }


def test_given_an_agent_session_id_when_set_then_it_is_the_session_id(
    sessions: SessionRepository,
) -> None:
    sessions.set(ID, session(agentSessionId="conv_2"))

    found = sessions.get(ID)

    assert found is not None
    assert found.session_id == "conv_2"


def test_given_nothing_stored_when_read_then_there_is_none(sessions: SessionRepository) -> None:
    assert sessions.get(ID) is None


def test_given_a_session_when_another_is_set_then_it_replaces_the_first(
    sessions: SessionRepository,
) -> None:
    sessions.set(ID, session(sessionId="first", metadata={"only": "first"}))
    sessions.set(ID, session(sessionId="second"))

    found = sessions.get(ID)

    assert found is not None
    assert found.session_id == "second"
    assert found.metadata is None


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


@pytest.mark.parametrize("conversation_id", ["", "list", "a b", "a:b", ".a", "a\n", "é", "a" * 129])
def test_given_an_id_that_cannot_be_one_when_used_then_it_is_refused(
    sessions: SessionRepository, raw_redis: Redis, conversation_id: str
) -> None:
    uses: list[Callable[[], object]] = [
        lambda: sessions.set(conversation_id, session()),
        lambda: sessions.get(conversation_id),
        lambda: sessions.touch(conversation_id),
        lambda: sessions.delete(conversation_id),
    ]
    for use in uses:
        with pytest.raises(InvalidRequestError, match="conversationId must be"):
            use()
    assert raw_redis.keys() == []


# --- Ten minutes ----------------------------------------------------------------------------------


def test_given_a_new_session_when_looked_at_then_it_has_about_ten_minutes(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())

    found = sessions.get(ID)

    assert 590 < raw_redis.ttl(KEY) <= 600
    assert found is not None
    assert found.expires_in_seconds is not None
    assert 590 < found.expires_in_seconds <= 600


def test_when_a_session_is_set_then_value_and_expiry_are_one_command(
    real_redis: Redis, real_store: StoreClient
) -> None:
    sessions = SessionRepository(real_store)
    real_redis.config_resetstat()

    sessions.set(ID, session())

    sent = real_redis.info("commandstats")
    written = {name: stats["calls"] for name, stats in sent.items() if "config" not in name}
    assert written == {"cmdstat_set": 1}
    assert real_redis.ttl(KEY) > 590


def test_given_ten_minutes_passed_when_read_then_the_session_is_gone(
    fake_redis: Redis, clock: Traveller
) -> None:
    sessions = SessionRepository(StoreClient(fake_redis))
    sessions.set(ID, session())
    clock.shift(599)
    assert sessions.get(ID) is not None

    clock.shift(1.001)

    assert sessions.get(ID) is None
    assert fake_redis.keys() == []


def test_given_a_lifetime_of_one_second_when_it_passed_then_the_session_is_gone(
    real_redis: Redis, real_store: StoreClient
) -> None:
    sessions = SessionRepository(real_store)
    stored = sessions.set(ID, session(), ttl_seconds=1)
    assert stored.ttl == 1

    _wait_until(lambda: real_redis.exists(KEY) == 0)

    assert sessions.get(ID) is None


def test_given_an_older_session_when_set_again_then_it_has_its_full_time_again(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())
    raw_redis.expire(KEY, 100)

    sessions.set(ID, session())

    assert 590 < raw_redis.ttl(KEY) <= 600


def test_given_a_session_when_it_is_read_then_its_time_is_not_extended(
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


def test_given_a_session_when_touched_then_it_lives_longer_and_is_the_same(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, session())
    raw_redis.expire(KEY, 100)
    before = raw_redis.get(KEY)

    assert sessions.touch(ID)

    assert 590 < raw_redis.ttl(KEY) <= 600
    assert raw_redis.get(KEY) == before


def test_given_an_expired_session_when_touched_then_it_is_not_brought_back(
    fake_redis: Redis, clock: Traveller
) -> None:
    sessions = SessionRepository(StoreClient(fake_redis))
    sessions.set(ID, session())
    clock.shift(600.001)

    assert not sessions.touch(ID)

    assert sessions.get(ID) is None


def test_given_no_session_when_touched_then_none_comes_to_be(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    assert not sessions.touch(ID)
    assert raw_redis.keys() == []


@pytest.mark.parametrize("ttl_seconds", [0, -1])
def test_given_no_lifetime_when_set_or_touched_then_it_is_refused_and_nothing_changes(
    sessions: SessionRepository, raw_redis: Redis, ttl_seconds: int
) -> None:
    sessions.set(ID, session())

    with pytest.raises(ValueError, match="positive"):
        sessions.set(ID, session(), ttl_seconds=ttl_seconds)
    with pytest.raises(ValueError, match="positive"):
        sessions.touch(ID, ttl_seconds=ttl_seconds)

    assert raw_redis.ttl(KEY) > 590


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# --- Deleting -------------------------------------------------------------------------------------


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


# --- Shapes of older writers ----------------------------------------------------------------------


def _write_raw(redis: Redis, record: object, ttl_seconds: int | None = 300) -> None:
    redis.set(KEY, json.dumps(record), ex=ttl_seconds)


def test_given_only_payload_and_url_when_read_then_the_time_left_comes_from_redis(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    payload = {"config": {"wsUrl": URL}, "sessionId": "inside"}
    _write_raw(raw_redis, {"sessionPayload": payload, "wsUrl": URL})

    found = sessions.get(ID)

    assert found is not None
    assert found.session_payload == payload
    assert found.ws_url == URL
    assert (found.created_at, found.ttl, found.schema_version) == (None, None, None)
    assert found.expires_in_seconds is not None
    assert 290 < found.expires_in_seconds <= 300


def test_given_only_payload_and_url_when_its_status_is_asked_then_creation_follows_from_the_rest(
    fake_redis: Redis, clock: Traveller
) -> None:
    sessions = SessionRepository(StoreClient(fake_redis))
    _write_raw(fake_redis, {"sessionPayload": {}, "wsUrl": URL})

    found = sessions.get(ID)

    assert found is not None
    now_ms = time.time_ns() // 1_000_000
    assert AgentSessionStatus.of(ID, found, now_ms).to_wire() == {
        "conversationId": ID,
        "createdAt": "2026-11-23T16:15:45.123Z",
        "ttl": 600,
        "expiresInSeconds": 300,
    }


@pytest.mark.parametrize("payload", [None, {"config": {"wsUrl": OTHER_URL}}])
def test_given_a_session_url_without_ws_url_when_read_then_it_is_the_push_url(
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
    _write_raw(raw_redis, record if payload is None else {**record, "sessionPayload": payload})

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


def test_given_only_a_session_url_and_times_when_read_then_the_rest_is_absent(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    _write_raw(raw_redis, {"sessionUrl": URL, "createdAt": "2025-01-01T00:00:00Z", "ttl": 600})

    found = sessions.get(ID)

    assert found is not None
    assert found.ws_url == URL
    assert (found.session_id, found.transport, found.expires_at, found.metadata) == (None,) * 4


def test_given_everything_under_metadata_when_read_then_it_is_found_there(
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
    _write_raw(raw_redis, record)

    found = sessions.get(ID)

    assert found is not None
    assert found.ws_url == URL
    assert found.session_url == OTHER_URL
    assert found.session_payload == payload
    assert found.expires_at == "2025-01-01T00:10:00Z"
    assert found.session_id == "conv_4"
    assert found.created_at == "2025-01-01T00:00:00.500Z"
    assert found.metadata == {"page": "/start"}


def test_given_an_older_session_without_expiry_when_read_then_it_gets_ten_minutes(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    _write_raw(raw_redis, {"sessionPayload": {}, "wsUrl": URL}, ttl_seconds=None)

    found = sessions.get(ID)

    assert found is not None
    assert found.expires_in_seconds == 600
    assert 590 < raw_redis.ttl(KEY) <= 600


def test_given_an_older_session_without_expiry_when_verified_then_it_is_left_as_it_is(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    _write_raw(raw_redis, {"sessionPayload": {}, "wsUrl": URL}, ttl_seconds=None)

    sessions.verify(ID)

    assert raw_redis.ttl(KEY) == -1


def test_given_an_older_shape_when_deleted_by_its_id_then_it_is_gone(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    _write_raw(raw_redis, {"sessionUrl": URL, "agentSessionId": "conv_3"})

    assert not sessions.delete(ID, "another")
    assert sessions.delete(ID, "conv_3")

    assert raw_redis.keys() == []


# --- The raw payload ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({}, id="empty"),
        pytest.param(
            {"a": {}, "b": [], "c": "", "d": None, "e": False, "f": [[], {}]}, id="nothing"
        ),
        pytest.param({"deep": [{"er": [{"and": {"deeper": [1, [2, [3]]]}}]}]}, id="nested"),
        pytest.param({"n": 12345678901234567, "m": -(10**60), "f": 0.1, "e": 1e300}, id="numbers"),
        pytest.param({"ü": "日本語 😀 \u2028 \x7f", "\U0001f600": "ÿ"}, id="unicode"),
        pytest.param({"nul": "a\x00b", "\x00": '\x01\x1f\\"/'}, id="control characters"),
        pytest.param(
            {"z": 1, "a": 2, "snake_case": 3, "camelCase": 4, "10": 5, "9": 6}, id="order"
        ),
    ],
)
def test_given_a_payload_when_stored_then_it_comes_back_as_it_was(
    sessions: SessionRepository, raw_redis: Redis, payload: dict[str, Any]
) -> None:
    sessions.set(ID, session(sessionPayload=payload))

    found = sessions.get(ID)

    assert found is not None
    assert json_codec.encode(found.session_payload) == json_codec.encode(payload)
    stored = json_codec.decode(raw_redis.get(KEY) or b"")["sessionPayload"]
    assert json_codec.encode(stored) == json_codec.encode(payload)


def test_given_no_payload_when_registered_then_the_whole_body_is_it(
    sessions: SessionRepository,
) -> None:
    body = {"sessionUrl": URL, "unknown": [1, {"x": None}], "sessionId": "conv_1", "wsUrl": None}

    sessions.set(ID, AgentSession.from_registration(body))

    found = sessions.get(ID)
    assert found is not None
    assert found.session_payload == body
    assert list(found.session_payload) == list(body)


def test_given_a_url_in_each_of_the_four_places_when_registered_then_the_first_one_counts() -> None:
    places = ["wss://one/a?t=1", "wss://two/a?t=2", "wss://three/a?t=3", "ws://four/a?t=4"]
    first, second, third, fourth = places
    payload = {"wsUrl": fourth, "config": {"wsUrl": third}}
    bodies: list[dict[str, Any]] = [
        {"sessionPayload": payload, "sessionUrl": second, "wsUrl": first},
        {"sessionPayload": payload, "sessionUrl": second},
        {"sessionPayload": payload},
        {"sessionPayload": {"wsUrl": fourth}},
    ]

    found = [AgentSession.from_registration(body).ws_url for body in bodies]

    assert found == places


def test_given_a_page_url_first_when_registered_then_the_push_url_behind_it_counts() -> None:
    body = {"wsUrl": "https://api.elevenlabs.io/x", "sessionUrl": URL}

    assert AgentSession.from_registration(body).ws_url == URL


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param({"sessionId": "conv_1"}, "A session id alone", id="session id alone"),
        pytest.param({"agentSessionId": "conv_1"}, "A session id alone", id="agent session id"),
        pytest.param({}, "The body has no push-capable URL.", id="empty"),
        pytest.param(
            {"sessionPayload": {"config": {}}}, "The body has no push", id="empty payload"
        ),
        pytest.param(
            {"sessionPayload": {"config": "wss://x/"}}, "The body has no push", id="config"
        ),
        pytest.param({"wsUrl": ""}, "The body has no push-capable URL.", id="empty URL"),
        pytest.param({"sessionUrl": "https://x/?token=t"}, "The URL is not an abs", id="https"),
        pytest.param({"wsUrl": "//x/?token=t"}, "The URL is not an absolute", id="no scheme"),
        pytest.param({"wsUrl": "wss:///path"}, "The URL is not an absolute", id="no host"),
        pytest.param({"wsUrl": "wss://x/a b"}, "The URL is not an absolute", id="a space"),
        pytest.param({"wsUrl": "wss://x/\n"}, "The URL is not an absolute", id="a line break"),
        pytest.param({"wsUrl": "wss://[x/"}, "The URL is not an absolute", id="broken host"),
        pytest.param({"wsUrl": "wss://x:abc/"}, "The URL is not an absolute", id="port a word"),
        pytest.param({"wsUrl": "wss://x:65536/"}, "The URL is not an absolute", id="port too high"),
        pytest.param({"wsUrl": "wss://x:0/"}, "The URL is not an absolute", id="port 0"),
    ],
)
def test_given_no_push_capable_url_when_registered_then_the_sentence_says_what_to_send(
    body: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        AgentSession.from_registration(body)

    assert str(refusal.value).startswith(sentence)
    assert str(refusal.value).endswith(WHAT_TO_SEND)
    assert refusal.value.details == {"body": [str(refusal.value)]}
    assert "token=t" not in str(refusal.value)


@pytest.mark.parametrize("body", [None, [], "wss://x/", 1])
def test_given_a_body_that_is_no_object_when_registered_then_it_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequestError, match="must be a JSON object"):
        AgentSession.from_registration(body)


def test_given_a_payload_at_the_limit_when_one_byte_is_added_then_it_is_refused() -> None:
    room = 64 * 1024 - len('{"x":""}')
    AgentSession.from_registration({"wsUrl": URL, "sessionPayload": {"x": "x" * room}})

    with pytest.raises(InvalidRequestError, match="64 KiB"):
        AgentSession.from_registration({"wsUrl": URL, "sessionPayload": {"x": "x" * (room + 1)}})


def test_given_a_session_when_it_is_printed_then_no_credential_shows(
    sessions: SessionRepository,
) -> None:
    secret = "s3cr3t"
    body = {
        "wsUrl": f"wss://host/?a={secret}",
        "sessionUrl": f"wss://host/?b={secret}",
        "sessionPayload": {"token": secret},
        "metadata": {"note": secret},
        "sessionId": "conv_1",
    }
    stored = sessions.set(ID, AgentSession.from_registration(body))

    for one in (stored, sessions.get(ID)):
        for text in (repr(one), str(one), f"{one}"):
            assert secret not in text
            assert "wss://" not in text
            assert "conv_1" in text


# --- What cannot be read --------------------------------------------------------------------------


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
def test_given_what_is_no_session_when_used_then_it_is_corrupt_and_named_without_its_content(
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


def test_given_another_redis_type_when_used_then_it_is_corrupt_but_can_be_deleted(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    raw_redis.rpush(KEY, "x")

    with pytest.raises(CorruptRecordError):
        sessions.get(ID)
    with pytest.raises(CorruptRecordError):
        sessions.delete(ID, "mine")

    assert sessions.delete(ID)
    assert sessions.get(ID) is None


def test_given_a_newer_version_when_used_then_it_is_refused_and_left_alone(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    _write_raw(raw_redis, {"sessionPayload": {}, "wsUrl": URL, "schemaVersion": 2})

    with pytest.raises(UnsupportedRecordVersionError, match="newer version"):
        sessions.get(ID)
    with pytest.raises(UnsupportedRecordVersionError):
        sessions.delete(ID, "conv_1")

    assert raw_redis.exists(KEY) == 1


def test_given_a_server_that_is_away_when_used_then_it_is_an_outage_and_never_not_found(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("away")
    with EmbeddedServer(folder) as server:
        client = Redis.from_url(server.url, **connection_options())
        sessions = SessionRepository(StoreClient(client))
        sessions.set(ID, session(sessionId="mine"))

    uses: list[Callable[[], object]] = [
        lambda: sessions.set(ID, session()),
        lambda: sessions.get(ID),
        lambda: sessions.touch(ID),
        lambda: sessions.delete(ID),
        lambda: sessions.delete(ID, "mine"),
    ]
    for use in uses:
        with pytest.raises(StoreUnavailableError):
            use()
    client.close()


# --- Encrypted at rest ----------------------------------------------------------------------------


def test_given_a_key_when_set_then_redis_holds_no_credential_and_get_returns_it(
    store: StoreClient, raw_redis: Redis
) -> None:
    sessions = SessionRepository(store, encryption_keys=[Fernet.generate_key().decode()])

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
    SessionRepository(store, encryption_keys=[old]).set(ID, session())

    found = SessionRepository(store, encryption_keys=[new, old]).get(ID)

    assert found is not None
    assert found.ws_url == URL


def test_given_a_plain_session_when_a_key_is_configured_then_it_is_readable(
    store: StoreClient, sessions: SessionRepository
) -> None:
    sessions.set(ID, session())

    found = SessionRepository(store, encryption_keys=[Fernet.generate_key().decode()]).get(ID)

    assert found is not None
    assert found.ws_url == URL


@pytest.mark.parametrize("keys", [[], [Fernet.generate_key().decode()]], ids=["none", "another"])
def test_given_an_encrypted_session_without_its_key_when_read_then_the_error_says_so(
    store: StoreClient, keys: list[str]
) -> None:
    encrypting = SessionRepository(store, encryption_keys=[Fernet.generate_key().decode()])
    encrypting.set(ID, session())

    with pytest.raises(CorruptRecordError, match="encrypted with a key"):
        SessionRepository(store, encryption_keys=keys).get(ID)
