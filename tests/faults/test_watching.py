"""Redis, the live process or a client fails while viewers watch: each copy becomes the record."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agent_conversations.live import server as server_module
from tests.agent_conversations.live.test_server import refused
from tests.agent_conversations.live.viewers import event_loop, live_server
from tests.faults.scenarios.watching import (
    FAULTS,
    nonsense,
    silent_viewer,
    stop_with_silent_viewers,
    watch,
)
from tests.faults.servers import Rig, Service, rig, temporary_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def watched() -> Iterator[Rig]:
    """The service with its live process on Redis, with a relay between them."""
    with rig(relayed=True, live=True) as running:
        yield running


@pytest.mark.parametrize("name", FAULTS)
def test_copies_are_the_record_after_a_fault(watched: Rig, name: str) -> None:
    result = watch(watched, FAULTS[name], viewers=4, seconds=2.0)

    assert result.faults == []
    assert result.found == result.acknowledged > 20


def test_nonsense_leaves_files_and_memory_as_they_were(watched: Rig) -> None:
    assert nonsense(watched, attempts=600).faults == []


def test_live_process_ends_in_time_without_answers(watched: Rig) -> None:
    assert stop_with_silent_viewers(watched, viewers=20).faults == []


def test_viewer_that_answers_no_ping_is_dropped(
    real_service: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PING_SECONDS", 0.5)
    with (
        event_loop() as loop,
        live_server(loop) as port,
        silent_viewer(port) as client,
        suppress(ConnectionResetError),
    ):
        client.settimeout(20)
        deadline = time.monotonic() + 20
        while client.recv(65536):
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("variables", "response"),
    [
        ({"API_TOKENS": "frontend:0123456789abcdef"}, (401, "not_authenticated")),
        ({"ELEVENLABS_AGENT_ENABLED": "false"}, (503, "feature_disabled")),
    ],
    ids=["token", "flag"],
)
def test_restarted_process_refuses_before_the_upgrade(
    watched: Rig, variables: dict[str, str], response: tuple[int, str]
) -> None:
    with temporary_folder() as folder:
        service = Service(folder, watched.redis.url, live=True, **variables)
        service.start()
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    assert refused(service.live_port) == response
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        finally:
            service.stop()
