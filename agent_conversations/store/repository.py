"""The repository of conversations: each operation on one is a script, and so one atomic step.

It needs only a Redis client::

    conversations = ConversationRepository(StoreClient.from_url("redis://localhost:6379/0"))
    conversations.append_message(conversation_id, AgentMessage(role="user", content="Hello"))
"""

import hashlib
import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationNotFoundError,
    MessageConflictError,
    OtherUserError,
    PreconditionFailedError,
)
from agent_conversations.store import cursors, keys, legacy, records
from agent_conversations.store.cursors import Selection
from agent_conversations.store.encryption import EncryptingCodec, codec_of
from agent_conversations.store.index import ConversationIndex
from agent_conversations.store.reader import ConversationReader, read_damaged, verify_conversation
from agent_conversations.store.records import Owners, Scores, StoredConversation, new_revision
from agent_conversations.store.reencryption import Reencryption, Rewritten
from agent_conversations.store.results import (
    Appended,
    ConversationPage,
    ConversationPart,
    Created,
    MessagePage,
    PutMessage,
    StoredMessage,
)
from agent_conversations.store.scripts import BYTES_AT_ONCE, ConversationScripts, LegacyRecordError
from agent_conversations.store.transcripts import TranscriptStore, timestamps
from agent_conversations.transcripts import Transcript, call_of
from agent_conversations.types import (
    AgentMessage,
    ConversationChanges,
    NewConversation,
    SortBy,
    SortOrder,
)
from sessions_store.errors import WrongTypeError
from sessions_store.keys import CONVERSATION_PREFIX, alias_key
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, now_ms
from sessions_store.wire.fields import check_conversation_id
from sessions_store.wire.model import SCHEMA_VERSION

