"""The pages of the API in a real browser."""

from playwright.sync_api import Page, expect

from tests.agent_conversations.api.routes import PREFIX


def test_browser_creates_a_conversation_by_its_form(running_service: str, page: Page) -> None:
    page.goto(f"{running_service}{PREFIX}/new")
    page.get_by_role("button", name="POST", exact=True).click()

    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")
    expect(page.get_by_role("link", name="New message")).to_be_visible()
