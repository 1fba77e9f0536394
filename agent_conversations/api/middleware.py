"""What every response has in common, those of other middleware included."""

from collections.abc import Callable
from typing import Any

from corsheaders import middleware as corsheaders
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agent_conversations.api import API_PREFIX
from sessions_store.redis import deadline

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def bound_requests(get_response: GetResponse) -> GetResponse:
    """Bound the time that a request may spend on Redis, and keep people's words out of caches."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        deadline.begin()
        try:
            response = get_response(request)
        finally:
            deadline.end()
        if request.path_info.startswith(API_PREFIX):
            headers = response.headers
            headers["Cache-Control"] = "no-store"
            # By hand: the framework's way to merge Vary takes 3 µs.
            headers["Vary"] = f"Accept, {headers['Vary']}" if "Vary" in headers else "Accept"
        return response

    return middleware


class CorsMiddleware(corsheaders.CorsMiddleware):
    """django-cors-headers, for requests of browsers: those with an Origin.

    The library looks at every request's headers, and adds ``Vary: origin`` to every response; those
    of the API are in no cache. This saves 15 to 20 µs of each request of a program.
    """

    def __call__(self, request: HttpRequest) -> Any:
        if "HTTP_ORIGIN" not in request.META and request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        return super().__call__(request)
