"""The schema: it is the contract's, its examples are right, and the service keeps to it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
import yaml
from django.core.management import call_command
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from redis import Redis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agent_conversations.api.exceptions import RESPONSES
from config.environment import PROJECT_DIR
from config.wsgi import application
from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient

Json = dict[str, Any]

# By operation id: method, path below the prefix, and the body's component by status of success.
CONTRACT: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "listAgentConversations": ("get", "/list", {"200": "AgentConversationList"}),
    "createAgentConversation": (
        "post",
        "/new",
        {"200": "AgentConversationCreated", "201": "AgentConversationCreated"},
    ),
    "getAgentConversation": ("get", "/{conversationId}", {"200": "AgentConversation"}),
    "updateAgentConversation": ("patch", "/{conversationId}", {"200": "AgentConversation"}),
    "deleteAgentConversation": ("delete", "/{conversationId}", {"204": None}),
    "addAgentMessage": (
        "post",
        "/{conversationId}/message",
        {"200": "AgentMessageAdded", "201": "AgentMessageAdded"},
    ),
    "addAgentMessages": (
        "post",
        "/{conversationId}/messages",
        {"200": "AgentMessagesAdded", "201": "AgentMessagesAdded"},
    ),
    "getAgentMessage": (
        "get",
        "/{conversationId}/messages/{messageId}",
        {"200": "AgentMessage"},
    ),
    "putAgentMessage": (
        "put",
        "/{conversationId}/messages/{messageId}",
        {"200": "AgentMessage", "201": "AgentMessage"},
    ),
    "listAgentMessages": ("get", "/{conversationId}/messages", {"200": "AgentMessagePage"}),
    "registerAgentSession": (
        "post",
        "/{conversationId}/session",
        {"201": "AgentSessionRegistered"},
    ),
    "getAgentSession": ("get", "/{conversationId}/session", {"200": "AgentSessionStatus"}),
    "deleteAgentSession": ("delete", "/{conversationId}/session", {"204": None}),
    "pushToAgent": ("post", "/{conversationId}/push", {"200": "AgentPush", "202": "AgentPush"}),
    "getAgentPush": ("get", "/{conversationId}/push/{pushId}", {"200": "AgentPush"}),
}
COMPONENTS = {
    "AgentMessage",
    "AgentConversation",
    "AgentConversationList",
    "AgentConversationCreated",
    "AgentMessageAdded",
    "AgentMessagesAdded",
    "AgentMessagePage",
    "AgentSessionRegistered",
    "AgentSessionStatus",
    "AgentPush",
    "Error",
}
BESIDE_IT = {
    "followAgentConversation",
    "getHealth",
    "getLiveness",
    "getReadiness",
    "receiveElevenLabsWebhook",
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""What schemathesis checks of the responses to requests that it makes from the schema."""

SCHEMA: Json = yaml.safe_load((PROJECT_DIR / "openapi.yaml").read_text())


def find_operations(schema: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and operation."""
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


OPERATIONS = {
    operation["operationId"]: operation
    for _, _, operation in sorted(find_operations(SCHEMA), key=lambda found: found[:2])
}


def find_contents(operation: Json) -> Iterator[tuple[str, Json]]:
    """Yield the name and the content of the request and of every response that has one."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]
    for status, response in operation["responses"].items():
        if status != "204":
            yield status, response["content"]


def validator_of(schema: Json) -> Draft202012Validator:
    """Return a validator of a part of the document, whose references start at its root."""
    return Draft202012Validator(
        {**schema, "components": SCHEMA["components"]}, validate_formats=True
    )


def test_committed_schema_is_the_generated_one() -> None:
    generated = io.StringIO()

    call_command("spectacular", validate=True, fail_on_warn=True, stdout=generated)

    assert yaml.safe_load(generated.getvalue()) == SCHEMA, "run make openapi"


@pytest.mark.parametrize("seed", ["0", "1"])
def test_schema_is_the_same_text_in_every_process(seed: str) -> None:
    generated = subprocess.run(
        [sys.executable, "manage.py", "spectacular"],
        cwd=PROJECT_DIR,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
    )

    assert generated.stdout == (PROJECT_DIR / "openapi.yaml").read_bytes()


@pytest.mark.parametrize("path", ["/openapi.yaml", "/openapi.json"])
@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/json"])
def test_schema_is_served_with_any_accept(
    client: ServedClient, path: str, accept: str | None
) -> None:
    headers = {"Accept": accept} if accept else None

    response = client.get(path, headers=headers)

    assert response.status_code == 200
    assert yaml.safe_load(response.content) == SCHEMA


def test_schema_has_the_operations_of_the_contract_and_health() -> None:
    found = {
        operation["operationId"]: (method, path)
        for method, path, operation in find_operations(SCHEMA)
    }

    assert {name: found.pop(name) for name in CONTRACT} == {
        name: (method, PREFIX + path) for name, (method, path, _) in CONTRACT.items()
    }
    assert set(found) == BESIDE_IT


@pytest.mark.parametrize("operation_id", CONTRACT)
def test_success_has_the_type_of_the_contract(operation_id: str) -> None:
    responses = OPERATIONS[operation_id]["responses"]

    found = {
        status: response["content"]["application/json"]["schema"] if "content" in response else None
        for status, response in responses.items()
        if status < "300"
    }

    assert found == {
        status: name and {"$ref": f"#/components/schemas/{name}"}
        for status, name in CONTRACT[operation_id][2].items()
    }


@pytest.mark.parametrize("operation_id", CONTRACT)
def test_every_failure_has_the_envelope(operation_id: str) -> None:
    responses = OPERATIONS[operation_id]["responses"]

    failures = {status: response for status, response in responses.items() if status >= "400"}

    assert set(failures) >= {"400", "401", "406", "500", "503"}
    for response in failures.values():
        assert response["content"] == {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "examples": response["content"]["application/json"]["examples"],
            }
        }
    assert "Retry-After" in failures["503"]["headers"]


