"""What ElevenLabs sends when a call is over: who signed it, and what becomes of it.

A delivery is ``{type, event_timestamp, data}``. ElevenLabs repeats one that was not answered with a
200 after 30 seconds, 2, 8 and 30 minutes, if retries are on for the webhook.
"""

import hashlib
import hmac
import json
import logging
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationNotFoundError,
    InvalidSignatureError,
)
from agent_conversations.metrics import OTHER, count_webhook
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.transcripts import transcript_of
from agent_conversations.types import NewConversation, WebhookOutcome
from sessions_store.errors import InvalidRequestError, KeyMissingError, StoreUnavailableError
from sessions_store.redis import deadline
from sessions_store.repository import SessionRepository
from sessions_store.wire import json_codec
from sessions_store.wire.clock import LAST_MS
from sessions_store.wire.fields import is_conversation_id

MAX_AGE_SECONDS = 30 * 60
MAX_AHEAD_SECONDS = 5 * 60
"""How far the time of a signature may be from this host's clock."""

REMEMBERED_SECONDS = 60 * 60
"""How long a refused delivery is remembered: its last repetition comes after some 41 minutes."""
MOST_REMEMBERED = 10_000
MOST_DIGITS = 4_300
"""Of an integer: as many as Python reads."""

TRANSCRIPTION = "post_call_transcription"
FAILURE = "call_initiation_failure"

_logger = logging.getLogger(__name__)


# --- Signatures -----------------------------------------------------------------------------------


def signed_at(header: str, body: bytes, secrets: Sequence[str]) -> int:
    """Return the time, in seconds since 1970, of a valid ``ElevenLabs-Signature``.

    It is ``t=<seconds>,v0=<hex>``, where the latter is the HMAC-SHA256 of ``<t>.<body>``. Each
    secret is compared, in constant time.

    Raises:
        InvalidSignatureError: there is none, or none of the secrets made it.
    """
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value.encode() for name, _, value in parts if name == "v0"]
    if len(times) != 1 or not re.fullmatch("[0-9]{1,12}", times[0]):
        raise InvalidSignatureError
    signed = times[0].encode() + b"." + body
    is_valid = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
        for signature in signatures:
            is_valid |= hmac.compare_digest(expected, signature)
    if not is_valid:
        raise InvalidSignatureError
    return int(times[0])


# --- Deliveries -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delivery:
    """A delivery whose signature was valid; ``call_id`` is ``None`` where it names no call."""

    type: str
    event_timestamp: int
    call_id: str | None
    data: Mapping[str, Any]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the delivery in a body.

        Raises:
            InvalidRequestError: not JSON, or not an object with a type.
        """
        try:
            value = _decoder.decode(json_codec.without_lone_surrogates(body).decode())
        except (ValueError, RecursionError):
            raise InvalidRequestError.of_field("body", "The body cannot be read as JSON") from None
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            raise InvalidRequestError.of_field("type", "type must be a string")
        data, timestamp = value.get("data"), value.get("event_timestamp")
        if not isinstance(data, dict):
            data = {}
        return cls(value["type"], _seconds(timestamp), _id(data.get("conversation_id")), data)

    @property
    def digest(self) -> str:
        """The same for each repetition, however it is signed."""
        handle = f"{self.type} {self.call_id} {self.event_timestamp}"
        return hashlib.sha256(handle.encode()).hexdigest()

    @property
    def named_conversation_id(self) -> str | None:
        """The conversation that a frontend named when it began the call."""
        value: object = self.data
        for name in (
            "conversation_initiation_client_data",
            "dynamic_variables",
            "agent_conversation_id",
        ):
            value = value.get(name) if isinstance(value, dict) else None
        return _id(value)


# What is unknown in a delivery does no harm: of a key that comes twice the last counts, and what no
# JSON has, or a double cannot hold, is null.
_decoder = json.JSONDecoder(
    parse_constant=lambda _: None,
    parse_float=lambda text: number if math.isfinite(number := float(text)) else None,
    parse_int=lambda text: int(text) if len(text) <= MOST_DIGITS else None,
)


def _seconds(value: object) -> int:
    """Return a time in seconds since 1970; 0 for what is none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_MS // 1000:
        return value
    return 0


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and is_conversation_id(value) else None


