"""The session of a conversation, and the building blocks of every type on the wire."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from sessions_store import json_codec
from sessions_store.clock import iso_from_ms, ms_from_iso
from sessions_store.errors import InvalidRequestError

DEFAULT_TTL_SECONDS = 600
"""A connection cannot be reopened, so its session is worth nothing after ten minutes."""

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_OBJECT_BYTES = 16 * 1024
MAX_OBJECT_DEPTH = 32
SCHEMA_VERSION = 1
"""Written into every record; docs/decisions/ has the rule for raising it."""


STORED = object()
"""The validation context of what stands in Redis already: its shape is checked, limits are not."""

# --- Building blocks ------------------------------------------------------------------------------


class WireModel(BaseModel):
    """A type of the API: snake_case in Python, camelCase in JSON.

    An optional field without a value is left out of an answer; a request may send ``null`` for it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        # An error that quoted its input would carry people's words into logs.
        hide_input_in_errors=True,
    )

    _wire_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    always_answered: ClassVar[frozenset[str]] = frozenset()
    """Fields that a request may leave out and every answer has (the schema says so)."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._wire_names = tuple(
            (name, field.alias or name) for name, field in cls.model_fields.items()
        )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if value is not None)

    @classmethod
    def parse(cls, data: object) -> Self:
        """Return the request that ``data`` holds.

        Raises:
            InvalidRequestError: naming each field and what is allowed.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _invalid_request(error) from None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object; clients' own objects in it are passed on untouched."""
        return {
            alias: value
            for name, alias in self._wire_names
            if (value := getattr(self, name)) is not None
        }


# Sentences for people, in place of pydantic's, which speak of Python's types.
_SENTENCES = {
    "missing": "{field} is required",
    "model_type": "The body must be a JSON object",
    "string_type": "{field} must be a string",
    "dict_type": "{field} must be an object",
    "literal_error": "{field} must be {expected}",
    "string_too_short": "{field} must not be empty",
    "string_too_long": "{field} must have at most {max_length} characters",
}


def _invalid_request(error: ValidationError) -> InvalidRequestError:
    details: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        field = str(item["loc"][0]) if item["loc"] else "body"
        known = _SENTENCES.get(item["type"])
        sentence = item["msg"]
        if known:
            sentence = known.format(field=field, **item.get("ctx", {}))
        elif sentence.startswith("must "):
            sentence = f"{field} {sentence}"
        details.setdefault(field, []).append(sentence)
    first = next(iter(details.values()))[0]
    return InvalidRequestError(first, details)


CONVERSATION_ID_RULE = (
    "conversationId must be 1 to 128 of A-Z a-z 0-9 . _ -, start with a letter or digit, "
    "and not be one of: list, new, ws"
)
RESERVED_IDS = frozenset({"list", "new", "ws"})
_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_is_id = re.compile(_ID_PATTERN.replace("$", r"\Z")).match


def check_conversation_id(value: str) -> str:
    """Return ``value`` if it can be a conversation's id.

    Raises:
        InvalidRequestError: other characters, too long, or a word that the routes use.
    """
    if _is_id(value) and value not in RESERVED_IDS:
        return value
    raise InvalidRequestError(CONVERSATION_ID_RULE, {"conversationId": [CONVERSATION_ID_RULE]})


def _as_conversation_id(value: str) -> str:
    try:
        return check_conversation_id(value)
    except InvalidRequestError as error:
        raise PydanticCustomError(
            "conversation_id", "{sentence}", {"sentence": str(error)}
        ) from None


def _as_timestamp(value: str) -> str:
    try:
        return iso_from_ms(ms_from_iso(value))
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "timestamp", "must be ISO 8601 with an offset, such as 2026-11-23T16:20:45.123Z"
        ) from None


def _as_bounded_object(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if info.context is STORED:
        return value
    if json_codec.depth(value) > MAX_OBJECT_DEPTH:
        raise PydanticCustomError("object_depth", "must not be nested more than 32 levels deep")
    try:
        size = len(json_codec.encode(value))
    except json_codec.InvalidJsonError as error:
        raise PydanticCustomError("json", "cannot be JSON: {why}", {"why": str(error)}) from None
    if size > MAX_OBJECT_BYTES:
        raise PydanticCustomError("object_size", "must not be larger than 16 KiB as JSON")
    return value


def _as_text(value: str) -> str:
    # Python strings can hold half of a surrogate pair; UTF-8, and so Redis and JSON, cannot.
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise PydanticCustomError("text", "must be valid Unicode text") from None
    return value


ConversationId = Annotated[
    str,
    AfterValidator(_as_conversation_id),
    WithJsonSchema(
        {"type": "string", "pattern": _ID_PATTERN, "not": {"enum": sorted(RESERVED_IDS)}}
    ),
]
Timestamp = Annotated[
    str,
    AfterValidator(_as_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Text = Annotated[str, AfterValidator(_as_text)]
Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=256), AfterValidator(_as_text)
]
UrlText = Annotated[str, StringConstraints(max_length=MAX_PAYLOAD_BYTES), AfterValidator(_as_text)]
BoundedObject = Annotated[dict[str, Any], AfterValidator(_as_bounded_object)]
"""A client's own object: at most 16 KiB as JSON and 32 levels; its keys are never touched."""

Transport = Literal["webrtc", "websocket"]
_TRANSPORTS = get_args(Transport)


# --- The session ----------------------------------------------------------------------------------

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
    """What a frontend sends on connecting: the known fields; every other key is kept as it is."""

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
    ttl: int | None = None
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
            InvalidRequestError: no ``ws://`` or ``wss://`` URL, or a payload over 64 KiB; the
                sentence says what to send instead.
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


def stored_timestamp(value: object) -> str | None:
    """Return the time that an older writer kept as ISO 8601 (UTC where it has no offset) or as ms.

    Raises:
        ValueError: neither.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return iso_from_ms(ms_from_iso(value, assume_utc=True))
    if isinstance(value, int | float):
        return iso_from_ms(int(value))
    raise ValueError("not a time")


_MOVED_KEYS = frozenset({"wsUrl", "sessionUrl", "sessionPayload", "expiresAt"})
_OUR_KEYS = frozenset({"createdAt", "ttl", "schemaVersion"})


def find_push_url(body: dict[str, Any]) -> str | None:
    """Return the first absolute ``ws://`` or ``wss://`` URL at one of ``PUSH_URL_PATHS``."""
    return next((url for url in _urls(body) if _is_push_url(url)), None)


def _first_url(body: dict[str, Any]) -> str | None:
    return next(_urls(body), None)


def _urls(body: dict[str, Any]) -> Any:
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
    except ValueError:
        return False
    return parts.scheme in ("ws", "wss") and bool(parts.hostname)


def _push_url_missing(body: dict[str, Any]) -> str:
    if _first_url(body) is not None:
        found = "The URL is not an absolute ws:// or wss:// URL, so nothing can be pushed to it."
    elif body.get("sessionId") or body.get("agentSessionId"):
        found = "A session id alone cannot reach the agent: a URL rebuilt from it lacks its token."
    else:
        found = "The body has no push-capable URL."
    return f"{found} {WHAT_TO_SEND}"


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
