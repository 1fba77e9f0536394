"""Who may use the service: tokens, what each may do, and the tickets of pages in their place."""

import hashlib
import logging
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal, LiteralString, get_args

from django.core.signing import BadSignature, TimestampSigner
from pydantic import TypeAdapter, ValidationError

from sessions_store.redis import deadline
from sessions_store.wire.fields import MAX_IDENTIFIER_CHARACTERS, Identifier

Scope = Literal["read", "write", "push", "erase", "metrics"]
"""What an operation needs; each is declared with its operation."""

SCOPES: frozenset[str] = frozenset(get_args(Scope))
TICKET_SECONDS = 12 * 60 * 60
LOOK_SECONDS = 1.0
"""How often a file of tokens is looked at, at most."""

_identifier = TypeAdapter(Identifier)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Client:
    """Who has a token, and what it may do: with all conversations, or those of one user."""

    name: str
    scopes: frozenset[str] = SCOPES
    user_id: str | None = None


class EntryError(ValueError):
    """An entry of ``API_TOKENS`` cannot be used: what it ``must``, how, and the id of the check."""

    def __init__(self, check_id: LiteralString, must: LiteralString, hint: LiteralString) -> None:
        super().__init__(must)
        self.check_id = check_id
        self.must = must
        self.hint = hint


def parse_entry(entry: str, default_name: str) -> tuple[str, Client]:
    """Return the token of ``name:token:scopes:userId``, and whose it is.

    Without scopes it may do everything, without ``userId`` with all conversations.

    Args:
        default_name: where the entry is a token alone, or has an empty name.

    Raises:
        EntryError: it never quotes the entry.
    """
    parts = [part.strip() for part in entry.split(":", 3)]
    name, token, *rest = parts if len(parts) > 1 else ["", *parts]
    if not token:
        raise EntryError("E007", "have a token", "Write name:token, or the token alone.")
    if not re.fullmatch("[!-~]+", token):
        raise EntryError(
            "E008",
            "have a token that a header can carry",
            "Use ASCII letters, digits and signs, without spaces.",
        )
    scopes = frozenset(rest[0].split("+")) if rest else SCOPES
    if not scopes <= SCOPES:
        raise EntryError(
            "E015",
            "have scopes among read, write, push, erase and metrics",
            "Write name:token:read+write; name:token may do everything. A name has no colon.",
        )
    user_id = rest[1] if len(rest) > 1 else None
    if user_id is not None and not _is_identifier(user_id):
        raise EntryError(
            "E016",
            f"have a userId of 1 to {MAX_IDENTIFIER_CHARACTERS} characters",
            "Write name:token:read+write:userId, or nothing after the scopes.",
        )
    if user_id is not None and "metrics" in scopes:
        raise EntryError(
            "E017",
            "have no userId together with metrics",
            "Metrics are of all users: give them a token of their own.",
        )
    return token, Client(name or default_name, scopes, user_id)


def _is_identifier(text: str) -> bool:
    try:
        return bool(_identifier.validate_python(text))
    except ValidationError:
        return False


class Tokens:
    """The tokens of all clients, none of which is shown.

    Finding one does not compare it with each: a text's hash has a secret of the process in it, so
    that the time it takes says nothing about the tokens, and does not grow with their number.
    """

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self.are_needed = bool(clients)
        """Whether a request needs one; else everyone may do everything."""
        self._set(clients)

    def _set(self, clients: Mapping[str, Client]) -> None:
        # Each is whole before it counts: other threads look for tokens meanwhile.
        self._by_digest = {_digest(token): (token, client) for token, client in clients.items()}
        self._clients = clients

    @property
    def look_is_due(self) -> bool:
        """Whether ``look`` may have something to do, which can take seconds."""
        return False

    def look(self) -> None:
        """Take over what has changed. Whatever else is asked of the tokens does so first."""

    def clients(self) -> Collection[Client]:
        """Return those who have a token."""
        return self._clients.values()

    def find(self, sent: str) -> Client | None:
        """Return the client of the token that was sent, or of the ticket."""
        if not sent:
            return None
        if client := self._clients.get(sent):
            return client
        token, client = self._by_digest.get(sent.partition(".")[0], ("", None))
        return client if token and _is_ticket(sent, token) else None

    def has_shorter_than(self, characters: int) -> bool:
        return any(len(token) < characters for token in self._clients)


