"""The path of the WebSocket, which the live process serves at an address of its own."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.views import APIView

from agent_conversations.api.negotiation import FirstRenderer
from agent_conversations.api.openapi import examples
from agent_conversations.api.openapi.asyncapi import to_yaml
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.views.base import ApiViewSet
from agent_conversations.errors import UpgradeRequiredError
from agent_conversations.frames import FRAMES, type_of
from agent_conversations.types import ViewerQuery

_FRAMES: Any = {type_of(frame): frame for frame in FRAMES}  # WireModelExtension takes them
_EXAMPLE = "agent_conversation.updated"
_FRAME = PolymorphicProxySerializer("LiveFrame", _FRAMES, "type")


class LiveViewSet(ApiViewSet):
    """Where a conversation can be followed: not here, but at the address of the live process."""

    @operation(
        "followAgentConversation",
        tag="conversations",
        scope="read",
        summary="Follow a conversation: a WebSocket, which another process serves",
        responses={101: _FRAME},
        example={"type": _EXAMPLE, **examples.FRAMES[_EXAMPLE]},
        query=ViewerQuery,
        errors=[UpgradeRequiredError],
    )
    @action(detail=False, url_path="ws", url_name="ws", name="Live")
    def follow(self, request: Request) -> HttpResponseBase:
        # Without an Upgrade header, which WSGI (PEP 3333) leaves to the server.
        raise UpgradeRequiredError


class AsyncApiView(APIView):
    """The description of the socket. Never behind the flag, as that of the API."""

    permission_classes = []
    authentication_classes = []
    http_method_names = ["get", "head"]
    content_negotiation_class = FirstRenderer

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(to_yaml(), content_type="application/yaml")
