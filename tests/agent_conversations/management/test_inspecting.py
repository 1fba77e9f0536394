"""Looking at conversations and sessions: on a terminal, in a pipe, for programs."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command, get_commands
from redis import Redis
from rich.cells import cell_len

from agent_conversations.services import conversations, sessions
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from config.command_line import OURS
from config.environment import PROJECT_DIR
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.types import AgentSession
from tests.deployments import ClusterServers, SentinelServers
from tests.waiting import wait_until

WIDTH = 60
"""Of the terminal."""


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, terminal: bool = False) -> str:
    out = Terminal() if terminal else StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def said(role: str, content: str, **fields: object) -> AgentMessage:
    return AgentMessage.parse({"role": role, "content": content, **fields})


def plain(output: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", output)


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "yesterday"), "--from must be ISO 8601 with an offset, such as "),
        (("--from", "yesterday"), ", with --sort lastAccessedAt, not 'yesterday'."),
        (("--to", "9" * 300), f", not '{'9' * 60}…'."),
        (
            ("--sort", "messageCount", "--to", "-1"),
            "--to must be a non-negative integer, with --sort messageCount, not '-1'.",
        ),
        (("--agent", ""), "--agent must not be empty."),
        (("--agent", "a\x1b" * 200), "--agent must have at most 256 characters, not 'a\\x1b"),
        (("--user", "\udcff"), "--user must be valid Unicode text, not '\\udcff'."),
        (("--limit", "x"), "--limit: must be a whole number, 0 or more, not 'x'"),
        (("--limit=-1",), "--limit: must be a whole number, 0 or more, not '-1'"),
        (("--min-messages", "1.5"), "--min-messages: must be a whole number, 0 or more, not '1.5'"),
    ],
)
def test_refused_value_is_named_by_its_option(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        run("list_conversations", *arguments)

    assert sentence in str(refused.value)


@pytest.mark.parametrize("command", ["show_conversation", "show_session", "watch_conversation"])
@pytest.mark.parametrize("conversation_id", ["not an id", "\udcff"])
def test_refused_id_is_named_as_the_usage_names_it(command: str, conversation_id: str) -> None:
    with pytest.raises(CommandError, match=r"ID must be 1 to 128 of .*, not '") as refused:
        run(command, conversation_id)

    assert "conversationId" not in str(refused.value)


def test_number_of_messages_shown_is_not_negative() -> None:
    with pytest.raises(CommandError, match="--messages: must be a whole number, 0 or more"):
        run("show_conversation", "c-1", "--messages=-2")


WHOLE_TIME = r"\d{4}-\d\d-\d\dT[\d:.]{12}Z"


@pytest.mark.parametrize("columns", [20, 60, 80, 130])
def test_what_fits_no_row_is_a_paragraph(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    conversations().create(NewConversation(conversation_id=f"c-{'4' * 90}", user_id="u\u202e"))

    lines = plain(run("list_conversations", terminal=True)).splitlines()

    assert max(map(cell_len, lines)) <= columns
    if columns >= 60:
        assert re.search(rf"  created:\s+{WHOLE_TIME}\b", "\n".join(lines))
        assert "  user: u\\u202e  messages: 0" in "\n".join(lines)
        assert "c-3" in lines
    assert lines[-1] == "4 shown."


def test_what_fits_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")

    head, first, *_ = plain(run("list_conversations", terminal=True)).splitlines()

    assert head.split() == [
        "conversation",
        "agent",
        "user",
        "messages",
        "created",
        "last",
        "accessed",
    ]
    assert re.fullmatch(rf"c-3 +a-2 +u-1 +1 +{WHOLE_TIME}  {WHOLE_TIME} *", first)


def test_list_says_that_there_may_be_more() -> None:
    assert run("list_conversations", "--limit", "2", terminal=True).endswith(
        "2 shown, there may be more: --limit 0\n"
    )
    assert run("list_conversations", "--limit", "4", terminal=True).endswith("3 shown.\n")


def test_show_breaks_long_lines_under_their_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    conversations().append_message("c-1", said("user", "words " * 30 + "\n" + "x" * 100))
    conversations().update("c-1", ConversationChanges(metadata={"note": "long " * 20}))

    id_line, *lines = plain(run("show_conversation", "c-1", terminal=True)).splitlines()

    assert id_line == "c-1"
    assert all(re.match(rf"  |{WHOLE_TIME}  \w+", line) for line in lines)
    assert max(map(cell_len, lines)) <= 40


def test_pipe_has_a_line_of_a_message_unbroken() -> None:
    conversations().append_message("c-1", said("user", f"{'words ' * 100}end\nof it"))

    shown = run("show_conversation", "c-1")

    assert f"  {'words ' * 100}end\n  of it\n" in shown
    assert not re.search(" $", shown, re.MULTILINE)


def test_show_has_emoji_whole_and_no_other_invisible_character() -> None:
    family, persian = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e"
    conversations().append_message("c-1", said("user", f"{family} {persian} \u202e\u2066\x9b\x07"))

    assert f"{family} {persian} \\u202e\\u2066\\x9b\\x07" in run("show_conversation", "c-1")


def test_show_has_messages_without_their_escapes() -> None:
    first = run("show_conversation", "c-1")
    other = run("show_conversation", "c-3")

    assert "What is left for TODAY?" in first
    assert "result: 2 tasks" in first
    assert "\x1b" not in other
    assert "Nothing \\x1b[31mred" in other


def test_show_has_the_newest_messages() -> None:
    shown = run("show_conversation", "c-1", "--messages", "1")

    assert "… 1 older message: --messages 0" in shown
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


def store_state(*arguments: str) -> tuple[dict[str, Any], int]:
    """Return what ``show_store`` says for programs, and its exit code."""
    out = StringIO()
    try:
        call_command("show_store", "--json", *arguments, stdout=out)
    except SystemExit as end:
        return json.loads(out.getvalue()), int(end.code or 0)
    return json.loads(out.getvalue()), 0


def test_store_without_a_problem_exits_with_0(
    stoppable_server: EmbeddedServer, point_at: Callable[[str], None]
) -> None:
    point_at(stoppable_server.url)
    conversations().create(NewConversation(conversation_id="c-1"))

    state, exit_code = store_state()

    assert (exit_code, state["problems"]) == (0, [])
    assert (state["kind"], state["conversations"], state["sessions"]) == ("server", 1, 0)
    assert state["index"] == {
        "entries": 1,
        "entriesWithoutRecord": 0,
        "records": 1,
        "recordsWithoutEntry": 0,
        "isWhole": True,
    }
    (found,) = state["servers"]
    assert found["usedBytes"] > 100_000
    assert (found["maxBytes"], found["replicas"]) == (0, [])
    assert found["keys"] >= 4
    assert found["address"] == stoppable_server.url


def test_store_says_one_of_a_thing_in_the_singular(real_service: Redis) -> None:
    for conversation_id in ("c-2", "c-3"):
        conversations().delete(conversation_id)
    out = StringIO()

    with pytest.raises(SystemExit):
        call_command("show_store", "--full", stdout=out)

    assert "list\t1 entry, 0 of no record\n" in out.getvalue()


def test_store_whose_list_is_wrong_exits_with_1(real_service: Redis) -> None:
    real_service.config_set("appendonly", "yes")
    real_service.zrem("{elevenlabs:conversations}:createdAt", "c-1", "c-2")
    real_service.delete("elevenlabs:conversation:c-3")
    try:
        state, exit_code = store_state("--full")
        shown = StringIO()
        with pytest.raises(SystemExit):
            call_command("show_store", stdout=shown)
    finally:
        real_service.config_set("appendonly", "no")

    assert (exit_code, state["problems"]) == (1, [])
    assert state["index"]["entriesWithoutRecord"] == 1
    assert state["index"]["recordsWithoutEntry"] == 2
    assert "manage.py reindex" in shown.getvalue()


def test_looking_at_the_store_changes_nothing_in_it(real_service: Redis) -> None:
    real_service.delete("elevenlabs:conversation:c-3")

    store_state("--full")

    assert real_service.zscore("{elevenlabs:conversations}:createdAt", "c-3") is not None


def test_store_of_many_keys_is_looked_at_in_part(
    real_service: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_conversations.management.commands.show_store.BATCHES", 2)
    real_service.mset({f"other:{number}": "" for number in range(3_000)})

    part, _ = store_state()
    whole, _ = store_state("--full")

    assert part["index"]["isWhole"] is False
    assert part["sessions"] <= whole["sessions"] == 1
    assert whole["index"]["isWhole"] is True
    assert whole["index"]["records"] == 3


@pytest.mark.parametrize("kind", ["sentinels", "cluster"])
def test_store_of_several_servers_has_each(
    request: pytest.FixtureRequest, point_at: Callable[[str], None], kind: str
) -> None:
    servers: SentinelServers | ClusterServers = request.getfixturevalue(kind)
    point_at(servers.url)

    state, exit_code = store_state()

    assert state["kind"] == kind.removesuffix("s")
    addresses = {f"127.0.0.1:{one.port}" for one in servers.primaries()}
    assert {one["address"] for one in state["servers"]} == addresses
    assert sum(len(one["replicas"]) for one in state["servers"]) in (2, 3)
    assert exit_code == 1, "nothing of them is on disk"


def start(
    server: EmbeddedServer,
    *arguments: str,
    stdout: int,
    stderr: int = subprocess.STDOUT,
    **more: str,
) -> "subprocess.Popen[bytes]":
    environment = {"PATH": os.environ["PATH"], "REDIS_URL": server.url, "COLUMNS": str(WIDTH)}
    environment |= more
    key = Fernet.generate_key().decode()
    environment["CONVERSATION_ENCRYPTION_KEYS"] = f"plain,{key}"  # what is there stays plain
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


def read_all(terminal: int) -> bytes:
    read = b""
    with suppress(OSError):  # which is the end, on Linux
        while block := os.read(terminal, 65_536):
            read += block
    return read


COMMANDS = [
    (("show_conversation", "c-1"), 0, b"TODAY"),
    (("list_conversations",), 0, b"c-2"),
    (("list_sessions",), 0, b"s-1"),
    (("show_session", "c-1"), 0, b"s-1"),
    (("show_store",), 1, b"no_persistence"),
    (("check_redis",), 1, b"no_persistence"),
    (("reindex",), 0, b"3 listed"),
    (("find_corrupt",), 0, b"0 unreadable"),
    (("reencrypt_conversations",), 0, b" 0 left"),
    (("export_conversations",), 0, b'"conversationId":"c-1"'),
    (("import_conversations", "--file", "-"), 0, b"0 imported"),
    (("delete_conversations", "--before", "2020-01-01T00:00Z", "--dry-run"), 0, b""),
    (("asyncapi",), 0, b"agent_conversation.snapshot"),
]
"""Each command, and what it exits with and prints; those that go on have tests of their own."""


def test_every_command_is_run_in_terminal_and_pipe() -> None:
    ours = {name for name, application in get_commands().items() if application in OURS}

    tested = {arguments[0] for arguments, _, _ in COMMANDS}
    assert ours - tested == {"serve", "shell", "watch_conversation"}


@pytest.mark.parametrize(("arguments", "exit_code", "expected"), COMMANDS)
def test_pipe_gets_no_colours_and_a_terminal_what_fits(
    server: EmbeddedServer, arguments: tuple[str, ...], exit_code: int, expected: bytes
) -> None:
    terminal, its_end = pty.openpty()
    on_terminal = start(server, *arguments, stdout=its_end, stderr=subprocess.DEVNULL)
    os.close(its_end)
    in_pipe = start(server, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    with in_pipe:
        piped, errors = in_pipe.communicate(timeout=60)
    drawn = read_all(terminal)
    os.close(terminal)

    assert (in_pipe.returncode, on_terminal.wait(60)) == (exit_code, exit_code), errors
    assert not re.search("[\x1b\u2500-\u259f]", piped.decode())
    assert b"\x1b" not in errors
    assert expected in piped
    assert expected in b" ".join(drawn.split())  # a sentence may be broken
    assert b"secret-token" not in piped + drawn
    if arguments[0].startswith(("list", "show_c", "show_store")):
        assert b"\x1b[" in drawn
    if arguments[0] not in ("export_conversations", "asyncapi"):  # for programs
        assert max(map(len, plain(drawn.decode()).splitlines()), default=0) <= WIDTH


def test_refusal_breaks_between_words_on_a_terminal(server: EmbeddedServer) -> None:
    terminal, its_end = pty.openpty()
    command = "list_conversations", "--from", "some-day-next-week"
    refused = start(server, *command, stdout=subprocess.DEVNULL, stderr=its_end)
    os.close(its_end)
    drawn = plain(read_all(terminal).decode()).splitlines()
    os.close(terminal)

    assert refused.wait(60) == 1
    assert max(map(len, drawn)) <= WIDTH
    assert len(drawn) > 1
    assert "not 'some-day-next-week'" in " ".join(drawn)


@pytest.mark.parametrize(
    "arguments", [("show_conversation", "c-1"), ("list_conversations", "--json")]
)
def test_output_is_utf_8_whatever_the_locale(
    server: EmbeddedServer, arguments: tuple[str, ...]
) -> None:
    conversations().update("c-1", ConversationChanges(metadata={"mood": "\U0001f389"}))

    with start(server, *arguments, stdout=subprocess.PIPE, PYTHONIOENCODING="ascii") as done:
        output, _ = done.communicate(timeout=60)

    assert done.returncode == 0, output
    assert "\U0001f389" in output.decode()


def test_watch_shows_what_comes_and_what_is_corrected(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    seen: list[str] = []
    told = tmp_path / "stderr"
    command = "watch_conversation", "c-1", "--json"
    with (
        told.open("wb") as file,
        start(server, *command, stdout=subprocess.PIPE, stderr=file.fileno()) as watching,
    ):
        assert watching.stdout
        lines = watching.stdout
        wait_until(lambda: "Waiting for what comes in c-1 (2 messages)" in told.read_text())
        reading = threading.Thread(target=lambda: seen.extend(map(bytes.decode, lines)))
        reading.start()
        wait_until(lambda: server_channels(server))
        conversations().append_message("c-1", said("user", "Late", messageId="m-9"))
        conversations().put_message("c-1", "m-9", said("user", "Later"))
        wait_until(lambda: any("Later" in line for line in seen))
        conversations().delete("c-1")
        assert watching.wait(30) == 0
        reading.join()

    assert told.read_text().endswith("The conversation was deleted.\n")
    assert json.loads(seen[-1])["content"] == "Later"


def server_channels(server: EmbeddedServer) -> list[bytes]:
    with Redis.from_url(server.url) as redis:
        found: list[bytes] = redis.pubsub_channels("*c-1*")
        return found
