"""Looking at conversations and sessions: on a terminal, in a pipe, for programs."""

import json
import os
import pty
import subprocess
import sys
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from agent_conversations.services import conversations, sessions
from agent_conversations.types import AgentMessage, NewConversation
from config.environment import PROJECT_DIR
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.types import AgentSession
from tests.waiting import wait_until


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, terminal: bool = False) -> str:
    out = Terminal() if terminal else StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def said(role: str, content: str, **fields: object) -> AgentMessage:
    return AgentMessage.parse({"role": role, "content": content, **fields})


@pytest.fixture
def talks(real_service: Redis) -> None:
    for name, agent, user in (("c-1", "a-1", "u-1"), ("c-2", "a-1", "u-2"), ("c-3", "a-2", "u-1")):
        conversations().create(NewConversation(conversation_id=name, agent_id=agent, user_id=user))
    conversations().append_message("c-1", said("user", "What is left for TODAY?"))
    conversations().append_message("c-1", said("tool", "", toolName="list", toolOutput="2 tasks"))
    conversations().append_message("c-3", said("assistant", "Nothing \x1b[31mred\x1b[0m"))
    body = {"sessionUrl": "wss://host/?token=secret-token", "sessionId": "s-1"}
    sessions().set("c-1", AgentSession.from_registration(body))


pytestmark = pytest.mark.usefixtures("talks")


def ids(output: str) -> list[str]:
    return [line.partition("\t")[0] for line in output.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["c-3", "c-1", "c-2"]),
        (("--limit", "1"), ["c-3"]),
        (("--limit", "0", "--order", "asc"), ["c-2", "c-1", "c-3"]),
        (("--agent", "a-1"), ["c-1", "c-2"]),
        (("--user", "u-1", "--agent", "a-2"), ["c-3"]),
        (("--sort", "messageCount", "--from", "1", "--to", "1"), ["c-3"]),
        (("--min-messages", "1"), ["c-3", "c-1"]),
        (("--min-messages", "1", "--max-messages", "1"), ["c-3"]),
        (("--max-messages", "0"), ["c-2"]),
        (("--max-messages", "0", "--user", "u-1"), []),
        (("--text", "for today"), ["c-1"]),
        (("--text", "o", "--max-messages", "1"), ["c-3"]),
        (("--text", "2 TASKS"), ["c-1"]),
        (("--text", "nobody said this"), []),
    ],
)
def test_list_has_the_conversations_that_are_asked_for(
    arguments: tuple[str, ...], expected: list[str]
) -> None:
    assert ids(run("list_conversations", *arguments)) == expected


def test_list_for_programs_is_a_conversation_a_line() -> None:
    found = [json.loads(line) for line in run("list_conversations", "--json").splitlines()]

    assert [one["conversationId"] for one in found] == ["c-3", "c-1", "c-2"]
    assert found[1]["messageCount"] == 2
    assert "messages" not in found[1]


def test_listing_and_showing_are_no_access() -> None:
    before = run("list_conversations", "--json")
    run("list_conversations", "--text", "x")
    run("show_conversation", "c-2")

    assert run("list_conversations", "--json") == before


def test_value_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(CommandError, match="from must be ISO 8601"):
        run("list_conversations", "--from", "tomorrow")


@pytest.mark.parametrize(
    "arguments",
    [
        ("list_conversations", "--limit=-1"),
        ("list_conversations", "--min-messages=-1"),
        ("show_conversation", "c-1", "--messages=-2"),
    ],
)
def test_number_of_records_is_not_negative(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="invalid count value"):
        run(*arguments)


def test_terminal_has_a_table_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    table = run("list_conversations", terminal=True)

    assert "3 shown." in table
    assert "\t" not in table


def test_show_has_messages_without_their_escapes() -> None:
    first = run("show_conversation", "c-1")
    other = run("show_conversation", "c-3")

    assert "What is left for TODAY?" in first
    assert "result: 2 tasks" in first
    assert "\x1b" not in other
    assert "Nothing \\x1b[31mred" in other


def test_show_has_the_newest_messages() -> None:
    shown = run("show_conversation", "c-1", "--messages", "1")

    assert "1 older messages" in shown
    assert "TODAY" not in shown


def test_show_for_programs_is_the_document_of_the_api() -> None:
    document = json.loads(run("show_conversation", "c-1", "--json"))

    assert [one["role"] for one in document["messages"]] == ["user", "tool"]


@pytest.mark.parametrize("command", ["show_conversation", "show_session", "watch_conversation"])
@pytest.mark.parametrize("conversation_id", ["c-9", "not an id"])
def test_what_is_not_there_is_an_error(command: str, conversation_id: str) -> None:
    with pytest.raises(CommandError):
        run(command, conversation_id)


def test_sessions_are_listed_with_the_time_they_have_left() -> None:
    (line,) = run("list_sessions").splitlines()
    (found,) = run("list_sessions", "--json").splitlines()

    assert line.split("\t")[:2] == ["c-1", "s-1"]
    assert 590 < json.loads(found)["expiresInSeconds"] <= 600


def test_session_shows_its_credentials_only_when_asked() -> None:
    hidden = run("show_session", "c-1") + run("show_session", "c-1", "--json")
    hidden += run("list_sessions") + run("list_sessions", "--json")

    assert "secret-token" not in hidden
    assert "wss://host/?token=secret-token" in run("show_session", "c-1", "--reveal")


def start(server: EmbeddedServer, *arguments: str, stdout: int) -> "subprocess.Popen[bytes]":
    environment = {"PATH": os.environ["PATH"], "REDIS_URL": server.url, "COLUMNS": "80"}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
    )


def test_pipe_gets_no_colours_and_a_terminal_does(server: EmbeddedServer) -> None:
    terminal, its_end = pty.openpty()
    on_terminal = start(server, "show_conversation", "c-1", stdout=its_end)
    in_pipe = start(server, "show_conversation", "c-1", stdout=subprocess.PIPE)

    with in_pipe:
        piped, _ = in_pipe.communicate(timeout=60)
    assert on_terminal.wait(60) == 0
    os.close(its_end)
    drawn = os.read(terminal, 65_536)
    os.close(terminal)

    assert b"\x1b" not in piped
    assert b"\x1b[" in drawn
    assert b"TODAY" in piped
    assert b"TODAY" in drawn


def test_watch_shows_what_comes_and_what_is_corrected(server: EmbeddedServer) -> None:
    seen: list[str] = []
    with start(server, "watch_conversation", "c-1", "--json", stdout=subprocess.PIPE) as watching:
        assert watching.stdout
        lines = watching.stdout
        reading = threading.Thread(target=lambda: seen.extend(map(bytes.decode, lines)))
        reading.start()
        wait_until(lambda: server_channels(server))
        conversations().append_message("c-1", said("user", "Late", messageId="m-9"))
        conversations().put_message("c-1", "m-9", said("user", "Later"))
        wait_until(lambda: any("Later" in line for line in seen))
        conversations().delete("c-1")
        assert watching.wait(30) == 0
        reading.join()

    assert json.loads(seen[-2])["content"] == "Later"
    assert "deleted" in seen[-1]


def server_channels(server: EmbeddedServer) -> list[bytes]:
    with Redis.from_url(server.url) as redis:
        found: list[bytes] = redis.pubsub_channels("*c-1*")
        return found
