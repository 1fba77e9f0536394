"""The errors that a repository raises: ``StoreError`` and its subclasses.

Their texts are for people and may be shown to a client, so they name ids and limits and never
content: no URL, no payload, no message, no metadata.
"""

from collections.abc import Mapping, Sequence
from typing import Self


class StoreError(Exception):
    """The base class of all errors of the repositories."""


class InvalidRequestError(StoreError):
    """A value in a request is invalid.

    ``details`` maps a field's dotted path, as the client wrote it, to its sentences.
    """

    def __init__(self, message: str, details: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message)
        self.details = {field: list(sentences) for field, sentences in (details or {}).items()}

    @classmethod
    def of_field(cls, field: str, sentence: str) -> Self:
        return cls(sentence, {field: [sentence]})


class StoreUnavailableError(StoreError):
    """Redis is unavailable: it did not do in time what it was asked.

    An outage is never "not found" and never an empty list. Whether a write took place is unknown:
    repeat it with the same handle (a message id, a conversation id, an idempotency key). ``cause``
    is for logs: the first word of Redis's error, such as ``MISCONF``, or the name of redis-py's
    error class, without the rest of the text, which can quote a command's arguments.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(
            "The store cannot be reached within the request's timeout. Try again shortly."
        )
        self.cause = cause


class NotAcknowledgedError(StoreUnavailableError):
    """A write took place, and fewer replicas than ``WRITE_ACKS`` said in time that they have it.

    It stays, unless one of the other servers takes over before it gets it.
    """

    def __init__(self) -> None:
        super().__init__("NotAcknowledgedError")
        sentence = "The write may have happened: too few replicas have it within their timeout."
        self.args = (f"{sentence} Send it again with the same id.",)


class WritesRefusedError(StoreUnavailableError):
    """Redis replies, but refuses writes. ``problems`` maps a problem's code to its message."""

    def __init__(self, cause: str, problems: Mapping[str, str]) -> None:
        super().__init__(cause)
        self.problems = dict(problems)


class SessionNotFoundError(StoreError):
    def __init__(
        self, sentence: str = "Agent session not found, or its ten minutes are over"
    ) -> None:
        super().__init__(sentence)


class PushNotFoundError(StoreError):
    def __init__(self) -> None:
        super().__init__("The conversation has no push with this pushId, or none any more")


class PushConflictError(StoreError):
    """A push with other content has the push id."""

    def __init__(self) -> None:
        super().__init__("A push with this pushId exists already, with another text or kind")


class WrongTypeError(StoreError):
    """A key holds another Redis type than ours; repositories raise a ``CorruptRecordError``."""


class CorruptRecordError(StoreError):
    """A stored record cannot be read. The text names the record, never its content."""

    def __init__(self, kind: str, record_id: str, reason: str = "cannot be read") -> None:
        super().__init__(f"The stored {kind} {record_id} {reason}.")
        self.record_id = record_id
        self.reason = reason


class KeyMissingError(CorruptRecordError):
    """The record is encrypted, and none of the configured keys decrypts it. Nothing is written."""


class UnsupportedRecordVersionError(CorruptRecordError):
    """A newer release wrote the record; this release would misread it."""

    def __init__(self, kind: str, record_id: str) -> None:
        super().__init__(kind, record_id, "was written by a newer version of this service")
