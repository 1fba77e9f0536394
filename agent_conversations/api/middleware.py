"""What every response has in common, those of other middleware included."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from corsheaders import middleware as corsheaders
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response

from agent_conversations import API_PREFIX
from agent_conversations.api.exceptions import (
    error_view,
    header_too_long,
)
from agent_conversations.api.media_types import (
    MAX_HEADER_CHARACTERS,
    NO_LENGTH,
    TOO_LONG,
    UNREADABLE,
)
from agent_conversations.api.origins import is_of_another_site
from agent_conversations.errors import OriginNotAllowedError
from agent_conversations.served_requests import current
from sessions_store.errors import InvalidRequestError
from sessions_store.redis import deadline

GetResponse = Callable[[HttpRequest], HttpResponseBase]


PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; worker-src blob:; "
        # Swagger UI, ReDoc and the browsable API style their elements one by one.
        "style-src 'self' 'unsafe-inline'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of pages, which have buttons that delete: no other site's page frames them, and no script of
another's runs in them. Not of JSON: each header takes 1 to 2 µs."""

_FOR_ANY_HOST = ("/health", "/metrics")
_UNCACHED = (API_PREFIX, "/metrics")


def bound_requests(get_response: GetResponse) -> GetResponse:
    """Bound the time that a request may spend on Redis, and complete response headers.

    People's words stay out of caches, browsers protect pages, and no body goes out in chunks.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        deadline.begin()
        try:
            response = get_response(request)
        finally:
            deadline.end()
        if served := current.get():
            served.match = request.resolver_match
        if request.path_info.startswith(_UNCACHED):
            headers = response.headers
            headers["Cache-Control"] = "no-store"
            # By hand: the framework's way to merge Vary takes 3 µs.
            headers["Vary"] = f"Accept, {headers['Vary']}" if "Vary" in headers else "Accept"
            is_page = isinstance(response, Response) and response.accepted_media_type == "text/html"
        else:
            is_page = True
        if is_page:
            for name, value in PAGE_HEADERS.items():
                response.setdefault(name, value)  # a page may have a policy of its own
        if isinstance(response, HttpResponse):  # and no stream, such as a static file
            response.headers["Content-Length"] = str(len(response.content))
        return response

    return middleware


def check_host(get_response: GetResponse) -> GetResponse:
    """Refuse other hosts than ``ALLOWED_HOSTS``; not for health and metrics.

    A load balancer's probe, or Prometheus, comes by an address that nobody has listed.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(_FOR_ANY_HOST):
            if len(request.META.get("HTTP_HOST", "")) > MAX_HEADER_CHARACTERS:
                raise DisallowedHost
            request.get_host()
        return get_response(request)

    return middleware


class CorsMiddleware(corsheaders.CorsMiddleware):
    """django-cors-headers, which also refuses the writes of pages that CORS does not let in.

    CORS alone keeps such a page from reading a response: a POST without a body needs no preflight.

    The library looks at every request's headers, and adds ``Vary: origin`` to every response; those
    of the API are in no cache. Requests without an Origin go around it: that saves 15 to 20 µs of
    each request of a program.
    """

    def __call__(self, request: HttpRequest) -> Any:
        headers = request.META
        if len(headers.get("HTTP_ORIGIN", "")) > MAX_HEADER_CHARACTERS:
            return error_view(request, header_too_long("Origin"))
        if request.path_info.startswith(API_PREFIX) and "HTTP_ORIGIN" not in headers:
            if "HTTP_SEC_FETCH_SITE" not in headers or not self._is_refused(request):
                return self.get_response(request)
            return error_view(request, OriginNotAllowedError())
        return super().__call__(request)

    def check_preflight(self, request: HttpRequest) -> HttpResponseBase | None:
        response: HttpResponseBase | None = super().check_preflight(request)
        if response is None and self._is_refused(request):
            return error_view(request, OriginNotAllowedError())
        return response

    def _is_refused(self, request: HttpRequest) -> bool:
        return (
            request.method not in SAFE_METHODS
            and is_of_another_site(request)
            and not self._is_allowed(request.META.get("HTTP_ORIGIN", ""))
        )

    def _is_allowed(self, origin: str) -> bool:
        try:
            return self.origin_found_in_white_lists(origin, urlsplit(origin))
        except ValueError:
            return False  # no URL


def refuse_unreadable_types(get_response: GetResponse) -> GetResponse:
    """Refuse what ``config.wsgi`` found in ``Content-Type``; below CORS, so that pages see it."""
    errors: Mapping[str | None, Exception] = {
        TOO_LONG: header_too_long("Content-Type"),
        UNREADABLE: UnsupportedMediaType(UNREADABLE),
        NO_LENGTH: InvalidRequestError("A body in HTTP/1.0 must have a Content-Length"),
    }

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.content_type in errors:
            return error_view(request, errors[request.content_type])
        return get_response(request)

    return middleware
