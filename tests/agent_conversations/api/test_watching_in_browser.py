"""The pages on which conversations are watched, and ``live.js``, in a real browser."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.agent_conversations.api.routes import PREFIX
from tests.faults.servers import PROJECT_DIR, Service
from tests.waiting import wait_until

OUTAGE_MS = 30_000
"""Within this time a page has noticed that its connection broke, or that there is one again."""

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its live process, as ``make run`` starts them."""
    service = Service(tmp_path_factory.mktemp("service"), live=True)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def talk(service: Service, request: pytest.FixtureRequest) -> str:
    """The id of a new conversation, with one message."""
    name = str(request.node.name)
    conversation_id = "".join(letter if letter.isalnum() else "-" for letter in name)
    say(service, conversation_id, "What is left for today?", message_id="m-1", create=True)
    return conversation_id


def say(
    service: Service, conversation_id: str, content: str, *, create: bool = False, **fields: Any
) -> None:
    if create:
        body = {"conversationId": conversation_id}
        assert service.api.send("POST", f"{PREFIX}/new", body).status == 201
    body = {"role": "user", "content": content, "source": "voice"}
    if "message_id" in fields:
        body["messageId"] = fields.pop("message_id")
    path = f"{PREFIX}/{conversation_id}/message"
    assert service.api.send("POST", path, body | fields).status == 201


def put(service: Service, conversation_id: str, message_id: str, **fields: Any) -> None:
    path = f"{PREFIX}/{conversation_id}/messages/{message_id}"
    assert service.api.send("PUT", path, fields).status in (200, 201)


def watch(page: Page, service: Service, conversation_id: str) -> Page:
    page.goto(f"http://127.0.0.1:{service.port}/watch/{conversation_id}")
    return page


def messages(page: Page) -> Any:
    return page.get_by_role("log", name="Messages").get_by_role("listitem")


def test_message_of_a_program_appears(service: Service, page: Page, talk: str) -> None:
    watch(page, service, talk)
    expect(page.get_by_role("status")).to_have_text("Live")

    say(service, talk, "And tomorrow?")

    expect(messages(page)).to_have_count(2)
    expect(messages(page).last).to_contain_text("And tomorrow?")


def test_two_pages_see_what_either_sends(
    service: Service, chromium: Browser, page: Page, talk: str
) -> None:
    with chromium.new_context() as context:
        other = watch(context.new_page(), service, talk)
        watch(page, service, talk)
        page.get_by_label("Message", exact=True).fill("Typed in one")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("of them")
        page.keyboard.press("Enter")
        expect(messages(other).last).to_contain_text("Typed in one\nof them")
        expect(page.get_by_label("Message", exact=True)).to_have_value("")

        other.get_by_label("Role").select_option("assistant")
        other.get_by_label("Message", exact=True).fill("Typed in the other")
        other.get_by_role("button", name="Send").click()
        expect(messages(page).last).to_contain_text("Typed in the other")
        expect(messages(page).last).to_contain_text("Agent")
        expect(messages(page)).to_have_count(3)


def test_correction_replaces_its_turn(service: Service, page: Page, talk: str) -> None:
    put(service, talk, "turn", role="assistant", content="Two things are left: call Ada.")
    say(service, talk, "Stop")
    watch(page, service, talk)
    expect(messages(page)).to_have_count(3)

    heard = {"content": "Two things", "originalContent": "Two things are left: call Ada."}
    put(service, talk, "turn", role="assistant", interrupted=True, **heard)

    turn = messages(page).nth(1)
    expect(turn).to_contain_text("Two things (interrupted)")
    expect(turn.locator("del")).to_have_text("Two things are left: call Ada.")
    expect(messages(page)).to_have_count(3)
    expect(messages(page).last).to_contain_text("Stop")


def test_call_of_a_tool_changes_in_its_place(service: Service, page: Page, talk: str) -> None:
    call = {"role": "tool", "content": "", "toolName": "start_call", "toolArgs": {"to": "Ada"}}
    put(service, talk, "call", **call, status="pending")
    watch(page, service, talk)
    expect(messages(page).last).to_contain_text("pending")
    page.get_by_text("Arguments").click()

    put(service, talk, "call", **call, status="completed", toolOutput="She is there.")

    expect(messages(page).last).to_contain_text("completed")
    expect(page.get_by_text('"to": "Ada"')).to_be_visible()  # it stays unfolded
    page.get_by_text("Result").click()
    expect(page.get_by_text("She is there.")).to_be_visible()
    expect(messages(page)).to_have_count(2)


def test_page_recovers_from_a_killed_live_process(service: Service, page: Page, talk: str) -> None:
    watch(page, service, talk)
    expect(page.get_by_role("status")).to_have_text("Live", timeout=OUTAGE_MS)

    os.kill(service.live_pid(), signal.SIGKILL)
    expect(page.get_by_role("status")).to_contain_text("Connection lost")
    say(service, talk, "Said meanwhile")

    expect(messages(page).last).to_contain_text("Said meanwhile", timeout=OUTAGE_MS)
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(messages(page)).to_have_count(2)


