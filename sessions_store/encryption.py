"""Encryption of stored sessions: of the fields that carry credentials, if keys are configured."""

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sessions_store.wire import json_codec

SECRET_FIELDS = ("sessionPayload", "wsUrl", "sessionUrl", "metadata")
"""The fields that came from the ElevenLabs client and may hold its token."""

_ENCRYPTED = "encrypted"


class UnreadableSecretError(ValueError):
    """The record is encrypted, and none of the configured keys can decrypt it."""


class SessionCipher:
    """Encrypts with the first key, decrypts with any of them, so that keys can be rotated.

    Args:
        keys: Fernet keys (32 bytes in URL-safe base64); without any, sessions stay plain JSON.

    Raises:
        ValueError: a key is not a Fernet key.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    def seal(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record as it is stored, its secret fields encrypted if there are keys."""
        if self._fernet is None:
            return record
        secret = {name: record[name] for name in SECRET_FIELDS if name in record}
        open_fields = {name: value for name, value in record.items() if name not in secret}
        token = self._fernet.encrypt(json_codec.encode(secret)).decode("ascii")
        return {**open_fields, _ENCRYPTED: token}

    def unseal(self, record: object) -> object:
        """Return a stored record with its secret fields decrypted; a plain one unchanged.

        Raises:
            UnreadableSecretError: no configured key can decrypt it.
        """
        if not isinstance(record, dict) or _ENCRYPTED not in record:
            return record
        if self._fernet is None:
            raise UnreadableSecretError("no keys are configured")
        try:
            secret = json_codec.decode(self._fernet.decrypt(str(record[_ENCRYPTED])))
        except InvalidToken:
            raise UnreadableSecretError("no configured key decrypts it") from None
        return {**{name: record[name] for name in record if name != _ENCRYPTED}, **secret}
