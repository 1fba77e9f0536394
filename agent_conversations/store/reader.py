"""Conversations as they are stored, read without an access: for the list and for maintenance."""

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
from sessions_store.errors import CorruptRecordError, WrongTypeError
from sessions_store.redis import deadline
from sessions_store.redis.client import StoreClient
from sessions_store.redis.turn import Turn

PART_BYTES = 4 * 1024 * 1024
PART_MESSAGES = 10_000
"""What a part of a large conversation should have, and what it has at most: some 6 ms of the
server's time. Smaller parts take longer: after each, Python lets other threads go first."""

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""Of the messages on one page of the list."""

_logger = logging.getLogger(__name__)


class ConversationReader:
    """Reads conversations with their newest messages only, for the list."""

    def __init__(self, store: StoreClient, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self._read_summaries = store.pipelined_script("agent_conversations.store", "read_summary")
        # Reading a large conversation is mostly Python's work, and its threads take turns anyway.
        # A quarter of the threads that may wait for Redis is left for everybody else.
        self._turn = Turn[StoredConversation](max_waiting=store.max_waiting * 3 // 4)
        self._user_id: str | None = None

    def of_user(self, user_id: str) -> Self:
        """Return the same for one user, whose conversations alone ``get`` and the like return."""
        bound = copy(self)
        bound._user_id = user_id
        return bound

    def get(self, conversation_id: str, *, message_limit: int) -> StoredConversation | None:
        """Return the conversation, ``None`` if there is none.

        Raises:
            CorruptRecordError: its record cannot be read.
        """
        (reply,) = self._read([conversation_id], message_limit, MAX_PAGE_BYTES)
        found = self._decode(conversation_id, reply, message_limit, MAX_PAGE_BYTES)
        return found if found and found.is_of(Owners(user_id=self._user_id)) else None

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
                found = self._decode(conversation_id, reply, message_limit, max_bytes)
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

    def _decode(
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
                found = _read_legacy(self._store, conversation_id)
                return found and _newest(found, message_limit, max_bytes)
            case _:
                raise records.corrupt(conversation_id, *reply[1:])


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


def verify_conversation(store: StoreClient, codec: Codec, conversation_id: str) -> None:
    """Decode everything of a conversation, if there is one.

    Raises:
        CorruptRecordError: a part of it cannot be read.
    """
    record, messages, positions = _read_all(store, conversation_id)
    found: StoredConversation | None = None
    if isinstance(record, WrongTypeError):
        found = _read_legacy(store, conversation_id)
    elif isinstance(messages, WrongTypeError) or isinstance(positions, WrongTypeError):
        raise CorruptRecordError("conversation", conversation_id)
    elif record:
        found = codec.decode_conversation(conversation_id, record, messages)
        if not messages and found.message_bytes:
            raise records.corrupt(conversation_id, 0, len(positions))
        if positions != _positions(found):
            raise records.corrupt(conversation_id, len(messages), len(positions))
    for message in found.messages_json if found else ():
        records.decode_message(conversation_id, message)


def read_damaged(store: StoreClient, codec: Codec, conversation_id: str) -> StoredConversation:
    """Return a conversation whose messages can be read, even if their ids are lost.

    Its ``message_bytes`` are those of the messages that are there.

    Raises:
        CorruptRecordError: its record or a message cannot be read.
    """
    record, messages, _ = _read_all(store, conversation_id)
    if isinstance(record, WrongTypeError) or isinstance(messages, WrongTypeError):
        raise CorruptRecordError("conversation", conversation_id)
    found = codec.decode_conversation(conversation_id, record, messages)
    records.check_messages(conversation_id, found.messages_json)
    return replace(found, message_bytes=sum(map(len, messages)))


def _read_all(store: StoreClient, conversation_id: str) -> Sequence[Any]:
    record_key, messages_key, message_ids_key = keys.record_keys(conversation_id)
    return store.read_many(
        [("HGETALL", record_key), ("LRANGE", messages_key, 0, -1), ("HGETALL", message_ids_key)],
        one_moment=True,
    )


def _positions(conversation: StoredConversation) -> dict[bytes, bytes]:
    """Return message id to position; of messages that share an id, that of the first."""
    positions: dict[bytes, bytes] = {}
    for position, message in enumerate(conversation.messages):
        positions.setdefault(str(message.message_id).encode(), str(position).encode())
    return positions


def _read_legacy(store: StoreClient, conversation_id: str) -> StoredConversation | None:
    try:
        raw = store.get(keys.conversation_key(conversation_id))
    except WrongTypeError:
        raise CorruptRecordError("conversation", conversation_id) from None
    return None if raw is None else legacy.convert(conversation_id, raw).conversation
