"""drf-spectacular's schema, with what all our operations have in common."""

import re
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from pydantic import TypeAdapter
from rest_framework.request import Request

from agent_conversations.api.exceptions import RESPONSES
from agent_conversations.api.headers import RETRY_AFTER
from agent_conversations.api.openapi.components import Json
from sessions_store.wire.fields import ConversationId, Identifier

_PATH_PARAMETERS = {
    "conversationId": OpenApiParameter(
        "conversation_id",
        {"type": "string", "pattern": TypeAdapter(ConversationId).json_schema()["pattern"]},
        OpenApiParameter.PATH,
        description="The conversation's id.",
    ),
    "messageId": OpenApiParameter(
        "message_id",
        TypeAdapter(Identifier).json_schema(),
        OpenApiParameter.PATH,
        description="The message's id.",
    ),
    "pushId": OpenApiParameter(
        "push_id",
        TypeAdapter(Identifier).json_schema(),
        OpenApiParameter.PATH,
        description="The push's id.",
    ),
}
"""By their names in the schema; in the code they have Python's."""


class ContractSchema(AutoSchema):
    """Adds the parameters that follow from an operation's path and from its responses."""

    def get_override_parameters(self) -> list[Any]:
        in_path = [one for one in _PATH_PARAMETERS.values() if f"{{{one.name}}}" in self.path]
        return [*in_path, RETRY_AFTER]


def complete_schema(result: Json, request: Request | None, **_: Any) -> Json:
    """drf-spectacular's hook: what it has no setting for."""
    if request and (prefix := request.META["SCRIPT_NAME"]):
        result["servers"] = [{"url": prefix}]
    names = {parameter.name: name for name, parameter in _PATH_PARAMETERS.items()}
    result["paths"] = {
        re.sub(r"\{(\w+)\}", lambda found: f"{{{names[found[1]]}}}", path): item
        for path, item in result["paths"].items()
    }
    for item in result["paths"].values():
        for operation in item.values():
            if operation.get("description") == operation.get("summary"):
                operation.pop("description", None)
            if "requestBody" in operation:
                _require_body(operation["requestBody"], result["components"]["schemas"])
            if "security" in operation:
                operation["security"].append({})  # a server without API_TOKENS asks for none
            for parameter in operation.get("parameters", ()):
                parameter["name"] = names.get(parameter["name"], parameter["name"])
    error = result["components"]["schemas"]["Error"]
    error["properties"]["code"]["enum"] = sorted({row.code for row in RESPONSES.values()})
    return result


def _require_body(body: Json, components: Json) -> None:
    """Say that a body is required where an empty object is none of its type."""
    (content,) = body["content"].values()
    component = components[content["schema"]["$ref"].rpartition("/")[2]]
    if component.get("required") or component.get("minProperties"):
        body["required"] = True
