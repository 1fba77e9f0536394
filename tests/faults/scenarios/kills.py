"""Processes die while many clients write: what was acknowledged is there, once, in its order."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from redis import Redis

from tests.faults.client import Api
from tests.faults.result import RECOVERY_SECONDS, RESPONSE_SECONDS, Advance, Result, ignore
from tests.faults.scenarios.outages import read_message_ids
from tests.faults.servers import (
    START_SECONDS,
    RedisServer,
    Rig,
    Service,
    free_port,
    temporary_folder,
)

_CONVERSATIONS = ("talk-0", "talk-1")


@dataclass
class Writer:
    """Appends message after message, each under its own id until it is acknowledged."""

    number: int
    conversation_id: str
    attempted: int = 0
    acknowledged: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def write(self, api: Api, over: threading.Event) -> None:
        while not over.is_set():
            message_id = f"{self.number}-{len(self.acknowledged):06d}"
            deadline = time.monotonic() + START_SECONDS
            while not self._append(api, message_id):
                if self.problems:
                    return
                if time.monotonic() > deadline:
                    self.problems.append(f"{message_id} was never acknowledged")
                    return
                time.sleep(0.01)

    def _append(self, api: Api, message_id: str) -> bool:
        self.attempted += 1
        response = api.append(self.conversation_id, message_id, content=f"words of {message_id}")
        if response.status:
            self.slowest_seconds = max(self.slowest_seconds, response.seconds)
        if response.succeeded:
            self.acknowledged.append(message_id)
            return True
        if response.status and not response.is_unavailable:
            self.problems.append(f"{message_id}: {response}")
        return False


@contextmanager
def writing(api: Api, writers: Sequence[Writer]) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=one.write, args=(api, over)) for one in writers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _kill_while_writing(
    result: Result,
    api: Api,
    kill: Callable[[], None],
    *,
    repeats: int,
    writer_count: int,
    seconds_between: tuple[float, float],
    advance: Advance,
) -> Result:
    for conversation_id in _CONVERSATIONS:
        assert api.create(conversation_id).succeeded
    writers = [
        Writer(number, _CONVERSATIONS[number % len(_CONVERSATIONS)])
        for number in range(writer_count)
    ]
    with writing(api, writers):
        for _ in range(repeats):
            time.sleep(random.uniform(*seconds_between))
            kill()
            result.repeats += 1
            advance()
        time.sleep(seconds_between[0])
    count(result, api, writers, _CONVERSATIONS)
    return result


def count(
    result: Result, api: Api, writers: Sequence[Writer], conversation_ids: Sequence[str]
) -> None:
    """Compare what writers were told with what is stored."""
    stored = {one: read_message_ids(api, one) for one in conversation_ids}
    for conversation_id, found in stored.items():
        result.doubled += len(found) - len(set(found))
        counted = api.get(conversation_id)
        if len(counted.body.get("messages", [])) != len(found):
            result.problems.append(f"{conversation_id} has two lengths")
    for writer in writers:
        own = [
            message_id
            for message_id in stored[writer.conversation_id]
            if message_id.startswith(f"{writer.number}-")
        ]
        if own != sorted(own):
            result.problems.append(f"the messages of writer {writer.number} are out of order")
        result.attempted += writer.attempted
        result.acknowledged += len(writer.acknowledged)
        result.found += len(set(writer.acknowledged) & set(own))
        lost = set(writer.acknowledged) - set(own)
        result.lost_ids |= lost
        result.lost += len(lost)
        result.slowest_seconds = max(result.slowest_seconds, writer.slowest_seconds)
        result.problems += writer.problems
        if not writer.acknowledged:
            result.problems.append(f"writer {writer.number} wrote nothing")


def kill_redis(
    rig: Rig, *, repeats: int = 3, writers: int = 6, advance: Advance = ignore
) -> Result:
    """Redis is killed and started again on its append-only file."""
    rig.reset()
    result = Result("Redis is killed under writers", "SIGKILL, then a start on the same file")

    def kill() -> None:
        rig.redis.kill()
        time.sleep(random.uniform(0.0, 0.3))
        rig.redis.start()

    return _kill_while_writing(
        result,
        rig.api,
        kill,
        repeats=repeats,
        writer_count=writers,
        seconds_between=(0.2, 0.6),
        advance=advance,
    )


@contextmanager
def successor(rig: Rig) -> Iterator[Callable[[], None]]:
    """Give Redis a replica; the function that is yielded lets the two change places.

    Their address, which is the relay's, then leads new connections to the other server; those that
    are open stay where they are.
    """
    relay = rig.relay
    assert relay is not None
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        other = RedisServer(folder / "successor")
        stack.callback(other.close)
        other.start()
        servers = [(one, stack.enter_context(one.client())) for one in (rig.redis, other)]
        ports = free_port(), free_port()
        for (_, client), port in zip(servers, ports, strict=True):
            client.config_set("port", port)
        servers[1][1].replicaof("127.0.0.1", str(ports[0]))
        stack.callback(servers[0][1].replicaof, "NO", "ONE")
        stack.callback(relay.lead_to, rig.redis.socket)
        _wait_for(servers[1][1], role="slave", master_link_status="up")

        def take_over() -> None:
            servers[0][1].execute_command("FAILOVER")  # type: ignore[no-untyped-call]  # redis-py's
            _wait_for(servers[0][1], role="slave", master_link_status="up")
            servers.reverse()
            relay.lead_to(servers[0][0].socket)

        yield take_over


def fail_over(rig: Rig, *, repeats: int = 1, writers: int = 6, advance: Advance = ignore) -> Result:
    """The primary becomes the replica of its own; the service's connections to it stay open."""
    rig.reset()
    result = Result("The primary fails over under writers", "`FAILOVER`, behind one address")
    with successor(rig) as take_over:

        def switch() -> None:
            take_over()
            began = time.monotonic()
            noticed, in_a_row = 0.0, 0
            while in_a_row < 16 and noticed < RECOVERY_SECONDS:
                in_a_row += 1
                if not rig.api.update(_CONVERSATIONS[0], {"agentId": "a"}).succeeded:
                    noticed, in_a_row = time.monotonic() - began, 0
            if noticed >= RECOVERY_SECONDS:
                result.problems.append(f"{noticed:.2f} s after the failover: still refused")
            result.figures["slowest_recovery"] = max(
                noticed, result.figures.get("slowest_recovery", 0.0)
            )

        return _kill_while_writing(
            result,
            rig.api,
            switch,
            repeats=repeats,
            writer_count=writers,
            seconds_between=(0.3, 0.6),
            advance=advance,
        )


