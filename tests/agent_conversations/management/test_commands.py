"""The management commands: what they print, and with which status they exit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from agent_conversations.store.keys import INDEX_KEYS
from config.environment import PROJECT_DIR
from sessions_store.embedded.server import EmbeddedServer
from tests.agent_conversations.store.records import LEGACY_RECORD, new, write_legacy
from tests.deployments import ClusterServers, SentinelServers


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_reindex_prints_how_many_conversations_are_listed(real_service: Redis) -> None:
    write_legacy(real_service)

    assert "1 listed" in run("reindex")


def test_reindex_fails_where_a_record_stays_unreadable(real_service: Redis) -> None:
    real_service.set("elevenlabs:conversation:broken", "{")

    with pytest.raises(SystemExit) as end:
        run("reindex")

    assert end.value.code == 1


def test_reindex_prepares_and_then_removes_other_shards(
    real_service: Redis, settings: Settings
) -> None:
    services.conversations().create(new("c-1"))
    before = set(real_service.keys("{elevenlabs:conversations*"))
    settings.INDEX_SHARDS = 2
    services.conversations.cache_clear()

    assert "1 listed" in run("reindex", "--prepare")
    assert set(real_service.keys("{elevenlabs:conversations*")) > before
    assert "1 listed" in run("reindex")

    assert not before & set(real_service.keys("{elevenlabs:conversations*"))
    assert services.conversations().list().total == 1


def test_import_conversations_prints_what_it_did_and_would_do(real_service: Redis) -> None:
    real_service.set("agent:conversation:older", json.dumps(LEGACY_RECORD))

    assert "1 would be imported" in run("import_conversations", "--dry-run")
    assert "1 imported" in run("import_conversations")
    assert "1 already there" in run("import_conversations")


@pytest.mark.parametrize(
    "url", ["nonsense", "redis://host:port/0", "http://host", "unix:///x?foo=bar"]
)
def test_import_conversations_refuses_an_invalid_source(url: str) -> None:
    with pytest.raises(CommandError, match="--source must be the URL"):
        run("import_conversations", "--source", url)


def test_import_conversations_reports_an_unavailable_source() -> None:
    with pytest.raises(CommandError, match=r"redis://127\.0\.0\.1:1/0 is unavailable"):
        run("import_conversations", "--source", "redis://me:word@127.0.0.1:1/0")


def test_import_conversations_refuses_a_list_key_of_another_type(real_service: Redis) -> None:
    real_service.set("no-set", "x")

    with pytest.raises(CommandError, match="--list-key must name a set; no-set is not one"):
        run("import_conversations", "--list-key", "no-set")


def test_every_command_reports_an_unavailable_redis(
    settings: Settings, point_at: Callable[[str], None]
) -> None:
    url = "redis://me:word@127.0.0.1:1/0"
    settings.REDIS_URL = url
    point_at(url)

    for command in ("reindex", "find_corrupt", "check_redis", "import_conversations"):
        with pytest.raises(CommandError, match=r"Redis at redis://127\.0\.0\.1:1/0 is unavailable"):
            run(command)


@pytest.mark.parametrize("command", ["reindex", "find_corrupt", "check_redis"])
def test_commands_end_quietly_when_their_output_is_closed(
    real_service: Redis, command: str
) -> None:
    url = f"unix://{real_service.connection_pool.connection_kwargs['path']}"
    environment = {"PATH": os.environ["PATH"], "REDIS_URL": url}
    reader, writer = os.pipe()
    os.close(reader)

    ended = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=PROJECT_DIR,
        env=environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)

    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert b"BrokenPipe" not in ended.stderr


def test_find_corrupt_exits_with_1_and_prints_no_content(
    real_service: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    real_service.set("elevenlabs:session:broken", '{"secret": "words"')

    with pytest.raises(SystemExit, match="1"):
        call_command("find_corrupt")

    shown = capsys.readouterr()
    assert "session broken" in shown.out
    assert "words" not in shown.out + shown.err


def test_check_redis_exits_with_1_when_a_check_fails(
    real_service: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        call_command("check_redis")

    assert "no_persistence" in capsys.readouterr().out


def test_check_redis_names_the_cause_of_refused_writes(
    stoppable_server: EmbeddedServer,
    point_at: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    point_at(stoppable_server.url)
    with Redis.from_url(stoppable_server.url) as redis:
        redis.config_set("min-replicas-to-write", 1)

    with pytest.raises(SystemExit, match="1"):
        call_command("check_redis")

    assert "too_few_replicas: NOREPLICAS: " in capsys.readouterr().out


def test_check_redis_takes_what_is_unknown_for_no_problem(
    stoppable_server: EmbeddedServer, point_at: Callable[[str], None]
) -> None:
    point_at(stoppable_server.url)
    with Redis.from_url(stoppable_server.url) as redis:
        redis.acl_setuser("default", enabled=True, commands=["-info"])

    out = run("check_redis")

    assert "unknown: " in out
    assert out.endswith("The Redis server has no known problems.\n")


def test_commands_escape_control_characters_of_keys(
    real_service: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[2Jb\u202ec"
    real_service.set(f"elevenlabs:session:{name}", "broken")
    real_service.set(f"agent:conversation:{name}", "broken")

    for command in ("find_corrupt", "import_conversations"):
        with pytest.raises(SystemExit):
            call_command(command)

    shown = capsys.readouterr().out
    assert shown.count(r"a\x1b[2Jb\u202ec") == 2
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize("kind", ["sentinels", "cluster"])
def test_commands_run_on_several_servers(
    request: pytest.FixtureRequest, point_at: Callable[[str], None], tmp_path: Path, kind: str
) -> None:
    servers: SentinelServers | ClusterServers = request.getfixturevalue(kind)
    for primary in servers.primaries():
        primary.client.flushall()
    point_at(servers.url)
    ids = [f"c-{number}" for number in range(10)]
    for conversation_id in ids:
        services.conversations().create(new(conversation_id, user_id="ada"))
    services.store().transaction([("DEL", key) for key in INDEX_KEYS])

    assert "10 listed, 0 entries" in run("reindex")
    assert "0 unreadable" in run("find_corrupt")
    assert "c-7" in run("list_conversations", "--json")
    exported = tmp_path / "all.jsonl"
    run("export_conversations", "--output", str(exported))
    ledger = ("--ledger", str(tmp_path / "erased"), "--no-input")
    assert "10 deleted" in run("delete_conversations", "--user", "ada", *ledger)
    assert "10 imported" in run("import_conversations", "--file", str(exported))
    assert "0 imported" in run("import_conversations", "--source", servers.url)
    assert services.conversations().list().total == 10
    with pytest.raises(SystemExit):  # nothing of it is on disk
        run("check_redis")
