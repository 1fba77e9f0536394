"""Measures bytes and the server's time on the bundled server, and computes machines from them.

    python -m tests.capacity [--write]

prints the tables of docs/capacity.md as Markdown, in about three minutes; ``--write`` puts them
into the page. Leave the machine alone meanwhile: beside other work, the server's time is longer.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.index import ConversationIndex
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.records import Owners, Scores
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from config.environment import PROJECT_DIR
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.keys import alias_key, push_key, push_queue_key, session_key
from sessions_store.pushes import PushRepository
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession

PAGE = PROJECT_DIR / "docs" / "capacity.md"
MESSAGES_PER_CONVERSATION = 50
CONVERSATIONS_PER_USER = 10
CONVERSATIONS_PER_AGENT = 1_000
WORDS = "So what I would like to know is whether the report about last week can be done today. "
"""Said in some five seconds; a message has this once to three times."""

MACHINE_GIB = 32
USABLE = 0.5
"""Of a machine's memory. The rest is for what a snapshot or a rewrite of the file copies, for
fragments and for the buffers of replicas."""

BUSY = 0.6
"""Of a core's time; above that, who waits, waits noticeably longer."""

GIB = 1024**3
NOW_MS = 1_795_423_973_269
SHARDS = 16
BURSTS = 8
WANTED_APPENDS = 10_000
"""A second: what the list's share is told for."""

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    heading: Row
    rows: Sequence[Row]

    def markdown(self) -> str:
        lines = [self.heading, ("---", *["---:"] * (len(self.heading) - 1)), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Bench:
    """A server with nothing in it, and the repositories on it."""

    redis: Any
    store: StoreClient
    conversations: ConversationRepository
    sessions: SessionRepository
    pushes: PushRepository
    calls: list[str]

    def memory(self, names: Sequence[str]) -> int:
        with self.redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.memory_usage(name, samples=0)
            return sum(found or 0 for found in pipeline.execute())

    def server_us(self, request: Callable[[], object], repeats: int) -> float:
        """Return the processor time of a request at the server: the least of some bursts.

        What else the machine does makes it longer, never shorter.
        """
        each = ceil(repeats / BURSTS)
        bursts = []
        for _ in range(BURSTS):
            before = self._cpu_us()
            for _ in range(each):
                request()
            bursts.append((self._cpu_us() - before) / each)
        return min(bursts)

    def _cpu_us(self) -> float:
        info = self.redis.info("cpu")
        names = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
        return 1e6 * float(sum(info[name] for name in names))


@contextmanager
def bench() -> Iterator[Bench]:
    with (
        TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder), {"appendonly": "no", "save": ""}) as server,
    ):
        store = StoreClient.from_url(server.url)
        calls: list[str] = []
        store.observe = lambda operation, *_: calls.append(operation)
        sessions = SessionRepository(store)
        with Redis.from_url(server.url, protocol=2) as redis:
            yield Bench(
                redis,
                store,
                ConversationRepository(store),
                sessions,
                PushRepository(store, sessions),
                calls,
            )


def owners_of(number: int) -> Owners:
    return Owners(
        f"agent-{number // CONVERSATIONS_PER_AGENT}", f"user-{number // CONVERSATIONS_PER_USER}"
    )


def id_of(number: int) -> str:
    return f"agent-{NOW_MS + number}-5iwhvn2en0a"


def said(number: int) -> AgentMessage:
    role = "assistant" if number % 2 else "user"
    return AgentMessage.parse(
        {"role": role, "content": WORDS * (number % 3 + 1), "source": "voice"}
    )


def registered(number: int) -> AgentSession:
    url = f"wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&token={'t' * 200}"
    return AgentSession.from_registration({"wsUrl": url, "sessionId": f"conv_{number:026d}"})


# --- Bytes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """In bytes."""

    message: float
    conversation: float
    index: float
    session: float
    push: float
    allocated: float
    """What the server has allocated for each byte that it tells of its keys."""

    def of(self, messages: int) -> float:
        each = self.conversation + self.index + MESSAGES_PER_CONVERSATION * self.message
        return messages / MESSAGES_PER_CONVERSATION * each * self.allocated


