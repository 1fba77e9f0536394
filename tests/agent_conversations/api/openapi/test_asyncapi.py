"""``asyncapi.yaml``: it is what the live socket sends."""

import json
from collections.abc import Iterator

import jsonschema_rs
import pytest
import yaml
from websockets.frames import CloseCode

from agent_conversations.api.openapi.asyncapi import document, to_yaml
from agent_conversations.envelope import error_response
from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.frames import FRAMES, RECEIVED, type_of
from agent_conversations.live.viewer import NORMAL_CLOSURE, TRY_AGAIN_LATER
from config.environment import PROJECT_DIR
from sessions_store.wire.model import WireModel
from tests.agent_conversations.live.document import DOCUMENT, validate
from tests.conftest import ServedClient

NODE_MODULES = PROJECT_DIR / "tests/typescript/node_modules"
SPECIFICATION = NODE_MODULES / "@asyncapi/specs/schemas/3.0.0.json"


def test_committed_document_is_fresh_and_served(client: ServedClient) -> None:
    served = client.get("/asyncapi.yaml")

    assert to_yaml() == (PROJECT_DIR / "asyncapi.yaml").read_text(), "run make openapi"
    assert served.content.decode() == to_yaml()
    assert served.headers["Content-Type"] == "application/yaml"


@pytest.mark.skipif(not NODE_MODULES.exists(), reason="make types brings the specification")
def test_document_is_valid_asyncapi() -> None:
    specification = jsonschema_rs.validator_for(json.loads(SPECIFICATION.read_text()))

    specification.validate(DOCUMENT)
    assert not specification.is_valid({**DOCUMENT, "channel": {}})
    assert not specification.is_valid({**DOCUMENT, "servers": {"live": {"host": "127.0.0.1"}}})


def test_every_frame_is_a_message() -> None:
    sent = [f"#/components/messages/{name}" for name in document()["components"]["messages"]]
    in_channel = document()["channels"]["conversation"]["messages"].values()

    assert sent == [f"#/components/messages/{frame.__name__}" for frame in (*FRAMES, *RECEIVED)]
    assert [message["$ref"] for message in in_channel] == sent


@pytest.mark.parametrize("frame", [*FRAMES, *RECEIVED], ids=type_of)
def test_example_is_of_its_frame(frame: type[WireModel]) -> None:
    message = DOCUMENT["components"]["messages"][frame.__name__]
    (example,) = message["examples"]

    validate(example["payload"])
    fields = {field.alias for field in frame.model_fields.values()}
    assert set(example["payload"]) == fields


def test_example_of_an_error_is_what_is_sent() -> None:
    (example,) = DOCUMENT["components"]["messages"]["ErrorFrame"]["examples"]
    error = ConversationNotFoundError()

    assert example["payload"]["error"] == str(error)
    assert example["payload"]["code"] == error_response(error).code


def test_query_may_name_the_conversation_by_id() -> None:
    (channel,) = DOCUMENT["channels"].values()
    query = jsonschema_rs.validator_for(channel["bindings"]["ws"]["query"])

    assert query.is_valid({"id": "c-1", "mode": "delta"})
    assert query.is_valid({"conversationId": "c-1", "after": 2, "revision": "r-1"})
    assert not query.is_valid({"mode": "delta"})


def find_references(part: object) -> Iterator[str]:
    """Yield every reference in a part of the document."""
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
        part = [*part.values()]
    if isinstance(part, list):
        for one in part:
            yield from find_references(one)


def test_every_reference_leads_to_something() -> None:
    references = {*find_references(DOCUMENT)}

    assert len(references) > len(FRAMES)
    for reference in references:
        part = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((PROJECT_DIR / "tests" / "typescript" / "package-lock.json").read_text())

    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_conversations_have_one_schema_in_both_documents() -> None:
    openapi = yaml.safe_load((PROJECT_DIR / "openapi.yaml").read_text())["components"]["schemas"]

    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in schemas.items():
        if name not in [frame.__name__ for frame in RECEIVED]:
            assert json.dumps(schema) == json.dumps(openapi[name]), name


def test_frame_with_an_unknown_reason_is_refused() -> None:
    (example,) = DOCUMENT["components"]["messages"]["UpdatedFrame"]["examples"]

    with pytest.raises(jsonschema_rs.ValidationError):
        validate({**example["payload"], "reason": "because"})


def test_description_has_every_code_of_closing() -> None:
    codes = [NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.MESSAGE_TOO_BIG, TRY_AGAIN_LATER]

    for code in codes:
        assert f" {code:d} " in DOCUMENT["info"]["description"]
