"""The routes' actions: parse into a type, call a repository once, answer."""

from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from rest_framework.request import Request

from agent_conversations.api.base import ApiViewSet, answer
from agent_conversations.api.parsers import read_body
from agent_conversations.api.schema import describe_operations
from agent_conversations.api.throttling import SessionRateThrottle
from agent_conversations.errors import SessionNotFoundError
from agent_conversations.services import conversations, sessions
from agent_conversations.store.records import StoredConversation
from agent_conversations.types import (
    AgentConversationCreated,
    AgentConversationList,
    AgentMessage,
    AgentMessageAdded,
    AgentMessagePage,
    ConversationChanges,
    ConversationListQuery,
    IdempotencyKey,
    MessagePageQuery,
    MessagePagination,
    NewConversation,
    Pagination,
)
from sessions_store.errors import InvalidRequestError
from sessions_store.types import (
    AgentSession,
    AgentSessionRegistered,
    AgentSessionStatus,
    SessionDeletionQuery,
)
from sessions_store.wire.clock import now_ms


@describe_operations
class AgentConversationViewSet(ApiViewSet):
    """What users and voice agents said. Not the note-taking conversations of cursor-runner."""

    def list(self, request: Request) -> HttpResponseBase:
        query = ConversationListQuery.parse(request.query_params.dict())
        page = conversations().list(
            limit=query.limit,
            offset=query.offset,
            sort_by=query.sort_by,
            sort_order=query.sort_order,
        )
        pagination = Pagination(
            total=page.total,
            limit=query.limit,
            offset=query.offset,
            has_more=query.offset + query.limit < page.total,
        )
        return answer(
            request,
            AgentConversationList.trusted(conversations=page.conversations, pagination=pagination),
        )

    def create(self, request: Request) -> HttpResponseBase:
        new = NewConversation.parse(read_body(request))
        created = conversations().create(new, idempotency_key=_idempotency_key(request))
        conversation_id = created.conversation.conversation_id
        body = AgentConversationCreated.trusted(
            success=True,
            conversation_id=conversation_id,
            message="Agent conversation created",
            conversation=created.conversation,
        )
        location = request.path.removesuffix("new") + conversation_id
        return _written(request, body, created.replayed, Location=location)

    def retrieve(self, request: Request, conversation_id: str) -> HttpResponseBase:
        return _with_etag(request, conversations().get(conversation_id))

    def partial_update(self, request: Request, conversation_id: str) -> HttpResponseBase:
        changes = ConversationChanges.parse(read_body(request))
        conversation = conversations().update(
            conversation_id, changes, if_revision=_if_match(request)
        )
        return _with_etag(request, conversation)

    def destroy(self, request: Request, conversation_id: str) -> HttpResponseBase:
        conversations().delete(conversation_id, if_revision=_if_match(request))
        return answer(request, None, status=204)

    def add_message(self, request: Request, conversation_id: str) -> HttpResponseBase:
        message = AgentMessage.parse(read_body(request))
        added = conversations().append_message(
            conversation_id, message, idempotency_key=_idempotency_key(request)
        )
        body = AgentMessageAdded.trusted(
            success=True,
            conversation_id=conversation_id,
            message="Message added",
            message_id=added.message_id,
            message_count=added.message_count,
        )
        return _written(request, body, added.replayed)

    def list_messages(self, request: Request, conversation_id: str) -> HttpResponseBase:
        query = MessagePageQuery.parse(request.query_params.dict())
        page = conversations().list_messages(
            conversation_id, limit=query.limit, after=query.after, order=query.order
        )
        pagination = MessagePagination(
            total=page.total, limit=query.limit, has_more=page.next is not None, next=page.next
        )
        return answer(
            request,
            AgentMessagePage.trusted(messages=page.messages_json, pagination=pagination),
        )


@describe_operations
class AgentSessionViewSet(ApiViewSet):
    """The live connection of a conversation: kept for ten minutes, so that a callback finds it."""

    throttle_classes = [SessionRateThrottle]

    def register_session(self, request: Request, conversation_id: str) -> HttpResponseBase:
        session = sessions().set(
            conversation_id, AgentSession.from_registration(read_body(request))
        )
        body = AgentSessionRegistered.trusted(
            success=True,
            message="Agent session registered",
            conversation_id=conversation_id,
            session_id=session.session_id,
            created_at=session.created_at,
            ttl=session.ttl,
        )
        return answer(request, body, status=201)

    def retrieve_session(self, request: Request, conversation_id: str) -> HttpResponseBase:
        session = sessions().get(conversation_id)
        if session is None:
            raise SessionNotFoundError
        return answer(request, AgentSessionStatus.of(conversation_id, session, now_ms()))

    def destroy_session(self, request: Request, conversation_id: str) -> HttpResponseBase:
        query = SessionDeletionQuery.parse(request.query_params.dict())
        sessions().delete(conversation_id, query.session_id)
        return answer(request, None, status=204)


def _idempotency_key(request: Request) -> str | None:
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    return None if key is None else IdempotencyKey.parse({"Idempotency-Key": key}).idempotency_key


def _if_match(request: Request) -> list[str] | None:
    """Return the revisions that ``If-Match`` allows; ``None`` for any (RFC 9110, 13.1.1)."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return None
    tags = parse_etags(header)
    if not tags:
        sentence = 'If-Match must be * or quoted ETags, such as "9f2c41d07be3a510"'
        raise InvalidRequestError(sentence, {"If-Match": [sentence]})
    # A weak tag never matches: the comparison is the strong one.
    return [tag.strip('"') for tag in tags if not tag.startswith("W/")]


def _with_etag(request: Request, conversation: StoredConversation) -> HttpResponseBase:
    return answer(request, conversation, headers={"ETag": f'"{conversation.revision}"'})


def _written(request: Request, body: object, replayed: bool, **headers: str) -> HttpResponseBase:
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return answer(request, body, status=200 if replayed else 201, headers=headers)
