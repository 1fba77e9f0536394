"""What a person sees in a browser: forms that can be sent, warnings, documentation from here."""

import html
import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from tests.agent_conversations.api.conftest import Api
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient

pytestmark = pytest.mark.usefixtures("conversation_with_session")

MESSAGE_PAGE = "/c-1/messages/m-1"
PAGES = {
    "/list": 200,
    "/new": 405,
    "/c-1": 200,
    "/c-1/message": 405,
    "/c-1/messages": 200,
    MESSAGE_PAGE: 200,
    "/c-1/session": 200,
    "/c-1/push": 405,
}


@pytest.fixture
def conversation_with_session(api: Api) -> None:
    """Store a conversation with a message, and its session, to look at."""
    api.post("/new", {"conversationId": "c-1"})
    api.post("/c-1/message", {"role": "user", "content": "Hello", "messageId": "m-1"})
    session = {"sessionUrl": "wss://host/push?token=secret-token", "sessionId": "s-1"}
    api.post("/c-1/session", session)


def read_page(browser: ServedClient, path: str, status: int = 200) -> str:
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
def test_every_path_has_a_page(browser: ServedClient, path: str, status: int) -> None:
    page = read_page(browser, PREFIX + path, status)

    assert "elevenlabs-agent" in page
    assert "secret-token" not in page


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/list", 200, "Agent conversations"),
        ("/new", 405, "New agent conversation"),
        ("/c-1", 200, "Agent conversation"),
        ("/c-1/messages", 200, "Messages"),
        ("/c-1/messages/m-1", 200, "Message"),
        ("/c-1/session", 200, "Agent session"),
    ],
)
def test_page_has_the_title_of_its_action(
    browser: ServedClient, path: str, status: int, title: str
) -> None:
    assert f"<h1>{title}</h1>" in read_page(browser, PREFIX + path, status)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/new", 405),
        ("PATCH", "/c-1", 200),
        ("POST", "/c-1/message", 405),
        ("POST", "/c-1/messages", 200),
        ("PUT", "/c-1/messages/m-1", 200),
        ("POST", "/c-1/session", 200),
        ("POST", "/c-1/push", 405),
    ],
)
def test_form_is_filled_in_with_an_example_that_is_accepted(
    browser: ServedClient, method: str, path: str, status: int
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
    assert response.status_code in (200, 201, 202)


def test_form_of_a_put_has_what_it_would_replace(browser: ServedClient) -> None:
    path = f"{PREFIX}/c-1/messages/m-1"
    message = browser.get(path, headers={"Accept": "application/json"}).json()

    assert find_example(read_page(browser, path, 200)) == message


def test_form_of_a_patch_has_what_it_would_replace(browser: ServedClient) -> None:
    own = {"agentId": "a", "metadata": {"title": "Mine", "list": []}}
    browser.patch(f"{PREFIX}/c-1", own, "application/json", headers={"Accept": "application/json"})

    assert find_example(read_page(browser, f"{PREFIX}/c-1")) == own


@pytest.mark.parametrize("path", ["/c-1", "/list", "/c-1/messages"])
def test_page_shows_the_beginnings_of_long_texts(
    browser: ServedClient, api: Api, path: str
) -> None:
    for _ in range(3):
        message = {"role": "user", "content": "w" * 900_000, "originalContent": "o" * 100_000}
        assert api.post("/c-1/message", message).status_code == 201

    page = read_page(browser, PREFIX + path)

    assert "(of 900,000 characters)" in page
    assert "(of 100,000 characters)" in page
    assert len(page) < 100_000


def test_every_operation_with_a_body_has_such_a_form(browser: ServedClient) -> None:
    schema = browser.get("/openapi.json").json()
    operations = [one for path in schema["paths"].values() for one in path.values()]

    assert {one["operationId"] for one in operations if "requestBody" in one} == {
        "createAgentConversation",
        "updateAgentConversation",
        "addAgentMessage",
        "addAgentMessages",
        "putAgentMessage",
        "registerAgentSession",
        "pushToAgent",
    }, "try a new one's form in the test above"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/c-1", 200, "DELETE removes the conversation and all its messages for good."),
        ("/c-1", 200, "PATCH replaces the given fields whole"),
        ("/c-1/message", 405, "cannot be taken back"),
        ("/c-1/session", 200, "POST replaces the session that is registered"),
        ("/c-1/session", 200, "DELETE forgets the session"),
    ],
)
def test_form_whose_effect_cannot_be_undone_says_so(
    browser: ServedClient, path: str, status: int, words: str
) -> None:
    page = read_page(browser, PREFIX + path, status)

    assert "Cannot be undone." in page
    assert words in page


