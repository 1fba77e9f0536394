"""The session of a conversation: register, look at, delete."""

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from agent_conversations.api.openapi.examples import EXAMPLE_ID
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.responses import respond
from agent_conversations.api.throttling import SessionRateThrottle
from agent_conversations.api.views.base import ApiViewSet
from sessions_store.errors import CorruptRecordError, SessionNotFoundError
from sessions_store.types import (
    WHAT_TO_SEND,
    AgentSession,
    AgentSessionRegistered,
    AgentSessionRegistration,
    AgentSessionStatus,
    SessionDeletionQuery,
)
from sessions_store.wire.clock import now_ms

_WS_URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=…&token=…"


class AgentSessionViewSet(ApiViewSet):
    """The live connection of a conversation: kept for ten minutes, so that a callback finds it."""

    throttle_classes = [SessionRateThrottle]

    @operation(
        "registerAgentSession",
        tag="sessions",
        scope="write",
        summary="Register the live connection of a conversation",
        responses={201: AgentSessionRegistered},
        example={
            "success": True,
            "message": "Agent session registered",
            "conversationId": EXAMPLE_ID,
            "sessionId": "sess_42",
            "createdAt": "2026-11-23T08:52:54.001Z",
            "ttl": 600,
        },
        request=AgentSessionRegistration,
        request_examples={
            "Today's frontend": {
                "sessionUrl": _WS_URL,
                "sessionId": "sess_42",
                "metadata": {"tab": 1},
            },
            "With the payload": {
                "sessionPayload": {"config": {"wsUrl": _WS_URL}, "features": []},
                "agentSessionId": "sess_42",
                "transport": "websocket",
                "expiresAt": "2026-11-23T09:02:54.000Z",
            },
        },
        errors=[Throttled],
        invalid=(
            "body",
            "A session id alone cannot reach the agent: a URL rebuilt from it lacks its token. "
            + WHAT_TO_SEND,
        ),
        irreversible="POST replaces the session that is registered, if there is one.",
    )
    @action(
        detail=True, methods=["post"], url_path="session", url_name="detail", name="Agent session"
    )
    def register_session(self, request: Request, conversation_id: str) -> HttpResponseBase:
        session = AgentSession.from_registration(request.data)
        stored = self.sessions.set(conversation_id, session)
        body = AgentSessionRegistered.of(conversation_id, stored)
        return respond(request, body, 201)

    @operation(
        "getAgentSession",
        tag="sessions",
        scope="read",
        summary="See whether a session is registered, and for how long",
        responses={200: AgentSessionStatus},
        example={
            "conversationId": EXAMPLE_ID,
            "sessionId": "sess_42",
            "transport": "websocket",
            "createdAt": "2026-11-23T08:52:54.001Z",
            "ttl": 600,
            "expiresInSeconds": 574,
        },
        errors=[SessionNotFoundError, CorruptRecordError],
    )
    @register_session.mapping.get
    def retrieve_session(self, request: Request, conversation_id: str) -> HttpResponseBase:
        session = self.sessions.get(conversation_id)
        if session is None:
            raise SessionNotFoundError
        return respond(request, AgentSessionStatus.of(conversation_id, session, now_ms()))

    @operation(
        "deleteAgentSession",
        tag="sessions",
        scope="write",
        summary="Forget the session, or only the one with a given id",
        responses={204: None},
        query=SessionDeletionQuery,
        errors=[CorruptRecordError],
        irreversible="DELETE forgets the session: callbacks cannot reach the agent any more.",
    )
    @register_session.mapping.delete
    def destroy_session(self, request: Request, conversation_id: str) -> HttpResponseBase:
        query = SessionDeletionQuery.parse(request.query_params.dict())
        self.sessions.delete(conversation_id, query.session_id)
        return respond(request, None, 204)