def measure_sizes(on: Bench, conversations: int) -> Sizes:
    began = on.redis.info("memory")["used_memory"]
    ids = [id_of(number) for number in range(conversations)]
    for number, one in enumerate(ids):
        agent_id, user_id = owners_of(number)
        on.conversations.create(
            NewConversation(conversation_id=one, agent_id=agent_id, user_id=user_id)
        )
    records = [keys.conversation_key(one) for one in ids]
    record_bytes = on.memory(records)
    messages = [said(number) for number in range(MESSAGES_PER_CONVERSATION)]
    for one in ids:
        on.conversations.append_messages(one, messages)
    of_all = on.memory([*chain.from_iterable(map(keys.record_keys, ids))])
    index = on.memory([key.decode() for key in on.redis.scan_iter(keys.INDEX_PATTERN, 1000)])
    used = on.redis.info("memory")["used_memory"] - began
    for number, one in enumerate(ids):
        on.sessions.set(one, registered(number))
        on.pushes.push(one, WORDS, push_id="p")
    session_ids = [str(registered(number).session_id) for number in range(conversations)]
    sessions = [*map(session_key, ids), *map(alias_key, session_ids)]
    pushes = [
        name
        for one, session_id in zip(ids, session_ids, strict=True)
        for name in (push_key(one, "p"), push_queue_key(one, session_id))
    ]
    return Sizes(
        message=(of_all - record_bytes) / conversations / MESSAGES_PER_CONVERSATION,
        conversation=record_bytes / conversations,
        index=index / conversations,
        session=on.memory(sessions) / conversations,
        push=on.memory(pushes) / conversations,
        allocated=used / (of_all + index),
    )


def sizes_table(sizes: Sizes) -> Table:
    rows = [
        ("a message, its id included", sizes.message),
        ("a conversation without messages", sizes.conversation),
        ("its entries in the list, with an agent and a user", sizes.index),
        ("a session, ten minutes", sizes.session),
        ("a push, an hour", sizes.push),
    ]
    return Table(("kept", "bytes"), [(name, f"{value:,.0f}") for name, value in rows])


# --- Requests -------------------------------------------------------------------------------------


APPEND = "append a message"
APPEND_ON_CLUSTER = "append a message, on a Cluster, the list's share included"


@dataclass(frozen=True)
class Cost:
    round_trips: int
    server_us: float


def measure_requests(on: Bench, repeats: int) -> dict[str, Cost]:
    """Return what each request costs, among the conversations that are there."""
    count = on.conversations.list(limit=1).total

    def some() -> str:
        return id_of(random.randrange(count))

    as_on_cluster = ConversationRepository(on.store, index_in_same_step=False)
    requests: dict[str, Callable[[], object]] = {
        APPEND: lambda: on.conversations.append_message(some(), said(1)),
        APPEND_ON_CLUSTER: lambda: as_on_cluster.append_message(some(), said(1)),
        "create a conversation": lambda: on.conversations.create(
            NewConversation(agent_id="agent-0", user_id=f"user-{random.randrange(count)}")
        ),
        "read a conversation": lambda: on.conversations.get(some()),
        "a page of 50 of the list": lambda: on.conversations.list(limit=50, message_limit=1),
        "register a session": lambda: on.sessions.set(some(), registered(0)),
        "read a session": lambda: on.sessions.get(some()),
        "push a text": lambda: on.pushes.push(some(), WORDS),
    }

    def cost_of(request: Callable[[], object]) -> Cost:
        request()  # which loads its scripts
        on.calls.clear()
        request()
        return Cost(len(on.calls), on.server_us(request, repeats))

    found = {name: cost_of(request) for name, request in requests.items()}
    in_shards = ConversationRepository(on.store, index_shards=SHARDS)
    ConversationMaintenance(in_shards).reindex(lambda _: None)
    found[f"a page of 50 of the list in {SHARDS} shards"] = cost_of(
        lambda: in_shards.list(limit=50, message_limit=1)
    )
    return found


def requests_table(costs: dict[str, Cost]) -> Table:
    rows = [
        (name, f"{cost.round_trips}", f"{cost.server_us:,.0f}", f"{1e6 / cost.server_us:,.0f}")
        for name, cost in costs.items()
    ]
    return Table(("request", "round trips", "server's µs", "a second for one core"), rows)


# --- The list -------------------------------------------------------------------------------------


