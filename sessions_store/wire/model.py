"""The base class of every type that is sent or stored as JSON, and JSON that is stored already."""

from collections.abc import Iterator
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args

import orjson
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from sessions_store.errors import InvalidRequestError

SCHEMA_VERSION = 1
"""Written into every record; docs/decisions/0004-record-versions.md has the rule for raising it."""

STORED = object()
"""The validation context of stored records: their shape is checked, limits are not."""

T = TypeVar("T")


class WireModel(BaseModel):
    """A type of the API: snake_case in Python, camelCase in JSON.

    An optional field without a value is left out of a response; a request may send ``null``.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        # An error that quoted its input would carry people's words into logs.
        hide_input_in_errors=True,
    )

    _wire_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    always_in_responses: ClassVar[frozenset[str]] = frozenset()
    """Fields that a request may leave out and every response has (the schema says so)."""

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
        """Return the instance that ``data``, decoded JSON of a request, describes.

        Raises:
            InvalidRequestError: names each invalid field and what is allowed.
        """
        try:
            return cls.model_validate(data, by_name=False)
        except ValidationError as error:
            raise _invalid_request(error) from None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object; clients' own objects in it are unchanged."""
        values = self.__dict__
        return {
            alias: value for name, alias in self._wire_names if (value := values[name]) is not None
        }


class Encoded(Generic[T]):
    """The JSON of a ``T``, put into a response as it is.

    A field of a response that is annotated ``Encoded[T]`` has the schema of ``T``. What is stored
    was validated when it was written, so nothing is decoded, validated or encoded again.
    """

    # No dataclass: pydantic would look at its fields instead of asking it for its schema.
    def __init__(self, json: bytes) -> None:
        self.json = json

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (encoded_type,) = get_args(source)
        return core_schema.json_or_python_schema(
            json_schema=handler.generate_schema(encoded_type),
            python_schema=core_schema.is_instance_schema(cls),
        )


def to_json(value: Any) -> bytes:
    """Return the JSON of types, and of what is made of them; stored JSON is put in undecoded."""
    return orjson.dumps(value, default=_encodable)


def _encodable(value: Any) -> Any:
    if isinstance(value, WireModel):
        return value.to_wire()
    if isinstance(value, Encoded):
        return orjson.Fragment(value.json)
    raise TypeError


# Sentences for people, in place of pydantic's, which name Python's types.
_SENTENCES = {
    "missing": "{field} is required",
    "extra_forbidden": "{field} is not known here",
    "model_type": "{field} must be a JSON object",
    "string_type": "{field} must be a string",
    "string_unicode": "{field} must be valid Unicode text",
    "dict_type": "{field} must be an object",
    "list_type": "{field} must be an array",
    "bool_type": "{field} must be true or false",
    "too_short": "{field} must not be empty",
    "too_long": "{field} must have at most {max_length} items",
    "literal_error": "{field} must be {expected}",
    "string_too_short": "{field} must not be empty",
    "string_too_long": "{field} must have at most {max_length} characters",
}


def _path(location: tuple[str | int, ...]) -> str:
    """Return such as ``messages[3].role``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _invalid_request(error: ValidationError) -> InvalidRequestError:
    details: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        field = _path(item["loc"]) or "body"
        known = _SENTENCES.get(item["type"])
        sentence = item["msg"]
        if known:
            sentence = known.format(field=field, **item.get("ctx", {}))
        elif sentence.startswith("must "):
            sentence = f"{field} {sentence}"
        details.setdefault(field, []).append(sentence)
    first = next(iter(details.values()))[0]
    return InvalidRequestError(first, details)