def test_words_are_never_taken_for_html(service: Service, page: Page, talk: str) -> None:
    html = "<img src=x onerror='document.title = 1'><script>document.title = 2</script>"
    everywhere = {"toolName": html, "toolOutput": html, "originalContent": html}
    put(service, talk, "html", role="tool", content=html, toolArgs={html: html}, **everywhere)
    changes = {"agentId": html, "metadata": {html: html}}
    assert service.api.send("PATCH", f"{PREFIX}/{talk}", changes).status == 200

    watch(page, service, talk)
    expect(messages(page).last.locator(".content")).to_have_text(html)
    expect(page.get_by_text("Agent" + html)).to_be_visible()
    assert page.locator("main img, main script").count() == 0

    page.goto(f"http://127.0.0.1:{service.port}/watch")
    expect(page.get_by_role("listitem").filter(has_text=talk)).to_contain_text(html)
    assert page.locator("main img, main script").count() == 0


def test_long_conversation_shows_its_newest_messages(
    service: Service, page: Page, talk: str
) -> None:
    words = [{"role": "user", "content": f"words {number};"} for number in range(2, 202)]
    for start in range(0, 200, 50):
        body = {"messages": words[start : start + 50]}
        assert service.api.send("POST", f"{PREFIX}/{talk}/messages", body).status == 201

    watch(page, service, talk)
    expect(messages(page)).to_have_count(100)
    expect(messages(page).first).to_contain_text("words 102;")
    expect(messages(page).last).to_be_in_viewport()

    page.get_by_role("button", name="Show 100 older messages (of 101)").click()
    expect(messages(page)).to_have_count(200)
    expect(messages(page).first).to_contain_text("words 2;")
    expect(messages(page).filter(has_text="words 102;")).to_be_in_viewport()
    page.get_by_role("button", name="Show 1 older message").click()
    expect(messages(page)).to_have_count(201)
    expect(messages(page).first).to_contain_text("What is left for today?")

    say(service, talk, "Said while one reads above")
    page.get_by_role("button", name="New messages").click()
    expect(messages(page).last).to_be_in_viewport()


def test_page_waits_for_a_conversation_and_sees_its_end(
    service: Service, page: Page, talk: str
) -> None:
    watch(page, service, f"{talk}-to-come")
    expect(page.get_by_role("status")).to_contain_text("There is no such conversation yet")

    say(service, f"{talk}-to-come", "Here it is", create=True)
    expect(messages(page)).to_contain_text(["Here it is"])

    assert service.api.send("DELETE", f"{PREFIX}/{talk}-to-come").status in (200, 204)
    expect(page.get_by_role("status")).to_have_text("This conversation was deleted.")
    expect(page.get_by_role("button", name="Send")).to_be_hidden()


def test_form_sends_words_once_after_a_lost_response(
    service: Service, page: Page, talk: str
) -> None:
    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    watch(page, service, talk)
    expect(page.get_by_role("status")).to_have_text("Live")
    page.route(f"**{PREFIX}/{talk}/message", lose)
    page.get_by_label("Message", exact=True).fill("Once")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("What you typed is still here")

    page.unroute(f"**{PREFIX}/{talk}/message")
    page.keyboard.press("Enter")

    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    expect(messages(page)).to_have_count(2)


def test_refused_message_stays_in_the_form(service: Service, page: Page, talk: str) -> None:
    watch(page, service, talk)
    expect(page.get_by_role("status")).to_have_text("Live")
    page.get_by_label("Message", exact=True).fill("x" * 1_100_000)
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("alert")).to_contain_text("1 MiB")
    expect(page.get_by_label("Message", exact=True)).not_to_have_value("")


def test_list_follows_what_comes_and_changes(service: Service, page: Page, talk: str) -> None:
    page.goto(f"http://127.0.0.1:{service.port}/")
    page.get_by_role("link", name="Watch").click()
    expect(page.get_by_role("status")).to_have_text("Live")
    first = page.get_by_role("main").get_by_role("listitem").first
    expect(first).to_contain_text("1 message")

    say(service, talk, "And tomorrow?")
    expect(first).to_contain_text("2 messages")
    expect(first).to_contain_text("And tomorrow?")
    say(service, f"{talk}-2", "Another one", create=True)
    expect(first).to_contain_text(f"{talk}-2")

    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading")).to_contain_text("agent-")
    expect(page.get_by_text("Nothing has been said yet.")).to_be_visible()


