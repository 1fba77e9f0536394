"""The messages of a conversation: append one, read a page of them."""

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.request import Request

from agent_conversations.api.headers import IDEMPOTENCY, idempotency_key
from agent_conversations.api.openapi.examples import EXAMPLE_ID, TOOL_MESSAGE, USER_MESSAGE
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.responses import respond, respond_written
from agent_conversations.api.views.base import ApiViewSet
from agent_conversations.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
)
from agent_conversations.services import conversations
from agent_conversations.types import (
    AgentMessage,
    AgentMessageAdded,
    AgentMessagePage,
    MessagePageQuery,
    MessagePagination,
)
from sessions_store.errors import CorruptRecordError
from sessions_store.wire.model import Encoded


class AgentMessageViewSet(ApiViewSet):
    """What was said in a conversation, and the calls of tools, in order."""

    @operation(
        "addAgentMessage",
        tag="conversations",
        summary="Append a message",
        responses={201: AgentMessageAdded, 200: AgentMessageAdded},
        example={
            "success": True,
            "conversationId": EXAMPLE_ID,
            "message": "Message added to conversation",
            "messageId": USER_MESSAGE["messageId"],
            "messageCount": 1,
        },
        request=AgentMessage,
        request_examples={
            "A user's voice": {
                "role": "user",
                "content": USER_MESSAGE["content"],
                "source": "voice",
            },
            "A tool's output": {
                key: value
                for key, value in TOOL_MESSAGE.items()
                if key not in ("timestamp", "messageId")
            },
            "With every field": TOOL_MESSAGE,
        },
        headers=IDEMPOTENCY,
        errors=[
            ConversationNotFoundError,
            MessageConflictError,
            ConversationFullError,
            CorruptRecordError,
        ],
        invalid=("content", "content must not be empty, except for the role tool"),
        irreversible="A message that was added cannot be changed or taken back.",
    )
    @action(detail=True, methods=["post"], url_path="message", url_name="new", name="New message")
    def add_message(self, request: Request, conversation_id: str) -> HttpResponseBase:
        message = AgentMessage.parse(request.data)
        added = conversations().append_message(
            conversation_id, message, idempotency_key=idempotency_key(request)
        )
        body = AgentMessageAdded(
            conversation_id=conversation_id,
            message="Message added to conversation",
            message_id=added.message_id,
            message_count=added.message_count,
        )
        return respond_written(request, body, replayed=added.replayed)

    @operation(
        "listAgentMessages",
        tag="conversations",
        summary="Read some of a conversation's messages",
        responses={200: AgentMessagePage},
        example={
            "messages": [USER_MESSAGE],
            "pagination": {"total": 2, "limit": 1, "hasMore": True, "next": "0.9f2c41d07be3"},
        },
        query=MessagePageQuery,
        errors=[ConversationNotFoundError, CorruptRecordError],
        invalid=("limit", "limit must be a positive integer"),
    )
    @action(detail=True, url_path="messages", url_name="list", name="Messages")
    def list_messages(self, request: Request, conversation_id: str) -> HttpResponseBase:
        query = MessagePageQuery.parse(request.query_params.dict())
        page = conversations().list_messages(conversation_id, **dict(query))
        pagination = MessagePagination(
            total=page.total, limit=query.limit, has_more=page.next is not None, next=page.next
        )
        messages: Encoded[list[AgentMessage]] = Encoded(b"[" + b",".join(page.messages_json) + b"]")
        return respond(request, AgentMessagePage(messages=messages, pagination=pagination))