class RefusedDeliveries:
    """Deliveries that were refused because Redis or a key was away, for all on this machine.

    Each is an empty file, named by its digest: Redis is not there to remember them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, delivery: Delivery) -> None:
        """Remember a delivery; without a folder to write to, it is not remembered."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            recent = 0
            for path in self._folder.iterdir():
                if _is_recent(path):
                    recent += 1
                else:
                    path.unlink(missing_ok=True)
            if recent < MOST_REMEMBERED:
                (self._folder / delivery.digest).touch()

    def has(self, delivery: Delivery) -> bool:
        return _is_recent(self._folder / delivery.digest)


def _is_recent(path: Path) -> bool:
    try:
        return path.stat().st_mtime > time.time() - REMEMBERED_SECONDS
    except OSError:
        return False


class WebhookReceiver:
    """Takes deliveries in.

    Args:
        secrets: of the webhook at ElevenLabs; several while one replaces another.
        refused: the deliveries that were refused.
    """

    def __init__(
        self,
        conversations: ConversationRepository,
        sessions: SessionRepository,
        *,
        secrets: Sequence[str],
        refused: RefusedDeliveries,
    ) -> None:
        self._conversations = conversations
        self._sessions = sessions
        self._secrets = secrets
        self._refused = refused

    def take(self, header: str, body: bytes) -> WebhookOutcome:
        """Store what a delivery says; what became of it.

        Raises:
            InvalidSignatureError: the signature is missing, wrong, or of another time. One that is
                too old is valid where the delivery was refused before.
            InvalidRequestError: the body is no delivery.
            StoreUnavailableError: Redis is unavailable; the delivery is remembered.
            KeyMissingError: its conversation cannot be decrypted; the delivery is remembered.
        """
        try:
            delivery = self._verified(header, body)
        except (InvalidSignatureError, InvalidRequestError):
            count_webhook(OTHER, "refused")
            raise
        try:
            outcome = self._store(delivery)
        except (StoreUnavailableError, KeyMissingError):
            self._refused.add(delivery)
            count_webhook(delivery.type, "unavailable")
            raise
        count_webhook(delivery.type, outcome)
        _logger.info(
            "A webhook was taken in", extra={"type": delivery.type[:64], "outcome": outcome}
        )
        return outcome

    def _verified(self, header: str, body: bytes) -> Delivery:
        age = time.time() - signed_at(header, body, self._secrets)
        if age < -MAX_AHEAD_SECONDS:
            raise InvalidSignatureError
        delivery = Delivery.parse(body)
        if age > MAX_AGE_SECONDS and not self._refused.has(delivery):
            raise InvalidSignatureError
        return delivery

    def _store(self, delivery: Delivery) -> WebhookOutcome:
        if delivery.type not in (TRANSCRIPTION, FAILURE) or delivery.call_id is None:
            return "ignored"
        data = delivery.data
        if delivery.type == FAILURE:
            data = {"status": "failed", "failure_reason": "unknown", **data}
        transcript = transcript_of(data, delivery.call_id, delivery.event_timestamp)
        deadline.renew()  # a long transcript takes a second to decode
        conversation_id = self._conversation_of(delivery, delivery.call_id)
        new = NewConversation(
            conversation_id=conversation_id,
            agent_id=transcript.agent_id,
            user_id=transcript.user_id,
        )
        try:
            is_new = self._conversations.merge_transcript(conversation_id, transcript)
        except ConversationNotFoundError:
            with suppress(ConversationExistsError):  # another delivery, or a client, was faster
                self._conversations.create(new)
            is_new = self._conversations.merge_transcript(conversation_id, transcript)
        return "stored" if is_new else "repeated"

    def _conversation_of(self, delivery: Delivery, call_id: str) -> str:
        """Return the id of the conversation that a call is of, which need not exist."""
        named = delivery.named_conversation_id
        if named is not None:
            self._sessions.set_conversation_id(call_id, named)
            return named
        if self._conversations.exists(call_id):
            return call_id
        return self._sessions.find_conversation_id(call_id) or call_id
