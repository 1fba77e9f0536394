"""How messages and fields are stored: as they are, or encrypted.

What is encrypted is one Fernet token each, in the place of its JSON: a message whole, the metadata
of a conversation, and the digest of the content that it was created with, by which one could try
what that was. Ids, times and counts stay readable: the scripts and the index need them.

An encrypted conversation has a record version of its own, so that a process without keys, and a
release before, refuses it and never takes a token for JSON.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from agent_conversations.store import records
from agent_conversations.store.records import ENCRYPTED_VERSION, StoredConversation
from sessions_store.errors import KeyMissingError
from sessions_store.wire.model import SCHEMA_VERSION

PLAIN = "plain"
"""In place of the first key: nothing more is encrypted, and the other keys still decrypt."""

ENCRYPTED_FIELDS = ("metadata", "requestDigest")

_TOKEN_START = b"g"
"""Of each Fernet token, for its version is 128; JSON of an object and digests begin otherwise."""


class Codec:
    """Stores everything as it is."""

    newest_version = SCHEMA_VERSION
    """Of the records that it can read."""

    def seal(self, raw: bytes) -> bytes:
        """Return what is stored of the JSON of a message."""
        return raw

    def seal_all(self, messages: Mapping[str, bytes]) -> Mapping[str, bytes]:
        return messages

    def seal_fields(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return attributes of a ``StoredConversation`` as they are stored."""
        return attributes

    def unseal(self, conversation_id: str, stored: bytes) -> bytes:
        """Return the JSON of a stored message, or a field.

        Raises:
            KeyMissingError: it is encrypted, and no key decrypts it.
        """
        return stored

    def unseal_all(self, conversation_id: str, stored: Sequence[bytes]) -> Sequence[bytes]:
        return stored

    def decode_conversation(
        self,
        conversation_id: str,
        record: Mapping[bytes, bytes],
        messages: Sequence[bytes],
        older_messages: int = 0,
    ) -> StoredConversation:
        """Return the conversation of a record; see ``records.decode_conversation``.

        ``request_digest`` stays as it is stored: only a repeated creation asks for it.
        """
        return records.decode_conversation(conversation_id, record, messages, older_messages)


class EncryptingCodec(Codec):
    """Encrypts with the first key, and decrypts with any of them; reads what is plain, too.

    Args:
        keys: Fernet keys, at least one; one may be ``PLAIN``, which counts if it is the first.

    Raises:
        ValueError: a key is not a Fernet key.
    """

    newest_version = ENCRYPTED_VERSION

    def __init__(self, keys: Sequence[str]) -> None:
        fernets = [Fernet(key) for key in keys if key != PLAIN]
        self._any = MultiFernet(fernets)
        self._first = None if keys[0] == PLAIN else fernets[0]

    @property
    def encrypts(self) -> bool:
        return self._first is not None

    def seal(self, raw: bytes) -> bytes:
        return raw if self._first is None else self._first.encrypt(raw)

    def seal_all(self, messages: Mapping[str, bytes]) -> Mapping[str, bytes]:
        return {message_id: self.seal(raw) for message_id, raw in messages.items()}

    def seal_fields(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._first is None:
            return attributes
        sealed: dict[str, Any] = {"schema_version": ENCRYPTED_VERSION}
        if (metadata := attributes.get("metadata_json")) is not None:
            sealed["metadata_json"] = self.seal(metadata)
        if (digest := attributes.get("request_digest")) is not None:
            sealed["request_digest"] = self.seal(digest.encode())
        return {**attributes, **sealed}

    def unseal(self, conversation_id: str, stored: bytes) -> bytes:
        if not stored.startswith(_TOKEN_START):
            return stored
        try:
            return self._any.decrypt(stored)
        except InvalidToken:
            reason = "is encrypted with a key that CONVERSATION_ENCRYPTION_KEYS does not have"
            raise KeyMissingError("conversation", conversation_id, reason) from None

    def unseal_all(self, conversation_id: str, stored: Sequence[bytes]) -> Sequence[bytes]:
        return [self.unseal(conversation_id, one) for one in stored]

    def decode_conversation(
        self,
        conversation_id: str,
        record: Mapping[bytes, bytes],
        messages: Sequence[bytes],
        older_messages: int = 0,
    ) -> StoredConversation:
        readable = dict(record)
        if (metadata := record.get(b"metadata")) is not None:
            readable[b"metadata"] = self.unseal(conversation_id, metadata)
        return records.decode_conversation(
            conversation_id,
            readable,
            self.unseal_all(conversation_id, messages),
            older_messages,
            newest_version=self.newest_version,
            stored_bytes=sum(map(len, messages)),
        )

    def renew(self, conversation_id: str, stored: bytes) -> bytes | None:
        """Return what should be stored instead; ``None`` if it is as it should be.

        Raises:
            KeyMissingError: it is encrypted, and no key decrypts it.
        """
        is_token = stored.startswith(_TOKEN_START)
        if self._first is None:
            return self.unseal(conversation_id, stored) if is_token else None
        if is_token:
            try:
                self._first.decrypt(stored)
            except InvalidToken:
                pass
            else:
                return None
        return self.seal(self.unseal(conversation_id, stored))


def codec_of(keys: Sequence[str]) -> Codec:
    """Return the codec for ``CONVERSATION_ENCRYPTION_KEYS``, plain without any."""
    return EncryptingCodec(keys) if set(keys) - {PLAIN} else Codec()
