"""The browsable API: a page for people in place of each response."""

import json
from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from rest_framework.renderers import BrowsableAPIRenderer

from agent_conversations.api.openapi.forms import form_of
from agent_conversations.api.renderers import JsonRenderer

SHOWN_MESSAGES = 20
"""How many of a conversation's messages its page shows, the newest; a page of several has one."""

SHOWN_CHARACTERS = 2000
"""How many of a text's characters a page shows."""


class BrowsableRenderer(BrowsableAPIRenderer):
    """A page, on which every form is filled in with an example that can be sent as it is.

    That of a PUT or PATCH has what it would replace. A form that was refused keeps what was typed.
    """

    template = "agent_conversations/api.html"
    format = "html"

    def get_content(self, *args: Any) -> str:
        content: str = super().get_content(*args)
        if not content:
            return ""
        body = json.loads(content)
        shown = 1 if "conversations" in body else SHOWN_MESSAGES
        for conversation in _conversations_in(body):
            del conversation["messages"][:-shown]
        return json.dumps(_shortened(body), indent=2, ensure_ascii=False)

    def get_raw_data_form(self, data: Any, view: Any, method: str, request: Any) -> Any:
        raw_data_form = super().get_raw_data_form(data, view, method, request)
        form = form_of(view, method)
        if raw_data_form is None or form is None:
            return None
        refused = view.response.status_code >= 400
        replaced = {}
        if data is not None and not refused and method in ("PUT", "PATCH"):
            stored = json.loads(JsonRenderer().render(data))
            replaced = {name: value for name, value in stored.items() if name in form.fields}
        example = json.dumps(replaced or form.example, indent=2, ensure_ascii=False)
        typed = getattr(request, "typed", b"") if refused and request.method == method else b""
        raw_data_form.fields["_content"].initial = typed.decode(errors="replace") or example
        return raw_data_form

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        view = context["view"]
        content = JsonRenderer().render(data)
        body = json.loads(content) if content else {}
        context["links"] = _links(view, body)
        if getattr(view, "action", "") == "list_conversations":
            context["listing"] = _listing(context["request"], body)
        else:
            counts = [one["messageCount"] for one in _conversations_in(body)]
            context["all_messages"] = sum(counts)
            context["shown_messages"] = SHOWN_MESSAGES
        if context["response"].status_code == 405 and context["request"].method == "GET":
            context["content"] = "Nothing to read here: this path takes the form below."
        forms = {method: form_of(view, method) for method in view.allowed_methods}
        context["irreversible"] = {
            method: form.irreversible
            for method, form in forms.items()
            if form and form.irreversible
        }
        return context


def _shortened(value: Any) -> Any:
    """Return JSON with the beginnings of its long texts only; each says so at its end."""
    match value:
        case str() if len(value) > SHOWN_CHARACTERS:
            return f"{value[:SHOWN_CHARACTERS]}… (of {len(value):,} characters)"
        case list():
            return [_shortened(one) for one in value]
        case dict():
            return {name: _shortened(one) for name, one in value.items()}
    return value


def _conversations_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    if "conversations" in body:
        listed: list[dict[str, Any]] = body["conversations"]
        return listed
    one = body.get("conversation", body)
    return [one] if "messageCount" in one and "messages" in one else []


def _links(view: Any, body: Mapping[str, Any]) -> Mapping[str, str]:
    """Return where to go from a page: to all conversations, or around the one it is about."""
    conversation_id = view.kwargs.get("conversation_id") or body.get("conversationId")
    if conversation_id is None:
        return {
            "All conversations": reverse("agent-conversation-list"),
            "New conversation": reverse("agent-conversation-new"),
            "Watch": reverse("watch-list"),
        }
    names = {
        "Conversation": "agent-conversation-detail",
        "Messages": "agent-message-list",
        "New message": "agent-message-new",
        "Session": "agent-session-detail",
        "Push": "agent-push-new",
        "Watch": "watch",
        "All conversations": "agent-conversation-list",
    }
    return {
        title: reverse(name, args=[] if name.endswith("conversation-list") else [conversation_id])
        for title, name in names.items()
    }


_COLUMNS = {
    "createdAt": "Created",
    "messageCount": "Messages",
    "lastAccessedAt": "Last access",
}
_FILTERS = {"agentId": "Agent", "userId": "User", "from": "From", "to": "To"}


def _listing(request: Any, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table of a page of conversations, and where its links and its form lead."""
    query = request.query_params

    def address(**changes: object) -> str:
        """Return this page's address with other parameters, from its start again."""
        parameters = query.copy()
        for name in ("cursor", "offset", *changes):
            parameters.pop(name, None)
        parameters.update({name: value for name, value in changes.items() if value is not None})
        return f"{request.path}?{parameters.urlencode()}"

    sort_by = query.get("sortBy") or "lastAccessedAt"
    descending = query.get("sortOrder") != "asc"
    columns = []
    for field, title in _COLUMNS.items():
        arrow = (" ▼" if descending else " ▲") if field == sort_by else ""
        order = "asc" if arrow and descending else "desc"
        # What a range means depends on what is sorted by.
        ends = {} if field == sort_by else {"from": None, "to": None}
        where = address(sortBy=field, sortOrder=order, **ends)
        columns.append({"title": title + arrow, "address": where})
    page = body.get("pagination", {"offset": 0, "limit": 0})
    before = max(0, page["offset"] - page["limit"])
    end = "10" if sort_by == "messageCount" else "2026-11-23T00:00Z"
    return {
        "rows": [_row(conversation) for conversation in body.get("conversations", ())],
        "columns": columns,
        "page": page,
        "first": page["offset"] + 1,
        "last": page["offset"] + len(body.get("conversations", ())),
        "previous": address(offset=before or None) if page["offset"] else "",
        "next": address(cursor=page["next"]) if "next" in page else "",
        "filters": [
            {
                "name": name,
                "title": title,
                "value": query.get(name, ""),
                "example": end if name in ("from", "to") else "",
            }
            for name, title in _FILTERS.items()
        ],
        "kept": {name: query[name] for name in ("limit", "sortBy", "sortOrder") if query.get(name)},
        "all": request.path,
    }


def _row(conversation: Mapping[str, Any]) -> Mapping[str, Any]:
    messages = conversation["messages"]
    words = next((one["content"] for one in messages if one["content"]), "")
    older = conversation["messageCount"] > len(messages)
    return {
        **conversation,
        "address": reverse("agent-conversation-detail", args=[conversation["conversationId"]]),
        "words": f"… {words}" if older and words else words,
    }