class TokensWithFile(Tokens):
    """Tokens, and those of a file, which is read anew once it has changed.

    A file that cannot be read, or has an entry that cannot be used, changes nothing: the log says
    so, and the tokens that it had stay. With an empty one, nobody gets in.

    Args:
        clients: beside the file; where both have a token, theirs counts.

    Raises:
        TokensFileError: the file cannot be used at the start.
    """

    def __init__(self, clients: Mapping[str, Client], path: Path) -> None:
        self._beside = clients
        self._path = path
        self._seen = _state_of(path)
        self._looks_at = 0.0
        self._looking = Lock()
        super().__init__({**read_tokens(path), **clients})
        self.are_needed = True

    def clients(self) -> Collection[Client]:
        self.look()
        return super().clients()

    def find(self, sent: str) -> Client | None:
        self.look()
        return super().find(sent)

    @property
    def look_is_due(self) -> bool:
        return time.monotonic() >= self._looks_at

    def look(self) -> None:
        # One thread at a time, or what one read before could count after what another read later.
        if time.monotonic() < self._looks_at or not self._looking.acquire(blocking=False):
            return
        try:
            self._looks_at = time.monotonic() + LOOK_SECONDS
            self._read_if_changed()
        finally:
            self._looking.release()
        deadline.renew()  # of many tokens, it takes seconds

    def _read_if_changed(self) -> None:
        state = _state_of(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            self._set({**read_tokens(self._path), **self._beside})
        except TokensFileError as error:
            _logger.error(
                "API_TOKENS_FILE cannot be used: the tokens stay as they were",
                extra={"reason": f"must {error}"},
            )
        else:
            _logger.info("API_TOKENS_FILE was read anew", extra={"tokens": len(self._clients)})


class TokensFileError(ValueError):
    """The text is what ``API_TOKENS_FILE`` must be or have; it quotes nothing of it."""

    def __init__(self, must: str, hint: str) -> None:
        super().__init__(must)
        self.hint = hint


def read_tokens(path: Path) -> dict[str, Client]:
    """Return the clients of a file by their tokens: an entry a line, ``#`` begins a comment.

    Raises:
        TokensFileError: it cannot be read, or a line cannot be used.
    """
    try:
        # By line breaks alone: splitlines() would begin an entry at others that a comment may have.
        *lines, unfinished = path.read_text("utf-8-sig").split("\n")
    except (OSError, ValueError):
        raise TokensFileError(
            "be a file that can be read", "It is UTF-8, and this process may read it."
        ) from None
    if unfinished:
        # One that is cut off after its token would be a token that may do everything.
        raise TokensFileError(
            "end with a line break", "Without one, it may be a file that is being written."
        )
    clients: dict[str, Client] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            token, client = parse_entry(line, f"line-{number}")
        except EntryError as error:
            must = f"be a file of tokens (line {number} must {error.must})"
            raise TokensFileError(must, error.hint) from None
        if clients.setdefault(token, client) != client:
            raise TokensFileError(
                f"be a file of tokens (line {number} must not give a token to a second client)",
                "Make another token, or take one of the two lines out.",
            )
    return clients


def _state_of(path: Path) -> tuple[int, ...]:
    """Return what changes with a file, whether it is written or replaced."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    # Not st_mtime, which copying may keep, and which a change of the permissions leaves as it was.
    return stat.st_ctime_ns, stat.st_size, stat.st_ino


def ticket_of(token: str) -> str:
    """Return what a page of the service itself sends in place of the token that opened it.

    A browser sends a password (RFC 7617) only to paths below the one that asked for it, and not to
    the live process. The ticket is the token's digest and the time, signed with the token; its
    characters may stand in the name of a subprotocol (RFC 6455, 4.1).
    """
    return _signer(token).sign(_digest(token))


def _is_ticket(sent: str, token: str) -> bool:
    try:
        return _signer(token).unsign(sent, max_age=TICKET_SECONDS) == _digest(token)
    except BadSignature:
        return False


def _signer(token: str) -> TimestampSigner:
    # Not with the secret key, which a live process on another machine need not have.
    return TimestampSigner(key=token, sep=".", salt=__name__, fallback_keys=[])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