def follow(page: Page, service: Service, conversation_id: str) -> Callable[[], Any]:
    """Follow it by ``live.js``; return a function that gives what was handed over."""
    page.evaluate(
        """async ([module, url, conversationId]) => {
            const { follow } = await import(module);
            window.handed = [];
            window.states = [];
            const onConversation = (conversation) => handed.push(conversation);
            const onState = (state) => states.push(state);
            window.following = follow({ url, conversationId, onConversation, onState });
        }""",
        [
            f"http://127.0.0.1:{service.port}/static/agent_conversations/live.js",
            f"ws://127.0.0.1:{service.live_port}{PREFIX}/ws",
            conversation_id,
        ],
    )
    return lambda: page.evaluate("handed.at(-1)")


def test_module_hands_over_whole_conversations_to_a_frontend(
    service: Service, frontend: str, page: Page, talk: str
) -> None:
    page.goto(frontend)
    handed = follow(page, service, talk)
    page.wait_for_function("handed.length === 1")

    say(service, talk, "And tomorrow?")
    put(service, talk, "m-1", role="user", content="What is left?")
    changes = {"metadata": {"title": "Today"}}
    assert service.api.send("PATCH", f"{PREFIX}/{talk}", changes).status == 200
    say(service, talk, "Fine.")
    page.wait_for_function("handed.at(-1).messages.at(-1).content === 'Fine.'")

    record = service.api.send("GET", f"{PREFIX}/{talk}").body
    assert {**handed(), "lastAccessedAt": None} == {**record, "lastAccessedAt": None}
    assert page.evaluate("new Set(handed).size === handed.length")
    assert page.evaluate("[...new Set(states)]") == ["connecting", "live"]


def test_module_resumes_without_what_it_has(
    service: Service, frontend: str, page: Page, talk: str
) -> None:
    page.goto(frontend)
    handed = follow(page, service, talk)
    page.wait_for_function("handed.length === 1")
    with page.expect_websocket(lambda socket: "revision=" in socket.url) as resumed:
        os.kill(service.live_pid(), signal.SIGKILL)
        say(service, talk, "Said meanwhile")
        page.wait_for_function("handed.length === 2", timeout=OUTAGE_MS)

    assert "after=1" in resumed.value.url
    assert [one["content"] for one in handed()["messages"]] == [
        "What is left for today?",
        "Said meanwhile",
    ]
    assert page.evaluate("handed[0].createdAt === handed[1].createdAt")
    page.evaluate("following.stop()")
    say(service, talk, "After the stop")
    page.wait_for_timeout(300)
    assert page.evaluate("handed.length") == 2


def hold_session(page: Page, service: Service, conversation_id: str, statements: str) -> None:
    """Register a session, and follow by ``live.js`` as the tab that holds it.

    Args:
        statements: with ``follow``, ``url``, ``conversationId``, ``sessionId``, and a ``call``.
    """
    body = {"sessionUrl": "wss://host/push?token=t", "sessionId": "s-1"}
    assert service.api.send("POST", f"{PREFIX}/{conversation_id}/session", body).status == 201
    page.evaluate(
        f"""async ([module, url, conversationId]) => {{
            const {{ follow }} = await import(module);
            window.given = [];
            const sessionId = "s-1";
            const call = {{
                sendUserMessage: (text) => given.push(["message", text]),
                sendContextualUpdate: (text) => given.push(["update", text]),
            }};
            {statements}
        }}""",
        [
            f"http://127.0.0.1:{service.port}/static/agent_conversations/live.js",
            f"ws://127.0.0.1:{service.live_port}{PREFIX}/ws",
            conversation_id,
        ],
    )


def push(service: Service, conversation_id: str, **fields: Any) -> None:
    assert service.api.send("POST", f"{PREFIX}/{conversation_id}/push", fields).status == 202


def what_became_of(service: Service, conversation_id: str, push_id: str) -> dict[str, Any]:
    """Return a push once its tab has said what became of it."""
    path = f"{PREFIX}/{conversation_id}/push/{push_id}"
    wait_until(lambda: service.api.send("GET", path).body["state"] not in ("queued", "sent"))
    found: dict[str, Any] = service.api.send("GET", path).body
    return found


def test_module_hands_pushes_on_and_reports_them(
    service: Service, frontend: str, page: Page, talk: str
) -> None:
    page.goto(frontend)
    hold_session(
        page,
        service,
        talk,
        """const onPush = (push) => {
            given.push(push);
            if (push.text === "throw") throw new Error("no call ".repeat(2000));
            return push.text === "reject" ? Promise.reject("not now") : undefined;
        };
        follow({ url, conversationId, sessionId, onPush });""",
    )

    push(service, talk, pushId="p-1", text="Done", kind="contextual_update", contextId="x")
    push(service, talk, pushId="p-2", text="throw")
    push(service, talk, pushId="p-3", text="reject")

    assert what_became_of(service, talk, "p-1")["state"] == "delivered"
    thrown, rejected = (what_became_of(service, talk, push_id) for push_id in ("p-2", "p-3"))
    assert (thrown["state"], thrown["reason"][:8]) == ("failed", "no call ")
    assert (rejected["state"], rejected["reason"]) == ("failed", "not now")
    assert page.evaluate("given") == [
        {"pushId": "p-1", "kind": "contextual_update", "text": "Done", "contextId": "x"},
        {"pushId": "p-2", "kind": "user_message", "text": "throw", "contextId": None},
        {"pushId": "p-3", "kind": "user_message", "text": "reject", "contextId": None},
    ]


