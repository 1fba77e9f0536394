"""Health, for load balancers and people. Never behind the feature flag."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agent_conversations.api.exceptions import method_not_allowed
from agent_conversations.api.schema import describe_health
from agent_conversations.services import server_problems
from sessions_store.errors import WritesRefusedError
from sessions_store.redis.server_checks import REFUSES_WRITES


class _OpenView(APIView):
    permission_classes = []
    authentication_classes = []
    http_method_names = ["get", "head"]


class LiveView(_OpenView):
    """Whether the process answers. Does not ask Redis."""

    @extend_schema(**describe_health("getLiveness", needs_redis=False))
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class ReadyView(_OpenView):
    """Whether the service can do its work: Redis answers, and takes writes.

    ``advice`` names what makes the server unfit to keep conversations, such as an eviction policy.
    """

    @extend_schema(**describe_health("getReadiness", needs_redis=True))
    def get(self, request: Request) -> Response:
        advice = {one.code: one.message for one in server_problems()}
        if REFUSES_WRITES & advice.keys():
            raise WritesRefusedError(advice)
        body = {"status": "ok", "redis": "ok", "enabled": settings.ELEVENLABS_AGENT_ENABLED}
        return Response(body | ({"advice": advice} if advice else {}))


class HealthView(ReadyView):
    """The same as ``/health/ready``."""

    @extend_schema(**describe_health("getHealth", needs_redis=True))
    def get(self, request: Request) -> Response:
        return super().get(request)


def index(request: HttpRequest) -> HttpResponse:
    """A page to click through from."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed(request, "GET, HEAD")
    return render(
        request,
        "agent_conversations/index.html",
        {"enabled": settings.ELEVENLABS_AGENT_ENABLED},
    )
