"""How a conversation is created, once for each id or ``Idempotency-Key``."""

import hashlib
from collections.abc import Sequence
from typing import Any

from agent_conversations.errors import ConversationExistsError, ConversationNotFoundError
from agent_conversations.store import keys, records
from agent_conversations.store.records import StoredConversation, new_id, new_revision
from agent_conversations.store.results import Created
from agent_conversations.store.storage import ConversationStorage
from agent_conversations.types import NewConversation
from sessions_store.keys import alias_key
from sessions_store.redis.script import Argument
from sessions_store.wire import json_codec
from sessions_store.wire.clock import now_ms
from sessions_store.wire.fields import check_conversation_id
from sessions_store.wire.model import SCHEMA_VERSION


def create(
    storage: ConversationStorage, new: NewConversation, idempotency_key: str | None
) -> Created:
    """Create a conversation: see ``ConversationRepository.create``."""
    if storage.user_id is not None:
        new = new.model_copy(update={"user_id": storage.own_user_id(new.user_id)})
        _check_call(storage, new.conversation_id)
    content = new.to_wire()
    content.pop("conversationId", None)
    conversation_id = new.conversation_id or new_id("agent", now_ms())
    key_digest = ""
    if new.conversation_id is None and idempotency_key is not None:
        key_digest = _digest_of_key(storage, idempotency_key)
        conversation_id = storage.scripts.claim_id(key_digest, conversation_id)
    wanted = {
        "schema_version": SCHEMA_VERSION,
        "revision": new_revision(),
        "request_digest": hashlib.sha256(json_codec.canonical(content)).hexdigest()[:32],
        "key_digest": key_digest or None,
        **records.attributes_of(content),
    }
    conversation_id, status, reply = _create(
        storage, conversation_id, key_digest, records.encode(storage.codec.seal_fields(wanted))
    )
    if status == b"created":
        now = int(reply[0])
        stored = StoredConversation(
            conversation_id, created_at_ms=now, last_accessed_at_ms=now, **wanted
        )
    else:
        stored = storage.reader.decode(conversation_id, *reply)
    stored_digest = storage.codec.unseal(conversation_id, (stored.request_digest or "").encode())
    if stored_digest.decode() != wanted["request_digest"]:
        raise ConversationExistsError(conversation_id)
    storage.index.update(conversation_id, stored.scores)
    # A creation whose reply was lost, and that was sent again, finds its own revision.
    return Created(stored, replayed=stored.revision != wanted["revision"])


def _create(
    storage: ConversationStorage, conversation_id: str, key_digest: str, fields: Sequence[Argument]
) -> tuple[str, bytes, Sequence[Any]]:
    """Return the id, which is another one if the key's was deleted, and the script's reply."""
    while True:
        try:
            status, *reply = storage.scripts.run(
                "create_conversation",
                conversation_id,
                deleted_key=keys.deleted_key(conversation_id),
                key_digest=key_digest,
                fields=fields,
            )
        except ConversationNotFoundError:  # to this user: it is another's
            if not key_digest:
                raise ConversationExistsError(conversation_id) from None
            status = b"deleted"
        if status != b"deleted":
            return conversation_id, status, reply
        conversation_id = storage.scripts.claim_id(
            key_digest, new_id("agent", now_ms()), deleted_id=conversation_id
        )


def _check_call(storage: ConversationStorage, conversation_id: str | None) -> None:
    """Raise ``ConversationExistsError`` for a new one with the id of another user's session.

    A webhook would take it for the conversation of that call.
    """
    if conversation_id is None:
        return
    key = keys.conversation_key(check_conversation_id(conversation_id))
    exists, named = storage.store.read_many([("EXISTS", key), ("GET", alias_key(conversation_id))])
    try:
        if not exists and isinstance(named, bytes):
            storage.reader.check_owner(named.decode())
    except ConversationNotFoundError:
        raise ConversationExistsError(conversation_id) from None


def _digest_of_key(storage: ConversationStorage, idempotency_key: str) -> str:
    """Return what stands for the key in Redis; each user has keys of their own."""
    digest = hashlib.sha256(idempotency_key.encode())
    if storage.user_id is not None:
        digest = hashlib.sha256(digest.digest() + storage.user_id.encode())
    return digest.hexdigest()
