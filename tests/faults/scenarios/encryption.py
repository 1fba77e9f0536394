"""Conversations are rewritten under other keys, while many use them and processes die."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.encryption import ENCRYPTED_FIELDS, PLAIN
from agent_conversations.store.records import ENCRYPTED_VERSION
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.redis.client import StoreClient
from sessions_store.wire.model import SCHEMA_VERSION
from tests.faults.client import API, Api, Response
from tests.faults.result import Advance, Result, ignore
from tests.faults.scenarios.index import redis_server
from tests.faults.scenarios.kills import Writer, count, writing
from tests.faults.servers import (
    PROJECT_DIR,
    START_SECONDS,
    RedisServer,
    Service,
    temporary_folder,
)
from tests.waiting import wait_until

_TALKS = ("talk-0", "talk-1")
_CONVERSATIONS = (*_TALKS, "quiet-0", "quiet-1")
"""Nobody uses the last two."""

_OLD_MESSAGES = 2_000
_SAMPLED = range(0, _OLD_MESSAGES, 100)
"""Messages that nobody replaces: these show how far the command has come."""

_PAUSE_SECONDS = 0.05
"""After each turn of an editor, so that the command gets a processor."""

_COMMAND_SECONDS = 120.0

_EDITORS = 2 * len(_TALKS)
_OLD_KEY, _NEW_KEY = (Fernet.generate_key().decode() for _ in range(2))


@dataclass(frozen=True)
class _Change:
    """The keys before, those while it is done, and those that then are enough."""

    before: Sequence[str]
    during: Sequence[str]
    after: Sequence[str]

    def is_made(self, stored: Any) -> bool:
        """Return whether a message or a field is stored as it should be."""
        if not self.after:
            return not stored.startswith(b"gAAAA")
        try:
            Fernet(self.after[0]).decrypt(stored)
        except InvalidToken:
            return False
        return True


CHANGES = {
    "encrypt": _Change([], [_OLD_KEY], [_OLD_KEY]),
    "rotate": _Change([_OLD_KEY], [_NEW_KEY, _OLD_KEY], [_NEW_KEY]),
    "decrypt": _Change([_NEW_KEY], [PLAIN, _NEW_KEY], []),
}


@dataclass
class _Editor(Writer):
    """After each message that it appends, it replaces one of its own old ones, and reads it."""

    replaced: dict[str, str] = field(default_factory=dict)
    """The content that was acknowledged last, by message id."""
    tags: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None

    @property
    def own(self) -> Sequence[int]:
        """The numbers of the old messages that it replaces, and nobody else."""
        numbers = range(self.number // len(_TALKS), _OLD_MESSAGES, 2)
        return [one for one in numbers if one not in _SAMPLED]

    def _append(self, api: Api, message_id: str) -> bool:
        if not super()._append(api, message_id):
            return False
        self._replace(api, f"old-{random.choice(self.own)}", f"instead, after {message_id}")
        if self.number < len(_TALKS) and len(self.acknowledged) % 8 == 0:
            metadata = {"after": message_id}
            path = f"{API}/{self.conversation_id}"
            if self._ask(api, "PATCH", path, {"metadata": metadata}):
                self.metadata = metadata
        time.sleep(_PAUSE_SECONDS)
        return True

    def _replace(self, api: Api, message_id: str, content: str) -> None:
        path = f"{API}/{self.conversation_id}/messages/{message_id}"
        message = {"role": "user", "content": content}
        known = self.tags.get(message_id)
        put = self._ask(api, "PUT", path, message, if_match=known)
        read = put and self._ask(api, "GET", path)
        if not (put and read):
            return
        self.replaced[message_id] = content
        self.tags[message_id] = put.headers["etag"]
        if read.body["content"] != content or read.headers["etag"] != put.headers["etag"]:
            self.problems.append(f"{message_id} was read as it was not put")
        if known:
            self._ask(api, "PUT", path, message, if_match=known, status=412)

    def _ask(
        self,
        api: Api,
        method: str,
        path: str,
        body: object = None,
        *,
        if_match: str | None = None,
        status: int = 200,
    ) -> Response | None:
        """Return the response, for which it asks again while there is an outage."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            headers = {} if if_match is None else {"If-Match": if_match}
            response = api.send(method, path, body, headers)
            self.attempted += 1
            self.slowest_seconds = max(self.slowest_seconds, response.seconds)
            if response.status == status:
                return response
            if not response.is_unavailable:
                break
            if status == 200:
                if_match = None  # whether it was written, and has another tag, is not known
            time.sleep(0.01)
        self.problems.append(f"{method} {path}: {response}")
        return None


def reencrypt_under_writers(
    *,
    changes: Sequence[str] = tuple(CHANGES),
    repeats: int = 1,
    advance: Advance = ignore,
) -> Result:
    """``reencrypt_conversations`` is killed, then Redis under it; then it ends its work."""
    result = Result(
        "Conversations are encrypted anew under writers",
        "SIGKILL of `reencrypt_conversations`, then of Redis",
    )
    for _ in range(repeats):
        with temporary_folder() as folder, redis_server() as redis, redis.client() as client:
            _fill(redis, CHANGES[changes[0]].before)
            editors = [_Editor(one, _TALKS[one % len(_TALKS)]) for one in range(_EDITORS)]
            for name in changes:
                result.problems += _make(CHANGES[name], folder, redis, client, editors)
            with _service(folder, redis, CHANGES[changes[-1]].after) as service:
                count(result, service.api, editors, _TALKS)
                _count_replaced(result, service.api, editors)
        result.repeats += 1
        advance()
    return result


