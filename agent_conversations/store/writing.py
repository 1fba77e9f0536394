"""How conversations are changed: their fields, and messages, appended and replaced each once.

Messages also after their call's transcript.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agent_conversations.errors import (
    MessageConflictError,
    OtherUserError,
    PreconditionFailedError,
)
from agent_conversations.store import records, transcripts
from agent_conversations.store.records import (
    Owners,
    Scores,
    StoredConversation,
    new_id,
    new_revision,
)
from agent_conversations.store.results import Appended, PutMessage, StoredMessage
from agent_conversations.store.scripts import join_allowed
from agent_conversations.store.storage import ConversationStorage
from agent_conversations.transcripts import call_of
from agent_conversations.types import AgentMessage, ConversationChanges
from sessions_store.errors import StoreUnavailableError
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, now_ms

MOST_ATTEMPTS = 20
"""Attempts to write what depends on what is stored, while others write."""


def update(
    storage: ConversationStorage,
    conversation_id: str,
    changes: ConversationChanges,
    if_revision: Sequence[str] | None,
) -> StoredConversation:
    """Set and remove fields, if all of the conversation can be read."""
    given = changes.to_wire()
    removed = [name for name in changes.given() if name not in given]
    if "userId" in removed and storage.user_id is not None:
        raise OtherUserError
    storage.own_user_id(changes.user_id)
    write = partial(
        storage.scripts.run,
        "update_conversation",
        conversation_id,
        allowed=join_allowed(if_revision),
        new_revision=new_revision(),
        removed_count=len(removed),
        changes=[
            *removed,
            *records.encode(storage.codec.seal_fields(records.attributes_of(given))),
        ],
    )
    known: StoredConversation | None = None
    for _ in range(MOST_ATTEMPTS):
        status, *reply = write(known_revision=known.revision if known else "")
        if status == b"updated":
            break
        known = storage.reader.decode(conversation_id, *reply)
    else:
        raise StoreUnavailableError("too many writes at the same time")
    *reply, agent_id, user_id = reply
    conversation = storage.reader.decode(conversation_id, *reply, known=known)
    storage.index.update(conversation_id, conversation.scores, Owners.decode(agent_id, user_id))
    return conversation


def append(
    storage: ConversationStorage,
    conversation_id: str,
    messages: Sequence[tuple[str | None, AgentMessage]],
) -> Sequence[Appended]:
    """Append messages, each with its id or ``None`` for a new one; all of them or none."""
    now = now_ms()
    given: dict[str, bytes] = {}
    is_first: list[tuple[str, bool]] = []
    for handle, message in messages:
        message_id = handle or new_id("msg", now)
        message_json = json_codec.encode(_complete(message, message_id, now))
        first = given.setdefault(message_id, message_json)
        records.check_repetition(conversation_id, message_json, first)
        is_first.append((message_id, first is message_json))
    count, repeated = _append(storage, conversation_id, given)
    return [
        Appended(repeated.get(message_id, message_id), count, not first or message_id in repeated)
        for message_id, first in is_first
    ]


def _append(
    storage: ConversationStorage, conversation_id: str, given: Mapping[str, bytes]
) -> tuple[int, Mapping[str, str]]:
    """Return how many messages there are then, and the stored id of each that was repeated."""
    ids = list(given)
    sealed = storage.codec.seal_all(given)
    revision = new_revision()
    for _ in range(MOST_ATTEMPTS):
        status, *reply = storage.scripts.run(
            "append_messages",
            conversation_id,
            new_revision=revision,
            max_messages=storage.max_messages,
            max_bytes=storage.max_bytes,
            given=list(itertools.chain.from_iterable(sealed.items())),
        )
        if status == b"transcribed":
            late = transcripts.append_late(storage, conversation_id, given)
            return late.message_count, {
                message_id: str(records.decode_message(conversation_id, raw).message_id)
                for message_id, raw in late.repeated.items()
            }
        *scores, stored_revision, known = reply
        stored = {ids[number]: raw for number, raw in zip(known[::2], known[1::2], strict=True)}
        for message_id, message_json in stored.items():
            _check_stored(storage, conversation_id, message_id, given[message_id], message_json)
        if status != b"different":
            break
        sealed = {**sealed, **stored}
    else:
        raise StoreUnavailableError("too many writes at the same time")
    count = Scores.decode(*scores)
    storage.index.update(conversation_id, count)
    # Messages whose reply was lost, and that were sent again, find their own revision.
    is_own = status == b"repeated" and records.is_of_same_write(
        stored_revision.decode(errors="replace"), revision
    )
    return count.message_count, {} if is_own else {one: one for one in stored}


def _check_stored(
    storage: ConversationStorage, conversation_id: str, message_id: str, given: bytes, stored: bytes
) -> None:
    """Raise ``MessageConflictError`` for other content, unless a transcript corrected it."""
    try:
        readable = storage.codec.unseal(conversation_id, stored)
        records.check_repetition(conversation_id, given, readable)
    except MessageConflictError:
        if not transcripts.has(storage, conversation_id, call_of(message_id)):
            raise


def put(
    storage: ConversationStorage,
    conversation_id: str,
    message_id: str,
    message: AgentMessage,
    if_tag: Sequence[str] | None,
) -> PutMessage:
    """Replace a message in its place, or append it: see ``ConversationRepository.put_message``."""
    allowed = "" if if_tag is None else join_allowed(if_tag)
    given, status, reply = _put(storage, conversation_id, message_id, message, allowed)
    if status == b"transcribed":
        late = transcripts.append_late(storage, conversation_id, {message_id: given})
        message_json = late.repeated.get(message_id, given)
        is_new = message_id not in late.repeated
        return PutMessage(conversation_id, message_json, appended=is_new, replayed=not is_new)
    *scores, message_json = reply
    storage.index.update(conversation_id, Scores.decode(*scores))
    return PutMessage(
        conversation_id,
        storage.codec.unseal(conversation_id, message_json),
        appended=status == b"appended",
        replayed=status == b"repeated",
    )


def _put(
    storage: ConversationStorage,
    conversation_id: str,
    message_id: str,
    message: AgentMessage,
    allowed: str,
) -> tuple[bytes, bytes, Sequence[Any]]:
    """Return the JSON of the message, and the script's reply."""
    complete = _complete(message, message_id, now_ms())
    given = json_codec.encode(complete)
    write = partial(
        storage.scripts.run,
        "put_message",
        conversation_id,
        new_revision=new_revision(),
        message_id=message_id,
        max_messages=storage.max_messages,
        max_bytes=storage.max_bytes,
    )
    status, *reply = write(
        message_json=storage.codec.seal(given),
        own_timestamp=message.timestamp or "",
        allowed=allowed,
        known_tag="",
    )
    while status == b"encrypted":  # for the first time, or what was read has been replaced
        (stored,) = reply
        readable = StoredMessage(conversation_id, storage.codec.unseal(conversation_id, stored))
        if allowed not in ("", "*") and readable.tag not in allowed.split():
            raise PreconditionFailedError
        if message.timestamp is None:
            complete["timestamp"] = readable.message.timestamp
        given = json_codec.encode(complete)
        status, *reply = write(
            message_json=stored if given == readable.message_json else storage.codec.seal(given),
            own_timestamp=complete["timestamp"],
            allowed=allowed and "*",
            known_tag=StoredMessage(conversation_id, stored).tag,
        )
    return given, status, reply


def _complete(message: AgentMessage, message_id: str, now: int) -> dict[str, Any]:
    """Return a message as it is stored: with all that a request may leave out.

    The timestamp is before ``toolArgs``, where put_message.lua looks for it first.
    """
    return {
        "role": message.role,
        "content": message.content,
        "timestamp": message.timestamp or iso_from_ms(now),
        "source": message.source or "text",
        "messageId": message_id,
        **message.to_wire(),
    }
