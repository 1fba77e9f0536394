"""What every answer has in common, errors of other middleware included."""

from collections.abc import Callable
from functools import lru_cache

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware

from sessions_store.redis import deadline

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


class HostCheckedOnce(CommonMiddleware):
    """Django's check of the host name (and its Content-Length), without the repetition.

    The same few host names come with every request; Django takes each apart every time.
    """

    def process_request(self, request: HttpRequest) -> None:
        host = request.META.get("HTTP_HOST", "")
        if not _is_allowed(host, tuple(settings.ALLOWED_HOSTS)):
            super().process_request(request)  # has the name for the refusal


@lru_cache(maxsize=128)
def _is_allowed(host: str, allowed_hosts: tuple[str, ...]) -> bool:
    domain = split_domain_port(host)[0]
    return bool(domain) and validate_host(domain, allowed_hosts)
