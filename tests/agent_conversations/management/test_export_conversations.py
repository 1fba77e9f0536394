"""``export_conversations``, and ``import_conversations --file``: the same comes back."""

import json
import stat
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from agent_conversations.services import conversations, maintenance
from agent_conversations.store.keys import conversation_key, messages_key
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.wire import json_codec

EXACT = {
    "big": 12345678901234567890,
    "exact": 12345678901234567,
    "empty": [],
    "Z": {"b": 1, "a": 0},
}


@pytest.fixture
def stored(real_service: Redis) -> Callable[[], dict[str, bytes]]:
    """Conversations with all fields and none; gives a function that reads all that are there."""
    full = NewConversation.parse(
        {"conversationId": "full", "agentId": "a-1", "userId": "ü", "metadata": EXACT}
    )
    conversations().create(full)
    for fields in (
        {"role": "user", "content": 'ü "\\ \u2028 \x00 \U0001f600', "source": "voice"},
        {"role": "assistant", "content": "", "interrupted": True, "originalContent": "All of it"},
        {"role": "tool", "content": "", "toolName": "look", "toolArgs": EXACT, "toolCallId": "t-1"},
        {
            "role": "system",
            "content": "x",
            "timeInCallSecs": 1.25,
            "timestamp": "2025-01-01T00:00Z",
        },
    ):
        conversations().append_message("full", AgentMessage.parse(fields))
    for number in range(300):
        conversations().create(NewConversation(conversation_id=f"c-{number}"))

    def read() -> dict[str, bytes]:
        parts = [
            conversations().find_part(conversation_id)
            for batch in maintenance().scan_ids()
            for conversation_id in batch
        ]
        found = [part.conversation for part in parts if part]
        return {one.conversation_id: one.to_json() for one in found}

    return read


def test_import_of_an_export_makes_the_same_conversations(
    real_service: Redis, stored: Callable[[], dict[str, bytes]], tmp_path: Path
) -> None:
    before = stored()
    path = tmp_path / "all.jsonl"
    call_command("export_conversations", output=str(path), stderr=StringIO())
    assert stored() == before  # reading them was no access
    real_service.flushall()

    out = StringIO()
    call_command("import_conversations", file=str(path), stdout=out)

    assert out.getvalue().startswith("301 imported, 0 already there")
    assert "became" not in out.getvalue()
    assert stored() == before
    assert len(before) == 301
    assert conversations().list(limit=1, agent_id="a-1", user_id="ü").total == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    call_command("import_conversations", file=str(path), stdout=out)
    assert "0 imported, 301 already there" in out.getvalue()


def test_export_does_not_overwrite_a_file(real_service: Redis, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("something else")

    with pytest.raises(CommandError, match="File exists"):
        call_command("export_conversations", output=str(path))

    assert path.read_text() == "something else"


def test_export_goes_to_standard_output_and_back(
    real_service: Redis,
    stored: Callable[[], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = stored()
    written = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(written, write_through=True))
    call_command("export_conversations", stderr=StringIO())
    real_service.flushall()

    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(written.getvalue())))
    call_command("import_conversations", file="-", stdout=StringIO())

    assert stored() == before


def test_chat_has_a_call_of_a_tool_and_its_result(real_service: Redis, tmp_path: Path) -> None:
    conversations().create(NewConversation(conversation_id="c-1"))
    call = {"role": "tool", "content": "", "toolName": "look", "toolArgs": EXACT}
    for fields in (
        {"role": "user", "content": "Hello"},
        {**call, "toolCallId": "t-1", "toolOutput": "Nothing", "status": "completed"},
        {**call, "messageId": "m-3", "status": "pending"},
        {"role": "assistant", "content": "There is nothing."},
    ):
        conversations().append_message("c-1", AgentMessage.parse(fields))
    path = tmp_path / "chat.jsonl"

    call_command("export_conversations", output=str(path), format="chat", stderr=StringIO())

    arguments = json_codec.encode(EXACT).decode()
    function = {"name": "look", "arguments": arguments}

    def called(call_id: str) -> dict[str, Any]:
        tool_call = {"id": call_id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [tool_call]}

    assert json.loads(path.read_text()) == {
        "messages": [
            {"role": "user", "content": "Hello"},
            called("t-1"),
            {"role": "tool", "content": "Nothing", "tool_call_id": "t-1"},
            called("m-3"),
            {"role": "assistant", "content": "There is nothing."},
        ]
    }


def test_export_names_what_it_cannot_read(real_service: Redis, tmp_path: Path) -> None:
    for conversation_id in ("good", "bad"):
        conversations().create(NewConversation(conversation_id=conversation_id))
    real_service.hset(conversation_key("bad"), "createdAt", "never")
    err = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("export_conversations", output=str(tmp_path / "all.jsonl"), stderr=err)

    assert ended.value.code == 1
    assert "1 written, 1 unreadable." in err.getvalue()
    assert "unreadable: bad: " in err.getvalue()


def test_import_names_the_lines_that_are_no_conversations(
    real_service: Redis, tmp_path: Path
) -> None:
    path = tmp_path / "lines.jsonl"
    good = {"conversationId": "good", "messages": [], "createdAt": "2025-01-01T00:00:00Z"}
    lines = ["[]", "not JSON", '{"conversationId": "a b"}', json.dumps(good), '"text"', "\x1b[0m"]
    path.write_text("\n".join(lines))
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("import_conversations", file=str(path), stdout=out)

    assert ended.value.code == 1
    assert "1 imported" in out.getvalue()
    assert [number for number in range(1, 7) if f"line {number}:" in out.getvalue()] == [
        1,
        2,
        3,
        5,
        6,
    ]
    assert "\x1b" not in out.getvalue()
    assert real_service.exists(conversation_key("good"), messages_key("good")) == 1


def test_import_of_a_missing_file_says_so(real_service: Redis, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--file: .*No such file"):
        call_command("import_conversations", file=str(tmp_path / "none"))
