"""The Python shell, on a terminal and for one command."""

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select

import pytest
from redis import Redis

from agent_conversations.management import shell_names
from agent_conversations.management.commands import shell
from agent_conversations.services import conversations, sessions
from agent_conversations.types import AgentMessage, NewConversation
from config.environment import PROJECT_DIR
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.types import AgentSession

PROMPT = ">>> "
SECONDS = 60


def environment(server: EmbeddedServer, home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "REDIS_URL": server.url,
        "HOME": str(home),
        "TERM": "dumb",
        "COLUMNS": "200",
    }


class Shell:
    """An interactive shell; ``type`` returns what it shows until its next prompt."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.welcome = self.read_until(PROMPT)

    def read_until(self, text: str) -> str:
        read = ""
        deadline = time.monotonic() + SECONDS
        while not read.endswith(text):
            assert time.monotonic() < deadline, read
            if select([self._terminal], [], [], 1)[0]:
                read += os.read(self._terminal, 65_536).decode()
        return read

    def type(self, text: str) -> str:
        os.write(self._terminal, f"{text}\n".encode())
        return self.read_until(PROMPT)

    def complete(self, text: str) -> str:
        """Return what the line becomes with the Tab key, and drop it."""
        os.write(self._terminal, f"{text}\t".encode())
        completed = self.read_until("(")
        os.write(self._terminal, b"\x15\n")  # Ctrl-U, which may draw the prompt in its line anew
        self.read_until(f"\n{PROMPT}")
        return completed


@contextmanager
def opened(server: EmbeddedServer, home: Path, *options: str) -> Iterator[Shell]:
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "shell", *options],
        cwd=PROJECT_DIR,
        env=environment(server, home),
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    )
    os.close(its_end)
    try:
        yield Shell(terminal)
        os.write(terminal, b"exit()\n")
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            os.close(terminal)


@pytest.fixture
def talk(real_service: Redis) -> None:
    conversations().create(NewConversation(conversation_id="c-1"))
    for number in range(40):
        words = f"message {number} " + "and so on " * 200
        conversations().append_message("c-1", AgentMessage(role="user", content=words))
    body = {"sessionUrl": "wss://host/?token=secret-token", "sessionId": "s-1"}
    sessions().set("c-1", AgentSession.from_registration(body))


@pytest.mark.usefixtures("talk")
def test_shell_has_the_repositories_and_shows_them_short(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with opened(server, tmp_path) as shell:
        assert "conversations" in shell.welcome
        assert shell.complete("conversations.find_rev").endswith("conversations.find_revisions(")
        assert "<Conversation c-1: 40 messages" in shell.type("conversations.get('c-1')")
        messages = shell.type("conversations.get('c-1').messages")
        assert "message 0 and" in messages
        assert len(messages) < 5_000
        assert len(shell.type("_[0].content")) < 500
        assert "session_id='s-1'" in shell.type("sessions.get('c-1')")
        assert "secret-token" not in shell.type("sessions.get('c-1'), [sessions.get('c-1')]")
        assert "NewConversation" in shell.type("sorted(globals())")
        assert "NameError" in shell.type("nothing")


def test_shell_without_imports_has_none(server: EmbeddedServer, tmp_path: Path) -> None:
    with opened(server, tmp_path, "--no-imports") as shell:
        assert "conversations" not in shell.welcome
        assert "NameError" in shell.type("conversations")


@pytest.mark.usefixtures("talk")
@pytest.mark.parametrize("way", ["--command", "standard input"])
def test_command_prints_its_own_output_alone(
    server: EmbeddedServer, tmp_path: Path, way: str
) -> None:
    printing = "print(len(conversations.get('c-1').messages[0].content), pushes is not None)"
    options = ["-c", printing] if way == "--command" else []

    done = subprocess.run(
        [sys.executable, "manage.py", "shell", *options],
        cwd=PROJECT_DIR,
        env=environment(server, tmp_path),
        input=printing,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )

    assert re.fullmatch(r"\d{4} True\n", done.stdout)
    assert done.stderr == ""


@pytest.mark.usefixtures("real_service")
def test_welcome_names_what_there_is() -> None:
    described, _, _ = shell.WELCOME.partition("types ")
    names = dict(re.findall(r"^(\w+) +((?:[^\n]|\n +)+)", described, re.MULTILINE))
    methods = {
        name: re.findall(r"[a-z_]+(?= |$)", text.split(":")[0].split(";")[0], re.MULTILINE)
        for name, text in names.items()
    }

    assert sorted(names) == shell_names.SERVICES
    for name, its_methods in methods.items():
        assert its_methods
        for method in its_methods:
            assert callable(getattr(getattr(shell_names, name), method))
