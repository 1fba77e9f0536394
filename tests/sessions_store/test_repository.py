"""Storing and reading sessions, over fakeredis and over a real server."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from time_machine import Traveller

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import InvalidRequestError, StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession
from sessions_store.wire import json_codec
from tests.sessions_store.records import EVERYTHING, ID, KEY, OTHER_URL, URL, session


def test_stored_session_is_returned_with_every_field(
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


def test_session_is_stored_as_json_with_the_documented_names(
    sessions: SessionRepository, raw_redis: Redis, clock: Traveller
) -> None:
    sessions.set(ID, AgentSession.from_registration(EVERYTHING))

    record = json.loads(raw_redis.get(KEY) or "")

    assert record == {
        "conversationId": ID,
        **EVERYTHING,
        "createdAt": "2026-11-23T16:20:45.123Z",
        "ttl": 600,
        "schemaVersion": 1,
    }


def test_session_without_optional_fields_omits_them(
    sessions: SessionRepository, raw_redis: Redis
) -> None:
    sessions.set(ID, AgentSession.from_registration({"sessionUrl": URL}))

    found = sessions.get(ID)

    assert found is not None
    assert (found.session_id, found.transport, found.expires_at, found.metadata) == (None,) * 4
    assert set(json.loads(raw_redis.get(KEY) or "")) == {
        "conversationId",
        "sessionPayload",
        "wsUrl",
        "sessionUrl",
        "createdAt",
        "ttl",
        "schemaVersion",
    }


def test_agent_session_id_becomes_the_session_id(
    sessions: SessionRepository,
) -> None:
    sessions.set(ID, session(agentSessionId="conv_2"))

    found = sessions.get(ID)

    assert found is not None
    assert found.session_id == "conv_2"


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
def test_session_payload_is_returned_unchanged(
    sessions: SessionRepository, raw_redis: Redis, payload: dict[str, Any]
) -> None:
    sessions.set(ID, session(sessionPayload=payload))

    found = sessions.get(ID)

    assert found is not None
    assert json_codec.encode(found.session_payload) == json_codec.encode(payload)
    stored = json_codec.decode(raw_redis.get(KEY) or b"")["sessionPayload"]
    assert json_codec.encode(stored) == json_codec.encode(payload)


def test_body_without_a_payload_becomes_the_payload(
    sessions: SessionRepository,
) -> None:
    body = {"sessionUrl": URL, "unknown": [1, {"x": None}], "sessionId": "conv_1", "wsUrl": None}

    sessions.set(ID, AgentSession.from_registration(body))

    found = sessions.get(ID)
    assert found is not None
    assert found.session_payload == body
    assert list(found.session_payload) == list(body)


def test_missing_session_is_none(sessions: SessionRepository) -> None:
    assert sessions.get(ID) is None


def test_new_session_replaces_the_old_one(
    sessions: SessionRepository,
) -> None:
    sessions.set(ID, session(sessionId="first", metadata={"only": "first"}))
    sessions.set(ID, session(sessionId="second"))

    found = sessions.get(ID)

    assert found is not None
    assert found.session_id == "second"
    assert found.metadata is None


@pytest.mark.parametrize("conversation_id", ["", "list", "a b", "a:b", ".a", "a\n", "é", "a" * 129])
def test_invalid_conversation_id_is_refused(
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


def test_outage_raises_store_unavailable_error(
    stoppable_server: EmbeddedServer, stoppable_store: StoreClient
) -> None:
    sessions = SessionRepository(stoppable_store)
    sessions.set(ID, session(sessionId="mine"))
    stoppable_server.stop()

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
