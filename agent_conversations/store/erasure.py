"""Erasing what somebody said, so that a restored backup does not bring it back.

The *ledger* is a file outside of the database. Each line is a conversation that was erased: the
SHA-256 of its id and its creation, and when it was erased. A later conversation of the same id is
another one, and stays.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from sessions_store.repository import SessionRepository
from sessions_store.wire.clock import iso_from_ms, now_ms

Wanted = Callable[[StoredConversation], bool]


class InvalidLedgerError(Exception):
    """A line of the ledger is none."""

    def __init__(self, number: int) -> None:
        super().__init__(f"line {number} is not the digest of a conversation and a time")


class Ledger:
    """The file of what was erased; only its owner may read it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, conversations: Sequence[StoredConversation]) -> None:
        """Write conversations down; they are on the disk when this returns.

        Raises:
            OSError: the file cannot be written.
        """
        erased_at = iso_from_ms(now_ms())
        lines = "".join(f"{_digest(one)} {erased_at}\n" for one in conversations)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as file:
            file.write(lines)
            file.flush()
            os.fsync(descriptor)

    def wanted(self) -> Wanted:
        """Return whether a conversation is one that was erased.

        Raises:
            OSError: the file cannot be read.
            InvalidLedgerError: it is no ledger.
        """
        digests: set[str] = set()
        with self.path.open(encoding="ascii", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                digest, _, erased_at = line.partition(" ")
                if len(digest) != len(_digest_of(b"")) or not erased_at.endswith("Z\n"):
                    raise InvalidLedgerError(number)
                digests.add(digest)
        return lambda conversation: _digest(conversation) in digests


def erase(
    conversations: ConversationRepository,
    sessions: SessionRepository,
    ledger: Ledger,
    found: Sequence[StoredConversation],
) -> None:
    """Delete conversations and their sessions; the ledger has them before the first is gone.

    Raises:
        OSError: the ledger cannot be written; nothing is deleted.
    """
    ledger.add(found)
    for conversation in found:
        sessions.delete(conversation.conversation_id)
        with suppress(ConversationNotFoundError):  # deleted by somebody else, or expired
            conversations.delete(conversation.conversation_id)


def _digest(conversation: StoredConversation) -> str:
    return _digest_of(f"{conversation.conversation_id} {conversation.created_at_ms}".encode())


def _digest_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
