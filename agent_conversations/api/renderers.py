"""How a response is written: JSON for programs, a page for people."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from django.urls import reverse
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer

from agent_conversations.api.openapi.forms import form_of
from sessions_store.wire.model import Encoded, WireModel


class JsonRenderer(BaseRenderer):
    """Writes types as JSON; JSON that is stored is put into the response undecoded."""

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
        if isinstance(data, Encoded):
            return data.json
        return orjson.dumps(data, default=_encodable)


def _encodable(value: Any) -> Any:
    if isinstance(value, WireModel):
        return value.to_wire()
    if isinstance(value, Encoded):
        return orjson.Fragment(value.json)
    raise TypeError


class BrowsableRenderer(BrowsableAPIRenderer):
    """The browsable API: every form is filled in with an example that can be sent as it is."""

    template = "agent_conversations/api.html"
    format = "html"

    def get_content(self, *args: Any) -> str:
        content: str = super().get_content(*args)
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False) if content else ""

    def get_raw_data_form(self, data: Any, view: Any, method: str, request: Any) -> Any:
        raw_data_form = super().get_raw_data_form(data, view, method, request)
        form = form_of(view, method)
        if raw_data_form is None or form is None:
            return None
        example = json.dumps(form.example, indent=2, ensure_ascii=False)
        raw_data_form.fields["_content"].initial = example
        return raw_data_form

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        view = context["view"]
        context["links"] = _links(view, JsonRenderer().render(data))
        if context["response"].status_code == 405 and context["request"].method == "GET":
            context["content"] = "Nothing to read here: this path takes the form below."
        forms = {method: form_of(view, method) for method in view.allowed_methods}
        context["irreversible"] = {
            method: form.irreversible
            for method, form in forms.items()
            if form and form.irreversible
        }
        return context


def _links(view: Any, content: bytes) -> Mapping[str, str]:
    """Return where to go from a page: to the conversations on it, or around the one it is about."""
    body = json.loads(content) if content else {}
    if "conversations" in body:
        listed = [conversation["conversationId"] for conversation in body["conversations"]]
        return {each: reverse("agent-conversation-detail", args=[each]) for each in listed}
    conversation_id = view.kwargs.get("conversation_id") or body.get("conversationId")
    if conversation_id is None:
        return {}
    names = {
        "Conversation": "agent-conversation-detail",
        "Messages": "agent-message-list",
        "New message": "agent-message-new",
        "Session": "agent-session-detail",
    }
    return {title: reverse(name, args=[conversation_id]) for title, name in names.items()}
