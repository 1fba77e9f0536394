"""Our types as the schema's components.

A type that is both sent and returned has two components, because they differ: a request may leave
out what every response has, and may send ``null`` for an optional field, which no response has.
"""

from collections.abc import Iterator
from typing import Any, Literal

from drf_spectacular.drainage import set_override
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter

from sessions_store.wire.json_schema import QuerySchema, RequestSchema, ResponseSchema
from sessions_store.wire.model import WireModel

Json = dict[str, Any]


class WireModelExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # its metaclass
    """Lets ``extend_schema`` take our types where it takes serializers."""

    target_class = WireModel
    match_subclasses = True
    priority = 1  # before drf-spectacular's own extension for pydantic

    def get_name(self, auto_schema: AutoSchema, direction: Literal["request", "response"]) -> str:
        model: type[WireModel] = self.target
        # A type that is nested in another one is registered by its name, below: the same component.
        set_override(model, "suppress_collision_warning", True)
        both_ways = direction == "request" and bool(model.always_in_responses)
        return f"{model.__name__}Request" if both_ways else model.__name__

    def map_serializer(
        self, auto_schema: AutoSchema, direction: Literal["request", "response"]
    ) -> Json:
        is_request = direction == "request"
        suffix = "Request" if is_request else ""
        schema: Json = self.target.model_json_schema(
            mode="validation" if is_request else "serialization",
            schema_generator=RequestSchema if is_request else ResponseSchema,
            ref_template=f"#/components/schemas/{{model}}{suffix}",
        )
        for model, nested in schema.pop("$defs", {}).items():
            name = model + suffix
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, nested, object=name)  # type: ignore[no-untyped-call]  # drf-spectacular's
            auto_schema.registry.register_on_missing(component)
        return schema


def query_parameters(query: type[WireModel]) -> Iterator[OpenApiParameter]:
    """Yield the parameters of a query that is parsed into ``query``."""
    schema = query.model_json_schema(schema_generator=QuerySchema)
    for name, parameter in schema["properties"].items():
        description = parameter.pop("description", "")
        yield OpenApiParameter(name, parameter, description=description)
