"""What an operator does to all records at once, by function and by command."""

import json
import os
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations import services
from agent_conversations.store import keys
from agent_conversations.store.maintenance import find_corrupt, import_from_node, reindex
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from config.env import PROJECT_DIR
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository


def ignore(_: int) -> None:
    """Stand in for a progress bar."""


def fill(conversations: ConversationRepository, count: int) -> list[str]:
    ids = [f"conversation-{number:03d}" for number in range(count)]
    for number, conversation_id in enumerate(ids):
        conversations.create(NewConversation(conversation_id=conversation_id))
        for position in range(number % 3):
            conversations.append_message(
                conversation_id, AgentMessage(role="user", content=f"message {position}")
            )
    return ids


def index_of(redis: Redis) -> dict[str, Any]:
    return {key: redis.zrange(key, 0, -1, withscores=True) for key in keys.INDEX_KEYS}


def older_record(**changes: Any) -> str:
    return json.dumps(
        {
            "conversationId": "older-1",
            "createdAt": "2025-01-02T03:04:05.000Z",
            "lastAccessedAt": "2025-02-03T04:05:06.000Z",
            "messages": [
                {"role": "user", "content": "first", "timestamp": "2025-01-02T03:04:06.000Z"},
                {"role": "assistant", "content": "second", "messageId": "own-id"},
            ],
            "metadata": {"empty": [], "big": 12345678901234567890123},
            **changes,
        }
    )


