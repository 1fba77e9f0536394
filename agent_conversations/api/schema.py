"""The OpenAPI schema: our types as components, each operation's errors, an example of each.

A type that is both sent and answered gets two components, because they differ: a request may leave
out what every answer has, and may send ``null`` for an optional field, which no answer contains.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema
from rest_framework.exceptions import UnsupportedMediaType

from agent_conversations.api.exceptions import ANSWERS, envelope
from agent_conversations.api.operations import EXAMPLE_ID, OPERATIONS, Operation
from agent_conversations.errors import ConversationExistsError, ConversationFullError
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    StoreUnavailableError,
)
from sessions_store.wire.fields import ConversationId
from sessions_store.wire.model import WireModel

Json = dict[str, Any]
T = TypeVar("T")

_REF = "#/components/schemas/{model}"
_JSON = "application/json"


# --- Components -----------------------------------------------------------------------------------


class _Generator(GenerateJsonSchema):
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


class _AnswerGenerator(_Generator):
    """An optional field without a value is left out of an answer, so it is never ``null``."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        model: type[WireModel] = schema["cls"]
        generated["required"] = [
            field.alias
            for name, field in model.model_fields.items()
            if not _may_be_none(field) or field.alias in model.always_present
        ]
        return generated


def _may_be_none(field: FieldInfo) -> bool:
    return not field.is_required() and field.default is None


def _request_name(model: type[WireModel]) -> str:
    answered = any(operation.answer is model for operation in OPERATIONS.values())
    nested = model.__name__ in _components(_AnswerGenerator, "serialization", _ANSWERED)
    return f"{model.__name__}Request" if answered or nested else model.__name__


def _components(
    generator: type[GenerateJsonSchema], mode: Any, models: Iterable[type[WireModel]]
) -> Mapping[str, Json]:
    _, generated = models_json_schema(
        [(model, mode) for model in models], ref_template=_REF, schema_generator=generator
    )
    definitions: Mapping[str, Json] = generated["$defs"]
    return definitions


_ANSWERED = [operation.answer for operation in OPERATIONS.values() if operation.answer]
_REQUESTED = [operation.request for operation in OPERATIONS.values() if operation.request]

_ADVICE: Json = {
    "type": "object",
    "description": "Only of health: what makes the Redis server unfit, and what to do about it.",
    "additionalProperties": {"type": "string"},
}
_ERROR_COMPONENT: Json = {
    "type": "object",
    "description": "What every error looks like.",
    "required": ["success", "error", "code"],
    "properties": {
        "success": {"type": "boolean", "const": False},
        "error": {"type": "string", "description": "A sentence for a person."},
        "code": {
            "type": "string",
            "description": "For programs; it never changes.",
            "enum": sorted({answer.code for answer in ANSWERS.values()}),
        },
        "details": {
            "type": "object",
            "description": "By field, only with invalid_request.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "enabled": {
            "type": "boolean",
            "const": False,
            "description": "Only with feature_disabled.",
        },
        "message": {"type": "string", "description": "Only with feature_disabled."},
        "advice": _ADVICE,
    },
}


_METHODS = ("get", "post", "patch", "delete")


class ContractSchema(AutoSchema):
    """drf-spectacular's schema of a view, which takes an action called list for a bare array."""

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False


def complete_schema(result: Json, **_: Any) -> Json:
    """drf-spectacular's hook: add our components, and name the path's parameter as the contract."""
    requested = _components(_Generator, "validation", _REQUESTED)
    components = dict(_components(_AnswerGenerator, "serialization", _ANSWERED))
    for model in _REQUESTED:
        components[_request_name(model)] = requested[model.__name__]
    components["Error"] = _ERROR_COMPONENT
    result.setdefault("components", {}).setdefault("schemas", {}).update(components)
    result["components"]["schemas"] = dict(sorted(result["components"]["schemas"].items()))
    result["paths"] = {
        path.replace("{conversation_id}", "{conversationId}"): item
        for path, item in result["paths"].items()
    }
    for path, item in result["paths"].items():
        # The order of a view's methods differs from process to process.
        result["paths"][path] = {method: item[method] for method in _METHODS if method in item}
        for operation in item.values():
            operation["responses"] = dict(sorted(operation["responses"].items()))
            if "security" in operation:
                operation["security"].append({})  # a server without API_TOKENS asks for none
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "conversation_id":
                    parameter["name"] = "conversationId"
    return result


# --- Operations -----------------------------------------------------------------------------------


def describe_operations(viewset: type[T]) -> type[T]:
    """Give each action of ``viewset`` its row of the table of operations."""
    for action, operation in OPERATIONS.items():
        if hasattr(viewset, action):
            setattr(viewset, action, _describe(operation)(getattr(viewset, action)))
    return viewset


def _describe(operation: Operation) -> Callable[..., Any]:
    responses: dict[int, Any] = {operation.success: _success(operation)}
    if operation.repeatable:
        responses[200] = _success(operation)
    return extend_schema(
        operation_id=operation.operation_id,
        tags=[operation.tag],
        summary=operation.summary,
        description=operation.irreversible or operation.summary + ".",
        parameters=list(_parameters(operation)),
        request={_JSON: _request(operation)} if operation.request else None,
        responses={**responses, **_errors(operation.errors, operation.refused)},
    )


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(model=name)}


