"""A recorder for ElevenLabs' SDK on a server: it stores what the SDK's callbacks are told.

    recorder = CallRecorder("redis://127.0.0.1:6379/0", "c-1")
    call = Conversation(client, agent_id, requires_auth=True, …, **recorder.callbacks())
    …
    recorder.close()

It needs no settings: the URL of the Redis that the service uses, or the address of the service.
"""

import http.client
import logging
import queue
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol
from urllib.parse import quote, urlsplit

from agent_conversations.errors import ConversationExistsError
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, NewConversation
from sessions_store.errors import InvalidRequestError, StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, now_ms
from sessions_store.wire.model import WireModel

SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
RESPONSE_SECONDS = 10.0
MAX_WAITING = 10_000
"""Turns that may wait to be written; those that come while there are so many are dropped."""

_TEMPORARY = (401, 403, 408, 425, 429)
_logger = logging.getLogger(__name__)


class _Api:
    """The service's API, in place of its repository."""

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        connection = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connect = partial(connection, parts.netloc, timeout=RESPONSE_SECONDS)
        self._path = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token:
            if not re.fullmatch("[!-~]+", token):
                raise ValueError("token must be of ASCII letters, digits and signs")
            self._headers["Authorization"] = f"Bearer {token}"

    def create(self, new: NewConversation) -> None:
        self._send("POST", "/new", new)

    def put_message(self, conversation_id: str, message_id: str, message: AgentMessage) -> None:
        self._send("PUT", f"/{conversation_id}/messages/{quote(message_id, safe='')}", message)

    def _send(self, method: str, path: str, body: WireModel) -> None:
        try:
            with closing(self._connect()) as connection:
                content = json_codec.encode(body.to_wire())
                connection.request(method, self._path + path, content, self._headers)
                response = connection.getresponse()
                response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailableError(type(error).__name__) from None
        if response.status >= 500 or response.status in _TEMPORARY:
            raise StoreUnavailableError(f"status {response.status}")
        if response.status == 409 and method == "POST":
            return  # it is there, with other content
        if response.status >= 300:
            raise InvalidRequestError(f"status {response.status}")


class _Store(Protocol):
    def create(self, new: NewConversation) -> object: ...

    def put_message(
        self, conversation_id: str, message_id: str, message: AgentMessage
    ) -> object: ...


class CallRecorder:
    """Writes the turns of a call in the background, in order, each once.

    While the store is away, turns wait and are written again with growing pauses (0.5 to 30 s).
    What can never be written is logged, by its id, and left out.

    Args:
        address: ``redis://``, ``rediss://`` or ``unix://`` of the service's Redis; or ``http://``
            or ``https://`` of its API, such as ``https://…/agent-conversations/api``.
        conversation_id: ours; the conversation is created unless it is there.
        token: one of the service's ``API_TOKENS``, for its API.
        retention_seconds: the service's ``CONVERSATION_RETENTION_SECONDS``, for its Redis.
        index_shards: the service's ``INDEX_SHARDS``, for its Redis.
        encryption_keys: the service's ``CONVERSATION_ENCRYPTION_KEYS``, for its Redis.

    Raises:
        ValueError: another ``address``, or a ``token`` that a header cannot carry.
        InvalidRequestError: ``conversation_id`` cannot be one.
    """

    def __init__(
        self,
        address: str,
        conversation_id: str,
        *,
        token: str = "",
        retention_seconds: int | None = None,
        index_shards: int = 1,
        encryption_keys: Sequence[str] = (),
    ) -> None:
        new = NewConversation.parse({"conversationId": conversation_id})
        self._store: _Store
        if address.startswith(("http://", "https://")):
            self._store = _Api(address, token)
        else:
            client = StoreClient.from_url(address)
            self._store = ConversationRepository(
                client,
                retention_seconds=retention_seconds,
                index_shards=index_shards,
                encryption_keys=encryption_keys,
            )
        self.conversation_id = conversation_id
        # The SDK tells its callbacks neither the call's id nor the events': no id that looks like
        # a turn's (transcripts.turn_id), which would be that of another call.
        self._call_id = f"call-{now_ms()}-{secrets.token_hex(8)}"
        self._count = 0
        self._agent_turns: dict[str, str] = {}
        self._writes: queue.SimpleQueue[tuple[str, Callable[[], object]] | None]
        self._writes = queue.SimpleQueue()
        self._closed = threading.Event()
        self._is_complete = False
        self._put("the conversation", lambda: self._store.create(new))
        self._thread = threading.Thread(target=self._write_all, name="call-recorder", daemon=True)
        self._thread.start()

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return the arguments for the SDK's ``Conversation``."""
        return {
            "callback_user_transcript": self.user_transcript,
            "callback_agent_response": self.agent_response,
            "callback_agent_response_correction": self.agent_response_correction,
        }

    def user_transcript(self, transcript: str) -> None:
        if transcript:
            self._add("user", role="user", content=transcript, source="voice")

    def agent_response(self, response: str) -> None:
        self._agent_turns[response] = self._add(
            "agent", role="assistant", content=response, source="agent_response"
        )

    def agent_response_correction(self, original: str, corrected: str) -> None:
        """Correct the newest turn with the words of ``original``; without one, it is a turn."""
        message_id = self._agent_turns.get(original) or self._new_id("agent")
        heard = {"content": corrected, "originalContent": original, "interrupted": True}
        message = {"role": "assistant", "source": "agent_response", **heard}
        self._put_message(message_id, message)

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """Stop; return whether everything was written in time."""
        if not self._closed.is_set():
            self._writes.put(None)
            self._thread.join(timeout_seconds)
            self._is_complete = not self._thread.is_alive()
            self._closed.set()
        return self._is_complete

    def _add(self, speaker: str, **message: object) -> str:
        message_id = self._new_id(speaker)
        # When it was said, however late it is written.
        self._put_message(message_id, {"timestamp": iso_from_ms(now_ms()), **message})
        return message_id

    def _new_id(self, speaker: str) -> str:
        self._count += 1
        return f"{self._call_id}-{self._count}-{speaker}"

    def _put_message(self, message_id: str, message: dict[str, object]) -> None:
        self._put(
            message_id,
            lambda: self._store.put_message(
                self.conversation_id, message_id, AgentMessage.parse(message)
            ),
        )

    def _put(self, name: str, write: Callable[[], object]) -> None:
        if self._writes.qsize() < MAX_WAITING:
            self._writes.put((name, write))
        else:
            _logger.error("Not recorded, too much waits: %s", name)

    def _write_all(self) -> None:
        while (waiting := self._writes.get()) is not None:
            self._write(*waiting)

    def _write(self, name: str, write: Callable[[], object]) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while not self._closed.is_set():
            try:
                write()
            except StoreUnavailableError as error:
                if pause == SHORTEST_PAUSE_SECONDS:
                    _logger.warning("Not written yet, and kept: %s (%s)", name, error.cause)
                self._closed.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
            except ConversationExistsError:
                return  # created with other content: it is there
            except Exception as error:
                # Whatever it is, the next turn is written; its text may hold what was said.
                _logger.error("Not recorded: %s (%s)", name, type(error).__name__)
                return
            else:
                return
