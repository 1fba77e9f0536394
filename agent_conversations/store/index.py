"""The index: the list of conversations, as a sorted set for each of its orders.

No other module knows where it is stored. On one server with the records, or under Sentinel, the
scripts on a conversation are given its keys and update it in the same step. On a Redis Cluster it
is in another slot, and is updated in a second step, which can be repeated and can be lost.

It is derived data, and heals: each access of a conversation sets its entry, and an *orphaned entry*
(an id without a record) or an *invalid member* (that cannot be an id) is removed when it is found.
"""

import logging
from collections.abc import Iterator, Sequence

from agent_conversations.store import keys
from agent_conversations.store.records import Scores
from agent_conversations.types import SortBy, SortOrder
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.wire.fields import is_conversation_id

_PACKAGE = "agent_conversations.store"
_logger = logging.getLogger(__name__)


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

    def update(self, conversation_id: str, scores: Scores) -> None:
        """Set the entry of a conversation, unless its script has done so.

        A failure is only logged: the conversation is stored, and its next access sets the entry.
        """
        if self._in_same_step:
            return
        try:
            self.put(conversation_id, scores)
        except StoreUnavailableError:
            _logger.warning(
                "The list does not show a conversation's last change",
                extra={"conversation_id": conversation_id},
            )

    def remove(self, conversation_id: str) -> None:
        """Remove the entry of a deleted conversation, unless its script has done so."""
        if not self._in_same_step:
            self._remove([conversation_id])

    def put(self, conversation_id: str, scores: Scores) -> None:
        """Set the entry of a conversation."""
        self._store.transaction(
            [
                ("ZADD", key, score, conversation_id)
                for key, score in zip(keys.INDEX_KEYS, scores, strict=True)
            ],
            repeatable=True,
        )

    def page(
        self, *, limit: int, offset: int, sort_by: SortBy, sort_order: SortOrder
    ) -> tuple[Sequence[str], int]:
        """Return a page of ids, and how many there are in all; remove invalid members."""
        # Ranks from the end are negative; the first page in descending order has the last ones.
        descending = sort_order == "desc"
        first, last = (-offset - limit, -offset - 1) if descending else (offset, offset + limit - 1)
        created_at_key, last_accessed_at_key, message_count_key = keys.INDEX_KEYS
        while True:
            total, members = self._list_page(
                sorted_key=keys.index_key(sort_by),
                created_at_key=created_at_key,
                last_accessed_at_key=last_accessed_at_key,
                message_count_key=message_count_key,
                retention_ms=self._retention_ms,
                first_rank=first,
                last_rank=last,
            )
            ids, invalid = _split(members)
            if not invalid:
                return ids[::-1] if descending else ids, total
            self._remove(invalid)

    def remove_orphans(self, conversation_ids: Sequence[str]) -> None:
        """Remove the entries of conversations that were found to have no record."""
        if not self._in_same_step:
            self._remove(conversation_ids)
            return
        for conversation_id in conversation_ids:
            self._remove_orphan(
                record_key=keys.conversation_key(conversation_id),
                index_keys=keys.INDEX_KEYS,
                conversation_id=conversation_id,
            )

    def remove_all_orphans(self) -> Iterator[int]:
        """Remove every orphaned entry and invalid member; yield how many, a batch at a time."""
        for key in keys.INDEX_KEYS:
            for members in self._store.scan_sorted_set(key):
                ids, invalid = _split(members)
                exist = self._store.exist([keys.conversation_key(one) for one in ids])
                orphans = [one for one, exists in zip(ids, exist, strict=True) if not exists]
                self.remove_orphans(orphans)
                self._remove(invalid)
                yield len(orphans) + len(invalid)

    def _remove(self, members: Sequence[str] | Sequence[bytes]) -> None:
        if members:
            self._store.transaction(
                [("ZREM", key, *members) for key in keys.INDEX_KEYS], repeatable=True
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
