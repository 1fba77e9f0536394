"""What every type on the wire is made of: names, limits, ids, times, clients' own objects."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from sessions_store import json_codec
from sessions_store.clock import iso_from_ms, ms_from_iso
from sessions_store.errors import InvalidRequestError

MAX_TEXT_CHARACTERS = 64 * 1024
MAX_OBJECT_BYTES = 16 * 1024
MAX_OBJECT_DEPTH = 32
SCHEMA_VERSION = 1
"""Written into every record; docs/decisions/ has the rule for raising it."""


STORED = object()
"""The validation context of what stands in Redis already: its shape is checked, limits are not."""


_set = object.__setattr__


class WireModel(BaseModel):
    """A type of the API: snake_case in Python, camelCase in JSON.

    An optional field without a value is left out of an answer; a request may send ``null`` for it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        # An error that quoted its input would carry people's words into logs.
        hide_input_in_errors=True,
    )

    _wire_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    always_answered: ClassVar[frozenset[str]] = frozenset()
    """Fields that a request may leave out and every answer has (the schema says so)."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._wire_names = tuple(
            (name, field.alias or name) for name, field in cls.model_fields.items()
        )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if value is not None)

    @classmethod
    def parse(cls, data: object) -> Self:
        """Return the request that ``data`` holds.

        Raises:
            InvalidRequestError: naming each field and what is allowed.
        """
        try:
            return cls.model_validate(data, by_name=False)
        except ValidationError as error:
            raise _invalid_request(error) from None

    @classmethod
    def trusted(cls, **values: Any) -> Self:
        """Return an instance of values that are ours; none is looked at, none may be missing.

        pydantic's ``model_construct`` does the same for models of every kind, with aliases and
        private fields; it takes twice as long.
        """
        instance = cls.__new__(cls)
        _set(instance, "__dict__", values)
        _set(instance, "__pydantic_fields_set__", set(values))
        _set(instance, "__pydantic_extra__", None)
        _set(instance, "__pydantic_private__", None)
        return instance

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object; clients' own objects in it are passed on untouched."""
        values = self.__dict__
        return {
            alias: value for name, alias in self._wire_names if (value := values[name]) is not None
        }


# Sentences for people, in place of pydantic's, which speak of Python's types.
_SENTENCES = {
    "missing": "{field} is required",
    "extra_forbidden": "{field} is not known here",
    "model_type": "The body must be a JSON object",
    "string_type": "{field} must be a string",
    "string_unicode": "{field} must be valid Unicode text",
    "dict_type": "{field} must be an object",
    "literal_error": "{field} must be {expected}",
    "string_too_short": "{field} must not be empty",
    "string_too_long": "{field} must have at most {max_length} characters",
}


def _invalid_request(error: ValidationError) -> InvalidRequestError:
    details: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        field = str(item["loc"][0]) if item["loc"] else "body"
        known = _SENTENCES.get(item["type"])
        sentence = item["msg"]
        if known:
            sentence = known.format(field=field, **item.get("ctx", {}))
        elif sentence.startswith("must "):
            sentence = f"{field} {sentence}"
        details.setdefault(field, []).append(sentence)
    first = next(iter(details.values()))[0]
    return InvalidRequestError(first, details)


CONVERSATION_ID_RULE = (
    "conversationId must be 1 to 128 of A-Z a-z 0-9 . _ -, start with a letter or digit, "
    "and not be one of: list, new, ws"
)
RESERVED_IDS = frozenset({"list", "new", "ws"})
_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_is_id = re.compile(_ID_PATTERN.replace("$", r"\Z")).match


def check_conversation_id(value: str) -> str:
    """Return ``value`` if it can be a conversation's id.

    Raises:
        InvalidRequestError: other characters, too long, or a word that the routes use.
    """
    if _is_id(value) and value not in RESERVED_IDS:
        return value
    raise InvalidRequestError(CONVERSATION_ID_RULE, {"conversationId": [CONVERSATION_ID_RULE]})


def _as_conversation_id(value: str) -> str:
    try:
        return check_conversation_id(value)
    except InvalidRequestError as error:
        raise PydanticCustomError(
            "conversation_id", "{sentence}", {"sentence": str(error)}
        ) from None


def _as_timestamp(value: str) -> str:
    try:
        return iso_from_ms(ms_from_iso(value))
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "timestamp", "must be ISO 8601 with an offset, such as 2026-11-23T16:20:45.123Z"
        ) from None


def _as_bounded_object(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if info.context is STORED:
        return value
    try:
        size = len(json_codec.encode(value))
    except json_codec.InvalidJsonError as error:
        raise PydanticCustomError("json", "cannot be JSON: {why}", {"why": str(error)}) from None
    # A level takes two bytes at least: most objects are too short to be too deep.
    if size > 2 * MAX_OBJECT_DEPTH and json_codec.depth(value) > MAX_OBJECT_DEPTH:
        raise PydanticCustomError("object_depth", "must not be nested more than 32 levels deep")
    if size > MAX_OBJECT_BYTES:
        raise PydanticCustomError("object_size", "must not be larger than 16 KiB as JSON")
    return value


ConversationId = Annotated[
    str,
    AfterValidator(_as_conversation_id),
    WithJsonSchema(
        {"type": "string", "pattern": _ID_PATTERN, "not": {"enum": sorted(RESERVED_IDS)}}
    ),
]
Timestamp = Annotated[
    str,
    AfterValidator(_as_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
# Python strings can hold half of a surrogate pair; UTF-8, and so Redis and JSON, cannot. pydantic
# looks for that where a string has a constraint, be it an empty one.
Text = Annotated[str, StringConstraints(min_length=0), WithJsonSchema({"type": "string"})]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256)]
UrlText = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS)]
BoundedObject = Annotated[dict[str, Any], AfterValidator(_as_bounded_object)]
"""A client's own object: at most 16 KiB as JSON and 32 levels; its keys are never touched."""


def stored_timestamp(value: object) -> str | None:
    """Return the time that an older writer kept as ISO 8601 (UTC where it has no offset) or as ms.

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
