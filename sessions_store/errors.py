"""What a caller of a repository may catch: ``StoreError`` and its family.

The texts are for people and may be shown to a client, so they name ids and limits and never
content: no URL, no payload, no message, no metadata.
"""

from collections.abc import Mapping, Sequence


class StoreError(Exception):
    """The root of everything that a repository raises on purpose."""


class InvalidRequestError(StoreError):
    """What was asked for cannot be, whoever asks.

    ``details`` maps a field's dotted path, as the client wrote it, to its sentences.
    """

    def __init__(self, message: str, details: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message)
        self.details = {field: list(sentences) for field, sentences in (details or {}).items()}


class StoreUnavailableError(StoreError):
    """Redis did not do what it was asked in time. Never "not found", never an empty list.

    Whether a write took place is unknown: repeat it with the same handle (a message id, a
    conversation id, an idempotency key). ``cause`` is the name of the client's error class, for
    logs; the error's own text is left behind, because it can quote a command's arguments.
    """

    def __init__(self, cause: str) -> None:
        super().__init__("The store cannot be reached at the moment. Try again shortly.")
        self.cause = cause


class WritesRefusedError(StoreUnavailableError):
    """Redis answers, but cannot take a write. ``advice`` maps what is wrong to what to do."""

    def __init__(self, advice: Mapping[str, str]) -> None:
        super().__init__("unfit")
        self.advice = dict(advice)


class WrongTypeError(StoreError):
    """A key holds another Redis type than ours; a repository says which record that is."""


class CorruptRecordError(StoreError):
    """What stands under a key cannot be read. Names the record, never what is in it."""

    def __init__(self, kind: str, record_id: str, reason: str = "cannot be read") -> None:
        super().__init__(f"The stored {kind} {record_id} {reason}.")
        self.record_id = record_id
        self.reason = reason


class UnsupportedRecordVersionError(CorruptRecordError):
    """A newer release wrote this record; reading it by today's rules would misread it."""

    def __init__(self, kind: str, record_id: str) -> None:
        super().__init__(kind, record_id, "was written by a newer version of this service")
