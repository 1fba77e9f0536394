"""``/metrics`` of a running service: two workers and the live process, in one scrape."""

import http.client
import os
import signal
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.agent_conversations.test_metrics import samples_of
from tests.faults.client import API
from tests.faults.servers import Service
from tests.waiting import wait_until

REQUESTS = 30
ROUTE = f"{API}/{{conversationId}}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("service"), live=True, WORKERS="2")
    running.start()
    yield running
    running.stop()


def scrape(service: Service, name: str, **labels: str) -> float:
    """Return a value; -1 where a worker is killed before it responds."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return -1
    finally:
        connection.close()
    return samples_of(text).get(name + str(sorted(labels.items())), 0)


def requests_counted(service: Service) -> float:
    return scrape(service, "http_requests_total", route=ROUTE, method="GET", status="404")


def send_requests(service: Service) -> None:
    for _ in range(REQUESTS):
        assert service.api.send("GET", f"{API}/c-1").status == 404


def test_all_processes_are_counted_in_one_scrape(service: Service) -> None:
    assert service.api.send("POST", f"{API}/new", {"conversationId": "c-2"}).status == 201
    send_requests(service)
    url = f"ws://127.0.0.1:{service.live_port}{API}/ws?conversationId=c-2"
    with connect(url) as viewer:
        viewer.recv(10)

        wait_until(lambda: requests_counted(service) == REQUESTS)
        wait_until(lambda: scrape(service, "live_viewers") == 1)
        frames = {"type": "agent_conversation.snapshot"}
        assert scrape(service, "live_frames_total", **frames) == 1
        # The live process has read it too.
        labels = {"operation": "read_part", "outcome": "ok"}
        assert scrape(service, "redis_commands_total", **labels) >= 1
        assert scrape(service, "redis_connections") >= 3

    wait_until(lambda: scrape(service, "live_viewers") == 0)


def test_what_killed_processes_counted_stays(service: Service) -> None:
    before = requests_counted(service)
    errors = scrape(service, "live_frames_total", type="error")
    send_requests(service)
    url = f"ws://127.0.0.1:{service.live_port}{API}/ws?conversationId=c-1"
    with connect(url) as viewer:
        viewer.recv(10)
        wait_until(lambda: requests_counted(service) == before + REQUESTS)
        wait_until(lambda: scrape(service, "live_frames_total", type="error") == errors + 1)
        for pid in (service.worker_pids()[0], service.live_pid()):
            os.kill(pid, signal.SIGKILL)

        wait_until(lambda: scrape(service, "live_viewers") == 0)

    assert requests_counted(service) == before + REQUESTS
    assert scrape(service, "live_frames_total", type="error") == errors + 1


def test_counts_begin_anew_with_the_service(service: Service) -> None:
    send_requests(service)
    wait_until(lambda: requests_counted(service) >= REQUESTS)

    service.stop()
    service.start()

    assert requests_counted(service) == 0
