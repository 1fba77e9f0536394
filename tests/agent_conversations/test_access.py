"""Tokens, and the tickets that pages have in place of one."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import time_machine

from agent_conversations import access
from agent_conversations.access import (
    TICKET_SECONDS,
    Client,
    Tokens,
    TokensFileError,
    TokensWithFile,
    ticket_of,
)
from sessions_store.redis import deadline

FIRST, SECOND = "a-long-enough-token", "another-long-token"
FRONTEND, CALLBACKS = Client("frontend"), Client("callbacks")
TOKENS = Tokens({FIRST: FRONTEND, SECOND: CALLBACKS})


def test_ticket_is_of_its_token_alone() -> None:
    ticket = ticket_of(SECOND)

    assert TOKENS.find(ticket) is CALLBACKS
    assert Tokens({FIRST: FRONTEND}).find(ticket) is None  # the other one was taken away
    assert Tokens({}).find(ticket) is None
    assert SECOND not in ticket


def test_ticket_ends() -> None:
    ticket = ticket_of(FIRST)

    with time_machine.travel(time.time() + TICKET_SECONDS - 60, tick=False):
        assert TOKENS.find(ticket) is FRONTEND
    with time_machine.travel(time.time() + TICKET_SECONDS + 60, tick=False):
        assert TOKENS.find(ticket) is None


@pytest.mark.parametrize("place", range(3))
def test_changed_ticket_is_none(place: int) -> None:
    parts = ticket_of(FIRST).split(".")
    parts[place] = parts[place][:-1] + ("A" if parts[place][-1] != "A" else "B")

    assert TOKENS.find(".".join(parts)) is None


@pytest.mark.parametrize(
    "sent", ["", ".", "page", "page.", "page..", "ü", "\x00.a.b", "x" * 10_000]
)
def test_nonsense_is_no_ticket(sent: str) -> None:
    assert TOKENS.find(sent) is None


def test_ticket_of_a_ticket_is_none() -> None:
    assert TOKENS.find(ticket_of(ticket_of(FIRST))) is None


def test_ticket_may_stand_in_the_name_of_a_subprotocol() -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", ticket_of("a token of any ü characters"))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of tokens that is looked at whenever one is asked for."""
    monkeypatch.setattr(access, "LOOK_SECONDS", 0.0)
    path = tmp_path / "tokens"
    path.write_text(f"# who may read\n\n app:{FIRST}:read:u,1 \n{SECOND}\n")
    return path


