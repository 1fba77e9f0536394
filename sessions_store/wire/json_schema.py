"""The JSON schemas of types: of what may be sent, and of what is returned."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sessions_store.wire.model import WireModel


class RequestSchema(GenerateJsonSchema):
    """Plain schemas: no titles made up from field names, no ``default: null``."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        generated = super().default_schema(schema)
        if generated.get("default", ...) is None:
            generated.pop("default")
        return generated

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        generated.pop("title", None)
        return generated


class QuerySchema(RequestSchema):
    """A query parameter without a value is left out, so it is never ``null``."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


class ResponseSchema(QuerySchema):
    """So is an optional field of a response; every other field is in every response."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        model: type[WireModel] = schema["cls"]
        generated["required"] = [
            field.alias
            for field in model.model_fields.values()
            if field.is_required()
            or field.default is not None
            or field.alias in model.always_in_responses
        ]
        return generated
