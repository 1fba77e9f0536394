"""The path of the WebSocket, which the live process serves at an address of its own."""

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.request import Request

from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.views.base import ApiViewSet
from agent_conversations.errors import UpgradeRequiredError


class LiveViewSet(ApiViewSet):
    """Where a conversation can be followed: not here, but at the address of the live process."""

    @operation(
        "followAgentConversation",
        tag="conversations",
        summary="Follow a conversation: a WebSocket, which another process serves",
        responses={},
        errors=[UpgradeRequiredError],
    )
    @action(detail=False, url_path="ws", url_name="ws", name="Live")
    def follow(self, request: Request) -> HttpResponseBase:
        # Without an Upgrade header, which WSGI (PEP 3333) leaves to the server.
        raise UpgradeRequiredError
