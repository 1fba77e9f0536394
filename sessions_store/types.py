"""The session of a conversation."""

import re
from collections.abc import Iterator
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from sessions_store.errors import InvalidRequestError
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms
from sessions_store.wire.fields import (
    BoundedObject,
    ConversationId,
    Identifier,
    Text,
    Timestamp,
    UrlText,
    stored_timestamp,
)
from sessions_store.wire.model import WireModel

DEFAULT_TTL_SECONDS = 600
"""A connection cannot be reopened, so its session is worth nothing after ten minutes."""

MAX_TTL_SECONDS = 10**9
"""A stored one that is longer is no time."""

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_PAYLOAD_DEPTH = 256
"""Whatever reads the session needs a stack of its own: Python's JSON goes to about 1,000."""

Transport = Literal["webrtc", "websocket"]
_TRANSPORTS = get_args(Transport)

# Where a push-capable URL is looked for, in this order; first in the body, then in its payload.
PUSH_URL_PATHS = (
    ("wsUrl",),
    ("sessionUrl",),
    ("sessionPayload", "config", "wsUrl"),
    ("sessionPayload", "wsUrl"),
)

WHAT_TO_SEND = (
    "Send the raw object that the ElevenLabs client handed out on connecting, with its full ws:// "
    "or wss:// URL in wsUrl, sessionUrl, sessionPayload.config.wsUrl or sessionPayload.wsUrl."
)


class AgentSessionRegistration(WireModel):
    """What a frontend sends on connecting.

    Without ``sessionPayload`` the whole body is the payload, every key kept; with it, only the
    known fields stand beside it.
    """

    model_config = ConfigDict(extra="allow")

    session_url: UrlText | None = None
    ws_url: UrlText | None = None
    session_payload: dict[str, Any] | None = None
    session_id: Identifier | None = None
    agent_session_id: Identifier | None = None
    transport: Transport | None = None
    expires_at: Text | int | float | None = None
    metadata: BoundedObject | None = None


class AgentSession(WireModel):
    """One live connection between a browser tab and the ElevenLabs agent.

    ``session_payload`` is what the ElevenLabs client handed out, raw and whole: a callback reaches
    the agent only by using it exactly as it was. It is never reduced to a session id, because a
    URL rebuilt from an id lacks the token that ElevenLabs put into the original, and the push
    fails. ``ws_url`` is the push-capable URL found in it, copied and never composed.

    ``repr`` leaves out the payload, the URLs and the metadata: they carry credentials. Ask for
    them by name.
    """

    session_payload: dict[str, Any] = Field(repr=False)
    ws_url: str = Field(repr=False)
    created_at: Timestamp | None = None
    """Absent where an older writer did not keep it."""
    ttl: int | None = Field(default=None, ge=0, le=MAX_TTL_SECONDS)
    """Seconds the session was given when it was registered; absent like ``created_at``."""
    session_url: str | None = Field(default=None, repr=False)
    session_id: str | None = None
    transport: Transport | None = None
    expires_at: str | int | float | None = None
    metadata: dict[str, Any] | None = Field(default=None, repr=False)
    schema_version: int | None = None
    expires_in_seconds: int | None = None
    """What Redis said when the session was read; not part of the stored record."""

    @classmethod
    def from_registration(cls, body: object) -> Self:
        """Return the session that a frontend's ``body`` registers.

        The rule of the raw payload is enforced here, where a session is made: a body in which no
        push-capable URL stands cannot serve a callback, whatever ids it has.

        Raises:
            InvalidRequestError: no ``ws://`` or ``wss://`` URL, or a payload over 64 KiB or 256
                levels; the sentence says what to send instead.
        """
        registration = AgentSessionRegistration.parse(body)
        assert isinstance(body, dict)  # noqa: S101  # parse() refused everything else
        url = find_push_url(body)
        if url is None:
            sentence = _push_url_missing(body)
            raise InvalidRequestError(sentence, {"body": [sentence]})
        payload = body if registration.session_payload is None else registration.session_payload
        try:
            size = len(json_codec.encode(payload))
        except json_codec.InvalidJsonError as error:
            raise InvalidRequestError(f"The session cannot be JSON: {error}") from None
        if size > MAX_PAYLOAD_BYTES:
            sentence = "sessionPayload must not be larger than 64 KiB as JSON"
            raise InvalidRequestError(sentence, {"sessionPayload": [sentence]})
        # A level takes two bytes at least.
        if size > 2 * MAX_PAYLOAD_DEPTH and json_codec.depth(payload) > MAX_PAYLOAD_DEPTH:
            sentence = "sessionPayload must not be nested more than 256 levels deep"
            raise InvalidRequestError(sentence, {"sessionPayload": [sentence]})
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
    def from_stored(cls, record: object) -> Self:
        """Return the session in a stored JSON value, of today's shape or of an older one.

        Raises:
            ValueError: no such shape. (pydantic's ``ValidationError`` is one.)
        """
        if not isinstance(record, dict):
            raise ValueError("not an object")
        source = record
        metadata = record.get("metadata")
        if _first_url(record) is None and isinstance(metadata, dict):
            # An older writer kept everything of the connection under metadata.
            source = metadata
            metadata = {key: value for key, value in metadata.items() if key not in _MOVED_KEYS}
        url = find_push_url(source) or _first_url(source)
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
    for url in _urls(body):
        if _is_push_url(url):
            return url
    return None


def _first_url(body: dict[str, Any]) -> str | None:
    return next(_urls(body), None)


def _urls(body: dict[str, Any]) -> Iterator[str]:
    for path in PUSH_URL_PATHS:
        value: Any = body
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            yield value


# Nearly every URL is of this kind and needs no closer look: a host, perhaps a port, plain ASCII.
_is_plain_push_url = re.compile(
    r"wss?://[A-Za-z0-9.-]+(?::[1-9][0-9]{0,3})?(?:[/?#][!-~]*)?"
).fullmatch


def _is_push_url(url: str) -> bool:
    if _is_plain_push_url(url):
        return True
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

    Nothing but ``sessionId`` is taken: with a misspelt name, every session would be meant.
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
    created_at: Timestamp
    ttl: int
    expires_in_seconds: int

    @classmethod
    def of(cls, conversation_id: str, session: AgentSession, now_ms: int) -> Self:
        remaining = session.expires_in_seconds or 0
        # What an oldest writer left out follows from the rule that a session lives ten minutes.
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
    created_at: Timestamp
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
