"""Pages for people: the one to start from, and those on which a conversation is watched."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import render
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from agent_conversations import API_PREFIX
from agent_conversations.access import Scope, ticket_of
from agent_conversations.api.browsable import BrowsableRenderer
from agent_conversations.api.negotiation import FirstRenderer
from agent_conversations.api.renderers import JsonRenderer
from agent_conversations.types import ViewerQuery


class IndexView(APIView):
    """A page to click through from. Never behind the flag."""

    permission_classes = []
    authentication_classes = []
    http_method_names = ["get", "head"]
    content_negotiation_class = FirstRenderer  # it exists in one form only

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        enabled = settings.ELEVENLABS_AGENT_ENABLED
        return render(request, "agent_conversations/index.html", {"enabled": enabled})


class _WatchPage(APIView):
    scope: Scope = "read"
    http_method_names = ["get", "head"]
    content_negotiation_class = FirstRenderer
    renderer_classes = [BrowsableRenderer, JsonRenderer]  # of errors; it lets a browser log in


class WatchListView(_WatchPage):
    """The newest conversations, as they come and change."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return _render(request, "agent_conversations/watch_list.html", {})


class WatchView(_WatchPage):
    """A conversation, as it goes on."""

    @extend_schema(exclude=True)
    def get(self, request: Request, conversation_id: str) -> HttpResponse:
        live_url = _live_url(request)
        address = urlsplit(live_url)
        context = {
            "conversation_id": ViewerQuery.parse(
                {"conversationId": conversation_id}
            ).conversation_id,
            "live_url": live_url,
        }
        origin = f"{address.scheme}://{address.netloc}"
        return _render(request, "agent_conversations/watch.html", context, origin)


def _render(
    request: Request, template: str, context: dict[str, str], live_origin: str = ""
) -> HttpResponse:
    context["api"] = reverse("agent-conversation-list").removesuffix("/list")
    context["ticket"] = ticket_of(str(request.auth)) if request.auth else ""
    response = render(request, template, context)
    # Stricter than that of the other pages, whose libraries style their elements one by one.
    response["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        f"connect-src 'self' {live_origin}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response["Cache-Control"] = "no-store"
    return response


def _live_url(request: Request) -> str:
    """Return the address of the live socket, as this browser reaches it.

    Where a proxy adds TLS, LIVE_URL is set.
    """
    if settings.LIVE_URL:
        return str(settings.LIVE_URL) + reverse("live-ws")
    domain, _ = split_domain_port(request.get_host())
    return f"ws://{domain}:{settings.LIVE_PORT}{API_PREFIX}/ws"