def test_module_reports_a_push_after_its_connection_broke(
    service: Service, frontend: str, page: Page, talk: str
) -> None:
    page.goto(frontend)
    hold_session(
        page,
        service,
        talk,
        """const onPush = ({ pushId }) => {
            given.push(pushId);
            return new Promise((resolve) => { window.finish = resolve; });
        };
        follow({ url, conversationId, sessionId, onPush });""",
    )
    push(service, talk, pushId="p-1", text="Done")
    page.wait_for_function("given.length === 1")

    with page.expect_websocket():
        os.kill(service.live_pid(), signal.SIGKILL)
        page.evaluate("finish()")

    assert what_became_of(service, talk, "p-1")["state"] == "delivered"
    assert page.evaluate("given") == ["p-1"]


def documented(page_of_docs: str, service: Service) -> str:
    """Return a page's only example in JavaScript, with the addresses of the service."""
    text = (PROJECT_DIR / "docs" / page_of_docs).read_text()
    (example,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    example = example.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
    return str(example).replace("127.0.0.1:8001", f"127.0.0.1:{service.live_port}")


def test_documented_socket_receives_frames(
    service: Service, frontend: str, page: Page, talk: str
) -> None:
    page.goto(frontend)
    page.evaluate("(id) => { window.id = id; }", talk)

    # The browser itself writes errors there, such as of an icon that is missing.
    with page.expect_console_message(lambda message: message.type == "log") as logged:
        page.add_script_tag(content=documented("live.md", service))

    assert logged.value.args[0].json_value()["type"] == "agent_conversation.snapshot"


def test_documented_tab_hands_pushes_on(
    service: Service, frontend: str, page: Page, talk: str
) -> None:
    page.goto(frontend)
    hold_session(page, service, talk, documented("callback-services.md", service))

    push(service, talk, pushId="p-1", text="Done")
    push(service, talk, pushId="p-2", text="It rains", kind="contextual_update")

    assert what_became_of(service, talk, "p-1")["state"] == "delivered"
    assert what_became_of(service, talk, "p-2")["state"] == "delivered"
    assert page.evaluate("given") == [["message", "Done"], ["update", "It rains"]]


def test_documented_example_follows(service: Service, frontend: str, page: Page, talk: str) -> None:
    example = documented("frontend.md", service)
    page.goto(frontend)
    page.evaluate(
        """(conversationId) => Object.assign(window, {
            conversationId, token: undefined, shown: [], labels: [],
            show: (conversation) => shown.push(conversation),
            label: (state) => labels.push(state),
        })""",
        talk,
    )
    page.add_script_tag(type="module", content=example.replace("following.stop();", ""))

    page.wait_for_function("shown.length === 1")
    assert page.evaluate("shown[0].messages[0].content") == "What is left for today?"
    assert page.evaluate("labels") == ["connecting", "live"]


def test_login_lets_a_page_follow(tmp_path: Path, chromium: Browser) -> None:
    service = Service(tmp_path, live=True, API_TOKENS="frontend:a-long-enough-token")
    service.start()
    try:
        login: Any = {"username": "anyone", "password": "a-long-enough-token"}
        with chromium.new_context(http_credentials=login) as context:
            page = watch(context.new_page(), service, "guarded")
            expect(page.get_by_role("status")).to_contain_text(
                "There is no such", timeout=OUTAGE_MS
            )
            body = {"conversationId": "guarded"}
            token = {"Authorization": "Bearer a-long-enough-token"}
            assert service.api.send("POST", f"{PREFIX}/new", body, token).status == 201
            expect(page.get_by_role("status")).to_have_text("Live")
            page.get_by_label("Message", exact=True).fill("Who may speak here")
            page.keyboard.press("Enter")
            expect(messages(page)).to_contain_text(["Who may speak here"])
            page.get_by_role("link", name="Newest conversations").click()
            expect(page.get_by_role("listitem")).to_contain_text(["Who may speak here"])
            assert "a-long-enough-token" not in page.content()
        with chromium.new_context() as context:
            response = context.request.get(f"http://127.0.0.1:{service.port}/watch/guarded")
            assert response.status == 401
            assert response.headers["www-authenticate"].startswith("Basic ")
    finally:
        service.stop()
