"""Sessions in Redis: ``elevenlabs:session:<conversationId>``, plain JSON, ten minutes.

A repository needs only a Redis client, so a callback service can use it with a URL alone::

    sessions = SessionRepository(StoreClient.from_url("redis://localhost:6379/0"))
    session = sessions.get("agent-1795423973269-5iwhvn2en0a")
    if session is not None:
        push(session.ws_url, session.session_payload)
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Literal, Self

from sessions_store.encryption import SessionCipher, UnreadableSecretError
from sessions_store.errors import (
    CorruptRecordError,
    KeyMissingError,
    UnsupportedRecordVersionError,
    WrongTypeError,
)
from sessions_store.keys import SESSION_PREFIX, alias_key, session_key
from sessions_store.redis.client import StoreClient
from sessions_store.redis.commands import Command
from sessions_store.types import DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS, AgentSession
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, now_ms
from sessions_store.wire.fields import check_conversation_id
from sessions_store.wire.model import SCHEMA_VERSION

_PACKAGE = "sessions_store"
ALIAS_SECONDS = 24 * 3600
"""How long the conversation of a session's id is known: ElevenLabs tells of a call afterwards."""


def _allow(_: str) -> None:
    """Check nothing: every conversation's session may be used."""


SessionEvent = Literal["registered", "found", "missed", "deleted"]


def _ignore(_: SessionEvent, __: int | None) -> None:
    """Observe nothing."""


