"""The types of fields: ids, times, texts and clients' own objects, with their limits."""

import math
import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from sessions_store.errors import InvalidRequestError
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, ms_from_iso
from sessions_store.wire.model import STORED

MAX_CONVERSATION_ID_CHARACTERS = 128
MAX_IDENTIFIER_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 64 * 1024
MAX_OBJECT_BYTES = 16 * 1024
MAX_OBJECT_DEPTH = 32

RESERVED_IDS = frozenset({"list", "new", "ws"})
"""Words of the routes' paths."""
CONVERSATION_ID_RULE = (
    f"conversationId must be 1 to {MAX_CONVERSATION_ID_CHARACTERS} of A-Z a-z 0-9 . _ -, start "
    f"with a letter or digit, and not be one of: {', '.join(sorted(RESERVED_IDS))}"
)
_ID_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_CONVERSATION_ID_CHARACTERS - 1}}}$"
_matches_id = re.compile(_ID_PATTERN.replace("$", r"\Z")).match


def is_conversation_id(value: str) -> bool:
    return value not in RESERVED_IDS and _matches_id(value) is not None


def check_conversation_id(value: str) -> str:
    """Return ``value`` if it is a valid conversation id, else raise ``InvalidRequestError``."""
    if is_conversation_id(value):
        return value
    raise InvalidRequestError.of_field("conversationId", CONVERSATION_ID_RULE)


def _as_conversation_id(value: str) -> str:
    if is_conversation_id(value):
        return value
    raise PydanticCustomError("conversation_id", CONVERSATION_ID_RULE)


def _as_timestamp(value: str) -> str:
    try:
        return iso_from_ms(ms_from_iso(value))
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "timestamp", "must be ISO 8601 with an offset, such as 2026-11-23T16:20:45.123Z"
        ) from None


def as_bounded_object(
    value: dict[str, Any], info: ValidationInfo, max_bytes: int = MAX_OBJECT_BYTES
) -> dict[str, Any]:
    """Return an object of a request that is within its limits; one that is stored has none."""
    if info.context is STORED:
        return value
    try:
        excess = json_codec.excess(value, max_bytes, MAX_OBJECT_DEPTH)
    except json_codec.InvalidJsonError as error:
        raise PydanticCustomError("json", "cannot be JSON: {why}", {"why": str(error)}) from None
    if excess:
        raise PydanticCustomError("object_excess", "{excess}", {"excess": excess})
    return value


def _as_seconds(value: object) -> float:
    """Return the number as it is: 5 does not become 5.0."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    raise PydanticCustomError("seconds", "must be a number that is not negative")


ConversationId = Annotated[
    str,
    AfterValidator(_as_conversation_id),
    WithJsonSchema(
        {"type": "string", "pattern": _ID_PATTERN, "not": {"enum": sorted(RESERVED_IDS)}}
    ),
]
StoredTimestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""In a response: it was a ``Timestamp`` when it was stored."""
Timestamp = Annotated[StoredTimestamp, AfterValidator(_as_timestamp)]
# Python strings can hold half of a surrogate pair; UTF-8, and so Redis and JSON, cannot. pydantic
# checks for that where a string has a constraint, even an empty one.
Text = Annotated[str, StringConstraints(min_length=0), WithJsonSchema({"type": "string"})]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_IDENTIFIER_CHARACTERS)]
UrlText = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS)]
BoundedObject = Annotated[dict[str, Any], AfterValidator(as_bounded_object)]
"""A client's own object, within ``MAX_OBJECT_BYTES`` as JSON and ``MAX_OBJECT_DEPTH`` levels; its
keys are never changed."""


Seconds = Annotated[
    float, PlainValidator(_as_seconds), WithJsonSchema({"type": "number", "minimum": 0})
]


def stored_timestamp(value: object) -> str | None:
    """Return, as ISO 8601, a time that an older writer may have stored in another form.

    That is ISO 8601 (UTC where it has no offset) or a number of milliseconds since 1970.

    Raises:
        ValueError: neither.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return iso_from_ms(ms_from_iso(value, assume_utc=True))
    if isinstance(value, int | float):
        try:
            return iso_from_ms(int(value))
        except OverflowError:
            raise ValueError("not a time") from None  # infinity
    raise ValueError("not a time")
