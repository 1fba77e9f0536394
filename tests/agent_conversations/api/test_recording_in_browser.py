"""``recorder.js`` in a real browser, where the real ``@elevenlabs/client`` makes calls.

The server that it talks to is ``tests/elevenlabs_server.py``.
"""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from config.environment import PROJECT_DIR
from tests.agent_conversations.api.routes import PREFIX
from tests.agent_conversations.webhooks import SECRET, delivery, encoded, signature, turn
from tests.elevenlabs_server import Call, ElevenLabsServer, elevenlabs_server
from tests.faults.servers import Service
from tests.frontend import (
    CLIENT,
    NOTHING_LEFT,
    begin_call,
    bring_client,
    bundle_react_page,
    module_of,
    open_page,
)
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.skipif(
        not CLIENT.exists() and "CI" not in os.environ,
        reason="make types brings @elevenlabs/client",
    ),
]

Start = Callable[..., Call]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its live process, as ``make run`` starts them."""
    service = Service(
        tmp_path_factory.mktemp("service"), live=True, ELEVENLABS_WEBHOOK_SECRETS=SECRET
    )
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def elevenlabs() -> Iterator[ElevenLabsServer]:
    with elevenlabs_server() as server:
        yield server


@pytest.fixture
def talk(request: pytest.FixtureRequest) -> str:
    """The id of a conversation that is not there yet."""
    return re.sub(r"\W", "-", request.node.name.replace("_", "-")).rstrip("-")


@pytest.fixture
def application(frontend: str, tmp_path: Path) -> str:
    """The address of a frontend's page, beside which there is the library."""
    bring_client(tmp_path)
    return frontend


@pytest.fixture
def start(service: Service, elevenlabs: ElevenLabsServer, application: str, talk: str) -> Start:
    """Start a recorded call in a page, of the conversation ``talk``; give the server's end of it.

    ``window.callbacks`` are the application's, and ``recorders`` are attached to the call.
    """

    def start(page: Page, *, recorders: int = 1, **options: Any) -> Call:
        open_page(page, application)
        given = {**api_of(service), "conversationId": talk, "create": True, **options}
        begin_call(page, module_of(service.port), elevenlabs.signed_url, given, recorders)
        return elevenlabs.next_call()

    return start


def api_of(service: Service) -> dict[str, str]:
    return {"url": f"http://127.0.0.1:{service.port}{PREFIX}"}


def messages(service: Service, conversation_id: str) -> list[dict[str, Any]]:
    response = service.api.send("GET", f"{PREFIX}/{conversation_id}")
    return response.body["messages"] if response.status == 200 else []


def said(service: Service, conversation_id: str) -> list[str]:
    return [message["content"] for message in messages(service, conversation_id)]


def session(service: Service, conversation_id: str) -> dict[str, Any] | None:
    response = service.api.send("GET", f"{PREFIX}/{conversation_id}/session")
    return response.body if response.status == 200 else None


def says(words: str) -> Callable[[ConsoleMessage], bool]:
    return lambda message: message.type == "warning" and words in message.text


def test_call_is_recorded_in_order(service: Service, page: Page, start: Start, talk: str) -> None:
    call = start(page, create={"agentId": "agent_7101", "metadata": {"title": "Today"}})
    call.agent_says("How can I help?")
    call.user_says("What is left for today?")
    call.ping()
    call.agent_says("Two things.")

    wait_until(lambda: len(said(service, talk)) == 3)
    record = service.api.send("GET", f"{PREFIX}/{talk}").body
    assert record["agentId"] == "agent_7101"
    assert record["metadata"] == {"title": "Today"}
    turns = ("role", "content", "messageId", "source")
    assert [tuple(one[name] for name in turns) for one in record["messages"]] == [
        ("assistant", "How can I help?", f"{call.id}:1:agent", "agent_response"),
        ("user", "What is left for today?", f"{call.id}:2:user", "voice"),
        ("assistant", "Two things.", f"{call.id}:4:agent", "agent_response"),
    ]
    assert call.expect("pong")
    page.wait_for_function(NOTHING_LEFT)


