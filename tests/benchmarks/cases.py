"""What is measured: each route at a size, its floor, and the plain way of doing the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent_conversations.store import keys
from agent_conversations.store.encryption import Codec
from agent_conversations.store.scripts import ConversationScripts
from sessions_store.types import AgentSession
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, now_ms
from tests.benchmarks.plain_way import PlainConversations
from tests.benchmarks.workplace import API, MESSAGE, ORDINARY, Workplace

SESSION = {
    "sessionUrl": "wss://api.example.com/v1/convai/conversation?agent_id=a&token=" + "t" * 200,
    "sessionId": "sess-1",
    "metadata": {"tab": 1},
}
SIZES = (0, 10, 100, 1_000)
LISTED = 1_000

Action = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """A request; what Redis does for it, called directly; and the plain way of doing it.

    ``ordinary_path``: of the ordinary view that does the same. ``most_over_ordinary``: what a
    request may take in the process, as a multiple of what it takes with that view.
    """

    name: str
    method: str
    path: str
    body: str | None = None
    floor: Action | None = None
    plain: Action | None = None
    ordinary_path: str = ""
    most_over_ordinary: float = 1.0


def prepare(place: Workplace, listed: int = LISTED) -> None:
    """Make the conversations that the cases ask for, ours and plain ones."""
    plain = PlainConversations(place.redis)
    for size in SIZES:
        place.conversation(f"bench-{size}", size)
        plain.create(f"bench-{size}", size)
    place.many("bench-list", listed, messages=10)
    for number in range(listed):
        plain.create(f"bench-list-{number}", 10)


def cases(place: Workplace) -> list[Case]:
    """Return the cases; ``prepare`` has made what they ask for."""
    conversations, sessions = place.conversations, place.sessions
    plain = PlainConversations(place.redis)
    numbers = iter(range(10**9))

    scripts = ConversationScripts(
        place.store, retention_ms=0, index_keys=lambda _: keys.INDEX_KEYS, codec=Codec()
    )
    limits = {"max_messages": 10**9, "max_bytes": 10**12}

    def read(size: int) -> Action:
        return lambda: scripts.run("read_conversation", f"bench-{size}")

    def stored_message(message_id: str) -> bytes:
        wire = MESSAGE.to_wire() | {"messageId": message_id, "timestamp": iso_from_ms(now_ms())}
        return json_codec.encode(wire)

    def append(size: int) -> Action:
        def call() -> object:
            message_id = f"msg-{place.name}-{next(numbers):013d}"
            return scripts.run(
                "append_messages",
                f"bench-{size}",
                **limits,
                given=[message_id, stored_message(message_id)],
                new_revision="0123456789abcdef",
            )

        return call

    def put() -> object:
        return scripts.run(
            "put_message",
            "bench-100",
            **limits,
            message_id="put",
            message_json=stored_message("put"),
            own_timestamp="",
            allowed="",
            known_tag="",
            new_revision="0123456789abcdef",
        )

    def create() -> object:
        fields = ("schemaVersion", 1, "revision", "0123456789abcdef", "requestDigest", "0" * 32)
        conversation_id = f"agent-{place.name}-{next(numbers):012d}"
        return scripts.run(
            "create_conversation",
            conversation_id,
            deleted_key=keys.deleted_key(conversation_id),
            key_digest="",
            fields=[*fields, "agentId", "agent_1"],
        )

    session = AgentSession.from_registration(SESSION)
    stored = json_codec.encode(
        session.to_wire() | {"createdAt": iso_from_ms(now_ms()), "ttl": 600, "schemaVersion": 1}
    )

    def register() -> object:
        key = "elevenlabs:session:floor"
        return place.store.call(lambda client: client.set(key, stored, ex=600))

    def append_plain(size: int) -> Action:
        name = f"bench-{size}"

        def call() -> None:
            # Kept near its size, which is what it costs.
            if plain.append(name, MESSAGE.to_wire()) > size * 1.2:
                plain.create(name, size)

        return call

    message = json.dumps({"role": MESSAGE.role, "content": MESSAGE.content, "source": "voice"})
    return [
        Case(
            "read an empty conversation",
            "GET",
            f"{API}/bench-0",
            floor=read(0),
            plain=lambda: plain.read("bench-0"),
            ordinary_path=f"{ORDINARY}/bench-0",
            most_over_ordinary=1.0,
        ),
        Case(
            "read 100 messages",
            "GET",
            f"{API}/bench-100",
            floor=read(100),
            plain=lambda: plain.read("bench-100"),
            ordinary_path=f"{ORDINARY}/bench-100",
            most_over_ordinary=0.7,
        ),
        Case(
            "read 1,000 messages",
            "GET",
            f"{API}/bench-1000",
            floor=read(1_000),
            plain=lambda: plain.read("bench-1000"),
            ordinary_path=f"{ORDINARY}/bench-1000",
            most_over_ordinary=0.35,
        ),
        Case(
            "append to 10 messages",
            "POST",
            f"{API}/bench-10/message",
            message,
            floor=append(10),
            plain=append_plain(10),
            ordinary_path=f"{ORDINARY}/bench-10/message",
            most_over_ordinary=0.9,
        ),
        Case(
            "append to 1,000 messages",
            "POST",
            f"{API}/bench-1000/message",
            message,
            floor=append(1_000),
            plain=append_plain(1_000),
        ),
        Case(
            "replace one of 100 messages",
            "PUT",
            f"{API}/bench-100/messages/put",
            message,
            floor=put,
            ordinary_path=f"{ORDINARY}/bench-100/messages/put",
            most_over_ordinary=0.9,
        ),
        Case(
            "create a conversation",
            "POST",
            f"{API}/new",
            '{"agentId": "agent_1"}',
            floor=create,
            plain=lambda: plain.create(f"{place.name}-{next(numbers)}", 0),
            ordinary_path=f"{ORDINARY}",
            most_over_ordinary=0.95,
        ),
        Case(
            "list 20 of 1,000",
            "GET",
            f"{API}/list?limit=20&sortBy=createdAt",
            floor=lambda: conversations.list(limit=20, sort_by="createdAt"),
            plain=lambda: plain.page(20),
        ),
        Case(
            "register a session",
            "POST",
            f"{API}/bench-0/session",
            json.dumps(SESSION),
            floor=register,
            ordinary_path=f"{ORDINARY}/bench-0/session",
            most_over_ordinary=0.95,
        ),
        Case(
            "see a session",
            "GET",
            f"{API}/bench-0/session",
            floor=lambda: sessions.get("bench-0"),
        ),
        Case("live (no Redis)", "GET", "/health/live"),
    ]