@pytest.mark.parametrize(
    ("path", "status"),
    [("/list", 200), ("/new", 405)],
)
def test_form_that_loses_nothing_has_no_warning(
    browser: ServedClient, path: str, status: int
) -> None:
    assert "Cannot be undone." not in read_page(browser, PREFIX + path, status)


@pytest.mark.parametrize("path", PAGES)
def test_page_of_a_switched_off_feature_says_so(
    browser: ServedClient, settings: Settings, path: str
) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    page = html.unescape(read_page(browser, PREFIX + path, 503))

    assert "feature_disabled" in page
    assert '"enabled": false' in page


def test_words_of_a_conversation_are_shown_as_text(browser: ServedClient) -> None:
    message = {"role": "user", "content": "<script>alert(1)</script> ü"}
    browser.post(f"{PREFIX}/c-1/message", message, "application/json")

    page = read_page(browser, f"{PREFIX}/c-1")

    assert "&lt;script&gt;alert(1)&lt;/script&gt; ü" in page
    assert "<script>alert(1)" not in page


def test_index_leads_to_pages_that_exist(browser: ServedClient) -> None:
    links = References(read_page(browser, "/")).followed()

    statuses = {link: browser.get(link).status_code for link in links}

    assert len(links) >= 6
    assert statuses.pop(f"{PREFIX}/new") == 405, "its page has the form"
    assert set(statuses.values()) == {200}


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", f"{PREFIX}/list", f"{PREFIX}/c-1"])
def test_page_loads_nothing_from_another_host(browser: ServedClient, path: str) -> None:
    loaded = References(read_page(browser, path)).loaded()

    assert not [reference for reference in loaded if urlsplit(reference).netloc]


@pytest.mark.parametrize("path", ["/docs", "/redoc", f"{PREFIX}/list"])
def test_scripts_and_styles_are_files_of_this_service(browser: ServedClient, path: str) -> None:
    loaded = References(read_page(browser, path)).loaded()
    files = [reference for reference in loaded if reference.startswith("/static/")]

    responses = [browser.get(file) for file in files]

    assert [file for file in files if file.endswith(".js")]
    assert {response.status_code for response in responses} == {200}
    assert all(response.content for response in responses)


@pytest.mark.parametrize("path", ["/docs?script=", "/redoc"])
def test_documentation_shows_the_schema_of_this_service(browser: ServedClient, path: str) -> None:
    assert "/openapi.json" in browser.get(path).content.decode()


def test_pages_lead_from_the_list_to_everything_else(browser: ServedClient) -> None:
    seen = {f"{PREFIX}/list"}
    pending = list(seen)
    while pending:
        page = browser.get(pending.pop()).content.decode()
        links = {link for link in References(page).followed() if link.startswith(PREFIX)}
        new = {link for link in links if "?" not in link} - seen
        seen |= new
        pending += new

    # A message's page is reached by its address: a page of messages is JSON.
    assert seen >= {PREFIX + path for path in PAGES} - {PREFIX + "/new", PREFIX + MESSAGE_PAGE}


@pytest.mark.parametrize("path", ["/new", "/c-1/message"])
def test_path_that_only_takes_a_form_shows_no_failure(browser: ServedClient, path: str) -> None:
    page = read_page(browser, PREFIX + path, 405)

    assert "this path takes the form below" in page
    assert "method_not_allowed" not in page


def test_page_shows_stored_json_that_repeats_a_key(browser: ServedClient, api: Api) -> None:
    key = "elevenlabs:conversation:c-1"
    message = (
        '{"role":"user","content":"first","content":"second","messageId":"m-1",'
        '"timestamp":"2026-11-23T16:20:45.123Z"}'
    )
    api.redis.lset(f"{{{key}}}:messages", 0, message)
    api.redis.hset(key, "messageBytes", str(len(message)))

    assert "second" in read_page(browser, PREFIX + "/c-1")


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", f"{PREFIX}/list", f"{PREFIX}/c-1"])
def test_every_address_of_a_page_has_the_forwarded_prefix(
    browser: ServedClient, settings: Settings, path: str
) -> None:
    settings.TRUSTED_PROXIES = 1

    page = browser.get(path, headers={"X-Forwarded-Prefix": "/voice"}).content.decode()

    paths = {value for _, value in References(page).found if value.startswith("/")}
    assert paths
    assert {value for value in paths if not value.startswith("/voice/")} == set()
    assert '"/openapi.json' not in page


def test_schema_names_the_forwarded_prefix_as_its_server(
    client: ServedClient, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = 1

    schema = client.get("/openapi.json", headers={"X-Forwarded-Prefix": "/voice"}).json()

    assert schema["servers"] == [{"url": "/voice"}]
    assert "servers" not in client.get("/openapi.json").json()
