"""The messages of a conversation: append, replace, read one or a page of them."""

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.request import Request

from agent_conversations.api.headers import ETAG, IDEMPOTENCY, IF_MATCH, idempotency_key, if_match
from agent_conversations.api.openapi.examples import (
    ASSISTANT_MESSAGE,
    EXAMPLE_ID,
    TOOL_MESSAGE,
    USER_MESSAGE,
)
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.responses import respond, respond_written
from agent_conversations.api.views.base import ApiViewSet
from agent_conversations.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
    MessageNotFoundError,
    PreconditionFailedError,
)
from agent_conversations.store.results import StoredMessage
from agent_conversations.types import (
    CONTENT_RULE,
    AgentMessage,
    AgentMessageAdded,
    AgentMessagePage,
    AgentMessageResult,
    AgentMessagesAdded,
    AgentMessagesRequest,
    MessageId,
    MessagePageQuery,
    MessagePagination,
)
from sessions_store.errors import CorruptRecordError, InvalidRequestError
from sessions_store.wire.model import Encoded


def _without(example: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name not in names}


class AgentMessageViewSet(ApiViewSet):
    """What was said in a conversation, and the calls of tools, in order."""

    @operation(
        "addAgentMessage",
        tag="conversations",
        scope="write",
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
            "A tool's output": _without(TOOL_MESSAGE, "timestamp", "messageId"),
            "With every field": TOOL_MESSAGE,
        },
        headers=IDEMPOTENCY,
        errors=[
            ConversationNotFoundError,
            MessageConflictError,
            ConversationFullError,
            CorruptRecordError,
        ],
        invalid=("content", f"content {CONTENT_RULE}"),
        irreversible="A message that was added cannot be taken back.",
    )
    @action(detail=True, methods=["post"], url_path="message", url_name="new", name="New message")
    def add_message(self, request: Request, conversation_id: str) -> HttpResponseBase:
        message = AgentMessage.parse(request.data)
        added = self.conversations.append_message(
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
        "addAgentMessages",
        tag="conversations",
        scope="write",
        summary="Append several messages: all of them or none",
        responses={201: AgentMessagesAdded, 200: AgentMessagesAdded},
        example={
            "success": True,
            "conversationId": EXAMPLE_ID,
            "message": "Messages added to conversation",
            "messageCount": 2,
            "messages": [
                {"messageId": USER_MESSAGE["messageId"], "replayed": False},
                {"messageId": TOOL_MESSAGE["messageId"], "replayed": False},
            ],
        },
        request=AgentMessagesRequest,
        request_examples={"A turn and a call": {"messages": [USER_MESSAGE, TOOL_MESSAGE]}},
        headers=IDEMPOTENCY,
        errors=[
            ConversationNotFoundError,
            MessageConflictError,
            ConversationFullError,
            CorruptRecordError,
        ],
        invalid=("messages[3].content", f"messages[3].content {CONTENT_RULE}"),
        irreversible="A message that was added cannot be taken back.",
    )
    @action(detail=True, methods=["post"], url_path="messages", url_name="list", name="Messages")
    def add_messages(self, request: Request, conversation_id: str) -> HttpResponseBase:
        messages = AgentMessagesRequest.parse(request.data).messages
        added = self.conversations.append_messages(
            conversation_id, messages, idempotency_key=idempotency_key(request)
        )
        body = AgentMessagesAdded(
            conversation_id=conversation_id,
            message="Messages added to conversation",
            message_count=added[0].message_count,
            messages=[
                AgentMessageResult(message_id=one.message_id, replayed=one.replayed)
                for one in added
            ],
        )
        return respond_written(request, body, replayed=all(one.replayed for one in added))

    @operation(
        "listAgentMessages",
        tag="conversations",
        scope="read",
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
    @add_messages.mapping.get
    def list_messages(self, request: Request, conversation_id: str) -> HttpResponseBase:
        query = MessagePageQuery.parse(request.query_params.dict())
        page = self.conversations.list_messages(conversation_id, **dict(query))
        pagination = MessagePagination(
            total=page.total, limit=query.limit, has_more=page.next is not None, next=page.next
        )
        messages: Encoded[list[AgentMessage]] = Encoded(b"[" + b",".join(page.messages_json) + b"]")
        return respond(request, AgentMessagePage(messages=messages, pagination=pagination))

    @operation(
        "getAgentMessage",
        tag="conversations",
        scope="read",
        summary="Read a message",
        responses={200: AgentMessage},
        example=ASSISTANT_MESSAGE,
        headers=[ETAG],
        errors=[ConversationNotFoundError, MessageNotFoundError, CorruptRecordError],
    )
    @action(
        detail=True, url_path="messages/<clients_id:message_id>", url_name="message", name="Message"
    )
    def get_message(
        self, request: Request, conversation_id: str, message_id: str
    ) -> HttpResponseBase:
        return _with_tag(request, self.conversations.get_message(conversation_id, message_id))

    @operation(
        "putAgentMessage",
        tag="conversations",
        scope="write",
        summary="Replace a message in its place, or append it",
        responses={200: AgentMessage, 201: AgentMessage},
        example=ASSISTANT_MESSAGE,
        request=AgentMessage,
        request_examples={
            "What was heard of an answer": _without(ASSISTANT_MESSAGE, "timestamp", "messageId"),
            "A tool's result": _without(TOOL_MESSAGE, "timestamp", "messageId"),
        },
        headers=[ETAG, IF_MATCH, IDEMPOTENCY[1]],
        errors=[
            ConversationNotFoundError,
            ConversationFullError,
            PreconditionFailedError,
            CorruptRecordError,
        ],
        invalid=("content", f"content {CONTENT_RULE}"),
        irreversible="PUT replaces the message whole; what it was is lost.",
    )
    @get_message.mapping.put
    def put_message(
        self, request: Request, conversation_id: str, message_id: str
    ) -> HttpResponseBase:
        message = AgentMessage.parse(request.data)
        put = self.conversations.put_message(
            conversation_id,
            _checked_id(message_id, message),
            message,
            if_tag=if_match(request),
        )
        return _with_tag(request, put, 201 if put.appended else 200, replayed=put.replayed)


def _checked_id(message_id: str, message: AgentMessage) -> str:
    """Return the path's message id, which the message may repeat but not contradict."""
    if message.message_id not in (None, message_id):
        raise InvalidRequestError.of_field(
            "messageId", "messageId must be the one in the path, or left out"
        )
    return MessageId.parse({"messageId": message_id}).message_id


def _with_tag(
    request: Request, message: StoredMessage, status: int = 200, *, replayed: bool = False
) -> HttpResponseBase:
    body: Encoded[AgentMessage] = Encoded(message.message_json)
    headers = {"ETag": f'"{message.tag}"'}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return respond(request, body, status, headers)
