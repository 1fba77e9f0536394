"""``delete_conversations``: who is erased, and stays so when a backup comes back."""

import re
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from agent_conversations.services import conversations, maintenance, sessions
from agent_conversations.store.keys import INDEX_KEYS, conversation_key
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.types import AgentSession
from tests.agent_conversations.store.records import write_legacy

URL = "wss://api.elevenlabs.io/v1/convai/conversation?token=t"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "erased.ledger"


@pytest.fixture
def people(real_service: Redis) -> Redis:
    """Conversations of two users and two agents, each with a message and a session."""
    for conversation_id, agent_id, user_id in (
        ("ada-1", "a-1", "ada"),
        ("ada-2", "a-2", "ada"),
        ("bob-1", "a-1", "bob"),
        ("nobody", None, None),
    ):
        new = NewConversation(conversation_id=conversation_id, agent_id=agent_id, user_id=user_id)
        conversations().create(new)
        said = AgentMessage(role="user", content="words")
        conversations().append_message(conversation_id, said)
        sessions().set(conversation_id, AgentSession.from_registration({"sessionUrl": URL}))
    return real_service


def delete(ledger: Path, err: StringIO | None = None, /, **options: Any) -> str:
    out = StringIO()
    options |= {"ledger": str(ledger), "no_input": True}
    call_command("delete_conversations", stdout=out, stderr=err or StringIO(), **options)
    return out.getvalue()


def left() -> set[str]:
    return {one for batch in maintenance().scan_ids() for one in batch}


@pytest.mark.parametrize(
    ("selection", "stays"),
    [
        ({"user": "ada"}, {"bob-1", "nobody"}),
        ({"agent": "a-1"}, {"ada-2", "nobody"}),
        ({"user": "ada", "agent": "a-1"}, {"ada-2", "bob-1", "nobody"}),
        ({"before": "2999-01-01T00:00Z"}, set()),
        ({"before": "2020-01-01T00:00Z", "user": "ada"}, {"ada-1", "ada-2", "bob-1", "nobody"}),
        ({"user": "somebody else"}, {"ada-1", "ada-2", "bob-1", "nobody"}),
    ],
)
def test_what_matches_all_is_deleted_with_its_session(
    people: Redis, ledger: Path, selection: dict[str, str], stays: set[str]
) -> None:
    for key in INDEX_KEYS:  # the index may lack some, as it does until a first reindex
        people.delete(key)
    gone = {"ada-1", "ada-2", "bob-1", "nobody"} - stays

    told = StringIO()
    would = delete(ledger, told, dry_run=True, **selection)
    assert set(would.splitlines()) == gone
    assert told.getvalue() == f"{len(gone)} would be deleted, 0 unreadable.\n"
    assert left() == {*stays, *gone}
    assert not ledger.exists()

    assert f"{len(gone)} deleted, 0 unreadable." in delete(ledger, **selection)
    assert left() == stays
    for conversation_id in gone:
        assert sessions().get(conversation_id) is None
        assert people.keys(f"*{conversation_id}*") == []
    for conversation_id in stays:
        assert sessions().get(conversation_id) is not None


def test_replay_deletes_what_a_backup_brought_back(people: Redis, ledger: Path) -> None:
    records = {key: people.dump(key) or b"" for key in people.keys("*")}
    delete(ledger, user="ada")
    people.flushall()
    for key, record in records.items():
        people.restore(key, 0, record)
    assert "ada-1" in left()

    assert sorted(delete(ledger, replay=True, dry_run=True).split()) == ["ada-1", "ada-2"]
    assert "2 deleted" in delete(ledger, replay=True)

    assert left() == {"bob-1", "nobody"}
    assert "0 deleted" in delete(ledger, replay=True)


def test_replay_leaves_a_later_conversation_of_the_same_id(people: Redis, ledger: Path) -> None:
    delete(ledger, user="ada")
    conversations().create(NewConversation(conversation_id="ada-1", user_id="eve"))

    assert "0 deleted" in delete(ledger, replay=True)

    assert "ada-1" in left()


def test_ledger_is_its_owners_and_names_nobody(people: Redis, ledger: Path) -> None:
    delete(ledger, user="ada")
    delete(ledger, user="bob")

    lines = ledger.read_text().splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64} [\d-]{10}T[\d:.]{12}Z", line) for line in lines)
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600


def test_nothing_is_deleted_that_the_ledger_does_not_have(people: Redis, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"The ledger /.* cannot be written"):
        delete(tmp_path, user="ada")  # it is a folder

    assert left() == {"ada-1", "ada-2", "bob-1", "nobody"}


@pytest.mark.parametrize("answer", ["", "y", "no", None])
def test_nothing_is_deleted_without_a_yes(
    people: Redis, ledger: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    def reply(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", reply)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        call_command("delete_conversations", ledger=str(ledger), user="ada", stdout=StringIO())
    assert "ada-1" in left()

    monkeypatch.setattr("builtins.input", lambda _: "yes")
    call_command("delete_conversations", ledger=str(ledger), user="ada", stdout=StringIO())
    assert left() == {"bob-1", "nobody"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "Say which"),
        ({"user": "ada", "replay": True}, "Say which"),
        ({"before": "yesterday"}, "--before must be ISO 8601 .*, not 'yesterday'."),
        ({"user": ""}, "--user must not be empty."),
        ({"replay": True}, r"The ledger /.*/erased.ledger cannot be read: No such file"),
    ],
)
def test_refused_selection_says_what_to_say(
    people: Redis, ledger: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        delete(ledger, **options)
    assert len(left()) == 4


@pytest.mark.parametrize("text", ["words\n", f"{'a' * 64}\n", f"{'a' * 63} 2026-11-23T00:00:00Z\n"])
def test_file_that_is_no_ledger_is_refused(people: Redis, ledger: Path, text: str) -> None:
    ledger.write_text(f"{'a' * 64} 2026-11-23T00:00:00.000Z\n{text}")

    with pytest.raises(CommandError, match="line 2 is not"):
        delete(ledger, replay=True)


def test_unreadable_conversation_is_named_and_left(people: Redis, ledger: Path) -> None:
    people.hset(conversation_key("bob-1"), "createdAt", "never")
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command(
            "delete_conversations", ledger=str(ledger), no_input=True, user="ada", stdout=out
        )

    assert ended.value.code == 1
    assert "2 deleted, 1 unreadable." in out.getvalue()
    assert "unreadable: bob-1: " in out.getvalue()
    assert "bob-1" in left()


def test_conversation_of_an_older_writer_is_erased_too(people: Redis, ledger: Path) -> None:
    write_legacy(people)

    assert "1 deleted" in delete(ledger, before="2025-06-01T00:00Z")

    assert left() == {"ada-1", "ada-2", "bob-1", "nobody"}
