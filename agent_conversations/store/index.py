"""The index: the list of conversations, as a sorted set for each of its orders.

There are three for all conversations, and three for those of each agent, each user and each pair of
them, so that a page of any selection is read, and counted, in one sorted set. No other module knows
where it is stored. On one server with the records, or under Sentinel, the scripts on a conversation
are given its keys and update it in the same step. On a Redis Cluster it is in another slot, and is
updated in a second step, which can be repeated and can be lost.

It is derived data, and heals: each access of a conversation sets its entries. When they are found,
an *orphaned entry* (an id without a record), a *misplaced entry* (among the conversations of an
agent or user that the record does not have) and an *invalid member* (that cannot be an id) are
removed.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent_conversations.store import keys
from agent_conversations.store.cursors import Entry, Selection
from agent_conversations.store.records import Owners, Scores
from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis.client import Command, StoreClient
from sessions_store.wire.fields import is_conversation_id

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
    """

    def __init__(self, store: StoreClient, *, retention_ms: int, in_same_step: bool) -> None:
        self._store = store
        self._retention_ms = retention_ms
        self._in_same_step = in_same_step
        # Sent a second time, both find done what the first attempt did.
        self._list_page = store.script(_PACKAGE, "list_page", repeatable=True)
        self._remove_orphan = store.script(_PACKAGE, "remove_orphaned_entry", repeatable=True)

    @property
    def script_keys(self) -> Sequence[str]:
        """The keys for the scripts on a conversation; none where they cannot update the index."""
        return keys.INDEX_KEYS if self._in_same_step else []

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
            self._remove([conversation_id], *keys.lists_of(*owners))

    def put(
        self,
        conversation_id: str,
        scores: Scores,
        owners: Owners,
        owners_before: Owners | None = None,
    ) -> None:
        """Set the entries of a conversation, and remove those of its owners before."""
        lists = keys.lists_of(*owners)
        left = set(keys.lists_of(*(owners_before or owners))).difference(lists)
        commands: list[Command] = [("ZREM", key, conversation_id) for one in left for key in one]
        for one in lists:
            commands += [
                ("ZADD", key, score, conversation_id)
                for key, score in zip(one, scores, strict=True)
            ]
            if one[0] not in keys.INDEX_KEYS:
                # As update_index_and_expiry.lua does: an owner's lists end with what is in them.
                commands += [self._expiry(key) for key in one]
        self._store.transaction(commands, repeatable=True)

    def _expiry(self, key: str) -> Command:
        return ("PEXPIRE", key, self._retention_ms) if self._retention_ms else ("PERSIST", key)

    def page(
        self, selection: Selection, *, limit: int, offset: int, after: Entry | None
    ) -> IndexPage:
        """Return a page of ids; remove invalid members.

        Args:
            offset: counted from the start, or from ``after``, the last one on the page before.
        """
        owners = (selection.agent_id, selection.user_id)
        index_keys = keys.index_keys(*owners)
        while True:
            total, position, remaining, score, members = self._list_page(
                sorted_key=keys.index_key(selection.sort_by, *owners),
                index_keys=index_keys,
                retention_ms=self._retention_ms,
                lowest="-inf" if selection.lowest is None else selection.lowest,
                highest="+inf" if selection.highest is None else selection.highest,
                order=selection.sort_order,
                after_score=after.score if after else "",
                after_id=after.conversation_id if after else "",
                offset=offset,
                limit=limit,
            )
            ids, invalid = _split(members)
            if not invalid:
                last = Entry(int(score), ids[-1]) if remaining else None
                return IndexPage(ids, total, position, last)
            self._remove(invalid, index_keys)

    def remove_orphans(self, conversation_ids: Sequence[str], owners: Owners) -> None:
        """Remove what conversations that were found to have no record have in a selection's lists.

        Args:
            owners: of the selection.
        """
        lists = {tuple(keys.INDEX_KEYS), tuple(keys.index_keys(*owners))}
        if not self._in_same_step:
            self._remove(conversation_ids, *lists)
            return
        for conversation_id in conversation_ids:
            self._remove_orphan(
                record_key=keys.conversation_key(conversation_id),
                index_keys=[key for one in lists for key in one],
                conversation_id=conversation_id,
            )

    def remove_misplaced(self, conversation_ids: Sequence[str], owners: Owners) -> None:
        """Remove conversations from the lists of a selection's owners, who are not theirs."""
        self._remove(conversation_ids, keys.index_keys(*owners))

    def scan(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all entries in batches, as ZSCAN finds them: one may come twice."""
        for members in self._store.scan_sorted_set(keys.index_key("createdAt")):
            yield _split(members)[0]

    def find_unlisted(self, conversation_ids: Sequence[str]) -> list[str]:
        """Return those that have no entry."""
        key = keys.index_key("createdAt")
        scores = self._store.read_many([("ZSCORE", key, one) for one in conversation_ids])
        return [one for one, score in zip(conversation_ids, scores, strict=True) if score is None]

    def remove_all_orphans(self) -> Iterator[int]:
        """Remove every orphaned or misplaced entry and invalid member; yield how many, by batch."""
        for key in keys.INDEX_KEYS:
            for members in self._store.scan_sorted_set(key):
                ids, invalid = _split(members)
                exist = self._store.exist([keys.conversation_key(one) for one in ids])
                orphans = [one for one, exists in zip(ids, exist, strict=True) if not exists]
                self.remove_orphans(orphans, Owners())
                self._remove(invalid, keys.INDEX_KEYS)
                yield len(orphans) + len(invalid)
        for pattern in keys.OWNER_PATTERNS:
            for batch in self._store.scan(pattern):
                yield sum(map(self._remove_strangers, batch))

    def _remove_strangers(self, key: str) -> int:
        """Remove from an owner's sorted set what is not the owner's; return how many."""
        removed = 0
        for members in self._store.scan_sorted_set(key):
            ids, invalid = _split(members)
            strangers: list[Any] = [
                conversation_id
                for conversation_id, owners in zip(ids, self._owners_of(ids), strict=True)
                if owners is not None and all(key not in one for one in keys.lists_of(*owners))
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


def _split(members: Sequence[bytes]) -> tuple[list[str], list[bytes]]:
    """Return the members that are valid conversation ids, and the others."""
    ids: list[str] = []
    invalid: list[bytes] = []
    for member in members:
        text = member.decode(errors="replace")  # by a character that no id has
        if is_conversation_id(text):
            ids.append(text)
        else:
            invalid.append(member)
    return ids, invalid
