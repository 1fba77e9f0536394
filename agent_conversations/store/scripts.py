"""The Lua scripts on one conversation, as methods: arguments in, a typed reply out.

A conflict that a script finds is raised as an error of the domain; a legacy record is converted
first, and the script runs again.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agent_conversations.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    PreconditionFailedError,
)
from agent_conversations.store import keys, legacy, records
from agent_conversations.store.records import Scores, StoredConversation, new_revision
from sessions_store.errors import CorruptRecordError, UnsupportedRecordVersionError, WrongTypeError
from sessions_store.redis.client import ScriptCall, StoreClient
from sessions_store.redis.script import Argument
from sessions_store.wire.clock import now_ms
from sessions_store.wire.fields import check_conversation_id
from sessions_store.wire.model import SCHEMA_VERSION

IDEMPOTENCY_SECONDS = 24 * 3600
"""How long the ``Idempotency-Key`` of a creation is remembered."""


class AppendReply(NamedTuple):
    """``stored_json``: the message that has the id already; ``None`` if the message was appended.

    ``replayed``: it was an earlier request that stored it, not a first attempt of this one.
    """

    scores: Scores
    stored_json: bytes | None = None
    replayed: bool = False


class LegacyRecordError(Exception):
    """The record is a legacy record, and was left as it is."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.raw = raw


