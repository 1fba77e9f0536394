"""Every exception becomes the envelope: the errors of HTTP beside those of the table."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.http import BadHeaderError, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.response import Response

from agent_conversations.api.media_types import MAX_HEADER_CHARACTERS, MAX_WEBHOOK_BYTES
from agent_conversations.envelope import (
    ERROR_RESPONSES,
    INTERNAL,
    RETRY_AFTER_SECONDS,
    ErrorResponse,
    envelope,
    error_response,
)
from agent_conversations.errors import TokenRequiredError
from agent_conversations.metrics import ERRORS
from sessions_store.errors import CorruptRecordError, InvalidRequestError, StoreUnavailableError
from sessions_store.wire import json_codec

_logger = logging.getLogger(__name__)


class RequestTooLargeError(Exception):
    """The body is over 1 MiB."""


class WebhookTooLargeError(Exception):
    """The body is over ``MAX_WEBHOOK_BYTES``."""


_TOO_LARGE = ErrorResponse(413, "request_too_large", "The body must not be larger than 1 MiB.")
_NO_TOKEN = ErrorResponse(401, "not_authenticated", str(TokenRequiredError()))

RESPONSES: Mapping[type[Exception], ErrorResponse] = {
    **ERROR_RESPONSES,
    RequestTooLargeError: _TOO_LARGE,
    RequestDataTooBig: _TOO_LARGE,
    WebhookTooLargeError: ErrorResponse(
        413,
        "request_too_large",
        f"A webhook must not be larger than {MAX_WEBHOOK_BYTES // 1024**2} MiB.",
    ),
    TooManyFieldsSent: ErrorResponse(400, "invalid_request", "The query has too many parameters."),
    DisallowedHost: ErrorResponse(
        400, "invalid_request", "This host name is not among the server's ALLOWED_HOSTS."
    ),
    SuspiciousOperation: ErrorResponse(400, "invalid_request", "The request cannot be read."),
    # A header of the response is made of the request's query.
    BadHeaderError: ErrorResponse(400, "invalid_request", "A parameter has a line break."),
    exceptions.ParseError: ErrorResponse(400, "invalid_request"),
    exceptions.NotAuthenticated: _NO_TOKEN,
    exceptions.AuthenticationFailed: _NO_TOKEN,
    Http404: ErrorResponse(
        404, "not_found", "There is nothing at this path. (Paths have no slash at their end.)"
    ),
    exceptions.NotFound: ErrorResponse(404, "not_found", "There is nothing at this path."),
    exceptions.MethodNotAllowed: ErrorResponse(
        405,
        "method_not_allowed",
        "This path does not take that method; Allow lists its methods.",
    ),
    exceptions.NotAcceptable: ErrorResponse(
        406, "not_acceptable", "Responses are application/json, which Accept refuses."
    ),
    exceptions.UnsupportedMediaType: ErrorResponse(
        415,
        "unsupported_media_type",
        "The body must be application/json in UTF-8, without a Content-Encoding.",
    ),
    exceptions.Throttled: ErrorResponse(
        429,
        "rate_limited",
        "Too many sessions are registered; wait as long as Retry-After says.",
    ),
    PermissionDenied: ErrorResponse(400, "invalid_request", "The request is refused."),
}


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponseBase:
    """Django REST Framework's ``EXCEPTION_HANDLER``: every exception becomes the envelope.

    In JSON, unless a browser is shown a page; whatever else a view may render, such as YAML.
    """
    row = error_response(error, RESPONSES)
    _log(error, row)
    headers = _headers(error)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    renderer = getattr(context["request"], "accepted_renderer", None)
    if isinstance(renderer, BrowsableAPIRenderer):
        return Response(envelope(error, row), status=row.status, headers=headers)
    return _to_json(error, row, headers)


def _log(error: Exception, row: ErrorResponse) -> None:
    ERRORS.labels(row.code).inc()
    if isinstance(error, StoreUnavailableError):
        _logger.warning("The store is unavailable", extra={"cause": error.cause})
    elif isinstance(error, CorruptRecordError):
        _logger.error(
            "A record cannot be read", extra={"record": error.record_id, "reason": error.reason}
        )
    elif row is INTERNAL:
        _logger.error("A request failed", exc_info=(type(error), error, error.__traceback__))


def _headers(error: Exception) -> dict[str, str]:
    headers = {}
    if isinstance(error, StoreUnavailableError):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    # The attributes by which Django REST Framework hands on what these two headers say.
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(wait)
    return headers


def header_too_long(name: str) -> InvalidRequestError:
    return InvalidRequestError.of_field(
        name, f"{name} must not be longer than {MAX_HEADER_CHARACTERS} characters"
    )


def error_view(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's error view, for what fails before a view is reached (config/urls.py names it)."""
    # That of a 500 is given no exception, but is called while it is handled.
    error = exception or sys.exception()
    if not isinstance(error, Exception):
        error = RuntimeError()
    row = error_response(error, RESPONSES)
    _log(error, row)
    return _to_json(error, row, {})


def _to_json(error: Exception, row: ErrorResponse, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(
        json_codec.encode(envelope(error, row).to_wire()),
        status=row.status,
        content_type="application/json",
        headers=headers,
    )
