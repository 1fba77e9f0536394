"""The session of a conversation: what is stored, what a client sends, and what it may see."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, WithJsonSchema

from sessions_store.errors import InvalidRequestError
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms
from sessions_store.wire.fields import (
    BoundedObject,
    ConversationId,
    Identifier,
    StoredTimestamp,
    Text,
    Timestamp,
    UrlText,
    stored_timestamp,
)
from sessions_store.wire.model import WireModel

DEFAULT_TTL_SECONDS = 600
"""A connection cannot be reopened, so its session is worth nothing after ten minutes."""

MAX_TTL_SECONDS = 10**9
"""A stored session with a longer lifetime is corrupt."""

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_PAYLOAD_DEPTH = 256
"""Levels of nesting. Readers of a session have limits too: Python's JSON, about 1,000 levels."""

Transport = Literal["webrtc", "websocket"]
_TRANSPORTS = get_args(Transport)

# ElevenLabs' own API gives the URL as signed_url.
_URL_NAMES = ("wsUrl", "sessionUrl", "signedUrl", "signed_url")
# The fields that may hold a push-capable URL, in the order in which they are searched.
PUSH_URL_PATHS = (
    *((name,) for name in _URL_NAMES),
    ("sessionPayload", "config", "wsUrl"),
    *(("sessionPayload", name) for name in _URL_NAMES),
)

_PUSH_URL_FIELDS = [".".join(path) for path in PUSH_URL_PATHS]
WHAT_TO_SEND = (
    "Send the raw object that the ElevenLabs client handed out on connecting, with its full ws:// "
    f"or wss:// URL in {', '.join(_PUSH_URL_FIELDS[:-1])} or {_PUSH_URL_FIELDS[-1]}."
)


# An object, without an index signature in TypeScript: a value of an interface fits no type that has
# one. With "type": "object" and no properties, only an empty object would fit.
_AnyObject = WithJsonSchema({"not": {"type": ["array", "boolean", "number", "string"]}})


def _registration_schema(schema: dict[str, Any]) -> None:
    # Further fields are allowed without being mentioned too, and see _AnyObject.
    del schema["additionalProperties"]
    schema["minProperties"] = 1  # a URL


