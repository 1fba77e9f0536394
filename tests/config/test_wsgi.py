"""The WSGI application that is served, called as a server calls it."""

from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django.fixtures import Settings
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSet

from config.urls import urlpatterns as service_urlpatterns
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient

pytestmark = pytest.mark.usefixtures("real_service")


class NewcomerViewSet(ViewSet):
    @action(detail=False, url_path="greeting")
    def greet(self, request: Request) -> Response:
        return Response({"hello": "world"})


router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("newcomer", NewcomerViewSet, "newcomer")
urlpatterns = [*service_urlpatterns, *router.urls]


def test_new_action_returning_a_response_works_as_served(
    client: ServedClient, settings: Settings
) -> None:
    settings.ROOT_URLCONF = __name__

    response = client.get("/newcomer/greeting")

    assert (response.status_code, response.reason_phrase) == (200, "OK")
    assert response.json() == {"hello": "world"}
    assert response.headers["Content-Type"] == "application/json"


def test_body_in_chunks_is_read(client: ServedClient) -> None:
    environ: dict[str, Any] = {
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": BytesIO(b'{"conversationId": "c-1"}'),
    }

    response = client.generic("POST", f"{PREFIX}/new", **environ)

    assert response.json()["conversationId"] == "c-1"


def test_location_keeps_the_script_name(client: ServedClient) -> None:
    response = client.generic("POST", f"{PREFIX}/new", SCRIPT_NAME="/behind")

    assert response.headers["Location"].startswith(f"/behind{PREFIX}/agent-")


def test_location_has_the_prefix_of_a_trusted_proxy(
    client: ServedClient, settings: Settings
) -> None:
    headers = {"X-Forwarded-Prefix": "/voice/agents/"}
    untrusted = client.generic("POST", f"{PREFIX}/new", headers=headers)
    settings.TRUSTED_PROXIES = 1
    trusted = client.generic("POST", f"{PREFIX}/new", headers=headers)

    assert untrusted.headers["Location"].startswith(f"{PREFIX}/agent-")
    assert trusted.headers["Location"].startswith(f"/voice/agents{PREFIX}/agent-")


@pytest.mark.parametrize(
    "prefix",
    ["/", "voice", "//elsewhere.example", "https://elsewhere.example", "/..", '/"', "/a b"],
)
def test_forwarded_prefix_that_is_no_path_is_ignored(
    client: ServedClient, settings: Settings, prefix: str
) -> None:
    settings.TRUSTED_PROXIES = 1

    response = client.generic("POST", f"{PREFIX}/new", headers={"X-Forwarded-Prefix": prefix})

    assert response.headers["Location"].startswith(f"{PREFIX}/agent-")


def test_host_name_is_checked_at_every_request(client: ServedClient) -> None:
    for _ in range(2):
        for host, status in {
            "testserver": 200,
            "testserver:99": 200,
            "elsewhere.example": 400,
            "testserver@elsewhere.example": 400,
        }.items():
            assert client.get(f"{PREFIX}/list", headers={"Host": host}).status_code == status


def test_host_name_is_checked_by_the_current_settings(
    client: ServedClient, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["elsewhere.example"]
    elsewhere = {"Host": "elsewhere.example"}

    assert client.get(f"{PREFIX}/list").status_code == 400
    assert client.get(f"{PREFIX}/list", headers=elsewhere).status_code == 200
    assert django_settings.ALLOWED_HOSTS == ["elsewhere.example"]
