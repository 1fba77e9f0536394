"""The repository of conversations: each change of one is a script, and so one atomic step.

It needs only a Redis client::

    conversations = ConversationRepository(StoreClient.from_url("redis://localhost:6379/0"))
    conversations.append_message(conversation_id, AgentMessage(role="user", content="Hello"))
"""

from collections.abc import Sequence
from copy import copy
from typing import Self

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import creation, cursors, keys, legacy, records, transcripts, writing
from agent_conversations.store.cursors import Selection
from agent_conversations.store.encryption import codec_of
from agent_conversations.store.index import ConversationIndex
from agent_conversations.store.reader import ConversationReader
from agent_conversations.store.records import Owners, Scores, StoredConversation
from agent_conversations.store.results import (
    Appended,
    ConversationPage,
    ConversationPart,
    Created,
    MessagePage,
    PutMessage,
    StoredMessage,
)
from agent_conversations.store.scripts import (
    BYTES_AT_ONCE,
    IDEMPOTENCY_SECONDS,
    ConversationScripts,
    join_allowed,
)
from agent_conversations.store.storage import ConversationStorage
from agent_conversations.transcripts import Transcript
from agent_conversations.types import (
    AgentMessage,
    ConversationChanges,
    NewConversation,
    SortBy,
    SortOrder,
)
from sessions_store.redis.client import StoreClient

DEFAULT_MAX_MESSAGES = 100_000
DEFAULT_MAX_BYTES = 64 * 1024 * 1024


