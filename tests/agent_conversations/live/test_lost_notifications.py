"""Whatever becomes of notifications, connections and readers: after quiet, each copy is right."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from agent_conversations import services
from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.embedded.server import EmbeddedServer
from tests.agent_conversations.live.relay import NotificationRelay, notification_relay
from tests.agent_conversations.live.viewers import Loop, Viewer, event_loop, live_server

SEEN = ("lastAccessedAt",)
"""What a reader may see later than a change of it, because it is no change of the conversation."""


def comparable(conversation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conversation.items() if name not in SEEN}


def stored(conversation_id: str) -> dict[str, Any] | None:
    part = services.conversations().find_part(conversation_id)
    return None if part is None else comparable(json.loads(part.conversation.to_json()))


def has_the_record(viewer: Viewer) -> bool:
    record = stored(str(viewer.query["conversationId"]))
    if viewer.close_code is not None:
        return viewer.copy is None
    if record is None:
        return viewer.copy is None
    return viewer.copy is not None and comparable(viewer.copy) == record


def assert_never_backwards(viewer: Viewer) -> None:
    """Each message carries the number of the write that made it, and these only grow."""
    newest = 0
    for frame in viewer.frames:
        messages = frame.get("conversation", {}).get("messages") or frame.get("messages") or []
        numbers = [int(message["content"]) for message in messages]
        if frame["type"].endswith(("snapshot", "updated", "created")) and numbers:
            assert max(numbers) >= newest, viewer.types
        newest = max([newest, *numbers])


class Watching(RuleBasedStateMachine):
    """Conversations are written, and watched through a relay that spoils notifications."""

    relay: NotificationRelay
    redis: Redis
    port: int
    loop: Loop

    viewers = Bundle("viewers")
    ids = st.sampled_from(["c-1", "c-2"])

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.written = 0
        self.all: list[Viewer] = []

    def _message(self) -> AgentMessage:
        self.written += 1
        return AgentMessage(role="user", content=str(self.written))

    @initialize()
    def watch_what_is_there(self) -> None:
        """Each run begins in disturbance: whether a rule is ever chosen is left to chance."""
        for conversation_id in ("c-1", "c-2"):
            self.create(conversation_id)
            for delta in (False, True):
                self.watch(conversation_id, delta)
        self.disturb(lose=True, double=True, reorder=True)
        for conversation_id in ("c-1", "c-2"):
            self.append(conversation_id, 4)

    @rule(conversation_id=ids)
    def create(self, conversation_id: str) -> None:
        services.conversations().create(NewConversation(conversation_id=conversation_id))

    @rule(conversation_id=ids, count=st.integers(1, 4))
    def append(self, conversation_id: str, count: int) -> None:
        for _ in range(count):
            self._try(services.conversations().append_message, conversation_id, self._message())

    @rule(conversation_id=ids, message_id=st.sampled_from(["m-1", "m-2"]))
    def put(self, conversation_id: str, message_id: str) -> None:
        self._try(
            services.conversations().put_message, conversation_id, message_id, self._message()
        )

    @rule(conversation_id=ids, agent_id=st.sampled_from(["a", "b", None]))
    def change(self, conversation_id: str, agent_id: str | None) -> None:
        changes = ConversationChanges.model_validate({"agentId": agent_id})
        self._try(services.conversations().update, conversation_id, changes)

    @rule(conversation_id=ids)
    def delete(self, conversation_id: str) -> None:
        self._try(services.conversations().delete, conversation_id)

    @rule(target=viewers, conversation_id=ids, delta=st.booleans())
    def watch(self, conversation_id: str, delta: bool) -> Viewer:
        query: dict[str, Any] = {"mode": "delta"} if delta else {}
        viewer = Viewer(self.loop, self.port, conversation_id, **query).connect()
        self.all.append(viewer)
        return viewer

    @rule(target=viewers, before=consumes(viewers))
    def come_back(self, before: Viewer) -> Viewer:
        before.close()
        self.all.remove(before)
        resumed = before if before.copy is not None else None
        conversation_id = str(before.query["conversationId"])
        viewer = Viewer(self.loop, self.port, conversation_id, before=resumed).connect()
        self.all.append(viewer)
        return viewer

    @rule(lose=st.sampled_from([True, True, False]), double=st.booleans(), reorder=st.booleans())
    def disturb(self, lose: bool, double: bool, reorder: bool) -> None:
        self.relay.lose = 0.7 * lose
        self.relay.double = 0.7 * double
        self.relay.reorder = 0.7 * reorder

    @rule()
    def cut(self) -> None:
        self.relay.cut()

    @rule(viewer=viewers)
    def stop_reading(self, viewer: Viewer) -> None:
        viewer.stop_reading()

    @rule(viewer=viewers)
    def read_again(self, viewer: Viewer) -> None:
        viewer.read()

    @rule()
    def quiet(self) -> None:
        self.relay.lose = self.relay.double = self.relay.reorder = 0.0
        for viewer in self.all:
            viewer.read()
        for viewer in self.all:
            viewer.wait_for(has_the_record)
            assert_never_backwards(viewer)

    def teardown(self) -> None:
        self.quiet()
        for viewer in self.all:
            viewer.close()

    @staticmethod
    def _try(write: Any, *arguments: object) -> None:
        with suppress(ConversationNotFoundError):
            write(*arguments)


@pytest.fixture
def relayed(
    server: EmbeddedServer, real_service: Redis, point_at: Any, tmp_path: Path
) -> Iterator[tuple[NotificationRelay, Loop, int]]:
    """A live server behind a relay, with its loop and port; what writes has no relay."""
    with notification_relay(tmp_path, server.socket) as relay, event_loop() as loop:
        point_at(relay.url)
        with live_server(loop) as port:
            point_at(server.url)
            yield relay, loop, port


@pytest.mark.parametrize("query", [{}, {"mode": "delta"}], ids=["whole", "delta"])
def test_change_is_seen_whose_notification_was_lost(
    relayed: tuple[NotificationRelay, Loop, int], query: dict[str, Any]
) -> None:
    relay, loop, port = relayed
    services.conversations().create(NewConversation(conversation_id="c-1"))
    viewer = Viewer(loop, port, "c-1", **query).connect().wait_for_types("snapshot")
    relay.lose = 1.0

    services.conversations().append_message("c-1", AgentMessage(role="user", content="1"))

    viewer.wait_for(has_the_record)
    assert relay.spoiled == 1
    viewer.close()


def test_copy_of_each_viewer_becomes_the_record(
    relayed: tuple[NotificationRelay, Loop, int], real_service: Redis
) -> None:
    Watching.redis = real_service
    Watching.relay, Watching.loop, Watching.port = relayed
    run_state_machine_as_test(
        Watching,
        settings=hypothesis.settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            # A failure is one of time: each smaller example would wait for as long.
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
    assert Watching.relay.spoiled
