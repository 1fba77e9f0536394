"""The index: the list of conversations, as a sorted set for each of its orders.

There are three for all conversations, and three for those of each agent, each user and each pair of
them, so that a page of any selection is read, and counted, in one sorted set. No other module knows
where it is stored. On one server with the records, or under Sentinel, the scripts on a conversation
are given its keys and update it in the same step. On a Redis Cluster it is in another slot, and is
updated in a second step, which can be repeated and can be lost.

It can be in shards, by conversation id, each in a slot of its own: a conversation has its entries
in one of them, and a page is merged from all.

It is derived data, and heals: each access of a conversation sets its entries. When they are found,
an *orphaned entry* (an id without a record), a *misplaced entry* (among the conversations of an
agent or user that the record does not have) and an *invalid member* (that cannot be an id) are
removed.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple
from zlib import crc32

from agent_conversations.store import keys
from agent_conversations.store.cursors import Entry, Selection
from agent_conversations.store.records import Owners, Scores
from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.commands import Command
from sessions_store.wire.fields import is_conversation_id

AT_ONCE = 1_000
"""Entries that each of several shards is asked for at most, if a page has no more."""

_PACKAGE = "agent_conversations.store"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexPage:
    """The ids on a page of a selection, and where it is.

    ``total`` counts the selection's conversations, ``offset`` those before the page; ``last`` is
    the last conversation of the page, ``None`` if no other follows.
    """

    conversation_ids: Sequence[str]
    total: int
    offset: int
    last: Entry | None


class ConversationIndex:
    """The index of all conversations.

    Args:
        retention_ms: 0 keeps conversations for ever.
        in_same_step: whether the scripts on a conversation update the index.
        shards: their number.
    """

    def __init__(
        self, store: StoreClient, *, retention_ms: int, in_same_step: bool, shards: int
    ) -> None:
        self._store = store
        self._retention_ms = retention_ms
        self._in_same_step = in_same_step
        self._tags = keys.index_tags(shards)
        self._script_keys = [
            keys.index_keys(None, None, tag) if in_same_step else [] for tag in self._tags
        ]
        # Sent a second time, both find done what the first attempt did.
        self._list_pages = store.pipelined_script(_PACKAGE, "list_page")
        self._remove_orphan = store.script(_PACKAGE, "remove_orphaned_entry", repeatable=True)

    def script_keys(self, conversation_id: str) -> Sequence[str]:
        """Return the keys for the scripts on a conversation; none if they do not update them."""
        return self._script_keys[self._shard_of(conversation_id)]

    def _shard_of(self, conversation_id: str) -> int:
        count = len(self._tags)
        return 0 if count == 1 else crc32(conversation_id.encode()) % count

    def _by_tag(self, conversation_ids: Sequence[str]) -> Mapping[str, list[str]]:
        """Return the conversations of each shard that has one of them."""
        found: dict[str, list[str]] = {}
        for conversation_id in conversation_ids:
            found.setdefault(self._tags[self._shard_of(conversation_id)], []).append(
                conversation_id
            )
        return found

    def update(
        self, conversation_id: str, scores: Scores, owners_before: Owners | None = None
    ) -> None:
        """Set the entries of a conversation, unless its script has done so.

        A failure is only logged: the conversation is stored, and its next access sets them.

        Args:
            owners_before: of a record that was changed.
        """
        if self._in_same_step:
            return
        try:
            (owners,) = self._owners_of([conversation_id])
            self.put(conversation_id, scores, owners or Owners(), owners_before)
        except StoreUnavailableError:
            _logger.warning(
                "The list does not show a conversation's last change",
                extra={"conversation_id": conversation_id},
            )

    def remove(self, conversation_id: str, owners: Owners, *, in_script: bool = True) -> None:
        """Remove the entries of a deleted conversation, unless its script has done so.

        Args:
            in_script: whether the script knew the owners; those of a legacy record it does not.
        """
        if not (in_script and self._in_same_step):
            tag = self._tags[self._shard_of(conversation_id)]
            self._remove([conversation_id], *keys.lists_of(*owners, tag))

    def put(
        self,
        conversation_id: str,
        scores: Scores,
        owners: Owners,
        owners_before: Owners | None = None,
    ) -> None:
        """Set the entries of a conversation, and remove those of its owners before."""
        tag = self._tags[self._shard_of(conversation_id)]
        lists = keys.lists_of(*owners, tag)
        left = set(keys.lists_of(*(owners_before or owners), tag)).difference(lists)
        commands: list[Command] = [("ZREM", key, conversation_id) for one in left for key in one]
        for number, one in enumerate(lists):
            commands += [
                ("ZADD", key, score, conversation_id)
                for key, score in zip(one, scores, strict=True)
            ]
            if number > 0:
                # As update_index_and_expiry.lua does: an owner's lists end with what is in them.
                commands += [self._expiry(key) for key in one]
        self._store.transaction(commands, repeatable=True)

    def _expiry(self, key: str) -> Command:
        return ("PEXPIRE", key, self._retention_ms) if self._retention_ms else ("PERSIST", key)

    def page(
        self, selection: Selection, *, limit: int, offset: int, after: Entry | None
    ) -> IndexPage:
        """Return a page of ids; remove invalid members.

        One round trip to each node that has a shard. With several shards, the entries that are
        skipped are read too, since they may be in any of them: ``AT_ONCE`` at a time.

        Args:
            offset: counted from the start, or from ``after``, the last one on the page before.
        """
        skipped_by_shard = 0
        if len(self._tags) == 1:
            skipped_by_shard, offset = offset, 0
        while True:
            at_once = max(limit, min(offset + limit, AT_ONCE))
            found = self._first(selection, after, skipped_by_shard, at_once)
            entries, available = found.entries, len(found.entries) + found.following
            if len(entries) < min(offset + limit, available) and offset < available:
                # The page is not whole yet: go on behind what is skipped of it.
                read = min(offset, len(entries))
                offset -= read
                after = _entry(*entries[read - 1])
                continue
            page = entries[offset : offset + limit]
            is_last = not page or available == offset + len(page)
            return IndexPage(
                [member.decode() for _, member in page],
                found.total,
                found.before + offset,
                None if is_last else _entry(*page[-1]),
            )

    def _first(
        self, selection: Selection, after: Entry | None, skipped: int, at_once: int
    ) -> "_Merged":
        """Return the first entries of a selection, ``at_once`` at least if there are so many."""
        lists = [keys.index_keys(selection.agent_id, selection.user_id, tag) for tag in self._tags]
        field = keys.SORT_FIELDS.index(selection.sort_by)
        while True:
            replies = self._list_pages(
                {
                    "sorted_key": index_keys[field],
                    "index_keys": index_keys,
                    "retention_ms": self._retention_ms,
                    "lowest": "-inf" if selection.lowest is None else selection.lowest,
                    "highest": "+inf" if selection.highest is None else selection.highest,
                    "order": selection.sort_order,
                    "after_score": after.score if after else "",
                    "after_id": after.conversation_id if after else "",
                    "offset": skipped,
                    "limit": at_once,
                }
                for index_keys in lists
            )
            invalid = [self._split(reply[3][::2], shard)[1] for shard, reply in enumerate(replies)]
            if not any(invalid):
                return _merge(replies, is_descending=selection.sort_order == "desc")
            for index_keys, members in zip(lists, invalid, strict=True):
                self._remove(members, index_keys)

    def remove_orphans(self, conversation_ids: Sequence[str], owners: Owners) -> None:
        """Remove what conversations that were found to have no record have in a selection's lists.

        Args:
            owners: of the selection.
        """
        for tag, ids in self._by_tag(conversation_ids).items():
            lists = {tuple(keys.index_keys(*one, tag)) for one in (Owners(), owners)}
            if not self._in_same_step:
                self._remove(ids, *lists)
                continue
            for conversation_id in ids:
                self._remove_orphan(
                    record_key=keys.conversation_key(conversation_id),
                    index_keys=[key for one in lists for key in one],
                    conversation_id=conversation_id,
                )

    def remove_misplaced(self, conversation_ids: Sequence[str], owners: Owners) -> None:
        """Remove conversations from the lists of a selection's owners, who are not theirs."""
        for tag, ids in self._by_tag(conversation_ids).items():
            self._remove(ids, keys.index_keys(*owners, tag))

    def scan(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all entries in batches, as ZSCAN finds them: one may come twice."""
        for shard, tag in enumerate(self._tags):
            for members in self._store.scan_sorted_set(keys.index_keys(None, None, tag)[0]):
                yield self._split(members, shard)[0]

    def find_unlisted(self, conversation_ids: Sequence[str]) -> list[str]:
        """Return those that have no entry."""
        created_at = [keys.index_keys(None, None, tag)[0] for tag in self._tags]
        scores = self._store.read_many(
            [("ZSCORE", created_at[self._shard_of(one)], one) for one in conversation_ids]
        )
        return [one for one, score in zip(conversation_ids, scores, strict=True) if score is None]

    def remove_all_orphans(self) -> Iterator[int]:
        """Remove every orphaned or misplaced entry and invalid member; yield how many, by batch."""
        for shard, tag in enumerate(self._tags):
            index_keys = keys.index_keys(None, None, tag)
            for key in index_keys:
                for members in self._store.scan_sorted_set(key):
                    ids, invalid = self._split(members, shard)
                    exist = self._store.exist([keys.conversation_key(one) for one in ids])
                    orphans = [one for one, exists in zip(ids, exist, strict=True) if not exists]
                    self.remove_orphans(orphans, Owners())
                    self._remove(invalid, index_keys)
                    yield len(orphans) + len(invalid)
        for batch in self._scan():
            yield sum(
                self._remove_strangers(key, self._tags.index(tag))
                for key, tag, owner in batch
                if owner and tag in self._tags
            )

    def remove_other_shards(self) -> None:
        """Remove what an index with another number of shards has left."""
        for batch in self._scan():
            self._store.set_many(
                [("UNLINK", key) for key, tag, _ in batch if tag not in self._tags]
            )

    def _scan(self) -> Iterator[Sequence[tuple[str, str, str]]]:
        """Yield the keys of the index, of any number of shards, with tag and owner, in batches."""
        for batch in self._store.scan(keys.INDEX_PATTERN):
            yield [(key, *found) for key in batch if (found := keys.tag_and_owner(key))]

    def _remove_strangers(self, key: str, shard: int) -> int:
        """Remove from an owner's sorted set what is not the owner's; return how many."""
        removed = 0
        tag = self._tags[shard]
        for members in self._store.scan_sorted_set(key):
            ids, invalid = self._split(members, shard)
            strangers: list[Any] = [
                conversation_id
                for conversation_id, owners in zip(ids, self._owners_of(ids), strict=True)
                if owners is not None and all(key not in one for one in keys.lists_of(*owners, tag))
            ]
            self._remove([*strangers, *invalid], [key])
            removed += len(strangers) + len(invalid)
        return removed

    def _owners_of(self, conversation_ids: Sequence[str]) -> list[Owners | None]:
        """Return the owners in each record, none if there is no record; ``None``: a legacy one."""
        replies = self._store.read_many(
            [("HMGET", keys.conversation_key(one), "agentId", "userId") for one in conversation_ids]
        )
        return [
            None if isinstance(reply, WrongTypeError) else Owners.decode(*reply)
            for reply in replies
        ]

    def _remove(self, members: Sequence[str] | Sequence[bytes], *lists: Sequence[str]) -> None:
        if members:
            self._store.transaction(
                [("ZREM", key, *members) for one in lists for key in one], repeatable=True
            )

    def _split(self, members: Sequence[bytes], shard: int) -> tuple[list[str], list[bytes]]:
        """Return the members that are conversation ids of the shard, and the others."""
        ids: list[str] = []
        invalid: list[bytes] = []
        for member in members:
            text = member.decode(errors="replace")  # by a character that no id has
            if is_conversation_id(text) and self._shard_of(text) == shard:
                ids.append(text)
            else:
                invalid.append(member)
        return ids, invalid


class _Merged(NamedTuple):
    """The first entries of all shards in order: score and member.

    ``before`` and ``following`` count those before the first, and after the last of them.
    """

    entries: Sequence[tuple[float, bytes]]
    total: int
    before: int
    following: int


def _merge(replies: Sequence[Any], *, is_descending: bool) -> _Merged:
    """Return the replies of ``list_page.lua`` as one."""
    found = [[*zip(map(float, flat[1::2]), flat[::2], strict=True)] for _, _, _, flat in replies]
    entries = sorted(chain.from_iterable(found), reverse=is_descending)
    total, before, following = (sum(reply[number] for reply in replies) for number in range(3))
    ends = [one[-1] for one, reply in zip(found, replies, strict=True) if reply[2]]
    if ends:
        # Behind the first of these, a shard may have some that it has not sent.
        known = entries.index(max(ends) if is_descending else min(ends)) + 1
        following += len(entries) - known
        del entries[known:]
    return _Merged(entries, total, before, following)


def _entry(score: float, member: bytes) -> Entry:
    return Entry(int(score), member.decode())
