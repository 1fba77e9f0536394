"""The index is derived data: it recovers from a writer that stops between any two steps."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from redis import Redis

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.keys import CONVERSATION_PREFIX
from sessions_store.redis.client import StoreClient
from tests.faults.result import Advance, Result, ignore
from tests.faults.servers import PROJECT_DIR, RedisServer, temporary_folder
from tests.faults.stop_between_steps import KEY, MESSAGE, NAME, OPERATIONS, STOPPED

_NEEDS_CONVERSATION = {"append", "update", "read", "delete"}
_MOST_STEPS = 8


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    with temporary_folder() as folder:
        server = RedisServer(folder / "redis")
        try:
            server.start()
            yield server
        finally:
            server.close()


@contextmanager
def _store(server: RedisServer) -> Iterator[StoreClient]:
    store = StoreClient.from_url(server.url)
    try:
        yield store
    finally:
        store.bare(lambda client: client.close())


def _records(redis: "Redis") -> dict[str, tuple[int, int, int]]:
    """Return what the index should say: id to the three scores."""
    found = {}
    for key in redis.scan_iter(f"{CONVERSATION_PREFIX}*", count=1000):
        name = key.decode().removeprefix(CONVERSATION_PREFIX)
        created, accessed = (redis.hget(key, field) for field in ("createdAt", "lastAccessedAt"))
        assert created is not None
        assert accessed is not None
        found[name] = (int(created), int(accessed), redis.llen(keys.messages_key(name)))
    return found


def _index(redis: "Redis", shards: int) -> dict[str, tuple[int, ...]]:
    """Return what the index says; a name that lacks one of its three scores has fewer of them."""
    found: dict[str, tuple[int, ...]] = {}
    for key in chain.from_iterable(
        keys.index_keys(None, None, tag) for tag in keys.index_tags(shards)
    ):
        for member, score in redis.zscan_iter(key, count=1000):
            name = member.decode()
            found[name] = (*found.get(name, ()), int(score))
    return found


# --- A process ends between two steps -------------------------------------------------------------

Heal = Callable[[ConversationRepository], None]


def _touch(repository: ConversationRepository) -> None:
    """Do what clients do: list, and read or repeat what they were about."""
    repository.list()
    for batch in ConversationMaintenance(repository).scan_ids():
        for name in batch:
            repository.get(name)


def _reindex(repository: ConversationRepository) -> None:
    ConversationMaintenance(repository).reindex(lambda _: None)


HEALERS: dict[str, Heal] = {"by use": _touch, "by reindex": _reindex}


def stopped_between_steps(*, repeats: int = 1, advance: Advance = ignore) -> Result:
    """Each operation, as on a cluster, ended before each of its steps; then use, or ``reindex``."""
    result = Result("A process ends between two steps", "`os._exit`", promised_seconds=None)
    with (
        redis_server() as server,
        _store(server) as store,
        server.client() as redis,
        _stopper(server) as stop,
    ):
        repository = ConversationRepository(store, index_in_same_step=False)
        for _ in range(repeats):
            for operation in OPERATIONS:
                for how, heal in HEALERS.items():
                    scene = _Scene(stop, repository, redis, result)
                    scene.stop_at_every_step(operation, how, heal)
            advance()
    return result


Stop = Callable[[str, int], int]


@contextmanager
def _stopper(server: RedisServer) -> Iterator[Stop]:
    """Give a function that has a process end before a step, and returns its exit status."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.stop_between_steps", server.url],
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def stop(operation: str, step: int) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{operation}\t{step}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield stop


@dataclass(frozen=True)
class _Scene:
    stop: Stop
    repository: ConversationRepository
    redis: "Redis"
    result: Result

    def stop_at_every_step(self, operation: str, how: str, heal: Heal) -> None:
        for step in range(1, _MOST_STEPS + 1):
            self._prepare(operation)
            status = self.stop(operation, step)
            when = f"{operation}, step {step}, {how}"
            if status not in (0, STOPPED):
                self.result.problems.append(f"{when}: exit status {status}")
                return
            self.result.repeats += int(status == STOPPED)
            self.result.attempted += 1
            heal(self.repository)
            _compare(self.redis, self.repository, self.result, when)
            self._repeat(operation)
            _compare(self.redis, self.repository, self.result, f"{when}, once more")
            self._count(operation)
            if status == 0:
                return
        self.result.problems.append(f"{operation} has no end")

    def _prepare(self, operation: str) -> None:
        self.redis.flushall()
        for other in ("other-1", "other-2"):
            self.repository.create(NewConversation(conversation_id=other))
        if operation in _NEEDS_CONVERSATION:
            self.repository.create(NewConversation(conversation_id=NAME))

    def _repeat(self, operation: str) -> None:
        """Do it again under the same handle, as a client without a response does."""
        try:
            OPERATIONS[operation](self.repository)
        except ConversationNotFoundError:
            if operation != "delete":
                raise

    def _count(self, operation: str) -> None:
        """What was acknowledged, by the process or when it was repeated, is stored once."""
        result, repository = self.result, self.repository
        result.acknowledged += 1
        records = _records(self.redis)
        expected = 2 if operation == "delete" else 3
        if operation == "append":
            stored = [message.message_id for message in repository.list_messages(NAME).messages]
            result.doubled += int(len(stored) > 1)
            result.lost += int(MESSAGE.message_id not in stored)
        if operation == "create with an Idempotency-Key":
            name = repository.create(idempotency_key=KEY).conversation.conversation_id
            result.lost += int(name not in records)
        result.doubled += int(len(records) > expected)
        result.lost += int(len(records) < expected)
        result.found += int(len(records) == expected)


