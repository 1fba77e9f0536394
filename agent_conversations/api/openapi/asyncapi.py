"""The document of the live socket (AsyncAPI 3): its address, its parameters, its frames."""

import inspect
import json
from collections.abc import Sequence
from typing import Any

import yaml
from django.conf import settings
from pydantic.json_schema import models_json_schema

from agent_conversations import API_PREFIX
from agent_conversations.api.openapi import examples
from agent_conversations.envelope import error_response
from agent_conversations.errors import (
    FeatureDisabledError,
    OriginNotAllowedError,
    ScopeMissingError,
    TokenRequiredError,
    UpgradeRequiredError,
)
from agent_conversations.frames import FRAMES, RECEIVED, type_of
from agent_conversations.types import ViewerQuery
from sessions_store.errors import InvalidRequestError
from sessions_store.wire.json_schema import QuerySchema, ResponseSchema
from sessions_store.wire.model import WireModel

Json = dict[str, Any]

_REFUSALS = (
    InvalidRequestError(""),
    TokenRequiredError(),
    ScopeMissingError("read"),
    OriginNotAllowedError(),
    UpgradeRequiredError(),
    FeatureDisabledError(),
)


def to_yaml() -> str:
    """Return the document as ``asyncapi.yaml`` has it."""
    without_aliases = json.loads(json.dumps(document()))
    return str(yaml.safe_dump(without_aliases, sort_keys=False, allow_unicode=True))


def document() -> Json:
    """Return the document, of values that JSON and YAML have."""
    _, schemas = models_json_schema(
        [(frame, "serialization") for frame in (*FRAMES, *RECEIVED)],
        schema_generator=ResponseSchema,
        ref_template="#/components/schemas/{model}",
    )
    rows = sorted((error_response(error) for error in _REFUSALS), key=lambda row: row.status)
    refusals = ", ".join(f"{row.status} `{row.code}`" for row in rows)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "elevenlabs-agent: the live socket",
            "version": settings.SPECTACULAR_SETTINGS["VERSION"],
            "description": "A WebSocket on which a conversation is followed. A tab that "
            "names its session is given the pushes for it, and says what became of them; whatever "
            "else a client sends is ignored. A connection that is refused gets an HTTP response in "
            f"the envelope of errors: {refusals}. The server closes with 1000 once the "
            "conversation is deleted, with 1001 when it stops, with 1008 when the token is taken "
            "away, with 1009 after too long a frame of a client, and with 1013 where a client does "
            "not read.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "live": {
                "host": "{host}:{port}",
                "protocol": "ws",
                "variables": {
                    "host": {"default": "127.0.0.1"},
                    "port": {"default": "8001", "description": "`LIVE_PORT`"},
                },
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "conversation": {
                "address": f"{API_PREFIX}/ws",
                "description": "With `mode=delta` there is one snapshot, and then only what "
                "changed. Who comes back with `after` and `revision`, the number of messages and "
                "the revision that it has, gets what is missing, or a snapshot where that is more "
                "than messages at the end.",
                "servers": [{"$ref": "#/servers/live"}],
                "messages": {
                    frame.__name__: {"$ref": f"#/components/messages/{frame.__name__}"}
                    for frame in (*FRAMES, *RECEIVED)
                },
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": _query(),
                    }
                },
            }
        },
        "operations": {
            "followAgentConversation": {
                "action": "send",
                "channel": {"$ref": "#/channels/conversation"},
                "summary": "What is sent to a viewer",
                "messages": _in_channel(FRAMES),
            },
            "reportAgentPush": {
                "action": "receive",
                "channel": {"$ref": "#/channels/conversation"},
                "summary": "What a tab says became of a push",
                "messages": _in_channel(RECEIVED),
            },
        },
        "components": {
            "messages": {frame.__name__: _message(frame) for frame in (*FRAMES, *RECEIVED)},
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the server's `API_TOKENS`, where it has any, with the "
                    "scope `read`, and `write` for a tab that names its session; from a browser as "
                    "the subprotocol `bearer.<token>`.",
                }
            },
        },
    }


def _query() -> Json:
    """Return the schema of the query, in which ``id`` may stand for ``conversationId``."""
    schema = ViewerQuery.model_json_schema(schema_generator=QuerySchema)
    schema["properties"]["id"] = schema["properties"]["conversationId"]
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["id"]}]
    return schema


def _in_channel(frames: Sequence[type[WireModel]]) -> list[Json]:
    return [{"$ref": f"#/channels/conversation/messages/{frame.__name__}"} for frame in frames]


def _message(frame: type[WireModel]) -> Json:
    kind = type_of(frame)
    return {
        "name": kind,
        "summary": (inspect.getdoc(frame) or "").replace("``", "`"),
        "payload": {"$ref": f"#/components/schemas/{frame.__name__}"},
        "examples": [{"payload": {"type": kind, **examples.FRAMES[kind]}}],
    }
