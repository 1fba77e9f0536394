"""What every answer has in common, errors of other middleware included."""

from collections.abc import Callable

from corsheaders.middleware import CorsMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from sessions_store import deadline

API_PREFIX = "/agent-conversations/api"

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def no_store(get_response: GetResponse) -> GetResponse:
    """Keep people's words out of every cache on the way."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.path_info.startswith(API_PREFIX):
            response.headers["Cache-Control"] = "no-store"
        return response

    return answer


def answer_in_time(get_response: GetResponse) -> GetResponse:
    """Bound the time that a request may spend on Redis."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        deadline.begin()
        try:
            return get_response(request)
        finally:
            deadline.end()

    return answer


class CorsWhereAsked(CorsMiddleware):
    """django-cors-headers, for requests that a browser sends on behalf of another origin.

    The library takes all headers of each request apart; most have no Origin, and API answers, which
    differ by it, are in no cache.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" in request.META:
            return super().__call__(request)  # type: ignore[return-value]  # not the asynchronous one
        return self.get_response(request)  # type: ignore[return-value]  # likewise