class SessionRepository:
    """The one registered session of each conversation.

    Args:
        store: the Redis client.
        encryption_keys: Fernet keys; the first encrypts the stored payload, URLs and metadata, all
            of them decrypt. Without any, sessions are plain JSON, which other services can read.
        observe: is told of each event, and of a session that was found the seconds it has left.

    Every method raises ``StoreUnavailableError`` if Redis is unavailable, and
    ``InvalidRequestError`` for an invalid conversation id.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        encryption_keys: Sequence[str] = (),
        observe: Callable[[SessionEvent, int | None], object] = _ignore,
    ) -> None:
        self._store = store
        self._observe = observe
        self._check: Callable[[str], object] = _allow
        self._cipher = SessionCipher(encryption_keys)
        # Both may be sent again: one reads, and sets an expiry only where there is none; the other
        # deletes only what was read before, and is followed by another look where it did not.
        self._get = store.script(_PACKAGE, "get_session", repeatable=True)
        self._delete = store.script(_PACKAGE, "delete_session", repeatable=True, is_write=True)

    def checked(self, check: Callable[[str], object]) -> Self:
        """Return the same with a check of the conversation, for those who may not use every one.

        What the check raises is all that they learn. On a Redis Cluster it asks another server than
        the one that has the session: so it comes after what is read, whoever had the conversation
        before, and before what is written; only what was read before it is deleted.

        Args:
            check: is given the conversation's id.
        """
        checked = copy(self)
        checked._check = check
        return checked

    def set(
        self, conversation_id: str, session: AgentSession, ttl_seconds: int = DEFAULT_TTL_SECONDS
    ) -> AgentSession:
        """Store ``session`` in place of any other, expiring ``ttl_seconds`` from now.

        The value and its expiry are one command: a crash cannot leave a session without expiry.

        Returns:
            The session as stored, with ``created_at``, ``ttl`` and ``schema_version``.

        Raises:
            ValueError: ``ttl_seconds`` is not from 1 to ``MAX_TTL_SECONDS``.
        """
        _check_ttl(ttl_seconds)
        stored = session.model_copy(
            update={
                "created_at": iso_from_ms(now_ms()),
                "ttl": ttl_seconds,
                "schema_version": SCHEMA_VERSION,
                "expires_in_seconds": None,
            }
        )
        key = session_key(check_conversation_id(conversation_id))
        record = {"conversationId": conversation_id, **stored.to_wire()}
        value = json_codec.encode(self._cipher.seal(record))
        self._check(conversation_id)
        commands: list[Command] = [("SET", key, value, "EX", ttl_seconds)]
        if session.session_id and session.session_id != conversation_id:
            alias = _alias(session.session_id, conversation_id)
            # Of those who may not use every conversation, nobody takes another one's call.
            commands.append(alias if self._check is _allow else (*alias, "NX"))
        self._store.set_many(commands)
        self._observe("registered", None)
        return stored

    def find_conversation_id(self, session_id: str) -> str | None:
        """Return the conversation whose session had this id in the last ``ALIAS_SECONDS``.

        The session itself may be over.
        """
        try:
            found = self._store.get(alias_key(session_id))
        except WrongTypeError:
            return None  # not ours
        return None if found is None else found.decode(errors="replace")

    def set_conversation_id(self, session_id: str, conversation_id: str) -> None:
        """Have ``find_conversation_id`` return the conversation."""
        self._store.set_many([_alias(session_id, conversation_id)])

    def get(self, conversation_id: str) -> AgentSession | None:
        """Return the session, with ``expires_in_seconds``; ``None`` if there is none (any more).

        Reading does not extend it.

        Raises:
            CorruptRecordError: the stored session cannot be read.
        """
        key = session_key(check_conversation_id(conversation_id))
        try:
            reply = self._get(session_key=key, default_ttl_seconds=DEFAULT_TTL_SECONDS)
        except WrongTypeError:
            raise CorruptRecordError("session", conversation_id) from None
        finally:
            self._check(conversation_id)
        session = self._decode(conversation_id, reply[0]) if reply else None
        if session is None:
            self._observe("missed", None)
            return None
        # Rounded up: a session that still exists has at least a second.
        expires_in_seconds = -(-int(reply[1]) // 1000)
        self._observe("found", expires_in_seconds)
        return session.model_copy(update={"expires_in_seconds": expires_in_seconds})

    def touch(self, conversation_id: str, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> bool:
        """Have a session that still exists expire ``ttl_seconds`` from now.

        Returns:
            Whether there was one. An expired one is not restored.

        Raises:
            ValueError: ``ttl_seconds`` is not from 1 to ``MAX_TTL_SECONDS``.
        """
        _check_ttl(ttl_seconds)
        key = session_key(check_conversation_id(conversation_id))
        # Repeatable: sets the same expiry again.
        return bool(self._store.write(("EXPIRE", key, ttl_seconds), operation="touch_session"))

    def delete(self, conversation_id: str, session_id: str | None = None) -> bool:
        """Delete the session, or only the one with ``session_id``; return whether there was one.

        With an id, the comparison and the deletion are one step, so that a session registered in
        between stays. Where a reply was lost, the deletion is sent again and may return ``False``.
        """
        key = session_key(check_conversation_id(conversation_id))
        if session_id is None and self._check is _allow:
            # Repeatable: deleted twice is deleted.
            is_deleted = bool(self._store.write(("DEL", key), operation="delete_session"))
            if is_deleted:
                self._observe("deleted", None)
            return is_deleted
        while True:
            raw = self._read(conversation_id)
            if raw is None or not self._has_id(conversation_id, raw, session_id):
                return False
            if self._delete(session_key=key, expected_json=raw):
                self._observe("deleted", None)
                return True
            # Replaced in between, perhaps by the same session: read it again.

    def scan_ids(self) -> Iterator[Sequence[str]]:
        """Yield the conversation ids of all sessions in batches; one may come twice."""
        for batch in self._store.scan(SESSION_PREFIX + "*"):
            yield [key.removeprefix(SESSION_PREFIX) for key in batch]

    def verify(self, conversation_id: str) -> None:
        """Raise ``CorruptRecordError`` if there is a session, but it cannot be read."""
        raw = self._read(conversation_id)
        if raw is not None:
            self._decode(conversation_id, raw)

    def _read(self, conversation_id: str) -> bytes | None:
        try:
            return self._store.get(session_key(check_conversation_id(conversation_id)))
        except WrongTypeError:
            raise CorruptRecordError("session", conversation_id) from None
        finally:
            self._check(conversation_id)

    def _has_id(self, conversation_id: str, raw: bytes, session_id: str | None) -> bool:
        if session_id is None:
            return True
        session = self._decode(conversation_id, raw)
        return session is not None and session.session_id == session_id

    def _decode(self, conversation_id: str, raw: bytes) -> AgentSession | None:
        try:
            record = json_codec.decode(raw)
            if isinstance(record, dict) and _is_newer(record.get("schemaVersion")):
                raise UnsupportedRecordVersionError("session", conversation_id)
            return AgentSession.from_stored(self._cipher.unseal(record))
        except UnreadableSecretError:
            reason = "is encrypted with a key that SESSION_ENCRYPTION_KEYS does not have"
            raise KeyMissingError("session", conversation_id, reason) from None
        except ValueError:
            raise CorruptRecordError("session", conversation_id) from None


def _check_ttl(ttl_seconds: int) -> None:
    if not 1 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise ValueError(f"ttl_seconds must be from 1 to {MAX_TTL_SECONDS}, not {ttl_seconds}")


def _is_newer(version: object) -> bool:
    return isinstance(version, int) and version > SCHEMA_VERSION


def _alias(session_id: str, conversation_id: str) -> Command:
    return "SET", alias_key(session_id), conversation_id, "EX", ALIAS_SECONDS
