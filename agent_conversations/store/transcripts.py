"""Transcripts in the store: merged into a conversation, and kept from being repeated live.

What becomes of the messages is found in Python, of a conversation as it was read; it is written in
one step, if nothing was written in between.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from agent_conversations import merging
from agent_conversations.errors import (
    ConversationFullError,
    PreconditionFailedError,
)
from agent_conversations.store import records
from agent_conversations.store.encryption import Codec
from agent_conversations.store.index import ConversationIndex
from agent_conversations.store.reader import ConversationReader
from agent_conversations.store.records import Scores, StoredConversation
from agent_conversations.store.scripts import ConversationScripts
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
    """Messages written after their call's transcript: each is ``appended``, or repeats another.

    ``repeated`` has the stored message for the id of the late one.
    """

    scores: Scores
    appended: frozenset[str]
    repeated: Mapping[str, bytes]


class TranscriptStore:
    """Merges transcripts. Its errors are those of the repository."""

    def __init__(
        self,
        scripts: ConversationScripts,
        index: ConversationIndex,
        reader: ConversationReader,
        codec: Codec,
        *,
        max_messages: int,
        max_bytes: int,
    ) -> None:
        self._scripts = scripts
        self._index = index
        self._reader = reader
        self._codec = codec
        self._max_messages = max_messages
        self._max_bytes = max_bytes

    def merge(self, conversation_id: str, transcript: Transcript) -> bool:
        """Merge a transcript into the conversation; return whether it was not merged before.

        Turns that a full conversation has no room for are left out, which its outcome says.
        """
        for conversation in self._attempts(conversation_id):
            known = timestamps(conversation.transcripts)
            if transcript.event_timestamp <= known.get(transcript.handle, -1):
                return False
            after_others = bool(known) and transcript.call_id not in known
            merged = merging.merge(conversation.messages, transcript, after_others=after_others)
            appended = {
                str(message.message_id): self._codec.seal(json_codec.encode(message.to_wire()))
                for message in merged.appended
            }
            outcome = dict(transcript.outcome)
            fitting = dict(self._fitting(conversation, appended))
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
                position: self._codec.seal(
                    _rewritten(conversation.messages_json[position], message)
                )
                for position, message in merged.replaced.items()
            }
            if self._write(conversation, fields, replaced, fitting):
                return True
        raise StoreUnavailableError("too many writes at the same time")

    def append_late(self, conversation_id: str, given: Mapping[str, bytes]) -> LateMessages:
        """Append messages, all of them or none, but for those that repeat a transcript's turn.

        Args:
            given: the JSON of each by its id.

        Raises:
            MessageConflictError: another message, with other content, has the id of one of them.
            ConversationFullError: the conversation would have more than its most messages, or
                bytes.
        """
        for conversation in self._attempts(conversation_id):
            stored = {
                str(message.message_id): raw
                for message, raw in zip(
                    conversation.messages, conversation.messages_json, strict=True
                )
            }
            repeated = {one: stored[one] for one in given if one in stored}
            known = timestamps(conversation.transcripts)
            for message_id, raw in given.items():
                is_of_transcript = call_of(message_id) in known
                if message_id in repeated and not is_of_transcript:
                    records.check_repetition(conversation_id, raw, repeated[message_id])
                if message_id in repeated or not is_of_transcript:
                    continue
                late = records.decode_message(conversation_id, raw)
                same = merging.find_repeated(conversation.messages, late)
                if same is not None:
                    repeated[message_id] = stored[str(same.message_id)]
            appended = self._codec.seal_all(
                {one: raw for one, raw in given.items() if one not in repeated}
            )
            if not appended:
                return LateMessages(conversation.scores, frozenset(), repeated)
            if len(dict(self._fitting(conversation, appended))) < len(appended):
                unit, most = "messages", self._max_messages
                if conversation.message_count + len(appended) <= most:
                    unit, most = "bytes", self._max_bytes
                raise ConversationFullError(unit, most)
            scores = self._write(conversation, {}, {}, appended)
            if scores:
                return LateMessages(scores, frozenset(appended), repeated)
        raise StoreUnavailableError("too many writes at the same time")

    def _attempts(self, conversation_id: str) -> Iterator[StoredConversation]:
        """Yield the conversation with all of its messages, read anew for each attempt."""
        for _ in range(MOST_ATTEMPTS):
            deadline.renew()
            _, record, count, messages, _ = self._scripts.run(
                "read_part", conversation_id, first=0, single_positions=()
            )
            conversation = self._codec.decode_conversation(
                conversation_id,
                dict(zip(record[::2], record[1::2], strict=True)),
                messages,
                count - len(messages),
            )
            if conversation.older_messages:
                conversation = self._reader.with_all_messages(conversation)
            yield conversation

    def _fitting(
        self, conversation: StoredConversation, appended: Mapping[str, bytes]
    ) -> Iterator[tuple[str, bytes]]:
        count = conversation.message_count
        size = conversation.message_bytes or 0
        for message_id, raw in appended.items():
            count, size = count + 1, size + len(raw)
            if count > self._max_messages or size > self._max_bytes:
                return
            yield message_id, raw

    def _write(
        self,
        conversation: StoredConversation,
        fields: Mapping[str, object],
        replaced: Mapping[int, bytes],
        appended: Mapping[str, bytes],
    ) -> Scores | None:
        """Return the scores after the changes, ``None`` if the conversation is not as it was."""
        encoded = records.encode(self._codec.seal_fields(fields))
        deadline.renew()
        try:
            _, created_at_ms, last_accessed_at_ms, count = self._scripts.run(
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
        scores = Scores(int(created_at_ms), int(last_accessed_at_ms), count)
        self._index.update(conversation.conversation_id, scores)
        return scores


def timestamps(stored: str | None) -> dict[str, int]:
    """Return the ``event_timestamp`` of each call whose transcript is in a conversation."""
    pairs = (entry.partition("=") for entry in (stored or "").split())
    return {call: int(time) for call, _, time in pairs}


def _rewritten(raw: bytes, message: AgentMessage) -> bytes:
    """Return the JSON of a message; keys of older writers that are unknown here are kept."""
    before: Sequence[tuple[str, object]] = json_codec.decode(raw).items()
    unknown = {key: value for key, value in before if key not in _KNOWN_KEYS}
    return json_codec.encode({**message.to_wire(), **unknown})


_KNOWN_KEYS = frozenset(field.alias for field in AgentMessage.model_fields.values())
