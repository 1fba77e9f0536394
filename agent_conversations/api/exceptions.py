"""One table from an error to its answer, and the envelope that every error has."""

import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
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

_logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Answer:
    """How an error is told: the status, the code, and the sentence unless the error has its own."""

    status: int
    code: str
    sentence: str = ""
    """Empty: the error's own text, which names ids and limits and never content."""


class FeatureDisabledError(exceptions.APIException):
    """The feature flag is off."""


class RequestTooLargeError(Exception):
    """The body is over 1 MiB."""


_INTERNAL = Answer(500, "internal_error", "Something went wrong on the server.")

ANSWERS: Mapping[type[Exception], Answer] = {
    # The store's
    InvalidRequestError: Answer(400, "invalid_request"),
    ConversationNotFoundError: Answer(404, "conversation_not_found"),
    SessionNotFoundError: Answer(404, "session_not_found"),
    ConversationExistsError: Answer(409, "conversation_exists"),
    MessageConflictError: Answer(409, "message_conflict"),
    ConversationFullError: Answer(409, "conversation_full"),
    PreconditionFailedError: Answer(412, "precondition_failed"),
    CorruptRecordError: Answer(500, "corrupt_record"),
    UnsupportedRecordVersionError: Answer(500, "corrupt_record"),
    WrongTypeError: _INTERNAL,
    StoreUnavailableError: Answer(503, "store_unavailable"),
    WritesRefusedError: Answer(503, "store_unavailable"),
    # HTTP's
    FeatureDisabledError: Answer(
        503, "feature_disabled", "The ElevenLabs agent is switched off on this server."
    ),
    RequestTooLargeError: Answer(
        413, "request_too_large", "The body must not be larger than 1 MiB."
    ),
    RequestDataTooBig: Answer(413, "request_too_large", "The body must not be larger than 1 MiB."),
    TooManyFieldsSent: Answer(400, "invalid_request", "The query has too many parameters."),
    DisallowedHost: Answer(
        400, "invalid_request", "This host name is not among the server's ALLOWED_HOSTS."
    ),
    SuspiciousOperation: Answer(400, "invalid_request", "The request cannot be read."),
    exceptions.ParseError: Answer(400, "invalid_request"),
    exceptions.NotAuthenticated: Answer(
        401, "not_authenticated", "Send a valid token: Authorization: Bearer <token>."
    ),
    exceptions.AuthenticationFailed: Answer(
        401, "not_authenticated", "Send a valid token: Authorization: Bearer <token>."
    ),
    Http404: Answer(
        404, "not_found", "There is nothing at this path. (Paths have no slash at their end.)"
    ),
    exceptions.NotFound: Answer(404, "not_found", "There is nothing at this path."),
    exceptions.MethodNotAllowed: Answer(
        405, "method_not_allowed", "This path does not take that method; Allow lists its methods."
    ),
    exceptions.NotAcceptable: Answer(
        406, "not_acceptable", "Answers are application/json, which Accept refuses."
    ),
    exceptions.UnsupportedMediaType: Answer(
        415,
        "unsupported_media_type",
        "The body must be application/json in UTF-8, without a Content-Encoding.",
    ),
    exceptions.Throttled: Answer(
        429, "rate_limited", "Too many sessions are registered; wait as long as Retry-After says."
    ),
    PermissionDenied: Answer(400, "invalid_request", "The request is refused."),
    # Whatever else is raised is a fault of ours; its text may hold anything and never leaves.
    Exception: _INTERNAL,
}


def answer_of(error: Exception) -> Answer:
    """Return the table's row for the error's class, or for the nearest of its parents."""
    return next(ANSWERS[parent] for parent in type(error).__mro__ if parent in ANSWERS)


def envelope(error: Exception) -> dict[str, Any]:
    """Return the body that tells of ``error``. An unknown error's own text never leaves."""
    answer = answer_of(error)
    body: dict[str, Any] = {
        "success": False,
        "error": answer.sentence or str(error),
        "code": answer.code,
    }
    if isinstance(error, InvalidRequestError) and error.details:
        body["details"] = error.details
    if isinstance(error, WritesRefusedError):
        body["advice"] = error.problems
    if isinstance(error, FeatureDisabledError):
        body |= {"enabled": False, "message": "Set ELEVENLABS_AGENT_ENABLED=true to switch it on."}
    return body


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response:
    """Django REST Framework's exception handler: every error becomes the envelope."""
    answer = answer_of(error)
    _report(error, answer)
    headers = _headers(error)
    if answer.status == 405:
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(envelope(error), status=answer.status, headers=headers)


def _report(error: Exception, answer: Answer) -> None:
    if isinstance(error, StoreUnavailableError):
        _logger.warning("The store is unavailable", extra={"cause": error.cause})
    elif isinstance(error, CorruptRecordError):
        _logger.error(
            "A record cannot be read", extra={"record": error.record_id, "reason": error.reason}
        )
    elif answer is _INTERNAL:
        _logger.error("A request failed", exc_info=(type(error), error, error.__traceback__))


def _headers(error: Exception) -> dict[str, str]:
    headers = {}
    if isinstance(error, StoreUnavailableError):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, exceptions.APIException):
        # What the REST framework found out for these two headers, each on errors of its own.
        if auth_header := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = auth_header
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(math.ceil(wait))
    return headers


def _outside_of_a_view(error: Exception) -> HttpResponse:
    answer = answer_of(error)
    _report(error, answer)
    return HttpResponse(
        json_codec.encode(envelope(error)), status=answer.status, content_type="application/json"
    )


# Django's own error views, for what fails before a view is reached (see config/urls.py).


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _outside_of_a_view(exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _outside_of_a_view(exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _outside_of_a_view(exception)


def method_not_allowed(request: HttpRequest, allowed: str) -> HttpResponse:
    response = _outside_of_a_view(exceptions.MethodNotAllowed(request.method or ""))
    response.headers["Allow"] = allowed
    return response


def server_error(request: HttpRequest) -> HttpResponse:

    error = sys.exc_info()[1]
    return _outside_of_a_view(error if isinstance(error, Exception) else RuntimeError())
