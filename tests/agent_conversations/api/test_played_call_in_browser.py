"""The call that one can play: on its page, each button does what it says."""

import os
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.elevenlabs_server import elevenlabs_server
from tests.faults.servers import Service, free_port
from tests.played_call.__main__ import CLIENT, PREFIX, PlayServer
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.skipif(
        not CLIENT.exists() and "CI" not in os.environ,
        reason="make types brings @elevenlabs/client",
    ),
]


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    service = Service(folder, live=True, ELEVENLABS_WEBHOOK_SECRETS="played")
    service.start()
    yield service
    service.stop()


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """The address of the page, as ``make play`` serves it."""
    with elevenlabs_server() as calls:
        server = PlayServer(
            free_port(),
            calls,
            service=f"http://127.0.0.1:{service.port}",
            live=f"ws://127.0.0.1:{service.live_port}",
            secret="played",
            token="",
        )
        with server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()
            thread.join()


def test_played_call_is_recorded_and_completed(page: Page, service: Service, address: str) -> None:
    page.goto(address)
    log = page.get_by_role("log").get_by_role("listitem")
    words = page.get_by_label("Words")
    page.get_by_role("button", name="Start a call").click()
    expect(log.last).to_contain_text("what can I do for you")

    words.fill("What is left?")
    page.get_by_role("button", name="Speak").click()
    expect(log.last).to_contain_text("You said “What is left?”")
    page.get_by_role("button", name="Cut in").click()
    expect(log.last).to_contain_text("heard")
    page.get_by_role("button", name="Have a tool called").click()
    expect(log.last).to_contain_text("list_tasks is done")
    words.fill("Typed")
    page.get_by_role("button", name="Type").click()
    expect(log.last).to_contain_text("You said “Typed”")
    words.fill("The report is done.")
    page.get_by_role("button", name="Push").click()
    expect(log.last).to_contain_text("You said “The report is done.”")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("status")).to_contain_text("The transcript was answered with 200.")

    conversation_id = str(page.get_by_role("link", name="watch it").get_attribute("href"))
    path = f"{PREFIX}/{conversation_id.rpartition('/')[2]}"
    wait_until(lambda: len(service.api.send("GET", path).body["messages"]) == 9)
    found = service.api.send("GET", path).body
    assert [message["role"] for message in found["messages"]] == [
        "assistant",
        "user",
        "assistant",
        "tool",
        "user",
        "assistant",
        "user",
        "assistant",
        "assistant",
    ]
    cut_off, tool = found["messages"][2:4]
    assert cut_off["interrupted"]
    assert cut_off["originalContent"].startswith(cut_off["content"])
    assert (tool["toolArgs"], tool["status"]) == ({"day": "today"}, "completed")
    assert found["metadata"]["elevenlabs"]["termination_reason"] == "the agent hung up"
