"""The pages of the API in a real browser."""

from playwright.sync_api import Page, Route, expect

from tests.agent_conversations.api.routes import PREFIX


def test_browser_creates_a_conversation_by_its_form(running_service: str, page: Page) -> None:
    page.goto(f"{running_service}{PREFIX}/new")
    page.get_by_role("button", name="POST", exact=True).click()

    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")
    expect(page.get_by_role("link", name="New message")).to_be_visible()


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