def _compare(
    redis: "Redis",
    repository: ConversationRepository,
    result: Result,
    when: str,
    shards: int = 1,
) -> None:
    page = repository.list(limit=10_000)
    records, index = _records(redis), _index(redis, shards)
    listed = {one.conversation_id for one in page.conversations}
    if index != records or listed != set(records) or page.total != len(records):
        wrong = {one for one in index.keys() | records if index.get(one) != records.get(one)}
        wrong |= listed ^ set(records)
        result.problems.append(f"{when}: the list is wrong about {sorted(wrong)[:10]}")


# --- Reindexing while others write ----------------------------------------------------------------


def reindex_under_writers(
    *,
    repeats: int = 1,
    conversations: int = 200,
    writers: int = 4,
    index_in_same_step: bool = True,
    shards: int = 1,
    advance: Advance = ignore,
) -> Result:
    """The index is lost and gets orphaned entries, then it is rebuilt while others write.

    With ``shards``, it was in one part, and those who write have just been started with so many.

    Where the index is written in the same step, it is right at once. On a cluster a score may lag
    behind a message that was appended meanwhile, until the conversation is touched or indexed
    again.
    """
    where = "one server" if index_in_same_step else "as on a cluster"
    fault, cause = ("is lost and rebuilt", "its keys are deleted")
    if shards > 1:
        fault, cause = (f"moves to {shards} shards", "`INDEX_SHARDS`, `reindex`")
    result = Result(f"The list {fault} under writers ({where})", cause)
    result.promised_seconds = None
    with redis_server() as server, _store(server) as store, server.client() as redis:
        repository = ConversationRepository(
            store, index_in_same_step=index_in_same_step, index_shards=shards
        )
        before = ConversationRepository(store, index_in_same_step=index_in_same_step)
        for number in range(repeats):
            redis.flushall()
            for position in range(conversations):
                before.create(NewConversation(conversation_id=f"old-{position}"))
            if shards == 1:
                redis.delete(*keys.INDEX_KEYS)
            for position in range(50):
                for key in keys.INDEX_KEYS:
                    redis.zadd(key, {f"orphan-{position}": position})
            with _writers(repository, result, writers, conversations):
                ConversationMaintenance(repository).reindex(lambda _: None)
            if not index_in_same_step:
                ConversationMaintenance(repository).reindex(lambda _: None)
            result.repeats += 1
            _compare(redis, repository, result, f"rebuilt {number}", shards)
            if shards > 1 and redis.exists(*keys.INDEX_KEYS):
                result.problems.append("the list in one part is still there")
            records, index = _records(redis), _index(redis, shards)
            result.lost += len(set(records) - set(index))
            result.doubled += len(set(index) - set(records))
            result.found += len(set(records) & set(index))
            advance()
    return result


@contextmanager
def _writers(
    repository: ConversationRepository, result: Result, count: int, conversations: int
) -> Iterator[None]:
    """Create, append and delete from ``count`` threads, each on conversations of its own."""
    over = threading.Event()
    done = [0] * count
    failed: list[str] = []

    def write(number: int) -> None:
        step = 0
        try:
            while not over.is_set():
                old = f"old-{(number + count * step) % conversations}"
                new = f"new-{number}-{step}"
                repository.create(NewConversation(conversation_id=new))
                repository.append_message(new, AgentMessage(role="user", content="words"))
                repository.create(NewConversation(conversation_id=old))
                repository.append_message(old, AgentMessage(role="user", content="words"))
                repository.delete(new if step % 2 else old)
                done[number] += 5
                step += 1
        except Exception as error:  # reported as a problem of the scenario
            failed.append(f"writer {number}: {error!r}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
        result.attempted += sum(done)
        result.acknowledged += sum(done)
        result.problems += failed
