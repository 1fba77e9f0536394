"""JSON that is stored already, typed by what it is the JSON of."""

from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


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
