"""The live server: what viewers are sent, and who may be one."""

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import API_PREFIX, services
from agent_conversations.access import SCOPES, Client, Tokens, ticket_of
from agent_conversations.store.keys import (
    conversation_key,
    messages_key,
    record_keys,
)
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.keys import changes_channel
from tests.agent_conversations.live.document import DOCUMENT
from tests.agent_conversations.live.viewers import Loop, Viewer

Watch = Callable[..., Viewer]
DELTA = {"mode": "delta"}


def create(conversation_id: str = "c-1") -> None:
    services.conversations().create(NewConversation(conversation_id=conversation_id))


def append(content: str = "words", message_id: str | None = None) -> None:
    message = AgentMessage(role="user", content=content, message_id=message_id)
    services.conversations().append_message("c-1", message)


def put(message_id: str, content: str) -> None:
    message = AgentMessage(role="user", content=content)
    services.conversations().put_message("c-1", message_id, message)


def change(**fields: Any) -> None:
    services.conversations().update("c-1", ConversationChanges(**fields))


def stored() -> dict[str, Any]:
    part = services.conversations().find_part("c-1")
    assert part is not None
    body: dict[str, Any] = json.loads(part.conversation.to_json())
    return body


def without_access_time(conversation: dict[str, Any] | None) -> dict[str, Any]:
    assert conversation is not None
    return {key: value for key, value in conversation.items() if key != "lastAccessedAt"}


# --- Frames ---------------------------------------------------------------------------------------


def test_each_change_is_sent_with_its_reason(watch: Watch) -> None:
    create()
    viewer = watch().wait_for_types("snapshot")

    append("one", "m-1")
    viewer.wait_for(lambda self: len(self.frames) == 2)
    put("m-1", "two")
    viewer.wait_for(lambda self: len(self.frames) == 3)
    change(agent_id="a-1")
    viewer.wait_for(lambda self: len(self.frames) == 4)

    assert viewer.types == ["snapshot", "updated", "updated", "updated"]
    reasons = [frame["reason"] for frame in viewer.frames[1:]]
    assert reasons == ["message_added", "message_updated", "updated"]
    assert viewer.copy == stored()
    assert all(frame["revision"] for frame in viewer.frames)


def test_viewer_in_delta_mode_is_sent_what_changed(watch: Watch) -> None:
    create()
    append("one", "m-1")
    viewer = watch(**DELTA).wait_for_types("snapshot")

    append("two", "m-2")
    viewer.wait_for(lambda self: len(self.frames) == 2)
    put("m-1", "three")
    viewer.wait_for(lambda self: len(self.frames) == 3)
    change(metadata={"title": "Today"})
    viewer.wait_for(lambda self: len(self.frames) == 4)

    assert viewer.types == ["snapshot", "messages_added", "message_updated", "changed"]
    added, updated, _ = viewer.frames[1:]
    assert [message["content"] for message in added["messages"]] == ["two"]
    assert (added["messageCount"], updated["index"]) == (2, 0)
    assert without_access_time(viewer.copy) == without_access_time(stored())


def test_waiting_viewer_sees_the_conversation_come_and_go(watch: Watch) -> None:
    viewer = watch().wait_for_types("error")

    create()
    viewer.wait_for_types("error", "created")
    services.conversations().delete("c-1")

    viewer.wait_for(lambda self: self.close_code)
    assert viewer.frames[0]["code"] == "conversation_not_found"
    assert viewer.types == ["error", "created", "deleted"]
    assert viewer.close_code == 1000


def test_put_that_appends_is_a_message_added(watch: Watch) -> None:
    create()
    viewer = watch().wait_for_types("snapshot")

    put("m-1", "one")

    viewer.wait_for_types("snapshot", "updated")
    assert viewer.frames[1]["reason"] == "message_added"


def test_viewer_that_comes_back_gets_what_it_lacks(watch: Watch) -> None:
    create()
    append("one")
    first = watch(**DELTA).wait_for_types("snapshot")
    first.close()
    append("two")

    back = watch(before=first)

    back.wait_for(lambda self: self.frames)
    assert back.types == ["messages_added"]
    assert [message["content"] for message in back.frames[0]["messages"]] == ["two"]


def test_viewer_that_has_the_newest_is_sent_nothing(watch: Watch) -> None:
    create()
    first = watch(**DELTA).wait_for_types("snapshot")
    first.close()

    back = watch(before=first)
    append("one")

    back.wait_for(lambda self: self.frames)
    assert back.types == ["messages_added"]