class TestReindex:
    def test_rebuilds_a_lost_index_exactly(
        self, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        ids = fill(conversations, 60)
        before = index_of(raw_redis)
        raw_redis.delete(*keys.INDEX_KEYS)

        result = reindex(conversations, ignore)

        assert result.listed == len(ids)
        assert index_of(raw_redis) == before

    def test_removes_ids_without_a_record(
        self, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        fill(conversations, 3)
        for key in keys.INDEX_KEYS:
            raw_redis.zadd(key, {"ghost": 1.0})

        result = reindex(conversations, ignore)

        assert result.orphans > 0
        assert conversations.list().total == 3

    def test_lists_records_of_the_older_layout_without_touching_them(
        self, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        raw_redis.set("elevenlabs:conversation:older-1", older_record())

        reindex(conversations, ignore)
        page = conversations.list()

        assert [one.conversation_id for one in page.conversations] == ["older-1"]
        assert page.conversations[0].last_accessed_at == "2025-02-03T04:05:06.000Z"
        assert raw_redis.type("elevenlabs:conversation:older-1") == b"string"

    def test_names_what_cannot_be_read_and_goes_on(
        self, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        fill(conversations, 2)
        raw_redis.set("elevenlabs:conversation:broken", "{")

        result = reindex(conversations, ignore)

        assert result.unreadable == ["broken"]
        assert result.listed == 2

    def test_gives_records_the_expiry_of_a_new_retention(
        self, store: StoreClient, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        fill(conversations, 2)
        kept_a_day = ConversationRepository(store, retention_seconds=86_400)

        reindex(kept_a_day, ignore)
        expiring = [raw_redis.ttl(f"elevenlabs:conversation:conversation-{n:03d}") for n in (0, 1)]
        reindex(conversations, ignore)
        kept = [raw_redis.ttl(f"elevenlabs:conversation:conversation-{n:03d}") for n in (0, 1)]

        assert all(isinstance(ttl, int) and 86_000 < ttl <= 86_400 for ttl in expiring)
        assert kept == [-1, -1]


class TestFindCorrupt:
    def test_finds_each_kind_and_nothing_else(
        self, conversations: ConversationRepository, sessions: SessionRepository, raw_redis: Redis
    ) -> None:
        fill(conversations, 3)
        raw_redis.rpush(keys.messages_key("conversation-000"), "not json")
        raw_redis.hdel(keys.conversation_key("conversation-001"), "createdAt")
        raw_redis.lpush("elevenlabs:conversation:a-list", "x")
        raw_redis.set("elevenlabs:conversation:older", "[]")
        raw_redis.hset(keys.conversation_key("conversation-002"), "metadata", "{")
        raw_redis.set("elevenlabs:session:broken", '{"secret": "words"')

        found = {(one.kind, one.record_id) for one in find_corrupt(conversations, sessions, ignore)}

        assert found == {
            ("conversation", "conversation-000"),
            ("conversation", "conversation-001"),
            ("conversation", "conversation-002"),
            ("conversation", "a-list"),
            ("conversation", "older"),
            ("session", "broken"),
        }

    def test_is_content_with_sound_records(
        self, conversations: ConversationRepository, sessions: SessionRepository, raw_redis: Redis
    ) -> None:
        fill(conversations, 3)
        raw_redis.set("elevenlabs:conversation:older", older_record())

        assert list(find_corrupt(conversations, sessions, ignore)) == []


class TestImport:
    @pytest.fixture
    def node(self, raw_redis: Redis) -> StoreClient:
        raw_redis.set("agent:conversation:older-1", older_record())
        raw_redis.set("agent:conversation:older-2", older_record(conversationId="older-2"))
        raw_redis.sadd("agent:conversations:list", "older-1", "older-gone")
        return StoreClient(raw_redis)

    def test_brings_everything_over(
        self, node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        result = import_from_node(node, conversations, ignore)

        assert (result.imported, result.present, result.missing) == (2, 0, 1)
        found = {one.conversation_id: one for one in conversations.list().conversations}
        assert found.keys() == {"older-1", "older-2"}
        older = found["older-1"]
        assert [message.content for message in older.messages] == ["first", "second"]
        assert [message.message_id for message in older.messages] == ["legacy-0", "own-id"]
        assert older.metadata == {"empty": [], "big": 12345678901234567890123}
        assert older.last_accessed_at == "2025-02-03T04:05:06.000Z"
        assert raw_redis.exists("agent:conversation:older-1"), "the source is left as it is"

    def test_lists_what_it_brings_by_its_messages(
        self, node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        import_from_node(node, conversations, ignore)

        counts: Any = raw_redis.zrange(keys.index_key("messageCount"), 0, -1, withscores=True)
        found = {conversation_id.decode(): count for conversation_id, count in counts}
        assert found == {one: conversations.get(one).message_count for one in found}
        assert set(found.values()) >= {2.0}

    def test_a_second_time_changes_nothing(
        self, node: StoreClient, conversations: ConversationRepository
    ) -> None:
        import_from_node(node, conversations, ignore)
        conversations.append_message("older-1", AgentMessage(role="user", content="since then"))

        result = import_from_node(node, conversations, ignore)

        assert (result.imported, result.present) == (0, 2)
        assert conversations.get("older-1").message_count == 3

    def test_a_dry_run_writes_nothing(
        self, node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        before = sorted(raw_redis.keys())

        result = import_from_node(node, conversations, ignore, dry_run=True)

        assert result.imported == 2
        assert sorted(raw_redis.keys()) == before

    def test_names_what_cannot_be_read_and_goes_on(
        self, node: StoreClient, conversations: ConversationRepository, raw_redis: Redis
    ) -> None:
        raw_redis.set("agent:conversation:broken", "{")
        raw_redis.set("agent:conversation:bad id", older_record())
        raw_redis.set("agent:conversation:impossible", older_record(createdAt=1e20))
        raw_redis.hset("agent:conversation:hash", "a", "b")
        raw_redis.set(b"agent:conversation:\xff", older_record())

        result = import_from_node(node, conversations, ignore)

        assert result.imported == 2
        assert sorted(result.unreadable) == ["bad id", "broken", "hash", "impossible"]
        assert result.missing == 2


class TestCommands:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    def test_reindex(self, real_service: Redis) -> None:
        real_service.set("elevenlabs:conversation:older-1", older_record())

        assert "1 listed" in self.run("reindex")

    def test_import_conversations(self, real_service: Redis) -> None:
        real_service.set("agent:conversation:older-1", older_record())

        assert "1 would be imported" in self.run("import_conversations", "--dry-run")
        assert "1 imported" in self.run("import_conversations")
        assert "1 exist already" in self.run("import_conversations")

    @pytest.mark.parametrize(
        "url", ["nonsense", "redis://host:port/0", "http://host", "unix:///x?foo=bar"]
    )
    def test_import_conversations_tells_of_a_bad_source(self, url: str) -> None:
        with pytest.raises(CommandError, match="--source must be the URL"):
            self.run("import_conversations", "--source", url)

    def test_import_conversations_tells_of_a_source_that_does_not_answer(self) -> None:
        with pytest.raises(CommandError, match=r"redis://127\.0\.0\.1:1/0 is unavailable"):
            self.run("import_conversations", "--source", "redis://me:word@127.0.0.1:1/0")

    def test_import_conversations_tells_of_a_list_of_another_type(
        self, real_service: Redis
    ) -> None:
        real_service.set("no-set", "x")

        with pytest.raises(CommandError, match="--list-key must name a set; no-set is not one"):
            self.run("import_conversations", "--list-key", "no-set")

    def test_say_what_to_do_where_redis_does_not_answer(self, settings: Settings) -> None:
        url = "redis://me:word@127.0.0.1:1/0"
        settings.REDIS_URL = url
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": url}}
        services.forget()

        for command in ("reindex", "find_corrupt", "check_redis", "import_conversations"):
            with pytest.raises(
                CommandError, match=r"Redis at redis://127\.0\.0\.1:1/0 is unavailable"
            ):
                self.run(command)

        services.forget()

    @pytest.mark.parametrize("command", ["reindex", "find_corrupt", "check_redis"])
    def test_end_quietly_where_nobody_reads_on(self, real_service: Redis, command: str) -> None:
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

    def test_find_corrupt_finds_what_is_no_text(self, real_service: Redis) -> None:
        real_service.set(b"elevenlabs:session:\xff", "{}")
        real_service.set("elevenlabs:session:late", '{"wsUrl":"wss://h","createdAt":1e20}')

        found = list(find_corrupt(services.conversations(), services.sessions(), ignore))

        assert sorted(one.record_id for one in found) == ["\\xff", "late"]

    def test_find_corrupt_exits_with_1_and_shows_no_content(
        self, real_service: Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        real_service.set("elevenlabs:session:broken", '{"secret": "words"')

        with pytest.raises(SystemExit, match="1"):
            call_command("find_corrupt")

        shown = capsys.readouterr()
        assert "session broken" in shown.out
        assert "words" not in shown.out + shown.err

    def test_check_redis_exits_with_1_where_the_server_is_unfit(
        self, real_service: Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="1"):
            call_command("check_redis")

        assert "no_persistence" in capsys.readouterr().out
