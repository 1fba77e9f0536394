"""The response of an action: DRF's own, or the same one made faster."""

from typing import Any

import pytest
from django.http.response import HttpResponseBase
from pytest_django.fixtures import Settings
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from agent_conversations.api.responses import respond
from agent_conversations.api.views.base import ApiViewSet
from agent_conversations.api.views.health import Liveness
from config.urls import urlpatterns as service_urlpatterns
from sessions_store.wire.model import Encoded
from tests.agent_conversations.api.conftest import CLIENT_OBJECT, Api
from tests.conftest import ServedClient

BODIES: dict[str, tuple[Any, int]] = {
    "model": (Liveness(), 200),
    "json": ({"list": [CLIENT_OBJECT["text"], None], "empty": {}}, 201),
    "encoded": (Encoded[Any](b'{ "as": "stored" }'), 200),
    "nothing": (None, 204),
}
HEADERS = {"ETag": '"9f2c"', "Location": "/somewhere"}


class BothWaysViewSet(ApiViewSet):
    permission_classes = []

    @action(detail=True)
    def theirs(self, request: Request, conversation_id: str) -> Response:
        body, status = BODIES[conversation_id]
        return Response(body, status=status, headers=HEADERS)

    @action(detail=True)
    def ours(self, request: Request, conversation_id: str) -> HttpResponseBase:
        body, status = BODIES[conversation_id]
        return respond(request, body, status, HEADERS)


router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("bodies", BothWaysViewSet, "body")
urlpatterns = [*service_urlpatterns, *router.urls]


@pytest.mark.parametrize("body", BODIES)
def test_response_equals_the_one_of_django_rest_framework(
    client: ServedClient, settings: Settings, body: str
) -> None:
    settings.ROOT_URLCONF = __name__

    theirs, ours = (
        client.get(f"/bodies/{body}/{way}", headers={"X-Request-ID": "r-1"})
        for way in ("theirs", "ours")
    )

    assert ours.status_code == theirs.status_code == BODIES[body][1]
    assert ours.content == theirs.content
    assert ours.headers == theirs.headers
    assert ours.headers.items() >= HEADERS.items()


def test_response_without_a_body_has_no_content_type(api: Api, conversation: str) -> None:
    response = api.delete(conversation)

    assert response.status_code == 204
    assert "Content-Type" not in response.headers
