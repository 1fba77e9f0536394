"""The pages on which conversations are watched, as they are served."""

import re

import pytest
from pytest_django.fixtures import Settings

from agent_conversations.access import Client, Tokens
from tests.agent_conversations.api.conftest import bearer
from tests.conftest import ServedClient


@pytest.mark.parametrize("path", ["/watch", "/watch/c-1"])
def test_watch_page_takes_nothing_from_elsewhere(browser: ServedClient, path: str) -> None:
    response = browser.get(path)

    policy = response.headers["Content-Security-Policy"]
    assert response.status_code == 200
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Frame-Options"] == "DENY"
    page = response.content.decode()
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize(
    ("live_url", "host", "address"),
    [
        ("", "127.0.0.1:8000", "ws://127.0.0.1:8001"),
        ("", "localhost", "ws://localhost:8001"),
        ("", "[::1]:8000", "ws://[::1]:8001"),
        ("wss://agent.example.com", "127.0.0.1", "wss://agent.example.com"),
    ],
)
def test_watch_page_finds_the_live_process(
    browser: ServedClient, settings: Settings, live_url: str, host: str, address: str
) -> None:
    settings.LIVE_URL, settings.LIVE_PORT = live_url, 8001

    response = browser.get("/watch/c-1", headers={"host": host})

    assert f'data-live="{address}/agent-conversations/api/ws"' in response.content.decode()
    assert f"connect-src 'self' {address};" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/watch/c 1", 400, "conversationId"),
        ("/watch/%3Cscript%3E", 400, "conversationId"),
        ("/watch/c-1/", 404, "no slash at their end"),
    ],
)
def test_watch_page_of_an_impossible_id_says_so(
    browser: ServedClient, path: str, status: int, words: str
) -> None:
    response = browser.get(path)

    assert response.status_code == status
    assert words in response.content.decode()
    assert "<script>" not in response.content.decode().replace("<script>\n", "")


def test_watch_page_is_behind_the_flag(browser: ServedClient, settings: Settings) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    response = browser.get("/watch")

    assert response.status_code == 503
    assert "switched off" in response.content.decode()


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize("path", ["/watch", "/watch/c-1"])
def test_watch_page_gives_a_ticket_for_a_token(browser: ServedClient, path: str) -> None:
    refused = browser.get(path)
    page = browser.get(path, headers=bearer("a-long-enough-token")).content.decode()

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    (ticket,) = re.findall(r'data-ticket="(.+)"', page)
    assert Tokens({"a-long-enough-token": Client("frontend")}).find(ticket)
    assert "a-long-enough-token" not in page
    assert browser.get(path, headers=bearer(ticket)).status_code == 200
