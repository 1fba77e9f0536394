"""Pushes in Redis: a text for the tab that holds a session, and what is known of it.

A callback service uses it with a URL alone::

    store = StoreClient.from_url("redis://localhost:6379/0")
    pushes = PushRepository(store, SessionRepository(store))
    push = pushes.push("agent-1795423973269-5iwhvn2en0a", "The report is done.", wait_seconds=10)
    print(push.state)  # such as "delivered": the tab handed it to its ElevenLabs client

A push waits in the queue of the session that was registered when it was made. A live process claims
it for one tab of that session before it sends it there, and says from then on that the tab is still
connected. Redis decides who has it, and its clock what is told of it.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple, Self

from sessions_store.errors import (
    CorruptRecordError,
    PushConflictError,
    PushNotFoundError,
    SessionNotFoundError,
    WrongTypeError,
)
from sessions_store.keys import changes_channel, push_key, push_queue_key
from sessions_store.push_types import (
    DEFAULT_EXPIRES_IN_SECONDS,
    MAX_EXPIRES_IN_SECONDS,
    AgentPush,
    AgentPushRequest,
    PushContent,
    PushKind,
    PushState,
)
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.wire.clock import iso_from_ms, now_ms
from sessions_store.wire.fields import check_conversation_id
from sessions_store.wire.model import to_json

HOLD_SECONDS = 35.0
"""A tab that was given a push has gone if no live process has said so long that it is there: 30 s,
and the 5 s between two times that one says it."""

KEPT_SECONDS = 60 * 60
"""How long a push can be read after its time."""

PUSHED = b"push"
"""What is published on the channel of a conversation: a hint to look at the queues."""

_CLAIMED_AT_ONCE = 100
_SHORTEST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_PACKAGE = "sessions_store"


class CreatedPush(NamedTuple):
    """``replayed``: it was there already."""

    push: AgentPush
    replayed: bool


def _ignore(_: PushState) -> None:
    """Observe nothing."""


def _allow(_: str) -> None:
    """Check nothing: every conversation's pushes may be used."""


