"""Rewriting what is not stored as today's keys say, while others write."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_conversations.store.encryption import ENCRYPTED_FIELDS, EncryptingCodec
from agent_conversations.store.scripts import ConversationScripts
from sessions_store.redis import deadline
from sessions_store.redis.script import Argument
from sessions_store.wire.model import SCHEMA_VERSION

AT_ONCE = 100
"""Messages that are rewritten in one step: some milliseconds of the server's time."""

MOST_ATTEMPTS = 20
"""Attempts to find a conversation plain, while others write to it."""


@dataclass(frozen=True)
class Rewritten:
    """``count``: of messages and fields.

    ``is_done``: not where nothing should be encrypted, and a conversation was written to so often
    that this could not be told of all of it.
    """

    count: int
    is_done: bool = True


class Reencryption:
    """Its errors are those of the repository."""

    def __init__(self, scripts: ConversationScripts, codec: EncryptingCodec) -> None:
        self._scripts = scripts
        self._codec = codec

    def rewrite(self, conversation_id: str) -> Rewritten:
        count = 0
        for _ in range(MOST_ATTEMPTS):
            record, rewritten = self._rewrite_all(conversation_id)
            count += rewritten
            if self._codec.encrypts:
                return Rewritten(count)
            if not rewritten and self._lower_version(conversation_id, record):
                return Rewritten(count)
        return Rewritten(count, is_done=False)

    def _rewrite_all(self, conversation_id: str) -> tuple[Mapping[bytes, bytes], int]:
        """Return the record, as it was before the first message was read, and how many."""
        before: Mapping[bytes, bytes] = {}
        position = rewritten = 0
        while True:
            deadline.renew()
            _, fields, count, messages, _ = self._scripts.run(
                "read_part", conversation_id, first=position, single_positions=()
            )
            record = dict(zip(fields[::2], fields[1::2], strict=True))
            before = before or record
            for first in range(0, max(1, len(messages)), AT_ONCE):
                chunk = messages[first : first + AT_ONCE]
                wanted, done = self._rewrite_some(conversation_id, record, position, chunk)
                rewritten += done
                if done < wanted:
                    break  # somebody else has written them: they are read again
                position += len(chunk)
            else:
                if position >= count:
                    return before, rewritten

    def _rewrite_some(
        self,
        conversation_id: str,
        record: Mapping[bytes, bytes],
        position: int,
        messages: Sequence[bytes],
    ) -> tuple[int, int]:
        """Return how many messages and fields had to be rewritten, and how many were."""

        def renewed(stored: Iterable[tuple[Argument, bytes]]) -> Iterator[Argument]:
            for place, raw in stored:
                new = self._codec.renew(conversation_id, raw)
                if new is not None:
                    yield from (place, hashlib.sha1(raw, usedforsecurity=False).hexdigest(), new)

        names = [name for name in ENCRYPTED_FIELDS if name.encode() in record]
        fields = [*renewed((name, record[name.encode()]) for name in names)]
        contents = [*fields, *renewed(enumerate(messages, start=position))]
        if not contents:
            return 0, 0
        _, done = self._scripts.run(
            "reencrypt_messages",
            conversation_id,
            field_count=len(fields) // 3,
            contents=contents,
        )
        return len(contents) // 3, done

    def _lower_version(self, conversation_id: str, record: Mapping[bytes, bytes]) -> bool:
        (status,) = self._scripts.run(
            "lower_version",
            conversation_id,
            known_revision=record.get(b"revision", b""),
            known_bytes=record.get(b"messageBytes", b""),
            plain_version=SCHEMA_VERSION,
        )
        return bool(status == b"lowered")
