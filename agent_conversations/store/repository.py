"""The repository of conversations: each operation on one is a script, and so one atomic step.

It needs only a Redis client::

    conversations = ConversationRepository(StoreClient.from_url("redis://localhost:6379/0"))
    conversations.append_message(conversation_id, AgentMessage(role="user", content="Hello"))
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationFullError,
    ConversationNotFoundError,
    MessageConflictError,
)
from agent_conversations.store import cursors, keys, legacy, records
from agent_conversations.store.cursors import Selection
from agent_conversations.store.index import ConversationIndex
from agent_conversations.store.reader import ConversationReader, verify_conversation
from agent_conversations.store.records import Owners, Scores, StoredConversation, new_revision
from agent_conversations.store.scripts import ConversationScripts, LegacyRecordError
from agent_conversations.types import (
    AgentMessage,
    ConversationChanges,
    NewConversation,
    SortBy,
    SortOrder,
)
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, now_ms
from sessions_store.wire.fields import check_conversation_id
from sessions_store.wire.model import SCHEMA_VERSION

DEFAULT_MAX_MESSAGES = 100_000
IDEMPOTENCY_SECONDS = 24 * 3600
"""How long the ``Idempotency-Key`` of a creation is remembered."""


@dataclass(frozen=True)
class Created:
    """``replayed``: an earlier request with the same handle created the conversation."""

    conversation: StoredConversation
    replayed: bool


@dataclass(frozen=True)
class Appended:
    """``replayed``: an earlier request with the same message id appended the message."""

    message_id: str
    message_count: int
    replayed: bool


@dataclass(frozen=True)
class ConversationPage:
    """Conversations with their newest messages; ``next`` is the cursor of the following page.

    ``total`` counts all conversations that were asked for, ``offset`` those before the page.
    """

    conversations: Sequence[StoredConversation]
    total: int
    offset: int
    next: str | None


@dataclass(frozen=True)
class MessagePage:
    """Encoded messages in the order asked for; ``next`` is the cursor of the following page."""

    conversation_id: str
    messages_json: Sequence[bytes]
    total: int
    next: str | None

    @property
    def messages(self) -> Sequence[AgentMessage]:
        return [records.decode_message(self.conversation_id, raw) for raw in self.messages_json]


class ConversationRepository:
    """All conversations of this service.

    Args:
        store: the Redis client.
        retention_seconds: how long a conversation is kept after its last access; ``None`` keeps it
            for ever.
        max_messages: the most messages that one conversation may have.
        index_in_same_step: whether the index is on the same server as the conversations, so that
            one script can write both. On a Redis Cluster it is not: the index then follows in a
            second step.

    Every method raises ``StoreUnavailableError`` if Redis is unavailable,
    ``InvalidRequestError`` for an invalid conversation id, ``ConversationNotFoundError`` if there
    is no such conversation (any more), ``CorruptRecordError`` if its record cannot be read, and
    ``UnsupportedRecordVersionError`` if a newer release wrote it.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        retention_seconds: int | None = None,
        max_messages: int = DEFAULT_MAX_MESSAGES,
        index_in_same_step: bool = True,
    ) -> None:
        retention_ms = (retention_seconds or 0) * 1000
        self._store = store
        self._max_messages = max_messages
        self._index = ConversationIndex(
            store, retention_ms=retention_ms, in_same_step=index_in_same_step
        )
        self._reader = ConversationReader(store)
        self._scripts = ConversationScripts(
            store, retention_ms=retention_ms, index_keys=self._index.script_keys
        )

    # --- One conversation -------------------------------------------------------------------------

    def create(
        self, new: NewConversation | None = None, *, idempotency_key: str | None = None
    ) -> Created:
        """Create a conversation, once for each conversation id or ``idempotency_key``.

        The key is remembered for a day. A conversation id in ``new`` takes precedence over it.

        Raises:
            ConversationExistsError: the handle was used with other content.
        """
        new = new or NewConversation()
        content = new.to_wire()
        content.pop("conversationId", None)
        conversation_id = new.conversation_id or _new_id("agent", now_ms())
        if new.conversation_id is None and idempotency_key is not None:
            conversation_id = self._claim_id(idempotency_key, conversation_id)
        wanted = {
            "schema_version": SCHEMA_VERSION,
            "revision": new_revision(),
            "request_digest": hashlib.sha256(json_codec.canonical(content)).hexdigest()[:32],
            **records.attributes_of(content),
        }
        status, *reply = self._scripts.run(
            "create_conversation", conversation_id, fields=records.encode(wanted)
        )
        if status == b"created":
            now = int(reply[0])
            stored = StoredConversation(
                conversation_id, created_at_ms=now, last_accessed_at_ms=now, **wanted
            )
        else:
            stored = _decode(conversation_id, *reply)
        if stored.request_digest != wanted["request_digest"]:
            raise ConversationExistsError(conversation_id)
        self._index.update(conversation_id, stored.scores)
        # A creation whose reply was lost, and that was sent again, finds its own revision.
        return Created(stored, replayed=stored.revision != wanted["revision"])

    def get(self, conversation_id: str) -> StoredConversation:
        """Return the conversation. Reading it sets ``last_accessed_at`` to now."""
        _, *reply = self._scripts.run("read_conversation", conversation_id)
        conversation = _decode(conversation_id, *reply)
        self._index.update(conversation_id, conversation.scores)
        return conversation

    def append_message(
        self, conversation_id: str, message: AgentMessage, *, idempotency_key: str | None = None
    ) -> Appended:
        """Append ``message``, once for each message id; the cost does not grow with the length.

        The id is ``message.message_id``, else ``idempotency_key``, else a new one; a missing
        ``timestamp`` is now, a missing ``source`` is ``text``.

        Raises:
            MessageConflictError: another message, with other content, has the id.
            ConversationFullError: the conversation has its most messages.
        """
        now = now_ms()
        message_id = message.message_id or idempotency_key or _new_id("msg", now)
        wire = message.to_wire()
        wire["timestamp"] = message.timestamp or iso_from_ms(now)
        wire["source"] = message.source or "text"
        wire["messageId"] = message_id
        revision = new_revision()
        status, *reply = self._scripts.run(
            "append_message",
            conversation_id,
            message_id=message_id,
            message_json=json_codec.encode(wire),
            revision=revision,
            max_messages=self._max_messages,
        )
        if status == b"full":
            raise ConversationFullError(self._max_messages)
        scores = _scores(*reply[:3])
        self._index.update(conversation_id, scores)
        if status == b"appended":
            return Appended(message_id, scores.message_count, replayed=False)
        stored_json, stored_revision = reply[3:]
        stored = records.decode_message(conversation_id, stored_json).to_wire()
        if message.timestamp is None:
            wire["timestamp"] = stored["timestamp"]
        if json_codec.canonical(stored) != json_codec.canonical(wire):
            raise MessageConflictError
        # A message whose reply was lost, and that was sent again, finds its own revision.
        replayed = stored_revision != revision.encode()
        return Appended(message_id, scores.message_count, replayed)

    def list_messages(
        self,
        conversation_id: str,
        *,
        limit: int = 100,
        after: str | None = None,
        order: SortOrder = "asc",
    ) -> MessagePage:
        """Return a page of messages; reading them sets ``last_accessed_at`` to now.

        Raises:
            InvalidRequestError: ``after`` is not the ``next`` of a page in this order.
        """
        position = None if after is None else cursors.decode_cursor(after, conversation_id, order)
        first, last = cursors.page_range(position, limit, order)
        _, *reply, messages = self._scripts.run(
            "page_messages", conversation_id, first=first, last=last
        )
        scores = _scores(*reply)
        records.check_messages(conversation_id, messages)
        self._index.update(conversation_id, scores)
        if order == "desc":
            messages.reverse()
        count = scores.message_count
        end = cursors.last_position(position, len(messages), count, order)
        cursor = None if end is None else cursors.encode_cursor(end, conversation_id, order)
        return MessagePage(conversation_id, messages, count, cursor)

    def update(
        self,
        conversation_id: str,
        changes: ConversationChanges,
        *,
        if_revision: Sequence[str] | None = None,
    ) -> StoredConversation:
        """Replace the fields that were given, remove those given as ``None``.

        Raises:
            PreconditionFailedError: the conversation has none of the revisions ``if_revision``.
        """
        given = changes.to_wire()
        removed = [name for name in changes.given() if name not in given]
        _, *reply, agent_id, user_id = self._scripts.run(
            "update_conversation",
            conversation_id,
            allowed=_allowed(if_revision),
            revision=new_revision(),
            removed_count=len(removed),
            changes=[*removed, *records.encode(records.attributes_of(given))],
        )
        conversation = _decode(conversation_id, *reply)
        before = Owners.decode(agent_id, user_id)
        self._index.update(conversation_id, conversation.scores, before)
        return conversation

    def delete(self, conversation_id: str, *, if_revision: Sequence[str] | None = None) -> None:
        """Delete the conversation, its messages and its index entry.

        Raises:
            PreconditionFailedError: the conversation has none of the revisions ``if_revision``.
        """
        allowed = _allowed(if_revision)
        try:
            _, agent_id, user_id, legacy_json = self._scripts.run_on_record(
                "delete_conversation", conversation_id, allowed=allowed
            )
        except ConversationNotFoundError:
            # An earlier attempt may have ended before this step.
            self._index.remove(conversation_id, Owners())
            raise
        owners = Owners.decode(agent_id, user_id)
        if legacy_json is not None:
            owners = legacy.owners(conversation_id, legacy_json)
        self._index.remove(conversation_id, owners, in_script=legacy_json is None)

    # --- The list ---------------------------------------------------------------------------------

    def list(
        self,
        *,
        limit: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        message_limit: int = 50,
        sort_by: SortBy = "lastAccessedAt",
        sort_order: SortOrder = "desc",
        agent_id: str | None = None,
        user_id: str | None = None,
        lowest: int | None = None,
        highest: int | None = None,
    ) -> ConversationPage:
        """Return a page of conversations; equal values are ordered by id, in the same direction.

        Two round trips, and a cost that does not grow with the conversations outside of the page.
        Listing is not an access. A record that cannot be read is left out and logged; orphaned and
        misplaced index entries are removed, and the page is read again.

        Args:
            cursor: the ``next`` of the page before; ``offset`` then counts from its end.
            message_limit: the most messages that come along with each conversation, its newest.
            agent_id: only conversations of this agent.
            user_id: only conversations of this user.
            lowest: of the values of ``sort_by``, in milliseconds since 1970 or as a count.
            highest: likewise; both ends are included.

        Raises:
            InvalidRequestError: ``cursor`` is not the ``next`` of a page with the same sort and
                filters.
        """
        owners = Owners(agent_id, user_id)
        selection = Selection(sort_by, sort_order, agent_id, user_id, lowest, highest)
        after = None if cursor is None else cursors.decode_list_cursor(cursor, selection)
        while True:
            page = self._index.page(selection, limit=limit, offset=offset, after=after)
            found, orphans = self._reader.find(page.conversation_ids, message_limit=message_limit)
            misplaced = [one.conversation_id for one in found if not one.is_of(owners)]
            if not orphans and not misplaced:
                following = page.last and cursors.encode_list_cursor(page.last, selection)
                return ConversationPage(found, page.total, page.offset, following)
            self._index.remove_orphans(orphans, owners)
            self._index.remove_misplaced(misplaced, owners)

    # --- Maintenance, while the service runs ------------------------------------------------------

    def scan_ids(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all records in batches, as SCAN finds them: one may come twice."""
        prefix = keys.CONVERSATION_PREFIX
        for batch in self._store.scan(prefix + "*"):
            yield [key.removeprefix(prefix) for key in batch]

    def index(self, conversation_id: str) -> None:
        """Set a conversation's index entry and its expiry, both as its record has them."""
        try:
            _, *scores = self._scripts.run_on_record("index_conversation", conversation_id)
        except LegacyRecordError as error:
            conversation = legacy.convert(conversation_id, error.raw).conversation
            self._index.put(conversation_id, conversation.scores, conversation.owners)
        else:
            self._index.update(conversation_id, _scores(*scores))

    def remove_orphans(self) -> Iterator[int]:
        """Remove index entries without a record; yield how many, a batch at a time."""
        return self._index.remove_all_orphans()

    def verify(self, conversation_id: str) -> None:
        """Raise ``CorruptRecordError`` if a part of a conversation cannot be read; no access."""
        verify_conversation(self._store, check_conversation_id(conversation_id))

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

    def _claim_id(self, idempotency_key: str, candidate: str) -> str:
        """Return the conversation id that the key was given in the last day, else ``candidate``."""
        key = keys.idempotency_key(hashlib.sha256(idempotency_key.encode()).hexdigest())
        _, claimed = self._store.transaction(
            [("SET", key, candidate, "NX", "EX", IDEMPOTENCY_SECONDS), ("GET", key)],
            repeatable=True,  # the second attempt finds the id that the first has set
        )
        return str(claimed, "utf-8")


def _new_id(prefix: str, now: int) -> str:
    return f"{prefix}-{now}-{secrets.token_hex(8)}"


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