def test_viewer_that_comes_back_after_a_correction_gets_a_snapshot(watch: Watch) -> None:
    create()
    append("one", "m-1")
    first = watch(**DELTA).wait_for_types("snapshot")
    first.close()
    put("m-1", "two")
    append("three")

    back = watch(before=first)

    back.wait_for_types("snapshot")
    assert back.copy == stored()


@pytest.mark.parametrize("said_since", [("two",), ("two", "three")], ids=len)
def test_viewer_does_not_keep_what_the_server_has_lost(
    watch: Watch, real_service: Redis, said_since: tuple[str, ...]
) -> None:
    """A failover: another server takes over, which had not received all."""
    create()
    append("one")
    names = record_keys("c-1")
    dumps = [real_service.dump(name) or b"" for name in names]
    append("lost")
    viewer = watch(**DELTA).wait_for_types("snapshot")

    for name, dump in zip(names, dumps, strict=True):
        real_service.restore(name, 0, dump, replace=True)
    for content in said_since:
        append(content)
    real_service.client_kill_filter(_type="pubsub")

    viewer.wait_for(lambda self: self.copy == stored())


def test_watching_is_no_access(watch: Watch, real_service: Redis) -> None:
    create()
    before = real_service.hgetall(conversation_key("c-1"))

    watch().wait_for_types("snapshot")

    assert real_service.hgetall(conversation_key("c-1")) == before


def test_reading_and_repeating_are_no_changes(watch: Watch) -> None:
    create()
    append("one", "m-1")
    viewer = watch().wait_for_types("snapshot")

    services.conversations().get("c-1")
    append("one", "m-1")
    put("m-1", "one")
    change(agent_id="a-1")

    viewer.wait_for_types("snapshot", "updated")


def test_conversation_is_read_once_for_all_viewers(watch: Watch, real_service: Redis) -> None:
    create()
    viewers = [watch(**(DELTA if number % 2 else {})) for number in range(20)]
    for viewer in viewers:
        viewer.wait_for_types("snapshot")
    real_service.config_resetstat()

    append("one")
    for viewer in viewers:
        viewer.wait_for(lambda self: len(self.frames) == 2)

    # For twenty; the last one's joining, or a comparison, may have come in between.
    calls = real_service.info("commandstats")["cmdstat_lrange"]["calls"]
    assert 1 <= calls <= 3


def test_changes_that_come_during_a_reading_are_joined(watch: Watch, real_service: Redis) -> None:
    create()
    viewer = watch().wait_for_types("snapshot")
    real_service.config_resetstat()

    publish = "for _ = 1, 100 do redis.call('PUBLISH', KEYS[1], 'a change') end"
    real_service.eval(publish, 1, changes_channel("c-1"))
    append("one")
    viewer.wait_for(lambda self: len(self.frames) == 2)

    # One for the first of them, one for those that came meanwhile, one for what was appended; and
    # as many again where the notifications arrived in two parts.
    calls = real_service.info("commandstats")["cmdstat_lrange"]["calls"]
    assert 1 <= calls <= 6


def test_corrupt_record_is_told_and_healing_seen(watch: Watch, real_service: Redis) -> None:
    create()
    append("one")
    messages = real_service.lrange(messages_key("c-1"), 0, -1)
    real_service.delete(messages_key("c-1"))
    viewer = watch().wait_for_types("error")

    real_service.rpush(messages_key("c-1"), *messages)

    viewer.wait_for_types("error", "snapshot")
    assert viewer.frames[0]["code"] == "corrupt_record"


# --- Clients --------------------------------------------------------------------------------------


def test_short_frames_from_clients_are_ignored(watch: Watch) -> None:
    create()
    viewer = watch().wait_for_types("snapshot")

    for message in ("words", b"\xff" * 4096, "{}"):
        viewer.send(message)
    append("one")

    viewer.wait_for_types("snapshot", "updated")


def test_long_frame_from_a_client_closes_with_1009(watch: Watch) -> None:
    viewer = watch().wait_for_types("error")

    viewer.send("x" * 4097)

    assert viewer.wait_for(lambda self: self.close_code).close_code == 1009