def test_schema_has_the_components_of_the_contract() -> None:
    assert set(SCHEMA["components"]["schemas"]) >= COMPONENTS


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_component_of_a_response_has_no_null(name: str) -> None:
    assert "null" not in yaml.safe_dump(SCHEMA["components"]["schemas"][name])


def test_no_description_repeats_its_summary() -> None:
    for operation in OPERATIONS.values():
        assert operation.get("description", "").rstrip(".") != operation.get("summary")


def test_schema_lists_every_code() -> None:
    codes = SCHEMA["components"]["schemas"]["Error"]["properties"]["code"]["enum"]

    assert set(codes) == {row.code for row in RESPONSES.values()}


def test_session_status_has_neither_url_nor_payload() -> None:
    properties = SCHEMA["components"]["schemas"]["AgentSessionStatus"]["properties"]

    assert set(properties) == {
        "conversationId",
        "sessionId",
        "transport",
        "createdAt",
        "ttl",
        "expiresInSeconds",
    }


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_examples_are_complete_and_match_their_schema(operation_id: str) -> None:
    contents = dict(find_contents(OPERATIONS[operation_id]))

    for name, content in contents.items():
        assert set(content) == {"application/json"}, name
        examples = content["application/json"]["examples"]
        validator = validator_of(content["application/json"]["schema"])
        assert examples, name
        for example in examples.values():
            errors = [error.message for error in validator.iter_errors(example["value"])]
            assert not errors, name


@pytest.mark.parametrize("operation_id", CONTRACT)
def test_examples_of_a_failure_have_its_status(operation_id: str) -> None:
    statuses = {row.code: str(row.status) for row in RESPONSES.values()}

    for status, content in find_contents(OPERATIONS[operation_id]):
        if status.isdigit() and status >= "400":
            examples = content["application/json"]["examples"].values()
            assert {statuses[example["value"]["code"]] for example in examples} == {status}


@pytest.mark.parametrize(
    "operation_id", [name for name in CONTRACT if "requestBody" in OPERATIONS[name]]
)
def test_examples_of_a_request_are_accepted(
    real_service: Redis, client: ServedClient, operation_id: str
) -> None:
    client.post(f"{PREFIX}/new", {"conversationId": "c-1"}, "application/json")
    session = {"sessionUrl": "wss://host/push", "sessionId": "s-1"}
    client.post(f"{PREFIX}/c-1/session", session, "application/json")
    method, path, successes = CONTRACT[operation_id]
    content = OPERATIONS[operation_id]["requestBody"]["content"]["application/json"]

    for example in content["examples"].values():
        response = client.generic(
            method.upper(),
            PREFIX + path.replace("{conversationId}", "c-1"),
            json.dumps(example["value"]),
            "application/json",
        )
        assert str(response.status_code) in successes


@pytest.mark.parametrize("operation_id", CONTRACT)
def test_body_is_required_where_the_service_needs_one(
    real_service: Redis, client: ServedClient, operation_id: str
) -> None:
    method, path, _ = CONTRACT[operation_id]
    body = OPERATIONS[operation_id].get("requestBody")
    if body is not None:
        client.post(f"{PREFIX}/new", {"conversationId": "c-1"}, "application/json")
        url = (PREFIX + path).replace("{conversationId}", "c-1").replace("{messageId}", "m-1")
        response = client.generic(method.upper(), url)

        assert body.get("required", False) == (response.status_code == 400)


@pytest.mark.parametrize(
    ("operation_id", "mode"),
    # Health takes nothing, so nothing that it is sent can be wrong.
    [*((name, "POSITIVE") for name in OPERATIONS), *((name, "NEGATIVE") for name in CONTRACT)],
)
def test_service_responds_as_the_schema_says(
    real_service: Redis, client: ServedClient, operation_id: str, mode: str
) -> None:
    document = schemathesis.openapi.from_wsgi("/openapi.json", application)
    operation = document.find_operation_by_id(operation_id)
    cases = operation.as_strategy(schemathesis.GenerationMode[mode])
    session = {"sessionUrl": "wss://host/push", "sessionId": "s-1"}

    @hypothesis.settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.filter_too_much,
        ],
    )
    @hypothesis.given(case=cases, of_a_known_conversation=st.booleans())
    def check(case: schemathesis.Case[Any], of_a_known_conversation: bool) -> None:
        if of_a_known_conversation and "conversationId" in (case.path_parameters or {}):
            client.post(f"{PREFIX}/new", {"conversationId": "c-1"}, "application/json")
            client.post(f"{PREFIX}/c-1/session", session, "application/json")
            case.path_parameters["conversationId"] = "c-1"
            if operation_id == "registerAgentSession" and isinstance(case.body, dict):
                # A body at random has no URL in it that a push can use.
                case.body = {**case.body, "wsUrl": "wss://host/push"}
        case.call_and_validate(checks=CHECKS)

    check()
