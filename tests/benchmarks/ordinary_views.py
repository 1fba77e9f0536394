"""The same routes as one writes them first with Django REST framework, for comparison.

Serializers, the framework's own parser and renderer, Django's usual middleware; and what the
service does in Redis, through the same client. No tokens, flag, limits, metrics or request ids.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import override_settings
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSet

from tests.benchmarks.workplace import ORDINARY

MIDDLEWARE = [
    f"{__name__}.lead_to_ordinary_views",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

actions: dict[str, Callable[[], Any]] = {}
"""What a request does in Redis, by its case: its floor."""


class MessageSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(["user", "assistant", "system"])
    content = serializers.CharField()
    source = serializers.ChoiceField(["voice", "text"], required=False)  # type: ignore[assignment]  # a field of this name, not its own
    messageId = serializers.CharField(required=False)
    timestamp = serializers.DateTimeField(required=False)


class ConversationSerializer(serializers.Serializer[Any]):
    agentId = serializers.CharField(required=False)


class SessionSerializer(serializers.Serializer[Any]):
    sessionUrl = serializers.CharField()
    sessionId = serializers.CharField()
    metadata = serializers.JSONField(required=False)


class ConversationViewSet(ViewSet):
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def create(self, request: Request) -> Response:
        serializer = self._valid(ConversationSerializer, request)
        actions["create a conversation"]()
        return Response({"success": True, "conversation": serializer.data}, 201)

    def retrieve(self, request: Request, pk: str) -> Response:
        _, fields, messages = actions[_READS[pk]]()
        record = {
            name.decode(): value.decode()
            for name, value in zip(fields[::2], fields[1::2], strict=True)
        }
        return Response(
            {"conversationId": pk, "messages": [json.loads(one) for one in messages], **record}
        )

    @action(detail=True, methods=["post"])
    def message(self, request: Request, pk: str) -> Response:
        serializer = self._valid(MessageSerializer, request)
        actions["append to 10 messages"]()
        return Response({"success": True, "message": serializer.data}, 201)

    @action(detail=True, methods=["put"], url_path="messages/(?P<message_id>[^/]+)")
    def replace(self, request: Request, pk: str, message_id: str) -> Response:
        serializer = self._valid(MessageSerializer, request)
        actions["replace one of 100 messages"]()
        return Response({"success": True, "message": serializer.data})

    @action(detail=True, methods=["post"])
    def session(self, request: Request, pk: str) -> Response:
        serializer = self._valid(SessionSerializer, request)
        actions["register a session"]()
        return Response({"success": True, **serializer.data}, 201)

    def _valid(self, kind: type[serializers.Serializer[Any]], request: Request) -> Any:
        serializer = kind(data=request.data)
        serializer.is_valid(raise_exception=True)
        return serializer


_READS = {
    "bench-0": "read an empty conversation",
    "bench-100": "read 100 messages",
    "bench-1000": "read 1,000 messages",
}
_router = SimpleRouter(trailing_slash=False)
_router.register(ORDINARY.removeprefix("/"), ConversationViewSet, basename="ordinary")
urlpatterns = _router.urls


def lead_to_ordinary_views(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.urlconf = __name__
        return get_response(request)

    return middleware


def application(floors: Mapping[str, Callable[[], Any]]) -> Any:
    """Return a WSGI application of these views, whose requests do in Redis what a floor does."""
    actions.update(floors)
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        return WSGIHandler()
