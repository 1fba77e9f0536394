"""A text into the running conversation, by way of the tab that holds its session."""

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.request import Request

from agent_conversations.api.headers import REPLAYED
from agent_conversations.api.openapi.examples import EXAMPLE_ID
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.responses import respond, respond_written
from agent_conversations.api.views.base import ApiViewSet
from sessions_store.errors import (
    CorruptRecordError,
    PushConflictError,
    PushNotFoundError,
    SessionNotFoundError,
)
from sessions_store.push_types import AgentPush, AgentPushRequest

_PUSH = {
    "conversationId": EXAMPLE_ID,
    "pushId": "push-1795424012880-6b0d93f1c27a54e8",
    "state": "queued",
    "createdAt": "2026-11-23T08:53:32.880Z",
    "expiresAt": "2026-11-23T08:54:32.880Z",
}


class AgentPushViewSet(ApiViewSet):
    """Texts for a running conversation: each is given to one tab at most, once."""

    @operation(
        "pushToAgent",
        tag="sessions",
        scope="push",
        summary="Push a text into the running conversation",
        responses={202: AgentPush, 200: AgentPush},
        example=_PUSH,
        request=AgentPushRequest,
        request_examples={
            "As if the user had said it": {"text": "Is my report done?"},
            "For the agent to know": {
                "text": "The report is done: 12 pages, in the user's inbox.",
                "kind": "contextual_update",
                "contextId": "report",
                "pushId": "report-42-done",
                "expiresInSeconds": 300,
            },
        },
        headers=[REPLAYED],
        errors=[SessionNotFoundError, PushConflictError, CorruptRecordError],
        invalid=("expiresInSeconds", "expiresInSeconds must be a whole number from 1 to 600"),
        irreversible="A push cannot be taken back: a tab may have it at once.",
    )
    @action(detail=True, methods=["post"], url_path="push", url_name="new", name="New push")
    def push(self, request: Request, conversation_id: str) -> HttpResponseBase:
        created = self.pushes.create(conversation_id, AgentPushRequest.parse(request.data))
        return respond_written(request, created.push, replayed=created.replayed, status=202)

    @operation(
        "getAgentPush",
        tag="sessions",
        scope="read",
        summary="See what became of a push",
        responses={200: AgentPush},
        example={**_PUSH, "state": "failed", "reason": "The call has ended."},
        errors=[PushNotFoundError, CorruptRecordError],
    )
    @action(detail=True, url_path="push/<clients_id:push_id>", url_name="detail", name="Push")
    def retrieve_push(
        self, request: Request, conversation_id: str, push_id: str
    ) -> HttpResponseBase:
        return respond(request, self.pushes.get(conversation_id, push_id))