def _wait_for(redis: "Redis", **state: str) -> None:
    """Wait until the server's INFO says this of its replication."""
    deadline = time.monotonic() + START_SECONDS
    while not state.items() <= redis.info("replication").items():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server is not {state}")
        time.sleep(0.005)


def kill_worker(
    rig: Rig, *, repeats: int = 1, writers: int = 6, advance: Advance = ignore
) -> Result:
    """The process that handles requests is killed; ``serve`` starts another."""
    rig.reset()
    result = Result(
        "The service's worker is killed under writers", "SIGKILL", promised_seconds=None
    )

    def kill() -> None:
        before = rig.service.worker_pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        while rig.api.send("GET", "/health/live", timeout_seconds=1).status != 200:
            if time.monotonic() - began > 4 * RESPONSE_SECONDS or not rig.service.is_running():
                result.problems.append("no other worker was started")
                rig.service.stop()
                rig.service.start()
                break
            time.sleep(0.02)
        back = time.monotonic() - began
        result.figures["slowest_return"] = max(back, result.figures.get("slowest_return", 0.0))
        if set(before) & set(rig.service.worker_pids()):
            result.problems.append("the worker outlived its SIGKILL")

    # granian gives up where a worker dies within 5.5 s of its start.
    pause = (0.5, 0.5) if repeats == 1 else (6.0, 6.5)
    return _kill_while_writing(
        result,
        rig.api,
        kill,
        repeats=repeats,
        writer_count=writers,
        seconds_between=pause,
        advance=advance,
    )


def kill_service(*, repeats: int = 1, writers: int = 6, advance: Advance = ignore) -> Result:
    """The service is killed with the bundled server that it started, and started again."""
    result = Result(
        "The service is killed under writers",
        "SIGKILL, then a start on the same data",
        promised_seconds=None,
    )
    with temporary_folder() as folder:
        service = Service(folder / "service")
        try:
            service.start()

            def kill() -> None:
                service.kill()
                began = time.monotonic()
                service.start()
                back = time.monotonic() - began
                slowest = max(back, result.figures.get("slowest_return", 0.0))
                result.figures["slowest_return"] = slowest

            return _kill_while_writing(
                result,
                service.api,
                kill,
                repeats=repeats,
                writer_count=writers,
                seconds_between=(0.3, 0.8),
                advance=advance,
            )
        finally:
            service.stop()
