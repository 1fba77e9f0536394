"""What a person sees in a browser: forms that can be sent, warnings, documentation from here."""

import html
import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings
from redis import Redis

from config.wsgi import application
from tests.agent_conversations.api.routes import PREFIX

PAGES = {
    "/list": 200,
    "/new": 405,
    "/c-1": 200,
    "/c-1/message": 405,
    "/c-1/messages": 200,
    "/c-1/session": 200,
}


@pytest.fixture
def browser(real_service: Redis, client: Client) -> Client:
    """A browser, and a conversation with a session to look at."""
    client.post(f"{PREFIX}/new", {"conversationId": "c-1"}, "application/json")
    session = {"sessionUrl": "wss://host/push?token=secret-token"}
    client.post(f"{PREFIX}/c-1/session", session, "application/json")
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    return Client(headers={"Accept": accept})


def read_page(browser: Client, path: str, status: int = 200) -> str:
    response = browser.get(path)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    return response.content.decode()


def find_example(page: str) -> Any:
    """Return what the page's form is filled in with."""
    found = re.search(r'<textarea name="_content"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert found, "the page has a form"
    return json.loads(html.unescape(found[1]))


class References(HTMLParser):
    """Every ``src`` and ``href`` of a page, with its element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, value) for name, value in attrs if value and name in ("src", "href")]

    def followed(self) -> list[str]:
        """Return what a person may click on."""
        return [reference for tag, reference in self.found if tag == "a"]

    def loaded(self) -> list[str]:
        """Return what a browser loads together with the page."""
        return [reference for tag, reference in self.found if tag != "a"]


@pytest.mark.parametrize(("path", "status"), PAGES.items())
def test_every_path_has_a_page(browser: Client, path: str, status: int) -> None:
    page = read_page(browser, PREFIX + path, status)

    assert "elevenlabs-agent" in page
    assert "secret-token" not in page


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/new", 405),
        ("PATCH", "/c-1", 200),
        ("POST", "/c-1/message", 405),
        ("POST", "/c-1/session", 200),
    ],
)
def test_the_form_is_filled_in_with_what_is_accepted_as_it_is(
    browser: Client, method: str, path: str, status: int
) -> None:
    example = find_example(read_page(browser, PREFIX + path, status))

    response = browser.generic(
        method,
        PREFIX + path,
        json.dumps(example),
        "application/json",
        headers={"Accept": "application/json"},
    )

    assert example
    assert response.status_code in (200, 201)


def test_every_operation_with_a_body_has_such_a_form(browser: Client) -> None:
    schema = browser.get("/openapi.json").json()
    operations = [one for path in schema["paths"].values() for one in path.values()]

    assert {one["operationId"] for one in operations if "requestBody" in one} == {
        "createAgentConversation",
        "updateAgentConversation",
        "addAgentMessage",
        "registerAgentSession",
    }, "try a new one's form in the test above"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/c-1", 200, "DELETE removes the conversation and all its messages for good."),
        ("/c-1", 200, "PATCH replaces the given fields whole"),
        ("/c-1/message", 405, "cannot be changed or taken back"),
        ("/c-1/session", 200, "POST replaces the session that is registered"),
        ("/c-1/session", 200, "DELETE forgets the session"),
    ],
)
def test_what_cannot_be_undone_is_marked(
    browser: Client, path: str, status: int, words: str
) -> None:
    page = read_page(browser, PREFIX + path, status)

    assert "Cannot be undone." in page
    assert words in page


@pytest.mark.parametrize(
    ("path", "status"),
    [("/list", 200), ("/new", 405), ("/c-1/messages", 200)],
)
def test_what_loses_nothing_is_not(browser: Client, path: str, status: int) -> None:
    assert "Cannot be undone." not in read_page(browser, PREFIX + path, status)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_the_feature_that_is_off_says_so(
    browser: Client, settings: Settings, path: str
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    page = html.unescape(read_page(browser, PREFIX + path, 503))

    assert "feature_disabled" in page
    assert '"enabled": false' in page


def test_words_of_a_conversation_are_shown_and_are_no_markup(browser: Client) -> None:
    message = {"role": "user", "content": "<script>alert(1)</script> ü"}
    browser.post(f"{PREFIX}/c-1/message", message, "application/json")

    page = read_page(browser, f"{PREFIX}/c-1")

    assert "&lt;script&gt;alert(1)&lt;/script&gt; ü" in page
    assert "<script>alert(1)" not in page


def test_the_index_leads_to_pages_that_are_there(browser: Client) -> None:
    links = References(read_page(browser, "/")).followed()

    statuses = {link: browser.get(link).status_code for link in links}

    assert len(links) >= 6
    assert statuses.pop(f"{PREFIX}/new") == 405, "its page has the form"
    assert set(statuses.values()) == {200}


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", f"{PREFIX}/list", f"{PREFIX}/c-1"])
def test_nothing_that_a_page_needs_comes_from_another_host(browser: Client, path: str) -> None:
    loaded = References(read_page(browser, path)).loaded()

    assert not [reference for reference in loaded if urlsplit(reference).netloc]


@pytest.mark.parametrize("path", ["/docs", "/redoc", f"{PREFIX}/list"])
def test_scripts_and_styles_are_files_of_this_service(browser: Client, path: str) -> None:
    loaded = References(read_page(browser, path)).loaded()
    files = [reference for reference in loaded if reference.startswith("/static/")]

    answers = {file: get_from_application(file) for file in files}

    assert [file for file in files if file.endswith(".js")]
    assert {status for status, _ in answers.values()} == {"200 OK"}
    assert all(length for _, length in answers.values())


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_shows_the_schema_of_this_service(browser: Client, path: str) -> None:
    assert "/openapi.json" in read_page(browser, path)


def get_from_application(path: str) -> tuple[str, int]:
    """Return the status and the length in bytes of what a WSGI server would send."""
    started: list[str] = []
    environ = RequestFactory().get(path).environ
    body = application(environ, lambda status, headers, exc_info=None: started.append(status))
    length = sum(map(len, body))
    close = getattr(body, "close", None)
    if close:
        close()
    return started[0], length


def test_pages_lead_from_the_list_to_everything_of_a_conversation(browser: Client) -> None:
    seen = {f"{PREFIX}/list"}
    pending = list(seen)
    while pending:
        page = browser.get(pending.pop()).content.decode()
        links = {link for link in References(page).followed() if link.startswith(PREFIX)}
        new = {link for link in links if "?" not in link} - seen
        seen |= new
        pending += new

    assert seen >= {PREFIX + path for path in PAGES if path != "/new"}


@pytest.mark.parametrize("path", ["/new", "/c-1/message"])
def test_a_path_that_only_takes_a_form_is_not_shown_as_a_failure(
    browser: Client, path: str
) -> None:
    page = read_page(browser, PREFIX + path, 405)

    assert "this path takes the form below" in page
    assert "method_not_allowed" not in page
