"""The ratios that are kept, each with its target."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.fernet import Fernet

from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import NewConversation
from config.access_log import AccessLog
from tests.benchmarks.cases import Case, cases
from tests.benchmarks.plain_way import PlainConversations
from tests.benchmarks.rounds import Comparison, compare
from tests.benchmarks.workplace import MESSAGE, Workplace, ordinary_application, request


@dataclass(frozen=True)
class Ratio:
    """A measured ratio, and what it is to be at most or at least; or no target, to be read."""

    name: str
    value: float
    target: float | None
    at_most: bool
    unit: str = "µs"
    one: float = 0.0
    other: float = 0.0

    @property
    def kept(self) -> bool:
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "kept": self.kept}


def at_most(name: str, target: float | None, found: Comparison, *, invert: bool = False) -> Ratio:
    one, other = found.microseconds, found.other_microseconds
    return Ratio(name, found.ratio, target, not invert, "µs", one, other)


def at_least(name: str, target: float, found: Comparison) -> Ratio:
    return at_most(name, target, found, invert=True)


def over_others(place: Workplace, application: Any) -> Iterator[Ratio]:
    """In-process time of a request over its floor, and over an ordinary view that does the same.

    The floor, mostly the kernel's and Redis' time, tells how much there is to gain. It is no
    target: docs/decisions/0021-what-a-request-is-compared-with.md says why.
    """
    compared = [case for case in cases(place) if case.ordinary_path and case.floor]
    ordinary = ordinary_application({case.name: case.floor for case in compared if case.floor})
    for case in compared:
        body = (case.body or "").encode()
        calls = 100 if "1,000" in case.name else 400

        def call(case: Case = case, body: bytes = body) -> bytes:
            return request(application, case.method, case.path, body)

        def call_ordinary(case: Case = case, body: bytes = body) -> bytes:
            return request(ordinary, case.method, case.ordinary_path, body)

        assert case.floor
        yield at_most(f"{case.name}, over its floor", None, compare(call, case.floor, calls=calls))
        yield at_most(
            f"{case.name}, over an ordinary view",
            case.most_over_ordinary,
            compare(call, call_ordinary, calls=calls),
        )


def access_log(place: Workplace, application: Any) -> Ratio:
    """In-process time of requests with their lines in a file, the thread's part of it included.

    Requests a second tell too little: of two services alike, one has some percent more of them.
    """
    path = cases(place)[0].path
    log = AccessLog()
    with_log = log.wrap(application)

    def call() -> None:
        for _ in range(40):
            request(application, "GET", path)

    def call_logged() -> None:
        for _ in range(40):
            request(with_log, "GET", path)
        log.write()

    with tempfile.TemporaryFile("w") as lines, redirect_stderr(lines):
        found = compare(call_logged, call, calls=10, rounds=15)
        assert lines.seek(0, os.SEEK_END)
    return at_most("40 requests with the access log, over without", 1.08, found)


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

    batch = place.conversation("append-batch", 10)
    found = compare(
        lambda: conversations.append_messages(batch, [MESSAGE] * 20),
        lambda: conversations.append_message(batch, MESSAGE),
        calls=200,
    )
    yield at_most("append of 20 messages at once, over of one", 3.0, found)

    few = place.beside(1)
    few.many("few", 100, agent_id="agent_1")
    place.redis.flushdb()
    place.many("many", 100_000, agent_id="agent_1")
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
    found = compare(
        lambda: conversations.list(limit=20, agent_id="agent_1", lowest=0),
        lambda: few.conversations.list(limit=20, agent_id="agent_1", lowest=0),
        calls=100,
    )
    yield at_most("a filtered page of 20 from 100,000 conversations, over from 100", 1.15, found)
    first = conversations.list(limit=20).next
    later = conversations.list(limit=1, offset=89_999).next
    found = compare(
        lambda: conversations.list(limit=20, cursor=later),
        lambda: conversations.list(limit=20, cursor=first),
        calls=100,
    )
    yield at_most("a page by cursor at 90,000, over at 0", 1.25, found)


def encryption(place: Workplace) -> Iterator[Ratio]:
    """What keys for conversations cost."""
    plain, keys = place.conversations, [Fernet.generate_key().decode()]
    encrypted = ConversationRepository(place.store, encryption_keys=keys)
    for name, conversations in (("plain", plain), ("encrypted", encrypted)):
        for kind in ("read", "append"):
            conversations.create(NewConversation(conversation_id=f"{kind}-{name}"))
        conversations.append_messages(f"read-{name}", [MESSAGE] * 100)
    found = compare(
        lambda: encrypted.append_message("append-encrypted", MESSAGE),
        lambda: plain.append_message("append-plain", MESSAGE),
        calls=400,
    )
    yield at_most("append to an encrypted conversation, over to a plain one", 1.6, found)
    found = compare(
        lambda: encrypted.get("read-encrypted"), lambda: plain.get("read-plain"), calls=100
    )
    yield at_most("read of 100 encrypted messages, over of plain ones", 10.0, found)


def over_the_plain_way(place: Workplace) -> Iterator[Ratio]:
    """How many times faster than one JSON string a conversation."""
    place.redis.flushall()
    plain = PlainConversations(place.redis)
    for count, target in ((100, 2.0), (1_000, 10.0)):
        place.conversation(f"ours-{count}", count)
        plain.create(f"plain-{count}", count)

        def append_plain(name: str = f"plain-{count}", count: int = count) -> None:
            if plain.append(name, MESSAGE.to_wire()) > count * 1.2:
                plain.create(name, count)

        def append(name: str = f"ours-{count}") -> None:
            place.conversations.append_message(name, MESSAGE)

        found = compare(append_plain, append, calls=100, burst=25)
        yield at_least(f"append over the plain way, at {count:,} messages", target, found)

    place.redis.flushall()
    place.many("ours", 1_000, messages=100)
    for number in range(1_000):
        plain.create(f"plain-{number:04d}", 100)
    found = compare(
        lambda: plain.page(20), lambda: place.conversations.list(limit=20), calls=3, burst=3
    )
    yield at_least(
        "a list page over the plain way, at 1,000 conversations of 100 messages", 40.0, found
    )