DEFAULT_MAX_MESSAGES = 100_000
DEFAULT_MAX_BYTES = 64 * 1024 * 1024
MOST_ATTEMPTS = 3
"""Attempts to append messages some of which are stored, while others replace the stored ones."""
IDEMPOTENCY_SECONDS = 24 * 3600
"""How long the ``Idempotency-Key`` of a creation is remembered."""


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
            write, and after a change ``maintenance.reindex`` is needed.
        encryption_keys: Fernet keys; the first encrypts messages and metadata, all of them decrypt.
            With ``plain`` in place of the first, nothing more is encrypted.

    Every method raises ``StoreUnavailableError`` if Redis is unavailable,
    ``InvalidRequestError`` for an invalid conversation id, ``ConversationNotFoundError`` if there
    is no such conversation (any more), ``CorruptRecordError`` if its record cannot be read, and
    ``UnsupportedRecordVersionError`` if a newer release wrote it.
    """

    _user_id: str | None = None

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
        self._store = store
        self._limits = {"max_messages": max_messages, "max_bytes": max_bytes}
        self._index = ConversationIndex(
            store,
            retention_ms=retention_ms,
            in_same_step=index_in_same_step,
            shards=index_shards,
        )
        self._codec = codec_of(encryption_keys)
        self._reader = ConversationReader(store, self._codec)
        # A second attempt finds the id that the first has set.
        self._claim = store.script(
            "agent_conversations.store", "claim_id", repeatable=True, is_write=True
        )
        self._scripts = ConversationScripts(
            store,
            retention_ms=retention_ms,
            index_keys=self._index.script_keys,
            codec=self._codec,
        )
        self._transcripts = TranscriptStore(
            self._scripts, self._index, self._reader, self._codec, **self._limits
        )

    def of_user(self, user_id: str) -> Self:
        """Return the same with the conversations of one user: others' are as if there were none.

        Whose a conversation is, is found in the same step in which it is read or written. It is for
        the operations on one conversation and the list: what maintains or watches is for all users.
        """
        bound = copy(self)
        bound._user_id = user_id
        bound._scripts = self._scripts.of_user(user_id)
        bound._reader = self._reader.of_user(user_id)
        bound._transcripts = TranscriptStore(
            bound._scripts, self._index, bound._reader, self._codec, **self._limits
        )
        return bound

    # --- One conversation -------------------------------------------------------------------------

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
        new = new or NewConversation()
        if self._user_id is not None:
            new = new.model_copy(update={"user_id": self._own_user_id(new.user_id)})
            self._check_call(new.conversation_id)
        content = new.to_wire()
        content.pop("conversationId", None)
        conversation_id = new.conversation_id or _new_id("agent", now_ms())
        key_digest = ""
        if new.conversation_id is None and idempotency_key is not None:
            key_digest = self._digest_of_key(idempotency_key)
            conversation_id = self._claim_id(key_digest, conversation_id)
        wanted = {
            "schema_version": SCHEMA_VERSION,
            "revision": new_revision(),
            "request_digest": hashlib.sha256(json_codec.canonical(content)).hexdigest()[:32],
            "key_digest": key_digest or None,
            **records.attributes_of(content),
        }
        while True:
            try:
                status, *reply = self._scripts.run(
                    "create_conversation",
                    conversation_id,
                    deleted_key=keys.deleted_key(conversation_id),
                    key_digest=key_digest,
                    fields=records.encode(self._codec.seal_fields(wanted)),
                )
            except ConversationNotFoundError:  # to this user: it is another's
                if not key_digest:
                    raise ConversationExistsError(conversation_id) from None
                status = b"deleted"
            if status != b"deleted":
                break
            candidate = _new_id("agent", now_ms())
            conversation_id = self._claim_id(key_digest, candidate, deleted_id=conversation_id)
        if status == b"created":
            now = int(reply[0])
            stored = StoredConversation(
                conversation_id, created_at_ms=now, last_accessed_at_ms=now, **wanted
            )
        else:
            stored = self._decode(conversation_id, *reply)
        stored_digest = self._codec.unseal(conversation_id, (stored.request_digest or "").encode())
        if stored_digest.decode() != wanted["request_digest"]:
            raise ConversationExistsError(conversation_id)
        self._index.update(conversation_id, stored.scores)
        # A creation whose reply was lost, and that was sent again, finds its own revision.
        return Created(stored, replayed=stored.revision != wanted["revision"])

    def get(self, conversation_id: str) -> StoredConversation:
        """Return the conversation. Reading it sets ``last_accessed_at`` to now."""
        _, *reply = self._scripts.run("read_conversation", conversation_id)
        conversation = self._decode(conversation_id, *reply)
        self._index.update(conversation_id, conversation.scores)
        return conversation

    def get_newest(self, conversation_id: str, *, message_limit: int) -> StoredConversation:
        """Return the conversation with its newest messages only, in two round trips.

        It sets ``last_accessed_at`` to now, as ``get`` does.
        """
        self.list_messages(conversation_id, limit=1, order="desc")
        found = self._reader.get(conversation_id, message_limit=message_limit)
        if found is None:  # deleted in between
            raise ConversationNotFoundError
        return found

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
        return self._append(conversation_id, [(message.message_id or idempotency_key, message)])[0]

    def append_messages(
        self,
        conversation_id: str,
        messages: Sequence[AgentMessage],
        *,
        idempotency_key: str | None = None,
    ) -> Sequence[Appended]:
        """Append 1 to 100 messages in their order, each once, all of them or none.

        An id is found as by ``append_message``; that of an ``idempotency_key`` is followed by ``-``
        and the message's number, from 0. One round trip, and one more if some of the messages are
        stored already, in another form (another timestamp, another order of keys), and others not.

        Raises:
            MessageConflictError: another message, with other content, has the id of one of them.
            ConversationFullError: the conversation would have more than its most messages, or
                bytes.
        """
        key = idempotency_key
        return self._append(
            conversation_id,
            [
                (message.message_id or (key and f"{key}-{number}"), message)
                for number, message in enumerate(messages)
            ],
        )

    def _append(
        self, conversation_id: str, messages: Sequence[tuple[str | None, AgentMessage]]
    ) -> Sequence[Appended]:
        now = now_ms()
        revision = new_revision()
        given: dict[str, bytes] = {}
        is_first: list[tuple[str, bool]] = []
        for handle, message in messages:
            message_id = handle or _new_id("msg", now)
            message_json = json_codec.encode(_complete(message, message_id, now))
            first = given.setdefault(message_id, message_json)
            records.check_repetition(conversation_id, message_json, first)
            is_first.append((message_id, first is message_json))
        ids = list(given)
        sealed = self._codec.seal_all(given)
        for _ in range(MOST_ATTEMPTS):
            status, *reply = self._scripts.run(
                "append_messages",
                conversation_id,
                new_revision=revision,
                given=list(itertools.chain.from_iterable(sealed.items())),
                **self._limits,
            )
            if status == b"transcribed":
                return self._append_late(conversation_id, given, is_first)
            *scores, stored_revision, known = reply
            stored = {ids[number]: raw for number, raw in zip(known[::2], known[1::2], strict=True)}
            for message_id, message_json in stored.items():
                self._check_stored(conversation_id, message_id, given[message_id], message_json)
            if status != b"different":
                break
            sealed = {**sealed, **stored}
        else:
            raise MessageConflictError
        count = _scores(*scores)
        self._index.update(conversation_id, count)
        # Messages whose reply was lost, and that were sent again, find their own revision.
        is_own = status == b"repeated" and records.is_of_same_write(
            stored_revision.decode(errors="replace"), revision
        )
        replayed = set() if is_own else stored.keys()
        return [
            Appended(message_id, count.message_count, not first or message_id in replayed)
            for message_id, first in is_first
        ]

    def _append_late(
        self, conversation_id: str, given: Mapping[str, bytes], is_first: Sequence[tuple[str, bool]]
    ) -> Sequence[Appended]:
        late = self._transcripts.append_late(conversation_id, given)
        return [
            Appended(
                _id_of(conversation_id, late.repeated[message_id])
                if message_id in late.repeated
                else message_id,
                late.scores.message_count,
                not (first and message_id in late.appended),
            )
            for message_id, first in is_first
        ]

    def _check_stored(
        self, conversation_id: str, message_id: str, given: bytes, stored: bytes
    ) -> None:
        """Raise ``MessageConflictError`` for other content, unless a transcript corrected it."""
        try:
            readable = self._codec.unseal(conversation_id, stored)
            records.check_repetition(conversation_id, given, readable)
        except MessageConflictError:
            if not self._has_transcript(conversation_id, call_of(message_id)):
                raise

    def _has_transcript(self, conversation_id: str, call_id: str | None) -> bool:
        command = "HGET", keys.conversation_key(conversation_id), "transcripts"
        (stored,) = self._store.read_many([command]) if call_id else [None]
        return stored is not None and call_id in timestamps(stored.decode())

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
        allowed = "" if if_tag is None else _allowed(if_tag)
        complete = _complete(message, message_id, now_ms())
        given = json_codec.encode(complete)
        put = partial(
            self._scripts.run,
            "put_message",
            conversation_id,
            new_revision=new_revision(),
            message_id=message_id,
            **self._limits,
        )
        status, *reply = put(
            message_json=self._codec.seal(given),
            own_timestamp=message.timestamp or "",
            allowed=allowed,
            known_tag="",
        )
        while status == b"encrypted":  # for the first time, or what was read has been replaced
            (stored,) = reply
            readable = StoredMessage(conversation_id, self._codec.unseal(conversation_id, stored))
            if allowed not in ("", "*") and readable.tag not in allowed.split():
                raise PreconditionFailedError
            if message.timestamp is None:
                complete["timestamp"] = readable.message.timestamp
            given = json_codec.encode(complete)
            status, *reply = put(
                message_json=stored if given == readable.message_json else self._codec.seal(given),
                own_timestamp=complete["timestamp"],
                allowed=allowed and "*",
                known_tag=StoredMessage(conversation_id, stored).tag,
            )
        if status == b"transcribed":
            late = self._transcripts.append_late(conversation_id, {message_id: given})
            stored = late.repeated.get(message_id)
            return PutMessage(
                conversation_id,
                stored or given,
                appended=stored is None,
                replayed=stored is not None,
            )
        *scores, message_json = reply
        self._index.update(conversation_id, _scores(*scores))
        return PutMessage(
            conversation_id,
            self._codec.unseal(conversation_id, message_json),
            appended=status == b"appended",
            replayed=status == b"repeated",
        )

    def merge_transcript(self, conversation_id: str, transcript: Transcript) -> bool:
        """Make one account of a call out of its transcript and of what was recorded live.

        All of it in one step: the turns that were not recorded are appended, those that were are
        corrected, and ``metadata.elevenlabs`` is the call's outcome.

        Returns:
            Whether it was written; not where this transcript, or a later one, was before.
        """
        return self._transcripts.merge(conversation_id, transcript)

    def get_message(self, conversation_id: str, message_id: str) -> StoredMessage:
        """Return a message; reading it sets the conversation's ``last_accessed_at`` to now.

        Raises:
            MessageNotFoundError: the conversation has no message with the id.
        """
        _, *scores, message_json = self._scripts.run(
            "read_message", conversation_id, message_id=message_id
        )
        message_json = self._codec.unseal(conversation_id, message_json)
        records.check_messages(conversation_id, [message_json])
        self._index.update(conversation_id, _scores(*scores))
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
        position = None if after is None else cursors.decode_cursor(after, conversation_id, order)
        first, last = cursors.page_range(position, limit, order)
        _, *reply, stored = self._scripts.run(
            "page_messages",
            conversation_id,
            first=first,
            last=last,
            page_bytes=BYTES_AT_ONCE,
            order=order,
        )
        scores = _scores(*reply)
        messages = self._codec.unseal_all(conversation_id, stored)
        records.check_messages(conversation_id, messages)
        self._index.update(conversation_id, scores)
        if order == "desc":
            messages = messages[::-1]
        count = scores.message_count
        end = cursors.last_position(position, len(messages), count, order)
        cursor = None if end is None else cursors.encode_cursor(end, conversation_id, order)
        return MessagePage(conversation_id, messages, count, cursor)

    def find_part(
        self, conversation_id: str, *, first: int = 0, positions: Sequence[int] = ()
    ) -> ConversationPart | None:
        """Return what a viewer lacks; reading it is no access.

        What has too many bytes is fetched in parts: then some may be newer than the revision.

        Args:
            first: the position of the first message wanted.
            positions: of single messages before it.
        """
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

    def check_owner(self, conversation_id: str) -> None:
        """Raise ``ConversationNotFoundError`` unless the one user has it; no access."""
        key = keys.conversation_key(check_conversation_id(conversation_id))
        (owner,) = self._store.read_many([("HGET", key, "userId")])
        if isinstance(owner, WrongTypeError):  # a legacy record, which this converts
            self._scripts.run("read_part", conversation_id, first=0, single_positions=())
        elif owner != str(self._user_id).encode():
            raise ConversationNotFoundError

    def exists(self, conversation_id: str) -> bool:
        """Return whether there is such a conversation; no access."""
        return self._store.exist([keys.conversation_key(conversation_id)])[0]

    def find_revisions(self, conversation_ids: Sequence[str]) -> list[str | None]:
        """Return the revision of each record, ``None`` where there is none; no access."""
        commands = [("HGET", keys.conversation_key(one), "revision") for one in conversation_ids]
        replies = self._store.read_many(commands)
        return [
            str(reply, "ascii", "replace") if isinstance(reply, bytes) else None
            for reply in replies
        ]

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
        given = changes.to_wire()
        removed = [name for name in changes.given() if name not in given]
        if "userId" in removed and self._user_id is not None:
            raise OtherUserError
        self._own_user_id(changes.user_id)
        _, *reply, agent_id, user_id = self._scripts.run(
            "update_conversation",
            conversation_id,
            allowed=_allowed(if_revision),
            new_revision=new_revision(),
            removed_count=len(removed),
            changes=[
                *removed,
                *records.encode(self._codec.seal_fields(records.attributes_of(given))),
            ],
        )
        conversation = self._decode(conversation_id, *reply)
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
            _, agent_id, user_id, legacy_json = self._scripts.run(
                "delete_conversation",
                conversation_id,
                deleted_key=keys.deleted_key(conversation_id),
                allowed=allowed,
                seconds=IDEMPOTENCY_SECONDS,
            )
        except ConversationNotFoundError:
            # An earlier attempt may have ended before this step. Of one user, it may be another's.
            if self._user_id is None:
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
            OtherUserError: another user's are asked for.
        """
        user_id = self._own_user_id(user_id)
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
        prefix = CONVERSATION_PREFIX
        for batch in self._store.scan(prefix + "*"):
            yield [key.removeprefix(prefix) for key in batch]

    def scan_listed_ids(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all index entries in batches: one may come twice."""
        return self._index.scan()

    def find_unlisted(self, conversation_ids: Sequence[str]) -> Sequence[str]:
        """Return those that have no index entry."""
        return self._index.find_unlisted(conversation_ids)

    def find_missing(self, conversation_ids: Sequence[str]) -> Sequence[str]:
        """Return those that have no record; no access."""
        exist = self._store.exist([keys.conversation_key(one) for one in conversation_ids])
        return [one for one, exists in zip(conversation_ids, exist, strict=True) if not exists]

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

    def remove_other_shards(self) -> None:
        """Remove the index that there was when it had another number of shards."""
        self._index.remove_other_shards()

    def verify(self, conversation_id: str) -> None:
        """Raise ``CorruptRecordError`` if a part of a conversation cannot be read; no access."""
        verify_conversation(self._store, self._codec, check_conversation_id(conversation_id))

    def repair(self, conversation_id: str) -> None:
        """Rebuild what follows from the messages: their ids, and the number of their bytes.

        What is lost of the messages themselves stays lost.

        Raises:
            CorruptRecordError: the record or a message cannot be read.
        """
        found = read_damaged(self._store, self._codec, check_conversation_id(conversation_id))
        self._scripts.repair(found)

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

    def _decode(
        self, conversation_id: str, flat_record: Sequence[bytes], messages: Sequence[bytes]
    ) -> StoredConversation:
        """Return the conversation of a reply, whose messages are fetched if it has too many bytes.

        They are then not of one moment: some may be newer than the revision, none is older.
        """
        record = dict(zip(flat_record[::2], flat_record[1::2], strict=True))
        conversation = self._codec.decode_conversation(conversation_id, record, messages)
        if messages or not conversation.message_bytes:
            return conversation
        return self._reader.with_all_messages(conversation)

    def _own_user_id(self, user_id: str | None) -> str | None:
        """Return the one user in place of none; others are an ``OtherUserError``."""
        if self._user_id is None:
            return user_id
        if user_id not in (None, self._user_id):
            raise OtherUserError
        return self._user_id

    def _check_call(self, conversation_id: str | None) -> None:
        """Raise ``ConversationExistsError`` for a new one with the id of another user's session.

        A webhook would take it for the conversation of that call.
        """
        if conversation_id is None:
            return
        key = keys.conversation_key(check_conversation_id(conversation_id))
        exists, named = self._store.read_many(
            [("EXISTS", key), ("GET", alias_key(conversation_id))]
        )
        try:
            if not exists and isinstance(named, bytes):
                self.check_owner(named.decode())
        except ConversationNotFoundError:
            raise ConversationExistsError(conversation_id) from None

    def _digest_of_key(self, idempotency_key: str) -> str:
        """Return what stands for the key in Redis; each user has keys of their own."""
        digest = hashlib.sha256(idempotency_key.encode())
        if self._user_id is not None:
            digest = hashlib.sha256(digest.digest() + self._user_id.encode())
        return digest.hexdigest()

    def _claim_id(self, key_digest: str, candidate: str, *, deleted_id: str = "") -> str:
        """Return the id that the key was given in the last day, but not ``deleted_id``."""
        claimed = self._claim(
            claim_key=keys.idempotency_key(key_digest),
            candidate=candidate,
            deleted_id=deleted_id,
            seconds=IDEMPOTENCY_SECONDS,
        )
        return str(claimed, "utf-8")


def _new_id(prefix: str, now: int) -> str:
    return f"{prefix}-{now}-{secrets.token_hex(8)}"


def _id_of(conversation_id: str, message_json: bytes) -> str:
    return str(records.decode_message(conversation_id, message_json).message_id)


def _complete(message: AgentMessage, message_id: str, now: int) -> dict[str, Any]:
    """Return a message as it is stored: with all that a request may leave out.

    The timestamp is before ``toolArgs``, where put_message.lua looks for it first.
    """
    return {
        "role": message.role,
        "content": message.content,
        "timestamp": message.timestamp or iso_from_ms(now),
        "source": message.source or "text",
        "messageId": message_id,
        **message.to_wire(),
    }


def _scores(created_at_ms: bytes, last_accessed_at_ms: bytes, message_count: int) -> Scores:
    return Scores(int(created_at_ms), int(last_accessed_at_ms), message_count)


def _allowed(revisions: Sequence[str] | None) -> str:
    """Return revisions, or tags, as the scripts take them; one that cannot be ours matches none."""
    if revisions is None or "*" in revisions:
        return "*"
    return " ".join(filter(str.isalnum, revisions)) or "-"
