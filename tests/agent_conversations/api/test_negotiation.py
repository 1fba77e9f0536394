"""Who gets JSON and who a page: what ``Accept`` says."""

import pytest

from tests.agent_conversations.api.conftest import Api, assert_error
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/*",
        "text/plain",
        "application/xml, image/*;q=0.8",
        "text/*",
        "application/json, text/html;q=0.5",
        "text/html;q=0, */*",
        "image/gif, *; q=.2, */*; q=.2",
        'application/json; profile="a;b,c", ,',
    ],
)
def test_accept_without_html_by_name_gives_json(api: Api, accept: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}

    found, missing = api.get("/list", headers=headers), api.get("/c-1", headers=headers)

    assert found.json()["conversations"] == []
    assert_error(missing, "conversation_not_found")


@pytest.mark.parametrize(
    "accept",
    ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
)
def test_accept_with_html_by_name_gives_a_page(
    real_service: object, client: ServedClient, accept: str
) -> None:
    for path, status in ((f"{PREFIX}/list", 200), (f"{PREFIX}/c-1", 404)):
        response = client.get(path, headers={"Accept": accept})

        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("text/html")
        assert response.headers["Cache-Control"] == "no-store"
        assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize(
    "accept",
    [
        "application/json;q=0",
        "application/json;Q=0",
        "application/json; q=0.0, text/plain",
        "*/*;q=0",
        "text/html;q*=bogus''1",
        "text/html;q=x",
        "text/html;q=2",
        "text/html;q",
        'text/html;a="',
    ],
)
def test_accept_that_refuses_json_is_an_error_in_json(api: Api, accept: str) -> None:
    assert_error(api.get("/list", headers={"Accept": accept}), "not_acceptable")


def test_request_that_refuses_json_creates_nothing(api: Api) -> None:
    api.post("/new", headers={"Accept": "application/json;q=0"})

    assert api.get("/list").json()["pagination"]["total"] == 0


@pytest.mark.parametrize("accept", ["/", ";;;", "a/b/c", "\x00", ",", "q=0"])
def test_malformed_accept_does_not_crash(api: Api, accept: str) -> None:
    assert api.get("/list", headers={"Accept": accept}).status_code in (200, 406)
