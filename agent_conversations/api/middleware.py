"""What every response has in common, those of other middleware included."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from sessions_store.redis import deadline

API_PREFIX = "/agent-conversations/api"

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def no_store(get_response: GetResponse) -> GetResponse:
    """Keep people's words out of every cache on the way."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.path_info.startswith(API_PREFIX):
            response.headers["Cache-Control"] = "no-store"
        return response

    return middleware


def redis_deadline(get_response: GetResponse) -> GetResponse:
    """Bound the time that a request may spend on Redis."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        deadline.begin()
        try:
            return get_response(request)
        finally:
            deadline.end()

    return middleware