class AgentSessionRegistration(WireModel):
    """What a frontend sends on connecting.

    Without ``sessionPayload`` the whole body is the payload, every key kept; with it, only the
    known fields are stored beside it. ``repr`` shows neither: they carry credentials.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra=_registration_schema)

    session_url: UrlText | None = None
    ws_url: UrlText | None = None
    signed_url: UrlText | None = None
    signed_url_of_api: UrlText | None = Field(default=None, alias="signed_url")
    session_payload: Annotated[dict[str, Any], _AnyObject] | None = None
    session_id: Identifier | None = None
    agent_session_id: Identifier | None = None
    transport: Transport | None = None
    expires_at: Text | int | float | None = None
    metadata: Annotated[BoundedObject, _AnyObject] | None = None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        shown = {"session_id", "agent_session_id", "transport", "expires_at"}
        return ((name, value) for name, value in super().__repr_args__() if name in shown)


class AgentSession(WireModel):
    """One live connection between a browser tab and the ElevenLabs agent.

    ``session_payload`` is what the ElevenLabs client handed out on connecting, raw and whole:
    nothing in it is normalised, renamed or dropped. ``ws_url`` is the push-capable URL found in it,
    copied and never composed: ElevenLabs does not hand out its token twice, so that a URL rebuilt
    from a session id is refused.

    ``repr`` leaves out the payload, the URLs and the metadata: they carry credentials. Ask for
    them by name.
    """

    session_payload: dict[str, Any] = Field(repr=False)
    ws_url: str = Field(repr=False)
    created_at: Timestamp | None = None
    """Absent where an older writer did not keep it."""
    ttl: int | None = Field(default=None, ge=0, le=MAX_TTL_SECONDS)
    """Seconds, as of its registration; absent where an older writer did not keep it."""
    session_url: str | None = Field(default=None, repr=False)
    session_id: str | None = None
    transport: Transport | None = None
    expires_at: str | int | float | None = None
    metadata: dict[str, Any] | None = Field(default=None, repr=False)
    schema_version: int | None = None
    expires_in_seconds: int | None = None
    """The time left when the session was read; not part of the stored record."""

    @classmethod
    def from_registration(cls, body: object) -> Self:
        """Return the session that a frontend's ``body`` registers.

        Raises:
            InvalidRequestError: no ``ws://`` or ``wss://`` URL, or a payload over
                ``MAX_PAYLOAD_BYTES`` or ``MAX_PAYLOAD_DEPTH``; the sentence says what to send.
        """
        registration = AgentSessionRegistration.parse(body)
        assert isinstance(body, dict)  # noqa: S101  # parse() refused everything else
        url = find_push_url(body)
        if url is None:
            raise InvalidRequestError.of_field("body", _push_url_missing(body))
        payload = body if registration.session_payload is None else registration.session_payload
        try:
            excess = json_codec.excess(payload, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH)
        except json_codec.InvalidJsonError as error:
            raise InvalidRequestError(f"The session cannot be JSON: {error}") from None
        if excess:
            raise InvalidRequestError.of_field("sessionPayload", f"sessionPayload {excess}")
        return cls(
            session_payload=payload,
            ws_url=url,
            session_url=registration.session_url,
            session_id=registration.session_id or registration.agent_session_id,
            transport=registration.transport,
            expires_at=registration.expires_at,
            metadata=registration.metadata,
        )

    @classmethod
    def from_stored(cls, record: object) -> Self | None:
        """Return the session in a stored JSON value, in today's shape or that of an older writer.

        ``None`` for one that an older writer stored without any URL: it can serve no push.

        Raises:
            ValueError: another shape. (pydantic's ``ValidationError`` is one.)
        """
        if not isinstance(record, dict):
            raise ValueError("not an object")
        source = record
        metadata = record.get("metadata")
        if _first_url(record) is None and isinstance(metadata, dict):
            # An older writer kept the payload and the URLs under metadata.
            source = metadata
            metadata = {key: value for key, value in metadata.items() if key not in _MOVED_KEYS}
        url = find_push_url(source) or _first_url(source)
        if url is None and "lastAccessedAt" in record:
            return None  # as the predecessor's tool webhook wrote it
        if url is None:
            raise ValueError("no URL")
        payload = source.get("sessionPayload")
        if payload is None:
            payload = {key: value for key, value in source.items() if key not in _OUR_KEYS}
        return cls(
            session_payload=payload,
            ws_url=url,
            created_at=stored_timestamp(record.get("createdAt")),
            ttl=record.get("ttl"),
            session_url=source.get("sessionUrl"),
            session_id=record.get("sessionId") or record.get("agentSessionId"),
            transport=transport if (transport := record.get("transport")) in _TRANSPORTS else None,
            expires_at=source.get("expiresAt"),
            metadata=metadata or None,
            schema_version=record.get("schemaVersion"),
        )


_MOVED_KEYS = frozenset({"wsUrl", "sessionUrl", "sessionPayload", "expiresAt"})
_OUR_KEYS = frozenset({"createdAt", "ttl", "schemaVersion"})


def find_push_url(body: dict[str, Any]) -> str | None:
    """Return the first absolute ``ws://`` or ``wss://`` URL at one of ``PUSH_URL_PATHS``."""
    return next(filter(_is_push_url, _urls(body)), None)


def _first_url(body: dict[str, Any]) -> str | None:
    return next(_urls(body), None)


def _urls(body: dict[str, Any]) -> Iterator[str]:
    for path in PUSH_URL_PATHS:
        value: Any = body
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            yield value


def _is_push_url(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("ws", "wss") and bool(parts.hostname) and port != 0


def _push_url_missing(body: dict[str, Any]) -> str:
    if _first_url(body) is not None:
        found = "The URL is not an absolute ws:// or wss:// URL, so nothing can be pushed to it."
    elif body.get("sessionId") or body.get("agentSessionId"):
        found = "A session id alone cannot reach the agent: a URL rebuilt from it lacks its token."
    else:
        found = "The body has no push-capable URL."
    return f"{found} {WHAT_TO_SEND}"


class SessionDeletionQuery(WireModel):
    """The query of ``DELETE /{conversationId}/session``.

    Another parameter is refused: with a misspelt name, the request would delete any session.
    """

    model_config = ConfigDict(extra="forbid")

    session_id: str | None = Field(
        default=None, description="Delete only the session with this id."
    )


class AgentSessionStatus(WireModel):
    """What anyone may know of a session. Never the URL, never the payload: they are credentials."""

    conversation_id: ConversationId
    session_id: str | None = None
    transport: Transport | None = None
    created_at: StoredTimestamp
    ttl: int
    expires_in_seconds: int

    @classmethod
    def of(cls, conversation_id: str, session: AgentSession, now_ms: int) -> Self:
        remaining = session.expires_in_seconds or 0
        # Where an older writer stored neither, they follow from the lifetime of every session.
        ttl = session.ttl or max(DEFAULT_TTL_SECONDS, remaining)
        return cls(
            conversation_id=conversation_id,
            session_id=session.session_id,
            transport=session.transport,
            created_at=session.created_at or iso_from_ms(now_ms - (ttl - remaining) * 1000),
            ttl=ttl,
            expires_in_seconds=remaining,
        )


class AgentSessionRegistered(WireModel):
    success: Literal[True] = True
    message: str
    conversation_id: ConversationId
    session_id: str | None = None
    created_at: StoredTimestamp
    ttl: int

    @classmethod
    def of(cls, conversation_id: str, stored: AgentSession) -> Self:
        return cls.model_validate(
            {
                "message": "Agent session registered",
                "conversation_id": conversation_id,
                "session_id": stored.session_id,
                "created_at": stored.created_at,
                "ttl": stored.ttl,
            }
        )