def _success(operation: Operation) -> OpenApiResponse:
    if operation.answer is None:
        return OpenApiResponse(None, description="Done; no body.")
    return OpenApiResponse(
        _ref(operation.answer.__name__),
        description=operation.summary,
        examples=[OpenApiExample("Example", operation.answer_example, media_type=_JSON)],
    )


def _request(operation: Operation) -> OpenApiRequest:
    assert operation.request is not None  # noqa: S101  # for mypy: asked only where there is one
    return OpenApiRequest(
        _ref(_request_name(operation.request)),
        examples=[
            OpenApiExample(name, value, media_type=_JSON)
            for name, value in operation.request_examples.items()
        ],
    )


def _errors(
    errors: Iterable[type[Exception]], refused: tuple[str, str]
) -> dict[int, OpenApiResponse]:
    """Return one response for each status, with an example of each code that it can have."""
    by_status: dict[int, list[OpenApiExample]] = {}
    for error in errors:
        answer = ANSWERS[error]
        example = OpenApiExample(answer.code, envelope(_instance(error, refused)), media_type=_JSON)
        by_status.setdefault(answer.status, []).append(example)
    return {
        status: OpenApiResponse(
            _ref("Error"),
            description=" or ".join(f"`{example.name}`" for example in examples),
            examples=examples,
        )
        for status, examples in by_status.items()
    }


def _instance(error: type[Exception], refused: tuple[str, str]) -> Exception:
    """Return an error as it is raised, for an example."""
    field, sentence = refused
    arguments: Mapping[type[Exception], tuple[Any, ...]] = {
        InvalidRequestError: (sentence, {field: [sentence]}),
        StoreUnavailableError: ("TimeoutError",),
        CorruptRecordError: ("conversation", EXAMPLE_ID),
        ConversationExistsError: (EXAMPLE_ID,),
        ConversationFullError: (100_000,),
        UnsupportedMediaType: ("text/plain",),
    }
    return error(*arguments.get(error, ()))


_RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    {"type": "integer"},
    OpenApiParameter.HEADER,
    description="Seconds to wait; with store_unavailable and rate_limited.",
    response=[429, 503],
)


def _parameters(operation: Operation) -> Iterable[OpenApiParameter]:
    if operation.query:
        yield from _query_parameters(operation.query)
    if operation.repeatable:
        yield OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "minLength": 1, "maxLength": 256},
            OpenApiParameter.HEADER,
            description="The same request with the same key counts once.",
        )
        yield OpenApiParameter(
            "Idempotency-Replayed",
            {"type": "string", "const": "true"},
            OpenApiParameter.HEADER,
            description="This answer repeats an earlier one; nothing was written.",
            response=[200],
        )
    if operation.operation_id == "createAgentConversation":
        yield OpenApiParameter(
            "Location",
            {"type": "string"},
            OpenApiParameter.HEADER,
            description="The path of the conversation.",
            response=[200, 201],
        )
    if operation.operation_id in ("getAgentConversation", "updateAgentConversation"):
        yield OpenApiParameter(
            "ETag",
            {"type": "string"},
            OpenApiParameter.HEADER,
            description="Changes with every change of the conversation's content.",
            response=[200],
        )
    if operation.operation_id in ("updateAgentConversation", "deleteAgentConversation"):
        yield OpenApiParameter(
            "If-Match",
            {"type": "string"},
            OpenApiParameter.HEADER,
            description="Only if the conversation's ETag is this one still; else 412.",
        )
    if operation.operation_id == "deleteAgentSession":
        yield OpenApiParameter(
            "sessionId", {"type": "string"}, description="Delete only the session with this id."
        )
    if operation.operation_id not in ("listAgentConversations", "createAgentConversation"):
        yield OpenApiParameter(
            "conversation_id",
            {"type": "string", "pattern": _ID_PATTERN},
            OpenApiParameter.PATH,
            description="The conversation's id.",
        )
    yield _RETRY_AFTER


_ID_PATTERN = ConversationId.__metadata__[-1].json_schema["pattern"]  # type: ignore[attr-defined]  # Annotated


def _query_parameters(query: type[WireModel]) -> Iterable[OpenApiParameter]:
    schema = query.model_json_schema(schema_generator=_Generator)
    for name, parameter in schema["properties"].items():
        yield OpenApiParameter(name, parameter)


def describe_health(operation_id: str, *, needs_redis: bool) -> dict[str, Any]:
    """Return the arguments of ``extend_schema`` for a health route."""
    example = {"status": "ok", "redis": "ok", "enabled": True} if needs_redis else {"status": "ok"}
    schema: Json = {
        "type": "object",
        "required": list(example),
        "properties": {
            "status": {"type": "string", "const": "ok"},
            "redis": {"type": "string", "const": "ok"},
            "enabled": {"type": "boolean", "description": "Whether the feature flag is on."},
            "advice": _ADVICE,
        },
    }
    answer = OpenApiResponse(
        schema,
        description="Healthy",
        examples=[OpenApiExample("Healthy", example, media_type=_JSON)],
    )
    return {
        "operation_id": operation_id,
        "tags": ["health"],
        "parameters": [_RETRY_AFTER] if needs_redis else [],
        "responses": {
            200: answer,
            **(_errors([StoreUnavailableError], ("", "")) if needs_redis else {}),
        },
    }
