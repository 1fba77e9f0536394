"""How the Lua scripts on one conversation are run.

A script is run by its name; each is ``lua/<name>.lua``, whose header has its arguments and replies.
What all of them are given is added here. A conflict that a script finds is raised as an error of
the domain; a legacy record is converted first, and the script runs again.
"""

import itertools
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache, partial
from typing import Any, Self

from agent_conversations.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageNotFoundError,
    PreconditionFailedError,
)
from agent_conversations.store import keys, legacy, records
from agent_conversations.store.encryption import Codec
from sessions_store.errors import CorruptRecordError, WrongTypeError
from sessions_store.keys import changes_channel
from sessions_store.redis.client import ScriptCall, StoreClient
from sessions_store.redis.script import Script
from sessions_store.wire.fields import check_conversation_id

BYTES_AT_ONCE = 1024 * 1024
"""The most bytes of messages in one reply: some milliseconds of the server's time."""
IDEMPOTENCY_SECONDS = 24 * 3600
"""How long the ``Idempotency-Key`` of a creation is remembered."""
_PACKAGE = "agent_conversations.store"


class LegacyRecordError(Exception):
    """The record is a legacy record, and was left as it is."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.raw = raw


class ConversationScripts:
    """The scripts, with the arguments that they share; its errors are those of the repository.

    Args:
        retention_ms: 0 keeps conversations for ever.
        index_keys: returns those of the index for a conversation, if the scripts update it in the
            same step.
        codec: how messages and fields are stored; what is given and replied is as it is stored.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        retention_ms: int,
        index_keys: Callable[[str], Sequence[str]],
        codec: Codec,
    ) -> None:
        self._codec = codec
        self._index_keys = index_keys
        shared = {
            "retention_ms": retention_ms,
            "schema_version": codec.newest_version,
            "bytes_at_once": BYTES_AT_ONCE,
            "publish_command": store.publish_command,
        }

        def load(guard: str, name: str) -> tuple[ScriptCall, set[str]]:
            # Where the reply to a first attempt was lost, the second one finds its own revision, or
            # its message's id. Only a deletion would report as missing what the first has deleted.
            repeatable = name != "delete_conversation"
            # What a reading writes is when it was.
            is_write = not name.startswith(("read_", "page_", "index_"))
            script = store.script(
                _PACKAGE, name, repeatable=repeatable, is_write=is_write, guard=guard
            )
            names = Script(_PACKAGE, name).names
            given = {each: shared[each] for each in names & shared.keys()}
            return partial(script, **given), names & {"index_keys", "changes_channel"}

        # A second attempt finds the id that the first has set.
        self._claim = store.script(_PACKAGE, "claim_id", repeatable=True, is_write=True)
        self._script: Callable[[str], tuple[ScriptCall, set[str]]] = cache(partial(load, ""))
        self._script_of_user = cache(partial(load, "of_user"))
        self._of_all = self

    def of_user(self, user_id: str) -> Self:
        """Return the same for one user, to whom others' conversations are missing.

        Whose a conversation is, is found in the same step: see ``lua/guards/of_user.lua``.
        """

        def bind(name: str) -> tuple[ScriptCall, set[str]]:
            script, by_id = self._script_of_user(name)
            return partial(script, of_user=user_id), by_id

        bound = copy(self)
        bound._script = bind
        return bound

    def run(self, name: str, conversation_id: str, **arguments: Any) -> Sequence[Any]:
        """Return a script's reply: its status, and what else its header says."""
        while True:
            try:
                return self.run_on_record(name, conversation_id, **arguments)
            except LegacyRecordError as error:
                # If another writer was faster, nothing is converted: the script runs in any case.
                self._convert(conversation_id, error.raw)

    def _convert(self, conversation_id: str, raw: bytes) -> None:
        try:
            converted = legacy.convert(conversation_id, raw)
        except CorruptRecordError:
            if self is self._of_all:
                raise
            raise ConversationNotFoundError from None  # whose it is, nobody can say
        self._of_all.convert(converted, expected_json=raw)

    def run_on_record(self, name: str, conversation_id: str, **arguments: Any) -> Sequence[Any]:
        """Return a script's reply; a legacy record is a ``LegacyRecordError``."""
        record, messages, message_ids = keys.record_keys(check_conversation_id(conversation_id))
        script, takes = self._script(name)
        if "index_keys" in takes:
            arguments["index_keys"] = self._index_keys(conversation_id)
        if "changes_channel" in takes:
            arguments["changes_channel"] = changes_channel(conversation_id)
        try:
            reply: Sequence[Any] = script(
                record_key=record,
                messages_key=messages,
                message_ids_key=message_ids,
                conversation_id=conversation_id,
                **arguments,
            )
        except WrongTypeError:
            raise CorruptRecordError("conversation", conversation_id) from None
        match reply[0]:
            case b"missing":
                raise ConversationNotFoundError
            case b"stale":
                raise PreconditionFailedError
            case b"corrupt":
                raise records.corrupt(conversation_id, *reply[1:])
            case b"full":
                raise ConversationFullError(reply[1].decode(), int(reply[2]))
            case b"no_message":
                raise MessageNotFoundError
            case b"newer":
                raise records.unsupported(conversation_id, reply[1])
            case b"legacy":
                raise LegacyRecordError(reply[1])
            case _:
                return reply

    def convert(self, converted: legacy.ConvertedConversation, *, expected_json: bytes) -> bool:
        """Store ``converted`` if its legacy record is still stored, or there still is none.

        Returns:
            Whether it was.
        """
        conversation = converted.conversation
        stored = [self._codec.seal(message) for message in conversation.messages_json]
        attributes = {**vars(conversation), "message_bytes": sum(map(len, stored))}
        fields = records.encode(self._codec.seal_fields(attributes))
        messages = zip(converted.message_ids, stored, strict=True)
        (status,) = self.run_on_record(
            "convert_conversation",
            conversation.conversation_id,
            expected_json=expected_json,
            fields_count=len(fields),
            contents=[*fields, *itertools.chain.from_iterable(messages)],
        )
        return bool(status == b"converted")

    def claim_id(self, key_digest: str, candidate: str, *, deleted_id: str = "") -> str:
        """Return the id that an ``Idempotency-Key`` was given in the last day, else ``candidate``.

        An id that is ``deleted_id`` counts as none.
        """
        claimed = self._claim(
            claim_key=keys.idempotency_key(key_digest),
            candidate=candidate,
            deleted_id=deleted_id,
            seconds=IDEMPOTENCY_SECONDS,
        )
        return str(claimed, "utf-8")

    def repair(self, damaged: records.StoredConversation) -> None:
        """Rebuild what follows from the messages, unless something was written since.

        Args:
            damaged: as it was read, with the ``message_bytes`` that it should have.
        """
        record, messages, message_ids = keys.record_keys(damaged.conversation_id)
        repair, _ = self._script("repair_conversation")
        repair(
            record_key=record,
            messages_key=messages,
            message_ids_key=message_ids,
            changes_channel=changes_channel(damaged.conversation_id),
            known_revision=damaged.revision,
            known_count=damaged.message_count,
            total_bytes=damaged.message_bytes,
            new_revision=records.new_revision(),
            ids_in_order=[str(message.message_id) for message in damaged.messages],
        )


def join_allowed(revisions: Sequence[str] | None) -> str:
    """Return revisions, or tags, as the scripts take them; one that cannot be ours matches none."""
    if revisions is None or "*" in revisions:
        return "*"
    return " ".join(filter(str.isalnum, revisions)) or "-"
