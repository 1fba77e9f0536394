"""Operations on all records, while the service runs: what the management commands call."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store.foreign_records import Change, mend
from agent_conversations.store.repository import ConversationRepository
from sessions_store.errors import CorruptRecordError, InvalidRequestError, WrongTypeError
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.wire import json_codec
from sessions_store.wire.fields import check_conversation_id

Advance = Callable[[int], None]
"""Called with the number of records done since the last call."""

NODE_PREFIX = "agent:conversation:"
NODE_LIST = "agent:conversations:list"
"""Where the earlier Node.js service kept its conversations, and the set of their ids."""


@dataclass
class Reindexed:
    """``orphans``: index entries that were removed, because they have no record.

    ``repaired``: by conversation id, the reasons why what was repaired could not be read.
    """

    listed: int = 0
    orphans: int = 0
    repaired: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def reindex(
    conversations: ConversationRepository,
    advance: Advance,
    *,
    repair: bool = False,
    keep_other_shards: bool = False,
) -> Reindexed:
    """Rebuild the index from the records, and set each record's expiry by the retention.

    Args:
        keep_other_shards: whether to leave the index that there is with another number of shards,
            because a service uses it still.
        repair: whether to rebuild, where a key of a conversation is lost, what follows from the
            messages that are there.
    """
    result = Reindexed()
    for batch in conversations.scan_ids():
        for conversation_id in batch:
            try:
                try:
                    conversations.index(conversation_id)
                except CorruptRecordError as error:
                    if not repair:
                        raise
                    conversations.repair(conversation_id)
                    conversations.index(conversation_id)
                    result.repaired[conversation_id] = error.reason
                result.listed += 1
            except ConversationNotFoundError:
                pass  # deleted or expired since the scan saw it
            except (CorruptRecordError, InvalidRequestError):
                result.unreadable.append(conversation_id)
        advance(len(batch))
    result.orphans = sum(conversations.remove_orphans())
    if not keep_other_shards:
        conversations.remove_other_shards()
    return result


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


def compare_index(
    conversations: ConversationRepository, advance: Advance, *, batches: int | None = None
) -> Compared:
    """Compare the index with the records, while the service runs; nothing is changed.

    Args:
        batches: how many of each to look at, of ``SCAN_COUNT`` keys or entries; ``None`` for all.
    """
    result = Compared()
    entries, records = conversations.scan_listed_ids(), conversations.scan_ids()
    for ids in islice(entries, batches):
        missing = conversations.find_missing(ids)
        # Without an entry by now, it was deleted meanwhile.
        deleted = conversations.find_unlisted(missing)
        result.entries += len(ids)
        result.entries_without_record += len(missing) - len(deleted)
        advance(len(ids))
    for ids in islice(records, batches):
        unlisted = conversations.find_unlisted(ids)
        deleted = conversations.find_missing(unlisted)
        result.records += len(ids)
        result.records_without_entry += len(unlisted) - len(deleted)
        advance(len(ids))
    result.is_whole = next(entries, None) is None and next(records, None) is None
    return result


@dataclass
class Reencrypted:
    """``rewritten``: messages and fields, in so many ``conversations``.

    ``left``: by conversation id, why something in it is not as it should be.
    """

    rewritten: int = 0
    conversations: int = 0
    left: dict[str, str] = field(default_factory=dict)


def reencrypt(conversations: ConversationRepository, advance: Advance) -> Reencrypted:
    """Rewrite what is not stored as the keys of ``conversations`` say; safe to repeat."""
    result = Reencrypted()
    for batch in conversations.scan_ids():
        for conversation_id in batch:
            try:
                found = conversations.reencrypt(conversation_id)
            except ConversationNotFoundError:
                pass  # deleted or expired since the scan saw it
            except CorruptRecordError as error:
                result.left[conversation_id] = error.reason
            except InvalidRequestError:
                result.left[conversation_id] = "has an invalid id"
            else:
                result.rewritten += found.count
                result.conversations += found.count > 0
                if not found.is_done:
                    result.left[conversation_id] = "is written to without a pause"
        advance(len(batch))
    return result


@dataclass(frozen=True)
class Unreadable:
    kind: str
    record_id: str
    reason: str


def find_corrupt(
    conversations: ConversationRepository, sessions: SessionRepository, advance: Advance
) -> Iterator[Unreadable]:
    """Yield every conversation and session that cannot be read, and why; none is accessed."""
    kinds: list[tuple[str, ConversationRepository | SessionRepository]] = [
        ("conversation", conversations),
        ("session", sessions),
    ]
    for kind, repository in kinds:
        for batch in repository.scan_ids():
            for record_id in batch:
                try:
                    repository.verify(record_id)
                except CorruptRecordError as error:
                    yield Unreadable(kind, record_id, error.reason)
                except InvalidRequestError:
                    yield Unreadable(kind, record_id, "has an invalid id")
            advance(len(batch))


@dataclass
class Imported:
    """``missing``: ids of the earlier service's list that have no record."""

    imported: int = 0
    present: int = 0
    missing: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why, by the id of the record."""
    changes: dict[str, list[Change]] = field(default_factory=dict)
    """By the id of the conversation."""


def import_from_node(
    source: StoreClient,
    conversations: ConversationRepository,
    advance: Advance,
    *,
    prefix: str = NODE_PREFIX,
    list_key: str = NODE_LIST,
    dry_run: bool = False,
) -> Imported:
    """Import the earlier Node.js service's conversations; its own records stay as they are.

    Safe to repeat: a conversation that exists here already is not changed.
    """
    result = Imported()
    for conversation_id in dict.fromkeys(_ids(source, prefix, list_key)):  # each once
        try:
            raw = source.get(prefix + conversation_id)
        except WrongTypeError:
            result.unreadable[conversation_id] = "is no string in Redis"
        else:
            if raw is None:
                result.missing += 1
            else:
                _import(conversations, conversation_id, raw, result, dry_run=dry_run)
        advance(1)
    return result


def import_lines(
    lines: Iterable[bytes],
    conversations: ConversationRepository,
    advance: Advance,
    *,
    dry_run: bool = False,
) -> Imported:
    """Import what ``export_conversations`` has written, a conversation a line.

    Safe to repeat: a conversation that exists here already is not changed.
    """
    result = Imported()
    for number, line in enumerate(lines, start=1):
        try:
            conversation_id = json_codec.decode_lossy(line)["conversationId"]
            check_conversation_id(conversation_id)
        except (ValueError, TypeError, KeyError, InvalidRequestError):
            result.unreadable[f"line {number}"] = "is no conversation with a valid conversationId"
        else:
            _import(conversations, conversation_id, line, result, dry_run=dry_run)
        advance(1)
    return result


def _import(
    conversations: ConversationRepository,
    conversation_id: str,
    raw: bytes,
    result: Imported,
    *,
    dry_run: bool,
) -> None:
    try:
        mended, changes = mend(conversation_id, raw)
        is_new = conversations.import_legacy(conversation_id, mended, dry_run=dry_run)
    except CorruptRecordError as error:
        result.unreadable[conversation_id] = error.reason
    except InvalidRequestError:
        result.unreadable[conversation_id] = "has an invalid id"
    else:
        result.imported += is_new
        result.present += not is_new
        if is_new and changes:
            result.changes[conversation_id] = changes


def _ids(source: StoreClient, prefix: str, list_key: str) -> Iterator[str]:
    # Both: a record may lack its entry in the list, an entry its record.
    for batch in source.scan_set(list_key):
        yield from batch
    for batch in source.scan(prefix + "*"):
        yield from (key.removeprefix(prefix) for key in batch)
