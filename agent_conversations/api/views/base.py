"""What the viewsets have in common."""

from rest_framework.request import Request
from rest_framework.viewsets import ViewSet


class ApiViewSet(ViewSet):
    """Serves the paths below ``/{conversationId}``. OPTIONS is left to the CORS middleware."""

    lookup_url_kwarg = "conversation_id"
    http_method_names = [name for name in ViewSet.http_method_names if name != "options"]

    @property
    def default_response_headers(self) -> dict[str, str]:
        # Allow is for a 405 (RFC 9110, 15.5.6), and api/exceptions.py adds it there; to make it for
        # every response takes 8 µs. Vary is every API response's: api/middleware.py.
        return {}

    def perform_authentication(self, request: Request) -> None:
        """Leave authentication to the first permission that asks for the user.

        Where no tokens are configured, none does: that saves 8 to 10 µs a request.
        """
