"""The commands on encrypted conversations, and the one that encrypts them anew."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.services import conversations
from agent_conversations.store.keys import message_ids_key, messages_key
from agent_conversations.types import AgentMessage, NewConversation
from tests.conftest import forget_services


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def talks(encrypted_service: Redis) -> Redis:
    for name, user in (("c-1", "ada"), ("c-2", "bob")):
        new = NewConversation(conversation_id=name, user_id=user, metadata={"of": user})
        conversations().create(new)
        said = AgentMessage(role="user", content=f"Hello from {user}")
        conversations().append_message(name, said)
    return encrypted_service


def tokens(redis: Redis) -> list[str]:
    return [str(redis.lindex(messages_key(name), 0)) for name in ("c-1", "c-2")]


def test_every_command_reads_what_is_encrypted(talks: Redis, tmp_path: Path) -> None:
    exported, ledger = tmp_path / "exported.jsonl", tmp_path / "ledger"

    assert "Hello from ada" in run("show_conversation", "c-1")
    (found,) = run("list_conversations", "--text", "from BOB", "--json").splitlines()
    assert json.loads(found)["metadata"] == {"of": "bob"}
    assert "0 unreadable" in run("find_corrupt")
    talks.delete(message_ids_key("c-2"))
    assert "repaired: conversation c-2" in run("reindex", "--repair")
    run("export_conversations", "--output", str(exported))
    before = {name: conversations().get(name).messages_json for name in ("c-1", "c-2")}
    run("delete_conversations", "--user", "ada", "--ledger", str(ledger), "--no-input")
    assert "1 imported" in run("import_conversations", "--file", str(exported))
    assert {name: conversations().get(name).messages_json for name in ("c-1", "c-2")} == before
    assert all(token.startswith("b'gAAAA") for token in tokens(talks))


def test_reencrypt_conversations_rotates_and_then_decrypts(
    talks: Redis, settings: Settings
) -> None:
    first, second = settings.CONVERSATION_ENCRYPTION_KEYS
    before = tokens(talks)

    for keys, rewritten in (([second, first], 6), ([second], 0), (["plain", second], 6)):
        settings.CONVERSATION_ENCRYPTION_KEYS = keys
        forget_services()
        changed = rewritten // 3
        sentence = f"{rewritten} rewritten (messages and fields), in {changed} conversations; 0"
        assert sentence in run("reencrypt_conversations")
        assert conversations().get("c-1").messages[0].content == "Hello from ada"
        assert (tokens(talks) != before) is (rewritten > 0)
        before = tokens(talks)
    assert "Hello from ada" in before[0]


def test_reencrypt_conversations_fails_where_a_key_is_missing(
    talks: Redis, settings: Settings
) -> None:
    settings.CONVERSATION_ENCRYPTION_KEYS = settings.CONVERSATION_ENCRYPTION_KEYS[1:]
    forget_services()
    out = StringIO()

    with pytest.raises(SystemExit) as end:
        call_command("reencrypt_conversations", stdout=out)

    assert end.value.code == 1
    assert "left: conversation c-1, which is encrypted with a key" in out.getvalue()
    assert "; 2 left." in out.getvalue()


COMMANDS: dict[str, tuple[Sequence[str], str]] = {
    "list": (["list_conversations", "--json"], ""),
    "search": (["list_conversations", "--text", "hello"], ""),
    "show": (["show_conversation", "c-1"], "CONVERSATION_ENCRYPTION_KEYS"),
    "show as JSON": (["show_conversation", "c-1", "--json"], "CONVERSATION_ENCRYPTION_KEYS"),
    "state": (["show_store"], "2 entries, 0 of no record"),
    "find": (["find_corrupt"], "2 unreadable"),
    "repair": (["reindex", "--repair"], "0 entries without a record removed"),
    "export": (["export_conversations"], ""),
    "erase": (["delete_conversations", "--user", "ada", "--no-input"], "0 deleted, 2 unreadable"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("order", ["none", "other"])
@pytest.mark.usefixtures("log")
def test_command_without_the_key_shows_and_changes_nothing(
    talks: Redis, settings: Settings, tmp_path: Path, name: str, order: str
) -> None:
    arguments, told = COMMANDS[name]
    files = {"export": ["--output", str(tmp_path / "out")], "erase": ["--ledger", str(tmp_path)]}
    settings.CONVERSATION_ENCRYPTION_KEYS = (
        [] if order == "none" else [Fernet.generate_key().decode()]
    )
    forget_services()
    before = tokens(talks)
    out, failure = StringIO(), ""

    try:
        call_command(*arguments, *files.get(name, []), stdout=out)
    except (CommandError, SystemExit) as error:
        failure = str(error)

    shown = out.getvalue() + failure
    shown += "".join(path.read_text() for path in tmp_path.glob("out"))
    assert told in shown
    assert "gAAAA" not in shown
    assert tokens(talks) == before


@pytest.mark.usefixtures("real_service")
def test_reencrypt_conversations_needs_a_key() -> None:
    with pytest.raises(CommandError, match="CONVERSATION_ENCRYPTION_KEYS must have a key"):
        run("reencrypt_conversations")