class ConversationRepository:
    """All conversations of this service.

    Args:
        store: the Redis client.
        retention_seconds: how long a conversation is kept after its last access; ``None`` keeps it
            for ever.
        max_messages: the most messages that one conversation may have.
        max_bytes: the most bytes that they may have together, as they are stored.
        index_in_same_step: whether one script writes a conversation and the index. ``None``:
            unless the server is a Redis Cluster, where they are in different slots and the index
            follows in a second step.
        index_shards: in how many shards, by conversation id, the index is; the same for all who
            write, and after a change ``ConversationMaintenance.reindex`` is needed.
        encryption_keys: Fernet keys; the first encrypts messages and metadata, all of them decrypt.
            With ``plain`` in place of the first, nothing more is encrypted.

    Every method raises ``StoreUnavailableError`` if Redis is unavailable,
    ``InvalidRequestError`` for an invalid conversation id, ``ConversationNotFoundError`` if there
    is no such conversation (any more), ``CorruptRecordError`` if its record cannot be read,
    ``KeyMissingError`` if none of the keys decrypts it, and ``UnsupportedRecordVersionError`` if a
    newer release wrote it.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        retention_seconds: int | None = None,
        max_messages: int = DEFAULT_MAX_MESSAGES,
        max_bytes: int = DEFAULT_MAX_BYTES,
        index_in_same_step: bool | None = None,
        index_shards: int = 1,
        encryption_keys: Sequence[str] = (),
    ) -> None:
        retention_ms = (retention_seconds or 0) * 1000
        if index_in_same_step is None:
            index_in_same_step = not store.is_cluster
        codec = codec_of(encryption_keys)
        index = ConversationIndex(
            store, retention_ms=retention_ms, in_same_step=index_in_same_step, shards=index_shards
        )
        scripts = ConversationScripts(
            store, retention_ms=retention_ms, index_keys=index.script_keys, codec=codec
        )
        reader = ConversationReader(store, scripts, codec)
        self.storage = ConversationStorage(
            store, index, codec, scripts, reader, max_messages, max_bytes
        )

    def of_user(self, user_id: str) -> Self:
        """Return the same with the conversations of one user: others' are as if there were none.

        Whose a conversation is, is found in the same step in which it is read or written. It is for
        one conversation and for the list; ``exists`` and ``find_revisions`` are of all users.
        """
        bound = copy(self)
        bound.storage = self.storage.of_user(user_id)
        return bound

    # --- A conversation ---------------------------------------------------------------------------

    def create(
        self, new: NewConversation | None = None, *, idempotency_key: str | None = None
    ) -> Created:
        """Create a conversation, once for each conversation id or ``idempotency_key``.

        The key is remembered for a day, or until its conversation is deleted; it then makes a new
        one. A conversation id in ``new`` takes precedence over it. Of one user, it is that user's.

        Raises:
            ConversationExistsError: the handle was used with other content, or by another user.
            OtherUserError: it is to be another user's.
        """
        return creation.create(self.storage, new or NewConversation(), idempotency_key)

    def get(self, conversation_id: str) -> StoredConversation:
        """Return the conversation. Reading it sets ``last_accessed_at`` to now."""
        _, *reply = self.storage.scripts.run("read_conversation", conversation_id)
        conversation = self.storage.reader.decode(conversation_id, *reply)
        self.storage.index.update(conversation_id, conversation.scores)
        return conversation

    def get_newest(self, conversation_id: str, *, message_limit: int) -> StoredConversation:
        """Return the conversation with its newest messages only, in two round trips.

        It sets ``last_accessed_at`` to now, as ``get`` does.
        """
        self.list_messages(conversation_id, limit=1, order="desc")
        found = self.storage.reader.get(conversation_id, message_limit=message_limit)
        if found is None:  # deleted in between
            raise ConversationNotFoundError
        return found

    def update(
        self,
        conversation_id: str,
        changes: ConversationChanges,
        *,
        if_revision: Sequence[str] | None = None,
    ) -> StoredConversation:
        """Replace the fields that were given, remove those given as ``None``.

        Raises:
            OtherUserError: it is to be another user's.
            PreconditionFailedError: the conversation has none of the revisions ``if_revision``.
        """
        return writing.update(self.storage, conversation_id, changes, if_revision)

    def delete(self, conversation_id: str, *, if_revision: Sequence[str] | None = None) -> None:
        """Delete the conversation, its messages and its index entry.

        Raises:
            PreconditionFailedError: the conversation has none of the revisions ``if_revision``.
        """
        allowed = join_allowed(if_revision)
        try:
            _, agent_id, user_id, legacy_json = self.storage.scripts.run(
                "delete_conversation",
                conversation_id,
                deleted_key=keys.deleted_key(conversation_id),
                allowed=allowed,
                seconds=IDEMPOTENCY_SECONDS,
            )
        except ConversationNotFoundError:
            # An earlier attempt may have ended before this step. Of one user, it may be another's.
            if self.storage.user_id is None:
                self.storage.index.remove(conversation_id, Owners())
            raise
        owners = Owners.decode(agent_id, user_id)
        if legacy_json is not None:
            owners = legacy.owners(conversation_id, legacy_json)
        self.storage.index.remove(conversation_id, owners, in_script=legacy_json is None)

    # --- Its messages -----------------------------------------------------------------------------

    def append_message(
        self, conversation_id: str, message: AgentMessage, *, idempotency_key: str | None = None
    ) -> Appended:
        """Append ``message``, once for each message id; the cost does not grow with the length.

        The id is ``message.message_id``, else ``idempotency_key``, else a new one; a missing
        ``timestamp`` is now, a missing ``source`` is ``text``.

        Raises:
            MessageConflictError: another message, with other content, has the id.
            ConversationFullError: the conversation has its most messages, or bytes.
        """
        handle = message.message_id or idempotency_key
        return writing.append(self.storage, conversation_id, [(handle, message)])[0]

    def append_messages(
        self,
        conversation_id: str,
        messages: Sequence[AgentMessage],
        *,
        idempotency_key: str | None = None,
    ) -> Sequence[Appended]:
        """Append 1 to 100 messages in their order, each once, all of them or none.

        An id is found as by ``append_message``; that of an ``idempotency_key`` is followed by ``-``
        and the message's number, from 0. One round trip, and more if some of the messages are
        stored already, in another form (another timestamp, another order of keys), and others not,
        or if some are of a call whose transcript is there.

        Raises:
            MessageConflictError: another message, with other content, has the id of one of them.
            ConversationFullError: the conversation would have more than its most messages, or
                bytes.
        """
        key = idempotency_key
        return writing.append(
            self.storage,
            conversation_id,
            [
                (message.message_id or (key and f"{key}-{number}"), message)
                for number, message in enumerate(messages)
            ],
        )

    def put_message(
        self,
        conversation_id: str,
        message_id: str,
        message: AgentMessage,
        *,
        if_tag: Sequence[str] | None = None,
    ) -> PutMessage:
        """Replace the message with ``message_id`` in its place, or append ``message``.

        A missing ``timestamp`` stays what it was; otherwise what is missing is filled in as by
        ``append_message``. A turn of a call whose transcript is there stays as it is, unless
        ``if_tag`` allows to replace it.

        Raises:
            PreconditionFailedError: there is no message with one of the tags ``if_tag``.
            ConversationFullError: the conversation would have more than its most messages, or
                bytes.
        """
        return writing.put(self.storage, conversation_id, message_id, message, if_tag)

    def merge_transcript(self, conversation_id: str, transcript: Transcript) -> bool:
        """Make one account of a call out of its transcript and of what was recorded live.

        All of it in one step: the turns that were not recorded are appended, those that were are
        corrected, and ``metadata.elevenlabs`` is the call's outcome.

        Returns:
            Whether it was written; not where this transcript, or a later one, was before.
        """
        return transcripts.merge(self.storage, conversation_id, transcript)

    def get_message(self, conversation_id: str, message_id: str) -> StoredMessage:
        """Return a message; reading it sets the conversation's ``last_accessed_at`` to now.

        Raises:
            MessageNotFoundError: the conversation has no message with the id.
        """
        _, *scores, message_json = self.storage.scripts.run(
            "read_message", conversation_id, message_id=message_id
        )
        message_json = self.storage.codec.unseal(conversation_id, message_json)
        records.check_messages(conversation_id, [message_json])
        self.storage.index.update(conversation_id, Scores.decode(*scores))
        return StoredMessage(conversation_id, message_json)

    def list_messages(
        self,
        conversation_id: str,
        *,
        limit: int = 100,
        after: str | None = None,
        order: SortOrder = "asc",
    ) -> MessagePage:
        """Return a page of messages; reading them sets ``last_accessed_at`` to now.

        It has fewer than ``limit`` where they would have more than ``BYTES_AT_ONCE``.

        Raises:
            InvalidRequestError: ``after`` is not the ``next`` of a page in this order.
        """
        position = (
            None if after is None else cursors.decode_message_cursor(after, conversation_id, order)
        )
        first, last = cursors.page_range(position, limit, order)
        _, *reply, stored = self.storage.scripts.run(
            "page_messages",
            conversation_id,
            first=first,
            last=last,
            page_bytes=BYTES_AT_ONCE,
            order=order,
        )
        scores = Scores.decode(*reply)
        messages = self.storage.codec.unseal_all(conversation_id, stored)
        records.check_messages(conversation_id, messages)
        self.storage.index.update(conversation_id, scores)
        if order == "desc":
            messages = messages[::-1]
        count = scores.message_count
        end = cursors.last_position(position, len(messages), count, order)
        cursor = None if end is None else cursors.encode_message_cursor(end, conversation_id, order)
        return MessagePage(conversation_id, messages, count, cursor)

    # --- Without an access ------------------------------------------------------------------------

    def find_part(
        self, conversation_id: str, *, first: int = 0, positions: Sequence[int] = ()
    ) -> ConversationPart | None:
        """Return what a viewer lacks; reading it is no access.

        What has too many bytes is fetched in parts: then some may be newer than the revision.

        Args:
            first: the position of the first message wanted.
            positions: of single messages before it.
        """
        return self.storage.reader.find_part(conversation_id, first=first, positions=positions)

    def check_owner(self, conversation_id: str) -> None:
        """Raise ``ConversationNotFoundError`` unless the one user has it; no access."""
        self.storage.reader.check_owner(conversation_id)

    def exists(self, conversation_id: str) -> bool:
        """Return whether there is such a conversation; no access."""
        return self.storage.store.exist([keys.conversation_key(conversation_id)])[0]

    def find_revisions(self, conversation_ids: Sequence[str]) -> list[str | None]:
        """Return the revision of each record, ``None`` where there is none; no access."""
        commands = [("HGET", keys.conversation_key(one), "revision") for one in conversation_ids]
        replies = self.storage.store.read_many(commands)
        return [
            str(reply, "ascii", "replace") if isinstance(reply, bytes) else None
            for reply in replies
        ]

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
            OtherUserError: another user's are asked for.
        """
        user_id = self.storage.own_user_id(user_id)
        owners = Owners(agent_id, user_id)
        selection = Selection(sort_by, sort_order, agent_id, user_id, lowest, highest)
        after = None if cursor is None else cursors.decode_list_cursor(cursor, selection)
        while True:
            page = self.storage.index.page(selection, limit=limit, offset=offset, after=after)
            found, orphans = self.storage.reader.find(
                page.conversation_ids, message_limit=message_limit
            )
            misplaced = [one.conversation_id for one in found if not one.is_of(owners)]
            if not orphans and not misplaced:
                following = page.last and cursors.encode_list_cursor(page.last, selection)
                return ConversationPage(found, page.total, page.offset, following)
            self.storage.index.remove_orphans(orphans, owners)
            self.storage.index.remove_misplaced(misplaced, owners)
