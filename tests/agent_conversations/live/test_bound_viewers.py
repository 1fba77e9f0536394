"""Viewers whose token is bound to a user see that user's conversations alone."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from agent_conversations.access import SCOPES, Client, Tokens, TokensWithFile
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.types import AgentSession
from tests.agent_conversations.live.viewers import Loop, Viewer
from tests.waiting import wait_until

WatchAs = Callable[..., Viewer]
MESSAGE = AgentMessage(role="user", content="Hello")


@pytest.fixture(autouse=True, params=["real_service", "encrypted_service"])
def _service(request: pytest.FixtureRequest) -> None:
    """All of it holds for conversations that are encrypted, too."""
    request.getfixturevalue(request.param)


@pytest.fixture
def watch_as(loop: Loop, live_port: int, settings: Settings) -> Iterator[WatchAs]:
    """Connect viewers with the token of a user, or of all; they are closed with the test."""
    settings.API_TOKENS = Tokens(
        {"ada": Client("app", SCOPES, "ada"), "bob": Client("app", SCOPES, "bob")}
        | {"all": Client("backend")}
    )
    viewers: list[Viewer] = []

    def connect(token: str, conversation_id: str = "c-1", **query: Any) -> Viewer:
        viewer = Viewer(loop, live_port, conversation_id, **query)
        viewers.append(viewer.connect(additional_headers={"Authorization": f"Bearer {token}"}))
        return viewer

    yield connect
    for viewer in viewers:
        viewer.close()


@pytest.fixture
def of_bob(real_service: Redis) -> None:
    make("c-1", "bob")


def make(conversation_id: str, user_id: str | None) -> None:
    new = NewConversation(conversation_id=conversation_id, user_id=user_id)
    services.conversations().create(new)
    services.conversations().append_message(conversation_id, MESSAGE)


def give_to(user_id: str | None, conversation_id: str = "c-1") -> None:
    services.conversations().update(conversation_id, ConversationChanges(user_id=user_id))


def register(session_id: str) -> None:
    body = {"wsUrl": "wss://host/push?token=t", "sessionId": session_id}
    services.sessions().set("c-1", AgentSession.from_registration(body))


@pytest.mark.parametrize("query", [{}, {"mode": "delta"}])
@pytest.mark.parametrize("beside", [None, "all", "bob"])
@pytest.mark.usefixtures("of_bob")
def test_viewer_of_another_users_waits_as_for_none(
    watch_as: WatchAs, query: dict[str, Any], beside: str | None
) -> None:
    if beside:
        watch_as(beside).wait_for_types("snapshot")
    strangers = [watch_as("ada", one, **query) for one in ("c-1", "unknown")]
    for one in strangers:
        one.wait_for_types("error")
    services.conversations().append_message("c-1", MESSAGE)

    give_to("ada")

    strangers[0].wait_for_types("error", "created")
    assert strangers[1].types == ["error"]
    first, second = (one.frames[0] for one in strangers)
    assert {**first, "conversationId": ""} == {**second, "conversationId": ""}


@pytest.mark.usefixtures("of_bob")
def test_resuming_at_another_users_is_as_at_none(watch_as: WatchAs) -> None:
    part = services.conversations().find_part("c-1")
    assert part
    query = {"mode": "delta", "after": 1, "revision": part.conversation.revision}

    for one in ("c-1", "unknown"):
        viewer = watch_as("ada", one, **query).wait_for_types("deleted")
        viewer.wait_for(lambda self: self.close_code == 1000)


@pytest.mark.parametrize("mode", ["full", "delta"])
@pytest.mark.parametrize("next_user", ["ada", None])
@pytest.mark.usefixtures("of_bob")
def test_viewer_is_cut_off_when_the_user_changes(
    watch_as: WatchAs, mode: str, next_user: str | None
) -> None:
    query = {"mode": "delta"} if mode == "delta" else {}
    bobs, everyones = watch_as("bob", **query), watch_as("all")
    for one in (bobs, everyones):
        one.wait_for_types("snapshot")

    give_to(next_user)
    services.conversations().append_message("c-1", MESSAGE)

    bobs.wait_for(lambda self: self.close_code == 1000)
    assert bobs.types == ["snapshot", "deleted"]
    everyones.wait_for(lambda self: self.copy and self.copy["messageCount"] == 2)


@pytest.mark.usefixtures("of_bob")
def test_damage_of_another_users_is_not_told(watch_as: WatchAs, real_service: Redis) -> None:
    real_service.delete("{elevenlabs:conversation:c-1}:messages")

    stranger, everyones = watch_as("ada"), watch_as("all")

    everyones.wait_for_types("error")
    stranger.wait_for_types("error")
    assert everyones.frames[0]["code"] == "corrupt_record"
    assert stranger.frames[0]["code"] == "conversation_not_found"


@pytest.mark.usefixtures("of_bob")
def test_push_is_given_to_the_users_own_tab_alone(watch_as: WatchAs) -> None:
    register("s-1")
    stranger = watch_as("ada", sessionId="s-1").wait_for_types("error")
    services.pushes().push("c-1", "Done.", push_id="p-1")
    own = watch_as("bob", sessionId="s-1")

    own.wait_for(lambda self: "agent_session.push" in self.types)
    services.pushes().push("c-1", "Done again.", push_id="p-2")
    own.wait_for(lambda self: self.types.count("agent_session.push") == 2)
    assert stranger.types == ["error"]


@pytest.mark.usefixtures("of_bob")
def test_tab_is_given_no_push_after_the_user_changed(watch_as: WatchAs) -> None:
    register("s-1")
    bobs = watch_as("bob", sessionId="s-1").wait_for_types("snapshot")

    give_to("ada")
    bobs.wait_for(lambda self: self.close_code == 1000)
    services.pushes().push("c-1", "For Ada.", push_id="p-1")
    adas = watch_as("ada", sessionId="s-1")

    adas.wait_for(lambda self: "agent_session.push" in self.types)
    assert "agent_session.push" not in bobs.types
    wait_until(lambda: services.pushes().get("c-1", "p-1").state == "sent")


@pytest.mark.usefixtures("of_bob")
def test_viewers_are_served_while_tokens_are_read(
    watch_as: WatchAs, settings: Settings, tmp_path: Path
) -> None:
    file, pipe, later = tmp_path / "tokens", tmp_path / "pipe", tmp_path / "later"
    file.write_text("backend:all\n")
    settings.API_TOKENS = TokensWithFile({}, file)
    viewer = watch_as("all").wait_for_types("snapshot")
    later.write_text("other:the-next-token\n")
    os.mkfifo(pipe)
    pipe.replace(file)
    writer = opened_for_writing(file)  # it is being read, until this end is closed
    try:
        services.conversations().append_message("c-1", MESSAGE)
        viewer.wait_for(lambda self: self.copy and self.copy["messageCount"] == 2)
        watch_as("all").wait_for_types("snapshot")
    finally:
        later.replace(file)
        os.write(writer, file.read_bytes())
        os.close(writer)
    viewer.wait_for(lambda self: self.close_code == 1008)


def opened_for_writing(pipe: Path) -> int:
    """Return a pipe's end once somebody reads the other."""
    opened: list[int] = []

    def is_read() -> bool:
        with suppress(OSError):
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_until(is_read)
    return opened[0]


@pytest.mark.usefixtures("of_bob")
def test_viewer_is_cut_off_once_the_token_is_gone(watch_as: WatchAs, settings: Settings) -> None:
    bobs, everyones = watch_as("bob"), watch_as("all")
    for one in (bobs, everyones):
        one.wait_for_types("snapshot")

    settings.API_TOKENS = Tokens({"the-next-token-of-all": Client("backend")})

    bobs.wait_for(lambda self: self.close_code == 1008)
    services.conversations().append_message("c-1", MESSAGE)
    everyones.wait_for(lambda self: self.copy and self.copy["messageCount"] == 2)
    assert everyones.close_code is None, "another token of the same client is there"
