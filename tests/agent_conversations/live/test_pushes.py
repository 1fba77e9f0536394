"""Pushes go to one tab that holds the session, at most once, and what it says is stored."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from agent_conversations import API_PREFIX, services
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.keys import push_key, push_queue_key
from sessions_store.redis.script import Script
from sessions_store.types import AgentSession
from tests.agent_conversations.live.relay import notification_relay
from tests.agent_conversations.live.viewers import Loop, Viewer, event_loop, live_server
from tests.faults.relay import Command, Relay
from tests.waiting import wait_until

Watch = Callable[..., Viewer]
WORDS = "The report is done."


@pytest.fixture(autouse=True)
def registered(real_service: Redis) -> None:
    register("s-1")


def register(session_id: str, conversation_id: str = "c-1") -> None:
    body = {"wsUrl": "wss://host/push?token=t", "sessionId": session_id}
    services.sessions().set(conversation_id, AgentSession.from_registration(body))


def push(push_id: str = "p-1", text: str = WORDS, **options: Any) -> None:
    services.pushes().push("c-1", text, push_id=push_id, **options)


def state(push_id: str = "p-1") -> str:
    return services.pushes().get("c-1", push_id).state


def given(*tabs: Viewer) -> list[str]:
    """Return the ids of the pushes that the tabs were given."""
    return [one["pushId"] for tab in tabs for one in tab.frames if one["type"] == PUSHED]


def report(tab: Viewer, push_id: str = "p-1", **result: Any) -> None:
    frame = {"type": "agent_session.push_result", "pushId": push_id, "ok": True, **result}
    tab.send(json.dumps(frame))


def let_pass(redis: Redis, seconds: float, push_id: str = "p-1") -> None:
    """Have a push, and the last sign of its tab, be as much older."""
    for field in ("expiresAtMs", "heldUntilMs"):
        redis.hincrby(push_key("c-1", push_id), field, round(-seconds * 1000))


def is_claim(command: Command) -> bool:
    return Script("sessions_store", "claim_push").digest.encode() in command


PUSHED = "agent_session.push"


def test_push_is_given_to_its_tab_and_reported(watch: Watch) -> None:
    tab = watch(sessionId="s-1").wait_for_types("error")

    push(kind="contextual_update", context_id="x")

    tab.wait_for(given)
    frame = {"type": PUSHED, "conversationId": "c-1", "pushId": "p-1", "text": WORDS}
    assert tab.frames[-1] == {**frame, "kind": "contextual_update", "contextId": "x"}
    assert state() == "sent"
    report(tab)
    wait_until(lambda: state() == "delivered")


def test_push_is_given_without_waiting_for_the_next_look(loop: Loop) -> None:
    with live_server(loop, compare_seconds=300) as port:
        tab = Viewer(loop, port, "c-1", sessionId="s-1").connect().wait_for_types("error")

        push()

        tab.wait_for(given)
        tab.close()


def test_tab_that_cannot_says_why(watch: Watch) -> None:
    tab = watch(sessionId="s-1")
    push()
    tab.wait_for(given)

    report(tab, ok=False, reason="The call has ended.")

    wait_until(lambda: state() == "failed")
    assert services.pushes().get("c-1", "p-1").reason == "The call has ended."


def test_tab_that_connects_is_given_what_waits_in_order(watch: Watch) -> None:
    ids = [f"p-{number}" for number in range(120)]
    for push_id in ids:
        push(push_id)

    tab = watch(sessionId="s-1").wait_for(lambda self: len(given(self)) == 120)

    assert given(tab) == ids


def test_tab_that_comes_back_reports_and_is_given_the_next(watch: Watch) -> None:
    first = watch(sessionId="s-1")
    push()
    first.wait_for(given)
    first.close()
    push("p-2")

    back = watch(sessionId="s-1").wait_for(given)
    report(back, "p-1")

    wait_until(lambda: state("p-1") == "delivered")
    assert given(back) == ["p-2"]


def test_other_viewers_are_given_nothing(watch: Watch) -> None:
    register("s-1", "c-2")
    others = [watch(), watch(sessionId="s-2"), watch("c-2", sessionId="s-1")]
    for other in others:
        other.wait_for_types("error")

    push()
    watch(sessionId="s-1").wait_for(given)

    for other in others[:2]:
        report(other, ok=False)
    services.conversations().create()
    assert given(*others) == []
    assert state() == "sent"


def test_replaced_session_leaves_its_push_to_expire(watch: Watch, real_service: Redis) -> None:
    push()
    register("s-2")
    push("p-2")

    tab = watch(sessionId="s-2").wait_for(given)

    assert given(tab) == ["p-2"]
    let_pass(real_service, 60)
    assert state() == "expired"


def test_expired_push_is_given_to_no_tab(watch: Watch, real_service: Redis) -> None:
    push()
    push("p-2")
    real_service.hincrby(push_key("c-1", "p-1"), "expiresAtMs", -60_000)

    tab = watch(sessionId="s-1").wait_for(given)

    assert given(tab) == ["p-2"]
    assert state() == "expired"
    wait_until(lambda: not real_service.exists(push_queue_key("c-1", "s-1")))


def test_push_stays_sent_as_long_as_its_tab_is_open(watch: Watch, real_service: Redis) -> None:
    tab = watch(sessionId="s-1")
    push(expires_in_seconds=1)
    tab.wait_for(given)

    let_pass(real_service, 34)
    wait_until(lambda: _held_seconds(real_service) > 20)
    assert state() == "sent"
    tab.close()
    let_pass(real_service, 40)
    time.sleep(1)  # several looks

    assert state() == "unknown"


def _held_seconds(redis: Redis) -> float:
    seconds, microseconds = redis.time()
    held = redis.hget(push_key("c-1", "p-1"), "heldUntilMs")
    assert isinstance(held, bytes)
    return int(held) / 1000 - seconds - microseconds / 1e6


# --- At most once ---------------------------------------------------------------------------------


def test_each_push_is_given_once_by_two_processes(loop: Loop) -> None:
    ids = [f"p-{number}" for number in range(60)]
    with live_server(loop) as one, live_server(loop) as other:
        ports = [one, other, one, other, one]
        tabs = [Viewer(loop, port, "c-1", sessionId="s-1").connect() for port in ports]

        for push_id in ids:
            push(push_id)

        wait_until(lambda: len(given(*tabs)) >= len(ids))
        assert sorted(given(*tabs)) == sorted(ids)
        for tab in tabs:
            for push_id in given(tab):
                report(tab, push_id)
        wait_until(lambda: all(state(push_id) == "delivered" for push_id in ids))
        for tab in tabs:
            tab.close()


class RawTab:
    """A tab whose connection ends without a closing frame: aborted, as by a lost network."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.sendall(
            f"GET {API_PREFIX}/ws?conversationId=c-1&sessionId=s-1 HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        self.wait_for(b"conversation_not_found")

    def wait_for(self, words: bytes) -> None:
        received = b""
        while words not in received:
            data = self._socket.recv(65536)
            assert data, received
            received += data

    def abort(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


@pytest.fixture
def claims(
    server: EmbeddedServer, point_at: Callable[[str], None], tmp_path: Path, loop: Loop
) -> Iterator[tuple[Relay, int]]:
    """A live server behind a relay, with its port; what pushes has no relay."""
    relay = Relay(tmp_path / "relay.sock", server.socket)
    relay.start()
    point_at(relay.url)
    with live_server(loop) as port:
        point_at(server.url)
        yield relay, port
    relay.stop()


@pytest.mark.parametrize("dies", ["before", "during", "after"])
def test_push_of_a_dead_tab_is_given_to_no_other(
    claims: tuple[Relay, int], loop: Loop, real_service: Redis, dies: str
) -> None:
    relay, port = claims
    tab = RawTab(port)
    if dies == "before":
        tab.abort()
        push()
    elif dies == "during":
        with relay.holding(is_claim) as gate:
            push()
            assert gate.reached.wait(10)
            tab.abort()
        wait_until(lambda: state() == "sent")
    else:
        push()
        tab.wait_for(WORDS.encode())
        tab.abort()

    other = Viewer(loop, port, "c-1", sessionId="s-1").connect()
    push("p-2")
    other.wait_for(lambda self: "p-2" in given(self))

    if "p-1" in given(other):
        assert dies == "before", "it was given twice"
    else:
        assert state() == "sent"
        let_pass(real_service, 100)
        assert state() == "unknown"
    other.close()


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_push_whose_claim_got_no_reply_is_given_once(
    claims: tuple[Relay, int], loop: Loop, cuts: int
) -> None:
    relay, port = claims
    tabs = [Viewer(loop, port, "c-1", sessionId="s-1").connect() for _ in range(2)]
    for tab in tabs:
        tab.wait_for_types("error")

    with relay.losing("cut", is_claim, cuts) as rule:
        push()
        wait_until(lambda: given(*tabs))
        push("p-2")
        wait_until(lambda: "p-2" in given(*tabs))

    assert rule.done >= min(cuts, 2)
    assert sorted(given(*tabs)) == ["p-1", "p-2"]
    for tab in tabs:
        tab.close()


# --- Faults ---------------------------------------------------------------------------------------


def test_push_is_given_whose_notification_was_lost(
    server: EmbeddedServer, point_at: Callable[[str], None], tmp_path: Path
) -> None:
    with notification_relay(tmp_path, server.socket) as relay, event_loop() as loop:
        point_at(relay.url)
        with live_server(loop) as port:
            point_at(server.url)
            tab = Viewer(loop, port, "c-1", sessionId="s-1").connect().wait_for_types("error")
            relay.lose = 1.0

            push()

            tab.wait_for(given)
            assert relay.spoiled == 1
            tab.close()


@pytest.mark.parametrize("stays", [True, False])
def test_result_that_comes_in_an_outage_is_stored_after_it(
    claims: tuple[Relay, int], loop: Loop, stays: bool
) -> None:
    relay, port = claims
    tab = Viewer(loop, port, "c-1", sessionId="s-1").connect()
    push()
    tab.wait_for(given)

    with relay.refusing():
        report(tab)
        if not stays:
            tab.close()
        time.sleep(0.5)
        assert state() == "sent"

    wait_until(lambda: state() == "delivered")
    if stays:
        tab.close()


NONSENSE: list[str | bytes] = [
    "",
    "no json",
    "[]",
    "null",
    "[" * 2000,
    b"\xff\x00",
    '{"type": "agent_session.push_result"}',
    '{"pushId": "p-1", "ok": true}',
    '{"type": "agent_session.push", "pushId": "p-1", "ok": true}',
    '{"type": "agent_session.push_result", "pushId": "p-1", "ok": "yes"}',
    '{"type": "agent_session.push_result", "pushId": "p-1"}',
    '{"type": "agent_session.push_result", "pushId": "", "ok": true}',
    '{"type": "agent_session.push_result", "pushId": "\\ud800", "ok": true}',
    '{"type": "agent_session.push_result", "pushId": ["p-1"], "ok": true}',
    '{"type": "agent_session.push_result", "pushId": "another", "ok": true}',
    '{"type": "agent_session.push_result", "pushId": "p-1", "ok": true, "reason": 1}',
]


def test_nonsense_of_a_tab_changes_nothing(watch: Watch, log: pytest.LogCaptureFixture) -> None:
    tab = watch(sessionId="s-1")
    push()
    tab.wait_for(given)

    for message in NONSENSE:
        tab.send(message)
    for number in range(500):
        report(tab, f"never-{number}")
    push("p-2")

    tab.wait_for(lambda self: given(self) == ["p-1", "p-2"])
    assert state() == "sent"
    report(tab)
    wait_until(lambda: state() == "delivered")
    assert WORDS not in log.text
    assert not [one for one in log.records if one.levelname in ("WARNING", "ERROR")]


def test_push_that_cannot_be_read_holds_up_no_other(
    watch: Watch, real_service: Redis, log: pytest.LogCaptureFixture
) -> None:
    push()
    push("p-2")
    real_service.hset(push_key("c-1", "p-1"), "content", WORDS)

    tab = watch(sessionId="s-1").wait_for(given)

    assert given(tab) == ["p-2"]
    assert "A push cannot be read" in log.text
    assert WORDS not in log.text