def replace(path: Path, text: str) -> None:
    """Replace a file as it should be: there is no moment in which it has a part of the text."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_file_has_an_entry_a_line_and_comments(file: Path) -> None:
    tokens = TokensWithFile({"beside-the-file": CALLBACKS}, file)

    assert tokens.are_needed
    assert tokens.find(FIRST) == Client("app", frozenset({"read"}), "u,1")
    assert tokens.find(SECOND) == Client("line-4")
    assert tokens.find(ticket_of(SECOND)) == Client("line-4")
    assert tokens.find("beside-the-file") is CALLBACKS
    assert tokens.find("# who may read") is None


def test_token_is_given_and_taken_away_by_the_file(file: Path) -> None:
    tokens = TokensWithFile({}, file)

    replace(file, f"app:{FIRST}:read\napp:the-next-token:read\n")
    assert tokens.find(FIRST) == tokens.find("the-next-token")
    ticket = ticket_of(FIRST)
    assert tokens.find(ticket)
    replace(file, "app:the-next-token:read\n")
    assert tokens.find(FIRST) is tokens.find(SECOND) is tokens.find(ticket) is None
    assert tokens.find("the-next-token")


def test_line_that_is_being_written_gives_no_token_more_rights(file: Path) -> None:
    tokens = TokensWithFile({}, file)

    file.write_text(f"app:{FIRST}:read:u,1\napp:the-next-token")

    assert tokens.find("the-next-token") is None
    assert tokens.find(FIRST) == Client("app", frozenset({"read"}), "u,1")


def test_empty_file_lets_nobody_in(file: Path) -> None:
    tokens = TokensWithFile({}, file)

    replace(file, "")

    assert tokens.are_needed
    assert tokens.find(FIRST) is None


@pytest.mark.parametrize(
    "text", ["app:MARK:raed", "app:MARK MARK", "app:MARK:read:u\napp:MARK", b"\xff", None]
)
def test_unusable_file_changes_nothing_and_is_logged_once(
    file: Path, log: pytest.LogCaptureFixture, text: str | bytes | None
) -> None:
    tokens = TokensWithFile({}, file)
    if text is None:
        file.unlink()
    else:
        file.write_bytes(text if isinstance(text, bytes) else f"\n{text}\n".encode())

    assert tokens.find(FIRST)
    assert tokens.find(SECOND)
    assert log.messages == ["API_TOKENS_FILE cannot be used: the tokens stay as they were"]
    assert "MARK" not in log.text
    with pytest.raises(TokensFileError) as caught:
        TokensWithFile({}, file)
    assert "MARK" not in str(caught.value)
    replace(file, "app:the-next-token\n")
    assert tokens.find(FIRST) is None
    assert tokens.find("the-next-token")


@pytest.mark.parametrize("sign", ["\v", "\f", "\x1c", "\x85", "\u2028"])
def test_line_ends_at_its_line_break_alone(file: Path, sign: str) -> None:
    replace(file, f"# not a token{sign}word\napp:{FIRST}:read:u{sign}1\n")

    tokens = TokensWithFile({}, file)

    assert {*tokens.clients()} == {Client("app", frozenset({"read"}), f"u{sign}1")}


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_file_may_be_written_by_any_editor(file: Path, line_break: str) -> None:
    text = line_break.join(["\ufeff# who may: read", f"app:{FIRST}:read", f"{SECOND}", ""])
    file.write_bytes(text.encode())

    tokens = TokensWithFile({}, file)

    assert {*tokens.clients()} == {Client("app", frozenset({"read"})), Client("line-3")}


def test_change_that_keeps_size_and_time_counts(file: Path) -> None:
    tokens = TokensWithFile({}, file)
    stat = file.stat()
    time.sleep(0.05)  # the clock of a file system has ticks

    file.write_text(file.read_text().replace(SECOND, SECOND[::-1]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert tokens.find(SECOND) is None
    assert tokens.find(SECOND[::-1])


def test_older_file_never_counts_after_a_newer_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = TokensWithFile({}, file)
    read_tokens, has_read, may_go_on = access.read_tokens, Event(), Event()

    def read_slowly(path: Path) -> dict[str, Client]:
        found = read_tokens(path)
        has_read.set()
        assert may_go_on.wait(10)
        return found

    replace(file, f"app:{FIRST}\napp:taken-away-soon\n")
    monkeypatch.setattr(access, "read_tokens", read_slowly)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(tokens.find, FIRST)
        assert has_read.wait(10)
        monkeypatch.setattr(access, "read_tokens", read_tokens)
        replace(file, f"app:{FIRST}\n")
        assert tokens.find(FIRST)
        may_go_on.set()
        assert found.result()

    assert tokens.find("taken-away-soon") is None


def test_ticket_is_found_or_not_while_the_file_changes(file: Path) -> None:
    others = "".join(f"app:another-token-{number}\n" for number in range(3_000))
    replace(file, others)
    tokens = TokensWithFile({}, file)
    ticket = ticket_of(FIRST)
    is_over = Event()

    def look() -> None:
        while not is_over.is_set():
            assert tokens.find(ticket) in (None, Client("app"))

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        for number in range(20):
            replace(file, others + f"app:{FIRST}\n" * (number % 2))
            tokens.find(SECOND)
        is_over.set()
        for one in looks:
            one.result()


def test_reading_a_long_file_leaves_the_request_its_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "LONGEST_COMMAND_SECONDS", 0.02)
    tokens = TokensWithFile({}, file)
    replace(file, "".join(f"app:{number}:read:user-{number}\n" for number in range(5_000)))

    deadline.begin()
    try:
        assert tokens.find("0")
        deadline.check()
    finally:
        deadline.end()


def test_file_is_looked_at_once_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_SECONDS", 60.0)
    tokens = TokensWithFile({}, file)
    assert tokens.find(FIRST)
    os.truncate(file, 0)

    assert tokens.find(FIRST)
