"""The envelope that every error has, and the table from an exception to its status and code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    FeatureDisabledError,
    InvalidSignatureError,
    MessageConflictError,
    MessageNotFoundError,
    OriginNotAllowedError,
    PermissionDeniedError,
    PreconditionFailedError,
    TokenRequiredError,
    UnknownPathError,
    UpgradeRequiredError,
)
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    KeyMissingError,
    NotAcknowledgedError,
    PushConflictError,
    PushNotFoundError,
    SessionNotFoundError,
    StoreUnavailableError,
    UnsupportedRecordVersionError,
    WritesRefusedError,
    WrongTypeError,
)
from sessions_store.wire.model import WireModel

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class ErrorResponse:
    """How an exception is reported to a client."""

    status: int
    code: str
    sentence: str = ""
    """Empty: the exception's own text, which names ids and limits and never content."""


INTERNAL = ErrorResponse(500, "internal_error", "Something went wrong on the server.")

ERROR_RESPONSES: Mapping[type[Exception], ErrorResponse] = {
    InvalidRequestError: ErrorResponse(400, "invalid_request"),
    TokenRequiredError: ErrorResponse(401, "not_authenticated"),
    InvalidSignatureError: ErrorResponse(401, "invalid_signature"),
    PermissionDeniedError: ErrorResponse(403, "permission_denied"),
    OriginNotAllowedError: ErrorResponse(403, "origin_not_allowed"),
    ConversationNotFoundError: ErrorResponse(404, "conversation_not_found"),
    MessageNotFoundError: ErrorResponse(404, "message_not_found"),
    SessionNotFoundError: ErrorResponse(404, "session_not_found"),
    PushNotFoundError: ErrorResponse(404, "push_not_found"),
    UnknownPathError: ErrorResponse(404, "not_found"),
    ConversationExistsError: ErrorResponse(409, "conversation_exists"),
    MessageConflictError: ErrorResponse(409, "message_conflict"),
    PushConflictError: ErrorResponse(409, "push_conflict"),
    ConversationFullError: ErrorResponse(409, "conversation_full"),
    PreconditionFailedError: ErrorResponse(412, "precondition_failed"),
    UpgradeRequiredError: ErrorResponse(426, "upgrade_required"),
    CorruptRecordError: ErrorResponse(500, "corrupt_record"),
    KeyMissingError: ErrorResponse(500, "corrupt_record"),
    UnsupportedRecordVersionError: ErrorResponse(500, "corrupt_record"),
    WrongTypeError: INTERNAL,
    FeatureDisabledError: ErrorResponse(503, "feature_disabled"),
    StoreUnavailableError: ErrorResponse(503, "store_unavailable"),
    WritesRefusedError: ErrorResponse(503, "store_unavailable"),
    NotAcknowledgedError: ErrorResponse(503, "store_unavailable"),
    # Every other exception is a fault of ours; its text may hold anything and is never sent.
    Exception: INTERNAL,
}
"""``api/exceptions.py`` has them with those of Django and of its REST framework."""


def error_response(
    error: Exception, table: Mapping[type[Exception], ErrorResponse] = ERROR_RESPONSES
) -> ErrorResponse:
    """Return the row of a table for the exception's class, or for the nearest of its parents."""
    return next(table[parent] for parent in type(error).__mro__ if parent in table)


class Error(WireModel):
    """What every error looks like."""

    success: Literal[False] = False
    error: str = Field(description="A sentence for a person.")
    code: str = Field(description="For programs; it never changes.")
    details: dict[str, list[str]] | None = Field(
        default=None, description="By field, only with invalid_request."
    )
    enabled: Literal[False] | None = Field(default=None, description="Only with feature_disabled.")
    message: str | None = Field(default=None, description="Only with feature_disabled.")
    advice: dict[str, str] | None = Field(
        default=None,
        description="Only of health: what is wrong with the Redis server, and what to do about it.",
    )


def envelope(error: Exception, row: ErrorResponse) -> Error:
    """Return the body of the response to ``error``, whose row of the table is ``row``."""
    disabled = isinstance(error, FeatureDisabledError)
    return Error(
        error=row.sentence or str(error),
        code=row.code,
        details=(error.details or None) if isinstance(error, InvalidRequestError) else None,
        enabled=False if disabled else None,
        message="Set ELEVENLABS_AGENT_ENABLED=true to switch it on." if disabled else None,
        advice=error.problems if isinstance(error, WritesRefusedError) else None,
    )
