"""What a benchmark runs on: its own bundled server, the repositories, the WSGI application."""

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.client import StoreClient
from sessions_store.redis.connections import connection_options
from sessions_store.repository import SessionRepository
from sessions_store.wire.clock import now_ms

API = "/agent-conversations/api"
ORDINARY = "/ordinary"
"""Where ``ordinary_views`` has its conversations."""
MESSAGE = AgentMessage(role="user", content="x" * 90, source="voice")
"""About 200 bytes of JSON with its id and time: a spoken sentence or two."""


@dataclass(frozen=True)
class Workplace:
    url: str
    server_pid: int
    redis: Redis
    store: StoreClient
    conversations: ConversationRepository
    sessions: SessionRepository
    name: str = "0"
    """Parts what one process makes from what another does."""

    def conversation(self, conversation_id: str, messages: int) -> str:
        self.conversations.create(NewConversation(conversation_id=conversation_id))
        for _ in range(messages):
            self.conversations.append_message(conversation_id, MESSAGE)
        return conversation_id

    def let_processors_go(self) -> None:
        """Undo what ``workplace`` did to the processors, for a load of many processes."""
        for process in (0, self.server_pid):
            os.sched_setaffinity(process, range(os.cpu_count() or 1))

    def beside(self, database: int) -> "Workplace":
        """Return a workplace on another database of the same server."""
        client = Redis.from_url(f"{self.url}?db={database}", **connection_options())
        return Workplace.on(self.url, self.server_pid, client)

    @classmethod
    def on(cls, url: str, server_pid: int, client: Redis, name: str = "0") -> "Workplace":
        store = StoreClient(client)
        repositories = ConversationRepository(store), SessionRepository(store)
        return cls(url, server_pid, client, store, *repositories, name)

    def many(self, prefix: str, count: int, messages: int = 2, agent_id: str | None = None) -> None:
        """Create ``count`` conversations as the scripts would, in a pipeline."""
        lists = keys.lists_of(agent_id, None)
        now = now_ms()
        raw = b'{"role":"user","content":"%b","timestamp":"2026-11-23T12:00:00.000Z"}' % (b"x" * 90)
        for start in range(0, count, 1000):
            pipeline = self.redis.pipeline(transaction=False)
            for number in range(start, min(start + 1000, count)):
                conversation_id = f"{prefix}-{number:06d}"
                record, message_list, message_ids = keys.record_keys(conversation_id)
                stored = [raw[:-1] + b',"messageId":"%03d"}' % place for place in range(messages)]
                fields: dict[Any, Any] = {
                    "createdAt": now + number,
                    "lastAccessedAt": now + number,
                    "schemaVersion": 1,
                    "revision": "0123456789abcdef",
                    "messageBytes": sum(map(len, stored)),
                    **({"agentId": agent_id} if agent_id else {}),
                }
                pipeline.hset(record, mapping=fields)
                pipeline.rpush(message_list, *stored)
                for place in range(messages):
                    pipeline.hset(message_ids, f"{place:03d}", place)
                scores = (now + number, now + number, messages)
                for one in lists:
                    for key, score in zip(one, scores, strict=True):
                        pipeline.zadd(key, {conversation_id: score})
            pipeline.execute()


def _part_processors(server_pid: int) -> None:
    """Give the server one processor and this process another.

    Left alone, the scheduler now runs both on one, now on two, for seconds at a time, and a round
    trip takes 50 or 130 µs accordingly.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        os.sched_setaffinity(0, {processors[0]})
        os.sched_setaffinity(server_pid, {processors[1]})


@contextmanager
def workplace() -> Iterator[Workplace]:
    """Start a server for a benchmark, and give Django's services the same one."""
    with (
        TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder)) as server,
    ):
        _part_processors(server.pid)
        client = Redis.from_url(server.url, **connection_options())
        yield Workplace.on(server.url, server.pid, client)
        client.close()


def request(application: Any, method: str, path: str, body: bytes = b"", query: str = "") -> bytes:
    """Call a WSGI application as a server would; return its body.

    Raises:
        AssertionError: the response was no success.
    """
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8000",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "bench",
        "CONTENT_TYPE": "application/json" if body else "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    statuses: list[str] = []
    response = application(environ, lambda status, *_: statuses.append(status))
    content = b"".join(response)
    response.close()
    assert statuses[0].startswith("2"), statuses[0]
    return content


def django_application(url: str, folder: str) -> Any:
    """Return the service's WSGI application in this process, on the server at ``url``."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings",
        REDIS_URL=url,
        DATA_DIR=folder,
        ELEVENLABS_AGENT_ENABLED="true",
        LOG_LEVEL="WARNING",
    )
    from config.wsgi import application  # noqa: PLC0415  # it reads the environment just set

    return application


def ordinary_application(floors: Mapping[str, Callable[[], Any]]) -> Any:
    """Return that of ``ordinary_views``; ``django_application`` has set Django up."""
    from tests.benchmarks import ordinary_views  # noqa: PLC0415  # its views read the settings

    return ordinary_views.application(floors)