def test_correction_says_what_was_heard(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    turn = call.agent_says("Two things are left: call Ada.")
    call.user_cuts_in(turn, generated="Two things are left: call Ada.", heard="Two things")
    call.user_says("Stop")

    wait_until(lambda: len(said(service, talk)) == 2)
    cut_off, stop = messages(service, talk)
    assert cut_off["content"] == "Two things"
    assert cut_off["originalContent"] == "Two things are left: call Ada."
    assert cut_off["interrupted"] is True
    assert cut_off["messageId"] == f"{call.id}:{turn}:agent"
    assert stop["content"] == "Stop"


def test_tool_call_and_its_result_are_one_message(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    page.add_init_script("window.clientTools = { start_call: ({ to }) => `${to} is there.` }")
    call = start(page)
    call.tool_is_requested("call-1", "list_tasks")
    wait_until(lambda: [one["status"] for one in messages(service, talk)] == ["pending"])
    call.tool_has_responded("call-1", "list_tasks", "2 tasks")
    call.call_client_tool("call-2", "start_call", to="Ada")
    assert call.expect("client_tool_result")["result"] == "Ada is there."
    call.tool_is_requested("call-3", "send_mail")
    call.tool_has_responded("call-3", "send_mail", "refused", is_error=True)

    wait_until(lambda: len(messages(service, talk)) == 3)
    wait_until(lambda: messages(service, talk)[-1]["status"] == "failed")
    first, second, third = messages(service, talk)
    assert first["messageId"] == f"{call.id}:call-1:tool"
    assert (first["toolName"], first["toolOutput"]) == ("list_tasks", "2 tasks")
    assert (first["role"], first["status"]) == ("tool", "completed")
    assert (second["toolArgs"], second["toolOutput"]) == ({"to": "Ada"}, "Ada is there.")
    assert (second["toolCallId"], second["status"]) == ("call-2", "completed")
    assert third["toolOutput"] == "refused"


def test_typed_text_is_a_turn_of_the_user(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    page.evaluate("conversation.sendUserMessage('Typed')")
    page.evaluate("conversation.sendContextualUpdate('The user looks at the calendar')")
    assert call.expect("user_message")["text"] == "Typed"
    call.agent_says("Read")

    wait_until(lambda: said(service, talk) == ["Typed", "Read"])
    typed = messages(service, talk)[0]
    assert (typed["role"], typed["source"]) == ("user", "text")


def test_service_that_was_away_gets_everything_once(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    call.agent_says("Before")
    wait_until(lambda: said(service, talk) == ["Before"])

    service.kill()
    turn = call.agent_says("While it is away, I say this.")
    for number in range(120):
        call.user_says(f"turn {number}")
    call.user_cuts_in(turn, generated="While it is away, I say this.", heard="While")
    page.wait_for_timeout(1500)  # attempts fail
    service.start()
    call.agent_says("After")

    expected = ["Before", "While", *(f"turn {number}" for number in range(120)), "After"]
    wait_until(lambda: said(service, talk) == expected)


def test_reload_writes_what_was_not_acknowledged(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    service.kill()
    call.user_says("Said before the reload")
    call.agent_says("So was this")
    page.wait_for_function("Object.values(localStorage).join().includes('So was this')")
    page.goto("about:blank")
    service.start()

    call = start(page)
    call.agent_says("And this after it")

    expected = ["Said before the reload", "So was this", "And this after it"]
    wait_until(lambda: said(service, talk) == expected)
    page.wait_for_function(NOTHING_LEFT)


def test_lost_response_does_not_double_a_turn(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    lost: list[str] = []

    def lose(route: Any) -> None:
        if len(lost) < 3:
            lost.append(route.request.url)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(f"**{PREFIX}/{talk}/messages", lose)
    call = start(page)
    call.user_says("One")
    call.agent_says("Two")

    page.wait_for_function("Object.values(localStorage).join().includes('Two')")
    page.wait_for_function(NOTHING_LEFT)
    assert len(lost) == 3
    assert said(service, talk) == ["One", "Two"]


def test_two_recorders_write_each_turn_once(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page, recorders=2)
    for number in range(10):
        call.user_says(f"question {number}")
        turn = call.agent_says(f"answer {number}, in full")
        call.user_cuts_in(turn, generated=f"answer {number}, in full", heard=f"answer {number}")
    page.evaluate("conversation.sendUserMessage('The end')")

    page.wait_for_timeout(200)
    page.wait_for_function(NOTHING_LEFT)
    assert sorted(said(service, talk)) == sorted(
        [f"{one} {number}" for number in range(10) for one in ("question", "answer")] + ["The end"]
    )


def test_tabs_do_not_mix_what_is_theirs(
    service: Service, chromium: Browser, start: Start, talk: str
) -> None:
    with chromium.new_context() as context:
        first, second = context.new_page(), context.new_page()
        one = start(first, conversationId=f"{talk}-1")
        other = start(second, conversationId=f"{talk}-2")
        service.kill()
        for number in range(3):
            one.user_says(f"first {number}")
            other.user_says(f"second {number}")
        for tab in (first, second):
            tab.wait_for_function("Object.values(localStorage).join().includes('first 2')")
            tab.wait_for_function("Object.values(localStorage).join().includes('second 2')")
        second.close()
        first.evaluate(
            "async ([module, service]) => (await import(module)).resume(service)",
            [module_of(service.port), api_of(service)],
        )
        service.start()

        wait_until(lambda: said(service, f"{talk}-1") == [f"first {one}" for one in range(3)])
        wait_until(lambda: said(service, f"{talk}-2") == [f"second {one}" for one in range(3)])


def test_callbacks_of_the_application_may_fail(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    page.add_init_script(
        """window.heard = [];
        window.callbacks = {
            onConnect: () => heard.push("connected"),
            onMessage: ({ message }) => { heard.push(message); throw new Error("of the page"); },
            onModeChange: ({ mode }) => heard.push(mode),
            onDisconnect: ({ reason }) => heard.push(reason),
        };"""
    )
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.message))
    call = start(page)
    call.agent_says("One")
    call.user_says("Two")
    wait_until(lambda: said(service, talk) == ["One", "Two"])
    call.end()

    page.wait_for_function("heard.length === 5")
    assert page.evaluate("heard") == ["listening", "connected", "One", "Two", "agent"]
    assert errors == ["of the page", "of the page"]


def test_session_lasts_as_long_as_its_call(
    service: Service, elevenlabs: ElevenLabsServer, page: Page, start: Start, talk: str
) -> None:
    page.clock.install()
    with page.expect_response("**/session"):
        call = start(page, session={"signedUrl": elevenlabs.signed_url, "metadata": {"tab": 1}})
    registered = session(service, talk)
    assert registered is not None
    assert registered["sessionId"] == call.id

    for _ in range(9):  # of the ten minutes that it lives
        page.clock.fast_forward("01:00")
        page.wait_for_timeout(200)
    renewed = session(service, talk)
    assert renewed is not None
    assert renewed["createdAt"] > registered["createdAt"]
    page.evaluate("conversation.endSession()")
    wait_until(lambda: session(service, talk) is None)


def test_closed_page_deletes_its_session(
    service: Service, elevenlabs: ElevenLabsServer, page: Page, start: Start, talk: str
) -> None:
    start(page, session={"signedUrl": elevenlabs.signed_url})
    wait_until(lambda: session(service, talk))

    page.goto("about:blank")

    wait_until(lambda: session(service, talk) is None)


def test_session_of_a_newer_call_stays(
    service: Service, elevenlabs: ElevenLabsServer, page: Page, start: Start, talk: str
) -> None:
    page.clock.install()
    start(page, session={"signedUrl": elevenlabs.signed_url})
    wait_until(lambda: session(service, talk))
    newer = {"signedUrl": elevenlabs.signed_url, "sessionId": "another-tab"}
    assert service.api.send("POST", f"{PREFIX}/{talk}/session", newer).status == 201

    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))

    def has_looked() -> bool:
        page.clock.fast_forward("05:00")
        return "GET" in methods

    wait_until(has_looked)
    page.evaluate("conversation.endSession()")
    page.wait_for_timeout(300)

    left = session(service, talk)
    assert left is not None
    assert left["sessionId"] == "another-tab"


def test_refused_message_is_dropped_with_a_word(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    service.kill()
    call.user_says("Before")
    call.tool_is_requested("x" * 300, "list_tasks")
    call.user_says("After")
    page.wait_for_function("Object.values(localStorage).join().includes('After')")
    with page.expect_console_message(says("not recorded, because messages[0].messageId")):
        service.start()

    wait_until(lambda: said(service, talk) == ["Before", "After"])


def test_what_is_too_much_is_dropped_with_a_word(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    call.user_says("Before")
    wait_until(lambda: said(service, talk) == ["Before"])
    service.kill()
    with page.expect_console_message(says("away for too long")):
        for number in range(12):
            call.user_says(f"{number} " + "x" * 100_000)
    page.wait_for_function("Object.values(localStorage).join().includes('11 x')")
    service.start()

    page.wait_for_function(NOTHING_LEFT)
    assert [one.split()[0] for one in said(service, talk)] == ["Before", *map(str, range(3, 12))]


def test_deleted_conversation_is_not_made_again(
    service: Service, page: Page, start: Start, talk: str
) -> None:
    call = start(page)
    call.user_says("Forget me")
    wait_until(lambda: said(service, talk) == ["Forget me"])
    assert service.api.send("DELETE", f"{PREFIX}/{talk}").status == 204

    with page.expect_console_message(says("the conversation was deleted")):
        call.user_says("Forget this too")

    assert service.api.send("GET", f"{PREFIX}/{talk}").status == 404
    page.wait_for_function(NOTHING_LEFT)


def push(service: Service, conversation_id: str, text: str, **fields: Any) -> str:
    """Push a text to the registered session; return the push's id."""
    path = f"{PREFIX}/{conversation_id}/push"
    response = service.api.send("POST", path, {"text": text, **fields})
    assert response.status == 202
    return str(response.body["pushId"])


def state(service: Service, conversation_id: str, push_id: str) -> str:
    path = f"{PREFIX}/{conversation_id}/push/{push_id}"
    return str(service.api.send("GET", path).body["state"])


@pytest.fixture
def start_relayed(service: Service, elevenlabs: ElevenLabsServer, start: Start) -> Start:
    """Start a call to which pushes are relayed."""
    live = f"ws://127.0.0.1:{service.live_port}{PREFIX}/ws"
    return partial(start, session={"signedUrl": elevenlabs.signed_url}, live=live)


def test_push_reaches_the_call_and_is_recorded(
    service: Service, page: Page, start_relayed: Start, talk: str
) -> None:
    call = start_relayed(page)
    wait_until(lambda: session(service, talk))

    said_by_us = push(service, talk, "The report is done.")
    assert call.expect("user_message")["text"] == "The report is done."
    told = push(service, talk, "It has 3 pages.", kind="contextual_update", contextId="report")
    update = call.expect("contextual_update")

    assert (update["text"], update["context_id"]) == ("It has 3 pages.", "report")
    wait_until(lambda: said(service, talk) == ["The report is done.", "It has 3 pages."])
    recorded = [(one["role"], one["source"], one["messageId"]) for one in messages(service, talk)]
    assert recorded == [
        ("user", "system_event", f"{call.id}:push-{said_by_us}:user"),
        ("system", "system_event", f"{call.id}:push-{told}:system"),
    ]
    wait_until(lambda: state(service, talk, said_by_us) == "delivered")
    wait_until(lambda: state(service, talk, told) == "delivered")


def test_push_to_two_recorders_is_said_once(
    service: Service, page: Page, start_relayed: Start, talk: str
) -> None:
    call = start_relayed(page, recorders=2)
    wait_until(lambda: session(service, talk))

    pushed = [push(service, talk, f"text {number}") for number in range(5)]
    wait_until(lambda: {state(service, talk, one) for one in pushed} == {"delivered"})
    page.evaluate("conversation.sendUserMessage('The end')")

    heard = [call.expect("user_message")["text"] for _ in range(6)]
    # Each of the recorders takes what it gets first, so their order is not that of the pushes.
    assert sorted(heard[:5]) == [f"text {number}" for number in range(5)]
    assert heard[5] == "The end"
    page.wait_for_function(NOTHING_LEFT)
    assert sorted(said(service, talk)) == sorted(heard)


def test_push_during_a_broken_connection_comes_after_it(
    service: Service, page: Page, start_relayed: Start, talk: str
) -> None:
    call = start_relayed(page)
    wait_until(lambda: session(service, talk))
    first = push(service, talk, "Before")
    assert call.expect("user_message")["text"] == "Before"
    wait_until(lambda: state(service, talk, first) == "delivered")

    os.kill(service.live_pid(), signal.SIGKILL)
    second = push(service, talk, "Meanwhile")

    assert call.expect("user_message")["text"] == "Meanwhile"
    wait_until(lambda: state(service, talk, second) == "delivered")


def test_call_is_complete_after_its_transcript(
    service: Service, chromium: Browser, page: Page, start_relayed: Start, talk: str
) -> None:
    generated = "Two things are left: call Ada, and write the report."
    call = start_relayed(page)
    with chromium.new_context() as context:
        watching = context.new_page()
        watching.goto(f"http://127.0.0.1:{service.port}/watch/{talk}")
        shown = watching.get_by_role("log", name="Messages").get_by_role("listitem")

        call.user_says("What is left for today?")
        expect(shown).to_contain_text(["What is left for today?"])
        call.tool_is_requested("call-1", "list_tasks")
        expect(shown.last).to_contain_text("pending")
        call.tool_has_responded("call-1", "list_tasks", "2 tasks")
        expect(shown.last).to_contain_text("completed")
        turn_number = call.agent_says(generated)
        expect(shown.last).to_contain_text(generated)
        call.user_cuts_in(turn_number, generated=generated, heard="Two things are left")
        expect(shown.last).to_contain_text("Two things are left (interrupted)")
        push(service, talk, "The report is done.")
        expect(shown.last).to_contain_text("The report is done.")
        page.evaluate("conversation.sendUserMessage('Thanks')")
        expect(shown).to_have_count(5)
        call.end()

        result = {"request_id": "call-1", "tool_name": "list_tasks", "result_value": "2 tasks"}
        transcript = delivery(
            turn("user", "What is left for today?", 1),
            turn("agent", None, 2, tool_calls=[{**result, "params_as_json": '{"day": "today"}'}]),
            turn("agent", None, 2, tool_results=[{**result, "is_error": False}]),
            turn("agent", "Two things are left", 3, interrupted=True, original_message=generated),
            turn("user", "The report is done.", None, source_medium="text"),
            turn("user", "Thanks", None, source_medium="text"),
            turn("agent", "Goodbye!", 6),
            call_id=call.id,
            named=talk,
        )
        body = encoded(transcript)
        headers = {"ElevenLabs-Signature": signature(body)}
        assert service.api.send("POST", "/webhooks/elevenlabs", transcript, headers).status == 200

        expect(shown.last).to_contain_text("Goodbye!")
        expect(shown).to_have_count(6)
    assert said(service, talk) == [
        "What is left for today?",
        "",
        "Two things are left",
        "The report is done.",
        "Thanks",
        "Goodbye!",
    ]
    assert messages(service, talk)[1]["toolArgs"] == {"day": "today"}


@pytest.fixture
def page_with_microphone(chromium: Browser) -> Iterator[Page]:
    """A page of a browser whose microphone gives a tone, and which asks nobody."""
    browser = chromium.browser_type.launch(
        executable_path=shutil.which("chromium"),
        args=["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
    )
    yield browser.new_page()
    browser.close()


def test_documented_example_records_a_voice(
    service: Service,
    elevenlabs: ElevenLabsServer,
    application: str,
    page_with_microphone: Page,
    talk: str,
) -> None:
    page_of_docs = (PROJECT_DIR / "docs" / "elevenlabs.md").read_text()
    (example,) = re.findall(r"```js\n(import \{ Conversation \}.*?)```", page_of_docs, re.DOTALL)
    library = 'import { Conversation } from "@elevenlabs/client";'
    assert library in example
    example = example.replace(library, "const { Conversation } = ElevenLabsClient;")
    example = example.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
    example = example.replace("127.0.0.1:8001", f"127.0.0.1:{service.live_port}")
    page = page_with_microphone
    open_page(page, application)
    page.evaluate(
        """([conversationId, signedUrl]) => Object.assign(window, {
            conversationId, signedUrl, agentId: "agent_7101", token: undefined, shown: [],
            show: (message) => shown.push(message),
        })""",
        [talk, elevenlabs.signed_url],
    )
    page.add_script_tag(type="module", content=example)
    call = elevenlabs.next_call()
    assert call.initiation["dynamic_variables"] == {"agent_conversation_id": talk}
    assert call.expect("user_audio_chunk")["user_audio_chunk"]

    call.agent_says("How can I help?")

    page.wait_for_function("shown.length === 1")
    wait_until(lambda: said(service, talk) == ["How can I help?"])
    wait_until(lambda: session(service, talk))
    push(service, talk, "The report is done.")
    assert call.expect("user_message")["text"] == "The report is done."


@pytest.fixture
def page_in_react(page: Page, frontend: str, tmp_path: Path) -> Page:
    """A page with what ``react.js`` brings."""
    bundle_react_page(tmp_path)
    page.goto(frontend)
    page.add_script_tag(url="react.js")
    return page


@pytest.mark.parametrize("given_to", ["startSession", "provider"])
def test_call_of_a_react_page_is_recorded(
    service: Service,
    elevenlabs: ElevenLabsServer,
    page_in_react: Page,
    talk: str,
    given_to: str,
) -> None:
    page = page_in_react
    options = {
        **api_of(service),
        "conversationId": talk,
        "create": True,
        "session": {"signedUrl": elevenlabs.signed_url},
        "live": f"ws://127.0.0.1:{service.live_port}{PREFIX}/ws",
    }
    page.evaluate(
        "(given) => beginInReact(...given)",
        [module_of(service.port), options, elevenlabs.signed_url, given_to],
    )
    call = elevenlabs.next_call()
    call.agent_says("How can I help?")
    wait_until(lambda: said(service, talk))
    page.evaluate("conversation.sendUserMessage('What is left for today?')")
    wait_until(lambda: len(said(service, talk)) == 2)
    pushed = service.api.send("POST", f"{PREFIX}/{talk}/push", {"text": "The report is done."})
    wait_until(lambda: len(said(service, talk)) == 3)
    page.evaluate("conversation.endSession()")

    assert pushed.status == 202
    assert said(service, talk) == [
        "How can I help?",
        "What is left for today?",
        "The report is done.",
    ]
    wait_until(lambda: session(service, talk) is None)
    page.wait_for_function(NOTHING_LEFT)
