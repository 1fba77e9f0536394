"""Tabs, a live process or Redis die while pushes are made: one tab has each, its state is true."""

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from redis import Redis
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from sessions_store.keys import push_key
from tests.faults.client import API, Api
from tests.faults.result import Advance, Result, ignore
from tests.faults.servers import Rig, Service, temporary_folder

QUIET_SECONDS = 20.0
"""Within this time after a fault no push waits any more."""

_TALK, _SESSION = "talk", "sess-1"
_TABS = 5
_DIES_AT = 7
"""Each tab breaks its connection, without a word, after as many pushes."""


class _Tab(threading.Thread):
    """Comes back after each break, and reports what it was given; sometimes it dies instead."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"ws://127.0.0.1:{port}{API}/ws?conversationId={_TALK}&sessionId={_SESSION}"
        self._ended = threading.Event()
        self.given: list[str] = []
        self.reported: set[str] = set()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                with connect(self._url, open_timeout=5, close_timeout=1) as connection:
                    self._hold(connection)
            except (OSError, WebSocketException):
                time.sleep(0.05)

    def _hold(self, connection: ClientConnection) -> None:
        while not self._ended.is_set():
            try:
                frame = json.loads(connection.recv(timeout=0.1))
            except TimeoutError:
                continue
            if frame["type"] != "agent_session.push":
                continue
            push_id = frame["pushId"]
            self.given.append(push_id)
            if len(self.given) % _DIES_AT == 0:
                connection.socket.shutdown(socket.SHUT_RDWR)
                return
            self.reported.add(push_id)
            result = {"type": "agent_session.push_result", "pushId": push_id, "ok": True}
            connection.send(json.dumps(result))


@dataclass(frozen=True)
class Fault:
    name: str
    caused_by: str
    cause: Callable[[Rig], AbstractContextManager[None]]


@contextmanager
def _live_killed(rig: Rig) -> Iterator[None]:
    os.kill(rig.service.live_pid(), signal.SIGKILL)
    yield


FAULTS = {
    "tabs": Fault("Tabs die with a push", "their connections break", lambda _: nullcontext()),
    "killed": Fault("A live process is killed under pushes", "SIGKILL", _live_killed),
    "restarting": Fault(
        "Redis restarts under pushes", "SIGKILL and a start", lambda rig: rig.redis.restarting()
    ),
}


def pushes(
    rig: Rig, fault: Fault, *, repeats: int = 1, seconds: float = 3.0, advance: Advance = ignore
) -> Result:
    """Make pushes for five tabs of one session, on two live processes; then look at their states.

    ``found`` counts those whose state is true, ``doubled`` those that two tabs were given, ``lost``
    those that are not there, or that nobody was given while tabs were connected.

    Args:
        seconds: how long the fault lasts; as long again, pushes are made before and after it.
    """
    result = Result(fault.name, fault.caused_by)
    with temporary_folder() as folder:
        second = Service(folder, rig.redis.url, live=True)
        second.start()
        try:
            for _ in range(repeats):
                _push_once(rig, second, fault, seconds, result)
                result.repeats += 1
                advance()
        finally:
            second.stop()
    return result


def _push_once(rig: Rig, second: Service, fault: Fault, seconds: float, result: Result) -> None:
    rig.reset()
    assert rig.api.register(_TALK, _SESSION).succeeded
    ports = [rig.service.live_port, second.live_port]
    tabs = [_Tab(ports[number % 2]) for number in range(_TABS)]
    for tab in tabs:
        tab.start()
    acknowledged: list[str] = []
    ended = threading.Event()

    def make() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            push_id = f"p-{number}"
            result.attempted += 1
            response = rig.api.push(_TALK, push_id)
            result.slowest_seconds = max(result.slowest_seconds, response.seconds)
            if response.succeeded:
                acknowledged.append(push_id)
            elif not response.is_unavailable:
                result.problems.append(f"a push: {response}")
            time.sleep(0.01)

    maker = threading.Thread(target=make)
    maker.start()
    time.sleep(seconds)
    with fault.cause(rig):
        time.sleep(seconds)
    time.sleep(seconds)
    ended.set()
    maker.join()
    _wait_until_taken(rig.api, acknowledged)
    for tab in tabs:
        tab.end()
    with rig.redis.client() as redis:
        for push_id in acknowledged:
            _let_pass(redis, push_id, 1000)
    _judge(rig.api, acknowledged, tabs, result)


def _state(api: Api, push_id: str) -> str:
    response = api.send("GET", f"{API}/{_TALK}/push/{push_id}")
    return response.body["state"] if response.succeeded else str(response)


def _wait_until_taken(api: Api, acknowledged: list[str]) -> None:
    deadline = time.monotonic() + QUIET_SECONDS
    for push_id in acknowledged:
        while _state(api, push_id) == "queued":
            if time.monotonic() > deadline:
                return  # it expires, and is found lost
            time.sleep(0.05)


def _let_pass(redis: "Redis", push_id: str, seconds: int) -> None:
    for field in ("expiresAtMs", "heldUntilMs"):
        redis.hincrby(push_key(_TALK, push_id), field, -1000 * seconds)


def _judge(api: Api, acknowledged: list[str], tabs: list[_Tab], result: Result) -> None:
    given = Counter(push_id for tab in tabs for push_id in tab.given)
    reported = {push_id for tab in tabs for push_id in tab.reported}
    result.doubled += sum(1 for count in given.values() if count > 1)
    result.acknowledged += len(acknowledged)
    silent = 0
    for push_id in acknowledged:
        state = _state(api, push_id)
        silent += state == "unknown"
        if state == "unknown" or (state == "delivered" and push_id in reported):
            result.found += 1
        elif state in ("delivered", "failed"):
            result.problems.append(f"{state}, which no tab said")
        else:
            result.lost += 1
    result.figures["share of unknown"] = silent / max(1, len(acknowledged))
