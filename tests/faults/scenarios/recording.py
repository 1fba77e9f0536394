"""A call is recorded in a browser while the service dies and its page is closed."""

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence

from playwright.sync_api import Page, sync_playwright

from tests.elevenlabs_server import Call, ElevenLabsServer, elevenlabs_server
from tests.faults.client import API
from tests.faults.result import Advance, Result, ignore
from tests.faults.servers import Service, temporary_folder
from tests.frontend import NOTHING_LEFT, begin_call, bring_client, module_of, open_page, served

_CONVERSATION = "talk"


def recorded_calls(*, repeats: int, turns: int = 100, advance: Advance = ignore) -> Result:
    """In each call the service is killed; its page is closed, before or after the next start.

    What is counted is turns: a turn that the page was told is taken for acknowledged.
    """
    result = Result(
        "The service is killed while a call is recorded",
        "SIGKILL, a start on the same data, a closed page",
        repeats=repeats,
        promised_seconds=None,
    )
    with (
        temporary_folder() as folder,
        elevenlabs_server() as elevenlabs,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=shutil.which("chromium")) as browser,
    ):
        frontend = folder / "frontend"
        frontend.mkdir()
        bring_client(frontend)
        service = Service(folder / "service")
        service.start()
        page = browser.new_page()
        page.add_init_script(
            "window.heard = 0; window.callbacks = { onMessage: () => { heard += 1; } };"
        )
        try:
            with served(frontend) as address:
                for number in range(repeats):
                    open_page(page, address)
                    _begin(page, service, elevenlabs)
                    _kill_while_told(page, service, elevenlabs.next_call(), number, turns)
                    advance()
                open_page(page, address)
                page.evaluate(
                    "async ([module, url]) => (await import(module)).resume({ url })",
                    [module_of(service.port), _url(service)],
                )
                page.wait_for_function(NOTHING_LEFT)
            told = [_words(number, turn) for number in range(repeats) for turn in range(turns)]
            _compare(result, told, service)
        finally:
            service.stop()
    return result


def _url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}{API}"


def _begin(page: Page, service: Service, elevenlabs: ElevenLabsServer) -> None:
    options = {"url": _url(service), "conversationId": _CONVERSATION, "create": True}
    begin_call(page, module_of(service.port), elevenlabs.signed_url, options)


def _words(number: int, turn: int) -> str:
    return f"call {number}, turn {turn}"


def _kill_while_told(page: Page, service: Service, call: Call, number: int, turns: int) -> None:
    def talk() -> None:
        for turn in range(turns):
            (call.agent_says if turn % 2 else call.user_says)(_words(number, turn))
            time.sleep(0.01)

    talker = threading.Thread(target=talk)
    talker.start()
    time.sleep(random.uniform(0, 1.0))
    service.kill()
    talker.join()
    page.wait_for_function(f"heard === {turns}")
    if number % 2:
        page.goto("about:blank")  # what is left waits for another page
        service.start()
    else:
        service.start()
        time.sleep(random.uniform(0, 1.0))
        page.goto("about:blank")


def _compare(result: Result, told: Sequence[str], service: Service) -> None:
    record = service.api.send("GET", f"{API}/{_CONVERSATION}").body
    words = [message["content"] for message in record["messages"]]
    stored = Counter(words)
    result.attempted = result.acknowledged = len(told)
    result.found = sum(one in stored for one in told)
    result.lost = len(told) - result.found
    result.doubled = sum(stored[one] > 1 for one in told)
    if not result.faults and words != told:
        result.problems.append("turns are not in the order in which they were said")
