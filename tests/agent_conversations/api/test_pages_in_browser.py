"""The pages of the API in a real browser."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.agent_conversations.api.routes import PREFIX

PHONE_PATHS = [
    "/",
    f"{PREFIX}/list",
    f"{PREFIX}/phone-1",
    "/docs",
    "/redoc",
    "/watch",
    "/watch/phone-1",
]

ANOTHER_HOST = "127.0.0.2"
"""Of this machine, and none of those whose pages the service lets in where nothing is set."""


@pytest.fixture
def another_site() -> Iterator[str]:
    """A site with an empty page; gives its address."""

    class EmptyPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((ANOTHER_HOST, 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{ANOTHER_HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_browser_creates_a_conversation_by_its_form(running_service: str, page: Page) -> None:
    page.goto(f"{running_service}{PREFIX}/new")
    page.get_by_role("button", name="POST", exact=True).click()

    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")
    expect(page.get_by_role("link", name="New message")).to_be_visible()


def test_form_sent_before_the_scripts_waits_for_them(running_service: str, page: Page) -> None:
    kept_back = []

    def keep_back(route: Route) -> None:
        kept_back.append(route)

    page.route("**/jquery*.js", keep_back)
    with page.expect_request("**/jquery*.js"):
        page.goto(f"{running_service}{PREFIX}/new", wait_until="commit")
    page.get_by_role("button", name="POST", exact=True).click()
    for route in kept_back:
        route.continue_()

    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")


def test_pages_work_below_a_path_prefix(running_service: str, page: Page) -> None:
    outside = f"{running_service}/voice"
    not_found = []

    def take_prefix_off(route: Route) -> None:
        request = route.request
        headers = {**request.headers, "x-forwarded-prefix": "/voice"}
        route.continue_(url=request.url.replace(outside, running_service), headers=headers)

    def take_down(route: Route) -> None:
        not_found.append(route.request.url)
        route.abort()

    page.route(f"{outside}/**", take_prefix_off)
    page.route(lambda url: not url.startswith(outside), take_down)
    page.goto(f"{outside}/")
    page.get_by_role("link", name="New conversation").click()
    page.get_by_role("button", name="POST", exact=True).click()
    page.get_by_role("link", name="New message").click()
    page.get_by_role("button", name="POST", exact=True).click()
    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")
    page.get_by_role("link", name="Docs").click()
    page.locator("#operations-health-getLiveness").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    expect(page.locator(".live-responses-table").get_by_text('"status": "ok"')).to_be_visible()
    assert not_found == []


def test_page_of_another_site_creates_nothing(
    running_service: str, another_site: str, page: Page
) -> None:
    created = f"{running_service}{PREFIX}/new"
    page.goto(another_site)
    with page.expect_response(created) as answered:
        page.evaluate("url => fetch(url, {method: 'POST', mode: 'no-cors'})", created)

    assert answered.value.status == 403


def test_page_of_another_site_cannot_frame_the_buttons(
    running_service: str, another_site: str, page: Page
) -> None:
    listed = f"{running_service}{PREFIX}/list"
    page.goto(another_site)
    with page.expect_response(listed):
        page.set_content(f'<iframe src="{listed}"></iframe>')

    page.frames[1].wait_for_url("chrome-error://**")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "Every route"),
        ("/docs", "Create a conversation"),
        ("/redoc", "Create a conversation"),
        (f"{PREFIX}/list", "GET /agent-conversations/api/list"),
        ("/watch", "Newest conversations"),
    ],
)
def test_page_is_whole_under_its_content_security_policy(
    running_service: str, page: Page, path: str, shown: str
) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))

    page.goto(f"{running_service}{path}")

    expect(page.locator("body")).to_contain_text(shown, timeout=60_000)
    refused = [message for message in messages if "Content Security Policy" in message]
    # ReDoc's logo is another host's, and stays away.
    assert [message for message in refused if "logo" not in message] == []


def test_table_of_conversations_is_filtered_sorted_and_paged(
    running_service: str, page: Page
) -> None:
    api = f"{running_service}{PREFIX}"
    for number in range(5):
        body = {"conversationId": f"table-{number}", "agentId": "an agent"}
        assert page.request.post(f"{api}/new", data=body).status == 201
    words = {"role": "user", "content": "<b>What</b> is left for today?"}
    assert page.request.post(f"{api}/table-1/message", data=words).status == 201
    found = page.get_by_role("table").locator("tbody tr")
    ids = found.locator("td:first-child")

    page.goto(f"{api}/list?limit=2")
    page.get_by_label("Agent").fill("an agent")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_label("Agent")).to_have_value("an agent")
    expect(ids).to_have_text(["table-1", "table-4"])
    expect(found.first).to_contain_text("<b>What</b> is left for today?")

    page.get_by_role("link", name="Created").click()
    expect(ids).to_have_text(["table-4", "table-3"])
    page.get_by_role("link", name="Created").click()
    expect(ids).to_have_text(["table-0", "table-1"])
    page.get_by_role("link", name="Next").click()
    expect(ids).to_have_text(["table-2", "table-3"])
    expect(page.get_by_text("3 to 4 of 5")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="Previous").click()
    expect(ids).to_have_text(["table-2", "table-3"])

    page.get_by_role("link", name="table-3").click()
    expect(page.get_by_role("heading", name="Agent conversation")).to_be_visible()
    page.get_by_role("link", name="All conversations").click()
    page.get_by_role("link", name="New conversation").click()
    expect(page.get_by_role("heading", name="New agent conversation")).to_be_visible()


def test_refused_filter_can_be_mended(running_service: str, page: Page) -> None:
    page.goto(f"{running_service}{PREFIX}/list")
    page.get_by_label("From").fill("yesterday")
    page.get_by_role("button", name="Filter").click()

    expect(page.locator(".response-info")).to_contain_text("from must be ISO 8601")
    expect(page.get_by_label("From")).to_have_value("yesterday")


@pytest.mark.parametrize("typed", ['{"agentId": ["ü"]}', '{"agentId": '])
def test_form_keeps_what_was_typed_after_a_refusal(
    running_service: str, page: Page, typed: str
) -> None:
    page.goto(f"{running_service}{PREFIX}/new")
    page.get_by_role("textbox", name="Content:").fill(typed)
    page.get_by_role("button", name="POST", exact=True).click()

    expect(page.locator(".response-info")).to_contain_text("HTTP 400")
    expect(page.get_by_role("textbox", name="Content:")).to_have_value(typed)


def test_page_of_a_long_conversation_stays_short(running_service: str, page: Page) -> None:
    api = f"{running_service}{PREFIX}"
    page.request.post(f"{api}/new", data={"conversationId": "long"})
    for number in range(25):
        words = {"role": "user", "content": f"words number {number};"}
        assert page.request.post(f"{api}/long/message", data=words).status == 201

    page.goto(f"{api}/long")
    expect(page.get_by_text("the newest 20 of 25 messages")).to_be_visible()
    expect(page.locator(".response-info")).to_contain_text("words number 5;")
    expect(page.locator(".response-info")).not_to_contain_text("words number 4;")

    page.get_by_role("link", name="read the rest a page at a time").click()
    expect(page.locator(".response-info")).to_contain_text("words number 4;")


@pytest.mark.parametrize("path", PHONE_PATHS)
def test_page_is_no_wider_than_a_phone(running_service: str, chromium: Browser, path: str) -> None:
    with chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True) as phone:
        page = phone.new_page()
        body = {"conversationId": "phone-1", "agentId": "a" * 40}
        page.request.post(f"{running_service}{PREFIX}/new", data=body)

        page.goto(f"{running_service}{path}")

        expect(page.locator("h1, h2").first).to_be_visible(timeout=60_000)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
