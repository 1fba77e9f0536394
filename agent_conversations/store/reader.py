"""Conversations as they are stored, read without an access: for the list and for viewers."""

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Self

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import keys, legacy, records
from agent_conversations.store.encryption import Codec
from agent_conversations.store.records import Owners, StoredConversation
from agent_conversations.store.results import ConversationPart
from agent_conversations.store.scripts import ConversationScripts
from sessions_store.errors import CorruptRecordError, WrongTypeError
from sessions_store.redis import deadline
from sessions_store.redis.client import StoreClient
from sessions_store.redis.turn import Turn
from sessions_store.wire.fields import check_conversation_id

PART_BYTES = 4 * 1024 * 1024
PART_MESSAGES = 10_000
"""What a part of a large conversation should have, and what it has at most: some 6 ms of the
server's time. Smaller parts take longer: after each, Python lets other threads go first."""

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""Of the messages on one page of the list."""

_logger = logging.getLogger(__name__)


class ConversationReader:
    """Reads conversations whole, in part, or with their newest messages only."""

    def __init__(self, store: StoreClient, scripts: ConversationScripts, codec: Codec) -> None:
        self._store = store
        self._scripts = scripts
        self._codec = codec
        self._read_summaries = store.pipelined_script("agent_conversations.store", "read_summary")
        # Reading a large conversation is mostly Python's work, and its threads take turns anyway.
        # A quarter of the threads that may wait for Redis is left for everybody else.
        self._turn = Turn[StoredConversation](max_waiting=store.max_waiting * 3 // 4)
        self._user_id: str | None = None

    def of_user(self, user_id: str, scripts: ConversationScripts) -> Self:
        """Return the same for one user, with that user's scripts; ``find`` stays of all."""
        bound = copy(self)
        bound._user_id = user_id
        bound._scripts = scripts
        return bound

    def check_owner(self, conversation_id: str) -> None:
        """Raise ``ConversationNotFoundError`` unless the one user has the conversation."""
        key = keys.conversation_key(check_conversation_id(conversation_id))
        (owner,) = self._store.read_many([("HGET", key, "userId")])
        if isinstance(owner, WrongTypeError):  # a legacy record, which this converts
            self._scripts.run("read_part", conversation_id, first=0, single_positions=())
        elif owner != str(self._user_id).encode():
            raise ConversationNotFoundError

    def get(self, conversation_id: str, *, message_limit: int) -> StoredConversation | None:
        """Return the conversation, ``None`` if there is none.

        Raises:
            CorruptRecordError: its record cannot be read.
        """
        (reply,) = self._read([conversation_id], message_limit, MAX_PAGE_BYTES)
        found = self._decode_summary(conversation_id, reply, message_limit, MAX_PAGE_BYTES)
        return found if found and found.is_of(Owners(user_id=self._user_id)) else None

    def find_part(
        self, conversation_id: str, *, first: int = 0, positions: Sequence[int] = ()
    ) -> ConversationPart | None:
        """Return what a viewer lacks: see ``ConversationRepository.find_part``."""
        read = partial(self._scripts.run, "read_part", conversation_id)
        try:
            _, record, count, messages, single = read(first=first, single_positions=positions)
            fields = dict(zip(record[::2], record[1::2], strict=True))
            while (following := first + len(messages)) < count:
                _, later, _, more, _ = read(first=following, single_positions=())
                now = dict(zip(later[::2], later[1::2], strict=True))
                is_same = all(now.get(one) == fields.get(one) for one in (b"createdAt", b"userId"))
                if not (is_same and more):
                    # Deleted meanwhile, and another one has its id; or another user has it.
                    return self.find_part(conversation_id, first=first, positions=positions)
                messages += more[: count - following]
        except ConversationNotFoundError:
            return None
        conversation = self._codec.decode_conversation(
            conversation_id, fields, messages, count - len(messages)
        )
        found = dict(zip(positions, self._codec.unseal_all(conversation_id, single), strict=True))
        return ConversationPart(conversation, first, found)

    def decode(
        self,
        conversation_id: str,
        flat_record: Sequence[bytes],
        messages: Sequence[bytes],
        *,
        known: StoredConversation | None = None,
    ) -> StoredConversation:
        """Return the conversation of a reply, whose messages are fetched if it has too many bytes.

        They are then not of one moment: some may be newer than the revision, none is older. Where
        the reply comes without, they are those of ``known``.
        """
        record = dict(zip(flat_record[::2], flat_record[1::2], strict=True))
        conversation = self._codec.decode_conversation(conversation_id, record, messages)
        if known is not None:
            return replace(conversation, messages_json=known.messages_json)
        if messages or not conversation.message_bytes:
            return conversation
        return self.with_all_messages(conversation)

    def with_all_messages(self, conversation: StoredConversation) -> StoredConversation:
        """Return a conversation whose messages have too many bytes for one reply with all of them.

        They are read in parts by plain commands, at a quarter of the server's time that a script
        takes, and one conversation at a time. Those who wait for the same one get the same bytes.

        Raises:
            ConversationNotFoundError: it was deleted, or became another user's, meanwhile; another
                one may have its id.
            CorruptRecordError: messages were lost meanwhile, or cannot be read.
            StoreUnavailableError: it was not this one's turn in time.
        """
        which = conversation.conversation_id, conversation.created_at_ms, self._user_id
        found = self._turn.share(which, partial(self._read_in_parts, *which))
        deadline.renew()
        return found

    def _read_in_parts(
        self, conversation_id: str, created_at_ms: int, user_id: str | None
    ) -> StoredConversation:
        record_key, messages_key, _ = keys.record_keys(conversation_id)
        record: dict[bytes, bytes] = {}
        messages: list[bytes] = []
        wanted, count = 16, 1
        while len(messages) < count:
            deadline.renew()
            stored_at_ms, fields, count, part = self._store.read_many(
                [
                    ("HGET", record_key, "createdAt"),
                    ("HGETALL", record_key),
                    ("LLEN", messages_key),
                    ("LRANGE", messages_key, len(messages), len(messages) + wanted - 1),
                ],
                one_moment=True,
            )
            if stored_at_ms != b"%d" % created_at_ms:
                raise ConversationNotFoundError
            if user_id is not None and fields.get(b"userId") != user_id.encode():
                raise ConversationNotFoundError
            if not part:
                raise CorruptRecordError("conversation", conversation_id)
            record = record or fields  # the first: no message is older than its revision
            messages += part
            # As many as fit, if they are like the last ones; more than these, step by step.
            fitting = PART_BYTES * len(part) // sum(map(len, part))
            wanted = max(1, min(fitting, 8 * wanted, PART_MESSAGES))
        conversation = self._codec.decode_conversation(conversation_id, record, [])
        readable = self._codec.unseal_all(conversation_id, messages)
        if sum(map(len, messages)) != conversation.message_bytes:
            records.check_messages(conversation_id, readable)
        return replace(conversation, messages_json=readable).encoded_once()

    def find(
        self, conversation_ids: Sequence[str], *, message_limit: int
    ) -> tuple[list[StoredConversation], list[str]]:
        """Return the conversations in the order of their ids, and the ids without a record.

        One round trip, and one more for each legacy record. A record that cannot be read is left
        out and logged. All messages together have at most ``MAX_PAGE_BYTES``, of which each
        conversation has the same share.
        """
        conversations: list[StoredConversation] = []
        orphans: list[str] = []
        max_bytes = MAX_PAGE_BYTES // max(1, len(conversation_ids))
        replies = self._read(conversation_ids, message_limit, max_bytes)
        for conversation_id, reply in zip(conversation_ids, replies, strict=True):
            try:
                found = self._decode_summary(conversation_id, reply, message_limit, max_bytes)
            except CorruptRecordError as error:
                _logger.error(
                    "A conversation is left out of the list",
                    extra={"conversation_id": conversation_id, "reason": error.reason},
                )
                continue
            if found is None:
                orphans.append(conversation_id)
            else:
                conversations.append(found)
        return conversations, orphans

    def _read(
        self, conversation_ids: Sequence[str], message_limit: int, max_bytes: int
    ) -> Sequence[Any]:
        return self._read_summaries(
            {
                "record_key": keys.conversation_key(conversation_id),
                "messages_key": keys.messages_key(conversation_id),
                "message_ids_key": keys.message_ids_key(conversation_id),
                "message_limit": message_limit,
                "max_bytes": max_bytes,
            }
            for conversation_id in conversation_ids
        )

    def _decode_summary(
        self, conversation_id: str, reply: Sequence[Any], message_limit: int, max_bytes: int
    ) -> StoredConversation | None:
        match reply:
            case [b"read", fields, count, messages]:
                record = dict(zip(fields[::2], fields[1::2], strict=True))
                older = count - len(messages)
                return self._codec.decode_conversation(conversation_id, record, messages, older)
            case [b"missing"]:
                return None
            case [b"legacy"]:
                found = self.find_legacy(conversation_id)
                return found and _newest(found, message_limit, max_bytes)
            case _:
                raise records.corrupt(conversation_id, *reply[1:])

    def find_legacy(self, conversation_id: str) -> StoredConversation | None:
        """Return what a legacy record has, ``None`` if there is none; it stays as it is."""
        try:
            raw = self._store.get(keys.conversation_key(conversation_id))
        except WrongTypeError:
            raise CorruptRecordError("conversation", conversation_id) from None
        return None if raw is None else legacy.convert(conversation_id, raw).conversation


def _newest(
    conversation: StoredConversation, message_limit: int, max_bytes: int
) -> StoredConversation:
    """Return a conversation with its newest messages only."""
    messages = conversation.messages_json
    first = len(messages)
    while first > 0 and len(messages) - first < message_limit:
        max_bytes -= len(messages[first - 1])
        if max_bytes < 0:
            break
        first -= 1
    return replace(conversation, messages_json=messages[first:], older_messages=first)
