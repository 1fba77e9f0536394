"""One table from an exception to its response, and the envelope that every error response has."""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.http import BadHeaderError, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import Field
from rest_framework import exceptions
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.response import Response

from agent_conversations.api.media_types import MAX_HEADER_CHARACTERS
from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
    MessageNotFoundError,
    PreconditionFailedError,
    SessionNotFoundError,
)
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    StoreUnavailableError,
    UnsupportedRecordVersionError,
    WritesRefusedError,
    WrongTypeError,
)
from sessions_store.wire import json_codec
from sessions_store.wire.model import WireModel

_logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class ErrorResponse:
    """How an exception is reported to a client."""

    status: int
    code: str
    sentence: str = ""
    """Empty: the exception's own text, which names ids and limits and never content."""


class FeatureDisabledError(exceptions.APIException):
    """The feature flag is off."""


class OriginNotAllowedError(Exception):
    """Another site's page made a browser send a write."""


class RequestTooLargeError(Exception):
    """The body is over 1 MiB."""


_INTERNAL = ErrorResponse(500, "internal_error", "Something went wrong on the server.")
_TOO_LARGE = ErrorResponse(413, "request_too_large", "The body must not be larger than 1 MiB.")
_NO_TOKEN = ErrorResponse(
    401, "not_authenticated", "Send a valid token: Authorization: Bearer <token>."
)

ERROR_RESPONSES: Mapping[type[Exception], ErrorResponse] = {
    # The store's
    InvalidRequestError: ErrorResponse(400, "invalid_request"),
    ConversationNotFoundError: ErrorResponse(404, "conversation_not_found"),
    MessageNotFoundError: ErrorResponse(404, "message_not_found"),
    SessionNotFoundError: ErrorResponse(404, "session_not_found"),
    ConversationExistsError: ErrorResponse(409, "conversation_exists"),
    MessageConflictError: ErrorResponse(409, "message_conflict"),
    ConversationFullError: ErrorResponse(409, "conversation_full"),
    PreconditionFailedError: ErrorResponse(412, "precondition_failed"),
    CorruptRecordError: ErrorResponse(500, "corrupt_record"),
    UnsupportedRecordVersionError: ErrorResponse(500, "corrupt_record"),
    WrongTypeError: _INTERNAL,
    StoreUnavailableError: ErrorResponse(503, "store_unavailable"),
    WritesRefusedError: ErrorResponse(503, "store_unavailable"),
    # HTTP's
    FeatureDisabledError: ErrorResponse(
        503, "feature_disabled", "The ElevenLabs agent is switched off on this server."
    ),
    OriginNotAllowedError: ErrorResponse(
        403, "origin_not_allowed", "Pages of this origin may not use the API on this server."
    ),
    RequestTooLargeError: _TOO_LARGE,
    RequestDataTooBig: _TOO_LARGE,
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
        405, "method_not_allowed", "This path does not take that method; Allow lists its methods."
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
        429, "rate_limited", "Too many sessions are registered; wait as long as Retry-After says."
    ),
    PermissionDenied: ErrorResponse(400, "invalid_request", "The request is refused."),
    # Every other exception is a fault of ours; its text may hold anything and is never sent.
    Exception: _INTERNAL,
}


def error_response(error: Exception) -> ErrorResponse:
    """Return the table's row for the exception's class, or for the nearest of its parents."""
    return next(
        ERROR_RESPONSES[parent] for parent in type(error).__mro__ if parent in ERROR_RESPONSES
    )


class Error(WireModel):
    """What every error looks like."""

    success: Literal[False] = False
    error: str = Field(description="A sentence for a person.")
    code: str = Field(
        description="For programs; it never changes.",
        json_schema_extra={"enum": [*sorted({row.code for row in ERROR_RESPONSES.values()})]},
    )
    details: dict[str, list[str]] | None = Field(
        default=None, description="By field, only with invalid_request."
    )
    enabled: Literal[False] | None = Field(default=None, description="Only with feature_disabled.")
    message: str | None = Field(default=None, description="Only with feature_disabled.")
    advice: dict[str, str] | None = Field(
        default=None,
        description="Only of health: what is wrong with the Redis server, and what to do about it.",
    )


def envelope(error: Exception) -> Error:
    """Return the body of the response to ``error``."""
    row = error_response(error)
    disabled = isinstance(error, FeatureDisabledError)
    return Error(
        error=row.sentence or str(error),
        code=row.code,
        details=(error.details or None) if isinstance(error, InvalidRequestError) else None,
        enabled=False if disabled else None,
        message="Set ELEVENLABS_AGENT_ENABLED=true to switch it on." if disabled else None,
        advice=error.problems if isinstance(error, WritesRefusedError) else None,
    )


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponseBase:
    """Django REST Framework's ``EXCEPTION_HANDLER``: every exception becomes the envelope.

    In JSON, unless a browser is shown a page; whatever else a view may render, such as YAML.
    """
    _log(error)
    headers = _headers(error)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    renderer = getattr(context["request"], "accepted_renderer", None)
    if isinstance(renderer, BrowsableAPIRenderer):
        return Response(envelope(error), status=error_response(error).status, headers=headers)
    return _to_json(error, headers)


def _log(error: Exception) -> None:
    if isinstance(error, StoreUnavailableError):
        _logger.warning("The store is unavailable", extra={"cause": error.cause})
    elif isinstance(error, CorruptRecordError):
        _logger.error(
            "A record cannot be read", extra={"record": error.record_id, "reason": error.reason}
        )
    elif error_response(error) is _INTERNAL:
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
    _log(error)
    return _to_json(error, {})


def _to_json(error: Exception, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(
        json_codec.encode(envelope(error).to_wire()),
        status=error_response(error).status,
        content_type="application/json",
        headers=headers,
    )
