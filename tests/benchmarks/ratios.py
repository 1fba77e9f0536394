"""The ratios that are kept, each with its target."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sessions_store import json_codec
from sessions_store.clock import iso_from_ms, now_ms
from sessions_store.types import AgentSession
from tests.benchmarks.plain_way import PlainConversations
from tests.benchmarks.rounds import Comparison, compare
from tests.benchmarks.workplace import API, MESSAGE, Workplace, request

SESSION = {
    "sessionUrl": "wss://api.example.com/v1/convai/conversation?agent_id=a&token=" + "t" * 200,
    "sessionId": "sess-1",
    "metadata": {"tab": 1},
}


@dataclass(frozen=True)
class Ratio:
    """A measured ratio and what it is to be: at most or at least."""

    name: str
    value: float
    target: float
    at_most: bool
    unit: str = "µs"
    one: float = 0.0
    other: float = 0.0

    @property
    def kept(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "kept": self.kept}


def at_most(name: str, target: float, found: Comparison, *, invert: bool = False) -> Ratio:
    one, other = found.microseconds, found.other_microseconds
    return Ratio(name, found.ratio, target, not invert, "µs", one, other)


def at_least(name: str, target: float, found: Comparison) -> Ratio:
    return at_most(name, target, found, invert=True)


def over_the_floor(place: Workplace, application: Any) -> Iterator[Ratio]:
    """In-process time of a request over the same script called directly."""
    conversations, sessions = place.conversations, place.sessions
    empty = place.conversation("empty", 0)
    some = place.conversation("some", 10)
    long = place.conversation("long", 1_000)
    session = AgentSession.from_registration(SESSION)
    stored = json_codec.encode(
        session.replace(created_at=iso_from_ms(now_ms()), ttl=600, schema_version=1).to_wire()
    )
    body = json.dumps(MESSAGE.to_wire()).encode()
    numbers = iter(range(10**9))

    def script(run: Callable[..., Any], conversation_id: str, *args: Any) -> None:
        run(*conversations._call_of(conversation_id, *args))

    def append() -> None:
        message_id = f"msg-{next(numbers):026d}"
        wire = MESSAGE.replace(message_id=message_id, timestamp=iso_from_ms(now_ms()))
        script(
            conversations._append,
            some,
            message_id,
            json_codec.encode(wire.to_wire()),
            "0123456789abcdef",
            10**9,
        )

    def create() -> None:
        now = now_ms()
        fields = ("createdAt", now, "lastAccessedAt", now, "schemaVersion", 1)
        more = ("revision", "0123456789abcdef", "requestDigest", "0" * 32, "agentId", "agent_1")
        script(conversations._create, f"agent-{next(numbers):026d}", *fields, *more)

    def register() -> None:
        place.store.call(lambda client: client.set("elevenlabs:session:floor", stored, ex=600))

    cases: list[tuple[str, float, Callable[[], object], Callable[[], object], int]] = [
        (
            "read an empty conversation",
            1.8,
            lambda: request(application, "GET", f"{API}/{empty}"),
            lambda: script(conversations._read, empty),
            400,
        ),
        (
            "append an ordinary message",
            2.0,
            lambda: request(application, "POST", f"{API}/{some}/message", body),
            append,
            400,
        ),
        (
            "create a conversation",
            2.0,
            lambda: request(application, "POST", f"{API}/new", b'{"agentId":"agent_1"}'),
            create,
            400,
        ),
        (
            "register a session",
            2.0,
            lambda: request(
                application, "POST", f"{API}/{some}/session", json.dumps(SESSION).encode()
            ),
            register,
            400,
        ),
        (
            "read a conversation of 1,000 messages",
            1.3,
            lambda: request(application, "GET", f"{API}/{long}"),
            lambda: script(conversations._read, long),
            80,
        ),
    ]
    for name, target, action, floor, calls in cases:
        yield at_most(f"{name}, over its floor", target, compare(action, floor, calls=calls))
    assert sessions.get(some) is not None


def growth(place: Workplace) -> Iterator[Ratio]:
    """What the same thing costs with more data."""
    conversations = place.conversations
    long = place.conversation("append-long", 10_000)
    short = iter([place.conversation(f"append-short-{n}", 10) for n in range(60)])
    current = next(short)
    used = 0

    def append_short() -> None:
        # Kept near ten messages: another conversation after every 40 appends.
        nonlocal current, used
        used += 1
        if used % 80 == 0:
            current = next(short)
        conversations.append_message(current, MESSAGE)

    found = compare(lambda: conversations.append_message(long, MESSAGE), append_short, calls=400)
    yield at_most("append at 10,000 messages, over at 10", 1.10, found)

    few = place.beside(1)
    few.many("few", 100)
    place.redis.flushdb()
    place.many("many", 100_000)
    found = compare(
        lambda: conversations.list(limit=20),
        lambda: few.conversations.list(limit=20),
        calls=100,
    )
    yield at_most("a page of 20 from 100,000 conversations, over from 100", 1.15, found)
    found = compare(
        lambda: conversations.list(limit=20, offset=90_000),
        lambda: conversations.list(limit=20, offset=0),
        calls=100,
    )
    yield at_most("a page at offset 90,000, over at 0", 1.25, found)


def over_the_plain_way(place: Workplace) -> Iterator[Ratio]:
    """How many times faster than one JSON string a conversation."""
    place.redis.flushall()
    plain = PlainConversations(place.redis)
    wire = MESSAGE.replace(timestamp=iso_from_ms(now_ms()), message_id=f"msg-{0:026d}").to_wire()
    for count, target in ((100, 3.0), (1_000, 10.0)):
        ours = place.conversation(f"ours-{count}", count)

        def append_plain(name: str = f"plain-{count}", count: int = count) -> None:
            if plain.append(name, MESSAGE.to_wire()) > count * 1.2:
                plain.create(name, [wire] * count, iso_from_ms(now_ms()))

        plain.create(f"plain-{count}", [wire] * count, iso_from_ms(now_ms()))
        found = compare(
            append_plain,
            lambda ours=ours: place.conversations.append_message(ours, MESSAGE),  # type: ignore[misc]  # the default binds
            calls=100,
            burst=25,
        )
        yield at_least(f"append over the plain way, at {count:,} messages", target, found)

    place.redis.flushall()
    place.many("ours", 1_000, messages=100)
    for number in range(1_000):
        plain.create(f"plain-{number:04d}", [wire] * 100, iso_from_ms(now_ms() + number))
    found = compare(lambda: plain.page(20), lambda: place.conversations.list(limit=20), calls=3)
    yield at_least(
        "a list page over the plain way, at 1,000 conversations of 100 messages", 50.0, found
    )
