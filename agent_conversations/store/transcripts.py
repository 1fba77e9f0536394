"""Transcripts in the store: merged into a conversation, and kept from being repeated live.

What becomes of the messages is found in Python, of a conversation as it was read; it is written in
one step, if nothing was written in between.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from agent_conversations import merging
from agent_conversations.errors import ConversationFullError, PreconditionFailedError
from agent_conversations.store import keys, records
from agent_conversations.store.records import Scores, StoredConversation
from agent_conversations.store.storage import ConversationStorage
from agent_conversations.transcripts import Transcript, call_of
from agent_conversations.types import OUTCOME, AgentMessage
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import deadline
from sessions_store.wire import json_codec

MOST_ATTEMPTS = 20
"""Attempts to write what others write to at the same time."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LateMessages:
    """Messages written after their call's transcript: each was appended, or repeats another.

    ``repeated`` has the stored message for the id of the late one.
    """

    message_count: int
    repeated: Mapping[str, bytes]


def has(storage: ConversationStorage, conversation_id: str, call_id: str | None) -> bool:
    """Return whether the transcript of a call is in the conversation."""
    if call_id is None:
        return False
    command = "HGET", keys.conversation_key(conversation_id), "transcripts"
    (stored,) = storage.store.read_many([command])
    return stored is not None and call_id in _timestamps(stored.decode())


def merge(storage: ConversationStorage, conversation_id: str, transcript: Transcript) -> bool:
    """Merge a transcript into the conversation; return whether it was not merged before.

    Turns that a full conversation has no room for are left out, which its outcome says.
    """
    for conversation in _attempts(storage, conversation_id):
        known = _timestamps(conversation.transcripts)
        if transcript.event_timestamp <= known.get(transcript.handle, -1):
            return False
        after_others = bool(known) and transcript.call_id not in known
        merged = merging.merge(conversation.messages, transcript, after_others=after_others)
        appended = {
            str(message.message_id): storage.codec.seal(json_codec.encode(message.to_wire()))
            for message in merged.appended
        }
        outcome = dict(transcript.outcome)
        fitting = dict(_fitting(storage, conversation, appended))
        if len(fitting) < len(appended):
            outcome["truncated"] = [*outcome.get("truncated", ()), "transcript"]
            _logger.warning(
                "A transcript does not fit into its conversation",
                extra={
                    "conversation_id": conversation_id,
                    "left_out": len(appended) - len(fitting),
                },
            )
        known[transcript.handle] = transcript.event_timestamp
        metadata = {**(conversation.metadata or {}), OUTCOME: outcome}
        fields = {
            "metadata_json": json_codec.encode(metadata),
            "transcripts": " ".join(f"{call}={time}" for call, time in known.items()),
        }
        replaced = {
            position: storage.codec.seal(_rewritten(conversation.messages_json[position], message))
            for position, message in merged.replaced.items()
        }
        if _write(storage, conversation, fields, replaced, fitting):
            return True
    raise StoreUnavailableError("too many writes at the same time")


def append_late(
    storage: ConversationStorage, conversation_id: str, given: Mapping[str, bytes]
) -> LateMessages:
    """Append messages, all of them or none, but for those that repeat a transcript's turn.

    Args:
        given: the JSON of each by its id.

    Raises:
        MessageConflictError: another message, with other content, has the id of one of them.
        ConversationFullError: the conversation would have more than its most messages, or
            bytes.
    """
    for conversation in _attempts(storage, conversation_id):
        repeated = _find_repeated(conversation, given)
        appended = storage.codec.seal_all(
            {one: raw for one, raw in given.items() if one not in repeated}
        )
        if not appended:
            return LateMessages(conversation.message_count, repeated)
        _check_room(storage, conversation, appended)
        scores = _write(storage, conversation, {}, {}, appended)
        if scores:
            return LateMessages(scores.message_count, repeated)
    raise StoreUnavailableError("too many writes at the same time")


