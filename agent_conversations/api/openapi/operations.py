"""``@operation``: what an action takes, returns and can fail with, declared beside it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import exceptions

from agent_conversations.access import Scope
from agent_conversations.api.exceptions import RESPONSES, RequestTooLargeError
from agent_conversations.api.openapi.components import Json, query_parameters
from agent_conversations.api.openapi.examples import example_error
from agent_conversations.api.openapi.forms import Form
from agent_conversations.envelope import Error, envelope
from agent_conversations.errors import (
    FeatureDisabledError,
    OriginNotAllowedError,
    PermissionDeniedError,
)
from sessions_store.errors import InvalidRequestError, StoreUnavailableError
from sessions_store.wire.fields import CONVERSATION_ID_RULE
from sessions_store.wire.model import WireModel

_JSON = "application/json"
ErrorTypes = Sequence[type[Exception]]
Body = type[WireModel] | PolymorphicProxySerializer | None
Action = TypeVar("Action", bound=Callable[..., Any])


_ALWAYS: ErrorTypes = (
    InvalidRequestError,
    exceptions.NotAcceptable,
    FeatureDisabledError,
    StoreUnavailableError,
    Exception,
)
_WITH_TOKEN: ErrorTypes = (exceptions.NotAuthenticated, PermissionDeniedError)
_OF_WRITES: ErrorTypes = (OriginNotAllowedError,)
_WITH_BODY: ErrorTypes = (RequestTooLargeError, exceptions.UnsupportedMediaType)


def operation(
    operation_id: str,
    *,
    tag: str,
    scope: Scope | None,
    summary: str,
    responses: Mapping[int, Body],
    example: Json | None = None,
    request: type[WireModel] | None = None,
    request_examples: Mapping[str, Json] | None = None,
    query: type[WireModel] | None = None,
    headers: Sequence[OpenApiParameter] = (),
    errors: ErrorTypes = (),
    invalid: tuple[str, str] = ("conversationId", CONVERSATION_ID_RULE),
    irreversible: str = "",
) -> Callable[[Action], Action]:
    """Declare an action's place in the schema, the documentation and the browsable API.

    Args:
        operation_id: the contract's name of the operation.
        scope: what a token must have for it; ``None`` where ``API_TOKENS`` do not apply.
        responses: the type of the body (``None`` for none) by the status of success.
        example: a body of such a response.
        request: the type that the action parses the body into.
        request_examples: by name; the first one fills in the form of the browsable API.
        query: the type that the action parses the query into.
        headers: of the request and of the responses.
        errors: what this action raises beyond what every action may.
        invalid: a field and a sentence, for the example of a 400.
        irreversible: a sentence on what cannot be undone after this operation.
    """
    examples = dict(request_examples or {})
    succeeded = {
        status: success_response(body, summary, {"Example": example or {}})
        for status, body in responses.items()
    }
    all_errors = (
        *_ALWAYS,
        *(_WITH_TOKEN if scope else ()),
        *(_OF_WRITES if request or irreversible else ()),
        *(_WITH_BODY if request else ()),
        *errors,
    )

    fields = (
        [field.alias or name for name, field in request.model_fields.items()] if request else []
    )

    def declare(action: Action) -> Action:
        example = next(iter(examples.values()), {})
        action.form = Form(example, fields, irreversible)  # type: ignore[attr-defined]  # read by form_of
        action.scope = scope  # type: ignore[attr-defined]  # read by HasScope
        return extend_schema(
            operation_id=operation_id,
            tags=[tag],
            summary=summary,
            description=irreversible or summary,  # which complete_schema takes out
            parameters=[*(query_parameters(query) if query else ()), *headers],
            request={_JSON: OpenApiRequest(request, examples=_examples(examples))}
            if request
            else None,
            responses=dict(
                sorted({**succeeded, **error_responses(all_errors, invalid, scope)}.items())
            ),
        )(action)

    return declare


def _examples(values: Mapping[str, Json]) -> list[OpenApiExample]:
    return [OpenApiExample(name, value, media_type=_JSON) for name, value in values.items()]


def success_response(body: Body, description: str, examples: Mapping[str, Json]) -> OpenApiResponse:
    if body is None:
        return OpenApiResponse(None, description="Done; no body.")
    return OpenApiResponse(body, description=description, examples=_examples(examples))


def error_responses(
    errors: Iterable[type[Exception]],
    invalid: tuple[str, str] = ("", ""),
    scope: Scope | None = None,
) -> dict[int, OpenApiResponse]:
    """Return one response for each status, with an example of each code that it can have."""
    by_status: dict[int, dict[str, Json]] = {}
    for error in errors:
        row = RESPONSES[error]
        body = envelope(example_error(error, invalid, scope), row).to_wire()
        by_status.setdefault(row.status, {})[row.code] = body
    return {
        status: OpenApiResponse(
            Error,
            description=" or ".join(f"`{code}`" for code in examples),
            examples=_examples(examples),
        )
        for status, examples in by_status.items()
    }