class PushRepository:
    """The pushes of all conversations.

    Args:
        observe: is told each state that a push came to by this repository.

    Every method raises ``StoreUnavailableError`` if Redis is unavailable, ``InvalidRequestError``
    for an invalid conversation id, and ``CorruptRecordError`` for a push that cannot be read.
    """

    def __init__(
        self,
        store: StoreClient,
        sessions: SessionRepository,
        *,
        observe: Callable[[PushState], object] = _ignore,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._observe = observe
        self._check: Callable[[str], object] = _allow
        # All may be sent again: a second time, each finds its own push, claim or result.
        self._create = store.script(_PACKAGE, "create_push", repeatable=True, is_write=True)
        self._read = store.script(_PACKAGE, "read_push", repeatable=True)
        self._claim = store.script(_PACKAGE, "claim_push", repeatable=True, is_write=True)
        self._hold = store.script(_PACKAGE, "hold_push", repeatable=True)
        self._set_result = store.script(_PACKAGE, "set_push_result", repeatable=True, is_write=True)

    def checked(self, check: Callable[[str], object]) -> Self:
        """Return the same with a check of the conversation: see ``SessionRepository.checked``."""
        checked = copy(self)
        checked._sessions = self._sessions.checked(check)
        checked._check = check
        return checked

    def push(
        self,
        conversation_id: str,
        text: str,
        *,
        kind: PushKind = "user_message",
        context_id: str | None = None,
        push_id: str | None = None,
        expires_in_seconds: int = DEFAULT_EXPIRES_IN_SECONDS,
        wait_seconds: float = 0.0,
    ) -> AgentPush:
        """Create a push; return what is known of it after at most ``wait_seconds``.

        It returns earlier where a tab has said what became of it, or will hardly say it any more.
        After a ``StoreUnavailableError``, ask again with the same ``push_id``: it counts once.

        Args:
            expires_in_seconds: how long it waits for a tab, up to ``MAX_EXPIRES_IN_SECONDS``.

        Raises:
            SessionNotFoundError: no session is registered, or one without a session id.
            PushConflictError: the push id is that of a push with other content.
        """
        until = time.monotonic() + wait_seconds
        request = AgentPushRequest.parse(
            {
                "text": text,
                "kind": kind,
                "contextId": context_id,
                "pushId": push_id,
                "expiresInSeconds": expires_in_seconds,
            }
        )
        push = self.create(conversation_id, request).push
        pause_seconds = _SHORTEST_PAUSE_SECONDS
        while push.state in ("queued", "sent") and (left := until - time.monotonic()) > 0:
            time.sleep(min(pause_seconds, left))
            pause_seconds = min(pause_seconds * 1.5, _LONGEST_PAUSE_SECONDS)
            push = self.get(conversation_id, push.push_id)
        return push

    def create(self, conversation_id: str, request: AgentPushRequest) -> CreatedPush:
        """Store a push for the session that is registered; its tabs are told of it.

        Raises:
            SessionNotFoundError: no session is registered, or one without a session id.
            PushConflictError: the push id is that of a push with other content.
        """
        session = self._sessions.get(conversation_id)
        # Made before Redis is asked: where a reply is lost, the second attempt finds the first.
        push_id = request.push_id or f"push-{now_ms()}-{secrets.token_hex(8)}"
        content = to_json(request.content())
        digest = hashlib.sha256(content).hexdigest()
        if session is None or session.session_id is None:
            # One that comes again is known, though its session may be over.
            return self._find_created(conversation_id, push_id, digest, has_session=bool(session))
        status, *known = self._run(
            self._create,
            conversation_id,
            push_id,
            queue_key=push_queue_key(conversation_id, session.session_id),
            push_id=push_id,
            new_session_id=session.session_id,
            new_content=content,
            new_digest=digest,
            lifetime_ms=(request.expires_in_seconds or DEFAULT_EXPIRES_IN_SECONDS) * 1000,
            max_lifetime_ms=MAX_EXPIRES_IN_SECONDS * 1000,
            kept_ms=KEPT_SECONDS * 1000,
            changes_channel=changes_channel(conversation_id),
            publish_command=self._store.publish_command,
        )
        if status == b"conflict":
            raise PushConflictError
        if status != b"repeated":
            self._observe("queued")
        return CreatedPush(_as_push(conversation_id, push_id, known), status == b"repeated")

    def get(self, conversation_id: str, push_id: str) -> AgentPush:
        """Return what is known of a push.

        Raises:
            PushNotFoundError: there is none, or its time was over an hour ago.
        """
        check_conversation_id(conversation_id)
        try:
            reply = self._run(self._read, conversation_id, push_id)
        finally:
            self._check(conversation_id)
        if reply[0] == b"missing":
            raise PushNotFoundError
        return _as_push(conversation_id, push_id, reply)

    # --- For those who have the tabs --------------------------------------------------------------

    def have_waiting(self, queues: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """Return for each conversation id and session id whether pushes may wait."""
        return self._store.exist([push_queue_key(*queue) for queue in queues])

    def list_waiting(self, conversation_id: str, session_id: str) -> list[str]:
        """Return the ids of the oldest pushes that may wait for a tab, in order; 100 at most."""
        key = push_queue_key(conversation_id, session_id)
        try:
            ids: Any = self._store.call(
                lambda redis: redis.zrange(key, 0, _CLAIMED_AT_ONCE - 1),
                key=key,
                operation="list_pushes",
                repeatable=True,
            )
        except WrongTypeError:
            raise CorruptRecordError("queue of pushes of", conversation_id) from None
        return [push_id.decode() for push_id in ids]

    def claim(
        self, conversation_id: str, session_id: str, push_id: str, claim: str
    ) -> PushContent | None:
        """Take a push for one tab; ``None`` if it is not to be had: no other tab is given it.

        Args:
            claim: the tab's own secret. After a ``StoreUnavailableError``, with which it may have
                been taken, the same tab may claim it again while it is ``sent``.
        """
        status, *content = self._run(
            self._claim,
            conversation_id,
            push_id,
            queue_key=push_queue_key(conversation_id, session_id),
            push_id=push_id,
            own_claim=claim,
            hold_ms=int(HOLD_SECONDS * 1000),
        )
        if status == b"gone":
            return None
        self._observe("sent")
        try:
            return PushContent.model_validate_json(content[0])
        except ValueError:
            raise CorruptRecordError("push", push_id) from None

    def hold(self, conversation_id: str, push_id: str, claim: str) -> bool:
        """Say that the tab that claimed a push is still there; return whether that matters."""
        reply = self._run(
            self._hold,
            conversation_id,
            push_id,
            own_claim=claim,
            hold_ms=int(HOLD_SECONDS * 1000),
        )
        return bool(reply[0] == b"held")

    def set_result(
        self, conversation_id: str, session_id: str, push_id: str, *, ok: bool, reason: str = ""
    ) -> AgentPush:
        """Store what a tab says became of a push; the first result stays.

        Raises:
            PushNotFoundError: the tabs of the session were given no such push.
        """
        reply = self._run(
            self._set_result,
            conversation_id,
            push_id,
            own_session_id=session_id,
            new_result="delivered" if ok else "failed",
            new_reason="" if ok else reason,
        )
        if reply[0] == b"missing":
            raise PushNotFoundError
        push = _as_push(conversation_id, push_id, reply)
        self._observe(push.state)
        return push

    def _find_created(
        self, conversation_id: str, push_id: str, digest: str, *, has_session: bool
    ) -> CreatedPush:
        reply = self._run(self._read, conversation_id, push_id)
        if reply[0] == b"missing":
            raise SessionNotFoundError(_NO_SESSION_ID) if has_session else SessionNotFoundError
        if reply[4] != digest.encode():
            raise PushConflictError
        return CreatedPush(_as_push(conversation_id, push_id, reply), replayed=True)

    @staticmethod
    def _run(
        script: Callable[..., Any], conversation_id: str, push_id: str, /, **arguments: Any
    ) -> Sequence[Any]:
        try:
            reply: Sequence[Any] = script(push_key=push_key(conversation_id, push_id), **arguments)
        except WrongTypeError:
            raise CorruptRecordError("push", push_id) from None
        if reply[0] == b"corrupt":
            raise CorruptRecordError("push", push_id)
        return reply


_NO_SESSION_ID = (
    "The session is registered without a sessionId, so no tab can be told from others: "
    "register it with one, which its tab then names to the live socket"
)


def _as_push(conversation_id: str, push_id: str, reply: Sequence[bytes]) -> AgentPush:
    state, created_at_ms, expires_at_ms, reason = (part.decode() for part in reply[:4])
    return AgentPush.model_construct(
        conversation_id=conversation_id,
        push_id=push_id,
        state=state,
        created_at=iso_from_ms(int(created_at_ms)),
        expires_at=iso_from_ms(int(expires_at_ms)),
        reason=reason or None,
    )