def _attempts(storage: ConversationStorage, conversation_id: str) -> Iterator[StoredConversation]:
    """Yield the conversation with all of its messages, read anew for each attempt."""
    for _ in range(MOST_ATTEMPTS):
        deadline.renew()
        _, record, count, messages, _ = storage.scripts.run(
            "read_part", conversation_id, first=0, single_positions=()
        )
        conversation = storage.codec.decode_conversation(
            conversation_id,
            dict(zip(record[::2], record[1::2], strict=True)),
            messages,
            count - len(messages),
        )
        if conversation.older_messages:
            conversation = storage.reader.with_all_messages(conversation)
        yield conversation


def _fitting(
    storage: ConversationStorage, conversation: StoredConversation, appended: Mapping[str, bytes]
) -> Iterator[tuple[str, bytes]]:
    count = conversation.message_count
    size = conversation.message_bytes or 0
    for message_id, raw in appended.items():
        count, size = count + 1, size + len(raw)
        if count > storage.max_messages or size > storage.max_bytes:
            return
        yield message_id, raw


def _check_room(
    storage: ConversationStorage, conversation: StoredConversation, appended: Mapping[str, bytes]
) -> None:
    """Raise ``ConversationFullError`` unless all of the messages fit."""
    if len(dict(_fitting(storage, conversation, appended))) < len(appended):
        unit, most = "messages", storage.max_messages
        if conversation.message_count + len(appended) <= most:
            unit, most = "bytes", storage.max_bytes
        raise ConversationFullError(unit, most)


def _write(
    storage: ConversationStorage,
    conversation: StoredConversation,
    fields: Mapping[str, object],
    replaced: Mapping[int, bytes],
    appended: Mapping[str, bytes],
) -> Scores | None:
    """Return the scores after the changes, ``None`` if the conversation is not as it was."""
    encoded = records.encode(storage.codec.seal_fields(fields))
    deadline.renew()
    try:
        _, *reply = storage.scripts.run(
            "rewrite_messages",
            conversation.conversation_id,
            known_revision=conversation.revision,
            new_revision=records.new_revision(),
            field_count=len(encoded) // 2,
            replaced_count=len(replaced),
            contents=[
                *encoded,
                *chain.from_iterable(replaced.items()),
                *chain.from_iterable(appended.items()),
            ],
        )
    except PreconditionFailedError:
        return None
    scores = Scores.decode(*reply)
    storage.index.update(conversation.conversation_id, scores)
    return scores


def _find_repeated(
    conversation: StoredConversation, given: Mapping[str, bytes]
) -> Mapping[str, bytes]:
    """Return the stored message of each that has its id, or is the same turn of a transcript.

    Raises:
        MessageConflictError: another message, with other content, has the id of one of them.
    """
    conversation_id = conversation.conversation_id
    messages = conversation.messages
    stored = {
        str(message.message_id): raw
        for message, raw in zip(messages, conversation.messages_json, strict=True)
    }
    known = _timestamps(conversation.transcripts)
    repeated: dict[str, bytes] = {}
    for message_id, raw in given.items():
        is_of_transcript = call_of(message_id) in known
        if message_id in stored:
            repeated[message_id] = stored[message_id]
            if not is_of_transcript:
                records.check_repetition(conversation_id, raw, stored[message_id])
        elif is_of_transcript:
            late = records.decode_message(conversation_id, raw)
            same = merging.find_repeated(messages, late)
            if same is not None:
                repeated[message_id] = stored[str(same.message_id)]
    return repeated


def _timestamps(stored: str | None) -> dict[str, int]:
    """Return the ``event_timestamp`` of each call whose transcript is in a conversation."""
    pairs = (entry.partition("=") for entry in (stored or "").split())
    return {call: int(time) for call, _, time in pairs}


def _rewritten(raw: bytes, message: AgentMessage) -> bytes:
    """Return the JSON of a message; keys of older writers that are unknown here are kept."""
    before: Sequence[tuple[str, object]] = json_codec.decode(raw).items()
    unknown = {key: value for key, value in before if key not in _KNOWN_KEYS}
    return json_codec.encode({**message.to_wire(), **unknown})


_KNOWN_KEYS = frozenset(field.alias for field in AgentMessage.model_fields.values())