def refused(port: int, query: str = "?conversationId=c-1", **headers: str) -> tuple[int, Any]:
    """Send an opening handshake that is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    connection.request("GET", f"{API_PREFIX}/ws{query}", headers={**handshake, **headers})
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "application/json"
    body = json.loads(response.read())
    connection.close()
    assert f"{response.status} `{body['code']}`" in DOCUMENT["info"]["description"]
    return response.status, body["code"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?conversationId=",
        "?conversationId=a%20b",
        "?id=ws",
        "?id=c-1&mode=all",
        "?id=c&after=x",
    ],
)
def test_query_that_cannot_be_is_refused(live_port: int, query: str) -> None:
    assert refused(live_port, query) == (400, "invalid_request")


def test_id_is_another_name_of_conversation_id(loop: Loop, live_port: int) -> None:
    viewer = Viewer(loop, live_port, "c-1")
    viewer.url = viewer.url.replace("conversationId=", "id=")

    viewer.connect().wait_for_types("error").close()


def test_everyone_is_refused_while_the_flag_is_off(live_port: int, settings: Settings) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    assert refused(live_port, "") == (503, "feature_disabled")


@pytest.mark.parametrize("protocols", [["bearer.secret"], ["bearer.secret", "other"]])
def test_browser_sends_its_token_as_a_subprotocol(
    loop: Loop, live_port: int, settings: Settings, protocols: list[str]
) -> None:
    settings.API_TOKENS = Tokens({"secret": Client("frontend")})

    assert refused(live_port) == (401, "not_authenticated")
    assert refused(live_port, Authorization="Bearer wrong") == (401, "not_authenticated")
    viewer = Viewer(loop, live_port, "c-1").connect(subprotocols=protocols)
    viewer.wait_for_types("error").close()
    headers = {"Authorization": "Bearer secret"}
    other = Viewer(loop, live_port, "c-1").connect(additional_headers=headers)
    other.wait_for_types("error").close()


@pytest.mark.parametrize(
    ("query", "scopes"),
    [
        ("?id=c-1", SCOPES - {"read"}),
        ("?id=c-1&sessionId=s-1", SCOPES - {"write"}),
        ("?id=c-1&sessionId=s-1", SCOPES - {"read"}),
    ],
)
def test_watching_needs_read_and_taking_pushes_write(
    live_port: int, settings: Settings, query: str, scopes: frozenset[str]
) -> None:
    settings.API_TOKENS = Tokens({"secret": Client("frontend", scopes)})

    assert refused(live_port, query, Authorization="Bearer secret") == (403, "permission_denied")


def test_token_for_reading_alone_watches(loop: Loop, live_port: int, settings: Settings) -> None:
    settings.API_TOKENS = Tokens({"secret": Client("frontend", frozenset({"read"}))})
    headers = {"Authorization": "Bearer secret"}

    viewer = Viewer(loop, live_port, "c-1").connect(additional_headers=headers)

    viewer.wait_for_types("error").close()


def test_page_opens_the_socket_with_its_ticket(
    loop: Loop, live_port: int, settings: Settings
) -> None:
    settings.API_TOKENS = Tokens({"secret": Client("frontend")})
    other = ticket_of("a token that was taken away")

    assert refused(live_port, Authorization=f"Bearer {other}") == (401, "not_authenticated")
    protocols = [f"bearer.{ticket_of('secret')}"]
    viewer = Viewer(loop, live_port, "c-1").connect(subprotocols=protocols)
    viewer.wait_for_types("error").close()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", True),
        ("https://evil.example.com", False),
        ("http://127.0.0.1:{rest}", True),
        ("http://127.0.0.1:{live}", True),
        ("http://127.0.0.1:1", False),
        ("null", False),
    ],
)
def test_page_needs_an_allowed_origin(
    loop: Loop, live_port: int, settings: Settings, origin: str, allowed: bool
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    settings.CORS_ALLOWED_ORIGIN_REGEXES = []
    origin = origin.format(rest=settings.PORT, live=live_port)

    if allowed:
        Viewer(loop, live_port, "c-1").connect(origin=origin).wait_for_types("error").close()
    else:
        assert refused(live_port, Origin=origin) == (403, "origin_not_allowed")


def test_host_that_is_not_ours_is_refused(live_port: int) -> None:
    assert refused(live_port, Host="rebound.example") == (400, "invalid_request")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Upgrade": "h2c"}, 426), ({"Sec-WebSocket-Version": "12"}, 400)],
    ids=str,
)
def test_what_is_no_handshake_is_refused_in_the_envelope(
    live_port: int, headers: dict[str, str], status: int
) -> None:
    assert refused(live_port, **headers)[0] == status


@pytest.mark.parametrize(
    ("path", "status"), [("/health/live", 200), ("/health/ready", 200), ("/unknown", 404)]
)
def test_health_is_served_beside_the_socket(live_port: int, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", live_port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()

    assert response.status == status
    assert json.loads(response.read())
    connection.close()