class ConversationScripts:
    """The scripts, with their common arguments; its errors are those of the repository.

    Args:
        retention_ms: 0 keeps conversations for ever.
        index_keys: of the index, if the scripts update it in the same step.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        retention_ms: int,
        max_messages: int,
        index_keys: Sequence[str],
    ) -> None:
        self._store = store
        self._retention_ms = retention_ms
        self._max_messages = max_messages
        self._index_keys = index_keys

        def script(name: str, *, repeatable: bool) -> ScriptCall:
            return store.script("agent_conversations.store", name, repeatable=repeatable)

        # Where a first attempt's reply was lost, the second …
        self._create = script("create_conversation", repeatable=True)  # finds its own revision
        self._append = script("append_message", repeatable=True)  # finds its message's id
        self._update = script("update_conversation", repeatable=True)  # finds its own revision
        self._convert = script("convert_conversation", repeatable=True)  # finds no legacy record
        self._read = script("read_conversation", repeatable=True)  # reads, and sets the same times
        self._page_messages = script("page_messages", repeatable=True)  # likewise
        self._index = script("index_conversation", repeatable=True)  # sets the same entry, expiry
        # … would report as missing what the first has deleted.
        self._delete = script("delete_conversation", repeatable=False)

    def create(self, wanted: StoredConversation) -> StoredConversation:
        """Store ``wanted``; return it, or the conversation that has its id already."""
        conversation_id, now = wanted.conversation_id, wanted.created_at_ms
        fields = records.encode(vars(wanted))
        status, *stored = self._run(self._create, conversation_id, now_ms=now, fields=fields)
        return wanted if status == b"created" else _decode(conversation_id, *stored)

    def read(self, conversation_id: str) -> StoredConversation:
        _, *stored = self._run(self._read, conversation_id, now_ms=now_ms())
        return _decode(conversation_id, *stored)

    def append_message(
        self, conversation_id: str, message_id: str, message_json: bytes, *, now: int
    ) -> AppendReply:
        """Append the message, or return the one that has its id."""
        revision = new_revision()
        status, *reply = self._run(
            self._append,
            conversation_id,
            now_ms=now,
            message_id=message_id,
            message_json=message_json,
            revision=revision,
            max_messages=self._max_messages,
        )
        if status == b"full":
            raise ConversationFullError(self._max_messages)
        scores = _scores(*reply[:3])
        if status == b"appended":
            return AppendReply(scores)
        stored_json, stored_revision = reply[3:]
        return AppendReply(scores, stored_json, stored_revision != revision.encode())

    def page_messages(
        self, conversation_id: str, first: int, last: int
    ) -> tuple[Scores, list[bytes]]:
        """Return the messages from ``first`` to ``last``, both counted as by LRANGE."""
        _, *scores, messages = self._run(
            self._page_messages, conversation_id, now_ms=now_ms(), first=first, last=last
        )
        return _scores(*scores), messages

    def update(
        self,
        conversation_id: str,
        removed: Sequence[str],
        fields: Sequence[Argument],
        *,
        allowed_revisions: Sequence[str] | None,
    ) -> StoredConversation:
        """Remove the fields ``removed`` and set ``fields`` (field, value, field, value …)."""
        status, *stored = self._run(
            self._update,
            conversation_id,
            now_ms=now_ms(),
            allowed=_allowed(allowed_revisions),
            revision=new_revision(),
            removed_count=len(removed),
            changes=[*removed, *fields],
        )
        if status == b"stale":
            raise PreconditionFailedError
        return _decode(conversation_id, *stored)

    def delete(self, conversation_id: str, *, allowed_revisions: Sequence[str] | None) -> bool:
        """Delete the conversation, even if it is corrupt; return whether there was one."""
        status = self._delete(
            **self._keys(conversation_id),
            conversation_id=conversation_id,
            allowed=_allowed(allowed_revisions),
        )
        if status == b"stale":
            raise PreconditionFailedError
        return bool(status == b"deleted")

    def update_index_and_expiry(self, conversation_id: str) -> Scores:
        """Set both as the record has them; a legacy record is a ``LegacyRecordError``."""
        _, *scores = self._run_once(self._index, conversation_id, {"now_ms": now_ms()})
        return _scores(*scores)

    def convert(self, converted: legacy.ConvertedConversation, *, expected_json: bytes) -> bool:
        """Store ``converted`` if its legacy record is still stored, or there still is none.

        Returns:
            Whether it was.
        """
        conversation = converted.conversation
        fields = records.encode(vars(conversation))
        messages = zip(converted.message_ids, conversation.messages_json, strict=True)
        done = self._convert(
            **self._keys(conversation.conversation_id),
            conversation_id=conversation.conversation_id,
            retention_ms=self._retention_ms,
            expected_json=expected_json,
            fields_count=len(fields),
            contents=[*fields, *itertools.chain.from_iterable(messages)],
        )
        return bool(done)

    def claim_id(self, idempotency_key: str, candidate: str) -> str:
        """Return the conversation id that the key was given in the last day, else ``candidate``."""
        key = keys.idempotency_key(hashlib.sha256(idempotency_key.encode()).hexdigest())
        _, claimed = self._store.transaction(
            [("SET", key, candidate, "NX", "EX", IDEMPOTENCY_SECONDS), ("GET", key)],
            repeatable=True,  # the second attempt finds the id that the first has set
        )
        return str(claimed, "utf-8")

    def _run(self, script: ScriptCall, conversation_id: str, **arguments: Any) -> Sequence[Any]:
        """Return a script's reply; convert a legacy record first, raise a conflict."""
        while True:
            try:
                return self._run_once(script, conversation_id, arguments)
            except LegacyRecordError as error:
                # If another writer was faster, nothing is converted: the script runs in any case.
                self.convert(legacy.convert(conversation_id, error.raw), expected_json=error.raw)

    def _run_once(
        self, script: ScriptCall, conversation_id: str, arguments: Mapping[str, Any]
    ) -> Sequence[Any]:
        try:
            reply: Sequence[Any] = script(
                **self._keys(conversation_id),
                conversation_id=conversation_id,
                retention_ms=self._retention_ms,
                schema_version=SCHEMA_VERSION,
                **arguments,
            )
        except WrongTypeError:
            raise CorruptRecordError("conversation", conversation_id) from None
        match reply[0]:
            case b"missing":
                raise ConversationNotFoundError
            case b"corrupt":
                raise CorruptRecordError("conversation", conversation_id)
            case b"newer":
                raise UnsupportedRecordVersionError("conversation", conversation_id)
            case b"legacy":
                raise LegacyRecordError(reply[1])
            case _:
                return reply

    def _keys(self, conversation_id: str) -> dict[str, Any]:
        record, messages, message_ids = keys.record_keys(check_conversation_id(conversation_id))
        return {
            "record_key": record,
            "messages_key": messages,
            "message_ids_key": message_ids,
            "index_keys": self._index_keys,
        }


def _scores(created_at_ms: bytes, last_accessed_at_ms: bytes, message_count: int) -> Scores:
    return Scores(int(created_at_ms), int(last_accessed_at_ms), message_count)


def _decode(
    conversation_id: str, flat_record: Sequence[bytes], messages: Sequence[bytes]
) -> StoredConversation:
    record = dict(zip(flat_record[::2], flat_record[1::2], strict=True))
    return records.decode_conversation(conversation_id, record, messages)


def _allowed(revisions: Sequence[str] | None) -> str:
    """Return the revisions as the scripts take them; one that cannot be ours matches none."""
    return "*" if revisions is None else " ".join(filter(str.isalnum, revisions))
