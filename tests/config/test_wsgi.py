"""The WSGI application that is served: Django's own way, with nothing of ours in front of it."""

import json
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import RequestFactory
from pytest_django.fixtures import Settings
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSet

from config.urls import urlpatterns as service_urlpatterns
from config.wsgi import application
from tests.agent_conversations.api.routes import PREFIX

pytestmark = pytest.mark.usefixtures("real_service")


class NewcomerViewSet(ViewSet):
    @action(detail=False, url_path="greeting")
    def greet(self, request: Request) -> Response:
        return Response({"hello": "world"})


router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("newcomer", NewcomerViewSet, "newcomer")
urlpatterns = [*service_urlpatterns, *router.urls]


def serve(method: str, url: str, **environ: str) -> tuple[str, dict[str, str], bytes]:
    """Return status line, headers and body, as a WSGI server gets them."""
    environ = {**RequestFactory().generic(method, url).environ, **environ}
    started: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        started.append((status, dict(headers)))

    body = b"".join(application(environ, start_response))
    return *started[0], body


def test_new_action_returning_a_response_works_as_served(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__

    status, headers, body = serve("GET", "/newcomer/greeting")

    assert (status, json.loads(body)) == ("200 OK", {"hello": "world"})
    assert headers["Content-Type"] == "application/json"


def test_location_keeps_the_script_name() -> None:
    url = f"{PREFIX}/new"

    _, headers, _ = serve("POST", url, SCRIPT_NAME="/behind", PATH_INFO=url)

    assert headers["Location"].startswith(f"/behind{PREFIX}/agent-")


def test_host_name_is_checked_at_every_request() -> None:
    for _ in range(2):
        for host, status in {
            "testserver": "200 OK",
            "testserver:99": "200 OK",
            "elsewhere.example": "400 Bad Request",
            "testserver@elsewhere.example": "400 Bad Request",
        }.items():
            assert serve("GET", f"{PREFIX}/list", HTTP_HOST=host)[0] == status


def test_host_name_is_checked_by_the_current_settings(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["elsewhere.example"]

    assert serve("GET", f"{PREFIX}/list")[0] == "400 Bad Request"
    assert serve("GET", f"{PREFIX}/list", HTTP_HOST="elsewhere.example")[0] == "200 OK"
    assert django_settings.ALLOWED_HOSTS == ["elsewhere.example"]
