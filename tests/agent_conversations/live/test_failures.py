"""Redis, the live process or a client fails: viewers are told once, and get what they lack."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from agent_conversations.live import viewer as viewer_module
from tests.agent_conversations.live.test_server import append, create, stored
from tests.agent_conversations.live.viewers import Loop, Viewer, live_server
from tests.faults.client import Response
from tests.faults.servers import RedisServer, Rig, Service, temporary_folder

# Starting a server forks, and newer Pythons warn of that beside the threads of a test.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

OUTAGE_SECONDS = 8.0
"""Within this time viewers are told of an outage, and have a snapshot after it."""


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """The service with its live process, on Redis."""
    with temporary_folder() as folder:
        redis = RedisServer(folder / "redis")
        redis.start()
        service = Service(folder / "service", redis.url, live=True)
        service.start()
        yield Rig(redis, service)
        service.stop()
        redis.close()


@pytest.fixture
def watch(rig: Rig, loop: Loop) -> Iterator[Callable[..., Viewer]]:
    viewers: list[Viewer] = []

    def connect(conversation_id: str = "talk", **query: Any) -> Viewer:
        viewer = Viewer(loop, rig.service.live_port, conversation_id, **query)
        deadline = time.monotonic() + 30
        while True:  # the live process takes longer to start than the other
            try:
                viewers.append(viewer.connect())
            except OSError:
                assert time.monotonic() < deadline, "the live process did not start"
                time.sleep(0.05)
            else:
                return viewer

    yield connect
    for viewer in viewers:
        viewer.close()


def succeeding(send: Callable[[], Response]) -> None:
    deadline = time.monotonic() + 30
    while not send().succeeded:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def talk(rig: Rig) -> Iterator[None]:
    rig.reset()
    succeeding(lambda: rig.api.create("talk"))
    yield
    rig.reset()


@pytest.mark.usefixtures("talk")
def test_message_posted_over_rest_reaches_the_viewer(
    rig: Rig, watch: Callable[..., Viewer]
) -> None:
    viewer = watch().wait_for_types("snapshot")

    assert rig.api.append("talk", "m-1").succeeded

    viewer.wait_for_types("snapshot", "updated")


@pytest.mark.parametrize("outage", ["refusing", "hanging"])
@pytest.mark.usefixtures("talk")
def test_outage_is_told_once_and_ends_with_a_snapshot(
    rig: Rig, watch: Callable[..., Viewer], outage: str
) -> None:
    viewer = watch().wait_for_types("snapshot")

    with getattr(rig.redis, outage)():
        viewer.wait_for(lambda self: len(self.frames) == 2, OUTAGE_SECONDS)
        late = watch().wait_for(lambda self: self.frames, OUTAGE_SECONDS)
        time.sleep(1)

    viewer.wait_for_types("snapshot", "error", "snapshot")
    late.wait_for_types("error", "snapshot")
    assert viewer.frames[1]["code"] == late.frames[0]["code"] == "store_unavailable"


@pytest.mark.usefixtures("talk")
def test_killed_live_process_is_replaced(rig: Rig, watch: Callable[..., Viewer]) -> None:
    viewer = watch(mode="delta").wait_for_types("snapshot")
    killed = rig.service.live_pid()

    os.kill(killed, signal.SIGKILL)

    viewer.wait_for(lambda self: self.close_code)
    assert rig.api.append("talk", "m-1").succeeded
    back = watch(before=viewer).wait_for(lambda self: self.frames)
    assert back.types == ["messages_added"]
    assert rig.service.live_pid() != killed


@pytest.mark.usefixtures("talk")
def test_stopped_live_process_says_that_it_goes_away(
    rig: Rig, watch: Callable[..., Viewer]
) -> None:
    viewer = watch().wait_for_types("snapshot")
    stopped = time.monotonic()

    os.kill(rig.service.live_pid(), signal.SIGTERM)

    assert viewer.wait_for(lambda self: self.close_code).close_code == 1001
    assert time.monotonic() - stopped < 10


@pytest.mark.usefixtures("talk")
def test_nonsense_leaves_the_live_process_well(rig: Rig, watch: Callable[..., Viewer]) -> None:
    watch().wait_for_types("snapshot")
    pid = rig.service.live_pid()

    for number in range(300):
        with socket.create_connection(("127.0.0.1", rig.service.live_port), 5) as client:
            client.sendall([b"", b"\x16\x03\x01", b"GET", b"POST / HTTP/1.1\r\n\r\n"][number % 4])
            if number % 2:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)

    watch().wait_for_types("snapshot")
    assert rig.service.live_pid() == pid


def test_client_that_does_not_read_is_dropped_alone(
    real_service: object, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_module, "STALLED_SECONDS", 0.5)
    create()
    for _ in range(40):
        append("x" * 60_000)
    with live_server(loop) as port:
        slow = Viewer(loop, port, "c-1").connect().wait_for_types("snapshot")
        other = Viewer(loop, port, "c-1").connect().wait_for_types("snapshot")
        slow.stop_reading()

        for _ in range(60):  # 2 MB each, far more than the system's buffers take
            append()
            time.sleep(0.03)

        other.wait_for(lambda self: self.copy and self.copy["messageCount"] == 100)
        slow.read()
        slow.wait_for(lambda self: self.close_code)
        assert slow.close_code == 1013
        assert len(slow.frames) < len(other.frames)
        assert other.copy == stored()
        other.close()
