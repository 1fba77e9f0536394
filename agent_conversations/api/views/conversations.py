"""Conversations: list, create, read, change, delete."""

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.request import Request

from agent_conversations.api.browsable import SHOWN_MESSAGES
from agent_conversations.api.headers import (
    ETAG,
    IDEMPOTENCY,
    IF_MATCH,
    LOCATION,
    idempotency_key,
    if_match,
)
from agent_conversations.api.openapi.examples import CONVERSATION, EXAMPLE_ID
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.responses import for_programs, respond, respond_written
from agent_conversations.api.views.base import ApiViewSet
from agent_conversations.errors import (
    ConversationExistsError,
    ConversationNotFoundError,
    PreconditionFailedError,
)
from agent_conversations.store.records import StoredConversation
from agent_conversations.types import (
    AgentConversation,
    AgentConversationCreated,
    AgentConversationList,
    ConversationChanges,
    ConversationListQuery,
    NewConversation,
    Pagination,
)
from sessions_store.errors import CorruptRecordError
from sessions_store.wire.model import Encoded


class AgentConversationViewSet(ApiViewSet):
    """What users and voice agents said. Not the note-taking conversations of cursor-runner."""

    def get_view_name(self) -> str:
        return str(self.name or "Agent conversation")  # without, "Agent Conversation Instance"

    @operation(
        "listAgentConversations",
        tag="conversations",
        scope="read",
        summary="List conversations, a page at a time",
        responses={200: AgentConversationList},
        example={
            "conversations": [CONVERSATION],
            "pagination": {
                "total": 81,
                "limit": 50,
                "offset": 0,
                "hasMore": True,
                "next": f"1795423973269.{EXAMPLE_ID}.4be1d07c92fa",
            },
        },
        query=ConversationListQuery,
        invalid=("limit", "limit must be a positive integer"),
    )
    @action(detail=False, url_path="list", url_name="list", name="Agent conversations")
    def list_conversations(self, request: Request) -> HttpResponseBase:
        parameters = request.query_params.dict()
        if not for_programs(request):  # a page's form sends its empty fields too
            parameters = {name: value for name, value in parameters.items() if value}
        query = ConversationListQuery.parse(parameters)
        page = self.conversations.list(**dict(query))
        pagination = Pagination(
            total=page.total,
            limit=query.limit,
            offset=page.offset,
            has_more=page.next is not None,
            next=page.next,
        )
        listed = [encode(conversation) for conversation in page.conversations]
        return respond(request, AgentConversationList(conversations=listed, pagination=pagination))

    @operation(
        "createAgentConversation",
        tag="conversations",
        scope="write",
        summary="Create a conversation",
        responses={201: AgentConversationCreated, 200: AgentConversationCreated},
        example={
            "success": True,
            "conversationId": EXAMPLE_ID,
            "message": "New agent conversation created",
            "conversation": {**CONVERSATION, "messages": []},
        },
        request=NewConversation,
        request_examples={
            "With an agent": {
                "agentId": CONVERSATION["agentId"],
                "metadata": {"title": "Today", "tags": []},
            },
            "With an id of the client's own": {"conversationId": "conv_9001k9a3"},
            "Empty": {},
        },
        headers=[*IDEMPOTENCY, LOCATION],
        errors=[ConversationExistsError, CorruptRecordError],
    )
    @action(
        detail=False,
        methods=["post"],
        url_path="new",
        url_name="new",
        name="New agent conversation",
    )
    def create_conversation(self, request: Request) -> HttpResponseBase:
        new = NewConversation.parse(request.data)
        created = self.conversations.create(new, idempotency_key=idempotency_key(request))
        conversation_id = created.conversation.conversation_id
        body = AgentConversationCreated(
            conversation_id=conversation_id,
            message="New agent conversation created",
            conversation=encode(created.conversation),
        )
        location = request.path.removesuffix("new") + conversation_id
        return respond_written(request, body, replayed=created.replayed, location=location)

    @operation(
        "getAgentConversation",
        tag="conversations",
        scope="read",
        summary="Read a conversation with all its messages",
        responses={200: AgentConversation},
        example=CONVERSATION,
        headers=[ETAG],
        errors=[ConversationNotFoundError, CorruptRecordError],
    )
    def retrieve(self, request: Request, conversation_id: str) -> HttpResponseBase:
        if for_programs(request):
            return _with_etag(request, self.conversations.get(conversation_id))
        shown = self.conversations.get_newest(conversation_id, message_limit=SHOWN_MESSAGES)
        return _with_etag(request, shown)

    @operation(
        "updateAgentConversation",
        tag="conversations",
        scope="write",
        summary="Replace or remove a conversation's agent id, user id or metadata",
        responses={200: AgentConversation},
        example=CONVERSATION,
        request=ConversationChanges,
        request_examples={
            "Replace the metadata": {"metadata": {"title": "Today", "tags": []}},
            "Remove the agent id": {"agentId": None},
        },
        headers=[ETAG, IF_MATCH],
        errors=[ConversationNotFoundError, PreconditionFailedError, CorruptRecordError],
        irreversible="PATCH replaces the given fields whole; their earlier values are lost.",
    )
    def partial_update(self, request: Request, conversation_id: str) -> HttpResponseBase:
        changes = ConversationChanges.parse(request.data)
        return _with_etag(
            request,
            self.conversations.update(conversation_id, changes, if_revision=if_match(request)),
        )

    @operation(
        "deleteAgentConversation",
        tag="conversations",
        scope="erase",
        summary="Delete a conversation and all its messages",
        responses={204: None},
        headers=[IF_MATCH],
        errors=[ConversationNotFoundError, PreconditionFailedError],
        irreversible="DELETE removes the conversation and all its messages for good.",
    )
    def destroy(self, request: Request, conversation_id: str) -> HttpResponseBase:
        self.conversations.delete(conversation_id, if_revision=if_match(request))
        return respond(request, None, 204)


def encode(conversation: StoredConversation) -> Encoded[AgentConversation]:
    return Encoded(conversation.to_json())


def _with_etag(request: Request, conversation: StoredConversation) -> HttpResponseBase:
    return respond(request, encode(conversation), headers={"ETag": f'"{conversation.revision}"'})