@contextmanager
def _service(folder: Path, redis: RedisServer, encryption_keys: Sequence[str]) -> Iterator[Service]:
    service = Service(
        folder / "service", redis.url, CONVERSATION_ENCRYPTION_KEYS=",".join(encryption_keys)
    )
    try:
        service.start()
        yield service
    finally:
        service.stop()


def _fill(redis: RedisServer, encryption_keys: Sequence[str]) -> None:
    store = StoreClient.from_url(redis.url)
    conversations = ConversationRepository(store, encryption_keys=encryption_keys)
    for conversation_id in _CONVERSATIONS:
        conversations.create(
            NewConversation(conversation_id=conversation_id, metadata={"of": conversation_id})
        )
        for first in range(0, _OLD_MESSAGES, 100):
            messages = [
                AgentMessage(message_id=f"old-{one}", role="user", content=f"words of {one}")
                for one in range(first, first + 100)
            ]
            conversations.append_messages(conversation_id, messages)


def _make(
    change: _Change,
    folder: Path,
    redis: RedisServer,
    client: "Redis",
    editors: Sequence[_Editor],
) -> Iterator[str]:
    """Make a change, with faults, while it is used; yield what is not as it should be."""
    command = _Command(folder, redis, change.during)
    quiet = _unchanging(client)
    with _service(folder, redis, change.during) as service, writing(service.api, editors):
        with command.running() as process:
            _wait_for_more(client, change)
            process.kill()
        if _made(client, change) == len(_SAMPLED) * len(_CONVERSATIONS):
            yield "it was killed too late"
        with command.running() as process:
            _wait_for_more(client, change)
            redis.kill()
            time.sleep(random.uniform(0.0, 0.3))
            redis.start()
            process.communicate(timeout=_COMMAND_SECONDS)
        if change.after:
            status, output = command.run()
    if not change.after:
        # Of what is written to without a pause it cannot be told that all is plain.
        status, output = command.run()
    if status:
        yield f"exit status {status}: {output}"
    yield from _former(client, change)
    if _unchanging(client) != quiet:
        yield "a conversation that nobody used has another revision, or access"


def _made(client: "Redis", change: _Change) -> int:
    """Return how many of the messages that nobody replaces are stored as they should be."""
    with client.pipeline(transaction=False) as pipeline:
        for conversation_id in _CONVERSATIONS:
            for position in _SAMPLED:
                pipeline.lindex(keys.messages_key(conversation_id), position)
        return sum(map(change.is_made, pipeline.execute()))


def _wait_for_more(client: "Redis", change: _Change) -> None:
    before = _made(client, change)
    wait_until(lambda: _made(client, change) > before, "the command rewrote nothing")


def _unchanging(client: "Redis") -> list[Any]:
    """Return what a rewriting leaves as it is, of conversations that nobody uses."""
    names = ("revision", "createdAt", "lastAccessedAt")
    return [
        client.hmget(keys.conversation_key(one), names)
        for one in _CONVERSATIONS
        if one not in _TALKS
    ]


def _former(client: "Redis", change: _Change) -> Iterator[str]:
    """Yield what is still stored in the former form."""
    for conversation_id in _CONVERSATIONS:
        record = client.hgetall(keys.conversation_key(conversation_id))
        stored = client.lrange(keys.messages_key(conversation_id), 0, -1)
        contents = [*stored, *(record[name.encode()] for name in ENCRYPTED_FIELDS)]
        if left := [one for one in contents if not change.is_made(one)]:
            yield f"{len(left)} messages and fields of {conversation_id} are in the former form"
        if record[b"schemaVersion"] != b"%d" % (
            ENCRYPTED_VERSION if change.after else SCHEMA_VERSION
        ):
            yield f"{conversation_id} has the version of the former form"
        if record[b"messageBytes"] != b"%d" % sum(map(len, stored)):
            yield f"{conversation_id} has another number of bytes"


def _count_replaced(result: Result, api: Api, editors: Sequence[_Editor]) -> None:
    """Compare the messages that were replaced, and the metadata, with what is stored."""
    for conversation_id in _TALKS:
        stored = api.get(conversation_id).body
        found = {one["messageId"]: one["content"] for one in stored["messages"]}
        expected = {f"old-{number}": f"words of {number}" for number in range(_OLD_MESSAGES)}
        for editor in editors:
            if editor.conversation_id == conversation_id:
                expected |= editor.replaced
                result.acknowledged += len(editor.replaced)
                if editor.metadata and stored["metadata"] != editor.metadata:
                    result.problems.append(f"{conversation_id} has former metadata")
                result.found += sum(found.get(one) == text for one, text in editor.replaced.items())
        lost = {one for one, text in expected.items() if found.get(one) != text}
        result.lost += len(lost)
        result.lost_ids |= lost


@dataclass(frozen=True)
class _Command:
    folder: Path
    redis: RedisServer
    encryption_keys: Sequence[str]

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[str]"]:
        """``manage.py reencrypt_conversations``, of which nothing is left in the end."""
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "DATA_DIR": str(self.folder / "service"),
            "REDIS_URL": self.redis.url,
            "CONVERSATION_ENCRYPTION_KEYS": ",".join(self.encryption_keys),
        }
        with subprocess.Popen(
            [sys.executable, "manage.py", "reencrypt_conversations"],
            cwd=PROJECT_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self) -> tuple[int, str]:
        """Return its exit status, and what it has printed."""
        with self.running() as process:
            output, _ = process.communicate(timeout=_COMMAND_SECONDS)
        return process.returncode, output
