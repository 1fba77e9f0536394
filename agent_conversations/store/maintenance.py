"""Operations on all records, while the service runs: what the management commands call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import keys, legacy, records
from agent_conversations.store.encryption import EncryptingCodec
from agent_conversations.store.records import Scores, StoredConversation
from agent_conversations.store.reencryption import Reencryption, Rewritten
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.store.scripts import LegacyRecordError
from sessions_store.errors import CorruptRecordError, InvalidRequestError, WrongTypeError
from sessions_store.keys import CONVERSATION_PREFIX
from sessions_store.repository import SessionRepository
from sessions_store.wire.fields import check_conversation_id

Advance = Callable[[int], None]
"""Called with the number of records done since the last call."""

UNREADABLE = (CorruptRecordError, InvalidRequestError)
"""What is raised of a record that cannot be read: for its content, or for its id."""

_NO_MESSAGES = 2**53 - 1


@dataclass
class Reindexed:
    """``orphans``: index entries that were removed, because they have no record.

    ``repaired``: by conversation id, the reasons why what was repaired could not be read.
    """

    listed: int = 0
    orphans: int = 0
    repaired: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


@dataclass
class Compared:
    """How many index entries and records were looked at, and how many lack the other.

    ``is_whole``: whether these are all that there are.
    """

    entries: int = 0
    entries_without_record: int = 0
    records: int = 0
    records_without_entry: int = 0
    is_whole: bool = True


@dataclass
class Reencrypted:
    """``rewritten``: messages and fields, in so many ``conversations``.

    ``left``: by conversation id, why something in it is not as it should be.
    """

    rewritten: int = 0
    conversations: int = 0
    left: dict[str, str] = field(default_factory=dict)


class ConversationMaintenance:
    """The records and the index of all conversations, whoever's they are.

    Args:
        conversations: those of all users.

    Its errors are those of the repository.
    """

    def __init__(self, conversations: ConversationRepository) -> None:
        storage = conversations.storage
        self._store = storage.store
        self._index = storage.index
        self._codec = storage.codec
        self._scripts = storage.scripts
        self._reader = storage.reader

    # --- All of them ------------------------------------------------------------------------------

    def scan_ids(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all records in batches, as SCAN finds them: one may come twice."""
        prefix = CONVERSATION_PREFIX
        for batch in self._store.scan(prefix + "*"):
            yield [key.removeprefix(prefix) for key in batch]

    def _each_id(self, advance: Advance) -> Iterator[str]:
        for batch in self.scan_ids():
            yield from batch
            advance(len(batch))

    def read_all(
        self, advance: Advance, unreadable: dict[str, str], *, with_messages: bool = True
    ) -> Iterator[StoredConversation]:
        """Yield every conversation once; reading it is no access.

        Args:
            unreadable: is given the reason for each conversation that cannot be read, by its id.
        """
        first = 0 if with_messages else _NO_MESSAGES
        seen: set[str] = set()
        for conversation_id in self._each_id(advance):
            if conversation_id in seen:
                continue
            seen.add(conversation_id)
            try:
                part = self._reader.find_part(conversation_id, first=first)
            except UNREADABLE as error:
                unreadable[conversation_id] = reason_of(error)
            else:
                if part is not None:  # deleted or expired since the scan saw it
                    yield part.conversation

    def reindex(
        self, advance: Advance, *, repair: bool = False, keep_other_shards: bool = False
    ) -> Reindexed:
        """Rebuild the index from the records, and set each record's expiry by the retention.

        Args:
            keep_other_shards: whether to leave the index that there is with another number of
                shards, because a service uses it still.
            repair: whether to rebuild, where a key of a conversation is lost, what follows from the
                messages that are there.
        """
        result = Reindexed()
        for conversation_id in self._each_id(advance):
            try:
                try:
                    self.index(conversation_id)
                except CorruptRecordError as error:
                    if not repair:
                        raise
                    self.repair(conversation_id)
                    self.index(conversation_id)
                    result.repaired[conversation_id] = error.reason
                result.listed += 1
            except ConversationNotFoundError:
                pass  # deleted or expired since the scan saw it
            except UNREADABLE:
                result.unreadable.append(conversation_id)
        result.orphans = sum(self._index.remove_all_orphans())
        if not keep_other_shards:
            self._index.remove_other_shards()
        return result

    def compare_index(self, advance: Advance, *, batches: int | None = None) -> Compared:
        """Compare the index with the records; nothing is changed.

        Args:
            batches: how many of each to look at, of ``SCAN_COUNT`` keys or entries; ``None`` for
                all.
        """
        result = Compared()
        entries, stored = self._index.scan(), self.scan_ids()
        for ids in islice(entries, batches):
            missing = self._find_missing(ids)
            # Without an entry by now, it was deleted meanwhile.
            deleted = self._index.find_unlisted(missing)
            result.entries += len(ids)
            result.entries_without_record += len(missing) - len(deleted)
            advance(len(ids))
        for ids in islice(stored, batches):
            unlisted = self._index.find_unlisted(ids)
            deleted = self._find_missing(unlisted)
            result.records += len(ids)
            result.records_without_entry += len(unlisted) - len(deleted)
            advance(len(ids))
        result.is_whole = next(entries, None) is None and next(stored, None) is None
        return result

    def _find_missing(self, conversation_ids: Sequence[str]) -> list[str]:
        """Return those that have no record; no access."""
        exist = self._store.exist([keys.conversation_key(one) for one in conversation_ids])
        return [one for one, exists in zip(conversation_ids, exist, strict=True) if not exists]

    def reencrypt_all(self, advance: Advance) -> Reencrypted:
        """Rewrite what is not stored as ``encryption_keys`` say; safe to repeat."""
        result = Reencrypted()
        for conversation_id in self._each_id(advance):
            try:
                found = self.reencrypt(conversation_id)
            except ConversationNotFoundError:
                pass  # deleted or expired since the scan saw it
            except UNREADABLE as error:
                result.left[conversation_id] = reason_of(error)
            else:
                result.rewritten += found.count
                result.conversations += found.count > 0
                if not found.is_done:
                    result.left[conversation_id] = "is written to without a pause"
        return result

    # --- One of them ------------------------------------------------------------------------------

    def index(self, conversation_id: str) -> None:
        """Set a conversation's index entry and its expiry, both as its record has them."""
        try:
            _, *scores = self._scripts.run_on_record("index_conversation", conversation_id)
        except LegacyRecordError as error:
            conversation = legacy.convert(conversation_id, error.raw).conversation
            self._index.put(conversation_id, conversation.scores, conversation.owners)
        else:
            self._index.update(conversation_id, Scores.decode(*scores))

    def verify(self, conversation_id: str) -> None:
        """Decode everything of a conversation, if there is one; no access.

        Raises:
            CorruptRecordError: a part of it cannot be read.
        """
        record, messages, positions = self._read(conversation_id)
        found: StoredConversation | None = None
        if isinstance(record, WrongTypeError):
            found = self._reader.find_legacy(conversation_id)
        elif isinstance(messages, WrongTypeError) or isinstance(positions, WrongTypeError):
            raise CorruptRecordError("conversation", conversation_id)
        elif record:
            found = self._codec.decode_conversation(conversation_id, record, messages)
            if not messages and found.message_bytes:
                raise records.corrupt(conversation_id, 0, len(positions))
            if positions != _positions(found):
                raise records.corrupt(conversation_id, len(messages), len(positions))
        for message in found.messages_json if found else ():
            records.decode_message(conversation_id, message)

    def repair(self, conversation_id: str) -> None:
        """Rebuild what follows from the messages: their ids, and the number of their bytes.

        What is lost of the messages themselves stays lost.

        Raises:
            CorruptRecordError: the record or a message cannot be read.
        """
        record, messages, _ = self._read(conversation_id)
        if isinstance(record, WrongTypeError) or isinstance(messages, WrongTypeError):
            raise CorruptRecordError("conversation", conversation_id)
        found = self._codec.decode_conversation(conversation_id, record, messages)
        records.check_messages(conversation_id, found.messages_json)
        self._scripts.repair(replace(found, message_bytes=sum(map(len, messages))))

    def _read(self, conversation_id: str) -> Sequence[Any]:
        """Return record, messages and positions, where each can be a ``WrongTypeError``."""
        record, messages, positions = keys.record_keys(check_conversation_id(conversation_id))
        return self._store.read_many(
            [("HGETALL", record), ("LRANGE", messages, 0, -1), ("HGETALL", positions)],
            one_moment=True,
        )

    @property
    def has_keys(self) -> bool:
        return isinstance(self._codec, EncryptingCodec)

    def reencrypt(self, conversation_id: str) -> Rewritten:
        """Rewrite what is not stored as ``encryption_keys`` say: no access, and no change.

        Positions, revisions and tags stay; viewers are not told. Others may write meanwhile.

        Raises:
            ValueError: there are no keys.
        """
        if not isinstance(self._codec, EncryptingCodec):
            raise ValueError("reencrypt needs encryption_keys")
        return Reencryption(self._scripts, self._codec).rewrite(conversation_id)

    def import_legacy(self, conversation_id: str, raw: bytes, *, dry_run: bool) -> bool:
        """Store a conversation that another service kept as a legacy record.

        Returns:
            Whether it was (or would be) stored; not if a conversation of that id exists.

        Raises:
            CorruptRecordError: ``raw`` is not a legacy record.
        """
        check_conversation_id(conversation_id)
        converted = legacy.convert(conversation_id, raw)
        if dry_run:
            return not self._store.exist([keys.conversation_key(conversation_id)])[0]
        if not self._scripts.convert(converted, expected_json=b""):
            return False
        self._index.update(conversation_id, converted.conversation.scores)
        return True


def reason_of(error: CorruptRecordError | InvalidRequestError) -> str:
    """Return why a record cannot be read."""
    return error.reason if isinstance(error, CorruptRecordError) else "has an invalid id"


def _positions(conversation: StoredConversation) -> dict[bytes, bytes]:
    """Return message id to position; of messages that share an id, that of the first."""
    positions: dict[bytes, bytes] = {}
    for position, message in enumerate(conversation.messages):
        positions.setdefault(str(message.message_id).encode(), str(position).encode())
    return positions


@dataclass(frozen=True)
class Unreadable:
    kind: str
    record_id: str
    reason: str


def find_corrupt(
    conversations: ConversationMaintenance, sessions: SessionRepository, advance: Advance
) -> Iterator[Unreadable]:
    """Yield every conversation and session that cannot be read, and why; none is accessed."""
    kinds: list[tuple[str, ConversationMaintenance | SessionRepository]] = [
        ("conversation", conversations),
        ("session", sessions),
    ]
    for kind, repository in kinds:
        for batch in repository.scan_ids():
            for record_id in batch:
                try:
                    repository.verify(record_id)
                except UNREADABLE as error:
                    yield Unreadable(kind, record_id, reason_of(error))
            advance(len(batch))
