"""What the API's viewsets have in common, and the short way of a program's request through them.

Both leave out what this API has none of (versions, suffixes of a format) and are authenticated when
a permission first asks for the user. Beyond that a browser's request takes Django REST Framework's
own way; a program's differs in what it leaves out, never in what it checks.
docs/decisions/0006-where-the-time-goes.md has what each saves.
"""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from agent_conversations.api.authentication import TokenAuthentication
from agent_conversations.api.negotiation import JsonUnlessBrowser, wants_nothing_but_json
from agent_conversations.api.parsers import JsonParser
from agent_conversations.api.renderers import JsonRenderer

# None of these has a state, so one of each serves all requests.
_JSON = JsonRenderer()
_PARSERS = [JsonParser()]
_AUTHENTICATORS = [TokenAuthentication()]
_NEGOTIATOR = JsonUnlessBrowser()


class ApiViewSet(ViewSet):
    # Without OPTIONS, which the contract does not have; the CORS middleware answers a preflight.
    http_method_names = ["get", "head", "post", "patch", "delete"]
    lookup_url_kwarg = "conversation_id"
    format_kwarg = None  # no suffixes such as .json

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        self.action = self.action_map.get((request.method or "").lower(), "")
        return Request(
            request, parsers=_PARSERS, authenticators=_AUTHENTICATORS, negotiator=_NEGOTIATOR
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        negotiated = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = negotiated
        self.check_permissions(request)
        self.check_throttles(request)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        if not isinstance(response, Response):
            return response
        response.headers.setdefault("Vary", "Accept")
        return super().finalize_response(request, response, *args, **kwargs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        if wants_nothing_but_json(request.META.get("HTTP_ACCEPT", "")):
            return _JSON, _JSON.media_type
        return super().perform_content_negotiation(request, force)

    @property
    def default_response_headers(self) -> dict[str, str]:
        # Allow is for a 405 (RFC 9110, 10.2.1), which api/errors.py gives it; Vary is given below.
        return {}

    def handle_exception(self, exc: Exception) -> Response:
        # api/errors.py makes the answer; a program's takes the short way too.
        response = super().handle_exception(exc)
        if self._for_browser():
            return response
        del response["Content-Type"]  # of a page that was not made yet
        return answer(self.request, response.data, response.status_code, response.headers)  # type: ignore[return-value]  # either is fine with dispatch()

    def _for_browser(self) -> bool:
        return getattr(self.request, "accepted_renderer", _JSON) is not _JSON


def answer(
    request: Request, body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponseBase:
    """Return the answer of a view: bytes for a program, what a page is made of for a browser."""
    if getattr(request, "accepted_renderer", _JSON) is not _JSON:
        return Response(body, status=status, headers=headers)
    if body is None:
        response = HttpResponse(status=status, headers={"Vary": "Accept"})
        del response.headers["Content-Type"]
        return response
    return HttpResponse(
        _JSON.render(body),
        status=status,
        headers={"Content-Type": _JSON.media_type, "Vary": "Accept", **(headers or {})},
    )
