"""How an answer is written: spliced JSON for programs, a page for people."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from django.urls import reverse
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer

from agent_conversations.api.operations import operation_of
from agent_conversations.store.records import StoredConversation
from agent_conversations.types import AgentConversationList
from sessions_store.wire import json_codec
from sessions_store.wire.model import WireModel


class JsonRenderer(BaseRenderer):
    """Writes types as JSON; stored JSON is put into the answer as it stands, undecoded."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        if isinstance(data, StoredConversation):
            return data.to_json()  # as it is: orjson would copy it once more
        return orjson.dumps(data, default=_encodable, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _encodable(value: Any) -> Any:
    if isinstance(value, WireModel):
        return value.to_wire()
    if isinstance(value, StoredConversation):
        return orjson.Fragment(value.to_json())
    if isinstance(value, bytes):
        return orjson.Fragment(value)
    raise TypeError


class _IndentedJsonRenderer(JsonRenderer):
    """The same JSON, laid out for reading."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        encoded = super().render(data, accepted_media_type, renderer_context)
        if not encoded:
            return b""
        return json.dumps(json_codec.decode(encoded), indent=2, ensure_ascii=False).encode()


class BrowsableRenderer(BrowsableAPIRenderer):
    """The browsable API: every form is filled in with an example that can be sent as it is."""

    template = "agent_conversations/api.html"
    format = "html"

    def get_default_renderer(self, view: Any) -> BaseRenderer:
        return _IndentedJsonRenderer()

    def get_raw_data_form(self, data: Any, view: Any, method: str, request: Any) -> Any:
        form = super().get_raw_data_form(data, view, method, request)
        operation = operation_of(view, method)
        if form is None or operation is None:
            return None
        example = next(iter(operation.request_examples.values()), {})
        form.fields["_content"].initial = json.dumps(example, indent=2, ensure_ascii=False)
        return form

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        view = context["view"]
        context["links"] = _links(view, data)
        if context["response"].status_code == 405 and context["request"].method == "GET":
            context["content"] = "Nothing to read here: this path takes the form below."
        operations = {method: operation_of(view, method) for method in view.allowed_methods}
        context["irreversible"] = {
            method: operation.irreversible
            for method, operation in operations.items()
            if operation and operation.irreversible
        }
        return context


def _links(view: Any, data: Any) -> Mapping[str, str]:
    """Return where to go from a page: to the conversations on it, or around the one it is about."""
    if isinstance(data, AgentConversationList):
        shown = [conversation.conversation_id for conversation in data.conversations]
        return {one: reverse("agent-conversation", args=[one]) for one in shown}
    conversation_id = view.kwargs.get("conversation_id") or getattr(data, "conversation_id", None)
    if conversation_id is None:
        return {}
    names = {
        "Conversation": "agent-conversation",
        "Messages": "agent-messages",
        "New message": "new-agent-message",
        "Session": "agent-session",
    }
    return {title: reverse(name, args=[conversation_id]) for title, name in names.items()}
