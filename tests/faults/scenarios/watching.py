"""Redis or the live process fails while clients write and others watch."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.agent_conversations.live.viewers import Loop, Viewer, event_loop
from tests.faults.client import API
from tests.faults.result import Advance, Result, ignore
from tests.faults.scenarios.kills import Writer, successor, writing
from tests.faults.servers import START_SECONDS, Rig
from tests.waiting import wait_until

QUIET_SECONDS = 20.0
"""Within this time after a fault each viewer has what is stored."""

GONE_SECONDS = 60.0
"""Within this time a connection is closed whose other end does not answer."""

_WRITERS = 2


@contextmanager
def _failed_over(rig: Rig) -> Iterator[None]:
    with successor(rig) as take_over:
        take_over()
        yield
        take_over()


@contextmanager
def _live_killed(rig: Rig) -> Iterator[None]:
    os.kill(rig.service.live_pid(), signal.SIGKILL)
    yield


@contextmanager
def _live_stopped(rig: Rig) -> Iterator[None]:
    pid = rig.service.live_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Fault:
    """``cause`` lasts as long as its block, so many seconds at length.

    ``outages``: how many it is, of each of which a viewer may be told once.
    """

    name: str
    caused_by: str
    cause: Callable[[Rig], AbstractContextManager[None]]
    seconds: float
    outages: int = 1


FAULTS = {
    "refused": Fault(
        "Redis is killed while viewers watch", "SIGKILL", lambda rig: rig.redis.refusing(), 3
    ),
    "hanging": Fault(
        "Redis hangs while viewers watch", "SIGSTOP", lambda rig: rig.redis.hanging(), 5
    ),
    "restarting": Fault(
        "Redis restarts while viewers watch",
        "SIGKILL and a start",
        lambda rig: rig.redis.restarting(),
        1,
    ),
    "failover": Fault(
        "Redis fails over while viewers watch", "`FAILOVER`, twice", _failed_over, 3, outages=2
    ),
    "killed": Fault("The live process is killed", "SIGKILL", _live_killed, 2),
    "stopped": Fault("The live process is stopped for a minute", "SIGSTOP", _live_stopped, 60),
}


def _connect(loop: Loop, rig: Rig, before: Viewer | None = None, **query: Any) -> Viewer:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            viewer = Viewer(loop, rig.service.live_port, "talk", before=before, **query)
            return viewer.connect()
        except OSError:  # the live process is not up again
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def watch(
    rig: Rig,
    fault: Fault,
    *,
    viewers: int = 6,
    repeats: int = 1,
    seconds: float | None = None,
    advance: Advance = ignore,
) -> Result:
    """Writers append without pause; after the fault each viewer's copy is what is stored.

    Of the responses that reported success, ``found`` counts those messages that every viewer has.

    Args:
        viewers: half of them in delta mode.
        seconds: how long the fault lasts, if not as long as it says.
    """
    result = Result(fault.name, fault.caused_by)
    for _ in range(repeats):
        rig.reset()
        assert rig.api.create("talk").succeeded
        writers = [Writer(number, "talk") for number in range(_WRITERS)]
        with event_loop() as loop:
            modes: list[dict[str, Any]] = [{}, {"mode": "delta"}]
            watching = [_connect(loop, rig, **modes[number % 2]) for number in range(viewers)]
            with writing(rig.api, writers):
                time.sleep(0.3)
                with fault.cause(rig):
                    time.sleep(fault.seconds if seconds is None else seconds)
                # What is written afterwards is told of over connections that were made anew.
                for writer in writers:
                    wait_until(partial(_has_written, writer, len(writer.acknowledged) + 5))
            quiet = time.monotonic()
            watching = [_back(loop, rig, fault, viewer, result) for viewer in watching]
            _compare(rig, fault, result, watching, writers)
            took = time.monotonic() - quiet
            result.figures["slowest_copy"] = max(took, result.figures.get("slowest_copy", 0.0))
            for viewer in watching:
                viewer.close()
        result.repeats += 1
        advance()
    return result


def _has_written(writer: Writer, count: int) -> bool:
    return len(writer.acknowledged) >= count or bool(writer.problems)


def _back(loop: Loop, rig: Rig, fault: Fault, viewer: Viewer, result: Result) -> Viewer:
    if viewer.close_code is None:
        return viewer
    _judge(viewer, fault, result)
    viewer.close()
    in_delta = viewer.query.get("mode") == "delta"
    return _connect(loop, rig, before=viewer if in_delta else None)


def _judge(viewer: Viewer, fault: Fault, result: Result) -> None:
    told = viewer.types.count("error")
    if told > fault.outages:
        result.problems.append(f"a viewer was told {told} times of {fault.outages}")
    # In delta mode a snapshot becomes the copy, which changes.
    of_messages = "messageCount" if viewer.query.get("mode") == "delta" else "conversation"
    counts = [
        frame.get("conversation", frame)["messageCount"]
        for frame in viewer.frames
        if of_messages in frame
    ]
    if any(later < earlier for earlier, later in pairwise(counts)):
        result.problems.append(f"frames went backwards: {counts}")


def _compare(
    rig: Rig,
    fault: Fault,
    result: Result,
    watching: Sequence[Viewer],
    writers: Sequence[Writer],
) -> None:
    stored = rig.api.get("talk").body

    def has_it(viewer: Viewer) -> bool:
        copy = viewer.copy or {}
        return {**copy, "lastAccessedAt": ""} == {**stored, "lastAccessedAt": ""}

    deadline = time.monotonic() + QUIET_SECONDS
    for viewer in watching:
        try:
            viewer.wait_for(has_it, max(0.1, deadline - time.monotonic()))
        except AssertionError:
            result.problems.append(f"a viewer lacks something: {viewer.types[-5:]}")
        _judge(viewer, fault, result)
    seen = set.intersection(
        *(
            {message["messageId"] for message in (viewer.copy or {"messages": []})["messages"]}
            for viewer in watching
        )
    )
    for writer in writers:
        result.attempted += writer.attempted
        result.acknowledged += len(writer.acknowledged)
        result.found += len(seen & set(writer.acknowledged))
        result.lost += len(set(writer.acknowledged) - seen)
        result.slowest_seconds = max(result.slowest_seconds, writer.slowest_seconds)
        result.problems += writer.problems


# --- Clients --------------------------------------------------------------------------------------

HANDSHAKE = (
    f"GET {API}/ws?conversationId=talk HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
).encode()

_NONSENSE = (b"", b"\x16\x03\x01", b"GET", b"POST / HTTP/1.1\r\n\r\n", b"\xff" * 20_000, HANDSHAKE)


def nonsense(
    rig: Rig, *, repeats: int = 1, attempts: int = 10_000, advance: Advance = ignore
) -> Result:
    """Clients send what is no handshake, or leave after it; a viewer beside them goes on."""
    result = Result("Clients send the live process nonsense", "raw sockets", promised_seconds=None)
    for _ in range(repeats):
        rig.reset()
        assert rig.api.create("talk").succeeded
        acknowledged = 0
        with event_loop() as loop:
            viewer = _connect(loop, rig)
            pid = rig.service.live_pid()
            files, kib = _open_files(pid), _resident_kib(pid)
            for number in range(attempts):
                _send_nonsense(rig.service.live_port, number)
                result.attempted += 1
                if number % 100 == 0:
                    acknowledged += rig.api.append("talk", f"m-{number}").succeeded
            try:
                viewer.wait_for(partial(_has_count, count=acknowledged))
                result.found += acknowledged
            except AssertionError as error:
                result.problems.append(f"the viewer beside them: {error}")
            result.acknowledged += acknowledged
            viewer.close()
        _wait_until_closed(pid, files, result)
        result.figures["memory grown (MiB)"] = (_resident_kib(pid) - kib) / 1024
        if result.figures["memory grown (MiB)"] > 50:
            result.problems.append("it took memory and kept it")
        if rig.service.live_pid() != pid:
            result.problems.append("the live process ended")
        result.repeats += 1
        advance()
    return result


def _has_count(viewer: Viewer, count: int) -> bool:
    return viewer.copy is not None and viewer.copy["messageCount"] == count


def _send_nonsense(port: int, number: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as client, suppress(OSError):
        client.sendall(_NONSENSE[number % len(_NONSENSE)])
        if number % 2:
            client.shutdown(socket.SHUT_WR)


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _wait_until_closed(pid: int, files: int, result: Result) -> None:
    deadline = time.monotonic() + QUIET_SECONDS
    while (left := _open_files(pid)) > files:
        if time.monotonic() > deadline:
            result.problems.append(f"{left - files} connections stayed open")
            return
        time.sleep(0.1)


@contextmanager
def silent_viewer(port: int) -> Iterator[socket.socket]:
    """Connect a viewer that answers neither a ping nor the end of its connection."""
    with socket.create_connection(("127.0.0.1", port), 2 * GONE_SECONDS) as client:
        client.sendall(HANDSHAKE)
        assert client.recv(65536).startswith(b"HTTP/1.1 101")
        yield client


def dead_peer(rig: Rig, *, repeats: int = 1, advance: Advance = ignore) -> Result:
    """A client that answers no ping is gone in time."""
    result = Result("A viewer is dead", "it answers no ping", promised_seconds=GONE_SECONDS)
    for _ in range(repeats):
        with silent_viewer(rig.service.live_port) as client:
            began = time.monotonic()
            with suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
            result.attempted += 1
            result.slowest_seconds = max(result.slowest_seconds, time.monotonic() - began)
        result.repeats += 1
        advance()
    return result


def stop_with_silent_viewers(
    rig: Rig, *, repeats: int = 1, viewers: int = 100, advance: Advance = ignore
) -> Result:
    """The live process ends in time, whatever its viewers do."""
    result = Result(
        "The live process is stopped, and no viewer answers", "SIGTERM", promised_seconds=10
    )
    for _ in range(repeats):
        with event_loop() as loop:
            _connect(loop, rig).close()  # it is up
        pid = rig.service.live_pid()
        with ExitStack() as stack:
            for _ in range(viewers):
                stack.enter_context(silent_viewer(rig.service.live_port))
            began = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() - began < 30:
                time.sleep(0.02)
            result.attempted += viewers
            result.slowest_seconds = max(result.slowest_seconds, time.monotonic() - began)
        result.repeats += 1
        advance()
    return result