def measure_index(on: Bench, members: int, repeats: int) -> tuple[float, float, float]:
    """Return the server's µs for a score in a ZADD, and for a change without and with owners.

    A change is what follows an append on a Cluster, as a transaction of its own.
    """
    on.redis.flushall()
    for first in range(0, members, 10_000):
        numbers = range(first, min(first + 10_000, members))
        with on.redis.pipeline(transaction=False) as pipeline:
            for key, step in zip(keys.INDEX_KEYS, (1, 7_919, 0), strict=True):
                scores = {id_of(one): NOW_MS + one * step % 1_000_003 for one in numbers}
                pipeline.zadd(key, scores)
            pipeline.execute()

    now = iter(range(NOW_MS + 10**9, NOW_MS + 2 * 10**9))

    def us_of(change: Callable[[int], object]) -> float:
        return on.server_us(lambda: change(random.randrange(members)), repeats)

    index = ConversationIndex(on.store, retention_ms=0, in_same_step=False, shards=1)

    def put(number: int, owners: Owners) -> None:
        index.put(id_of(number), Scores(NOW_MS + number, next(now), number % 50), owners)

    def put_many_scores(number: int) -> None:
        scores = {id_of((number + one * 7_919) % members): next(now) for one in range(100)}
        on.redis.zadd(keys.INDEX_KEYS[1], scores)

    return (
        us_of(put_many_scores) / min(100, members),
        us_of(lambda number: put(number, Owners())),
        us_of(lambda number: put(number, owners_of(number))),
    )


def index_table(measured: dict[int, tuple[float, float, float]]) -> Table:
    rows = []
    for members, (zadd, alone, owned) in measured.items():
        share = owned * WANTED_APPENDS / 1e4
        rows.append(
            (
                f"{members:,}",
                f"{zadd:.1f}",
                f"{alone:.0f}",
                f"{owned:.0f}",
                f"{1e6 / owned:,.0f}",
                f"{share:.0f} %",
            )
        )
    return Table(
        (
            "conversations",
            "µs a score of a `ZADD`",
            "µs a change",
            "with agent and user",
            "changes a second for one core",
            f"a core's share at {WANTED_APPENDS:,} a second",
        ),
        rows,
    )


# --- Machines -------------------------------------------------------------------------------------


def machines_table(sizes: Sizes, requests: dict[str, Cost], change_us: float) -> Table:
    """Args: ``change_us`` is what the list takes of its node for an append."""
    rows = []
    for name, messages in (("10 thousand", 10**4), ("10 million", 10**7), ("a billion", 10**9)):
        total = sizes.of(messages)
        index = messages / MESSAGES_PER_CONVERSATION * sizes.index * sizes.allocated
        primaries = ceil(total / (MACHINE_GIB * GIB * USABLE))
        append = requests[APPEND if primaries == 1 else APPEND_ON_CLUSTER]
        appends = primaries * BUSY * 1e6 / append.server_us
        in_one_part = min(appends, BUSY * 1e6 / change_us)
        rows.append(
            (
                name,
                f"{messages // MESSAGES_PER_CONVERSATION:,}",
                f"{total / GIB:,.2f} GiB",
                f"{index / GIB:,.2f} GiB",
                f"{primaries}",
                f"{appends:,.0f}",
                f"{in_one_part:,.0f}" if primaries > 1 else "the same",
            )
        )
    return Table(
        (
            "messages",
            "conversations",
            "memory",
            "of it the list",
            f"primaries of {MACHINE_GIB} GiB",
            "appends a second that they bear",
            "with the list in one part",
        ),
        rows,
    )


def tables(*, conversations: int, repeats: int, members: Sequence[int]) -> Sequence[Table]:
    with bench() as on:
        sizes = measure_sizes(on, conversations)
        requests = measure_requests(on, repeats)
        index = {count: measure_index(on, count, repeats) for count in members}
    return [
        sizes_table(sizes),
        requests_table(requests),
        index_table(index),
        machines_table(sizes, requests, index[max(members)][2]),
    ]


def with_tables(page: str, measured: Sequence[Table]) -> str:
    """Return a page whose tables with the same headings are replaced."""
    for table in measured:
        text = table.markdown()
        heading = text[: text.index("\n")]
        before, found, rest = page.partition(heading + "\n")
        assert found, f"no table {heading}"
        page = before + text + "\n\n" + rest.partition("\n\n")[2]
    return page


def main(*, write: bool) -> None:
    measured = tables(conversations=5_000, repeats=2_400, members=(1_000, 100_000, 1_000_000))
    sys.stdout.write("\n\n".join(table.markdown() for table in measured) + "\n")
    if write:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), measured), "utf-8")


if __name__ == "__main__":
    main(write="--write" in sys.argv[1:])
